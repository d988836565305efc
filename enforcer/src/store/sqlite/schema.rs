//! The tables and their migrations.
//!
//! A migration is never edited once it has been released; another is appended. The history is append-only by
//! trigger, and the indexes `one_pending` and `one_window` make a doubled transition impossible to write.

use crate::store::StoreError;
use rusqlite::{Connection, TransactionBehavior};

const MIGRATIONS: [&str; 3] = [V1, V2, V3];

const V1: &str = "
CREATE TABLE requests (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    connection TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    asked TEXT NOT NULL,
    state TEXT NOT NULL,
    answer_by INTEGER NOT NULL,
    settled TEXT,
    window_id TEXT,
    CHECK ((state = 'pending') = (settled IS NULL))
) STRICT;
CREATE UNIQUE INDEX one_pending ON requests (subject, connection, grant_id) WHERE state = 'pending';
CREATE INDEX requests_of ON requests (subject, connection);
CREATE INDEX requests_pending ON requests (connection, answer_by) WHERE state = 'pending';

CREATE TABLE votes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL REFERENCES requests (id),
    person TEXT NOT NULL,
    vote TEXT NOT NULL,
    UNIQUE (request, person)
) STRICT;

CREATE TABLE windows (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL UNIQUE REFERENCES requests (id),
    subject TEXT NOT NULL,
    connection TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    opened TEXT NOT NULL,
    started INTEGER NOT NULL,
    ends INTEGER NOT NULL,
    extensions INTEGER NOT NULL,
    ended_at INTEGER,
    ended TEXT,
    CHECK (started < ends),
    CHECK ((ended_at IS NULL) = (ended IS NULL)),
    CHECK (ended_at IS NULL OR ended_at <= ends)
) STRICT;
CREATE UNIQUE INDEX one_window ON windows (subject, connection, grant_id) WHERE ended_at IS NULL;
CREATE INDEX windows_of ON windows (subject, connection);

CREATE TABLE sessions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    gateway TEXT NOT NULL,
    subject TEXT NOT NULL,
    connection TEXT NOT NULL,
    window_id TEXT REFERENCES windows (id),
    opened TEXT NOT NULL,
    closed TEXT
) STRICT;
CREATE INDEX sessions_of ON sessions (subject);
CREATE INDEX sessions_open ON sessions (gateway) WHERE closed IS NULL;

CREATE TABLE bundles (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    bundle TEXT NOT NULL
) STRICT;

CREATE TABLE keys (
    subject TEXT NOT NULL,
    key TEXT NOT NULL,
    digest TEXT NOT NULL,
    answer TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (subject, key)
) STRICT;
CREATE INDEX keys_at ON keys (at);

CREATE TABLE history (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    actor TEXT,
    event TEXT NOT NULL,
    about TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX history_about ON history (about);
CREATE TRIGGER history_is_not_changed BEFORE UPDATE ON history BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER history_is_not_deleted BEFORE DELETE ON history BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER votes_are_not_changed BEFORE UPDATE ON votes BEGIN SELECT RAISE(ABORT, 'a vote is final'); END;
CREATE TRIGGER votes_are_not_deleted BEFORE DELETE ON votes BEGIN SELECT RAISE(ABORT, 'a vote is final'); END;
CREATE TRIGGER requests_stay_settled BEFORE UPDATE ON requests WHEN OLD.state <> 'pending'
    BEGIN SELECT RAISE(ABORT, 'a request is decided once'); END;
CREATE TRIGGER windows_stay_ended BEFORE UPDATE ON windows WHEN OLD.ended_at IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'a window ends once'); END;
";

const V2: &str = "
CREATE TABLE reviews (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    window_id TEXT NOT NULL UNIQUE REFERENCES windows (id),
    subject TEXT NOT NULL,
    connection TEXT NOT NULL,
    within_ms INTEGER NOT NULL,
    review TEXT NOT NULL,
    told INTEGER NOT NULL DEFAULT 0,
    done_at INTEGER
) STRICT;
CREATE INDEX reviews_open ON reviews (subject) WHERE done_at IS NULL;
CREATE TRIGGER reviews_stay_done BEFORE UPDATE ON reviews WHEN OLD.done_at IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'a review is done once'); END;
CREATE TRIGGER reviews_are_not_deleted BEFORE DELETE ON reviews BEGIN SELECT RAISE(ABORT, 'a review is owed'); END;

CREATE TABLE review_verdicts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    window_id TEXT NOT NULL REFERENCES reviews (window_id),
    person TEXT NOT NULL,
    verdict TEXT NOT NULL,
    UNIQUE (window_id, person)
) STRICT;
CREATE TRIGGER verdicts_are_not_changed BEFORE UPDATE ON review_verdicts
    BEGIN SELECT RAISE(ABORT, 'a verdict is final'); END;
CREATE TRIGGER verdicts_are_not_deleted BEFORE DELETE ON review_verdicts
    BEGIN SELECT RAISE(ABORT, 'a verdict is final'); END;

CREATE TABLE notices (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,
    about TEXT NOT NULL,
    detail TEXT NOT NULL,
    created INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    due INTEGER NOT NULL,
    state TEXT NOT NULL,
    error TEXT,
    CHECK (state IN ('waiting', 'delivered', 'dead'))
) STRICT;
CREATE INDEX notices_due ON notices (due) WHERE state = 'waiting';
";

const V3: &str = "
ALTER TABLE requests ADD COLUMN session TEXT NOT NULL DEFAULT '';
DROP INDEX one_pending;
CREATE UNIQUE INDEX one_pending ON requests (subject, connection, grant_id, session) WHERE state = 'pending';
CREATE INDEX requests_of_session ON requests (session) WHERE state = 'pending' AND session <> '';
CREATE TABLE releases (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    request TEXT NOT NULL UNIQUE REFERENCES requests (id),
    session TEXT NOT NULL REFERENCES sessions (id),
    digest TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE TRIGGER releases_are_not_changed BEFORE UPDATE ON releases
    BEGIN SELECT RAISE(ABORT, 'an approval is used once'); END;
CREATE TRIGGER releases_are_not_deleted BEFORE DELETE ON releases
    BEGIN SELECT RAISE(ABORT, 'an approval is used once'); END;
";

/// Brings a file up to date, in one transaction, so that two processes that start together agree.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    transaction.commit()?;
    Ok(())
}
