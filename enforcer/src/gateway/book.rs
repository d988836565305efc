//! What the data path asks of the state: which windows are open, and that a session is noted, and what people say of a
//! statement.
//!
//! A trait, so that the data path knows neither requests nor approvals nor an engine.

use crate::core::event::Opened;
use crate::core::hold::{Held, HoldAnswer};
use crate::core::id::{RequestId, SessionId};
use crate::core::identity::Subject;
use crate::core::lease::WindowFacts;
use crate::core::machine::Close;
use futures_util::future::BoxFuture;
use lang::time::Timestamp;

/// The state gave no answer: nothing opens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the gateway's state is not available: {0}")]
pub struct Unavailable(pub String);

/// Nobody can be asked: one sentence for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unaskable(pub String);

/// The book of windows and sessions.
pub trait Book: Send + Sync + std::fmt::Debug {
    /// The windows of a subject on a connection that are open at an instant.
    fn open_windows<'a>(
        &'a self,
        subject: &'a Subject,
        connection: &'a str,
        at: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<WindowFacts>, Unavailable>>;

    /// Notes a session before it is told that it is open.
    fn session_opened<'a>(&'a self, opened: &'a Opened, at: Timestamp) -> BoxFuture<'a, Result<(), Unavailable>>;

    /// Notes the end of a session.
    fn session_closed<'a>(
        &'a self,
        session: &'a SessionId,
        close: &'a Close,
        at: Timestamp,
    ) -> BoxFuture<'a, Result<(), Unavailable>>;

    /// Asks for people's word on a statement; the request, and until when it can be answered. Asking again for the
    /// same statement under the same terms is the same request.
    fn ask<'a>(
        &'a self,
        session: &'a SessionId,
        held: &'a Held,
    ) -> BoxFuture<'a, Result<(RequestId, Timestamp), Unaskable>>;

    /// Waits for people's word. A release is used up by it: no other session and no second call gets it.
    fn decided<'a>(
        &'a self,
        request: &'a RequestId,
        session: &'a SessionId,
        digest: &'a str,
    ) -> BoxFuture<'a, HoldAnswer>;

    /// Takes a request for a statement back.
    fn withdraw<'a>(&'a self, request: &'a RequestId, sentence: &'a str) -> BoxFuture<'a, Result<(), Unavailable>>;
}
