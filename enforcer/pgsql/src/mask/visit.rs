//! A walk that may change what it sees: every node of a query or of a statement that changes data.
//!
//! It knows fewer nodes than the judge's walk and refuses the rest. What it misses stays as the client wrote it, and the
//! proof of the outcome ([`super::prove`]) refuses that.

use crate::refusal::Refusal;
use crate::walk::{Walked, leaf};
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;

/// A statement that changes rows of a relation.
pub(super) enum Change<'a> {
    /// INSERT.
    Insert(&'a mut pg::InsertStmt),
    /// UPDATE.
    Update(&'a mut pg::UpdateStmt),
    /// DELETE.
    Delete(&'a mut pg::DeleteStmt),
    /// MERGE.
    Merge(&'a mut pg::MergeStmt),
}

impl Change<'_> {
    /// The relation that is changed.
    pub(super) fn target(&mut self) -> Option<&mut pg::RangeVar> {
        match self {
            Self::Insert(n) => n.relation.as_mut(),
            Self::Update(n) => n.relation.as_mut(),
            Self::Delete(n) => n.relation.as_mut(),
            Self::Merge(n) => n.relation.as_mut(),
        }
    }
}

/// A query whose WITH was visited.
pub(super) enum Query<'a> {
    /// SELECT.
    Select(&'a pg::SelectStmt),
    /// INSERT.
    Insert(&'a pg::InsertStmt),
    /// UPDATE.
    Update(&'a pg::UpdateStmt),
    /// DELETE.
    Delete(&'a pg::DeleteStmt),
    /// MERGE.
    Merge(&'a pg::MergeStmt),
}

/// What is done at the nodes that matter; by itself nothing, and the walk goes on inside.
pub(super) trait Visitor: Sized {
    /// A statement that changes rows, before what is in it.
    fn change(&mut self, _: Change<'_>) -> Walked {
        Ok(())
    }
    /// An item of FROM that is a relation by its name. The node may be replaced.
    fn relation(&mut self, _: &mut pg::Node) -> Walked {
        Ok(())
    }
    /// A sampled relation. The node may be replaced.
    fn sample(&mut self, node: &mut pg::Node) -> Walked {
        let Some(E::RangeTableSample(sample)) = node.node.as_mut() else { return refused("RangeTableSample") };
        nodes(self, &mut sample.args)?;
        boxed(self, sample.repeatable.as_mut())?;
        boxed(self, sample.relation.as_mut())
    }
    /// A sub-query in FROM, before what is in it. Whether the walk goes on inside.
    fn subselect(&mut self, _: &mut pg::RangeSubselect) -> Result<bool, Refusal> {
        Ok(true)
    }
    /// A column as the text names it.
    fn column(&mut self, _: &mut pg::ColumnRef) {}
    /// The node of such a column, after that. It may be replaced.
    fn named(&mut self, _: &mut pg::Node) {}
    /// A window, named or behind OVER.
    fn windowed(&mut self, _: &mut pg::WindowDef) {}
    /// A SELECT, once everything in it was visited.
    fn selected(&mut self, _: &mut pg::SelectStmt) -> Walked {
        Ok(())
    }
    /// A query, after its WITH and before the rest of it.
    fn opened(&mut self, _: Query<'_>) {}
    /// The end of that query.
    fn closed(&mut self) {}
    /// The names that a WITH makes visible, and how to forget them.
    fn scope(&mut self) -> &mut Vec<Box<str>>;
}

pub(super) fn refused(name: &'static str) -> Walked {
    Err(Refusal::UnknownNode { name })
}

/// What EXPLAIN, PREPARE, DECLARE, CREATE TABLE AS and COPY hold, or the statement itself; `None` where COPY names a table.
/// `through` sees each statement that may hold another one.
#[expect(clippy::wildcard_enum_match_arm, reason = "the tree's own enum; no other statement holds one that it runs")]
pub(super) fn inner<'t>(statement: &'t mut pg::Node, through: &mut dyn FnMut(&E)) -> Option<&'t mut pg::Node> {
    let holds = |node: &E| {
        matches!(
            node,
            E::ExplainStmt(_) | E::PrepareStmt(_) | E::DeclareCursorStmt(_) | E::CreateTableAsStmt(_) | E::CopyStmt(_)
        )
    };
    if !statement.node.as_ref().is_some_and(holds) {
        return Some(statement);
    }
    let node = statement.node.as_mut()?;
    through(node);
    let query = match node {
        E::ExplainStmt(n) => n.query.as_deref_mut(),
        E::PrepareStmt(n) => n.query.as_deref_mut(),
        E::DeclareCursorStmt(n) => n.query.as_deref_mut(),
        E::CreateTableAsStmt(n) => n.query.as_deref_mut(),
        E::CopyStmt(n) => n.query.as_deref_mut(),
        _ => None,
    };
    inner(query?, through)
}

pub(super) fn nodes<V: Visitor>(v: &mut V, list: &mut [pg::Node]) -> Walked {
    list.iter_mut().try_for_each(|item| node(v, item))
}

pub(super) fn boxed<V: Visitor>(v: &mut V, item: Option<&mut Box<pg::Node>>) -> Walked {
    item.map_or(Ok(()), |item| node(v, item))
}

/// Visits one node and everything in it.
#[expect(clippy::match_same_arms, reason = "what every walk passes over, and what this one does")]
#[expect(clippy::too_many_lines, reason = "one table of the nodes that a query is made of")]
pub(super) fn node<V: Visitor>(v: &mut V, item: &mut pg::Node) -> Walked {
    match item.node.as_mut() {
        None | Some(leaf!()) => Ok(()),
        Some(
            E::SqlvalueFunction(_) | E::MergeSupportFunc(_) | E::TypeName(_) | E::ReturningOption(_) | E::ColumnDef(_),
        ) => Ok(()),
        Some(E::RangeVar(_)) => v.relation(item),
        Some(E::RangeTableSample(_)) => v.sample(item),
        Some(E::RangeSubselect(n)) => {
            if v.subselect(n)? {
                boxed(v, n.subquery.as_mut())?;
            }
            Ok(())
        }
        Some(E::ColumnRef(n)) => {
            v.column(n);
            v.named(item);
            Ok(())
        }
        Some(E::SelectStmt(n)) => select(v, n),
        Some(E::InsertStmt(n)) => insert(v, n),
        Some(E::UpdateStmt(n)) => update(v, n),
        Some(E::DeleteStmt(n)) => delete(v, n),
        Some(E::MergeStmt(n)) => merge(v, n),
        Some(E::List(n)) => nodes(v, &mut n.items),
        Some(E::AExpr(n)) => {
            boxed(v, n.lexpr.as_mut())?;
            boxed(v, n.rexpr.as_mut())
        }
        Some(E::BoolExpr(n)) => nodes(v, &mut n.args),
        Some(E::SubLink(n)) => {
            boxed(v, n.testexpr.as_mut())?;
            boxed(v, n.subselect.as_mut())
        }
        Some(E::FuncCall(n)) => {
            nodes(v, &mut n.args)?;
            nodes(v, &mut n.agg_order)?;
            boxed(v, n.agg_filter.as_mut())?;
            n.over.as_mut().map_or(Ok(()), |over| window(v, over))
        }
        Some(E::TypeCast(n)) => boxed(v, n.arg.as_mut()),
        Some(E::CollateClause(n)) => boxed(v, n.arg.as_mut()),
        Some(E::NamedArgExpr(n)) => boxed(v, n.arg.as_mut()),
        Some(E::CaseExpr(n)) => {
            boxed(v, n.arg.as_mut())?;
            nodes(v, &mut n.args)?;
            boxed(v, n.defresult.as_mut())
        }
        Some(E::CaseWhen(n)) => {
            boxed(v, n.expr.as_mut())?;
            boxed(v, n.result.as_mut())
        }
        Some(E::AArrayExpr(n)) => nodes(v, &mut n.elements),
        Some(E::RowExpr(n)) => nodes(v, &mut n.args),
        Some(E::CoalesceExpr(n)) => nodes(v, &mut n.args),
        Some(E::MinMaxExpr(n)) => nodes(v, &mut n.args),
        Some(E::GroupingFunc(n)) => nodes(v, &mut n.args),
        Some(E::GroupingSet(n)) => nodes(v, &mut n.content),
        Some(E::NullTest(n)) => boxed(v, n.arg.as_mut()),
        Some(E::BooleanTest(n)) => boxed(v, n.arg.as_mut()),
        Some(E::AIndices(n)) => {
            boxed(v, n.lidx.as_mut())?;
            boxed(v, n.uidx.as_mut())
        }
        Some(E::AIndirection(n)) => {
            boxed(v, n.arg.as_mut())?;
            nodes(v, &mut n.indirection)
        }
        Some(E::MultiAssignRef(n)) => boxed(v, n.source.as_mut()),
        Some(E::ResTarget(n)) => {
            nodes(v, &mut n.indirection)?;
            boxed(v, n.val.as_mut())
        }
        Some(E::SortBy(n)) => boxed(v, n.node.as_mut()),
        Some(E::WindowDef(n)) => window(v, n),
        Some(E::IndexElem(n)) => boxed(v, n.expr.as_mut()),
        Some(E::XmlExpr(n)) => {
            nodes(v, &mut n.named_args)?;
            nodes(v, &mut n.args)
        }
        Some(E::XmlSerialize(n)) => boxed(v, n.expr.as_mut()),
        Some(E::JoinExpr(n)) => {
            boxed(v, n.larg.as_mut())?;
            boxed(v, n.rarg.as_mut())?;
            boxed(v, n.quals.as_mut())
        }
        Some(E::RangeFunction(n)) => nodes(v, &mut n.functions),
        Some(E::RangeTableFunc(n)) => {
            boxed(v, n.docexpr.as_mut())?;
            boxed(v, n.rowexpr.as_mut())?;
            nodes(v, &mut n.namespaces)?;
            nodes(v, &mut n.columns)
        }
        Some(E::RangeTableFuncCol(n)) => {
            boxed(v, n.colexpr.as_mut())?;
            boxed(v, n.coldefexpr.as_mut())
        }
        Some(other) => json(v, other),
    }
}

/// The nodes of SQL/JSON.
#[expect(clippy::wildcard_enum_match_arm, reason = "the tree's own enum; the last arm refuses")]
fn json<V: Visitor>(v: &mut V, item: &mut E) -> Walked {
    match item {
        E::JsonValueExpr(n) => json_value(v, n),
        E::JsonIsPredicate(n) => boxed(v, n.expr.as_mut()),
        E::JsonArgument(n) => json_value_of(v, n.val.as_deref_mut()),
        E::JsonKeyValue(n) => json_pair(v, n),
        E::JsonFuncExpr(n) => {
            json_value_of(v, n.context_item.as_deref_mut())?;
            boxed(v, n.pathspec.as_mut())?;
            nodes(v, &mut n.passing)?;
            json_behaviour(v, n.on_empty.as_deref_mut())?;
            json_behaviour(v, n.on_error.as_deref_mut())
        }
        E::JsonParseExpr(n) => json_value_of(v, n.expr.as_deref_mut()),
        E::JsonScalarExpr(n) => boxed(v, n.expr.as_mut()),
        E::JsonSerializeExpr(n) => json_value_of(v, n.expr.as_deref_mut()),
        E::JsonObjectConstructor(n) => nodes(v, &mut n.exprs),
        E::JsonArrayConstructor(n) => nodes(v, &mut n.exprs),
        E::JsonArrayQueryConstructor(n) => boxed(v, n.query.as_mut()),
        E::JsonObjectAgg(n) => {
            if let Some(constructor) = n.constructor.as_mut() {
                json_aggregate(v, constructor)?;
            }
            n.arg.as_deref_mut().map_or(Ok(()), |pair| json_pair(v, pair))
        }
        E::JsonArrayAgg(n) => {
            if let Some(constructor) = n.constructor.as_mut() {
                json_aggregate(v, constructor)?;
            }
            json_value_of(v, n.arg.as_deref_mut())
        }
        E::JsonTable(n) => {
            json_value_of(v, n.context_item.as_deref_mut())?;
            nodes(v, &mut n.passing)?;
            nodes(v, &mut n.columns)?;
            json_behaviour(v, n.on_error.as_deref_mut())
        }
        E::JsonTableColumn(n) => {
            nodes(v, &mut n.columns)?;
            json_behaviour(v, n.on_empty.as_deref_mut())?;
            json_behaviour(v, n.on_error.as_deref_mut())
        }
        _ => refused("a node that is not rewritten"),
    }
}

fn json_value<V: Visitor>(v: &mut V, value: &mut pg::JsonValueExpr) -> Walked {
    boxed(v, value.raw_expr.as_mut())?;
    boxed(v, value.formatted_expr.as_mut())
}

fn json_value_of<V: Visitor>(v: &mut V, value: Option<&mut pg::JsonValueExpr>) -> Walked {
    value.map_or(Ok(()), |value| json_value(v, value))
}

fn json_behaviour<V: Visitor>(v: &mut V, behaviour: Option<&mut pg::JsonBehavior>) -> Walked {
    behaviour.map_or(Ok(()), |behaviour| boxed(v, behaviour.expr.as_mut()))
}

fn json_pair<V: Visitor>(v: &mut V, pair: &mut pg::JsonKeyValue) -> Walked {
    boxed(v, pair.key.as_mut())?;
    json_value_of(v, pair.value.as_deref_mut())
}

fn json_aggregate<V: Visitor>(v: &mut V, aggregate: &mut pg::JsonAggConstructor) -> Walked {
    boxed(v, aggregate.agg_filter.as_mut())?;
    nodes(v, &mut aggregate.agg_order)?;
    aggregate.over.as_deref_mut().map_or(Ok(()), |over| window(v, over))
}

fn window<V: Visitor>(v: &mut V, window: &mut pg::WindowDef) -> Walked {
    v.windowed(window);
    nodes(v, &mut window.partition_clause)?;
    nodes(v, &mut window.order_clause)?;
    boxed(v, window.start_offset.as_mut())?;
    boxed(v, window.end_offset.as_mut())
}

/// A SELECT. FROM comes first: what stands there decides what the columns mean.
pub(super) fn select<V: Visitor>(v: &mut V, n: &mut pg::SelectStmt) -> Walked {
    let outer = with(v, n.with_clause.as_mut())?;
    v.opened(Query::Select(n));
    nodes(v, &mut n.from_clause)?;
    nodes(v, &mut n.distinct_clause)?;
    nodes(v, &mut n.target_list)?;
    boxed(v, n.where_clause.as_mut())?;
    nodes(v, &mut n.group_clause)?;
    boxed(v, n.having_clause.as_mut())?;
    nodes(v, &mut n.window_clause)?;
    nodes(v, &mut n.values_lists)?;
    nodes(v, &mut n.sort_clause)?;
    boxed(v, n.limit_offset.as_mut())?;
    boxed(v, n.limit_count.as_mut())?;
    if let Some(left) = n.larg.as_deref_mut() {
        select(v, left)?;
    }
    if let Some(right) = n.rarg.as_deref_mut() {
        select(v, right)?;
    }
    v.selected(n)?;
    v.closed();
    v.scope().truncate(outer);
    Ok(())
}

/// The CTEs of a WITH; see the judge's own walk for when a name becomes visible.
fn with<V: Visitor>(v: &mut V, clause: Option<&mut pg::WithClause>) -> Result<usize, Refusal> {
    let outer = v.scope().len();
    let Some(clause) = clause else { return Ok(outer) };
    if clause.recursive {
        for item in &clause.ctes {
            if let Some(E::CommonTableExpr(cte)) = item.node.as_ref() {
                v.scope().push(cte.ctename.as_str().into());
            }
        }
    }
    for item in &mut clause.ctes {
        let Some(E::CommonTableExpr(cte)) = item.node.as_mut() else {
            return Err(Refusal::UnknownNode { name: "a WITH item that is not a CommonTableExpr" });
        };
        boxed(v, cte.ctequery.as_mut())?;
        if let Some(cycle) = cte.cycle_clause.as_mut() {
            boxed(v, cycle.cycle_mark_value.as_mut())?;
            boxed(v, cycle.cycle_mark_default.as_mut())?;
        }
        if !clause.recursive {
            v.scope().push(cte.ctename.as_str().into());
        }
    }
    Ok(outer)
}

fn returning<V: Visitor>(v: &mut V, clause: Option<&mut pg::ReturningClause>) -> Walked {
    clause.map_or(Ok(()), |clause| nodes(v, &mut clause.exprs))
}

fn insert<V: Visitor>(v: &mut V, n: &mut pg::InsertStmt) -> Walked {
    v.change(Change::Insert(n))?;
    let outer = with(v, n.with_clause.as_mut())?;
    v.opened(Query::Insert(n));
    nodes(v, &mut n.cols)?;
    boxed(v, n.select_stmt.as_mut())?;
    if let Some(conflict) = n.on_conflict_clause.as_mut() {
        if let Some(infer) = conflict.infer.as_mut() {
            nodes(v, &mut infer.index_elems)?;
            boxed(v, infer.where_clause.as_mut())?;
        }
        nodes(v, &mut conflict.target_list)?;
        boxed(v, conflict.where_clause.as_mut())?;
    }
    returning(v, n.returning_clause.as_mut())?;
    v.closed();
    v.scope().truncate(outer);
    Ok(())
}

fn update<V: Visitor>(v: &mut V, n: &mut pg::UpdateStmt) -> Walked {
    v.change(Change::Update(n))?;
    let outer = with(v, n.with_clause.as_mut())?;
    v.opened(Query::Update(n));
    nodes(v, &mut n.from_clause)?;
    nodes(v, &mut n.target_list)?;
    boxed(v, n.where_clause.as_mut())?;
    returning(v, n.returning_clause.as_mut())?;
    v.closed();
    v.scope().truncate(outer);
    Ok(())
}

fn delete<V: Visitor>(v: &mut V, n: &mut pg::DeleteStmt) -> Walked {
    v.change(Change::Delete(n))?;
    let outer = with(v, n.with_clause.as_mut())?;
    v.opened(Query::Delete(n));
    nodes(v, &mut n.using_clause)?;
    boxed(v, n.where_clause.as_mut())?;
    returning(v, n.returning_clause.as_mut())?;
    v.closed();
    v.scope().truncate(outer);
    Ok(())
}

fn merge<V: Visitor>(v: &mut V, n: &mut pg::MergeStmt) -> Walked {
    v.change(Change::Merge(n))?;
    let outer = with(v, n.with_clause.as_mut())?;
    v.opened(Query::Merge(n));
    boxed(v, n.source_relation.as_mut())?;
    boxed(v, n.join_condition.as_mut())?;
    for item in &mut n.merge_when_clauses {
        let Some(E::MergeWhenClause(when)) = item.node.as_mut() else { return refused("MergeWhenClause") };
        boxed(v, when.condition.as_mut())?;
        nodes(v, &mut when.target_list)?;
        nodes(v, &mut when.values)?;
    }
    returning(v, n.returning_clause.as_mut())?;
    v.closed();
    v.scope().truncate(outer);
    Ok(())
}
