//! Instants, lengths of time and civil schedules. There is no clock here: `now` is always an argument.

mod hours;
mod ttl;

pub use hours::{Hours, HoursError, Valid, Zone};
pub use ttl::{Ttl, TtlError};

use serde::{Deserialize, Serialize};
use std::fmt;

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `ms` milliseconds after the epoch.
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// The instant `seconds` after the epoch.
    pub const fn from_unix(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// The instant `ttl` later.
    #[must_use]
    pub const fn plus(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_add((ttl.seconds() as i64).saturating_mul(1000)))
    }

    /// The instant `ttl` earlier.
    #[must_use]
    pub const fn minus(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_sub((ttl.seconds() as i64).saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to this instant; zero when `earlier` is later.
    pub const fn ms_since(self, earlier: Self) -> u64 {
        let ms = self.0.saturating_sub(earlier.0);
        if ms < 0 { 0 } else { ms.unsigned_abs() }
    }

    /// Reads an RFC 3339 instant such as `2026-05-04T10:00:00+02:00`.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>().ok().map(|ts| Self(ts.as_millisecond()))
    }

    pub(crate) fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_jiff().strftime("%Y-%m-%dT%H:%M:%SZ"))
    }
}
