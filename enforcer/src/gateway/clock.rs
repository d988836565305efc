//! The one place that reads clocks. Everything else takes `now` as an argument.

use crate::core::machine::Now;
use lang::time::Timestamp;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

static STARTED: OnceLock<Instant> = OnceLock::new();

/// Wall time and monotonic time of this instant.
pub fn now() -> Now {
    Now { wall: wall(), mono_ms: mono_ms() }
}

/// Wall time.
#[expect(clippy::disallowed_methods, reason = "the clock module is where clocks are read")]
pub fn wall() -> Timestamp {
    let ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    Timestamp::from_unix_ms(i64::try_from(ms).unwrap_or(i64::MAX))
}

/// Milliseconds of the monotonic clock since it was first read.
#[expect(clippy::disallowed_methods, reason = "the clock module is where clocks are read")]
pub fn mono_ms() -> u64 {
    let started = STARTED.get_or_init(Instant::now);
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}
