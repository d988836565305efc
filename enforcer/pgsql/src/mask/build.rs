//! From masks and a catalog to a plan: who inherits a mask, what is computed from a masked column, and what is closed.

use super::effects::Effects;
use super::expression::{Key, is_computed, is_reserved, masked, quoted};
use super::order::Access;
use super::{Cover, Masks, Plan, Provided, RelationMasks, Shape, Treatment, estimate, hashes, rewrite};
use crate::provision::names;
use crate::session::SessionFacts;
use crate::snapshot::{Catalog, Kind, Name, Relation};
use crate::statement::{ObjectClass, ObjectKind};
use lang::program::rules::MaskAs;
use lang::protocol::Operation;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// How many views may stand upon one another.
const VIEW_DEPTH_MAX: usize = 64;

/// The masks of one table, by the number of the column, or why it is closed.
#[derive(Clone, Debug, Default)]
struct Effective {
    columns: BTreeMap<i16, MaskAs>,
    closed: Option<String>,
}

pub(super) fn plan(catalog: Arc<Catalog>, masks: Masks, mut facts: SessionFacts) -> Plan {
    facts.overloads = catalog.overloads(&facts.default_schema);
    facts.row_routines = catalog.row_routines(&facts.default_schema);
    facts.operators.clone_from(&catalog.volatile_operators);
    facts.types.clone_from(&catalog.volatile_types);
    facts.domains = catalog.volatile_when_made.values().cloned().collect();
    let effective = effective(&catalog, &masks);
    let numbers = effective
        .iter()
        .map(|(oid, found)| (*oid, found.columns.keys().copied().collect::<BTreeSet<i16>>()))
        .filter(|(_, columns)| !columns.is_empty())
        .collect();
    let plan = Plan {
        catalog,
        facts,
        treatments: BTreeMap::new(),
        shapes: BTreeSet::new(),
        masked: numbers,
        tainted: BTreeSet::new(),
        provided: Vec::new(),
        serials: false,
        fed: hashes::Fed::new(),
        feeding: BTreeSet::new(),
        effects: Effects::default(),
        masks,
    };
    let mut builder = Build { plan, done: BTreeSet::new() };
    builder.tables(&effective);
    builder.families();
    builder.sequences();
    builder.views();
    let mut plan = builder.plan;
    (plan.fed, plan.feeding) = hashes::all(&plan);
    plan.effects = Effects::new(&plan);
    plan.shapes = plan.treatments.values().flat_map(Treatment::shapes).map(|shape| shape.digest).collect();
    plan
}

/// The masks of every table, with what it inherits and what is computed from masked columns.
fn effective(catalog: &Catalog, masks: &Masks) -> BTreeMap<u32, Effective> {
    let mut found: BTreeMap<u32, Effective> = BTreeMap::new();
    for (name, laid) in &masks.relations {
        let Some(relation) = catalog.relation(name) else { continue };
        for member in catalog.family(relation.oid) {
            let Some(relative) = catalog.name_of(member).and_then(|name| catalog.relation(name)) else { continue };
            lay(found.entry(member).or_default(), relative, laid);
        }
    }
    for (oid, effective) in &mut found {
        let Some((name, relation)) = named(catalog, *oid) else { continue };
        hide_unlisted(catalog, masks, name, relation, effective);
        computed(relation, effective);
    }
    if let Some(attributes) = catalog.relation(&("pg_catalog".into(), "pg_attribute".into()))
        && let Some(column) = attributes.column_named("attmissingval")
    {
        // The value that rows of before ADD COLUMN … DEFAULT have: a cell of a user's table.
        found.entry(attributes.oid).or_default().columns.insert(column.number, MaskAs::Nullify);
    }
    found
}

fn named(catalog: &Catalog, oid: u32) -> Option<(&Name, &Relation)> {
    let name = catalog.name_of(oid)?;
    Some((name, catalog.relation(name)?))
}

fn lay(effective: &mut Effective, relation: &Relation, laid: &RelationMasks) {
    if effective.closed.is_none() {
        effective.closed.clone_from(&laid.closed);
    }
    for column in &relation.columns {
        let masks = [laid.columns.get(&column.name), laid.all.as_ref()];
        for mask in masks.into_iter().flatten() {
            let entry = effective.columns.entry(column.number).or_insert_with(|| mask.clone());
            if mask.rank() > entry.rank() {
                *entry = mask.clone();
            }
        }
    }
}

/// A column that the policy does not know is not shown on a relation with masks.
fn hide_unlisted(catalog: &Catalog, masks: &Masks, name: &Name, relation: &Relation, effective: &mut Effective) {
    let Some(listed) = &masks.listed else { return };
    // A partition's columns are those of its parent.
    let family = catalog.family(relation.oid);
    let names: Vec<&Name> = family.iter().filter_map(|oid| catalog.name_of(*oid)).chain([name]).collect();
    for column in &relation.columns {
        let known = names.iter().any(|name| listed.contains(&format!("{}.{}.{}", name.0, name.1, column.name)));
        if !known {
            effective.columns.entry(column.number).or_insert(MaskAs::Nullify);
        }
    }
}

/// A generated column of a masked one says what the masked one holds.
fn computed(relation: &Relation, effective: &mut Effective) {
    for (column, from) in &relation.computed_from {
        if from.iter().any(|source| effective.columns.contains_key(source)) {
            effective.columns.entry(*column).or_insert(MaskAs::Nullify);
        }
    }
}

/// What a view stands upon.
#[derive(Clone, Copy, Debug, Default)]
struct Below {
    /// Whether something of it has masks.
    covered: bool,
    /// Whether its rows may come in an order of masked values.
    ordered: bool,
    /// Whether a mask of it is computed from what a column holds.
    computed: bool,
}

struct Build {
    plan: Plan,
    done: BTreeSet<Name>,
}

impl Build {
    fn tables(&mut self, effective: &BTreeMap<u32, Effective>) {
        let catalog = Arc::clone(&self.plan.catalog);
        for (name, relation) in catalog.relations() {
            let empty = Effective::default();
            let found = effective.get(&relation.oid).unwrap_or(&empty);
            if names::is_own(&name.0) {
                self.close(name, "it is the gateway's own");
                continue;
            }
            if relation.kind == Kind::View {
                continue;
            }
            if !found.columns.is_empty() || found.closed.is_some() {
                self.plan.tainted.insert(name.clone());
            }
            if let Some(why) = found.closed.clone().or_else(|| self.closed(relation, found)) {
                self.plan.treatments.insert(name.clone(), Treatment::Closed(why.into()));
            } else if !found.columns.is_empty() {
                let access = Access::of_table(&self.plan, relation);
                let from = [source(name, false), source(name, true)];
                let made = self.cover(name, relation, &found.columns, &from, access, &BTreeSet::new());
                self.take(name, relation, made);
            }
        }
    }

    /// Tables without a masked column of their own, of which a part has one that decides an order.
    fn families(&mut self) {
        let catalog = Arc::clone(&self.plan.catalog);
        for (name, relation) in catalog.relations().filter(|(_, relation)| catalog.has_children(relation.oid)) {
            let is_known = self.plan.treatments.contains_key(name) || is_catalog(name);
            let masked = |oid: &u32| self.plan.masked.contains_key(oid);
            if is_known || relation.kind == Kind::View || !catalog.family(relation.oid).iter().any(masked) {
                continue;
            }
            let access = Access::of_table(&self.plan, relation);
            if access.is_ordered() || access.is_fenced(true) {
                let from = [source(name, false), source(name, true)];
                let made = self.cover(name, relation, &BTreeMap::new(), &from, access, &BTreeSet::new());
                self.take(name, relation, made);
            }
        }
    }

    /// Sequences whose last number is the newest value of a masked column.
    fn sequences(&mut self) {
        let catalog = Arc::clone(&self.plan.catalog);
        for (sequence, table, column) in &catalog.serials {
            if let (true, Some(name)) = (self.plan.is_masked(*table, *column), catalog.name_of(*sequence)) {
                self.plan.serials = true;
                self.close(name, "it gives a masked column its numbers");
            }
        }
    }

    /// Why a table cannot be shown even with masks.
    fn closed(&self, relation: &Relation, found: &Effective) -> Option<String> {
        let catalog = &self.plan.catalog;
        for parent in catalog.ancestors(relation.oid) {
            let Some((_, above)) = named(catalog, parent) else { continue };
            let masked =
                |by: &i16| *by == 0 || found.columns.keys().any(|number| same_column(relation, *number, above, *by));
            if !found.columns.is_empty() && above.partitioned_by.iter().any(masked) {
                return Some(
                    "its rows are those of some values of a masked column; read the partitioned table".to_owned(),
                );
            }
        }
        if relation.row_security {
            let masked = relation.policy_reads.iter().any(|(table, column)| match table {
                None => true,
                Some(table) => {
                    *table != relation.oid && self.tells(*table, &mut BTreeSet::from([relation.oid]))
                        || self.plan.is_masked(*table, *column)
                }
            });
            if masked {
                return Some("its row policies read masked columns or call routines".to_owned());
            }
        }
        None
    }

    /// Whether the rows of a relation, or which of them are shown, rest on masked columns or on somebody's routine: its
    /// own, those of what a view reads, and those that row policies read.
    fn tells(&self, oid: u32, seen: &mut BTreeSet<u32>) -> bool {
        if !seen.insert(oid) {
            return false;
        }
        let catalog = &self.plan.catalog;
        let Some((name, relation)) = named(catalog, oid) else { return false };
        let policies = relation.policy_reads.iter().filter(|_| relation.row_security);
        self.plan.masked.contains_key(&oid)
            || catalog.runs(oid)
            || self.plan.masks.relations.contains_key(name)
            || relation.definition.is_some() && catalog.bases_of(oid).any(|base| self.tells(base, seen))
            || policies.into_iter().any(|(table, _)| table.is_none_or(|table| self.tells(table, seen)))
    }

    /// Views, each after what it reads, and materialised views.
    fn views(&mut self) {
        let catalog = Arc::clone(&self.plan.catalog);
        for (name, relation) in catalog.relations() {
            match relation.kind {
                Kind::View | Kind::Materialised => self.view(name, 0),
                Kind::Table | Kind::Partitioned | Kind::Foreign | Kind::Sequence | Kind::Toast => {}
            }
        }
    }

    fn view(&mut self, name: &Name, depth: usize) {
        if !self.done.insert(name.clone()) {
            return;
        }
        let catalog = Arc::clone(&self.plan.catalog);
        let Some(relation) = catalog.relation(name) else { return };
        if depth > VIEW_DEPTH_MAX {
            self.close(name, "it stands upon too many views");
            return;
        }
        let mut bases: BTreeSet<Name> =
            catalog.bases_of(relation.oid).filter_map(|oid| catalog.name_of(oid)).cloned().collect();
        if names::is_own(&name.0) {
            return;
        }
        if catalog.runs(relation.oid) {
            return self.close(name, "its query runs a routine of the database");
        }
        let (mut below, mut tainted) = (Below::default(), false);
        if let Some(definition) = &relation.definition {
            match read_by(definition, &self.plan.facts) {
                Ok(read) => bases.extend(read),
                Err(why) => return self.close(name, &why),
            }
        }
        for base in &bases {
            if base != name {
                self.view(base, depth + 1);
            }
            tainted |= self.plan.tainted.contains(base);
            match self.plan.treatments.get(base) {
                Some(Treatment::Closed(_)) if base != name => {
                    return self.close(name, &format!("it reads `{}.{}`, which is closed", base.0, base.1));
                }
                Some(Treatment::Covered(cover)) => {
                    below.covered = true;
                    below.ordered |= cover.access.is_ordered();
                    below.computed |= !cover.computed.is_empty();
                }
                Some(Treatment::Closed(_)) | None => {}
            }
        }
        if tainted {
            self.plan.tainted.insert(name.clone());
        }
        match relation.kind {
            Kind::Materialised if tainted => self.close(name, "it holds copies of rows with masked columns"),
            Kind::View => self.cover_view(name, relation, below),
            Kind::Materialised | Kind::Table | Kind::Partitioned | Kind::Foreign | Kind::Sequence | Kind::Toast => {}
        }
    }

    /// A view over masked relations becomes its own query over what stands in for them; its own masks lie on top.
    fn cover_view(&mut self, name: &Name, relation: &Relation, below: Below) {
        let own = self.plan.masks.relations.get(name);
        if let Some(why) = own.and_then(|laid| laid.closed.clone()) {
            return self.close(name, &why);
        }
        let mut effective = Effective::default();
        if let Some(laid) = own {
            lay(&mut effective, relation, laid);
        }
        if !effective.columns.is_empty() {
            self.plan.tainted.insert(name.clone());
        }
        // Where the target masks, no view is read itself: whoever redefines it would change what it shows.
        let inlined = below.covered || self.plan.masks.views.is_some();
        if !inlined && effective.columns.is_empty() {
            return;
        }
        let mut through = BTreeSet::new();
        let from = if inlined {
            let columns: Vec<_> = relation.columns.iter().map(|column| (column.name.clone(), column.groups)).collect();
            if below.computed {
                through = estimate::of_view(&self.plan, relation.definition.as_deref().unwrap_or_default(), &columns);
            }
            let Some(inner) = relation.definition.as_deref().and_then(|text| rewrite::definition(&self.plan, text))
            else {
                return self.close(name, "its query cannot be rewritten");
            };
            format!("({inner}) AS m")
        } else {
            source(name, false)
        };
        let computes = relation.definition.as_deref().is_none_or(rewrite::computes);
        let barrier = self.plan.catalog.barriers.contains(&relation.oid);
        let access = Access::of_view(!effective.columns.is_empty(), below.ordered, computes).or_barrier(barrier);
        let made = self.cover(name, relation, &effective.columns, &[from.clone(), from], access, &through);
        if made.is_some() && !effective.columns.is_empty() {
            self.plan.masked.insert(relation.oid, effective.columns.keys().copied().collect());
        }
        self.take(name, relation, made);
    }

    /// The queries that compute a relation's masks, with the key of hashes from where this plan has it.
    fn cover(
        &self,
        name: &Name,
        relation: &Relation,
        masks: &BTreeMap<i16, MaskAs>,
        from: &[String; 2],
        access: Access,
        through: &BTreeSet<Box<str>>,
    ) -> Option<Cover> {
        let key = match &self.plan.masks.views {
            Some(views) if !is_catalog(name) => Key::Table(&views.keys),
            Some(_) | None => Key::Parameters,
        };
        let mut made = cover(relation, masks, from, access, through, key)?;
        if is_catalog(name) {
            made.versioned = versioned(&made.whole);
        }
        Some(made)
    }

    /// Takes what was made for a relation. Where the target masks, its queries are those of views, which are read instead.
    fn take(&mut self, name: &Name, relation: &Relation, made: Option<Cover>) {
        let Some(made) = made else { return self.close(name, "its masks cannot be computed") };
        let Some(views) = self.plan.masks.views.clone().filter(|_| !is_catalog(name)) else {
            self.plan.treatments.insert(name.clone(), Treatment::Covered(Arc::new(made)));
            return;
        };
        let catalog = Arc::clone(&self.plan.catalog);
        let provided = |only: bool, query: &str| Provided {
            relation: name.clone(),
            view: names::view(name, only),
            query: query.to_owned(),
        };
        let mut all = vec![provided(false, &made.whole.text)];
        if catalog.has_children(relation.oid) {
            all.push(provided(true, &made.only.text));
        }
        let stands = |one: &Provided| {
            let view = catalog.relation(&(views.schema.clone(), one.view.as_str().into()));
            let view = view.filter(|view| view.kind == Kind::View);
            view.is_some_and(|view| catalog.provisioned(view.oid) == Some(one.mark().as_str()))
        };
        if views.standing && !all.iter().all(stands) {
            return self.close(
                name,
                "its masking view is missing or was made for another policy or table; `leasehold provision` makes it anew",
            );
        }
        let from = |one: Option<&Provided>| {
            let view = one.map(|one| one.view.as_str()).unwrap_or_default();
            format!("{}.{} AS m", quoted(&views.schema), quoted(view))
        };
        let read = reading(made, &from(all.first()), &from(all.last()));
        self.plan.provided.extend(all);
        match read {
            Some(read) => {
                self.plan.treatments.insert(name.clone(), Treatment::Covered(Arc::new(read)));
            }
            None => self.close(name, "its masking view cannot be read"),
        }
    }

    fn close(&mut self, name: &Name, why: &str) {
        self.plan.treatments.insert(name.clone(), Treatment::Closed(why.into()));
    }
}

fn same_column(child: &Relation, number: i16, parent: &Relation, by: i16) -> bool {
    match (child.column(number), parent.column(by)) {
        (Some(child), Some(parent)) => child.name == parent.name,
        _ => false,
    }
}

/// The relations that a view's query reads; why it cannot be shown when it does more than read.
fn read_by(definition: &str, facts: &SessionFacts) -> Result<BTreeSet<Name>, String> {
    let judged = crate::judge(definition, facts).map_err(|_| "its query cannot be analysed".to_owned())?;
    let mut read = BTreeSet::new();
    for access in judged.iter().flat_map(|statement| &statement.accesses) {
        match (&access.object, access.operation) {
            (Some(object), Operation::Select) if object.kind == ObjectKind::Relation => match object.class {
                ObjectClass::Harmless => {}
                ObjectClass::Ordinary => {
                    read.insert((object.schema.clone().unwrap_or_default(), object.name.clone()));
                }
                ObjectClass::Sensitive => {
                    return Err(format!("it shows `{}`, which holds data of other relations or sessions", object.name));
                }
            },
            (Some(object), Operation::Call) => return Err(format!("it calls the routine `{}`", object.name)),
            (Some(object), Operation::Show) if !is_reserved(&object.name) => {}
            (None, Operation::Select) => {}
            (_, other) => return Err(format!("its query does more than read ({other})")),
        }
    }
    Ok(read)
}

fn source(name: &Name, only: bool) -> String {
    let only = if only { "ONLY " } else { "" };
    format!("{only}{}.{} AS m", quoted(&name.0), quoted(&name.1))
}

/// The queries that stand in for a relation; `from` is what they read, once with and once without what inherits.
fn cover(
    relation: &Relation,
    masks: &BTreeMap<i16, MaskAs>,
    [from, from_only]: &[String; 2],
    access: Access,
    through: &BTreeSet<Box<str>>,
    key_from: Key<'_>,
) -> Option<Cover> {
    let (mut shown, mut raw, mut columns) = (Vec::new(), Vec::new(), Vec::new());
    for column in &relation.columns {
        let name = quoted(&column.name);
        if let Some(mask) = masks.get(&column.number) {
            shown.push((masked(mask, column, key_from), name));
        } else {
            shown.push((format!("m.{name}"), name.clone()));
            raw.push((format!("m.{name}"), name));
        }
        columns.push((column.name.clone(), column.groups));
    }
    let named = |numbers: BTreeSet<i16>| -> BTreeSet<Box<str>> {
        numbers.iter().filter_map(|number| relation.column(*number)).map(|column| column.name.clone()).collect()
    };
    let numbers: BTreeSet<i16> = masks.keys().copied().collect();
    let hashes = masks.iter().filter(|(_, mask)| **mask == MaskAs::Hash).map(|(number, _)| *number).collect();
    let key = relation.primary_key.as_ref().filter(|key| key.iter().all(|number| !numbers.contains(number)));
    let shape = |columns: &[(String, String)], from: &str, inherits: bool| {
        let values: Vec<&str> = columns.iter().map(|(value, _)| value.as_str()).collect();
        let named: Vec<String> = columns.iter().map(|(value, name)| format!("{value} AS {name}")).collect();
        let order = access.order(relation, key, inherits, &values);
        rewrite::shape(&format!("SELECT {} FROM {from}{order}", named.join(", ")))
    };
    let (whole, only) = (shape(&shown, from, true)?, shape(&shown, from_only, false)?);
    let computed = relation.columns.iter().filter(|column| match masks.get(&column.number) {
        Some(mask) => is_computed(mask, column),
        None => through.contains(&column.name),
    });
    let computed: BTreeSet<Box<str>> = computed.map(|column| column.name.clone()).collect();
    Some(Cover {
        opaque: opaque(&[&whole, &only], &columns, &computed),
        whole,
        only,
        versioned: None,
        computed,
        narrow: shape(&raw, from, true)?,
        narrow_only: shape(&raw, from_only, false)?,
        primary_key: key.map(|key| {
            key.iter().filter_map(|number| relation.column(*number)).map(|column| column.name.clone()).collect()
        }),
        masked: named(numbers),
        hashed: named(hashes),
        columns,
        access,
    })
}

/// The query with the columns of a definition's row that say when it was made and where it stands. Its place (`ctid`) is
/// not among them: it would say how long what is hidden is.
fn versioned(whole: &Shape) -> Option<Shape> {
    let columns = whole.text.strip_prefix("SELECT ")?;
    rewrite::shape(&format!("SELECT m.xmin AS xmin, m.tableoid AS tableoid, {columns}"))
}

/// The same two with statistics kept out of sight.
fn opaque(shapes: &[&Shape; 2], columns: &[(Box<str>, bool)], computed: &BTreeSet<Box<str>>) -> Option<[Shape; 2]> {
    let [whole, only] = shapes.map(|shape| estimate::opaque(&shape.text, columns, computed));
    Some([whole?, only?])
}

/// The same, read from views that have computed it.
fn reading(made: Cover, from: &str, from_only: &str) -> Option<Cover> {
    let listed = |all: bool| -> Vec<String> {
        let shown = made.columns.iter().filter(|(name, _)| all || !made.masked.contains(name));
        shown.map(|(name, _)| format!("m.{0} AS {0}", quoted(name))).collect()
    };
    let shape = |all: bool, from: &str| rewrite::shape(&format!("SELECT {} FROM {from}", listed(all).join(", ")));
    let (whole, only) = (shape(true, from)?, shape(true, from_only)?);
    Some(Cover {
        opaque: opaque(&[&whole, &only], &made.columns, &made.computed),
        whole,
        only,
        narrow: shape(false, from)?,
        narrow_only: shape(false, from_only)?,
        ..made
    })
}

/// Whether a relation is the server's own: every account may read it, so that only the statement can mask it.
fn is_catalog(name: &Name) -> bool {
    name.0.as_ref() == crate::catalog::PG_CATALOG
}
