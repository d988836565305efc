//! The naive evaluator that the engine is held to: it looks at one request at a time, straight from the semantics of
//! the language, with texts and loops. It shares nothing with the engine but the canonical tables.

use lang::{
    program::{
        Object, SubjectKind,
        rules::{Approval, AtMost, Grant, Guard, Limits, Mask, MaskAs, Mode, Principal, Recorded, Rules, To},
    },
    protocol::Operation,
    time::{Hours, Timestamp, Valid, Zone},
};
use std::collections::{BTreeMap, BTreeSet};

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token {
    pub(super) idp: String,
    pub(super) kind: SubjectKind,
    pub(super) ids: BTreeSet<String>,
}

/// A request but for who asks.
#[derive(Clone, Debug)]
pub(super) struct At<'a> {
    pub(super) connection: &'a str,
    pub(super) op: Operation,
    pub(super) object: &'a Object,
    pub(super) instant: Timestamp,
}

/// What one grant gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) grant: String,
    standing: bool,
    lifetime: u32,
    total: u32,
    extend: u32,
    by: u32,
    recorded: Recorded,
    approvals: BTreeSet<String>,
    reviews: BTreeSet<String>,
    reason: bool,
    tickets: BTreeSet<String>,
    mfa: bool,
    cooldown: u32,
    at_most: BTreeSet<AtMost>,
    rows: u64,
    /// For each column (the empty name is every other one), and each pattern (or none): what is left.
    seen: BTreeMap<(String, String), (u8, u32, u32)>,
    glass: Option<(BTreeSet<String>, u32, u32, Vec<String>)>,
}

const COLUMNS: [&str; 3] = ["mail", "name", ""];
const PATTERNS: [&str; 2] = ["[0-9]+", ""];
const RAW: (u8, u32, u32) = (9, 0, 0);

pub(super) struct Reference<'a>(pub(super) &'a Rules, Zone);

impl<'a> Reference<'a> {
    pub(super) fn new(rules: &'a Rules) -> Self {
        Self(rules, Zone::parse(&rules.timezone).unwrap())
    }

    /// The groups that somebody holds and their kind; `None` when the token is refused.
    pub(super) fn subject(&self, token: &Token) -> Option<(SubjectKind, BTreeSet<String>)> {
        self.0.idps.iter().find(|idp| idp.name == token.idp)?;
        let asserted: Vec<_> = self
            .0
            .groups
            .iter()
            .filter(|group| group.idp == token.idp)
            .filter(|group| group.ids.iter().chain(&group.claim_values).any(|id| token.ids.contains(id)))
            .collect();
        let agent = asserted.iter().any(|group| group.kind == Some(SubjectKind::Agent));
        let kind = if token.kind == SubjectKind::Service && agent { SubjectKind::Agent } else { token.kind };
        let held = self.closed(asserted.iter().map(|group| group.name.clone()).collect());
        for group in self.0.groups.iter().filter(|group| held.contains(&group.name)) {
            if group.kind.is_some_and(|own| own != kind) {
                return None;
            }
        }
        if self.0.disjoint.iter().any(|set| set.iter().filter(|name| held.contains(*name)).count() > 1) {
            return None;
        }
        Some((kind, held))
    }

    fn closed(&self, mut held: BTreeSet<String>) -> BTreeSet<String> {
        loop {
            let before = held.len();
            for group in &self.0.groups {
                if held.contains(&group.name) {
                    held.extend(group.within.iter().cloned());
                }
            }
            if held.len() == before {
                return held;
            }
        }
    }

    /// What each grant gives in a request.
    pub(super) fn given(&self, token: &Token, at: &At<'_>) -> Vec<Given> {
        self.subject(token).map_or_else(Vec::new, |subject| self.given_to(&subject, at))
    }

    /// What each grant gives to somebody whose token was accepted.
    pub(super) fn given_to(&self, (kind, held): &(SubjectKind, BTreeSet<String>), at: &At<'_>) -> Vec<Given> {
        let kind = *kind;
        let zone = &self.1;
        let who = |principal: &Principal| {
            principal.kind.is_none_or(|wanted| wanted == kind)
                && principal.groups.iter().all(|group| held.contains(group))
        };
        let concerns = |to: &To| match to {
            To::Everybody => true,
            To::Any(any) => any.iter().any(who),
        };
        let here = |on: &[String]| on.iter().any(|name| name == at.connection);
        let hours = |hours: &Option<Hours>| hours.as_ref().is_none_or(|hours| hours.contains(at.instant, zone));
        let days = |days: &Option<Valid>| days.as_ref().is_none_or(|days| days.contains(at.instant, zone));
        if self
            .0
            .forbids
            .iter()
            .any(|rule| here(&rule.on) && rule.to.iter().any(who) && hours(&rule.hours) && days(&rule.valid))
        {
            return Vec::new();
        }
        let limits: Vec<&Limits> = self.0.limits.iter().filter(|rule| here(&rule.on) && concerns(&rule.to)).collect();
        if limits.iter().any(|rule| !hours(&rule.hours)) {
            return Vec::new();
        }
        let guards: Vec<&Guard> =
            self.0.guards.iter().filter(|rule| here(&rule.on) && concerns(&rule.to) && hours(&rule.hours)).collect();
        if guards.iter().any(|guard| blocked(guard, at)) {
            return Vec::new();
        }
        let masks: Vec<&Mask> = self
            .0
            .masks
            .iter()
            .filter(|rule| rule.on.as_ref().is_none_or(|on| here(on)) && concerns(&rule.to))
            .collect();
        let mut all = Vec::new();
        for grant in &self.0.grants {
            let standing = grant.mode == Mode::Standing;
            if here(&grant.on)
                && grant.to.iter().any(who)
                && hours(&grant.hours)
                && days(&grant.valid)
                && !(standing && limits.iter().any(|rule| rule.standing_denied))
                && grant.permit.contains(at.op)
                && within(&grant.scope.tables, at.object)
            {
                all.push(self.terms(grant, kind, &limits, &guards, &masks, at));
            }
        }
        all
    }

    fn terms(
        &self,
        grant: &Grant,
        kind: SubjectKind,
        limits: &[&Limits],
        guards: &[&Guard],
        masks: &[&Mask],
        at: &At<'_>,
    ) -> Given {
        let mut lifetime = grant.lifetime.seconds();
        let mut extend = grant.extend;
        let by = grant.extend_by.seconds();
        let mut total = lifetime + extend * by;
        for rule in limits {
            if let Some(most) = rule.lifetime.of(kind) {
                lifetime = lifetime.min(most.seconds());
                total = total.min(most.seconds());
            }
            if let Some(most) = rule.extend.of(kind) {
                extend = extend.min(most);
            }
        }
        total = total.min(lifetime + extend * by);
        let mut approvals: BTreeSet<String> =
            grant.approvals.iter().chain(limits.iter().flat_map(|rule| &rule.approvals)).cloned().collect();
        if grant.break_glass.as_ref().is_some_and(|glass| glass.waives_approval) {
            approvals.clear();
        }
        let reviews = guards
            .iter()
            .flat_map(|guard| &guard.reviews)
            .filter(|review| review.region.ops.contains(at.op) && touches(&review.region.scope.tables, at.object));
        Given {
            grant: grant.id.clone(),
            standing: grant.mode == Mode::Standing,
            lifetime,
            total,
            extend,
            by,
            recorded: limits.iter().filter_map(|rule| rule.recorded).chain([grant.recorded]).max().unwrap(),
            approvals,
            reviews: reviews.map(|review| review.by.clone()).collect(),
            reason: grant.reason || limits.iter().any(|rule| rule.reason),
            tickets: grant
                .ticket
                .iter()
                .chain(limits.iter().filter_map(|rule| rule.ticket.as_ref()))
                .cloned()
                .collect(),
            mfa: grant.mfa || limits.iter().any(|rule| rule.mfa),
            cooldown: grant
                .cooldown
                .into_iter()
                .chain(limits.iter().filter_map(|rule| rule.cooldown))
                .map(lang::time::Ttl::seconds)
                .max()
                .unwrap_or(0),
            at_most: grant.at_most.into_iter().chain(limits.iter().filter_map(|rule| rule.at_most)).collect(),
            rows: guards.iter().filter_map(|guard| guard.rows).min().unwrap_or(u64::MAX),
            seen: self.seen(grant, masks, at),
            glass: grant.break_glass.as_ref().map(|glass| {
                (
                    glass.notify.iter().cloned().collect(),
                    glass.within.seconds(),
                    glass.review.count,
                    glass.review.from.clone(),
                )
            }),
        }
    }

    fn seen(&self, grant: &Grant, masks: &[&Mask], at: &At<'_>) -> BTreeMap<(String, String), (u8, u32, u32)> {
        let mut seen = BTreeMap::new();
        for column in COLUMNS {
            for pattern in PATTERNS {
                let mut left = RAW;
                let connection = self.0.connections.iter().find(|one| one.name == at.connection).unwrap();
                for mask in masks {
                    let Object::Table { .. } = at.object else { continue };
                    let by_class = connection.classified.iter().any(|item| {
                        let class = |own: &String| glob(own, &item.class);
                        within(std::slice::from_ref(&item.object), at.object)
                            && item.column.as_ref().is_none_or(|own| own == column)
                            && mask.classes.iter().any(class)
                            && !(mask.reveal_by_grant && grant.reveal.iter().any(class))
                    });
                    let by_column = mask.columns.iter().any(|own| {
                        let (table, name) = own.rsplit_once('.').unwrap();
                        name == column && within(&[table.to_owned()], at.object)
                    });
                    let by_pattern = !pattern.is_empty() && mask.patterns.iter().any(|(own, _)| own == pattern);
                    if by_class || by_column || by_pattern {
                        left = stricter(left, form(&mask.mask));
                    }
                }
                seen.insert((column.to_owned(), pattern.to_owned()), left);
            }
        }
        seen
    }
}

fn form(mask: &MaskAs) -> (u8, u32, u32) {
    match mask {
        MaskAs::Nullify => (0, 0, 0),
        MaskAs::Redact | MaskAs::Fixed(_) => (1, 0, 0),
        MaskAs::Hash => (2, 0, 0),
        MaskAs::Partial { keep_first, keep_last } => (3, *keep_first, *keep_last),
    }
}

fn stricter(a: (u8, u32, u32), b: (u8, u32, u32)) -> (u8, u32, u32) {
    if a.0 == 3 && b.0 == 3 {
        (3, a.1.min(b.1), a.2.min(b.2))
    } else if a.0 <= b.0 {
        a
    } else {
        b
    }
}

fn no_better(a: (u8, u32, u32), b: (u8, u32, u32)) -> bool {
    if a.0 == 3 && b.0 == 3 { a.1 <= b.1 && a.2 <= b.2 } else { a.0 <= b.0 }
}

fn blocked(guard: &Guard, at: &At<'_>) -> bool {
    let hit = guard.blocks.iter().any(|block| block.ops.contains(at.op) && touches(&block.scope.tables, at.object));
    let allowed = guard.only.is_empty()
        || guard.only.iter().any(|only| only.ops.contains(at.op) && within(&only.scope.tables, at.object));
    hit || !allowed
}

/// What touches nothing is within any scope.
fn within(tables: &[String], object: &Object) -> bool {
    tables.is_empty() || *object == Object::Nothing || tables.iter().any(|table| named(table, object))
}

/// A narrowed region does not concern what touches nothing.
fn touches(tables: &[String], object: &Object) -> bool {
    tables.is_empty() || tables.iter().any(|table| named(table, object))
}

pub(super) fn named(pattern: &str, object: &Object) -> bool {
    let Object::Table { schema, name } = object else { return false };
    let (s, n) = pattern.split_once('.').unwrap();
    glob(s, schema) && glob(n, name)
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.find('*') {
        Some(star) => text.bytes().take(star).eq(pattern.bytes().take(star)) && text.len() >= star,
        None => pattern == text,
    }
}

/// The approvals of both sides.
type Names = (BTreeSet<String>, BTreeSet<String>);

/// The order of what two revisions give, by brute force over worlds of approvers.
pub(super) struct Worlds<'a> {
    pub(super) left: Reference<'a>,
    pub(super) right: Reference<'a>,
    /// Every token that people who approve can have.
    pub(super) approvers: Vec<Token>,
    cache: std::cell::RefCell<BTreeMap<Names, bool>>,
}

impl<'a> Worlds<'a> {
    pub(super) fn new(left: &'a Rules, right: &'a Rules, values: &[&str]) -> Self {
        let idps: BTreeSet<&String> = left.idps.iter().map(|idp| &idp.name).collect();
        let mut approvers = Vec::new();
        for idp in idps {
            for bits in 1..1_usize << values.len() {
                let own =
                    values.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, id)| (*id).to_owned());
                approvers.push(Token { idp: idp.clone(), kind: SubjectKind::Human, ids: own.collect() });
            }
        }
        Self {
            left: Reference::new(left),
            right: Reference::new(right),
            approvers,
            cache: std::cell::RefCell::default(),
        }
    }

    /// Whether the left gives at most what the right gives.
    pub(super) fn covered(&self, a: &Given, b: &Given) -> bool {
        let glass = match (&a.glass, &b.glass) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(a), Some(b)) => {
                a.0.is_superset(&b.0)
                    && a.1 <= b.1
                    && a.2 >= b.2
                    && Self::ids(&self.left, &a.3).is_subset(&Self::ids(&self.right, &b.3))
            }
        };
        a.standing <= b.standing
            && a.lifetime <= b.lifetime
            && a.total <= b.total
            && (a.extend == 0 || (a.extend <= b.extend && a.by <= b.by))
            && a.recorded >= b.recorded
            && a.reason >= b.reason
            && a.tickets.is_superset(&b.tickets)
            && a.mfa >= b.mfa
            && a.cooldown >= b.cooldown
            && b.at_most.iter().all(|x| a.at_most.iter().any(|y| y.count <= x.count && y.per >= x.per))
            && a.rows <= b.rows
            && a.seen.iter().all(|(key, level)| no_better(*level, b.seen[key]))
            && glass
            && self.implies(&a.approvals, &b.approvals)
            && self.implies(&a.reviews, &b.reviews)
    }

    /// The single ids that make somebody a member of groups.
    fn ids(of: &Reference<'_>, groups: &[String]) -> BTreeSet<(String, String)> {
        let mut found = BTreeSet::new();
        for group in &of.0.groups {
            if of.closed(BTreeSet::from([group.name.clone()])).iter().any(|name| groups.contains(name)) {
                found.extend(group.ids.iter().chain(&group.claim_values).map(|id| (group.idp.clone(), id.clone())));
            }
        }
        found
    }

    /// Whether every world that satisfies the left approvals satisfies the right ones.
    fn implies(&self, strong: &BTreeSet<String>, weak: &BTreeSet<String>) -> bool {
        if weak.is_empty() {
            return true;
        }
        let key = (strong.clone(), weak.clone());
        if let Some(known) = self.cache.borrow().get(&key) {
            return *known;
        }
        let find = |of: &Reference<'_>, names: &BTreeSet<String>| -> Vec<Approval> {
            of.0.approvals.iter().filter(|one| names.contains(&one.name)).cloned().collect()
        };
        let (mine, theirs) = (find(&self.left, strong), find(&self.right, weak));
        let size = mine.iter().flat_map(|one| &one.quorum).map(|line| line.count).sum::<u32>() as usize;
        // Only people whom the revision that asks accepts can answer. Two who count for the same lines are alike.
        let accepted = self.approvers.iter().filter(|one| self.left.subject(one).is_some());
        let lines = |of: &Reference<'_>, all: &[Approval]| -> Vec<BTreeSet<(String, String)>> {
            all.iter().flat_map(|one| &one.quorum).map(|line| Self::ids(of, &line.from)).collect()
        };
        let (ours, others) = (lines(&self.left, &mine), lines(&self.right, &theirs));
        let counts = |token: &Token, members: &BTreeSet<(String, String)>| {
            token.ids.iter().any(|id| members.contains(&(token.idp.clone(), id.clone())))
        };
        let marks = |token: &Token, lines: &[BTreeSet<(String, String)>]| -> Vec<bool> {
            lines.iter().map(|members| counts(token, members)).collect()
        };
        let people: BTreeSet<Person> = accepted.map(|token| (marks(token, &ours), marks(token, &others))).collect();
        let people: Vec<Person> = people.into_iter().collect();
        let holds = every_world(&people, &mut Vec::new(), 0, size, &mine, &theirs);
        self.cache.borrow_mut().insert(key, holds);
        holds
    }
}

/// Somebody who approves: for which lines of the left side they count, and for which of the right side.
type Person = (Vec<bool>, Vec<bool>);

/// Whether no world of up to `size` people satisfies the left approvals and not the right ones. More people never
/// undo what is satisfied, so a world that satisfies the right ones needs no further people.
fn every_world(
    people: &[Person],
    world: &mut Vec<usize>,
    from: usize,
    size: usize,
    mine: &[Approval],
    theirs: &[Approval],
) -> bool {
    let left = |at: usize, line: usize| people[world[at]].0[line];
    let right = |at: usize, line: usize| people[world[at]].1[line];
    if satisfied(theirs, world.len(), &right) {
        return true;
    }
    if satisfied(mine, world.len(), &left) {
        return false;
    }
    if world.len() == size {
        return true;
    }
    (from..people.len()).all(|at| {
        world.push(at);
        let fine = every_world(people, world, at, size, mine, theirs);
        world.pop();
        fine
    })
}

/// Whether so many people satisfy approvals; `counts` says who counts for which of their lines.
fn satisfied(approvals: &[Approval], people: usize, counts: &dyn Fn(usize, usize) -> bool) -> bool {
    let mut line = 0;
    approvals.iter().all(|approval| {
        let lines = line..line + approval.quorum.len();
        line = lines.end;
        let demands = || lines.clone().zip(&approval.quorum).map(|(line, quorum)| (line, quorum.count as usize));
        if !approval.separate {
            return demands().all(|(line, count)| (0..people).filter(|at| counts(*at, line)).count() >= count);
        }
        let slots: Vec<usize> = demands().flat_map(|(line, count)| std::iter::repeat_n(line, count)).collect();
        fill(&slots, &mut (0..people).collect(), counts)
    })
}

fn fill(slots: &[usize], free: &mut BTreeSet<usize>, counts: &dyn Fn(usize, usize) -> bool) -> bool {
    let Some((first, rest)) = slots.split_first() else { return true };
    free.clone().into_iter().any(|at| {
        counts(at, *first) && {
            free.remove(&at);
            let done = fill(rest, free, counts);
            free.insert(at);
            done
        }
    })
}
