//! The records of sessions: opened, closed, terminated.

use super::caller::Caller;
use super::refusal::{Because, Refused};
use super::{Access, Did, IdempotencyKey, Outcome};
use crate::core::event::Opened;
use crate::core::id::SessionId;
use crate::core::identity::{Identity, SubjectKind};
use crate::core::machine::{Cause, Now};
use crate::store::{About, Account, Change, Changes, Scope, Session, SessionEnd, StoreError};
use lang::program::rules::{Operator, Recorded};
use lang::time::Timestamp;
use std::sync::PoisonError;

/// Ends of sessions that wait for a state that can be written.
const UNWRITTEN_MAX: usize = 65_536;

impl Access {
    /// Notes that a session begins. Enter the session into [`crate::gateway::live::Live`] first: then a revocation
    /// either finds it there or is found here.
    ///
    /// # Errors
    /// When its window is not open any more, or the state cannot be written: then the session must not begin.
    pub async fn session_opened(&self, opened: &Opened, now: Now) -> Result<(), Refused> {
        let at = self.instant(now);
        let session = session(opened, at)?;
        let about = About::Account { subject: opened.subject.clone(), connection: opened.connection.clone() };
        let judge = move |_: &Account| {
            Some(Changes::new(at, Some(session.subject.clone())).with(Change::SessionOpened(Box::new(session.clone()))))
        };
        match self.0.store.transact(Scope { about, since: at, key: None }, Box::new(judge)).await {
            Err(StoreError::Conflict) => {
                Err(Refused::State(Because::plain("the window is over; ask for a new one with `leasehold request`")))
            }
            answer @ (Ok(()) | Err(_)) => Ok(answer?),
        }
    }

    /// Notes that a session ended. A second note changes nothing. What cannot be written now is written by a later
    /// [`Access::sweep`].
    ///
    /// # Errors
    /// When the state cannot be written.
    pub async fn session_closed(&self, id: &SessionId, cause: Cause, sentence: &str, now: Now) -> Result<(), Refused> {
        let end = SessionEnd { at: self.instant(now), cause: cause.word().to_owned(), sentence: sentence.to_owned() };
        let noted = self.note_end(id, &end).await;
        if noted.is_err() {
            let mut unwritten = self.0.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
            // Beyond the bound it is the next start that closes the records.
            if unwritten.len() < UNWRITTEN_MAX {
                unwritten.insert(id.clone(), end);
            }
        }
        noted
    }

    /// Writes down the ends that could not be written when they came.
    pub(super) async fn note_ends(&self) -> Result<(), Refused> {
        loop {
            let first = {
                let unwritten = self.0.unwritten.lock().unwrap_or_else(PoisonError::into_inner);
                unwritten.first_key_value().map(|(id, end)| (id.clone(), end.clone()))
            };
            let Some((id, end)) = first else { return Ok(()) };
            self.note_end(&id, &end).await?;
            self.0.unwritten.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        }
    }

    async fn note_end(&self, id: &SessionId, end: &SessionEnd) -> Result<(), Refused> {
        let (at, named, end) = (end.at, id.clone(), end.clone());
        let judge = move |account: &Account| {
            account.session.as_ref().filter(|session| session.closed.is_none())?;
            Some(Changes::new(at, None).with(Change::SessionClosed { session: named.clone(), end: end.clone() }))
        };
        let scope = Scope { about: About::Session(id.clone()), since: at, key: None };
        Ok(self.0.store.transact(scope, Box::new(judge)).await?)
    }

    /// Closes the records that this gateway left open when it was killed; call it before the first session.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub async fn close_orphans(&self, now: Now) -> Result<usize, Refused> {
        Ok(self.0.store.close_orphans(self.0.gateway.clone(), self.instant(now)).await?)
    }

    /// Ends a live session: by its owner, or by whoever `operate` lets revoke.
    ///
    /// # Errors
    /// When the caller may not, or the state could not be written.
    pub async fn terminate(
        &self,
        identity: &Identity,
        id: &SessionId,
        key: Option<&IdempotencyKey>,
        now: Now,
    ) -> Result<(Did, Session), Refused> {
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let (judged_as, named) = (caller.clone(), id.clone());
        let judge = move |account: &Account| {
            let session = terminable(&judged_as, account)?;
            let outcome = |did| Outcome { did, request: None, window: None };
            if session.closed.is_some() {
                return Ok((outcome(Did::Nothing), Vec::new()));
            }
            Ok((outcome(Did::Ended), vec![Change::SessionTerminated { session: named.clone() }]))
        };
        let outcome = self.transact(About::Session(id.clone()), &caller, key, at, judge).await?;
        self.0.live.end_session(id, Cause::Revoked, super::elsewhere::TERMINATED);
        let session = self.0.store.session(id.clone()).await?.ok_or(Refused::NotFound("session"))?;
        Ok((outcome.did, session))
    }
}

fn terminable<'a>(caller: &Caller, account: &'a Account) -> Result<&'a Session, Refused> {
    let session = account.session.as_ref().ok_or(Refused::NotFound("session"))?;
    let own = session.subject == caller.identity.subject;
    if own || caller.may(&session.connection).contains(&Operator::Revoke) {
        Ok(session)
    } else if caller.sees_session(session) {
        let sentence = "no `operate` rule lets you end sessions on this connection";
        Err(Refused::Forbidden(Because::plain(sentence)))
    } else {
        Err(Refused::NotFound("session"))
    }
}

/// The record of a session, from the facts that its recording begins with.
fn session(opened: &Opened, at: Timestamp) -> Result<Session, Refused> {
    let unknown = |what: &str| Refused::Invalid(format!("a session of unknown {what}"));
    let levels = [Recorded::None, Recorded::Metadata, Recorded::Full];
    Ok(Session {
        id: opened.session.clone(),
        gateway: opened.gateway.clone(),
        subject: opened.subject.clone(),
        subject_name: opened.subject_name.clone(),
        kind: SubjectKind::parse(&opened.kind).ok_or_else(|| unknown("kind"))?,
        connection: opened.connection.clone(),
        protocol: opened.protocol.clone(),
        grant: opened.grant.clone(),
        request: opened.request.clone(),
        window: opened.window.clone(),
        recorded: levels
            .into_iter()
            .find(|level| level.word() == opened.recorded)
            .ok_or_else(|| unknown("recording level"))?,
        bundle: opened.bundle.clone(),
        commit: opened.commit.clone(),
        reason: opened.reason.clone(),
        ticket: opened.ticket.clone(),
        application_name: opened.application_name.clone(),
        trace: opened.trace.clone(),
        peer: opened.peer.clone(),
        started: at,
        ends: opened.ends,
        closed: None,
    })
}
