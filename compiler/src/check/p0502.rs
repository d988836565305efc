//! P0502: everybody who may approve may also be the one who asks, and the group may be so small that without the
//! requester too few are left. It fails when it is needed: at night, with a small team.

use super::{
    Ctx,
    p0501::{is_impossible, requesters},
};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::Principal,
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for (id, approval) in ctx.policy.approval_ids() {
        let requesters = requesters(ctx, id);
        for line in &approval.quorum {
            let group = line.from.value;
            let Some(min) = ctx.policy[group].size.as_ref().and_then(|size| size.min.as_ref()) else { continue };
            if min.value > line.count.value {
                continue;
            }
            let approver = Principal { groups: BTreeSet::from([group]), kind: None, span: line.from.span };
            // What can never be satisfied at all is P0501.
            let Some(requester) = requesters
                .iter()
                .find(|requester| ctx.implies(&approver, requester) && !is_impossible(ctx, line, requester))
            else {
                continue;
            };
            let (name, group) = (&approval.head.name.value, ctx.group_name(group));
            let left = min.value.saturating_sub(1);
            sink.push(
                Diagnostic::new(
                    Code::P0502,
                    line.span,
                    format!(
                        "`{name}` needs {} of {group}, who are the requesters themselves and may be only {}",
                        line.count.value, min.value
                    ),
                )
                .label(format!("{} must agree, and never the requester", line.count.value))
                .also(min.span, format!("when there are {}, {left} can approve", min.value))
                .also(requester.span, format!("everyone in {group} may ask"))
                .help("let another group approve, or state a larger least size when the group has one"),
            );
        }
    }
}
