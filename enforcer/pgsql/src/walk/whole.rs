//! Whether a query yields every row of a relation: what is compared with such a query is not restricted by it.
//!
//! The answer errs on the side of "every row" where a query is too deep to follow, and of "not every row" where a join, a
//! limit or an aggregate may leave some out.

use super::names::string;
use super::query::alias_of;
use super::restriction::{Restricts, Target};
use super::{E, Walker, pg};

/// How many queries within queries are followed.
const DEPTH_MAX: usize = 64;

/// What following one query costs, in nodes.
const QUERY_NODES: usize = 8;

/// Common table expressions that a query can name, in their order.
type Visible<'t> = [(&'t str, Option<&'t pg::Node>)];

/// Aggregates that make one row of many.
const AGGREGATES: &[&str] = &["any_value", "array_agg", "avg", "count", "max", "min", "string_agg", "sum"];

impl<'t> Walker<'t> {
    /// The target of a change, and which of the relations beside it are the same relation again.
    pub(super) fn target_beside(
        &self,
        relation: &'t pg::RangeVar,
        others: &'t [pg::Node],
    ) -> Result<Target<'t>, super::Refusal> {
        let mut target = Target::of(relation);
        self.set_beside(&mut target, relation, others, self.ctes.definitions(), 0)?;
        Ok(target)
    }

    fn set_beside(
        &self,
        target: &mut Target<'t>,
        relation: &'t pg::RangeVar,
        others: &'t [pg::Node],
        visible: &Visible<'t>,
        depth: usize,
    ) -> super::Walked {
        let mut pending: Vec<&'t pg::Node> = others.iter().collect();
        target.alone = pending.is_empty();
        while let Some(item) = pending.pop() {
            if let Some(E::JoinExpr(join)) = item.node.as_ref() {
                pending.extend([&join.larg, &join.rarg].into_iter().flatten().map(AsRef::as_ref));
            } else if self.yields(item, relation, visible, depth)? {
                target.twins.push(alias_of(item));
            }
        }
        Ok(())
    }

    /// Whether a query yields every row of a relation.
    pub(super) fn query_yields_whole(&self, query: &'t pg::Node, relation: &'t pg::RangeVar) -> Restricts {
        self.query_yields(query, relation, self.ctes.definitions(), None, 0)
    }

    /// As [`Self::query_yields_whole`], where the query may name the row of `outer`, which is one of the relation.
    pub(super) fn correlated_yields_whole(&self, query: &'t pg::Node, target: &Target<'t>) -> Restricts {
        self.query_yields(query, target.relation, self.ctes.definitions(), Some(target.alias()), 0)
    }

    fn query_yields(
        &self,
        query: &'t pg::Node,
        relation: &'t pg::RangeVar,
        visible: &Visible<'t>,
        outer: Option<&'t str>,
        depth: usize,
    ) -> Restricts {
        match query.node.as_ref() {
            Some(E::SelectStmt(select)) => self.select_yields(select, relation, visible, outer, depth),
            _ => Ok(false),
        }
    }

    fn select_yields(
        &self,
        select: &'t pg::SelectStmt,
        relation: &'t pg::RangeVar,
        visible: &Visible<'t>,
        outer: Option<&'t str>,
        depth: usize,
    ) -> Restricts {
        self.effort.spend(QUERY_NODES.saturating_add(visible.len()));
        if depth >= DEPTH_MAX || self.effort.is_spent() {
            return Ok(true);
        }
        let depth = depth + 1;
        let mut inner = visible.to_vec();
        for cte in select.with_clause.iter().flat_map(|with| &with.ctes) {
            if let Some(E::CommonTableExpr(cte)) = cte.node.as_ref() {
                inner.push((&cte.ctename, cte.ctequery.as_deref()));
            }
        }
        if limits(select) || select.having_clause.is_some() {
            return Ok(false);
        }
        if select.op == pg::SetOperation::SetopUnion as i32 {
            for arm in [&select.larg, &select.rarg].into_iter().flatten() {
                if self.select_yields(arm, relation, &inner, outer, depth)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        for item in &select.from_clause {
            if !self.yields(item, relation, &inner, depth)? {
                continue;
            }
            let mut target = Target::named(relation, alias_of(item));
            self.set_beside(&mut target, relation, &select.from_clause, &inner, depth)?;
            target.alone = select.from_clause.len() == 1;
            let own = target.alias();
            target.twins.retain(|twin| *twin != own);
            target.twins.extend(outer);
            let condition = select.where_clause.as_deref();
            if condition.is_none() || !self.restricts(condition, &target)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an item of FROM yields every row of a relation.
    fn yields(&self, item: &'t pg::Node, relation: &'t pg::RangeVar, visible: &Visible<'t>, depth: usize) -> Restricts {
        match item.node.as_ref() {
            Some(E::RangeVar(name)) => {
                let found = if name.schemaname.is_empty() {
                    visible.iter().rposition(|(cte, _)| *cte == name.relname)
                } else {
                    None
                };
                match found.and_then(|at| Some((visible.get(..at)?, visible.get(at)?.1?))) {
                    // A common table expression sees those before it.
                    Some((before, query)) => self.query_yields(query, relation, before, None, depth),
                    None => Ok(self.is_same(name, relation)),
                }
            }
            Some(E::RangeSubselect(n)) => match n.subquery.as_deref() {
                Some(query) => self.query_yields(query, relation, visible, None, depth),
                None => Ok(false),
            },
            Some(E::JoinExpr(join)) => {
                let kind = pg::JoinType::try_from(join.jointype);
                let plain = join.quals.is_none() && join.using_clause.is_empty() && !join.is_natural;
                let keeps_left = plain || matches!(kind, Ok(pg::JoinType::JoinLeft | pg::JoinType::JoinFull));
                let keeps_right = plain || matches!(kind, Ok(pg::JoinType::JoinRight | pg::JoinType::JoinFull));
                for (keeps, side) in [(keeps_left, &join.larg), (keeps_right, &join.rarg)] {
                    if let Some(side) = side.as_deref().filter(|_| keeps)
                        && self.yields(side, relation, visible, depth)?
                    {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Whether two names, neither of them a common table expression's, are one relation's.
    fn is_same(&self, one: &pg::RangeVar, other: &pg::RangeVar) -> bool {
        let schema_of =
            |name: &str| if name.is_empty() { self.session.default_schema.to_string() } else { name.to_owned() };
        one.relname == other.relname && schema_of(&one.schemaname) == schema_of(&other.schemaname)
    }
}

/// Whether LIMIT or OFFSET may leave rows out. `LIMIT ALL` is a null.
fn limits(select: &pg::SelectStmt) -> bool {
    let all = |node: &pg::Node| matches!(node.node.as_ref(), Some(E::AConst(constant)) if constant.isnull);
    select.limit_offset.is_some() || select.limit_count.as_deref().is_some_and(|count| !all(count))
}

/// What a query of one column gives for each row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Selected<'t> {
    /// A column of this name; `*` for all.
    Column(&'t str),
    /// One value of all rows.
    Aggregate,
    /// Something else.
    Other,
}

/// What a query selects, when it is one thing.
pub(super) fn selected(query: &pg::Node) -> Selected<'_> {
    let Some(E::SelectStmt(select)) = query.node.as_ref() else { return Selected::Other };
    let mut select = select.as_ref();
    while let Some(left) = select.larg.as_deref() {
        select = left;
    }
    let [target] = select.target_list.as_slice() else { return Selected::Other };
    let Some(E::ResTarget(target)) = target.node.as_ref() else { return Selected::Other };
    match target.val.as_deref().and_then(|value| value.node.as_ref()) {
        Some(E::ColumnRef(column)) => {
            column.fields.last().and_then(string).map_or(Selected::Column("*"), Selected::Column)
        }
        Some(E::FuncCall(call)) => {
            let name = call.funcname.last().and_then(string).unwrap_or_default();
            let aggregate = call.over.is_none() && AGGREGATES.contains(&name) && select.group_clause.is_empty();
            if aggregate { Selected::Aggregate } else { Selected::Other }
        }
        _ => Selected::Other,
    }
}
