//! What the server runs by itself when a statement writes: triggers, constraints, defaults, indexes and checks of types
//! that call a routine of the database. Such a routine may read what is masked, and store it or tell of it by failing.
//!
//! A routine is let through when its text can be shown to name nothing masked and to call nothing unknown.

use super::{Plan, blind, rewrite, written};
use crate::harmless::HARMLESS;
use crate::routines::is_sensitive_name;
use crate::snapshot::body::Body;
use crate::snapshot::{Catalog, DEFERRED, Kind, Name, Relation, TRIGGER, TYPE};
use crate::statement::{Access, ObjectKind, Statement};
use lang::protocol::Operation;
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::{BTreeMap, BTreeSet};

/// What runs a routine that may read what is masked.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Effects {
    /// By relation: what runs when its rows are written.
    written: BTreeMap<u32, BTreeSet<&'static str>>,
    /// Whether an event trigger runs one.
    defined: bool,
    /// Types whose values are checked by one: their names, and their OIDs.
    pub(super) types: BTreeSet<Box<str>>,
    type_oids: BTreeSet<u32>,
    /// Relations of which a mere reading may make a value of such a type.
    read: BTreeSet<u32>,
    /// Relations of which an index or statistics compute, or count by, masked columns.
    analysed: BTreeSet<u32>,
}

/// Words that apply an operator without its name.
const COMPARES: &[(&str, &str)] = &[
    ("between", "<"),
    ("between", "<="),
    ("between", ">"),
    ("between", ">="),
    ("case", "="),
    ("in", "<>"),
    ("in", "="),
    ("natural", "="),
    ("using", "="),
];

/// What runs along with a change when a relation has rewrite rules: the server's own statements are rewritten too.
const RULE: &str = "a rewrite rule";

/// Built-ins that run in routines and change nothing but a sequence: harmless where none gives a masked column its numbers.
const SEQUENCES: &[&str] = &["currval", "lastval", "nextval", "setval"];

/// A routine that takes the name of a type as text.
const CHECKS_TEXT: &[&str] = &["pg_input_is_valid", "pg_input_error_info"];

impl Effects {
    /// Reads a catalog under a plan whose treatments are known.
    pub(super) fn new(plan: &Plan) -> Self {
        let catalog = &*plan.catalog;
        let told = Told::new(plan);
        let mut effects = Self { analysed: analysed(plan), ..Self::default() };
        for (name, checked) in &catalog.checked {
            for one in checked.iter().filter(|one| !told.keeps_quiet(catalog.body_of(one.routine))) {
                effects.types.insert(name.clone());
                effects.type_oids.insert(one.oid);
            }
        }
        let by_routine = |oid: u32| catalog.compared_by(oid).any(|body| !told.keeps_quiet(body));
        let compared = catalog.relations().map(|(_, relation)| relation.oid).filter(|oid| by_routine(*oid)).collect();
        for (_, relation) in catalog.relations() {
            for (what, body) in catalog.runs_on_write(relation.oid) {
                if what == DEFERRED || !told.keeps_quiet(body) {
                    effects.written.entry(relation.oid).or_default().insert(what);
                }
            }
        }
        effects.defined = catalog.runs_on_definition().any(|body| !told.keeps_quiet(body));
        effects.read = effects.makes_checked(catalog, compared);
        effects
    }

    /// Beside those whose rows the server compares by somebody's routine, by an index or to find a part: relations with a
    /// column of a checked type, of which a statement can make a value without its name; those whose query or row policies name
    /// one; and what reads any of them.
    fn makes_checked(&self, catalog: &Catalog, mut read: BTreeSet<u32>) -> BTreeSet<u32> {
        let itself = |relation: &Relation| {
            self.written.get(&relation.oid).is_some_and(|what| what.contains(TYPE))
                || catalog.types_named_by(relation.oid).any(|oid| self.type_oids.contains(&oid))
        };
        let found = catalog.relations().map(|(_, relation)| relation);
        if !self.type_oids.is_empty() {
            read.extend(found.filter(|one| itself(one)).map(|one| one.oid));
        }
        while !read.is_empty() {
            let reads = |relation: &Relation| {
                let policies = relation.policy_reads.iter().filter_map(|(table, _)| *table);
                let bases = catalog.bases_of(relation.oid).filter(|_| relation.definition.is_some());
                bases.chain(policies).any(|oid| read.contains(&oid))
            };
            let found = catalog.relations().map(|(_, relation)| relation);
            let more: Vec<u32> =
                found.filter(|one| !read.contains(&one.oid) && reads(one)).map(|one| one.oid).collect();
            if more.is_empty() {
                break;
            }
            read.extend(more);
        }
        read
    }

    /// Whether making a value of the type may run a routine that reads what is masked.
    pub(super) fn checks(&self, oid: u32) -> bool {
        self.type_oids.contains(&oid)
    }

    /// What runs when rows of a relation are written, or only removed.
    fn of(&self, oid: u32, only_removed: bool) -> Option<&'static str> {
        self.written.get(&oid)?.iter().copied().find(|what| !only_removed || [TRIGGER, DEFERRED].contains(what))
    }
}

/// The names that a routine must not have in its text.
struct Told<'p> {
    plan: &'p Plan,
    catalog: &'p Catalog,
    forbidden: BTreeSet<&'p str>,
    permitted: BTreeSet<&'p str>,
    /// Relations that are shown as they are, by their own name.
    tables: BTreeMap<&'p str, Vec<&'p Name>>,
    /// Types whose checks run somebody's routine.
    checked: BTreeSet<u32>,
}

impl<'p> Told<'p> {
    fn new(plan: &'p Plan) -> Self {
        let catalog = &*plan.catalog;
        let (mut forbidden, mut permitted) = (BTreeSet::new(), BTreeSet::new());
        let mut tables: BTreeMap<&str, Vec<&Name>> = BTreeMap::new();
        for (name, relation) in catalog.relations() {
            let shown = plan.is_plain(name) && !plan.is_tainted(name);
            // What a foreign table or a view reads is not in the text.
            let own = matches!(relation.kind, Kind::Table | Kind::Partitioned | Kind::Sequence);
            if shown && own {
                tables.entry(&name.1).or_default().push(name);
            } else {
                forbidden.insert(name.1.as_ref());
            }
        }
        for routine in &catalog.routines {
            let names = if routine.listed { &mut permitted } else { &mut forbidden };
            names.insert(routine.name.as_ref());
        }
        forbidden.extend(catalog.operators.iter().chain(&catalog.types).map(AsRef::as_ref));
        forbidden.extend(catalog.checked.keys().map(AsRef::as_ref));
        forbidden.extend(COMPARES.iter().filter(|(_, by)| catalog.operators.contains(*by)).map(|(word, _)| *word));
        let checked = catalog.checked.values().flatten().map(|one| one.oid).collect();
        Self { plan, catalog, forbidden, permitted, tables, checked }
    }

    /// Whether a routine reads nothing that is masked, as far as its text says.
    fn keeps_quiet(&self, body: &Body) -> bool {
        let own = |word: &str| word.starts_with("pg_") || word.starts_with("leasehold");
        !self.catalog.casts_everywhere
            && body.keeps_to(
                |word| {
                    self.forbidden.contains(word)
                        || is_sensitive_name(word)
                        || own(word) && !is_harmless(word)
                        || self.plan.serials && SEQUENCES.contains(&word)
                        || self.tables.get(word).is_some_and(|tables| tables.iter().any(|table| self.is_loud(table)))
                },
                |word| {
                    self.permitted.contains(word)
                        || self.tables.contains_key(word)
                        || SEQUENCES.contains(&word)
                        || is_harmless(word)
                },
            )
    }

    /// Whether a statement of a routine on this relation would run another routine, or have an outcome that tells of
    /// masked values.
    fn is_loud(&self, name: &Name) -> bool {
        let Some(relation) = self.catalog.relation(name) else { return true };
        let runs = |oid: u32| {
            let Some(one) = self.catalog.name_of(oid).and_then(|name| self.catalog.relation(name)) else {
                return Some(());
            };
            // Row policies are tested whatever the statement is; those of other tables make values of types too.
            let policies = one.row_security
                && (self.catalog.types_named_by(oid).any(|named| self.checked.contains(&named))
                    || one.policy_reads.iter().any(|(table, _)| *table != Some(oid)));
            let runs = one.rules || policies || self.catalog.casts(oid);
            (runs || self.catalog.runs_on_write(oid).next().is_some()).then_some(())
        };
        let changes = [Operation::Insert, Operation::UpdateBounded, Operation::DeleteBounded];
        changes.into_iter().any(|change| reached(self.catalog, relation.oid, change, |oid, _, _| runs(oid)).is_some())
            || written::refuses_some(self.plan, name)
    }
}

fn is_harmless(name: &str) -> bool {
    HARMLESS.binary_search(&name).is_ok()
}

/// Why a statement does not run: what the server would run by itself may read what is masked.
pub(super) fn refused(plan: &Plan, tree: &pg::Node, judged: &Statement) -> Option<String> {
    if let Some(why) = defines(plan, tree) {
        return Some(format!("{why}; this connection has masks: do it with an account of your own"));
    }
    if let Some(why) = moves(plan, tree) {
        return Some(why);
    }
    if plan.effects.defined && judged.accesses.iter().any(|access| is_event(access.operation)) {
        return Some(
            "an event trigger runs a routine of the database when something is defined, and the gateway cannot see what \
             it reads; this connection has masks: do it with an account of your own"
                .to_owned(),
        );
    }
    let checks_text = |field: &str, text: &str| field == "sval" && CHECKS_TEXT.contains(&text);
    if !plan.effects.types.is_empty() && blind::find(tree, &mut { checks_text }) {
        return Some(
            "the checks of this database's types run routines, and the gateway cannot see what they read; this \
             connection has masks"
                .to_owned(),
        );
    }
    judged.accesses.iter().find_map(|access| {
        let read = read(plan, access).or_else(|| analyses(plan, access));
        read.or_else(|| unnamed(plan, access)).or_else(|| written(plan, access))
    })
}

/// Whether an operation on a relation makes no value and runs nothing.
fn makes_nothing(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Show | Operation::Lock | Operation::DdlDrop | Operation::DclGrant | Operation::DclRevoke
    )
}

/// Whether event triggers may run for an operation.
fn is_event(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::DdlCreate
            | Operation::DdlAlter
            | Operation::DdlDrop
            | Operation::CreateAs
            | Operation::DclGrant
            | Operation::DclRevoke
            | Operation::DclRole
            | Operation::Reindex
            | Operation::Refresh
    )
}

/// A relation that a statement touches.
fn relation_of<'p>(plan: &'p Plan, access: &Access) -> Option<(&'p Name, &'p Relation)> {
    let relation = plan.catalog.relation(&rewrite::relation_of(plan, access)?)?;
    Some((plan.catalog.name_of(relation.oid)?, relation))
}

/// Why a relation is not even read: the server would make a value of a type whose checks run a routine.
fn read(plan: &Plan, access: &Access) -> Option<String> {
    if makes_nothing(access.operation) {
        return None;
    }
    let (name, relation) = relation_of(plan, access)?;
    plan.effects.read.contains(&relation.oid).then(|| {
        format!(
            "`{}.{}` has, or makes, values of a type whose checks run a routine of the database, and the gateway cannot \
             see what it reads; this connection has masks",
            name.0, name.1
        )
    })
}

/// Relations of which ANALYZE, VACUUM and REINDEX compute, or count by, masked columns.
fn analysed(plan: &Plan) -> BTreeSet<u32> {
    let tells = |relation: &&Relation| relation.analysed.iter().any(|column| plan.is_masked(relation.oid, *column));
    plan.catalog.relations().map(|(_, relation)| relation).filter(tells).map(|relation| relation.oid).collect()
}

/// Why a statement does not run that would compute expressions over masked columns, and fail by them, or count the rows
/// of a condition on them, which everybody may read in `pg_class`.
fn analyses(plan: &Plan, access: &Access) -> Option<String> {
    let (effects, catalog) = (&plan.effects, &plan.catalog);
    if effects.analysed.is_empty()
        || !matches!(access.operation, Operation::Vacuum | Operation::Analyze | Operation::Reindex)
    {
        return None;
    }
    let oid = match access.object.as_ref() {
        // One that the catalog does not know is a temporary one.
        Some(object) if object.kind == ObjectKind::Relation => Some(relation_of(plan, access)?.1.oid),
        Some(_) | None => table_of(plan, access),
    };
    let tells = |oid: u32| catalog.family(oid).iter().any(|member| effects.analysed.contains(member));
    oid.is_none_or(tells).then(|| {
        "an index or statistics on an expression or condition rest on masked columns, and this would compute and count \
         them; name other tables, or run it with an account of your own"
            .to_owned()
    })
}

/// The table of the index that a statement names.
fn table_of(plan: &Plan, access: &Access) -> Option<u32> {
    let index = access.object.as_ref().filter(|object| object.kind == ObjectKind::Index)?;
    plan.catalog.table_of(&(index.schema.clone().unwrap_or_default(), index.name.clone()))
}

/// Why a statement does not run that makes the server visit relations which it does not name.
fn unnamed(plan: &Plan, access: &Access) -> Option<String> {
    let visits = matches!(
        access.operation,
        Operation::Vacuum | Operation::Analyze | Operation::Reindex | Operation::Truncate | Operation::Refresh
    );
    if !visits || plan.effects.written.is_empty() {
        return None;
    }
    match (access.object.as_ref(), table_of(plan, access)) {
        (Some(object), _) if object.kind == ObjectKind::Relation => None,
        (_, Some(table)) => loud(plan, table, access.operation).map(|(what, of)| runs(what, &of)),
        // What CASCADE reaches is found by the names of the statement.
        _ if access.operation == Operation::Truncate => None,
        _ => Some(
            "this statement makes the server run routines of relations that it does not name, and the gateway cannot \
             see what they read; name the relations; this connection has masks"
                .to_owned(),
        ),
    }
}

fn runs(what: &str, of: &Name) -> String {
    format!(
        "{what} of `{}.{}` runs a routine of the database when rows are written, and the gateway cannot see what it \
         reads; this connection has masks",
        of.0, of.1
    )
}

/// Why a schema keeps its name: the policy names what is masked by it.
fn moves(plan: &Plan, tree: &pg::Node) -> Option<String> {
    let masks = |schema: &str| plan.treatments.keys().chain(&plan.tainted).any(|name| *name.0 == *schema);
    let moved = match tree.node.as_ref() {
        Some(E::RenameStmt(n)) if n.rename_type == pg::ObjectType::ObjectSchema as i32 => masks(&n.subname),
        // Which relations an extension brought is not known.
        Some(E::AlterObjectSchemaStmt(n)) => n.object_type == pg::ObjectType::ObjectExtension as i32,
        _ => false,
    };
    moved.then(|| {
        "the policy names masked columns by their schema, and they would have another one; change it together with the \
         policy, with an account of your own"
            .to_owned()
    })
}

/// What a definition would open or test that the masks do not reach.
fn defines(plan: &Plan, tree: &pg::Node) -> Option<&'static str> {
    match tree.node.as_ref() {
        Some(E::AlterDomainStmt(alter)) if alter.subtype == "T" && plan.hashes() => {
            Some("a column that is shown as a keyed hash would show that of a chosen value")
        }
        Some(E::AlterDomainStmt(alter)) if !matches!(alter.subtype.as_str(), "T" | "N" | "X") => {
            Some("the server would test every column of this type, masked ones included")
        }
        Some(E::AlterTableStmt(alter)) if alter.objtype == pg::ObjectType::ObjectType as i32 => {
            Some("the server would convert every column of this type, masked ones included")
        }
        Some(
            E::CreateForeignServerStmt(_)
            | E::AlterForeignServerStmt(_)
            | E::CreateUserMappingStmt(_)
            | E::AlterUserMappingStmt(_)
            | E::CreateForeignTableStmt(_)
            | E::ImportForeignSchemaStmt(_),
        ) => Some("a foreign table could read this database past the masks"),
        Some(E::AlterExtensionContentsStmt(_)) => Some("a routine of an extension counts as one that is known"),
        Some(E::CreateEventTrigStmt(_)) => Some("an event trigger would run for other sessions"),
        _ => None,
    }
}

fn written(plan: &Plan, access: &Access) -> Option<String> {
    let operation = access.operation;
    if makes_nothing(operation) || matches!(operation, Operation::Select | Operation::Explain | Operation::CopyOut) {
        return None;
    }
    let (_, relation) = relation_of(plan, access)?;
    loud(plan, relation.oid, operation).map(|(what, of)| runs(what, &of))
}

/// What runs a routine when an operation changes a relation: of itself, of what is below a view, inherits from it, or is
/// changed along with it.
pub(super) fn loud(plan: &Plan, oid: u32, operation: Operation) -> Option<(&'static str, Name)> {
    let catalog = &plan.catalog;
    reached(catalog, oid, operation, |next, operation, along| {
        let only_removed =
            matches!(operation, Operation::DeleteBounded | Operation::DeleteUnbounded | Operation::Truncate);
        let name = catalog.name_of(next).cloned().unwrap_or_default();
        let ruled = along && operation != Operation::Truncate && catalog.relation(&name).is_some_and(|one| one.rules);
        plan.effects.of(next, only_removed).or(ruled.then_some(RULE)).map(|what| (what, name))
    })
}

/// What is found at a relation, or at one that an operation on it changes too; `find` is told whether the server makes
/// that change by a statement of its own. The same relation may be changed in several ways.
fn reached<T>(
    catalog: &Catalog,
    oid: u32,
    operation: Operation,
    find: impl Fn(u32, Operation, bool) -> Option<T>,
) -> Option<T> {
    let (mut seen, mut pending) = (BTreeSet::from([(oid, operation, false)]), vec![(oid, operation, false)]);
    while let Some((next, operation, along)) = pending.pop() {
        if let Some(found) = find(next, operation, along) {
            return Some(found);
        }
        let view =
            catalog.name_of(next).and_then(|name| catalog.relation(name)).is_some_and(|one| one.kind == Kind::View);
        let same = catalog.bases_of(next).filter(|_| view).chain(catalog.children_of(next));
        let same = same.map(|other| (other, operation, along)).collect::<Vec<_>>();
        let along =
            catalog.changed_along(next, operation).into_iter().map(|(other, operation)| (other, operation, true));
        for other in along.chain(same) {
            if seen.insert(other) {
                pending.push(other);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::tests::on_a_large_stack;
    use super::super::{Masks, Outcome, RelationMasks};
    use super::*;
    use crate::session::SessionFacts;
    use crate::snapshot::Builder;
    use lang::program::rules::MaskAs;
    use std::sync::Arc;

    /// A table `people` with a mask on `email`, tables `plain` and `loud`, and what a test adds.
    fn plan(rows: &[&[&str]]) -> Plan {
        let mut builder = Builder::default();
        let mut row = |values: &[&str]| {
            let values: Vec<Option<&str>> = values.iter().map(|value| (!value.is_empty()).then_some(*value)).collect();
            builder.row(&values).unwrap();
        };
        for (oid, name) in [("1", "people"), ("2", "plain"), ("3", "loud")] {
            row(&["relation", oid, "public", name, "r", "f", "f", "f", "f", "f", ""]);
            row(&["column", oid, "1", "id", "bigint", "f", "f", "t"]);
            row(&["column", oid, "2", "email", "text", "t", "f", "t"]);
        }
        row(&["indexed", "public", "plain_index", "2"]);
        row(&["indexed", "public", "loud_index", "3"]);
        for values in rows {
            row(values);
        }
        let columns = [("email".into(), MaskAs::Nullify)].into_iter().collect();
        let laid = RelationMasks { columns, ..RelationMasks::default() };
        let relations = [(("public".into(), "people".into()), laid)].into_iter().collect();
        Plan::new(Arc::new(builder.build()), Masks { relations, ..Masks::default() }, SessionFacts::pinned(15))
    }

    fn is_refused(plan: &Plan, sql: &str) -> bool {
        let mut judged = crate::read(sql, plan.facts()).unwrap();
        let covered = plan.cover(sql, &mut judged).unwrap();
        covered.outcomes.iter().any(|outcome| matches!(outcome, Outcome::Refused(_)))
    }

    #[test]
    fn relations_that_a_statement_does_not_name_are_not_visited() {
        on_a_large_stack(|| {
            let written: &[&str] = &["written", "3", "index", "9"];
            let loud = plan(&[written]);
            let quiet = plan(&[written, &["body", "9", "sql", "select 1"]]);
            let clean = plan(&[]);
            for sql in [
                "analyze",
                "vacuum full",
                "vacuum",
                "cluster",
                "reindex schema public",
                "reindex database d",
                "reindex index loud_index",
                "reindex index unknown_index",
                "reindex table loud",
            ] {
                assert!(is_refused(&loud, sql), "{sql}");
                assert!(!is_refused(&clean, sql) && !is_refused(&quiet, sql), "{sql}");
            }
            for sql in ["analyze plain", "vacuum full plain", "reindex index plain_index", "truncate plain cascade"] {
                assert!(!is_refused(&loud, sql), "{sql}");
            }
        });
    }

    #[test]
    fn nothing_is_defined_where_an_event_trigger_could_read_what_is_masked() {
        on_a_large_stack(|| {
            let event: &[&str] = &["written", "0", "event", "9"];
            let loud = plan(&[event, &["body", "9", "plpgsql", "begin perform from people; end"]]);
            let quiet = plan(&[event, &["body", "9", "plpgsql", "begin insert into plain values (1); end"]]);
            for sql in
                ["create table t (a integer)", "create temp table t as select 1", "select 1 into t", "drop table plain"]
            {
                assert!(is_refused(&loud, sql), "{sql}");
                assert!(!is_refused(&quiet, sql), "{sql}");
            }
            for sql in ["select id from plain", "insert into plain values (1)", "truncate plain"] {
                assert!(!is_refused(&loud, sql), "{sql}");
            }
        });
    }

    #[test]
    fn what_compares_without_an_operators_name_is_refused_where_it_is_the_databases_own() {
        on_a_large_stack(|| {
            let clean = plan(&[]);
            for (operator, sql) in [
                (">=", "select 1 from plain where id between 1 and 2"),
                ("<=", "select 1 from plain where id between symmetric 1 and 2"),
                (">", "select 1 from plain where id not between 1 and 2"),
                ("=", "select case id when 1 then 2 end from plain"),
                ("=", "select 1 from plain join loud using (id)"),
                ("=", "select 1 from plain natural join loud"),
                ("=", "select 1 from plain where id in (select id from loud)"),
                ("=", "select 1 from plain where id in (1, 2)"),
                ("=", "select nullif(id, 1) from plain"),
                ("=", "select 1 from plain where id is distinct from 1"),
            ] {
                assert!(is_refused(&plan(&[&["operator", operator]]), sql), "{operator}: {sql}");
                assert!(!is_refused(&plan(&[&["operator", "@@@"]]), sql) && !is_refused(&clean, sql), "{sql}");
            }
        });
    }

    #[test]
    fn a_routine_is_quiet_when_what_it_names_is() {
        on_a_large_stack(|| {
            let written: &[&str] = &["written", "2", "trigger", "9"];
            for (quiet, body, more) in [
                (true, "begin new.id := 1; return new; end", &[] as &[&[&str]]),
                (true, "begin insert into loud values (1); return new; end", &[]),
                (false, "begin insert into loud values (1); return new; end", &[&["written", "3", "default", "8"]]),
                (false, "begin insert into loud values (1); return new; end", &[&["cast", "3"]]),
                (
                    false,
                    "begin insert into loud values (1); return new; end",
                    &[&["constraint", "f", "3", "2", "1", "2", "t"]],
                ),
                (false, "begin insert into people values (1); return new; end", &[]),
                (false, "begin new.email := (new).ts_stat; return new; end", &[]),
                (false, "begin set search_path to hr; return new; end", &[]),
                (true, "begin new.id := case new.id when 1 then 2 end; return new; end", &[]),
                (false, "begin new.id := case new.id when 1 then 2 end; return new; end", &[&["operator", "="]]),
            ] {
                let source: &[&str] = &["body", "9", "plpgsql", body];
                let rows: Vec<&[&str]> = [written, source].into_iter().chain(more.iter().copied()).collect();
                assert_eq!(!is_refused(&plan(&rows), "insert into plain values (1)"), quiet, "{body} {more:?}");
            }
        });
    }
}
