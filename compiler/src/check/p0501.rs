//! P0501: an approval that nobody can give: the group has fewer members than must agree, or exactly as many and the
//! requester, who never counts, is one of them.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Approval, ApprovalId, Principal, Quorum},
    span::Spanned,
};

/// Who asks for an approval, in every grant that needs it.
pub(super) fn requesters<'a>(ctx: &Ctx<'a>, approval: ApprovalId) -> Vec<&'a Principal> {
    let mut all = Vec::new();
    let names = |list: &[Spanned<ApprovalId>]| list.iter().any(|named| named.value == approval);
    for grant in ctx.policy.grants.iter().filter(|grant| !grant.head.broken) {
        // What break-glass waives is never asked for.
        if grant.break_glass.as_ref().is_some_and(|glass| glass.waives_approval.is_some()) {
            continue;
        }
        for principal in &grant.to {
            let limited = || {
                grant.connections().into_iter().any(|connection| {
                    ctx.limits_for(connection, principal).iter().any(|limits| names(&limits.approvals))
                })
            };
            if names(&grant.approvals) || limited() {
                all.push(principal);
            }
        }
    }
    all
}

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for (id, approval) in ctx.policy.approval_ids() {
        let requesters = requesters(ctx, id);
        for line in &approval.quorum {
            line_of(ctx, approval, line, &requesters, sink);
        }
    }
    for grant in &ctx.policy.grants {
        let review = grant.break_glass.as_ref().and_then(|glass| glass.review.as_ref());
        if let Some((line, (size, place))) = review.and_then(|line| Some((line, most(ctx, line)?)))
            && line.count.value > size
        {
            let group = ctx.group_name(line.from.value);
            let message = format!(
                "the review after `{}` needs {} of {group}, which has {size} at most",
                grant.head.name.value, line.count.value
            );
            sink.push(Diagnostic::new(Code::P0501, line.span, message).also(place, "declared here"));
        }
    }
}

/// The most members that a line's group is declared to have.
pub(super) fn most(ctx: &Ctx<'_>, line: &Quorum) -> Option<(u32, lang::span::Span)> {
    let max = ctx.policy[line.from.value].size.as_ref()?.max.as_ref()?;
    Some((max.value, max.span))
}

/// Whether a line can never be met by others than the requester.
pub(super) fn is_impossible(ctx: &Ctx<'_>, line: &Quorum, requester: &Principal) -> bool {
    let inside = u32::from(ctx.held(requester).contains(&line.from.value));
    most(ctx, line).is_some_and(|(size, _)| line.count.value > size.saturating_sub(inside))
}

fn line_of(ctx: &Ctx<'_>, approval: &Approval, line: &Quorum, requesters: &[&Principal], sink: &mut Sink) {
    let Some((size, place)) = most(ctx, line) else { return };
    let (name, group, count) = (&approval.head.name.value, ctx.group_name(line.from.value), line.count.value);
    // An empty group is P0503.
    if size == 0 {
        return;
    }
    if count > size {
        sink.push(
            Diagnostic::new(
                Code::P0501,
                line.span,
                format!("`{name}` needs {count} of {group}, which has {size} at most"),
            )
            .label(format!("{count} people must agree"))
            .also(place, format!("{size} members at most"))
            .help("lower the quorum, or name a larger group"),
        );
        return;
    }
    let Some(requester) = requesters.iter().find(|requester| is_impossible(ctx, line, requester)) else { return };
    sink.push(
        Diagnostic::new(
            Code::P0501,
            line.span,
            format!("`{name}` needs {count} of {group}, and at most {} remain when one of them asks", size - 1),
        )
        .label(format!("{count} people must agree"))
        .also(place, format!("{size} members at most"))
        .also(requester.span, "the requester is one of them and never counts")
        .help("lower the quorum, or let another group approve"),
    );
}
