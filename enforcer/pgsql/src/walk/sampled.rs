//! Reads a condition as a formula over terms, and tries it on sample rows.
//!
//! Whatever is not understood becomes a term of its own, which may have any value: a condition that holds all the same
//! holds for every row. Rows on which a column of the target is null do not count, since most columns never are.

use super::expression::constant;
use super::formula::{Comparison, Domain, Formula, Term, Value, Verdict};
use super::names::{qualified, string};
use super::operator::{Folded, comparison, folded, is_predicate, members, pattern, positive, uncast};
use super::pattern::{matches_everything, similar_to_everything};
use super::query::alias_of;
use super::restriction::Target;
use super::tautology::{boolean, number, shape};
use super::twin::ANY;
use super::{E, Walker, pg};
use crate::catalog::PG_CATALOG;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// How many nodes of a condition are read. A larger one is not tried.
const NODES_MAX: usize = 512;

/// What a byte of a condition's shape costs, in nodes.
const SHAPE_BYTES_PER_NODE: usize = 8;

/// How many queries within queries are read.
const LEVELS_MAX: usize = 8;

/// Where a condition stands: what its names mean.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    /// How many queries with a FROM stand between it and the statement: there a bare name is not the target's.
    level: usize,
    /// Whether such a query calls something else by the target's name.
    shadowed: bool,
    /// Whether it is a condition on groups, of which none is empty.
    grouped: bool,
}

impl Place {
    pub(super) const GROUPS: Self = Self { level: 1, shadowed: false, grouped: true };
}

/// How many rows a query gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    None,
    Some,
    Unknown,
}

impl<'t> Walker<'t> {
    /// Whether a condition holds on every sample row.
    pub(super) fn always_holds(&self, condition: &'t pg::Node, target: &Target<'t>) -> bool {
        self.sampled(condition, target, Place::default()) == Some(Verdict::Always)
    }

    /// What a condition is over all sample rows. `None`: it cannot be told.
    pub(super) fn sampled(&self, condition: &'t pg::Node, target: &Target<'t>, place: Place) -> Option<Verdict> {
        let mut reader = Reader { walker: self, target, place, terms: Vec::new(), index: BTreeMap::new(), nodes: 0 };
        let formula = reader.condition(condition)?;
        let (cost, terms) = (reader.nodes, reader.terms.len());
        self.effort.sample(terms.saturating_mul(terms)).then_some(())?;
        formula.over(&reader.terms, &|| self.effort.sample(cost))
    }
}

struct Reader<'w, 't> {
    walker: &'w Walker<'t>,
    target: &'w Target<'t>,
    place: Place,
    terms: Vec<Term>,
    index: BTreeMap<String, usize>,
    nodes: usize,
}

impl<'t> Reader<'_, 't> {
    /// Counts a node. `None`: there are too many.
    fn count(&mut self) -> Option<()> {
        self.nodes += 1;
        (self.nodes <= NODES_MAX && self.walker.effort.sample(1)).then_some(())
    }

    fn all(&mut self, nodes: &'t [pg::Node]) -> Option<Vec<Formula>> {
        nodes.iter().map(|node| self.value(node)).collect()
    }

    fn term(&mut self, key: String, domain: Domain, nullable: bool, column: bool) -> Formula {
        let next = self.terms.len();
        let at = *self.index.entry(key).or_insert(next);
        if at == next {
            self.terms.push(Term { domain, nullable, column, group: next, constants: Vec::new() });
        } else if let Some(term) = self.terms.get_mut(at)
            && domain == Domain::Truth
        {
            term.domain = domain;
        }
        Formula::Term(at)
    }

    /// A term for what is not understood.
    fn opaque(&mut self, node: &'t pg::Node, domain: Domain, nullable: bool) -> Option<Formula> {
        let key = shape(Some(node));
        self.walker.effort.sample(key.len() / SHAPE_BYTES_PER_NODE).then_some(())?;
        Some(self.term(key, domain, nullable, false))
    }

    /// A term for a test that is not understood.
    fn test(&mut self, key: String) -> Option<Formula> {
        self.count()?;
        self.walker.effort.sample(key.len() / SHAPE_BYTES_PER_NODE).then_some(())?;
        Some(self.term(key, Domain::Truth, false, false))
    }

    /// What stands where a truth value is asked for.
    fn condition(&mut self, node: &'t pg::Node) -> Option<Formula> {
        let formula = self.value(node)?;
        if let Formula::Term(at) = formula
            && let Some(term) = self.terms.get_mut(at)
        {
            term.domain = Domain::Truth;
        }
        Some(formula)
    }

    fn conditions(&mut self, nodes: &'t [pg::Node]) -> Option<Vec<Formula>> {
        nodes.iter().map(|node| self.condition(node)).collect()
    }

    fn value(&mut self, node: &'t pg::Node) -> Option<Formula> {
        self.count()?;
        match node.node.as_ref() {
            Some(E::AConst(_)) => self.constant(node),
            Some(E::TypeCast(n)) => match boolean(node) {
                Some(flag) => Some(Formula::truth(flag)),
                None => self.value(n.arg.as_deref()?),
            },
            Some(E::CollateClause(n)) => self.value(n.arg.as_deref()?),
            Some(E::ColumnRef(n)) => self.column(node, &n.fields),
            Some(E::BoolExpr(n)) => {
                let all = self.conditions(&n.args)?;
                match pg::BoolExprType::try_from(n.boolop).ok()? {
                    pg::BoolExprType::AndExpr => Some(Formula::All(all)),
                    pg::BoolExprType::OrExpr => Some(Formula::Any(all)),
                    pg::BoolExprType::NotExpr => Some(all.into_iter().next()?.not()),
                    pg::BoolExprType::Undefined => None,
                }
            }
            Some(E::BooleanTest(n)) => {
                use pg::BoolTestType as T;
                let arg = Box::new(self.condition(n.arg.as_deref()?)?);
                match T::try_from(n.booltesttype).ok()? {
                    T::IsTrue => Some(Formula::Is(true, arg)),
                    T::IsNotTrue => Some(Formula::Is(true, arg).not()),
                    T::IsFalse => Some(Formula::Is(false, arg)),
                    T::IsNotFalse => Some(Formula::Is(false, arg).not()),
                    T::IsUnknown => Some(Formula::IsNull(arg)),
                    T::IsNotUnknown => Some(Formula::IsNull(arg).not()),
                    T::Undefined => None,
                }
            }
            Some(E::NullTest(n)) => {
                let null = Formula::IsNull(Box::new(self.value(n.arg.as_deref()?)?));
                Some(if n.nulltesttype == pg::NullTestType::IsNull as i32 { null } else { null.not() })
            }
            Some(E::CoalesceExpr(n)) => Some(Formula::First(self.linked(&n.args)?)),
            Some(E::MinMaxExpr(n)) => {
                let greatest = n.op == pg::MinMaxOp::IsGreatest as i32;
                let wanted = if greatest { Ordering::Greater } else { Ordering::Less };
                Some(Formula::Extreme(wanted, self.linked(&n.args)?))
            }
            Some(E::CaseExpr(n)) => self.case(n),
            Some(E::AExpr(n)) => self.operation(node, n),
            Some(E::FuncCall(n)) => self.call(node, n),
            Some(E::SubLink(n)) => self.sub_link(node, n),
            _ => self.opaque(node, Domain::Any, true),
        }
    }

    fn constant(&mut self, node: &'t pg::Node) -> Option<Formula> {
        if let Some(number) = number(node) {
            return Some(Formula::Constant(Value::Number(number)));
        }
        if let Some(flag) = boolean(node) {
            return Some(Formula::truth(flag));
        }
        match (constant(node), node.node.as_ref()) {
            (Some(text), _) => Some(text_of(text)),
            (None, Some(E::AConst(n))) if n.isnull => Some(Formula::Constant(Value::Null)),
            _ => self.opaque(node, Domain::Any, false),
        }
    }

    /// A column of the target, or of a twin, whose row is then the same: or one of something else.
    fn column(&mut self, node: &'t pg::Node, fields: &'t [pg::Node]) -> Option<Formula> {
        let name = fields.last().and_then(string).unwrap_or("*");
        // What several columns of a query or a view give alike is one.
        let alike = |name| self.target.own.stands_for(name).filter(|name| *name != ANY).unwrap_or(name);
        let own = if fields.len() < 2 {
            (self.target.alone && self.place.level == 0).then(|| alike(name))
        } else if self.target.qualifies(fields) {
            (!self.place.shadowed).then(|| alike(name))
        } else {
            self.target.twin(fields).filter(|_| self.place.level == 0).and_then(|twin| twin.columns.stands_for(name))
        };
        let own = own.filter(|name| *name != ANY);
        match own {
            Some(name) => Some(self.term(format!("column {name}"), Domain::Any, false, true)),
            None => self.opaque(node, Domain::Any, true),
        }
    }

    fn case(&mut self, n: &'t pg::CaseExpr) -> Option<Formula> {
        let mut arms = Vec::new();
        for node in &n.args {
            let Some(E::CaseWhen(when)) = node.node.as_ref() else { return None };
            let condition = match n.arg.as_deref() {
                Some(arg) => self.compare(Comparison::Equal, arg, when.expr.as_deref()?)?,
                None => self.condition(when.expr.as_deref()?)?,
            };
            arms.push((condition, self.value(when.result.as_deref()?)?));
        }
        let other = match n.defresult.as_deref() {
            Some(other) => self.value(other)?,
            None => Formula::Constant(Value::Null),
        };
        Some(Formula::Case(arms, Box::new(other)))
    }

    /// Values of which one is taken: they are of one type.
    fn linked(&mut self, nodes: &'t [pg::Node]) -> Option<Vec<Formula>> {
        let all = self.all(nodes)?;
        self.link(&all);
        Some(all)
    }

    /// Makes one group of the terms that meet, so that each takes the values of all.
    fn link(&mut self, all: &[Formula]) {
        let (mut met, mut constants) = (Vec::new(), Vec::new());
        for one in all {
            one.values(&mut met, &mut constants);
        }
        let groups: Vec<usize> = met.iter().filter_map(|at| Some(self.terms.get(*at)?.group)).collect();
        let Some(first) = groups.first().copied() else { return };
        for term in self.terms.iter_mut().filter(|term| groups.contains(&term.group)) {
            term.group = first;
        }
        if let Some(term) = met.first().and_then(|at| self.terms.get_mut(*at)) {
            for constant in constants {
                if !term.constants.contains(&constant) {
                    term.constants.push(constant);
                }
            }
        }
    }

    fn compare(&mut self, comparison: Comparison, left: &'t pg::Node, right: &'t pg::Node) -> Option<Formula> {
        let pair = [self.value(left)?, self.value(right)?];
        self.link(&pair);
        let [left, right] = pair.map(Box::new);
        Some(Formula::Compare(comparison, left, right))
    }

    fn operation(&mut self, node: &'t pg::Node, n: &'t pg::AExpr) -> Option<Formula> {
        use pg::AExprKind as K;
        let operator = n.name.last().and_then(string)?;
        if n.name.len() > 1 && qualified(&n.name).ok()?.0 != Some(PG_CATALOG) {
            return self.opaque(node, Domain::Any, true);
        }
        let right = n.rexpr.as_deref()?;
        let Some(left) = n.lexpr.as_deref() else {
            return match number(node) {
                Some(number) => Some(Formula::Constant(Value::Number(number))),
                None if operator == "+" => self.value(right),
                None => self.opaque(node, Domain::Any, false),
            };
        };
        match K::try_from(n.kind).ok()? {
            K::AexprOp | K::AexprLike | K::AexprIlike | K::AexprSimilar => {
                self.relate(node, n.kind, operator, left, right)
            }
            K::AexprDistinct => self.compare(Comparison::Distinct, left, right),
            K::AexprNotDistinct => Some(self.compare(Comparison::Distinct, left, right)?.not()),
            K::AexprNullif => {
                let pair = [self.value(left)?, self.value(right)?];
                self.link(&pair);
                let [left, right] = pair.map(Box::new);
                Some(Formula::NullIf(left, right))
            }
            K::AexprIn => {
                let Some(E::List(list)) = right.node.as_ref() else { return None };
                let any = list.items.iter().map(|item| self.relate(item, n.kind, "=", left, item));
                let any = Formula::Any(any.collect::<Option<_>>()?);
                Some(if operator == "=" { any } else { any.not() })
            }
            K::AexprOpAny => Some(Formula::Any(self.elements(n, operator, left, right)?)),
            K::AexprOpAll => Some(Formula::All(self.elements(n, operator, left, right)?)),
            K::AexprBetween => self.between(left, right),
            K::AexprNotBetween => Some(self.between(left, right)?.not()),
            K::AexprBetweenSym | K::AexprNotBetweenSym => self.opaque(node, Domain::Truth, false),
            K::Undefined => None,
        }
    }

    fn between(&mut self, left: &'t pg::Node, bounds: &'t pg::Node) -> Option<Formula> {
        let Some(E::List(list)) = bounds.node.as_ref() else { return None };
        let [low, high] = list.items.as_slice() else { return None };
        let low = self.compare(Comparison::GreaterOrEqual, left, low)?;
        Some(Formula::All(vec![low, self.compare(Comparison::LessOrEqual, left, high)?]))
    }

    /// `left operator ANY (right)`: a comparison for each element. `ARRAY[…]`, `'{…}'`, or a query that may be empty.
    fn elements(
        &mut self,
        n: &'t pg::AExpr,
        operator: &'t str,
        left: &'t pg::Node,
        right: &'t pg::Node,
    ) -> Option<Vec<Formula>> {
        let inner = uncast(right);
        match inner.node.as_ref() {
            Some(E::AArrayExpr(array)) => {
                array.elements.iter().map(|item| self.relate(item, n.kind, operator, left, item)).collect()
            }
            Some(E::AConst(_)) => {
                let texts = members(constant(inner)?)?;
                texts.into_iter().map(|text| self.relate_with_text(operator, left, text)).collect()
            }
            Some(E::SubLink(link)) if self.rows(link.subselect.as_deref()) == Rows::None => Some(Vec::new()),
            _ => {
                let (bare, negated) = positive(operator);
                let key = format!("{bare} {} of {}", shape(Some(left)), shape(Some(right)));
                let term = self.test(key)?;
                Some(vec![if negated { term.not() } else { term }])
            }
        }
    }

    fn relate_with_text(&mut self, operator: &str, left: &'t pg::Node, text: &'t str) -> Option<Formula> {
        let null = text.eq_ignore_ascii_case("null");
        let right = if null { Formula::Constant(Value::Null) } else { text_of(text) };
        if let Some(comparison) = comparison(operator) {
            let pair = [self.value(left)?, right];
            self.link(&pair);
            let [left, right] = pair.map(Box::new);
            return Some(Formula::Compare(comparison, left, right));
        }
        let (bare, negated) = positive(operator);
        let holds = if matches_everything(bare, text) {
            Formula::truth(true)
        } else {
            self.test(format!("{bare} {} with {text}", shape(Some(left))))?
        };
        Some(if negated { holds.not() } else { holds })
    }

    /// `left operator right`, which stands at `node`.
    fn relate(
        &mut self,
        node: &'t pg::Node,
        kind: i32,
        operator: &'t str,
        left: &'t pg::Node,
        right: &'t pg::Node,
    ) -> Option<Formula> {
        self.count()?;
        let comparison = comparison(operator).filter(|_| kind != pg::AExprKind::AexprSimilar as i32);
        if let (Some(comparison), Some(E::RowExpr(one)), Some(E::RowExpr(other))) =
            (comparison, left.node.as_ref(), right.node.as_ref())
            && one.args.len() == other.args.len()
            && matches!(comparison, Comparison::Equal | Comparison::NotEqual)
        {
            let pairs = one.args.iter().zip(&other.args);
            let all = pairs.map(|(one, other)| self.relate(one, kind, operator, one, other)).collect::<Option<_>>()?;
            return Some(if comparison == Comparison::Equal { Formula::All(all) } else { Formula::Any(all) });
        }
        if let Some(comparison) = comparison {
            let equals = !matches!(comparison, Comparison::NotEqual | Comparison::Less | Comparison::Greater);
            let twins = equals && self.place.level == 0 && self.target.compares_twins(left, right);
            return if twins || is_first_place(left, right, comparison) {
                Some(Formula::truth(true))
            } else {
                self.compare(comparison, left, right)
            };
        }
        if let Some(folded) = folded(operator, left, right) {
            return match folded {
                Folded::Side(side) => self.value(side),
                Folded::Value(value) => Some(Formula::Constant(value)),
                Folded::Within(domain) => {
                    let key = format!("{operator} of {} with {}", shape(Some(left)), shape(Some(right)));
                    Some(self.term(key, domain, false, false))
                }
            };
        }
        let (bare, negated) = positive(operator);
        let similar = kind == pg::AExprKind::AexprSimilar as i32;
        let holds = match pattern(right).as_deref() {
            Some(pattern) if similar => similar_to_everything(pattern),
            Some(pattern) => matches_everything(bare, pattern) || bare == "@>" && pattern == "{}",
            None => bare == "<@" && pattern(left).as_deref() == Some("{}"),
        };
        let holds = if holds {
            Formula::truth(true)
        } else if is_predicate(bare) {
            let key = format!("{kind} {bare} {} with {}", shape(Some(left)), shape(Some(right)));
            self.test(key)?
        } else {
            return self.opaque(node, Domain::Any, bare.contains("->") || bare.contains("#>"));
        };
        Some(if negated { holds.not() } else { holds })
    }

    fn call(&mut self, node: &'t pg::Node, call: &'t pg::FuncCall) -> Option<Formula> {
        let (schema, name) = qualified(&call.funcname).ok()?;
        if schema.is_some_and(|schema| schema != PG_CATALOG) || call.over.is_some() {
            return self.opaque(node, Domain::Any, true);
        }
        let at = |at: usize| call.args.get(at);
        let zero = |node: Option<&pg::Node>| {
            node.map(uncast).and_then(number).is_some_and(|value| value.total_cmp(&0.0).is_eq())
        };
        match name {
            "num_nulls" | "num_nonnulls" => Some(Formula::Nulls(name == "num_nulls", self.all(&call.args)?)),
            "left" | "right" | "repeat" if zero(at(1)) => Some(text_of("")),
            "substr" | "substring" if zero(at(2)) => Some(text_of("")),
            "power" | "pow" if zero(at(1)) => Some(Formula::Constant(Value::Number(1.0))),
            "regexp_like" if call.args.len() == 2 => self.relate(node, 0, "~", at(0)?, at(1)?),
            "starts_with" if call.args.len() == 2 => {
                let vacuous = matches!(self.value(at(1)?)?, Formula::Constant(Value::Text(text)) if text.is_empty());
                if vacuous { Some(Formula::truth(true)) } else { self.opaque(node, Domain::Truth, false) }
            }
            "count" if self.place.grouped && call.agg_star => self.opaque(node, Domain::AtLeast(1.0), false),
            "pg_column_size" => self.opaque(node, Domain::AtLeast(1.0), false),
            "sign" => self.opaque(node, Domain::Sign, false),
            "concat" if call.args.iter().any(|arg| constant(arg).is_some_and(|text| !text.is_empty())) => {
                self.opaque(node, Domain::NotEmpty, false)
            }
            "abs" | "length" | "char_length" | "character_length" | "octet_length" | "bit_length" | "cardinality"
            | "sqrt" | "count" | "regexp_count" => self.opaque(node, Domain::AtLeast(0.0), false),
            _ => self.opaque(node, Domain::Any, false),
        }
    }

    fn sub_link(&mut self, node: &'t pg::Node, link: &'t pg::SubLink) -> Option<Formula> {
        let query = link.subselect.as_deref();
        match (pg::SubLinkType::try_from(link.sub_link_type).ok()?, self.rows(query)) {
            (pg::SubLinkType::ExistsSublink | pg::SubLinkType::AnySublink, Rows::None) => Some(Formula::truth(false)),
            (pg::SubLinkType::ExistsSublink, Rows::Some) | (pg::SubLinkType::AllSublink, Rows::None) => {
                Some(Formula::truth(true))
            }
            (pg::SubLinkType::ExprSublink, rows) => {
                let Some(E::SelectStmt(select)) = query?.node.as_ref() else { return None };
                match only_value(select) {
                    Some(value)
                        if is_count(value) && select.having_clause.is_none() && select.group_clause.is_empty() =>
                    {
                        self.opaque(node, Domain::AtLeast(0.0), false)
                    }
                    // A name may be one of FROM's.
                    Some(value)
                        if rows == Rows::Some
                            && select.from_clause.iter().all(is_one_row)
                            && (select.from_clause.is_empty() || matches!(value.node, Some(E::AConst(_)))) =>
                    {
                        self.value(value)
                    }
                    _ => self.opaque(node, Domain::Any, true),
                }
            }
            _ => self.opaque(node, Domain::Any, true),
        }
    }

    /// How many rows a query gives for each row of the target. A relation is taken to have some.
    fn rows(&self, query: Option<&'t pg::Node>) -> Rows {
        let Some(E::SelectStmt(select)) = query.and_then(|query| query.node.as_ref()) else { return Rows::Unknown };
        if select.limit_count.as_deref().map(uncast).and_then(number) == Some(0.0) {
            return Rows::None;
        }
        let limited = select.limit_count.is_some() || select.limit_offset.is_some() || select.having_clause.is_some();
        let plain = select.larg.is_none() && select.values_lists.is_empty() && !limited;
        if !plain || self.place.level >= LEVELS_MAX {
            return Rows::Unknown;
        }
        if select.group_clause.is_empty() && select.target_list.iter().any(is_aggregate) {
            return Rows::Some;
        }
        let mut place = self.place;
        place.grouped = false;
        place.level += usize::from(!select.from_clause.is_empty());
        place.shadowed |= select.from_clause.iter().any(|item| alias_of(item) == self.target.alias());
        let verdict = match select.where_clause.as_deref() {
            Some(condition) => self.walker.sampled(condition, self.target, place),
            None => Some(Verdict::Always),
        };
        let has_rows = |item: &pg::Node| matches!(item.node.as_ref(), Some(E::RangeVar(_))) || is_one_row(item);
        match verdict {
            Some(Verdict::Never) => Rows::None,
            Some(Verdict::Always) if select.from_clause.iter().all(has_rows) => Rows::Some,
            _ => Rows::Unknown,
        }
    }
}

/// `(SELECT …)` without FROM and conditions: one row.
fn is_one_row(item: &pg::Node) -> bool {
    let Some(E::RangeSubselect(n)) = item.node.as_ref() else { return false };
    let Some(E::SelectStmt(select)) = n.subquery.as_deref().and_then(|query| query.node.as_ref()) else { return false };
    let limited = select.limit_count.is_some() || select.limit_offset.is_some() || select.having_clause.is_some();
    let plain = select.from_clause.is_empty() && select.where_clause.is_none() && select.larg.is_none();
    plain && !limited && select.values_lists.is_empty()
}

/// What a query selects, when it is one thing.
pub(super) fn only_value(select: &pg::SelectStmt) -> Option<&pg::Node> {
    let [target] = select.target_list.as_slice() else { return None };
    let Some(E::ResTarget(target)) = target.node.as_ref() else { return None };
    target.val.as_deref()
}

fn is_count(value: &pg::Node) -> bool {
    matches!(value.node.as_ref(), Some(E::FuncCall(call))
        if call.over.is_none() && call.funcname.last().and_then(string) == Some("count"))
}

fn is_aggregate(target: &pg::Node) -> bool {
    let Some(E::ResTarget(target)) = target.node.as_ref() else { return false };
    matches!(target.val.as_deref().and_then(|value| value.node.as_ref()), Some(E::FuncCall(call))
        if call.over.is_none()
            && call.funcname.last().and_then(string).is_some_and(|name| super::whole::AGGREGATES.contains(&name)))
}

/// `ctid > '(0,0)'`: rows begin at `(0,1)`.
fn is_first_place(left: &pg::Node, right: &pg::Node, comparison: Comparison) -> bool {
    let is_place = |node: &pg::Node| matches!(uncast(node).node.as_ref(), Some(E::ColumnRef(n)) if n.fields.last().and_then(string) == Some("ctid"));
    let is_zero = |node: &pg::Node| constant(uncast(node)).is_some_and(|text| text.replace(' ', "") == "(0,0)");
    match comparison {
        Comparison::Greater | Comparison::GreaterOrEqual => is_place(left) && is_zero(right),
        Comparison::Less | Comparison::LessOrEqual => is_zero(left) && is_place(right),
        Comparison::NotEqual | Comparison::Distinct => {
            is_place(left) && is_zero(right) || is_zero(left) && is_place(right)
        }
        Comparison::Equal => false,
    }
}

fn text_of(text: &str) -> Formula {
    Formula::Constant(Value::Text(text.to_owned()))
}
