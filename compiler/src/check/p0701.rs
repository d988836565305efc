//! P0701: guards that leave nothing: what one guard's `only` leaves is what a `block` denies, or everything that a
//! grant permits is blocked for everybody it is for.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Grant, Guard, Objects, Principal},
    protocol::OpSet,
    span::Span,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let guards: Vec<&Guard> = ctx.policy.guards.iter().filter(|guard| !guard.head.broken).collect();
    for guard in &guards {
        within_one(guard, sink);
    }
    for grant in ctx.policy.grants.iter().filter(|grant| !grant.head.broken && !grant.ops.is_empty()) {
        for connection in grant.connections() {
            blocked(ctx, &guards, grant, connection, sink);
        }
    }
}

fn is_open(objects: &Objects) -> bool {
    objects.tables.is_empty()
        && objects.namespaces.is_empty()
        && objects.resources.is_empty()
        && objects.paths.is_empty()
        && objects.argv.is_empty()
}

fn within_one(guard: &Guard, sink: &mut Sink) {
    let Some(only) = &guard.only else { return };
    let blocks: Vec<_> = guard.blocks.iter().filter(|block| is_open(&block.objects)).collect();
    let all = blocks.iter().fold(OpSet::EMPTY, |all, block| all.union(block.ops.set));
    if only.ops.set.is_empty() || !only.ops.set.difference(all).is_empty() {
        return;
    }
    let message = format!("the guard `{}` permits only what it blocks", guard.head.name.value);
    let mut found = Diagnostic::new(Code::P0701, only.span, message).label("only these …");
    for block in blocks {
        found = found.also(block.span, "… and these not");
    }
    sink.push(found.help("nothing is left; remove one of the clauses"));
}

fn blocked(ctx: &Ctx<'_>, guards: &[&Guard], grant: &Grant, connection: ConnectionId, sink: &mut Sink) {
    let ops = grant.ops.intersection(ctx.policy[connection].kind.value.operations().collect());
    if ops.is_empty() {
        return;
    }
    let mut causes: Vec<Span> = Vec::new();
    let nothing_left = grant.to.iter().all(|principal| {
        let (left, by) = left(ctx, guards, connection, principal, ops);
        for span in by {
            if !causes.contains(&span) {
                causes.push(span);
            }
        }
        left.is_empty()
    });
    if !nothing_left || grant.to.is_empty() {
        return;
    }
    let place = grant
        .permit
        .as_ref()
        .and_then(|permit| permit.words.first())
        .map_or(grant.head.name.span, |word| word.word.span);
    let (id, name) = (&grant.head.name.value, ctx.connection_name(connection));
    let mut found =
        Diagnostic::new(Code::P0701, place, format!("guards block everything that `{id}` permits on `{name}`"))
            .label("permitted here …");
    for cause in causes {
        found = found.also(cause, "… and blocked here");
    }
    sink.push(found.help("permit what the guards leave, or remove the grant"));
}

/// The operations that guards certainly leave to everybody who matches, and what takes the others.
fn left(
    ctx: &Ctx<'_>,
    guards: &[&Guard],
    connection: ConnectionId,
    principal: &Principal,
    ops: OpSet,
) -> (OpSet, Vec<Span>) {
    let mut left = ops;
    let mut causes = Vec::new();
    let always = guards.iter().filter(|guard| {
        guard.on.connections.contains(&connection) && guard.hours.is_none() && ctx.implies_any(principal, &guard.to)
    });
    for guard in always {
        for block in guard.blocks.iter().filter(|block| is_open(&block.objects)) {
            if !left.intersection(block.ops.set).is_empty() {
                left = left.difference(block.ops.set);
                causes.push(block.span);
            }
        }
        if let Some(only) = &guard.only
            && !left.difference(only.ops.set).is_empty()
        {
            left = left.intersection(only.ops.set);
            causes.push(only.span);
        }
    }
    (left, causes)
}
