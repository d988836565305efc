//! What the gateway says about the policy it follows: for the API, the command line and the log. No policy text.

use crate::gateway::policy::{Staleness, State};
use lang::time::Timestamp;
use serde::Serialize;

/// The state of the policy, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// The policy in force; none before the first activation: nothing is permitted.
    pub active: Option<ActiveStatus>,
    /// When the branch's tip was last seen to be the commit in force.
    pub confirmed_at: Option<String>,
    /// `fresh`, `no-new-windows` or `deny`.
    pub staleness: &'static str,
    /// The newest failure, when it is newer than the newest success.
    pub last_error: Option<FailureStatus>,
}

/// The policy in force, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ActiveStatus {
    /// The policy's name.
    pub policy: String,
    /// Semantic digest.
    pub digest: String,
    /// Commit.
    pub commit: String,
    /// The commit's committer date.
    pub committed_at: String,
    /// When this gateway activated it.
    pub activated_at: String,
}

/// A failure, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FailureStatus {
    /// When.
    pub at: String,
    /// The commit concerned.
    pub commit: Option<String>,
    /// What is wrong and the way out; may have several lines.
    pub sentence: String,
}

/// The status of a state.
pub fn status(state: &State) -> Status {
    Status {
        active: state.active.as_ref().map(|active| ActiveStatus {
            policy: active.program.rules().name.clone(),
            digest: active.digest.clone(),
            commit: active.commit.clone(),
            committed_at: active.committed_at.to_string(),
            activated_at: active.activated_at.to_string(),
        }),
        confirmed_at: state.confirmed_at.as_ref().map(Timestamp::to_string),
        staleness: match state.staleness {
            Staleness::Fresh => "fresh",
            Staleness::NoNewWindows => "no-new-windows",
            Staleness::Deny => "deny",
        },
        last_error: state.last_error.as_ref().map(|failure| FailureStatus {
            at: failure.at.to_string(),
            commit: failure.commit.clone(),
            sentence: failure.sentence.clone(),
        }),
    }
}
