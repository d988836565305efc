//! Why something is refused: a rule, and a sentence that a person or an agent can act on.

use super::rules::RuleId;
use super::{Object, SubjectKind};
use crate::protocol::Operation;
use std::fmt;

/// One reason of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The rule that decided, when one did.
    pub rule: Option<RuleId>,
    /// What it decided.
    pub why: Why,
}

impl Reason {
    /// The reason `why`, decided by `rule`.
    pub fn new(rule: Option<RuleId>, why: Why) -> Self {
        Self { rule, why }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.why)?;
        match &self.rule {
            Some(rule) => write!(f, " ({rule})"),
            None => Ok(()),
        }
    }
}

/// What a refusal rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The policy has no such idp.
    UnknownIdp(String),
    /// The policy has no such group.
    UnknownGroup(String),
    /// The policy has no such connection.
    UnknownConnection(String),
    /// The token carries no group evidence.
    MissingGroupEvidence,
    /// A group that only another kind may hold.
    GroupOfAnotherKind {
        /// The kind that the group is declared for.
        declared: SubjectKind,
        /// The subject's.
        actual: SubjectKind,
    },
    /// Groups that nobody may hold together.
    Disjoint(Vec<String>),
    /// A forbid applies.
    Forbidden,
    /// No grant of the connection concerns the subject.
    NoGrant(String),
    /// The grant that was named does not exist on the connection, or does not concern the subject.
    NoSuchGrant(String),
    /// The grant exists, but not now.
    OutsideHours,
    /// The grant is not valid on this day.
    NotValidToday,
    /// Several grants match and none was named.
    Ambiguous(Vec<String>),
    /// Standing access is denied here.
    StandingDenied,
    /// Multi-factor authentication is required and not proved.
    MfaRequired,
    /// The grant does not permit the operation.
    NotPermitted {
        /// The operation.
        op: Operation,
        /// Its object.
        object: Object,
    },
    /// The grant permits the operation, but not on this object.
    OutOfScope {
        /// The operation.
        op: Operation,
        /// Its object.
        object: Object,
    },
    /// A guard blocks the operation.
    Blocked {
        /// The operation.
        op: Operation,
        /// Its object.
        object: Object,
    },
    /// A guard permits only other operations.
    OnlyOthers {
        /// The operation.
        op: Operation,
        /// Its object.
        object: Object,
    },
    /// A guard permits only other command lines.
    CommandNotPermitted(String),
}

fn phrase(op: Operation, object: &Object) -> String {
    match object {
        Object::Nothing => format!("`{op}`"),
        Object::Table { .. } | Object::Kubernetes { .. } | Object::Path(_) | Object::Argv(_) => {
            format!("`{op}` on `{object}`")
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownIdp(name) => write!(f, "the policy has no identity provider `{name}`"),
            Self::UnknownGroup(name) => write!(f, "the policy has no group `{name}`"),
            Self::UnknownConnection(name) => write!(f, "there is no connection `{name}`"),
            Self::MissingGroupEvidence => f.write_str(
                "the token does not list its groups, so rules about groups could not be checked; \
                 have the application emit the groups claim",
            ),
            Self::GroupOfAnotherKind { declared, actual } => {
                write!(
                    f,
                    "the token asserts a group that only the kind {declared} may hold, and its subject is of kind {actual}"
                )
            }
            Self::Disjoint(groups) => {
                write!(f, "the token asserts groups that nobody may hold together: {}", groups.join(", "))
            }
            Self::Forbidden => f.write_str("access is forbidden"),
            Self::NoGrant(connection) => write!(f, "no grant gives you access to `{connection}`"),
            Self::NoSuchGrant(grant) => write!(f, "`{grant}` is not a grant that you hold on this connection"),
            Self::OutsideHours => f.write_str("access exists only within its hours, and now is outside them"),
            Self::NotValidToday => f.write_str("the rule is not valid today"),
            Self::Ambiguous(grants) => {
                write!(f, "several grants match; name one of them: {}", grants.join(", "))
            }
            Self::StandingDenied => f.write_str("standing access is denied here"),
            Self::MfaRequired => f.write_str("multi-factor authentication is required; sign in again with it"),
            Self::NotPermitted { op, object } => {
                write!(f, "{} is not permitted by your grant", phrase(*op, object))
            }
            Self::OutOfScope { op, object } => {
                write!(f, "{} is outside the objects of your grant", phrase(*op, object))
            }
            Self::Blocked { op, object } => write!(f, "{} is blocked", phrase(*op, object)),
            Self::OnlyOthers { op, object } => {
                write!(f, "{} is not among the operations that are allowed here", phrase(*op, object))
            }
            Self::CommandNotPermitted(argv) => write!(f, "the command `{argv}` is not permitted"),
        }
    }
}
