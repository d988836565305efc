//! What a statement reaches without naming it: the relations below a view, children and partitions, tables that a
//! foreign key changes along, routines that a view runs, rewrite rules.
//!
//! A name in a statement says where the server begins; [`Reach::beyond`] says where it ends, as far as a catalog snapshot
//! shows. It decides nothing about permission. What triggers do stays unseen.

mod rules;

use crate::made::Made;
use crate::session::SessionFacts;
use crate::snapshot::{Catalog, Kind, Name, Relation, TEMPORARY};
use crate::statement::{ObjectClass, ObjectKind};
use lang::protocol::Operation;
use rules::Act;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Relations that one statement may reach before it counts as reaching all of them.
const REACHED_MAX: usize = 10_000;

/// Everything: what a rewrite rule or an unreadable view may reach.
const EVERYTHING: (&str, &str) = ("", "");

/// One operation on one object that a statement does not name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// The operation.
    pub operation: Operation,
    /// Schema and name of the object; both are empty when it may be any.
    pub name: Name,
    /// Whether whoever may use the named relation may use this by that alone: a partition of a partitioned table, the
    /// parent of a child, a table that a foreign key changes along.
    pub belongs: bool,
}

/// What the query of a view touches.
#[derive(Clone, Debug)]
struct Below {
    relation: bool,
    name: Name,
}

/// A target's catalog, as what names in statements lead to.
#[derive(Debug)]
pub struct Reach {
    catalog: Arc<Catalog>,
    facts: SessionFacts,
    views: BTreeMap<Name, Vec<Below>>,
    /// What the rewrite rules of a relation do, by its number.
    rules: BTreeMap<u32, Vec<Act>>,
}

impl Reach {
    /// Reads every view's query. Needs a stack as [`crate::judge`] does.
    pub fn new(catalog: Arc<Catalog>, facts: SessionFacts) -> Self {
        Self::after(None, catalog, facts)
    }

    /// The same; of an earlier catalog it keeps what views touch that would be read in the same way again.
    pub fn after(before: Option<&Self>, catalog: Arc<Catalog>, mut facts: SessionFacts) -> Self {
        facts.overloads = catalog.overloads(&facts.default_schema);
        facts.row_routines = catalog.row_routines(&facts.default_schema);
        facts.operators.clone_from(&catalog.volatile_operators);
        facts.types.clone_from(&catalog.volatile_types);
        facts.domains = catalog.volatile_when_made.values().cloned().collect();
        let before = before.filter(|before| {
            let read_under = SessionFacts { made: facts.made.clone(), ..before.facts.clone() };
            read_under == facts && before.catalog.routines == catalog.routines
        });
        let mut views = BTreeMap::new();
        let mut rules = BTreeMap::new();
        for (name, relation) in catalog.relations() {
            if relation.rules {
                let oid = relation.oid;
                let kept = before.filter(|before| before.catalog.rules.get(&oid) == catalog.rules.get(&oid));
                let kept = kept.and_then(|before| before.rules.get(&oid).cloned());
                rules.insert(oid, kept.unwrap_or_else(|| rules::acts(&catalog, oid, &facts)));
            }
            if matches!(relation.kind, Kind::View | Kind::Materialised) {
                let kept = before.and_then(|before| before.read_before(name, relation));
                views.insert(name.clone(), kept.unwrap_or_else(|| below(&catalog, relation, &facts)));
            }
        }
        // How views are made decides which rows a statement leaves out, not what a view or a rule touches.
        facts.made = Made::of(&catalog);
        Self { catalog, facts, views, rules }
    }

    /// What a view of this name and query touched in this catalog.
    fn read_before(&self, name: &Name, relation: &Relation) -> Option<Vec<Below>> {
        self.catalog.relation(name).filter(|before| before.definition == relation.definition)?;
        self.views.get(name).cloned()
    }

    /// The catalog that it rests on.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The session's facts, with what the catalog adds to them.
    pub fn facts(&self) -> &SessionFacts {
        &self.facts
    }

    /// What an operation on a named relation reaches.
    pub fn beyond(&self, operation: Operation, schema: &str, name: &str) -> Vec<Beyond> {
        let mut out = Vec::new();
        if !concerns_rows(operation) && !is_definition(operation) {
            return out;
        }
        let Some(root) = self.resolve(schema, name) else {
            if is_definition(operation) {
                self.of_index(&(schema.into(), name.into()), &mut out);
            }
            return out;
        };
        if let Some(relation) = self.catalog.relation(&root) {
            if operation == Operation::DdlCreate {
                // CREATE OR REPLACE VIEW, or a rule or trigger of a view.
                if relation.kind == Kind::View {
                    out.push(Beyond { operation: Operation::DdlAlter, name: root, belongs: true });
                }
                return out;
            }
            self.above(operation, relation, &mut out);
        }
        if !concerns_rows(operation) {
            return out;
        }
        let mut seen = BTreeSet::from([(operation, root.clone())]);
        let mut pending = vec![(root, operation, false)];
        while let Some((name, operation, belongs)) = pending.pop() {
            if out.len() > REACHED_MAX {
                out.push(Beyond { operation, name: owned(EVERYTHING), belongs: false });
                return out;
            }
            let first = out.len();
            self.near(operation, &name, belongs, &mut out);
            for found in out.get(first..).unwrap_or_default() {
                if found.operation != Operation::Call && seen.insert((found.operation, found.name.clone())) {
                    pending.push((found.name.clone(), found.operation, found.belongs));
                }
            }
        }
        out
    }

    /// Whether a change of this relation may set parameters of the session: it stands over `pg_settings`.
    pub fn holds_settings(&self, schema: &str, name: &str) -> bool {
        let below = self.beyond(Operation::Select, schema, name);
        below.iter().any(|found| found.name.1.as_ref() == "pg_settings")
    }

    fn resolve(&self, schema: &str, name: &str) -> Option<Name> {
        let own: Name = (schema.into(), name.into());
        let temporary: Name = (TEMPORARY.into(), name.into());
        [own, temporary].into_iter().find(|name| {
            self.catalog.relation(name).is_some()
                && (name.0.as_ref() != TEMPORARY || schema == TEMPORARY || schema == self.facts.default_schema.as_ref())
        })
    }

    /// An index is a part of its table: what is defined of it is defined of the table.
    fn of_index(&self, index: &Name, out: &mut Vec<Beyond>) {
        let table = self.catalog.table_of(index).and_then(|oid| self.catalog.name_of(oid));
        let Some((table, relation)) = table.and_then(|name| Some((name, self.catalog.relation(name)?))) else { return };
        out.push(Beyond { operation: Operation::DdlAlter, name: table.clone(), belongs: true });
        self.above(Operation::DdlAlter, relation, out);
    }

    /// Parents, however far: what happens to a part happens to them.
    fn above(&self, operation: Operation, relation: &Relation, out: &mut Vec<Beyond>) {
        let mut seen = BTreeSet::from([relation.oid]);
        let mut pending = vec![relation.oid];
        while let Some(oid) = pending.pop() {
            for parent in self.catalog.parents_of(oid) {
                if seen.insert(parent)
                    && let Some(name) = self.catalog.name_of(parent)
                {
                    out.push(Beyond { operation, name: name.clone(), belongs: true });
                    pending.push(parent);
                }
            }
        }
    }

    /// What one relation leads to at once.
    fn near(&self, operation: Operation, name: &Name, belongs: bool, out: &mut Vec<Beyond>) {
        let Some(relation) = self.catalog.relation(name) else { return };
        for act in self.rules.get(&relation.oid).into_iter().flatten() {
            if let Some(operation) = act.on(operation) {
                out.push(Beyond { operation, name: act.name.clone(), belongs: false });
            }
        }
        match relation.kind {
            Kind::View | Kind::Materialised => {
                let runs = relation.kind == Kind::View || operation == Operation::Refresh;
                let operation = if operation == Operation::Refresh { Operation::Select } else { operation };
                for below in self.views.get(name).into_iter().flatten().filter(|below| below.relation || runs) {
                    let operation = if below.relation { operation } else { Operation::Call };
                    out.push(Beyond { operation, name: below.name.clone(), belongs });
                }
            }
            Kind::Table | Kind::Partitioned | Kind::Foreign => {
                let part = belongs || relation.kind == Kind::Partitioned;
                for child in self.catalog.children_of(relation.oid).filter_map(|oid| self.catalog.name_of(oid)) {
                    out.push(Beyond { operation, name: child.clone(), belongs: part });
                }
                for (referring, operation) in self.catalog.changed_along(relation.oid, operation) {
                    if let Some(name) = self.catalog.name_of(referring) {
                        out.push(Beyond { operation, name: name.clone(), belongs: true });
                    }
                }
            }
            Kind::Sequence | Kind::Toast => {}
        }
    }
}

/// What a view's query touches, at one level. A query that cannot be judged may touch anything.
fn below(catalog: &Catalog, relation: &Relation, facts: &SessionFacts) -> Vec<Below> {
    let everything = || vec![Below { relation: true, name: owned(EVERYTHING) }];
    let Some(definition) = &relation.definition else { return everything() };
    let Ok(judged) = crate::judge(definition, facts) else { return everything() };
    let mut found = Vec::new();
    for access in judged.iter().flat_map(|statement| &statement.accesses) {
        let Some(object) = &access.object else { continue };
        let name: Name = (object.schema.clone().unwrap_or_default(), object.name.clone());
        match object.kind {
            ObjectKind::Relation if object.class != ObjectClass::Harmless || object.name.as_ref() == "pg_settings" => {
                found.push(Below { relation: true, name });
            }
            ObjectKind::Routine if object.class == ObjectClass::Sensitive || may_run(catalog, facts, &name) => {
                found.push(Below { relation: false, name });
            }
            ObjectKind::Relation
            | ObjectKind::Routine
            | ObjectKind::Index
            | ObjectKind::Schema
            | ObjectKind::Type
            | ObjectKind::Role
            | ObjectKind::Parameter
            | ObjectKind::Channel
            | ObjectKind::Other
            | ObjectKind::Database => {}
        }
    }
    found
}

/// Whether a call of this name may change something: of a routine, or of an operator or type that runs one.
fn may_run(catalog: &Catalog, facts: &SessionFacts, name: &Name) -> bool {
    catalog.is_volatile(name)
        || [&facts.operators, &facts.types, &facts.domains].iter().any(|named| named.contains(&name.1))
}

fn owned((schema, name): (&str, &str)) -> Name {
    (schema.into(), name.into())
}

/// Whether an operation reads or changes rows.
fn concerns_rows(operation: Operation) -> bool {
    let reads = [Operation::Select, Operation::CopyOut, Operation::Explain, Operation::Lock, Operation::Refresh];
    reads.contains(&operation) || writes(operation)
}

fn is_definition(operation: Operation) -> bool {
    matches!(operation, Operation::DdlCreate | Operation::DdlAlter | Operation::DdlDrop)
}

fn writes(operation: Operation) -> bool {
    let writes = [
        Operation::Insert,
        Operation::UpdateBounded,
        Operation::UpdateUnbounded,
        Operation::DeleteBounded,
        Operation::DeleteUnbounded,
        Operation::Truncate,
        Operation::Merge,
        Operation::CopyIn,
    ];
    writes.contains(&operation)
}

#[cfg(test)]
mod tests {
    use super::{Operation, Reach};
    use crate::session::SessionFacts;
    use crate::snapshot::{Builder, Catalog};
    use std::sync::Arc;

    /// A table, a view of this query and a routine of this volatility.
    fn catalog(query: &str, volatility: &str) -> Arc<Catalog> {
        let relation = |oid, name, kind, query| {
            [Some("relation"), Some(oid), Some("public"), Some(name), Some(kind)]
                .into_iter()
                .chain([Some("f"); 5])
                .chain([query])
                .collect::<Vec<_>>()
        };
        let routine = ["routine", "public", "f", "f", "f", "f", "f", volatility, "f", ""].map(Some).to_vec();
        let mut builder = Builder::default();
        for row in [relation("1", "t", "r", None), relation("2", "v", "v", Some(query)), routine] {
            builder.row(&row).unwrap();
        }
        Arc::new(builder.build())
    }

    fn below(reach: &Reach) -> Vec<String> {
        let found = reach.beyond(Operation::Select, "public", "v");
        found.iter().map(|found| format!("{} {}", found.operation, found.name.1)).collect()
    }

    #[test]
    fn what_is_kept_of_an_earlier_catalog_is_what_would_be_read_again() {
        let facts = SessionFacts::pinned(15);
        let stages = [
            ("SELECT public.f(t.id) FROM public.t", "i"),
            ("SELECT public.f(t.id) FROM public.t", "i"),
            ("SELECT public.f(t.id) FROM public.t", "v"),
            ("SELECT public.f(1)", "v"),
            ("SELECT 1", "v"),
            ("SELECT public.f(1)", "i"),
        ];
        let mut said = Vec::new();
        let mut before: Option<Reach> = None;
        for (query, volatility) in stages {
            let catalog = catalog(query, volatility);
            let after = Reach::after(before.as_ref(), Arc::clone(&catalog), facts.clone());
            assert_eq!(below(&after), below(&Reach::new(catalog, facts.clone())), "{query}");
            said.push(below(&after));
            before = Some(after);
        }
        let said: Vec<String> = said.iter().map(|found| found.join(", ")).collect();
        assert_eq!(said, ["select t", "select t", "select t, call f", "call f", "", ""]);
    }

    /// What a session does to one name, in a catalog with a rule of this definition.
    fn ruled(definition: Option<&str>, operation: Operation, name: &str) -> Vec<String> {
        let relation = |oid, name, kind, rules| {
            let facts = [Some("relation"), Some(oid), Some("public"), Some(name), Some(kind)];
            facts.into_iter().chain([Some("f"); 3]).chain([Some(rules), Some("f"), None]).collect::<Vec<_>>()
        };
        let mut rows = vec![
            relation("1", "ruled", "r", "t"),
            relation("2", "kept", "r", "f"),
            relation("3", "v", "v", "f"),
            ["indexed", "public", "i", "2"].map(Some).to_vec(),
            ["routine", "public", "f", "f", "f", "f", "f", "v", "f", ""].map(Some).to_vec(),
        ];
        rows.extend(definition.map(|definition| ["rule", "1", "3", definition].map(Some).to_vec()));
        let mut builder = Builder::default();
        for row in rows {
            builder.row(&row).unwrap();
        }
        let reach = Reach::new(Arc::new(builder.build()), SessionFacts::pinned(18));
        let found = reach.beyond(operation, "public", name);
        found.iter().map(|found| format!("{} {}", found.operation, found.name.1)).collect()
    }

    #[test]
    fn a_rewrite_rule_does_what_its_definition_says() {
        let rule = "CREATE RULE r AS ON INSERT TO public.ruled WHERE f(new.id) DO ALSO ( DELETE FROM kept; UPDATE kept SET a = 1 WHERE id = new.id; );";
        let found = ruled(Some(rule), Operation::Insert, "ruled");
        assert_eq!(found, ["select kept", "update.bounded kept", "delete.unbounded kept", "call f"]);
        assert!(ruled(Some(rule), Operation::DeleteBounded, "ruled").is_empty(), "it is a rule on INSERT");
        assert!(ruled(Some(rule), Operation::Select, "ruled").is_empty());
        for unread in [None, Some("CREATE RULE r AS ON INSERT TO ruled DO ALSO nonsense")] {
            let found = ruled(unread, Operation::Insert, "ruled");
            assert!(
                found.contains(&"delete.unbounded ".to_owned()) && found.contains(&"call ".to_owned()),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_definition_on_an_index_or_over_a_view_alters_what_is_there() {
        assert_eq!(ruled(None, Operation::DdlDrop, "i"), ["ddl.alter kept"]);
        assert_eq!(ruled(None, Operation::DdlAlter, "i"), ["ddl.alter kept"]);
        assert_eq!(ruled(None, Operation::DdlCreate, "v"), ["ddl.alter v"]);
        assert!(
            ruled(None, Operation::DdlCreate, "kept").is_empty() && ruled(None, Operation::DdlCreate, "w").is_empty()
        );
    }
}
