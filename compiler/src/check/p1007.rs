//! P1007: two rules that are copies of each other, or say the same about themselves. One of them was meant to be
//! changed.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    syntax::{
        ast::{Node, Value},
        keyword::Keyword,
    },
};
use std::collections::HashMap;

/// The nodes that are compared.
const RULES: [Keyword; 8] = [
    Keyword::Limits,
    Keyword::Mask,
    Keyword::Guard,
    Keyword::Approval,
    Keyword::Grant,
    Keyword::Forbid,
    Keyword::BreakGlass,
    Keyword::Operate,
];

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut profiles: HashMap<(Keyword, &str, &str), &Node> = HashMap::new();
    let mut descriptions: HashMap<&str, &Node> = HashMap::new();
    for (node, body) in ctx.rules_said() {
        // The connection of a grant is part of what it says; the name of another rule is not.
        let about = if node.keyword == Keyword::Grant { node.name().unwrap_or_default() } else { "" };
        let profile = (node.keyword, about, body);
        if let Some(first) = profiles.get(&profile) {
            report(node, first, format!("`{}` is a copy of `{}`", id(node), id(first)), "remove one of them", sink);
            continue;
        }
        profiles.insert(profile, node);
        let Some(text) = node.value(Keyword::Description).and_then(Value::as_str) else { continue };
        if let Some(first) = descriptions.get(text) {
            let message = format!("`{}` describes itself as `{}` does", id(node), id(first));
            report(node, first, message, "say what this one is for", sink);
        } else {
            descriptions.insert(text, node);
        }
    }
}

fn report(node: &Node, first: &Node, message: String, help: &str, sink: &mut Sink) {
    let found = Diagnostic::new(Code::P1007, node.head, message);
    sink.push(found.also(first.head, "the other one").help(help.to_owned()));
}

/// The name that a node defines.
pub(super) fn id(node: &Node) -> &str {
    node.prop("id").and_then(Value::as_str).or_else(|| node.name()).unwrap_or_default()
}

/// What a rule says; `None` for other nodes and for what could not be read whole.
pub(super) fn said(node: &Node) -> Option<String> {
    (RULES.contains(&node.keyword) && !node.broken).then(|| body(node))
}

/// What a node says, without its name, its description and what it accepts.
fn body(node: &Node) -> String {
    let mut clauses: Vec<String> = node
        .clauses
        .iter()
        .filter(|clause| !matches!(clause.keyword, Keyword::Description | Keyword::Allow | Keyword::Beside))
        .map(|clause| {
            let args: Vec<&str> = clause.args.iter().map(|value| value.text.as_str()).collect();
            let mut props: Vec<String> =
                clause.props.iter().map(|prop| format!("{}={:?}", prop.key.value, prop.value.text)).collect();
            props.sort();
            format!("{} {args:?} {props:?} {{{}}}", clause.word.value, body(clause))
        })
        .collect();
    clauses.sort();
    clauses.join("; ")
}
