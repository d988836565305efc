//! What the recorder counts for the metrics. No metric carries a name of a session or a person.

use super::RecorderError;
use super::archive;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

/// Why a recording accepted nothing more.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Because {
    /// A word.
    cause: &'static str,
}

/// The recorder's counters.
#[derive(Clone, Debug)]
pub struct Meter {
    /// Events that were recorded.
    pub events: Counter,
    /// Bytes that were written, before compression.
    pub bytes: Counter,
    /// Bytes that all recordings take here.
    pub used: Gauge,
    /// Waits for the medium, with durability `disk`.
    pub sync_seconds: Histogram,
    /// Recordings that could not go on, or not begin.
    pub failures: Family<Because, Counter>,
    /// The archive's.
    pub archive: archive::Meter,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            events: Counter::default(),
            bytes: Counter::default(),
            used: Gauge::default(),
            sync_seconds: Histogram::new(exponential_buckets(0.000_1, 2.0, 18)),
            failures: Family::default(),
            archive: archive::Meter::default(),
        }
    }
}

impl Meter {
    /// The medium took this long.
    pub(super) fn synced(&self, took: Duration) {
        self.sync_seconds.observe(took.as_secs_f64());
    }

    /// A recording failed.
    pub(super) fn failed(&self, error: &RecorderError) {
        let cause = match error {
            RecorderError::NoSpace { .. } => "space",
            RecorderError::Quota { .. } => "quota",
            RecorderError::Io { verb, .. } => verb,
            RecorderError::Exists(_) => "exists",
            RecorderError::TooLarge(_) => "too-large",
            RecorderError::Refused(_) => "refused",
            RecorderError::Key(_) => "key",
            // It was counted when it broke.
            RecorderError::Broken => return,
        };
        self.failures.get_or_create(&Because { cause }).inc();
    }

    /// Has a registry show the counters; `archived` when there is an archive.
    pub fn register(&self, registry: &mut Registry, archived: bool) {
        registry.register("recording_events", "Events recorded", self.events.clone());
        registry.register("recording_bytes", "Bytes recorded, before compression", self.bytes.clone());
        registry.register("recording_used_bytes", "Bytes that all recordings take here", self.used.clone());
        let sync = "Waits for the medium, with durability disk";
        registry.register("recording_sync_seconds", sync, self.sync_seconds.clone());
        registry.register("recording_failures", "Recordings that ended with an error, by cause", self.failures.clone());
        if !archived {
            return;
        }
        let archive = &self.archive;
        registry.register("archive_up", "1 while the archive takes what it is given", archive.up.clone());
        let pending = "Recordings that are not in the archive, live ones among them";
        registry.register("archive_pending", pending, archive.pending.clone());
        let oldest = "Seconds since the oldest recording ended that is not in the archive";
        registry.register("archive_oldest_pending_seconds", oldest, archive.oldest_pending_seconds.clone());
        registry.register("archive_objects", "Objects written to the archive", archive.objects.clone());
        registry.register("archive_bytes", "Bytes of recordings written to the archive", archive.bytes.clone());
        registry.register("archive_failures", "Rounds that the archive ended", archive.failures.clone());
        let conflicts = "Recordings that the archive holds something else for";
        registry.register("archive_conflicts", conflicts, archive.conflicts.clone());
        let removed = "Recordings removed from the archive after their tombstone";
        registry.register("archive_removed", removed, archive.removed.clone());
    }
}
