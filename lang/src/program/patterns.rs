//! Masks that look for patterns in values: detectors, best effort by nature. They never stand in for a mask on a column.
//!
//! An expression is the engine's own (`regex`): linear in the value, without backreferences. What it finds counts only
//! when the check, if there is one, holds for it.

use super::rules::{Mask, MaskAs, RuleId, RuleKind};
use super::{Invalid, Program, Subject, matches};
use regex::bytes::{Regex, RegexBuilder};
use std::collections::BTreeMap;
use std::ops::Range;

/// The memory that one expression may take, compiled.
const COMPILED_BYTES_MAX: usize = 1 << 20;
/// Words of a match that are tried together.
const PARTS_MAX: usize = 32;
/// What stands for a value that is not shown.
const REDACTED: &str = "[redacted]";
/// What stands between the kept ends of a value.
const GAP: &str = "***";
/// What overwrites a letter where the length must stay.
const COVER: u8 = b'*';

/// What must hold for a value besides its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Payment cards: the digit sum of ISO/IEC 7812-1, annex B.
    Luhn,
    /// Bank accounts: the remainder of ISO 13616.
    Iban,
    /// Mail addresses: one `@` between a local part and a name with a dot.
    Email,
}

impl Check {
    /// The words of the language.
    pub const WORDS: [&'static str; 3] = ["luhn", "iban", "email"];

    /// Reads a word of the language.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "luhn" => Some(Self::Luhn),
            "iban" => Some(Self::Iban),
            "email" => Some(Self::Email),
            _ => None,
        }
    }

    /// Whether a part of a match is long enough for the check to mean something.
    fn fits(self, part: &[u8]) -> bool {
        match self {
            Self::Luhn => (12..=19).contains(&part.iter().filter(|byte| byte.is_ascii_digit()).count()),
            Self::Iban | Self::Email => true,
        }
    }

    /// Whether it holds.
    pub fn holds(self, found: &[u8]) -> bool {
        match self {
            Self::Luhn => luhn(found),
            Self::Iban => iban(found),
            Self::Email => email(found),
        }
    }
}

fn luhn(found: &[u8]) -> bool {
    let digits = found.iter().rev().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0'));
    let (mut sum, mut count, mut any) = (0_u32, 0_u32, 0_u32);
    for (place, digit) in digits.enumerate() {
        let doubled = if place % 2 == 1 { digit * 2 } else { digit };
        sum = (sum + if doubled > 9 { doubled - 9 } else { doubled }) % 10;
        count = count.saturating_add(1);
        any |= digit;
    }
    count >= 2 && any > 0 && sum == 0
}

fn iban(found: &[u8]) -> bool {
    let letters: Vec<u8> = found.iter().filter(|byte| byte.is_ascii_alphanumeric()).copied().collect();
    let Some((head, tail)) = letters.split_at_checked(4) else { return false };
    if !(15..=34).contains(&letters.len()) {
        return false;
    }
    let mut rest = 0_u32;
    for byte in tail.iter().chain(head) {
        let value = match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            letter => u32::from(letter.to_ascii_uppercase() - b'A') + 10,
        };
        rest = (rest * if value > 9 { 100 } else { 10 } + value) % 97;
    }
    rest == 1
}

fn email(found: &[u8]) -> bool {
    let mut parts = found.split(|byte| *byte == b'@');
    let (Some(local), Some(name), None) = (parts.next(), parts.next(), parts.next()) else { return false };
    let labels: Vec<&[u8]> = name.split(|byte| *byte == b'.').collect();
    !local.is_empty() && labels.len() > 1 && labels.iter().all(|label| !label.is_empty())
}

/// One expression of a mask.
#[derive(Clone, Debug)]
struct Detector {
    expression: Regex,
    check: Option<Check>,
}

/// The expressions of every mask that has any, by the mask's place in the tables.
pub(super) type Detectors = BTreeMap<usize, Vec<DetectorOf>>;

/// Kept behind the module so that nobody makes one elsewhere.
#[derive(Clone, Debug)]
pub(super) struct DetectorOf(Detector);

/// Compiles the expressions of the tables' masks.
pub(super) fn compile(masks: &[Mask]) -> Result<Detectors, Invalid> {
    let mut all = Detectors::new();
    for (place, mask) in masks.iter().enumerate().filter(|(_, mask)| !mask.patterns.is_empty()) {
        let rule = || RuleId::new(RuleKind::Mask, &mask.name);
        for (expression, check) in &mask.patterns {
            let compiled = RegexBuilder::new(expression).size_limit(COMPILED_BYTES_MAX).build();
            let expression =
                compiled.map_err(|error| Invalid::Expression { rule: rule(), message: error.to_string() })?;
            let check =
                match check {
                    None => None,
                    Some(word) => Some(Check::parse(word).ok_or_else(|| Invalid::Expression {
                        rule: rule(),
                        message: format!("`{word}` is no check"),
                    })?),
                };
            all.entry(place).or_default().push(DetectorOf(Detector { expression, check }));
        }
    }
    Ok(all)
}

/// How what takes a value's place must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A text that may become longer or shorter.
    Text,
    /// A line of which only letters, digits and a few signs are sure not to mean something.
    Line,
    /// Bytes whose number must stay: a length may stand before them.
    Fixed,
}

/// The detectors of one session.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    of_masks: Vec<(MaskAs, Vec<DetectorOf>)>,
}

impl Patterns {
    /// The detectors of these masks, whomever they concern.
    ///
    /// # Errors
    /// When an expression does not compile.
    pub fn of(masks: &[Mask]) -> Result<Self, Invalid> {
        let mut detectors = compile(masks)?;
        let of_masks = masks.iter().enumerate();
        let of_masks = of_masks.filter_map(|(place, mask)| Some((mask.mask.clone(), detectors.remove(&place)?)));
        Ok(Self { of_masks: of_masks.collect() })
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.of_masks.is_empty()
    }

    /// Whether a value holds what is not to be shown at all.
    pub fn nullifies(&self, value: &[u8]) -> bool {
        let detectors = self.of_masks.iter().filter(|(mask, _)| *mask == MaskAs::Nullify).flat_map(|(_, all)| all);
        detectors.into_iter().any(|DetectorOf(detector)| !detector.found(value).is_empty())
    }

    /// What stands for a value in which something was found; `hash` is the keyed hash of it, in letters and digits.
    pub fn replaced(&self, value: &[u8], form: Form, hash: &dyn Fn(&[u8]) -> String) -> Option<Vec<u8>> {
        let mut now: Option<Vec<u8>> = None;
        for (mask, detectors) in &self.of_masks {
            for DetectorOf(detector) in detectors {
                let changed = detector.replaced(now.as_deref().unwrap_or(value), mask, form, hash);
                now = changed.or(now);
            }
        }
        now
    }
}

impl Detector {
    /// Where it finds something for which the check holds. A match that runs on into what stands beside a value is tried
    /// by its parts.
    fn found(&self, value: &[u8]) -> Vec<Range<usize>> {
        let mut all = Vec::new();
        for found in self.expression.find_iter(value).filter(|found| !found.is_empty()) {
            match self.check {
                Some(check) if !check.holds(found.as_bytes()) => {
                    all.extend(parts(check, found.as_bytes(), found.start()));
                }
                Some(_) => all.push(trimmed(found.as_bytes(), found.start())),
                None => all.push(found.range()),
            }
        }
        all
    }

    fn replaced(&self, value: &[u8], mask: &MaskAs, form: Form, hash: &dyn Fn(&[u8]) -> String) -> Option<Vec<u8>> {
        let mut out: Option<Vec<u8>> = None;
        let mut copied = 0;
        for found in self.found(value) {
            let text = value.get(found.clone()).unwrap_or_default();
            let out = out.get_or_insert_with(|| Vec::with_capacity(value.len()));
            out.extend_from_slice(value.get(copied..found.start).unwrap_or_default());
            out.extend_from_slice(&stand_in(text, mask, form, hash));
            copied = found.end;
        }
        let mut out = out?;
        out.extend_from_slice(value.get(copied..).unwrap_or_default());
        Some(out)
    }
}

/// A match without what stands between it and its neighbours.
fn trimmed(text: &[u8], offset: usize) -> Range<usize> {
    let first = text.iter().position(u8::is_ascii_alphanumeric).unwrap_or(0);
    let last = text.iter().rposition(u8::is_ascii_alphanumeric).map_or(text.len(), |last| last + 1);
    first + offset..last + offset
}

/// The longest runs of whole words of a match for which a check holds. A match of too many words is taken whole: what
/// cannot be looked through is not shown.
fn parts(check: Check, text: &[u8], offset: usize) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.iter().enumerate().filter(|(_, byte)| byte.is_ascii_alphanumeric()) {
        match words.last_mut() {
            Some(word) if word.end == at => word.end += 1,
            Some(_) | None => words.push(at..at + 1),
        }
        if words.len() > PARTS_MAX {
            return vec![trimmed(text, offset)];
        }
    }
    let (mut all, mut from) = (Vec::new(), 0);
    while let Some(first) = words.get(from) {
        let run = |last: usize| words.get(last).map(|word| first.start..word.end);
        let holds =
            |range: &Range<usize>| text.get(range.clone()).is_some_and(|part| check.fits(part) && check.holds(part));
        match (from..words.len()).rev().find_map(|last| run(last).filter(holds).map(|range| (last, range))) {
            Some((last, range)) => {
                all.push(range.start + offset..range.end + offset);
                from = last + 1;
            }
            None => from += 1,
        }
    }
    all
}

fn stand_in(text: &[u8], mask: &MaskAs, form: Form, hash: &dyn Fn(&[u8]) -> String) -> Vec<u8> {
    if form == Form::Fixed {
        return covered(text, mask);
    }
    match mask {
        MaskAs::Redact | MaskAs::Nullify => REDACTED.into(),
        MaskAs::Hash => hash(text).into_bytes(),
        MaskAs::Fixed(fixed) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '-' | '_' | '(' | ')' | '*');
            if form == Form::Text || fixed.chars().all(plain) { fixed.clone().into_bytes() } else { REDACTED.into() }
        }
        MaskAs::Partial { keep_first, keep_last } => {
            let text = String::from_utf8_lossy(text);
            let letters: Vec<char> = text.chars().collect();
            let (first, last) = kept(letters.len(), *keep_first, *keep_last);
            if first + last == 0 {
                return REDACTED.into();
            }
            let head = letters.iter().take(first);
            let tail = letters.iter().skip(letters.len() - last);
            head.copied().chain(GAP.chars()).chain(tail.copied()).collect::<String>().into_bytes()
        }
    }
}

/// The same number of bytes, none of which says anything but what a partial mask keeps.
fn covered(text: &[u8], mask: &MaskAs) -> Vec<u8> {
    let MaskAs::Partial { keep_first, keep_last } = mask else { return vec![COVER; text.len()] };
    if !text.is_ascii() {
        return vec![COVER; text.len()];
    }
    let (first, last) = kept(text.len(), *keep_first, *keep_last);
    let inside = first..text.len() - last;
    text.iter().enumerate().map(|(at, byte)| if inside.contains(&at) { COVER } else { *byte }).collect()
}

/// How much of the ends stays: nothing of a value that is less than twice as long as what would.
fn kept(length: usize, first: u32, last: u32) -> (usize, usize) {
    let as_length = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let (first, last) = (as_length(first), as_length(last));
    if first.saturating_add(last).saturating_mul(2) <= length { (first, last) } else { (0, 0) }
}

impl Program {
    /// What to look for in values that a subject is shown of a connection, the strictest mask first.
    pub fn patterns(&self, subject: &Subject, connection: &str) -> Patterns {
        let Some((_, index)) = self.indexed(connection) else { return Patterns::default() };
        let mut of_masks = Vec::new();
        for (place, mask) in index.masks.all(&self.rules.masks) {
            let Some(to) = self.to_masks.get(place) else { continue };
            if let (true, Some(detectors)) = (matches(to, subject), self.detectors.get(&place)) {
                of_masks.push((mask.mask.clone(), detectors.clone()));
            }
        }
        of_masks.sort_by_key(|(mask, _)| std::cmp::Reverse(mask.rank()));
        Patterns { of_masks }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterns(expression: &str, check: Option<Check>, mask: MaskAs) -> Patterns {
        let expression = Regex::new(expression).unwrap();
        Patterns { of_masks: vec![(mask, vec![DetectorOf(Detector { expression, check })])] }
    }

    fn shown(patterns: &Patterns, value: &str, form: Form) -> String {
        let changed = patterns.replaced(value.as_bytes(), form, &|found| format!("h{}", found.len()));
        String::from_utf8(changed.unwrap_or_else(|| value.into())).unwrap()
    }

    const CARD: &str = r"\b(?:\d[ -]?){13,19}\b";

    #[test]
    fn checks_hold_for_what_they_are_for() {
        for (check, good, bad) in [
            (Check::Luhn, vec!["4111 1111 1111 1111", "5500-0000-0000-0004"], vec!["4111111111111112", "0000", ""]),
            (
                Check::Iban,
                vec!["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32"],
                vec!["DE88370400440532013000", "DE89", ""],
            ),
            (Check::Email, vec!["ada@one.example", "a.b+c@x.y.z"], vec!["ada@one", "@one.example", "a@b@c.d", "a@.d"]),
        ] {
            assert!(good.iter().all(|text| check.holds(text.as_bytes())), "{check:?}");
            assert!(!bad.iter().any(|text| check.holds(text.as_bytes())), "{check:?}");
        }
        assert!(Check::WORDS.iter().all(|word| Check::parse(word).is_some()));
    }

    #[test]
    fn a_match_of_too_many_words_is_taken_whole() {
        let redact = patterns(r"\d(?: \d)*", Some(Check::Luhn), MaskAs::Redact);
        let digits = |count: usize| vec!["1"; count].join(" ");
        for count in [PARTS_MAX + 1, PARTS_MAX + 2, 10 * PARTS_MAX] {
            let shown = shown(&redact, &format!("x {} y", digits(count)), Form::Text);
            assert_eq!(shown, "x [redacted] y", "{count} words");
        }
        let most = digits(PARTS_MAX);
        assert_eq!(shown(&redact, &most, Form::Text), most, "looked through: the check holds for no part");
        let few = digits(11);
        assert_eq!(shown(&redact, &few, Form::Text), few, "too short for the check to hold for any part");
    }

    #[test]
    fn what_is_found_and_checked_is_replaced() {
        let redact = patterns(CARD, Some(Check::Luhn), MaskAs::Redact);
        assert_eq!(shown(&redact, "pay 4111111111111111 now", Form::Text), "pay [redacted] now");
        assert_eq!(shown(&redact, "pay 4111111111111112 now", Form::Text), "pay 4111111111111112 now");
        assert_eq!(shown(&redact, "pay 4111111111111111 now", Form::Fixed), "pay **************** now");
        // What stands beside it does not hide it.
        assert_eq!(shown(&redact, "7 4111 1111 1111 1111 2", Form::Text), "7 [redacted] 2");
        assert_eq!(shown(&redact, "4111111111111111 4111111111111112", Form::Text), "[redacted] 4111111111111112");
        let partial = patterns(CARD, Some(Check::Luhn), MaskAs::Partial { keep_first: 0, keep_last: 4 });
        assert_eq!(shown(&partial, "4111111111111111", Form::Text), "***1111");
        assert_eq!(shown(&partial, "4111111111111111", Form::Fixed), "************1111");
        assert_eq!(shown(&patterns("[a-z]+@x", None, MaskAs::Hash), "to ab@x", Form::Text), "to h4");
        let fixed = patterns("secret", None, MaskAs::Fixed("a\tb".to_owned()));
        assert_eq!(shown(&fixed, "a secret", Form::Text), "a a\tb");
        assert_eq!(shown(&fixed, "a secret", Form::Line), "a [redacted]");
        let nothing = patterns("x", None, MaskAs::Nullify);
        assert!(nothing.nullifies(b"axa") && !nothing.nullifies(b"aa") && !fixed.nullifies(b"secret"));
        assert_eq!(shown(&nothing, "axa", Form::Line), "a[redacted]a");
    }
}
