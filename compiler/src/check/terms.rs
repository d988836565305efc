//! The terms under which one subject would hold a grant, as an order: stricter, looser, or neither.
//!
//! They are the grant's own, met with every `limits` that certainly applies; an axis that an obligation evens out
//! is no difference. Hours and objects are where terms hold, not terms.

use super::Ctx;
use lang::{
    model::{ApprovalId, AtMost, ConnectionId, Grant, Principal},
    program::{
        SubjectKind, class_matches,
        rules::{Mode, Recorded},
    },
    time::Ttl,
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

/// What a subject of one kind would get.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) mode: Mode,
    pub(super) lifetime: Ttl,
    pub(super) total: Ttl,
    pub(super) extend: u32,
    pub(super) approvals: BTreeSet<ApprovalId>,
    pub(super) recorded: Recorded,
    reveal: BTreeSet<String>,
    reason: bool,
    tickets: BTreeSet<String>,
    mfa: bool,
    cooldown: Ttl,
    at_most: Vec<AtMost>,
}

/// What terms differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Axis {
    Mode,
    Lifetime,
    Approval,
    Recording,
    Other,
}

impl Terms {
    /// The effective terms of a grant for somebody of this kind who holds what the alternative says.
    pub(super) fn of(ctx: &Ctx<'_>, grant: &Grant, on: ConnectionId, who: &Principal, kind: SubjectKind) -> Self {
        let mut terms = Self {
            mode: grant.mode.value,
            lifetime: grant.lifetime.length.value,
            total: grant.lifetime.total(),
            extend: grant.lifetime.extensions(),
            approvals: grant.approvals.iter().map(|named| named.value).collect(),
            recorded: grant.recorded(),
            reveal: grant.reveal.iter().map(|class| class.value.clone()).collect(),
            reason: grant.reason.is_some(),
            tickets: grant.ticket.iter().map(|ticket| ticket.value.clone()).collect(),
            mfa: grant.mfa.is_some(),
            cooldown: grant.cooldown.as_ref().map_or(Ttl::ZERO, |cooldown| cooldown.value),
            at_most: grant.at_most.iter().map(|at_most| at_most.value).collect(),
        };
        for limits in ctx.limits_for(on, &ctx.of_kind(who, kind)) {
            if let Some(most) = limits.lifetime.of(kind) {
                terms.lifetime = terms.lifetime.min(most.value);
                terms.total = terms.total.min(most.value);
            }
            if let Some(most) = limits.extend.of(kind) {
                terms.extend = terms.extend.min(most.value);
            }
            terms.approvals.extend(limits.approvals.iter().map(|named| named.value));
            if let Some(least) = &limits.recorded {
                terms.recorded = terms.recorded.max(least.value);
            }
            terms.reason |= limits.reason.is_some();
            terms.tickets.extend(limits.ticket.iter().map(|ticket| ticket.value.clone()));
            terms.mfa |= limits.mfa.is_some();
            terms.cooldown = terms.cooldown.max(limits.cooldown.as_ref().map_or(Ttl::ZERO, |cooldown| cooldown.value));
            terms.at_most.extend(limits.at_most.iter().map(|at_most| at_most.value));
        }
        terms
    }

    /// How these terms compare on every axis on which they differ; `Less` is stricter, `None` neither.
    pub(super) fn differences(&self, other: &Self) -> BTreeMap<Axis, Vec<Option<Ordering>>> {
        let more_is_looser = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
            order(
                a.iter().all(|x| b.iter().any(|y| class_matches(y, x))),
                b.iter().all(|x| a.iter().any(|y| class_matches(y, x))),
            )
        };
        let windows = |a: &[AtMost], b: &[AtMost]| {
            b.iter().all(|demand| a.iter().any(|own| own.count <= demand.count && own.per >= demand.per))
        };
        let all = [
            (Axis::Mode, Some(self.mode.cmp(&other.mode))),
            (Axis::Lifetime, Some(self.total.cmp(&other.total))),
            (Axis::Lifetime, Some(self.extend.cmp(&other.extend))),
            (
                Axis::Approval,
                order(self.approvals.is_superset(&other.approvals), other.approvals.is_superset(&self.approvals)),
            ),
            (Axis::Recording, Some(other.recorded.cmp(&self.recorded))),
            (Axis::Other, more_is_looser(&self.reveal, &other.reveal)),
            (Axis::Other, Some(other.reason.cmp(&self.reason))),
            (Axis::Other, order(self.tickets.is_superset(&other.tickets), other.tickets.is_superset(&self.tickets))),
            (Axis::Other, Some(other.mfa.cmp(&self.mfa))),
            (Axis::Other, Some(other.cooldown.cmp(&self.cooldown))),
            (Axis::Other, order(windows(&self.at_most, &other.at_most), windows(&other.at_most, &self.at_most))),
        ];
        let mut differences: BTreeMap<Axis, Vec<Option<Ordering>>> = BTreeMap::new();
        for (axis, found) in all.into_iter().filter(|(_, found)| *found != Some(Ordering::Equal)) {
            differences.entry(axis).or_default().push(found);
        }
        differences
    }

    /// The terms in which two grants differ, for people: `for 1h, ticket required`.
    pub(super) fn describe(&self, ctx: &Ctx<'_>, other: &Self) -> String {
        let mut parts = vec![match self.mode {
            Mode::Requested => format!("for {}", self.lifetime),
            Mode::Standing => format!("at any time, in sessions of {}", self.lifetime),
        }];
        if self.extend != other.extend {
            parts.push(format!("{} extensions", self.extend));
        }
        if self.approvals != other.approvals {
            let names: Vec<&str> = self.approvals.iter().map(|id| ctx.policy[*id].head.name.value.as_str()).collect();
            parts.push(if names.is_empty() {
                "no approval".into()
            } else {
                format!("approval {}", names.join(" and "))
            });
        }
        if self.recorded != other.recorded {
            parts.push(format!("recorded {}", self.recorded.word()));
        }
        if self.reveal != other.reveal && !self.reveal.is_empty() {
            parts.push(format!("reveals {}", self.reveal.iter().cloned().collect::<Vec<_>>().join(" ")));
        }
        let mut demand = |differs: bool, own: bool, what: &str| {
            if differs {
                parts.push(if own { format!("{what} required") } else { format!("no {what}") });
            }
        };
        demand(self.reason != other.reason, self.reason, "reason");
        demand(self.tickets != other.tickets, !self.tickets.is_empty(), "ticket");
        demand(self.mfa != other.mfa, self.mfa, "mfa");
        if self.cooldown != other.cooldown {
            parts.push(if self.cooldown == Ttl::ZERO {
                "no cooldown".into()
            } else {
                format!("cooldown {}", self.cooldown)
            });
        }
        if self.at_most != other.at_most {
            parts.push(match self.at_most.first() {
                Some(most) => format!("at most {} per {}", most.count, most.per),
                None => "no count".into(),
            });
        }
        parts.join(", ")
    }
}

/// The order of two demands of which each does or does not contain the other.
fn order(stricter: bool, looser: bool) -> Option<Ordering> {
    match (stricter, looser) {
        (true, true) => Some(Ordering::Equal),
        (true, false) => Some(Ordering::Less),
        (false, true) => Some(Ordering::Greater),
        (false, false) => None,
    }
}
