//! One line of the log: what happened to a recording, and a check that says where a line was changed.

use crate::core::id::SessionId;
use crate::recording::format::Chain;
use crate::recording::inert::push;
use lang::time::Timestamp;

/// What happened to a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leaf {
    /// It began; the chain after its first records.
    Opened {
        /// Records so far.
        records: u64,
        /// The chain after them.
        chain: Chain,
    },
    /// It was closed.
    Closed {
        /// All records.
        records: u64,
        /// The chain after them.
        chain: Chain,
    },
    /// Its gateway stopped before it could close it; nothing will be added.
    Left {
        /// Whole records.
        records: u64,
        /// The chain after them.
        chain: Chain,
    },
    /// It is in the archive, and was removed here.
    Archived {
        /// The records that it has.
        records: u64,
        /// The chain after them.
        chain: Chain,
    },
    /// Retention removed it; the line is its tombstone.
    Removed {
        /// The records that it had.
        records: u64,
        /// The chain after them.
        chain: Chain,
        /// Why: `retention`.
        why: String,
    },
    /// It is held: retention must leave it.
    Held(Word),
    /// It is not held any more.
    Released(Word),
}

/// Who holds or releases a recording, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The subject whom the policy lets hold recordings; none for a file in the folder of holds.
    pub by: Option<String>,
    /// The reason, one line.
    pub why: String,
}

impl Word {
    /// What stands for a file in the folder of holds.
    const FILE: &str = "file";

    fn text(&self) -> String {
        let by = self.by.as_deref().map_or_else(|| Self::FILE.to_owned(), escaped);
        format!("{by} {}", escaped(&self.why))
    }

    fn parse(by: &str, why: &str) -> Option<Self> {
        let by = if by == Self::FILE { None } else { Some(unescaped(by)?) };
        Some(Self { by, why: unescaped(why)? })
    }
}

/// A text as one word of printable ASCII: every other byte is `%` and two digits, and a text without bytes is `-`.
fn escaped(text: &str) -> String {
    if text.is_empty() || text == "-" || text == Word::FILE {
        return text
            .bytes()
            .next()
            .map_or_else(|| "-".to_owned(), |first| format!("%{first:02x}{}", text.get(1..).unwrap_or_default()));
    }
    let mut word = String::with_capacity(text.len());
    for byte in text.bytes() {
        match char::from(byte) {
            plain if plain.is_ascii_graphic() && plain != '%' => word.push(plain),
            _ => push(&mut word, format_args!("%{byte:02x}")),
        }
    }
    word
}

fn unescaped(word: &str) -> Option<String> {
    if word == "-" {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(word.len());
    let mut rest = word.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What happened.
    pub leaf: Leaf,
    /// When.
    pub at: Timestamp,
    /// To which recording.
    pub session: SessionId,
}

/// Digits of a line's check.
const CHECK_DIGITS: usize = 16;

/// The check at a line's end: 16 hexadecimal digits of BLAKE3 over the check before and the text.
pub(super) fn check(before: &str, text: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"leasehold log v1\0");
    hasher.update(before.as_bytes());
    hasher.update(text.as_bytes());
    let hash = hasher.finalize();
    crate::recording::key::hexadecimal(hash.as_bytes().get(..8).unwrap_or_default())
}

impl Line {
    /// The line's text, without its check and its end.
    pub(in crate::recording) fn text(&self) -> String {
        let head = |records: &u64, chain: &Chain| format!("{records} {}", crate::recording::key::hexadecimal(chain));
        let (word, rest) = match &self.leaf {
            Leaf::Opened { records, chain } => ("opened", head(records, chain)),
            Leaf::Closed { records, chain } => ("closed", head(records, chain)),
            Leaf::Left { records, chain } => ("left", head(records, chain)),
            Leaf::Archived { records, chain } => ("archived", head(records, chain)),
            Leaf::Removed { records, chain, why } => ("removed", format!("{} {why}", head(records, chain))),
            Leaf::Held(said) => ("held", said.text()),
            Leaf::Released(said) => ("released", said.text()),
        };
        format!("{word} {} {} {rest}", self.at.unix_ms(), self.session)
    }
}

/// Reads a line without its end: the line, its text and its check. `None` for the fragment of a line that a crash cut.
pub fn parse_line(bytes: &[u8]) -> Option<(Line, &str, &str)> {
    let all = std::str::from_utf8(bytes).ok()?;
    let (text, check) = all.rsplit_once(' ')?;
    // A check that was cut belongs to a fragment.
    if check.len() != CHECK_DIGITS || !check.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut words = text.split(' ');
    let word = words.next()?;
    let at = Timestamp::from_unix_ms(words.next()?.parse().ok()?);
    let session = SessionId::parse(words.next()?)?;
    let (first, second, why) = (words.next()?, words.next()?, words.next());
    let head = || Some((first.parse::<u64>().ok()?, chain(second)?));
    let leaf = match (word, why) {
        ("opened", None) => head().map(|(records, chain)| Leaf::Opened { records, chain }),
        ("closed", None) => head().map(|(records, chain)| Leaf::Closed { records, chain }),
        ("left", None) => head().map(|(records, chain)| Leaf::Left { records, chain }),
        ("archived", None) => head().map(|(records, chain)| Leaf::Archived { records, chain }),
        ("removed", Some(why)) => head().map(|(records, chain)| Leaf::Removed { records, chain, why: why.to_owned() }),
        ("held", None) => Word::parse(first, second).map(Leaf::Held),
        ("released", None) => Word::parse(first, second).map(Leaf::Released),
        _ => None,
    }?;
    words.next().is_none().then_some((Line { leaf, at, session }, text, check))
}

fn chain(digits: &str) -> Option<Chain> {
    let mut bytes = [0_u8; 32];
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (to, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        *to = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Who and why read back, whatever they are, and stand on one line of plain words.
        #[test]
        fn words_read_back(by in proptest::option::of(".{0,40}"), why in ".{0,80}", held: bool) {
            let said = Word { by, why };
            let leaf = if held { Leaf::Held(said) } else { Leaf::Released(said) };
            let line = Line { leaf, at: Timestamp::from_unix_ms(7), session: SessionId::from_random([3; 10]) };
            let text = line.text();
            prop_assert!(text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{}", text);
            let whole = format!("{text} {}", check("", &text));
            let (read, ..) = parse_line(whole.as_bytes()).unwrap();
            prop_assert_eq!(read, line);
        }
    }

    #[test]
    fn a_person_is_never_taken_for_a_file() {
        for by in ["file", "-", "%66ile"] {
            let text = Word { by: Some(by.to_owned()), why: String::new() }.text();
            let (word, why) = text.split_once(' ').unwrap();
            assert_ne!(word, "file");
            assert_eq!(Word::parse(word, why).unwrap().by.as_deref(), Some(by));
        }
    }
}
