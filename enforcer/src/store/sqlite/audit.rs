//! The history with the connection and the subject that each entry concerns.

use super::read::{json, parse_subject, subject_key};
use crate::store::{AuditEntry, AuditScan, Entry, StoreError};
use lang::time::Timestamp;
use rusqlite::{Connection, named_params};

const AUDIT: &str = "
SELECT h.seq, h.at, h.actor, h.event, h.about, h.detail,
    coalesce(r.connection, w.connection, s.connection), coalesce(r.subject, w.subject, s.subject)
FROM history h
    LEFT JOIN requests r ON r.id = h.about
    LEFT JOIN windows w ON w.id = h.about
    LEFT JOIN sessions s ON s.id = h.about
WHERE (:before IS NULL OR h.seq < :before)
    AND (coalesce(r.subject, w.subject, s.subject) = :subject
        OR coalesce(r.connection, w.connection) IN (SELECT value FROM json_each(:requests))
        OR s.connection IN (SELECT value FROM json_each(:sessions))
        OR (:policy AND h.event = 'bundle.activated'))
ORDER BY h.seq DESC LIMIT :limit";

pub(super) fn audit(connection: &Connection, scan: &AuditScan, limit: u32) -> Result<Vec<AuditEntry>, StoreError> {
    let mut statement = connection.prepare_cached(AUDIT)?;
    let params = named_params! {
        ":before": scan.before.map(|before| i64::try_from(before).unwrap_or(i64::MAX)),
        ":subject": subject_key(&scan.subject),
        ":requests": serde_json::json!(scan.requests).to_string(),
        ":sessions": serde_json::json!(scan.sessions).to_string(),
        ":policy": scan.policy,
        ":limit": limit,
    };
    let rows = statement.query_map(params, |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, Option<String>>(2)?,
            row.get(3)?,
            row.get(4)?,
            row.get::<_, String>(5)?,
            row.get(6)?,
            row.get::<_, Option<String>>(7)?,
        ))
    })?;
    rows.map(|row| {
        let (seq, at, actor, event, about, detail, connection, subject) = row?;
        let entry = Entry {
            seq: u64::try_from(seq).unwrap_or_default(),
            at: Timestamp::from_unix_ms(at),
            actor: actor.as_deref().map(parse_subject).transpose()?,
            event,
            about,
            detail: json(&detail, "detail")?,
        };
        Ok(AuditEntry { entry, connection, subject: subject.as_deref().map(parse_subject).transpose()? })
    })
    .collect()
}
