//! Lowers the rules that decide, and the tests.

use super::parts::{approvals, bare, connections, names, per_kind, principals, region, scope, sorted, texts, to};
use lang::{
    model::{self, Head, Policy},
    program::rules::{
        Approval, BreakGlass, Expect, Forbid, Grant, Guard, Limits, Mask, Operate, Quorum, Recorded, Review, Rules,
        Test,
    },
    time::Ttl,
};

/// How long an answer may take unless the policy says otherwise.
const ANSWER_SECONDS: u32 = 3_600;

/// Fills the tables of rules and tests.
pub(super) fn lower(policy: &Policy, rules: &mut Rules) {
    rules.limits = policy.limits.iter().map(|item| limits(policy, item)).collect();
    rules.masks = policy.masks.iter().map(|item| mask(policy, item)).collect();
    rules.guards = policy.guards.iter().map(|item| guard(policy, item)).collect();
    rules.approvals = policy.approvals.iter().map(|item| approval(policy, item)).collect();
    rules.grants = by_name(&policy.grants, |item| &item.head).map(|item| grant(policy, item)).collect();
    rules.forbids = policy.forbids.iter().map(|item| forbid(policy, item)).collect();
    rules.operators = policy.operators.iter().map(|item| operate(policy, item)).collect();
    rules.tests = by_name(&policy.tests, |item| &item.head).filter_map(|item| test(policy, item)).collect();
}

/// The items in the order that their tables will have: to sort what points to them moves less than to sort the rules.
fn by_name<T>(items: &[T], head: impl Fn(&T) -> &Head) -> impl Iterator<Item = &T> {
    let mut sorted: Vec<&T> = items.iter().collect();
    sorted.sort_by(|a, b| head(a).name.value.cmp(&head(b).name.value));
    sorted.into_iter()
}

fn limits(policy: &Policy, item: &model::Limits) -> Limits {
    Limits {
        name: item.head.name.value.clone(),
        on: connections(policy, &item.on.connections),
        to: to(policy, &item.to),
        lifetime: per_kind(&item.lifetime),
        extend: per_kind(&item.extend),
        standing_denied: item.standing_denied.as_ref().is_some_and(|denied| denied.value),
        recorded: bare(item.recorded.as_ref()),
        approvals: approvals(policy, &item.approvals),
        reason: item.reason.is_some(),
        ticket: bare(item.ticket.as_ref()),
        mfa: item.mfa.is_some(),
        hours: bare(item.hours.as_ref()),
        cooldown: bare(item.cooldown.as_ref()),
        at_most: bare(item.at_most.as_ref()),
    }
}

fn mask(policy: &Policy, item: &model::Mask) -> Mask {
    let pattern = |pattern: &model::PatternMask| (pattern.regex.value.clone(), bare(pattern.check.as_ref()));
    Mask {
        name: item.head.name.value.clone(),
        on: item.on.as_ref().map(|on| connections(policy, &on.connections)),
        to: to(policy, &item.to),
        classes: texts(&item.classes),
        columns: texts(&item.columns),
        patterns: sorted(item.patterns.iter().map(pattern)),
        json: texts(&item.json),
        mask: item.form.value.clone(),
        reveal_by_grant: item.reveal_by_grant.as_ref().is_some_and(|reveal| reveal.value),
    }
}

fn guard(policy: &Policy, item: &model::Guard) -> Guard {
    let review = |review: &model::Review| {
        let by = review.by.as_ref()?;
        Some(Review { region: region(&review.region), by: policy[by.value].head.name.value.clone() })
    };
    Guard {
        name: item.head.name.value.clone(),
        on: connections(policy, &item.on.connections),
        to: to(policy, &item.to),
        blocks: sorted(item.blocks.iter().map(region)),
        only: item.only.iter().map(region).collect(),
        reviews: sorted(item.reviews.iter().filter_map(review)),
        argv: texts(&item.argv),
        rows: bare(item.rows.as_ref()),
        seconds: bare(item.seconds.as_ref()),
        bytes: bare(item.bytes.as_ref()),
        hours: bare(item.hours.as_ref()),
    }
}

fn quorum(policy: &Policy, line: &model::Quorum) -> Quorum {
    Quorum { count: line.count.value, from: names(policy, [line.from.value]) }
}

fn approval(policy: &Policy, item: &model::Approval) -> Approval {
    // Two equal lines are two demands, so they are sorted and kept.
    let mut lines: Vec<Quorum> = item.quorum.iter().map(|line| quorum(policy, line)).collect();
    lines.sort();
    Approval {
        name: item.head.name.value.clone(),
        quorum: lines,
        separate: item.separate.as_ref().is_none_or(|separate| separate.value),
        answer_within: bare(item.answer_within.as_ref()).unwrap_or_else(|| Ttl::from_seconds(ANSWER_SECONDS)),
        notify: texts(&item.notify),
    }
}

fn grant(policy: &Policy, item: &model::Grant) -> Grant {
    let glass = item.break_glass.as_ref().map(|glass| BreakGlass {
        waives_approval: glass.waives_approval.is_some(),
        notify: texts(&glass.notify),
        within: glass.within.value,
        review: glass.review.as_ref().map_or(Quorum { count: 1, from: Vec::new() }, |line| quorum(policy, line)),
    });
    Grant {
        id: item.head.name.value.clone(),
        on: connections(policy, &item.connections()),
        to: principals(policy, &item.to),
        mode: item.mode.value,
        lifetime: item.lifetime.length.value,
        extend: item.lifetime.extensions(),
        extend_by: item.lifetime.extension(),
        permit: item.ops,
        scope: scope(&item.objects),
        recorded: if glass.is_some() { Recorded::Full } else { item.recorded() },
        approvals: approvals(policy, &item.approvals),
        reveal: texts(&item.reveal),
        hours: bare(item.hours.as_ref()),
        valid: bare(item.valid.as_ref()),
        reason: item.reason.is_some(),
        ticket: bare(item.ticket.as_ref()),
        mfa: item.mfa.is_some(),
        cooldown: bare(item.cooldown.as_ref()),
        at_most: bare(item.at_most.as_ref()),
        beside: sorted(item.beside.iter().map(|beside| policy[beside.value].head.name.value.clone())),
        break_glass: glass,
    }
}

fn forbid(policy: &Policy, item: &model::Forbid) -> Forbid {
    Forbid {
        name: item.head.name.value.clone(),
        on: connections(policy, &item.on.connections),
        to: principals(policy, &item.to),
        hours: bare(item.hours.as_ref()),
        valid: bare(item.valid.as_ref()),
    }
}

fn operate(policy: &Policy, item: &model::Operate) -> Operate {
    Operate {
        name: item.head.name.value.clone(),
        on: connections(policy, &item.on.connections),
        to: principals(policy, &item.to),
        may: sorted(item.may.iter().map(|may| may.value)),
    }
}

/// A test whose connection is not defined has an error already, and is never lowered.
fn test(policy: &Policy, item: &model::Test) -> Option<Test> {
    let connection = item.connection.as_ref()?;
    let expect = &item.expect;
    Some(Test {
        name: item.head.name.value.clone(),
        kind: item.kind,
        groups: names(policy, item.groups.iter().map(|group| group.value)),
        connection: policy[connection.value].head.name.value.clone(),
        ops: item.ops.set,
        object: item.object.clone(),
        at: bare(item.at.as_ref()),
        via: item.via.as_ref().map(|via| policy[via.value].head.name.value.clone()),
        expect: Expect {
            outcome: expect.outcome.value,
            lifetime: bare(expect.lifetime.as_ref()),
            recorded: bare(expect.recorded.as_ref()),
            grant: expect.grant.as_ref().map(|grant| policy[grant.value].head.name.value.clone()),
            approval: expect.approval.as_ref().map(|approval| policy[approval.value].head.name.value.clone()),
            reason: bare(expect.reason.as_ref()),
            mask: bare(expect.mask.as_ref()),
            by: bare(expect.by.as_ref()),
        },
    })
}
