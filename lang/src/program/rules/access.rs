//! What opens and closes access: approvals, grants, break-glass, forbids, and who may act on others.

use super::{AtMost, Principal, Recorded};
use crate::program::scope::Scope;
use crate::protocol::OpSet;
use crate::time::{Hours, Ttl, Valid};
use serde::{Deserialize, Serialize};

/// `approval`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Approval {
    /// Name.
    pub name: String,
    /// How many people from which groups; each line needs its count.
    pub quorum: Vec<Quorum>,
    /// Whether lines need distinct people.
    pub separate: bool,
    /// How long an answer may take.
    pub answer_within: Ttl,
    /// Channels of the gateway, sorted.
    pub notify: Vec<String>,
}

/// `quorum N from=`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Quorum {
    /// How many distinct people.
    pub count: u32,
    /// Groups, any of which counts, sorted.
    pub from: Vec<String>,
}

/// How a grant is had; ordered from stricter to looser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A window opens on request.
    Requested,
    /// Always.
    Standing,
}

impl Mode {
    /// The word of the language.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Standing => "standing",
        }
    }
}

/// `grant` and `break-glass`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// Id.
    pub id: String,
    /// Connections, sorted: one for a grant, any number for break-glass.
    pub on: Vec<String>,
    /// Whom it concerns; never everybody.
    pub to: Vec<Principal>,
    /// How it is had.
    pub mode: Mode,
    /// The window, or the longest session of standing access.
    pub lifetime: Ttl,
    /// How many extensions.
    pub extend: u32,
    /// By how much each.
    pub extend_by: Ttl,
    /// Operations.
    pub permit: OpSet,
    /// Objects.
    pub scope: Scope,
    /// How much is recorded.
    pub recorded: Recorded,
    /// Approvals of its own, sorted.
    pub approvals: Vec<String>,
    /// Classes it reveals, sorted.
    pub reveal: Vec<String>,
    /// Access exists only within.
    pub hours: Option<Hours>,
    /// Days on which it is valid.
    pub valid: Option<Valid>,
    /// A reason is required.
    pub reason: bool,
    /// A ticket that matches is required.
    pub ticket: Option<String>,
    /// Multi-factor authentication is required.
    pub mfa: bool,
    /// Between two windows.
    pub cooldown: Option<Ttl>,
    /// How many windows.
    pub at_most: Option<AtMost>,
    /// Grants beside which it is meant to stand, sorted.
    pub beside: Vec<String>,
    /// What makes it a break-glass grant.
    pub break_glass: Option<BreakGlass>,
}

/// The clauses of `break-glass` alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BreakGlass {
    /// Approvals that open the window are waived.
    pub waives_approval: bool,
    /// Channels, sorted.
    pub notify: Vec<String>,
    /// How long the review afterwards may take.
    pub within: Ttl,
    /// Who reviews.
    pub review: Quorum,
}

/// `forbid`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Forbid {
    /// Name.
    pub name: String,
    /// Connections, sorted.
    pub on: Vec<String>,
    /// Whom it concerns; never everybody.
    pub to: Vec<Principal>,
    /// When it applies.
    pub hours: Option<Hours>,
    /// Days on which it applies.
    pub valid: Option<Valid>,
}

/// `operate`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Operate {
    /// Name.
    pub name: String,
    /// Connections, sorted.
    pub on: Vec<String>,
    /// Who; never everybody.
    pub to: Vec<Principal>,
    /// What, sorted.
    pub may: Vec<Operator>,
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    /// End windows and sessions.
    Revoke,
    /// Follow live sessions.
    Watch,
    /// Read recordings.
    Replay,
    /// See requests.
    Requests,
    /// See the policy's state.
    Policy,
    /// Hold recordings against retention, and release them.
    Hold,
}

impl Operator {
    /// The word of the language.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Watch => "watch",
            Self::Replay => "replay",
            Self::Requests => "requests",
            Self::Policy => "policy",
            Self::Hold => "hold",
        }
    }

    /// The capability that a policy's word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Revoke, Self::Watch, Self::Replay, Self::Requests, Self::Policy, Self::Hold]
            .into_iter()
            .find(|may| may.word() == word)
    }
}
