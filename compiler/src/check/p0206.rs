//! P0206: a forbid or an obligation is keyed on groups whose idp may leave them out of a token, and the policy does
//! not say what then holds. Above 200 groups Entra sends a reference instead of the list: a rule that takes access
//! away would silently not match. The gateway refuses such tokens; the policy has to say that this is meant.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{GroupId, IdpId, IdpKind, Principal},
    program::SubjectKind,
    span::Span,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for (idp, item) in ctx.policy.idp_ids() {
        let IdpKind::Entra(entra) = &item.kind else { continue };
        if entra.overage.is_some() || item.head.broken {
            continue;
        }
        let Some((what, span, group)) =
            restrictors(ctx).into_iter().find(|(_, _, group)| rests_on_ids(ctx, *group, idp))
        else {
            continue;
        };
        let name = &item.head.name;
        sink.push(
            Diagnostic::new(
                Code::P0206,
                name.span,
                format!("`{}` does not say what holds when a token omits its groups", name.value),
            )
            .label("no `overage` clause")
            .also(span, format!("{what} depends on `{}`", ctx.group_name(group)))
            .help("write `overage refuse` to refuse such a token, or `overage graph` to look its groups up"),
        );
    }
}

/// Rules that take something away, with the groups that they are keyed on, in the order of the policy.
fn restrictors(ctx: &Ctx<'_>) -> Vec<(String, Span, GroupId)> {
    let policy = ctx.policy;
    let mut all = Vec::new();
    let mut keyed = |what: String, principals: &[Principal]| {
        for principal in principals {
            all.extend(principal.groups.iter().map(|group| (what.clone(), principal.span, *group)));
        }
    };
    for rule in &policy.forbids {
        keyed(format!("the forbid `{}`", rule.head.name.value), &rule.to);
    }
    for rule in &policy.limits {
        keyed(format!("the limits `{}`", rule.head.name.value), rule.to.alternatives());
    }
    for rule in &policy.guards {
        keyed(format!("the guard `{}`", rule.head.name.value), rule.to.alternatives());
    }
    for rule in &policy.masks {
        keyed(format!("the mask `{}`", rule.head.name.value), rule.to.alternatives());
    }
    for (what, principals) in of_kind(ctx) {
        for principal in principals.iter().filter(|principal| principal.kind == Some(SubjectKind::Agent)) {
            all.extend(agents(ctx).map(|group| (what.clone(), principal.span, group)));
        }
    }
    for rule in &policy.limits {
        if let Some(stated) = rule.lifetime.of(SubjectKind::Agent) {
            let what = format!("the limits `{}`", rule.head.name.value);
            all.extend(agents(ctx).map(|group| (what.clone(), stated.span, group)));
        }
    }
    for rule in &policy.disjoint {
        all.extend(rule.groups.iter().map(|group| ("`disjoint`".to_owned(), group.span, group.value)));
    }
    all
}

/// Rules that take something away, with whom they concern.
fn of_kind<'a>(ctx: &Ctx<'a>) -> Vec<(String, &'a [Principal])> {
    let policy = ctx.policy;
    let forbids = policy.forbids.iter().map(|rule| ("forbid", &rule.head, rule.to.as_slice()));
    let limits = policy.limits.iter().map(|rule| ("limits", &rule.head, rule.to.alternatives()));
    let guards = policy.guards.iter().map(|rule| ("guard", &rule.head, rule.to.alternatives()));
    let masks = policy.masks.iter().map(|rule| ("mask", &rule.head, rule.to.alternatives()));
    let all = forbids.chain(limits).chain(guards).chain(masks);
    all.map(|(what, head, to)| (format!("the {what} `{}`", head.name.value), to)).collect()
}

/// Groups that make a program an agent: without them in its token it passes for a service.
fn agents<'a>(ctx: &Ctx<'a>) -> impl Iterator<Item = GroupId> + use<'a> {
    let policy = ctx.policy;
    let agent = |kind: SubjectKind| kind == SubjectKind::Agent;
    policy
        .group_ids()
        .filter(move |(_, item)| item.kind.as_ref().is_some_and(|kind| agent(kind.value)))
        .map(|(id, _)| id)
}

/// Whether the group, or one that nests in it, is recognised by an object id of the idp.
fn rests_on_ids(ctx: &Ctx<'_>, group: GroupId, idp: IdpId) -> bool {
    ctx.policy.group_ids().any(|(inner, item)| {
        !item.ids.is_empty()
            && item.idp.as_ref().is_some_and(|own| own.value == idp)
            && ctx.closure(inner).contains(&group)
    })
}
