//! The effective terms of a session: a grant's own, met with every obligation that applies.

use super::SubjectKind;
use super::rules::{AtMost, Grant, Limits, Mode, Recorded};
use crate::time::Ttl;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// What holds for a session or window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// How it is had.
    pub mode: Mode,
    /// The window's length.
    pub lifetime: Ttl,
    /// The most that the window may last with all extensions.
    pub total: Ttl,
    /// How many extensions.
    pub extend: u32,
    /// By how much each.
    pub extend_by: Ttl,
    /// How much is recorded.
    pub recorded: Recorded,
    /// Approvals that open the window; all are needed.
    pub approvals: BTreeSet<String>,
    /// A reason is required.
    pub reason: bool,
    /// Expressions that the ticket must match; all of them.
    pub tickets: BTreeSet<String>,
    /// Multi-factor authentication is required.
    pub mfa: bool,
    /// The least time between two windows on the connection.
    pub cooldown: Ttl,
    /// Bounds on the number of windows; all hold.
    pub at_most: BTreeSet<AtMost>,
}

impl Terms {
    /// The grant's own terms.
    pub fn of(grant: &Grant) -> Self {
        Self {
            mode: grant.mode,
            lifetime: grant.lifetime,
            total: grant.lifetime.plus(grant.extend_by.times(grant.extend)),
            extend: grant.extend,
            extend_by: grant.extend_by,
            recorded: grant.recorded,
            approvals: grant.approvals.iter().cloned().collect(),
            reason: grant.reason,
            tickets: grant.ticket.iter().cloned().collect(),
            mfa: grant.mfa,
            cooldown: grant.cooldown.unwrap_or_default(),
            at_most: grant.at_most.into_iter().collect(),
        }
    }

    /// Meets these terms with a `limits` rule that applies to a subject of this kind.
    pub fn meet(&mut self, limits: &Limits, kind: SubjectKind) {
        if let Some(ceiling) = limits.lifetime.of(kind) {
            self.lifetime = self.lifetime.min(ceiling);
            self.total = self.total.min(ceiling);
        }
        if let Some(most) = limits.extend.of(kind) {
            self.extend = self.extend.min(most);
        }
        self.total = self.total.min(self.lifetime.plus(self.extend_by.times(self.extend)));
        if let Some(least) = limits.recorded {
            self.recorded = self.recorded.max(least);
        }
        self.approvals.extend(limits.approvals.iter().cloned());
        self.reason |= limits.reason;
        self.tickets.extend(limits.ticket.iter().cloned());
        self.mfa |= limits.mfa;
        self.cooldown = self.cooldown.max(limits.cooldown.unwrap_or_default());
        self.at_most.extend(limits.at_most);
    }

    /// The digest that approvals bind to: lower-case hexadecimal BLAKE3 of the canonical terms.
    pub fn digest(&self) -> String {
        let mut bytes = Vec::new();
        // Writing to memory cannot fail; an empty digest would match nothing.
        match ciborium::into_writer(self, &mut bytes) {
            Ok(()) => blake3::hash(&bytes).to_hex().to_string(),
            Err(_) => String::new(),
        }
    }
}

/// How many sets of limits the terms of a grant are kept for. Most grants meet one or two.
const KEPT: usize = 2;

/// The terms of one grant at one connection, kept for the limits that decisions met there first. What is not kept is
/// computed again: no decision depends on what is.
#[derive(Debug, Default)]
pub(super) struct Met([OnceLock<Kept>; KEPT]);

#[derive(Debug)]
struct Kept {
    kind: SubjectKind,
    /// The limits that applied, one bit for each row of the connection.
    limits: u64,
    terms: Arc<Terms>,
}

impl Met {
    /// The terms under these limits. `limits` is `None` where the connection has more than a word can tell apart.
    pub(super) fn under(&self, kind: SubjectKind, limits: Option<u64>, make: impl Fn() -> Terms) -> Arc<Terms> {
        let Some(limits) = limits else { return Arc::new(make()) };
        for slot in &self.0 {
            let kept = slot.get_or_init(|| Kept { kind, limits, terms: Arc::new(make()) });
            if kept.kind == kind && kept.limits == limits {
                return Arc::clone(&kept.terms);
            }
        }
        Arc::new(make())
    }
}
