//! What a statement may not spell, whatever node it stands in: names of what runs a routine of the database, and of what is
//! the gateway's own.

use super::rewrite::UNPROVEN;
use super::{Plan, blind};
use crate::routines::OF_SEQUENCES;
use crate::snapshot::Kind;
use crate::statement::Statement;
use pg_query::protobuf as pg;

/// Routines that tell how a value is stored: the server compresses or moves it by how long its whole row is.
const LENGTHS: [&str; 3] = ["pg_column_compression", "pg_column_size", "pg_column_toast_chunk_id"];

/// Why a name or a constant of a statement, whatever node it stands in, may not be there.
pub(super) fn refused(plan: &Plan, tree: &pg::Node) -> Option<String> {
    let names = [&plan.catalog.operators, &plan.catalog.types, &plan.effects.types, &plan.catalog.comparing];
    let mut why = None;
    let found = blind::find(tree, &mut |field, text| {
        if names_reserved(text) {
            why = Some("parameters that begin with `leasehold.` are the gateway's own".to_owned());
        } else if let Some(operator) = unnamed(plan, field, text) {
            why = Some(format!(
                "this statement compares by `{operator}`, which runs a routine of the database, and the gateway cannot see \
                 what it reads; this connection has masks"
            ));
        } else if field == "sval" && LENGTHS.contains(&text) {
            why = Some(format!(
                "`{text}` shows how a row is stored, and so how long masked values are; use `octet_length`"
            ));
        } else if field == "sval" && names.iter().any(|names| names.contains(text)) {
            why = Some(format!(
                "`{text}` runs a routine of the database, and the gateway cannot see what it reads; this connection has masks"
            ));
        }
        why.is_some()
    });
    found.then(|| why.unwrap_or_else(|| UNPROVEN.to_owned()))
}

/// An operator that a node applies without its name, when the database has one of its own that is so called: BETWEEN,
/// CASE with a value, JOIN with USING or NATURAL, and IN with a query.
fn unnamed(plan: &Plan, field: &str, text: &str) -> Option<&'static str> {
    if plan.catalog.operators.is_empty() {
        return None;
    }
    let applied: &[&str] = match (field, text) {
        ("sval", "BETWEEN" | "NOT BETWEEN" | "BETWEEN SYMMETRIC" | "NOT BETWEEN SYMMETRIC") => &["<", "<=", ">", ">="],
        (blind::NODE, "CaseExpr" | "JoinExpr" | "SubLink") => &["=", "<>"],
        _ => &[],
    };
    applied.iter().copied().find(|operator| plan.catalog.operators.contains(*operator))
}

/// Whether a text begins with the name of a parameter of the gateway's own, or holds one in double quotes.
fn names_reserved(text: &str) -> bool {
    const RESERVED: &str = "leasehold.";
    let begins = |text: &str| text.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED));
    begins(text) || text.match_indices('"').any(|(at, quote)| text.get(at + quote.len()..).is_some_and(begins))
}

/// Why a statement does not run that could tell the numbers which a sequence gives a masked column: a call names no other
/// sequence, or a routine is spelled where it is no call.
pub(super) fn tells_numbers(plan: &Plan, tree: &pg::Node, judged: &Statement) -> Option<String> {
    if !plan.serials {
        return None;
    }
    let mut spelled = 0_usize;
    let unread = blind::find(tree, &mut |field, text| {
        spelled += usize::from(field == "sval" && OF_SEQUENCES.contains(&text));
        false
    });
    let is_other = |named: &Option<Box<str>>| named.as_deref().is_some_and(|named| is_known_sequence(plan, named));
    let tells = unread || spelled > judged.sequences.len() || !judged.sequences.iter().all(is_other);
    tells.then(|| {
        "a sequence gives a masked column its numbers: name another one, as a constant, or insert with RETURNING"
            .to_owned()
    })
}

/// Whether a text names a sequence that gives no masked column its numbers.
fn is_known_sequence(plan: &Plan, named: &str) -> bool {
    let (schema, name) = named.split_once('.').unwrap_or((&plan.facts.default_schema, named));
    let simple =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let full = (schema.into(), name.into());
    let is_sequence = plan.catalog.relation(&full).is_some_and(|relation| relation.kind == Kind::Sequence);
    simple(schema) && simple(name) && is_sequence && !plan.is_closed(&full)
}

/// Whether a statement names a column that says when a row was made, and shows no other columns than it spells.
pub(super) fn names_versions(tree: &pg::Node) -> bool {
    let named = blind::find(tree, &mut |field, text| field == "sval" && matches!(text, "xmin" | "tableoid"));
    named && !blind::find(tree, &mut |field, text| field == blind::NODE && text == "AStar")
}
