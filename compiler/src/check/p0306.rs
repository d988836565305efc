//! P0306: one credential for connections of different environments or owners. Who may use it in one place can use
//! it in the other, whatever the policy says about each.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Connection, Credential},
};
use std::collections::BTreeMap;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut first: BTreeMap<(&str, &str), (&Connection, &Credential)> = BTreeMap::new();
    for connection in &ctx.policy.connections {
        let Some(credential) = &connection.credential else { continue };
        let key = (credential.kind.word(), credential.reference.value.as_str());
        let Some((other, place)) = first.get(&key).copied() else {
            first.insert(key, (connection, credential));
            continue;
        };
        let environments = (other.label("env"), connection.label("env"));
        let owners = (other.owner.as_ref().map(|it| it.value), connection.owner.as_ref().map(|it| it.value));
        let what = if environments.0 != environments.1 {
            "environments"
        } else if owners.0 != owners.1 {
            "owners"
        } else {
            continue;
        };
        let (a, b) = (&other.head.name.value, &connection.head.name.value);
        sink.push(
            Diagnostic::new(
                Code::P0306,
                credential.reference.span,
                format!("`{a}` and `{b}` have different {what} and share one credential"),
            )
            .label(format!("used for `{b}` …"))
            .also(place.reference.span, format!("… and for `{a}`"))
            .help("give each of them a credential of its own"),
        );
    }
}
