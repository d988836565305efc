//! Masks of a session: what the program says of the target's relations, laid over the target's catalog.
//!
//! Synchronous. It must never let a session with masks run on a catalog that it does not know, nor show the key of a
//! hash to anything but the target.

use super::wire::server::{DataRow, Fields};
use super::wire::sqlstate::SqlState;
use super::wire::write::{Notice, Severity};
use crate::core::lease::Lease;
use lang::program::rules::{MaskAs, RuleKind};
use lang::program::{MaskHit, Object};
use pgsql::mask::{Masks, Plan, RelationMasks};
use pgsql::reach::Reach;
use pgsql::session::SessionFacts;
use pgsql::snapshot::{Builder, Catalog, Name, Relation, Unexpected};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// How long a catalog is trusted before a session reads it again, in milliseconds.
pub const CATALOG_MS_MAX: u64 = 30_000;
/// Plans that are kept for sessions to share.
const PLANS_MAX: usize = 64;

/// A catalog and when it was read.
#[derive(Clone, Debug)]
pub struct Known {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// When it was read, in milliseconds of the monotonic clock.
    pub read_mono_ms: u64,
}

/// The catalogs of connections, and the plans made from them, for all sessions of a gateway.
#[derive(Debug, Default)]
pub struct Catalogs {
    known: Mutex<BTreeMap<String, Known>>,
    plans: Mutex<Vec<Arc<Plan>>>,
    reaches: Mutex<Vec<Arc<Reach>>>,
}

impl Catalogs {
    /// The newest catalog of a connection.
    pub fn latest(&self, connection: &str) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(connection).cloned()
    }

    /// Takes a catalog that was just read; what it says of one session's temporary tables is left out. An equal one
    /// stays the same catalog, so that what rests on it goes on.
    pub fn learn(&self, connection: &str, catalog: Catalog, read_mono_ms: u64) -> Known {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let catalog = match all.get(connection) {
            Some(known) if *known.catalog == catalog => Arc::clone(&known.catalog),
            _ => Arc::new(catalog),
        };
        let known = Known { catalog, read_mono_ms };
        all.insert(connection.to_owned(), known.clone());
        known
    }

    /// Forgets a connection whose target changed.
    pub fn forget(&self, connection: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(connection);
    }

    /// What names lead to in this catalog, worked out now or before.
    pub fn reach(&self, catalog: &Arc<Catalog>, facts: &SessionFacts) -> Arc<Reach> {
        let mut reaches = self.reaches.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |reach: &&Arc<Reach>| {
            Arc::ptr_eq(reach.catalog(), catalog)
                && reach.facts().server_major == facts.server_major
                && reach.facts().default_schema == facts.default_schema
        };
        if let Some(reach) = reaches.iter().find(same) {
            return Arc::clone(reach);
        }
        let reach = Arc::new(Reach::new(Arc::clone(catalog), facts.clone()));
        if reaches.len() >= PLANS_MAX {
            reaches.remove(0);
        }
        reaches.push(Arc::clone(&reach));
        reach
    }

    /// The plan of these masks over this catalog, made now or before.
    pub fn plan(&self, catalog: &Arc<Catalog>, masks: Masks, facts: &SessionFacts) -> Arc<Plan> {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |plan: &&Arc<Plan>| {
            Arc::ptr_eq(plan.catalog(), catalog)
                && *plan.masks() == masks
                && plan.facts().server_major == facts.server_major
                && plan.facts().default_schema == facts.default_schema
        };
        if let Some(plan) = plans.iter().find(same) {
            return Arc::clone(plan);
        }
        let plan = Arc::new(Plan::new(Arc::clone(catalog), masks, facts.clone()));
        if plans.len() >= PLANS_MAX {
            plans.remove(0);
        }
        plans.push(Arc::clone(&plan));
        plan
    }
}

/// Takes one row of the catalog's query.
///
/// # Errors
/// When the row is not what was asked for.
pub fn take_row(builder: &mut Builder, body: &[u8]) -> Result<(), Unexpected> {
    let mut values = Vec::new();
    for value in DataRow::read(body).map_err(|_| Unexpected)? {
        let value = value.map_err(|_| Unexpected)?;
        values.push(value.map(std::str::from_utf8).transpose().map_err(|_| Unexpected)?);
    }
    builder.row(&values)
}

/// What the lease's program masks on the relations of a catalog.
pub fn masks(lease: &Lease, catalog: &Catalog) -> Masks {
    let mut masks = Masks::default();
    let (Some(grant), Some(target)) = (lease.grant(), lease.target()) else {
        // Without a grant nothing is permitted; without masks known nothing may be shown.
        for (name, _) in catalog.relations() {
            let closed = RelationMasks { closed: Some("the grant is gone".to_owned()), ..RelationMasks::default() };
            masks.relations.insert(name.clone(), closed);
        }
        return masks;
    };
    let program = &lease.active().program;
    for (name, relation) in catalog.relations() {
        if matches!(name.0.as_ref(), "pg_catalog" | pgsql::snapshot::TEMPORARY) {
            continue;
        }
        let object = Object::table(name.0.as_ref(), name.1.as_ref());
        let hits = program.masked(lease.subject(), grant, lease.connection(), &object);
        if !hits.is_empty() {
            masks.relations.insert(name.clone(), laid(lease, name, relation, hits));
        }
    }
    if target.unlisted_hidden == Some(true) {
        masks.listed = target.listed.as_ref().map(|listed| {
            let classified = target.classified.iter();
            let classified = classified.filter_map(|item| Some(format!("{}.{}", item.object, item.column.as_ref()?)));
            listed.iter().cloned().chain(classified).collect::<BTreeSet<String>>()
        });
    }
    masks
}

fn laid(lease: &Lease, name: &Name, relation: &Relation, hits: Vec<MaskHit>) -> RelationMasks {
    let mut laid = RelationMasks::default();
    for hit in hits {
        let of = |mask: &MaskAs, entry: &mut MaskAs| {
            if mask.rank() > entry.rank() {
                entry.clone_from(mask);
            }
        };
        match hit.column {
            Some(column) => {
                if relation.column_named(&column).is_none() && named_exactly(lease, name, &column, &hit.rule.name) {
                    laid.closed = Some(format!(
                        "the policy names its column `{column}`, which it does not have; mend the policy or the schema"
                    ));
                }
                of(&hit.mask, laid.columns.entry(column.into()).or_insert_with(|| hit.mask.clone()));
            }
            None if is_whole(lease, &hit.rule.name) => of(&hit.mask, laid.all.get_or_insert_with(|| hit.mask.clone())),
            None => laid.closed = Some(format!("{} looks for patterns, which is not done on SQL", hit.rule)),
        }
    }
    laid
}

/// Whether a mask without a column concerns every column of a table, and is not one for patterns.
fn is_whole(lease: &Lease, mask: &str) -> bool {
    let masks = &lease.active().program.rules().masks;
    masks.iter().find(|rule| rule.name == mask).is_some_and(|rule| rule.patterns.is_empty())
}

/// Whether the policy names the column itself, and not by a pattern of tables.
fn named_exactly(lease: &Lease, name: &Name, column: &str, mask: &str) -> bool {
    let table = format!("{}.{}", name.0, name.1);
    let classified = lease.target().is_some_and(|target| {
        target.classified.iter().any(|item| item.object == table && item.column.as_deref() == Some(column))
    });
    let masks = &lease.active().program.rules().masks;
    let path = format!("{table}.{column}");
    classified || masks.iter().any(|rule| rule.name == mask && rule.columns.contains(&path))
}

/// The rule behind a relation's masks, for a denial.
pub fn rule_of(lease: &Lease, relation: &Name) -> Option<lang::program::rules::RuleId> {
    let grant = lease.grant()?;
    let object = Object::table(relation.0.as_ref(), relation.1.as_ref());
    let hits = lease.active().program.masked(lease.subject(), grant, lease.connection(), &object);
    hits.into_iter().map(|hit| hit.rule).find(|rule| rule.kind == RuleKind::Mask)
}

/// The key blocks of a connection's hashes, as the parameters that carry them: HMAC-SHA-256 needs two.
///
/// Each connection has its own key, so that equal values of two connections have different hashes.
pub fn key_blocks(key: &SecretBox<[u8; 32]>, connection: &str) -> Vec<(&'static str, SecretString)> {
    let derived = blake3::keyed_hash(key.expose_secret(), connection.as_bytes());
    let block = |pad: u8| {
        let mut text = zeroize::Zeroizing::new(String::with_capacity(128));
        for at in 0..64 {
            let byte = derived.as_bytes().get(at).copied().unwrap_or(0) ^ pad;
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        SecretString::from(text.as_str())
    };
    vec![(pgsql::mask::expression::KEY_INNER, block(0x36)), (pgsql::mask::expression::KEY_OUTER, block(0x5c))]
}

/// What of a target's error a client with masks may see: neither rows that a constraint quotes nor what a routine says.
pub fn scrubbed(body: &[u8]) -> Notice {
    let fields = Fields::read(body).ok();
    let code = fields.as_ref().and_then(Fields::code).and_then(SqlState::of_target).unwrap_or(SqlState::INTERNAL_ERROR);
    let of_routine =
        fields.as_ref().is_none_or(|fields| fields.text(b'W').is_some_and(|text| !text.starts_with("COPY ")));
    let message = match fields.as_ref().and_then(Fields::message) {
        Some(message) if !of_routine && !code.as_str().starts_with("P0") => message.to_owned(),
        _ => format!("the statement failed in a routine of the database (SQLSTATE {code})"),
    };
    let fatal = fields.as_ref().and_then(Fields::severity).is_some_and(|severity| severity != "ERROR");
    let severity = if fatal { Severity::Fatal } else { Severity::Error };
    Notice::new(severity, code, message)
}

/// A notice of the target that a client with masks may see: none that a routine or the server's log says.
pub fn scrubbed_notice(body: &[u8]) -> Option<Notice> {
    let fields = Fields::read(body).ok()?;
    let severity = match fields.severity()? {
        "NOTICE" => Severity::Notice,
        "WARNING" => Severity::Warning,
        _ => return None,
    };
    if fields.text(b'W').is_some() {
        return None;
    }
    let code = SqlState::of_target(fields.code()?)?;
    Some(Notice::new(severity, code, fields.message()?))
}
