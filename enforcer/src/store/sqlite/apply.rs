//! Changes into rows. Every statement states its own precondition; a statement that finds it broken is a conflict,
//! and the whole transaction is rolled back.

use super::read::{json, person_key, subject_key};
use crate::core::hold::Shown;
use crate::core::id::{RequestId, SessionId, WindowId};
use crate::core::identity::Subject;
use crate::store::{
    Asked, Bundle, Change, End, EndCause, Extension, Key, Purpose, Remember, Request, RequestState, Session,
    SessionEnd, Settled, StoreError, Swept, Vote, Window,
};
use lang::program::rules::Recorded;
use lang::time::{Timestamp, Ttl};
use rusqlite::{Connection, OptionalExtension, Params, params};
use serde::Serialize;
use serde_json::json;

/// How long an answer under a client's key is remembered.
const KEY_AGE_MAX: Ttl = Ttl::from_seconds(86_400);
/// Rows that one sweep writes, of each sort.
const SWEEP_MAX: u32 = 1_000;

pub(super) struct Writer<'a> {
    pub(super) connection: &'a Connection,
    pub(super) at: Timestamp,
    pub(super) actor: Option<&'a Subject>,
}

pub(super) fn change(
    connection: &Connection,
    at: Timestamp,
    actor: Option<&Subject>,
    change: &Change,
) -> Result<(), StoreError> {
    let writer = Writer { connection, at, actor };
    match change {
        Change::Ask(request) => writer.ask(request),
        Change::Vote { request, vote, answer_by } => writer.vote(request, vote, *answer_by),
        Change::Settle { request, state, note, window } => {
            writer.settle(request, *state, note.as_deref(), window.as_ref())
        }
        Change::Release { request, session, digest } => writer.release(request, session, digest),
        Change::Open(window) => writer.open(window),
        Change::Extend(extension) => writer.extend(extension),
        Change::End { window, cause } => writer.end(window, *cause),
        Change::SessionOpened(session) => writer.session_opened(session),
        Change::SessionClosed { session, end } => writer.session_closed(session, end),
        Change::OweReview(review) => writer.owe_review(review),
        Change::Verdict { window, verdict, done } => writer.verdict(window, verdict, *done),
        Change::Notify(notice) => writer.notice(notice),
        Change::SessionTerminated { session } => writer.note("session.terminated", session.as_str(), &json!({})),
        Change::SessionHeld { session, why } => {
            writer.note("session.held", session.as_str(), &json!({ "reason": why }))
        }
        Change::SessionReleased { session, why } => {
            writer.note("session.released", session.as_str(), &json!({ "reason": why }))
        }
    }
}

fn text<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Engine(Box::new(error)))
}

impl Writer<'_> {
    /// The same instant, with time as the actor.
    fn by_time(&self) -> Self {
        Self { connection: self.connection, at: self.at, actor: None }
    }

    fn lapse(&self, requests: &[String]) -> Result<(), StoreError> {
        for id in requests {
            let id = RequestId::parse(id).ok_or(StoreError::Corrupt("request id"))?;
            self.settle(&id, RequestState::Lapsed, None, None)?;
        }
        Ok(())
    }

    fn expire(&self, windows: &[String]) -> Result<(), StoreError> {
        for id in windows {
            let id = WindowId::parse(id).ok_or(StoreError::Corrupt("window id"))?;
            self.end(&id, EndCause::Expired)?;
        }
        Ok(())
    }

    /// Executes a statement that must change exactly one row.
    pub(super) fn one(&self, sql: &str, params: impl Params) -> Result<(), StoreError> {
        match self.connection.prepare_cached(sql)?.execute(params)? {
            1 => Ok(()),
            _ => Err(StoreError::Conflict),
        }
    }

    pub(super) fn note(&self, event: &str, about: &str, detail: &serde_json::Value) -> Result<(), StoreError> {
        self.one(
            "INSERT INTO history (at, actor, event, about, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![self.at.unix_ms(), self.actor.map(subject_key), event, about, detail.to_string()],
        )
    }

    fn ask(&self, request: &Request) -> Result<(), StoreError> {
        let asked = &request.asked;
        let key = subject_key(&asked.subject);
        // A deadline needs nobody to write it down; here it is written, so that the index sees it.
        let lapsed = ids(
            self.connection,
            "SELECT id FROM requests \
             WHERE subject = ?1 AND connection = ?2 AND grant_id = ?3 AND state = 'pending' AND answer_by <= ?4",
            params![key, asked.connection, asked.grant, self.at.unix_ms()],
        )?;
        self.by_time().lapse(&lapsed)?;
        self.one(
            "INSERT INTO requests (id, subject, connection, grant_id, asked, state, answer_by, session) \
             VALUES (?1, ?2, ?3, ?4, ?5, 'pending', ?6, ?7)",
            params![
                request.id.as_str(),
                key,
                asked.connection,
                asked.grant,
                text(asked)?,
                request.answer_by.unix_ms(),
                asked.purpose.statement().map_or("", |statement| statement.session.as_str()),
            ],
        )?;
        let detail = json!({ "asked": remembered(asked), "answer_by": request.answer_by });
        self.note("request.asked", request.id.as_str(), &detail)
    }

    fn vote(&self, request: &RequestId, vote: &Vote, answer_by: Timestamp) -> Result<(), StoreError> {
        self.one(
            "UPDATE requests SET answer_by = ?2 WHERE id = ?1 AND state = 'pending' AND answer_by > ?3",
            params![request.as_str(), answer_by.unix_ms(), self.at.unix_ms()],
        )?;
        self.one(
            "INSERT INTO votes (request, person, vote) VALUES (?1, ?2, ?3)",
            params![request.as_str(), person_key(&vote.subject), text(vote)?],
        )?;
        self.note("request.vote", request.as_str(), &json!({ "groups": vote.groups }))
    }

    fn settle(
        &self,
        request: &RequestId,
        state: RequestState,
        note: Option<&str>,
        window: Option<&WindowId>,
    ) -> Result<(), StoreError> {
        if state == RequestState::Pending {
            return Err(StoreError::Conflict);
        }
        let settled = Settled { at: self.at, by: self.actor.cloned(), note: note.map(str::to_owned) };
        self.one(
            "UPDATE requests SET state = ?2, settled = ?3, window_id = ?4, asked = CASE asked ->> '$.purpose.statement.recorded' \
             WHEN 'metadata' THEN json_set(asked, '$.purpose.statement.shown.parameters', json('[]')) \
             WHEN 'none' THEN json_set(asked, '$.purpose.statement.shown', json('{\"text\":\"\"}')) \
             ELSE asked END WHERE id = ?1 AND state = 'pending'",
            params![request.as_str(), state.word(), text(&settled)?, window.map(WindowId::as_str)],
        )?;
        let event = format!("request.{}", state.word());
        self.note(&event, request.as_str(), &json!({ "note": note, "window": window }))
    }

    fn release(&self, request: &RequestId, session: &SessionId, digest: &str) -> Result<(), StoreError> {
        self.one(
            "INSERT INTO releases (request, session, digest, at) \
             SELECT r.id, s.id, ?3, ?4 FROM requests r JOIN sessions s ON s.id = r.session \
             WHERE r.id = ?1 AND r.state = 'approved' AND s.id = ?2 AND s.closed IS NULL \
             AND r.asked ->> '$.purpose.statement.digest' = ?3 \
             AND NOT EXISTS (SELECT 1 FROM releases used WHERE used.request = r.id)",
            params![request.as_str(), session.as_str(), digest, self.at.unix_ms()],
        )?;
        self.note("request.used", request.as_str(), &json!({ "session": session, "digest": digest }))
    }

    fn open(&self, window: &Window) -> Result<(), StoreError> {
        let key = subject_key(&window.subject);
        let expired = ids(
            self.connection,
            "SELECT id FROM windows \
             WHERE subject = ?1 AND connection = ?2 AND grant_id = ?3 AND ended_at IS NULL AND ends <= ?4",
            params![key, window.connection, window.grant, self.at.unix_ms()],
        )?;
        self.by_time().expire(&expired)?;
        self.one(
            "INSERT INTO windows (id, request, subject, connection, grant_id, opened, started, ends, extensions) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
            params![
                window.id.as_str(),
                window.request.as_str(),
                key,
                window.connection,
                window.grant,
                text(window)?,
                window.started.unix_ms(),
                window.ends.unix_ms()
            ],
        )?;
        let detail = json!({
            "request": window.request, "subject": window.subject, "connection": window.connection,
            "grant": window.grant, "started": window.started, "ends": window.ends, "bundle": window.bundle,
            "commit": window.commit,
        });
        self.note("window.opened", window.id.as_str(), &detail)
    }

    fn extend(&self, extension: &Extension) -> Result<(), StoreError> {
        let Extension { window, before, from, to } = extension;
        if to <= from {
            return Err(StoreError::Conflict);
        }
        self.one(
            "UPDATE windows SET ends = ?2, extensions = extensions + 1 \
             WHERE id = ?1 AND ended_at IS NULL AND ends = ?3 AND extensions = ?4 AND ends > ?5",
            params![window.as_str(), to.unix_ms(), from.unix_ms(), before, self.at.unix_ms()],
        )?;
        self.note("window.extended", window.as_str(), &json!({ "from": from, "to": to }))
    }

    fn end(&self, window: &WindowId, cause: EndCause) -> Result<(), StoreError> {
        let end = End { at: self.at, cause, by: self.actor.cloned() };
        self.one(
            "UPDATE windows SET ended_at = min(?2, ends), ended = ?3 WHERE id = ?1 AND ended_at IS NULL",
            params![window.as_str(), self.at.unix_ms(), text(&end)?],
        )?;
        self.note(&format!("window.{}", cause.word()), window.as_str(), &json!({}))
    }

    fn session_opened(&self, session: &Session) -> Result<(), StoreError> {
        if let Some(window) = &session.window {
            let open: bool = self.connection.query_row(
                "SELECT EXISTS (SELECT 1 FROM windows \
                 WHERE id = ?1 AND subject = ?2 AND connection = ?3 AND ended_at IS NULL AND started <= ?4 AND ends > ?4)",
                params![window.as_str(), subject_key(&session.subject), session.connection, self.at.unix_ms()],
                |row| row.get(0),
            )?;
            if !open {
                return Err(StoreError::Conflict);
            }
        }
        self.one(
            "INSERT INTO sessions (id, gateway, subject, connection, window_id, opened) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                session.id.as_str(),
                session.gateway,
                subject_key(&session.subject),
                session.connection,
                session.window.as_ref().map(WindowId::as_str),
                text(session)?
            ],
        )?;
        let detail = json!({ "window": session.window, "connection": session.connection, "grant": session.grant });
        self.note("session.opened", session.id.as_str(), &detail)
    }

    fn session_closed(&self, session: &SessionId, end: &SessionEnd) -> Result<(), StoreError> {
        self.one(
            "UPDATE sessions SET closed = ?2 WHERE id = ?1 AND closed IS NULL",
            params![session.as_str(), text(end)?],
        )?;
        self.note("session.closed", session.as_str(), &json!({ "cause": end.cause, "sentence": end.sentence }))
    }
}

/// What the history keeps of a request: of a statement no more than its session's recording does.
fn remembered(asked: &Asked) -> Asked {
    let mut asked = asked.clone();
    if let Purpose::Statement(statement) = &mut asked.purpose {
        match statement.recorded {
            Recorded::Full => {}
            Recorded::Metadata => statement.shown.parameters.clear(),
            Recorded::None => statement.shown = Shown::default(),
        }
    }
    asked
}

pub(super) fn remember(
    connection: &Connection,
    at: Timestamp,
    key: &Key,
    remember: &Remember,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT INTO keys (subject, key, digest, answer, at) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![subject_key(&key.subject), key.key, key.digest, remember.answer, at.unix_ms()])?;
    Ok(())
}

pub(super) fn bundle(connection: &Connection, mut bundle: Bundle) -> Result<bool, StoreError> {
    let newest = connection
        .prepare_cached("SELECT bundle FROM bundles WHERE bundle ->> '$.gateway' = ?1 ORDER BY seq DESC LIMIT 1")?
        .query_row([&bundle.gateway], |row| row.get::<_, String>(0))
        .optional()?
        .map(|text| json::<Bundle>(&text, "bundle"))
        .transpose()?;
    if newest.as_ref().is_some_and(|newest| newest.commit == bundle.commit && newest.digest == bundle.digest) {
        return Ok(false);
    }
    bundle.previous = newest.map(|newest| newest.commit);
    let writer = Writer { connection, at: bundle.activated_at, actor: None };
    writer.one("INSERT INTO bundles (bundle) VALUES (?1)", [text(&bundle)?])?;
    let Bundle { digest, previous, gateway, summary, .. } = &bundle;
    let detail = json!({ "digest": digest, "previous": previous, "gateway": gateway, "summary": summary });
    writer.note("bundle.activated", &bundle.commit, &detail)?;
    Ok(true)
}

/// Identifiers that a query names, at most as many as one sweep writes.
fn ids(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn close_orphans(connection: &Connection, gateway: &str, at: Timestamp) -> Result<usize, StoreError> {
    let writer = Writer { connection, at, actor: None };
    let orphans = ids(connection, "SELECT id FROM sessions WHERE gateway = ?1 AND closed IS NULL", [gateway])?;
    let end = SessionEnd {
        at,
        cause: "fault".to_owned(),
        sentence: "the gateway stopped before it could close this session".to_owned(),
    };
    for id in &orphans {
        let waiting = ids(connection, "SELECT id FROM requests WHERE session = ?1 AND state = 'pending'", [id])?;
        for request in waiting {
            let request = RequestId::parse(&request).ok_or(StoreError::Corrupt("request id"))?;
            writer.settle(&request, RequestState::Withdrawn, Some(&end.sentence), None)?;
        }
        let id = SessionId::parse(id).ok_or(StoreError::Corrupt("session id"))?;
        writer.session_closed(&id, &end)?;
    }
    Ok(orphans.len())
}

pub(super) fn sweep(connection: &Connection, at: Timestamp) -> Result<Swept, StoreError> {
    let writer = Writer { connection, at, actor: None };
    let lapsed = ids(
        connection,
        "SELECT id FROM requests WHERE state = 'pending' AND answer_by <= ?1 LIMIT ?2",
        params![at.unix_ms(), SWEEP_MAX],
    )?;
    writer.lapse(&lapsed)?;
    let expired = ids(
        connection,
        "SELECT id FROM windows WHERE ended_at IS NULL AND ends <= ?1 LIMIT ?2",
        params![at.unix_ms(), SWEEP_MAX],
    )?;
    writer.expire(&expired)?;
    super::after::sweep(&writer, SWEEP_MAX)?;
    let keys = connection
        .prepare_cached("DELETE FROM keys WHERE rowid IN (SELECT rowid FROM keys WHERE at <= ?1 ORDER BY at LIMIT ?2)")?
        .execute(params![at.minus(KEY_AGE_MAX).unix_ms(), SWEEP_MAX])?;
    Ok(Swept { requests: lapsed.len(), windows: expired.len(), keys })
}
