//! A snapshot from the rows that the catalog's statements give.
//!
//! A row that is not what was asked for ends the snapshot: a catalog that is half understood must not judge anything.

use super::body::Body;
use super::query;
use super::{
    Catalog, Change, CheckedType, Column, DEFERRED, EVENT, Evaluated, Kind, Name, Relation, Routine, TEMPORARY,
    TRIGGER, TYPE,
};
use std::collections::{BTreeMap, BTreeSet};

/// A row of the catalog that is not what [`query::TEXT`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of the catalog has an unexpected shape")]
pub struct Unexpected;

/// Builds a snapshot, row by row.
#[derive(Debug, Default)]
pub struct Builder {
    catalog: Catalog,
    rows: usize,
    frozen: bool,
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
            "rule" => self.rule(row),
            "routine" => self.routine(row),
            "versions" | "shared" | "stands" => self.versions(row),
            "cast" => self.cast(row),
            "barrier" => self.barrier(row),
            "default" => self.default(row),
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
            "type" => self.cast_type(row),
            "isolation" => self.isolation(row),
            "analysed" | "common" => self.statistics(row),
            "serial" => self.serial(row),
            "written" | "compared" | "checked" | "body" => self.runs(row),
            "names" => {
                self.catalog.named_types.entry(row.oid(1)?).or_default().insert(row.oid(2)?);
                Ok(())
            }
            "indexed" => {
                self.catalog.indexed.insert((row.text(1)?.into(), row.text(2)?.into()), row.oid(3)?);
                Ok(())
            }
            "extension" => {
                self.catalog.extensions.insert(row.text(1)?.into(), row.text(2)?.into());
                Ok(())
            }
            _ => Err(Unexpected),
        }
    }

    /// Whether the transaction that was read in sees definitions as they were when it began.
    pub fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// The snapshot.
    pub fn build(self) -> Catalog {
        self.catalog
    }

    fn rule(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        let rules = self.catalog.rules.entry(row.oid(1)?).or_default();
        rules.insert((row.text(2)?.into(), row.text(3)?.into()));
        Ok(())
    }

    /// What changes with definitions that are not read themselves.
    fn versions(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        match row.text(0)? {
            "versions" => self.catalog.routine_versions = row.text(1)?.into(),
            "shared" => self.catalog.shared_versions = row.text(1)?.into(),
            _ => {
                let stands = row.text(2)?;
                self.with(row.oid(1)?, |relation| relation.stands = stands.into());
            }
        }
        Ok(())
    }

    fn barrier(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        self.catalog.barriers.insert(row.oid(1)?);
        Ok(())
    }

    fn default(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        let column = row.number(2)?;
        self.with(row.oid(1)?, |relation| _ = relation.defaults.insert(column));
        Ok(())
    }

    fn isolation(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        self.catalog.serializable = row.text(1)? == "serializable";
        self.frozen = self.catalog.serializable || row.text(1)? == "repeatable read";
        Ok(())
    }

    fn cast_type(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        self.catalog.types.insert(row.text(1)?.into());
        self.catalog.type_oids.insert(row.oid(2)?);
        Ok(())
    }

    fn with(&mut self, oid: u32, change: impl FnOnce(&mut Relation)) {
        if let Some(relation) = self.catalog.names.get(&oid).and_then(|name| self.catalog.relations.get_mut(name)) {
            change(relation);
        }
    }

    /// What runs without its name in a statement.
    fn runs(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        let oid = row.oid(1)?;
        match row.text(0)? {
            "written" => {
                self.catalog.on_write.entry(oid).or_default().insert((what_runs(row.text(2)?)?, row.oid(3)?));
            }
            "compared" => {
                self.catalog.compared.entry(oid).or_default().insert(row.oid(3)?);
                self.catalog.comparing.insert(row.text(2)?.into());
            }
            "checked" => {
                let checked = CheckedType { oid, routine: row.oid(3)? };
                self.catalog.checked.entry(row.text(2)?.into()).or_default().push(checked);
            }
            _ => {
                self.catalog.bodies.insert(oid, Body::read(row.text(2)?, row.maybe(3)?));
            }
        }
        Ok(())
    }

    fn volatile(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        match row.text(1)? {
            "operator" => {
                self.catalog.volatile_operators.insert(row.text(2)?.into());
            }
            "made" => {
                self.catalog.volatile_when_made.insert(row.oid(3)?, row.text(2)?.into());
                self.catalog.volatile_types.insert(row.text(2)?.into());
            }
            _ => {
                self.catalog.volatile_types.insert(row.text(2)?.into());
            }
        }
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
            leading: Vec::new(),
            clustered_by: BTreeSet::new(),
            evaluated: Vec::new(),
            analysed: BTreeSet::new(),
            defaults: BTreeSet::new(),
            most_common: Vec::new(),
            partitioned_by: Vec::new(),
            computed_from: BTreeMap::new(),
            policy_reads: Vec::new(),
            stands: Box::default(),
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
        let (primary, unique, simple, computed) =
            (row.flag(2)?, row.flag(3)?, row.flag(6)?, row.maybe(7)?.unwrap_or_default().to_owned());
        let mut keys = numbers(row.text(4)?)?;
        let leading = keys.first().copied().unwrap_or_default();
        let mut columns: BTreeSet<i16> = keys.iter().copied().filter(|key| *key > 0).collect();
        columns.extend(numbers(row.text(5)?)?);
        let clustered = row.flag(8)?;
        // What is held along (INCLUDE) is no key.
        let along = keys.split_off(usize::try_from(row.number(9)?).map_err(|_| Unexpected)?.min(keys.len()));
        self.with(row.oid(1)?, |relation| {
            let whole = computed.contains(".*");
            if whole {
                // A whole row: the server notes no column of it.
                columns.extend(relation.columns.iter().map(|column| column.number));
            }
            if clustered {
                relation.clustered_by.clone_from(&columns);
            }
            if primary && simple {
                relation.primary_key = Some(keys.clone());
            }
            if !computed.is_empty() {
                relation.analysed.extend(columns.iter().copied());
            }
            // Columns that the expressions and the condition may name; too many rather than too few.
            let spelled = |name: &str| computed.contains(name) || computed.contains(&name.replace('"', "\"\""));
            let named = relation.columns.iter().filter(|column| spelled(&column.name));
            let named: BTreeSet<i16> = named.map(|column| column.number).collect();
            if unique {
                let what = "a unique index or constraint";
                let tests =
                    |number: &&i16| whole || !along.contains(number) || keys.contains(number) || named.contains(number);
                let columns = columns.iter().filter(tests).copied().collect();
                relation.evaluated.push(Evaluated { what, columns, refers: None, validated: true });
            } else if !computed.is_empty() {
                let columns = named;
                let what = "an index over an expression";
                relation.evaluated.push(Evaluated { what, columns, refers: None, validated: true });
            }
            relation.indexes.push(columns);
            relation.leading.push(leading);
        });
        Ok(())
    }

    fn serial(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        self.catalog.serials.insert((row.oid(1)?, row.oid(2)?, row.number(3)?));
        Ok(())
    }

    /// Columns on which extended statistics rest; of a whole row the server notes no column.
    fn statistics(&mut self, row: Row<'_>) -> Result<(), Unexpected> {
        let (together, mut columns) = (row.text(0)? == "common", numbers(row.text(2)?)?);
        self.with(row.oid(1)?, |relation| {
            if columns.contains(&0) {
                columns = relation.columns.iter().map(|column| column.number).collect();
            }
            if together {
                relation.most_common.push(columns.into_iter().collect());
            } else {
                relation.analysed.extend(columns);
            }
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
        let mut columns: BTreeSet<i16> = numbers(row.text(3)?)?.into_iter().collect();
        let (referred, validated) = (row.oid(4)?, row.flag(6)?);
        let refers = if referred == 0 { None } else { Some((referred, numbers(row.text(5)?)?.into_iter().collect())) };
        self.with(row.oid(2)?, |relation| {
            if columns.contains(&0) {
                // It is given the whole row.
                columns.extend(relation.columns.iter().map(|column| column.number));
            }
            relation.evaluated.push(Evaluated { what, columns, refers, validated });
        });
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

/// The word for people of what runs when a row is written.
fn what_runs(word: &str) -> Result<&'static str, Unexpected> {
    match word {
        "trigger" => Ok(TRIGGER),
        "deferred" => Ok(DEFERRED),
        "event" => Ok(EVENT),
        "constraint" => Ok("a constraint"),
        "default" => Ok("a default or a generated column"),
        "index" => Ok("an index"),
        "partition" => Ok("the way it is divided"),
        "statistics" => Ok("its extended statistics"),
        "type" => Ok(TYPE),
        _ => Err(Unexpected),
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
