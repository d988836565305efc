//! One statement that waits for people: what is shown, what it is bound to, and what the session is told.
//!
//! Pure. An approval is worth nothing for any other text, parameters, session or grant: the digest covers what is
//! shown, and what is shown is all that runs.

use super::id::RequestId;
use super::identity::Identity;
use lang::program::rules::{Approval, RuleId};
use lang::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Names one wait of one session, so that an answer to an earlier one is told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct HoldId(pub u64);

/// What would run, exactly.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    /// The message's text.
    pub text: String,
    /// Texts that it runs by name: prepared statements, cursors.
    #[serde(default)]
    pub named: Vec<Named>,
    /// The parameters' values, in order.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
}

/// A text that stands behind a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The text.
    pub text: String,
}

/// One parameter's value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parameter {
    /// Null.
    Null,
    /// Its text, as the client sent it or as its type reads.
    Text(String),
    /// Bytes in the binary format of a type that the gateway cannot read, in hexadecimal.
    Binary(String),
}

impl std::fmt::Display for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Text(text) => f.write_str(text),
            Self::Binary(hexadecimal) => write!(f, "\\x{hexadecimal} (binary)"),
        }
    }
}

/// A statement that waits.
#[derive(Clone, Debug)]
pub struct Held {
    /// Which wait.
    pub hold: HoldId,
    /// What would run.
    pub shown: Shown,
    /// Digest of the message's own bytes with everything that it runs by name: what is approved, to the bit.
    pub digest: String,
    /// Operations with their objects.
    pub accesses: Vec<String>,
    /// The rules that want a review, each with its approval.
    pub reviews: BTreeSet<(RuleId, String)>,
    /// When the session stops waiting.
    pub until: Timestamp,
    /// Whether the session's transaction may hold locks meanwhile.
    pub in_transaction: bool,
    /// Who asks, by the newest token that the session has seen.
    pub identity: Arc<Identity>,
    /// The connection.
    pub connection: String,
    /// The grant.
    pub grant: String,
}

/// What a machine wants of the state.
#[derive(Clone, Debug)]
pub enum HoldOrder {
    /// Ask for people's word on a statement. Asking again for the same wait asks under the policy of now.
    Ask(Box<Held>),
    /// The wait is over without one.
    Withdraw {
        /// One sentence for those who look at the request.
        sentence: String,
    },
}

/// What a machine is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldAnswer {
    /// A request waits for people.
    Asked {
        /// The request.
        request: RequestId,
        /// Where it can be decided.
        url: String,
        /// Until when it can be.
        answer_by: Timestamp,
    },
    /// It may run, once: the approval is used up.
    Released {
        /// The request.
        request: RequestId,
        /// Who approved.
        by: Vec<String>,
    },
    /// It does not run.
    Refused {
        /// One sentence for the client.
        sentence: String,
    },
}

/// What was agreed on when a statement was shown: reviews with the approvals that they name, as the policy has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreed {
    /// The rules with their approvals' names.
    pub reviews: BTreeSet<(RuleId, String)>,
    /// The approvals.
    pub approvals: Vec<Approval>,
}

impl Agreed {
    /// Whether what was agreed on covers what is wanted now.
    pub fn covers(&self, wanted: &Self) -> bool {
        wanted.reviews.is_subset(&self.reviews)
            && wanted.approvals.iter().all(|approval| self.approvals.contains(approval))
    }

    /// Adds what else was agreed on or is wanted.
    pub fn add(&mut self, other: &Self) {
        self.reviews.extend(other.reviews.iter().cloned());
        for approval in &other.approvals {
            if !self.approvals.contains(approval) {
                self.approvals.push(approval.clone());
            }
        }
    }

    /// Whether nothing needs agreeing on.
    pub fn is_empty(&self) -> bool {
        self.reviews.is_empty()
    }
}
