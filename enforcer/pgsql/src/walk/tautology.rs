//! Conditions that together hold for every row, by their shape alone: a comparison and its opposite, ranges that meet, a
//! boolean and its negation.
//!
//! What is not of such a shape is not found here; the caller decides what that means.

use super::expression::constant;
use super::names::string;
use super::restriction::Effort;
use super::{E, pg};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a byte of a condition's shape costs, in nodes.
const SHAPE_BYTES_PER_NODE: usize = 32;

/// Which outcomes of a comparison satisfy a condition.
const LESS: u8 = 1;
const EQUAL: u8 = 2;
const GREATER: u8 = 4;
const ANY: u8 = LESS | EQUAL | GREATER;

/// A condition as what it compares, and the outcomes that satisfy it.
#[derive(Debug)]
struct Compared {
    left: String,
    right: String,
    number: Option<f64>,
    outcomes: u8,
}

/// Whether the arms of an OR (or, negated, of an AND) hold together for every row.
pub(super) fn complementary(arms: &[pg::Node], negated: bool, effort: &Effort) -> bool {
    let mut outcomes: BTreeMap<(String, String), u8> = BTreeMap::new();
    let mut ranges: BTreeMap<String, Range> = BTreeMap::new();
    for arm in arms {
        let compared = compared(arm, negated);
        effort.spend((compared.left.len() + compared.right.len()) / SHAPE_BYTES_PER_NODE + 1);
        if effort.is_spent() {
            return true;
        }
        if let Some(number) = compared.number
            && ranges.entry(compared.left.clone()).or_default().covers_with(number, compared.outcomes)
        {
            return true;
        }
        let seen = outcomes.entry((compared.left, compared.right)).or_default();
        *seen |= compared.outcomes;
        if *seen == ANY {
            return true;
        }
    }
    false
}

/// What arms that compare one expression with numbers leave uncovered.
#[derive(Debug, Default)]
struct Range {
    below: Option<f64>,
    above: Option<f64>,
}

impl Range {
    /// Adds an arm; whether everything is covered then. Where the two meet, the outcomes of one number decide.
    fn covers_with(&mut self, number: f64, outcomes: u8) -> bool {
        if outcomes & LESS != 0 && self.below.is_none_or(|below| below < number) {
            self.below = Some(number);
        }
        if outcomes & GREATER != 0 && self.above.is_none_or(|above| above > number) {
            self.above = Some(number);
        }
        matches!((self.below, self.above), (Some(below), Some(above)) if below > above)
    }
}

fn compared(condition: &pg::Node, negated: bool) -> Compared {
    let flip = |outcomes: u8| if negated { ANY & !outcomes } else { outcomes };
    match condition.node.as_ref() {
        Some(E::BoolExpr(n)) if n.boolop == pg::BoolExprType::NotExpr as i32 => match n.args.first() {
            Some(arg) => compared(arg, !negated),
            None => truth(condition, flip(EQUAL)),
        },
        Some(E::BooleanTest(n)) => match (n.arg.as_deref(), pg::BoolTestType::try_from(n.booltesttype)) {
            (Some(arg), Ok(pg::BoolTestType::IsTrue | pg::BoolTestType::IsNotFalse)) => compared(arg, negated),
            (Some(arg), Ok(pg::BoolTestType::IsFalse | pg::BoolTestType::IsNotTrue)) => compared(arg, !negated),
            _ => truth(condition, flip(EQUAL)),
        },
        Some(E::AExpr(n)) => comparison(n, negated).unwrap_or_else(|| truth(condition, flip(EQUAL))),
        _ => truth(condition, flip(EQUAL)),
    }
}

/// A condition that is only ever true or false: to be false is every other outcome.
fn truth(condition: &pg::Node, outcomes: u8) -> Compared {
    Compared { left: shape(Some(condition)), right: String::new(), number: None, outcomes }
}

fn comparison(n: &pg::AExpr, negated: bool) -> Option<Compared> {
    use pg::AExprKind as K;
    let operator = n.name.last().and_then(string).unwrap_or_default();
    let kind = K::try_from(n.kind).ok()?;
    let (left, right) = (n.lexpr.as_deref()?, n.rexpr.as_deref()?);
    if let (K::AexprOp, Some(value)) = (kind, boolean(right))
        && matches!(operator, "=" | "<>")
    {
        return Some(compared(left, negated != (value != (operator == "="))));
    }
    let bare = operator.trim_start_matches('!');
    let (outcomes, family) = match kind {
        K::AexprOp | K::AexprDistinct | K::AexprNotDistinct => match operator {
            "=" if kind == K::AexprDistinct => (LESS | GREATER, ""),
            "=" => (EQUAL, ""),
            "<>" => (LESS | GREATER, ""),
            "<" => (LESS, ""),
            "<=" => (LESS | EQUAL, ""),
            ">" => (GREATER, ""),
            ">=" => (GREATER | EQUAL, ""),
            other if other.starts_with('!') => (LESS | GREATER, bare),
            other => (EQUAL, other),
        },
        K::AexprIn => (if operator == "=" { EQUAL } else { LESS | GREATER }, "in"),
        K::AexprLike | K::AexprIlike | K::AexprSimilar => {
            let plain = kind == K::AexprLike && constant(right).is_some_and(|text| !text.contains(['%', '_', '\\']));
            (if operator.starts_with('!') { LESS | GREATER } else { EQUAL }, if plain { "" } else { bare })
        }
        K::AexprBetween => (EQUAL, "between"),
        K::AexprNotBetween => (LESS | GREATER, "between"),
        K::AexprBetweenSym => (EQUAL, "between symmetric"),
        K::AexprNotBetweenSym => (LESS | GREATER, "between symmetric"),
        K::Undefined | K::AexprOpAny | K::AexprOpAll | K::AexprNullif => return None,
    };
    let outcomes = if negated { ANY & !outcomes } else { outcomes };
    // `5 < id` is `id > 5`.
    let swap = family.is_empty() && is_constant(left) && !is_constant(right);
    let (left, right, outcomes) = if swap { (right, left, mirrored(outcomes)) } else { (left, right, outcomes) };
    let number = if family.is_empty() { number(right) } else { None };
    Some(Compared { left: format!("{family} {}", shape(Some(left))), right: shape(Some(right)), number, outcomes })
}

fn mirrored(outcomes: u8) -> u8 {
    let less = if outcomes & GREATER != 0 { LESS } else { 0 };
    let greater = if outcomes & LESS != 0 { GREATER } else { 0 };
    outcomes & EQUAL | less | greater
}

fn is_constant(node: &pg::Node) -> bool {
    matches!(node.node.as_ref(), Some(E::AConst(_) | E::ParamRef(_)))
}

/// The value of a boolean constant, `true` or `'t'::bool`.
pub(super) fn boolean(node: &pg::Node) -> Option<bool> {
    match node.node.as_ref() {
        Some(E::AConst(constant)) => match &constant.val {
            Some(pg::a_const::Val::Boolval(flag)) => Some(flag.boolval),
            _ => None,
        },
        Some(E::TypeCast(cast)) => match cast.arg.as_deref().and_then(constant)? {
            "t" | "true" => Some(true),
            "f" | "false" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The value of a number.
pub(super) fn number(node: &pg::Node) -> Option<f64> {
    match node.node.as_ref() {
        Some(E::AConst(constant)) => match constant.val.as_ref()? {
            pg::a_const::Val::Ival(number) => Some(number.ival.into()),
            pg::a_const::Val::Fval(number) => number.fval.parse().ok(),
            pg::a_const::Val::Boolval(_) | pg::a_const::Val::Sval(_) | pg::a_const::Val::Bsval(_) => None,
        },
        Some(E::AExpr(n)) if n.lexpr.is_none() && n.name.last().and_then(string) == Some("-") => {
            number(n.rexpr.as_deref()?).map(|number| -number)
        }
        _ => None,
    }
}

/// The tree as text, without the places where its parts stand.
pub(super) fn shape(node: Option<&pg::Node>) -> String {
    let mut text = String::new();
    if let Some(node) = node
        && write!(text, "{node:?}").is_ok()
    {
        let mut parts = text.split("location: ");
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            out.push_str(part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-'));
        }
        return out;
    }
    text
}
