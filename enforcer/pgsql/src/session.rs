//! The facts about a session that change what a text means.
//!
//! They belong into the key of any cache of judgements.

use crate::made::Made;
use std::collections::BTreeSet;

/// What the judge has to know about the session besides the text.
///
/// INVARIANT (pinned session): the gateway keeps `standard_conforming_strings` on, `client_encoding` and the
/// server's encoding UTF-8, and `search_path` at one schema followed by `pg_temp`. The judge relies on it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionFacts {
    /// The schema in which an unqualified name is looked up after `pg_catalog`.
    pub default_schema: Box<str>,
    /// The server's major version. Below the version that introduced them, the SQL/JSON functions of the grammar are
    /// ordinary function calls and are reported as such. Zero is an unknown version.
    pub server_major: u16,
    /// Routines outside `pg_catalog`, reachable without qualification, that share their name with a built-in:
    /// an unqualified call of such a name counts as a call of the overload. Empty where no catalog is known.
    pub overloads: BTreeSet<Box<str>>,
    /// Routines outside `pg_catalog` that `row.name` would call: one argument of a row or polymorphic type.
    /// Empty where no catalog is known.
    pub row_routines: BTreeSet<Box<str>>,
    /// Operators that run a volatile routine of the database. Empty where no catalog is known.
    pub operators: BTreeSet<Box<str>>,
    /// Types of which a cast runs a volatile routine of the database. Empty where no catalog is known.
    pub types: BTreeSet<Box<str>>,
    /// Types of which a value cannot be made without one: domains, and what holds them. Empty where no catalog is known.
    pub domains: BTreeSet<Box<str>>,
    /// What relations are made of. Nothing where no catalog is known.
    pub made: Made,
}

impl SessionFacts {
    /// A session whose `search_path` is pinned to `public` and then `pg_temp`, on a server of this major version.
    pub fn pinned(server_major: u16) -> Self {
        Self {
            default_schema: "public".into(),
            server_major,
            overloads: BTreeSet::new(),
            row_routines: BTreeSet::new(),
            operators: BTreeSet::new(),
            types: BTreeSet::new(),
            domains: BTreeSet::new(),
            made: Made::default(),
        }
    }
}
