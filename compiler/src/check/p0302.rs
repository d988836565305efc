//! P0302: a connection that no grant reaches. The gateway holds a credential that nobody may use.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Grant},
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    if ctx.is_partial() {
        return;
    }
    let reached: BTreeSet<ConnectionId> = ctx.policy.grants.iter().flat_map(Grant::connections).collect();
    for (_, connection) in ctx.policy.connection_ids().filter(|(id, _)| !reached.contains(id)) {
        let name = &connection.head.name;
        sink.push(
            Diagnostic::new(Code::P0302, name.span, format!("no grant reaches the connection `{}`", name.value))
                .help("grant somebody access, or remove the connection and its credential"),
        );
    }
}
