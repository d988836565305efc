//! From a text to what it does: the judge's facts in the words of the policy. Knows no program and no session.

use lang::program::{Access, Object};
use lang::protocol::{OpSet, Operation};
use pgsql::mask::{Outcome, Plan};
use pgsql::reach::Reach;
use pgsql::refusal::Refusal;
use pgsql::session::SessionFacts;
use pgsql::statement::{Action, ObjectClass, ObjectKind, Parameter, SettingChange, SettingClass, Statement};
use std::collections::HashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Operations that only read.
const READS: [Operation; 4] = [Operation::Select, Operation::Explain, Operation::Show, Operation::CopyOut];

/// Operations whose effect is a number of rows.
pub(super) const ROW_WRITES: [Operation; 10] = [
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

/// The relations that a statement uses, in order.
pub type Used = Arc<[QualifiedName]>;

/// One statement in the words of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// Its text, as the client wrote it.
    pub text: Box<str>,
    /// What it is for the session.
    pub action: Action,
    /// Every operation on every object.
    pub accesses: Vec<Access>,
    /// Relations that it touches, for masks; with whether they need not be there: it makes them, or removes them at most.
    pub relations: Vec<(QualifiedName, bool)>,
    /// Objects that go by another name from now on, with that name. A schema has no name in it.
    pub renames: Vec<(QualifiedName, QualifiedName)>,
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
    /// Whether the server says at its end how many rows it wrote: all of them.
    pub counted: bool,
    /// What the masks of the session make of it.
    pub outcome: Outcome,
    /// What it was read under.
    pub under: Under,
}

/// The masks and the definitions under which a statement was read; none where the connection had none.
#[derive(Clone, Debug, Default)]
pub struct Under {
    /// The masks.
    pub plan: Option<Arc<Plan>>,
    /// What names led to.
    pub reach: Option<Arc<Reach>>,
    /// The relations that the statement used there, however far; one without a name stands for any.
    pub uses: Used,
}

impl Under {
    /// Whether these are the very same masks, or without masks the very same definitions: masks rest on their own.
    pub fn is(&self, plan: Option<&Arc<Plan>>, reach: Option<&Arc<Reach>>) -> bool {
        match (&self.plan, plan) {
            (Some(own), Some(plan)) => Arc::ptr_eq(own, plan),
            (None, None) => self.reach.as_ref().map(Arc::as_ptr) == reach.map(Arc::as_ptr),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// Two readings are equal when they say the same, whatever they were read under.
impl PartialEq for Under {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Under {}

/// A text, judged statement by statement.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    /// Its statements; none for an empty text.
    pub statements: Vec<Arc<Classified>>,
    /// What the server gets instead, when a statement was rewritten for masks.
    pub rewritten: Option<Box<str>>,
}

/// Reads a text with PostgreSQL's own grammar.
///
/// # Errors
/// When the grammar does not accept it, or it holds what is never judged: it does not run.
pub fn classify(
    sql: &str,
    facts: &SessionFacts,
    plan: Option<&Arc<Plan>>,
    reach: Option<&Arc<Reach>>,
) -> Result<Text, Refusal> {
    let known = reach.map(|reach| reach.facts()).or_else(|| plan.map(|plan| plan.facts()));
    let mut judged = pgsql::read(sql, known.unwrap_or(facts))?;
    let covered = plan.map(|plan| plan.cover(sql, &mut judged)).transpose()?;
    let rewritten = covered.as_ref().and_then(|covered| covered.text.clone());
    let mut outcomes = covered.map(|covered| covered.outcomes.into_iter());
    let statements = judged.statements.into_iter().map(|judged| {
        // Where masks stand, a statement that nothing was said of does not run.
        let outcome = match &mut outcomes {
            None => Outcome::Untouched,
            Some(outcomes) => outcomes.next().unwrap_or_else(|| Outcome::Refused("it was not looked at".into())),
        };
        // Nothing but the statement itself may be shown as its text: where it cannot be cut out, all of it is.
        let text = sql.get(judged.text.clone()).unwrap_or(sql);
        let mut one = statement(judged, text, outcome);
        let uses = reach.map(|reach| used(&one.accesses, reach)).unwrap_or_default();
        one.under = Under { plan: plan.cloned(), reach: reach.cloned(), uses };
        Arc::new(one)
    });
    Ok(Text { statements: statements.collect(), rewritten })
}

/// The relations that operations lead to, however far.
pub fn used(accesses: &[Access], reach: &Reach) -> Used {
    let mut used = BTreeSet::new();
    for access in accesses {
        let Object::Table { schema, name } = &access.object else { continue };
        used.insert((schema.as_str().into(), name.as_str().into()));
        used.extend(reach.beyond(access.op, schema, name).into_iter().map(|beyond| beyond.name));
    }
    used.into_iter().collect()
}

fn statement(statement: Statement, text: &str, outcome: Outcome) -> Classified {
    let mut accesses: Vec<Access> = Vec::new();
    let mut relations = Vec::new();
    let mut sensitive = Vec::new();
    let mut writes_rows = statement.fills;
    // What a relation is renamed to is not there yet.
    let renamed = |object: &pgsql::statement::Object| {
        statement.action == Action::Rename && statement.renames.iter().any(|one| one.to == *object)
    };
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
                    let makes = Operation::DdlCreate == access.operation || Operation::CreateAs == access.operation;
                    relations.push((name.clone(), makes || renamed(object) || access.operation == Operation::DdlDrop));
                }
                // Whoever may see a parameter may see it whatever tables the scope names.
                let shown = object.kind == ObjectKind::Parameter && access.operation == Operation::Show;
                if harmless || shown { Object::Nothing } else { Object::table(name.0, name.1) }
            }
        };
        writes_rows |= ROW_WRITES.contains(&access.operation);
        let access = Access { op: access.operation, object };
        if !accesses.contains(&access) {
            accesses.push(access);
        }
    }
    Classified {
        text: text.into(),
        never: statement.settings.iter().find_map(never),
        leaves_read_only: statement
            .settings
            .iter()
            .any(|change| change.class == SettingClass::AccessMode && !change.turns_on()),
        action: statement.action,
        accesses,
        relations,
        renames: statement.renames.iter().map(|one| (qualified(&one.from), qualified(&one.to))).collect(),
        sensitive,
        executes: statement.executes,
        writes_rows,
        counted: statement.counted,
        outcome,
        under: Under::default(),
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

/// Texts that a worker has judged: exact text to facts, two generations of bounded size for each set of masks.
///
/// The facts do not depend on a program but for its masks, so a reload keeps them. A text is its own key: nothing can
/// collide.
#[derive(Debug, Default)]
pub struct Texts {
    /// By the masks, else by the definitions, that they were judged under.
    of_plan: BTreeMap<usize, Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Box<str>, Arc<Text>>,
    old: HashMap<Box<str>, Arc<Text>>,
    facts: Option<SessionFacts>,
    /// Kept, so that no other masks can take the place that names these.
    plan: Option<Arc<Plan>>,
    /// Likewise, of definitions.
    reach: Option<Arc<Reach>>,
}

/// Texts of one generation.
const GENERATION_TEXTS_MAX: usize = 2_048;
/// A longer text is judged each time.
const CACHED_TEXT_BYTES_MAX: usize = 8 << 10;
/// Sets of masks whose texts are kept.
const PLANS_MAX: usize = 16;

impl Texts {
    /// The facts of a text, judged now or before.
    ///
    /// # Errors
    /// As [`classify`]; a refusal is never kept.
    pub fn get(
        &mut self,
        sql: &str,
        facts: &SessionFacts,
        plan: Option<&Arc<Plan>>,
        reach: Option<&Arc<Reach>>,
    ) -> Result<Arc<Text>, Refusal> {
        let of_plan = plan.map(|plan| Arc::as_ptr(plan).addr());
        let place = of_plan.or_else(|| reach.map(|reach| Arc::as_ptr(reach).addr())).unwrap_or(0);
        if self.of_plan.len() >= PLANS_MAX && !self.of_plan.contains_key(&place) {
            self.of_plan.clear();
        }
        let texts = self.of_plan.entry(place).or_default();
        let same = match (&texts.plan, plan) {
            (Some(kept), Some(plan)) => Arc::ptr_eq(kept, plan),
            (None, None) => match (&texts.reach, reach) {
                (Some(kept), Some(reach)) => Arc::ptr_eq(kept, reach),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            },
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !same || texts.facts.as_ref() != Some(facts) {
            *texts = Generations {
                facts: Some(facts.clone()),
                plan: plan.cloned(),
                reach: reach.cloned(),
                ..Generations::default()
            };
        }
        if let Some(text) = texts.young.get(sql) {
            return Ok(Arc::clone(text));
        }
        let text = match texts.old.remove(sql) {
            Some(text) => text,
            None => Arc::new(classify(sql, facts, plan, reach)?),
        };
        if sql.len() <= CACHED_TEXT_BYTES_MAX {
            if texts.young.len() >= GENERATION_TEXTS_MAX {
                texts.old = std::mem::take(&mut texts.young);
            }
            texts.young.insert(sql.into(), Arc::clone(&text));
        }
        Ok(text)
    }
}
