//! Recordings copied into an object store: the folder of recordings is the spool, the store the archive.
//!
//! Segments go up as soon as they are compressed, the last one after the end. Nothing waits for the store: an upload
//! that fails is tried again, and the files stay where they are until all of a recording is in the archive. A receipt
//! `archive/SESSION` says that it is. Objects are written once and removed only after a tombstone was signed.

mod fetch;
mod journal;
mod receipt;
pub mod store;
#[cfg(test)]
mod tests;
mod upload;

pub use fetch::{Fetched, fetch, segments, sessions};
pub use journal::newest_checkpoint;
pub use receipt::archived;
pub(super) use receipt::{Receipt, list as receipt_list};
pub use upload::Archivist;

use crate::core::id::SessionId;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Place;
use tokio::sync::Notify;

/// Where recordings are archived, and how long they also stay here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The object store.
    pub place: Place,
    /// How long a recording stays here after its end, once it is in the archive; for ever when it is not said.
    pub keep_local_ms: Option<u64>,
}

/// The name below which all sessions stand.
const RECORDINGS: &str = "recordings";

/// The name below which a session's objects stand.
pub fn name_of(session: &SessionId) -> String {
    format!("{RECORDINGS}/{session}")
}

/// What the metrics show of the archive.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// Recordings that are not in the archive, live ones among them.
    pub pending: Gauge,
    /// Objects that were written.
    pub objects: Counter,
    /// Their bytes.
    pub bytes: Counter,
    /// Calls that failed.
    pub failures: Counter,
    /// Recordings whose name in the archive holds something else.
    pub conflicts: Gauge,
    /// Recordings whose objects were removed after their tombstone.
    pub removed: Counter,
    /// 1 while the store takes what it is given.
    pub up: Gauge,
    /// Seconds since the oldest recording ended that is not in the archive.
    pub oldest_pending_seconds: Gauge,
}

/// The recordings that are not in the archive yet.
#[derive(Debug, Default)]
pub(super) struct Spool {
    state: Mutex<State>,
    grown: Notify,
}

#[derive(Debug, Default)]
struct State {
    pending: BTreeMap<SessionId, PathBuf>,
    live: BTreeSet<SessionId>,
}

impl Spool {
    fn state(&self) -> MutexGuard<'_, State> {
        // Sets and maps are whole after each call that changes them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a recording that begins; it is live until what is returned goes away.
    pub(super) fn begin(self: &Arc<Self>, session: &SessionId, folder: &Path) -> Live {
        let mut state = self.state();
        state.live.insert(session.clone());
        state.pending.insert(session.clone(), folder.to_owned());
        Live { spool: Arc::clone(self), session: session.clone() }
    }

    /// Takes in a recording that an earlier process left.
    pub(super) fn add(&self, session: SessionId, folder: PathBuf) {
        self.state().pending.insert(session, folder);
    }

    /// Says that there may be something to upload.
    pub(super) fn nudge(&self) {
        self.grown.notify_one();
    }

    fn pending(&self) -> Vec<(SessionId, PathBuf, bool)> {
        let state = self.state();
        let is_live = |session| state.live.contains(session);
        state.pending.iter().map(|(session, folder)| (session.clone(), folder.clone(), is_live(session))).collect()
    }

    fn done(&self, session: &SessionId) {
        self.state().pending.remove(session);
    }

    fn depth(&self) -> usize {
        self.state().pending.len()
    }
}

/// Holds a recording for live.
#[derive(Debug)]
pub(super) struct Live {
    spool: Arc<Spool>,
    session: SessionId,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.spool.state().live.remove(&self.session);
        self.spool.nudge();
    }
}
