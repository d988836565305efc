//! P0401, P0402, P0403, P0404: two grants give the same people the same thing under terms of which neither contains
//! the other. People take the convenient one, and whoever wrote the other believes in a control that is not there.
//! `beside` says that both are meant.
//!
//! Judged are pairs of which one's people all match the other, where a request exists that both permit. It is a
//! conflict when
//! * neither grant is stricter on every axis that differs, or
//! * one is stricter, its people can use the other, and the other has the same operations on only a part of the
//!   objects or hours: within that part the stricter one holds nothing. (On all of them it is shadowed, P0410; with
//!   fewer operations it is another task.)
//!
//! The code follows from the first axis that differs: mode, lifetime, approval, recording. Two grants that differ
//! in none of these are left alone. Break-glass takes no part.

use super::{
    Ctx,
    overlap::{self, Meeting},
    terms::{Axis, Terms},
};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Grant, GrantId, Principal},
    program::{SubjectKind, rules::Mode},
    span::Span,
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut by_connection: BTreeMap<ConnectionId, Vec<(GrantId, &Grant)>> = BTreeMap::new();
    for (id, grant) in ctx.policy.grant_ids() {
        if grant.is_break_glass() || grant.head.broken {
            continue;
        }
        for connection in grant.connections() {
            by_connection.entry(connection).or_default().push((id, grant));
        }
    }
    for (connection, grants) in by_connection {
        for (at, (first_id, first)) in grants.iter().enumerate() {
            for (second_id, second) in grants.iter().skip(at + 1) {
                let meant = names(first, *second_id) || names(second, *first_id);
                if meant || first.ops.intersection(second.ops).is_empty() {
                    continue;
                }
                if let Some(conflict) = conflict(ctx, connection, first, second) {
                    sink.push(report(ctx, connection, first, second, &conflict));
                }
            }
        }
    }
}

fn names(grant: &Grant, other: GrantId) -> bool {
    grant.beside.iter().any(|beside| beside.value == other)
}

/// What two grants do to one subject.
struct Conflict<'a> {
    axis: Axis,
    /// The alternatives of both grants that the subject matches.
    who: (&'a Principal, &'a Principal),
    /// Which of the two is the narrower one.
    groups: BTreeSet<lang::model::GroupId>,
    kind: SubjectKind,
    terms: (Terms, Terms),
    meeting: Meeting,
}

fn conflict<'a>(ctx: &Ctx<'_>, on: ConnectionId, first: &'a Grant, second: &'a Grant) -> Option<Conflict<'a>> {
    let mut meeting = None;
    for a in &first.to {
        for b in &second.to {
            let narrow = if ctx.implies(a, b) {
                a
            } else if ctx.implies(b, a) {
                b
            } else {
                continue;
            };
            if !ctx.is_feasible(narrow) {
                continue;
            }
            // One meeting serves all pairs of alternatives; without one there is no overlap at all.
            if meeting.is_none() {
                meeting = Some(overlap::meeting(ctx, first, second, on)?);
            }
            for kind in ctx.kinds(narrow) {
                let terms = (Terms::of(ctx, first, on, narrow, kind), Terms::of(ctx, second, on, narrow, kind));
                let pair = Pair { first, second, a, b, terms: &terms };
                if let (Some(axis), Some(meeting)) = (pair.axis(ctx), &meeting) {
                    let (meeting, groups) = (meeting.clone(), narrow.groups.clone());
                    return Some(Conflict { axis, who: (a, b), groups, kind, terms, meeting });
                }
            }
        }
    }
    None
}

struct Pair<'a> {
    first: &'a Grant,
    second: &'a Grant,
    a: &'a Principal,
    b: &'a Principal,
    terms: &'a (Terms, Terms),
}

impl Pair<'_> {
    /// The axis of the conflict, when there is one.
    fn axis(&self, ctx: &Ctx<'_>) -> Option<Axis> {
        let mut differences = self.terms.0.differences(&self.terms.1);
        if differences.remove(&Axis::Mode).is_some() {
            // A standing session and a requested window are different lengths of time.
            differences.remove(&Axis::Lifetime);
            let ((requested, asks), (standing, has)) = match self.terms.0.mode {
                Mode::Requested => ((self.first, self.a), (self.second, self.b)),
                Mode::Standing => ((self.second, self.b), (self.first, self.a)),
            };
            if ctx.implies(asks, has) && requested.ops.difference(standing.ops).is_empty() {
                return Some(Axis::Mode);
            }
        }
        let orders: BTreeSet<Option<Ordering>> = differences.values().flatten().copied().collect();
        let axis = differences.keys().next().copied().filter(|axis| *axis != Axis::Other)?;
        let ordered = match (orders.len(), orders.first()) {
            (1, Some(Some(order))) => *order,
            _ => return Some(axis),
        };
        let ((strict, whose), (loose, others)) = match ordered {
            Ordering::Less => ((self.first, self.a), (self.second, self.b)),
            Ordering::Greater => ((self.second, self.b), (self.first, self.a)),
            Ordering::Equal => return None,
        };
        let same_task = strict.ops.difference(loose.ops).is_empty();
        let part = !overlap::covers(&loose.objects, &strict.objects) || !overlap::covers_time(loose, strict);
        (ctx.implies(whose, others) && same_task && part).then_some(axis)
    }
}

fn report(ctx: &Ctx<'_>, on: ConnectionId, first: &Grant, second: &Grant, found: &Conflict<'_>) -> Diagnostic {
    let name = ctx.connection_name(on);
    let (a, b) = (&first.head.name.value, &second.head.name.value);
    let who = ctx.describe(&Principal { groups: found.groups.clone(), kind: None, span: found.who.0.span });
    let who = if found.groups.is_empty() { format!("every {}", found.kind) } else { who };
    let (code, message) = match found.axis {
        Axis::Mode => (Code::P0404, format!("{who} has standing access to {name} beside what is to be requested")),
        Axis::Approval => (Code::P0402, format!("{who} gets {name} under two different approvals")),
        Axis::Recording => (Code::P0403, format!("what {who} does on {name} is recorded in two different ways")),
        Axis::Lifetime | Axis::Other => (Code::P0401, format!("{who} gets two different lifetimes on {name}")),
    };
    let (ours, theirs) = (found.terms.0.describe(ctx, &found.terms.1), found.terms.1.describe(ctx, &found.terms.0));
    let scope = |own: &Grant, other: &Grant| {
        if overlap::covers(&own.objects, &other.objects) {
            String::new()
        } else {
            format!(", but only {}", listed(own))
        }
    };
    let subject = match (found.groups.is_empty(), found.kind) {
        (true, kind) => format!("kind={kind}"),
        (false, kind) => {
            let groups: Vec<&str> = found.groups.iter().map(|group| ctx.group_name(*group)).collect();
            format!("kind={kind} groups={{{}}}", groups.join(", "))
        }
    };
    let Meeting { op, object, at } = &found.meeting;
    let object = if object.is_empty() { String::new() } else { format!(" {object}") };
    let when = ctx.policy.zone.display(*at);
    Diagnostic::new(code, found.who.0.span, message)
        .label(people(ctx, found, found.who.0))
        .also(place(first, found.axis), format!("… may hold {name} {ours}{}", scope(first, second)))
        .also(found.who.1.span, people(ctx, found, found.who.1))
        .also(place(second, found.axis), format!("… and here {theirs}{}", scope(second, first)))
        .witness(format!("{subject}  {name}  {op}{object}  {when}"))
        .witness(format!("via {a} → {ours}"))
        .witness(format!("via {b} → {theirs}"))
        .help(format!("merge the two grants, or write `beside {a}` in {b} to say both are meant"))
}

/// Who is meant by an alternative of a grant, as the beginning of a sentence.
fn people(ctx: &Ctx<'_>, found: &Conflict<'_>, own: &Principal) -> String {
    if found.groups.is_empty() {
        return format!("every {} …", found.kind);
    }
    let narrow = Principal { groups: found.groups.clone(), kind: None, span: own.span };
    if own.groups == found.groups || own.groups.is_empty() {
        return format!("everyone in {} …", ctx.describe(&narrow));
    }
    format!("everyone in {}, who are also in {}, …", ctx.describe(&narrow), ctx.describe(own))
}

/// The clause that states an axis, else the lifetime, which every grant has.
fn place(grant: &Grant, axis: Axis) -> Span {
    match axis {
        Axis::Mode => grant.mode.span,
        Axis::Approval => grant.approvals.first().map_or(grant.lifetime.span, |approval| approval.span),
        Axis::Recording => grant.recorded.as_ref().map_or(grant.lifetime.span, |recorded| recorded.span),
        Axis::Lifetime | Axis::Other => grant.lifetime.span,
    }
}

fn listed(grant: &Grant) -> String {
    let objects = &grant.objects;
    let all = [&objects.tables, &objects.namespaces, &objects.paths, &objects.argv];
    all.into_iter().flatten().map(|object| object.value.as_str()).collect::<Vec<_>>().join(" ")
}
