//! What must survive a restart: requests, votes, windows, sessions, activated bundles and their history.
//!
//! One trait, so that a fleet can share an engine; SQLite is the embedded one. Every transition is one transaction
//! with a precondition that the engine itself enforces. The store must never hold a secret: no token, no upstream
//! credential, no row of a target.

mod after;
mod change;
mod row;
pub mod sqlite;

pub use after::{Attempt, Notice, NoticeState, Review, Verdict};
pub use change::{Change, Changes, Remember};
pub use row::{
    Asked, Bundle, End, EndCause, Entry, Evidence, Extension, Purpose, Request, RequestState, Session, SessionEnd,
    Settled, Statement, Vote, Window,
};

use crate::core::id::{RequestId, SessionId, WindowId};
use crate::core::identity::Subject;
use futures_util::future::BoxFuture;
use lang::time::{Timestamp, Ttl};
use std::fmt;

/// What an engine answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// Judges an account inside a transaction and says what changes; nothing changes when it says `None`.
///
/// An engine may call it more than once (a serialisation failure): only the changes of the last call are committed.
pub type Judge = Box<dyn FnMut(&Account) -> Option<Changes> + Send>;

/// Why the store gives no answer. None of these texts names a row's content.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The queue stayed full, or another process held the file for too long.
    #[error("the gateway's state is busy; try again")]
    Busy,
    /// The engine failed: disk full, I/O error, lost connection.
    #[error("the gateway's state is not available")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row does not have the form that this version writes.
    #[error("the gateway's state holds a row that this version cannot read ({0})")]
    Corrupt(&'static str),
    /// A precondition no longer holds; nothing changed.
    #[error("somebody else decided first; nothing changed")]
    Conflict,
    /// The file was written by a newer version.
    #[error("the gateway's state has version {found}, and this program reads up to {known}; use the newer program")]
    Newer {
        /// The file's.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The engine has stopped.
    #[error("the gateway's state is closed")]
    Closed,
}

/// What a transaction is about. All of it leads to one subject on one connection, which the transaction holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// A subject on a connection.
    Account {
        /// Who.
        subject: Subject,
        /// Where.
        connection: String,
    },
    /// The account of a request.
    Request(RequestId),
    /// The account of a window.
    Window(WindowId),
    /// The account of a session.
    Session(SessionId),
}

/// A client's `Idempotency-Key`, as one subject used it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Who.
    pub subject: Subject,
    /// The client's text.
    pub key: String,
    /// Digest of what was asked under it.
    pub digest: String,
}

/// A transaction's facts, gathered before the judge runs.
#[derive(Clone, Debug)]
pub struct Scope {
    /// What it is about.
    pub about: About,
    /// Windows that ended before this instant play no part.
    pub since: Timestamp,
    /// The client's key.
    pub key: Option<Key>,
}

/// Everything that bears on one subject on one connection.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Undecided requests, and the one that the transaction is about; oldest first.
    pub requests: Vec<Request>,
    /// Windows that are not over, those that ended since the scope's instant, and the one that the transaction is
    /// about; oldest first.
    pub windows: Vec<Window>,
    /// The session that the transaction is about.
    pub session: Option<Session>,
    /// Reviews that the subject owes on any connection, and that of the window that the transaction is about.
    pub reviews: Vec<Review>,
    /// What was answered under the client's key before: the digest of what was asked, and the answer.
    pub remembered: Option<(String, String)>,
}

/// Whose rows a list shows.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Every row of this subject.
    pub subject: Option<Subject>,
    /// Every row of these connections.
    pub connections: Vec<String>,
    /// Rows of these connections that are undecided (requests) or not over (windows, sessions) at this instant.
    pub open_on: Vec<String>,
    /// Only rows of this connection.
    pub only_connection: Option<String>,
    /// Only rows that are undecided or not over.
    pub only_open: bool,
    /// The instant for `open_on` and `only_open`.
    pub at: Timestamp,
}

/// Whose history a reader may see.
#[derive(Clone, Debug)]
pub struct AuditScan {
    /// Everything of this subject.
    pub subject: Subject,
    /// Requests and windows of these connections.
    pub requests: Vec<String>,
    /// Sessions of these connections.
    pub sessions: Vec<String>,
    /// Activations.
    pub policy: bool,
    /// Only entries with a smaller number.
    pub before: Option<u64>,
}

/// An entry of the history with what it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// The entry.
    pub entry: Entry,
    /// The connection.
    pub connection: Option<String>,
    /// Whose request, window or session it is.
    pub subject: Option<Subject>,
}

/// A part of a list, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    /// The identifier after which it begins; none for the newest.
    pub after: Option<String>,
    /// The most rows.
    pub limit: u32,
}

impl Page {
    /// The newest rows.
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Requests that nobody answered in time.
    pub requests: usize,
    /// Windows that reached their end.
    pub windows: usize,
    /// Client keys that are too old to matter.
    pub keys: usize,
}

/// An engine.
pub trait Store: Send + Sync + fmt::Debug {
    /// Gathers the account, lets the judge decide, and commits its changes, all in one transaction that no other
    /// transaction on the same account overlaps.
    fn transact(&self, scope: Scope, judge: Judge) -> Answer<'_, ()>;
    /// One request with its votes.
    fn request(&self, id: RequestId) -> Answer<'_, Option<Request>>;
    /// Requests, newest first.
    fn requests(&self, scan: Scan, page: Page) -> Answer<'_, Vec<Request>>;
    /// One window.
    fn window(&self, id: WindowId) -> Answer<'_, Option<Window>>;
    /// Windows, newest first.
    fn windows(&self, scan: Scan, page: Page) -> Answer<'_, Vec<Window>>;
    /// The windows of a subject on a connection that are open at an instant, by start.
    fn open_windows(&self, subject: Subject, connection: String, at: Timestamp) -> Answer<'_, Vec<Window>>;
    /// One session.
    fn session(&self, id: SessionId) -> Answer<'_, Option<Session>>;
    /// Sessions, newest first.
    fn sessions(&self, scan: Scan, page: Page) -> Answer<'_, Vec<Session>>;
    /// The newest number of the history; zero before the first.
    fn newest(&self) -> Answer<'_, u64>;
    /// History after a sequence number, oldest first.
    fn history(&self, after: u64, limit: u32) -> Answer<'_, Vec<Entry>>;
    /// Notes a bundle that was activated, unless the gateway's newest is the same; whether it was noted.
    fn bundle_activated(&self, bundle: Bundle) -> Answer<'_, bool>;
    /// Activated bundles with their numbers, newest first, from before a number.
    fn bundles(&self, before: Option<u64>, limit: u32) -> Answer<'_, Vec<(u64, Bundle)>>;
    /// The review of a break-glass window.
    fn review(&self, window: WindowId) -> Answer<'_, Option<Review>>;
    /// Reviews, newest first.
    fn reviews(&self, only_open: bool, page: Page) -> Answer<'_, Vec<Review>>;
    /// Notices of a state, newest first.
    fn notices(&self, state: NoticeState, page: Page) -> Answer<'_, Vec<Notice>>;
    /// Takes notices that are due; nobody else takes them until the lease is over.
    fn claim_notices(&self, at: Timestamp, lease: Ttl, limit: u32) -> Answer<'_, Vec<Notice>>;
    /// Writes down what an attempt led to.
    fn notice_attempted(&self, id: String, attempt: Attempt) -> Answer<'_, ()>;
    /// Has a dead notice tried again; whether it was dead.
    fn retry_notice(&self, id: String, at: Timestamp) -> Answer<'_, bool>;
    /// The history that somebody may see, newest first.
    fn audit(&self, scan: AuditScan, limit: u32) -> Answer<'_, Vec<AuditEntry>>;
    /// Closes the records of sessions that a gateway of this name left open when it died; how many.
    fn close_orphans(&self, gateway: String, at: Timestamp) -> Answer<'_, usize>;
    /// Writes down what time has decided already. Nothing depends on it: readers compare with now.
    fn sweep(&self, at: Timestamp) -> Answer<'_, Swept>;
    /// Whether the engine answers; for readiness.
    fn ready(&self) -> Answer<'_, ()>;
}
