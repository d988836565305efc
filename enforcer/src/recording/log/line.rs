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
}

impl Leaf {
    const fn parts(&self) -> (&'static str, u64, &Chain) {
        match self {
            Self::Opened { records, chain } => ("opened", *records, chain),
            Self::Closed { records, chain } => ("closed", *records, chain),
            Self::Left { records, chain } => ("left", *records, chain),
            Self::Archived { records, chain } => ("archived", *records, chain),
            Self::Removed { records, chain, .. } => ("removed", *records, chain),
        }
    }
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
        let (word, records, chain) = self.leaf.parts();
        let chain = crate::recording::key::hexadecimal(chain);
        let mut text = format!("{word} {} {} {records} {chain}", self.at.unix_ms(), self.session);
        if let Leaf::Removed { why, .. } = &self.leaf {
            push(&mut text, format_args!(" {why}"));
        }
        text
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
    let records = words.next()?.parse().ok()?;
    let chain = chain(words.next()?)?;
    let why = words.next();
    let leaf = match (word, why) {
        ("opened", None) => Leaf::Opened { records, chain },
        ("closed", None) => Leaf::Closed { records, chain },
        ("left", None) => Leaf::Left { records, chain },
        ("archived", None) => Leaf::Archived { records, chain },
        ("removed", Some(why)) => Leaf::Removed { records, chain, why: why.to_owned() },
        _ => return None,
    };
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
