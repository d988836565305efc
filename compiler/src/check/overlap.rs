//! Where two grants meet: an operation, an object and an instant that both permit. Patterns are laminar, so the
//! answer is exact; each answer is also the witness that is shown.

use super::Ctx;
use lang::{
    model::{ConnectionId, Grant, Objects},
    protocol::{ConnectionKind, Operation},
    span::Spanned,
    time::{Hours, Timestamp},
};

/// One request that both grants permit.
#[derive(Clone, Debug)]
pub(super) struct Meeting {
    /// The first common operation.
    pub(super) op: Operation,
    /// A common object, for people; empty when no grant narrows.
    pub(super) object: String,
    /// The first common instant from now on.
    pub(super) at: Timestamp,
}

/// A request on the connection that both grants permit, when there is one.
pub(super) fn meeting(ctx: &Ctx<'_>, a: &Grant, b: &Grant, connection: ConnectionId) -> Option<Meeting> {
    let kind = ctx.policy[connection].kind.value;
    let both = a.ops.intersection(b.ops);
    let op = kind.operations().find(|op| both.contains(*op))?;
    let object = object(kind, &a.objects, &b.objects)?;
    Some(Meeting { op, object, at: instant(ctx, a, b)? })
}

fn object(kind: ConnectionKind, a: &Objects, b: &Objects) -> Option<String> {
    match kind {
        ConnectionKind::Postgres | ConnectionKind::Mysql => common(&a.tables, &b.tables, table),
        ConnectionKind::Kubernetes => common(&a.namespaces, &b.namespaces, segment),
        ConnectionKind::Http => common(&a.paths, &b.paths, path),
        ConnectionKind::Ssh => common(&a.argv, &b.argv, argv),
    }
}

/// The first object in common; an empty list is all objects.
fn common(a: &[Spanned<String>], b: &[Spanned<String>], meet: impl Fn(&str, &str) -> Option<String>) -> Option<String> {
    match (a, b) {
        ([], []) => Some(String::new()),
        ([one, ..], []) | ([], [one, ..]) => meet(&one.value, &one.value),
        (a, b) => a.iter().find_map(|a| b.iter().find_map(|b| meet(&a.value, &b.value))),
    }
}

/// Whether two `schema.table` patterns have a table in common.
pub(super) fn tables_meet(a: &str, b: &str) -> bool {
    table(a, b).is_some()
}

/// Whether every object of `inner` is one of `outer`; exact for patterns that end in at most one `*` per part, and
/// otherwise only sure of patterns that are equal.
pub(super) fn covers(outer: &Objects, inner: &Objects) -> bool {
    let part = |outer: &[Spanned<String>], inner: &[Spanned<String>], within: fn(&str, &str) -> bool| {
        outer.is_empty()
            || (!inner.is_empty() && inner.iter().all(|i| outer.iter().any(|o| within(&o.value, &i.value))))
    };
    part(&outer.tables, &inner.tables, |o, i| match (o.split_once('.'), i.split_once('.')) {
        (Some((os, on)), Some((is, iname))) => segment_within(os, is) && segment_within(on, iname),
        (Some(_) | None, _) => false,
    }) && part(&outer.namespaces, &inner.namespaces, segment_within)
        && part(&outer.paths, &inner.paths, |o, i| {
            o == i
                || o.strip_suffix("/**")
                    .is_some_and(|root| i.strip_prefix(root).is_some_and(|rest| rest.starts_with('/')))
        })
        && part(&outer.argv, &inner.argv, |o, i| o == i)
}

fn segment_within(outer: &str, inner: &str) -> bool {
    match outer.strip_suffix('*') {
        Some(prefix) => inner.starts_with(prefix),
        None => outer == inner,
    }
}

/// A text that two literals or prefixes have in common.
fn segment(a: &str, b: &str) -> Option<String> {
    let shown = |prefix: &str| if prefix.is_empty() { "example".to_owned() } else { format!("{prefix}1") };
    match (a.strip_suffix('*'), b.strip_suffix('*')) {
        (None, None) => (a == b).then(|| a.to_owned()),
        (Some(prefix), None) => b.starts_with(prefix).then(|| b.to_owned()),
        (None, Some(prefix)) => a.starts_with(prefix).then(|| a.to_owned()),
        (Some(x), Some(y)) if x.starts_with(y) => Some(shown(x)),
        (Some(x), Some(y)) => y.starts_with(x).then(|| shown(y)),
    }
}

fn table(a: &str, b: &str) -> Option<String> {
    let ((a_schema, a_name), (b_schema, b_name)) = (a.split_once('.')?, b.split_once('.')?);
    let schema = match segment(a_schema, b_schema)? {
        any if any == "example" => "public".to_owned(),
        schema => schema,
    };
    Some(format!("{schema}.{}", segment(a_name, b_name)?))
}

fn path(a: &str, b: &str) -> Option<String> {
    fn meet(a: &[&str], b: &[&str]) -> Option<Vec<String>> {
        match (a.split_first(), b.split_first()) {
            (None, None) => Some(Vec::new()),
            (Some((&"**", rest)), _) => meet(rest, b).or_else(|| {
                let (head, tail) = b.split_first()?;
                let head = if *head == "**" { "example".to_owned() } else { segment(head, head)? };
                // Two `**` face each other: the other one gives way first, so that this ends.
                if head == "example" && b.first() == Some(&"**") {
                    return meet(a, tail);
                }
                Some([vec![head], meet(a, tail)?].concat())
            }),
            (_, Some((&"**", _))) => meet(b, a),
            (Some((x, a)), Some((y, b))) => Some([vec![segment(x, y)?], meet(a, b)?].concat()),
            (None, Some(_)) | (Some(_), None) => None,
        }
    }
    let parts = meet(&a.split('/').collect::<Vec<_>>(), &b.split('/').collect::<Vec<_>>())?;
    let path = parts.join("/");
    Some(if path.is_empty() { "/".to_owned() } else { path })
}

fn argv(a: &str, b: &str) -> Option<String> {
    let (a, b): (Vec<&str>, Vec<&str>) = (a.split(' ').collect(), b.split(' ').collect());
    if a.len() != b.len() {
        return None;
    }
    let parts: Option<Vec<&str>> = a
        .iter()
        .zip(&b)
        .map(|(a, b)| match (*a, *b) {
            ("*", "*") => Some("x"),
            ("*", other) | (other, "*") => Some(other),
            (a, b) => (a == b).then_some(a),
        })
        .collect();
    parts.map(|parts| parts.join(" "))
}

/// The first instant from now on at which both grants give access.
fn instant(ctx: &Ctx<'_>, a: &Grant, b: &Grant) -> Option<Timestamp> {
    let zone = &ctx.policy.zone;
    let valid = || a.valid.iter().chain(&b.valid).map(|valid| &valid.value);
    let from = valid().filter_map(|valid| valid.start(zone)).chain([ctx.at]).max()?;
    let at = match hours(a, b) {
        None => from,
        Some(hours) if hours.contains(from, zone) => from,
        Some(hours) => hours.start_after(from, zone)?,
    };
    valid().filter_map(|valid| valid.end(zone)).all(|end| at < end).then_some(at)
}

/// The hours of both; `None` for always.
fn hours(a: &Grant, b: &Grant) -> Option<Hours> {
    match (&a.hours, &b.hours) {
        (None, None) => None,
        (Some(hours), None) | (None, Some(hours)) => Some(hours.value.clone()),
        (Some(a), Some(b)) => Some(a.value.intersection(&b.value)),
    }
}

/// Whether `outer` gives access whenever `inner` does.
pub(super) fn covers_time(outer: &Grant, inner: &Grant) -> bool {
    let hours = match (&outer.hours, &inner.hours) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => inner.value.intersection(&outer.value) == inner.value,
    };
    let days = match (&outer.valid, &inner.valid) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(outer), Some(inner)) => {
            let (outer, inner) = (&outer.value, &inner.value);
            outer.from.is_none_or(|from| inner.from.is_some_and(|own| from <= own))
                && outer.until.is_none_or(|until| inner.until.is_some_and(|own| own <= until))
        }
    };
    hours && days
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_meet_where_some_object_matches_both() {
        assert_eq!(table("public.*", "public.customers").as_deref(), Some("public.customers"));
        assert_eq!(table("public.*", "*.audit_*").as_deref(), Some("public.audit_1"));
        assert_eq!(table("shipping.*", "public.*"), None);
        assert_eq!(path("/v1/**", "/v1/refunds/*").as_deref(), Some("/v1/refunds/example"));
        assert_eq!(path("/v1/**/lines", "/**").as_deref(), Some("/v1/lines"));
        assert_eq!(path("/**", "/**").as_deref(), Some("/"));
        assert_eq!(path("/v1/*", "/v2/*"), None);
        assert_eq!(argv("systemctl status *", "systemctl * nginx").as_deref(), Some("systemctl status nginx"));
        assert_eq!(argv("df -h", "df"), None);
    }
}
