//! What a judged statement is: its accesses, its meaning for the session, the settings it changes.
//!
//! These types carry facts and no verdict: whether an access is permitted is the program's decision.
//! They never hold rows, parameters' values or the text of the statement, only where it stands.

use lang::protocol::Operation;
use std::fmt;
use std::ops::Range;

/// One statement of a text, as the server would run it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts of a statement that are independent of each other")]
pub struct Statement {
    /// Where the statement stands in the text, in bytes, without surrounding space and semicolon.
    pub text: Range<usize>,
    /// What the statement is for the session.
    pub action: Action,
    /// Every operation on every object, sorted and without duplicates.
    pub accesses: Vec<Access>,
    /// Every parameter of the session that the statement sets, in the order of the text.
    pub settings: Vec<SettingChange>,
    /// The prepared statement that this one runs or explains (`EXECUTE`, `EXPLAIN EXECUTE`,
    /// `CREATE TABLE … AS EXECUTE`). Its accesses are those of its `PREPARE` or Parse: the caller adds them.
    pub executes: Option<Box<str>>,
    /// For each call of a routine that takes or tells a number of a sequence: the sequence, where a constant names it.
    pub sequences: Vec<Option<Box<str>>>,
    /// Objects that go by another name from now on; both are among what the accesses name.
    pub renames: Vec<Renamed>,
    /// Whether the statement can send rows to the client outside COPY. `EXECUTE` and `CALL` can.
    pub returns_rows: bool,
    /// Whether the server says at its end how many rows it wrote: all of them, in one number. For PREPARE that of the
    /// statement inside.
    pub counted: bool,
    /// Whether it fills a materialised view that it makes.
    pub fills: bool,
    /// Whether the statement alone proves that it changes nothing: no data, schema, setting or lock.
    pub reads_only: bool,
}

/// An object that is renamed, moved into another schema, or taken out of a parent, by whose name rules found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// What it was called, or its parent is.
    pub from: Object,
    /// What it is called afterwards.
    pub to: Object,
}

/// One operation on one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// The leaf of the vocabulary.
    pub operation: Operation,
    /// What it touches. `None` touches no object (`SELECT 1`) and is within any scope.
    pub object: Option<Object>,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            Some(object) => write!(f, "{} {object}", self.operation),
            None => write!(f, "{}", self.operation),
        }
    }
}

/// An object of the database, named as the server resolves the name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Object {
    /// What kind of object the name denotes.
    pub kind: ObjectKind,
    /// The schema; `None` for kinds that live in no schema.
    pub schema: Option<Box<str>>,
    /// The name, folded and truncated as the server does. Empty for [`ObjectKind::Database`].
    pub name: Box<str>,
    /// Whether the object is an ordinary one.
    pub class: ObjectClass,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.kind.word())?;
        if self.kind != ObjectKind::Database {
            f.write_str(" ")?;
        }
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)?;
        match self.class {
            ObjectClass::Ordinary => Ok(()),
            ObjectClass::Harmless => f.write_str(" [harmless]"),
            ObjectClass::Sensitive => f.write_str(" [sensitive]"),
        }
    }
}

/// The kinds of objects that an access names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// A table, view, materialised view, foreign table, partition or sequence.
    Relation,
    /// An index, by its own name.
    Index,
    /// A function, procedure or aggregate; all overloads of the name.
    Routine,
    /// A schema.
    Schema,
    /// A type or domain.
    Type,
    /// A role, or the roles that a statement concerns.
    Role,
    /// A parameter of the session or server.
    Parameter,
    /// A notification channel.
    Channel,
    /// Any other named object (extension, server, publication, operator, collation …).
    Other,
    /// More than the statement names: the whole database or server, or what CASCADE reaches.
    /// It is within no object scope.
    Database,
}

impl ObjectKind {
    /// The word for people and fixtures.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Relation => "relation",
            Self::Index => "index",
            Self::Routine => "routine",
            Self::Schema => "schema",
            Self::Type => "type",
            Self::Role => "role",
            Self::Parameter => "parameter",
            Self::Channel => "channel",
            Self::Other => "other",
            Self::Database => "database",
        }
    }
}

/// How much an object's name alone says about its danger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectClass {
    /// The policy's object scope decides.
    Ordinary,
    /// A catalog relation of the allow-list: reading it is within any scope.
    Harmless,
    /// A catalog relation outside the allow-list, a routine that runs text as SQL or reaches files and other sessions,
    /// or a new routine that takes the name of a harmless built-in.
    /// To be refused unless a scope names exactly this object.
    Sensitive,
}

/// What a statement is for the session that runs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// SELECT, VALUES or TABLE.
    Query,
    /// INSERT, UPDATE, DELETE or MERGE.
    Modify,
    /// Transaction control.
    Transaction(Transaction),
    /// PREPARE; the accesses of the statement are those of the statement inside.
    Prepare {
        /// The prepared statement's name; it shares a namespace with protocol statements.
        name: Box<str>,
        /// [`Statement::returns_rows`] of the statement inside.
        returns_rows: bool,
        /// [`Statement::reads_only`] of the statement inside.
        reads_only: bool,
    },
    /// EXECUTE; the accesses are those of its arguments only.
    Execute {
        /// The prepared statement's name.
        name: Box<str>,
    },
    /// DEALLOCATE; `None` is ALL.
    Deallocate {
        /// The prepared statement's name.
        name: Option<Box<str>>,
    },
    /// DECLARE CURSOR; the accesses of the statement are those of the query inside.
    DeclareCursor {
        /// The cursor's name; it shares a namespace with protocol portals.
        name: Box<str>,
        /// WITH HOLD: it outlives the transaction.
        holds: bool,
        /// BINARY: its rows come in binary format.
        binary: bool,
    },
    /// FETCH.
    Fetch {
        /// The cursor's name.
        cursor: Box<str>,
    },
    /// MOVE.
    Move {
        /// The cursor's name.
        cursor: Box<str>,
    },
    /// CLOSE; `None` is ALL.
    CloseCursor {
        /// The cursor's name.
        cursor: Option<Box<str>>,
    },
    /// COPY … FROM STDIN: the server answers `CopyInResponse`.
    CopyIn,
    /// COPY … TO STDOUT: the server answers `CopyOutResponse`.
    CopyOut,
    /// EXPLAIN.
    Explain {
        /// ANALYZE: the statement inside runs.
        analyze: bool,
    },
    /// CREATE INDEX, STATISTICS or SCHEMA, COMMENT: what names led to stays.
    Beside,
    /// ALTER … RENAME of a whole object, or SET SCHEMA: the object that is touched last is what it becomes.
    Rename,
    /// SHOW.
    Show,
    /// SET or RESET; see [`Statement::settings`].
    Set,
    /// DISCARD.
    Discard(Discard),
    /// Anything else: DDL, privileges, maintenance, CALL, DO, notifications.
    Other,
}

/// Transaction control. Access modes stand in [`Statement::settings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transaction {
    /// BEGIN or START TRANSACTION.
    Begin,
    /// COMMIT or END.
    Commit {
        /// AND CHAIN: a new transaction begins at once.
        chain: bool,
    },
    /// ROLLBACK or ABORT.
    Rollback {
        /// AND CHAIN: a new transaction begins at once.
        chain: bool,
    },
    /// SAVEPOINT.
    Savepoint(Box<str>),
    /// RELEASE SAVEPOINT.
    Release(Box<str>),
    /// ROLLBACK TO SAVEPOINT.
    RollbackTo(Box<str>),
}

/// What DISCARD discards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discard {
    /// Everything of the session: prepared statements, cursors, settings, temporary tables.
    All,
    /// Cached plans.
    Plans,
    /// Cached sequence values.
    Sequences,
    /// Temporary tables.
    Temp,
}

/// A change of one of the session's parameters, by SET, RESET, a transaction's mode or `set_config()`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// Which parameter.
    pub parameter: Parameter,
    /// The new value, when the text states it as a constant; `None` for RESET, DEFAULT and expressions.
    pub value: Option<Box<str>>,
    /// Until the end of the transaction only.
    pub local: bool,
    /// What kind of parameter it is.
    pub class: SettingClass,
}

impl SettingChange {
    /// Whether the change certainly turns a boolean parameter on.
    pub fn turns_on(&self) -> bool {
        self.value.as_deref().is_some_and(|value| {
            matches!(value.to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1" | "t" | "tr" | "tru" | "y" | "ye")
        })
    }
}

/// The parameter that a setting names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// By its name, in lower case.
    Named(Box<str>),
    /// All parameters, back to what the start-up packet set (RESET ALL, DISCARD ALL). Harmless exactly when
    /// the pinned parameters were set in the start-up packet.
    All,
    /// A name that only the running statement knows (`set_config(column, …)`).
    Unknown,
}

/// What a change of a parameter means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SettingClass {
    /// On the allow-list: needs no permit.
    Harmless,
    /// `transaction_read_only` and `default_transaction_read_only`: needs no permit, but a session that is pinned
    /// read-only refuses every change that is not [`SettingChange::turns_on`].
    AccessMode,
    /// Needs the operation `set`, which is among the accesses.
    Ordinary,
    /// Changes who the session is: needs `dcl.role`, which is among the accesses; a gateway refuses it.
    Role,
    /// Changes what later texts mean (`search_path`, `standard_conforming_strings`, `client_encoding` …), or may:
    /// a gateway refuses it whatever the policy says.
    Pinned,
}
