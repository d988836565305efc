//! P1008: grants that differ in nothing but their connection. What they have in common belongs into one place, where it
//! is changed once.

use super::{Ctx, p1007::id};
use lang::{
    diag::{Code, Diagnostic, Sink},
    syntax::{ast::Node, keyword::Keyword},
};
use std::collections::{BTreeMap, BTreeSet};

/// How many are too many.
const ALIKE: usize = 5;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut alike: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for (node, body) in ctx.rules_said().filter(|(node, _)| node.keyword == Keyword::Grant) {
        alike.entry(body).or_default().push(node);
    }
    for nodes in alike.values() {
        let connections: BTreeSet<&str> = nodes.iter().filter_map(|node| node.name()).collect();
        let Some(first) = nodes.first().filter(|_| connections.len() >= ALIKE) else { continue };
        let names: Vec<&str> = nodes.iter().map(|node| id(node)).collect();
        let message = format!("{} grants differ only in their connection", nodes.len());
        sink.push(
            Diagnostic::new(Code::P1008, first.head, message)
                .note(format!("they are {}", names.join(", ")))
                .help("put what they share into `limits` on a label of these connections, and keep the grants short"),
        );
    }
}
