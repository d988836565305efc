//! The log of recordings in the archive: its lines in pieces, and every head that was signed meanwhile.
//!
//! A checkpoint in the archive is one that was kept elsewhere: a log that is rolled back here together with its own
//! checkpoint still does not hold what the archive's covers.

use super::store::{Put, Store, StoreError};
use super::upload::RoundError;
use crate::recording::PublicKey;
use crate::recording::log::note::Checkpoint;
use crate::recording::log::{checkpoint_file, entries_file};
use bytes::Bytes;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

const HEADS: &str = "log/checkpoints";
const LINES: &str = "log/entries";
/// One piece of the lines.
const PIECE_BYTES_MAX: u64 = 4 << 20;
/// The longest line, and the longest note, that is read.
const LINE_BYTES_MAX: u64 = 4_096;
const NOTE_BYTES_MAX: u64 = 64 << 10;
/// Checkpoints of another key that are passed over.
const STRANGERS_MAX: usize = 16;

/// How far the archive's copy of the log goes.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Lines and bytes; none before the archive was asked.
    done: Option<(u64, u64)>,
    head: u64,
}

/// A piece of whole lines.
struct Piece {
    lines: u64,
    bytes: Vec<u8>,
}

impl Journal {
    /// Copies the lines that the newest checkpoint covers, then the checkpoint; how many objects are new.
    pub(super) async fn copy(&mut self, store: &dyn Store, recordings: &Path) -> Result<u64, RoundError> {
        let file = checkpoint_file(recordings);
        let note = match blocking(move || text(&file)).await {
            Ok(note) => note,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let Some(size) = Checkpoint::size_of(&note) else { return Ok(0) };
        if self.done.is_none() {
            self.done = Some(found(store, recordings).await?);
        }
        // After a failure the archive is asked again how far it is.
        let (mut lines, mut bytes) = self.done.take().unwrap_or_default();
        let mut written = 0;
        while lines < size {
            let (entries, from, most) = (entries_file(recordings), bytes, size - lines);
            let piece = blocking(move || piece(&entries, from, most)).await?;
            if piece.lines == 0 {
                return Err(io::Error::other("the log is shorter than its checkpoint").into());
            }
            let length = u64::try_from(piece.bytes.len()).unwrap_or(u64::MAX);
            let name = format!("{LINES}/{lines:012}-{:012}", lines + piece.lines);
            written += same(store, &name, piece.bytes.into()).await?;
            lines += piece.lines;
            bytes += length;
        }
        self.done = Some((lines, bytes));
        if self.head < size {
            written += same(store, &format!("{HEADS}/{size:012}"), note.into()).await?;
            self.head = size;
        }
        Ok(written)
    }
}

/// Writes an object or finds the same one there.
async fn same(store: &dyn Store, name: &str, bytes: Bytes) -> Result<u64, StoreError> {
    if store.put_new(name, bytes.clone()).await? == Put::Written {
        return Ok(1);
    }
    let found = store.get(name).await?;
    // Two signatures of one head differ in nothing that matters; the first stays.
    if found.as_ref() == Some(&bytes) || name.starts_with(HEADS) {
        return Ok(0);
    }
    let said = "the archive holds another log of recordings: give each gateway a prefix of its own".to_owned();
    Err(StoreError::Failed { verb: "put", name: name.to_owned(), said })
}

/// How many lines, and bytes of them, the archive has already.
async fn found(store: &dyn Store, recordings: &Path) -> Result<(u64, u64), RoundError> {
    // Names sort as their numbers do, and each piece begins where one before it ends.
    let last = store.last(LINES, None).await?;
    let lines = last.and_then(|name| name.split_once('-')?.1.parse::<u64>().ok()).unwrap_or(0);
    let entries = entries_file(recordings);
    let bytes = blocking(move || skipped(&entries, lines)).await?;
    Ok(bytes.map_or((0, 0), |bytes| (lines, bytes)))
}

/// The bytes of the first lines; none when there are fewer.
fn skipped(entries: &Path, lines: u64) -> io::Result<Option<u64>> {
    let mut reader = BufReader::new(File::open(entries)?);
    let (mut bytes, mut line) = (0_u64, Vec::new());
    for _ in 0..lines {
        line.clear();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(None);
        }
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
    }
    Ok(Some(bytes))
}

fn piece(entries: &Path, from: u64, lines_max: u64) -> io::Result<Piece> {
    let mut file = File::open(entries)?;
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::new(file.take(PIECE_BYTES_MAX));
    let mut piece = Piece { lines: 0, bytes: Vec::new() };
    while piece.lines < lines_max {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        if line.last() != Some(&b'\n') {
            break;
        }
        piece.bytes.append(&mut line);
        piece.lines += 1;
    }
    Ok(piece)
}

fn text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(NOTE_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The newest checkpoint in an archive that a key signed.
///
/// # Errors
/// When the store fails, or holds so many that the key did not sign that the newest one cannot be told.
pub async fn newest_checkpoint(store: &dyn Store, key: PublicKey) -> Result<Option<String>, StoreError> {
    let mut before: Option<String> = None;
    for _ in 0..STRANGERS_MAX {
        let Some(name) = store.last(HEADS, before.as_deref()).await? else { return Ok(None) };
        let note = store.get(&format!("{HEADS}/{name}")).await?;
        let note = note.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
        // An older one under a newer name would hide what was rolled back since.
        let named = |note: &String| Checkpoint::open(note, key).is_ok_and(|head| name == format!("{:012}", head.size));
        if let Some(note) = note.filter(named) {
            return Ok(Some(note));
        }
        before = Some(name);
    }
    let said = format!("the newest {STRANGERS_MAX} checkpoints there are not signed by this key");
    Err(StoreError::Failed { verb: "get", name: HEADS.to_owned(), said })
}
