//! Reviews and notices in rows.

use super::apply::Writer;
use super::read::{json, person_key, subject_key};
use crate::core::id::WindowId;
use crate::store::{Attempt, Notice, NoticeState, Page, Review, StoreError, Verdict};
use lang::time::{Timestamp, Ttl};
use rusqlite::{Connection, Params, params};
use serde_json::json as object;

const REVIEW: &str = "SELECT r.review, r.within_ms + coalesce(w.ended_at, w.ends), r.done_at, r.window_id \
    FROM reviews r JOIN windows w ON w.id = r.window_id";
const NOTICE: &str = "SELECT id, channel, kind, about, detail, created, attempts, due, state, error FROM notices";
/// How long a delivered notice is kept.
const DELIVERED_FOR: Ttl = Ttl::from_seconds(7 * 86_400);

fn reviews_by(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Review>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, Option<i64>>(2)?, row.get::<_, String>(3)?))
    })?;
    rows.map(|row| {
        let (text, due, done, window) = row?;
        let mut review: Review = json(&text, "review")?;
        review.due = Timestamp::from_unix_ms(due);
        review.done = done.map(Timestamp::from_unix_ms);
        let mut verdicts =
            connection.prepare_cached("SELECT verdict FROM review_verdicts WHERE window_id = ?1 ORDER BY seq")?;
        let verdicts = verdicts.query_map([&window], |row| row.get::<_, String>(0))?;
        review.verdicts = verdicts.map(|verdict| json::<Verdict>(&verdict?, "verdict")).collect::<Result<_, _>>()?;
        Ok(review)
    })
    .collect()
}

/// The open reviews of a subject, and that of a window.
pub(super) fn owed(connection: &Connection, subject: &str, window: Option<&str>) -> Result<Vec<Review>, StoreError> {
    let sql = format!("{REVIEW} WHERE (r.subject = ?1 AND r.done_at IS NULL) OR r.window_id = ?2 ORDER BY r.seq");
    reviews_by(connection, &sql, params![subject, window])
}

pub(super) fn review(connection: &Connection, window: &WindowId) -> Result<Option<Review>, StoreError> {
    Ok(reviews_by(connection, &format!("{REVIEW} WHERE r.window_id = ?1"), [window.as_str()])?.pop())
}

pub(super) fn reviews(connection: &Connection, only_open: bool, page: &Page) -> Result<Vec<Review>, StoreError> {
    let sql = format!(
        "{REVIEW} WHERE (NOT ?1 OR r.done_at IS NULL) \
         AND (?3 IS NULL OR r.seq < (SELECT seq FROM reviews WHERE window_id = ?3)) ORDER BY r.seq DESC LIMIT ?2"
    );
    reviews_by(connection, &sql, params![only_open, page.limit, page.after])
}

fn notices_by(connection: &Connection, sql: &str, params: impl Params) -> Result<Vec<Notice>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, |row| {
        let detail: String = row.get(4)?;
        let state: String = row.get(8)?;
        let notice = Notice {
            id: row.get(0)?,
            channel: row.get(1)?,
            kind: row.get(2)?,
            about: row.get(3)?,
            detail: serde_json::Value::Null,
            created: Timestamp::from_unix_ms(row.get(5)?),
            attempts: row.get(6)?,
            due: Timestamp::from_unix_ms(row.get(7)?),
            state: NoticeState::Waiting,
            error: row.get(9)?,
        };
        Ok((notice, detail, state))
    })?;
    rows.map(|row| {
        let (notice, detail, state) = row?;
        let state = NoticeState::parse(&state).ok_or(StoreError::Corrupt("notice state"))?;
        Ok(Notice { detail: json(&detail, "notice")?, state, ..notice })
    })
    .collect()
}

pub(super) fn notices(connection: &Connection, state: NoticeState, page: &Page) -> Result<Vec<Notice>, StoreError> {
    let sql = format!(
        "{NOTICE} WHERE state = ?1 AND (?3 IS NULL OR seq < (SELECT seq FROM notices WHERE id = ?3)) \
         ORDER BY seq DESC LIMIT ?2"
    );
    notices_by(connection, &sql, params![state.word(), page.limit, page.after])
}

/// Takes notices that are due; nobody else takes them until the lease is over.
pub(super) fn claim(connection: &Connection, at: Timestamp, lease: Ttl, limit: u32) -> Result<Vec<Notice>, StoreError> {
    let sql = format!("{NOTICE} WHERE state = 'waiting' AND due <= ?1 ORDER BY due, seq LIMIT ?2");
    let claimed = notices_by(connection, &sql, params![at.unix_ms(), limit])?;
    let mut take = connection.prepare_cached("UPDATE notices SET due = ?2, attempts = attempts + 1 WHERE id = ?1")?;
    for notice in &claimed {
        take.execute(params![notice.id, at.plus(lease).unix_ms()])?;
    }
    Ok(claimed)
}

pub(super) fn attempted(connection: &Connection, id: &str, attempt: &Attempt) -> Result<(), StoreError> {
    let (state, due, error) = match attempt {
        Attempt::Delivered => (NoticeState::Delivered, None, None),
        Attempt::Again { due, error } => (NoticeState::Waiting, Some(due.unix_ms()), Some(error)),
        Attempt::Dead { error } => (NoticeState::Dead, None, Some(error)),
    };
    connection
        .prepare_cached(
            "UPDATE notices SET state = ?2, due = coalesce(?3, due), error = ?4 WHERE id = ?1 AND state = 'waiting'",
        )?
        .execute(params![id, state.word(), due, error])?;
    Ok(())
}

pub(super) fn retry(connection: &Connection, id: &str, at: Timestamp) -> Result<bool, StoreError> {
    let changed = connection
        .prepare_cached(
            "UPDATE notices SET state = 'waiting', attempts = 0, due = ?2 WHERE id = ?1 AND state = 'dead'",
        )?
        .execute(params![id, at.unix_ms()])?;
    Ok(changed == 1)
}

pub(super) fn sweep(writer: &Writer<'_>, limit: u32) -> Result<(), StoreError> {
    let at = writer.at;
    let sql = format!(
        "{REVIEW} WHERE r.done_at IS NULL AND NOT r.told AND r.within_ms + coalesce(w.ended_at, w.ends) <= ?1 LIMIT ?2"
    );
    for review in reviews_by(writer.connection, &sql, params![at.unix_ms(), limit])? {
        writer.one("UPDATE reviews SET told = 1 WHERE window_id = ?1 AND NOT told", [review.window.as_str()])?;
        let detail = object!({ "due": review.due, "grant": review.grant, "connection": review.connection });
        writer.note("window.review_overdue", review.window.as_str(), &detail)?;
        for channel in &review.notify {
            let notice = Notice::new("window.review_overdue", review.window.as_str(), channel, detail.clone(), at);
            writer.notice(&notice)?;
        }
    }
    writer
        .connection
        .prepare_cached(
            "DELETE FROM notices WHERE seq IN \
             (SELECT seq FROM notices WHERE state = 'delivered' AND created <= ?1 LIMIT ?2)",
        )?
        .execute(params![at.minus(DELIVERED_FOR).unix_ms(), limit])?;
    Ok(())
}

impl Writer<'_> {
    pub(super) fn owe_review(&self, review: &Review) -> Result<(), StoreError> {
        let text = serde_json::to_string(review).map_err(|error| StoreError::Engine(Box::new(error)))?;
        self.one(
            "INSERT INTO reviews (window_id, subject, connection, within_ms, review) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                review.window.as_str(),
                subject_key(&review.subject),
                review.connection,
                i64::from(review.within.seconds()) * 1_000,
                text
            ],
        )?;
        let detail = object!({ "quorum": review.quorum, "within": review.within });
        self.note("window.broken_glass", review.window.as_str(), &detail)
    }

    pub(super) fn verdict(&self, window: &WindowId, verdict: &Verdict, done: bool) -> Result<(), StoreError> {
        let text = serde_json::to_string(verdict).map_err(|error| StoreError::Engine(Box::new(error)))?;
        self.one(
            "INSERT INTO review_verdicts (window_id, person, verdict) \
             SELECT window_id, ?2, ?3 FROM reviews WHERE window_id = ?1 AND done_at IS NULL",
            params![window.as_str(), person_key(&verdict.subject), text],
        )?;
        let detail = object!({ "concern": verdict.concern, "note": verdict.note });
        self.note("window.verdict", window.as_str(), &detail)?;
        if done {
            self.one(
                "UPDATE reviews SET done_at = ?2 WHERE window_id = ?1 AND done_at IS NULL",
                params![window.as_str(), self.at.unix_ms()],
            )?;
            self.note("window.reviewed", window.as_str(), &object!({}))?;
        }
        Ok(())
    }

    /// Queues a notice; the same news to the same channel is queued once.
    pub(super) fn notice(&self, notice: &Notice) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO notices (id, channel, kind, about, detail, created, attempts, due, state) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?6, 'waiting')",
            )?
            .execute(params![
                notice.id,
                notice.channel,
                notice.kind,
                notice.about,
                notice.detail.to_string(),
                self.at.unix_ms()
            ])?;
        Ok(())
    }
}
