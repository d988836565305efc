//! The verdict on one statement: the program's judgement, and what the gateway refuses whatever the program says.

use super::classify::{Classified, QualifiedName};
use super::masking;
use super::wire::sqlstate::SqlState;
use crate::core::event;
use crate::core::lease::Lease;
use lang::program::rules::{Masking, RuleId, RuleKind};
use lang::program::{Access, Beyond, Object, Place, StatementLimits, Verdict};
use lang::protocol::{ConnectionKind, Operation};
use lang::time::Timestamp;
use pgsql::mask::{Outcome, Plan};
use pgsql::reach::Reach;
use std::sync::Arc;

/// Why a statement does not run: a decision, not a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// One sentence that a person or an agent can act on.
    pub sentence: String,
    /// The way out, when there is one.
    pub hint: Option<String>,
    /// The rule that decided.
    pub rule: Option<RuleId>,
    /// Where the rule stands.
    pub place: Option<Place>,
    /// What the statement would have done.
    pub accesses: Vec<Access>,
    /// The code that drivers act on.
    pub code: SqlState,
}

impl Denial {
    /// A denial that no rule decided.
    pub fn saying(sentence: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            sentence: sentence.into(),
            hint: None,
            rule: None,
            place: None,
            accesses: Vec::new(),
            code: SqlState::INSUFFICIENT_PRIVILEGE,
        })
    }

    /// The same denial under another code.
    #[must_use]
    pub fn with_code(mut self: Box<Self>, code: SqlState) -> Box<Self> {
        self.code = code;
        self
    }

    pub(super) fn by(lease: &Lease, rule: RuleId, sentence: impl Into<String>) -> Box<Self> {
        let place = lease.active().program.place(&rule).cloned();
        Box::new(Self {
            sentence: sentence.into(),
            hint: None,
            rule: Some(rule),
            place,
            accesses: Vec::new(),
            code: SqlState::INSUFFICIENT_PRIVILEGE,
        })
    }

    pub(super) fn with_hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }

    /// The entry for the recording.
    pub fn event(&self) -> event::Decision {
        event::Decision {
            outcome: "denied".to_owned(),
            accesses: phrases(self.accesses.iter()),
            rule: self.rule.as_ref().map(ToString::to_string),
            place: self.place.as_ref().map(ToString::to_string),
            sentence: self.sentence.clone(),
        }
    }
}

/// The recording's entry for a statement that may run.
pub fn allowed<'a>(lease: &Lease, accesses: impl Iterator<Item = &'a Access>) -> event::Decision {
    let rule = lease.grant().map(lang::program::rules::Grant::rule);
    event::Decision {
        outcome: "allowed".to_owned(),
        accesses: phrases(accesses),
        place: rule.as_ref().and_then(|rule| lease.active().program.place(rule)).map(ToString::to_string),
        rule: rule.map(|rule| rule.to_string()),
        sentence: "permitted by the grant".to_owned(),
    }
}

pub(super) fn phrases<'a>(accesses: impl Iterator<Item = &'a Access>) -> Vec<String> {
    accesses
        .map(|access| match &access.object {
            Object::Nothing => access.op.to_string(),
            object @ (Object::Table { .. } | Object::Kubernetes { .. } | Object::Path(_) | Object::Argv(_)) => {
                format!("{} {object}", access.op)
            }
        })
        .collect()
}

/// The session's facts that a verdict depends on besides the lease.
#[derive(Debug)]
pub struct Context<'a> {
    /// The lease.
    pub lease: &'a Lease,
    /// The masks over the target's catalog; `None` when it was not read.
    pub plan: Option<&'a Arc<Plan>>,
    /// What names lead to in the target's catalog; `None` where nothing rests on it.
    pub reach: Option<&'a Arc<Reach>>,
    /// Whether the session is pinned read-only.
    pub read_only: bool,
    /// When.
    pub at: Timestamp,
}

/// What a statement that is not refused must keep to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permitted {
    /// Bounds on what it returns.
    pub limits: StatementLimits,
    /// The rules that want people's word first, each with its approval.
    pub reviews: Vec<(RuleId, String)>,
    /// Whether the rows that it writes are counted against the bound before they can be committed.
    pub counts: bool,
}

/// Judges a statement. What it executes by name is judged for itself.
///
/// # Errors
/// With the first reason that refuses it.
pub fn judge(context: &Context<'_>, statement: &Classified) -> Result<Permitted, Box<Denial>> {
    weigh(context, statement).map_err(|mut denial| {
        denial.accesses.clone_from(&statement.accesses);
        denial
    })
}

fn weigh(context: &Context<'_>, statement: &Classified) -> Result<Permitted, Box<Denial>> {
    if let Some(never) = &statement.never {
        return Err(Denial::saying(never.clone()));
    }
    if context.read_only && statement.leaves_read_only {
        return Err(Denial::saying("the session is read-only, because its grant permits no write"));
    }
    let lease = context.lease;
    if context.reach.is_none() && !statement.accesses.is_empty() && needs_catalog(lease) {
        return Err(Denial::saying("the gateway does not know the target's catalog, and the policy rests on it"));
    }
    let beyond = beyond(context.reach, &statement.accesses)?;
    let judgement = lease.judge(&statement.accesses, &beyond, context.at);
    let reviews = match judgement.verdict {
        Verdict::Allowed => Vec::new(),
        Verdict::Denied(reasons) => return Err(refused(lease, reasons)),
        Verdict::Review(reviews) => reviews,
    };
    unmasked(context, statement)?;
    keeps_to_rules(context, statement)?;
    for name in &statement.sensitive {
        named_exactly(lease, name)?;
    }
    let counts = counts(context, statement, judgement.limits.rows.as_ref().map(|(_, rule)| rule))?;
    Ok(Permitted { limits: judgement.limits, reviews, counts })
}

/// Refuses to take from an object the name by which a guard finds it: the rule would hold for nothing.
fn keeps_to_rules(context: &Context<'_>, statement: &Classified) -> Result<(), Box<Denial>> {
    let lease = context.lease;
    if statement.renames.is_empty() || !lease.active().program.has_guards(lease.connection()).1 {
        return Ok(());
    }
    for (from, to) in &statement.renames {
        if from.1.is_empty() {
            return Err(Denial::saying(format!(
                "guards name objects of this connection by their schemas, and those of `{}` would have another; change it \
                 together with the policy, with an account of your own",
                from.0
            )));
        }
        if let Some(rule) = ConnectionKind::Postgres.operations().find_map(|op| escaped(context, op, from, to)) {
            let sentence = format!(
                "{rule} holds for `{}.{}`, and would not for `{}.{}`; change it together with the policy, with an account \
                 of your own",
                from.0, from.1, to.0, to.1
            );
            return Err(Denial::by(lease, rule, sentence));
        }
    }
    Ok(())
}

/// The rule that denies or reviews an operation on one object and not on the other.
fn escaped(context: &Context<'_>, op: Operation, from: &QualifiedName, to: &QualifiedName) -> Option<RuleId> {
    let judged = |(schema, name): &QualifiedName| {
        let access = Access { op, object: Object::table(schema.as_ref(), name.as_ref()) };
        context.lease.judge(&[access], &[], context.at).verdict
    };
    match (judged(from), judged(to)) {
        (Verdict::Allowed, _) | (_, Verdict::Denied(_)) => None,
        (Verdict::Denied(reasons), _) => reasons.into_iter().find_map(|reason| reason.rule),
        (Verdict::Review(reviews), now) => {
            let kept = if let Verdict::Review(kept) = now { kept } else { Vec::new() };
            reviews.into_iter().find(|review| !kept.contains(review)).map(|(rule, _)| rule)
        }
    }
}

/// Whether a bound on rows holds for what the statement writes; what cannot be counted is refused under one.
fn counts(context: &Context<'_>, statement: &Classified, rule: Option<&RuleId>) -> Result<bool, Box<Denial>> {
    let Some(rule) = rule else { return Ok(false) };
    let refused = |why: &str| {
        let sentence = format!("{rule} limits rows, and {why}");
        Err(Denial::by(context.lease, rule.clone(), sentence))
    };
    let has = |ops: &[Operation]| statement.accesses.iter().any(|access| ops.contains(&access.op));
    if !context.read_only && has(&[Operation::Call, Operation::Do]) {
        return refused("the rows that a routine or a code block writes cannot be counted");
    }
    if has(&[Operation::Truncate, Operation::Refresh]) {
        return refused("TRUNCATE and REFRESH do not say how many rows they concern");
    }
    if !statement.writes_rows {
        return Ok(false);
    }
    if !statement.counted {
        return refused(
            "the rows that are written inside WITH, EXPLAIN or another statement cannot be counted: write them in a statement of their own",
        );
    }
    Ok(true)
}

fn refused(lease: &Lease, reasons: Vec<lang::program::Reason>) -> Box<Denial> {
    let Some(first) = reasons.into_iter().next() else { return Denial::saying("the policy refuses this statement") };
    let sentence = first.why.to_string();
    match first.rule {
        None => Denial::saying(sentence),
        Some(rule) => {
            let hint = match rule.kind {
                RuleKind::Grant | RuleKind::BreakGlass => {
                    "Another grant may permit it; `leasehold access` lists what you can ask for."
                }
                RuleKind::Forbid
                | RuleKind::Guard
                | RuleKind::Limits
                | RuleKind::Mask
                | RuleKind::Approval
                | RuleKind::Operate
                | RuleKind::Connection
                | RuleKind::Group
                | RuleKind::Disjoint
                | RuleKind::Idp
                | RuleKind::Test
                | RuleKind::Assert
                | RuleKind::Policy => "To change the rule, open a pull request against the policy repository.",
            };
            Denial::by(lease, rule, sentence).with_hint(hint)
        }
    }
}

/// Refuses what could show something of a masked column.
fn unmasked(context: &Context<'_>, statement: &Classified) -> Result<(), Box<Denial>> {
    let lease = context.lease;
    if !has_masks(lease) || statement.under.plan.is_none() && statement.accesses.is_empty() {
        return Ok(());
    }
    let Some(plan) = context.plan else {
        return Err(Denial::saying("the gateway does not know the target's catalog, and this connection has masks"));
    };
    for (relation, may_be_missing) in &statement.relations {
        if !may_be_missing && !plan.knows(relation) {
            let (schema, name) = relation;
            let sentence = if schema.as_ref() == "pg_catalog" {
                format!(
                    "`{schema}.{name}` may hold values of relations or statements of other sessions, and this connection has masks"
                )
            } else {
                format!(
                    "the gateway does not know the relation `{schema}.{name}`, and this connection has masks; if it is new, try again after the transaction"
                )
            };
            return Err(Denial::saying(sentence));
        }
    }
    let named = || statement.relations.iter().map(|(relation, _)| relation);
    match &statement.outcome {
        Outcome::Untouched | Outcome::Covered => Ok(()),
        Outcome::Refused(why) => match named().find_map(|relation| masking::rule_of(lease, relation)) {
            Some(rule) => Err(Denial::by(lease, rule, why.as_ref())),
            None => Err(Denial::saying(why.as_ref())),
        },
    }
}

/// Whether the lease permits to read an object, with everything that this reaches.
pub fn may_read(context: &Context<'_>, object: &Object) -> bool {
    let reads = [Access { op: Operation::Select, object: object.clone() }];
    let Ok(beyond) = beyond(context.reach, &reads) else { return false };
    !matches!(context.lease.judge(&reads, &beyond, context.at).verdict, Verdict::Denied(_))
}

/// What a statement reaches without naming it.
fn beyond(reach: Option<&Arc<Reach>>, accesses: &[Access]) -> Result<Vec<Beyond>, Box<Denial>> {
    let mut found = Vec::new();
    let Some(reach) = reach else { return Ok(found) };
    for access in accesses {
        let Object::Table { schema, name } = &access.object else { continue };
        if access.op != Operation::Select && reach.holds_settings(schema, name) && !is_definition(access.op) {
            let sentence = format!(
                "`{schema}.{name}` stands over `pg_settings`: changing it sets parameters that are pinned by the gateway"
            );
            return Err(Denial::saying(sentence));
        }
        found.extend(reach.beyond(access.op, schema, name).into_iter().map(|reached| Beyond {
            access: Access { op: reached.operation, object: Object::table(reached.name.0, reached.name.1) },
            through: (!reached.belongs).then(|| access.object.clone()),
        }));
    }
    Ok(found)
}

fn is_definition(op: Operation) -> bool {
    matches!(
        op,
        Operation::DdlCreate | Operation::DdlAlter | Operation::DdlDrop | Operation::Explain | Operation::CopyOut
    )
}

/// Whether what the lease permits rests on the target's catalog.
pub fn needs_catalog(lease: &Lease) -> bool {
    has_masks(lease) || lease.asks_for_definitions()
}

/// Whether any mask could hold on the lease's connection, or the target masks by itself.
pub fn has_masks(lease: &Lease) -> bool {
    lease.target().is_some_and(|target| target.masking == Masking::Database)
        || lease.active().program.has_masks(lease.connection())
}

fn named_exactly(lease: &Lease, (schema, name): &QualifiedName) -> Result<(), Box<Denial>> {
    let exact = format!("{schema}.{name}");
    if lease.grant().is_some_and(|grant| grant.scope.tables.contains(&exact)) && !has_masks(lease) {
        return Ok(());
    }
    let sentence =
        format!("`{exact}` shows data of other relations or sessions and runs only where a grant names exactly it");
    let rule = lease.grant().map(lang::program::rules::Grant::rule);
    Err(rule.map_or_else(|| Denial::saying(sentence.clone()), |rule| Denial::by(lease, rule, sentence.clone())))
}
