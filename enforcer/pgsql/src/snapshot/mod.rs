//! What a target's catalog says, as it was at one instant: relations, columns, what derives from what, what is
//! evaluated on written rows, and whatever runs without its name in a statement.
//!
//! It holds definitions, never a row of a user's table. What it does not know counts as unknown, and an unknown
//! relation is refused wherever masks stand.

pub mod query;

use lang::protocol::Operation;
use std::collections::{BTreeMap, BTreeSet};

/// Schema and name.
pub type Name = (Box<str>, Box<str>);

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
    /// Columns by which it is divided; zero stands for an expression.
    pub partitioned_by: Vec<i16>,
    /// For each generated column, those that it is computed from.
    pub computed_from: BTreeMap<i16, BTreeSet<i16>>,
    /// What its row policies read: relation and column; no relation for a routine.
    pub policy_reads: Vec<(Option<u32>, i16)>,
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
    /// What stands on the gateway's own views.
    provisioned: BTreeMap<u32, Box<str>>,
    /// Whether the server casts built-in types by itself with somebody's routine.
    pub casts_everywhere: bool,
    /// Names of operators that run somebody's routine.
    pub operators: BTreeSet<Box<str>>,
    /// Names of types of which a cast or a check runs somebody's routine.
    pub types: BTreeSet<Box<str>>,
    /// Routines that are not built in.
    pub routines: BTreeSet<Routine>,
    /// Operators that run somebody's volatile routine.
    pub volatile_operators: BTreeSet<Box<str>>,
    /// Types of which a cast or a check runs somebody's volatile routine.
    pub volatile_types: BTreeSet<Box<str>>,
    /// For each table, those that a foreign key changes along with it: on DELETE and on UPDATE.
    along: BTreeMap<u32, BTreeSet<(u32, Change, Change)>>,
    /// Extensions with their versions.
    pub extensions: BTreeMap<Box<str>, Box<str>>,
}

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
        let deletes = merges || matches!(operation, Operation::DeleteBounded | Operation::DeleteUnbounded);
        let updates = merges || matches!(operation, Operation::UpdateBounded | Operation::UpdateUnbounded);
        let mut changed = Vec::new();
        for (referring, on_delete, on_update) in self.along.get(&oid).into_iter().flatten() {
            if deletes && *on_delete == Change::Cascades {
                changed.push((*referring, Operation::DeleteBounded));
            }
            if deletes && *on_delete == Change::Sets || updates && *on_update != Change::None {
                changed.push((*referring, Operation::UpdateBounded));
            }
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

/// A row of the catalog that is not what [`query::TEXT`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of the catalog has an unexpected shape")]
pub struct Unexpected;

/// Builds a snapshot, row by row.
#[derive(Debug, Default)]
pub struct Builder {
    catalog: Catalog,
    rows: usize,
}

impl Builder {
    /// Takes one row of [`query::TEXT`].
    ///
    /// # Errors
    /// When it is not a row of it, or there are too many.
    pub fn row(&mut self, values: &[Option<&str>]) -> Result<(), Unexpected> {
        self.rows += 1;
        if self.rows > query::ROWS_MAX {
            return Err(Unexpected);
        }
        let row = Row(values);
        match row.text(0)? {
            "relation" => self.relation(row),
            "column" => self.column(row),
            "inherits" => {
                let (child, parent) = (row.oid(1)?, row.oid(2)?);
                self.catalog.inherits.entry(parent).or_default().insert(child);
                self.catalog.parents.entry(child).or_default().insert(parent);
                Ok(())
            }
            "derives" => {
                self.catalog.derives.entry(row.oid(1)?).or_default().insert(row.oid(2)?);
                Ok(())
            }
            "index" => self.index(row),
            "constraint" => self.constraint(row),
            "generated" => self.generated(row),
            "volatile" => self.volatile(row),
            "along" => self.along(row),
            "policy" => {
                let read = (row.maybe(2)?.map(parsed).transpose()?, row.number(3)?);
                self.with(row.oid(1)?, |relation| relation.policy_reads.push(read));
                Ok(())
            }
            "partitioned" => {
                let by = numbers(row.text(2)?)?;
                self.with(row.oid(1)?, |relation| relation.partitioned_by = by);
                Ok(())
            }
            "routine" => self.routine(row),
            "cast" => self.cast(row),
            "runs" => {
                self.catalog.runs.insert(row.oid(1)?);
                Ok(())
            }
            "provisioned" => {
                self.catalog.provisioned.insert(row.oid(1)?, row.text(2)?.into());
                Ok(())
            }
            "operator" => {
                self.catalog.operators.insert(row.text(1)?.into());
                Ok(())
            }
            "type" => {
                self.catalog.types.insert(row.text(1)?.into());
                Ok(())
            }
            "extension" => {
                self.catalog.extensions.insert(row.text(1)?.into(), row.text(2)?.into());
                Ok(())
            }
            _ => Err(Unexpected),
        }
    }

    /// The snapshot.
    pub fn build(self) -> Catalog {
        self.catalog
    }

    fn with(&mut self, oid: u32, change: impl FnOnce(&mut Relation)) {
        if let Some(relation) = self.catalog.names.get(&oid).and_then(|name| self.catalog.relations.get_mut(name)) {
            change(relation);
        }
    }

    fn volatile(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        let names = match row.text(1)? {
            "operator" => &mut self.catalog.volatile_operators,
            _ => &mut self.catalog.volatile_types,
        };
        names.insert(row.text(2)?.into());
        Ok(())
    }

    fn along(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        let change = |text: &str| match text {
            "c" => Change::Cascades,
            "n" | "d" => Change::Sets,
            _ => Change::None,
        };
        let (on_delete, on_update) = (change(row.text(3)?), change(row.text(4)?));
        let along = self.catalog.along.entry(row.oid(1)?).or_default();
        along.insert((row.oid(2)?, on_delete, on_update));
        Ok(())
    }

    fn cast(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        match row.oid(1)? {
            0 => self.catalog.casts_everywhere = true,
            relation => {
                self.catalog.casts.insert(relation);
            }
        }
        Ok(())
    }

    fn relation(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        let kind = match row.text(4)? {
            "r" => Kind::Table,
            "p" => Kind::Partitioned,
            "v" => Kind::View,
            "m" => Kind::Materialised,
            "f" => Kind::Foreign,
            "S" => Kind::Sequence,
            "t" => Kind::Toast,
            _ => return Err(Unexpected),
        };
        let oid = row.oid(1)?;
        let schema = if row.flag(5)? { TEMPORARY } else { row.text(2)? };
        let name: Name = (schema.into(), row.text(3)?.into());
        self.catalog.names.insert(oid, name.clone());
        let relation = Relation {
            oid,
            kind,
            columns: Vec::new(),
            definition: row.maybe(10)?.map(Into::into),
            row_security: row.flag(6)?,
            rules: row.flag(8)?,
            triggers: row.flag(9)?,
            primary_key: None,
            indexes: Vec::new(),
            clustered_by: BTreeSet::new(),
            evaluated: Vec::new(),
            partitioned_by: Vec::new(),
            computed_from: BTreeMap::new(),
            policy_reads: Vec::new(),
        };
        self.catalog.relations.insert(name, relation);
        Ok(())
    }

    fn column(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        let column = Column {
            number: row.number(2)?,
            name: row.text(3)?.into(),
            kind: row.text(4)?.into(),
            text: row.flag(5)?,
            generated: row.flag(6)?,
            groups: row.flag(7)?,
        };
        self.with(row.oid(1)?, |relation| {
            if relation.column(column.number).is_none() {
                relation.columns.push(column);
            }
        });
        Ok(())
    }

    fn index(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        let (primary, unique, simple, computed) = (row.flag(2)?, row.flag(3)?, row.flag(6)?, row.text(7)?.to_owned());
        let keys = numbers(row.text(4)?)?;
        let mut columns: BTreeSet<i16> = keys.iter().copied().filter(|key| *key > 0).collect();
        columns.extend(numbers(row.text(5)?)?);
        let clustered = row.flag(8)?;
        self.with(row.oid(1)?, |relation| {
            if computed.contains(".*") {
                // A whole row: the server notes no column of it.
                columns.extend(relation.columns.iter().map(|column| column.number));
            }
            if clustered {
                relation.clustered_by.clone_from(&columns);
            }
            if primary && simple {
                relation.primary_key = Some(keys);
            }
            if unique {
                let what = "a unique index or constraint";
                relation.evaluated.push(Evaluated { what, columns: columns.clone(), refers: None });
            } else if !computed.is_empty() {
                // Columns that the expressions and the condition may name; too many rather than too few.
                let named = relation.columns.iter().filter(|column| computed.contains(column.name.as_ref()));
                let columns = named.map(|column| column.number).collect();
                relation.evaluated.push(Evaluated { what: "an index over an expression", columns, refers: None });
            }
            relation.indexes.push(columns);
        });
        Ok(())
    }

    fn constraint(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        let what = match row.text(1)? {
            "c" => "a check constraint",
            "f" => "a foreign key",
            "x" => "an exclusion constraint",
            _ => return Err(Unexpected),
        };
        let columns: BTreeSet<i16> = numbers(row.text(3)?)?.into_iter().collect();
        let referred = row.oid(4)?;
        let refers = if referred == 0 { None } else { Some((referred, numbers(row.text(5)?)?.into_iter().collect())) };
        self.with(row.oid(2)?, |relation| relation.evaluated.push(Evaluated { what, columns, refers }));
        Ok(())
    }

    fn generated(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        let (column, from) = (row.number(2)?, row.number(3)?);
        self.with(row.oid(1)?, |relation| {
            relation.computed_from.entry(column).or_default().insert(from);
        });
        Ok(())
    }

    fn routine(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        self.catalog.routines.insert(Routine {
            schema: row.text(1)?.into(),
            name: row.text(2)?.into(),
            listed: row.flag(3)?,
            of_row: row.flag(4)?,
            security_definer: row.flag(5)?,
            kind: row.text(6)?.into(),
            volatility: row.text(7)?.into(),
            arguments: row.text(9)?.into(),
        });
        Ok(())
    }
}

/// The values of one row.
#[derive(Clone, Copy)]
struct Row<'a>(&'a [Option<&'a str>]);

impl<'a> Row<'a> {
    fn maybe(self, at: usize) -> Result<Option<&'a str>, Unexpected> {
        self.0.get(at).copied().ok_or(Unexpected)
    }

    fn text(self, at: usize) -> Result<&'a str, Unexpected> {
        self.maybe(at)?.ok_or(Unexpected)
    }

    fn flag(self, at: usize) -> Result<bool, Unexpected> {
        match self.maybe(at)? {
            Some("t") => Ok(true),
            Some("f") | None => Ok(false),
            Some(_) => Err(Unexpected),
        }
    }

    fn oid(self, at: usize) -> Result<u32, Unexpected> {
        parsed(self.text(at)?)
    }

    fn number(self, at: usize) -> Result<i16, Unexpected> {
        parsed(self.text(at)?)
    }
}

fn parsed<T: std::str::FromStr>(text: &str) -> Result<T, Unexpected> {
    text.parse().map_err(|_| Unexpected)
}

fn numbers(text: &str) -> Result<Vec<i16>, Unexpected> {
    text.split_ascii_whitespace().map(parsed).collect()
}
