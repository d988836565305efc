//! Whom rules concern, and what restricts: limits, masks and guards.

use crate::program::SubjectKind;
use crate::program::scope::Scope;
use crate::protocol::OpSet;
use crate::time::{Hours, Ttl};
use serde::{Deserialize, Serialize};

/// One alternative of `to`: all of these groups, and the kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Principal {
    /// Groups, sorted; all are needed.
    pub groups: Vec<String>,
    /// The kind, when the line names one.
    pub kind: Option<SubjectKind>,
}

/// Whom a rule concerns: any of the alternatives; `everybody` when the rule has no `to`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum To {
    /// Every subject.
    Everybody,
    /// Any of these, sorted.
    Any(Vec<Principal>),
}

/// Per-kind values; a kind left out is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PerKind<T> {
    /// For people.
    pub human: Option<T>,
    /// For services.
    pub service: Option<T>,
    /// For agents.
    pub agent: Option<T>,
}

impl<T: Copy> PerKind<T> {
    /// The value for `kind`.
    pub const fn of(&self, kind: SubjectKind) -> Option<T> {
        match kind {
            SubjectKind::Human => self.human,
            SubjectKind::Service => self.service,
            SubjectKind::Agent => self.agent,
        }
    }
}

/// How much of a session is recorded; ordered from less to more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recorded {
    /// Opening, decisions and end.
    None,
    /// Statements and counts.
    Metadata,
    /// Everything, rows included.
    Full,
}

impl Recorded {
    /// The word of the language.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Metadata => "metadata",
            Self::Full => "full",
        }
    }
}

/// At most `count` windows in a rolling period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AtMost {
    /// How many.
    pub count: u32,
    /// The rolling period.
    pub per: Ttl,
}

/// `limits`: ceilings and floors.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Name.
    pub name: String,
    /// Connections, sorted.
    pub on: Vec<String>,
    /// Whom it concerns.
    pub to: To,
    /// The longest total, lifetime and extensions.
    pub lifetime: PerKind<Ttl>,
    /// The most extensions.
    pub extend: PerKind<u32>,
    /// Whether standing access is denied.
    pub standing_denied: bool,
    /// The least recording.
    pub recorded: Option<Recorded>,
    /// Approvals that every window needs, sorted.
    pub approvals: Vec<String>,
    /// A reason is required.
    pub reason: bool,
    /// A ticket that matches is required.
    pub ticket: Option<String>,
    /// Multi-factor authentication is required.
    pub mfa: bool,
    /// Access exists only within.
    pub hours: Option<Hours>,
    /// Between two windows.
    pub cooldown: Option<Ttl>,
    /// How many windows.
    pub at_most: Option<AtMost>,
}

/// How a value is masked; ordered from weaker to stricter by [`super::terms`], not here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskAs {
    /// Keeps the first and last characters.
    Partial {
        /// Kept at the beginning.
        keep_first: u32,
        /// Kept at the end.
        keep_last: u32,
    },
    /// A keyed hash.
    Hash,
    /// `[redacted]`.
    Redact,
    /// A fixed text.
    Fixed(String),
    /// NULL.
    Nullify,
}

/// `mask`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mask {
    /// Name.
    pub name: String,
    /// Connections, sorted; every connection when the rule has no `on`.
    pub on: Option<Vec<String>>,
    /// Whom it concerns.
    pub to: To,
    /// Class patterns (`pii.*`), sorted.
    pub classes: Vec<String>,
    /// Columns, `schema.table.column`, sorted.
    pub columns: Vec<String>,
    /// Patterns over values with their checks, sorted.
    pub patterns: Vec<(String, Option<String>)>,
    /// JSON pointers, sorted.
    pub json: Vec<String>,
    /// How.
    pub mask: MaskAs,
    /// Whether a grant may lift it.
    pub reveal_by_grant: bool,
}

/// `guard`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Guard {
    /// Name.
    pub name: String,
    /// Connections, sorted.
    pub on: Vec<String>,
    /// Whom it concerns.
    pub to: To,
    /// Blocked operations with their scopes.
    pub blocks: Vec<Region>,
    /// Operations outside of which everything is blocked; none of them means no `only`.
    pub only: Vec<Region>,
    /// Operations that wait for a person.
    pub reviews: Vec<Review>,
    /// Permitted command lines; empty means any.
    pub argv: Vec<String>,
    /// The most rows that a statement may return.
    pub rows: Option<u64>,
    /// The longest run of a statement.
    pub seconds: Option<u64>,
    /// The most bytes that a statement may return.
    pub bytes: Option<u64>,
    /// When it applies.
    pub hours: Option<Hours>,
}

/// Operations on objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Region {
    /// Operations.
    pub ops: OpSet,
    /// Objects.
    pub scope: Scope,
}

/// `review … by=`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Review {
    /// What waits.
    pub region: Region,
    /// The approval.
    pub by: String,
}
