//! How often one subject may call: a bucket for each subject that fills up over a minute. It must never cost more
//! memory than its bound, nor let one caller use up another's calls.

use super::Problem;
use crate::core::identity::Subject;
use crate::core::limits::Limits;
use axum::http::StatusCode;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Subjects whose calls are counted at a time; a full bucket needs no entry.
const SUBJECTS_MAX: usize = 65_536;
const MINUTE_MS: u64 = 60_000;

/// What a call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    /// It changes something.
    Write,
    /// It does not.
    Read,
}

/// The buckets. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Rates {
    writes_per_minute: u64,
    reads_per_minute: u64,
    buckets: Arc<Mutex<BTreeMap<(Subject, Sort), Bucket>>>,
}

/// Calls left, in units of a call's sixty-thousandth, so that a millisecond's refill is a whole number.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left: u64,
    at_mono_ms: u64,
}

impl Rates {
    /// Buckets of the configured size.
    pub fn new(limits: &Limits) -> Self {
        Self {
            writes_per_minute: u64::from(limits.api_writes_per_minute_max),
            reads_per_minute: u64::from(limits.api_reads_per_minute_max),
            buckets: Arc::default(),
        }
    }

    /// Counts a call, or says after how many seconds to try again.
    ///
    /// # Errors
    /// When the subject has called too often.
    pub fn count(&self, subject: &Subject, sort: Sort, now_mono_ms: u64) -> Result<(), u64> {
        let per_minute = match sort {
            Sort::Write => self.writes_per_minute,
            Sort::Read => self.reads_per_minute,
        };
        let full = per_minute * MINUTE_MS;
        let refilled = |bucket: &Bucket| {
            let elapsed = now_mono_ms.saturating_sub(bucket.at_mono_ms).min(MINUTE_MS);
            bucket.left.saturating_add(elapsed * per_minute).min(full)
        };
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (subject.clone(), sort);
        if buckets.len() >= SUBJECTS_MAX && !buckets.contains_key(&key) {
            // Whoever has not called for a minute has every call again.
            buckets.retain(|_, bucket| now_mono_ms.saturating_sub(bucket.at_mono_ms) < MINUTE_MS);
            if buckets.len() >= SUBJECTS_MAX {
                return Err(1);
            }
        }
        let left = buckets.get(&key).map_or(full, refilled);
        let Some(after) = left.checked_sub(MINUTE_MS) else {
            let missing = MINUTE_MS - left;
            return Err(missing.div_ceil(per_minute.max(1)).div_ceil(1_000).max(1));
        };
        buckets.insert(key, Bucket { left: after, at_mono_ms: now_mono_ms });
        Ok(())
    }
}

/// What a caller who calls too often reads.
pub(super) fn too_often(seconds: u64) -> Problem {
    let sentence = format!("you call too often; try again in {seconds} s");
    Problem::new(StatusCode::TOO_MANY_REQUESTS, sentence).retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(id: usize) -> Subject {
        Subject { idp: "dev".to_owned(), tenant: "t".to_owned(), id: id.to_string() }
    }

    #[test]
    fn a_bucket_empties_refills_and_is_each_subjects_own() {
        let limits = Limits { api_writes_per_minute_max: 60, ..Limits::default() };
        let rates = Rates::new(&limits);
        for _ in 0..60 {
            rates.count(&who(1), Sort::Write, 5).unwrap();
        }
        assert_eq!(rates.count(&who(1), Sort::Write, 5), Err(1));
        rates.count(&who(1), Sort::Read, 5).unwrap();
        rates.count(&who(2), Sort::Write, 5).unwrap();
        rates.count(&who(1), Sort::Write, 1_005).unwrap();
        assert_eq!(rates.count(&who(1), Sort::Write, 1_005), Err(1));
        for _ in 0..60 {
            rates.count(&who(1), Sort::Write, 10_000_000).unwrap();
        }
        assert!(rates.count(&who(1), Sort::Write, 10_000_000).is_err());
    }

    #[test]
    fn the_number_of_subjects_is_bounded() {
        let rates = Rates::new(&Limits::default());
        for id in 0..SUBJECTS_MAX {
            rates.count(&who(id), Sort::Read, 0).unwrap();
        }
        assert!(rates.count(&who(SUBJECTS_MAX), Sort::Read, 1).is_err());
        rates.count(&who(0), Sort::Read, 1).unwrap();
        rates.count(&who(SUBJECTS_MAX), Sort::Read, MINUTE_MS + 1).unwrap();
        assert!(rates.buckets.lock().unwrap().len() < 10);
    }
}
