//! Asking for a window.

use super::caller::Caller;
use super::judge;
use super::refusal::{Because, Refused};
use super::{Access, Did, IdempotencyKey, Judged, Outcome};
use super::{announce, review};
use crate::core::id::{RequestId, WindowId};
use crate::core::identity::{Identity, SubjectKind};
use crate::core::machine::Now;
use crate::gateway::policy::Staleness;
use crate::store::{
    About, Account, Asked, Change, Evidence, Purpose, Request, RequestState, Settled, StoreError, Window,
};
use lang::program::rules::{Approval, Mode};
use lang::program::{Contract, Subject, Terms};
use lang::time::{Timestamp, Ttl};

/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 2_000;
/// Bytes of a ticket.
const TICKET_BYTES_MAX: usize = 200;

/// What somebody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// The connection.
    pub connection: String,
    /// The grant, when several match.
    pub via: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// A shorter window than the terms give.
    pub lifetime: Option<Ttl>,
}

impl Asking {
    /// Trims the free texts and refuses what no viewer should be shown.
    fn tidy(mut self) -> Result<Self, Refused> {
        self.reason = free_text("reason", self.reason, REASON_BYTES_MAX)?;
        self.ticket = free_text("ticket", self.ticket, TICKET_BYTES_MAX)?;
        if self.lifetime == Some(Ttl::ZERO) {
            return Err(Refused::Invalid("a window of no length cannot be asked for".to_owned()));
        }
        Ok(self)
    }
}

/// A trimmed text, `None` when it is empty.
pub(super) fn free_text(what: &str, text: Option<String>, bytes_max: usize) -> Result<Option<String>, Refused> {
    let Some(text) = text else { return Ok(None) };
    let trimmed = text.trim();
    if trimmed.len() > bytes_max {
        return Err(Refused::Invalid(format!("the {what} is longer than {bytes_max} bytes")));
    }
    if trimmed.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(Refused::Invalid(format!("the {what} holds control characters")));
    }
    Ok((!trimmed.is_empty()).then(|| trimmed.to_owned()))
}

/// Fresh identifiers for one call; unused ones are forgotten.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub(super) request: RequestId,
    pub(super) window: WindowId,
}

impl Fresh {
    pub(super) fn new() -> Result<Self, Refused> {
        let mut random = [[0_u8; 10]; 2];
        for bytes in &mut random {
            getrandom::fill(bytes).map_err(|error| Refused::Store(StoreError::Engine(error.to_string().into())))?;
        }
        let [request, window] = random;
        Ok(Self { request: RequestId::from_random(request), window: WindowId::from_random(window) })
    }
}

impl Access {
    /// Asks for a window: opens it when the policy alone decides, else leaves a request that waits for people.
    /// Whoever asks again for the same grant gets the open window or the waiting request, and nothing moves.
    ///
    /// # Errors
    /// With every reason why not.
    pub async fn request(
        &self,
        identity: &Identity,
        asking: Asking,
        key: Option<&IdempotencyKey>,
        now: Now,
    ) -> Result<Outcome, Refused> {
        let asking = asking.tidy()?;
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let fresh = Fresh::new()?;
        let about = About::Account { subject: identity.subject.clone(), connection: asking.connection.clone() };
        let judged_as = caller.clone();
        self.transact(about, &caller, key, at, move |account| ask(&judged_as, &asking, account, &fresh, at)).await
    }
}

/// Refuses when the policy is too old for what is asked.
pub(super) fn fresh_enough(caller: &Caller) -> Result<(), Refused> {
    let sentence = match caller.staleness {
        Staleness::Fresh => return Ok(()),
        Staleness::NoNewWindows => {
            "the gateway could not confirm its policy for too long, so no new window opens; \
             `leasehold status` says why"
        }
        Staleness::Deny => {
            "the gateway could not confirm its policy for too long, so nothing is permitted; \
             `leasehold status` says why"
        }
    };
    Err(Refused::policy(Because::plain(sentence)))
}

fn ask(caller: &Caller, asking: &Asking, account: &Account, fresh: &Fresh, now: Timestamp) -> Judged {
    let program = caller.program();
    let subject = caller.known()?;
    let contract = program
        .choose(subject, &asking.connection, asking.via.as_deref(), now)
        .map_err(|reasons| Refused::Policy(Because::reasons(program, &reasons)))?;
    if caller.staleness == Staleness::Deny {
        fresh_enough(caller)?;
    }
    if let Some(because) = judge::unserved(program, &contract) {
        return Err(Refused::policy(because));
    }
    if contract.terms.mode == Mode::Standing {
        let sentence = format!(
            "`{}` is standing access: connect to `{}`, no request is needed",
            contract.grant.id, asking.connection
        );
        return Err(Refused::State(Because::rule(program, contract.grant.rule(), sentence)));
    }
    if let Some(window) = account.windows.iter().find(|w| w.grant == contract.grant.id && w.is_open(now)) {
        same_kind(subject.kind, window.kind)?;
        return Ok((Outcome { did: Did::Nothing, request: None, window: Some(window.clone()) }, Vec::new()));
    }
    let missing = judge::missing(program, subject, &contract, asking);
    if !missing.is_empty() {
        return Err(Refused::Policy(missing));
    }
    review::admissible(caller, &contract, account, now)?;
    let binding = judge::binding(program, &contract);
    let mut changes = Vec::new();
    if let Some(waiting) = waiting(account, &contract.grant.id, now) {
        same_kind(subject.kind, waiting.asked.kind)?;
        if waiting.asked.binding == binding && waiting.asked.purpose == Purpose::Open {
            return Ok((Outcome { did: Did::Nothing, request: Some(waiting.clone()), window: None }, Vec::new()));
        }
        // What was shown no longer holds, or the window that was to be extended is over.
        changes.push(Change::Settle {
            request: waiting.id.clone(),
            state: RequestState::Superseded,
            note: None,
            window: None,
        });
    }
    fresh_enough(caller)?;
    let lifetime = asked_lifetime(caller, &contract, asking.lifetime)?;
    let too_soon = judge::too_soon(program, subject, &contract, &account.windows, now);
    if !too_soon.is_empty() {
        return Err(Refused::Policy(too_soon));
    }
    let approvals = judge::approvals(program, &contract).map_err(Refused::policy)?;
    let asked = asked(caller, subject, &contract, &binding, now, Purpose::Open, lifetime)
        .said(asking.reason.clone(), asking.ticket.clone());
    let request = pending(fresh, asked, &approvals, now);
    changes.push(Change::Ask(Box::new(request.clone())));
    if !approvals.is_empty() {
        changes.extend(announce::of_request(&request, "request.asked", now));
        return Ok((Outcome { did: Did::Asked, request: Some(request), window: None }, changes));
    }
    let (outcome, more) = open(caller, subject, &contract, request, &fresh.window, now)?;
    changes.extend(more);
    Ok((outcome, changes))
}

/// A person and an agent that acts for the person bear one key, and share neither windows nor requests.
fn same_kind(asking: SubjectKind, holding: SubjectKind) -> Result<(), Refused> {
    if asking == holding {
        return Ok(());
    }
    let sentence = format!(
        "access under this grant is held or asked for by the same subject as {}; end that first",
        holding.word()
    );
    Err(Refused::State(Because::plain(sentence)))
}

/// The undecided request of an account for a grant.
pub(super) fn waiting<'a>(account: &'a Account, grant: &str, now: Timestamp) -> Option<&'a Request> {
    account
        .requests
        .iter()
        .filter(|request| request.asked.purpose.statement().is_none())
        .find(|request| request.asked.grant == grant && request.state_at(now) == RequestState::Pending)
}

fn asked_lifetime(caller: &Caller, contract: &Contract<'_>, asked: Option<Ttl>) -> Result<Ttl, Refused> {
    let most = contract.terms.lifetime;
    match asked {
        None => Ok(most),
        Some(asked) if asked <= most => Ok(asked),
        Some(asked) => Err(Refused::policy(Because::rule(
            caller.program(),
            contract.grant.rule(),
            format!("a window of {asked} is longer than the {most} that `{}` gives you", contract.grant.id),
        ))),
    }
}

impl Asked {
    /// With the requester's words.
    pub(super) fn said(mut self, reason: Option<String>, ticket: Option<String>) -> Self {
        self.reason = reason;
        self.ticket = ticket;
        self
    }
}

pub(super) fn asked(
    caller: &Caller,
    subject: &Subject,
    contract: &Contract<'_>,
    binding: &str,
    now: Timestamp,
    purpose: Purpose,
    lifetime: Ttl,
) -> Asked {
    Asked {
        subject: caller.identity.subject.clone(),
        subject_name: caller.identity.name.clone(),
        kind: subject.kind,
        evidence: Evidence::of(&caller.identity),
        connection: contract.connection.name.clone(),
        grant: contract.grant.id.clone(),
        purpose,
        reason: None,
        ticket: None,
        lifetime,
        terms: Terms::clone(&contract.terms),
        binding: binding.to_owned(),
        bundle: caller.active.digest.clone(),
        commit: caller.active.commit.clone(),
        notify: contract
            .terms
            .approvals
            .iter()
            .filter_map(|name| caller.program().approval(name))
            .flat_map(|approval| approval.notify.iter().cloned())
            .collect(),
        at: now,
    }
}

/// A request that waits for its approvals until the first of their deadlines.
pub(super) fn pending(fresh: &Fresh, asked: Asked, approvals: &[&Approval], now: Timestamp) -> Request {
    let within = approvals.iter().map(|approval| approval.answer_within).min();
    Request {
        id: fresh.request.clone(),
        answer_by: within.map_or(now, |within| now.plus(within)),
        asked,
        state: RequestState::Pending,
        settled: None,
        window: None,
        votes: Vec::new(),
        used: None,
    }
}

/// Opens the window of a request whose every demand is met: `lifetime` from now, never past hours, validity or a
/// forbid of the requester.
pub(super) fn open(
    caller: &Caller,
    requester: &Subject,
    contract: &Contract<'_>,
    mut request: Request,
    id: &WindowId,
    now: Timestamp,
) -> Judged {
    let program = caller.program();
    let asked = &request.asked;
    let lifetime = asked.lifetime.min(contract.terms.lifetime);
    let ends = program.window_end(requester, contract.grant, &asked.connection, now, lifetime);
    if ends <= now {
        let sentence = "the window would be over before it began";
        return Err(Refused::policy(Because::rule(program, contract.grant.rule(), sentence)));
    }
    let window = Window {
        id: id.clone(),
        request: request.id.clone(),
        subject: asked.subject.clone(),
        subject_name: asked.subject_name.clone(),
        kind: requester.kind,
        connection: asked.connection.clone(),
        grant: asked.grant.clone(),
        reason: asked.reason.clone(),
        ticket: asked.ticket.clone(),
        binding: asked.binding.clone(),
        bundle: caller.active.digest.clone(),
        commit: caller.active.commit.clone(),
        started: now,
        ends,
        extensions: 0,
        ended: None,
    };
    let mut changes = vec![
        Change::Settle {
            request: request.id.clone(),
            state: RequestState::Approved,
            note: None,
            window: Some(id.clone()),
        },
        Change::Open(Box::new(window.clone())),
    ];
    changes.extend(announce::of_request(&request, "request.approved", now));
    changes.extend(review::owed(contract, &window, now));
    settle(&mut request, caller, RequestState::Approved, None, now);
    request.window = Some(id.clone());
    Ok((Outcome { did: Did::Opened, request: Some(request), window: Some(window) }, changes))
}

/// Shows a request as the change leaves it.
pub(super) fn settle(
    request: &mut Request,
    caller: &Caller,
    state: RequestState,
    note: Option<String>,
    now: Timestamp,
) {
    request.state = state;
    request.settled = Some(Settled { at: now, by: Some(caller.identity.subject.clone()), note });
}
