//! What rewrite rules do: the server runs their actions along with, or instead of, a write to their relation.
//!
//! A rule whose definition was not read, or cannot be judged, may do anything to anything.

use super::{EVERYTHING, may_run, owned, writes};
use crate::session::SessionFacts;
use crate::snapshot::{Catalog, Name};
use crate::statement::{ObjectClass, ObjectKind};
use lang::protocol::Operation;

/// What a rule that is not understood may do.
const ANYTHING: [Operation; 6] = [
    Operation::Select,
    Operation::Insert,
    Operation::UpdateUnbounded,
    Operation::DeleteUnbounded,
    Operation::Truncate,
    Operation::Call,
];

/// One operation of a rule's actions.
#[derive(Clone, Debug)]
pub(super) struct Act {
    /// The event that it runs on, as `pg_rewrite` says it.
    event: Box<str>,
    operation: Operation,
    pub(super) name: Name,
}

impl Act {
    /// What it is when a statement does this to the relation of the rule; nothing when the rule does not run then.
    ///
    /// An action is joined with the rows that the statement concerns: where those are all, nothing bounds it.
    pub(super) fn on(&self, operation: Operation) -> Option<Operation> {
        if !writes(operation) || !runs_on(&self.event, operation) {
            return None;
        }
        let every = matches!(operation, Operation::UpdateUnbounded | Operation::DeleteUnbounded);
        let unbounded = [
            (Operation::UpdateBounded, Operation::UpdateUnbounded),
            (Operation::DeleteBounded, Operation::DeleteUnbounded),
        ];
        let unbounded = unbounded.into_iter().find(|(bounded, _)| every && *bounded == self.operation);
        Some(unbounded.map_or(self.operation, |(_, unbounded)| unbounded))
    }
}

/// Whether a rule on this event may run when a statement does this. COPY and TRUNCATE run none; MERGE is refused where
/// there are any: none of them is trusted to stay so.
fn runs_on(event: &str, operation: Operation) -> bool {
    let inserts = [Operation::Insert, Operation::CopyIn];
    let updates = [Operation::UpdateBounded, Operation::UpdateUnbounded];
    let deletes = [Operation::DeleteBounded, Operation::DeleteUnbounded, Operation::Truncate];
    let of = [("3", inserts.as_slice()), ("2", updates.as_slice()), ("4", deletes.as_slice())];
    of.into_iter().find(|(_, operations)| operations.contains(&operation)).is_none_or(|(runs, _)| runs == event)
}

/// What the rules of a relation do.
pub(super) fn acts(catalog: &Catalog, oid: u32, facts: &SessionFacts) -> Vec<Act> {
    let mut acts = Vec::new();
    let Some(rules) = catalog.rules.get(&oid).filter(|rules| !rules.is_empty()) else {
        for event in ["2", "3", "4"] {
            acts.extend(anything(event));
        }
        return acts;
    };
    for (event, definition) in rules {
        match understood(catalog, event, definition, facts) {
            Some(found) => acts.extend(found),
            None => acts.extend(anything(event)),
        }
    }
    acts
}

fn anything(event: &str) -> impl Iterator<Item = Act> {
    ANYTHING.into_iter().map(move |operation| Act { event: event.into(), operation, name: owned(EVERYTHING) })
}

fn understood(catalog: &Catalog, event: &str, definition: &str, facts: &SessionFacts) -> Option<Vec<Act>> {
    let judged = crate::judge(definition, facts).ok()?;
    let [rule] = judged.as_slice() else { return None };
    let mut acts = Vec::new();
    // The definition itself runs no more: what is left is what its condition and its actions do.
    for access in rule.accesses.iter().filter(|access| access.operation != Operation::DdlCreate) {
        let Some(object) = &access.object else { continue };
        let name: Name = (object.schema.clone().unwrap_or_default(), object.name.clone());
        let does = match object.kind {
            ObjectKind::Relation => object.class != ObjectClass::Harmless,
            ObjectKind::Routine => object.class == ObjectClass::Sensitive || may_run(catalog, facts, &name),
            ObjectKind::Database => true,
            ObjectKind::Index
            | ObjectKind::Schema
            | ObjectKind::Type
            | ObjectKind::Role
            | ObjectKind::Parameter
            | ObjectKind::Channel
            | ObjectKind::Other => false,
        };
        if does {
            acts.push(Act { event: event.into(), operation: access.operation, name });
        }
    }
    Some(acts)
}
