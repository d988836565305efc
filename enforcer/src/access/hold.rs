//! Legal holds: who may hold a session's recording, and the entry in the history. The log of recordings itself says what
//! is held; nothing here changes that.

use super::caller::Caller;
use super::refusal::{Because, Refused};
use super::{Access, Did, IdempotencyKey, Outcome};
use crate::core::id::SessionId;
use crate::core::identity::Identity;
use crate::core::machine::Now;
use crate::store::{About, Account, Change, Session};
use lang::program::rules::Operator;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What somebody wants of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That retention leaves it.
    Hold,
    /// That retention may have it.
    Release,
}

/// What became of a wish.
#[derive(Debug)]
pub struct Noted {
    /// What is to be said.
    pub did: Did,
    /// The session.
    pub session: Session,
    /// Whether this call was judged: the answer to a key that was used before is only repeated.
    pub judged: bool,
}

impl Access {
    /// One session whose recording the caller may hold and release.
    ///
    /// # Errors
    /// When there is none that the caller may see, or no `operate … hold` names the caller.
    pub async fn holdable_session(&self, identity: &Identity, id: &SessionId) -> Result<Session, Refused> {
        let caller = self.caller(identity)?;
        let session = self.0.store.session(id.clone()).await?.ok_or(Refused::NotFound("session"))?;
        holdable(&caller, &session)?;
        Ok(session)
    }

    /// Judges a wish and enters it into the history; `held` is how things stand.
    ///
    /// # Errors
    /// When the caller may not, or the state could not be written: then nothing may change.
    pub async fn note_hold(
        &self,
        identity: &Identity,
        id: &SessionId,
        (wish, why): (Wish, String),
        held: bool,
        key: Option<&IdempotencyKey>,
        now: Now,
    ) -> Result<Noted, Refused> {
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let judged: Arc<AtomicBool> = Arc::default();
        let (judged_as, named, seen) = (caller.clone(), id.clone(), Arc::clone(&judged));
        let judge = move |account: &Account| {
            let session = account.session.as_ref().ok_or(Refused::NotFound("session"))?;
            holdable(&judged_as, session)?;
            seen.store(true, Ordering::Release);
            let outcome = |did| Outcome { did, request: None, window: None };
            let (session, why) = (named.clone(), why.clone());
            Ok(match (wish, held) {
                (Wish::Hold, true) | (Wish::Release, false) => (outcome(Did::Nothing), Vec::new()),
                (Wish::Hold, false) => (outcome(Did::HoldSet), vec![Change::SessionHeld { session, why }]),
                (Wish::Release, true) => (outcome(Did::HoldLifted), vec![Change::SessionReleased { session, why }]),
            })
        };
        let outcome = self.transact(About::Session(id.clone()), &caller, key, at, judge).await?;
        let session = self.0.store.session(id.clone()).await?.ok_or(Refused::NotFound("session"))?;
        Ok(Noted { did: outcome.did, session, judged: judged.load(Ordering::Acquire) })
    }
}

fn holdable(caller: &Caller, session: &Session) -> Result<(), Refused> {
    if caller.may(&session.connection).contains(&Operator::Hold) {
        Ok(())
    } else if caller.sees_session(session) {
        let sentence = "no `operate … hold` rule lets you hold recordings of this connection";
        Err(Refused::Forbidden(Because::plain(sentence)))
    } else {
        Err(Refused::NotFound("session"))
    }
}
