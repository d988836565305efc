//! Lowers what the rules share.

use lang::{
    model::{ConnectionId, GroupId, Objects, PerKind, Policy, Principal, Region, To},
    program::{Scope, rules},
    span::Spanned,
};
use std::collections::BTreeSet;

/// Sorted, each once.
pub(super) fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    items.into_iter().collect::<BTreeSet<T>>().into_iter().collect()
}

/// The texts, sorted, each once.
pub(super) fn texts(items: &[Spanned<String>]) -> Vec<String> {
    sorted(items.iter().map(|item| item.value.clone()))
}

/// The names of groups, sorted, each once.
pub(super) fn names(policy: &Policy, groups: impl IntoIterator<Item = GroupId>) -> Vec<String> {
    sorted(groups.into_iter().map(|group| policy[group].head.name.value.clone()))
}

/// The names of connections, sorted.
pub(super) fn connections(policy: &Policy, ids: &BTreeSet<ConnectionId>) -> Vec<String> {
    sorted(ids.iter().map(|id| policy[*id].head.name.value.clone()))
}

/// The names of approvals, sorted, each once.
pub(super) fn approvals(policy: &Policy, ids: &[Spanned<lang::model::ApprovalId>]) -> Vec<String> {
    sorted(ids.iter().map(|id| policy[id.value].head.name.value.clone()))
}

/// The alternatives, sorted, each once.
pub(super) fn principals(policy: &Policy, alternatives: &[Principal]) -> Vec<rules::Principal> {
    sorted(alternatives.iter().map(|alternative| rules::Principal {
        groups: names(policy, alternative.groups.iter().copied()),
        kind: alternative.kind,
    }))
}

/// Whom a rule concerns.
pub(super) fn to(policy: &Policy, to: &To) -> rules::To {
    match to {
        To::Everybody => rules::To::Everybody,
        To::Any(alternatives) => rules::To::Any(principals(policy, alternatives)),
    }
}

/// The objects.
pub(super) fn scope(objects: &Objects) -> Scope {
    Scope {
        tables: texts(&objects.tables),
        namespaces: texts(&objects.namespaces),
        resources: texts(&objects.resources),
        paths: texts(&objects.paths),
        argv: texts(&objects.argv),
    }
}

/// Operations on objects.
pub(super) fn region(region: &Region) -> rules::Region {
    rules::Region { ops: region.ops.set, scope: scope(&region.objects) }
}

/// A value for each kind of subject.
pub(super) fn per_kind<T: Copy>(values: &PerKind<T>) -> rules::PerKind<T> {
    let of = |value: &Option<Spanned<T>>| value.as_ref().map(|value| value.value);
    rules::PerKind { human: of(&values.human), service: of(&values.service), agent: of(&values.agent) }
}

/// The value without its place.
pub(super) fn bare<T: Clone>(value: Option<&Spanned<T>>) -> Option<T> {
    value.map(|value| value.value.clone())
}
