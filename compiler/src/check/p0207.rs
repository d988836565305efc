//! P0207: a grant to a parent group also reaches the groups that nest in it, and one of them is the business of
//! another team. Whoever wrote the grant named their own people and gave access to others.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Grant, GroupId, TeamId},
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    for grant in policy.grants.iter().filter(|grant| !grant.head.broken) {
        let givers = givers(ctx, grant);
        if givers.is_empty() {
            continue;
        }
        for principal in &grant.to {
            let inner = policy.group_ids().map(|(id, _)| id).filter(|id| {
                !principal.groups.contains(id)
                    && !principal.groups.is_empty()
                    && principal.groups.is_subset(&ctx.closure(*id))
            });
            let foreign = inner
                .map(|group| (group, teams_of(ctx, group)))
                .find(|(_, teams)| !teams.is_empty() && teams.is_disjoint(&givers));
            let Some((group, teams)) = foreign else { continue };
            let Some(team) = teams.first().map(|team| &policy[*team].head.name) else { continue };
            let (id, name) = (&grant.head.name.value, ctx.group_name(group));
            let message = format!("`{id}` reaches `{name}` of the team {}, which nests in what it names", team.value);
            let mut found =
                Diagnostic::new(Code::P0207, principal.span, message).label(format!("everyone in {name} matches this"));
            if let Some(within) = policy[group].within.first() {
                found = found.also(within.span, "nested here");
            }
            sink.push(
                found
                    .also(team.span, "the other team")
                    .help("name the groups that are meant, or have the other team agree to it"),
            );
            break;
        }
    }
}

/// The teams in whose name a grant is given: that of its folder, else the owners of its connections.
fn givers(ctx: &Ctx<'_>, grant: &Grant) -> BTreeSet<TeamId> {
    if let Some(team) = ctx.team_of(grant.head.span) {
        return BTreeSet::from([team]);
    }
    let owners = grant.connections().into_iter().filter_map(|id| ctx.policy[id].owner.as_ref());
    owners.map(|owner| owner.value).collect()
}

/// The teams whose people a group holds: it maintains their folder, or their delegation names it.
fn teams_of(ctx: &Ctx<'_>, group: GroupId) -> BTreeSet<TeamId> {
    let policy = ctx.policy;
    let maintained = policy
        .team_ids()
        .filter(|(_, team)| team.maintainers.iter().any(|maintainer| maintainer.value == group))
        .map(|(id, _)| id);
    let delegated = policy
        .delegates
        .iter()
        .filter(|delegate| delegate.to.iter().any(|principal| principal.groups.contains(&group)))
        .filter_map(|delegate| delegate.team);
    maintained.chain(delegated).collect()
}
