//! Rows into values. Nothing here changes anything.

use super::About;
use crate::core::id::{RequestId, SessionId, WindowId};
use crate::core::identity::Subject;
use crate::store::{
    Account, Asked, Bundle, End, Entry, Page, Request, RequestState, Scan, Scope, Session, SessionEnd, Settled,
    StoreError, Vote, Window,
};
use lang::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Params, Row, named_params, params};
use serde::de::DeserializeOwned;

const REQUEST: &str = "SELECT id, asked, state, answer_by, settled, window_id FROM requests";
const WINDOW: &str = "SELECT opened, ends, extensions, ended FROM windows";
const SESSION: &str = "SELECT opened, closed FROM sessions";

/// A subject as one column: unambiguous whatever an issuer's name holds.
pub(super) fn subject_key(subject: &Subject) -> String {
    serde_json::json!([subject.idp, subject.tenant, subject.id]).to_string()
}

/// A person as one column: two idps of one tenant give one person.
pub(super) fn person_key(subject: &Subject) -> String {
    serde_json::json!([subject.tenant, subject.id]).to_string()
}

pub(super) fn parse_subject(text: &str) -> Result<Subject, StoreError> {
    let (idp, tenant, id) = json(text, "subject")?;
    Ok(Subject { idp, tenant, id })
}

pub(super) fn json<T: DeserializeOwned>(text: &str, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt(what))
}

fn optional_json<T: DeserializeOwned>(text: Option<&str>, what: &'static str) -> Result<Option<T>, StoreError> {
    text.map(|text| json(text, what)).transpose()
}

pub(super) fn account(connection: &Connection, scope: &Scope) -> Result<Account, StoreError> {
    let named = match &scope.about {
        About::Account { subject, connection } => Some((subject_key(subject), connection.clone())),
        About::Request(id) => owner(connection, "requests", id.as_str())?,
        About::Window(id) => owner(connection, "windows", id.as_str())?,
        About::Session(id) => owner(connection, "sessions", id.as_str())?,
    };
    let remembered = match &scope.key {
        None => None,
        Some(key) => connection
            .query_row(
                "SELECT digest, answer FROM keys WHERE subject = ?1 AND key = ?2",
                params![subject_key(&key.subject), key.key],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .optional()?,
    };
    let Some((subject, target)) = named else { return Ok(Account { remembered, ..Account::default() }) };
    let (request, window, session) = match &scope.about {
        About::Account { .. } => (None, None, None),
        About::Request(id) => (Some(id.as_str()), None, None),
        About::Window(id) => (None, Some(id.as_str()), None),
        About::Session(id) => (None, None, Some(id)),
    };
    Ok(Account {
        requests: requests_by(
            connection,
            &format!(
                "{REQUEST} WHERE subject = ?1 AND connection = ?2 AND (state = 'pending' OR id = ?3) ORDER BY seq"
            ),
            params![subject, target, request],
        )?,
        windows: windows_by(
            connection,
            &format!(
                "{WINDOW} WHERE subject = ?1 AND connection = ?2 \
                 AND (ended_at IS NULL OR ended_at > ?3 OR id = ?4) ORDER BY seq"
            ),
            params![subject, target, scope.since.unix_ms(), window],
        )?,
        reviews: super::after::owed(connection, &subject, window)?,
        session: session.map(|id| self::session(connection, id)).transpose()?.flatten(),
        remembered,
    })
}

fn owner(connection: &Connection, table: &str, id: &str) -> Result<Option<(String, String)>, StoreError> {
    let sql = format!("SELECT subject, connection FROM {table} WHERE id = ?1");
    Ok(connection.query_row(&sql, [id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
}

struct RawRequest {
    id: String,
    asked: String,
    state: String,
    answer_by: i64,
    settled: Option<String>,
    window: Option<String>,
}

fn requests_by(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Request>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| {
        Ok(RawRequest {
            id: row.get(0)?,
            asked: row.get(1)?,
            state: row.get(2)?,
            answer_by: row.get(3)?,
            settled: row.get(4)?,
            window: row.get(5)?,
        })
    })?;
    rows.map(|raw| parse_request(connection, &raw?)).collect()
}

fn parse_request(connection: &Connection, raw: &RawRequest) -> Result<Request, StoreError> {
    let id = RequestId::parse(&raw.id).ok_or(StoreError::Corrupt("request id"))?;
    let mut statement = connection.prepare_cached("SELECT vote FROM votes WHERE request = ?1 ORDER BY seq")?;
    let votes = statement.query_map([&raw.id], |row| row.get::<_, String>(0))?;
    Ok(Request {
        id,
        asked: json::<Asked>(&raw.asked, "asked")?,
        state: RequestState::parse(&raw.state).ok_or(StoreError::Corrupt("request state"))?,
        answer_by: Timestamp::from_unix_ms(raw.answer_by),
        settled: optional_json::<Settled>(raw.settled.as_deref(), "settled")?,
        window: raw
            .window
            .as_deref()
            .map(|id| WindowId::parse(id).ok_or(StoreError::Corrupt("window id")))
            .transpose()?,
        votes: votes.map(|vote| json::<Vote>(&vote?, "vote")).collect::<Result<_, _>>()?,
        used: connection
            .prepare_cached("SELECT at FROM releases WHERE request = ?1")?
            .query_row([&raw.id], |row| row.get(0))
            .optional()?
            .map(Timestamp::from_unix_ms),
    })
}

fn windows_by(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Window>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, u32>(2)?, row.get::<_, Option<String>>(3)?))
    })?;
    rows.map(|row| {
        let (opened, ends, extensions, ended) = row?;
        let mut window: Window = json(&opened, "window")?;
        window.ends = Timestamp::from_unix_ms(ends);
        window.extensions = extensions;
        window.ended = optional_json::<End>(ended.as_deref(), "end")?;
        Ok(window)
    })
    .collect()
}

fn sessions_by(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Session>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?)))?;
    rows.map(|row| {
        let (opened, closed) = row?;
        let mut session: Session = json(&opened, "session")?;
        session.closed = optional_json::<SessionEnd>(closed.as_deref(), "session end")?;
        Ok(session)
    })
    .collect()
}

pub(super) fn request(connection: &Connection, id: &RequestId) -> Result<Option<Request>, StoreError> {
    Ok(requests_by(connection, &format!("{REQUEST} WHERE id = ?1"), [id.as_str()])?.pop())
}

pub(super) fn window(connection: &Connection, id: &WindowId) -> Result<Option<Window>, StoreError> {
    Ok(windows_by(connection, &format!("{WINDOW} WHERE id = ?1"), [id.as_str()])?.pop())
}

pub(super) fn session(connection: &Connection, id: &SessionId) -> Result<Option<Session>, StoreError> {
    Ok(sessions_by(connection, &format!("{SESSION} WHERE id = ?1"), [id.as_str()])?.pop())
}

pub(super) fn open_windows(
    connection: &Connection,
    subject: &Subject,
    target: &str,
    at: Timestamp,
) -> Result<Vec<Window>, StoreError> {
    windows_by(
        connection,
        &format!(
            "{WINDOW} WHERE subject = ?1 AND connection = ?2 AND ended_at IS NULL AND started <= ?3 AND ends > ?3 \
             ORDER BY started, seq"
        ),
        params![subject_key(subject), target, at.unix_ms()],
    )
}

/// The condition of every list; `open` is the table's own notion of an undecided or unfinished row.
fn listed(select: &str, table: &str, open: &str) -> String {
    format!(
        "{select} WHERE (:after IS NULL OR seq < (SELECT seq FROM {table} WHERE id = :after)) \
         AND (subject = :subject OR connection IN (SELECT value FROM json_each(:connections)) \
              OR ({open} AND connection IN (SELECT value FROM json_each(:open_on)))) \
         AND (:only_connection IS NULL OR connection = :only_connection) \
         AND (NOT :only_open OR {open}) AND :at IS NOT NULL \
         ORDER BY seq DESC LIMIT :limit"
    )
}

macro_rules! list {
    ($by:ident, $connection:expr, $sql:expr, $scan:expr, $page:expr) => {
        $by(
            $connection,
            &$sql,
            named_params! {
                ":after": $page.after,
                ":subject": $scan.subject.as_ref().map(subject_key),
                ":connections": serde_json::json!($scan.connections).to_string(),
                ":open_on": serde_json::json!($scan.open_on).to_string(),
                ":only_connection": $scan.only_connection,
                ":only_open": $scan.only_open,
                ":at": $scan.at.unix_ms(),
                ":limit": $page.limit,
            },
        )
    };
}

pub(super) fn requests(connection: &Connection, scan: &Scan, page: &Page) -> Result<Vec<Request>, StoreError> {
    let sql = listed(REQUEST, "requests", "(state = 'pending' AND answer_by > :at)");
    list!(requests_by, connection, sql, scan, page)
}

pub(super) fn windows(connection: &Connection, scan: &Scan, page: &Page) -> Result<Vec<Window>, StoreError> {
    let sql = listed(WINDOW, "windows", "(ended_at IS NULL AND ends > :at)");
    list!(windows_by, connection, sql, scan, page)
}

pub(super) fn sessions(connection: &Connection, scan: &Scan, page: &Page) -> Result<Vec<Session>, StoreError> {
    let sql = listed(SESSION, "sessions", "closed IS NULL");
    list!(sessions_by, connection, sql, scan, page)
}

/// The newest number of the history.
pub(super) fn newest(connection: &mut Connection) -> Result<u64, StoreError> {
    let newest: i64 = connection.query_row("SELECT coalesce(max(seq), 0) FROM history", [], |row| row.get(0))?;
    u64::try_from(newest).map_err(|_| StoreError::Corrupt("history"))
}

pub(super) fn history(connection: &Connection, after: u64, limit: u32) -> Result<Vec<Entry>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT seq, at, actor, event, about, detail FROM history WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    )?;
    let after = i64::try_from(after).unwrap_or(i64::MAX);
    let rows = statement.query_map(params![after, limit], |row: &Row<'_>| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, Option<String>>(2)?,
            row.get(3)?,
            row.get(4)?,
            row.get::<_, String>(5)?,
        ))
    })?;
    rows.map(|row| {
        let (seq, at, actor, event, about, detail) = row?;
        Ok(Entry {
            seq: u64::try_from(seq).unwrap_or_default(),
            at: Timestamp::from_unix_ms(at),
            actor: actor.as_deref().map(parse_subject).transpose()?,
            event,
            about,
            detail: json(&detail, "detail")?,
        })
    })
    .collect()
}

pub(super) fn bundles(
    connection: &Connection,
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<(u64, Bundle)>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT seq, bundle FROM bundles WHERE ?1 IS NULL OR seq < ?1 ORDER BY seq DESC LIMIT ?2")?;
    let before = before.map(|before| i64::try_from(before).unwrap_or(i64::MAX));
    let rows =
        statement.query_map(params![before, limit], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
    rows.map(|row| {
        let (seq, text) = row?;
        Ok((u64::try_from(seq).unwrap_or_default(), json(&text, "bundle")?))
    })
    .collect()
}
