//! The rules that concern one connection, and what they say there. Everything factors by connection, and nothing
//! crosses: on which other connections a rule stands, and what it is meant to stand beside, decides nothing here.

use lang::program::rules::{Forbid, Grant, Guard, Limits, Mask};
use std::hash::Hash;

pub use lang::program::RulesAt as Local;

/// What a rule says at a connection. Each is taken apart whole, so that no field that is added later can be left out of
/// comparisons by being forgotten.
pub(super) trait Says {
    fn says(&self) -> impl Hash + PartialEq;
}

impl Says for Grant {
    fn says(&self) -> impl Hash + PartialEq {
        let Self {
            id,
            on: _,
            to,
            mode,
            lifetime,
            extend,
            extend_by,
            permit,
            scope,
            recorded,
            approvals,
            reveal,
            hours,
            valid,
            reason,
            ticket,
            mfa,
            cooldown,
            at_most,
            beside: _,
            break_glass,
        } = self;
        (
            (id, to, mode, lifetime, extend, extend_by, permit, scope, recorded, approvals),
            (reveal, hours, valid, reason, ticket, mfa, cooldown, at_most, break_glass),
        )
    }
}

impl Says for Forbid {
    fn says(&self) -> impl Hash + PartialEq {
        let Self { name, on: _, to, hours, valid } = self;
        (name, to, hours, valid)
    }
}

impl Says for Limits {
    fn says(&self) -> impl Hash + PartialEq {
        let Self {
            name,
            on: _,
            to,
            lifetime,
            extend,
            standing_denied,
            recorded,
            approvals,
            reason,
            ticket,
            mfa,
            hours,
            cooldown,
            at_most,
        } = self;
        (
            (name, to, lifetime, extend, standing_denied, recorded),
            (approvals, reason, ticket, mfa, hours, cooldown, at_most),
        )
    }
}

impl Says for Guard {
    fn says(&self) -> impl Hash + PartialEq {
        let Self { name, on: _, to, blocks, only, reviews, argv, rows, seconds, bytes, hours } = self;
        (name, to, blocks, only, reviews, argv, rows, seconds, bytes, hours)
    }
}

impl Says for Mask {
    fn says(&self) -> impl Hash + PartialEq {
        let Self { name, on: _, to, classes, columns, patterns, json, mask, reveal_by_grant } = self;
        (name, to, classes, columns, patterns, json, mask, reveal_by_grant)
    }
}

fn alike<T: Says>(a: &[&T], b: &[&T]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.says() == b.says())
}

/// Whether two revisions restrict a connection's grants alike.
pub(super) fn restricts_alike(a: &Local<'_>, b: &Local<'_>) -> bool {
    a.connection.kind == b.connection.kind
        && a.connection.classified == b.connection.classified
        && alike(&a.forbids, &b.forbids)
        && alike(&a.limits, &b.limits)
        && alike(&a.guards, &b.guards)
        && alike(&a.masks, &b.masks)
}

/// The positions of the grants that the other revision has word for word.
pub(super) fn kept(own: &Local<'_>, other: &Local<'_>) -> std::collections::BTreeSet<usize> {
    let twin = |grant: &Grant| other.grants.iter().any(|one| one.id == grant.id && one.says() == grant.says());
    own.grants.iter().enumerate().filter(|(_, grant)| twin(grant)).map(|(at, _)| at).collect()
}

/// Whether two revisions say the same at a connection.
#[cfg(test)]
pub(super) fn is_alike(a: &Local<'_>, b: &Local<'_>) -> bool {
    restricts_alike(a, b) && alike(&a.grants, &b.grants)
}
