//! P0417: an approval that only the grant demands. The next grant on the same connection opens without it, and nobody
//! sees a control go.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::ConnectionId,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    if ctx.is_partial() {
        return;
    }
    let demanded = |connection: ConnectionId| ctx.limits_on(connection).any(|limits| !limits.approvals.is_empty());
    for grant in ctx.whole_grants() {
        let Some(approval) = grant.approvals.first() else { continue };
        let Some(bare) = grant.connections().into_iter().find(|connection| !demanded(*connection)) else { continue };
        let target = &ctx.policy[bare];
        let (id, name) = (&grant.head.name.value, &target.head.name.value);
        let on =
            target.labels.first().map_or_else(|| name.clone(), |(key, value)| format!("{}={}", key.value, value.value));
        let needed = &ctx.policy[approval.value].head.name.value;
        sink.push(
            Diagnostic::new(
                Code::P0417,
                approval.span,
                format!("only `{id}` asks for an approval on `{name}`: the next grant goes around it"),
            )
            .label("written on the grant alone")
            .also(target.head.name.span, "no `limits` of this connection demand one")
            .help(format!("demand it of every grant: `limits … {{ on {on}; approval {needed}; }}`")),
        );
    }
}
