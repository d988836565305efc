//! The decision: which contracts a subject may enter, and how one of them judges an operation.
//!
//! Grants are alternatives, obligations conjoin, forbids absorb. The functions are total and pure; a case that no
//! rule permits is denied.

use super::rules::{Connection, Forbid, Grant, Guard, Limits, MaskAs, Mode, RuleId, RuleKind};
use super::scope::{argv_matches, class_matches, table_matches};
use super::{ConnectionIndex, Object, Program, Reason, Subject, Terms, Why, matches};
use crate::protocol::Operation;
use crate::time::Timestamp;
use std::collections::BTreeSet;

/// One operation on one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// The operation.
    pub op: Operation,
    /// The object.
    pub object: Object,
}

/// One operation on an object that a statement reaches without naming it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// What it does there.
    pub access: Access,
    /// The object that it names. `None` where the grant is asked for nothing more: guards alone decide.
    pub through: Option<Object>,
}

/// A request point: a subject, a connection, an operation on an object, an instant.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who.
    pub subject: &'a Subject,
    /// Where.
    pub connection: &'a str,
    /// What.
    pub accesses: &'a [Access],
    /// The grant asked for.
    pub via: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

/// One grant under which a session may run, with its effective terms.
#[derive(Clone, Debug)]
pub struct Contract<'p> {
    /// The grant.
    pub grant: &'p Grant,
    /// The connection.
    pub connection: &'p Connection,
    /// The grant's terms met with every limit that applies.
    pub terms: Terms,
}

/// What a subject may enter on one connection at one instant.
#[derive(Clone, Debug, Default)]
pub struct Candidates<'p> {
    /// Reasons that refuse every session: forbids. Not empty means that nothing may be entered.
    pub refusals: Vec<Reason>,
    /// The contracts, by grant id; break-glass grants included.
    pub contracts: Vec<Contract<'p>>,
    /// Why grants that concern the subject are no contracts now.
    pub misses: Vec<Reason>,
}

/// What a whole decision says.
#[derive(Clone, Debug)]
pub struct Decision<'p> {
    /// Permitted or denied.
    pub outcome: Outcome<'p>,
    /// Every reason of a denial; empty otherwise.
    pub reasons: Vec<Reason>,
}

/// The two outcomes.
#[derive(Clone, Debug)]
pub enum Outcome<'p> {
    /// Under this contract, with these obligations on the operation.
    Permitted {
        /// The contract.
        contract: Box<Contract<'p>>,
        /// The obligations.
        judgement: Judgement,
    },
    /// Not at all.
    Denied,
}

/// How a contract judges a statement or request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Bounds on what it may return.
    pub limits: StatementLimits,
    /// Masks on what it touches, strictest first.
    pub masks: Vec<MaskHit>,
}

/// The verdict on a statement or request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may run.
    Allowed,
    /// It waits for these approvals, each demanded by a guard.
    Review(Vec<(RuleId, String)>),
    /// It does not run.
    Denied(Vec<Reason>),
}

/// Bounds on what one statement may return, each with the rule that sets it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementLimits {
    /// Rows.
    pub rows: Option<(u64, RuleId)>,
    /// Seconds of run time.
    pub seconds: Option<(u64, RuleId)>,
    /// Bytes.
    pub bytes: Option<(u64, RuleId)>,
}

/// A mask that applies to an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskHit {
    /// The mask.
    pub rule: RuleId,
    /// The object.
    pub object: Object,
    /// The column; `None` when the whole relation or every value is concerned.
    pub column: Option<String>,
    /// How.
    pub mask: MaskAs,
}

impl MaskAs {
    /// Strictness: `nullify > fixed = redact > hash > partial`.
    pub const fn rank(&self) -> u8 {
        match self {
            Self::Partial { .. } => 1,
            Self::Hash => 2,
            Self::Redact | Self::Fixed(_) => 3,
            Self::Nullify => 4,
        }
    }

    /// The word of the language.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Partial { .. } => "partial",
            Self::Hash => "hash",
            Self::Redact => "redact",
            Self::Fixed(_) => "fixed",
            Self::Nullify => "nullify",
        }
    }
}

impl Program {
    /// The contracts that a subject may enter on a connection at an instant. Operations play no part yet.
    pub fn candidates<'p>(&'p self, subject: &Subject, connection: &str, at: Timestamp) -> Candidates<'p> {
        let mut found = Candidates::default();
        let Some((target, index)) = self.indexed(connection) else {
            found.refusals.push(Reason::new(None, Why::UnknownConnection(connection.to_owned())));
            return found;
        };
        found.refusals = self.forbidden(index, subject, at);
        for grant_index in &index.grants {
            let (Some(grant), Some(to)) = (self.rules.grants.get(*grant_index), self.to_grants.get(*grant_index))
            else {
                continue;
            };
            if !matches(to, subject) {
                continue;
            }
            match self.enter(index, grant, subject, at) {
                Ok(terms) => found.contracts.push(Contract { grant, connection: target, terms }),
                Err(misses) => found.misses.extend(misses),
            }
        }
        found
    }

    /// Chooses the contract of a request: the one named, else the only one, break-glass excluded.
    ///
    /// # Errors
    /// With every reason when no contract is chosen.
    pub fn choose<'p>(
        &'p self,
        subject: &Subject,
        connection: &str,
        via: Option<&str>,
        at: Timestamp,
    ) -> Result<Contract<'p>, Vec<Reason>> {
        let Candidates { mut refusals, mut contracts, misses } = self.candidates(subject, connection, at);
        match via {
            Some(id) => contracts.retain(|contract| contract.grant.id == id),
            None => contracts.retain(|contract| contract.grant.break_glass.is_none()),
        }
        if contracts.len() > 1 {
            let ids = contracts.iter().map(|contract| contract.grant.id.clone()).collect();
            refusals.push(Reason::new(None, Why::Ambiguous(ids)));
            return Err(refusals);
        }
        match contracts.pop() {
            Some(contract) if refusals.is_empty() => Ok(contract),
            Some(_) => Err(refusals),
            None => {
                let named = |rule: &RuleId| via.is_none_or(|id| rule.name == id || rule.kind != RuleKind::Grant);
                refusals.extend(misses.into_iter().filter(|miss| miss.rule.as_ref().is_none_or(named)));
                if refusals.is_empty() {
                    refusals.push(Reason::new(
                        None,
                        via.map_or_else(|| Why::NoGrant(connection.to_owned()), |id| Why::NoSuchGrant(id.to_owned())),
                    ));
                }
                Err(refusals)
            }
        }
    }

    /// How a grant judges one statement or request on a connection: every access must be permitted by the grant,
    /// and no guard may block it.
    ///
    /// With `explain`, every reason is collected; without, the first denial ends the work.
    pub fn judge(
        &self,
        subject: &Subject,
        grant: &Grant,
        connection: &str,
        accesses: &[Access],
        at: Timestamp,
        explain: bool,
    ) -> Judgement {
        self.judge_reaching(subject, grant, connection, (accesses, &[]), at, explain)
    }

    /// As [`Program::judge`], with what the statement reaches without naming it. A grant whose scope names a relation
    /// exactly grants what is below it, and so does a guard's `only`; a pattern does not.
    pub fn judge_reaching(
        &self,
        subject: &Subject,
        grant: &Grant,
        connection: &str,
        (accesses, beyond): (&[Access], &[Beyond]),
        at: Timestamp,
        explain: bool,
    ) -> Judgement {
        let mut limits = StatementLimits::default();
        let mut reasons = Vec::new();
        let mut reviews = BTreeSet::new();
        let Some((_, index)) = self.indexed(connection) else {
            let reason = Reason::new(None, Why::UnknownConnection(connection.to_owned()));
            return Judgement { verdict: Verdict::Denied(vec![reason]), limits, masks: Vec::new() };
        };
        for access in accesses {
            reasons.extend(permitted(grant, access));
            if !explain && !reasons.is_empty() {
                break;
            }
        }
        let below = beyond.iter().filter(|found| found.through.as_ref().is_some_and(|named| !grant.scope.names(named)));
        reasons.extend(below.filter_map(|found| permitted(grant, &found.access)));
        for guard in self.guards(index, subject, at) {
            if !explain && !reasons.is_empty() {
                break;
            }
            reasons.extend(beyond.iter().filter_map(|found| blocked_beyond(guard, found)));
            reasons.extend(accesses.iter().filter_map(|access| blocked(guard, access)));
            for access in accesses.iter().chain(beyond.iter().map(|found| &found.access)) {
                for review in &guard.reviews {
                    if review.region.ops.contains(access.op) && review.region.scope.concerns(&access.object) {
                        reviews.insert((guard_rule(guard), review.by.clone()));
                    }
                }
            }
            tighten(&mut limits.rows, guard.rows, guard);
            tighten(&mut limits.seconds, guard.seconds, guard);
            tighten(&mut limits.bytes, guard.bytes, guard);
        }
        let mut masks = Vec::new();
        for access in accesses {
            for hit in self.masked(subject, grant, connection, &access.object) {
                if !masks.contains(&hit) {
                    masks.push(hit);
                }
            }
        }
        masks.sort_by_key(|hit| std::cmp::Reverse(hit.mask.rank()));
        let verdict = if !reasons.is_empty() {
            Verdict::Denied(reasons)
        } else if reviews.is_empty() {
            Verdict::Allowed
        } else {
            Verdict::Review(reviews.into_iter().collect())
        };
        Judgement { verdict, limits, masks }
    }

    /// The masks that hold on an object for a subject under a grant; what the grant may and does reveal is lifted.
    pub fn masked(&self, subject: &Subject, grant: &Grant, connection: &str, object: &Object) -> Vec<MaskHit> {
        let Some((target, index)) = self.indexed(connection) else { return Vec::new() };
        let (schema, name) = match object {
            Object::Table { schema, name } => (schema, name),
            // What an API answers is JSON, in which pointers name what a mask hides.
            Object::Path(_) | Object::Kubernetes { .. } => return self.masked_json(subject, grant, connection, object),
            Object::Nothing | Object::Argv(_) => return Vec::new(),
        };
        let mut hits = Vec::new();
        for mask_index in &index.masks {
            let (Some(mask), Some(to)) = (self.rules.masks.get(*mask_index), self.to_masks.get(*mask_index)) else {
                continue;
            };
            if !matches(to, subject) {
                continue;
            }
            let mut hit = |column: Option<String>| {
                hits.push(MaskHit {
                    rule: RuleId::new(RuleKind::Mask, &mask.name),
                    object: object.clone(),
                    column,
                    mask: mask.mask.clone(),
                });
            };
            for item in &target.classified {
                let applies = table_matches(&item.object, schema, name)
                    && mask.classes.iter().any(|class| class_matches(class, &item.class));
                let revealed =
                    mask.reveal_by_grant && grant.reveal.iter().any(|class| class_matches(class, &item.class));
                if applies && !revealed {
                    hit(item.column.clone());
                }
            }
            for column in &mask.columns {
                if let Some((table, column)) = column.rsplit_once('.')
                    && table_matches(table, schema, name)
                {
                    hit(Some(column.to_owned()));
                }
            }
            if !mask.patterns.is_empty() {
                hit(None);
            }
        }
        hits
    }

    /// The masks on what an API answers: the pointer stands where a table has its column.
    fn masked_json(&self, subject: &Subject, grant: &Grant, connection: &str, object: &Object) -> Vec<MaskHit> {
        let Some((target, index)) = self.indexed(connection) else { return Vec::new() };
        let mut hits = Vec::new();
        for mask_index in &index.masks {
            let (Some(mask), Some(to)) = (self.rules.masks.get(*mask_index), self.to_masks.get(*mask_index)) else {
                continue;
            };
            if !matches(to, subject) {
                continue;
            }
            let lifted =
                |class: &str| mask.reveal_by_grant && grant.reveal.iter().any(|reveal| class_matches(reveal, class));
            let classified = (target.classified.iter())
                .filter(|item| item.object.starts_with('/') && !lifted(&item.class))
                .filter(|item| mask.classes.iter().any(|class| class_matches(class, &item.class)))
                .map(|item| Some(item.object.clone()));
            let named = mask.json.iter().map(|pointer| Some(pointer.clone()));
            let anywhere = (!mask.patterns.is_empty()).then_some(None);
            hits.extend(classified.chain(named).chain(anywhere).map(|column| MaskHit {
                rule: RuleId::new(RuleKind::Mask, &mask.name),
                object: object.clone(),
                column,
                mask: mask.mask.clone(),
            }));
        }
        hits
    }

    /// Whether any guard stands on a connection, and whether one of them names tables.
    pub fn has_guards(&self, connection: &str) -> (bool, bool) {
        let Some((_, index)) = self.indexed(connection) else { return (false, false) };
        let guards = || index.guards.iter().filter_map(|guard| self.rules.guards.get(*guard));
        let names_tables = guards().any(|guard| {
            let regions =
                guard.blocks.iter().chain(&guard.only).chain(guard.reviews.iter().map(|review| &review.region));
            regions.into_iter().any(|region| !region.scope.tables.is_empty())
        });
        (guards().next().is_some(), names_tables)
    }

    /// Whether any mask could hold on some object of a connection. Those that look for patterns in what a SQL connection
    /// shows concern no object: see [`Program::patterns`].
    pub fn has_masks(&self, connection: &str) -> bool {
        let Some((target, index)) = self.indexed(connection) else { return false };
        index.masks.iter().filter_map(|mask| self.rules.masks.get(*mask)).any(|mask| {
            let classified = |class: &String| target.classified.iter().any(|item| class_matches(class, &item.class));
            !mask.columns.is_empty()
                || (!mask.json.is_empty() && !target.kind.is_sql())
                || (!mask.patterns.is_empty() && !target.kind.is_sql())
                || mask.classes.iter().any(classified)
        })
    }

    /// The whole decision at a request point: choose a contract, then judge under it. Tests, asserts and
    /// explanations use it; the gateway makes the two steps at their own times.
    pub fn decide<'p>(&'p self, request: &Request<'_>) -> Decision<'p> {
        let Request { subject, connection, accesses, via, at } = *request;
        match self.choose(subject, connection, via, at) {
            Err(mut reasons) => {
                // Guards speak too, so that an explanation names every rule that would refuse.
                if let Some((_, index)) = self.indexed(connection) {
                    for guard in self.guards(index, subject, at) {
                        reasons.extend(accesses.iter().filter_map(|access| blocked(guard, access)));
                    }
                }
                Decision { outcome: Outcome::Denied, reasons }
            }
            Ok(contract) => {
                let judgement = self.judge(subject, contract.grant, connection, accesses, at, true);
                match &judgement.verdict {
                    Verdict::Denied(reasons) => Decision { outcome: Outcome::Denied, reasons: reasons.clone() },
                    Verdict::Allowed | Verdict::Review(_) => Decision {
                        outcome: Outcome::Permitted { contract: Box::new(contract), judgement },
                        reasons: Vec::new(),
                    },
                }
            }
        }
    }

    /// The absolute end of a window or session that begins at `start` and may last `lifetime`: the earliest of its
    /// length, the end of hours or validity of the grant and of limits, and the start of a forbid.
    pub fn window_end(
        &self,
        subject: &Subject,
        grant: &Grant,
        connection: &str,
        start: Timestamp,
        lifetime: crate::time::Ttl,
    ) -> Timestamp {
        let mut end = start.plus(lifetime);
        let mut no_later = |bound: Option<Timestamp>| {
            if let Some(bound) = bound {
                end = end.min(bound);
            }
        };
        no_later(grant.hours.as_ref().and_then(|hours| hours.end_after(start, &self.zone)));
        no_later(grant.valid.as_ref().and_then(|valid| valid.end(&self.zone)));
        let Some((_, index)) = self.indexed(connection) else { return start };
        for limits in self.limits(index, subject) {
            no_later(limits.hours.as_ref().and_then(|hours| hours.end_after(start, &self.zone)));
        }
        for forbid_index in &index.forbids {
            let (Some(forbid), Some(to)) = (self.rules.forbids.get(*forbid_index), self.to_forbids.get(*forbid_index))
            else {
                continue;
            };
            if matches(to, subject) {
                no_later(self.next_start(forbid, start));
            }
        }
        end
    }

    /// The limits that apply to a subject on a connection, by name; so that a demand can name the rule behind it.
    pub fn limits_of<'p>(&'p self, subject: &Subject, connection: &str) -> impl Iterator<Item = &'p Limits> {
        let index = self.indexed(connection).map(|(_, index)| index);
        index.into_iter().flat_map(|index| self.limits(index, subject)).collect::<Vec<_>>().into_iter()
    }

    pub(super) fn indexed(&self, connection: &str) -> Option<(&Connection, &ConnectionIndex)> {
        let (position, index) = self.connections.get(connection)?;
        Some((self.rules.connections.get(*position)?, index))
    }

    /// The first instant after `start` at which a forbid that does not apply yet begins to.
    fn next_start(&self, forbid: &Forbid, start: Timestamp) -> Option<Timestamp> {
        let over = forbid.valid.as_ref().and_then(|valid| valid.end(&self.zone));
        let first_day = forbid.valid.as_ref().and_then(|valid| valid.start(&self.zone)).filter(|day| *day > start);
        let from = first_day.unwrap_or(start);
        let begins = match &forbid.hours {
            None => first_day,
            Some(hours) if first_day.is_some() && hours.contains(from, &self.zone) => first_day,
            Some(hours) => hours.start_after(from, &self.zone),
        };
        begins.filter(|begins| over.is_none_or(|over| *begins < over))
    }

    fn forbidden(&self, index: &ConnectionIndex, subject: &Subject, at: Timestamp) -> Vec<Reason> {
        index
            .forbids
            .iter()
            .filter_map(|position| Some((self.rules.forbids.get(*position)?, self.to_forbids.get(*position)?)))
            .filter(|(forbid, to)| {
                matches(to, subject)
                    && forbid.hours.as_ref().is_none_or(|hours| hours.contains(at, &self.zone))
                    && forbid.valid.as_ref().is_none_or(|valid| valid.contains(at, &self.zone))
            })
            .map(|(forbid, _)| Reason::new(Some(RuleId::new(RuleKind::Forbid, &forbid.name)), Why::Forbidden))
            .collect()
    }

    fn limits<'p>(&'p self, index: &'p ConnectionIndex, subject: &Subject) -> impl Iterator<Item = &'p Limits> {
        index
            .limits
            .iter()
            .filter_map(|position| Some((self.rules.limits.get(*position)?, self.to_limits.get(*position)?)))
            .filter(move |(_, to)| matches(to, subject))
            .map(|(limits, _)| limits)
    }

    fn guards<'p>(
        &'p self,
        index: &'p ConnectionIndex,
        subject: &Subject,
        at: Timestamp,
    ) -> impl Iterator<Item = &'p Guard> {
        index
            .guards
            .iter()
            .filter_map(|position| Some((self.rules.guards.get(*position)?, self.to_guards.get(*position)?)))
            .filter(move |(guard, to)| {
                matches(to, subject) && guard.hours.as_ref().is_none_or(|hours| hours.contains(at, &self.zone))
            })
            .map(|(guard, _)| guard)
    }

    /// The effective terms of a grant that concerns the subject, or why it is no contract now.
    fn enter(
        &self,
        index: &ConnectionIndex,
        grant: &Grant,
        subject: &Subject,
        at: Timestamp,
    ) -> Result<Terms, Vec<Reason>> {
        // Names are copied where a reason needs them only: most decisions give none.
        let mut misses = Vec::new();
        if grant.hours.as_ref().is_some_and(|hours| !hours.contains(at, &self.zone)) {
            misses.push(Reason::new(Some(grant.rule()), Why::OutsideHours));
        }
        if grant.valid.as_ref().is_some_and(|valid| !valid.contains(at, &self.zone)) {
            misses.push(Reason::new(Some(grant.rule()), Why::NotValidToday));
        }
        let mut terms = Terms::of(grant);
        for limits in self.limits(index, subject) {
            let by = || Some(RuleId::new(RuleKind::Limits, &limits.name));
            terms.meet(limits, subject.kind);
            if limits.hours.as_ref().is_some_and(|hours| !hours.contains(at, &self.zone)) {
                misses.push(Reason::new(by(), Why::OutsideHours));
            }
            if limits.standing_denied && grant.mode == Mode::Standing {
                misses.push(Reason::new(by(), Why::StandingDenied));
            }
        }
        if grant.break_glass.as_ref().is_some_and(|glass| glass.waives_approval) {
            terms.approvals.clear();
        }
        if misses.is_empty() { Ok(terms) } else { Err(misses) }
    }
}

impl Grant {
    /// How decisions name this grant.
    pub fn rule(&self) -> RuleId {
        RuleId::new(self.rule_kind(), &self.id)
    }

    /// Whether it is a grant or a break-glass.
    pub const fn rule_kind(&self) -> RuleKind {
        if self.break_glass.is_some() { RuleKind::BreakGlass } else { RuleKind::Grant }
    }
}

fn permitted(grant: &Grant, access: &Access) -> Option<Reason> {
    let why = if !grant.permit.contains(access.op) {
        Why::NotPermitted { op: access.op, object: access.object.clone() }
    } else if !grant.scope.covers(&access.object) {
        Why::OutOfScope { op: access.op, object: access.object.clone() }
    } else {
        return None;
    };
    Some(Reason::new(Some(grant.rule()), why))
}

/// As [`blocked`]: `only` is not asked of what belongs to the named object, or lies below one that it names exactly.
fn blocked_beyond(guard: &Guard, found: &Beyond) -> Option<Reason> {
    let exempt = match &found.through {
        None => true,
        Some(named) => guard.only.iter().any(|region| region.scope.names(named)),
    };
    let blocks = |region: &super::rules::Region| {
        region.ops.contains(found.access.op) && region.scope.concerns(&found.access.object)
    };
    if exempt && !guard.blocks.iter().any(blocks) { None } else { blocked(guard, &found.access) }
}

fn blocked(guard: &Guard, access: &Access) -> Option<Reason> {
    let hit = |region: &super::rules::Region| region.ops.contains(access.op) && region.scope.concerns(&access.object);
    let why = if guard.blocks.iter().any(hit) {
        Why::Blocked { op: access.op, object: access.object.clone() }
    } else if !guard.only.is_empty()
        && !guard.only.iter().any(|region| region.ops.contains(access.op) && region.scope.covers(&access.object))
    {
        Why::OnlyOthers { op: access.op, object: access.object.clone() }
    } else {
        match &access.object {
            Object::Argv(argv) if !guard.argv.is_empty() && !guard.argv.iter().any(|p| argv_matches(p, argv)) => {
                Why::CommandNotPermitted(argv.clone())
            }
            Object::Nothing | Object::Table { .. } | Object::Kubernetes { .. } | Object::Path(_) | Object::Argv(_) => {
                return None;
            }
        }
    };
    Some(Reason::new(Some(guard_rule(guard)), why))
}

fn guard_rule(guard: &Guard) -> RuleId {
    RuleId::new(RuleKind::Guard, &guard.name)
}

fn tighten(bound: &mut Option<(u64, RuleId)>, candidate: Option<u64>, guard: &Guard) {
    if let Some(value) = candidate
        && bound.as_ref().is_none_or(|(current, _)| value < *current)
    {
        *bound = Some((value, guard_rule(guard)));
    }
}
