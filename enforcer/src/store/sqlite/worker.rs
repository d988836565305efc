//! One thread with one connection and a bounded queue of work.
//!
//! Work that had its turn is done even when nobody waits for its answer any more. None is done while the file is not
//! where it was opened: an engine that keeps writing to a file that was moved or removed would lose all of it.

use crate::gateway::clock;
use crate::store::StoreError;
use rusqlite::Connection;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Work that waits.
const QUEUE_MAX: usize = 1024;
/// How long a caller waits for a place in the queue.
const ENQUEUE_MAX: Duration = Duration::from_secs(5);

type Job = (u64, Box<dyn FnOnce(Result<&mut Connection, StoreError>) + Send>);

/// How long work may have waited for its turn. While another process holds the file every turn takes seconds, and
/// whoever waited for many of them has left.
const WAITED_MS_MAX: u64 = 5_000;

/// The file that was opened, and which one it was.
#[derive(Debug)]
pub(super) struct Home {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Home {
    /// The file at a path, which is there.
    pub(super) fn of(path: &Path) -> std::io::Result<Self> {
        let facts = std::fs::metadata(path)?;
        Ok(Self { path: path.to_owned(), device: facts.dev(), inode: facts.ino() })
    }

    /// Whether it is still there. One that was put back is; another one of its name is not.
    fn holds(&self) -> Result<(), StoreError> {
        let facts = std::fs::metadata(&self.path).map_err(|error| StoreError::Engine(Box::new(error)))?;
        if (facts.dev(), facts.ino()) == (self.device, self.inode) {
            return Ok(());
        }
        let sentence = "the state's file was replaced while the gateway runs; put it back, or start the gateway anew";
        Err(StoreError::Engine(sentence.into()))
    }
}

/// The thread's near end; dropping it ends the thread after the queued work.
#[derive(Debug)]
pub(super) struct Worker(mpsc::Sender<Job>);

impl Worker {
    /// Starts a thread that owns the connection.
    pub(super) fn start(name: &str, mut connection: Connection, home: Home) -> std::io::Result<Self> {
        let (sender, mut receiver) = mpsc::channel::<Job>(QUEUE_MAX);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some((since, job)) = receiver.blocking_recv() {
                let late = clock::mono_ms().saturating_sub(since) > WAITED_MS_MAX;
                let held = if late { Err(StoreError::Busy) } else { home.holds() };
                job(held.map(|()| &mut connection));
            }
        })?;
        Ok(Self(sender))
    }

    /// Does some work on the thread.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> impl Future<Output = Result<T, StoreError>> + Send + 'static {
        let queue = self.0.clone();
        async move {
            let (answer, answered) = oneshot::channel();
            let job = Box::new(move |connection: Result<&mut Connection, StoreError>| {
                // Nobody may wait any more; the work counts all the same.
                drop(answer.send(connection.and_then(work)));
            });
            match queue.send_timeout((clock::mono_ms(), job as _), ENQUEUE_MAX).await {
                Ok(()) => {}
                Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(StoreError::Busy),
                Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(StoreError::Closed),
            }
            answered.await.unwrap_or(Err(StoreError::Closed))
        }
    }
}
