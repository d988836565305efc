//! What a transaction may change. Each change carries its own precondition, which the engine enforces whatever the
//! judge thought.

use super::after::{Notice, Review, Verdict};
use super::row::{EndCause, Extension, Request, RequestState, Session, SessionEnd, Vote, Window};
use crate::core::id::{RequestId, SessionId, WindowId};
use crate::core::identity::Subject;
use lang::time::Timestamp;

/// The changes of one transaction.
#[derive(Clone, Debug)]
pub struct Changes {
    /// When.
    pub at: Timestamp,
    /// Who; none for time.
    pub actor: Option<Subject>,
    /// In this order.
    pub list: Vec<Change>,
    /// What to answer when the client repeats itself.
    pub remember: Option<Remember>,
}

/// An answer under a client's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remember {
    /// The answer, as JSON.
    pub answer: String,
}

/// One change.
#[derive(Clone, Debug)]
pub enum Change {
    /// A new request. None may be undecided for the same subject, connection and grant.
    Ask(Box<Request>),
    /// A vote. The request must be undecided, and the person must not have voted on it.
    Vote {
        /// The request.
        request: RequestId,
        /// The vote.
        vote: Vote,
        /// The deadline of what is still missing.
        answer_by: Timestamp,
    },
    /// The end of a request. It must be undecided.
    Settle {
        /// The request.
        request: RequestId,
        /// Its last state; never pending.
        state: RequestState,
        /// What was said.
        note: Option<String>,
        /// The window that it opened or extended.
        window: Option<WindowId>,
    },
    /// The one use of an approved statement. Its request must be approved, for this statement of this session, and the
    /// session must be open.
    Release {
        /// The request.
        request: RequestId,
        /// The session.
        session: SessionId,
        /// Digest of the statement.
        digest: String,
    },
    /// A new window. None may be open for the same subject, connection and grant, and the request that opens it must
    /// have opened none.
    Open(Box<Window>),
    /// Another end. The window must have the end and the number of extensions that the judge saw, and not be over.
    Extend(Extension),
    /// The early end of a window. It must not have ended.
    End {
        /// The window.
        window: WindowId,
        /// Why.
        cause: EndCause,
    },
    /// A session began. Its window, if it has one, must be open.
    SessionOpened(Box<Session>),
    /// A session ended. It must not have ended.
    SessionClosed {
        /// The session.
        session: SessionId,
        /// How.
        end: SessionEnd,
    },
    /// A break-glass window opened, and its review is owed.
    OweReview(Box<Review>),
    /// A word on a break-glass window. Its review must not be done, and the person must not have spoken.
    Verdict {
        /// The window.
        window: WindowId,
        /// What was said.
        verdict: Verdict,
        /// Whether it is the last missing one.
        done: bool,
    },
    /// News for a channel, posted after the commit.
    Notify(Box<Notice>),
    /// Somebody asked for the end of a session: an entry in the history; the session itself says when it ended.
    SessionTerminated {
        /// The session.
        session: SessionId,
    },
    /// Somebody holds a session's recording: an entry in the history.
    SessionHeld {
        /// The session.
        session: SessionId,
        /// Why.
        why: String,
    },
    /// Somebody released it: an entry in the history.
    SessionReleased {
        /// The session.
        session: SessionId,
        /// Why.
        why: String,
    },
}

impl Changes {
    /// Nothing yet, by `actor` at `at`.
    pub fn new(at: Timestamp, actor: Option<Subject>) -> Self {
        Self { at, actor, list: Vec::new(), remember: None }
    }

    /// Adds one.
    #[must_use]
    pub fn with(mut self, change: Change) -> Self {
        self.list.push(change);
        self
    }
}
