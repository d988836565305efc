//! Approving, denying and withdrawing requests.
//!
//! A vote counts only when its giver holds one of the approval's groups at that moment, is a person, and is not the
//! requester. It binds to what was shown: when the policy has changed that since, the request must be made again.

use super::announce;
use super::caller::{self, Caller};
use super::judge;
use super::quorum;
use super::refusal::{Because, Refused};
use super::request::{self, Fresh, free_text, fresh_enough};
use super::statement;
use super::window::extension;
use super::{Access, Did, IdempotencyKey, Judged, Outcome};
use crate::core::id::RequestId;
use crate::core::identity::Identity;
use crate::core::machine::Now;
use crate::store::{About, Account, Change, Purpose, Request, RequestState, Vote, Window};
use lang::program::rules::{Approval, RuleId, RuleKind};
use lang::program::{Contract, Subject};
use lang::time::Timestamp;
use std::collections::BTreeSet;

/// Bytes of the reason of a denial.
const NOTE_BYTES_MAX: usize = 2_000;

impl Access {
    /// Counts the caller's approval of a request. The one that completes the last quorum opens the window in the
    /// same transaction. `shown` is the binding that the approver saw, when the client sends it.
    ///
    /// # Errors
    /// When the caller may not decide it, it was decided or has lapsed, or what was shown no longer holds.
    pub async fn approve(
        &self,
        identity: &Identity,
        id: &RequestId,
        shown: Option<String>,
        key: Option<&IdempotencyKey>,
        now: Now,
    ) -> Result<Outcome, Refused> {
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let fresh = Fresh::new()?;
        let (judged_as, id) = (caller.clone(), id.clone());
        let about = About::Request(id.clone());
        let outcome = self
            .transact(about, &caller, key, at, move |account| {
                approve(&judged_as, account, &id, shown.as_deref(), &fresh, at)
            })
            .await?;
        if let (Did::Extended, Some(window)) = (outcome.did, &outcome.window) {
            self.0.live.extend_window(&window.id, window.ends);
        }
        self.decided();
        Ok(outcome)
    }

    /// Denies a request, finally.
    ///
    /// # Errors
    /// When the caller may not decide it, or it was decided or has lapsed.
    pub async fn deny(
        &self,
        identity: &Identity,
        id: &RequestId,
        reason: Option<String>,
        key: Option<&IdempotencyKey>,
        now: Now,
    ) -> Result<Outcome, Refused> {
        let note = free_text("reason", reason, NOTE_BYTES_MAX)?;
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let (judged_as, named) = (caller.clone(), id.clone());
        let judge = move |account: &Account| {
            let request = decidable(&judged_as, account, &named, at)?;
            undecided(request, at)?;
            Ok(settled(&judged_as, request, Did::Denied, RequestState::Denied, note.clone(), at))
        };
        let outcome = self.transact(About::Request(id.clone()), &caller, key, at, judge).await;
        self.decided();
        outcome
    }

    /// Takes one's own request back.
    ///
    /// # Errors
    /// When it is somebody else's, or was decided.
    pub async fn withdraw(
        &self,
        identity: &Identity,
        id: &RequestId,
        key: Option<&IdempotencyKey>,
        now: Now,
    ) -> Result<Outcome, Refused> {
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let (judged_as, named) = (caller.clone(), id.clone());
        let judge = move |account: &Account| {
            let request = seen(&judged_as, account, &named, at)?;
            if request.asked.subject != judged_as.identity.subject {
                let sentence = "only the requester withdraws a request; approvers deny it";
                return Err(Refused::Forbidden(Because::plain(sentence)));
            }
            if request.state == RequestState::Withdrawn {
                return Ok(unchanged(request, None));
            }
            undecided(request, at)?;
            Ok(settled(&judged_as, request, Did::Withdrawn, RequestState::Withdrawn, None, at))
        };
        let outcome = self.transact(About::Request(id.clone()), &caller, key, at, judge).await;
        self.decided();
        outcome
    }
}

fn named<'a>(account: &'a Account, id: &RequestId) -> Result<&'a Request, Refused> {
    account.requests.iter().find(|request| request.id == *id).ok_or(Refused::NotFound("request"))
}

fn seen<'a>(caller: &Caller, account: &'a Account, id: &RequestId, now: Timestamp) -> Result<&'a Request, Refused> {
    let request = named(account, id)?;
    if caller.sees_request(request, now) { Ok(request) } else { Err(Refused::NotFound("request")) }
}

/// The request, when the caller is one of those who decide it; a caller who may not even see it learns nothing.
fn decidable<'a>(
    caller: &Caller,
    account: &'a Account,
    id: &RequestId,
    now: Timestamp,
) -> Result<&'a Request, Refused> {
    let request = named(account, id)?;
    if !caller.lines(request).is_empty() {
        return Ok(request);
    }
    if !caller.sees_request(request, now) {
        return Err(Refused::NotFound("request"));
    }
    let program = caller.program();
    let first = request.asked.terms.approvals.first().map(|name| RuleId::new(RuleKind::Approval, name));
    let sentence = if quorum::same_person(&caller.identity.subject, &request.asked.subject) {
        "nobody decides their own request"
    } else {
        "you hold none of the groups that decide this request"
    };
    Err(Refused::Forbidden(match first {
        Some(rule) => Because::rule(program, rule, sentence),
        None => Because::plain(sentence),
    }))
}

/// Refuses when a request is not undecided any more.
fn undecided(request: &Request, now: Timestamp) -> Result<(), Refused> {
    let sentence = match request.state_at(now) {
        RequestState::Pending => return Ok(()),
        RequestState::Lapsed => format!("nobody answered the request in time: it lapsed at {}", request.answer_by),
        RequestState::Superseded => "the requester asked again under newer terms: decide that request".to_owned(),
        state @ (RequestState::Approved | RequestState::Denied | RequestState::Withdrawn) => {
            format!("the request was {} already", state.word())
        }
    };
    Err(Refused::State(Because::plain(sentence)))
}

fn unchanged(request: &Request, window: Option<&Window>) -> (Outcome, Vec<Change>) {
    (Outcome { did: Did::Nothing, request: Some(request.clone()), window: window.cloned() }, Vec::new())
}

fn settled(
    caller: &Caller,
    request: &Request,
    did: Did,
    state: RequestState,
    note: Option<String>,
    now: Timestamp,
) -> (Outcome, Vec<Change>) {
    let mut after = request.clone();
    request::settle(&mut after, caller, state, note.clone(), now);
    let change = Change::Settle { request: request.id.clone(), state, note, window: None };
    let told = announce::of_request(&after, &format!("request.{}", state.word()), now);
    (Outcome { did, request: Some(after), window: None }, std::iter::once(change).chain(told).collect())
}

fn approve(
    caller: &Caller,
    account: &Account,
    id: &RequestId,
    shown: Option<&str>,
    fresh: &Fresh,
    now: Timestamp,
) -> Judged {
    let request = decidable(caller, account, id, now)?;
    let voted = request.votes.iter().any(|vote| quorum::same_person(&vote.subject, &caller.identity.subject));
    let state = request.state_at(now);
    // A second approval changes nothing, whether the first is still waiting for others or has opened the window.
    if state == RequestState::Approved || (voted && state == RequestState::Pending) {
        let window = account.windows.iter().find(|window| request.window.as_ref() == Some(&window.id));
        return Ok(unchanged(request, window));
    }
    undecided(request, now)?;
    let program = caller.program();
    let statement = request.asked.purpose.statement();
    if statement.is_some() {
        statement::fresh_enough(caller)?;
    } else {
        fresh_enough(caller)?;
    }
    let requester = caller::close(program, &request.asked.subject.idp, &request.asked.evidence)
        .map_err(|reasons| again(&Because::reasons(program, &reasons)))?;
    let contract = program
        .choose(&requester, &request.asked.connection, Some(&request.asked.grant), now)
        .map_err(|reasons| again(&Because::reasons(program, &reasons)))?;
    let (approvals, binding) = match statement {
        Some(statement) => {
            let names = &request.asked.terms.approvals;
            let binding = statement::binding(program, &contract, names, statement).map_err(Refused::policy)?;
            (judge::named(program, names).map_err(Refused::policy)?, binding)
        }
        None => (judge::approvals(program, &contract).map_err(Refused::policy)?, judge::binding(program, &contract)),
    };
    if binding != request.asked.binding || shown.is_some_and(|shown| shown != request.asked.binding) {
        let sentence = "the terms are no longer those that were shown; the requester must ask again";
        return Err(Refused::State(Because::rule(program, contract.grant.rule(), sentence)));
    }
    let mut after = request.clone();
    let vote = vote(caller, request, now)?;
    after.votes.push(vote.clone());
    let requester_key = &request.asked.subject;
    let fills = |votes: &[Vote]| -> usize {
        approvals.iter().map(|approval| quorum::filled(approval, requester_key, votes)).sum()
    };
    if fills(&after.votes) == fills(&request.votes) {
        let sentence = "the places that you could fill are filled; others must still approve";
        return Err(Refused::State(Because::plain(sentence)));
    }
    let missing: Vec<&Approval> = approvals
        .iter()
        .copied()
        .filter(|approval| !quorum::satisfied(approval, requester_key, &after.votes))
        .collect();
    if let Some(within) = missing.iter().map(|approval| approval.answer_within).min()
        && statement.is_none()
    {
        after.answer_by = request.asked.at.plus(within);
    }
    let counted = Change::Vote { request: id.clone(), vote, answer_by: after.answer_by };
    if !missing.is_empty() {
        return Ok((Outcome { did: Did::Counted, request: Some(after), window: None }, vec![counted]));
    }
    let (outcome, more) = complete(caller, account, &requester, &contract, after, fresh, now)?;
    Ok((outcome, std::iter::once(counted).chain(more).collect()))
}

/// Turns reasons that concern the requester into a sentence for the approver.
fn again(reasons: &[Because]) -> Refused {
    let rule = reasons.iter().find_map(|because| Some((because.rule.clone()?, because.place.clone())));
    let sentence = "the policy no longer gives the requester this access; the request cannot be approved";
    let (rule, place) = rule.map_or((None, None), |(rule, place)| (Some(rule), place));
    Refused::State(Because { sentence: sentence.to_owned(), rule, place })
}

/// The caller's vote, with those of its groups that the approvals name, and no others.
fn vote(caller: &Caller, request: &Request, now: Timestamp) -> Result<Vote, Refused> {
    let (program, subject) = (caller.program(), caller.known()?);
    let named = caller.lines(request).into_iter().flat_map(|line| &line.from);
    let groups: BTreeSet<&String> = named.filter(|group| program.holds(subject, group)).collect();
    Ok(Vote {
        subject: caller.identity.subject.clone(),
        subject_name: caller.identity.name.clone(),
        kind: caller.identity.kind,
        groups: groups.into_iter().cloned().collect(),
        at: now,
    })
}

/// What the last missing approval does.
fn complete(
    caller: &Caller,
    account: &Account,
    requester: &Subject,
    contract: &Contract<'_>,
    request: Request,
    fresh: &Fresh,
    now: Timestamp,
) -> Judged {
    match &request.asked.purpose {
        Purpose::Open => {
            let program = caller.program();
            if account.windows.iter().any(|w| w.grant == request.asked.grant && w.is_open(now)) {
                let sentence = "the requester has an open window under this grant already";
                return Err(Refused::State(Because::plain(sentence)));
            }
            let too_soon = judge::too_soon(program, requester, contract, &account.windows, now);
            if !too_soon.is_empty() {
                return Err(Refused::Policy(too_soon));
            }
            request::open(caller, requester, contract, request, &fresh.window, now)
        }
        Purpose::Statement(_) => {
            let state = RequestState::Approved;
            let mut after = request;
            let settle = Change::Settle { request: after.id.clone(), state, note: None, window: None };
            request::settle(&mut after, caller, state, None, now);
            let told = announce::of_request(&after, "request.approved", now);
            let outcome = Outcome { did: Did::Released, request: Some(after), window: None };
            Ok((outcome, std::iter::once(settle).chain(told).collect()))
        }
        Purpose::Extend(window) => {
            let window = account
                .windows
                .iter()
                .find(|held| held.id == *window && held.is_open(now))
                .ok_or_else(|| Refused::State(Because::plain("the window that was to be extended is over")))?;
            let (extended, change) = extension(caller.program(), requester, contract, window)?;
            let state = RequestState::Approved;
            let mut after = request;
            let settle =
                Change::Settle { request: after.id.clone(), state, note: None, window: Some(window.id.clone()) };
            request::settle(&mut after, caller, state, None, now);
            after.window = Some(window.id.clone());
            let told = announce::of_request(&after, "request.approved", now);
            let changes = [settle, Change::Extend(change)].into_iter().chain(told).collect();
            Ok((Outcome { did: Did::Extended, request: Some(after), window: Some(extended) }, changes))
        }
    }
}
