//! P0702: a guard or forbid that no grant comes near. It protects nothing yet, or no more.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Head, To},
    protocol::OpSet,
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    if ctx.is_partial() {
        return;
    }
    for guard in &ctx.policy.guards {
        let regions = guard.blocks.iter().chain(guard.reviews.iter().map(|review| &review.region));
        let named = regions.fold(OpSet::EMPTY, |all, region| all.union(region.ops.set));
        // `only`, `argv` and `limit` concern every operation.
        let any = guard.only.is_some()
            || !guard.argv.is_empty()
            || guard.rows.is_some()
            || guard.seconds.is_some()
            || guard.bytes.is_some();
        let ops = if any { None } else { Some(named) };
        see(ctx, "guard", &guard.head, &guard.on.connections, &guard.to, ops, sink);
    }
    for forbid in &ctx.policy.forbids {
        let to = To::Any(forbid.to.clone());
        see(ctx, "forbid", &forbid.head, &forbid.on.connections, &to, None, sink);
    }
}

fn see(
    ctx: &Ctx<'_>,
    what: &str,
    head: &Head,
    on: &BTreeSet<ConnectionId>,
    to: &To,
    ops: Option<OpSet>,
    sink: &mut Sink,
) {
    // A selector that selects nothing is P0303.
    if on.is_empty() || head.broken {
        return;
    }
    let mut near = on.iter().flat_map(|connection| ctx.grants_on(*connection));
    let reached = near.any(|grant| {
        ops.is_none_or(|ops| !ops.intersection(grant.ops).is_empty())
            && grant.to.iter().any(|principal| ctx.may_fall_under(principal, to))
    });
    if !reached {
        let name = &head.name.value;
        let message = format!("no grant reaches what the {what} `{name}` is about");
        let found = Diagnostic::new(Code::P0702, head.name.span, message);
        sink.push(found.help("remove it, or correct its `on`, `to` or operations"));
    }
}
