//! Whether a query yields every row of a relation: what is compared with such a query is not restricted by it.
//!
//! The answer errs on the side of "every row" where a query is too deep to follow, and of "not every row" where a join
//! with something else, a sensible limit or an aggregate may leave some out.

use super::formula::Verdict;
use super::joined::{Joined, joined};
use super::names::string;
use super::operator::uncast;
use super::restriction::{Restricts, Target};
use super::sampled::{Place, only_value};
use super::tautology::number;
use super::twin::{Columns, Twin};
use super::{E, Refusal, Walker, pg};

/// How many queries within queries are followed.
const DEPTH_MAX: usize = 64;

/// What following one query costs, in nodes.
const QUERY_NODES: usize = 8;

/// The largest LIMIT that is taken to leave rows out: jobs that go through a table in batches stay below it.
const LIMIT_ROWS_MAX: f64 = 10_000.0;

/// Common table expressions that a query can name, in their order.
type Visible<'t> = [(&'t str, Option<&'t pg::Node>)];

/// What of a relation something yields for every row. `None`: not every row.
pub(super) type Whole<'t> = Result<Option<Columns<'t>>, Refusal>;

/// Aggregates that make one row of many.
pub(super) const AGGREGATES: &[&str] =
    &["any_value", "array_agg", "avg", "count", "json_agg", "jsonb_agg", "max", "min", "string_agg", "sum"];

/// Functions that make rows of an array.
const UNFOLD: &[&str] =
    &["unnest", "json_array_elements", "json_array_elements_text", "jsonb_array_elements", "jsonb_array_elements_text"];

/// Aggregates that keep every value.
const GATHER: &[&str] = &["array_agg", "json_agg", "jsonb_agg"];

impl<'t> Walker<'t> {
    /// The target of a change, and which of the relations beside it are the same relation again.
    pub(super) fn target_beside(
        &self,
        relation: &'t pg::RangeVar,
        others: &'t [pg::Node],
        condition: Option<&'t pg::Node>,
    ) -> Result<Target<'t>, Refusal> {
        let mut target = Target::of(relation);
        target.own = self.columns_of(relation);
        target.alone = others.is_empty();
        let joined = joined(others, &self.effort);
        let sources = self.sources(&joined, relation, self.ctes.definitions(), 0)?;
        for (at, leaf) in joined.leaves.iter().enumerate() {
            if self.leaf_is_whole(at, &joined, &sources, relation, None, None)?
                && let Some(columns) = sources.get(at).cloned().flatten()
            {
                target.twins.push(Twin { alias: leaf.alias, columns });
            }
        }
        self.attach(&mut target, &joined, condition)?;
        Ok(target)
    }

    /// Whether a query yields every row of a relation.
    pub(super) fn query_yields_whole(&self, query: &'t pg::Node, relation: &'t pg::RangeVar) -> Whole<'t> {
        self.query_yields(query, relation, self.ctes.definitions(), None, 0)
    }

    /// As [`Self::query_yields_whole`], where the query may name the row of the target, which is one of the relation.
    pub(super) fn correlated_yields_whole(&self, query: &'t pg::Node, target: &Target<'t>) -> Whole<'t> {
        self.query_yields(query, target.relation, self.ctes.definitions(), Some(target.alias()), 0)
    }

    /// As [`Self::correlated_yields_whole`], of which only the first row matters: no LIMIT leaves that out.
    pub(super) fn existence_yields_whole(&self, query: &'t pg::Node, target: &Target<'t>) -> Whole<'t> {
        match query.node.as_ref() {
            Some(E::SelectStmt(select)) if select.larg.is_none() && select.limit_offset.is_none() => {
                self.unlimited_yields(select, target.relation, self.ctes.definitions(), Some(target.alias()), 0)
            }
            _ => self.correlated_yields_whole(query, target),
        }
    }

    fn query_yields(
        &self,
        query: &'t pg::Node,
        relation: &'t pg::RangeVar,
        visible: &Visible<'t>,
        outer: Option<&'t str>,
        depth: usize,
    ) -> Whole<'t> {
        match query.node.as_ref() {
            Some(E::SelectStmt(select)) => self.select_yields(select, relation, visible, outer, depth),
            _ => Ok(None),
        }
    }

    fn select_yields(
        &self,
        select: &'t pg::SelectStmt,
        relation: &'t pg::RangeVar,
        visible: &Visible<'t>,
        outer: Option<&'t str>,
        depth: usize,
    ) -> Whole<'t> {
        if limits(select) {
            return Ok(None);
        }
        self.unlimited_yields(select, relation, visible, outer, depth)
    }

    fn unlimited_yields(
        &self,
        select: &'t pg::SelectStmt,
        relation: &'t pg::RangeVar,
        visible: &Visible<'t>,
        outer: Option<&'t str>,
        depth: usize,
    ) -> Whole<'t> {
        self.effort.spend(QUERY_NODES.saturating_add(visible.len()));
        if depth >= DEPTH_MAX || self.effort.is_spent() {
            return Ok(Some(Columns::unknown()));
        }
        let depth = depth + 1;
        let mut inner = visible.to_vec();
        for cte in select.with_clause.iter().flat_map(|with| &with.ctes) {
            if let Some(E::CommonTableExpr(cte)) = cte.node.as_ref() {
                inner.push((&cte.ctename, cte.ctequery.as_deref()));
            }
        }
        if self.having_restricts(select, relation) {
            return Ok(None);
        }
        if let (Some(left), Some(right)) = (select.larg.as_deref(), select.rarg.as_deref()) {
            let yields = |arm| self.select_yields(arm, relation, &inner, outer, depth);
            return match pg::SetOperation::try_from(select.op) {
                Ok(pg::SetOperation::SetopUnion) => Ok(match yields(left)? {
                    Some(columns) => Some(columns),
                    None => yields(right)?.map(|columns| columns.named_as(left)),
                }),
                Ok(pg::SetOperation::SetopIntersect) => {
                    Ok(yields(left)?.filter(|_| matches!(yields(right), Ok(Some(_)))))
                }
                Ok(pg::SetOperation::SetopExcept) if self.is_empty(right, relation) => yields(left),
                _ => Ok(None),
            };
        }
        if let Some(unfolded) = only_value(select).and_then(unfolded).filter(|_| select.from_clause.is_empty()) {
            return self.query_yields(unfolded, relation, &inner, outer, depth);
        }
        let joined = joined(&select.from_clause, &self.effort);
        let sources = self.sources(&joined, relation, &inner, depth)?;
        for (at, leaf) in joined.leaves.iter().enumerate() {
            if let Some(columns) = sources.get(at).and_then(Option::as_ref)
                && self.leaf_is_whole(at, &joined, &sources, relation, select.where_clause.as_deref(), outer)?
            {
                return Ok(Some(columns.selected(select, leaf.alias)));
            }
        }
        Ok(None)
    }

    /// Whether something in FROM yields every row of a relation, whatever conditions and the rest of FROM leave of it.
    fn leaf_is_whole(
        &self,
        at: usize,
        joined: &Joined<'t>,
        sources: &[Option<Columns<'t>>],
        relation: &'t pg::RangeVar,
        condition: Option<&'t pg::Node>,
        outer: Option<&'t str>,
    ) -> Restricts {
        let (Some(leaf), Some(Some(columns))) = (joined.leaves.get(at), sources.get(at)) else { return Ok(false) };
        let same = |at: usize| sources.get(at).is_some_and(Option::is_some);
        if leaf.named_with.iter().any(|others| !others.clone().all(same)) {
            return Ok(false);
        }
        let mut target = Target::named(relation, leaf.alias);
        target.own = columns.clone();
        target.alone = joined.leaves.len() == 1;
        let own = target.alias();
        for (other, columns) in joined.leaves.iter().zip(sources) {
            if let Some(columns) = columns
                && other.alias != own
            {
                target.twins.push(Twin { alias: other.alias, columns: columns.clone() });
            }
        }
        target.twins.extend(outer.map(|alias| Twin { alias, columns: Columns::same() }));
        self.attach(&mut target, joined, condition)?;
        for condition in leaf.conditions.iter().copied().chain(condition) {
            if self.restricts(Some(condition), &target)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// For each item of FROM, what it yields by itself.
    fn sources(
        &self,
        joined: &Joined<'t>,
        relation: &'t pg::RangeVar,
        visible: &Visible<'t>,
        depth: usize,
    ) -> Result<Vec<Option<Columns<'t>>>, Refusal> {
        joined.leaves.iter().map(|leaf| self.yields(leaf.item, relation, visible, depth)).collect()
    }

    /// Whether an item of FROM that is no join yields every row of a relation.
    fn yields(&self, item: &'t pg::Node, relation: &'t pg::RangeVar, visible: &Visible<'t>, depth: usize) -> Whole<'t> {
        let renamed = |columns: Option<Columns<'t>>, alias: Option<&'t pg::Alias>| {
            columns.map(|columns| columns.renamed(alias.map_or(&[], |alias| &alias.colnames)))
        };
        match item.node.as_ref() {
            Some(E::RangeVar(name)) => {
                let found = if name.schemaname.is_empty() {
                    visible.iter().rposition(|(cte, _)| *cte == name.relname)
                } else {
                    None
                };
                let whole = match found.and_then(|at| Some((visible.get(..at)?, visible.get(at)?.1?))) {
                    // A common table expression sees those before it.
                    Some((before, query)) => self.query_yields(query, relation, before, None, depth)?,
                    None => match (self.holds_all_of(name, relation), self.view(name)) {
                        (Some(columns), _) => Some(columns),
                        // A view sees no common table expression.
                        (None, Some(query)) => self.query_yields(query, relation, &[], None, depth)?,
                        (None, None) => None,
                    },
                };
                Ok(renamed(whole, name.alias.as_ref()))
            }
            Some(E::RangeSubselect(n)) => match n.subquery.as_deref() {
                Some(query) => Ok(renamed(self.query_yields(query, relation, visible, None, depth)?, n.alias.as_ref())),
                None => Ok(None),
            },
            Some(E::RangeTableSample(n)) => match (n.relation.as_deref(), n.args.first().and_then(number)) {
                (Some(relation_of), Some(percent)) if percent >= 100.0 => {
                    self.yields(relation_of, relation, visible, depth)
                }
                _ => Ok(None),
            },
            Some(E::RangeFunction(n)) => {
                let [function] = n.functions.as_slice() else { return Ok(None) };
                let Some(E::List(parts)) = function.node.as_ref() else { return Ok(None) };
                match parts.items.first().and_then(unfolded) {
                    Some(query) => {
                        let whole = self.query_yields(query, relation, visible, None, depth)?;
                        Ok(whole.map(|_| Columns::unknown()))
                    }
                    None => Ok(None),
                }
            }
            _ => Ok(None),
        }
    }

    /// Whether HAVING may leave groups out.
    fn having_restricts(&self, select: &'t pg::SelectStmt, relation: &'t pg::RangeVar) -> bool {
        let Some(having) = select.having_clause.as_deref() else { return false };
        self.sampled(having, &Target::of(relation), Place::GROUPS) != Some(Verdict::Always)
    }

    /// Whether a query gives nothing that a relation holds: no row, or constants.
    fn is_empty(&self, select: &'t pg::SelectStmt, relation: &'t pg::RangeVar) -> bool {
        let constants = select.from_clause.is_empty()
            && select.larg.is_none()
            && only_value(select).is_some_and(|value| number(value).is_some());
        let never = select.where_clause.as_deref().is_some_and(|condition| {
            self.sampled(condition, &Target::of(relation), Place::GROUPS) == Some(Verdict::Never)
        });
        constants || never
    }
}

/// Whether an aggregate makes something else of the values that it is given.
pub(super) fn computes(aggregate: &str) -> bool {
    AGGREGATES.contains(&aggregate) && !GATHER.contains(&aggregate)
}

/// Whether LIMIT may leave rows out: a parameter, or a constant of a sensible size. OFFSET alone leaves nearly none out.
fn limits(select: &pg::SelectStmt) -> bool {
    let Some(count) = select.limit_count.as_deref().map(uncast) else { return false };
    let orders = |sort: &pg::Node| matches!(&sort.node, Some(E::SortBy(by)) if matches!(by.node.as_deref().map(|by| &by.node), Some(Some(E::ColumnRef(_)))));
    if select.limit_option == pg::LimitOption::WithTies as i32 && !select.sort_clause.iter().any(orders) {
        // Every row is the first's equal.
        return false;
    }
    let text = || super::expression::constant(count).and_then(|text| text.parse().ok());
    let rows: Option<f64> = number(count).or_else(text);
    matches!(count.node.as_ref(), Some(E::ParamRef(_))) || rows.is_some_and(|rows| rows <= LIMIT_ROWS_MAX)
}

/// The query behind casts, COALESCE and what gathers its values into one: `ARRAY(…)`, `(SELECT array_agg(…) …)`.
pub(super) fn gathered(node: &pg::Node) -> Option<&pg::Node> {
    let node = uncast(node);
    match node.node.as_ref() {
        Some(E::CoalesceExpr(n)) => gathered(n.args.first()?),
        Some(E::SubLink(link)) if link.sub_link_type == pg::SubLinkType::ArraySublink as i32 => {
            link.subselect.as_deref()
        }
        Some(E::SubLink(link)) if link.sub_link_type == pg::SubLinkType::ExprSublink as i32 => {
            let query = link.subselect.as_deref()?;
            let Some(E::SelectStmt(select)) = query.node.as_ref() else { return None };
            let gathers = matches!(uncast(only_value(select)?).node.as_ref()?, E::FuncCall(call)
                if call.agg_filter.is_none() && call.funcname.last().and_then(string).is_some_and(|name| GATHER.contains(&name)));
            gathers.then_some(query)
        }
        _ => None,
    }
}

/// The query whose values `unnest(ARRAY(…))` and the like give again.
fn unfolded(node: &pg::Node) -> Option<&pg::Node> {
    let Some(E::FuncCall(call)) = uncast(node).node.as_ref() else { return None };
    let [argument] = call.args.as_slice() else { return None };
    let unfolds = call.funcname.last().and_then(string).is_some_and(|name| UNFOLD.contains(&name));
    if unfolds { gathered(argument) } else { None }
}

/// A value that all rows of a query give together, as a bound: `min` or `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Least,
    Greatest,
    /// Another aggregate, or something made of one: it parts the rows.
    Between,
    /// No aggregate.
    None,
}

/// What bound a query gives.
pub(super) fn bound(query: &pg::Node) -> Bound {
    let Some(E::SelectStmt(select)) = query.node.as_ref() else { return Bound::None };
    only_value(select).map_or(Bound::None, bound_of)
}

fn bound_of(value: &pg::Node) -> Bound {
    let value = uncast(value);
    match value.node.as_ref() {
        Some(E::FuncCall(call)) if call.over.is_none() => match call.funcname.last().and_then(string) {
            Some("min") if call.agg_filter.is_none() => Bound::Least,
            Some("max") if call.agg_filter.is_none() => Bound::Greatest,
            Some(name) if AGGREGATES.contains(&name) => Bound::Between,
            _ => Bound::None,
        },
        Some(E::CoalesceExpr(n)) => n.args.first().map_or(Bound::None, bound_of),
        Some(E::AExpr(n)) => {
            let sides = [n.lexpr.as_deref(), n.rexpr.as_deref()];
            let made = sides.into_iter().flatten().any(|side| bound_of(side) != Bound::None);
            if made { Bound::Between } else { Bound::None }
        }
        _ => Bound::None,
    }
}
