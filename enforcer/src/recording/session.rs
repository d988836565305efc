//! One session's recording while it grows.
//!
//! Every call is synchronous: it returns when the operating system (or the medium) has the bytes. After an error
//! it accepts nothing more; what was written stays as it is.

use super::age::PayloadKey;
use super::archive::Live;
use super::commit::Pending;
use super::format::{self, FRAMES_BYTES_MAX, Head, PAYLOAD_BYTES_MAX, RecordKind};
use super::log::{Leaf, Line};
use super::seal::Job;
use super::transit::Wrapped;
use super::{Durability, RecorderError, Shared, Sink};
use crate::core::event::{Event, Opened, What};
use crate::core::id::SessionId;
use crate::core::machine::Close;
use lang::program::rules::Recorded;
use lang::time::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::Instant;

/// A checkpoint is due after this many records.
const CHECKPOINT_RECORDS: u64 = 512;
/// A checkpoint is due after this much time.
const CHECKPOINT_MS: u64 = 1_000;
/// A batch is written at once up to this size, then in steps of it.
const WRITE_BYTES: usize = 4 << 20;
/// A buffer that grew beyond this is given back.
const BUFFER_BYTES_KEPT: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The disk is nearly full: only the close is still accepted.
    Exhausted,
    Broken,
    Closed,
}

/// The recorder of one session.
#[derive(Debug)]
pub struct SessionRecorder {
    shared: Arc<Shared>,
    session: SessionId,
    level: Recorded,
    folder: PathBuf,
    segment: u32,
    sink: Box<dyn Sink>,
    segment_bytes: u64,
    head: Head,
    signed_records: u64,
    signed_at: Timestamp,
    state: State,
    /// Whether the event that states the end has been written.
    ended: bool,
    buffer: Vec<u8>,
    payload: Vec<u8>,
    /// Encrypts events, where the gateway is told to.
    payload_key: Option<PayloadKey>,
    /// Set when the medium refused bytes that a session waits for.
    failed: Arc<AtomicBool>,
    /// Holds the recording for live, where there is an archive.
    _live: Option<Live>,
}

/// Whether a write waits for the medium here, where the durability asks for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    Here,
    Elsewhere,
}

impl SessionRecorder {
    pub(super) fn open(
        shared: Arc<Shared>,
        at: Timestamp,
        mut opened: Opened,
        level: Recorded,
        key: Option<Wrapped>,
    ) -> Result<Self, RecorderError> {
        if key.is_none() && shared.key_service.is_some() {
            return Err(RecorderError::Refused("it has no key"));
        }
        let session = opened.session.clone();
        level.word().clone_into(&mut opened.recorded);
        let month = month(at).ok_or(RecorderError::Refused("its time has no month"))?;
        let folder = shared.settings.folder.join(month).join(session.as_str());
        if let Err(source) = shared.disk.create_folder(&folder) {
            if source.kind() == io::ErrorKind::AlreadyExists {
                return Err(RecorderError::Exists(folder));
            }
            return Err(RecorderError::Io { verb: "create", path: folder, source });
        }
        let sink = create_segment(&shared, &folder, 0)?;
        let live = shared.spool.as_ref().map(|spool| spool.begin(&session, &folder));
        let head = Head { records: 0, chain: format::chain_start(&session, format::VERSION) };
        let mut recorder = Self {
            shared,
            session,
            level,
            folder,
            segment: 0,
            sink,
            segment_bytes: 0,
            head,
            signed_records: 0,
            signed_at: at,
            state: State::Open,
            ended: false,
            buffer: Vec::new(),
            payload: Vec::new(),
            payload_key: None,
            failed: Arc::default(),
            _live: live,
        };
        recorder.push_header();
        recorder.push_event(&Event { at, what: What::Opened(Box::new(opened)) })?;
        recorder.push_key(key)?;
        recorder.push_signed(RecordKind::Checkpoint, at);
        recorder.flush(Waits::Here)?;
        recorder.sync_names()?;
        let Head { records, chain } = recorder.head;
        recorder.log(at, Leaf::Opened { records, chain })?;
        Ok(recorder)
    }

    fn log(&self, at: Timestamp, leaf: Leaf) -> Result<(), RecorderError> {
        self.shared.log.append(&Line { leaf, at, session: self.session.clone() })
    }

    /// Writes the key of this recording, wrapped for those who may read it.
    fn push_key(&mut self, wrapped: Option<Wrapped>) -> Result<(), RecorderError> {
        if let Some(Wrapped { key, file }) = wrapped {
            format::push_record(&mut self.head, RecordKind::Key, &file, &mut self.buffer);
            self.payload_key = Some(key);
            return Ok(());
        }
        let recipients = &self.shared.settings.recipients;
        if recipients.is_empty() {
            return Ok(());
        }
        let wrapped = PayloadKey::wrapped(recipients);
        let (key, file) = wrapped.map_err(|_| RecorderError::Refused("its key cannot be wrapped"))?;
        format::push_record(&mut self.head, RecordKind::Key, &file, &mut self.buffer);
        self.payload_key = Some(key);
        Ok(())
    }

    /// Records a batch with one write. Only when this returns `Ok` may the frames of the batch be forwarded.
    pub fn append(&mut self, events: &[Event]) -> Result<(), RecorderError> {
        self.append_with(events, Waits::Here)
    }

    /// Records a batch with one write, and leaves the wait for the medium to others: the frames of the batch may be
    /// forwarded once this has returned `Ok` and what it returns has been waited for.
    pub fn begin(&mut self, events: &[Event]) -> Result<Option<Pending>, RecorderError> {
        let before = self.head.records;
        self.append_with(events, Waits::Elsewhere)?;
        if self.shared.settings.durability == Durability::Process || self.head.records == before {
            return Ok(None);
        }
        let asked = self.sink.flush().and_then(|file| self.shared.committer.ask(file, &self.failed));
        let asked = asked.map(Some).map_err(|source| self.error("sync", source));
        self.settle(asked)
    }

    /// What the medium refused behind the recorder's back ends the recording as well.
    fn notice_failure(&mut self) {
        if self.failed.load(Ordering::Acquire) {
            self.state = State::Broken;
        }
    }

    fn append_with(&mut self, events: &[Event], waits: Waits) -> Result<(), RecorderError> {
        if events.is_empty() {
            return Ok(());
        }
        self.notice_failure();
        match self.state {
            State::Open => {}
            State::Exhausted | State::Broken => return Err(RecorderError::Broken),
            State::Closed => return Err(RecorderError::Refused("the recording is closed")),
        }
        let outcome = self.append_open(events, waits);
        self.shared.meter.events.inc_by(u64::try_from(events.len()).unwrap_or(0));
        self.settle(outcome)
    }

    /// Signs what no signature covers yet, for a session that is idle after a burst. Nothing unsigned costs nothing.
    pub fn checkpoint(&mut self, at: Timestamp) -> Result<(), RecorderError> {
        self.notice_failure();
        if self.state != State::Open || self.head.records == self.signed_records {
            return Ok(());
        }
        self.push_signed(RecordKind::Checkpoint, at);
        // Losing a signature loses no event.
        let outcome = self.flush(Waits::Elsewhere);
        self.settle(outcome)
    }

    /// States the end, unless an appended event did, and signs the whole. Also accepted after
    /// [`RecorderError::NoSpace`], which leaves room for it; never after another error.
    pub fn close(&mut self, at: Timestamp, close: &Close) -> Result<Head, RecorderError> {
        self.notice_failure();
        match self.state {
            State::Open | State::Exhausted => {}
            State::Broken => return Err(RecorderError::Broken),
            State::Closed => return Err(RecorderError::Refused("the recording is closed")),
        }
        let outcome = self.close_open(at, close);
        self.settle(outcome)?;
        self.state = State::Closed;
        let Head { records, chain } = self.head;
        self.log(at, Leaf::Closed { records, chain })?;
        self.shared.sealer.offer(Job::new(&self.folder, &self.session, self.segment));
        Ok(self.head)
    }

    /// The session.
    pub fn session(&self) -> &SessionId {
        &self.session
    }

    /// The level.
    pub fn level(&self) -> Recorded {
        self.level
    }

    /// The folder of this recording.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many records there are, and the chain's value.
    pub fn head(&self) -> Head {
        self.head
    }

    fn append_open(&mut self, events: &[Event], waits: Waits) -> Result<(), RecorderError> {
        if self.segment_bytes >= self.shared.segment_bytes {
            // The old segment's bytes are not what the next wait is for.
            self.sync_sink()?;
            self.roll()?;
        }
        let mut last = None;
        for event in events {
            if self.ended {
                return Err(RecorderError::Refused("it comes after the end"));
            }
            if keeps(self.level, &event.what) {
                self.push_split(event, waits)?;
                last = Some(event.at);
            }
            if self.buffer.len() >= WRITE_BYTES {
                self.flush(waits)?;
            }
        }
        if let Some(at) = last.filter(|at| self.checkpoint_due(*at)) {
            self.push_signed(RecordKind::Checkpoint, at);
        }
        self.flush(waits)
    }

    fn sync_sink(&mut self) -> Result<(), RecorderError> {
        match self.shared.settings.durability {
            Durability::Process => Ok(()),
            Durability::Disk => {
                let began = Instant::now();
                self.sink.sync().map_err(|source| self.error("sync", source))?;
                self.shared.meter.synced(began.elapsed());
                Ok(())
            }
        }
    }

    fn close_open(&mut self, at: Timestamp, close: &Close) -> Result<(), RecorderError> {
        if !self.ended {
            let what = What::Closed { cause: close.cause.word().to_owned(), sentence: close.sentence.clone() };
            self.push_event(&Event { at, what })?;
        }
        self.push_signed(RecordKind::Close, at);
        self.write_buffer(Waits::Here)
    }

    /// Keeps the state after an operation: nothing is accepted after an error.
    fn settle<T>(&mut self, outcome: Result<T, RecorderError>) -> Result<T, RecorderError> {
        if let Err(error) = &outcome {
            self.shared.meter.failed(error);
            // What stands in the buffer was chained but not written: only a full disk that was noticed before
            // anything was chained leaves the chain usable.
            let full = matches!(error, RecorderError::NoSpace { .. } | RecorderError::Quota { .. });
            let usable = full && self.state == State::Open;
            self.state = if usable { State::Exhausted } else { State::Broken };
        }
        outcome
    }

    fn checkpoint_due(&self, at: Timestamp) -> bool {
        let records = self.head.records.saturating_sub(self.signed_records);
        // A clock that was set back is due as well.
        records >= CHECKPOINT_RECORDS
            || (records > 0 && (at.ms_since(self.signed_at) >= CHECKPOINT_MS || at < self.signed_at))
    }

    fn push_header(&mut self) {
        let public_key = self.shared.public_key;
        format::push_segment_header(&mut self.head, &self.session, self.segment, &public_key, &mut self.buffer);
    }

    fn push_split(&mut self, event: &Event, waits: Waits) -> Result<(), RecorderError> {
        let (frames, wrap): (_, fn(bytes::Bytes) -> What) = match &event.what {
            What::FromClient(frames) if frames.len() > FRAMES_BYTES_MAX => (frames, What::FromClient),
            What::ToClient(frames) if frames.len() > FRAMES_BYTES_MAX => (frames, What::ToClient),
            What::Opened(_) => return Err(RecorderError::Refused("a second opening")),
            What::FromClient(_)
            | What::ToClient(_)
            | What::RowsOmitted { .. }
            | What::Decision(_)
            | What::Reauthorised { .. }
            | What::Closed { .. } => return self.push_event(event),
        };
        let mut rest = frames.clone();
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(FRAMES_BYTES_MAX));
            self.push_event(&Event { at: event.at, what: wrap(part) })?;
            if self.buffer.len() >= WRITE_BYTES {
                self.flush(waits)?;
            }
        }
        Ok(())
    }

    fn push_event(&mut self, event: &Event) -> Result<(), RecorderError> {
        self.ended |= matches!(event.what, What::Closed { .. });
        self.payload.clear();
        if !format::encode_event(event, &mut self.payload) {
            return Err(RecorderError::Refused("it has no form on disk"));
        }
        if self.payload.len() > PAYLOAD_BYTES_MAX {
            return Err(RecorderError::TooLarge(self.payload.len()));
        }
        let Some(key) = self.payload_key.as_ref().filter(|_| is_content(&event.what)) else {
            format::push_record(&mut self.head, RecordKind::Event, &self.payload, &mut self.buffer);
            return Ok(());
        };
        let mut packed = format::pack_event(&self.payload);
        let sealed = key.seal(self.head.records, self.session.as_str().as_bytes(), &mut packed);
        sealed.map_err(|_| RecorderError::Refused("it cannot be encrypted"))?;
        if packed.len() > PAYLOAD_BYTES_MAX {
            return Err(RecorderError::TooLarge(packed.len()));
        }
        format::push_record(&mut self.head, RecordKind::Sealed, &packed, &mut self.buffer);
        Ok(())
    }

    fn push_signed(&mut self, kind: RecordKind, at: Timestamp) {
        let message = format::signed_message(kind, &self.session, self.head.records, &self.head.chain, at);
        let signature = self.shared.key.sign(&message);
        self.payload.clear();
        self.payload.extend_from_slice(&at.unix_ms().to_be_bytes());
        self.payload.extend_from_slice(&signature);
        format::push_record(&mut self.head, kind, &self.payload, &mut self.buffer);
        self.signed_records = self.head.records;
        self.signed_at = at;
    }

    fn flush(&mut self, waits: Waits) -> Result<(), RecorderError> {
        let bytes = u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        let space = self.shared.check_space(bytes);
        // The batch is chained already: it is written, so that the chain stays whole, and not forwarded.
        let low = match space {
            Ok(()) => None,
            Err(low @ (RecorderError::NoSpace { .. } | RecorderError::Quota { .. })) => Some(low),
            Err(other) => return Err(other),
        };
        self.write_buffer(waits)?;
        low.map_or(Ok(()), Err)
    }

    fn write_buffer(&mut self, waits: Waits) -> Result<(), RecorderError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.sink.write_all(&self.buffer).map_err(|source| self.error("write", source))?;
        if waits == Waits::Here {
            self.sync_sink()?;
        }
        let bytes = u64::try_from(self.buffer.len()).unwrap_or(u64::MAX);
        self.segment_bytes = self.segment_bytes.saturating_add(bytes);
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.payload.shrink_to(BUFFER_BYTES_KEPT);
        Ok(())
    }

    /// Goes on in another segment; the full one is compressed in the background.
    fn roll(&mut self) -> Result<(), RecorderError> {
        let next = self.segment.checked_add(1).ok_or(RecorderError::Refused("there are too many segments"))?;
        let sink = create_segment(&self.shared, &self.folder, next)?;
        self.shared.sealer.offer(Job::new(&self.folder, &self.session, self.segment));
        self.sink = sink;
        self.segment = next;
        self.segment_bytes = 0;
        self.push_header();
        self.sync_names()
    }

    fn sync_names(&self) -> Result<(), RecorderError> {
        if self.shared.settings.durability == Durability::Process {
            return Ok(());
        }
        // The session's folder, the month's and that of all recordings.
        self.folder.ancestors().take(3).try_for_each(|folder| {
            self.shared.disk.sync_folder(folder).map_err(|source| RecorderError::Io {
                verb: "sync",
                path: folder.to_owned(),
                source,
            })
        })
    }

    fn error(&self, verb: &'static str, source: io::Error) -> RecorderError {
        RecorderError::Io { verb, path: self.folder.join(segment_name(self.segment)), source }
    }
}

fn keeps(level: Recorded, what: &What) -> bool {
    match what {
        What::FromClient(_) | What::ToClient(_) | What::RowsOmitted { .. } => level != Recorded::None,
        What::Opened(_) | What::Decision(_) | What::Reauthorised { .. } | What::Closed { .. } => true,
    }
}

/// Whether an event is what the session said and did, which encryption hides; the facts of its opening, of its policy
/// and of its end stay readable, as the gateway's list of sessions has them.
const fn is_content(what: &What) -> bool {
    match what {
        What::FromClient(_) | What::ToClient(_) | What::RowsOmitted { .. } | What::Decision(_) => true,
        What::Opened(_) | What::Reauthorised { .. } | What::Closed { .. } => false,
    }
}

fn create_segment(shared: &Shared, folder: &Path, segment: u32) -> Result<Box<dyn Sink>, RecorderError> {
    let path = folder.join(segment_name(segment));
    shared.disk.create_file(&path).map_err(|source| RecorderError::Io { verb: "create", path, source })
}

/// The file name of a segment that is not compressed.
pub(super) fn segment_name(segment: u32) -> String {
    format!("{segment:06}.rec")
}

fn month(at: Timestamp) -> Option<String> {
    let text = at.to_string();
    let (year, rest) = text.split_once('-')?;
    let (month, _) = rest.split_once('-')?;
    (year.len() == 4 && month.len() == 2).then(|| format!("{year}-{month}"))
}
