//! Masks of a session: what the program says of the target's relations, laid over the target's catalog.
//!
//! Synchronous. It must never let a session with masks run on a catalog that it does not know, nor show the key of a
//! hash to anything but the target.

use super::interplay::Interplay;
use super::wire::server::{DataRow, Fields};
use super::wire::sqlstate::SqlState;
use super::wire::write::{Notice, Severity};
use crate::core::active::Active;
use crate::core::lease::Lease;
use lang::program::rules::{Masking, RuleKind};
use lang::program::{MaskClass, Object};
use pgsql::mask::{Masks, Plan, RelationMasks, policy};
use pgsql::provision::names::Names;
use pgsql::reach::Reach;
use pgsql::session::SessionFacts;
use pgsql::snapshot::{Catalog, Name, Unexpected};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How long a catalog is trusted before a session reads it again, in milliseconds.
pub const CATALOG_MS_MAX: u64 = 30_000;
/// The source of credentials that makes a role for each session.
pub const ROLE_SOURCE: &str = "postgres-role";
/// Plans that are kept for sessions to share.
const PLANS_MAX: usize = 64;

/// A catalog and when it was read.
#[derive(Clone, Debug)]
pub struct Known {
    /// The catalog.
    pub catalog: Arc<Catalog>,
    /// When it was read, in milliseconds of the monotonic clock.
    pub read_mono_ms: u64,
    /// How many changes of definitions had ended when it was asked for.
    pub made: u64,
}

/// What a program masks on the relations of a catalog, for one class of sessions.
#[derive(Debug)]
struct Laid {
    active: Arc<Active>,
    catalog: Arc<Catalog>,
    connection: String,
    class: MaskClass,
    masks: Masks,
}

/// The catalogs of connections, and the plans made from them, for all sessions of a gateway.
#[derive(Debug, Default)]
pub struct Catalogs {
    known: Mutex<BTreeMap<String, Known>>,
    /// How many catalogs were learnt.
    learned: AtomicU64,
    /// What sessions use and change.
    pub interplay: Interplay,
    laid: Mutex<Vec<Laid>>,
    plans: Mutex<Vec<Arc<Plan>>>,
    reaches: Mutex<Vec<Arc<Reach>>>,
}

impl Catalogs {
    /// How many catalogs were learnt: as long as it stays, so does the newest of every connection.
    pub fn learned(&self) -> u64 {
        self.learned.load(Ordering::Acquire)
    }

    /// The newest catalog of a connection.
    pub fn latest(&self, connection: &str) -> Option<Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(connection).cloned()
    }

    /// Takes a catalog that was just read; what it says of one session's temporary tables is left out. An equal one
    /// stays the same catalog, so that what rests on it goes on. `made` is how many changes there were when it was asked for.
    pub fn learn(&self, connection: &str, catalog: Catalog, read_mono_ms: u64, made: u64) -> Known {
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let catalog = match all.get(connection) {
            Some(known) if *known.catalog == catalog => Arc::clone(&known.catalog),
            _ => Arc::new(catalog),
        };
        let known = Known { catalog, read_mono_ms, made };
        // One that was asked for earlier may come later.
        if all.get(connection).is_none_or(|newest| newest.made <= made) {
            all.insert(connection.to_owned(), known.clone());
            self.learned.fetch_add(1, Ordering::Release);
        }
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
        let newest = reaches.last().map(Arc::as_ref);
        let reach = Arc::new(Reach::after(newest, Arc::clone(catalog), facts.clone()));
        if reaches.len() >= PLANS_MAX {
            reaches.remove(0);
        }
        reaches.push(Arc::clone(&reach));
        reach
    }

    /// What a lease's program masks on the relations of a catalog, worked out now or before.
    pub fn masks(&self, lease: &Lease, catalog: &Arc<Catalog>) -> Masks {
        let Some(grant) = lease.grant() else { return masks(lease, catalog) };
        let class = lease.active().program.mask_class(lease.subject(), grant, lease.connection());
        let mut laid = self.laid.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |own: &&Laid| {
            Arc::ptr_eq(&own.active, lease.active())
                && Arc::ptr_eq(&own.catalog, catalog)
                && own.connection == lease.connection()
                && own.class == class
        };
        if let Some(own) = laid.iter().find(same) {
            return own.masks.clone();
        }
        let masks = masks(lease, catalog);
        // A program that is no longer active is not kept for its masks.
        laid.retain(|own| Arc::ptr_eq(&own.active, lease.active()));
        if laid.len() >= PLANS_MAX {
            laid.remove(0);
        }
        laid.push(Laid {
            active: Arc::clone(lease.active()),
            catalog: Arc::clone(catalog),
            connection: lease.connection().to_owned(),
            class,
            masks: masks.clone(),
        });
        masks
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

/// What is done with a row of the gateway's own queries.
pub type Take<'a> = &'a mut dyn FnMut(&[Option<&str>]) -> Result<(), Unexpected>;

/// Hands on the values of a row of the gateway's own queries.
///
/// # Errors
/// When the row is not what was asked for.
pub fn take_row(body: &[u8], take: Take<'_>) -> Result<(), Unexpected> {
    let mut values = Vec::new();
    for value in DataRow::read(body).map_err(|_| Unexpected)? {
        let value = value.map_err(|_| Unexpected)?;
        values.push(value.map(std::str::from_utf8).transpose().map_err(|_| Unexpected)?);
    }
    take(&values)
}

/// What the lease's program masks on the relations of a catalog.
fn masks(lease: &Lease, catalog: &Catalog) -> Masks {
    let mut masks = Masks::default();
    let (Some(grant), Some(target)) = (lease.grant(), lease.target()) else {
        // Without a grant nothing is permitted; without masks known nothing may be shown.
        for (name, _) in catalog.relations() {
            let closed = RelationMasks { closed: Some("the grant is gone".to_owned()), ..RelationMasks::default() };
            masks.relations.insert(name.clone(), closed);
        }
        return masks;
    };
    policy::masks(&lease.active().program, lease.subject(), grant, target, catalog)
}

/// What the lease's session is called in a target that masks by itself; `None` where statements are rewritten.
pub fn names(lease: &Lease) -> Option<Names> {
    let (grant, target) = (lease.grant()?, lease.target()?);
    let class = || lease.active().program.mask_class(lease.subject(), grant, lease.connection());
    (target.masking == Masking::Database).then(|| Names::new(lease.connection(), &class()))
}

/// The password of a role of the gateway's own: it follows from the mask key, so that every gateway has it.
pub fn role_password(key: &SecretBox<[u8; 32]>, role: &str) -> SecretString {
    let text = zeroize::Zeroizing::new(format!("password of the role {role}"));
    SecretString::from(blake3::keyed_hash(key.expose_secret(), text.as_bytes()).to_hex().as_str())
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

/// The key of hashes that stand for what a pattern finds on a connection.
pub fn pattern_key(key: &SecretBox<[u8; 32]>, connection: &str) -> SecretBox<[u8; 32]> {
    let text = format!("what patterns find on {connection}");
    SecretBox::new(Box::new(*blake3::keyed_hash(key.expose_secret(), text.as_bytes()).as_bytes()))
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

/// Classes of errors whose messages name objects at the most: constraints quote rows in their details only.
const NAMES_AT_MOST: &[&str] = &["08", "0A", "23", "25", "28", "2B", "40", "53", "54", "55", "57", "58"];

/// Likewise, of the class 42: something is there already, or the account may not. The others of it are what a value that is
/// taken for a name (`note::regclass`) or for a text in a language (`note::tsquery`) fails with.
const OBJECTS_THERE: &[&str] = &["42501", "42701", "42710", "42723", "42804", "42P06", "42P07", "42P16"];

/// What of a target's error a client may see that may not read what it writes: no value that a message could quote either.
pub fn unsaid(body: &[u8]) -> Notice {
    let mut notice = scrubbed(body);
    let code = notice.code.as_str();
    // What stands at a place of the client's own text was found before any row was read.
    let of_text = Fields::read(body).is_ok_and(|fields| fields.text(b'P').is_some());
    let of_names = code.get(..2).is_some_and(|class| NAMES_AT_MOST.contains(&class)) || OBJECTS_THERE.contains(&code);
    if !of_text && !of_names {
        notice.message = format!(
            "the statement failed (SQLSTATE {}); the server's message could quote rows that you may not read",
            notice.code
        );
    }
    notice
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
