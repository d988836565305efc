//! What the names of a held statement meant when people were asked: what they agreed to is that, and not whatever else
//! the names may have come to mean while it waited.

use super::classify::{QualifiedName, used};
use super::machine::Postgres;
use super::pipeline::Run;
use lang::protocol::Operation;
use pgsql::snapshot::Catalog;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a statement's names lead to in one catalog.
#[derive(Debug)]
pub(super) struct Meant {
    catalog: Arc<Catalog>,
    /// Every relation, however far; one without a name stands for any.
    uses: BTreeSet<QualifiedName>,
    /// Whether routines of the database run on the way: what they do stands in their own texts.
    calls: bool,
    /// How many changes of definitions had ended.
    made: u64,
}

impl Meant {
    /// Whether the names mean the same now.
    fn is(&self, now: &Self) -> bool {
        if Arc::ptr_eq(&self.catalog, &now.catalog) {
            return true;
        }
        let anything = |uses: &BTreeSet<QualifiedName>| uses.iter().any(|(_, name)| name.is_empty());
        if anything(&self.uses) || anything(&now.uses) {
            return self.catalog == now.catalog;
        }
        self.uses == now.uses
            && self.catalog.makes_the_same_of_values(&now.catalog)
            && self.uses.iter().all(|name| self.catalog.means_the_same(&now.catalog, name))
            && (!(self.calls || now.calls) || self.catalog.has_the_same_routines(&now.catalog))
    }
}

impl Postgres {
    /// What the names of a message mean by the catalog that is known; nothing where none is.
    pub(super) fn meant(&self, run: &Run) -> Option<Meant> {
        let reach = self.reach.as_ref()?;
        let catalog = Arc::clone(reach.catalog());
        let mut uses = BTreeSet::new();
        let mut calls = false;
        for statement in &run.statements {
            uses.extend(used(&statement.accesses, reach).iter().cloned());
            calls |= statement.accesses.iter().any(|access| matches!(access.op, Operation::Call | Operation::Do));
        }
        calls |= uses.iter().any(|name| catalog.runs_routines(name));
        Some(Meant { catalog, uses, calls, made: self.member.made() })
    }

    /// Whether the names of a message still mean what they meant when people were asked.
    pub(super) fn means_what_it_meant(&self, before: Option<&Meant>, run: &Run) -> bool {
        let (before, now) = match (before, self.meant(run)) {
            (Some(before), Some(now)) => (before, now),
            // No verdict of the connection rests on names.
            (None, None) => return true,
            (Some(_), None) | (None, Some(_)) => return false,
        };
        // Where the transaction reads definitions as they were when it began, only the sessions of the gateway tell.
        before.is(&now) && (!self.frozen || before.made == now.made)
    }
}
