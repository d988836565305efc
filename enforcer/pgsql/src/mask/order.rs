//! In which order the server may come by the rows of a relation with masked columns, and what keeps that order from
//! saying anything.
//!
//! The argument: a stand-in names no masked column but inside its mask, so no condition, join or order of a statement
//! matches an index over masked columns by themselves; such an index could only be read as a whole instead of the table
//! (an index-only scan), which a condition on a system column forbids. An index that holds masked columns **beside**
//! others is different: the server uses it for the others and comes by the rows in the order of the masked ones. So do
//! partitions that are divided by a masked column, tables that were put in an index's order, and whatever stands behind
//! a view with masks of its own or a foreign table. There,
//!
//! * what a stand-in gives is put in an order that follows from what it shows ([`Access::order`]), and conditions that
//!   could fail or do something are kept out of it ([`super::quiet`]), since they would run in the server's order;
//! * a statement that changes rows names the columns beside masked ones in a form that matches no index ([`Neutral`]),
//!   so that it comes by the rows in the order of the table.

use super::rewrite::string;
use super::visit::{self, Change, Visitor};
use super::{Cover, Plan};
use crate::snapshot::{Kind, Relation};
use crate::walk::Walked;
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::BTreeSet;

/// A condition that holds for every row and that no index can answer. Servers from 17 on leave out `IS NOT NULL` here.
const BY_THE_TABLE: &str = " WHERE m.ctid OPERATOR(pg_catalog.<>) '(0,0)'::pg_catalog.tid";

/// How the server may come by a relation's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts of a table that are independent of each other")]
pub(crate) struct Access {
    /// Whether an index holds masked columns and nothing else.
    alone: bool,
    /// Whether the order may be one of masked values.
    ordered: bool,
    /// Whether rows of different masked values stand in different partitions.
    pub(super) scattered: bool,
    /// Whether statistics keep masked values together with others: which there are decides what is estimated of the others.
    mixed: bool,
    /// Whether such an index begins with a masked column, or an expression: how well its order follows the table's decides
    /// what plans cost.
    correlated: bool,
    /// Whether it is a view that shows more than columns of such a relation.
    computes: bool,
    /// Whether other tables inherit from it, or it from them.
    related: bool,
    /// Whether other tables inherit from it.
    inherited: bool,
    /// Columns without a mask that an index holds beside masked ones.
    pub(super) beside: BTreeSet<Box<str>>,
}

impl Access {
    /// That of a table, with everything that inherits from it or is a part of it.
    pub(super) fn of_table(plan: &Plan, relation: &Relation) -> Self {
        let mut access = Self { ordered: relation.kind == Kind::Foreign, ..Self::default() };
        let catalog = &plan.catalog;
        let family = catalog.family(relation.oid);
        access.related = family.len() > 1;
        access.inherited = catalog.has_children(relation.oid);
        for member in family.iter().filter_map(|oid| catalog.relation(catalog.name_of(*oid)?)) {
            let is_masked = |column: &i16| plan.is_masked(member.oid, *column);
            for (columns, leading) in member.indexes.iter().zip(&member.leading) {
                if columns.iter().all(|column| !is_masked(column)) {
                    continue;
                }
                let beside =
                    columns.iter().filter(|column| !is_masked(column)).filter_map(|number| member.column(*number));
                let before = access.beside.len();
                access.beside.extend(beside.map(|column| column.name.clone()));
                let mixes = access.beside.len() > before || columns.iter().any(|column| !is_masked(column));
                access.ordered |= mixes;
                access.correlated |= mixes && (*leading == 0 || is_masked(leading));
                access.alone = true;
            }
            for columns in member.most_common.iter().filter(|columns| columns.iter().any(is_masked)) {
                let beside = columns.iter().filter(|column| !is_masked(column));
                let beside: Vec<_> = beside.filter_map(|number| member.column(*number)).collect();
                access.mixed |= !beside.is_empty();
                access.beside.extend(beside.into_iter().map(|column| column.name.clone()));
            }
            access.ordered |= member.clustered_by.iter().any(is_masked) || member.kind == Kind::Foreign;
            access.scattered |= member.partitioned_by.iter().any(|by| *by == 0 || is_masked(by));
        }
        access.ordered |= access.scattered;
        access
    }

    /// That of a view: the server's own where the view itself has masks. `computes`: it shows more than columns, so that
    /// a condition on it is one on what could fail.
    pub(super) fn of_view(masked: bool, over_ordered: bool, computes: bool) -> Self {
        let ordered = masked || over_ordered;
        Self { ordered, computes: ordered && computes, ..Self::default() }
    }

    /// The same of a view that says by itself that conditions are kept out of it (`security_barrier`), when it does.
    pub(super) fn or_barrier(mut self, barrier: bool) -> Self {
        self.computes |= barrier;
        self
    }

    /// Whether conditions of a statement must be kept out of it.
    pub(super) fn is_fenced(&self, quiet: bool) -> bool {
        self.ordered && !quiet || self.computes || self.mixed
    }

    /// Whether what a plan costs may follow from the order of masked values.
    pub(super) fn is_correlated(&self) -> bool {
        self.correlated
    }

    /// Whether the server may come by the rows in an order of masked values.
    pub(crate) fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// What a query of the relation ends with. `shown` are the expressions that it shows.
    pub(super) fn order(&self, relation: &Relation, key: Option<&Vec<i16>>, inherits: bool, shown: &[&str]) -> String {
        let has_place = match relation.kind {
            Kind::Table | Kind::Partitioned | Kind::Materialised => true,
            Kind::View | Kind::Foreign | Kind::Sequence | Kind::Toast => false,
        };
        if !self.ordered {
            return if self.alone && has_place { BY_THE_TABLE.to_owned() } else { String::new() };
        }
        // A key of the table alone says nothing of what inherits from it, a partitioned table's counts for all.
        let unique =
            relation.kind == Kind::Partitioned || relation.kind == Kind::Table && !(inherits && self.inherited);
        let key = key.filter(|_| unique && !self.scattered);
        let columns: Option<Vec<String>> = key.map(|key| {
            let named = key.iter().filter_map(|number| relation.column(*number));
            named.map(|column| format!("m.{}", super::expression::quoted(&column.name))).collect()
        });
        if let Some(columns) = columns {
            return format!(" ORDER BY {}", columns.join(", "));
        }
        // Rows that are shown as the same text cannot be told apart; settings decide how much of some types a text shows.
        let partly = relation.columns.iter().filter(|column| !is_whole_in_text(&column.kind));
        let partly = partly.map(|column| format!("m.{}", super::expression::quoted(&column.name)));
        let partly: Vec<String> = partly.filter(|value| shown.contains(&value.as_str())).collect();
        let more = match partly.as_slice() {
            [] => String::new(),
            values => format!(", pg_catalog.record_send(ROW({}))", values.join(", ")),
        };
        format!(" ORDER BY ROW({})::pg_catalog.text COLLATE pg_catalog.\"C\"{more}", shown.join(", "))
    }
}

/// Whether the text of every value of a type tells it from all others, whatever the session's settings are.
fn is_whole_in_text(kind: &str) -> bool {
    const WHOLE: [&str; 17] = [
        "\"char\"",
        "bigint",
        "bit",
        "boolean",
        "bytea",
        "character",
        "cidr",
        "inet",
        "integer",
        "json",
        "jsonb",
        "name",
        "numeric",
        "oid",
        "smallint",
        "text",
        "uuid",
    ];
    let base = kind.split('(').next().unwrap_or(kind);
    WHOLE.contains(&base) || matches!(base, "character varying" | "bit varying")
}

/// Keeps a change of a relation's rows from finding them through an index that holds masked columns beside others.
///
/// `COALESCE(c, c)` is `c`, and matches neither an index over `c` nor the condition of one.
pub(super) fn neutralise(cover: &Cover, change: &mut Change<'_>) -> Walked {
    if cover.access.beside.is_empty() {
        return Ok(());
    }
    // One row that is named by its key is found by that, and by nothing else.
    let one = match change {
        Change::Update(n) => n.from_clause.is_empty() && is_one(cover, n.where_clause.as_deref()),
        Change::Delete(n) => n.using_clause.is_empty() && is_one(cover, n.where_clause.as_deref()),
        Change::Insert(_) | Change::Merge(_) => false,
    };
    let key = cover.primary_key.as_ref().filter(|_| one).into_iter().flatten();
    let mut columns = cover.access.beside.clone();
    key.for_each(|column| _ = columns.remove(column));
    let mut neutral = Neutral { columns: &columns, ctes: Vec::new() };
    match change {
        Change::Insert(_) => Ok(()),
        Change::Update(n) => visit::boxed(&mut neutral, n.where_clause.as_mut()),
        Change::Delete(n) => visit::boxed(&mut neutral, n.where_clause.as_mut()),
        Change::Merge(n) => visit::boxed(&mut neutral, n.join_condition.as_mut()),
    }
}

/// Whether a condition holds for one row at most: each column of the key is equal to a constant.
fn is_one(cover: &Cover, condition: Option<&pg::Node>) -> bool {
    let mut equal = BTreeSet::new();
    if let Some(condition) = condition {
        equals(condition, &mut equal);
    }
    let key = cover.primary_key.as_ref().filter(|_| !cover.access.related);
    key.is_some_and(|key| key.iter().all(|column| equal.contains(column.as_ref())))
}

/// The columns that a condition, as a whole or in a part joined by AND, makes equal to a whole number or a text.
fn equals<'t>(condition: &'t pg::Node, found: &mut BTreeSet<&'t str>) {
    match condition.node.as_ref() {
        Some(E::BoolExpr(parts)) if parts.boolop == pg::BoolExprType::AndExpr as i32 => {
            parts.args.iter().for_each(|part| equals(part, found));
        }
        Some(E::AExpr(test)) if test.kind == pg::AExprKind::AexprOp as i32 => {
            let [name] = test.name.as_slice() else { return };
            let (Some("="), Some(left), Some(right)) = (string(name), test.lexpr.as_deref(), test.rexpr.as_deref())
            else {
                return;
            };
            // A number with a fraction, or a parameter of such a type, would compare as another type, by which no key is found.
            let whole = |constant: &pg::AConst| {
                matches!(constant.val, Some(pg::a_const::Val::Ival(_) | pg::a_const::Val::Sval(_)))
            };
            if let (Some(E::ColumnRef(column)), Some(E::AConst(constant))) = (&left.node, &right.node)
                && whole(constant)
            {
                found.extend(column.fields.last().and_then(string));
            }
        }
        _ => {}
    }
}

/// Writes columns in the form that matches no index.
struct Neutral<'c> {
    columns: &'c BTreeSet<Box<str>>,
    ctes: Vec<Box<str>>,
}

impl Neutral<'_> {
    fn is_beside(&self, column: &pg::ColumnRef) -> bool {
        column.fields.last().and_then(string).is_some_and(|last| self.columns.contains(last))
    }
}

/// The column of which a node is the neutral form.
fn neutral_of(node: &pg::Node) -> Option<&pg::Node> {
    let Some(E::CoalesceExpr(form)) = node.node.as_ref() else { return None };
    let [first, second] = form.args.as_slice() else { return None };
    (first == second && matches!(first.node, Some(E::ColumnRef(_)))).then_some(first)
}

/// Where a bare name may mean what the query shows, and no index is used for it: there it stays.
fn restore(item: &mut pg::Node) {
    if let Some(E::SortBy(sort)) = item.node.as_mut() {
        if let Some(inner) = sort.node.as_deref_mut() {
            restore(inner);
        }
        return;
    }
    if let Some(column) = neutral_of(item).cloned() {
        *item = column;
    }
}

impl Visitor for Neutral<'_> {
    fn named(&mut self, node: &mut pg::Node) {
        let Some(E::ColumnRef(column)) = node.node.as_ref() else { return };
        if self.is_beside(column) {
            let args = vec![node.clone(), node.clone()];
            node.node = Some(E::CoalesceExpr(Box::new(pg::CoalesceExpr { args, ..pg::CoalesceExpr::default() })));
        }
    }

    fn selected(&mut self, select: &mut pg::SelectStmt) -> Walked {
        let lists = [&mut select.group_clause, &mut select.sort_clause, &mut select.distinct_clause];
        lists.into_iter().flatten().for_each(restore);
        for target in &mut select.target_list {
            let Some(E::ResTarget(target)) = target.node.as_mut() else { continue };
            let column = target.val.as_deref().and_then(neutral_of);
            if let (true, Some(E::ColumnRef(column))) = (target.name.is_empty(), column.and_then(|it| it.node.as_ref()))
            {
                column.fields.last().and_then(string).unwrap_or_default().clone_into(&mut target.name);
            }
        }
        Ok(())
    }

    fn scope(&mut self) -> &mut Vec<Box<str>> {
        &mut self.ctes
    }
}

/// What a query that stands in for a relation ends with behind a fence: the server moves no condition into a query with
/// OFFSET.
pub(super) const FENCE: &str = " OFFSET 0";

/// A query that stands in for a relation, behind its fence.
pub(super) fn fence(query: &mut pg::Node) {
    if let Some(E::SelectStmt(select)) = query.node.as_mut() {
        select.limit_offset = Some(Box::new(zero()));
    }
}

/// Whether a query stands behind a fence.
pub(super) fn is_fenced(select: &pg::SelectStmt) -> bool {
    let is_zero = |offset: &pg::Node| match &offset.node {
        Some(E::AConst(constant)) => matches!(&constant.val, Some(pg::a_const::Val::Ival(number)) if number.ival == 0),
        _ => false,
    };
    select.limit_offset.as_deref().is_some_and(is_zero)
}

fn zero() -> pg::Node {
    let val = Some(pg::a_const::Val::Ival(pg::Integer { ival: 0 }));
    pg::Node { node: Some(E::AConst(pg::AConst { isnull: false, val, location: 0 })) }
}

/// Whether a sample is one of all rows.
pub(super) fn is_hundred(node: &pg::Node) -> bool {
    match node.node.as_ref() {
        Some(E::AConst(constant)) => {
            matches!(&constant.val, Some(pg::a_const::Val::Ival(percent)) if percent.ival == 100)
        }
        _ => false,
    }
}
