//! The rules that decide: limits, masks, guards, approvals, grants, forbids, operators.

use super::{ApprovalId, ConnectionId, GrantId, GroupId, Head, Objects, On, Ops, PerKind, Principal, To};
use crate::{
    program::rules::{Mode, Operator, Recorded},
    protocol::OpSet,
    span::{Span, Spanned},
    time::{Hours, Ttl, Valid},
};
use std::collections::BTreeSet;

pub use crate::program::rules::AtMost;

/// Ceilings and floors.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Name and place.
    pub head: Head,
    /// On which connections.
    pub on: On,
    /// Whom it concerns.
    pub to: To,
    /// The longest total.
    pub lifetime: PerKind<Ttl>,
    /// The most extensions.
    pub extend: PerKind<u32>,
    /// Whether standing access is denied; `None` when the rule does not say.
    pub standing_denied: Option<Spanned<bool>>,
    /// The least recording.
    pub recorded: Option<Spanned<Recorded>>,
    /// Approvals that every window needs.
    pub approvals: Vec<Spanned<ApprovalId>>,
    /// The `reason` clause.
    pub reason: Option<Span>,
    /// What a ticket must match.
    pub ticket: Option<Spanned<String>>,
    /// The `mfa` clause.
    pub mfa: Option<Span>,
    /// Access exists only within.
    pub hours: Option<Spanned<Hours>>,
    /// Between two windows.
    pub cooldown: Option<Spanned<Ttl>>,
    /// How many windows.
    pub at_most: Option<Spanned<AtMost>>,
}

/// A mask.
#[derive(Clone, Debug)]
pub struct Mask {
    /// Name and place.
    pub head: Head,
    /// On which connections; all when absent.
    pub on: Option<On>,
    /// Whom it concerns.
    pub to: To,
    /// Class patterns.
    pub classes: Vec<Spanned<String>>,
    /// `schema.table.column` patterns.
    pub columns: Vec<Spanned<String>>,
    /// Patterns over values.
    pub patterns: Vec<PatternMask>,
    /// JSON pointers.
    pub json: Vec<Spanned<String>>,
    /// How.
    pub form: Spanned<MaskForm>,
    /// Whether a grant may lift it; `None` when the rule does not say, which means never.
    pub reveal_by_grant: Option<Spanned<bool>>,
}

pub use crate::program::rules::MaskAs as MaskForm;

/// A pattern over values.
#[derive(Clone, Debug)]
pub struct PatternMask {
    /// The expression.
    pub regex: Spanned<String>,
    /// What a hit must pass.
    pub check: Option<Spanned<String>>,
}

/// A guard.
#[derive(Clone, Debug)]
pub struct Guard {
    /// Name and place.
    pub head: Head,
    /// On which connections.
    pub on: On,
    /// Whom it concerns.
    pub to: To,
    /// What is blocked.
    pub blocks: Vec<Region>,
    /// Outside of which everything is blocked.
    pub only: Option<Region>,
    /// What waits for a person.
    pub reviews: Vec<Review>,
    /// The only command lines that may run.
    pub argv: Vec<Spanned<String>>,
    /// The most rows.
    pub rows: Option<Spanned<u64>>,
    /// The most seconds.
    pub seconds: Option<Spanned<u64>>,
    /// The most bytes.
    pub bytes: Option<Spanned<u64>>,
    /// When it applies.
    pub hours: Option<Spanned<Hours>>,
}

/// Operations on objects: a `block` or `only` clause.
#[derive(Clone, Debug)]
pub struct Region {
    /// The operations.
    pub ops: Ops,
    /// The objects.
    pub objects: Objects,
    /// The clause's head.
    pub span: Span,
}

/// A `review` clause.
#[derive(Clone, Debug)]
pub struct Review {
    /// What waits.
    pub region: Region,
    /// For which approval; `None` when its name is not defined, which is reported.
    pub by: Option<Spanned<ApprovalId>>,
}

/// An approval.
#[derive(Clone, Debug)]
pub struct Approval {
    /// Name and place.
    pub head: Head,
    /// How many people from which groups; each line needs its count.
    pub quorum: Vec<Quorum>,
    /// Whether lines need distinct people; `None` when the rule does not say, which means yes.
    pub separate: Option<Spanned<bool>>,
    /// How long an answer may take; `None` means an hour.
    pub answer_within: Option<Spanned<Ttl>>,
    /// Channels that are told.
    pub notify: Vec<Spanned<String>>,
}

/// One line of an approval.
#[derive(Clone, Debug)]
pub struct Quorum {
    /// How many distinct people.
    pub count: Spanned<u32>,
    /// Of which group.
    pub from: Spanned<GroupId>,
    /// The line.
    pub span: Span,
}

/// A grant or a break-glass grant.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Id and place.
    pub head: Head,
    /// Whether `id=` is written.
    pub id_stated: bool,
    /// On what.
    pub target: Target,
    /// To whom.
    pub to: Vec<Principal>,
    /// How it is had; break-glass is always requested.
    pub mode: Spanned<Mode>,
    /// How long.
    pub lifetime: Lifetime,
    /// `permit`, when it is written.
    pub permit: Option<Ops>,
    /// The operations: what `permit` says, else `read` of the connections' kinds.
    pub ops: OpSet,
    /// The objects.
    pub objects: Objects,
    /// `recorded`, when it is written; the default is full.
    pub recorded: Option<Spanned<Recorded>>,
    /// Approvals of its own.
    pub approvals: Vec<Spanned<ApprovalId>>,
    /// Classes that it reveals.
    pub reveal: Vec<Spanned<String>>,
    /// Access exists only within.
    pub hours: Option<Spanned<Hours>>,
    /// Days on which it is valid.
    pub valid: Option<Spanned<Valid>>,
    /// The `reason` clause.
    pub reason: Option<Span>,
    /// What a ticket must match.
    pub ticket: Option<Spanned<String>>,
    /// The `mfa` clause.
    pub mfa: Option<Span>,
    /// Between two windows.
    pub cooldown: Option<Spanned<Ttl>>,
    /// How many windows.
    pub at_most: Option<Spanned<AtMost>>,
    /// Grants beside which it is meant to stand.
    pub beside: Vec<Spanned<GrantId>>,
    /// What makes it a break-glass grant.
    pub break_glass: Option<BreakGlass>,
}

impl Grant {
    /// How much is recorded.
    pub fn recorded(&self) -> Recorded {
        self.recorded.as_ref().map_or(Recorded::Full, |stated| stated.value)
    }

    /// Whether it is a break-glass grant.
    pub const fn is_break_glass(&self) -> bool {
        self.break_glass.is_some()
    }

    /// The connections that it concerns.
    pub fn connections(&self) -> BTreeSet<ConnectionId> {
        match &self.target {
            Target::One(connection) => BTreeSet::from([connection.value]),
            Target::Selected(on) => on.connections.clone(),
            Target::Unknown => BTreeSet::new(),
        }
    }

    /// The keyword that begins it.
    pub const fn keyword(&self) -> &'static str {
        if self.is_break_glass() { "break-glass" } else { "grant" }
    }
}

/// What a grant concerns.
#[derive(Clone, Debug)]
pub enum Target {
    /// The one connection of a grant.
    One(Spanned<ConnectionId>),
    /// The connections that break-glass selects.
    Selected(On),
    /// A connection that is not defined, which is reported.
    Unknown,
}

/// `lifetime "…" extend= by=`.
#[derive(Clone, Debug)]
pub struct Lifetime {
    /// The window, or the longest session of standing access.
    pub length: Spanned<Ttl>,
    /// How many extensions; none when absent.
    pub extend: Option<Spanned<u32>>,
    /// By how much each; the window's length when absent.
    pub by: Option<Spanned<Ttl>>,
    /// The clause.
    pub span: Span,
}

impl Lifetime {
    /// How many extensions.
    pub fn extensions(&self) -> u32 {
        self.extend.as_ref().map_or(0, |extend| extend.value)
    }

    /// By how much each.
    pub fn extension(&self) -> Ttl {
        self.by.as_ref().map_or(self.length.value, |by| by.value)
    }

    /// The window with all extensions.
    pub fn total(&self) -> Ttl {
        self.length.value.plus(self.extension().times(self.extensions()))
    }
}

/// The clauses of break-glass alone.
#[derive(Clone, Debug)]
pub struct BreakGlass {
    /// The `waives approval` clause.
    pub waives_approval: Option<Span>,
    /// Channels that are told.
    pub notify: Vec<Spanned<String>>,
    /// How long the review afterwards may take.
    pub within: Spanned<Ttl>,
    /// Who reviews; `None` when the group is not defined, which is reported.
    pub review: Option<Quorum>,
}

/// A forbid.
#[derive(Clone, Debug)]
pub struct Forbid {
    /// Name and place.
    pub head: Head,
    /// On which connections.
    pub on: On,
    /// Whom.
    pub to: Vec<Principal>,
    /// When.
    pub hours: Option<Spanned<Hours>>,
    /// On which days.
    pub valid: Option<Spanned<Valid>>,
}

/// Who may act on other people's sessions.
#[derive(Clone, Debug)]
pub struct Operate {
    /// Name and place.
    pub head: Head,
    /// On which connections.
    pub on: On,
    /// Who.
    pub to: Vec<Principal>,
    /// What.
    pub may: Vec<Spanned<Operator>>,
}
