//! A search index over recordings: who, where, which statements on which tables, when, with which outcome.
//!
//! It holds nothing that the recordings do not hold, and is made from them alone: it may be deleted at any time.
//! Constants of statements never enter it. Encrypted recordings show the facts of their opening and end.

mod elsewhere;

pub use elsewhere::{Bring, Elsewhere, search_elsewhere};

use super::archive;
use super::list;
use super::read::{End, ReadError, Reader};
use super::transcript::{Step, Tied, Transcript};
use crate::core::event::{Decision, Opened};
use crate::core::id::SessionId;
use lang::time::{Timestamp, Ttl};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params, params_from_iter};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A change of the tables' meaning makes the index anew.
const SCHEMA_VERSION: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE sessions (
  id INTEGER PRIMARY KEY, session TEXT NOT NULL UNIQUE, bytes INTEGER NOT NULL, final INTEGER NOT NULL,
  state TEXT NOT NULL, opened INTEGER, closed INTEGER, cause TEXT, subject TEXT, name TEXT, kind TEXT,
  connection TEXT, grant_id TEXT, commit_id TEXT, application TEXT, peer TEXT, hidden INTEGER NOT NULL);
CREATE INDEX sessions_opened ON sessions(opened);
CREATE TABLE statements (
  id INTEGER PRIMARY KEY, session INTEGER NOT NULL, record INTEGER NOT NULL, at INTEGER NOT NULL,
  fingerprint TEXT, text TEXT, outcome TEXT NOT NULL, rule TEXT);
CREATE INDEX statements_session ON statements(session);
CREATE INDEX statements_fingerprint ON statements(fingerprint);
CREATE TABLE touched (statement INTEGER NOT NULL, operation TEXT NOT NULL, object TEXT NOT NULL);
CREATE INDEX touched_object ON touched(object, statement);
CREATE INDEX touched_statement ON touched(statement);
";

/// Why the index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The database.
    #[error("the index of the recordings: {0}")]
    Database(#[from] rusqlite::Error),
    /// The file system.
    #[error("the recordings cannot be read: {0}")]
    Io(#[from] io::Error),
    /// The archive.
    #[error("the archive of the recordings: {0}")]
    Archive(String),
}

/// What is looked for; everything that is stated must hold.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// A part of the subject's name or identifier.
    pub who: Option<String>,
    /// The connection.
    pub connection: Option<String>,
    /// An object that a statement touched: `public.orders`.
    pub table: Option<String>,
    /// The fingerprint of a statement.
    pub fingerprint: Option<String>,
    /// A part of a statement's text without its constants.
    pub text: Option<String>,
    /// A statement's outcome: `allowed`, `denied`, …
    pub outcome: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// Only what a reader may look into; everything when left out.
    pub scope: Option<Readable>,
    /// The most rows.
    pub limit: u32,
}

/// Recordings that a reader may look into: those of a subject, and those of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// The subject, as recordings name it.
    pub subject: String,
    /// The connections.
    pub connections: Vec<String>,
}

impl Readable {
    fn condition(&self, mut bind: impl FnMut(Value) -> String) -> String {
        let subject = bind(Value::Text(self.subject.clone()));
        let connections = bind(Value::Text(serde_json::json!(self.connections).to_string()));
        format!("(se.subject = {subject} OR se.connection IN (SELECT value FROM json_each({connections})))")
    }
}

/// A time, or how long ago: `2026-05-04T10:00:00Z`, `7d`.
pub fn instant_of(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(at) = Timestamp::parse_rfc3339(text) {
        return Some(at);
    }
    let ago_ms = i64::try_from(Ttl::parse(text).ok()?.to_std().as_millis()).unwrap_or(i64::MAX);
    Some(Timestamp::from_unix_ms(now.unix_ms().saturating_sub(ago_ms)))
}

/// Brings the index beside the recordings up to date, or makes one in memory where no file may be written, and searches.
/// Statements are parsed for their fingerprints on a thread of its own, with a stack for that.
///
/// # Errors
/// When the folder or the index cannot be used.
pub fn search_in(folder: &Path, search: &Search) -> Result<Vec<Found>, IndexError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(pgsql::bounds::STACK_BYTES);
        let thread = thread.spawn_scoped(scope, || refreshed(folder)?.search(search))?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the search failed").into()))
    })
}

fn refreshed(folder: &Path) -> Result<Index, IndexError> {
    let written = Index::open(&folder.join("index.sqlite")).and_then(|mut index| {
        index.refresh(folder)?;
        Ok(index)
    });
    if let Ok(index) = written {
        return Ok(index);
    }
    let mut index = Index::in_memory()?;
    index.refresh(folder)?;
    Ok(index)
}

/// A session that was found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Found {
    /// The session.
    pub session: String,
    /// `live`, `closed`, `unclosed`, `damaged`.
    pub state: String,
    /// When it opened, milliseconds since 1970.
    pub opened: Option<i64>,
    /// When it closed.
    pub closed: Option<i64>,
    /// Why.
    pub cause: Option<String>,
    /// Who.
    pub who: String,
    /// Where.
    pub connection: String,
    /// Under which grant.
    pub grant: String,
    /// Statements that match, or all of them where no statement was asked for.
    pub statements: i64,
    /// The first of them, without constants.
    pub text: Option<String>,
    /// Its fingerprint.
    pub fingerprint: Option<String>,
    /// Its record.
    pub record: Option<i64>,
}

/// The index.
#[derive(Debug)]
pub struct Index(Connection);

impl Index {
    /// Opens the index in a file, or makes it; one of another version is made anew.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn open(file: &Path) -> Result<Self, IndexError> {
        // SQLite would create it readable by others.
        OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
        let index = Self(Connection::open(file)?);
        let version: i64 = index.0.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version == SCHEMA_VERSION {
            return Ok(index);
        }
        drop(index);
        fs::remove_file(file)?;
        OpenOptions::new().append(true).create_new(true).mode(0o600).open(file)?;
        Self::prepare(Connection::open(file)?)
    }

    /// An index that lives as long as the process, where no file may be written.
    ///
    /// # Errors
    /// When the database cannot be made.
    pub fn in_memory() -> Result<Self, IndexError> {
        Self::prepare(Connection::open_in_memory()?)
    }

    fn prepare(connection: Connection) -> Result<Self, IndexError> {
        connection.execute_batch(SCHEMA)?;
        connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        Ok(Self(connection))
    }

    /// Takes in what the recordings hold and the index does not, and drops what is gone. Call it on a thread with a
    /// stack for the parser.
    ///
    /// # Errors
    /// When the folder or the index cannot be used. A damaged recording is a row, not an error.
    pub fn refresh(&mut self, recordings: &Path) -> Result<(), IndexError> {
        let folders = list::all(recordings)?;
        let known = self.known()?;
        let transaction = self.0.transaction()?;
        for session in known {
            // What is in the archive alone stays as it was read here.
            let stays = |session| folders.contains_key(&session) || archive::archived(recordings, &session);
            if !SessionId::parse(&session).is_some_and(stays) {
                forget(&transaction, &session)?;
            }
        }
        transaction.commit()?;
        for (session, folder) in folders {
            let bytes = folder_bytes(&folder)?;
            let seen = self.seen(&session)?;
            if seen.is_some_and(|(before, is_final)| is_final || before == bytes) {
                continue;
            }
            let transaction = self.0.transaction()?;
            forget(&transaction, session.as_str())?;
            take_in(&transaction, &session, &folder, bytes)?;
            transaction.commit()?;
        }
        Ok(())
    }

    fn known(&self) -> Result<Vec<String>, IndexError> {
        let mut rows = self.0.prepare("SELECT session FROM sessions")?;
        let all = rows.query_map([], |row| row.get(0))?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// How many bytes of a session were taken in, and whether it was whole.
    fn seen(&self, session: &SessionId) -> Result<Option<(i64, bool)>, IndexError> {
        let found =
            self.0.query_row("SELECT bytes, final FROM sessions WHERE session = ?1", [session.as_str()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            });
        Ok(found.optional()?)
    }

    /// The sessions that match, newest first.
    ///
    /// # Errors
    /// When the index cannot be used.
    pub fn search(&self, search: &Search) -> Result<Vec<Found>, IndexError> {
        let mut values: Vec<Value> = Vec::new();
        let mut bind = |value: Value| {
            values.push(value);
            format!("?{}", values.len())
        };
        let mut of_statement = Vec::new();
        if let Some(table) = &search.table {
            let table = bind(Value::Text(table.clone()));
            of_statement.push(format!("st.id IN (SELECT statement FROM touched WHERE object = {table})"));
        }
        if let Some(fingerprint) = &search.fingerprint {
            of_statement.push(format!("st.fingerprint = {}", bind(Value::Text(fingerprint.clone()))));
        }
        if let Some(text) = &search.text {
            of_statement.push(format!("instr(lower(st.text), lower({})) > 0", bind(Value::Text(text.clone()))));
        }
        if let Some(outcome) = &search.outcome {
            of_statement.push(format!("st.outcome = {}", bind(Value::Text(outcome.clone()))));
        }
        let asks_for_statements = !of_statement.is_empty();
        let time = if asks_for_statements { "st.at" } else { "coalesce(se.closed, se.opened)" };
        let mut of_session = Vec::new();
        if let Some(since) = search.since {
            of_session.push(format!("{time} >= {}", bind(Value::Integer(since.unix_ms()))));
        }
        if let Some(until) = search.until {
            let time = if asks_for_statements { "st.at" } else { "se.opened" };
            of_session.push(format!("{time} <= {}", bind(Value::Integer(until.unix_ms()))));
        }
        if let Some(who) = &search.who {
            let who = bind(Value::Text(who.clone()));
            of_session.push(format!("(instr(lower(se.name), lower({who})) > 0 OR instr(se.subject, {who}) > 0)"));
        }
        if let Some(connection) = &search.connection {
            of_session.push(format!("se.connection = {}", bind(Value::Text(connection.clone()))));
        }
        of_session.extend(search.scope.iter().map(|scope| scope.condition(&mut bind)));
        let join = if asks_for_statements { "JOIN" } else { "LEFT JOIN" };
        let conditions = [of_statement, of_session].concat();
        let clause = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let limit = bind(Value::Integer(i64::from(search.limit.max(1))));
        let sql = format!(
            "SELECT se.session, se.state, se.opened, se.closed, se.cause, coalesce(se.name, se.subject, ''), \
             coalesce(se.connection, ''), coalesce(se.grant_id, ''), count(st.id), st.text, st.fingerprint, \
             min(st.record) FROM sessions se {join} statements st ON st.session = se.id {clause} \
             GROUP BY se.id ORDER BY se.opened DESC, se.session LIMIT {limit}"
        );
        let mut statement = self.0.prepare(&sql)?;
        let rows = statement.query_map(params_from_iter(values), |row| {
            Ok(Found {
                session: row.get(0)?,
                state: row.get(1)?,
                opened: row.get(2)?,
                closed: row.get(3)?,
                cause: row.get(4)?,
                who: row.get(5)?,
                connection: row.get(6)?,
                grant: row.get(7)?,
                statements: row.get(8)?,
                text: row.get(9)?,
                fingerprint: row.get(10)?,
                record: row.get(11)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

fn folder_bytes(folder: &Path) -> io::Result<i64> {
    let mut bytes = 0_i64;
    for entry in fs::read_dir(folder)? {
        bytes = bytes.saturating_add(i64::try_from(entry?.metadata()?.len()).unwrap_or(i64::MAX));
    }
    Ok(bytes)
}

fn forget(transaction: &Transaction<'_>, session: &str) -> Result<(), rusqlite::Error> {
    let mine = "(SELECT id FROM sessions WHERE session = ?1)";
    let touched = format!("DELETE FROM touched WHERE statement IN (SELECT id FROM statements WHERE session IN {mine})");
    transaction.execute(&touched, [session])?;
    transaction.execute(&format!("DELETE FROM statements WHERE session IN {mine}"), [session])?;
    transaction.execute("DELETE FROM sessions WHERE session = ?1", [session])?;
    Ok(())
}

fn take_in(
    transaction: &Transaction<'_>,
    session: &SessionId,
    folder: &Path,
    bytes: i64,
) -> Result<(), rusqlite::Error> {
    transaction.execute(
        "INSERT INTO sessions (session, bytes, final, state, hidden) VALUES (?1, ?2, 0, 'damaged', 0)",
        params![session.as_str(), bytes],
    )?;
    let id = transaction.last_insert_rowid();
    let Ok(mut reader) = Reader::open(folder, None) else { return Ok(()) };
    let mut transcript = Transcript::default();
    let mut steps = Vec::new();
    let mut last_sql: Option<String> = None;
    let outcome = loop {
        match reader.next_entry() {
            Ok(Some(entry)) => transcript.push(entry, &mut steps),
            Ok(None) => break Ok(reader.end()),
            Err(error) => break Err(error),
        }
        for step in steps.drain(..) {
            take_step(transaction, id, step, &mut last_sql)?;
        }
    };
    let hidden = i64::try_from(reader.hidden()).unwrap_or(i64::MAX);
    let (state, is_final) = state(&outcome);
    transaction.execute(
        "UPDATE sessions SET state = ?2, final = ?3, hidden = ?4 WHERE id = ?1",
        params![id, state, is_final, hidden],
    )?;
    Ok(())
}

fn state(outcome: &Result<Option<End>, ReadError>) -> (&'static str, bool) {
    match outcome {
        Ok(Some(End::Complete { .. })) => ("closed", true),
        Ok(Some(End::Unclosed { live: true, .. })) => ("live", false),
        Ok(Some(End::Unclosed { live: false, .. }) | None) => ("unclosed", false),
        Err(_) => ("damaged", false),
    }
}

fn take_step(
    transaction: &Transaction<'_>,
    id: i64,
    step: Step,
    last_sql: &mut Option<String>,
) -> Result<(), rusqlite::Error> {
    let at = step.at.unix_ms();
    match step.item.tied() {
        Tied::Opened(opened) => take_opening(transaction, id, at, &opened),
        Tied::Asked(sql) => {
            *last_sql = sql;
            Ok(())
        }
        Tied::Judged(decision) => {
            let sql = last_sql.take();
            take_statement(transaction, id, (step.record, at), sql.as_deref(), &decision)
        }
        Tied::Closed(cause) => {
            transaction.execute("UPDATE sessions SET closed = ?2, cause = ?3 WHERE id = ?1", params![id, at, cause])?;
            Ok(())
        }
        Tied::Aside => Ok(()),
    }
}

fn take_opening(transaction: &Transaction<'_>, id: i64, at: i64, opened: &Opened) -> Result<(), rusqlite::Error> {
    transaction.execute(
        "UPDATE sessions SET opened = ?2, subject = ?3, name = ?4, kind = ?5, connection = ?6, grant_id = ?7, \
         commit_id = ?8, application = ?9, peer = ?10 WHERE id = ?1",
        params![
            id,
            at,
            opened.subject.to_string(),
            opened.subject_name,
            opened.kind,
            opened.connection,
            opened.grant,
            opened.commit,
            opened.application_name,
            opened.peer
        ],
    )?;
    Ok(())
}

fn take_statement(
    transaction: &Transaction<'_>,
    id: i64,
    (record, at): (u64, i64),
    sql: Option<&str>,
    decision: &Decision,
) -> Result<(), rusqlite::Error> {
    let shape = sql.and_then(pgsql::shape::shape);
    let (fingerprint, text) = shape.map_or((None, None), |shape| (Some(shape.fingerprint), shape.text));
    transaction.execute(
        "INSERT INTO statements (session, record, at, fingerprint, text, outcome, rule) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![id, i64::try_from(record).unwrap_or(i64::MAX), at, fingerprint, text, decision.outcome, decision.rule],
    )?;
    let statement = transaction.last_insert_rowid();
    let touched: BTreeSet<(&str, &str)> =
        decision.accesses.iter().filter_map(|access| access.split_once(' ')).collect();
    for (operation, object) in touched {
        transaction.execute(
            "INSERT INTO touched (statement, operation, object) VALUES (?1, ?2, ?3)",
            params![statement, operation, object],
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::What;
    use crate::recording::tests::{TempFolder, at, client_left, decision, from_client, opened, recorder};
    use lang::program::rules::Recorded;

    fn query(sql: &str) -> Vec<u8> {
        let mut frame = vec![b'Q'];
        frame.extend_from_slice(&u32::try_from(sql.len() + 5).unwrap().to_be_bytes());
        frame.extend_from_slice(sql.as_bytes());
        frame.push(0);
        frame
    }

    fn sessions(index: &Index, search: Search) -> Vec<String> {
        let limit = 10;
        index.search(&Search { limit, ..search }).unwrap().into_iter().map(|found| found.session).collect()
    }

    #[test]
    fn sessions_are_found_by_what_they_did_and_constants_are_not_kept() {
        let temp = TempFolder::new();
        let recorder = recorder(&temp.0, u64::MAX);
        let mut one = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
        one.append(&[from_client(1, query("select * from orders where email = 'canary-5512'")), decision(2)]).unwrap();
        one.close(at(3), &client_left()).unwrap();
        let mut other = opened(2);
        other.connection = "ledger".into();
        other.subject_name = Some("Théo".into());
        let mut two = recorder.open(at(50_000), other, Recorded::Full).unwrap();
        let mut denied = decision(50_002);
        if let What::Decision(decision) = &mut denied.what {
            decision.outcome = "denied".into();
            decision.accesses = vec!["drop public.books".into()];
        }
        two.append(&[from_client(50_001, query("drop table books")), denied]).unwrap();

        let file = temp.0.join("index.sqlite");
        let mut index = Index::open(&file).unwrap();
        index.refresh(&temp.0).unwrap();
        let (first, second) = (opened(1).session.to_string(), opened(2).session.to_string());
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(sessions(&index, Search::default()), [second.clone(), first.clone()]);
        assert_eq!(
            sessions(&index, Search { table: text("public.orders"), ..Search::default() }),
            std::slice::from_ref(&first)
        );
        assert_eq!(
            sessions(&index, Search { outcome: text("denied"), ..Search::default() }),
            std::slice::from_ref(&second)
        );
        assert_eq!(sessions(&index, Search { who: text("théo"), ..Search::default() }), std::slice::from_ref(&second));
        assert_eq!(sessions(&index, Search { who: text("MARA"), ..Search::default() }), std::slice::from_ref(&first));
        assert_eq!(
            sessions(&index, Search { connection: text("ledger"), ..Search::default() }),
            std::slice::from_ref(&second)
        );
        assert_eq!(
            sessions(&index, Search { text: text("where email"), ..Search::default() }),
            std::slice::from_ref(&first)
        );
        assert_eq!(
            sessions(&index, Search { since: Some(at(40_000)), ..Search::default() }),
            std::slice::from_ref(&second)
        );
        assert_eq!(
            sessions(&index, Search { until: Some(at(40_000)), ..Search::default() }),
            std::slice::from_ref(&first)
        );
        let fingerprint = pgsql::shape::shape("select * from orders where email = 'x'").unwrap().fingerprint;
        let found = index.search(&Search { fingerprint: Some(fingerprint), limit: 1, ..Search::default() }).unwrap();
        assert_eq!(found[0].text.as_deref(), Some("select * from orders where email = $1"));

        let scope = |connections: &[&str]| {
            let connections = connections.iter().map(|name| (*name).to_owned()).collect();
            Some(Readable { subject: "nobody".to_owned(), connections })
        };
        assert_eq!(
            sessions(&index, Search { scope: scope(&["ledger", "x"]), ..Search::default() }),
            std::slice::from_ref(&second)
        );
        assert_eq!(sessions(&index, Search { scope: scope(&[]), ..Search::default() }), Vec::<String>::new());

        // A live session is looked at again, and a removed one is forgotten.
        two.append(&[from_client(50_003, query("select * from late")), decision(50_004)]).unwrap();
        two.close(at(50_005), &client_left()).unwrap();
        std::fs::remove_dir_all(one.folder()).unwrap();
        index.refresh(&temp.0).unwrap();
        assert_eq!(sessions(&index, Search { text: text("late"), ..Search::default() }), std::slice::from_ref(&second));
        assert_eq!(sessions(&index, Search::default()), [second]);
        drop(index);
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"));
    }
}
