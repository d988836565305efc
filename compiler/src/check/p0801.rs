//! P0801, P0802, P0805: a team's folder holds what its delegation permits and nothing else.
//!
//! Whoever may merge into the folder of a team decides what stands in it, so ownership has to hold for the meaning of
//! a rule and not only for its file: the connections (P0802), the subjects, the ceiling, and the kinds of nodes
//! (P0801). Two teams share no folder (P0805).

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Delegate, Grant, Head, Principal, TeamId, To, Withheld},
    program::rules::Mode,
    span::Span,
    syntax::keyword::Keyword,
};
use std::collections::BTreeSet;

/// The nodes that a team's folder may hold.
const PERMITTED: [Keyword; 9] = [
    Keyword::Grant,
    Keyword::BreakGlass,
    Keyword::Forbid,
    Keyword::Limits,
    Keyword::Mask,
    Keyword::Guard,
    Keyword::Approval,
    Keyword::Test,
    Keyword::Assert,
];

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    folders(ctx, sink);
    nodes(ctx, sink);
    let policy = ctx.policy;
    for grant in policy.grants.iter().filter(|grant| !grant.head.broken) {
        if let Some(team) = ctx.team_of(grant.head.span) {
            self::grant(ctx, team, grant, sink);
        }
    }
    let mut rule = |head: &Head, on: Option<&BTreeSet<ConnectionId>>, to: &To| {
        if let Some(team) = ctx.team_of(head.span)
            && !head.broken
        {
            restriction(ctx, team, head, on, to, sink);
        }
    };
    for limits in &policy.limits {
        rule(&limits.head, Some(&limits.on.connections), &limits.to);
    }
    for mask in &policy.masks {
        rule(&mask.head, mask.on.as_ref().map(|on| &on.connections), &mask.to);
    }
    for guard in &policy.guards {
        rule(&guard.head, Some(&guard.on.connections), &guard.to);
    }
    for forbid in &policy.forbids {
        rule(&forbid.head, Some(&forbid.on.connections), &To::Any(forbid.to.clone()));
    }
}

/// No folder lies within that of another team.
fn folders(ctx: &Ctx<'_>, sink: &mut Sink) {
    let teams: Vec<_> = ctx.policy.teams.iter().filter_map(|team| Some((team, team.folder.as_ref()?))).collect();
    for (at, (team, folder)) in teams.iter().enumerate() {
        for (other, within) in teams.iter().take(at) {
            let (a, b) = (format!("{}/", folder.value), format!("{}/", within.value));
            if a.starts_with(&b) || b.starts_with(&a) {
                let message = format!("the folders of {} and {} overlap", other.head.name.value, team.head.name.value);
                sink.push(
                    Diagnostic::new(Code::P0805, folder.span, message)
                        .also(within.span, "the other folder")
                        .help("give each team a folder of its own"),
                );
            }
        }
    }
}

/// A team's folder holds only certain nodes.
fn nodes(ctx: &Ctx<'_>, sink: &mut Sink) {
    for node in ctx.documents.iter().flat_map(|document| &document.nodes) {
        if PERMITTED.contains(&node.keyword) {
            continue;
        }
        if let Some(team) = ctx.team_of(node.head) {
            let name = &ctx.policy[team].head.name.value;
            let message = format!("`{}` stands in the folder of the team {name}", node.keyword);
            sink.push(
                Diagnostic::new(Code::P0801, node.head, message)
                    .help("move it out of the folder; a team never writes its own boundaries"),
            );
        }
    }
}

fn delegates<'a>(ctx: &Ctx<'a>, team: TeamId) -> Vec<&'a Delegate> {
    ctx.policy.delegates.iter().filter(|delegate| delegate.team == Some(team)).collect()
}

fn grant(ctx: &Ctx<'_>, team: TeamId, grant: &Grant, sink: &mut Sink) {
    let delegates = delegates(ctx, team);
    let name = &ctx.policy[team].head.name.value;
    for connection in grant.connections() {
        let here: Vec<&&Delegate> =
            delegates.iter().filter(|delegate| delegate.on.connections.contains(&connection)).collect();
        if here.is_empty() {
            outside(ctx, team, &grant.head, connection, &delegates, sink);
            return;
        }
        for principal in &grant.to {
            let theirs: Vec<&&&Delegate> = here.iter().filter(|delegate| covers(ctx, delegate, principal)).collect();
            let Some(first) = theirs.first() else {
                let message = format!("the team {name} may not give access to {}", ctx.describe(principal));
                let mut found = Diagnostic::new(Code::P0801, principal.span, message);
                for delegate in &here {
                    found = found.also(delegate.head.span, "what the team may hand out");
                }
                sink.push(found.help("name a group of the delegation, or have its owner widen it"));
                return;
            };
            if theirs.iter().all(|delegate| excess(grant, delegate).is_some())
                && let Some((code, span, what, limit)) = excess(grant, first)
            {
                let message = format!("the team {name} may not give {what}");
                sink.push(
                    Diagnostic::new(code, span, message)
                        .also(limit, "the team's delegation")
                        .help("stay within the delegation, or have its owner widen it"),
                );
                return;
            }
        }
    }
}

/// The first thing that a delegation does not permit: where it stands, what it is, and where it is denied. How long
/// and how a normal grant gives access is measured as that of `limits` is (P0405).
fn excess(grant: &Grant, delegate: &Delegate) -> Option<(Code, Span, String, Span)> {
    let measured = if grant.is_break_glass() { Code::P0801 } else { Code::P0405 };
    if let Some(ceiling) = &delegate.lifetime
        && grant.lifetime.total() > ceiling.value
    {
        let what = format!("{} in total, and at most {}", grant.lifetime.total(), ceiling.value);
        return Some((measured, grant.lifetime.span, what, ceiling.span));
    }
    delegate.withheld.iter().find_map(|withheld| match withheld.value {
        Withheld::Standing if grant.mode.value == Mode::Standing => {
            Some((measured, grant.mode.span, "standing access".to_owned(), withheld.span))
        }
        Withheld::BreakGlass if grant.is_break_glass() => {
            Some((Code::P0801, grant.head.span, "break-glass access".to_owned(), withheld.span))
        }
        Withheld::Reveal => {
            grant.reveal.first().map(|class| (Code::P0801, class.span, "unmasked data".to_owned(), withheld.span))
        }
        Withheld::Standing | Withheld::BreakGlass => None,
    })
}

fn covers(ctx: &Ctx<'_>, delegate: &Delegate, principal: &Principal) -> bool {
    delegate.to.iter().any(|wide| ctx.implies(principal, wide))
}

/// Limits, masks, guards and forbids narrow access, but outside the delegation they would narrow that of others.
fn restriction(
    ctx: &Ctx<'_>,
    team: TeamId,
    head: &Head,
    on: Option<&BTreeSet<ConnectionId>>,
    to: &To,
    sink: &mut Sink,
) {
    let delegates = delegates(ctx, team);
    let name = &ctx.policy[team].head.name.value;
    let Some(on) = on else {
        let message = format!("`{}` concerns every connection, also outside the delegation of {name}", head.name.value);
        sink.push(Diagnostic::new(Code::P0802, head.span, message).help("say `on` which connections it concerns"));
        return;
    };
    for connection in on {
        let here: Vec<&&Delegate> =
            delegates.iter().filter(|delegate| delegate.on.connections.contains(connection)).collect();
        if here.is_empty() {
            outside(ctx, team, head, *connection, &delegates, sink);
            return;
        }
        let within = match to {
            To::Everybody => false,
            To::Any(principals) => {
                principals.iter().all(|principal| here.iter().any(|delegate| covers(ctx, delegate, principal)))
            }
        };
        if !within {
            let message = format!("`{}` concerns subjects outside the delegation of {name}", head.name.value);
            let mut found = Diagnostic::new(Code::P0801, head.span, message);
            for delegate in here {
                found = found.also(delegate.head.span, "whom the team may give access to");
            }
            sink.push(found.help("say `to` which groups of the delegation it concerns, or move it out of the folder"));
            return;
        }
    }
}

fn outside(
    ctx: &Ctx<'_>,
    team: TeamId,
    head: &Head,
    connection: ConnectionId,
    delegates: &[&Delegate],
    sink: &mut Sink,
) {
    let name = &ctx.policy[team].head.name.value;
    let target = &ctx.policy[connection].head.name;
    let message =
        format!("`{}` reaches `{}`, which is not delegated to the team {name}", head.name.value, target.value);
    let mut found = Diagnostic::new(Code::P0802, head.span, message).also(target.span, "the connection");
    for delegate in delegates {
        found = found.also(delegate.head.span, "what is delegated to the team");
    }
    sink.push(found.help(if delegates.is_empty() {
        format!("the team has no `delegate`; write one outside its folder: `delegate team:{name} {{ … }}`")
    } else {
        "move the rule out of the team's folder, or have the owner of the delegation widen it".to_owned()
    }));
}
