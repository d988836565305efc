//! Statements that write, where masks stand: what would make the server tell something of a masked value by comparing
//! it, and what would store a mask as data, is refused with the way out.

use super::named::{Named, assigned_in_part, names};
use super::rewrite::{resolved, string};
use super::unlisted;
use super::visit::{self, Change, Query, Visitor};
use super::written::{Written, target};
use super::{Plan, Treatment, blind};
use crate::snapshot::{Name, TEMPORARY};
use crate::statement::{Access, Statement};
use crate::walk::Walked;
use lang::protocol::Operation;
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::BTreeSet;

/// Whether a statement changes or makes rows.
pub(super) fn writes(judged: &Statement) -> bool {
    let writes = |access: &Access| changes_rows(access.operation) || access.operation == Operation::CreateAs;
    judged.accesses.iter().any(writes) || matches!(judged.action, crate::statement::Action::Modify)
}

/// Whether an operation changes rows of a relation that is there.
fn changes_rows(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Insert
            | Operation::UpdateBounded
            | Operation::UpdateUnbounded
            | Operation::DeleteBounded
            | Operation::DeleteUnbounded
            | Operation::Merge
            | Operation::CopyIn
    )
}

/// Whether all that a statement writes is a new temporary table, which nobody else sees: it is filled with masks, and no
/// real row is compared.
pub(super) fn keeps_for_itself(tree: &pg::Node, judged: &Statement) -> bool {
    let into = match tree.node.as_ref() {
        Some(E::CreateTableAsStmt(create)) if create.objtype == pg::ObjectType::ObjectTable as i32 => {
            create.into.as_deref()
        }
        Some(E::SelectStmt(select)) => select.into_clause.as_deref(),
        _ => None,
    };
    let temporary = |made: &pg::RangeVar| made.relpersistence == "t" || made.schemaname == TEMPORARY;
    let changes = |access: &Access| changes_rows(access.operation);
    into.and_then(|into| into.rel.as_ref()).is_some_and(temporary) && !judged.accesses.iter().any(changes)
}

/// Why a statement that writes does not run.
pub(super) fn refused(plan: &Plan, tree: &mut pg::Node, judged: &Statement) -> Option<String> {
    let own = keeps_for_itself(tree, judged);
    let mut found = Found::new(plan);
    found.natural = blind::find(tree, &mut |field, text| field == blind::NODE && text == blind::NATURAL);
    let top = visit::inner(tree, &mut |outer| found.outer(outer));
    // What a table is made of is looked at whatever it is: EXECUTE is refused.
    let top = top.filter(|inner| found.into || is_query(inner));
    if top.is_none() && found.changes.is_empty() {
        return None;
    }
    if let Some(top) = top
        && visit::node(&mut found, top).is_err()
    {
        // What is not known here is not rewritten either: only where it touches masks does it matter.
        return writes(judged)
            .then(|| "the gateway cannot analyse this statement, and this connection has masks".to_owned());
    }
    // EXPLAIN of a write is not among the accesses as one.
    if found.changes.is_empty() && (own || !found.into && !writes(judged)) {
        return None;
    }
    let whole = || found.changes.iter().find_map(|change| target(plan, change));
    let why = whole()
        .or_else(|| found.counts_columns())
        .or_else(|| found.assigns_parts())
        .or_else(|| found.takes_proposed())
        .or_else(|| found.reads());
    why.or_else(|| {
        let written =
            found.changes.iter().flat_map(|one| [(&one.relation, &one.inserted), (&one.relation, &one.updated)]);
        let top = visit::inner(tree, &mut |_| ()).filter(|inner| is_query(inner));
        unlisted::refused(plan, top, written)
    })
}

/// The column of a row's place, which tells in what order rows were written and how long they are.
const PLACE: &str = "ctid";

/// Why it is neither tested nor shown by a statement that writes.
const PLACES: &str = "the places of rows (`ctid`) say something of masked values; name rows by their key";

/// What a conflict calls the row that was proposed.
const EXCLUDED: &str = "excluded";

/// Whether a statement reads or changes rows by itself.
pub(super) fn is_query(tree: &pg::Node) -> bool {
    matches!(
        tree.node,
        Some(E::SelectStmt(_) | E::InsertStmt(_) | E::UpdateStmt(_) | E::DeleteStmt(_) | E::MergeStmt(_))
    )
}

/// Everything that the statement names.
struct Found<'p> {
    plan: &'p Plan,
    /// The fields of each column; a star is an empty text.
    columns: Vec<Vec<Box<str>>>,
    /// How many stars by themselves stand in queries that read nothing with masks.
    harmless_stars: usize,
    /// What relations are called.
    relations: Vec<(Box<str>, Name)>,
    changes: Vec<Written>,
    /// Columns of rows that are there of which a part is assigned.
    parts: Vec<(Name, Box<str>)>,
    /// Relations of which a conflict changes a row by what was proposed.
    upserts: Vec<Name>,
    into: bool,
    /// Relations whose columns are called by other names.
    renamed: Vec<Name>,
    /// Whether any are joined by what they have in common.
    natural: bool,
    ctes: Vec<Box<str>>,
}

impl<'p> Found<'p> {
    fn new(plan: &'p Plan) -> Self {
        Self {
            plan,
            columns: Vec::new(),
            harmless_stars: 0,
            relations: Vec::new(),
            changes: Vec::new(),
            parts: Vec::new(),
            upserts: Vec::new(),
            into: false,
            renamed: Vec::new(),
            natural: false,
            ctes: Vec::new(),
        }
    }

    /// What a statement that holds a query, or names a table in its place, writes by itself.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the tree's own enum; other statements hold no query that runs")]
    fn outer(&mut self, statement: &E) {
        match statement {
            E::CreateTableAsStmt(_) => self.into = true,
            E::CopyStmt(copy) if copy.is_from => {
                let Some(relation) = copy.relation.as_ref() else { return };
                let named = copy.attlist.iter().filter_map(string).map(Into::into).collect();
                self.changes.push(Written {
                    relation: resolved(self.plan, relation),
                    inserted: if copy.attlist.is_empty() { Named::All } else { Named::These(named) },
                    updated: Named::Nothing,
                    deletes: false,
                    finds: false,
                });
            }
            _ => {}
        }
    }

    /// Whether a name of the text means a relation with masks: its masked columns, when it does.
    fn masked(&self, alias: &str) -> Option<BTreeSet<Box<str>>> {
        let mut masked: Option<BTreeSet<Box<str>>> = None;
        for (called, name) in &self.relations {
            if let (true, Some(Treatment::Covered(cover))) = (**called == *alias, self.plan.treatment(name)) {
                masked.get_or_insert_default().extend(cover.masked.iter().cloned());
            }
        }
        masked
    }

    /// Why it may not count on all columns being there: masked ones are left out where a statement writes.
    fn counts_columns(&self) -> Option<String> {
        let narrow = |name: &&Name| match self.plan.treatment(name) {
            Some(Treatment::Covered(cover)) => !cover.masked.is_empty(),
            Some(Treatment::Closed(_)) | None => false,
        };
        let joined = self.relations.iter().map(|(_, name)| name).filter(|_| self.natural);
        let name = self.renamed.iter().chain(joined).find(narrow)?;
        Some(format!(
            "`{}.{}` has masked columns, which are left out where a statement writes, so that NATURAL JOIN and lists of other \
             names for its columns would mean others; join ON a condition, and use the columns' own names",
            name.0, name.1
        ))
    }

    /// Whether a column of a relation is masked.
    fn hides(&self, relation: &Name, column: &str) -> bool {
        matches!(self.plan.treatment(relation), Some(Treatment::Covered(cover)) if cover.masked.contains(column))
    }

    /// Why it may not assign to a part of a column: the server takes the rest from the real value.
    fn assigns_parts(&self) -> Option<String> {
        let (relation, column) = self.parts.iter().find(|(relation, column)| self.hides(relation, column))?;
        Some(format!(
            "a part of `{column}` of `{}.{}` is assigned to, and the rest is masked for you: the server would read it, and \
             could tell of it by failing; assign the whole column, or leave it out",
            relation.0, relation.1
        ))
    }

    /// Why a change may not take what was proposed for a masked column: a target that masks by itself lets nobody read it.
    fn takes_proposed(&self) -> Option<String> {
        self.plan.masks.views.as_ref()?;
        let mut proposed = self.columns.iter().filter_map(|fields| match fields.as_slice() {
            [row, column] if **row == *EXCLUDED => Some(column.as_ref()),
            _ => None,
        });
        let is_hidden = |column: &&str| self.upserts.iter().any(|relation| self.hides(relation, column));
        let column = proposed.find(is_hidden)?;
        Some(format!(
            "`{column}` is masked for you, and the target lets your role write it and not read it: write the value itself in \
             place of `excluded.{column}`"
        ))
    }

    /// Why what the statement reads may not be read by one that writes.
    fn reads(&self) -> Option<String> {
        let stores = |what: &str| {
            Some(format!(
                "{what} is masked for you, and a statement that writes may neither test nor store it: the server would \
                 compare the real value, or keep the mask as data; use columns that are not masked"
            ))
        };
        let covered: Vec<&str> = self
            .relations
            .iter()
            .map(|(alias, _)| alias.as_ref())
            .filter(|alias| self.masked(alias).is_some())
            .collect();
        let is_star = |fields: &&Vec<Box<str>>| matches!(fields.as_slice(), [name] if name.is_empty());
        let stars = self.columns.iter().filter(is_star).count();
        for fields in &self.columns {
            let (last, before) = fields.split_last()?;
            let table = before.last();
            match table {
                Some(table) if last.is_empty() => {
                    if self.masked(table).is_some() {
                        return stores(&format!("a column of `{table}.*`"));
                    }
                }
                Some(table) if last.as_ref() == PLACE && covered.contains(&table.as_ref()) => {
                    return Some(PLACES.to_owned());
                }
                Some(table) => {
                    if self.masked(table).is_some_and(|masked| masked.contains(last)) {
                        return stores(&format!("`{table}.{last}`"));
                    }
                    // `row.column.field`, and `(row).column` of an alias that hides a column.
                    if before.len() == 1 && covered.contains(&last.as_ref()) && !self.is_alias(table) {
                        return stores(&format!("`{last}`"));
                    }
                }
                None if last.is_empty() => {
                    if let Some(alias) = covered.first().filter(|_| stars > self.harmless_stars) {
                        return stores(&format!("a column of `{alias}`, which `*` names,"));
                    }
                }
                None if last.as_ref() == PLACE && !covered.is_empty() => return Some(PLACES.to_owned()),
                None => {
                    let of =
                        covered.iter().find(|alias| self.masked(alias).is_some_and(|masked| masked.contains(last)));
                    if of.is_some() || covered.contains(&last.as_ref()) {
                        return stores(&format!("`{last}`"));
                    }
                }
            }
        }
        None
    }

    /// Whether an item of FROM shows nothing of a relation with masks: what queries inside it name is looked at there.
    fn is_harmless(&self, item: &pg::Node) -> bool {
        match item.node.as_ref() {
            Some(E::RangeSubselect(_) | E::RangeFunction(_)) => true,
            Some(E::RangeVar(relation)) => {
                let is_cte = relation.schemaname.is_empty() && self.ctes.iter().any(|cte| **cte == *relation.relname);
                is_cte || self.plan.treatment(&resolved(self.plan, relation)).is_none()
            }
            Some(E::JoinExpr(join)) => {
                [&join.larg, &join.rarg].into_iter().flatten().all(|side| self.is_harmless(side))
            }
            _ => false,
        }
    }

    fn is_alias(&self, name: &str) -> bool {
        name == EXCLUDED || self.relations.iter().any(|(alias, _)| **alias == *name)
    }

    fn called(&mut self, relation: &pg::RangeVar) {
        let alias = relation.alias.as_ref().map_or(&relation.relname, |alias| &alias.aliasname);
        if relation.alias.as_ref().is_some_and(|alias| !alias.colnames.is_empty()) {
            self.renamed.push(resolved(self.plan, relation));
        }
        self.relations.push((alias.as_str().into(), resolved(self.plan, relation)));
    }
}

impl Visitor for Found<'_> {
    fn change(&mut self, mut change: Change<'_>) -> Walked {
        let Some(relation) = change.target().cloned() else { return visit::refused("a change without its relation") };
        self.called(&relation);
        let relation = resolved(self.plan, &relation);
        // The row before and after the change, under the names that RETURNING gives it.
        let returning = match &change {
            Change::Insert(n) => n.returning_clause.as_ref(),
            Change::Update(n) => n.returning_clause.as_ref(),
            Change::Delete(n) => n.returning_clause.as_ref(),
            Change::Merge(n) => n.returning_clause.as_ref(),
        };
        let mut rows: Vec<Box<str>> = vec!["old".into(), "new".into()];
        for option in returning.map_or(&[] as &[pg::Node], |clause| &clause.options) {
            if let Some(E::ReturningOption(option)) = option.node.as_ref() {
                rows.push(option.value.as_str().into());
            }
        }
        self.relations.extend(rows.into_iter().map(|row| (row, relation.clone())));
        let (mut inserted, mut updated, mut deletes) = (Named::Nothing, Named::Nothing, false);
        let mut parts: Vec<Box<str>> = Vec::new();
        let finds = !matches!(change, Change::Insert(_));
        match change {
            Change::Insert(n) => {
                inserted = names(&n.cols);
                if let Some(conflict) = n.on_conflict_clause.as_ref().filter(|one| !one.target_list.is_empty()) {
                    self.upserts.push(relation.clone());
                    updated = names(&conflict.target_list);
                    parts.extend(assigned_in_part(&conflict.target_list));
                }
            }
            Change::Update(n) => {
                updated = names(&n.target_list);
                parts.extend(assigned_in_part(&n.target_list));
            }
            Change::Delete(_) => deletes = true,
            Change::Merge(n) => {
                for item in &n.merge_when_clauses {
                    let Some(E::MergeWhenClause(when)) = item.node.as_ref() else { continue };
                    match pg::CmdType::try_from(when.command_type) {
                        Ok(pg::CmdType::CmdInsert) => inserted.also(names(&when.target_list)),
                        Ok(pg::CmdType::CmdUpdate) => {
                            updated.also(names(&when.target_list));
                            parts.extend(assigned_in_part(&when.target_list));
                        }
                        Ok(pg::CmdType::CmdDelete) => deletes = true,
                        Ok(pg::CmdType::CmdNothing) => {}
                        _ => return visit::refused("a MERGE that does something unknown"),
                    }
                }
            }
        }
        self.parts.extend(parts.into_iter().map(|column| (relation.clone(), column)));
        self.changes.push(Written { relation, inserted, updated, deletes, finds });
        Ok(())
    }

    fn relation(&mut self, node: &mut pg::Node) -> Walked {
        let Some(E::RangeVar(relation)) = node.node.as_ref() else { return visit::refused("RangeVar") };
        if relation.schemaname.is_empty() && self.ctes.iter().any(|cte| **cte == *relation.relname) {
            return Ok(());
        }
        let relation = relation.clone();
        self.called(&relation);
        Ok(())
    }

    fn opened(&mut self, query: Query<'_>) {
        let Query::Select(select) = query else { return };
        if !select.from_clause.is_empty() && select.from_clause.iter().all(|item| self.is_harmless(item)) {
            self.harmless_stars += select.target_list.iter().filter(|target| is_star(target)).count();
        }
    }

    fn column(&mut self, column: &mut pg::ColumnRef) {
        self.columns.push(column.fields.iter().map(|field| string(field).unwrap_or_default().into()).collect());
    }

    fn selected(&mut self, select: &mut pg::SelectStmt) -> Walked {
        self.into |= select.into_clause.is_some();
        Ok(())
    }

    fn scope(&mut self) -> &mut Vec<Box<str>> {
        &mut self.ctes
    }
}

/// Whether a query shows everything that stands in its FROM.
fn is_star(target: &pg::Node) -> bool {
    let Some(E::ResTarget(target)) = target.node.as_ref() else { return false };
    let Some(E::ColumnRef(column)) = target.val.as_deref().and_then(|value| value.node.as_ref()) else { return false };
    matches!(column.fields.as_slice(), [pg::Node { node: Some(E::AStar(_)) }])
}
