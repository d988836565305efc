//! P0104: two names of one kind that people take for each other. An approver who reads `ops-dba` and approves for
//! `opsdba` was not wrong about the request, but about the name.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    span::Spanned,
};
use std::collections::BTreeMap;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for (what, names) in names(ctx) {
        let mut seen: BTreeMap<String, &Spanned<String>> = BTreeMap::new();
        for name in names {
            let Some(first) = seen.get(&skeleton(&name.value)).copied() else {
                seen.insert(skeleton(&name.value), name);
                continue;
            };
            // The same name twice is P0102, or no second definition at all.
            if first.value == name.value {
                continue;
            }
            let message = format!("the {what} `{}` is easily taken for `{}`", name.value, first.value);
            sink.push(
                Diagnostic::new(Code::P0104, name.span, message)
                    .label("this name …")
                    .also(first.span, "… reads like this one")
                    .help("give one of them a name that cannot be confused"),
            );
        }
    }
}

/// What remains of a name when everything is folded that people overlook: case, `_` against `-`, a hyphen that is
/// not between two digits, and characters that look alike.
fn skeleton(name: &str) -> String {
    // A capital I is a small l to the eye.
    let lower = name.replace('I', "l").to_lowercase().replace('_', "-");
    let chars: Vec<char> = lower.chars().collect();
    let digit = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit);
    let mut out = String::with_capacity(name.len());
    for (at, c) in chars.iter().enumerate() {
        match c {
            '-' if !(digit(at.checked_sub(1)) && digit(at.checked_add(1))) => {}
            '0' => out.push('o'),
            '1' => out.push('l'),
            other => out.push(*other),
        }
    }
    out.replace("rn", "m").replace("vv", "w")
}

fn names<'a>(ctx: &'a Ctx<'_>) -> Vec<(String, Vec<&'a Spanned<String>>)> {
    let policy = ctx.policy;
    let mut all: Vec<(String, Vec<&Spanned<String>>)> = vec![
        ("idp".into(), policy.idps.iter().map(|item| &item.head.name).collect()),
        ("group".into(), policy.groups.iter().map(|item| &item.head.name).collect()),
        ("connection".into(), policy.connections.iter().map(|item| &item.head.name).collect()),
        ("limits".into(), policy.limits.iter().map(|item| &item.head.name).collect()),
        ("mask".into(), policy.masks.iter().map(|item| &item.head.name).collect()),
        ("guard".into(), policy.guards.iter().map(|item| &item.head.name).collect()),
        ("approval".into(), policy.approvals.iter().map(|item| &item.head.name).collect()),
        ("grant".into(), policy.grants.iter().map(|item| &item.head.name).collect()),
        ("forbid".into(), policy.forbids.iter().map(|item| &item.head.name).collect()),
        ("operate".into(), policy.operators.iter().map(|item| &item.head.name).collect()),
        ("team".into(), policy.teams.iter().map(|item| &item.head.name).collect()),
        ("label".into(), policy.labels.iter().map(|label| &label.key).collect()),
        ("class".into(), classes(ctx)),
        ("channel".into(), channels(ctx)),
        ("test".into(), policy.tests.iter().map(|item| &item.head.name).collect()),
        ("assertion".into(), policy.asserts.iter().map(|item| &item.head.name).collect()),
    ];
    for label in &policy.labels {
        all.push((format!("value of `{}`", label.key.value), label.values.iter().collect()));
    }
    all
}

/// Classes where they are given and where rules name them.
fn classes<'a>(ctx: &'a Ctx<'_>) -> Vec<&'a Spanned<String>> {
    let policy = ctx.policy;
    (policy.classify.iter().flat_map(|classify| &classify.items).map(|item| &item.class))
        .chain(policy.masks.iter().flat_map(|mask| &mask.classes))
        .chain(policy.grants.iter().flat_map(|grant| &grant.reveal))
        .collect()
}

/// Channels of notifications: one that is spelt in two ways tells half of the people.
fn channels<'a>(ctx: &'a Ctx<'_>) -> Vec<&'a Spanned<String>> {
    let policy = ctx.policy;
    (policy.approvals.iter().flat_map(|approval| &approval.notify))
        .chain(policy.grants.iter().filter_map(|grant| grant.break_glass.as_ref()).flat_map(|glass| &glass.notify))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::skeleton;

    #[test]
    fn what_people_overlook_is_folded() {
        for (a, b) in [
            ("sre-on-call", "sre-oncall"),
            ("prod", "Prod"),
            ("a_b", "a-b"),
            ("logs1", "logsl"),
            ("db0", "dbo"),
            ("govern", "govem"),
        ] {
            assert_eq!(skeleton(a), skeleton(b), "{a} {b}");
        }
        for (a, b) in [("db-1-11", "db-11-1"), ("orders", "order"), ("db-10", "db-1")] {
            assert_ne!(skeleton(a), skeleton(b), "{a} {b}");
        }
    }
}
