//! P0704: an interactive shell where commands are judged one by one. Whoever has the shell types past the guard.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Grant, Guard, Principal},
    protocol::Operation,
    span::Span,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let guards: Vec<&Guard> = ctx.policy.guards.iter().filter(|guard| !guard.head.broken).collect();
    for grant in ctx.policy.grants.iter().filter(|grant| !grant.head.broken && grant.ops.contains(Operation::Shell)) {
        let place = grant
            .permit
            .iter()
            .flat_map(|permit| &permit.words)
            .find(|word| word.set.contains(Operation::Shell))
            .map_or(grant.head.span, |word| word.word.span);
        if let Some((argv, connection)) = bypassed(ctx, &guards, grant) {
            let (id, name) = (&grant.head.name.value, ctx.connection_name(connection));
            let message = format!("`{id}` permits a shell on `{name}`, where only listed commands may run");
            sink.push(
                Diagnostic::new(Code::P0704, place, message)
                    .label("types past the list")
                    .also(argv, "the list of commands")
                    .help("remove `shell` from the grant, or block it in a guard"),
            );
        }
    }
}

/// A list of commands that somebody with the grant's shell could avoid.
fn bypassed(ctx: &Ctx<'_>, guards: &[&Guard], grant: &Grant) -> Option<(Span, ConnectionId)> {
    for connection in grant.connections() {
        for principal in &grant.to {
            if is_blocked(ctx, guards, connection, principal) {
                continue;
            }
            let own = grant.objects.argv.first().map(|argv| argv.span);
            let guarded = guards
                .iter()
                .filter(|guard| guard.on.connections.contains(&connection) && ctx.may_fall_under(principal, &guard.to))
                .find_map(|guard| guard.argv.first().map(|argv| argv.span));
            if let Some(argv) = own.or(guarded) {
                return Some((argv, connection));
            }
        }
    }
    None
}

/// Whether a guard certainly takes the shell from everybody who matches.
fn is_blocked(ctx: &Ctx<'_>, guards: &[&Guard], connection: ConnectionId, principal: &Principal) -> bool {
    guards.iter().any(|guard| {
        let open = |objects: &lang::model::Objects| objects.argv.is_empty();
        guard.on.connections.contains(&connection)
            && guard.hours.is_none()
            && ctx.implies_any(principal, &guard.to)
            && (guard.blocks.iter().any(|block| block.ops.set.contains(Operation::Shell) && open(&block.objects))
                || guard.only.as_ref().is_some_and(|only| !only.ops.set.contains(Operation::Shell)))
    })
}
