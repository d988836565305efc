//! P0201: groups that nest in a cycle. All groups of a cycle would be one group under several names.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::GroupId,
    span::Span,
};
use petgraph::{algo::tarjan_scc, graph::DiGraph};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut graph: DiGraph<GroupId, ()> = DiGraph::new();
    let nodes: Vec<_> = ctx.policy.group_ids().map(|(id, _)| graph.add_node(id)).collect();
    for (id, group) in ctx.policy.group_ids() {
        for parent in &group.within {
            if let (Some(from), Some(to)) = (nodes.get(id.index()), nodes.get(parent.value.index())) {
                graph.add_edge(*from, *to, ());
            }
        }
    }
    for component in tarjan_scc(&graph) {
        let members: BTreeSet<GroupId> =
            component.iter().filter_map(|node| graph.node_weight(*node)).copied().collect();
        let cycle = cycle(ctx, &members);
        let [(_, first), rest @ ..] = cycle.as_slice() else { continue };
        let names: Vec<&str> = cycle.iter().chain(cycle.first()).map(|(group, _)| ctx.group_name(*group)).collect();
        let mut found = Diagnostic::new(Code::P0201, *first, format!("groups nest in a cycle: {}", names.join(" → ")))
            .label("the cycle goes through here …")
            .help("remove the `within` that is not meant");
        for (_, span) in rest {
            found = found.also(*span, "… and here");
        }
        sink.push(found);
    }
}

/// A path from the first group of a strongly connected set back to itself, with the `within` of each step.
fn cycle(ctx: &Ctx<'_>, members: &BTreeSet<GroupId>) -> Vec<(GroupId, Span)> {
    let Some(start) = members.first().copied() else { return Vec::new() };
    let mut paths: Vec<Vec<(GroupId, Span)>> = vec![Vec::new()];
    let mut seen = BTreeSet::new();
    // Breadth first, so that the shortest path is told.
    while !paths.is_empty() {
        let mut longer = Vec::new();
        for path in paths {
            let at = path.last().and_then(|(from, span)| {
                ctx.policy[*from].within.iter().find(|parent| parent.span == *span).map(|parent| parent.value)
            });
            let at = at.unwrap_or(start);
            if at == start && !path.is_empty() {
                return path;
            }
            if !path.is_empty() && !seen.insert(at) {
                continue;
            }
            for parent in ctx.policy[at].within.iter().filter(|parent| members.contains(&parent.value)) {
                let mut next = path.clone();
                next.push((at, parent.span));
                longer.push(next);
            }
        }
        paths = longer;
    }
    Vec::new()
}
