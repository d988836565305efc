//! Who reaches what, as rows: every grant for every alternative of its `to`, with the terms that really hold. Matrix,
//! graph and editor show the same rows.
//!
//! Each row is asked of the decision function for the smallest subject that matches the alternative; nothing is
//! concluded here that the gateway would not decide.

use lang::{
    program::{
        Access, Contract, Object, Program, Subject, SubjectKind, Terms, Verdict,
        rules::{Connection, Grant, Principal, RuleId},
    },
    protocol::{ConnectionKind, OpSet, Operation},
    time::Timestamp,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// One way to a connection.
#[derive(Clone, Debug)]
pub struct Row<'p> {
    /// The connection.
    pub connection: &'p Connection,
    /// The grant.
    pub grant: &'p Grant,
    /// Whose way it is.
    pub who: &'p Principal,
    /// The kind of subject.
    pub kind: SubjectKind,
    /// What they get; `None` when nothing at any time.
    pub gets: Option<Gets>,
}

/// What a subject gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gets {
    /// The effective terms.
    pub terms: Arc<Terms>,
    /// The operations that no guard blocks.
    pub allowed: OpSet,
    /// The operations that wait for a review.
    pub reviewed: OpSet,
    /// The approvals of these reviews.
    pub by: BTreeSet<String>,
}

/// Every row of a program, by connection, grant and subject. `around` is the instant near which time cells lie.
pub fn rows(program: &Program, around: Timestamp) -> Vec<Row<'_>> {
    let cells = program.time_cells(around);
    let mut rows = Vec::new();
    for connection in &program.rules().connections {
        for grant in program.rules().grants.iter().filter(|grant| grant.on.contains(&connection.name)) {
            for who in &grant.to {
                rows.extend(of_principal(program, connection, grant, who, &cells));
            }
        }
    }
    rows
}

fn of_principal<'p>(
    program: &'p Program,
    connection: &'p Connection,
    grant: &'p Grant,
    who: &'p Principal,
    cells: &[Timestamp],
) -> Vec<Row<'p>> {
    let mut rows: Vec<Row<'p>> = Vec::new();
    for kind in SubjectKind::ALL.into_iter().filter(|kind| who.kind.is_none_or(|own| own == *kind)) {
        // A group that only another kind may hold gives no subject of this one.
        let Ok(subject) = program.subject_of(kind, &who.groups, true) else { continue };
        let known = rows.iter().any(|row| row.kind == subject.kind);
        if !known && who.kind.is_none_or(|own| own == subject.kind) {
            let gets = cells.iter().find_map(|at| gets(program, connection, grant, &subject, *at));
            rows.push(Row { connection, grant, who, kind: subject.kind, gets });
        }
    }
    rows
}

fn gets(program: &Program, connection: &Connection, grant: &Grant, subject: &Subject, at: Timestamp) -> Option<Gets> {
    let candidates = program.candidates(subject, &connection.name, at);
    if !candidates.refusals.is_empty() {
        return None;
    }
    let contract: Contract<'_> = candidates.contracts.into_iter().find(|contract| contract.grant.id == grant.id)?;
    let (mut allowed, mut reviewed, mut by) = (OpSet::EMPTY, OpSet::EMPTY, BTreeSet::new());
    for op in connection.kind.operations().filter(|op| grant.permit.contains(*op)) {
        let access = Access { op, object: Object::Nothing };
        match program.judge(subject, grant, &connection.name, &[access], at, false).verdict {
            Verdict::Allowed => allowed = allowed.with(op),
            Verdict::Review(reviews) => {
                reviewed = reviewed.with(op);
                by.extend(reviews.into_iter().map(|(_, approval): (RuleId, String)| approval));
            }
            Verdict::Denied(_) => {}
        }
    }
    Some(Gets { terms: contract.terms, allowed, reviewed, by })
}

/// `payments-leads`, `dba and oncall`, `every agent`.
pub fn describe(who: &Principal, kind: SubjectKind) -> String {
    match (who.groups.is_empty(), who.kind) {
        (true, _) => format!("every {kind}"),
        (false, None) => who.groups.join(" and "),
        (false, Some(stated)) => format!("{} ({stated})", who.groups.join(" and ")),
    }
}

/// Operations as a policy would name them: families where they are whole.
pub fn words(ops: OpSet, kind: ConnectionKind) -> Vec<&'static str> {
    let mut words = Vec::new();
    let mut named = OpSet::EMPTY;
    for family in kind.families() {
        let all: OpSet = kind.operations().filter(|op| op.family() == Some(family)).collect();
        if all.difference(ops).is_empty() {
            words.push(family);
            named = named.union(all);
        }
    }
    words.extend(ops.difference(named).iter().map(Operation::word));
    words
}

/// What a grant narrows to; empty when nothing.
pub fn objects(grant: &Grant) -> String {
    let scope = &grant.scope;
    [&scope.tables, &scope.namespaces, &scope.paths, &scope.argv]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

/// How access is had and for how long: `requested, 1h, 2 extensions of 30m`.
pub fn duration(terms: &Terms, grant: &Grant) -> String {
    let mode = if grant.break_glass.is_some() { "break-glass" } else { terms.mode.word() };
    let text = format!("{mode}, {}", terms.lifetime);
    if terms.extend > 0 { format!("{text} + {} × {}", terms.extend, terms.extend_by) } else { text }
}

/// What must be shown or done first.
pub fn conditions(terms: &Terms) -> Vec<String> {
    let mut all: Vec<String> = terms.approvals.iter().map(|approval| format!("approval {approval}")).collect();
    if terms.reason {
        all.push("reason".to_owned());
    }
    if !terms.tickets.is_empty() {
        all.push("ticket".to_owned());
    }
    if terms.mfa {
        all.push("mfa".to_owned());
    }
    if terms.cooldown.seconds() > 0 {
        all.push(format!("cooldown {}", terms.cooldown));
    }
    all.extend(terms.at_most.iter().map(|most| format!("{} per {}", most.count, most.per)));
    all
}
