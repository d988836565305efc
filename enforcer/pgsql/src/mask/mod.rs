//! Column masks by rewriting: what each relation is replaced by for one session, and whether a statement may run so.
//!
//! [`Plan::new`] lays the masks of a session over a catalog snapshot; [`Plan::cover`] turns a text into the one that the
//! server gets. Every reference to a relation with masked columns becomes a sub-query that computes the masks, so that
//! expressions, joins, order, aggregates and errors only ever see masked values. What cannot be proven is refused, with
//! a sentence that says what to do instead.
//!
//! # What remains visible
//! Whether a value is NULL (unless the mask is `nullify`), sizes of relations, the physical order of rows as it was, and
//! time.

mod altered;
mod blind;
mod build;
#[cfg(test)]
mod cost;
mod effects;
mod estimate;
mod explain;
pub mod expression;
mod groups;
mod hashes;
mod items;
mod named;
mod order;
pub mod policy;
mod prove;
mod quiet;
mod rewrite;
mod serial;
mod spelled;
#[cfg(test)]
mod tests;
mod unlisted;
mod visit;
mod windows;
mod write;
mod written;

use crate::Judged;
use crate::refusal::Refusal;
use crate::session::SessionFacts;
use crate::snapshot::{Catalog, Name, TEMPORARY};
use lang::program::rules::MaskAs;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// The masks that a policy lays on one relation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelationMasks {
    /// By column.
    pub columns: BTreeMap<Box<str>, MaskAs>,
    /// On every column.
    pub all: Option<MaskAs>,
    /// Why the relation is closed as a whole.
    pub closed: Option<String>,
}

/// What a policy says about a connection's relations, for one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    /// By relation.
    pub relations: BTreeMap<Name, RelationMasks>,
    /// Columns that are hashed by a pattern of tables, so that a new table may have one.
    pub hashed_anywhere: BTreeSet<Box<str>>,
    /// Patterns of schema and table by which the policy hashes columns.
    pub hashed_tables: BTreeSet<(Box<str>, Box<str>)>,
    /// Columns that the policy knows, as `schema.table.column`; a relation with masks hides the others. `None` shows them.
    pub listed: Option<BTreeSet<String>>,
    /// Where the target computes the masks itself; `None` when statements do.
    pub views: Option<Views>,
}

/// Where the gateway's own views stand in a target that masks by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Views {
    /// Their schema.
    pub schema: Box<str>,
    /// The schema of the key of hashes, which only the views' owner may read.
    pub keys: Box<str>,
    /// Whether they must stand in the catalog as they would be made now.
    pub standing: bool,
}

/// One of the gateway's own views.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provided {
    /// The relation that it shows.
    pub relation: Name,
    /// Its name.
    pub view: String,
    /// Its query.
    pub query: String,
}

impl Provided {
    /// What stands on the view in the catalog: with which query it was made.
    pub fn mark(&self) -> String {
        let digest = blake3::hash(self.query.as_bytes()).to_hex();
        format!("leasehold: {}", digest.get(..32).unwrap_or_default())
    }
}

/// A query that stands in for a relation, as the text that its tree deparses to.
#[derive(Clone)]
pub(crate) struct Shape {
    pub(crate) text: String,
    /// Of the tree, without where its nodes stand.
    pub(crate) digest: [u8; 32],
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// How one relation with masked columns is shown.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cover {
    /// Columns that are masked or hidden.
    pub(crate) masked: BTreeSet<Box<str>>,
    /// Columns whose mask is computed from what they hold.
    pub(crate) computed: BTreeSet<Box<str>>,
    /// Masked columns whose mask is a hash.
    pub(crate) hashed: BTreeSet<Box<str>>,
    /// Columns that are shown, masked or not, in order, with whether GROUP BY takes them.
    pub(crate) columns: Vec<(Box<str>, bool)>,
    /// Columns of the primary key, none of them masked.
    pub(crate) primary_key: Option<Vec<Box<str>>>,
    /// How the server may come by the rows.
    pub(crate) access: order::Access,
    /// Everything, masked.
    pub(crate) whole: Shape,
    /// The same without what inherits.
    pub(crate) only: Shape,
    /// Both, with statistics kept out of sight; `None` where a fence has to do that.
    pub(crate) opaque: Option<[Shape; 2]>,
    /// Of a relation of the server's own: the first with the columns that say when a row was made, for who names them.
    pub(crate) versioned: Option<Shape>,
    /// The columns that are not masked, for statements that write.
    pub(crate) narrow: Shape,
    /// The same without what inherits.
    pub(crate) narrow_only: Shape,
}

/// What becomes of a relation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Treatment {
    /// It is shown through masks.
    Covered(Arc<Cover>),
    /// It is refused as a whole, for this reason.
    Closed(Box<str>),
}

impl Treatment {
    /// The queries that stand in for the relation.
    fn shapes(&self) -> impl Iterator<Item = &Shape> {
        let cover = match self {
            Self::Covered(cover) => Some(cover),
            Self::Closed(_) => None,
        };
        cover.into_iter().flat_map(|cover| {
            let plain = [&cover.whole, &cover.only, &cover.narrow, &cover.narrow_only];
            plain.into_iter().chain(cover.opaque.iter().flatten()).chain(&cover.versioned)
        })
    }
}

/// The masks of one session over one catalog.
#[derive(Clone, Debug)]
pub struct Plan {
    catalog: Arc<Catalog>,
    facts: SessionFacts,
    treatments: BTreeMap<Name, Treatment>,
    /// The digests of all queries that stand in for relations.
    shapes: BTreeSet<[u8; 32]>,
    /// Masked columns by table, for what the server evaluates on raw values.
    masked: BTreeMap<u32, BTreeSet<i16>>,
    /// Relations of which reading the real rows would show masked values.
    tainted: BTreeSet<Name>,
    /// The gateway's own views, each after those that it reads.
    provided: Vec<Provided>,
    /// Whether a sequence gives a masked column its numbers.
    serials: bool,
    /// Columns of tables that views show as hashes.
    fed: hashes::Fed,
    /// Views on which such a view stands.
    feeding: BTreeSet<Name>,
    /// What runs by itself when statements write.
    effects: effects::Effects,
    masks: Masks,
}

/// What the gateway makes of one statement of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It touches no relation with masks.
    Untouched,
    /// It was rewritten.
    Covered,
    /// It does not run, for this reason.
    Refused(Box<str>),
}

#[cfg(test)]
pub(crate) use prove::reads_as_written;

/// What the gateway makes of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// What the server gets instead of the client's text; `None` when no statement was rewritten.
    pub text: Option<Box<str>>,
    /// One for each statement.
    pub outcomes: Vec<Outcome>,
}

impl Plan {
    /// Lays masks over a catalog.
    pub fn new(catalog: Arc<Catalog>, masks: Masks, facts: SessionFacts) -> Self {
        build::plan(catalog, masks, facts)
    }

    /// The catalog that it rests on.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The session's facts, with what the catalog adds to them.
    pub fn facts(&self) -> &SessionFacts {
        &self.facts
    }

    /// What the masks were made from.
    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// Rewrites a text that was judged, and uses up what was read of it.
    ///
    /// # Errors
    /// When the text holds what is not rewritten; it does not run.
    pub fn cover(&self, sql: &str, judged: &mut Judged) -> Result<Covered, Refusal> {
        rewrite::text(self, sql, judged)
    }

    /// Whether the catalog or the session knows the relation.
    pub fn knows(&self, name: &Name) -> bool {
        self.catalog.relation(name).is_some() || name.0.as_ref() == TEMPORARY || self.is_temporary(name)
    }

    /// Whether a column of this origin is masked: no answer of the target may ever show one.
    pub fn is_masked(&self, table: u32, column: i16) -> bool {
        self.masked.get(&table).is_some_and(|columns| columns.contains(&column))
    }

    /// Whether a parameter may have this type: making a value of it runs nothing that could read what is masked.
    pub fn takes(&self, parameter: u32) -> bool {
        !self.effects.checks(parameter) && !self.catalog.type_oids.contains(&parameter)
    }

    /// Whether an operation makes the server run a routine that may read what is masked.
    pub fn is_loud(&self, relation: &Name, operation: lang::protocol::Operation) -> bool {
        self.catalog.relation(relation).is_some_and(|found| effects::loud(self, found.oid, operation).is_some())
    }

    /// The gateway's own views, each after those that it reads; none where statements compute the masks.
    pub fn provided(&self) -> &[Provided] {
        &self.provided
    }

    /// Whether the real rows of a relation hold masked values.
    pub fn is_tainted(&self, name: &Name) -> bool {
        self.tainted.contains(name)
    }

    /// Whether a relation is read as it is.
    pub fn is_plain(&self, name: &Name) -> bool {
        !self.treatments.contains_key(name)
    }

    /// Whether a relation is refused as a whole.
    pub fn is_closed(&self, name: &Name) -> bool {
        matches!(self.treatments.get(name), Some(Treatment::Closed(_)))
    }

    /// The columns of a relation with masks that are shown as they are; `None` for any other.
    pub fn unmasked(&self, name: &Name) -> Option<BTreeSet<Box<str>>> {
        match self.treatments.get(name)? {
            Treatment::Covered(cover) => {
                let shown = cover.columns.iter().filter(|(column, _)| !cover.masked.contains(column));
                Some(shown.map(|(column, _)| column.clone()).collect())
            }
            Treatment::Closed(_) => None,
        }
    }

    /// Whether rows of a relation may not be changed so, as far as the catalog says it.
    pub fn refuses_change(&self, relation: &Name, inserts: bool, deletes: bool, columns: &BTreeSet<Box<str>>) -> bool {
        written::refuses(self, relation, inserts, deletes, columns)
    }

    /// Whether any hash needs the key.
    pub fn hashes(&self) -> bool {
        self.treatments.values().any(|treatment| match treatment {
            Treatment::Covered(cover) => !cover.hashed.is_empty(),
            Treatment::Closed(_) => false,
        })
    }

    /// Relations that a statement may not use at all, and why: for what a person is shown.
    pub fn closed(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.treatments.iter().filter_map(|(name, treatment)| match treatment {
            Treatment::Closed(why) => Some((name, why.as_ref())),
            Treatment::Covered(_) => None,
        })
    }

    fn treatment(&self, name: &Name) -> Option<&Treatment> {
        self.treatments.get(name)
    }

    /// The relation that a name leads the server to: the session's own temporary one, where no other is called so.
    fn meant(&self, name: Name) -> Name {
        if self.is_temporary(&name) { (TEMPORARY.into(), name.1) } else { name }
    }

    /// A name of the pinned schema that only the session's temporary tables have.
    fn is_temporary(&self, name: &Name) -> bool {
        name.0 == self.facts.default_schema
            && self.catalog.relation(name).is_none()
            && self.catalog.is_temporary(&name.1)
    }
}
