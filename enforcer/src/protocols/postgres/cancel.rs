//! Cancel requests: the gateway's own keys for its clients, and the request to a target.
//!
//! A client never learns a target's key, and a key is worth nothing once its session has ended.

use super::login::{Key, UpstreamError};
use super::upstream::{Address, dial, secure, send};
use super::wire::packet::{self, CancelRequest};
use crate::core::limits::Limits;
use crate::gateway::tls::UpstreamTls;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::BytesMut;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::timeout;

/// Bytes of a secret under protocol 3.0 and 3.1: the most that such a client can name.
const SECRET_BYTES_SHORT: usize = 4;

/// Bytes of a secret from protocol 3.2 on.
const SECRET_BYTES_LONG: usize = 32;

/// Attempts to find a process id that is not in use.
const ATTEMPTS_MAX: usize = 16;

/// Where a target's cancel requests go, and what they name.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where.
    pub address: Address,
    /// How it is spoken to: as in the session itself.
    pub tls: UpstreamTls,
    /// What it names.
    pub key: Key,
}

/// Asks a target to cancel what the route's session runs. `Ok` means delivered: a target never says what came of it.
pub async fn cancel(route: &Route, limits: &Limits) -> Result<(), UpstreamError> {
    let stream = dial(&route.address, limits).await?;
    deliver(stream, route, limits).await
}

/// As [`cancel`], over a connection.
pub async fn deliver<S>(stream: S, route: &Route, limits: &Limits) -> Result<(), UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut stream, _) = Box::pin(secure(stream, &route.address.host, &route.tls, limits)).await?;
    let mut out = BytesMut::new();
    packet::write_cancel_request(&mut out, route.key.pid, &route.key.secret);
    send(&mut stream, &mut out, limits).await?;
    // The target closes once it has passed the signal on; leaving earlier could overtake it. What it says is not read.
    let mut ignored = [0; 64];
    let _ = timeout(limits.handshake_step_max, stream.read(&mut ignored)).await;
    Ok(())
}

/// Why a session gets no cancel key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// The table is full.
    #[error("the table of cancel keys is full")]
    Full,
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes")]
    NoRandomness,
}

/// The cancel keys of the gateway's live sessions, each with what a valid request leads to.
#[derive(Debug)]
pub struct Table<T> {
    entries: Arc<Mutex<Entries<T>>>,
    max: usize,
}

type Entries<T> = BTreeMap<u32, Entry<T>>;

struct Entry<T> {
    secret: Vec<u8>,
    value: T,
}

impl<T> std::fmt::Debug for Entry<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").finish_non_exhaustive()
    }
}

/// A session's key. Dropping it makes the key worthless.
pub struct Registration<T> {
    pid: u32,
    secret: Vec<u8>,
    entries: Arc<Mutex<Entries<T>>>,
}

impl<T> std::fmt::Debug for Registration<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registration").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl<T: Clone> Table<T> {
    /// A table for at most `max` sessions.
    pub fn new(max: usize) -> Self {
        Self { entries: Arc::default(), max }
    }

    /// Makes a key for a session that speaks this minor protocol version.
    pub fn register(&self, value: T, minor: u16) -> Result<Registration<T>, CancelError> {
        let mut secret = vec![0; if minor >= 2 { SECRET_BYTES_LONG } else { SECRET_BYTES_SHORT }];
        getrandom::fill(&mut secret).map_err(|_| CancelError::NoRandomness)?;
        let mut entries = lock(&self.entries);
        if entries.len() >= self.max {
            return Err(CancelError::Full);
        }
        let pid = free_pid(&entries)?;
        entries.insert(pid, Entry { secret: secret.clone(), value });
        Ok(Registration { pid, secret, entries: Arc::clone(&self.entries) })
    }

    /// What a request leads to; `None` when its key is not exactly that of a live session.
    pub fn find(&self, request: &CancelRequest) -> Option<T> {
        let entries = lock(&self.entries);
        let entry = entries.get(&request.pid)?;
        verify_slices_are_equal(&entry.secret, &request.secret).ok()?;
        Some(entry.value.clone())
    }

    /// Sessions with a key.
    pub fn len(&self) -> usize {
        lock(&self.entries).len()
    }

    /// Whether no session has a key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Registration<T> {
    /// The process id that the client is told.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The secret that the client is told.
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }
}

impl<T> Drop for Registration<T> {
    fn drop(&mut self) {
        lock(&self.entries).remove(&self.pid);
    }
}

/// A positive number, as a process id is, that no live session has.
fn free_pid<T>(entries: &Entries<T>) -> Result<u32, CancelError> {
    for _ in 0..ATTEMPTS_MAX {
        let mut bytes = [0; 4];
        getrandom::fill(&mut bytes).map_err(|_| CancelError::NoRandomness)?;
        let pid = u32::from_be_bytes(bytes) >> 1;
        if pid != 0 && !entries.contains_key(&pid) {
            return Ok(pid);
        }
    }
    Err(CancelError::Full)
}

/// A panic elsewhere leaves the map whole: every change to it is one call.
fn lock<T>(entries: &Mutex<Entries<T>>) -> MutexGuard<'_, Entries<T>> {
    entries.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn request<T>(of: &Registration<T>) -> CancelRequest {
        CancelRequest { pid: of.pid(), secret: of.secret().to_vec() }
    }

    #[test]
    fn only_the_whole_key_of_a_live_session_counts() {
        let table = Table::new(10);
        let (one, two) = (table.register("one", 0).unwrap(), table.register("two", 2).unwrap());
        assert_eq!((one.secret().len(), two.secret().len()), (4, 32));
        assert_eq!((table.find(&request(&one)), table.find(&request(&two))), (Some("one"), Some("two")));
        let crossed = CancelRequest { pid: one.pid(), secret: two.secret().to_vec() };
        assert_eq!(table.find(&crossed), None);
        let prefix = CancelRequest { pid: two.pid(), secret: two.secret()[..4].to_vec() };
        assert_eq!(table.find(&prefix), None);
        let mut flipped = request(&one);
        flipped.secret[3] ^= 1;
        assert_eq!(table.find(&flipped), None);
        let key = request(&one);
        drop(one);
        assert_eq!((table.find(&key), table.len()), (None, 1));
    }

    #[test]
    fn the_table_is_bounded() {
        let table = Table::new(1);
        let only = table.register((), 0).unwrap();
        assert_eq!(table.register((), 0).unwrap_err(), CancelError::Full);
        drop(only);
        assert!(table.register((), 0).is_ok());
        assert!(table.is_empty());
    }

    #[test]
    fn a_key_is_never_printed() {
        let table = Table::new(1);
        let key = table.register((), 2).unwrap();
        let printed = format!("{key:?} {table:?} {:?}", request(&key));
        assert!(!printed.contains(&format!("{:?}", key.secret()).trim_matches(['[', ']']).to_owned()));
    }

    #[tokio::test]
    async fn the_target_gets_its_own_key() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        let route = Route {
            address: Address { host: "db".to_owned(), port: 5432 },
            tls: UpstreamTls::Off,
            key: Key { pid: 7, secret: vec![1, 2, 3, 4] },
        };
        let target = async {
            let mut packet = [0; 16];
            theirs.read_exact(&mut packet).await.unwrap();
            theirs.shutdown().await.unwrap();
            packet
        };
        let limits = Limits::default();
        let (sent, packet) = tokio::join!(deliver(ours, &route, &limits), target);
        sent.unwrap();
        assert_eq!(packet, [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3, 4]);
    }
}
