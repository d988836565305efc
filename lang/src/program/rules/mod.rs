//! The canonical tables of a policy: what `lower` writes, what a bundle carries, what [`super::Program`] indexes.
//!
//! Every list is sorted by name and every set is sorted, so that one policy has one representation whatever the
//! order of its files and nodes. Nothing here depends on formatting: files and lines stand in the
//! [`super::SourceTable`] beside it.

mod access;
mod estate;
mod limits;
mod proof;

pub use access::{Approval, BreakGlass, Forbid, Grant, Mode, Operate, Operator, Quorum};
pub use estate::{
    AbsentGroups, Claims, Classified, Connection, Credential, Group, Idp, IdpFlavour, Masking, Overage, Tls,
};
pub use limits::{AtMost, Guard, Limits, Mask, MaskAs, PerKind, Principal, Recorded, Region, Review, To};
pub use proof::{Expect, Expected, Test};

use crate::time::Ttl;
use serde::{Deserialize, Serialize};

/// A whole policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The policy's name.
    pub name: String,
    /// IANA name of the one timezone.
    pub timezone: String,
    /// What happens when the gateway cannot confirm the branch's tip.
    pub staleness: Option<Staleness>,
    /// Identity providers.
    pub idps: Vec<Idp>,
    /// Groups.
    pub groups: Vec<Group>,
    /// Sets of groups of which a subject may hold one; each sorted.
    pub disjoint: Vec<Vec<String>>,
    /// Connections.
    pub connections: Vec<Connection>,
    /// Ceilings and floors.
    pub limits: Vec<Limits>,
    /// Masks.
    pub masks: Vec<Mask>,
    /// Guards.
    pub guards: Vec<Guard>,
    /// Approvals.
    pub approvals: Vec<Approval>,
    /// Grants and break-glass grants; ids share one namespace.
    pub grants: Vec<Grant>,
    /// Forbids.
    pub forbids: Vec<Forbid>,
    /// Who may act on other people's sessions.
    pub operators: Vec<Operate>,
    /// Embedded policy tests: the gateway runs them before it activates.
    pub tests: Vec<Test>,
}

/// `staleness max= then=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staleness {
    /// How long the tip may stay unconfirmed.
    pub max: Ttl,
    /// What then holds.
    pub then: WhenStale,
}

/// What holds when a policy is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenStale {
    /// The last good bundle stays in force.
    Keep,
    /// Open windows run to their end; nothing new opens.
    NoNewWindows,
    /// Nothing is permitted.
    Deny,
}

/// The kinds of rules that a decision can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// `grant`.
    Grant,
    /// `break-glass`.
    BreakGlass,
    /// `forbid`.
    Forbid,
    /// `guard`.
    Guard,
    /// `limits`.
    Limits,
    /// `mask`.
    Mask,
    /// `approval`.
    Approval,
    /// `operate`.
    Operate,
    /// `connection`.
    Connection,
    /// `group`.
    Group,
    /// `disjoint`.
    Disjoint,
    /// `idp`.
    Idp,
    /// `test`.
    Test,
    /// `assert`.
    Assert,
    /// `policy`.
    Policy,
}

impl RuleKind {
    /// The keyword of the language.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::BreakGlass => "break-glass",
            Self::Forbid => "forbid",
            Self::Guard => "guard",
            Self::Limits => "limits",
            Self::Mask => "mask",
            Self::Approval => "approval",
            Self::Operate => "operate",
            Self::Connection => "connection",
            Self::Group => "group",
            Self::Disjoint => "disjoint",
            Self::Idp => "idp",
            Self::Test => "test",
            Self::Assert => "assert",
            Self::Policy => "policy",
        }
    }
}

/// Names a rule: `guard prod-sql`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleId {
    /// Its kind.
    pub kind: RuleKind,
    /// Its name or id.
    pub name: String,
}

impl RuleId {
    /// The rule of this kind and name.
    pub fn new(kind: RuleKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl std::fmt::Display for RuleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.name)
    }
}
