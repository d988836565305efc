//! The cells of one connection: operations × objects × instants, each finite and exact. Every rule concerned is
//! constant on a cell, so a rule's region is a set of cells, and one request stands for all of its cell.

use super::{TooComplex, bits::Bits, local::Local, segment, times, words};
use lang::{
    program::{Access, Object, Scope},
    protocol::{ConnectionKind, OpSet, Operation},
    time::{Hours, Timestamp, Valid, Zone},
};
use std::collections::BTreeSet;

/// The most cells that one connection may fall into.
const CELLS_MAX: usize = 4 << 20;

/// The cells of a connection.
#[derive(Clone, Debug)]
pub struct Cells {
    kind: ConnectionKind,
    ops: Vec<Operation>,
    objects: Vec<Object>,
    times: Vec<Timestamp>,
}

/// What one cell stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// The operation on an object that stands for its class.
    pub access: Access,
    /// An instant that stands for its class: the earliest one.
    pub at: Timestamp,
}

impl Cells {
    /// The common refinement of everything that these revisions say about a connection, from an instant on.
    ///
    /// # Errors
    /// When patterns fall into more classes than can be looked at.
    pub fn new(sides: &[&Local<'_>], zone: &Zone, from: Timestamp) -> Result<Self, TooComplex> {
        Self::with(sides, None, zone, from)
    }

    /// The same, with an object that is told apart from every other one.
    ///
    /// # Errors
    /// When patterns fall into more classes than can be looked at.
    pub fn with(
        sides: &[&Local<'_>],
        object: Option<&Object>,
        zone: &Zone,
        from: Timestamp,
    ) -> Result<Self, TooComplex> {
        let table = match object {
            Some(Object::Table { schema, name }) => Some(format!("{schema}.{name}")),
            Some(Object::Nothing | Object::Kubernetes { .. } | Object::Path(_) | Object::Argv(_)) | None => None,
        };
        let kind = sides.first().map_or(ConnectionKind::Postgres, |local| local.connection.kind);
        let mut seen = Seen::default();
        for local in sides {
            seen.look(local);
        }
        seen.tables.extend(table.as_deref());
        match object {
            Some(Object::Kubernetes { namespace, resource }) => {
                seen.namespaces.insert(namespace);
                seen.resources.insert(resource);
            }
            Some(Object::Path(path)) => {
                seen.paths.insert(path);
            }
            Some(Object::Argv(argv)) => {
                seen.argv.insert(argv);
            }
            Some(Object::Table { .. } | Object::Nothing) | None => {}
        }
        let cells = Self {
            kind,
            ops: kind.operations().collect(),
            objects: seen.objects(kind)?,
            times: times::examples(&seen.hours, &seen.days, zone, from),
        };
        if cells.len() > CELLS_MAX { Err(TooComplex) } else { Ok(cells) }
    }

    /// How many cells there are.
    fn len(&self) -> usize {
        self.ops.len() * self.objects.len() * self.times.len()
    }

    /// The instants.
    pub fn times(&self) -> &[Timestamp] {
        &self.times
    }

    /// The objects.
    pub fn objects(&self) -> &[Object] {
        &self.objects
    }

    /// The operations.
    pub fn ops(&self) -> &[Operation] {
        &self.ops
    }

    /// The empty region.
    pub fn none(&self) -> Bits {
        Bits::none(self.len())
    }

    /// Every cell in which something can happen.
    pub fn all(&self) -> Bits {
        self.region(|_, _| true, |_| true)
    }

    /// The cells in which something is reached: an object, or what an operation does without one. A statement that
    /// touches nothing, such as `select 1`, is within every scope and gives nothing.
    pub fn reaching(&self) -> Bits {
        self.region(|op, object| *object != Object::Nothing || stands_alone(self.kind, op), |_| true)
    }

    /// The cells whose operation on its object, and whose instant, satisfy a rule.
    pub fn region(&self, mut what: impl FnMut(Operation, &Object) -> bool, when: impl Fn(Timestamp) -> bool) -> Bits {
        let mut region = self.none();
        let when: Vec<usize> =
            (0..self.times.len()).filter(|at| self.times.get(*at).is_some_and(|at| when(*at))).collect();
        if when.is_empty() {
            return region;
        }
        for (o, op) in self.ops.iter().enumerate() {
            for (b, object) in self.objects.iter().enumerate() {
                if possible(self.kind, *op, object) && what(*op, object) {
                    let base = (o * self.objects.len() + b) * self.times.len();
                    for time in &when {
                        region.insert(base + time);
                    }
                }
            }
        }
        region
    }

    /// The cells of operations on what a scope covers, within hours and days.
    pub fn covered(&self, ops: OpSet, scope: &Scope, when: impl Fn(Timestamp) -> bool) -> Bits {
        let covers: Vec<bool> = self.objects.iter().map(|object| scope.covers(object)).collect();
        self.by_object(ops, &covers, when)
    }

    /// The cells of operations on what a guard's scope concerns.
    pub fn concerned(&self, ops: OpSet, scope: &Scope, when: impl Fn(Timestamp) -> bool) -> Bits {
        let concerns: Vec<bool> = self.objects.iter().map(|object| scope.concerns(object)).collect();
        self.by_object(ops, &concerns, when)
    }

    fn by_object(&self, ops: OpSet, hit: &[bool], when: impl Fn(Timestamp) -> bool) -> Bits {
        let mut region = self.none();
        let when: Vec<usize> =
            (0..self.times.len()).filter(|at| self.times.get(*at).is_some_and(|at| when(*at))).collect();
        for (o, op) in self.ops.iter().enumerate().filter(|(_, op)| ops.contains(**op)) {
            for (b, object) in self.objects.iter().enumerate() {
                if hit.get(b) == Some(&true) && possible(self.kind, *op, object) {
                    let base = (o * self.objects.len() + b) * self.times.len();
                    for time in &when {
                        region.insert(base + time);
                    }
                }
            }
        }
        region
    }

    /// The cells of one object.
    pub fn of_object(&self, object: usize) -> Bits {
        let mut region = self.none();
        for (o, _) in self.ops.iter().enumerate() {
            let base = (o * self.objects.len() + object) * self.times.len();
            (0..self.times.len()).for_each(|time| region.insert(base + time));
        }
        region
    }

    /// The cells of one instant.
    pub fn of_time(&self, time: usize) -> Bits {
        let mut region = self.none();
        let mut at = time;
        while at < self.len() {
            region.insert(at);
            at += self.times.len();
        }
        region
    }

    /// What a cell stands for.
    pub fn point(&self, cell: usize) -> Option<Point> {
        let times = self.times.len().max(1);
        let (pair, time) = (cell / times, cell % times);
        let objects = self.objects.len().max(1);
        Some(Point {
            access: Access { op: *self.ops.get(pair / objects)?, object: self.objects.get(pair % objects)?.clone() },
            at: *self.times.get(time)?,
        })
    }

    /// The operations of a region.
    pub fn ops_of(&self, region: &Bits) -> OpSet {
        let each = (self.objects.len() * self.times.len()).max(1);
        region.iter().filter_map(|cell| self.ops.get(cell / each)).copied().collect()
    }

    /// A cell's operation.
    pub fn op_of(&self, cell: usize) -> Option<Operation> {
        self.ops.get(cell / (self.objects.len() * self.times.len()).max(1)).copied()
    }

    /// The position of a cell's object.
    pub fn object_of(&self, cell: usize) -> usize {
        (cell / self.times.len().max(1)) % self.objects.len().max(1)
    }

    /// The position of a cell's instant.
    pub fn time_of(&self, cell: usize) -> usize {
        cell % self.times.len().max(1)
    }

    /// The cell of an operation, an object and an instant of this universe.
    pub fn cell(&self, access: &Access, at: Timestamp) -> Option<usize> {
        let op = self.ops.iter().position(|op| *op == access.op)?;
        let object = self.objects.iter().position(|object| *object == access.object)?;
        let time = self.times.iter().position(|time| *time == at)?;
        Some((op * self.objects.len() + object) * self.times.len() + time)
    }
}

/// Whether an operation of a kind can touch such an object. What touches nothing always can be asked for.
fn possible(kind: ConnectionKind, op: Operation, object: &Object) -> bool {
    match kind {
        ConnectionKind::Ssh => op == Operation::Exec || !matches!(object, Object::Argv(_)),
        ConnectionKind::Postgres | ConnectionKind::Mysql | ConnectionKind::Kubernetes | ConnectionKind::Http => true,
    }
}

/// Whether an operation does something although it names no object.
fn stands_alone(kind: ConnectionKind, op: Operation) -> bool {
    match kind {
        ConnectionKind::Postgres | ConnectionKind::Mysql => {
            [Operation::Do, Operation::Set, Operation::Listen, Operation::DclRole].contains(&op)
        }
        ConnectionKind::Ssh => op != Operation::Exec,
        ConnectionKind::Kubernetes | ConnectionKind::Http => false,
    }
}

/// Everything that the rules of a connection tell objects and instants apart by.
#[derive(Default)]
struct Seen<'r> {
    tables: BTreeSet<&'r str>,
    namespaces: BTreeSet<&'r str>,
    resources: BTreeSet<&'r str>,
    paths: BTreeSet<&'r str>,
    argv: BTreeSet<&'r str>,
    hours: Vec<&'r Hours>,
    days: Vec<&'r Valid>,
}

impl<'r> Seen<'r> {
    fn look(&mut self, local: &Local<'r>) {
        let connection = local.connection;
        for grant in &local.grants {
            self.scope(&grant.scope);
            self.hours.extend(&grant.hours);
            self.days.extend(&grant.valid);
        }
        for forbid in &local.forbids {
            self.hours.extend(&forbid.hours);
            self.days.extend(&forbid.valid);
        }
        for limits in &local.limits {
            self.hours.extend(&limits.hours);
        }
        for guard in &local.guards {
            self.hours.extend(&guard.hours);
            self.argv.extend(guard.argv.iter().map(String::as_str));
            let regions =
                guard.blocks.iter().chain(&guard.only).chain(guard.reviews.iter().map(|review| &review.region));
            regions.for_each(|region| self.scope(&region.scope));
        }
        for mask in &local.masks {
            self.tables
                .extend(mask.columns.iter().filter_map(|column| column.rsplit_once('.')).map(|(table, _)| table));
        }
        match connection.kind {
            ConnectionKind::Postgres | ConnectionKind::Mysql => {
                self.tables.extend(connection.classified.iter().map(|item| item.object.as_str()));
            }
            // What is classified there is a part of every answer.
            ConnectionKind::Ssh | ConnectionKind::Kubernetes | ConnectionKind::Http => {}
        }
        self.hours.sort_unstable();
        self.hours.dedup();
        self.days.sort_unstable();
        self.days.dedup();
    }

    fn scope(&mut self, scope: &'r Scope) {
        self.tables.extend(scope.tables.iter().map(String::as_str));
        self.namespaces.extend(scope.namespaces.iter().map(String::as_str));
        self.resources.extend(scope.resources.iter().map(String::as_str));
        self.paths.extend(scope.paths.iter().map(String::as_str));
        self.argv.extend(scope.argv.iter().map(String::as_str));
    }

    fn objects(&self, kind: ConnectionKind) -> Result<Vec<Object>, TooComplex> {
        let mut objects = vec![Object::Nothing];
        match kind {
            ConnectionKind::Postgres | ConnectionKind::Mysql => {
                let pairs: Vec<(&str, &str)> = self.tables.iter().filter_map(|table| table.split_once('.')).collect();
                for schema in segment::examples(pairs.iter().map(|(schema, _)| *schema)) {
                    let names = pairs.iter().filter(|(of, _)| lang::program::segment_matches(of, &schema));
                    let names = segment::examples(names.map(|(_, name)| *name));
                    objects.extend(names.into_iter().map(|name| Object::table(schema.clone(), name)));
                }
            }
            ConnectionKind::Kubernetes => {
                let resources = segment::examples(self.resources.iter().copied());
                for namespace in segment::examples(self.namespaces.iter().copied()) {
                    let of = |resource: &String| Object::Kubernetes {
                        namespace: namespace.clone(),
                        resource: resource.clone(),
                    };
                    objects.extend(resources.iter().map(of));
                }
            }
            ConnectionKind::Http => {
                objects.extend(words::paths(self.paths.iter().copied())?.into_iter().map(Object::Path));
            }
            ConnectionKind::Ssh => {
                objects.extend(words::command_lines(self.argv.iter().copied())?.into_iter().map(Object::Argv));
            }
        }
        Ok(objects)
    }
}
