//! Statements that write, where masks stand: what would make the server tell something of a masked value by comparing
//! it, and what would store a mask as data, is refused with the way out.

use super::named::{Named, assigned_in_part, names};
use super::rewrite::{resolved, string};
use super::unlisted;
use super::visit::{self, Change, Visitor};
use super::{Plan, Treatment};
use crate::refusal::Refusal;
use crate::snapshot::{Evaluated, Kind, Name, Relation};
use crate::statement::Statement;
use crate::walk::Walked;
use lang::protocol::Operation;
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::BTreeSet;

/// Whether a statement changes or makes rows.
pub(super) fn writes(judged: &Statement) -> bool {
    judged.accesses.iter().any(|access| {
        matches!(
            access.operation,
            Operation::Insert
                | Operation::UpdateBounded
                | Operation::UpdateUnbounded
                | Operation::DeleteBounded
                | Operation::DeleteUnbounded
                | Operation::Merge
                | Operation::CopyIn
                | Operation::CreateAs
        )
    }) || matches!(judged.action, crate::statement::Action::Modify)
}

/// Why a statement that writes does not run.
pub(super) fn refused(plan: &Plan, tree: &mut pg::Node, judged: &Statement) -> Option<String> {
    let mut found = Found::new(plan);
    let top = query_of(tree, &mut found);
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
    if found.changes.is_empty() && !found.into && !writes(judged) {
        return None;
    }
    let whole = || found.changes.iter().find_map(|change| target(plan, change));
    let why = whole().or_else(|| found.assigns_parts()).or_else(|| found.reads());
    why.or_else(|| {
        let written =
            found.changes.iter().flat_map(|one| [(&one.relation, &one.inserted), (&one.relation, &one.updated)]);
        unlisted::refused(plan, query_of(tree, &mut Found::new(plan)), written)
    })
}

/// The column of a row's place, which tells in what order rows were written and how long they are.
const PLACE: &str = "ctid";

/// Why it is neither tested nor shown by a statement that writes.
const PLACES: &str = "the places of rows (`ctid`) say something of masked values; name rows by their key";

/// The query inside a statement; `None` for a statement without one. COPY FROM has none, and is found to be an INSERT.
#[expect(clippy::wildcard_enum_match_arm, reason = "the tree's own enum; other statements hold no query that runs")]
fn query_of<'t>(tree: &'t mut pg::Node, found: &mut Found<'_>) -> Option<&'t mut pg::Node> {
    if let Some(E::SelectStmt(_) | E::InsertStmt(_) | E::UpdateStmt(_) | E::DeleteStmt(_) | E::MergeStmt(_)) =
        &tree.node
    {
        return Some(tree);
    }
    match tree.node.as_mut()? {
        E::ExplainStmt(n) => query_of(n.query.as_deref_mut()?, found),
        E::PrepareStmt(n) => query_of(n.query.as_deref_mut()?, found),
        E::DeclareCursorStmt(n) => query_of(n.query.as_deref_mut()?, found),
        E::CreateTableAsStmt(n) => {
            found.into = true;
            n.query.as_deref_mut()
        }
        E::CopyStmt(n) if n.is_from => {
            let relation = n.relation.clone()?;
            let named = (!n.attlist.is_empty()).then(|| n.attlist.iter().filter_map(string).map(Into::into).collect());
            found.changes.push(Written {
                relation: resolved(found.plan, &relation),
                inserted: named.map_or(Named::All, Named::These),
                updated: Named::Nothing,
                deletes: false,
                finds: false,
            });
            None
        }
        E::CopyStmt(n) => query_of(n.query.as_deref_mut()?, found),
        _ => None,
    }
}

/// What one statement writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    relation: Name,
    /// What rows that it makes are given. A row may be made of defaults alone: an insertion names all then.
    inserted: Named,
    /// What it changes in rows that are there.
    updated: Named,
    deletes: bool,
    /// Whether it looks for rows that are there.
    finds: bool,
}

impl Written {
    fn inserts(&self) -> bool {
        !matches!(self.inserted, Named::Nothing)
    }
}

/// Everything that the statement names.
struct Found<'p> {
    plan: &'p Plan,
    /// The fields of each column; a star is an empty text.
    columns: Vec<Vec<Box<str>>>,
    /// What relations are called.
    relations: Vec<(Box<str>, Name)>,
    changes: Vec<Written>,
    /// Columns of rows that are there of which a part is assigned.
    parts: Vec<(Name, Box<str>)>,
    into: bool,
    ctes: Vec<Box<str>>,
}

impl<'p> Found<'p> {
    fn new(plan: &'p Plan) -> Self {
        Self {
            plan,
            columns: Vec::new(),
            relations: Vec::new(),
            changes: Vec::new(),
            parts: Vec::new(),
            into: false,
            ctes: Vec::new(),
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

    /// Why it may not assign to a part of a column: the server takes the rest from the real value.
    fn assigns_parts(&self) -> Option<String> {
        let (relation, column) = self.parts.iter().find(|(relation, column)| {
            matches!(self.plan.treatment(relation), Some(Treatment::Covered(cover)) if cover.masked.contains(column))
        })?;
        Some(format!(
            "a part of `{column}` of `{}.{}` is assigned to, and the rest is masked for you: the server would read it, and \
             could tell of it by failing; assign the whole column, or leave it out",
            relation.0, relation.1
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
                    if let Some(alias) = covered.first() {
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

    fn is_alias(&self, name: &str) -> bool {
        name == "excluded" || self.relations.iter().any(|(alias, _)| **alias == *name)
    }

    fn called(&mut self, relation: &pg::RangeVar) {
        let alias = relation.alias.as_ref().map_or(&relation.relname, |alias| &alias.aliasname);
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

    fn sample(&mut self, node: &mut pg::Node) -> Walked {
        let Some(E::RangeTableSample(sample)) = node.node.as_mut() else { return visit::refused("RangeTableSample") };
        visit::nodes(self, &mut sample.args)?;
        visit::boxed(self, sample.repeatable.as_mut())?;
        visit::boxed(self, sample.relation.as_mut())
    }

    fn subselect(&mut self, _: &mut pg::RangeSubselect) -> Result<bool, Refusal> {
        Ok(true)
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

/// Whether a relation may not be written so, whatever the statement reads.
pub(super) fn refuses(
    plan: &Plan,
    relation: &Name,
    inserts: bool,
    deletes: bool,
    columns: &BTreeSet<Box<str>>,
) -> bool {
    let given = || Named::These(columns.clone());
    let written = Written {
        relation: relation.clone(),
        inserted: if inserts { given() } else { Named::Nothing },
        updated: if inserts || deletes { Named::Nothing } else { given() },
        deletes,
        finds: deletes || !inserts,
    };
    target(plan, &written).is_some()
}

/// Whether any way to write a relation is refused.
pub(super) fn refuses_some(plan: &Plan, relation: &Name) -> bool {
    let written =
        Written { relation: relation.clone(), inserted: Named::All, updated: Named::All, deletes: true, finds: true };
    target(plan, &written).is_some()
}

/// Why a relation may not be written so.
fn target(plan: &Plan, written: &Written) -> Option<String> {
    let name = format!("`{}.{}`", written.relation.0, written.relation.1);
    let relation = plan.catalog.relation(&written.relation)?;
    if relation.rules {
        return Some(format!(
            "{name} has rewrite rules, and the gateway cannot see what they do; this connection has masks"
        ));
    }
    match plan.treatment(&written.relation) {
        Some(Treatment::Closed(why)) => return Some(format!("{name} is closed on this connection: {why}")),
        Some(Treatment::Covered(cover)) => {
            if relation.kind == Kind::View {
                return Some(format!(
                    "{name} is a view over what is masked for you, or is shown by a masking view of the target: it cannot be \
                     written through; write to the table that it shows"
                ));
            }
            if relation.triggers {
                return Some(format!(
                    "{name} has masked columns and triggers, which would see and could repeat the real values; write with an account of your own"
                ));
            }
            if written.finds && cover.access.scattered {
                return Some(format!(
                    "{name} is divided by a masked column, so that the order in which its rows are found tells of it; \
                     change them with an account of your own"
                ));
            }
            let named = |column: &str| written.inserted.has(column) || written.updated.has(column);
            if let Some(column) = cover.hashed.iter().find(|column| named(column)) {
                return Some(format!(
                    "`{column}` of {name} is shown as a keyed hash, and whoever writes it learns the hash of a chosen value; leave it out"
                ));
            }
        }
        // A view over nothing masked: what it writes is a table that the policy may mask after all.
        None if relation.kind == Kind::View => {
            let bases = plan.catalog.bases_of(relation.oid).filter_map(|oid| plan.catalog.name_of(oid));
            for base in bases {
                let through = Written {
                    relation: base.clone(),
                    inserted: Named::All,
                    updated: Named::All,
                    deletes: true,
                    finds: true,
                };
                if let Some(why) = target(plan, &through) {
                    return Some(why);
                }
            }
        }
        None => {}
    }
    beside(plan, relation, written, &mut BTreeSet::new())
}

/// Why the server may not do to a relation, to what inherits from it and to what foreign keys change along with it what
/// the change asks for.
///
/// One relation may be changed in several ways, by several keys or by its own: each is looked at.
fn beside(plan: &Plan, relation: &Relation, written: &Written, seen: &mut BTreeSet<Written>) -> Option<String> {
    if !seen.insert(written.clone()) {
        return None;
    }
    let name = format!("`{}.{}`", written.relation.0, written.relation.1);
    if let Some(why) = evaluated(plan, relation, written, &name) {
        return Some(why);
    }
    let mut others: Vec<Written> = along(plan, relation, written)
        .into_iter()
        .filter_map(|(other, operation)| {
            let deletes = operation == Operation::DeleteBounded;
            let updated = if deletes { Named::Nothing } else { Named::These(keys(plan, &other, relation.oid)?) };
            Some(Written { relation: other, inserted: Named::Nothing, updated, deletes, finds: true })
        })
        .collect();
    let below = plan.catalog.children_of(relation.oid).filter_map(|oid| plan.catalog.name_of(oid));
    others.extend(below.map(|child| Written { relation: child.clone(), ..written.clone() }));
    others.iter().find_map(|other| {
        let found = plan.catalog.relation(&other.relation)?;
        if found.triggers && plan.is_tainted(&other.relation) {
            return Some(format!(
                "this change of {name} makes the server change rows of `{}.{}`, which has masked columns and triggers; \
                 make it with an account of your own",
                other.relation.0, other.relation.1
            ));
        }
        beside(plan, found, other, seen)
    })
}

/// The columns by which a relation refers to another.
fn keys(plan: &Plan, name: &Name, referred: u32) -> Option<BTreeSet<Box<str>>> {
    let relation = plan.catalog.relation(name)?;
    let rules = relation.evaluated.iter().filter(|rule| matches!(rule.refers, Some((table, _)) if table == referred));
    let numbers = rules.flat_map(|rule| rule.columns.iter());
    Some(numbers.filter_map(|number| relation.column(*number)).map(|column| column.name.clone()).collect())
}

/// Constraints and indexes are evaluated on raw values: success and failure tell something of them.
fn evaluated(plan: &Plan, relation: &Relation, written: &Written, name: &str) -> Option<String> {
    let updated: BTreeSet<i16> = relation
        .columns
        .iter()
        .filter(|column| written.updated.has(&column.name))
        .map(|column| column.number)
        .collect();
    let computed = relation.computed_from.iter().map(|(column, from)| Evaluated {
        what: "a generated column",
        columns: from.iter().copied().chain([*column]).collect(),
        refers: None,
        validated: true,
    });
    for rule in relation.evaluated.iter().cloned().chain(computed) {
        let masked: BTreeSet<i16> =
            rule.columns.iter().copied().filter(|column| plan.is_masked(relation.oid, *column)).collect();
        let compares =
            matches!(rule.what, "a unique index or constraint" | "an exclusion constraint" | "a foreign key");
        let refers_to_masked = rule
            .refers
            .as_ref()
            .is_some_and(|(table, columns)| columns.iter().any(|column| plan.is_masked(*table, *column)));
        if masked.is_empty() && !refers_to_masked {
            continue;
        }
        // What rests on the written values alone tells nothing: those of a new row, or all masked ones of a changed row.
        let by_insertion = written.inserts() && compares;
        let evaluates = !rule.columns.is_disjoint(&updated) || !rule.validated && !compares;
        let by_change = written.updated.any() && evaluates && (compares || !masked.is_subset(&updated));
        if by_insertion || by_change {
            return Some(format!(
                "this write would make the server evaluate {} of {name} on masked values, and its outcome would tell of \
                 them; change other columns only, or write with an account of your own",
                rule.what
            ));
        }
    }
    referred(plan, relation, written, &updated, name)
}

/// What foreign keys change along with a change, and how.
fn along(plan: &Plan, relation: &Relation, written: &Written) -> Vec<(Name, Operation)> {
    let refers = |other: &Relation| {
        let rules = other.evaluated.iter().filter_map(|rule| rule.refers.as_ref());
        let named = |columns: &BTreeSet<i16>| {
            columns.iter().filter_map(|number| relation.column(*number)).any(|column| written.updated.has(&column.name))
        };
        rules.filter(|(table, _)| *table == relation.oid).any(|(_, columns)| named(columns))
    };
    let mut along = Vec::new();
    if written.deletes {
        along.extend(plan.catalog.changed_along(relation.oid, Operation::DeleteBounded));
    }
    along.extend(plan.catalog.changed_along(relation.oid, Operation::UpdateBounded).into_iter().filter(
        |(other, _)| plan.catalog.name_of(*other).and_then(|name| plan.catalog.relation(name)).is_some_and(refers),
    ));
    let named = |(other, operation)| plan.catalog.name_of(other).map(|name| (name.clone(), operation));
    along.into_iter().filter_map(named).collect()
}

/// A relation whose rows a foreign key writes anew along with this change, found in an order of masked values.
fn moved_along(plan: &Plan, relation: &Relation, written: &Written) -> Option<Name> {
    let anew =
        along(plan, relation, written).into_iter().filter(|(_, operation)| *operation == Operation::UpdateBounded);
    anew.map(|(name, _)| name)
        .find(|name| matches!(plan.treatment(name), Some(Treatment::Covered(cover)) if cover.access.is_ordered()))
}

/// A deletion, or a change of a key, that a foreign key of another table judges by masked values.
fn referred(
    plan: &Plan,
    relation: &Relation,
    written: &Written,
    numbers: &BTreeSet<i16>,
    name: &str,
) -> Option<String> {
    if let Some(other) = moved_along(plan, relation, written) {
        return Some(format!(
            "this change makes the server change rows of `{}.{}` in the order of masked values; make it with an account \
             of your own",
            other.0, other.1
        ));
    }
    for (other, with) in plan.catalog.relations() {
        for rule in &with.evaluated {
            let Some((table, columns)) = &rule.refers else { continue };
            if *table != relation.oid {
                continue;
            }
            let masked = rule.columns.iter().any(|column| plan.is_masked(with.oid, *column))
                || columns.iter().any(|column| plan.is_masked(*table, *column));
            let touched = written.deletes || !columns.is_disjoint(numbers);
            if masked && touched {
                return Some(format!(
                    "the foreign key of `{}.{}` refers to {name} by masked values, so that the outcome of this change \
                     would tell of them; make it with an account of your own",
                    other.0, other.1
                ));
            }
        }
    }
    None
}
