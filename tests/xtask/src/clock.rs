//! The one place that reads clocks.

use crate::fault::{Fault, Outcome};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now, on the monotonic clock.
#[expect(clippy::disallowed_methods, reason = "the tool measures real programs; this is its clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, on the wall clock.
#[expect(clippy::disallowed_methods, reason = "the tool measures real programs; this is its clock")]
pub fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// Asks again and again until there is an answer or the time is over.
pub fn wait_for<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Outcome<Option<T>>) -> Outcome<T> {
    let start = now();
    loop {
        if let Some(answer) = ask()? {
            return Ok(answer);
        }
        if start.elapsed() > within {
            return Err(Fault::new(format!("{what}: not within {} s", within.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(25));
    }
}
