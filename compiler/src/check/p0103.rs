//! P0103: a definition that nothing uses. It is dead weight at best, and a control that somebody believes in at
//! worst: an approval that no rule asks for protects nothing.

use super::{Ctx, ctx::is_whole};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ApprovalId, Claim, Grant, GroupId, Head, IdpId, Mask, Principal, TeamId, To},
    program::class_matches,
};
use std::collections::BTreeSet;

/// What is referred to.
#[derive(Default)]
struct Used {
    groups: BTreeSet<GroupId>,
    approvals: BTreeSet<ApprovalId>,
    idps: BTreeSet<IdpId>,
    teams: BTreeSet<TeamId>,
}

impl Used {
    fn principals(&mut self, principals: &[Principal]) {
        self.groups.extend(principals.iter().flat_map(|principal| principal.groups.iter().copied()));
    }

    fn to(&mut self, to: &To) {
        self.principals(to.alternatives());
    }
}

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    // A part that could not be read may hold the use.
    if ctx.documents.iter().any(|document| document.broken) || sink.has_errors() {
        return;
    }
    let used = used(ctx);
    unused_classes(ctx, sink);
    let mut report = |what: &str, head: &Head, help: &str| {
        if is_whole(head) {
            let message = format!("nothing uses the {what} `{}`", head.name.value);
            sink.push(Diagnostic::new(Code::P0103, head.name.span, message).help(help.to_owned()));
        }
    };
    for (id, group) in policy.group_ids() {
        if !used.groups.contains(&id) {
            report("group", &group.head, "refer to it in `to`, `within`, `quorum` or `disjoint`, or remove it");
        }
    }
    for (id, approval) in policy.approval_ids() {
        if !used.approvals.contains(&id) {
            report("approval", &approval.head, "demand it in `limits` or a `grant`, or remove it");
        }
    }
    for (id, idp) in policy.idp_ids() {
        if !used.idps.contains(&id) {
            report("idp", &idp.head, "declare a group of it, or remove it: its tokens are accepted");
        }
    }
    for mask in &policy.masks {
        if !is_reached(ctx, mask) {
            report(
                "mask",
                &mask.head,
                "no grant reaches a connection that it concerns; grant access there, or remove it",
            );
        }
    }
    for (id, team) in policy.team_ids() {
        if !used.teams.contains(&id) {
            report("team", &team.head, "make it the owner of a connection, or remove it");
        }
    }
}

/// Whether a grant reaches a connection that a mask concerns. A selector that selects nothing is P0303.
fn is_reached(ctx: &Ctx<'_>, mask: &Mask) -> bool {
    let Some(on) = &mask.on else { return !ctx.policy.grants.is_empty() };
    on.connections.is_empty()
        || ctx.policy.grants.iter().flat_map(Grant::connections).any(|reached| on.connections.contains(&reached))
}

/// Classes that no mask hides, no grant reveals and no assertion speaks of: the data is as raw as without a class.
fn unused_classes(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    let mut patterns: BTreeSet<&str> = BTreeSet::new();
    patterns.extend(policy.masks.iter().flat_map(|mask| &mask.classes).map(|class| class.value.as_str()));
    patterns.extend(policy.grants.iter().flat_map(|grant| &grant.reveal).map(|class| class.value.as_str()));
    for assert in &policy.asserts {
        patterns.extend(assert.where_raw.as_ref().map(|class| class.value.as_str()));
        if let Some(Claim::NeverRaw(class)) = &assert.claim {
            patterns.insert(&class.value);
        }
    }
    let mut seen = BTreeSet::new();
    for item in policy.classify.iter().flat_map(|classify| &classify.items) {
        let class = item.class.value.as_str();
        if !patterns.iter().any(|pattern| class_matches(pattern, class)) && seen.insert(class) {
            let message = format!("nothing uses the class `{class}`");
            let found = Diagnostic::new(Code::P0103, item.class.span, message).label("shown as it is");
            sink.push(found.help("hide it with a `mask`, or remove the line"));
        }
    }
}

fn used(ctx: &Ctx<'_>) -> Used {
    let policy = ctx.policy;
    let mut used = Used::default();
    for group in &policy.groups {
        used.idps.extend(group.idp.as_ref().map(|idp| idp.value));
    }
    used.groups.extend(policy.disjoint.iter().flat_map(|rule| rule.groups.iter().map(|group| group.value)));
    used.teams.extend(policy.connections.iter().filter_map(|connection| connection.owner.as_ref()).map(|it| it.value));
    for delegate in &policy.delegates {
        used.teams.extend(delegate.team);
        used.principals(&delegate.to);
    }
    for team in &policy.teams {
        used.groups.extend(team.maintainers.iter().map(|group| group.value));
    }
    for limits in &policy.limits {
        used.to(&limits.to);
        used.approvals.extend(limits.approvals.iter().map(|approval| approval.value));
    }
    for mask in &policy.masks {
        used.to(&mask.to);
    }
    for guard in &policy.guards {
        used.to(&guard.to);
        used.approvals.extend(guard.reviews.iter().filter_map(|review| review.by.as_ref()).map(|by| by.value));
    }
    for approval in &policy.approvals {
        used.groups.extend(approval.quorum.iter().map(|line| line.from.value));
    }
    for grant in &policy.grants {
        used.principals(&grant.to);
        used.approvals.extend(grant.approvals.iter().map(|approval| approval.value));
        let review = grant.break_glass.as_ref().and_then(|glass| glass.review.as_ref());
        used.groups.extend(review.map(|line| line.from.value));
    }
    for forbid in &policy.forbids {
        used.principals(&forbid.to);
    }
    for operate in &policy.operators {
        used.principals(&operate.to);
    }
    // What nests in a used group is one way to hold it, and a group stands for the used ones within it.
    loop {
        let before = used.groups.len();
        for (id, group) in policy.group_ids() {
            for parent in group.within.iter().map(|parent| parent.value) {
                if used.groups.contains(&parent) || used.groups.contains(&id) {
                    used.groups.extend([parent, id]);
                }
            }
        }
        if used.groups.len() == before {
            return used;
        }
    }
}
