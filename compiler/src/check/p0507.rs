//! P0507: an approval that another one on the same access contains: who gives the larger one gives both.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Approval, ApprovalId},
    span::Span,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut reported: BTreeSet<(ApprovalId, ApprovalId)> = BTreeSet::new();
    for grant in ctx.policy.grants.iter().filter(|grant| !grant.head.broken) {
        for (connection, principal) in
            grant.connections().into_iter().flat_map(|connection| grant.to.iter().map(move |to| (connection, to)))
        {
            let mut needed: BTreeMap<ApprovalId, Span> =
                grant.approvals.iter().map(|named| (named.value, named.span)).collect();
            for limits in ctx.limits_for(connection, principal) {
                for named in &limits.approvals {
                    needed.entry(named.value).or_insert(named.span);
                }
            }
            for (inner, place) in &needed {
                let hit = needed
                    .iter()
                    .find(|(outer, _)| *outer != inner && contains(ctx, &ctx.policy[**outer], &ctx.policy[*inner]));
                let Some((outer, other)) = hit else { continue };
                let pair = (*inner.min(outer), *inner.max(outer));
                if !reported.insert(pair) {
                    continue;
                }
                let name = |id: ApprovalId| &ctx.policy[id].head.name.value;
                let message = format!(
                    "whoever gives `{}` gives `{}` too, which `{}` asks for as well",
                    name(*outer),
                    name(*inner),
                    grant.head.name.value
                );
                sink.push(
                    Diagnostic::new(Code::P0507, *place, message)
                        .label("contained …")
                        .also(*other, "… in this one")
                        .help("ask for the larger one only"),
                );
            }
        }
    }
}

/// Whether every set of people that satisfies `outer` satisfies `inner`.
fn contains(ctx: &Ctx<'_>, outer: &Approval, inner: &Approval) -> bool {
    let separate = |approval: &Approval| approval.separate.as_ref().is_none_or(|separate| separate.value);
    if inner.quorum.is_empty() || (separate(inner) && !separate(outer) && inner.quorum.len() > 1) {
        return false;
    }
    // Each line has a line of its own in the other approval; a greedy choice of the narrowest is good enough to be sure.
    let mut free: Vec<_> = outer.quorum.iter().collect();
    inner.quorum.iter().all(|line| {
        let hit = free.iter().position(|other| {
            other.count.value >= line.count.value && ctx.closure(other.from.value).contains(&line.from.value)
        });
        if let Some(at) = hit {
            free.remove(at);
        }
        hit.is_some()
    })
}
