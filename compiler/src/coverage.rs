//! Which rules the tests of a policy exercise, and which they never touch. What counts as exercised is the decision's
//! own word ([`Program::run_test_seeing`]); nothing is guessed from the text of a test. Assertions count for nothing:
//! they speak of all requests and show none.

use lang::program::{
    Program,
    rules::{RuleId, RuleKind},
};
use serde::Serialize;
use std::collections::BTreeSet;

/// Rules of one sort.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// `grants`, `forbids`…
    pub what: &'static str,
    /// How many there are.
    pub all: usize,
    /// How many of them a test exercises.
    pub exercised: usize,
    /// Those that none exercises.
    pub missing: Vec<Missing>,
}

/// A rule that no test exercises.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// `grant NAME`.
    pub rule: String,
    /// The file, relative to the policy's root.
    pub file: Option<String>,
    /// The line.
    pub line: Option<u32>,
}

impl Section {
    /// How much is exercised, in whole per cent, rounded down; all of nothing.
    pub fn percent(&self) -> usize {
        (self.exercised * 100).checked_div(self.all).unwrap_or(100)
    }
}

/// Every sort of rule that a test can exercise.
pub fn sections(program: &Program, seen: &BTreeSet<RuleId>) -> Vec<Section> {
    let rules = program.rules();
    let of = |kind: RuleKind| move |name: &String| RuleId::new(kind, name);
    let sorts: [(&'static str, Vec<RuleId>); 6] = [
        ("grants", rules.grants.iter().map(lang::program::rules::Grant::rule).collect()),
        ("forbids", rules.forbids.iter().map(|rule| &rule.name).map(of(RuleKind::Forbid)).collect()),
        ("guards", rules.guards.iter().map(|rule| &rule.name).map(of(RuleKind::Guard)).collect()),
        ("limits", rules.limits.iter().map(|rule| &rule.name).map(of(RuleKind::Limits)).collect()),
        ("masks", rules.masks.iter().map(|rule| &rule.name).map(of(RuleKind::Mask)).collect()),
        ("approvals", rules.approvals.iter().map(|rule| &rule.name).map(of(RuleKind::Approval)).collect()),
    ];
    sorts
        .into_iter()
        .map(|(what, all)| {
            let missing: Vec<Missing> =
                all.iter().filter(|rule| !seen.contains(rule)).map(|rule| place(program, rule)).collect();
            Section { what, all: all.len(), exercised: all.len() - missing.len(), missing }
        })
        .collect()
}

fn place(program: &Program, rule: &RuleId) -> Missing {
    let place = program.place(rule);
    Missing { rule: rule.to_string(), file: place.map(|place| place.file.clone()), line: place.map(|place| place.line) }
}
