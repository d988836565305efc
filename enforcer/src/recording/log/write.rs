//! The log while it grows: lines are appended at once, checkpoints are signed by a thread within a second.

use super::line::{Leaf, Line, check, parse_line};
use super::merkle::Tree;
use super::note::{self, Checkpoint};
use super::{LINE_BYTES_MAX, checkpoint_file, entries_file, folder};
use crate::core::id::SessionId;
use crate::recording::hold;
use crate::recording::{Disk, Durability, RecorderError, SigningKey, Sink};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Lines wait at most this long for a checkpoint that covers them.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(500);

#[derive(Debug)]
struct State {
    sink: Box<dyn Sink>,
    tree: Tree,
    check: String,
    broken: bool,
}

#[derive(Debug)]
struct Inner {
    state: Mutex<State>,
    /// One checkpoint is written at a time.
    publishing: Mutex<()>,
    disk: Arc<dyn Disk>,
    recordings: PathBuf,
    durability: Durability,
    key: Arc<SigningKey>,
    origin: String,
}

/// The log.
#[derive(Debug)]
pub struct Log {
    inner: Arc<Inner>,
    grown: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How the log knew each recording when it was opened.
pub(in crate::recording) type Known = BTreeMap<SessionId, Last>;

/// The last line of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::recording) enum Last {
    /// It was open.
    Opened,
    /// It will not grow.
    Ended,
    /// It was removed.
    Removed,
}

impl Log {
    /// Opens the log of a folder of recordings, or begins one. What its checkpoint covers must be as it was.
    pub(in crate::recording) fn open(
        recordings: &Path,
        gateway: &str,
        durability: Durability,
        key: Arc<SigningKey>,
        disk: Arc<dyn Disk>,
    ) -> Result<(Self, Known, hold::All), RecorderError> {
        let failed = |verb, path: PathBuf| move |source| RecorderError::Io { verb, path, source };
        let log_folder = folder(recordings);
        match disk.create_folder(&log_folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(failed("create", log_folder)(source)),
        }
        let file = entries_file(recordings);
        let mut sink = disk.append_file(&file).map_err(failed("create", file.clone()))?;
        let read = read(disk.as_ref(), recordings, &key).map_err(failed("read", file.clone()))?;
        let Loaded { mut tree, check, known, holds, fragment } = read;
        if let Some(fragment) = fragment {
            // A line that a crash cut stays as it is, and is a line of its own.
            sink.write_all(b"\n").map_err(failed("write", file))?;
            tree.push(&fragment);
        }
        let inner = Arc::new(Inner {
            publishing: Mutex::new(()),
            state: Mutex::new(State { sink, tree, check, broken: false }),
            disk,
            recordings: recordings.to_owned(),
            durability,
            origin: note::origin(gateway),
            key,
        });
        inner.publish().map_err(failed("write", checkpoint_file(recordings)))?;
        let (grown, wait) = sync_channel(1);
        let publisher = Arc::clone(&inner);
        let thread = std::thread::Builder::new()
            .name("recording-log".into())
            .spawn(move || publish(&publisher, &wait))
            .map_err(failed("create", log_folder))?;
        Ok((Self { inner, grown: Some(grown), thread: Some(thread) }, known, holds))
    }

    /// Appends a line; with durability `disk`, waits for the medium.
    pub(in crate::recording) fn append(&self, line: &Line) -> Result<(), RecorderError> {
        let io = |verb| move |source| RecorderError::Io { verb, path: entries_file(&self.inner.recordings), source };
        let mut state = self.inner.state();
        if state.broken {
            return Err(RecorderError::Broken);
        }
        let text = line.text();
        let check = check(&state.check, &text);
        let whole = format!("{text} {check}\n");
        let written =
            state.sink.write_all(whole.as_bytes()).map_err(io("write")).and_then(|()| match self.inner.durability {
                Durability::Process => Ok(()),
                Durability::Disk => state.sink.sync().map_err(io("sync")),
            });
        if let Err(error) = written {
            state.broken = true;
            return Err(error);
        }
        state.tree.push(whole.trim_end_matches('\n').as_bytes());
        state.check = check;
        drop(state);
        if let Some(grown) = &self.grown {
            // A full queue means that the thread will look anyway.
            let _ = grown.try_send(());
        }
        Ok(())
    }

    /// Signs the log as it is, at once.
    pub(in crate::recording) fn publish(&self) -> io::Result<()> {
        self.inner.publish()
    }

    /// Whether lines can still be written.
    pub(in crate::recording) fn is_sound(&self) -> bool {
        !self.inner.state().broken
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.grown = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that signs the log of recordings failed");
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held leaves each field as whole as its last assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signs the log as it is. The lines reach the medium before the checkpoint that covers them.
    fn publish(&self) -> io::Result<()> {
        let _alone = self.publishing.lock().unwrap_or_else(PoisonError::into_inner);
        let (size, root, flush) = {
            let state = self.state();
            (state.tree.size(), state.tree.root(), state.sink.flush()?)
        };
        flush.sync()?;
        let text = Checkpoint { origin: self.origin.clone(), size, root }.sign(&self.key);
        let file = checkpoint_file(&self.recordings);
        let half = file.with_extension("tmp");
        match self.disk.remove_file(&half) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut sink = self.disk.create_file(&half)?;
        sink.write_all(text.as_bytes())?;
        sink.sync()?;
        self.disk.rename(&half, &file)?;
        self.disk.sync_folder(&folder(&self.recordings))
    }
}

fn publish(inner: &Inner, grown: &Receiver<()>) {
    let mut live = true;
    while live {
        live = grown.recv().is_ok();
        // Waits for more lines, so that a burst costs one signature.
        if live && matches!(grown.recv_timeout(CHECKPOINT_EVERY), Err(RecvTimeoutError::Disconnected)) {
            live = false;
        }
        if let Err(error) = inner.publish() {
            // The lines stand, and an older checkpoint covers fewer of them.
            tracing::error!(%error, "the log of recordings could not be signed");
        }
    }
}

struct Loaded {
    tree: Tree,
    check: String,
    known: Known,
    holds: hold::All,
    /// The last line, when it has no end.
    fragment: Option<Vec<u8>>,
}

/// Reads the log back and holds it against its checkpoint.
fn read(disk: &dyn Disk, recordings: &Path, key: &SigningKey) -> io::Result<Loaded> {
    let changed = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the log was tampered with: {what}"));
    let checkpoint = match disk.open_file(&checkpoint_file(recordings)) {
        Ok(file) => {
            let mut text = String::new();
            file.take(64 << 10).read_to_string(&mut text)?;
            Some(Checkpoint::open(&text, key.public()).map_err(|error| changed(&error.to_string()))?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let mut lines = BufReader::new(disk.open_file(&entries_file(recordings))?);
    let (tree, known, holds) = (Tree::default(), Known::new(), hold::All::new());
    let mut read = Loaded { tree, check: String::new(), known, holds, fragment: None };
    let agrees = |tree: &Tree| {
        checkpoint.as_ref().is_none_or(|checkpoint| checkpoint.size != tree.size() || checkpoint.root == tree.root())
    };
    loop {
        if !agrees(&read.tree) {
            return Err(changed("it is not what its checkpoint covers"));
        }
        let mut line = Vec::new();
        if lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        // Of a whole line the crash may have taken the line feed alone.
        if let Some((parsed, _, check)) = parse_line(&line) {
            check.clone_into(&mut read.check);
            let last = match parsed.leaf {
                Leaf::Opened { .. } => Some(Last::Opened),
                Leaf::Closed { .. } | Leaf::Left { .. } | Leaf::Archived { .. } => Some(Last::Ended),
                Leaf::Removed { .. } => Some(Last::Removed),
                Leaf::Held(_) | Leaf::Released(_) => None,
            };
            hold::follow(&mut read.holds, &parsed);
            if let Some(last) = last {
                read.known.insert(parsed.session, last);
            }
        }
        if !whole {
            read.fragment = Some(line);
            break;
        }
        read.tree.push(&line);
    }
    if checkpoint.is_some_and(|checkpoint| checkpoint.size > read.tree.size()) {
        return Err(changed("lines that its checkpoint covers are missing"));
    }
    Ok(read)
}
