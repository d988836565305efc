//! What a subject may have in one cell, as an element of a product lattice: every axis says what is at most as
//! permissive. An offer is covered when one other offer is at least as permissive on every axis.

use super::{
    approvals::{self, Approvers},
    people::People,
    sight::Sight,
};
use lang::{
    program::{
        Terms,
        rules::{AtMost, BreakGlass},
    },
    time::Ttl,
};
use serde::Serialize;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a grant gives in a cell, with every obligation that applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The terms of the session.
    pub terms: Arc<Terms>,
    /// What break-glass demands afterwards; `None` for a normal grant.
    pub glass: Option<Arc<BreakGlass>>,
    /// Approvals that the statement waits for.
    pub reviews: BTreeSet<String>,
    /// The most rows.
    pub rows: Option<u64>,
    /// The most seconds.
    pub seconds: Option<u64>,
    /// The most bytes.
    pub bytes: Option<u64>,
    /// What of the data is seen, and how.
    pub sight: Arc<Sight>,
}

/// What can differ between two offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Axis {
    /// Whether there is access at all.
    Access,
    /// On request, or standing.
    Mode,
    /// The window, with and without its extensions.
    Lifetime,
    /// How many extensions, and by how much.
    Extensions,
    /// Approvals that open the window.
    Approval,
    /// How much is recorded.
    Recording,
    /// What is seen unmasked.
    Masks,
    /// Whether a reason is required.
    Reason,
    /// Tickets.
    Ticket,
    /// Multi-factor authentication.
    Mfa,
    /// Approvals that a statement waits for.
    Review,
    /// Rows of an answer.
    Rows,
    /// Seconds of a statement.
    Seconds,
    /// Bytes of an answer.
    Bytes,
    /// Between two windows.
    Cooldown,
    /// How many windows.
    AtMost,
    /// What break-glass demands afterwards.
    Aftermath,
    /// What one session can hold together.
    Session,
}

impl Axis {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Mode => "mode",
            Self::Lifetime => "lifetime",
            Self::Extensions => "extensions",
            Self::Approval => "approval",
            Self::Recording => "recording",
            Self::Masks => "masks",
            Self::Reason => "reason",
            Self::Ticket => "ticket",
            Self::Mfa => "mfa",
            Self::Review => "review",
            Self::Rows => "rows",
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Cooldown => "cooldown",
            Self::AtMost => "at-most",
            Self::Aftermath => "aftermath",
            Self::Session => "session",
        }
    }

    const LATTICE: [Self; 16] = [
        Self::Mode,
        Self::Lifetime,
        Self::Extensions,
        Self::Approval,
        Self::Recording,
        Self::Masks,
        Self::Reason,
        Self::Ticket,
        Self::Mfa,
        Self::Review,
        Self::Rows,
        Self::Seconds,
        Self::Bytes,
        Self::Cooldown,
        Self::AtMost,
        Self::Aftermath,
    ];
}

/// Compares offers of two revisions: the left one of `left`, the right one of `right`.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Everybody.
    pub people: &'a People,
    /// The revision of the offers on the left.
    pub left: Approvers<'a>,
    /// The revision of the offers on the right.
    pub right: Approvers<'a>,
}

impl Order<'_> {
    /// Whether `left` is at most as permissive as `right`.
    pub fn covered(&self, left: &Offer, right: &Offer) -> bool {
        Axis::LATTICE.iter().all(|axis| self.within(*axis, left, right))
    }

    /// The axes on which `left` is more permissive than `right`.
    pub fn wider(&self, left: &Offer, right: &Offer) -> BTreeSet<Axis> {
        Axis::LATTICE.iter().copied().filter(|axis| !self.within(*axis, left, right)).collect()
    }

    fn within(&self, axis: Axis, left: &Offer, right: &Offer) -> bool {
        let (a, b) = (&left.terms, &right.terms);
        match axis {
            Axis::Access | Axis::Session => true,
            Axis::Mode => a.mode <= b.mode,
            Axis::Lifetime => a.lifetime <= b.lifetime && a.total <= b.total,
            Axis::Extensions => a.extend == 0 || (a.extend <= b.extend && a.extend_by <= b.extend_by),
            Axis::Approval => approvals::implies(self.people, (self.left, &a.approvals), (self.right, &b.approvals)),
            Axis::Recording => a.recorded >= b.recorded,
            Axis::Masks => left.sight.within(&right.sight),
            Axis::Reason => a.reason >= b.reason,
            Axis::Ticket => b.tickets.iter().all(|ticket| super::tickets::implied(&a.tickets, ticket)),
            Axis::Mfa => a.mfa >= b.mfa,
            Axis::Review => approvals::implies(self.people, (self.left, &left.reviews), (self.right, &right.reviews)),
            Axis::Rows => bounded(left.rows, right.rows),
            Axis::Seconds => bounded(left.seconds, right.seconds),
            Axis::Bytes => bounded(left.bytes, right.bytes),
            Axis::Cooldown => a.cooldown >= b.cooldown,
            Axis::AtMost => b.at_most.iter().all(|demand| a.at_most.iter().any(|own| counts(*own, *demand))),
            Axis::Aftermath => match (&left.glass, &right.glass) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(a), Some(b)) => self.aftermath(a, b),
            },
        }
    }

    fn aftermath(&self, left: &BreakGlass, right: &BreakGlass) -> bool {
        let told = right.notify.iter().all(|channel| left.notify.contains(channel));
        let members = |side: Approvers<'_>, glass: &BreakGlass| self.people.members(side.view, &glass.review.from);
        told && left.within <= right.within
            && left.review.count >= right.review.count
            && members(self.left, left).is_subset(&members(self.right, right))
    }
}

fn bounded(left: Option<u64>, right: Option<u64>) -> bool {
    right.is_none_or(|most| left.is_some_and(|own| own <= most))
}

fn counts(own: AtMost, demand: AtMost) -> bool {
    own.count <= demand.count && own.per >= demand.per
}

impl Offer {
    /// The offer in words: `requested, 20m, approval four-eyes, recorded full`.
    pub fn describe(&self) -> String {
        let terms = &self.terms;
        let mut parts = vec![format!("{} {}", terms.mode.word(), terms.lifetime)];
        if terms.extend > 0 {
            parts.push(format!("+{} × {} (at most {})", terms.extend, terms.extend_by, terms.total));
        }
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" and ");
        parts.push(if terms.approvals.is_empty() {
            "no approval".to_owned()
        } else {
            format!("approval {}", names(&terms.approvals))
        });
        if terms.recorded != lang::program::rules::Recorded::Full {
            parts.push(format!("recorded {}", terms.recorded.word()));
        }
        if terms.reason {
            parts.push("reason".to_owned());
        }
        parts.extend(terms.tickets.iter().map(|ticket| format!("ticket {ticket}")));
        if terms.mfa {
            parts.push("mfa".to_owned());
        }
        if terms.cooldown != Ttl::ZERO {
            parts.push(format!("cooldown {}", terms.cooldown));
        }
        parts.extend(terms.at_most.iter().map(|most| format!("at most {} per {}", most.count, most.per)));
        if !self.reviews.is_empty() {
            parts.push(format!("review by {}", names(&self.reviews)));
        }
        parts.extend(self.rows.map(|rows| format!("{rows} rows")));
        parts.extend(self.seconds.map(|seconds| format!("{seconds} seconds")));
        parts.extend(self.bytes.map(|bytes| format!("{bytes} bytes")));
        parts.extend(self.sight.describe());
        if self.glass.is_some() {
            parts.push("break-glass".to_owned());
        }
        parts.join(", ")
    }
}
