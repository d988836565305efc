//! P0202: a group that no token can assert and in which no other group nests. A rule about it never matches: a
//! grant gives nothing, and a forbid forbids nothing.

use super::{Ctx, ctx::is_whole};
use lang::diag::{Code, Diagnostic, Sink};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    if ctx.documents.iter().any(|document| document.broken) {
        return;
    }
    for (id, group) in ctx.policy.group_ids() {
        let asserted = !group.ids.is_empty() || !group.claim_values.is_empty();
        let nested = ctx.policy.groups.iter().any(|other| other.within.iter().any(|parent| parent.value == id));
        if asserted || nested || !is_whole(&group.head) {
            continue;
        }
        let name = &group.head.name;
        let message =
            format!("nobody can be in the group `{}`: it has no id, no claim value and no group in it", name.value);
        sink.push(
            Diagnostic::new(Code::P0202, name.span, message)
                .help("state the object id that tokens carry: `id (uuid)\"…\"`, or a role: `claim-value \"…\"`"),
        );
    }
}
