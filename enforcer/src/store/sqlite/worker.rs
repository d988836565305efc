//! One thread with one connection and a bounded queue of work.
//!
//! Work that was queued is done even when nobody waits for its answer any more.

use crate::store::StoreError;
use rusqlite::Connection;
use std::future::Future;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Work that waits.
const QUEUE_MAX: usize = 1024;
/// How long a caller waits for a place in the queue.
const ENQUEUE_MAX: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The thread's near end; dropping it ends the thread after the queued work.
#[derive(Debug)]
pub(super) struct Worker(mpsc::Sender<Job>);

impl Worker {
    /// Starts a thread that owns the connection.
    pub(super) fn start(name: &str, mut connection: Connection) -> std::io::Result<Self> {
        let (sender, mut receiver) = mpsc::channel::<Job>(QUEUE_MAX);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while let Some(job) = receiver.blocking_recv() {
                job(&mut connection);
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
            let job: Job = Box::new(move |connection| {
                // Nobody may wait any more; the work counts all the same.
                drop(answer.send(work(connection)));
            });
            match queue.send_timeout(job, ENQUEUE_MAX).await {
                Ok(()) => {}
                Err(mpsc::error::SendTimeoutError::Timeout(_)) => return Err(StoreError::Busy),
                Err(mpsc::error::SendTimeoutError::Closed(_)) => return Err(StoreError::Closed),
            }
            answered.await.unwrap_or(Err(StoreError::Closed))
        }
    }
}
