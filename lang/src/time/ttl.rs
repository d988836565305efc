//! Lengths of time as policies write them: `15m`, `1h30m`, `2d`.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A length of time in whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ttl(u32);

/// Why a text is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TtlError {
    /// Nothing stands in the quotes.
    #[error("an empty length of time")]
    Empty,
    /// A number without a unit, or a unit that does not exist.
    #[error("`{0}` is not a length of time; write for example \"15m\", \"1h30m\" or \"2d\"")]
    Malformed(String),
    /// More than the language can hold.
    #[error("`{0}` is longer than ten years")]
    TooLong(String),
}

impl Ttl {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// The longest length a policy can state: ten years.
    pub const MAX: Self = Self(10 * 366 * 86_400);

    /// A length of `seconds`, at most [`Ttl::MAX`].
    pub const fn from_seconds(seconds: u32) -> Self {
        if seconds > Self::MAX.0 { Self::MAX } else { Self(seconds) }
    }

    /// The length in seconds.
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// The length as a [`std::time::Duration`].
    pub const fn to_std(self) -> std::time::Duration {
        std::time::Duration::from_secs(self.0 as u64)
    }

    /// This length and `other` one after the other, at most [`Ttl::MAX`].
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self::from_seconds(self.0.saturating_add(other.0))
    }

    /// This length `n` times, at most [`Ttl::MAX`].
    #[must_use]
    pub const fn times(self, n: u32) -> Self {
        Self::from_seconds(self.0.saturating_mul(n))
    }

    /// Reads `15m`, `1h30m`, `90s`, `2d` or `1w`: descending units, each once.
    ///
    /// # Errors
    /// When the text has another form or is longer than [`Ttl::MAX`].
    pub fn parse(text: &str) -> Result<Self, TtlError> {
        if text.is_empty() {
            return Err(TtlError::Empty);
        }
        let malformed = || TtlError::Malformed(text.to_owned());
        let mut total: u64 = 0;
        let mut digits = String::new();
        let mut last_unit = u64::MAX;
        for c in text.chars() {
            if c.is_ascii_digit() {
                digits.push(c);
                continue;
            }
            let unit = match c {
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                'd' => 86_400,
                'w' => 604_800,
                _ => return Err(malformed()),
            };
            if digits.is_empty() || digits.len() > 9 || unit >= last_unit {
                return Err(malformed());
            }
            let number: u64 = digits.parse().map_err(|_| malformed())?;
            total = total.saturating_add(number.saturating_mul(unit));
            last_unit = unit;
            digits.clear();
        }
        if !digits.is_empty() {
            return Err(malformed());
        }
        match u32::try_from(total) {
            Ok(seconds) if seconds <= Self::MAX.0 => Ok(Self(seconds)),
            _ => Err(TtlError::TooLong(text.to_owned())),
        }
    }
}

impl fmt::Display for Ttl {
    /// The shortest form that [`Ttl::parse`] reads back: `1h30m`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, letter) in [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')] {
            if rest >= unit {
                write!(f, "{}{letter}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_back_as_written() {
        for (text, seconds) in [("15m", 900), ("1h30m", 5_400), ("2d", 172_800), ("90s", 90), ("0s", 0)] {
            assert_eq!(Ttl::parse(text).map(Ttl::seconds), Ok(seconds), "{text}");
        }
        assert_eq!(Ttl::from_seconds(5_400).to_string(), "1h30m");
        assert_eq!(Ttl::from_seconds(90_061).to_string(), "1d1h1m1s");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in ["", "15", "m", "1m1h", "1h1h", "1.5h", "-1m", "1 h", "99999999999w"] {
            assert!(Ttl::parse(text).is_err(), "{text}");
        }
    }
}
