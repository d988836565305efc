//! P0504: two people who approve each other. Either of them is one favour away from acting alone.

use super::{
    Ctx,
    p0501::{most, requesters},
};
use lang::diag::{Code, Diagnostic, Sink};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for (id, approval) in ctx.policy.approval_ids() {
        let [line] = approval.quorum.as_slice() else { continue };
        let Some((2, place)) = most(ctx, line) else { continue };
        let group = line.from.value;
        if line.count.value != 1 {
            continue;
        }
        let Some(requester) = requesters(ctx, id).into_iter().find(|requester| ctx.held(requester).contains(&group))
        else {
            continue;
        };
        let name = &approval.head.name.value;
        sink.push(
            Diagnostic::new(
                Code::P0504,
                line.span,
                format!("`{name}` lets the two people of {} approve each other", ctx.group_name(group)),
            )
            .also(place, "two members at most")
            .also(requester.span, "who are the requesters")
            .help("add a line from another group"),
        );
    }
}
