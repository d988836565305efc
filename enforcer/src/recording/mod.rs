//! Recordings: append-only, hash-chained, signed segments, and what reads them back.
//!
//! A session's recording is a folder `<recordings>/<yyyy-mm>/<session>/` of numbered segments. A segment is a header
//! and records; a record is a length, a kind, a payload and a check. BLAKE3 chains every byte to all bytes before it,
//! and Ed25519 signs the chain at the opening, at intervals and at the close. A full segment is compressed in the
//! background and sealed by a signature of its own, so that no byte on disk is unauthenticated. `docs/recording-format.md`
//! has the details.
//!
//! The writer must never rewrite a byte, never let a frame pass that it has not accepted, and never go on after an
//! error. The readers must never panic, whatever the bytes, and hold a bounded amount of memory.

mod adopt;
pub mod age;
pub mod archive;
mod commit;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod crash_tests;
pub mod decode_postgres;
mod disk;
pub mod export;
pub mod export_cast;
pub mod export_csv;
pub mod export_html;
pub mod find;
pub mod format;
#[cfg(test)]
mod golden;
pub mod hold;
pub mod index;
pub mod inert;
mod key;
mod list;
pub mod log;
mod meter;
pub mod read;
pub mod render;
mod retain;
mod seal;
mod segment;
mod session;
#[cfg(test)]
pub(crate) mod tests;
pub mod transcript;
pub mod transit;
mod values_postgres;

pub use commit::Pending;
pub use disk::{Disk, Flush, OsDisk, Sink, Source};
pub use hold::hold_file;
pub(crate) use key::hexadecimal;
pub use key::{KeyError, PublicKey, SigningKey, public_file};
pub use list::{State, Summary, all as folders, find, list, segment_number, summary};
pub use meter::Meter;
pub use retain::Retained;
pub use session::SessionRecorder;
pub(crate) use values_postgres::readable;

use crate::core::event::Opened;
use crate::core::id::SessionId;
use lang::program::rules::Recorded;
use lang::time::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Free space is looked at again after this many bytes, over all sessions.
const SPACE_CHECK_BYTES: u64 = 4 << 20;

/// What must have happened before a frame may be forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The operating system has the bytes: a killed gateway loses nothing, a lost machine the last seconds.
    Process,
    /// The medium has the bytes.
    Disk,
}

impl Durability {
    /// The durability that a word of the configuration names.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "process" => Some(Self::Process),
            "disk" => Some(Self::Disk),
            _ => None,
        }
    }
}

/// Where and how a gateway records.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder of all recordings.
    pub folder: PathBuf,
    /// When a frame counts as recorded.
    pub durability: Durability,
    /// Below this much free space no session opens and running ones end.
    pub free_bytes_min: u64,
    /// The most that all recordings may take; above it no session opens and running ones end.
    pub quota_bytes: Option<u64>,
    /// The gateway's name: its log carries it.
    pub gateway: String,
    /// Who may read recordings; with none they are not encrypted.
    pub recipients: Vec<age::Recipient>,
    /// What wraps the keys of recordings, in place of recipients.
    pub key_service: Option<transit::Settings>,
    /// Where recordings are copied to; nowhere when it is not said.
    pub archive: Option<archive::Settings>,
}

impl Settings {
    /// Plain recordings in that folder, with durability `process` and no bounds.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            durability: Durability::Process,
            free_bytes_min: 0,
            quota_bytes: None,
            gateway: "gateway".to_owned(),
            recipients: Vec::new(),
            key_service: None,
            archive: None,
        }
    }
}

/// Why something cannot be recorded. The session ends; nothing unrecorded passes.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The disk is (nearly) full.
    #[error("the disk of the recordings has {free} bytes left and {min} must stay free")]
    NoSpace {
        /// Free bytes.
        free: u64,
        /// The configured minimum.
        min: u64,
    },
    /// The recordings take all that they may.
    #[error("the recordings take {used} bytes and may take {quota}")]
    Quota {
        /// Bytes that they take.
        used: u64,
        /// The configured most.
        quota: u64,
    },
    /// The file system refused.
    #[error("cannot {verb} the recording `{}`", path.display())]
    Io {
        /// `create`, `write`, `sync` or `measure the disk of`.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// There is a recording of that session already.
    #[error("the recording `{}` exists already", .0.display())]
    Exists(PathBuf),
    /// One event is larger than a record may be.
    #[error("an event of {0} bytes is too large to be recorded")]
    TooLarge(usize),
    /// The event has no form on disk or comes at the wrong place.
    #[error("the recorder refuses an event: {0}")]
    Refused(&'static str),
    /// The service that keeps the key for recordings' keys did not wrap one.
    #[error("the key of a recording cannot be wrapped: {0}")]
    Key(String),
    /// An earlier error ended this recording.
    #[error("the recording ended with an earlier error")]
    Broken,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    key: Arc<SigningKey>,
    public_key: [u8; 32],
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
    sealer: seal::Sealer,
    committer: commit::Committer,
    log: log::Log,
    key_service: Option<transit::Transit>,
    spool: Option<Arc<archive::Spool>>,
    meter: Meter,
    /// Bytes of all recordings.
    usage: Arc<AtomicU64>,
    unchecked_bytes: AtomicU64,
    low: AtomicBool,
    /// One search at a time brings the index up to date.
    finder: find::Finder,
    /// What the log says of holds.
    holds: Mutex<hold::All>,
}

/// Opens recordings; one for each gateway. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Shared>);

impl Recorder {
    /// A recorder on the operating system's files. Creates the folder.
    pub fn new(settings: Settings, key: SigningKey) -> Result<Self, RecorderError> {
        Self::with_disk(settings, key, Box::new(OsDisk), format::SEGMENT_BYTES)
    }

    /// A recorder on another disk and with another size of segments, for tests.
    pub fn with_disk(
        settings: Settings,
        key: SigningKey,
        disk: Box<dyn Disk>,
        segment_bytes: u64,
    ) -> Result<Self, RecorderError> {
        let folder = settings.folder.clone();
        let cannot = |source| RecorderError::Io { verb: "create", path: folder.clone(), source };
        match disk.create_folder(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(cannot(source)),
        }
        let disk: Arc<dyn Disk> = Arc::from(disk);
        let key = Arc::new(key);
        let usage = Arc::new(AtomicU64::new(0));
        let (log, known, holds) =
            log::Log::open(&folder, &settings.gateway, settings.durability, Arc::clone(&key), Arc::clone(&disk))?;
        let spool = settings.archive.as_ref().map(|_| Arc::<archive::Spool>::default());
        adopt::adopt(&folder, &log, &known, &usage, spool.as_deref()).map_err(cannot)??;
        let hears = seal::Sealed { usage: Arc::clone(&usage), spool: spool.clone() };
        let sealer = seal::Sealer::start(Arc::clone(&key), Arc::clone(&disk), hears).map_err(cannot)?;
        let key_service = settings.key_service.clone().map(transit::Transit::new).transpose();
        let key_service = key_service.map_err(|error| RecorderError::Key(error.to_string()))?;
        let meter = Meter::default();
        let committer = commit::Committer::start(meter.clone()).map_err(cannot)?;
        Ok(Self(Arc::new(Shared {
            settings,
            public_key: key.public().to_bytes(),
            key,
            disk,
            segment_bytes,
            sealer,
            committer,
            log,
            key_service,
            spool,
            meter,
            usage,
            unchecked_bytes: AtomicU64::new(0),
            low: AtomicBool::new(false),
            finder: find::Finder::default(),
            holds: Mutex::new(holds),
        })))
    }

    /// The key of a session's recording, where a key service wraps it. Without an answer no session opens.
    ///
    /// # Errors
    /// When the service does not wrap a key.
    pub async fn key_for(&self, session: &SessionId) -> Result<Option<transit::Wrapped>, RecorderError> {
        let Some(service) = &self.0.key_service else { return Ok(None) };
        let wrapped = service.wrap(session).await.map_err(|error| RecorderError::Key(error.to_string()));
        if let Err(error) = &wrapped {
            self.0.meter.failed(error);
        }
        wrapped.map(Some)
    }

    /// Opens a session's recording with the key that was made for it: free space is checked, the opening is written and signed.
    pub fn open_with(
        &self,
        at: Timestamp,
        opened: Opened,
        level: Recorded,
        key: Option<transit::Wrapped>,
    ) -> Result<SessionRecorder, RecorderError> {
        let outcome =
            self.0.measure_space().and_then(|()| SessionRecorder::open(Arc::clone(&self.0), at, opened, level, key));
        if let Err(error) = &outcome {
            self.0.meter.failed(error);
        }
        outcome
    }

    /// As [`Recorder::open_with`], where no key service wraps keys.
    pub fn open(&self, at: Timestamp, opened: Opened, level: Recorded) -> Result<SessionRecorder, RecorderError> {
        self.open_with(at, opened, level, None)
    }

    /// Whether a session could open now; for readiness.
    pub fn ready(&self) -> Result<(), RecorderError> {
        if !self.0.log.is_sound() {
            return Err(RecorderError::Broken);
        }
        self.0.measure_space()
    }

    /// Bytes that all recordings take.
    pub fn used_bytes(&self) -> u64 {
        self.0.usage.load(Ordering::Relaxed)
    }

    /// What the metrics show of the recorder.
    pub fn meter(&self) -> &Meter {
        &self.0.meter
    }

    /// Sessions by what they did. Reads what the index has not seen, off the data path and one search at a time.
    ///
    /// # Errors
    /// When too many search, it takes too long, or the recordings cannot be read.
    pub async fn find(&self, search: index::Search) -> Result<Vec<index::Found>, find::FindError> {
        self.0.finder.find(self.folder(), search).await
    }

    /// Where recordings are copied to.
    pub fn archive(&self) -> Option<&archive::store::Place> {
        self.0.settings.archive.as_ref().map(|archive| &archive.place)
    }

    /// The folder of all recordings.
    pub fn folder(&self) -> &Path {
        &self.0.settings.folder
    }

    /// The public half of the signing key.
    pub fn public_key(&self) -> PublicKey {
        self.0.key.public()
    }
}

impl Shared {
    /// Looks at the free space when it is due; an error when there is too little.
    fn check_space(&self, bytes: u64) -> Result<(), RecorderError> {
        let used = self.usage.fetch_add(bytes, Ordering::Relaxed);
        self.meter.bytes.inc_by(bytes);
        self.meter.used.set(i64::try_from(used.saturating_add(bytes)).unwrap_or(i64::MAX));
        let unchecked = self.unchecked_bytes.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if unchecked < SPACE_CHECK_BYTES && !self.low.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.measure_space()
    }

    fn measure_space(&self) -> Result<(), RecorderError> {
        self.unchecked_bytes.store(0, Ordering::Relaxed);
        let min = self.settings.free_bytes_min;
        let folder = &self.settings.folder;
        let free = self.disk.free_bytes(folder).map_err(|source| RecorderError::Io {
            verb: "measure the disk of",
            path: folder.clone(),
            source,
        })?;
        let used = self.usage.load(Ordering::Relaxed);
        let over = self.settings.quota_bytes.filter(|quota| used >= *quota);
        self.low.store(free < min || over.is_some(), Ordering::Relaxed);
        match over {
            _ if free < min => Err(RecorderError::NoSpace { free, min }),
            Some(quota) => Err(RecorderError::Quota { used, quota }),
            None => Ok(()),
        }
    }
}
