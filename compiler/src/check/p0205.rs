//! P0205: nesting gives a group's members two groups that `disjoint` says nobody holds together. Every member would
//! be refused.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::GroupId,
    span::Spanned,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for (id, group) in ctx.policy.group_ids() {
        let held = ctx.closure(id);
        // One mistake, one error: a group whose outer group has the contradiction inherits it.
        let inherited = group.within.iter().any(|parent| ctx.is_disjoint(&ctx.closure(parent.value)));
        if inherited {
            continue;
        }
        for rule in &ctx.policy.disjoint {
            let both: Vec<&Spanned<GroupId>> = rule.groups.iter().filter(|named| held.contains(&named.value)).collect();
            let [a, b, ..] = both.as_slice() else { continue };
            if a.value == b.value {
                continue;
            }
            // The nesting that brings in the one that is not the group itself.
            let outer = if a.value == id { b } else { a };
            let Some(edge) = group.within.iter().rev().find(|parent| ctx.closure(parent.value).contains(&outer.value))
            else {
                continue;
            };
            let (inner, a_name, b_name) = (ctx.group_name(id), ctx.group_name(a.value), ctx.group_name(b.value));
            sink.push(
                Diagnostic::new(
                    Code::P0205,
                    edge.span,
                    format!("everyone in `{inner}` would be in `{a_name}` and `{b_name}`, which are disjoint"),
                )
                .label(format!("makes every member of `{inner}` a member of `{}`", ctx.group_name(outer.value)))
                .also(a.span, "nobody holds this …")
                .also(b.span, "… and this together")
                .help("remove the `within`, or take one of the groups out of `disjoint`"),
            );
        }
    }
}
