//! Makes recorded data harmless for a terminal, a log and a page of text.
//!
//! Whatever a client or a target sent may try to move the cursor, change colours, set the window's title, hide text
//! or turn its direction. Every character that does more than stand there is written as an escape; no viewer of
//! recordings may write recorded text by another way.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

/// Whether a character acts instead of standing there: C0, DEL, C1, bidirectional controls, line and paragraph
/// separators, invisible characters and tags.
pub fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text with every acting character escaped: `\n`, `\t`, `\r`, else `\u{1b}`.
pub fn inert(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        push_inert(&mut out, character);
    }
    Cow::Owned(out)
}

/// The lines of a text, each made inert, so that statements keep their shape.
pub fn inert_lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split('\n').map(|line| inert(line.strip_suffix('\r').unwrap_or(line)))
}

/// Bytes as text: what is not UTF-8 is written as `\x9f`. The result may still act.
pub fn text_of(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            push(&mut out, format_args!("\\x{byte:02x}"));
        }
    }
    out
}

/// Appends formatted text; writing to a string cannot fail.
pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _infallible = out.write_fmt(text);
}

fn push_inert(out: &mut String, character: char) {
    match character {
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\r' => out.push_str("\\r"),
        acting if acts(acting) => push(out, format_args!("\\u{{{:x}}}", u32::from(acting))),
        still => out.push(still),
    }
}

/// Writes JSON whose strings hold no acting character, so that it is safe to look at; a parser reads the same data.
#[derive(Clone, Copy, Debug, Default)]
pub struct InertJson;

impl serde_json::ser::Formatter for InertJson {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some((place, character)) = rest.char_indices().find(|(_, character)| acts(*character)) {
            let (still, from) = rest.split_at(place);
            writer.write_all(still.as_bytes())?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = from.split_at(character.len_utf8()).1;
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Writes a value as one line of inert JSON.
pub fn write_json(out: &mut dyn io::Write, value: &impl serde::Serialize) -> io::Result<()> {
    let mut serializer = serde_json::Serializer::with_formatter(out, InertJson);
    value.serialize(&mut serializer).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acting_characters_are_escaped() {
        assert_eq!(inert("plain ünïcode 漢字"), "plain ünïcode 漢字");
        assert_eq!(inert("a\x1b[31mb\u{9b}2J\x7f\x07"), "a\\u{1b}[31mb\\u{9b}2J\\u{7f}\\u{7}");
        assert_eq!(inert("\u{202e}txt\u{2066}\u{200b}"), "\\u{202e}txt\\u{2066}\\u{200b}");
        assert_eq!(inert("a\tb\nc\r"), "a\\tb\\nc\\r");
        assert_eq!(text_of(b"a\xff\xc3\xa4"), "a\\xff\u{e4}");
    }

    #[test]
    fn json_is_inert_and_means_the_same() {
        let hostile = "\x1b]0;title\x07 \u{9b} \u{7f} \u{202e} \u{e0041} \"\\ ok\n";
        let mut out = Vec::new();
        write_json(&mut out, &hostile).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.chars().any(acts), "{text}");
        assert_eq!(serde_json::from_str::<String>(&text).unwrap(), hostile);
    }
}
