//! P0707: a forbid that rests on a group whose absence nobody can prove. A token without the claim passes as one of
//! somebody outside the group, and the forbid does not apply.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{AbsentGroups, Group, Idp, IdpKind},
    span::Span,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for forbid in ctx.policy.forbids.iter().filter(|forbid| !forbid.head.broken) {
        let hit = forbid.to.iter().find_map(|principal| {
            let mut inner = ctx.policy.groups.iter().enumerate().filter(|(at, _)| {
                let held = ctx.closure(lang::model::GroupId::at(*at));
                !principal.groups.is_empty() && !principal.groups.is_disjoint(&held)
            });
            inner.find_map(|(_, group)| unproved(ctx, group)).map(|cause| (principal, cause))
        });
        let Some((principal, (cause, why, help))) = hit else { continue };
        let name = &forbid.head.name.value;
        let message = format!("a token can keep silent about what the forbid `{name}` rests on");
        sink.push(
            Diagnostic::new(Code::P0707, principal.span, message)
                .label("applies only to who says so")
                .also(cause, why)
                .help(help),
        );
    }
}

/// Why a token without the group proves nothing.
fn unproved(ctx: &Ctx<'_>, group: &Group) -> Option<(Span, &'static str, &'static str)> {
    let idp: &Idp = &ctx.policy[group.idp.as_ref()?.value];
    if let IdpKind::Entra(entra) = &idp.kind
        && let Some(absent) = &entra.absent_groups
        && absent.value == AbsentGroups::None
        && !group.ids.is_empty()
    {
        return Some((
            absent.span,
            "a token without a groups claim counts as one without groups",
            "write `absent-groups refuse`, and have the application emit the groups claim",
        ));
    }
    let claim = group.claim_values.first()?;
    (idp.claims.roles.is_none()).then_some((
        claim.span,
        "found in a claim that the idp's declaration does not even name",
        "name the claim in the idp, `claim roles=…`, once you know that its tokens always carry it",
    ))
}
