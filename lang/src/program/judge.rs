//! How a grant judges one statement or request: what it does not permit, what guards refuse, and what it must bear
//! otherwise. Sentences are made only for who asks for them.

use super::decide::Access;
use super::index::ConnectionIndex;
use super::rules::{Grant, Guard, Region, RuleId, RuleKind};
use super::scope::argv_matches;
use super::{MaskHit, Object, Program, Reason, Subject, Why};
use crate::time::Timestamp;
use std::collections::BTreeSet;

/// One operation on an object that a statement reaches without naming it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// What it does there.
    pub access: Access,
    /// The object that it names. `None` where the grant is asked for nothing more: guards alone decide.
    pub through: Option<Object>,
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

impl Judgement {
    /// A denial, which bears nothing.
    const fn denied(reasons: Vec<Reason>) -> Self {
        let limits = StatementLimits { rows: None, seconds: None, bytes: None };
        Self { verdict: Verdict::Denied(reasons), limits, masks: Vec::new() }
    }
}

impl Program {
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
        let Some((_, index)) = self.indexed(connection) else {
            return Judgement::denied(vec![Reason::new(None, Why::UnknownConnection(connection.to_owned()))]);
        };
        let mut reasons = Vec::new();
        for access in accesses {
            reasons.extend(unpermitted(grant, access).map(|gap| gap.reason(grant, access)));
            if !explain && !reasons.is_empty() {
                return Judgement::denied(reasons);
            }
        }
        let below = beyond.iter().filter(|found| found.through.as_ref().is_some_and(|named| !grant.scope.names(named)));
        let below = below.map(|found| &found.access);
        reasons.extend(below.filter_map(|access| unpermitted(grant, access).map(|gap| gap.reason(grant, access))));
        for guard in self.guards(index, subject, at) {
            if !explain && !reasons.is_empty() {
                break;
            }
            let below = beyond.iter().filter_map(|found| Some((blocked_beyond(guard, found)?, &found.access)));
            let named = accesses.iter().filter_map(|access| Some((blocked(guard, access)?, access)));
            reasons.extend(below.chain(named).map(|(block, access)| block.reason(guard, access)));
        }
        if !reasons.is_empty() {
            return Judgement::denied(reasons);
        }
        self.obligations(index, (subject, grant, connection), (accesses, beyond), at)
    }

    /// Whether a grant permits every access and no guard blocks one; why not is not said.
    pub(super) fn allows(
        &self,
        index: &ConnectionIndex,
        (subject, grant): (&Subject, &Grant),
        accesses: &[Access],
        at: Timestamp,
    ) -> bool {
        let clear = |guard: &Guard| accesses.iter().all(|access| blocked(guard, access).is_none());
        accesses.iter().all(|access| unpermitted(grant, access).is_none()) && self.guards(index, subject, at).all(clear)
    }

    /// What a statement that is not denied must bear: reviews, bounds and masks.
    pub(super) fn obligations(
        &self,
        index: &ConnectionIndex,
        (subject, grant, connection): (&Subject, &Grant, &str),
        (accesses, beyond): (&[Access], &[Beyond]),
        at: Timestamp,
    ) -> Judgement {
        let mut limits = StatementLimits::default();
        let mut reviews = BTreeSet::new();
        for guard in self.guards(index, subject, at) {
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
        let verdict =
            if reviews.is_empty() { Verdict::Allowed } else { Verdict::Review(reviews.into_iter().collect()) };
        Judgement { verdict, limits, masks }
    }

    /// Why guards refuse accesses; they speak even where no grant does.
    pub(super) fn blocks<'p>(
        &'p self,
        index: &'p ConnectionIndex,
        subject: &Subject,
        accesses: &[Access],
        at: Timestamp,
    ) -> Vec<Reason> {
        let guards = self.guards(index, subject, at);
        let blocked = guards.flat_map(|guard| {
            accesses.iter().filter_map(move |access| Some(blocked(guard, access)?.reason(guard, access)))
        });
        blocked.collect()
    }

    fn guards<'p>(
        &'p self,
        index: &'p ConnectionIndex,
        subject: &Subject,
        at: Timestamp,
    ) -> impl Iterator<Item = &'p Guard> {
        let concerning = index.guards.concerning(&self.rules.guards, &self.to_guards, subject);
        let now = move |guard: &&Guard| guard.hours.as_ref().is_none_or(|hours| hours.contains(at, &self.zone));
        concerning.map(|(_, guard)| guard).filter(now)
    }

    /// Whether any guard stands on a connection, and whether one of them names tables.
    pub fn has_guards(&self, connection: &str) -> (bool, bool) {
        let Some((_, index)) = self.indexed(connection) else { return (false, false) };
        let guards = || index.guards.all(&self.rules.guards).map(|(_, guard)| guard);
        let names_tables = guards().any(|guard| {
            let regions =
                guard.blocks.iter().chain(&guard.only).chain(guard.reviews.iter().map(|review| &review.region));
            regions.into_iter().any(|region| !region.scope.tables.is_empty())
        });
        (guards().next().is_some(), names_tables)
    }
}

/// What a grant lacks for an access.
#[derive(Clone, Copy)]
enum Gap {
    Operation,
    Object,
}

impl Gap {
    fn reason(self, grant: &Grant, Access { op, object }: &Access) -> Reason {
        let (op, object) = (*op, object.clone());
        let why = match self {
            Self::Operation => Why::NotPermitted { op, object },
            Self::Object => Why::OutOfScope { op, object },
        };
        Reason::new(Some(grant.rule()), why)
    }
}

fn unpermitted(grant: &Grant, access: &Access) -> Option<Gap> {
    if !grant.permit.contains(access.op) {
        Some(Gap::Operation)
    } else if !grant.scope.covers(&access.object) {
        Some(Gap::Object)
    } else {
        None
    }
}

/// How a guard refuses an access.
#[derive(Clone, Copy)]
enum Block {
    /// It blocks it.
    Blocked,
    /// It is not among what alone is allowed.
    OnlyOthers,
    /// Its command line is not among those that may run.
    Command,
}

impl Block {
    fn reason(self, guard: &Guard, Access { op, object }: &Access) -> Reason {
        let why = match (self, object) {
            (Self::Command, Object::Argv(argv)) => Why::CommandNotPermitted(argv.clone()),
            (Self::OnlyOthers, _) => Why::OnlyOthers { op: *op, object: object.clone() },
            (Self::Blocked | Self::Command, _) => Why::Blocked { op: *op, object: object.clone() },
        };
        Reason::new(Some(guard_rule(guard)), why)
    }
}

/// As [`blocked`]: `only` is not asked of what belongs to the named object, or lies below one that it names exactly.
fn blocked_beyond(guard: &Guard, found: &Beyond) -> Option<Block> {
    let exempt = match &found.through {
        None => true,
        Some(named) => guard.only.iter().any(|region| region.scope.names(named)),
    };
    let blocks = |region: &Region| region.ops.contains(found.access.op) && region.scope.concerns(&found.access.object);
    if exempt && !guard.blocks.iter().any(blocks) { None } else { blocked(guard, &found.access) }
}

fn blocked(guard: &Guard, access: &Access) -> Option<Block> {
    let hit = |region: &Region| region.ops.contains(access.op) && region.scope.concerns(&access.object);
    let within = |region: &Region| region.ops.contains(access.op) && region.scope.covers(&access.object);
    if guard.blocks.iter().any(hit) {
        return Some(Block::Blocked);
    }
    if !guard.only.is_empty() && !guard.only.iter().any(within) {
        return Some(Block::OnlyOthers);
    }
    match &access.object {
        Object::Argv(argv) if !guard.argv.is_empty() && !guard.argv.iter().any(|p| argv_matches(p, argv)) => {
            Some(Block::Command)
        }
        Object::Nothing | Object::Table { .. } | Object::Kubernetes { .. } | Object::Path(_) | Object::Argv(_) => None,
    }
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
