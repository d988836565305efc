//! P0204: a group of one kind within a group of another. Whoever asserts the inner group would hold both, and is
//! refused for it.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::GroupId,
    program::SubjectKind,
    span::Spanned,
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for (id, group) in ctx.policy.group_ids() {
        let Some(kind) = &group.kind else { continue };
        for parent in &group.within {
            let Some((outer, other)) = nearest_kind(ctx, parent.value, &mut BTreeSet::from([id])) else { continue };
            if other.value == kind.value {
                continue;
            }
            let (inner, outer) = (ctx.group_name(id), ctx.group_name(outer));
            let message = format!(
                "`{inner}` is for kind {} and nests within `{outer}`, which is for kind {}",
                kind.value, other.value
            );
            sink.push(
                Diagnostic::new(Code::P0204, parent.span, message)
                    .label("nested here")
                    .also(kind.span, format!("`{inner}` can be held by kind {} only", kind.value))
                    .also(other.span, format!("`{outer}` can be held by kind {} only", other.value))
                    .help("remove the `within`, or leave out the kind of the outer group"),
            );
        }
    }
}

/// The first group on the way outward that states a kind.
fn nearest_kind<'a>(
    ctx: &Ctx<'a>,
    group: GroupId,
    seen: &mut BTreeSet<GroupId>,
) -> Option<(GroupId, &'a Spanned<SubjectKind>)> {
    if !seen.insert(group) {
        return None;
    }
    let item = &ctx.policy[group];
    match &item.kind {
        Some(kind) => Some((group, kind)),
        None => item.within.iter().find_map(|parent| nearest_kind(ctx, parent.value, seen)),
    }
}
