//! What the store holds, as values.
//!
//! Serde derives stand here because these are the rows of the store; nothing in them may be a secret.

use crate::core::hold::Shown;
use crate::core::id::{RequestId, SessionId, WindowId};
use crate::core::identity::{Identity, Subject, SubjectKind};
use lang::program::Terms;
use lang::program::rules::Recorded;
use lang::time::{Timestamp, Ttl};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What a requester's token asserted, kept so that an approval can judge the requester by the policy of its own
/// moment. Object ids and roles, never the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The kind that the token's shape gave.
    pub kind: SubjectKind,
    /// Object ids of groups; `None` when the token carried no group evidence.
    pub group_ids: Option<BTreeSet<String>>,
    /// Values of the roles claim.
    pub claim_values: BTreeSet<String>,
    /// Whether multi-factor authentication was proved.
    pub mfa: bool,
}

impl Evidence {
    /// What an identity asserts.
    pub fn of(identity: &Identity) -> Self {
        Self {
            kind: identity.kind,
            group_ids: identity.group_ids.clone(),
            claim_values: identity.claim_values.clone(),
            mfa: identity.mfa,
        }
    }
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// A new window.
    Open,
    /// One extension of a window.
    Extend(WindowId),
    /// One statement of a live session.
    Statement(Box<Statement>),
}

impl Purpose {
    /// The statement that the request is for.
    pub fn statement(&self) -> Option<&Statement> {
        match self {
            Self::Open | Self::Extend(_) => None,
            Self::Statement(statement) => Some(statement),
        }
    }
}

/// A statement that waits in a live session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The session.
    pub session: SessionId,
    /// What would run, exactly. Once it is decided, a level below `full` keeps no parameters of it, and `none` no text.
    pub shown: Shown,
    /// Digest of the message and everything that it runs by name.
    pub digest: String,
    /// Operations with their objects.
    pub accesses: Vec<String>,
    /// The rules that want the review.
    pub rules: Vec<String>,
    /// Whether the session's transaction may hold locks while it waits.
    pub in_transaction: bool,
    /// How much of the session is recorded.
    pub recorded: Recorded,
}

/// What was asked: fixed when the request is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who asks.
    pub subject: Subject,
    /// What the token calls the subject, for people only.
    pub subject_name: Option<String>,
    /// The kind under the policy.
    pub kind: SubjectKind,
    /// What the token asserted.
    pub evidence: Evidence,
    /// The connection.
    pub connection: String,
    /// The grant.
    pub grant: String,
    /// A new window or an extension.
    pub purpose: Purpose,
    /// Why, in the requester's words.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// How long the window is to last.
    pub lifetime: Ttl,
    /// The effective terms that were shown.
    pub terms: Terms,
    /// Digest of everything that an approval binds to.
    pub binding: String,
    /// Semantic digest of the bundle.
    pub bundle: String,
    /// Commit of the policy repository.
    pub commit: String,
    /// Channels that are told of it, as its approvals say.
    #[serde(default)]
    pub notify: BTreeSet<String>,
    /// When.
    pub at: Timestamp,
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// It waits for people.
    Pending,
    /// Its window opened, or its extension took place.
    Approved,
    /// An approver refused.
    Denied,
    /// The requester took it back.
    Withdrawn,
    /// Nobody answered in time.
    Lapsed,
    /// The terms changed, and the requester asked again.
    Superseded,
}

impl RequestState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Approved, Self::Denied, Self::Withdrawn, Self::Lapsed, Self::Superseded];

    /// The word in rows and in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Lapsed => "lapsed",
            Self::Superseded => "superseded",
        }
    }

    /// The state that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.word() == word)
    }
}

/// How a request was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// When.
    pub at: Timestamp,
    /// By whom; none when the policy or time decided.
    pub by: Option<Subject>,
    /// What was said.
    pub note: Option<String>,
}

/// One person's approval: used once, for this request only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who.
    pub subject: Subject,
    /// What the token calls the person.
    pub subject_name: Option<String>,
    /// The kind of who gave it; only a person's counts.
    pub kind: SubjectKind,
    /// The policy's groups that the person held at that moment, sorted.
    pub groups: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// A request with its votes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// What was asked.
    pub asked: Asked,
    /// Where it stands, as written; [`Request::state_at`] says what holds now.
    pub state: RequestState,
    /// When it lapses; the instant of asking when nobody needs to answer.
    pub answer_by: Timestamp,
    /// How it was decided.
    pub settled: Option<Settled>,
    /// The window that it opened or extended.
    pub window: Option<WindowId>,
    /// Who approved so far, oldest first.
    pub votes: Vec<Vote>,
    /// When the approval of a statement was used up.
    #[serde(default)]
    pub used: Option<Timestamp>,
}

impl Request {
    /// Where the request stands at an instant: a deadline needs nobody to write it down.
    pub fn state_at(&self, now: Timestamp) -> RequestState {
        if self.state == RequestState::Pending && now >= self.answer_by { RequestState::Lapsed } else { self.state }
    }
}

/// Why a window ended before or at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndCause {
    /// Its time was over.
    Expired,
    /// Its owner ended it.
    Returned,
    /// Somebody who may revoke ended it.
    Revoked,
}

impl EndCause {
    /// The word in rows and in the API.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Returned => "returned",
            Self::Revoked => "revoked",
        }
    }

    /// The cause that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Expired, Self::Returned, Self::Revoked].into_iter().find(|cause| cause.word() == word)
    }
}

/// How a window ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub cause: EndCause,
    /// By whom; none for time.
    pub by: Option<Subject>,
}

/// A window: an absolute interval in which sessions may run under one grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its name.
    pub id: WindowId,
    /// The request that opened it.
    pub request: RequestId,
    /// Whose.
    pub subject: Subject,
    /// What the token calls the subject, for people only.
    pub subject_name: Option<String>,
    /// The kind under the policy.
    pub kind: SubjectKind,
    /// The connection.
    pub connection: String,
    /// The grant.
    pub grant: String,
    /// Why, in the requester's words.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// Digest of the terms under which it opened.
    pub binding: String,
    /// Semantic digest of the bundle under which it opened.
    pub bundle: String,
    /// Commit of the policy repository.
    pub commit: String,
    /// When it opened.
    pub started: Timestamp,
    /// When it is over.
    pub ends: Timestamp,
    /// How often it was extended.
    pub extensions: u32,
    /// How it ended, as written; [`Window::is_open`] says what holds now.
    pub ended: Option<End>,
}

impl Window {
    /// Whether sessions may run in it at an instant. A clock that was set back before its start closes it.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.ended.is_none() && self.started <= now && now < self.ends
    }

    /// When it was or will be over.
    pub fn over_at(&self) -> Timestamp {
        self.ended.as_ref().map_or(self.ends, |end| end.at.min(self.ends))
    }
}

/// An extension of a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// The window.
    pub window: WindowId,
    /// How many extensions there were.
    pub before: u32,
    /// The end that it moves.
    pub from: Timestamp,
    /// The new end.
    pub to: Timestamp,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// When.
    pub at: Timestamp,
    /// A word: see [`crate::core::machine::Cause::word`].
    pub cause: String,
    /// One sentence for people.
    pub sentence: String,
}

/// A session's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its name.
    pub id: SessionId,
    /// The gateway that held it.
    pub gateway: String,
    /// Whose.
    pub subject: Subject,
    /// What the token calls the subject, for people only.
    pub subject_name: Option<String>,
    /// The kind under the policy.
    pub kind: SubjectKind,
    /// The connection.
    pub connection: String,
    /// The protocol.
    pub protocol: String,
    /// The grant.
    pub grant: String,
    /// The request behind the window; none for standing access.
    pub request: Option<RequestId>,
    /// The window; none for standing access.
    pub window: Option<WindowId>,
    /// How much is recorded.
    pub recorded: Recorded,
    /// Semantic digest of the bundle at its beginning.
    pub bundle: String,
    /// Commit of the policy repository.
    pub commit: String,
    /// Why, in the requester's words.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// The start-up `application_name`.
    pub application_name: Option<String>,
    /// A trace id that the client supplied.
    pub trace: Option<String>,
    /// The client's address.
    pub peer: String,
    /// When it began.
    pub started: Timestamp,
    /// The absolute end at its beginning.
    pub ends: Timestamp,
    /// How it ended.
    pub closed: Option<SessionEnd>,
}

/// A bundle that was activated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// Semantic digest.
    pub digest: String,
    /// Commit of the policy repository.
    pub commit: String,
    /// The commit's committer date.
    pub committed_at: Timestamp,
    /// When this gateway activated it.
    pub activated_at: Timestamp,
    /// The gateway.
    pub gateway: String,
    /// The commit that this gateway served before; none for its first. The store fills it in.
    pub previous: Option<String>,
    /// Which rules changed, one a line; empty for the first.
    pub summary: String,
    /// Who gained and lost what, one sentence each.
    #[serde(default)]
    pub access: Vec<String>,
}

/// One entry of the append-only history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its number: ascending, without reuse.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who; none for the policy and for time.
    pub actor: Option<Subject>,
    /// What: `request.asked`, `request.vote`, `window.opened`…
    pub event: String,
    /// The request, window or session.
    pub about: String,
    /// More, as JSON.
    pub detail: serde_json::Value,
}
