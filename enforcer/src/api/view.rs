//! What the API shows, and what its client reads. Evidence and store rows stay inside.

use crate::access::{Because, Caller, Did, Outcome, Reach, ReachContract};
use crate::api::held::Statement;
use crate::api::problem::Reason;
use crate::core::identity::{self, SubjectKind};
use crate::gateway::policy::{self, Staleness};
use crate::store;
use lang::program::rules::{Approval, Operator};
use lang::time::{Timestamp, Ttl};
use serde::{Deserialize, Serialize};

/// An instant as RFC 3339 in UTC.
pub(super) fn instant(at: Timestamp) -> String {
    at.to_string()
}

fn length(ttl: Ttl) -> String {
    ttl.to_string()
}

/// Who.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The idp's name in the policy.
    pub idp: String,
    /// The tenant, or the issuer.
    pub tenant: String,
    /// The object id.
    pub id: String,
    /// What the token calls the subject, for people only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Subject {
    pub(super) fn new(subject: &identity::Subject, name: Option<&String>) -> Self {
        Self { idp: subject.idp.clone(), tenant: subject.tenant.clone(), id: subject.id.clone(), name: name.cloned() }
    }
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List<T> {
    /// The rows, newest first.
    pub items: Vec<T>,
    /// What `cursor=` takes for the next part; none at the end.
    pub next: Option<String>,
}

/// The terms that were shown and that approvals bind to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// What `terms` takes when approving.
    pub digest: String,
    /// The window's length.
    pub lifetime: String,
    /// The longest with all extensions.
    pub total: String,
    /// How many extensions.
    pub extend: u32,
    /// By how much each.
    pub extend_by: String,
    /// How much is recorded.
    pub recorded: String,
    /// Whether a reason is required.
    pub reason: bool,
    /// Expressions that the ticket must match.
    pub tickets: Vec<String>,
    /// Whether multi-factor authentication is required.
    pub mfa: bool,
    /// The least time between two windows.
    pub cooldown: String,
    /// The most windows in a rolling period, for example `3 per 1d`.
    pub at_most: Vec<String>,
    /// Approvals that open the window.
    pub approvals: Vec<ApprovalTerms>,
}

/// One approval of some terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalTerms {
    /// Its name.
    pub name: String,
    /// How many people from which groups, for example `1 from group:sre`.
    pub quorum: Vec<String>,
    /// Whether the lines need distinct people.
    pub separate: bool,
    /// How long an answer may take.
    pub answer_within: String,
}

impl ApprovalTerms {
    fn of(approval: &Approval) -> Self {
        let line = |count: u32, from: &[String]| {
            let groups: Vec<String> = from.iter().map(|group| format!("group:{group}")).collect();
            format!("{count} from {}", groups.join(" "))
        };
        Self {
            name: approval.name.clone(),
            quorum: approval.quorum.iter().map(|quorum| line(quorum.count, &quorum.from)).collect(),
            separate: approval.separate,
            answer_within: length(approval.answer_within),
        }
    }
}

impl Terms {
    /// As a caller sees them.
    pub fn of(caller: &Caller, terms: &lang::program::Terms, digest: &str) -> Self {
        Self {
            digest: digest.to_owned(),
            lifetime: length(terms.lifetime),
            total: length(terms.total),
            extend: terms.extend,
            extend_by: length(terms.extend_by),
            recorded: terms.recorded.word().to_owned(),
            reason: terms.reason,
            tickets: terms.tickets.iter().cloned().collect(),
            mfa: terms.mfa,
            cooldown: length(terms.cooldown),
            at_most: terms.at_most.iter().map(|most| format!("{} per {}", most.count, most.per)).collect(),
            approvals: terms
                .approvals
                .iter()
                .filter_map(|name| caller.program().approval(name))
                .map(ApprovalTerms::of)
                .collect(),
        }
    }
}

/// One approval that was given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who.
    pub subject: Subject,
    /// When.
    pub at: String,
}

/// How something was decided or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub at: String,
    /// A word for the cause.
    pub cause: String,
    /// By whom; none when the policy or time decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Subject>,
    /// What was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Its name.
    pub id: String,
    /// `pending`, `approved`, `denied`, `withdrawn`, `lapsed` or `superseded`.
    pub state: String,
    /// `open`, `extend` or `statement`.
    pub purpose: String,
    /// Who asks.
    pub subject: Subject,
    /// `human`, `service` or `agent`.
    pub kind: String,
    /// The connection.
    pub connection: String,
    /// The grant.
    pub grant: String,
    /// Why, in the requester's words.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// How long the window is to last.
    pub lifetime: String,
    /// The terms that were shown.
    pub terms: Terms,
    /// When it was asked.
    pub asked_at: String,
    /// When it lapses, while it is pending.
    pub answer_by: Option<String>,
    /// Who approved so far.
    pub votes: Vec<Vote>,
    /// How it was decided.
    pub settled: Option<End>,
    /// The window that it opened or extends.
    pub window: Option<String>,
    /// The statement that it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<Statement>,
    /// Whether the caller is among those who decide it.
    pub may_decide: bool,
    /// The commit of the policy under which it was asked.
    pub commit: String,
}

impl Request {
    /// As a caller sees it at an instant.
    pub fn of(caller: &Caller, request: &store::Request, now: Timestamp) -> Self {
        let asked = &request.asked;
        let state = request.state_at(now);
        let pending = state == store::RequestState::Pending;
        let (purpose, extends) = match &asked.purpose {
            store::Purpose::Open => ("open", None),
            store::Purpose::Extend(window) => ("extend", Some(window)),
            store::Purpose::Statement(_) => ("statement", None),
        };
        Self {
            id: request.id.to_string(),
            state: state.word().to_owned(),
            purpose: purpose.to_owned(),
            subject: Subject::new(&asked.subject, asked.subject_name.as_ref()),
            kind: asked.kind.word().to_owned(),
            connection: asked.connection.clone(),
            grant: asked.grant.clone(),
            reason: asked.reason.clone(),
            ticket: asked.ticket.clone(),
            lifetime: length(asked.lifetime),
            terms: Terms::of(caller, &asked.terms, &asked.binding),
            asked_at: instant(asked.at),
            answer_by: pending.then(|| instant(request.answer_by)),
            votes: request
                .votes
                .iter()
                .map(|vote| Vote {
                    subject: Subject::new(&vote.subject, vote.subject_name.as_ref()),
                    at: instant(vote.at),
                })
                .collect(),
            settled: request.settled.as_ref().map(|settled| End {
                at: instant(settled.at),
                cause: state.word().to_owned(),
                by: settled.by.as_ref().map(|by| Subject::new(by, None)),
                note: settled.note.clone(),
            }),
            window: request.window.as_ref().or(extends).map(ToString::to_string),
            statement: Statement::of(caller, request),
            may_decide: pending && !caller.lines(request).is_empty(),
            commit: asked.commit.clone(),
        }
    }
}

/// A window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Its name.
    pub id: String,
    /// `open` or `over`.
    pub state: String,
    /// The request that opened it.
    pub request: String,
    /// Whose.
    pub subject: Subject,
    /// `human`, `service` or `agent`.
    pub kind: String,
    /// The connection.
    pub connection: String,
    /// The grant.
    pub grant: String,
    /// Why, in the requester's words.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// When it opened.
    pub started: String,
    /// When it is over.
    pub ends: String,
    /// How often it was extended.
    pub extensions: u32,
    /// How it ended.
    pub ended: Option<End>,
    /// The commit of the policy under which it opened.
    pub commit: String,
}

impl Window {
    /// As it stands at an instant.
    pub fn of(window: &store::Window, now: Timestamp) -> Self {
        Self {
            id: window.id.to_string(),
            state: if window.is_open(now) { "open" } else { "over" }.to_owned(),
            request: window.request.to_string(),
            subject: Subject::new(&window.subject, window.subject_name.as_ref()),
            kind: window.kind.word().to_owned(),
            connection: window.connection.clone(),
            grant: window.grant.clone(),
            reason: window.reason.clone(),
            ticket: window.ticket.clone(),
            started: instant(window.started),
            ends: instant(window.ends),
            extensions: window.extensions,
            ended: window.ended.as_ref().map(|end| End {
                at: instant(window.over_at()),
                cause: end.cause.word().to_owned(),
                by: end.by.as_ref().map(|by| Subject::new(by, None)),
                note: None,
            }),
            commit: window.commit.clone(),
        }
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Its name.
    pub id: String,
    /// `live` or `closed`.
    pub state: String,
    /// The gateway that holds or held it.
    pub gateway: String,
    /// Whose.
    pub subject: Subject,
    /// `human`, `service` or `agent`.
    pub kind: String,
    /// The connection.
    pub connection: String,
    /// The protocol.
    pub protocol: String,
    /// The grant.
    pub grant: String,
    /// The request behind the window.
    pub request: Option<String>,
    /// The window.
    pub window: Option<String>,
    /// How much is recorded.
    pub recorded: String,
    /// Why, in the requester's words.
    pub reason: Option<String>,
    /// The ticket.
    pub ticket: Option<String>,
    /// The start-up `application_name`.
    pub application_name: Option<String>,
    /// A trace id that the client supplied.
    pub trace: Option<String>,
    /// The client's address.
    pub peer: String,
    /// When it began.
    pub started: String,
    /// The absolute end at its beginning.
    pub ends: String,
    /// How it ended.
    pub closed: Option<End>,
    /// The commit of the policy at its beginning.
    pub commit: String,
}

impl Session {
    /// As it stands.
    pub fn of(session: &store::Session) -> Self {
        Self {
            id: session.id.to_string(),
            state: if session.closed.is_none() { "live" } else { "closed" }.to_owned(),
            gateway: session.gateway.clone(),
            subject: Subject::new(&session.subject, session.subject_name.as_ref()),
            kind: session.kind.word().to_owned(),
            connection: session.connection.clone(),
            protocol: session.protocol.clone(),
            grant: session.grant.clone(),
            request: session.request.as_ref().map(ToString::to_string),
            window: session.window.as_ref().map(ToString::to_string),
            recorded: session.recorded.word().to_owned(),
            reason: session.reason.clone(),
            ticket: session.ticket.clone(),
            application_name: session.application_name.clone(),
            trace: session.trace.clone(),
            peer: session.peer.clone(),
            started: instant(session.started),
            ends: instant(session.ends),
            closed: session.closed.as_ref().map(|end| End {
                at: instant(end.at),
                cause: end.cause.clone(),
                by: None,
                note: Some(end.sentence.clone()),
            }),
            commit: session.commit.clone(),
        }
    }
}

/// What a write did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// What it did.
    pub did: Did,
    /// The request, when one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Request>,
    /// The window, when one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// The session, when one is concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
}

impl Done {
    /// As a caller sees it.
    pub fn of(caller: &Caller, outcome: &Outcome, now: Timestamp) -> Self {
        Self {
            did: outcome.did,
            request: outcome.request.as_ref().map(|request| Request::of(caller, request, now)),
            window: outcome.window.as_ref().map(|window| Window::of(window, now)),
            session: None,
        }
    }
}

/// The policy in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Commit of the policy repository.
    pub commit: String,
    /// Semantic digest.
    pub digest: String,
    /// The commit's date.
    pub committed_at: String,
    /// When this gateway activated it.
    pub activated_at: String,
    /// The commit that this gateway served before; none for its first.
    #[serde(default)]
    pub previous: Option<String>,
    /// Until when the branch's tip was confirmed to be this commit.
    pub confirmed_at: Option<String>,
    /// Seconds since then.
    pub age_seconds: Option<u64>,
    /// `fresh`, `no-new-windows` or `deny`.
    pub staleness: String,
    /// Whether the gateway fails to follow the branch.
    pub failing: bool,
    /// Why; only for those whom `operate … policy` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<PolicyError>,
}

/// Why the gateway does not follow the branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyError {
    /// When.
    pub at: String,
    /// The commit concerned.
    pub commit: Option<String>,
    /// What is wrong and the way out; may have several lines.
    pub detail: String,
}

impl Policy {
    /// As a caller sees it at an instant.
    pub fn of(caller: &Caller, state: &policy::State, previous: Option<String>, now: Timestamp) -> Self {
        let active = &caller.active;
        let told = !caller.connections(&[Operator::Policy]).is_empty();
        let staleness = match caller.staleness {
            Staleness::Fresh => "fresh",
            Staleness::NoNewWindows => "no-new-windows",
            Staleness::Deny => "deny",
        };
        Self {
            name: active.program.rules().name.clone(),
            commit: active.commit.clone(),
            digest: active.digest.clone(),
            committed_at: instant(active.committed_at),
            activated_at: instant(active.activated_at),
            previous,
            confirmed_at: state.confirmed_at.map(instant),
            age_seconds: state.confirmed_at.map(|at| now.ms_since(at) / 1000),
            staleness: staleness.to_owned(),
            failing: state.last_error.is_some(),
            last_error: state.last_error.as_ref().filter(|_| told).map(|failure| PolicyError {
                at: instant(failure.at),
                commit: failure.commit.clone(),
                detail: failure.sentence.clone(),
            }),
        }
    }
}

/// What the caller can reach on one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reachable {
    /// The connection.
    pub connection: String,
    /// Its kind.
    pub kind: String,
    /// Grants that could be used now.
    pub grants: Vec<ReachableGrant>,
    /// Why nothing, or some grant, cannot be used now.
    pub misses: Vec<Reason>,
}

/// A grant that the caller could use now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReachableGrant {
    /// Its id.
    pub grant: String,
    /// `requested` or `standing`.
    pub mode: String,
    /// Operations that it permits.
    pub permits: Vec<String>,
    /// The effective terms.
    pub terms: Terms,
    /// Why this version serves no session under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unserved: Option<Reason>,
}

impl Reachable {
    /// As a caller sees it.
    pub fn of(caller: &Caller, reach: &Reach) -> Self {
        let grant = |contract: &ReachContract| ReachableGrant {
            grant: contract.grant.clone(),
            mode: contract.terms.mode.word().to_owned(),
            permits: contract.permits.clone(),
            terms: Terms::of(caller, &contract.terms, &contract.terms.digest()),
            unserved: contract.unserved.as_ref().map(Reason::from),
        };
        Self {
            connection: reach.connection.clone(),
            kind: reach.kind.word().to_owned(),
            grants: reach.contracts.iter().map(grant).collect(),
            misses: reach.misses.iter().map(|because: &Because| Reason::from(because)).collect(),
        }
    }
}

/// Who the caller is and what can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reachables {
    /// Who.
    pub subject: Subject,
    /// `human`, `service` or `agent`; none when the policy refuses the subject.
    pub kind: Option<String>,
    /// The policy's groups that the caller holds.
    pub groups: Vec<String>,
    /// What can be reached.
    pub connections: Vec<Reachable>,
    /// Where PostgreSQL clients connect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<Endpoint>,
}

/// Where native clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether it speaks TLS.
    pub tls: bool,
}

impl Reachables {
    /// As a caller sees it.
    pub fn of(caller: &Caller, all: &[Reach]) -> Self {
        let known = caller.subject.as_ref().ok();
        Self {
            subject: Subject::new(&caller.identity.subject, caller.identity.name.as_ref()),
            kind: known.map(|subject| SubjectKind::word(subject.kind).to_owned()),
            groups: known.map(|subject| caller.program().group_names(subject)).unwrap_or_default(),
            connections: all.iter().map(|reach| Reachable::of(caller, reach)).collect(),
            postgres: None,
        }
    }
}
