//! Accepts connections, bounds them by address, and hands each to a worker.
//!
//! A worker is a thread of its own with one single-threaded runtime: a session never moves, and a statement is
//! parsed where it arrives, on a stack that is large enough for the deepest text.

use super::shared::Shared;
use crate::protocols::postgres::classify::Texts;
use crate::protocols::postgres::io;
use rustls::ServerConfig;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

/// Accepted connections that wait for one worker.
const HANDOVER_MAX: usize = 256;

/// How many connections each address holds.
#[derive(Clone, Debug, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, Held>>>);

#[derive(Clone, Copy, Debug, Default)]
struct Held {
    all: u32,
    waiting: u32,
}

/// A connection's place; leaving is dropping it.
#[derive(Debug)]
struct Place {
    addresses: Addresses,
    address: IpAddr,
    waiting: bool,
}

impl Addresses {
    fn with<T>(&self, change: impl FnOnce(&mut HashMap<IpAddr, Held>) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A place for one more connection of this address, unless it holds its share.
    fn enter(&self, address: IpAddr, all_max: u32, waiting_max: u32) -> Option<Place> {
        self.with(|held| {
            let mine = held.entry(address).or_default();
            if mine.all >= all_max || mine.waiting >= waiting_max {
                return None;
            }
            mine.all += 1;
            mine.waiting += 1;
            Some(Place { addresses: self.clone(), address, waiting: true })
        })
    }
}

impl Place {
    /// The connection has logged in.
    fn logged_in(&mut self) {
        if std::mem::take(&mut self.waiting) {
            self.addresses.with(|held| {
                if let Some(mine) = held.get_mut(&self.address) {
                    mine.waiting = mine.waiting.saturating_sub(1);
                }
            });
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.logged_in();
        self.addresses.with(|held| {
            if let Some(mine) = held.get_mut(&self.address) {
                mine.all = mine.all.saturating_sub(1);
                if mine.all == 0 {
                    held.remove(&self.address);
                }
            }
        });
    }
}

/// A connection on its way to a worker.
struct Handover {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    place: Place,
}

/// The threads that serve sessions.
#[derive(Debug)]
pub struct Workers {
    doors: Vec<mpsc::Sender<Handover>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Workers {
    /// Starts `count` workers.
    ///
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub fn start(count: usize, shared: &Arc<Shared>, tls: Option<&Arc<ServerConfig>>) -> std::io::Result<Self> {
        let mut workers = Self { doors: Vec::new(), threads: Vec::new() };
        for number in 0..count {
            let (door, connections) = mpsc::channel(HANDOVER_MAX);
            let listener = io::Listener {
                shared: Arc::clone(shared),
                tls: tls.cloned(),
                texts: Arc::new(Mutex::new(Texts::default())),
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let thread = std::thread::Builder::new()
                .name(format!("sessions-{number}"))
                .stack_size(pgsql::bounds::STACK_BYTES)
                .spawn(move || LocalSet::new().block_on(&runtime, work(listener, connections)))?;
            workers.doors.push(door);
            workers.threads.push(thread);
        }
        Ok(workers)
    }

    /// Waits for every worker to finish its sessions; accepting must have stopped.
    pub fn join(self) {
        drop(self.doors);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a worker ended by a mistake of the gateway");
            }
        }
    }
}

async fn work(listener: io::Listener, mut connections: mpsc::Receiver<Handover>) {
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            arrived = connections.recv() => match arrived {
                None => break,
                Some(Handover { stream, peer, mut place }) => match TcpStream::from_std(stream) {
                    Err(error) => tracing::warn!(%peer, %error, "a connection could not be taken over"),
                    Ok(stream) => {
                        let listener = listener.clone();
                        tasks.spawn_local(async move {
                            Box::pin(io::serve(listener, stream, peer, || place.logged_in())).await;
                            drop(place);
                        });
                    }
                },
            },
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => note(ended),
        }
    }
    while let Some(ended) = tasks.join_next().await {
        note(ended);
    }
}

fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        // Its sockets are closed: a mistake ends one session and fails closed.
        tracing::error!(%error, "a session ended by a mistake of the gateway");
    }
}

/// Accepts until `stop` changes.
pub async fn accept(listener: TcpListener, shared: Arc<Shared>, workers: &Workers, mut stop: watch::Receiver<bool>) {
    let addresses = Addresses::default();
    let mut next = 0_usize;
    loop {
        let (stream, peer) = tokio::select! {
            _ = stop.changed() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: a pause lets sessions end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let limits = &shared.limits;
        let live = u32::try_from(shared.live.count()).unwrap_or(u32::MAX);
        let place =
            addresses.enter(peer.ip(), limits.connections_per_address_max, limits.unauthenticated_per_address_max);
        let (Some(place), true) = (place, live < limits.sessions_max) else {
            tracing::warn!(%peer, "a connection above the bound was closed");
            shared.metrics.login_refused("bound");
            continue;
        };
        let Ok(stream) = stream.into_std() else { continue };
        let handover = Handover { stream, peer, place };
        next = next.wrapping_add(1);
        let Some(door) = workers.doors.get(next.checked_rem(workers.doors.len()).unwrap_or(0)) else { return };
        if door.try_send(handover).is_err() {
            tracing::warn!(%peer, "the workers are too busy to take a connection");
            shared.metrics.login_refused("bound");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_holds_its_share_and_no_more() {
        let addresses = Addresses::default();
        let one: IpAddr = "127.0.0.1".parse().unwrap();
        let mut first = addresses.enter(one, 2, 1).unwrap();
        assert!(addresses.enter(one, 2, 1).is_none(), "one may wait");
        first.logged_in();
        let second = addresses.enter(one, 2, 1).unwrap();
        assert!(addresses.enter(one, 2, 2).is_none(), "two in all");
        drop((first, second));
        assert!(addresses.with(|held| held.is_empty()));
    }
}
