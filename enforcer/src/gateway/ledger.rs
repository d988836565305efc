//! The book of the data path, kept by the access service.

use super::book::{Book, Unaskable, Unavailable};
use super::clock;
use crate::access::{Access, Refused};
use crate::core::event::Opened;
use crate::core::hold::{Held, HoldAnswer};
use crate::core::id::{RequestId, SessionId};
use crate::core::identity::Subject;
use crate::core::lease::WindowFacts;
use crate::core::machine::Close;
use futures_util::future::BoxFuture;
use lang::time::Timestamp;
use std::time::Duration;

/// Between two looks at a request that waits, when nothing is heard of it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The access service, as the data path sees it.
#[derive(Clone, Debug)]
pub struct Ledger(pub Access);

fn unavailable(refused: &Refused) -> Unavailable {
    Unavailable(refused.to_string())
}

impl Book for Ledger {
    fn open_windows<'a>(
        &'a self,
        subject: &'a Subject,
        connection: &'a str,
        _at: Timestamp,
    ) -> BoxFuture<'a, Result<Vec<WindowFacts>, Unavailable>> {
        Box::pin(async move {
            // The service guards its own clock against one that was set back.
            let windows = self
                .0
                .open_windows(subject, connection, clock::now())
                .await
                .map_err(|refused| unavailable(&refused))?;
            let mut facts = Vec::with_capacity(windows.len());
            for window in windows {
                let request = self.0.store().request(window.request.clone()).await;
                let request = request.map_err(|error| Unavailable(error.to_string()))?;
                facts.push(WindowFacts {
                    id: window.id,
                    grant: window.grant,
                    kind: window.kind,
                    // A window opens only once every approval of the terms that were shown was given.
                    approvals: request.map(|request| request.asked.terms.approvals).unwrap_or_default(),
                    request: Some(window.request),
                    opened: window.started,
                    ends: window.ends,
                    reason: window.reason,
                    ticket: window.ticket,
                });
            }
            Ok(facts)
        })
    }

    fn session_opened<'a>(&'a self, opened: &'a Opened, _at: Timestamp) -> BoxFuture<'a, Result<(), Unavailable>> {
        Box::pin(
            async move { self.0.session_opened(opened, clock::now()).await.map_err(|refused| unavailable(&refused)) },
        )
    }

    fn session_closed<'a>(
        &'a self,
        session: &'a SessionId,
        close: &'a Close,
        _at: Timestamp,
    ) -> BoxFuture<'a, Result<(), Unavailable>> {
        Box::pin(async move {
            let noted = self.0.session_closed(session, close.cause, &close.sentence, clock::now()).await;
            noted.map_err(|refused| unavailable(&refused))
        })
    }

    fn ask<'a>(
        &'a self,
        session: &'a SessionId,
        held: &'a Held,
    ) -> BoxFuture<'a, Result<(RequestId, Timestamp), Unaskable>> {
        Box::pin(async move {
            match self.0.hold(session, held, clock::now()).await {
                Ok(request) => Ok((request.id, request.answer_by)),
                Err(refused) => Err(Unaskable(format!("nobody can be asked to approve this statement: {refused}"))),
            }
        })
    }

    fn decided<'a>(
        &'a self,
        request: &'a RequestId,
        session: &'a SessionId,
        digest: &'a str,
    ) -> BoxFuture<'a, HoldAnswer> {
        Box::pin(async move {
            let mut decisions = self.0.decisions();
            loop {
                match self.0.word(request, session, digest, clock::now()).await {
                    Ok(Some(answer)) => return answer,
                    Ok(None) => {}
                    // The session stops waiting by itself.
                    Err(refused) => tracing::warn!(%request, %refused, "a decision could not be read"),
                }
                // Another gateway over the same state may decide: a look now and then finds it.
                let _: Result<_, _> = tokio::time::timeout(LOOK_EVERY, decisions.changed()).await;
            }
        })
    }

    fn withdraw<'a>(&'a self, request: &'a RequestId, sentence: &'a str) -> BoxFuture<'a, Result<(), Unavailable>> {
        Box::pin(async move {
            let done = self.0.give_up(request, sentence, clock::now()).await;
            done.map_err(|refused| unavailable(&refused))
        })
    }
}
