//! Compresses full segments in the background and signs the compressed bytes.
//!
//! The compressed file is one zstd frame and one skippable frame that holds an Ed25519 signature: `zstd -d` reads
//! it as it is. The plain file is removed only after the compressed one has been read back and found equal; until
//! then both stand, which is not an error. Whatever fails here leaves the plain segment, which is as good.

use super::archive::Spool;
use super::format;
use super::session::segment_name;
use super::{Disk, SigningKey};
use crate::core::id::SessionId;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// The magic number and the length of the skippable frame that holds the signature.
pub(super) const SEAL_HEADER: [u8; 8] = [0x5e, 0x2a, 0x4d, 0x18, 64, 0, 0, 0];
/// Bytes of the seal at the end of a compressed segment.
pub(super) const SEAL_BYTES: usize = 8 + 64;
/// A frame that asks for a larger window is refused: 8 MiB, the size of a segment.
pub(super) const WINDOW_LOG_MAX: u32 = 23;

/// Frames of rows and statements come out as small as at level 3 within a few per cent, for half of the CPU time and less:
/// `docs/performance.md` has the figures.
const LEVEL: i32 = 1;
/// Segments that wait for compression, 128 GiB of them; more stay plain. A stream may be faster than the compression.
const QUEUE_MAX: usize = 16_384;
/// Segments that are still compressed when the recorder goes away; the rest stays plain, so that a stop does not wait.
const LAST_MAX: usize = 64;

/// A segment that will not grow any more.
#[derive(Debug)]
pub(super) struct Job {
    folder: PathBuf,
    session: SessionId,
    segment: u32,
}

impl Job {
    pub(super) fn new(folder: &Path, session: &SessionId, segment: u32) -> Self {
        Self { folder: folder.to_owned(), session: session.clone(), segment }
    }
}

/// Who hears of a segment that was compressed.
#[derive(Debug)]
pub(super) struct Sealed {
    /// The bytes of all recordings.
    pub(super) usage: Arc<AtomicU64>,
    /// What waits for the archive.
    pub(super) spool: Option<Arc<Spool>>,
}

/// The thread that compresses.
#[derive(Debug)]
pub(super) struct Sealer {
    jobs: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    stopping: Arc<AtomicBool>,
}

impl Sealer {
    pub(super) fn start(key: Arc<SigningKey>, disk: Arc<dyn Disk>, sealed: Sealed) -> io::Result<Self> {
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let stopping: Arc<AtomicBool> = Arc::default();
        let stops = Arc::clone(&stopping);
        let thread = std::thread::Builder::new()
            .name("recording-seal".into())
            .spawn(move || work(&queue, &stops, &key, disk.as_ref(), &sealed))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), stopping })
    }

    /// Never waits: a segment that finds the queue full stays plain.
    pub(super) fn offer(&self, job: Job) {
        if let Some(jobs) = &self.jobs
            && let Err(refused) = jobs.try_send(job)
        {
            tracing::debug!(reason = %refused, "a recording's segment stays uncompressed");
        }
    }
}

impl Drop for Sealer {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that compresses recordings failed");
        }
    }
}

fn work(queue: &Receiver<Job>, stopping: &AtomicBool, key: &SigningKey, disk: &dyn Disk, sealed: &Sealed) {
    let usage = &sealed.usage;
    let mut last = 0;
    for job in queue {
        last += usize::from(stopping.load(Ordering::Acquire));
        if last > LAST_MAX {
            break;
        }
        match seal(&job, key, disk) {
            Ok((before, after)) => {
                usage.fetch_add(after, Ordering::Relaxed);
                let less = |now: u64| Some(now.saturating_sub(before));
                let _ = usage.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
            Err(error) => {
                tracing::warn!(session = %job.session, segment = job.segment, %error,
                    "cannot compress a recording's segment");
            }
        }
        if let Some(spool) = &sealed.spool {
            spool.nudge();
        }
    }
}

/// The file name of a compressed segment.
pub(super) fn sealed_name(segment: u32) -> String {
    format!("{}.zst", segment_name(segment))
}

/// Compresses one segment; its bytes before and after.
fn seal(job: &Job, key: &SigningKey, disk: &dyn Disk) -> io::Result<(u64, u64)> {
    let plain = job.folder.join(segment_name(job.segment));
    let sealed = job.folder.join(sealed_name(job.segment));
    let half = job.folder.join(format!("{}.tmp", sealed_name(job.segment)));
    match disk.remove_file(&half) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let outcome = write_sealed(&plain, &half, job, key, disk).and_then(|bytes| {
        disk.rename(&half, &sealed)?;
        disk.sync_folder(&job.folder)?;
        disk.remove_file(&plain)?;
        Ok(bytes)
    });
    if outcome.is_err() {
        // Only the half-written copy; an error here changes nothing.
        drop(disk.remove_file(&half));
    }
    outcome
}

fn write_sealed(plain: &Path, half: &Path, job: &Job, key: &SigningKey, disk: &dyn Disk) -> io::Result<(u64, u64)> {
    let mut input = disk.open_file(plain)?;
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), LEVEL)?;
    encoder.window_log(WINDOW_LOG_MAX)?;
    encoder.include_checksum(true)?;
    let mut before = blake3::Hasher::new();
    copy_hashed(&mut input, &mut encoder, &mut before)?;
    let plain_bytes = before.count();
    // A segment is bounded, so its compressed bytes are held whole.
    let mut bytes = encoder.finish()?;
    let hash = blake3::hash(&bytes);
    let mut after = blake3::Hasher::new();
    let mut decoder = zstd::stream::read::Decoder::new(bytes.as_slice())?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    copy_hashed(&mut decoder, &mut io::sink(), &mut after)?;
    drop(decoder);
    if before.finalize() != after.finalize() {
        return Err(io::Error::other("the compressed segment reads back differently"));
    }
    let message = format::seal_message(&job.session, job.segment, hash.as_bytes());
    bytes.extend_from_slice(&SEAL_HEADER);
    bytes.extend_from_slice(&key.sign(&message));
    let mut file = disk.create_file(half)?;
    file.write_all(&bytes)?;
    file.sync()?;
    let mut written = Vec::with_capacity(bytes.len());
    disk.open_file(half)?.read_to_end(&mut written)?;
    if written != bytes {
        return Err(io::Error::other("the compressed segment was written differently"));
    }
    Ok((plain_bytes, u64::try_from(bytes.len()).unwrap_or(u64::MAX)))
}

/// Copies everything and hashes it on the way.
pub(super) fn copy_hashed(from: &mut impl Read, to: &mut impl Write, hasher: &mut blake3::Hasher) -> io::Result<()> {
    let mut buffer = vec![0_u8; 64 << 10];
    loop {
        let count = from.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return Ok(());
        };
        hasher.update(bytes);
        to.write_all(bytes)?;
    }
}
