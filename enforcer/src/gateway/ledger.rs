//! The book of the data path, kept by the access service.

use super::book::{Book, Unavailable};
use super::clock;
use crate::access::{Access, Refused};
use crate::core::event::Opened;
use crate::core::id::SessionId;
use crate::core::identity::Subject;
use crate::core::lease::WindowFacts;
use crate::core::machine::Close;
use futures_util::future::BoxFuture;
use lang::time::Timestamp;

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
}
