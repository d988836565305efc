//! Who would learn the hash of a chosen value: whoever writes a column that is shown as a keyed hash, leaves it to a known
//! default, or writes one that a view shows as a hash.

use super::rewrite::{parse_one, relation_of, string};
use super::visit::{self, Visitor};
use super::written::Written;
use super::{Plan, Treatment, blind};
use crate::snapshot::{Kind, Name, Relation};
use crate::statement::{Access, Statement};
use lang::program::segment_matches;
use lang::protocol::Operation;
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::{BTreeMap, BTreeSet};

/// By table: the columns that feed a hash of a view, too many rather than too few.
pub(super) type Fed = BTreeMap<u32, BTreeSet<Box<str>>>;

/// Why a relation may not be written so.
///
/// A row that gets its default, or what is computed of other columns, shows a hash of that.
pub(super) fn told(plan: &Plan, relation: &Relation, written: &Written, name: &str) -> Option<String> {
    let sources = |column: &str| -> Vec<&str> {
        let number = relation.column_named(column).map(|column| column.number);
        let from = number.and_then(|number| relation.computed_from.get(&number)).into_iter().flatten();
        from.filter_map(|number| relation.column(*number)).map(|column| column.name.as_ref()).collect()
    };
    let defaults = |column: &str| {
        written.inserts()
            && relation.column_named(column).is_some_and(|column| relation.defaults.contains(&column.number))
    };
    let given = |column: &str| written.inserted.has(column) || written.updated.has(column);
    let names = |column: &str| given(column) || sources(column).into_iter().any(given);
    let fed = plan.fed.get(&relation.oid).into_iter().flatten();
    if let Some(column) = fed.into_iter().find(|column| names(column) || defaults(column)) {
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
    let column = cover.hashed.iter().find(|column| defaults(column))?;
    Some(format!(
        "`{column}` of {name} is shown as a keyed hash, and a row that gets its default would show the hash of a known value; \
         insert with an account of your own"
    ))
}

/// Those of every view whose own masks hash, and the views on which they stand.
pub(super) fn all(plan: &Plan) -> (Fed, BTreeSet<Name>) {
    let (mut fed, mut feeding) = (Fed::new(), BTreeSet::new());
    for (name, relation) in plan.catalog.relations().filter(|(_, relation)| relation.kind == Kind::View) {
        if let Some(Treatment::Covered(cover)) = plan.treatment(name) {
            let mut seen = BTreeSet::new();
            follow(plan, relation.oid, &cover.hashed, &mut fed, &mut seen);
            feeding.extend(seen.into_iter().filter_map(|(view, _)| plan.catalog.name_of(view)).cloned());
        }
    }
    (fed, feeding)
}

/// Why a definition may not change what feeds a hash of a view: what it computes, or the values that are there.
pub(super) fn redefined(plan: &Plan, judged: &Statement) -> Option<String> {
    judged.accesses.iter().find_map(|access| {
        let defines = matches!(access.operation, Operation::DdlCreate | Operation::DdlAlter);
        let name = relation_of(plan, access).filter(|_| defines)?;
        let oid = plan.catalog.relation(&name)?.oid;
        let alters = access.operation == Operation::DdlAlter && plan.fed.contains_key(&oid);
        (alters || plan.feeding.contains(&name)).then(|| {
            format!(
                "a view shows columns of `{}.{}` as keyed hashes, and whoever defines them learns the hash of a chosen value; \
                 do it with an account of your own",
                name.0, name.1
            )
        })
    })
}

/// Why a definition may not make what the policy shows as a keyed hash: a column of a name that it hashes in any table, or a
/// table of a name of which it hashes columns, where these get their names by themselves.
pub(super) fn made(plan: &Plan, tree: &pg::Node, judged: &Statement) -> Option<String> {
    let defines =
        |access: &&Access| matches!(access.operation, Operation::DdlCreate | Operation::DdlAlter | Operation::CreateAs);
    let mut targets = judged.accesses.iter().filter(defines).peekable();
    targets.peek()?;
    let (hashed, tables) = (&plan.masks.hashed_anywhere, &plan.masks.hashed_tables);
    let mut named = None;
    let found = blind::find(tree, &mut |_, text| {
        named = hashed.get(text).cloned();
        named.is_some()
    });
    if found {
        let column = named.unwrap_or_default();
        return Some(format!(
            "`{column}` is shown as a keyed hash in every table that has it, and whoever makes a column of that name learns \
             the hash of a chosen value; use another name"
        ));
    }
    let takes = |name: &Name| {
        plan.catalog.relation(name).is_none()
            && tables.iter().any(|(schema, table)| segment_matches(schema, &name.0) && segment_matches(table, &name.1))
    };
    if spells_columns(tree) {
        return None;
    }
    let name = targets.filter_map(|access| relation_of(plan, access)).find(takes)?;
    Some(format!(
        "the policy shows columns of tables that are called like `{}.{}` as keyed hashes, and whoever makes one learns the \
         hash of a chosen value; use another name, or name its columns one by one",
        name.0, name.1
    ))
}

/// Whether every column that a definition makes stands in its text.
fn spells_columns(tree: &pg::Node) -> bool {
    let spelled = |element: &pg::Node| matches!(element.node, Some(E::ColumnDef(_) | E::Constraint(_)));
    match tree.node.as_ref() {
        Some(E::CreateStmt(table)) => {
            table.inh_relations.is_empty() && table.of_typename.is_none() && table.table_elts.iter().all(spelled)
        }
        _ => false,
    }
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
            for member in plan.catalog.family(base) {
                fed.entry(member).or_default().extend(own.iter().cloned());
            }
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
