//! What stands in for a masked column: an SQL expression of the column's own type, total on every value.
//!
//! An expression must never raise an error that depends on the value, and names every function and operator by its
//! schema, so that nothing of the target's own is called. The key of a hash never stands in a text: it is a parameter of
//! the session ([`KEY_INNER`], [`KEY_OUTER`]) that no statement of a client may read or set.

use crate::snapshot::Column;
use lang::program::rules::MaskAs;

/// The parameter with the key block of the inner hash, in hexadecimal digits.
pub const KEY_INNER: &str = "leasehold.mask_inner";
/// The parameter with the key block of the outer hash, in hexadecimal digits.
pub const KEY_OUTER: &str = "leasehold.mask_outer";

/// What stands for a masked text.
const REDACTED: &str = "[redacted]";
/// What stands between the kept ends of a partly masked text.
const GAP: &str = "***";

/// Whether a parameter is the gateway's own: no statement of a client may read or set it.
pub fn is_reserved(parameter: &str) -> bool {
    parameter.get(..9).is_some_and(|prefix| prefix.eq_ignore_ascii_case("leasehold"))
}

/// A name in double quotes.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text in single quotes, as `standard_conforming_strings` reads it.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Where the key of a hash is read.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    /// In the session's own parameters.
    Parameters,
    /// In a table of this schema, which only the owner of the query may read.
    Table(&'a str),
}

/// The table of the key blocks.
pub(crate) const KEY_TABLE: &str = "mask_key";

/// The expression for a column of the row `m`.
pub(crate) fn masked(mask: &MaskAs, column: &Column, key: Key<'_>) -> String {
    let kind = match column.kind.as_ref() {
        // A polymorphic column exists only in the catalog itself.
        "anyarray" => "text[]",
        kind => kind,
    };
    let value = format!("m.{}", quoted(&column.name));
    let unless_null = |shown: &str| format!("CASE WHEN {value} IS NULL THEN NULL ELSE {shown} END::{kind}");
    let null = format!("NULL::{kind}");
    if !is_computed(mask, column) {
        return null;
    }
    match mask {
        MaskAs::Nullify => null,
        MaskAs::Fixed(text) => unless_null(&format!("{}::{kind}", literal(text))),
        MaskAs::Redact => unless_null(&literal(REDACTED)),
        MaskAs::Hash => unless_null(&hashed(&value, key)),
        MaskAs::Partial { keep_first, keep_last } => partial(&value, *keep_first, *keep_last, kind),
    }
}

/// Whether the expression for a column is computed from what the column holds.
pub(crate) fn is_computed(mask: &MaskAs, column: &Column) -> bool {
    match mask {
        MaskAs::Nullify => false,
        MaskAs::Fixed(_) => true,
        MaskAs::Redact | MaskAs::Hash | MaskAs::Partial { .. } => column.text,
    }
}

/// HMAC-SHA-256 in built-ins: the two key blocks are made by the gateway.
fn hashed(value: &str, key: Key<'_>) -> String {
    let block = |name: &str| match key {
        Key::Parameters => format!("pg_catalog.decode(pg_catalog.current_setting({}), 'hex')", literal(name)),
        Key::Table(schema) => {
            let column = if name == KEY_INNER { "inner_block" } else { "outer_block" };
            format!("(SELECT k.{column} FROM {}.{KEY_TABLE} AS k)", quoted(schema))
        }
    };
    let inner = format!(
        "pg_catalog.sha256({} OPERATOR(pg_catalog.||) pg_catalog.convert_to({value}::pg_catalog.text, 'UTF8'))",
        block(KEY_INNER)
    );
    format!("pg_catalog.encode(pg_catalog.sha256({} OPERATOR(pg_catalog.||) {inner}), 'hex')", block(KEY_OUTER))
}

/// The ends of a text that is long enough for the ends to say little; else nothing of it.
fn partial(value: &str, first: u32, last: u32, kind: &str) -> String {
    let text = format!("{value}::pg_catalog.text");
    let long_enough = u64::from(first).saturating_add(u64::from(last)).saturating_mul(2).min(1 << 30);
    let (first, last) = (first.min(1 << 20), last.min(1 << 20));
    let mut parts = Vec::new();
    if first > 0 {
        parts.push(format!("pg_catalog.\"left\"({text}, {first})"));
    }
    parts.push(literal(GAP));
    if last > 0 {
        parts.push(format!("pg_catalog.\"right\"({text}, {last})"));
    }
    let shown = parts.join(" OPERATOR(pg_catalog.||) ");
    format!(
        "CASE WHEN {value} IS NULL THEN NULL \
         WHEN pg_catalog.char_length({text}) OPERATOR(pg_catalog.>=) {long_enough} THEN {shown} ELSE {} END::{kind}",
        literal(REDACTED)
    )
}
