//! What the walk has visited, for the oracle of the tests.

use super::pg;
use std::collections::BTreeSet;

/// Places of the relations and calls that a walk has visited.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) relations: BTreeSet<(i32, std::string::String)>,
    pub(super) calls: BTreeSet<i32>,
}

impl Trace {
    pub(super) fn relation(&mut self, name: &pg::RangeVar) {
        self.relations.insert((name.location, name.relname.clone()));
    }

    pub(super) fn call(&mut self, call: &pg::FuncCall) {
        self.calls.insert(call.location);
    }
}
