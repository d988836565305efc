//! What a sub-query asks of the row that it is tried for: one that asks nothing holds for every row, or for none.

use super::joined::joined;
use super::names::string;
use super::operator::uncast;
use super::restriction::{Restricts, Target};
use super::sampled::only_value;
use super::tautology::{number, shape};
use super::whole::Bound;
use super::{E, Walker, pg};

/// How many arms of set operations are followed.
const DEPTH_MAX: usize = 32;

impl<'t> Walker<'t> {
    /// Whether a sub-query may leave a row out. EXISTS, and IN with the row's own value, ask by conditions on the row alone.
    pub(super) fn asks_of_row(&self, link: &'t pg::SubLink, target: &Target<'t>) -> Restricts {
        let Some(E::SelectStmt(select)) = link.subselect.as_deref().and_then(|query| query.node.as_ref()) else {
            return Ok(true);
        };
        match (pg::SubLinkType::try_from(link.sub_link_type), link.testexpr.as_deref()) {
            (Ok(pg::SubLinkType::ExistsSublink), _) => self.select_asks(select, target, 0),
            (Ok(pg::SubLinkType::AnySublink), Some(test))
                if matches!(link.oper_name.last().and_then(string), None | Some("=")) =>
            {
                if gives(select, test, target) { self.select_asks(select, target, 0) } else { Ok(true) }
            }
            _ => Ok(true),
        }
    }

    fn select_asks(&self, select: &'t pg::SelectStmt, target: &Target<'t>, depth: usize) -> Restricts {
        if depth >= DEPTH_MAX || self.effort.is_spent() {
            return Ok(false);
        }
        if let (Some(left), Some(right)) = (select.larg.as_deref(), select.rarg.as_deref()) {
            let union = select.op == pg::SetOperation::SetopUnion as i32;
            return Ok(
                !union || self.select_asks(left, target, depth + 1)? && self.select_asks(right, target, depth + 1)?
            );
        }
        let shadowed = joined(&select.from_clause, &self.effort).leaves.iter().any(|leaf| leaf.alias == target.alias());
        if select.having_clause.is_some() || select.with_clause.is_some() || shadowed {
            return Ok(true);
        }
        let mut target = target.clone();
        // A bare name may be one of FROM's.
        target.alone &= select.from_clause.is_empty();
        for item in &select.from_clause {
            if self.names_row(item, &target)? {
                return Ok(true);
            }
        }
        match select.where_clause.as_deref() {
            Some(condition) => self.restricts(Some(condition), &target),
            None => Ok(false),
        }
    }
}

/// Whether a query gives, for each row, the value that it is compared with: `id IN (SELECT t.id)`, `id IN (VALUES (id))`.
fn gives<'t>(select: &'t pg::SelectStmt, test: &'t pg::Node, target: &Target<'t>) -> bool {
    let tested = shape(Some(uncast(test)));
    let first = |list: &'t pg::Node| match list.node.as_ref() {
        Some(E::List(list)) => list.items.first(),
        _ => None,
    };
    if select.values_lists.iter().filter_map(first).any(|value| shape(Some(uncast(value))) == tested) {
        return true;
    }
    let fields = |node: &'t pg::Node| match uncast(node).node.as_ref() {
        Some(E::ColumnRef(column)) => Some(column.fields.as_slice()),
        _ => None,
    };
    let (Some(given), Some(tested)) = (only_value(select).and_then(fields), fields(test)) else { return false };
    let own = if given.len() < 2 { select.from_clause.is_empty() } else { target.qualifies(given) };
    own && given.last().and_then(string) == tested.last().and_then(string)
}

/// The bound that the first row in an order is: `ORDER BY id LIMIT 1` gives the least.
pub(super) fn first_in_order(query: &pg::Node) -> Option<Bound> {
    let Some(E::SelectStmt(select)) = query.node.as_ref() else { return None };
    let one = select.limit_count.as_deref().map(uncast).and_then(number) == Some(1.0) && select.limit_offset.is_none();
    let Some(E::SortBy(sort)) = select.sort_clause.first().and_then(|sort| sort.node.as_ref()) else { return None };
    let same = shape(sort.node.as_deref().map(uncast)) == shape(only_value(select).map(uncast));
    let descends = sort.sortby_dir == pg::SortByDir::SortbyDesc as i32;
    (one && same).then_some(if descends { Bound::Greatest } else { Bound::Least })
}
