//! P0105: a name that already means something where names stand bare: a family of operations, or a built-in
//! property of connections.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::Head,
    protocol::ConnectionKind,
};
use std::collections::BTreeSet;

/// Words that read as "everything" although the language has none.
const EVERYTHING: [&str; 2] = ["all", "any"];
/// The properties of `on` that are no labels.
const PROPERTIES: [&str; 2] = ["kind", "owner"];

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    let families: BTreeSet<&str> = ConnectionKind::ALL.into_iter().flat_map(ConnectionKind::families).collect();
    let mut see = |what: &str, head: &Head| {
        let name = head.name.value.as_str();
        let meaning = if families.contains(name) {
            "is a family of operations"
        } else if EVERYTHING.contains(&name) {
            "reads as everything there is"
        } else {
            return;
        };
        let message = format!("the {what} is named `{name}`, which {meaning}");
        sink.push(Diagnostic::new(Code::P0105, head.name.span, message).help("name it after what it is for"));
    };
    policy.connections.iter().for_each(|item| see("connection", &item.head));
    policy.limits.iter().for_each(|item| see("limits", &item.head));
    policy.masks.iter().for_each(|item| see("mask", &item.head));
    policy.guards.iter().for_each(|item| see("guard", &item.head));
    policy.approvals.iter().for_each(|item| see("approval", &item.head));
    policy.forbids.iter().for_each(|item| see("forbid", &item.head));
    policy.operators.iter().for_each(|item| see("operate", &item.head));
    // A grant without an id of its own takes the name of its connection, which is reported.
    policy.grants.iter().filter(|item| item.id_stated).for_each(|item| see(item.keyword(), &item.head));
    for label in policy.labels.iter().filter(|label| PROPERTIES.contains(&label.key.value.as_str())) {
        let key = &label.key;
        let message =
            format!("the label `{}` hides the property `{}=` that every connection has", key.value, key.value);
        sink.push(Diagnostic::new(Code::P0105, key.span, message).help("declare the label under another key"));
    }
}
