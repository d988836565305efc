//! Requests for one statement of a live session: people are asked, and their word is used once.
//!
//! Such a request opens nothing. It is bound to the session, the statement with its parameters, and the terms that were
//! shown; using it up is a transaction of its own that no second caller can repeat.

use super::caller::Caller;
use super::refusal::{Because, Refused};
use super::request::{self, Fresh};
use super::{Access, announce, judge};
use crate::core::hold::{Held, HoldAnswer};
use crate::core::id::{RequestId, SessionId};
use crate::core::machine::Now;
use crate::gateway::policy::Staleness;
use crate::store::{
    About, Account, Change, Changes, Purpose, Request, RequestState, Scope, Settled, Statement, StoreError,
};
use lang::program::{Contract, Program};
use lang::time::{Timestamp, Ttl};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::watch;

/// The digest that approvals of a statement bind to: the terms of its session, who approves, and the statement.
pub(super) fn binding(
    program: &Program,
    contract: &Contract<'_>,
    approvals: &BTreeSet<String>,
    statement: &Statement,
) -> Result<String, Because> {
    let approvals = judge::named(program, approvals)?;
    let defined: Vec<_> =
        approvals.iter().map(|one| (&one.name, &one.quorum, one.separate, one.answer_within)).collect();
    let shown = (judge::binding(program, contract), defined, &statement.session, &statement.digest);
    let mut bytes = Vec::new();
    match ciborium::into_writer(&shown, &mut bytes) {
        Ok(()) => Ok(blake3::hash(&bytes).to_hex().to_string()),
        Err(error) => Err(Because::plain(format!("the terms cannot be written down: {error}"))),
    }
}

/// The undecided request of a session.
fn waiting<'a>(account: &'a Account, session: &SessionId, now: Timestamp) -> Option<&'a Request> {
    account.requests.iter().find(|request| {
        request.asked.purpose.statement().is_some_and(|statement| statement.session == *session)
            && request.state_at(now) == RequestState::Pending
    })
}

/// Why the request for a statement may not be made or decided now, by the policy's age.
pub(super) fn fresh_enough(caller: &Caller) -> Result<(), Refused> {
    match caller.staleness {
        // No window opens: an open session goes on.
        Staleness::Fresh | Staleness::NoNewWindows => Ok(()),
        Staleness::Deny => request::fresh_enough(caller),
    }
}

impl Access {
    /// Asks for people's word on a statement of a live session. Asking again for the same statement under the same
    /// terms is the same request; another statement of the session, or other terms, take its place.
    ///
    /// # Errors
    /// With every reason why not.
    pub async fn hold(&self, session: &SessionId, held: &Held, now: Now) -> Result<Request, Refused> {
        let caller = self.caller(&held.identity)?;
        let at = self.instant(now);
        let fresh = Fresh::new()?;
        let about = About::Account { subject: held.identity.subject.clone(), connection: held.connection.clone() };
        let (session, held) = (session.clone(), held.clone());
        let actor = caller.identity.subject.clone();
        self.settle(about, Some(actor), at, move |account| ask(&caller, &session, &held, account, &fresh, at)).await
    }

    /// What people have said of a request for a statement; none while it waits. A release is used up by this call: it
    /// is given to nobody else, and to nobody twice.
    ///
    /// # Errors
    /// When the state gives no answer.
    pub async fn word(
        &self,
        id: &RequestId,
        session: &SessionId,
        digest: &str,
        now: Now,
    ) -> Result<Option<HoldAnswer>, Refused> {
        let at = self.instant(now);
        let request = self.0.store.request(id.clone()).await?.ok_or(Refused::NotFound("request"))?;
        let refused = |sentence: String| Ok(Some(HoldAnswer::Refused { sentence }));
        let settled = request.settled.as_ref();
        match request.state_at(at) {
            RequestState::Pending => Ok(None),
            RequestState::Lapsed => refused("nobody approved this statement in time; send it again".to_owned()),
            RequestState::Withdrawn | RequestState::Superseded => {
                let note = settled.and_then(|settled| settled.note.as_deref());
                refused(note.map_or_else(|| format!("the request {id} was withdrawn"), str::to_owned))
            }
            RequestState::Denied => {
                let why = settled.and_then(|settled| settled.note.as_deref()).unwrap_or("no reason was given");
                refused(format!("an approver denied this statement (request {id}): {why}"))
            }
            RequestState::Approved => self.use_up(request, session, digest, at).await.map(Some),
        }
    }

    async fn use_up(
        &self,
        request: Request,
        session: &SessionId,
        digest: &str,
        at: Timestamp,
    ) -> Result<HoldAnswer, Refused> {
        let state = self.0.policy.state();
        let (id, session, digest) = (request.id.clone(), session.clone(), digest.to_owned());
        let named = id.clone();
        let judge = move |account: &Account| {
            let request = account.requests.iter().find(|request| request.id == named);
            let request = request.ok_or(Refused::NotFound("request"))?;
            let active = state.active.as_ref().ok_or(Refused::NoPolicy)?;
            usable(&active.program, request, &session, &digest, at)?;
            let release = Change::Release { request: named.clone(), session: session.clone(), digest: digest.clone() };
            Ok(((), vec![release]))
        };
        let actor = request.asked.subject.clone();
        match self.settle(About::Request(id.clone()), Some(actor), at, judge).await {
            Ok(()) => {}
            Err(Refused::Store(StoreError::Conflict)) => {
                return Ok(HoldAnswer::Refused {
                    sentence: format!(
                        "the approval {id} cannot be used any more: it was used already, or its session is over"
                    ),
                });
            }
            Err(refused @ (Refused::Policy(_) | Refused::State(_) | Refused::Forbidden(_))) => {
                return Ok(HoldAnswer::Refused { sentence: refused.to_string() });
            }
            Err(refused) => return Err(refused),
        }
        let name = |vote: &crate::store::Vote| vote.subject_name.clone().unwrap_or_else(|| vote.subject.id.clone());
        Ok(HoldAnswer::Released { request: id, by: request.votes.iter().map(name).collect() })
    }

    /// The session waits no longer.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub async fn give_up(&self, id: &RequestId, sentence: &str, now: Now) -> Result<(), Refused> {
        let at = self.instant(now);
        let (named, note) = (id.clone(), sentence.to_owned());
        let judge = move |account: &Account| {
            let found = account.requests.iter().find(|request| request.id == named);
            let Some(request) = found.filter(|request| request.state_at(at) == RequestState::Pending) else {
                return Ok(((), Vec::new()));
            };
            let mut after = request.clone();
            let state = RequestState::Withdrawn;
            after.state = state;
            after.settled = Some(Settled { at, by: None, note: Some(note.clone()) });
            let settle = Change::Settle { request: named.clone(), state, note: Some(note.clone()), window: None };
            let told = announce::of_request(&after, "request.withdrawn", at);
            Ok(((), std::iter::once(settle).chain(told).collect()))
        };
        self.settle(About::Request(id.clone()), None, at, judge).await
    }

    /// Tells those who wait for people's word that something was decided.
    pub(super) fn decided(&self) {
        self.0.decisions.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// News that something was decided.
    pub fn decisions(&self) -> watch::Receiver<u64> {
        self.0.decisions.subscribe()
    }

    /// Judges and commits in one transaction, for the gateway's own account.
    async fn settle<T: Send + 'static>(
        &self,
        about: About,
        actor: Option<crate::core::identity::Subject>,
        at: Timestamp,
        mut judge: impl FnMut(&Account) -> Result<(T, Vec<Change>), Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let slot: Arc<Mutex<Option<Result<T, Refused>>>> = Arc::default();
        let put = Arc::clone(&slot);
        let run = move |account: &Account| {
            let (answer, changes) = match judge(account) {
                Ok((answer, list)) => {
                    let mut changes = Changes::new(at, actor.clone());
                    changes.list = list;
                    (Ok(answer), (!changes.list.is_empty()).then_some(changes))
                }
                Err(refused) => (Err(refused), None),
            };
            *put.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            changes
        };
        self.0.store.transact(Scope { about, since: at, key: None }, Box::new(run)).await?;
        let answer = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.unwrap_or(Err(Refused::Store(StoreError::Closed)))
    }
}

fn ask(
    caller: &Caller,
    session: &SessionId,
    held: &Held,
    account: &Account,
    fresh: &Fresh,
    now: Timestamp,
) -> Result<(Request, Vec<Change>), Refused> {
    fresh_enough(caller)?;
    let (program, subject) = (caller.program(), caller.known()?);
    let contract = program
        .choose(subject, &held.connection, Some(&held.grant), now)
        .map_err(|reasons| Refused::Policy(Because::reasons(program, &reasons)))?;
    let by: BTreeSet<String> = held.reviews.iter().map(|(_, by)| by.clone()).collect();
    let statement = Statement {
        session: session.clone(),
        shown: held.shown.clone(),
        digest: held.digest.clone(),
        accesses: held.accesses.clone(),
        rules: held.reviews.iter().map(|(rule, _)| rule.to_string()).collect(),
        in_transaction: held.in_transaction,
        recorded: contract.terms.recorded,
    };
    let binding = binding(program, &contract, &by, &statement).map_err(Refused::policy)?;
    let mut changes = Vec::new();
    if let Some(waiting) = waiting(account, session, now) {
        if waiting.asked.binding == binding {
            return Ok((waiting.clone(), Vec::new()));
        }
        let note = Some("the terms changed, and it was asked for again".to_owned());
        let state = RequestState::Superseded;
        changes.push(Change::Settle { request: waiting.id.clone(), state, note, window: None });
    }
    let approvals = judge::named(program, &by).map_err(Refused::policy)?;
    let left = u32::try_from(held.until.ms_since(now).div_ceil(1_000)).unwrap_or(u32::MAX);
    let purpose = Purpose::Statement(Box::new(statement));
    let mut asked = request::asked(caller, subject, &contract, &binding, now, purpose, Ttl::from_seconds(left));
    asked.terms.approvals = by;
    asked.notify = approvals.iter().flat_map(|approval| approval.notify.iter().cloned()).collect();
    if let Some(window) = account.windows.iter().find(|window| window.grant == held.grant && window.is_open(now)) {
        asked = asked.said(window.reason.clone(), window.ticket.clone());
    }
    let mut request = request::pending(fresh, asked, &approvals, now);
    request.answer_by = request.answer_by.min(held.until);
    changes.push(Change::Ask(Box::new(request.clone())));
    changes.extend(announce::of_request(&request, "request.asked", now));
    Ok((request, changes))
}

/// Refuses an approval that is not for exactly this, or whose terms the policy has changed since.
fn usable(
    program: &Program,
    request: &Request,
    session: &SessionId,
    digest: &str,
    now: Timestamp,
) -> Result<(), Refused> {
    let state = |sentence: &str| Refused::State(Because::plain(sentence));
    let asked = &request.asked;
    let Some(statement) = asked.purpose.statement() else { return Err(state("it is not for a statement")) };
    if statement.session != *session || statement.digest != digest || request.state != RequestState::Approved {
        return Err(state("the approval is for another statement or session"));
    }
    let requester = super::caller::close(program, &asked.subject.idp, &asked.evidence)
        .map_err(|reasons| Refused::Policy(Because::reasons(program, &reasons)))?;
    let contract = program
        .choose(&requester, &asked.connection, Some(&asked.grant), now)
        .map_err(|reasons| Refused::Policy(Because::reasons(program, &reasons)))?;
    let now_bound = binding(program, &contract, &asked.terms.approvals, statement).map_err(Refused::policy)?;
    if now_bound != asked.binding {
        return Err(state("the terms changed after they were shown to the approvers; send the statement again"));
    }
    Ok(())
}
