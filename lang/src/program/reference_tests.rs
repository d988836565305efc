//! The decision against a second one: a slow and obvious evaluator, written from the semantics of the language and
//! sharing nothing with the first but the tables. Both judge every point of small random universes.

use super::{
    Access, Object, Outcome, Program, Request, SourceTable, SubjectKind, Verdict,
    choices::{Choices, GROUPS, OPS},
    rules::{AtMost, Grant, Group, Guard, Limits, Mode, Principal, Recorded, Region, Rules, To},
    scope::Scope,
    universe::CONNECTIONS,
};
use crate::{
    protocol::Operation,
    time::{Hours, Timestamp, Ttl, Valid},
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// Monday morning, Monday night and the Sunday after, with the minute of the week and the day that they are.
const TIMES: [(&str, u16, &str); 3] = [
    ("2026-05-04T10:00:00Z", 600, "2026-05-04"),
    ("2026-05-04T22:30:00Z", 1_350, "2026-05-04"),
    ("2026-05-10T10:00:00Z", 6 * 1_440 + 600, "2026-05-10"),
];

fn objects() -> [Object; 3] {
    [Object::Nothing, Object::table("a", "x"), Object::table("b", "xy")]
}

/// What the reference says about a point.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Denied,
    Permitted {
        grant: String,
        mode: Mode,
        lifetime: u32,
        total: u32,
        extend: u32,
        recorded: Recorded,
        approvals: BTreeSet<String>,
        reason: bool,
        tickets: BTreeSet<String>,
        mfa: bool,
        cooldown: u32,
        at_most: BTreeSet<AtMost>,
        reviews: BTreeSet<String>,
        rows: Option<u64>,
        masks: BTreeSet<(String, Option<String>)>,
    },
}

/// A point of the universe.
struct Point<'a> {
    kind: SubjectKind,
    groups: &'a [&'a str],
    connection: &'a str,
    op: Operation,
    object: &'a Object,
    via: Option<&'a str>,
    time: usize,
}

/// The obvious evaluator.
struct Reference<'a>(&'a Rules);

impl Reference<'_> {
    fn closed(&self, asserted: &[&str]) -> BTreeSet<String> {
        let mut held: BTreeSet<String> = asserted.iter().map(|group| (*group).to_owned()).collect();
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

    fn decide(&self, point: &Point<'_>) -> Said {
        let agent = point.groups.iter().any(|name| {
            self.0.groups.iter().any(|group| group.name == *name && group.kind == Some(SubjectKind::Agent))
        });
        let kind = if point.kind == SubjectKind::Service && agent { SubjectKind::Agent } else { point.kind };
        let held = self.closed(point.groups);
        let other_kind = |group: &Group| held.contains(&group.name) && group.kind.is_some_and(|own| own != kind);
        let both = |set: &Vec<String>| set.iter().filter(|name| held.contains(*name)).count() > 1;
        if self.0.groups.iter().any(other_kind) || self.0.disjoint.iter().any(both) {
            return Said::Denied;
        }
        let matches = |principal: &Principal| {
            principal.kind.is_none_or(|wanted| wanted == kind)
                && principal.groups.iter().all(|group| held.contains(group))
        };
        let concerns = |to: &To| match to {
            To::Everybody => true,
            To::Any(any) => any.iter().any(matches),
        };
        let here = |on: &Vec<String>| on.iter().any(|name| name == point.connection);
        let time = point.time;
        if self.0.forbids.iter().any(|forbid| {
            here(&forbid.on) && forbid.to.iter().any(matches) && now(forbid.hours.as_ref(), forbid.valid.as_ref(), time)
        }) {
            return Said::Denied;
        }
        let limits: Vec<&Limits> =
            self.0.limits.iter().filter(|limits| here(&limits.on) && concerns(&limits.to)).collect();
        let usable = |grant: &&Grant| {
            here(&grant.on)
                && grant.to.iter().any(matches)
                && now(grant.hours.as_ref(), grant.valid.as_ref(), time)
                && limits.iter().all(|limits| now(limits.hours.as_ref(), None, time))
                && !(grant.mode == Mode::Standing && limits.iter().any(|limits| limits.standing_denied))
        };
        let usable: Vec<&Grant> = self.0.grants.iter().filter(usable).collect();
        let chosen: Vec<&&Grant> = match point.via {
            Some(id) => usable.iter().filter(|grant| grant.id == id).collect(),
            None => usable.iter().filter(|grant| grant.break_glass.is_none()).collect(),
        };
        let [grant] = chosen.as_slice() else { return Said::Denied };
        if !grant.permit.contains(point.op) || !within(&grant.scope, point.object) {
            return Said::Denied;
        }
        let guards: Vec<&Guard> = self
            .0
            .guards
            .iter()
            .filter(|guard| here(&guard.on) && concerns(&guard.to) && now(guard.hours.as_ref(), None, time))
            .collect();
        for guard in &guards {
            let blocked = guard.blocks.iter().any(|region| touches(region, point));
            let outside = !guard.only.is_empty()
                && !guard
                    .only
                    .iter()
                    .any(|region| region.ops.contains(point.op) && within(&region.scope, point.object));
            if blocked || outside {
                return Said::Denied;
            }
        }
        self.permitted(point, grant, &limits, &guards, kind, &concerns)
    }

    fn permitted(
        &self,
        point: &Point<'_>,
        grant: &Grant,
        limits: &[&Limits],
        guards: &[&Guard],
        kind: SubjectKind,
        concerns: &dyn Fn(&To) -> bool,
    ) -> Said {
        let ceilings: Vec<u32> = limits.iter().filter_map(|l| l.lifetime.of(kind)).map(Ttl::seconds).collect();
        let lifetime = ceilings.iter().copied().chain([grant.lifetime.seconds()]).min().unwrap();
        let extend = limits.iter().filter_map(|l| l.extend.of(kind)).chain([grant.extend]).min().unwrap();
        let total = ceilings.iter().copied().chain([lifetime + extend * grant.extend_by.seconds()]).min().unwrap();
        let waived = grant.break_glass.as_ref().is_some_and(|glass| glass.waives_approval);
        let mut approvals: BTreeSet<String> = grant.approvals.iter().cloned().collect();
        approvals.extend(limits.iter().flat_map(|l| l.approvals.iter().cloned()));
        if waived {
            approvals.clear();
        }
        let reviews = guards.iter().flat_map(|guard| &guard.reviews);
        Said::Permitted {
            grant: grant.id.clone(),
            mode: grant.mode,
            lifetime,
            total,
            extend,
            recorded: limits.iter().filter_map(|l| l.recorded).chain([grant.recorded]).max().unwrap(),
            approvals,
            reason: grant.reason || limits.iter().any(|l| l.reason),
            tickets: limits.iter().filter_map(|l| l.ticket.clone()).chain(grant.ticket.clone()).collect(),
            mfa: grant.mfa || limits.iter().any(|l| l.mfa),
            cooldown: limits
                .iter()
                .map(|l| l.cooldown)
                .chain([grant.cooldown])
                .flatten()
                .map(Ttl::seconds)
                .max()
                .unwrap_or(0),
            at_most: limits.iter().map(|l| l.at_most).chain([grant.at_most]).flatten().collect(),
            reviews: reviews.filter(|r| touches(&r.region, point)).map(|r| r.by.clone()).collect(),
            rows: guards.iter().filter_map(|guard| guard.rows).min(),
            masks: self.masks(point, grant, concerns),
        }
    }

    fn masks(
        &self,
        point: &Point<'_>,
        grant: &Grant,
        concerns: &dyn Fn(&To) -> bool,
    ) -> BTreeSet<(String, Option<String>)> {
        let Object::Table { schema, name } = point.object else { return BTreeSet::new() };
        let target = self.0.connections.iter().find(|c| c.name == point.connection).unwrap();
        let mut hits = BTreeSet::new();
        for mask in &self.0.masks {
            let here = mask.on.as_ref().is_none_or(|on| on.iter().any(|c| c == point.connection));
            if !here || !concerns(&mask.to) {
                continue;
            }
            for item in &target.classified {
                let masked = mask.classes.iter().any(|class| like(class, &item.class));
                let shown = mask.reveal_by_grant && grant.reveal.iter().any(|class| like(class, &item.class));
                if masked && !shown && table_like(&item.object, schema, name) {
                    hits.insert((mask.name.clone(), item.column.clone()));
                }
            }
            for column in &mask.columns {
                let parts: Vec<&str> = column.split('.').collect();
                if like(parts[0], schema) && like(parts[1], name) {
                    hits.insert((mask.name.clone(), Some(parts[2].to_owned())));
                }
            }
            if !mask.patterns.is_empty() {
                hits.insert((mask.name.clone(), None));
            }
        }
        hits
    }
}

fn now(hours: Option<&Hours>, valid: Option<&Valid>, time: usize) -> bool {
    let (_, minute, day) = TIMES[time];
    let within = hours.is_none_or(|hours| hours.intervals().iter().any(|(a, b)| *a <= minute && minute < *b));
    let on_day = valid.is_none_or(|valid| {
        valid.from.is_none_or(|from| from.to_string().as_str() <= day)
            && valid.until.is_none_or(|until| day <= until.to_string().as_str())
    });
    within && on_day
}

/// A literal, or a prefix and `*`, tried character by character.
fn like(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    match (pattern.next(), text.next()) {
        (None, None) => true,
        (Some('*'), _) if pattern.as_str().is_empty() => true,
        (Some(a), Some(b)) => a == b && like(pattern.as_str(), text.as_str()),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

fn table_like(pattern: &str, schema: &str, name: &str) -> bool {
    let (a, b) = pattern.split_once('.').unwrap();
    like(a, schema) && like(b, name)
}

/// Whether an object lies within a scope; what touches nothing lies within any.
fn within(scope: &Scope, object: &Object) -> bool {
    let Object::Table { schema, name } = object else { return true };
    scope.tables.is_empty() || scope.tables.iter().any(|pattern| table_like(pattern, schema, name))
}

/// Whether a guard's region concerns a point: a narrowed one never concerns what touches nothing.
fn touches(region: &Region, point: &Point<'_>) -> bool {
    region.ops.contains(point.op)
        && if *point.object == Object::Nothing {
            region.scope.tables.is_empty()
        } else {
            within(&region.scope, point.object)
        }
}

/// What the program says about a point, in the words of the reference.
fn program_says(program: &Program, point: &Point<'_>) -> Said {
    let groups: Vec<String> = point.groups.iter().map(|group| (*group).to_owned()).collect();
    let Ok(subject) = program.subject_of(point.kind, &groups, true) else { return Said::Denied };
    let accesses = [Access { op: point.op, object: point.object.clone() }];
    let decision = program.decide(&Request {
        subject: &subject,
        connection: point.connection,
        accesses: &accesses,
        via: point.via,
        at: Timestamp::parse_rfc3339(TIMES[point.time].0).unwrap(),
    });
    let reasons = decision.reasons();
    let Outcome::Permitted { contract, judgement } = decision.outcome else {
        assert!(!reasons.is_empty(), "a denial has a reason");
        return Said::Denied;
    };
    assert!(reasons.is_empty());
    let terms = std::sync::Arc::unwrap_or_clone(contract.terms);
    let reviews = match judgement.verdict {
        Verdict::Review(reviews) => reviews.into_iter().map(|(_, by)| by).collect(),
        Verdict::Allowed => BTreeSet::new(),
        Verdict::Denied(_) => panic!("a denied statement is not permitted"),
    };
    Said::Permitted {
        grant: contract.grant.id.clone(),
        mode: terms.mode,
        lifetime: terms.lifetime.seconds(),
        total: terms.total.seconds(),
        extend: terms.extend,
        recorded: terms.recorded,
        approvals: terms.approvals,
        reason: terms.reason,
        tickets: terms.tickets,
        mfa: terms.mfa,
        cooldown: terms.cooldown.seconds(),
        at_most: terms.at_most,
        reviews,
        rows: judgement.limits.rows.map(|(rows, _)| rows),
        masks: judgement.masks.into_iter().map(|hit| (hit.rule.name, hit.column)).collect(),
    }
}

/// Judges every point of a universe both ways; returns how many were permitted.
fn agree(rules: &Rules) -> usize {
    let program = Program::new(rules.clone(), SourceTable::default()).unwrap();
    let reference = Reference(rules);
    let ids: Vec<&str> = rules.grants.iter().map(|grant| grant.id.as_str()).collect();
    let objects = objects();
    let mut permitted = 0;
    for kind in SubjectKind::ALL {
        for bits in 0..8_usize {
            let groups: Vec<&str> =
                GROUPS.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, name)| *name).collect();
            for connection in CONNECTIONS {
                for via in std::iter::once(None).chain(ids.iter().copied().map(Some)) {
                    for (time, (instant, ..)) in TIMES.iter().enumerate() {
                        for (op, object) in OPS.iter().flat_map(|op| objects.iter().map(move |object| (*op, object))) {
                            let point = Point { kind, groups: &groups, connection, op, object, via, time };
                            let (expected, said) = (reference.decide(&point), program_says(&program, &point));
                            assert_eq!(
                                said, expected,
                                "kind={kind} groups={groups:?} {connection} {op} {object} via={via:?} {instant}"
                            );
                            permitted += usize::from(said != Said::Denied);
                        }
                    }
                }
            }
        }
    }
    permitted
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_decision_agrees_with_the_obvious_one(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        agree(&Choices(bytes.iter()).rules());
    }
}

#[test]
fn universes_are_not_all_denial() {
    let mut permitted = 0;
    for seed in 0..20_u8 {
        let bytes: Vec<u8> =
            (0..400_usize).map(|at| ((at * (31 + usize::from(seed))) >> 3).to_le_bytes()[0] ^ seed).collect();
        permitted += agree(&Choices(bytes.iter()).rules());
    }
    assert!(permitted > 100, "{permitted} points are permitted: the universes test nothing");
}
