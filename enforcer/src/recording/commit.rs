//! Group commit: sessions hand their files to one thread and wait together for the medium.
//!
//! While the thread waits for the disk, further sessions queue up; one round then serves all of them. It must never
//! report a file as safe whose sync failed.

use super::{Flush, Meter};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Files that wait; a session that finds the queue full waits inline instead.
const QUEUE_MAX: usize = 4_096;
/// Files of one round.
const ROUND_MAX: usize = 256;
/// A disk that takes longer has failed.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// One session's wait for the medium.
#[derive(Debug)]
pub struct Pending {
    done: oneshot::Receiver<bool>,
    failed: Arc<AtomicBool>,
}

impl Pending {
    /// Waits until the bytes are on the medium.
    ///
    /// # Errors
    /// When the medium refuses or takes too long: the recording accepts nothing more.
    pub async fn wait(self) -> Result<(), super::RecorderError> {
        let safe = matches!(tokio::time::timeout(WAIT_MAX, self.done).await, Ok(Ok(true)));
        if safe {
            return Ok(());
        }
        self.failed.store(true, Ordering::Release);
        Err(super::RecorderError::Broken)
    }
}

#[derive(Debug)]
struct Ticket {
    file: Arc<dyn Flush>,
    done: oneshot::Sender<bool>,
}

/// The thread that waits for the medium.
#[derive(Debug)]
pub(super) struct Committer {
    queue: Option<SyncSender<Ticket>>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    pub(super) fn start(meter: Meter) -> io::Result<Self> {
        let (queue, tickets) = sync_channel(QUEUE_MAX);
        let thread = std::thread::Builder::new().name("recording-sync".into()).spawn(move || work(&tickets, &meter))?;
        Ok(Self { queue: Some(queue), thread: Some(thread) })
    }

    /// Asks for a file to be synced. `failed` is set when that does not succeed.
    pub(super) fn ask(&self, file: Arc<dyn Flush>, failed: &Arc<AtomicBool>) -> io::Result<Pending> {
        let (done, wait) = oneshot::channel();
        let ticket = Ticket { file, done };
        let queued = self.queue.as_ref().map(|queue| queue.try_send(ticket));
        match queued {
            Some(Ok(())) => Ok(Pending { done: wait, failed: Arc::clone(failed) }),
            Some(Err(_)) | None => Err(io::Error::other("too many sessions wait for the medium")),
        }
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that syncs recordings failed");
        }
    }
}

fn work(tickets: &Receiver<Ticket>, meter: &Meter) {
    while let Ok(first) = tickets.recv() {
        let mut round = vec![first];
        while round.len() < ROUND_MAX {
            let Ok(next) = tickets.try_recv() else { break };
            round.push(next);
        }
        for ticket in round {
            let began = Instant::now();
            let safe = match ticket.file.sync() {
                Ok(()) => {
                    meter.synced(began.elapsed());
                    true
                }
                Err(error) => {
                    tracing::error!(%error, "a recording could not be synced");
                    false
                }
            };
            // A session that went away meanwhile waits no more.
            let _ = ticket.done.send(safe);
        }
    }
}
