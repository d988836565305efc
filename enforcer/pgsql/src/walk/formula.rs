//! Conditions as formulas over terms, tried on sample rows in SQL's logic of three values.
//!
//! A term is a column, or anything else whose value is not known, which then takes every sampled value on its own. The
//! samples of a term are the constants that it is compared with and what lies around them, so that a formula that holds
//! on every row of samples holds on every row.

use std::cmp::Ordering;
use std::collections::BTreeSet;

/// How many constants the terms that are compared with each other may meet.
const CONSTANTS_MAX: usize = 24;

/// How many rows of samples are tried.
const ROWS_MAX: usize = 8192;

/// The ends of the types of integers: nothing lies beyond them.
const ENDS: [f64; 4] = [-2_147_483_648.0, 2_147_483_647.0, -9_223_372_036_854_775_808.0, 9_223_372_036_854_775_807.0];

/// A value of a sample. A text stands for a number, a date or a truth value where it is compared with one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Null,
    Truth(bool),
    Number(f64),
    Text(String),
}

/// What is known of the values of a term.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Domain {
    Any,
    Truth,
    /// A number of at least this.
    AtLeast(f64),
    Sign,
    NotEmpty,
}

#[derive(Debug)]
pub(super) struct Term {
    pub(super) domain: Domain,
    /// Whether the rows on which it is null count.
    pub(super) nullable: bool,
    /// Whether it is a column, which may be of any type that its constants allow.
    pub(super) column: bool,
    /// Terms of one group are compared with each other.
    pub(super) group: usize,
    pub(super) constants: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// IS DISTINCT FROM.
    Distinct,
}

#[derive(Clone, Debug)]
pub(super) enum Formula {
    Constant(Value),
    Term(usize),
    Not(Box<Formula>),
    All(Vec<Formula>),
    Any(Vec<Formula>),
    Compare(Comparison, Box<Formula>, Box<Formula>),
    IsNull(Box<Formula>),
    /// IS TRUE or IS FALSE.
    Is(bool, Box<Formula>),
    /// CASE: conditions with their results, and the other result.
    Case(Vec<(Formula, Formula)>, Box<Formula>),
    /// COALESCE.
    First(Vec<Formula>),
    NullIf(Box<Formula>, Box<Formula>),
    /// GREATEST or LEAST.
    Extreme(Ordering, Vec<Formula>),
    /// How many are null, or are not.
    Nulls(bool, Vec<Formula>),
}

/// What a formula is over all rows of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Always,
    Never,
    Varies,
}

impl Formula {
    pub(super) fn not(self) -> Self {
        Self::Not(Box::new(self))
    }

    pub(super) fn truth(flag: bool) -> Self {
        Self::Constant(Value::Truth(flag))
    }

    /// The values that the formula passes on: its terms and constants that are not mere conditions.
    pub(super) fn values(&self, terms: &mut Vec<usize>, constants: &mut Vec<Value>) {
        match self {
            Self::Constant(value) => constants.push(value.clone()),
            Self::Term(at) => terms.push(*at),
            Self::Case(arms, other) => {
                for (_, result) in arms {
                    result.values(terms, constants);
                }
                other.values(terms, constants);
            }
            Self::First(all) | Self::Extreme(_, all) => {
                for one in all {
                    one.values(terms, constants);
                }
            }
            Self::NullIf(one, _) => one.values(terms, constants),
            Self::Nulls(..) => {}
            Self::Not(_) | Self::All(_) | Self::Any(_) | Self::Compare(..) | Self::IsNull(_) | Self::Is(..) => {
                constants.extend([Value::Truth(true), Value::Truth(false)]);
            }
        }
    }

    /// The value on a row. `None`: values of different types met.
    fn on(&self, row: &[&Value]) -> Option<Value> {
        Some(match self {
            Self::Constant(value) => value.clone(),
            Self::Term(at) => (*row.get(*at)?).clone(),
            Self::Not(one) => one.truth_on(row)?.not().value(),
            Self::All(all) => together(all, row, Truth::False)?.value(),
            Self::Any(all) => together(all, row, Truth::True)?.value(),
            Self::Compare(comparison, left, right) => compare(*comparison, &left.on(row)?, &right.on(row)?)?.value(),
            Self::IsNull(one) => Value::Truth(one.on(row)? == Value::Null),
            Self::Is(flag, one) => Value::Truth(one.truth_on(row)? == Truth::of(*flag)),
            Self::Case(arms, other) => {
                for (condition, result) in arms {
                    if condition.truth_on(row)? == Truth::True {
                        return result.on(row);
                    }
                }
                other.on(row)?
            }
            Self::First(all) => {
                for one in all {
                    let value = one.on(row)?;
                    if value != Value::Null {
                        return Some(value);
                    }
                }
                Value::Null
            }
            Self::NullIf(one, other) => {
                let (one, other) = (one.on(row)?, other.on(row)?);
                if compare(Comparison::Equal, &one, &other)? == Truth::True { Value::Null } else { one }
            }
            Self::Extreme(wanted, all) => {
                let mut best = Value::Null;
                for one in all {
                    let value = one.on(row)?;
                    if best == Value::Null || value != Value::Null && order(&value, &best)? == *wanted {
                        best = value;
                    }
                }
                best
            }
            Self::Nulls(null, all) => {
                let mut count = 0_i32;
                for one in all {
                    count += i32::from((one.on(row)? == Value::Null) == *null);
                }
                Value::Number(count.into())
            }
        })
    }

    /// The value as a truth value, null being neither.
    fn truth_on(&self, row: &[&Value]) -> Option<Truth> {
        match self.on(row)? {
            Value::Null => Some(Truth::Unknown),
            Value::Truth(flag) => Some(Truth::of(flag)),
            Value::Text(text) => word(&text).map(Truth::of),
            Value::Number(_) => None,
        }
    }

    /// Whether the formula holds on every row of samples, or on none. `None`: it cannot be told. `spend` is asked
    /// before each row.
    pub(super) fn over(&self, terms: &[Term], spend: &dyn Fn() -> bool) -> Option<Verdict> {
        let samples: Vec<Vec<Value>> = terms.iter().map(|term| samples(term, terms)).collect::<Option<_>>()?;
        let rows = samples.iter().try_fold(1_usize, |rows, own| rows.checked_mul(own.len()))?;
        let (mut held, mut failed) = (false, false);
        for at in 0..rows.min(ROWS_MAX) {
            if !spend() {
                return None;
            }
            let mut rest = at;
            let mut row = Vec::with_capacity(samples.len());
            for own in &samples {
                row.push(own.get(rest % own.len())?);
                rest /= own.len();
            }
            let holds = self.truth_on(&row)? == Truth::True;
            (held, failed) = (held || holds, failed || !holds);
            if held && failed {
                return Some(Verdict::Varies);
            }
        }
        if rows > ROWS_MAX {
            return None;
        }
        Some(if failed { Verdict::Never } else { Verdict::Always })
    }
}

/// The outcome of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    True,
    False,
    Unknown,
}

impl Truth {
    fn of(flag: bool) -> Self {
        if flag { Self::True } else { Self::False }
    }

    fn not(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    fn value(self) -> Value {
        match self {
            Self::True => Value::Truth(true),
            Self::False => Value::Truth(false),
            Self::Unknown => Value::Null,
        }
    }
}

/// AND, which `False` decides, or OR, which `True` does.
fn together(all: &[Formula], row: &[&Value], decides: Truth) -> Option<Truth> {
    let mut unknown = false;
    for one in all {
        let truth = one.truth_on(row)?;
        if truth == decides {
            return Some(decides);
        }
        unknown |= truth == Truth::Unknown;
    }
    Some(if unknown { Truth::Unknown } else { decides.not() })
}

fn compare(comparison: Comparison, left: &Value, right: &Value) -> Option<Truth> {
    if *left == Value::Null || *right == Value::Null {
        let distinct = comparison == Comparison::Distinct;
        return Some(if distinct { Truth::of(left != right) } else { Truth::Unknown });
    }
    let order = order(left, right)?;
    Some(Truth::of(match comparison {
        Comparison::Equal => order.is_eq(),
        Comparison::NotEqual | Comparison::Distinct => order.is_ne(),
        Comparison::Less => order.is_lt(),
        Comparison::LessOrEqual => order.is_le(),
        Comparison::Greater => order.is_gt(),
        Comparison::GreaterOrEqual => order.is_ge(),
    }))
}

fn order(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Truth(left), Value::Truth(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Text(right)) => left.partial_cmp(&number(right)?),
        (Value::Text(left), Value::Number(right)) => number(left)?.partial_cmp(right),
        (Value::Truth(left), Value::Text(right)) => Some(left.cmp(&word(right)?)),
        (Value::Text(left), Value::Truth(right)) => Some(word(left)?.cmp(right)),
        _ => None,
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|number: &f64| !number.is_nan())
}

/// The truth value that a text stands for.
fn word(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "true" => Some(true),
        "f" | "false" => Some(false),
        _ => None,
    }
}

/// The values that a term takes: all constants that its group meets, and what lies around them. `None`: they are too
/// many, or of different types.
fn samples(term: &Term, terms: &[Term]) -> Option<Vec<Value>> {
    let group = || terms.iter().filter(|other| other.group == term.group);
    let constants = || group().flat_map(|other| &other.constants).filter(|value| **value != Value::Null);
    if constants().count() > CONSTANTS_MAX {
        return None;
    }
    let mut all = if group().any(|other| other.domain == Domain::Truth) || are_truths(term, constants()) {
        vec![Value::Truth(false), Value::Truth(true)]
    } else if let Some(numbers) = numbers(constants()) {
        around_numbers(&numbers, term.domain)
    } else if constants().all(|value| matches!(value, Value::Text(_))) {
        around_texts(constants(), term.domain)
    } else {
        return None;
    };
    if term.nullable {
        all.push(Value::Null);
    }
    Some(all)
}

/// Whether a column that meets these is one of truth values: one of them is, or both `'t'` and `'f'` are there.
fn are_truths<'v>(term: &Term, constants: impl Iterator<Item = &'v Value>) -> bool {
    let mut words = BTreeSet::new();
    for value in constants {
        match value {
            Value::Truth(_) => return true,
            Value::Text(text) => words.insert(word(text)),
            Value::Number(_) | Value::Null => return false,
        };
    }
    term.column && words.len() == 2 && !words.contains(&None)
}

/// The constants as numbers, when they are. Infinite dates are numbers that everything lies between.
fn numbers<'v>(constants: impl Iterator<Item = &'v Value>) -> Option<Vec<f64>> {
    let as_number = |value: &Value| match value {
        Value::Number(number) => Some(*number),
        Value::Text(text) => number(text),
        Value::Truth(_) | Value::Null => None,
    };
    constants.map(as_number).collect()
}

fn around_numbers(constants: &[f64], domain: Domain) -> Vec<Value> {
    if domain == Domain::Sign {
        return [-1.0, 0.0, 1.0].map(Value::Number).to_vec();
    }
    let mut all: Vec<f64> = vec![0.0, 1.0];
    for &number in constants {
        let is_end = ENDS.iter().any(|end| end.total_cmp(&number).is_eq());
        if is_end || number.is_infinite() {
            all.extend(number.is_infinite().then_some(number));
            continue;
        }
        all.extend([number.next_down(), number, number.next_up()]);
    }
    if let Domain::AtLeast(least) = domain {
        all.push(least);
        all.retain(|number| *number >= least);
    }
    all.sort_by(f64::total_cmp);
    all.dedup_by(|one, other| one.total_cmp(other).is_eq());
    all.into_iter().map(Value::Number).collect()
}

fn around_texts<'v>(constants: impl Iterator<Item = &'v Value>, domain: Domain) -> Vec<Value> {
    let mut all = BTreeSet::from([String::new(), "~".to_owned()]);
    for value in constants {
        if let Value::Text(text) = value {
            all.insert(format!("{text}!"));
            all.insert(text.clone());
        }
    }
    all.into_iter().filter(|text| domain != Domain::NotEmpty || !text.is_empty()).map(Value::Text).collect()
}
