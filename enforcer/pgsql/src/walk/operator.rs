//! What operators say, and the constants beside them.

use super::expression::constant;
use super::formula::{Comparison, Domain, Value};
use super::names::string;
use super::tautology::{number, shape};
use super::{E, pg};

/// What arithmetic comes to.
pub(super) enum Folded<'t> {
    /// The one side, unchanged.
    Side(&'t pg::Node),
    Value(Value),
    Within(Domain),
}

/// Arithmetic that changes nothing, gives always one value, or never some.
pub(super) fn folded<'t>(operator: &str, left: &'t pg::Node, right: &'t pg::Node) -> Option<Folded<'t>> {
    let is = |node: &pg::Node, wanted: i32| number(node).is_some_and(|value| value.total_cmp(&wanted.into()).is_eq());
    let is_null = |node: &pg::Node| matches!(uncast(node).node.as_ref(), Some(E::AConst(n)) if n.isnull);
    let empty = |node: &pg::Node| constant(node) == Some("");
    let same = || shape(Some(left)) == shape(Some(right));
    if matches!(operator, "+" | "-" | "*" | "/" | "%" | "||" | "^") && (is_null(left) || is_null(right)) {
        return Some(Folded::Value(Value::Null));
    }
    match operator {
        "+" | "-" if is(right, 0) => Some(Folded::Side(left)),
        "*" | "/" | "^" if is(right, 1) => Some(Folded::Side(left)),
        "+" if is(left, 0) => Some(Folded::Side(right)),
        "*" if is(left, 1) => Some(Folded::Side(right)),
        "*" if is(left, 0) || is(right, 0) => Some(Folded::Value(Value::Number(0.0))),
        "^" if is(right, 0) => Some(Folded::Value(Value::Number(1.0))),
        "-" if same() => Some(Folded::Value(Value::Number(0.0))),
        "*" if same() => Some(Folded::Within(Domain::AtLeast(0.0))),
        "||" if empty(right) => Some(Folded::Side(left)),
        "||" if empty(left) => Some(Folded::Side(right)),
        "||" if constant(left).is_some() || constant(right).is_some() => Some(Folded::Within(Domain::NotEmpty)),
        _ => None,
    }
}

/// What stands under casts.
pub(super) fn uncast(node: &pg::Node) -> &pg::Node {
    let mut node = node;
    while let Some(E::TypeCast(cast)) = node.node.as_ref()
        && let Some(arg) = cast.arg.as_deref()
    {
        node = arg;
    }
    node
}

/// The text of a pattern: a constant, also under a cast, with ESCAPE or joined of constants.
pub(super) fn pattern(node: &pg::Node) -> Option<String> {
    let node = uncast(node);
    match node.node.as_ref() {
        // LIKE … ESCAPE and SIMILAR TO wrap their pattern.
        Some(E::FuncCall(call))
            if call.funcname.last().and_then(string).is_some_and(|name| name.ends_with("_escape")) =>
        {
            pattern(call.args.first()?)
        }
        Some(E::AExpr(n)) if n.name.last().and_then(string) == Some("||") => {
            Some(pattern(n.lexpr.as_deref()?)? + &pattern(n.rexpr.as_deref()?)?)
        }
        _ => constant(node).map(str::to_owned),
    }
}

/// The members of `'{a,b}'`. `None`: they are quoted or nested.
pub(super) fn members(text: &str) -> Option<Vec<&str>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?.trim();
    if inner.contains(['"', '{', '\\']) {
        return None;
    }
    Some(if inner.is_empty() { Vec::new() } else { inner.split(',').map(str::trim).collect() })
}

/// An operator without the negation in its name.
pub(super) fn positive(operator: &str) -> (&str, bool) {
    match operator.strip_prefix('!') {
        Some(bare) if bare.starts_with('~') => (bare, true),
        _ => (operator, false),
    }
}

/// Whether an operator that is not understood gives a truth value.
pub(super) fn is_predicate(operator: &str) -> bool {
    operator.starts_with('~') || matches!(operator, "@>" | "<@" | "&&" | "?" | "?|" | "?&" | "@@" | "@?" | "^@")
}

pub(super) fn comparison(operator: &str) -> Option<Comparison> {
    Some(match operator {
        "=" => Comparison::Equal,
        "<>" | "!=" => Comparison::NotEqual,
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => return None,
    })
}
