//! What the gateway still waits for: one entry for each message that was sent to the server and is not answered.
//!
//! After an error in the extended protocol the server skips everything up to the next Sync, and so does the queue.

use super::bindings::Binding;
use super::classify::Classified;
use super::counting::{End, Wrapped};
use super::names::Taking;
use super::spent::Returned;
use super::wire::write::Notice;
use crate::core::hold::Agreed;
use lang::program::rules::RuleId;
use lang::program::{Access, Object, StatementLimits};
use lang::protocol::Operation;
use pgsql::snapshot::Builder;
use pgsql::statement::{Action, Transaction};
use std::collections::VecDeque;
use std::sync::Arc;

/// A message without an answer yet.
#[derive(Debug)]
pub enum Awaited {
    /// Parse; with the types that it fixes for a statement, where they have to be known.
    Parse(Option<Taking>, Option<Box<(Box<str>, Vec<u32>)>>),
    /// Bind, of a portal; with what was bound, where it has to be known.
    Bind(Option<Taking>, Box<str>, Option<Box<Binding>>),
    /// Describe of a statement or portal; with the statement's name.
    Describe(Option<Box<str>>),
    /// Close; frees a name once it is confirmed.
    Close(Freed, Until),
    /// Execute.
    Execute(Box<Run>),
    /// Sync.
    Sync,
    /// A simple query.
    Query(Box<Run>),
    /// A message of the extended protocol that stands for a refused one: its error is ours.
    Refused(Box<Notice>),
    /// A simple query or function call that stands for a refused one: its error is ours.
    RefusedQuery(Box<Notice>),
    /// The gateway's own query for the target's catalog; the client sees nothing of it.
    Catalog(Box<Builder>),
    /// The gateway's own BEGIN, before a statement whose rows are counted.
    Begin(Box<Wrapped>),
    /// The gateway's own COMMIT or ROLLBACK after it: what the client gets is the last ReadyForQuery.
    End(Box<End>),
}

/// The last messages that took names before one that frees some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Until {
    /// Of prepared statements.
    pub statements: Taking,
    /// Of portals and cursors.
    pub portals: Taking,
}

/// A name that a message frees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freed {
    /// A prepared statement.
    Statement(Box<str>),
    /// A portal or cursor.
    Portal(Box<str>),
    /// Every prepared statement.
    Statements,
    /// Every portal and cursor.
    Portals,
}

/// A statement that runs or waits to run.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts of a run that are independent of each other")]
pub struct Run {
    /// What it does, with everything that it executes by name.
    pub statements: Vec<Arc<Classified>>,
    /// The rows that it writes are counted against the bound before they can be committed.
    pub counts: bool,
    /// It runs in a transaction of the gateway's own.
    pub wrapped: bool,
    /// The count exceeded the bound: the error that the client sees once the transaction is undone.
    pub exceeded: Option<Box<Notice>>,
    /// What people must agree on before it runs.
    pub wants: Agreed,
    /// What they have agreed on.
    pub agreed: Agreed,
    /// Bounds on what it returns.
    pub limits: StatementLimits,
    /// The client has ended its COPY data already, before the server asked for it.
    pub copy_ended: bool,
    /// Names that its success frees.
    pub frees: Vec<(Freed, Until)>,
    /// Portals and cursors that it reads from.
    pub fetches: Vec<Box<str>>,
    /// Cursors that its success makes.
    pub opens: Vec<Box<str>>,
    /// Rows seen; those that its portals had returned before count.
    pub returned: Returned,
    /// Whether its turn has come.
    pub started: bool,
    /// When it may run no longer, in milliseconds of the monotonic clock; set once it is its turn.
    pub deadline_mono_ms: Option<u64>,
    /// The gateway ends it: the error that the client sees instead of the server's.
    pub ending: Option<Box<Notice>>,
}

/// The bound that a run exceeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// `10000 rows`.
    pub bound: String,
    /// The rule that sets it.
    pub rule: RuleId,
}

impl Run {
    /// Counts one row; the bound that it exceeds.
    pub fn count(&mut self, row_bytes: usize) -> Option<Exceeded> {
        self.returned.rows = self.returned.rows.saturating_add(1);
        self.returned.bytes = self.returned.bytes.saturating_add(row_bytes as u64);
        let over = |bound: &Option<(u64, RuleId)>, value: u64, unit: &str| {
            bound
                .as_ref()
                .filter(|(max, _)| value > *max)
                .map(|(max, rule)| Exceeded { bound: format!("{max} {unit}"), rule: rule.clone() })
        };
        over(&self.limits.rows, self.returned.rows, "rows")
            .or_else(|| over(&self.limits.bytes, self.returned.bytes, "bytes"))
    }

    /// Counts an error or a notice; whether it takes the run beyond its bound on bytes.
    pub fn says_too_much(&mut self, frame_bytes: usize) -> bool {
        self.returned.bytes = self.returned.bytes.saturating_add(frame_bytes as u64);
        self.limits.bytes.as_ref().is_some_and(|(max, _)| self.returned.bytes > *max)
    }

    /// Whether it reads data that the client sends.
    pub fn copies_in(&self) -> bool {
        self.accesses().any(|access| access.op == Operation::CopyIn)
    }

    /// Whether it may have changed what the catalog says; in a transaction that did so before, by taking it back.
    pub fn redefines(&self, after_changes: bool) -> bool {
        self.statements.iter().any(|one| redefines(one) || after_changes && takes_back(one))
    }

    /// Every operation on every object.
    pub fn accesses(&self) -> impl Iterator<Item = &Access> {
        self.statements.iter().flat_map(|statement| &statement.accesses)
    }
}

/// Whether a statement may change what the catalog says to this session.
pub fn redefines(statement: &Classified) -> bool {
    defines(statement) || matches!(statement.action, Action::Discard(_))
}

/// Whether a statement may change what the catalog says to every session.
pub fn defines(statement: &Classified) -> bool {
    statement.accesses.iter().any(|access| is_definition(access.op) || access.op == Operation::DclGrant)
}

/// Whether an operation changes what names lead to.
pub fn is_definition(op: Operation) -> bool {
    matches!(op, Operation::DdlCreate | Operation::DdlAlter | Operation::DdlDrop | Operation::CreateAs)
}

/// Whether a statement may undo what its transaction did: a COMMIT does, once something has failed.
pub fn takes_back(statement: &Classified) -> bool {
    let Action::Transaction(transaction) = &statement.action else { return false };
    match transaction {
        Transaction::Commit { .. } | Transaction::Rollback { .. } | Transaction::RollbackTo(_) => true,
        Transaction::Begin | Transaction::Savepoint(_) | Transaction::Release(_) => false,
    }
}

/// Whether a statement reads or changes rows of a named object, or runs a routine or what was prepared.
pub fn uses_rows(statement: &Classified) -> bool {
    let uses = |access: &Access| {
        !matches!(access.object, Object::Nothing)
            && !matches!(
                access.op,
                Operation::DdlCreate | Operation::DdlAlter | Operation::DdlDrop | Operation::DclGrant
            )
    };
    statement.executes.is_some() || statement.accesses.iter().any(uses)
}

impl Awaited {
    /// The run of an entry that runs something.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Execute(run) | Self::Query(run) => Some(run),
            Self::Parse(..)
            | Self::Bind(..)
            | Self::Describe(_)
            | Self::Close(..)
            | Self::Sync
            | Self::Refused(_)
            | Self::RefusedQuery(_)
            | Self::Catalog(_)
            | Self::Begin(_)
            | Self::End(_) => None,
        }
    }

    /// The run of an entry that runs something.
    pub fn run_mut(&mut self) -> Option<&mut Run> {
        match self {
            Self::Execute(run) | Self::Query(run) => Some(run),
            Self::Parse(..)
            | Self::Bind(..)
            | Self::Describe(_)
            | Self::Close(..)
            | Self::Sync
            | Self::Refused(_)
            | Self::RefusedQuery(_)
            | Self::Catalog(_)
            | Self::Begin(_)
            | Self::End(_) => None,
        }
    }

    /// Whether ReadyForQuery answers the entry last.
    const fn ends_with_ready(&self) -> bool {
        match self {
            Self::Sync | Self::Query(_) | Self::RefusedQuery(_) | Self::Catalog(_) | Self::Begin(_) | Self::End(_) => {
                true
            }
            Self::Parse(..)
            | Self::Bind(..)
            | Self::Describe(_)
            | Self::Close(..)
            | Self::Execute(_)
            | Self::Refused(_) => false,
        }
    }
}

/// The queue.
#[derive(Debug, Default)]
pub struct Pipeline(VecDeque<Awaited>);

impl Pipeline {
    /// A message was sent.
    pub fn push(&mut self, entry: Awaited) {
        self.0.push_back(entry);
    }

    /// A message was sent whose answer comes before those of messages that are kept back.
    pub fn push_front(&mut self, entry: Awaited) {
        self.0.push_front(entry);
    }

    /// What a portal is bound to by a message that is not answered yet: the Bind, and the types that a Parse before
    /// it fixes for its statement.
    pub fn binding(&self, portal: &str) -> Option<(Option<&Binding>, Option<&[u32]>)> {
        let at = self.0.iter().rposition(|entry| matches!(entry, Awaited::Bind(_, name, _) if **name == *portal))?;
        let Some(Awaited::Bind(_, _, binding)) = self.0.get(at) else { return None };
        let of = binding.as_ref().map(|binding| &binding.statement);
        let parsed = self.0.iter().take(at).rev().find_map(|entry| match entry {
            Awaited::Parse(_, Some(typed)) if Some(&typed.0) == of => Some(typed.1.as_slice()),
            Awaited::Parse(..)
            | Awaited::Bind(..)
            | Awaited::Describe(_)
            | Awaited::Close(..)
            | Awaited::Execute(_)
            | Awaited::Sync
            | Awaited::Query(_)
            | Awaited::Refused(_)
            | Awaited::RefusedQuery(_)
            | Awaited::Catalog(_)
            | Awaited::Begin(_)
            | Awaited::End(_) => None,
        });
        Some((binding.as_deref(), parsed))
    }

    /// The entry that the server answers now.
    pub fn front(&self) -> Option<&Awaited> {
        self.0.front()
    }

    /// The entry that the server answers now.
    pub fn front_mut(&mut self) -> Option<&mut Awaited> {
        self.0.front_mut()
    }

    /// The entry that was sent last.
    pub fn back(&self) -> Option<&Awaited> {
        self.0.back()
    }

    /// The entry that was sent last.
    pub fn back_mut(&mut self) -> Option<&mut Awaited> {
        self.0.back_mut()
    }

    /// The front entry is answered.
    pub fn pop(&mut self) -> Option<Awaited> {
        self.0.pop_front()
    }

    /// How many messages are unanswered.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether everything is answered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The server reported an error: what follows up to the next Sync is never answered. Returns the failed entry,
    /// unless it is one that ReadyForQuery still answers.
    pub fn fail(&mut self) -> Option<Awaited> {
        if self.0.front().is_some_and(Awaited::ends_with_ready) {
            return None;
        }
        let failed = self.0.pop_front();
        while self.0.front().is_some_and(|entry| !matches!(entry, Awaited::Sync)) {
            self.0.pop_front();
        }
        failed
    }

    /// The server is ready: everything up to the entry that this answers is done. Returns that entry.
    pub fn ready(&mut self) -> Option<Awaited> {
        while let Some(entry) = self.0.pop_front() {
            if entry.ends_with_ready() {
                return Some(entry);
            }
        }
        None
    }

    /// The server entered COPY FROM STDIN for the front entry: it ignores each Sync that was already sent.
    pub fn forget_syncs_behind_front(&mut self) {
        let mut index = 0;
        self.0.retain(|entry| {
            index += 1;
            index == 1 || !matches!(entry, Awaited::Sync)
        });
    }

    /// Whether nothing but Syncs stands behind the front entry.
    pub fn only_syncs_behind_front(&self) -> bool {
        self.0.iter().skip(1).all(|entry| matches!(entry, Awaited::Sync))
    }

    /// Whether the entry that was sent last makes the server ready.
    pub fn ends_a_request(&self) -> bool {
        self.0.back().is_some_and(Awaited::ends_with_ready)
    }

    /// Every run that is not answered.
    pub fn runs(&self) -> impl Iterator<Item = &Run> {
        self.0.iter().filter_map(Awaited::run)
    }

    /// The entries behind the front one.
    pub fn behind_front(&self) -> impl Iterator<Item = &Awaited> {
        self.0.iter().skip(1)
    }
}
