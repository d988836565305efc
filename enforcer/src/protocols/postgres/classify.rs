//! From a text to what it does: the judge's facts in the words of the policy. Knows no program and no session.

use lang::program::{Access, Object};
use lang::protocol::{OpSet, Operation};
use pgsql::refusal::Refusal;
use pgsql::session::SessionFacts;
use pgsql::statement::{Action, ObjectClass, ObjectKind, Parameter, SettingChange, SettingClass, Statement};
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

/// Operations that only read.
const READS: [Operation; 4] = [Operation::Select, Operation::Explain, Operation::Show, Operation::CopyOut];

/// Operations whose effect is a number of rows.
const ROW_WRITES: [Operation; 10] = [
    Operation::Insert,
    Operation::UpdateBounded,
    Operation::DeleteBounded,
    Operation::UpdateUnbounded,
    Operation::DeleteUnbounded,
    Operation::Merge,
    Operation::CopyIn,
    Operation::CreateAs,
    Operation::Truncate,
    Operation::Refresh,
];

/// Whether a set of operations permits nothing but reading, so that the session can be pinned read-only.
pub fn reads_only(permit: OpSet) -> bool {
    permit.difference(READS.into_iter().collect()).is_empty()
}

/// A relation or routine as `schema`, `name`.
pub type QualifiedName = (Box<str>, Box<str>);

/// One statement in the words of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// What it is for the session.
    pub action: Action,
    /// Every operation on every object.
    pub accesses: Vec<Access>,
    /// Relations that it touches, for masks; with whether the statement creates them.
    pub relations: Vec<(QualifiedName, bool)>,
    /// Objects that run only where a scope names exactly them.
    pub sensitive: Vec<QualifiedName>,
    /// The prepared statement that it runs.
    pub executes: Option<Box<str>>,
    /// Why it never runs through the gateway, whatever the policy permits.
    pub never: Option<String>,
    /// Whether it turns off a pinned read-only mode.
    pub leaves_read_only: bool,
    /// Whether its effect is a number of rows.
    pub writes_rows: bool,
}

/// A text, judged statement by statement.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    /// Its statements; none for an empty text.
    pub statements: Vec<Arc<Classified>>,
}

/// Reads a text with PostgreSQL's own grammar.
///
/// # Errors
/// When the grammar does not accept it, or it holds what is never judged: it does not run.
pub fn classify(sql: &str, facts: &SessionFacts) -> Result<Text, Refusal> {
    Ok(Text { statements: pgsql::judge(sql, facts)?.into_iter().map(|judged| Arc::new(statement(judged))).collect() })
}

fn statement(statement: Statement) -> Classified {
    let mut accesses: Vec<Access> = Vec::new();
    let mut relations = Vec::new();
    let mut sensitive = Vec::new();
    let mut writes_rows = false;
    for access in &statement.accesses {
        let object = match &access.object {
            None => Object::Nothing,
            Some(object) => {
                let name = qualified(object);
                if object.class == ObjectClass::Sensitive {
                    sensitive.push(name.clone());
                }
                let harmless = object.class == ObjectClass::Harmless && READS.contains(&access.operation);
                if object.kind == ObjectKind::Relation && !harmless {
                    let creates = matches!(access.operation, Operation::DdlCreate | Operation::CreateAs);
                    relations.push((name.clone(), creates));
                }
                if harmless { Object::Nothing } else { Object::table(name.0, name.1) }
            }
        };
        writes_rows |= ROW_WRITES.contains(&access.operation);
        let access = Access { op: access.operation, object };
        if !accesses.contains(&access) {
            accesses.push(access);
        }
    }
    Classified {
        never: statement.settings.iter().find_map(never),
        leaves_read_only: statement
            .settings
            .iter()
            .any(|change| change.class == SettingClass::AccessMode && !change.turns_on()),
        action: statement.action,
        accesses,
        relations,
        sensitive,
        executes: statement.executes,
        writes_rows,
    }
}

/// An object's place among `schema.table` patterns. What a statement reaches without naming it has no place, so that
/// only an unnarrowed scope covers it.
fn qualified(object: &pgsql::statement::Object) -> QualifiedName {
    match object.kind {
        ObjectKind::Schema => (object.name.clone(), "".into()),
        ObjectKind::Relation
        | ObjectKind::Index
        | ObjectKind::Routine
        | ObjectKind::Type
        | ObjectKind::Role
        | ObjectKind::Parameter
        | ObjectKind::Channel
        | ObjectKind::Other
        | ObjectKind::Database => (object.schema.clone().unwrap_or_default(), object.name.clone()),
    }
}

fn never(change: &SettingChange) -> Option<String> {
    let name = match &change.parameter {
        Parameter::Named(name) => format!("`{name}`"),
        Parameter::All => return None,
        Parameter::Unknown => "a parameter that only the running statement knows".to_owned(),
    };
    match change.class {
        SettingClass::Harmless | SettingClass::AccessMode | SettingClass::Ordinary => None,
        SettingClass::Role => Some("the session's role is the gateway's and cannot be changed".to_owned()),
        SettingClass::Pinned => Some(format!(
            "{name} is pinned by the gateway, because it changes what later statements mean; qualify names instead"
        )),
    }
}

/// Texts that a worker has judged: exact text to facts, two generations of bounded size.
///
/// The facts do not depend on a program, so a reload keeps them. A text is its own key: nothing can collide.
#[derive(Debug, Default)]
pub struct Texts {
    young: HashMap<Box<str>, Arc<Text>>,
    old: HashMap<Box<str>, Arc<Text>>,
    facts: Option<SessionFacts>,
}

/// Texts of one generation.
const GENERATION_TEXTS_MAX: usize = 2_048;
/// A longer text is judged each time.
const CACHED_TEXT_BYTES_MAX: usize = 8 << 10;

impl Texts {
    /// The facts of a text, judged now or before.
    ///
    /// # Errors
    /// As [`classify`]; a refusal is never kept.
    pub fn get(&mut self, sql: &str, facts: &SessionFacts) -> Result<Arc<Text>, Refusal> {
        if self.facts.as_ref() != Some(facts) {
            self.young.clear();
            self.old.clear();
            self.facts = Some(facts.clone());
        }
        if let Some(text) = self.young.get(sql) {
            return Ok(Arc::clone(text));
        }
        let text = match self.old.remove(sql) {
            Some(text) => text,
            None => Arc::new(classify(sql, facts)?),
        };
        if sql.len() <= CACHED_TEXT_BYTES_MAX {
            if self.young.len() >= GENERATION_TEXTS_MAX {
                self.old = std::mem::take(&mut self.young);
            }
            self.young.insert(sql.into(), Arc::clone(&text));
        }
        Ok(text)
    }
}

/// What the target's catalog says about relations: each with the relations that its rows derive from.
///
/// It is read when a session opens on a connection with masks. What it does not know is refused there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relations {
    bases: BTreeMap<QualifiedName, Vec<QualifiedName>>,
}

impl Relations {
    /// The query that reads the catalog: pairs of a relation and a relation that it directly derives from, and each
    /// relation once with itself. Inheritance counts in both directions: a parent shows its children's rows.
    pub const QUERY: &'static str = "\
        select n.nspname, c.relname, n.nspname, c.relname from pg_catalog.pg_class c \
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r','p','v','m','f','S','t') \
        union all \
        select n1.nspname, c1.relname, n2.nspname, c2.relname from ( \
        select r.ev_class as rel, d.refobjid as base from pg_catalog.pg_rewrite r \
        join pg_catalog.pg_depend d on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid \
        and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass and d.refobjid <> r.ev_class \
        union select inhrelid, inhparent from pg_catalog.pg_inherits \
        union select inhparent, inhrelid from pg_catalog.pg_inherits) e \
        join pg_catalog.pg_class c1 on c1.oid = e.rel join pg_catalog.pg_namespace n1 on n1.oid = c1.relnamespace \
        join pg_catalog.pg_class c2 on c2.oid = e.base join pg_catalog.pg_namespace n2 on n2.oid = c2.relnamespace";

    /// Rows of [`Self::QUERY`] that are read at the most.
    pub const ROWS_MAX: usize = 200_000;

    /// The relations that these pairs describe.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (QualifiedName, QualifiedName)>) -> Self {
        let mut bases: BTreeMap<QualifiedName, Vec<QualifiedName>> = BTreeMap::new();
        for (relation, base) in pairs {
            let entry = bases.entry(relation.clone()).or_default();
            if base != relation {
                entry.push(base);
            }
        }
        Self { bases }
    }

    /// The relation and everything it derives from; `None` when the catalog does not know it.
    pub fn lineage<'a>(&'a self, relation: &'a QualifiedName) -> Option<Vec<&'a QualifiedName>> {
        self.bases.get(relation)?;
        let mut seen = vec![relation];
        let mut next = 0;
        while let Some(current) = seen.get(next).copied() {
            for base in self.bases.get(current).into_iter().flatten() {
                if !seen.contains(&base) {
                    seen.push(base);
                }
            }
            next += 1;
        }
        Some(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> QualifiedName {
        let (schema, name) = text.split_once('.').unwrap();
        (schema.into(), name.into())
    }

    #[test]
    fn lineage_follows_views_of_views_and_stops_at_cycles() {
        let pair = |a: &str, b: &str| (name(a), name(b));
        let relations = Relations::from_pairs([
            pair("public.customers", "public.customers"),
            pair("public.v1", "public.v1"),
            pair("public.v2", "public.v2"),
            pair("public.v1", "public.customers"),
            pair("public.v2", "public.v1"),
            pair("public.v1", "public.v2"),
        ]);
        let v2 = name("public.v2");
        let lineage = relations.lineage(&v2).unwrap();
        assert!(lineage.contains(&&name("public.customers")));
        assert_eq!(lineage.len(), 3);
        assert_eq!(relations.lineage(&name("public.unknown")), None);
    }
}
