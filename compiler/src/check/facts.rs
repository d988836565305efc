//! Further questions of checks: alternatives of one kind, the obligations that certainly apply, and whether the
//! policy is whole enough to conclude from an absence. Answers only; nothing here reports.

use super::Ctx;
use lang::{
    model::{ConnectionId, Grant, Limits, Principal, To},
    program::SubjectKind,
};

impl<'a> Ctx<'a> {
    /// The alternative, narrowed to one kind of subject.
    pub fn of_kind(&self, principal: &Principal, kind: SubjectKind) -> Principal {
        Principal { kind: Some(kind), ..principal.clone() }
    }

    /// The `limits` on a connection that concern everybody who matches this alternative.
    pub fn limits_for(&self, connection: ConnectionId, principal: &Principal) -> Vec<&'a Limits> {
        self.limits_on(connection).filter(|limits| self.implies_any(principal, &limits.to)).collect()
    }

    /// Whether part of the policy is missing from the model, so that nothing may be concluded from an absence.
    pub fn is_partial(&self) -> bool {
        let policy = self.policy;
        let mut heads = (policy.connections.iter().map(|item| &item.head))
            .chain(policy.grants.iter().map(|item| &item.head))
            .chain(policy.limits.iter().map(|item| &item.head))
            .chain(policy.masks.iter().map(|item| &item.head))
            .chain(policy.classify.iter().map(|item| &item.head));
        self.documents.iter().any(|document| document.broken)
            || heads.any(|head| head.broken)
            || policy.catalogs.iter().any(|catalog| catalog.broken)
    }

    /// Normal grants that may be judged: break-glass and broken ones are left out.
    pub fn whole_grants(&self) -> impl Iterator<Item = &'a Grant> {
        self.policy.grants.iter().filter(|grant| !grant.is_break_glass() && !grant.head.broken)
    }

    /// Whether somebody who matches an alternative can fall under a rule.
    pub fn may_fall_under(&self, principal: &Principal, to: &To) -> bool {
        match to {
            To::Everybody => self.is_feasible(principal),
            To::Any(alternatives) => alternatives.iter().any(|other| self.may_meet(principal, other)),
        }
    }

    /// The name of a connection for messages.
    pub fn connection_name(&self, connection: ConnectionId) -> &'a str {
        &self.policy[connection].head.name.value
    }
}
