//! P0207: a grant to a parent group also reaches the groups that nest in it, and one of them is the business of
//! another team. Whoever wrote the grant named their own people and gave access to others.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Grant, GroupId, TeamId},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    let teams = teams(ctx);
    let nobody = BTreeSet::new();
    for grant in policy.grants.iter().filter(|grant| !grant.head.broken) {
        let givers = givers(ctx, grant);
        if givers.is_empty() {
            continue;
        }
        for principal in &grant.to {
            // Whoever nests in all of them nests in the first.
            let inner = principal.groups.first().map_or(&[][..], |first| ctx.holders(*first));
            let inner = inner.iter().copied().filter(|id| {
                let all = || principal.groups.iter().all(|group| ctx.holders(*group).binary_search(id).is_ok());
                !principal.groups.contains(id) && all()
            });
            let foreign = inner
                .map(|group| (group, teams.get(&group).unwrap_or(&nobody)))
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

/// For each group the teams whose people it holds: it maintains their folder, or their delegation names it.
fn teams(ctx: &Ctx<'_>) -> BTreeMap<GroupId, BTreeSet<TeamId>> {
    let mut teams: BTreeMap<GroupId, BTreeSet<TeamId>> = BTreeMap::new();
    for (id, team) in ctx.policy.team_ids() {
        for maintainer in &team.maintainers {
            teams.entry(maintainer.value).or_default().insert(id);
        }
    }
    for delegate in &ctx.policy.delegates {
        let Some(team) = delegate.team else { continue };
        for group in delegate.to.iter().flat_map(|principal| &principal.groups) {
            teams.entry(*group).or_default().insert(team);
        }
    }
    teams
}
