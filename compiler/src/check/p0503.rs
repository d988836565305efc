//! P0503: approvers who are nobody, or no people. A program that approves is no second pair of eyes.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::Quorum,
    program::SubjectKind,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    for approval in &policy.approvals {
        for line in &approval.quorum {
            judge(ctx, &format!("the approvers of `{}`", approval.head.name.value), line, sink);
        }
    }
    for grant in &policy.grants {
        if let Some(line) = grant.break_glass.as_ref().and_then(|glass| glass.review.as_ref()) {
            judge(ctx, &format!("the reviewers after `{}`", grant.head.name.value), line, sink);
        }
    }
}

fn judge(ctx: &Ctx<'_>, what: &str, line: &Quorum, sink: &mut Sink) {
    let group = line.from.value;
    let name = ctx.group_name(group);
    let held = ctx.closure(group);
    let other =
        held.iter().filter_map(|id| ctx.policy[*id].kind.as_ref()).find(|kind| kind.value != SubjectKind::Human);
    if let Some(kind) = other {
        sink.push(
            Diagnostic::new(
                Code::P0503,
                line.from.span,
                format!("{what} are no people: `{name}` is for kind {}", kind.value),
            )
            .also(kind.span, format!("only kind {} holds it", kind.value))
            .help("name a group of people"),
        );
        return;
    }
    let item = &ctx.policy[group];
    let none = item.size.as_ref().and_then(|size| size.max.as_ref()).filter(|max| max.value == 0);
    let members = ctx.policy.group_ids().any(|(id, inner)| {
        (!inner.ids.is_empty() || !inner.claim_values.is_empty()) && ctx.closure(id).contains(&group)
    });
    if let Some(max) = none {
        sink.push(
            Diagnostic::new(Code::P0503, line.from.span, format!("{what} are nobody: `{name}` is empty"))
                .also(max.span, "no members")
                .help("name a group that has members"),
        );
    } else if !members && !item.head.broken {
        sink.push(
            Diagnostic::new(Code::P0503, line.from.span, format!("{what} are nobody: no token can assert `{name}`"))
                .also(item.head.name.span, "no id, no claim value, and no group within it")
                .help("give the group its object id, or name another one"),
        );
    }
}
