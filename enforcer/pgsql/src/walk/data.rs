//! Statements that change data, move it in bulk or maintain it.

use super::restriction::{Column, Target};
use super::{E, ObjectKind, Refusal, Seen, Touch, Walked, Walker, pg, unknown};
use crate::statement::Action;
use lang::protocol::Operation;
use std::slice::from_ref;

impl<'t> Walker<'t> {
    pub(super) fn insert(&mut self, insert: &'t pg::InsertStmt) -> Walked {
        let outer = self.with(insert.with_clause.as_ref())?;
        self.nodes(&insert.cols)?;
        self.boxed(insert.select_stmt.as_ref())?;
        let source = insert.select_stmt.as_deref();
        let Some(relation) = &insert.relation else { return unknown("InsertStmt") };
        self.relation(Operation::Insert, relation)?;
        if let Some(conflict) = &insert.on_conflict_clause {
            if let Some(infer) = &conflict.infer {
                self.nodes(&infer.index_elems)?;
                self.boxed(infer.where_clause.as_ref())?;
            }
            self.nodes(&conflict.target_list)?;
            self.boxed(conflict.where_clause.as_ref())?;
            if conflict.action == pg::OnConflictAction::OnconflictUpdate as i32 {
                // The rows that conflict are the condition: a table that is inserted into itself conflicts everywhere.
                let everywhere = match source {
                    Some(source) => self.query_yields_whole(source, relation)?.is_some(),
                    None => false,
                };
                let update = if everywhere { Operation::UpdateUnbounded } else { Operation::UpdateBounded };
                self.relation(update, relation)?;
                self.relation(Operation::Select, relation)?;
            }
        }
        let rows = self.returning(insert.returning_clause.as_ref(), relation)?;
        self.modified(outer, rows);
        Ok(())
    }

    pub(super) fn update(&mut self, update: &'t pg::UpdateStmt) -> Walked {
        let outer = self.with(update.with_clause.as_ref())?;
        let Some(relation) = &update.relation else { return unknown("UpdateStmt") };
        let nested = self.enter_write();
        self.nodes(&update.from_clause)?;
        let first = self.columns.len();
        self.nodes(&update.target_list)?;
        self.boxed(update.where_clause.as_ref())?;
        let target = self.target_beside(relation, &update.from_clause, update.where_clause.as_deref())?;
        self.reads_of_target(first, relation, &target)?;
        let bounded = !nested && self.restricts(update.where_clause.as_deref(), &target)?;
        self.relation(if bounded { Operation::UpdateBounded } else { Operation::UpdateUnbounded }, relation)?;
        self.view_of_settings(relation);
        let rows = self.returning(update.returning_clause.as_ref(), relation)?;
        self.inside_write = nested;
        self.modified(outer, rows);
        Ok(())
    }

    pub(super) fn delete(&mut self, delete: &'t pg::DeleteStmt) -> Walked {
        let outer = self.with(delete.with_clause.as_ref())?;
        let Some(relation) = &delete.relation else { return unknown("DeleteStmt") };
        let nested = self.enter_write();
        self.nodes(&delete.using_clause)?;
        let first = self.columns.len();
        self.boxed(delete.where_clause.as_ref())?;
        let target = self.target_beside(relation, &delete.using_clause, delete.where_clause.as_deref())?;
        self.reads_of_target(first, relation, &target)?;
        let bounded = !nested && self.restricts(delete.where_clause.as_deref(), &target)?;
        self.relation(if bounded { Operation::DeleteBounded } else { Operation::DeleteUnbounded }, relation)?;
        let rows = self.returning(delete.returning_clause.as_ref(), relation)?;
        self.inside_write = nested;
        self.modified(outer, rows);
        Ok(())
    }

    /// MERGE, and each action that it may take.
    pub(super) fn merge(&mut self, merge: &'t pg::MergeStmt) -> Walked {
        let outer = self.with(merge.with_clause.as_ref())?;
        let Some(relation) = &merge.relation else { return unknown("MergeStmt") };
        let nested = self.enter_write();
        self.boxed(merge.source_relation.as_ref())?;
        self.boxed(merge.join_condition.as_ref())?;
        self.relation(Operation::Merge, relation)?;
        self.relation(Operation::Select, relation)?;
        let source = merge.source_relation.as_deref().map_or(&[][..], from_ref);
        let target = self.target_beside(relation, source, merge.join_condition.as_deref())?;
        let joined = !nested && self.restricts(merge.join_condition.as_deref(), &target)?;
        for node in &merge.merge_when_clauses {
            let Some(E::MergeWhenClause(when)) = node.node.as_ref() else { return unknown("MergeWhenClause") };
            self.boxed(when.condition.as_ref())?;
            self.nodes(&when.target_list)?;
            self.nodes(&when.values)?;
            let by_source = when.match_kind == pg::MergeMatchKind::MergeWhenNotMatchedBySource as i32;
            let bounded = !nested && self.restricts(when.condition.as_deref(), &target)? || joined && !by_source;
            match pg::CmdType::try_from(when.command_type) {
                Ok(pg::CmdType::CmdInsert) => self.relation(Operation::Insert, relation)?,
                Ok(pg::CmdType::CmdUpdate) if bounded => self.relation(Operation::UpdateBounded, relation)?,
                Ok(pg::CmdType::CmdUpdate) => self.relation(Operation::UpdateUnbounded, relation)?,
                Ok(pg::CmdType::CmdDelete) if bounded => self.relation(Operation::DeleteBounded, relation)?,
                Ok(pg::CmdType::CmdDelete) => self.relation(Operation::DeleteUnbounded, relation)?,
                Ok(pg::CmdType::CmdNothing) => {}
                Ok(
                    pg::CmdType::Undefined
                    | pg::CmdType::CmdUnknown
                    | pg::CmdType::CmdSelect
                    | pg::CmdType::CmdMerge
                    | pg::CmdType::CmdUtility,
                )
                | Err(_) => return unknown("MergeWhenClause"),
            }
        }
        let rows = self.returning(merge.returning_clause.as_ref(), relation)?;
        self.inside_write = nested;
        self.modified(outer, rows);
        Ok(())
    }

    /// From here to the end of the statement, inside a write. Returns whether it was inside one already.
    fn enter_write(&mut self) -> bool {
        std::mem::replace(&mut self.inside_write, true)
    }

    /// What a changing statement is, once its parts are walked.
    fn modified(&mut self, outer: usize, returns_rows: bool) {
        self.ctes.truncate(outer);
        self.action = Action::Modify;
        self.writes = self.writes.saturating_add(1);
        self.returns_rows = returns_rows;
    }

    /// RETURNING reads the target whenever it names a column.
    fn returning(
        &mut self,
        clause: Option<&'t pg::ReturningClause>,
        relation: &'t pg::RangeVar,
    ) -> Result<bool, Refusal> {
        let Some(clause) = clause else { return Ok(false) };
        let first = self.columns.len();
        self.nodes(&clause.exprs)?;
        if self.columns.len() > first {
            self.relation(Operation::Select, relation)?;
        }
        Ok(true)
    }

    /// A statement that reads columns of its target needs `select` on it.
    fn reads_of_target(&mut self, first: usize, relation: &'t pg::RangeVar, target: &Target<'t>) -> Walked {
        let read =
            self.columns.get(first..).unwrap_or_default().iter().any(|column: &Column<'t>| target.may_own(*column));
        if read { self.relation(Operation::Select, relation) } else { Ok(()) }
    }

    /// UPDATE of the view `pg_settings` is `set_config()` by a rule.
    fn view_of_settings(&mut self, relation: &'t pg::RangeVar) {
        if relation.relname == "pg_settings" {
            self.setting(crate::statement::Parameter::Unknown, None, None, false);
        }
    }

    pub(super) fn copy(&mut self, copy: &'t pg::CopyStmt) -> Walked {
        let first = self.touches.len();
        self.boxed(copy.query.as_ref())?;
        self.nodes(&copy.options)?;
        self.boxed(copy.where_clause.as_ref())?;
        if copy.is_from {
            self.target(Operation::CopyIn, copy.relation.as_ref())?;
        } else if copy.query.is_none() {
            self.target(Operation::Select, copy.relation.as_ref())?;
        }
        let relations = self.relations_touched(first);
        if copy.is_program || !copy.filename.is_empty() {
            self.each(Operation::CopyProgram, &relations);
        }
        if !copy.is_from {
            self.each(Operation::CopyOut, &relations);
        }
        let server_side = copy.is_program || !copy.filename.is_empty();
        self.action = match (server_side, copy.is_from) {
            (true, _) => Action::Other,
            (false, true) => Action::CopyIn,
            (false, false) => Action::CopyOut,
        };
        self.returns_rows = false;
        Ok(())
    }

    /// One operation on each relation, or on none when there is none.
    fn each(&mut self, operation: Operation, relations: &[Seen<'t>]) {
        if relations.is_empty() {
            self.touch_nothing(operation);
        }
        for relation in relations {
            self.touch(operation, *relation);
        }
    }

    pub(super) fn explain(&mut self, explain: &'t pg::ExplainStmt) -> Walked {
        let first = self.touches.len();
        self.boxed(explain.query.as_ref())?;
        let analyze = runs(&explain.options);
        if !analyze {
            // Nothing is written and no row is locked: what remains is what the plan shows of each relation.
            for touch in self.touches.iter_mut().skip(first) {
                if touch.object.is_some_and(|object| object.kind == ObjectKind::Relation) {
                    touch.operation = Operation::Select;
                }
            }
            self.touches.retain(|touch| {
                !matches!(touch, Touch { operation: Operation::Lock | Operation::CopyOut, object: None })
            });
        }
        let relations = self.relations_touched(first);
        self.each(Operation::Explain, &relations);
        self.action = Action::Explain { analyze };
        self.returns_rows = true;
        Ok(())
    }

    pub(super) fn create_table_as(&mut self, create: &'t pg::CreateTableAsStmt) -> Walked {
        self.boxed(create.query.as_ref())?;
        let Some(into) = create.into.as_deref() else { return unknown("CreateTableAsStmt") };
        let view = create.objtype == pg::ObjectType::ObjectMatview as i32;
        self.target_of_into(if view { Operation::DdlCreate } else { Operation::CreateAs }, into)?;
        self.action = Action::Other;
        self.returns_rows = false;
        Ok(())
    }

    pub(super) fn truncate(&mut self, truncate: &'t pg::TruncateStmt) -> Walked {
        self.relations(Operation::Truncate, &truncate.relations)?;
        self.cascade(Operation::Truncate, truncate.behavior);
        Ok(())
    }

    /// CASCADE reaches objects that the statement does not name.
    pub(super) fn cascade(&mut self, operation: Operation, behaviour: i32) {
        if behaviour == pg::DropBehavior::DropCascade as i32 {
            self.touch(operation, Seen::DATABASE);
        }
    }

    pub(super) fn lock(&mut self, lock: &'t pg::LockStmt) -> Walked {
        self.relations(Operation::Lock, &lock.relations)
    }

    pub(super) fn call(&mut self, call: &'t pg::CallStmt) -> Walked {
        let Some(function) = call.funccall.as_deref() else { return unknown("CallStmt") };
        if call.funcexpr.is_some() || !call.outargs.is_empty() {
            return unknown("CallStmt");
        }
        self.function_call(function)?;
        let routine = self.routine(&function.funcname)?;
        self.touch(Operation::Call, routine);
        self.action = Action::Other;
        self.returns_rows = true;
        Ok(())
    }

    pub(super) fn do_block(&mut self, block: &'t pg::DoStmt) -> Walked {
        self.nodes(&block.args)?;
        self.touch(Operation::Do, Seen::DATABASE);
        Ok(())
    }

    pub(super) fn vacuum(&mut self, vacuum: &'t pg::VacuumStmt) -> Walked {
        self.nodes(&vacuum.options)?;
        let operation = if vacuum.is_vacuumcmd { Operation::Vacuum } else { Operation::Analyze };
        let analyzes = vacuum.is_vacuumcmd && named_option(&vacuum.options, "analyze");
        if vacuum.rels.is_empty() {
            self.touch(operation, Seen::DATABASE);
            if analyzes {
                self.touch(Operation::Analyze, Seen::DATABASE);
            }
        }
        for node in &vacuum.rels {
            let Some(E::VacuumRelation(relation)) = node.node.as_ref() else { return unknown("VacuumStmt") };
            self.target(operation, relation.relation.as_ref())?;
            if analyzes {
                self.target(Operation::Analyze, relation.relation.as_ref())?;
            }
        }
        Ok(())
    }

    /// CLUSTER rewrites a table as VACUUM FULL does.
    pub(super) fn cluster(&mut self, cluster: &'t pg::ClusterStmt) -> Walked {
        self.nodes(&cluster.params)?;
        if let Some(relation) = &cluster.relation {
            return self.relation(Operation::Vacuum, relation);
        }
        self.touch(Operation::Vacuum, Seen::DATABASE);
        Ok(())
    }

    pub(super) fn reindex(&mut self, reindex: &'t pg::ReindexStmt) -> Walked {
        self.nodes(&reindex.params)?;
        match pg::ReindexObjectType::try_from(reindex.kind) {
            Ok(pg::ReindexObjectType::ReindexObjectTable) => self.target(Operation::Reindex, reindex.relation.as_ref()),
            Ok(pg::ReindexObjectType::ReindexObjectIndex) => {
                let Some(index) = &reindex.relation else { return unknown("ReindexStmt") };
                self.relation_as(ObjectKind::Index, Operation::Reindex, index)
            }
            Ok(pg::ReindexObjectType::ReindexObjectSchema) => {
                self.touch(Operation::Reindex, Seen::plain(ObjectKind::Schema, &reindex.name));
                Ok(())
            }
            Ok(pg::ReindexObjectType::ReindexObjectSystem | pg::ReindexObjectType::ReindexObjectDatabase) => {
                self.touch(Operation::Reindex, Seen::DATABASE);
                Ok(())
            }
            Ok(pg::ReindexObjectType::Undefined) | Err(_) => unknown("ReindexStmt"),
        }
    }

    pub(super) fn refresh(&mut self, refresh: &'t pg::RefreshMatViewStmt) -> Walked {
        self.target(Operation::Refresh, refresh.relation.as_ref())
    }
}

/// Whether EXPLAIN runs its statement: an `ANALYZE` that is not plainly off. The last one counts for the server; any
/// one counts here.
fn runs(options: &[pg::Node]) -> bool {
    named_option(options, "analyze")
}

/// Whether an option of this name is present and not plainly off.
fn named_option(options: &[pg::Node], name: &str) -> bool {
    options.iter().any(|node| match node.node.as_ref() {
        Some(E::DefElem(option)) => option.defname == name && !plainly_off(option.arg.as_deref()),
        _ => false,
    })
}

fn plainly_off(value: Option<&pg::Node>) -> bool {
    match value.and_then(|value| value.node.as_ref()) {
        Some(E::String(text)) => matches!(text.sval.to_ascii_lowercase().as_str(), "off" | "false"),
        Some(E::Integer(number)) => number.ival == 0,
        Some(E::Boolean(flag)) => !flag.boolval,
        _ => false,
    }
}
