//! P0420: requests that the policy alone approves and that may follow each other without a pause or a count. The
//! end of a window means nothing when the next one opens in the same second.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Principal},
    program::rules::Mode,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.whole_grants().filter(|grant| grant.mode.value == Mode::Requested) {
        if !grant.approvals.is_empty() || grant.cooldown.is_some() || grant.at_most.is_some() {
            continue;
        }
        let chained = grant.connections().into_iter().find_map(|connection| {
            grant.to.iter().find(|principal| is_chained(ctx, connection, principal)).map(|it| (connection, it))
        });
        let Some((connection, principal)) = chained else { continue };
        let (id, name) = (&grant.head.name.value, ctx.connection_name(connection));
        sink.push(
            Diagnostic::new(
                Code::P0420,
                grant.lifetime.span,
                format!("requests for `{id}` can follow each other without end"),
            )
            .label(format!("each window lasts {} …", grant.lifetime.length.value))
            .also(
                principal.span,
                format!("… and {} may open the next one on `{name}` at once", ctx.describe(principal)),
            )
            .help("add a `cooldown`, an `at-most … per=`, or an `approval`, here or in the limits of the connection"),
        );
    }
}

fn is_chained(ctx: &Ctx<'_>, connection: ConnectionId, principal: &Principal) -> bool {
    ctx.kinds(principal).into_iter().any(|kind| {
        let limits = ctx.limits_for(connection, &ctx.of_kind(principal, kind));
        limits.iter().all(|it| it.approvals.is_empty() && it.cooldown.is_none() && it.at_most.is_none())
    })
}
