//! Who would learn the hash of a chosen value: whoever writes a column that is shown as a keyed hash, leaves it to a known
//! default, or writes one that a view shows as a hash.

use super::rewrite::{parse_one, string};
use super::visit::{self, Visitor};
use super::written::Written;
use super::{Plan, Treatment, blind};
use crate::snapshot::{Kind, Relation};
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::{BTreeMap, BTreeSet};

/// By table: the columns that feed a hash of a view, too many rather than too few.
pub(super) type Fed = BTreeMap<u32, BTreeSet<Box<str>>>;

/// Why a relation may not be written so.
pub(super) fn told(plan: &Plan, relation: &Relation, written: &Written, name: &str) -> Option<String> {
    let names = |column: &str| written.inserted.has(column) || written.updated.has(column);
    if let Some(column) = plan.fed.get(&relation.oid).into_iter().flatten().find(|column| names(column)) {
        return Some(format!(
            "`{column}` of {name} is shown as a keyed hash by a view, and whoever writes it learns the hash of a chosen \
             value; leave it out"
        ));
    }
    let Some(Treatment::Covered(cover)) = plan.treatment(&written.relation) else { return None };
    if let Some(column) = cover.hashed.iter().find(|column| names(column)) {
        return Some(format!(
            "`{column}` of {name} is shown as a keyed hash, and whoever writes it learns the hash of a chosen value; leave it out"
        ));
    }
    let mut columns = relation.columns.iter().filter(|column| cover.hashed.contains(&column.name));
    let column = columns.find(|column| relation.defaults.contains(&column.number)).filter(|_| written.inserts())?;
    Some(format!(
        "`{}` of {name} is shown as a keyed hash, and a row that gets its default would show the hash of a known value; \
         insert with an account of your own",
        column.name
    ))
}

/// Those of every view whose own masks hash.
pub(super) fn all(plan: &Plan) -> Fed {
    let mut fed = Fed::new();
    for (name, relation) in plan.catalog.relations().filter(|(_, relation)| relation.kind == Kind::View) {
        if let Some(Treatment::Covered(cover)) = plan.treatment(name) {
            follow(plan, relation.oid, &cover.hashed, &mut fed, &mut BTreeSet::new());
        }
    }
    fed
}

/// Follows columns of a view down to the tables.
fn follow(plan: &Plan, view: u32, columns: &BTreeSet<Box<str>>, fed: &mut Fed, seen: &mut BTreeSet<(u32, Box<str>)>) {
    let new: BTreeSet<Box<str>> =
        columns.iter().filter(|column| seen.insert((view, (*column).clone()))).cloned().collect();
    if new.is_empty() {
        return;
    }
    let definition = plan.catalog.name_of(view).and_then(|name| plan.catalog.relation(name)?.definition.as_deref());
    let named = definition.and_then(parse_one).and_then(|tree| named(&tree, &new));
    for base in plan.catalog.bases_of(view) {
        let Some(relation) = plan.catalog.name_of(base).and_then(|name| plan.catalog.relation(name)) else { continue };
        let own = relation.columns.iter().map(|column| &column.name);
        let own: BTreeSet<Box<str>> =
            own.filter(|column| named.as_ref().is_none_or(|named| named.contains(*column))).cloned().collect();
        if relation.kind == Kind::View {
            follow(plan, base, &own, fed, seen);
        } else if !own.is_empty() {
            fed.entry(base).or_default().extend(own);
        }
    }
}

/// The names in the expressions of these columns of a query; `None` when they cannot be told.
fn named(tree: &pg::Node, columns: &BTreeSet<Box<str>>) -> Option<BTreeSet<Box<str>>> {
    let Some(E::SelectStmt(select)) = tree.node.as_ref() else { return None };
    let one = select.op == pg::SetOperation::SetopNone as i32 && select.with_clause.is_none();
    if !one || !select.from_clause.iter().all(keeps_names) {
        return None;
    }
    let mut names = BTreeSet::new();
    for target in &select.target_list {
        let Some(E::ResTarget(target)) = target.node.as_ref() else { return None };
        let value = target.val.as_deref()?;
        let path = match value.node.as_ref() {
            Some(E::ColumnRef(column)) => column.fields.last().and_then(string),
            _ => None,
        };
        let shown = if target.name.is_empty() { path? } else { &target.name };
        if columns.contains(shown) {
            let mut found = Mentioned::default();
            visit::node(&mut found, &mut value.clone()).ok()?;
            names.extend(found.columns);
        }
    }
    // A star, or a relation's name for its whole row, stands for every column; a query inside has names of its own.
    let star = blind::find(tree, &mut |field, text| field == blind::NODE && matches!(text, "AStar" | "SubLink"));
    let row = blind::find(tree, &mut |field, text| matches!(field, "relname" | "aliasname") && names.contains(text));
    (!star && !row).then_some(names)
}

/// Whether the columns of an item of FROM are called as in the relations themselves.
fn keeps_names(item: &pg::Node) -> bool {
    let renames = |alias: Option<&pg::Alias>| alias.is_some_and(|alias| !alias.colnames.is_empty());
    match item.node.as_ref() {
        Some(E::RangeVar(relation)) => !renames(relation.alias.as_ref()),
        Some(E::JoinExpr(join)) => {
            let sides = [join.larg.as_deref(), join.rarg.as_deref()];
            !renames(join.alias.as_ref()) && sides.into_iter().flatten().all(keeps_names)
        }
        _ => false,
    }
}

/// The columns that an expression names.
#[derive(Default)]
struct Mentioned {
    columns: BTreeSet<Box<str>>,
    ctes: Vec<Box<str>>,
}

impl Visitor for Mentioned {
    fn column(&mut self, column: &mut pg::ColumnRef) {
        self.columns.extend(column.fields.last().and_then(string).map(Into::into));
    }

    fn scope(&mut self) -> &mut Vec<Box<str>> {
        &mut self.ctes
    }
}
