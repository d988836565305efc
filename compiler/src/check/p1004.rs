//! P1004: a word that mixes scripts, or that reads like Latin letters and is none. Identifiers are plain ASCII; tables,
//! claim values, commands and the names of tests are not, and a reviewer cannot see the difference.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    syntax::ast::Typed,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for document in ctx.documents {
        document.visit_texts(&mut |_, value| {
            if value.text.is_ascii() || value.is_invalid() {
                return;
            }
            // Sentences may quote another script as whole words; names may not.
            let prose = value.typed == Typed::Text && value.text.contains(' ');
            let hit =
                value.text.split(|c: char| !c.is_alphanumeric()).find_map(|word| Some((word, problem(word, prose)?)));
            let invisible = value.text.chars().find(|c| is_invisible(*c));
            let message = match (hit, invisible) {
                (_, Some(c)) => format!("an invisible character, U+{:04X}, stands in this text", u32::from(c)),
                (Some((word, problem)), None) => format!("the word `{word}` {problem}"),
                (None, None) => return,
            };
            let found = Diagnostic::new(Code::P1004, value.span, message);
            sink.push(found.help("type the word again, with the letters of one script"));
        });
    }
}

/// What is wrong with a word.
fn problem(word: &str, prose: bool) -> Option<&'static str> {
    let mut scripts: Vec<Script> = word.chars().filter_map(script).collect();
    scripts.sort_unstable();
    scripts.dedup();
    match scripts.as_slice() {
        [_, _, ..] => Some("mixes scripts"),
        [Script::Cyrillic | Script::Greek] if !prose && word.chars().all(|c| !c.is_alphabetic() || is_twin(c)) => {
            Some("reads like Latin letters and is none")
        }
        [Script::Latin | Script::Cyrillic | Script::Greek | Script::Armenian | Script::Fullwidth] | [] => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Script {
    Latin,
    Greek,
    Cyrillic,
    Armenian,
    Fullwidth,
}

/// The script of a letter, of those that are taken for each other.
const fn script(c: char) -> Option<Script> {
    match c {
        'a'..='z' | 'A'..='Z' | '\u{C0}'..='\u{24F}' => Some(Script::Latin),
        '\u{370}'..='\u{3FF}' => Some(Script::Greek),
        '\u{400}'..='\u{52F}' => Some(Script::Cyrillic),
        '\u{530}'..='\u{58F}' => Some(Script::Armenian),
        '\u{FF21}'..='\u{FF5A}' => Some(Script::Fullwidth),
        _ => None,
    }
}

/// Whether a letter of another script looks like one of ours.
fn is_twin(c: char) -> bool {
    "аеорсухіјѕһԁԛԝАВЕКМНОРСТХІЈЅοανρτυικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ".contains(c)
}

const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}' | '\u{115F}' | '\u{1160}' | '\u{3164}')
}
