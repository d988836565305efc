//! The embedded engine: one SQLite file, one thread that writes and one that reads.
//!
//! The file is made with mode 0600 and kept in WAL mode with `synchronous=FULL`: a transition that was answered
//! survives the loss of power. Several processes may open one file; `BEGIN IMMEDIATE` puts their writes in line.

mod after;
mod apply;
mod audit;
mod read;
mod schema;
mod worker;

use super::{
    About, Answer, Attempt, AuditEntry, AuditScan, Bundle, Entry, Judge, Notice, NoticeState, Page, Request, Review,
    Scan, Scope, Session, Store, StoreError, Swept, Window,
};
use crate::core::id::{RequestId, SessionId, WindowId};
use crate::core::identity::Subject;
use futures_util::FutureExt;
use lang::time::{Timestamp, Ttl};
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use worker::{Home, Worker};

/// How long a write waits for another process.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// The engine.
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    writer: Worker,
    reader: Worker,
}

impl Sqlite {
    /// Opens the file, makes it when there is none, and brings its schema up to date. Blocks: call it at the start.
    ///
    /// # Errors
    /// When the file cannot be made or read, or was written by a newer version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io_error)?;
        // A file that was there with a wider mode is narrowed before anything is written to it.
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(io_error)?;
        drop(file);
        let mut writer = connect(path)?;
        schema::migrate(&mut writer)?;
        let reader = connect(path)?;
        reader.pragma_update(None, "query_only", "ON")?;
        Ok(Self {
            path: path.to_owned(),
            writer: Worker::start("store-write", writer, Home::of(path).map_err(io_error)?).map_err(io_error)?,
            reader: Worker::start("store-read", reader, Home::of(path).map_err(io_error)?).map_err(io_error)?,
        })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn io_error(error: std::io::Error) -> StoreError {
    StoreError::Engine(Box::new(error))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_MAX)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "trusted_schema", "OFF")?;
    Ok(connection)
}

/// One transition: gather, judge, apply, commit.
fn transact(connection: &mut Connection, scope: &Scope, judge: &mut Judge) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if apply_judged(&transaction, scope, judge)? {
        transaction.commit()?;
    }
    Ok(())
}

/// Everything of a transition but the commit; whether there is something to commit.
fn apply_judged(connection: &Connection, scope: &Scope, judge: &mut Judge) -> Result<bool, StoreError> {
    let account = read::account(connection, scope)?;
    let Some(changes) = judge(&account) else { return Ok(false) };
    for change in &changes.list {
        apply::change(connection, changes.at, changes.actor.as_ref(), change)?;
    }
    if let (Some(key), Some(remember)) = (&scope.key, &changes.remember) {
        apply::remember(connection, changes.at, key, remember)?;
    }
    Ok(true)
}

impl Store for Sqlite {
    fn transact(&self, scope: Scope, mut judge: Judge) -> Answer<'_, ()> {
        self.writer.run(move |connection| transact(connection, &scope, &mut judge)).boxed()
    }

    fn request(&self, id: RequestId) -> Answer<'_, Option<Request>> {
        self.reader.run(move |connection| read::request(connection, &id)).boxed()
    }

    fn requests(&self, scan: Scan, page: Page) -> Answer<'_, Vec<Request>> {
        self.reader.run(move |connection| read::requests(connection, &scan, &page)).boxed()
    }

    fn window(&self, id: WindowId) -> Answer<'_, Option<Window>> {
        self.reader.run(move |connection| read::window(connection, &id)).boxed()
    }

    fn windows(&self, scan: Scan, page: Page) -> Answer<'_, Vec<Window>> {
        self.reader.run(move |connection| read::windows(connection, &scan, &page)).boxed()
    }

    fn open_windows(&self, subject: Subject, target: String, at: Timestamp) -> Answer<'_, Vec<Window>> {
        self.reader.run(move |connection| read::open_windows(connection, &subject, &target, at)).boxed()
    }

    fn session(&self, id: SessionId) -> Answer<'_, Option<Session>> {
        self.reader.run(move |connection| read::session(connection, &id)).boxed()
    }

    fn sessions(&self, scan: Scan, page: Page) -> Answer<'_, Vec<Session>> {
        self.reader.run(move |connection| read::sessions(connection, &scan, &page)).boxed()
    }

    fn newest(&self) -> Answer<'_, u64> {
        self.reader.run(read::newest).boxed()
    }

    fn history(&self, after: u64, limit: u32) -> Answer<'_, Vec<Entry>> {
        self.reader.run(move |connection| read::history(connection, after, limit)).boxed()
    }

    fn bundle_activated(&self, bundle: Bundle) -> Answer<'_, bool> {
        self.writer.run(move |connection| in_transaction(connection, |c| apply::bundle(c, bundle))).boxed()
    }

    fn bundles(&self, before: Option<u64>, limit: u32) -> Answer<'_, Vec<(u64, Bundle)>> {
        self.reader.run(move |connection| read::bundles(connection, before, limit)).boxed()
    }

    fn review(&self, window: WindowId) -> Answer<'_, Option<Review>> {
        self.reader.run(move |connection| after::review(connection, &window)).boxed()
    }

    fn reviews(&self, only_open: bool, page: Page) -> Answer<'_, Vec<Review>> {
        self.reader.run(move |connection| after::reviews(connection, only_open, &page)).boxed()
    }

    fn notices(&self, state: NoticeState, page: Page) -> Answer<'_, Vec<Notice>> {
        self.reader.run(move |connection| after::notices(connection, state, &page)).boxed()
    }

    fn claim_notices(&self, at: Timestamp, lease: Ttl, limit: u32) -> Answer<'_, Vec<Notice>> {
        self.writer.run(move |connection| in_transaction(connection, |c| after::claim(c, at, lease, limit))).boxed()
    }

    fn notice_attempted(&self, id: String, attempt: Attempt) -> Answer<'_, ()> {
        self.writer.run(move |connection| in_transaction(connection, |c| after::attempted(c, &id, &attempt))).boxed()
    }

    fn retry_notice(&self, id: String, at: Timestamp) -> Answer<'_, bool> {
        self.writer.run(move |connection| in_transaction(connection, |c| after::retry(c, &id, at))).boxed()
    }

    fn audit(&self, scan: AuditScan, limit: u32) -> Answer<'_, Vec<AuditEntry>> {
        self.reader.run(move |connection| audit::audit(connection, &scan, limit)).boxed()
    }

    fn close_orphans(&self, gateway: String, at: Timestamp) -> Answer<'_, usize> {
        self.writer.run(move |connection| in_transaction(connection, |c| apply::close_orphans(c, &gateway, at))).boxed()
    }

    fn sweep(&self, at: Timestamp) -> Answer<'_, Swept> {
        self.writer.run(move |connection| in_transaction(connection, |c| apply::sweep(c, at))).boxed()
    }

    fn ready(&self) -> Answer<'_, ()> {
        self.writer
            .run(|connection| {
                // Takes and gives back the right to write: a full disk or a lost file shows here.
                connection.transaction_with_behavior(TransactionBehavior::Immediate)?.rollback()?;
                Ok(())
            })
            .boxed()
    }
}

fn in_transaction<T>(
    connection: &mut Connection,
    work: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done = work(&transaction)?;
    transaction.commit()?;
    Ok(done)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Self::Busy,
            Some(rusqlite::ErrorCode::ConstraintViolation) => Self::Conflict,
            Some(_) | None => Self::Engine(Box::new(error)),
        }
    }
}

#[cfg(test)]
mod tests;
