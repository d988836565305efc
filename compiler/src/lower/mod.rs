//! From the resolved policy to the canonical tables. Infallible: it runs only when no finding is an error.
//!
//! Every list is sorted and every set deduplicated, so that the order of files, nodes, clauses and properties, and
//! the way a selector is written, leave no trace in the tables. Places stand in the source table beside them.

mod access;
mod estate;
mod parts;

use lang::{
    model::{Head, Policy},
    program::{
        Place, SourceTable,
        rules::{RuleId, RuleKind, Rules},
    },
    span::{SourceMap, Span},
};

/// The canonical tables of a policy, and where its rules stand.
pub fn lower(policy: &Policy, sources: &SourceMap) -> (Rules, SourceTable) {
    let mut rules = Rules {
        name: policy.name.value.clone(),
        timezone: policy.timezone.value.clone(),
        staleness: policy.staleness.as_ref().map(|staleness| staleness.value),
        ..Rules::default()
    };
    estate::lower(policy, &mut rules);
    access::lower(policy, &mut rules);
    sort(&mut rules);
    let table = places(policy, &rules, sources);
    (rules, table)
}

fn sort(rules: &mut Rules) {
    rules.idps.sort_by(|a, b| a.name.cmp(&b.name));
    rules.groups.sort_by(|a, b| a.name.cmp(&b.name));
    rules.disjoint.sort();
    rules.disjoint.dedup();
    rules.connections.sort_by(|a, b| a.name.cmp(&b.name));
    rules.limits.sort_by(|a, b| a.name.cmp(&b.name));
    rules.masks.sort_by(|a, b| a.name.cmp(&b.name));
    rules.guards.sort_by(|a, b| a.name.cmp(&b.name));
    rules.approvals.sort_by(|a, b| a.name.cmp(&b.name));
    rules.grants.sort_by(|a, b| a.id.cmp(&b.id));
    rules.forbids.sort_by(|a, b| a.name.cmp(&b.name));
    rules.operators.sort_by(|a, b| a.name.cmp(&b.name));
    rules.tests.sort_by(|a, b| a.name.cmp(&b.name));
}

/// Where every rule stands.
fn places(policy: &Policy, rules: &Rules, sources: &SourceMap) -> SourceTable {
    let mut table = SourceTable::default();
    let mut put = |rule: RuleId, span: Span| {
        let place = Place { file: sources.path(span.source).to_owned(), line: sources.line_column(span).line };
        table.0.insert(rule, place);
    };
    let mut of_head = |kind: RuleKind, head: &Head| put(RuleId::new(kind, &head.name.value), head.span);
    policy.idps.iter().for_each(|item| of_head(RuleKind::Idp, &item.head));
    policy.groups.iter().for_each(|item| of_head(RuleKind::Group, &item.head));
    policy.connections.iter().for_each(|item| of_head(RuleKind::Connection, &item.head));
    policy.limits.iter().for_each(|item| of_head(RuleKind::Limits, &item.head));
    policy.masks.iter().for_each(|item| of_head(RuleKind::Mask, &item.head));
    policy.guards.iter().for_each(|item| of_head(RuleKind::Guard, &item.head));
    policy.approvals.iter().for_each(|item| of_head(RuleKind::Approval, &item.head));
    policy.forbids.iter().for_each(|item| of_head(RuleKind::Forbid, &item.head));
    policy.operators.iter().for_each(|item| of_head(RuleKind::Operate, &item.head));
    policy.tests.iter().for_each(|item| of_head(RuleKind::Test, &item.head));
    policy.asserts.iter().for_each(|item| of_head(RuleKind::Assert, &item.head));
    for grant in &policy.grants {
        of_head(if grant.is_break_glass() { RuleKind::BreakGlass } else { RuleKind::Grant }, &grant.head);
    }
    for rule in &policy.disjoint {
        let names = parts::names(policy, rule.groups.iter().map(|group| group.value));
        put(RuleId::new(RuleKind::Disjoint, names.join(" ")), rule.span);
    }
    put(RuleId::new(RuleKind::Policy, &rules.name), policy.span);
    table
}
