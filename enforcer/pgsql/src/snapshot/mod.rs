//! What a target's catalog says, as it was at one instant: relations, columns, what derives from what, what is
//! evaluated on written rows, and whatever runs without its name in a statement.
//!
//! It holds definitions, never a row of a user's table. What it does not know counts as unknown, and an unknown
//! relation is refused wherever masks stand.

pub mod body;
mod builder;
mod compare;
pub mod query;

pub use builder::{Builder, Unexpected};

use body::Body;
use lang::protocol::Operation;
use std::collections::{BTreeMap, BTreeSet};

/// Schema and name.
pub type Name = (Box<str>, Box<str>);

/// The event that a rewrite rule runs on, and its whole definition.
pub(crate) type Rule = (Box<str>, Box<str>);

/// What kind of relation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table.
    Table,
    /// A table that is divided into partitions.
    Partitioned,
    /// A view.
    View,
    /// A materialised view: rows that a query gave once.
    Materialised,
    /// A table of another server.
    Foreign,
    /// A sequence.
    Sequence,
    /// Where long values of a table are kept.
    Toast,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its number.
    pub number: i16,
    /// Its name.
    pub name: Box<str>,
    /// Its type with modifiers, as SQL; below domains.
    pub kind: Box<str>,
    /// Whether the type is text.
    pub text: bool,
    /// Whether it is computed from others.
    pub generated: bool,
    /// Whether values can be grouped.
    pub groups: bool,
}

/// What the server evaluates on written rows: an index, a constraint or a generated column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evaluated {
    /// The word for people.
    pub what: &'static str,
    /// The columns that it rests on.
    pub columns: BTreeSet<i16>,
    /// The relation and columns that a foreign key refers to.
    pub refers: Option<(u32, BTreeSet<i16>)>,
    /// Whether rows that are there satisfy it: one that does not is found out by any change of its row.
    pub validated: bool,
}

/// A type of which a check runs somebody's routine whenever a value of it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckedType {
    /// The type.
    pub oid: u32,
    /// The routine.
    pub routine: u32,
}

/// One relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Its number.
    pub oid: u32,
    /// What it is.
    pub kind: Kind,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// Its query, when it is a view.
    pub definition: Option<Box<str>>,
    /// Whether row-level security holds.
    pub row_security: bool,
    /// Whether it has rewrite rules.
    pub rules: bool,
    /// Whether it has triggers.
    pub triggers: bool,
    /// Columns of its primary key.
    pub primary_key: Option<Vec<i16>>,
    /// Columns of each of its indexes, with those that its expressions and condition name.
    pub indexes: Vec<BTreeSet<i16>>,
    /// Columns of the index in whose order its rows were once put.
    pub clustered_by: BTreeSet<i16>,
    /// What is evaluated when a row is written.
    pub evaluated: Vec<Evaluated>,
    /// The first column of each of its indexes; zero stands for an expression.
    pub leading: Vec<i16>,
    /// Columns that conditions and expressions of its indexes and statistics rest on: what ANALYZE, VACUUM and REINDEX
    /// compute or count.
    pub analysed: BTreeSet<i16>,
    /// Columns with a default.
    pub defaults: BTreeSet<i16>,
    /// Columns of which statistics keep the commonest values together.
    pub most_common: Vec<BTreeSet<i16>>,
    /// Columns by which it is divided; zero stands for an expression.
    pub partitioned_by: Vec<i16>,
    /// For each generated column, those that it is computed from.
    pub computed_from: BTreeMap<i16, BTreeSet<i16>>,
    /// What its row policies read: relation and column; no relation for a routine.
    pub policy_reads: Vec<(Option<u32>, i16)>,
    /// What changes with what the server does by itself to its rows: defaults, constraints, triggers, row policies, and
    /// in whose name.
    pub(crate) stands: Box<str>,
}

impl Relation {
    /// The column of this number.
    pub fn column(&self, number: i16) -> Option<&Column> {
        self.columns.iter().find(|column| column.number == number)
    }

    /// The column of this name.
    pub fn column_named(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.as_ref() == name)
    }
}

/// One routine that is not built in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Routine {
    /// Schema.
    pub schema: Box<str>,
    /// Name.
    pub name: Box<str>,
    /// Types of its arguments.
    pub arguments: Box<str>,
    /// Whether an extension that is known to read its arguments only brought it.
    pub listed: bool,
    /// Whether `row.name` calls it.
    pub of_row: bool,
    /// Whether it runs with its owner's rights.
    pub security_definer: bool,
    /// `f`, `p`, `a` or `w`.
    pub kind: Box<str>,
    /// `i`, `s` or `v`.
    pub volatility: Box<str>,
}

/// What a foreign key does to the rows that refer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    /// Nothing: it refuses.
    None,
    /// They are deleted, or get the new key.
    Cascades,
    /// Their key is set.
    Sets,
}

/// A target's catalog at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    relations: BTreeMap<Name, Relation>,
    names: BTreeMap<u32, Name>,
    /// Parent to children, and child to parents.
    inherits: BTreeMap<u32, BTreeSet<u32>>,
    parents: BTreeMap<u32, BTreeSet<u32>>,
    /// A view, and what its query reads.
    derives: BTreeMap<u32, BTreeSet<u32>>,
    /// Relations with a column, or rows, of a type that the server casts by itself with somebody's routine.
    casts: BTreeSet<u32>,
    /// Views whose query runs somebody's routine.
    runs: BTreeSet<u32>,
    /// The database's own types that a view's query, or a relation's row policies, name.
    named_types: BTreeMap<u32, BTreeSet<u32>>,
    /// The tables of indexes.
    indexed: BTreeMap<Name, u32>,
    /// What stands on the gateway's own views.
    provisioned: BTreeMap<u32, Box<str>>,
    /// Whether the server casts built-in types by itself with somebody's routine.
    pub casts_everywhere: bool,
    /// Names of operators that run somebody's routine.
    pub operators: BTreeSet<Box<str>>,
    /// Names of types of which a cast, of them or of what they are made of, runs somebody's routine.
    pub types: BTreeSet<Box<str>>,
    /// The OIDs of those of them that are the database's own.
    pub(crate) type_oids: BTreeSet<u32>,
    /// Views that no condition of a statement may be moved into.
    pub(crate) barriers: BTreeSet<u32>,
    /// Sequences, with the relation and the column that each gives its numbers.
    pub(crate) serials: BTreeSet<(u32, u32, i16)>,
    /// Types of which a check runs somebody's routine, or that hold values of such a type, by name.
    pub checked: BTreeMap<Box<str>, Vec<CheckedType>>,
    /// What runs when rows of a relation are written: what it is, and somebody's routine.
    on_write: BTreeMap<u32, BTreeSet<(&'static str, u32)>>,
    /// What the texts of those routines name.
    bodies: BTreeMap<u32, Body>,
    /// By relation: somebody's routines that compare values in its indexes, or those that divide it.
    compared: BTreeMap<u32, BTreeSet<u32>>,
    /// Classes of operators that such routines belong to.
    pub(crate) comparing: BTreeSet<Box<str>>,
    /// Routines that are not built in.
    pub routines: BTreeSet<Routine>,
    /// What changes with any of them, its text too.
    pub(crate) routine_versions: Box<str>,
    /// Whether the session that read it was in a transaction at SERIALIZABLE: where sessions may not ask for it, that is the
    /// target's default.
    pub(crate) serializable: bool,
    /// What changes with any domain, cast or operator of the database.
    pub(crate) shared_versions: Box<str>,
    /// Operators that run somebody's volatile routine.
    pub volatile_operators: BTreeSet<Box<str>>,
    /// Types of which a cast runs somebody's volatile routine, and what holds them.
    pub volatile_types: BTreeSet<Box<str>>,
    /// Types of which a check runs somebody's volatile routine whenever a value is made: domains, and what holds them.
    pub volatile_when_made: BTreeMap<u32, Box<str>>,
    /// For each relation, its rewrite rules but that of a view.
    pub(crate) rules: BTreeMap<u32, BTreeSet<Rule>>,
    /// For each table, those that a foreign key changes along with it: on DELETE and on UPDATE.
    along: BTreeMap<u32, BTreeSet<(u32, Change, Change)>>,
    /// Extensions with their versions.
    pub extensions: BTreeMap<Box<str>, Box<str>>,
}

/// What runs when rows are removed as well.
pub const TRIGGER: &str = "a trigger";
/// What runs when something is defined; it stands with no relation.
pub const EVENT: &str = "an event trigger";
/// What may run at the end of a transaction, when what it names may mean something else than when the row was written.
pub const DEFERRED: &str = "a trigger that can be deferred";

/// What runs when a value of a column is made, wherever that is.
pub const TYPE: &str = "the type of a column";

/// The schema that stands for the session's own temporary tables.
pub const TEMPORARY: &str = "pg_temp";

impl Catalog {
    /// The relation of this name.
    pub fn relation(&self, name: &Name) -> Option<&Relation> {
        self.relations.get(name)
    }

    /// Every relation.
    pub fn relations(&self) -> impl Iterator<Item = (&Name, &Relation)> {
        self.relations.iter()
    }

    /// The name of a relation.
    pub fn name_of(&self, oid: u32) -> Option<&Name> {
        self.names.get(&oid)
    }

    /// The relations that a view's query reads.
    pub fn bases_of(&self, oid: u32) -> impl Iterator<Item = u32> {
        self.derives.get(&oid).into_iter().flatten().copied()
    }

    /// Parents of a relation.
    pub fn parents_of(&self, oid: u32) -> impl Iterator<Item = u32> {
        self.parents.get(&oid).into_iter().flatten().copied()
    }

    /// Everything that it inherits from, however far.
    pub fn ancestors(&self, oid: u32) -> BTreeSet<u32> {
        let (mut found, mut pending) = (BTreeSet::new(), vec![oid]);
        while let Some(next) = pending.pop() {
            pending.extend(self.parents_of(next).filter(|parent| found.insert(*parent)));
        }
        found
    }

    /// Children of a relation.
    pub fn children_of(&self, oid: u32) -> impl Iterator<Item = u32> {
        self.inherits.get(&oid).into_iter().flatten().copied()
    }

    /// Whether a routine of this name may change something.
    pub fn is_volatile(&self, name: &Name) -> bool {
        let same = |routine: &&Routine| routine.schema == name.0 && routine.name == name.1;
        self.routines.iter().filter(same).any(|routine| routine.volatility.as_ref() == "v")
    }

    /// What an operation on a relation does to those that refer to it.
    pub fn changed_along(&self, oid: u32, operation: Operation) -> Vec<(u32, Operation)> {
        let merges = operation == Operation::Merge;
        let removes = merges || matches!(operation, Operation::DeleteBounded | Operation::DeleteUnbounded);
        let alters = merges || matches!(operation, Operation::UpdateBounded | Operation::UpdateUnbounded);
        // Every row goes along with every row that it refers to.
        let every = matches!(operation, Operation::DeleteUnbounded | Operation::UpdateUnbounded);
        let deletion = if every { Operation::DeleteUnbounded } else { Operation::DeleteBounded };
        let change = if every { Operation::UpdateUnbounded } else { Operation::UpdateBounded };
        let mut changed = Vec::new();
        for (referring, on_delete, on_update) in self.along.get(&oid).into_iter().flatten() {
            if removes && *on_delete == Change::Cascades {
                changed.push((*referring, deletion));
            }
            if removes && *on_delete == Change::Sets || alters && *on_update != Change::None {
                changed.push((*referring, change));
            }
        }
        if operation == Operation::Truncate {
            // With CASCADE; without, the server refuses unless it is told to truncate these too.
            let refers = |relation: &&Relation| {
                relation.evaluated.iter().any(|rule| rule.refers.as_ref().is_some_and(|(table, _)| *table == oid))
            };
            changed.extend(self.relations.values().filter(refers).map(|referring| (referring.oid, operation)));
        }
        changed
    }

    /// Whether other relations inherit from it.
    pub fn has_children(&self, oid: u32) -> bool {
        self.inherits.get(&oid).is_some_and(|children| !children.is_empty())
    }

    /// A relation and everything that it inherits from or is inherited by, however far.
    pub fn family(&self, oid: u32) -> BTreeSet<u32> {
        let mut family = BTreeSet::from([oid]);
        let mut pending = vec![oid];
        while let Some(next) = pending.pop() {
            let near = [self.inherits.get(&next), self.parents.get(&next)];
            for relative in near.into_iter().flatten().flatten() {
                if family.insert(*relative) {
                    pending.push(*relative);
                }
            }
        }
        family
    }

    /// Whether the server may run somebody's routine to cast what the relation holds, without its name in a statement.
    pub fn casts(&self, oid: u32) -> bool {
        self.casts.contains(&oid)
    }

    /// Whether a view's query runs somebody's routine, as a function, an operator or a cast.
    pub fn runs(&self, oid: u32) -> bool {
        self.runs.contains(&oid)
    }

    /// The database's own types that a view's query, or a relation's row policies, name.
    pub fn types_named_by(&self, oid: u32) -> impl Iterator<Item = u32> {
        self.named_types.get(&oid).into_iter().flatten().copied()
    }

    /// The table of an index.
    pub fn table_of(&self, index: &Name) -> Option<u32> {
        self.indexed.get(index).copied()
    }

    /// The texts of somebody's routines by which the server compares values of a relation when it is read.
    pub fn compared_by(&self, oid: u32) -> impl Iterator<Item = &Body> {
        self.compared.get(&oid).into_iter().flatten().map(|routine| self.body_of(*routine))
    }

    /// Whether a sequence gives a column its numbers.
    pub fn is_numbered(&self, table: u32, column: i16) -> bool {
        self.serials.iter().any(|(_, of, number)| (*of, *number) == (table, column))
    }

    /// What runs when rows of a relation are written: what it is, and the text of somebody's routine.
    pub fn runs_on_write(&self, oid: u32) -> impl Iterator<Item = (&'static str, &Body)> {
        let found = self.on_write.get(&oid).into_iter().flatten();
        found.map(|(what, routine)| (*what, self.body_of(*routine)))
    }

    /// The texts of somebody's routines that run when something is defined.
    pub fn runs_on_definition(&self) -> impl Iterator<Item = &Body> {
        self.runs_on_write(0).filter(|(what, _)| *what == EVENT).map(|(_, body)| body)
    }

    /// What the text of a routine names that runs without its own name in a statement.
    pub fn body_of(&self, routine: u32) -> &Body {
        self.bodies.get(&routine).unwrap_or(&Body::Unread)
    }

    /// What stands on one of the gateway's own views: which query it was made with.
    pub fn provisioned(&self, oid: u32) -> Option<&str> {
        self.provisioned.get(&oid).map(AsRef::as_ref)
    }

    /// Whether the session that read it has temporary tables.
    pub fn has_temporary(&self) -> bool {
        self.relations.keys().any(|(schema, _)| schema.as_ref() == TEMPORARY)
    }

    /// Whether the session has a temporary table of this name.
    pub fn is_temporary(&self, name: &str) -> bool {
        self.relations.contains_key(&(TEMPORARY.into(), name.into()))
    }

    /// The same without what belongs to the session that read it.
    #[must_use]
    pub fn without_temporary(mut self) -> Self {
        self.relations.retain(|(schema, _), _| schema.as_ref() != TEMPORARY);
        self
    }

    /// Names of built-ins that an unqualified call may miss, because somebody's routine has the name too.
    pub fn overloads(&self, default_schema: &str) -> BTreeSet<Box<str>> {
        let near =
            |routine: &&Routine| matches!(routine.schema.as_ref(), "pg_catalog") || *routine.schema == *default_schema;
        self.routines
            .iter()
            .filter(near)
            .filter(|routine| !routine.listed)
            .map(|routine| routine.name.clone())
            .collect()
    }

    /// Names that `row.name` would call.
    pub fn row_routines(&self, default_schema: &str) -> BTreeSet<Box<str>> {
        let near =
            |routine: &&Routine| matches!(routine.schema.as_ref(), "pg_catalog") || *routine.schema == *default_schema;
        let called = self.routines.iter().filter(near).filter(|routine| routine.of_row && !routine.listed);
        called.map(|routine| routine.name.clone()).collect()
    }
}
