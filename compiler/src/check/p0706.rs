//! P0706: a review of single statements that nobody can give for somebody whom the guard concerns, because the
//! requester never counts. The statement waits until it is refused.

use super::{Ctx, p0501::is_impossible, p0501::most};
use lang::diag::{Code, Diagnostic, Sink};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for guard in ctx.policy.guards.iter().filter(|guard| !guard.head.broken) {
        for review in &guard.reviews {
            let Some(by) = &review.by else { continue };
            let approval = &ctx.policy[by.value];
            let asking = guard.on.connections.iter().flat_map(|connection| ctx.grants_on(*connection));
            let hit = asking
                .filter(|grant| !grant.ops.intersection(review.region.ops.set).is_empty())
                .flat_map(|grant| &grant.to)
                .filter(|principal| ctx.may_fall_under(principal, &guard.to))
                .find_map(|principal| {
                    // More people than the group has is P0501.
                    let line = approval.quorum.iter().find(|line| {
                        is_impossible(ctx, line, principal)
                            && most(ctx, line).is_some_and(|(size, _)| line.count.value <= size)
                    })?;
                    Some((principal, line))
                });
            let Some((principal, line)) = hit else { continue };
            let (name, group) = (&approval.head.name.value, ctx.group_name(line.from.value));
            let message = format!(
                "`{name}` cannot be given for a statement of {}: too few of {group} remain",
                ctx.describe(principal)
            );
            sink.push(
                Diagnostic::new(Code::P0706, by.span, message)
                    .label("waits for this approval")
                    .also(line.span, format!("{} of {group}, and never the one who asks", line.count.value))
                    .also(principal.span, "who asks is one of them")
                    .help("let another group review, or lower the quorum"),
            );
        }
    }
}
