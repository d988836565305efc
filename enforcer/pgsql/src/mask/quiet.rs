//! Whether no condition of a statement could fail for one row and not for another, or do something.
//!
//! The server may move a condition on a relation into the query that stands in for it, below the order that the query
//! gives its rows ([`super::order`]), and test it row by row in an order of its own. As long as it only says which rows
//! remain, that order shows nothing. A condition that fails, or remembers how often it ran, would show which row came
//! first: then a fence keeps all conditions out. What is not known here counts as not quiet.

use super::rewrite::string;
use super::visit::{self, Change, Visitor};
use crate::refusal::Refusal;
use crate::walk::Walked;
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;

/// Operators between values of any type that always have an outcome.
const TOTAL: [&str; 7] = ["=", "<>", "!=", "<", ">", "<=", ">="];
/// Routines that are the same for every row of a statement, and fail for all or none.
const SAME_FOR_ALL: [&str; 4] = ["now", "date_trunc", "make_date", "make_interval"];
/// Aggregates: a condition on one is tested when all rows are there.
const AGGREGATES: [&str; 11] =
    ["count", "sum", "avg", "min", "max", "array_agg", "string_agg", "json_agg", "jsonb_agg", "bool_and", "bool_or"];

/// Whether every condition of the statement is quiet. Where columns are `brittle`, of type `numeric`, a comparison is so only
/// beside plain literals: beside a float the server casts the column, which fails for some values, whatever it is called.
pub(super) fn is_quiet(tree: &mut pg::Node, brittle: bool) -> bool {
    let mut found = Found { brittle, ..Found::default() };
    let Ok(selects) = query(&mut found, tree) else { return false };
    // What a query inside computes, a condition outside may test. The outermost is visited last.
    let inside = found.computed.saturating_sub(usize::from(selects && found.last_computes));
    found.conditions == 0 || !found.noisy && inside == 0
}

/// Whether a query, or one inside it, shows more than columns.
pub(super) fn computes(tree: &mut pg::Node) -> bool {
    let mut found = Found::default();
    query(&mut found, tree).is_err() || found.computed > 0
}

/// Visits a statement's query; whether it is a SELECT.
fn query(found: &mut Found, tree: &mut pg::Node) -> Result<bool, Refusal> {
    let Some(inner) = visit::inner(tree, &mut |_| ()) else { return Ok(false) };
    visit::node(found, inner)?;
    Ok(matches!(inner.node, Some(E::SelectStmt(_))))
}

#[derive(Default)]
struct Found {
    conditions: usize,
    noisy: bool,
    /// Queries that show more than columns.
    computed: usize,
    /// Whether the query that was visited last does.
    last_computes: bool,
    /// Whether only literals may stand beside a column.
    brittle: bool,
    ctes: Vec<Box<str>>,
}

impl Found {
    fn condition(&mut self, node: Option<&pg::Node>) {
        if let Some(node) = node {
            self.conditions += 1;
            self.noisy |= !total(node, true) || self.brittle && casts(node);
        }
    }

    fn joins(&mut self, item: &pg::Node) {
        if let Some(E::JoinExpr(join)) = item.node.as_ref() {
            self.conditions += 1;
            self.noisy |= self.brittle && (join.is_natural || !join.using_clause.is_empty());
            self.condition(join.quals.as_deref());
            for side in [&join.larg, &join.rarg].into_iter().flatten() {
                self.joins(side);
            }
        }
    }
}

impl Visitor for Found {
    fn change(&mut self, change: Change<'_>) -> Walked {
        match change {
            Change::Insert(_) => {}
            Change::Update(n) => {
                self.condition(n.where_clause.as_deref());
                n.from_clause.iter().for_each(|item| self.joins(item));
            }
            Change::Delete(n) => {
                self.condition(n.where_clause.as_deref());
                n.using_clause.iter().for_each(|item| self.joins(item));
            }
            Change::Merge(n) => {
                self.condition(n.join_condition.as_deref());
                n.source_relation.iter().for_each(|item| self.joins(item));
                for item in &n.merge_when_clauses {
                    if let Some(E::MergeWhenClause(when)) = item.node.as_ref() {
                        self.condition(when.condition.as_deref());
                    }
                }
            }
        }
        Ok(())
    }

    fn selected(&mut self, select: &mut pg::SelectStmt) -> Walked {
        self.condition(select.where_clause.as_deref());
        select.from_clause.iter().for_each(|item| self.joins(item));
        for part in select.having_clause.iter().flat_map(|having| conjuncts(having)) {
            if !mentions_aggregate(part) {
                self.condition(Some(part));
            }
        }
        let plain_row = |row: &pg::Node| matches!(&row.node, Some(E::List(row)) if row.items.iter().all(plain));
        self.last_computes = !select.target_list.iter().all(plain_target) || !select.values_lists.iter().all(plain_row);
        self.computed += usize::from(self.last_computes);
        Ok(())
    }

    fn scope(&mut self) -> &mut Vec<Box<str>> {
        &mut self.ctes
    }
}

fn conjuncts(node: &pg::Node) -> Vec<&pg::Node> {
    match node.node.as_ref() {
        Some(E::BoolExpr(parts)) if parts.boolop == pg::BoolExprType::AndExpr as i32 => {
            parts.args.iter().flat_map(conjuncts).collect()
        }
        _ => vec![node],
    }
}

/// Whether a condition compares anything but with literals.
fn casts(node: &pg::Node) -> bool {
    let constants = |items: &[pg::Node]| items.iter().all(|item| matches!(item.node, Some(E::AConst(_))));
    let literal = |node: &pg::Node| match node.node.as_ref() {
        Some(E::AConst(_)) => true,
        Some(E::TypeCast(cast)) => {
            matches!(cast.arg.as_deref(), Some(pg::Node { node: Some(E::AConst(_)) })) && !meets_floats(cast)
        }
        Some(E::List(list)) => constants(&list.items),
        Some(E::AArrayExpr(list)) => constants(&list.elements),
        _ => false,
    };
    match node.node.as_ref() {
        Some(E::BoolExpr(parts)) => parts.args.iter().any(casts),
        Some(E::AExpr(test)) => {
            let mut sides = [test.lexpr.as_deref(), test.rexpr.as_deref()].into_iter().flatten();
            !sides.any(literal)
        }
        Some(E::SubLink(link)) => link.testexpr.is_some(),
        _ => false,
    }
}

/// Types to which, or to types of numbers that hold them, no column is cast that fails for a value: not those of floats.
const EXACT: [&str; 13] = [
    "bool",
    "bpchar",
    "date",
    "int2",
    "int4",
    "int8",
    "numeric",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "uuid",
    "varchar",
];

/// Whether a column beside a value of the type that a cast names may be cast to a float.
fn meets_floats(cast: &pg::TypeCast) -> bool {
    let names = cast.type_name.as_ref().map_or(&[] as &[pg::Node], |kind| &kind.names);
    match names {
        [name] => !string(name).is_some_and(|name| EXACT.contains(&name)),
        [schema, name] => {
            string(schema) != Some(crate::catalog::PG_CATALOG)
                || !string(name).is_some_and(|name| EXACT.contains(&name))
        }
        _ => true,
    }
}

/// Whether a condition always has an outcome. `alone`: it stands by itself or joined by AND, so that an error of a part
/// that is the same for every row is the same whichever row comes first.
fn total(node: &pg::Node, alone: bool) -> bool {
    match node.node.as_ref() {
        Some(E::BoolExpr(parts)) => {
            let and = parts.boolop == pg::BoolExprType::AndExpr as i32;
            parts.args.iter().all(|part| total(part, alone && and))
        }
        Some(E::NullTest(test)) => test.arg.as_deref().is_some_and(plain),
        Some(E::BooleanTest(test)) => test.arg.as_deref().is_some_and(plain),
        Some(E::AExpr(test)) => comparison(test, alone),
        // The query inside is looked at by itself.
        Some(E::SubLink(link)) => {
            link.testexpr.as_deref().is_none_or(plain) && link.oper_name.iter().all(is_total_operator)
        }
        Some(_) => plain(node),
        None => false,
    }
}

fn is_total_operator(name: &pg::Node) -> bool {
    string(name).is_some_and(|name| TOTAL.contains(&name))
}

fn comparison(test: &pg::AExpr, alone: bool) -> bool {
    let [name] = test.name.as_slice() else { return false };
    let (left, right) = (test.lexpr.as_deref(), test.rexpr.as_deref());
    let operand = |node: Option<&pg::Node>| {
        node.is_some_and(|node| {
            plain(node) || alone && same_for_all(node) || matches!(node.node, Some(E::SubLink(_))) && total(node, false)
        })
    };
    match pg::AExprKind::try_from(test.kind) {
        Ok(pg::AExprKind::AexprOp | pg::AExprKind::AexprDistinct | pg::AExprKind::AexprNotDistinct) => {
            is_total_operator(name) && operand(left) && operand(right)
        }
        Ok(pg::AExprKind::AexprOpAny | pg::AExprKind::AexprOpAll) => {
            is_total_operator(name) && operand(left) && right.is_some_and(constants)
        }
        Ok(
            pg::AExprKind::AexprIn
            | pg::AExprKind::AexprBetween
            | pg::AExprKind::AexprNotBetween
            | pg::AExprKind::AexprBetweenSym
            | pg::AExprKind::AexprNotBetweenSym,
        ) => {
            let Some(E::List(list)) = right.and_then(|right| right.node.as_ref()) else { return false };
            operand(left) && list.items.iter().all(|item| operand(Some(item)))
        }
        Ok(pg::AExprKind::AexprLike | pg::AExprKind::AexprIlike) => operand(left) && right.is_some_and(pattern),
        Ok(pg::AExprKind::AexprNullif | pg::AExprKind::AexprSimilar | pg::AExprKind::Undefined) | Err(_) => false,
    }
}

/// A pattern that cannot end in the middle of an escape.
fn pattern(node: &pg::Node) -> bool {
    match node.node.as_ref() {
        Some(E::AConst(constant)) => match &constant.val {
            Some(pg::a_const::Val::Sval(text)) => !text.sval.contains('\\'),
            _ => false,
        },
        _ => false,
    }
}

fn constants(node: &pg::Node) -> bool {
    match node.node.as_ref() {
        Some(E::AArrayExpr(array)) => array.elements.iter().all(plain),
        _ => plain(node),
    }
}

/// A column or a constant.
fn plain(node: &pg::Node) -> bool {
    match node.node.as_ref() {
        Some(E::ColumnRef(_) | E::AConst(_) | E::ParamRef(_)) => true,
        Some(E::TypeCast(cast)) => cast.arg.as_deref().is_some_and(|arg| match arg.node.as_ref() {
            Some(E::AConst(_)) => true,
            Some(E::AArrayExpr(array)) => array.elements.iter().all(|item| matches!(item.node, Some(E::AConst(_)))),
            _ => false,
        }),
        Some(E::RowExpr(row)) => row.args.iter().all(plain),
        _ => false,
    }
}

/// A value that rests on no column: it fails for every row or for none.
fn same_for_all(node: &pg::Node) -> bool {
    match node.node.as_ref() {
        Some(E::AConst(_) | E::ParamRef(_) | E::SqlvalueFunction(_)) => true,
        Some(E::TypeCast(cast)) => cast.arg.as_deref().is_some_and(same_for_all),
        Some(E::AExpr(test)) if test.kind == pg::AExprKind::AexprOp as i32 => {
            let names = |name: &pg::Node| string(name).is_some_and(|name| ["+", "-", "*"].contains(&name));
            test.name.iter().all(names)
                && [&test.lexpr, &test.rexpr].into_iter().flatten().all(|side| same_for_all(side))
        }
        Some(E::FuncCall(call)) => {
            let name = call.funcname.last().and_then(string);
            name.is_some_and(|name| SAME_FOR_ALL.contains(&name)) && call.args.iter().all(same_for_all)
        }
        _ => false,
    }
}

/// What a query may show without computing anything that could fail for a row.
fn plain_target(node: &pg::Node) -> bool {
    let Some(E::ResTarget(target)) = node.node.as_ref() else { return false };
    let Some(value) = target.val.as_deref() else { return true };
    if let Some(E::FuncCall(call)) = value.node.as_ref() {
        return is_aggregate(call) && call.args.iter().all(plain);
    }
    plain(value)
}

fn is_aggregate(call: &pg::FuncCall) -> bool {
    call.funcname.last().and_then(string).is_some_and(|name| AGGREGATES.contains(&name))
}

/// Whether a condition of HAVING rests on an aggregate of its own query.
fn mentions_aggregate(node: &pg::Node) -> bool {
    match node.node.as_ref() {
        Some(E::FuncCall(call)) => is_aggregate(call) || call.args.iter().any(mentions_aggregate),
        Some(E::AExpr(test)) => [&test.lexpr, &test.rexpr].into_iter().flatten().any(|side| mentions_aggregate(side)),
        Some(E::TypeCast(cast)) => cast.arg.as_deref().is_some_and(mentions_aggregate),
        _ => false,
    }
}
