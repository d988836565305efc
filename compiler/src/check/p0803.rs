//! P0803: who maintains a folder is served by its broadest grant. They approve their own access by merging it.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Grant, Principal, TeamId},
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut of_team: BTreeMap<TeamId, Vec<&Grant>> = BTreeMap::new();
    for grant in ctx.whole_grants() {
        if let Some(team) = ctx.team_of(grant.head.span) {
            of_team.entry(team).or_default().push(grant);
        }
    }
    for (id, team) in ctx.policy.team_ids() {
        let Some(folder) = &team.folder else { continue };
        let mut broadest: BTreeMap<ConnectionId, &Grant> = BTreeMap::new();
        for grant in of_team.remove(&id).unwrap_or_default() {
            for connection in grant.connections() {
                let best = broadest.entry(connection).or_insert(grant);
                if breadth(grant) > breadth(best) {
                    *best = grant;
                }
            }
        }
        let mut seen = BTreeSet::new();
        for (connection, grant) in broadest {
            let hit = team.maintainers.iter().find_map(|maintainer| {
                let groups = BTreeSet::from([maintainer.value]);
                let own = Principal { groups, kind: None, span: maintainer.span };
                grant.to.iter().find(|wide| ctx.implies(&own, wide)).map(|wide| (maintainer, wide))
            });
            let Some((maintainer, principal)) = hit else { continue };
            if !seen.insert(grant.head.name.span) {
                continue;
            }
            let (name, target) = (&team.head.name.value, ctx.connection_name(connection));
            let message = format!(
                "`{}`, the broadest grant of {name} on `{target}`, serves those who maintain its folder",
                grant.head.name.value
            );
            sink.push(
                Diagnostic::new(Code::P0803, principal.span, message)
                    .label("given to …")
                    .also(maintainer.span, "… who may merge it")
                    .also(folder.span, "into this folder")
                    .help("let others maintain the folder, or have its reviewers come from another team"),
            );
        }
    }
}

/// How much a grant gives: operations, then whether it is narrowed, then time.
fn breadth(grant: &Grant) -> (usize, bool, u32) {
    let objects = &grant.objects;
    let open = objects.tables.is_empty()
        && objects.namespaces.is_empty()
        && objects.paths.is_empty()
        && objects.argv.is_empty();
    (grant.ops.iter().count(), open, grant.lifetime.total().seconds())
}
