//! The life of requests, approvals and windows, and who may see and end what.
//!
//! Every transition is judged inside one transaction of the store, under exactly one policy. There is no
//! super-administrator: one's own things, what one may decide, and what `operate` names; nothing else. Nothing here
//! opens access on its own account: a store that does not answer refuses.

pub mod activation;
mod announce;
mod audit;
mod caller;
mod decide;
mod elsewhere;
mod hold;
mod judge;
mod list;
mod quorum;
mod refusal;
mod request;
mod review;
mod session;
mod statement;
mod version;
mod window;

pub use caller::Caller;
pub use hold::{Noted, Wish};
pub use judge::binding;
pub use list::{Filter, Listed, Reach, ReachContract};
pub use quorum::same_person;
pub use refusal::{Because, Refused};
pub use request::Asking;
pub use version::Expected;

use crate::core::id::SessionId;
use crate::core::identity::{Identity, Subject};
use crate::core::machine::Now;
use crate::gateway::live::Live;
use crate::gateway::policy::Policy;
use crate::store::{About, Account, Change, Changes, Key, Remember, Request, Scope, SessionEnd, Store, Swept, Window};
use announce::Announce;
use lang::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::sync::watch;

/// What a call did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Did {
    /// A request now waits for people.
    Asked,
    /// A window opened.
    Opened,
    /// A statement that waits may run, once.
    Released,
    /// A vote was counted, and others are still missing.
    Counted,
    /// A window's end moved.
    Extended,
    /// A request was denied.
    Denied,
    /// A request was withdrawn.
    Withdrawn,
    /// A window ended.
    Ended,
    /// A word on a break-glass window was written down.
    Reviewed,
    /// A recording is held against retention.
    HoldSet,
    /// A recording is not held any more.
    HoldLifted,
    /// It was so already.
    Nothing,
}

/// What a call did, and how things stand after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it did.
    pub did: Did,
    /// The request.
    pub request: Option<Request>,
    /// The window.
    pub window: Option<Window>,
}

/// The service. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Access(Arc<Inner>, Expected);

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    policy: Policy,
    live: Live,
    gateway: String,
    latest: Mutex<Option<Now>>,
    announce: OnceLock<Arc<Announce>>,
    /// How sessions ended while the state could not be written.
    unwritten: Mutex<BTreeMap<SessionId, SessionEnd>>,
    /// Counts decisions, for those who wait for one.
    decisions: watch::Sender<u64>,
}

/// What a judge inside a transaction answers.
type Judged = Result<(Outcome, Vec<Change>), Refused>;

impl Access {
    /// A service over a store, under the policy in force, for the sessions of one gateway.
    pub fn new(store: Arc<dyn Store>, policy: Policy, live: Live, gateway: impl Into<String>) -> Self {
        Self(
            Arc::new(Inner {
                store,
                policy,
                live,
                gateway: gateway.into(),
                latest: Mutex::new(None),
                announce: OnceLock::new(),
                unwritten: Mutex::default(),
                decisions: watch::Sender::new(0),
            }),
            Expected::default(),
        )
    }

    /// Names the channels that notices can be posted to; the first call counts.
    pub fn announce_to(&self, channels: impl IntoIterator<Item = String>) {
        drop(self.0.announce.set(Arc::new(Announce::new(channels))));
    }

    /// The store, for readiness and activated bundles.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Wall time that never runs backwards: when the wall clock is set back, the monotonic one carries on.
    pub fn instant(&self, now: Now) -> Timestamp {
        // A panic while it was held leaves a whole value.
        let mut latest = self.0.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let carried = latest.map(|last| {
            let elapsed = i64::try_from(now.mono_ms.saturating_sub(last.mono_ms)).unwrap_or(i64::MAX);
            Timestamp::from_unix_ms(last.wall.unix_ms().saturating_add(elapsed))
        });
        let wall = carried.map_or(now.wall, |carried| carried.max(now.wall));
        let mono_ms = latest.map_or(now.mono_ms, |last| last.mono_ms.max(now.mono_ms));
        *latest = Some(Now { wall, mono_ms });
        wall
    }

    /// Who calls, under the policy of this moment.
    ///
    /// # Errors
    /// When no policy is in force.
    pub fn caller(&self, identity: &Identity) -> Result<Caller, Refused> {
        let announce = self.0.announce.get().cloned().unwrap_or_default();
        Caller::new(identity, self.0.policy.state(), announce).ok_or(Refused::NoPolicy)
    }

    /// The windows of a subject on a connection in which a session may begin now, by start.
    ///
    /// # Errors
    /// When the store does not answer: then no session may begin.
    pub async fn open_windows(&self, subject: &Subject, connection: &str, now: Now) -> Result<Vec<Window>, Refused> {
        let at = self.instant(now);
        Ok(self.0.store.open_windows(subject.clone(), connection.to_owned(), at).await?)
    }

    /// Writes down what time has decided already, and what could not be written when it came; nothing depends on it.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn sweep(&self, now: Now) -> Result<Swept, Refused> {
        self.note_ends().await?;
        Ok(self.0.store.sweep(self.instant(now)).await?)
    }

    /// Judges and commits in one transaction; an answer under a client's key is given again as it was.
    async fn transact(
        &self,
        about: About,
        caller: &Caller,
        key: Option<&IdempotencyKey>,
        at: Timestamp,
        mut judge: impl FnMut(&Account) -> Judged + Send + 'static,
    ) -> Result<Outcome, Refused> {
        let slot: Arc<Mutex<Option<Result<Outcome, Refused>>>> = Arc::default();
        let put = Arc::clone(&slot);
        let actor = caller.identity.subject.clone();
        let key = key.map(|key| Key { subject: actor.clone(), key: key.key.clone(), digest: key.digest.clone() });
        let digest = key.as_ref().map(|key| key.digest.clone());
        let since = at.minus(judge::lookback(&caller.active.program));
        let (expected, judged_as, concerned) = (self.1.clone(), caller.clone(), about.clone());
        let run = move |account: &Account| {
            let (answer, changes) = match (&account.remembered, &digest) {
                (Some((before, answer)), Some(digest)) => (repeat(before, digest, answer), None),
                (Some(_) | None, _) => {
                    settle(expected.hold(judge(account), &judged_as, account, &concerned, at), at, &actor)
                }
            };
            *put.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            changes
        };
        self.0.store.transact(Scope { about, since, key }, Box::new(run)).await?;
        let answer = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.unwrap_or(Err(Refused::Store(crate::store::StoreError::Closed)))
    }
}

/// A client's `Idempotency-Key` with the digest of what it asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The client's text.
    pub key: String,
    /// Digest of the call.
    pub digest: String,
}

fn repeat(before: &str, digest: &str, answer: &str) -> Result<Outcome, Refused> {
    if before != digest {
        return Err(Refused::KeyReused);
    }
    serde_json::from_str(answer).map_err(|_| Refused::Store(crate::store::StoreError::Corrupt("answer")))
}

fn settle(judged: Judged, at: Timestamp, actor: &Subject) -> (Result<Outcome, Refused>, Option<Changes>) {
    let (outcome, list) = match judged {
        Ok(judged) => judged,
        Err(refused) => return (Err(refused), None),
    };
    let answer = match serde_json::to_string(&outcome) {
        Ok(answer) => answer,
        Err(error) => return (Err(Refused::Store(crate::store::StoreError::Engine(Box::new(error)))), None),
    };
    let mut changes = Changes::new(at, Some(actor.clone()));
    changes.list = list;
    changes.remember = Some(Remember { answer });
    (Ok(outcome), Some(changes))
}
