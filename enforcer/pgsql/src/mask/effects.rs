//! What the server runs by itself when a statement writes: triggers, constraints, defaults, indexes and checks of types
//! that call a routine of the database. Such a routine may read what is masked, and store it or tell of it by failing.
//!
//! A routine is let through when its text can be shown to name nothing masked and to call nothing unknown.

use super::{Plan, blind};
use crate::harmless::HARMLESS;
use crate::snapshot::body::Body;
use crate::snapshot::{Catalog, Kind, Name, TRIGGER};
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
    /// Types whose values are checked by one: their names, and their numbers.
    pub(super) types: BTreeSet<Box<str>>,
    numbers: BTreeSet<u32>,
}

/// Built-ins that run in routines and change nothing but a sequence.
const SEQUENCES: &[&str] = &["currval", "lastval", "nextval", "setval"];

/// A routine that takes the name of a type as text.
const CHECKS_TEXT: &[&str] = &["pg_input_is_valid", "pg_input_error_info"];

impl Effects {
    /// Reads a catalog under a plan whose treatments are known.
    pub(super) fn new(plan: &Plan) -> Self {
        let catalog = &*plan.catalog;
        let told = Told::new(plan);
        let mut effects = Self::default();
        for (name, checked) in &catalog.checked {
            for one in checked.iter().filter(|one| !told.keeps_quiet(catalog.body_of(one.routine))) {
                effects.types.insert(name.clone());
                effects.numbers.insert(one.oid);
            }
        }
        for (_, relation) in catalog.relations() {
            for (what, body) in catalog.runs_on_write(relation.oid) {
                if !told.keeps_quiet(body) {
                    effects.written.entry(relation.oid).or_default().insert(what);
                }
            }
        }
        effects
    }

    /// Whether making a value of the type may run a routine that reads what is masked.
    pub(super) fn checks(&self, oid: u32) -> bool {
        self.numbers.contains(&oid)
    }

    /// What runs when rows of a relation are written, or only removed.
    fn of(&self, oid: u32, only_removed: bool) -> Option<&'static str> {
        self.written.get(&oid)?.iter().copied().find(|what| !only_removed || *what == TRIGGER)
    }
}

/// The names that a routine must not have in its text.
struct Told<'p> {
    catalog: &'p Catalog,
    forbidden: BTreeSet<&'p str>,
    permitted: BTreeSet<&'p str>,
}

impl<'p> Told<'p> {
    fn new(plan: &'p Plan) -> Self {
        let catalog = &*plan.catalog;
        let (mut forbidden, mut permitted) = (BTreeSet::new(), BTreeSet::new());
        for (name, relation) in catalog.relations() {
            let runs = relation.rules || catalog.runs_on_write(relation.oid).next().is_some();
            let shown = plan.is_plain(name) && !plan.is_tainted(name);
            // What a foreign table or a view reads is not in the text.
            let own = matches!(relation.kind, Kind::Table | Kind::Partitioned | Kind::Sequence);
            if shown && own && !runs {
                permitted.insert(name.1.as_ref());
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
        Self { catalog, forbidden, permitted }
    }

    /// Whether a routine reads nothing that is masked, as far as its text says.
    fn keeps_quiet(&self, body: &Body) -> bool {
        let own = |word: &str| word.starts_with("pg_") || word.starts_with("leasehold");
        !self.catalog.casts_everywhere
            && body.keeps_to(
                |word| self.forbidden.contains(word) || own(word) && !is_harmless(word),
                |word| self.permitted.contains(word) || SEQUENCES.contains(&word) || is_harmless(word),
            )
    }
}

fn is_harmless(name: &str) -> bool {
    HARMLESS.binary_search(&name).is_ok()
}

/// Why a statement does not run: what the server would run by itself may read what is masked.
pub(super) fn refused(plan: &Plan, tree: &pg::Node, judged: &Statement) -> Option<String> {
    if let Some(why) = defines(tree) {
        return Some(format!("{why}; this connection has masks: do it with an account of your own"));
    }
    if let Some(why) = moves(plan, tree) {
        return Some(why);
    }
    let checks_text = |field: &str, text: &str| field == "sval" && CHECKS_TEXT.contains(&text);
    if !plan.effects.types.is_empty() && blind::find(tree, &mut { checks_text }) {
        return Some(
            "the checks of this database's types run routines, and the gateway cannot see what they read; this \
             connection has masks"
                .to_owned(),
        );
    }
    judged.accesses.iter().find_map(|access| written(plan, access))
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
fn defines(tree: &pg::Node) -> Option<&'static str> {
    match tree.node.as_ref() {
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
    let object = access.object.as_ref().filter(|object| object.kind == ObjectKind::Relation)?;
    let operation = access.operation;
    if matches!(
        operation,
        Operation::Select
            | Operation::Explain
            | Operation::Show
            | Operation::Lock
            | Operation::CopyOut
            | Operation::DdlDrop
            | Operation::DclGrant
            | Operation::DclRevoke
    ) {
        return None;
    }
    let name: Name = (object.schema.clone().unwrap_or_default(), object.name.clone());
    loud(plan, plan.catalog.relation(&name)?.oid, operation).map(|(what, of)| {
        format!(
            "{what} of `{}.{}` runs a routine of the database when rows are written, and the gateway cannot see what it \
             reads; this connection has masks",
            of.0, of.1
        )
    })
}

/// What runs a routine when an operation changes a relation: of itself, of what is below a view, inherits from it, or is
/// changed along with it.
pub(super) fn loud(plan: &Plan, oid: u32, operation: Operation) -> Option<(&'static str, Name)> {
    let catalog = &plan.catalog;
    let (mut seen, mut pending) = (BTreeSet::from([oid]), vec![(oid, operation)]);
    while let Some((next, operation)) = pending.pop() {
        let only_removed =
            matches!(operation, Operation::DeleteBounded | Operation::DeleteUnbounded | Operation::Truncate);
        let name = catalog.name_of(next).cloned().unwrap_or_default();
        if let Some(what) = plan.effects.of(next, only_removed) {
            return Some((what, name));
        }
        let view = catalog.relation(&name).is_some_and(|one| one.kind == Kind::View);
        let same = catalog.bases_of(next).filter(|_| view).chain(catalog.children_of(next));
        let same = same.map(|other| (other, operation)).collect::<Vec<_>>();
        for other in catalog.changed_along(next, operation).into_iter().chain(same) {
            if seen.insert(other.0) {
                pending.push(other);
            }
        }
    }
    None
}
