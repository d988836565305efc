//! P0309: one target under two names with different labels. A rule about one label is stepped around by connecting
//! under the other name. Two databases of one server are two targets.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::Connection,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut first: BTreeMap<(String, Option<&str>), &Connection> = BTreeMap::new();
    for connection in &ctx.policy.connections {
        if connection.head.broken {
            continue;
        }
        let address = connection.address.value.to_ascii_lowercase();
        let database = connection.database.as_ref().map(|database| database.value.as_str());
        let key = (address.trim_end_matches('/').to_owned(), database);
        let Some(other) = first.get(&key).copied() else {
            first.insert(key, connection);
            continue;
        };
        let (ours, theirs) = (labels(connection), labels(other));
        if ours == theirs {
            continue;
        }
        let (a, b) = (&other.head.name.value, &connection.head.name.value);
        sink.push(
            Diagnostic::new(
                Code::P0309,
                connection.address.span,
                format!("`{a}` and `{b}` are the same target under different labels"),
            )
            .label(format!("`{b}` is {}", shown(&ours)))
            .also(other.address.span, format!("`{a}` is {}", shown(&theirs)))
            .help("keep one of the connections, or give both the same labels: rules about labels hold for the target"),
        );
    }
}

fn labels(connection: &Connection) -> BTreeSet<(&str, &str)> {
    connection.labels.iter().map(|(key, value)| (key.value.as_str(), value.value.as_str())).collect()
}

fn shown(labels: &BTreeSet<(&str, &str)>) -> String {
    if labels.is_empty() {
        return "without labels".to_owned();
    }
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}
