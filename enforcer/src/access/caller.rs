//! Who calls, as one policy sees them. Made once for each call, so that a call is judged by one policy.

use super::announce::Announce;
use super::refusal::{Because, Refused};
use crate::core::identity::{Identity, SubjectKind};
use crate::gateway::policy::{Active, Staleness, State};
use crate::store::{Evidence, Request, Review, Session, Window};
use lang::program::rules::{Operator, Quorum};
use lang::program::{Asserted, Program, Reason, Subject};
use lang::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A verified identity under one policy.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub identity: Identity,
    /// The policy that judges this call.
    pub active: Arc<Active>,
    /// Whether the policy is too old for new windows.
    pub staleness: Staleness,
    /// The channels that the gateway can post to.
    pub(super) announce: Arc<Announce>,
    /// The subject under the policy, or why the policy refuses it.
    pub subject: Result<Subject, Vec<Reason>>,
}

/// Closes what was asserted under a policy.
pub(super) fn close(program: &Program, idp: &str, evidence: &Evidence) -> Result<Subject, Vec<Reason>> {
    program.subject(&Asserted {
        idp,
        kind: evidence.kind,
        group_ids: evidence.group_ids.as_ref(),
        claim_values: &evidence.claim_values,
        mfa: evidence.mfa,
    })
}

impl Caller {
    /// The caller under the policy in force; `None` when there is none.
    pub(super) fn new(identity: &Identity, state: State, announce: Arc<Announce>) -> Option<Self> {
        let active = state.active?;
        let subject = close(&active.program, &identity.subject.idp, &Evidence::of(identity));
        Some(Self { identity: identity.clone(), active, staleness: state.staleness, announce, subject })
    }

    /// The policy's tables.
    pub fn program(&self) -> &Program {
        &self.active.program
    }

    /// The subject under the policy.
    ///
    /// # Errors
    /// With the policy's reasons when it refuses the subject altogether.
    pub fn known(&self) -> Result<&Subject, Refused> {
        match &self.subject {
            Ok(subject) => Ok(subject),
            Err(reasons) => Err(Refused::Policy(Because::reasons(self.program(), reasons))),
        }
    }

    /// What `operate` lets the caller do on a connection.
    pub fn may(&self, connection: &str) -> BTreeSet<Operator> {
        self.subject.as_ref().map(|subject| self.program().may(subject, connection)).unwrap_or_default()
    }

    /// The connections on which the caller may do any of these.
    pub fn connections(&self, any_of: &[Operator]) -> Vec<String> {
        let rules = self.program().rules();
        let names = rules.connections.iter().map(|connection| connection.name.clone());
        names.filter(|name| self.may(name).iter().any(|may| any_of.contains(may))).collect()
    }

    /// The lines of a request's approvals in which the caller, a person other than the requester, may vote.
    pub fn lines(&self, request: &Request) -> Vec<&Quorum> {
        let Ok(subject) = &self.subject else { return Vec::new() };
        // The token's own kind as well: an agent that acts for a person bears the person's key.
        let person = subject.kind == SubjectKind::Human && self.identity.kind == SubjectKind::Human;
        if !person || super::same_person(&self.identity.subject, &request.asked.subject) {
            return Vec::new();
        }
        let program = self.program();
        request
            .asked
            .terms
            .approvals
            .iter()
            .filter_map(|name| program.approval(name))
            .flat_map(|approval| &approval.quorum)
            .filter(|line| line.from.iter().any(|group| program.holds(subject, group)))
            .collect()
    }

    /// Whether the caller, a person other than the one concerned, may review a break-glass window.
    pub fn reviews(&self, review: &Review) -> bool {
        let Ok(subject) = &self.subject else { return false };
        let person = subject.kind == SubjectKind::Human && self.identity.kind == SubjectKind::Human;
        person
            && !super::same_person(&self.identity.subject, &review.subject)
            && review.quorum.from.iter().any(|group| self.program().holds(subject, group))
    }

    /// Whether the caller may see a review.
    pub fn sees_review(&self, review: &Review) -> bool {
        review.subject == self.identity.subject
            || self.may(&review.connection).contains(&Operator::Requests)
            || self.reviews(review)
    }

    /// Whether the caller may see a request.
    pub fn sees_request(&self, request: &Request, now: Timestamp) -> bool {
        request.asked.subject == self.identity.subject
            || self.may(&request.asked.connection).contains(&Operator::Requests)
            || (request.state_at(now) == crate::store::RequestState::Pending && !self.lines(request).is_empty())
    }

    /// Whether the caller may see a window.
    pub fn sees_window(&self, window: &Window, now: Timestamp) -> bool {
        let may = self.may(&window.connection);
        window.subject == self.identity.subject
            || may.contains(&Operator::Requests)
            || (window.is_open(now) && may.contains(&Operator::Revoke))
    }

    /// Whether the caller may see a session.
    pub fn sees_session(&self, session: &Session) -> bool {
        let may = self.may(&session.connection);
        session.subject == self.identity.subject
            || may.contains(&Operator::Replay)
            || may.contains(&Operator::Hold)
            || (session.closed.is_none() && (may.contains(&Operator::Watch) || may.contains(&Operator::Revoke)))
    }

    /// Whether something of this subject and kind is the caller's own: an agent bears the key of the person that it
    /// acts for, and the person's things are not its own.
    pub fn owns(&self, subject: &crate::core::identity::Subject, kind: SubjectKind) -> bool {
        *subject == self.identity.subject && self.subject.as_ref().is_ok_and(|known| known.kind == kind)
    }

    /// Whether the caller may see what runs in a session: like its recording, and live ones also by `operate … watch`.
    pub fn follows(&self, session: &Session) -> bool {
        let watches = || self.may(&session.connection).contains(&Operator::Watch);
        self.reads_recording(session) || (session.closed.is_none() && watches())
    }

    /// Whether the caller may read a session's recording.
    pub fn reads_recording(&self, session: &Session) -> bool {
        self.owns(&session.subject, session.kind) || self.may(&session.connection).contains(&Operator::Replay)
    }
}
