//! What a revision says, as digests: made once when a revision is loaded, so that two revisions are looked at only
//! where they differ. A digest covers what [`Says`] states, or all of a rule or connection; nothing is stored, so that
//! it need not be the same tomorrow.

use super::{
    local::Says,
    settings::{self, Nodes},
};
use crate::{kept::Key, parallel};
use lang::{program::Program, syntax::ast::Document};
use std::hash::Hash;
use std::sync::Arc;

/// One revision in digests, each by the position of its rule or connection in the tables.
#[derive(Debug)]
pub struct Profile {
    /// Of connections: everything that decides there.
    pub(super) decides: Vec<Key>,
    /// Of connections: what is stated of them.
    pub(super) connections: Vec<Key>,
    pub(super) grants: Vec<Key>,
    pub(super) forbids: Vec<Key>,
    pub(super) limits: Vec<Key>,
    pub(super) guards: Vec<Key>,
    pub(super) masks: Vec<Key>,
    /// What the tables do not carry.
    pub(super) nodes: Nodes,
}

impl Profile {
    /// The profile of a revision.
    pub fn new(program: &Program, documents: &[Arc<Document>], threads: usize) -> Self {
        let rules = program.rules();
        let (said_by_grants, grants) = both(&rules.grants, threads);
        let (said_by_forbids, forbids) = both(&rules.forbids, threads);
        let (said_by_limits, limits) = both(&rules.limits, threads);
        let (said_by_guards, guards) = both(&rules.guards, threads);
        let (said_by_masks, masks) = both(&rules.masks, threads);
        let said = [&said_by_grants, &said_by_forbids, &said_by_limits, &said_by_guards, &said_by_masks];
        let decides = decided(program, said, threads);
        Self {
            decides,
            connections: parallel::map(&rules.connections, threads, Key::of),
            grants,
            forbids,
            limits,
            guards,
            masks,
            nodes: settings::nodes(documents),
        }
    }
}

/// What each rule says at a connection, and each as a whole.
fn both<T: Says + Hash + Sync>(rules: &[T], threads: usize) -> (Vec<Key>, Vec<Key>) {
    parallel::map(rules, threads, |rule| (Key::of(&rule.says()), Key::of(rule))).into_iter().unzip()
}

/// Every connection by name, with what decides there.
pub(crate) fn deciding(program: &Program, threads: usize) -> Vec<(&str, Key)> {
    let rules = program.rules();
    let grants = parallel::map(&rules.grants, threads, |rule| Key::of(&rule.says()));
    let forbids = parallel::map(&rules.forbids, threads, |rule| Key::of(&rule.says()));
    let limits = parallel::map(&rules.limits, threads, |rule| Key::of(&rule.says()));
    let guards = parallel::map(&rules.guards, threads, |rule| Key::of(&rule.says()));
    let masks = parallel::map(&rules.masks, threads, |rule| Key::of(&rule.says()));
    let keys = decided(program, [&grants, &forbids, &limits, &guards, &masks], threads);
    rules.connections.iter().map(|connection| connection.name.as_str()).zip(keys).collect()
}

/// What decides at each connection, from what its rules say.
fn decided(program: &Program, said: [&Vec<Key>; 5], threads: usize) -> Vec<Key> {
    let places: Vec<_> = program.rules().connections.iter().zip(program.places()).collect();
    parallel::map(&places, threads, |(connection, places)| {
        let of = |(places, said): (&Vec<usize>, &Vec<Key>)| -> Vec<Key> {
            places.iter().filter_map(|place| said.get(*place).copied()).collect()
        };
        let rules: Vec<Vec<Key>> = places.iter().zip(said).map(of).collect();
        Key::of(&(connection.kind, &connection.classified, rules))
    })
}
