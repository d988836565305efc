//! Copies what waits into the archive, in rounds; each step may fail or be cut off, and the next round goes on.
//!
//! What the archive holds is found out from the archive itself: an object that is there already must be the same. A
//! recording counts as archived once every segment is there and its receipt stands. It must never overwrite an object,
//! never remove one without a signed tombstone, and never touch a recording that is not in the archive.

use super::journal::Journal;
use super::receipt::{self, Object, Receipt};
use super::store::{Put, Store, StoreError};
use super::{Meter, Settings, Spool, name_of};
use crate::core::id::SessionId;
use crate::recording::log::{Leaf, Line};
use crate::recording::{Recorder, RecorderError, adopt, list, seal, session};
use bytes::Bytes;
use lang::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Between two rounds when nothing is heard.
const ROUND_EVERY: Duration = Duration::from_secs(15);
/// The waits after failures.
const BACKOFF_FIRST: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_mins(5);
/// The last segment of a recording that ended may wait this long for its compression.
const PLAIN_AFTER: Duration = Duration::from_secs(10);
/// Between two looks at what may leave this machine.
const TRIM_EVERY: Duration = Duration::from_mins(5);
/// What is told of a recording at most so often.
const PENDING_SHOWN_MAX: usize = 16_384;

/// Why a round did not finish.
#[derive(Debug, thiserror::Error)]
pub(super) enum RoundError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The files here.
    #[error("the spool of recordings: {0}")]
    Here(#[from] io::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] RecorderError),
}

/// One recording's way into the archive, while this process lives.
#[derive(Debug, Default)]
struct Progress {
    done: BTreeMap<String, Object>,
    ended_since: Option<Instant>,
    conflict: bool,
}

/// Copies recordings of a recorder into its archive.
#[derive(Debug)]
pub struct Archivist {
    pub(super) recorder: Recorder,
    settings: Settings,
    spool: Arc<Spool>,
    meter: Meter,
    store: Option<Arc<dyn Store>>,
    journal: Journal,
    progress: BTreeMap<SessionId, Progress>,
    pub(super) plain_after: Duration,
}

impl Archivist {
    /// What copies; none when the recorder has no archive.
    pub fn new(recorder: Recorder) -> Option<Self> {
        let settings = recorder.0.settings.archive.clone()?;
        let spool = recorder.0.spool.clone()?;
        let meter = recorder.0.meter.archive.clone();
        let journal = Journal::default();
        let progress = BTreeMap::new();
        Some(Self { recorder, settings, spool, meter, store: None, journal, progress, plain_after: PLAIN_AFTER })
    }

    /// Works until it is told to stop; the files keep what is left to do.
    pub async fn run(mut self, clock: fn() -> Timestamp, mut stopped: watch::Receiver<bool>) {
        let mut backoff = BACKOFF_FIRST;
        let mut trimmed: Option<Instant> = None;
        let keep = self.settings.keep_local_ms.map(Duration::from_millis);
        let trim_every = keep.unwrap_or(TRIM_EVERY).clamp(BACKOFF_FIRST, TRIM_EVERY);
        loop {
            let trims = trimmed.is_none_or(|at| at.elapsed() >= trim_every);
            let round = async {
                self.round(clock()).await?;
                if trims {
                    self.trim(clock()).await?;
                }
                Ok::<_, RoundError>(())
            };
            let outcome = tokio::select! {
                _ = stopped.changed() => return,
                outcome = round => outcome,
            };
            let wait = match outcome {
                Ok(()) => {
                    if trims {
                        trimmed = Some(Instant::now());
                    }
                    self.meter.up.set(1);
                    backoff = BACKOFF_FIRST;
                    // What ended a moment ago may wait for its compression.
                    if self.progress.values().any(|one| one.ended_since.is_some() && !one.conflict) {
                        BACKOFF_FIRST
                    } else {
                        ROUND_EVERY.min(trim_every)
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, waiting = self.spool.depth(), again_in = ?backoff, "the archive of recordings");
                    self.meter.up.set(0);
                    self.meter.failures.inc();
                    // A secret that was exchanged is read again.
                    self.store = None;
                    let wait = backoff;
                    backoff = (backoff * 2).min(BACKOFF_MAX);
                    wait
                }
            };
            let patient = backoff > BACKOFF_FIRST;
            tokio::select! {
                _ = stopped.changed() => return,
                () = tokio::time::sleep(wait) => {}
                () = self.spool.grown.notified(), if !patient => {}
            }
        }
    }

    #[cfg(test)]
    pub(super) fn with_store(&mut self, store: Arc<dyn Store>) {
        self.store = Some(store);
    }

    fn store(&mut self) -> Result<Arc<dyn Store>, StoreError> {
        if let Some(store) = &self.store {
            return Ok(Arc::clone(store));
        }
        let store = self.settings.place.open()?;
        self.store = Some(Arc::clone(&store));
        Ok(store)
    }

    fn folder(&self) -> PathBuf {
        self.recorder.folder().to_owned()
    }

    /// Looks at everything that waits once. Stops at the first call that fails: the store is asked again later.
    pub(super) async fn round(&mut self, now: Timestamp) -> Result<(), RoundError> {
        let outcome = self.round_through(now).await;
        self.meter.pending.set(i64::try_from(self.spool.depth()).unwrap_or(i64::MAX));
        let conflicts = self.progress.values().filter(|one| one.conflict).count();
        self.meter.conflicts.set(i64::try_from(conflicts).unwrap_or(i64::MAX));
        outcome
    }

    async fn round_through(&mut self, now: Timestamp) -> Result<(), RoundError> {
        let store = self.store()?;
        let pending = self.spool.pending();
        self.meter.oldest_pending_seconds.set(oldest_seconds(&pending, now).await?);
        let waiting: BTreeSet<&SessionId> = pending.iter().map(|(session, ..)| session).collect();
        self.progress.retain(|session, _| waiting.contains(session));
        for (session, folder, live) in pending {
            self.copy(store.as_ref(), &session, &folder, live).await?;
        }
        self.remove_buried(store.as_ref()).await?;
        let shown = self.journal.copy(store.as_ref(), &self.folder()).await?;
        self.meter.objects.inc_by(shown);
        Ok(())
    }

    /// Copies what is final of one recording, and writes its receipt when that is all.
    async fn copy(&mut self, store: &dyn Store, id: &SessionId, folder: &Path, live: bool) -> Result<(), RoundError> {
        let progress = self.progress.entry(id.clone()).or_default();
        if progress.conflict {
            return Ok(());
        }
        if !live {
            progress.ended_since.get_or_insert_with(Instant::now);
        }
        let plain_too = progress.ended_since.is_some_and(|since| since.elapsed() >= self.plain_after);
        let Some(segments) = blocking({
            let folder = folder.to_owned();
            move || segments(&folder)
        })
        .await?
        else {
            // Retention, or a session that never began.
            self.spool.done(id);
            return Ok(());
        };
        let last = segments.keys().next_back().copied();
        let mut waits = false;
        for (number, sealed) in segments {
            let final_one = sealed || (Some(number) != last && !live) || (!live && plain_too);
            if !final_one || (!sealed && !plain_too) {
                waits = true;
                continue;
            }
            let (plain, packed) = (session::segment_name(number), seal::sealed_name(number));
            let progress = self.progress.entry(id.clone()).or_default();
            if progress.done.contains_key(&plain) || progress.done.contains_key(&packed) {
                continue;
            }
            let name = if sealed { packed } else { plain };
            let file = folder.join(&name);
            let bytes = match blocking(move || std::fs::read(&file)).await {
                Ok(bytes) => Bytes::from(bytes),
                // It was compressed meanwhile: the next round finds it so.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    waits = true;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let object = Object {
                name: name.clone(),
                bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
                blake3: blake3::hash(&bytes).to_string(),
            };
            if !self.put_same(store, &format!("{}/{name}", name_of(id)), bytes).await? {
                tracing::error!(session = %id, object = %name,
                    "the archive holds another object of this name; it is left as it is, and so is the recording here");
                self.progress.entry(id.clone()).or_default().conflict = true;
                return Ok(());
            }
            self.progress.entry(id.clone()).or_default().done.insert(name, object);
        }
        if live || waits {
            return Ok(());
        }
        self.finish(id, folder).await
    }

    /// Writes an object, or finds it as it must be; false when the name holds something else.
    async fn put_same(&self, store: &dyn Store, name: &str, bytes: Bytes) -> Result<bool, StoreError> {
        match store.put_new(name, bytes.clone()).await? {
            Put::Written => {
                self.meter.objects.inc();
                self.meter.bytes.inc_by(u64::try_from(bytes.len()).unwrap_or(0));
                Ok(true)
            }
            // An earlier round got that far and never heard of it, or somebody else was here.
            Put::Exists => Ok(store.get(name).await?.is_some_and(|found| found == bytes)),
        }
    }

    /// Reads the recording through once more and writes its receipt.
    async fn finish(&mut self, id: &SessionId, folder: &Path) -> Result<(), RoundError> {
        let objects: Vec<Object> =
            self.progress.get(id).map(|one| one.done.values().cloned().collect()).unwrap_or_default();
        let (read, session) = (folder.to_owned(), id.clone());
        let recorder = self.recorder.clone();
        let written = blocking(move || {
            let (ended, leaf, _) = match adopt::head(&read) {
                Ok(head) => head,
                Err(error) => {
                    tracing::error!(%session, %error, "an archived recording is not intact here");
                    return Ok(false);
                }
            };
            let Some(receipt) = Receipt::new(ended, &leaf, objects) else { return Ok(false) };
            receipt.write(recorder.0.disk.as_ref(), recorder.folder(), &session)?;
            Ok(true)
        })
        .await?;
        if written {
            tracing::debug!(session = %id, "a recording is in the archive");
            self.spool.done(id);
            self.progress.remove(id);
        } else {
            self.progress.entry(id.clone()).or_default().conflict = true;
        }
        Ok(())
    }

    /// Removes the objects of recordings whose tombstone is signed and on the medium, and leaves the tombstone.
    async fn remove_buried(&mut self, store: &dyn Store) -> Result<(), RoundError> {
        let folder = self.folder();
        let listed = folder.clone();
        for session in blocking(move || receipt::list(&listed)).await? {
            let (read, id) = (folder.clone(), session.clone());
            let Some(tombstone) = blocking(move || Receipt::read(&read, &id)).await?.and_then(|one| one.tombstone)
            else {
                continue;
            };
            // The log's line must be under a signature before anything goes.
            let recorder = self.recorder.clone();
            blocking(move || recorder.0.log.publish()).await?;
            let base = name_of(&session);
            store.put_new(&format!("{base}/tombstone"), Bytes::from(tombstone)).await?;
            for (name, _) in store.list(&base).await? {
                if name != "tombstone" {
                    store.remove(&format!("{base}/{name}")).await?;
                }
            }
            let file = receipt::folder(&folder).join(session.as_str());
            let recorder = self.recorder.clone();
            blocking(move || recorder.0.disk.remove_file(&file)).await?;
            self.meter.removed.inc();
            tracing::info!(%session, "a recording's objects were removed from the archive after its tombstone");
        }
        Ok(())
    }

    /// Removes what is in the archive and stood here long enough. The archive is asked first, and the log states it.
    pub(super) async fn trim(&mut self, now: Timestamp) -> Result<(), RoundError> {
        let Some(keep_ms) = self.settings.keep_local_ms else { return Ok(()) };
        let store = self.store()?;
        let folder = self.folder();
        let listed = folder.clone();
        for (session, here) in blocking(move || list::all(&listed)).await? {
            let (read, id) = (folder.clone(), session.clone());
            let Some(receipt) = blocking(move || Receipt::read(&read, &id)).await? else { continue };
            let ended = Timestamp::from_unix_ms(receipt.ended);
            if receipt.tombstone.is_some() || ended > now || now.ms_since(ended) < keep_ms {
                continue;
            }
            let found: BTreeMap<String, u64> = store.list(&name_of(&session)).await?.into_iter().collect();
            if let Some(missing) = receipt.objects.iter().find(|one| found.get(&one.name) != Some(&one.bytes)) {
                tracing::error!(%session, object = %missing.name,
                    "the archive has not what its receipt states; the recording stays here");
                continue;
            }
            let recorder = self.recorder.clone();
            blocking(move || {
                let leaf = Leaf::Archived { records: receipt.records, chain: receipt.chain };
                let line = Line { leaf, at: now, session };
                recorder.0.log.append(&line).map_err(io::Error::other)?;
                recorder.0.log.publish()?;
                recorder.set_aside(&here)
            })
            .await?;
        }
        let recorder = self.recorder.clone();
        blocking(move || recorder.sweep_gone(&folder)).await?;
        Ok(())
    }
}

/// Runs file work where it may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The segments of a recording, and whether each is compressed; none when there is no recording.
fn segments(folder: &Path) -> io::Result<Option<BTreeMap<u32, bool>>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let name = entry?.file_name();
        let Some((number, sealed)) = name.to_str().and_then(list::segment_number) else { continue };
        *found.entry(number).or_insert(false) |= sealed;
    }
    Ok((!found.is_empty()).then_some(found))
}

/// How long ago the oldest of the recordings that ended was written to.
async fn oldest_seconds(pending: &[(SessionId, PathBuf, bool)], now: Timestamp) -> io::Result<i64> {
    let ended = pending.iter().filter(|(.., live)| !live).take(PENDING_SHOWN_MAX);
    let folders: Vec<PathBuf> = ended.map(|(_, folder, _)| folder.clone()).collect();
    blocking(move || {
        let written = folders.iter().filter_map(|folder| std::fs::metadata(folder).ok()?.modified().ok());
        let since = written.filter_map(|at| at.duration_since(std::time::UNIX_EPOCH).ok()).min();
        let oldest_ms = since.map_or(now.unix_ms(), |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        Ok(now.unix_ms().saturating_sub(oldest_ms).max(0) / 1_000)
    })
    .await
}
