//! Runs the tests of a policy with the gateway's own decision function, answers its assertions with the engine, and
//! reports what does not hold as P0901, what holds of nothing as P0903, and grants that no test exercises as P0902.

use crate::analyze::{
    assertion::{self, Answer},
    estate::Estate,
};
use lang::{
    diag::{Code, Diagnostic},
    model::Policy,
    program::{
        Program, TestFailure,
        rules::{self, RuleId, RuleKind},
    },
    span::Span,
    time::Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a test said.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The sentence that names it.
    pub name: String,
    /// Where it stands.
    pub span: Span,
    /// Why it does not hold; `None` when it does.
    pub failure: Option<TestFailure>,
}

/// What the tests of a policy said.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// Each test and assertion, in the order of files and nodes.
    pub outcomes: Vec<Outcome>,
    /// The rules that tests exercise.
    pub exercised: BTreeSet<RuleId>,
    /// What is to be reported.
    pub found: Vec<Diagnostic>,
}

/// Runs every test. `at` is the instant near which time cells are looked for.
pub fn run(policy: &Policy, program: &Program, at: Timestamp) -> Ran {
    let mut ran = Ran::default();
    let lowered: BTreeMap<&str, &rules::Test> =
        program.rules().tests.iter().map(|test| (test.name.as_str(), test)).collect();
    for test in &policy.tests {
        let name = &test.head.name.value;
        let Some(lowered) = lowered.get(name.as_str()) else { continue };
        let failure = program.run_test_seeing(lowered, at, &mut ran.exercised).err();
        if let Some(failure) = &failure {
            ran.found.push(
                Diagnostic::new(Code::P0901, test.head.name.span, format!("the test \"{name}\" fails"))
                    .label(failure.message.clone())
                    .also(test.expect.span, "this is expected")
                    .witness(failure.witness.clone())
                    .help("if the policy is right, mend the test; if the test is right, mend the policy"),
            );
        }
        ran.outcomes.push(Outcome { name: name.clone(), span: test.head.span, failure });
    }
    asserts(policy, program, at, &mut ran.outcomes, &mut ran.found);
    uncovered(policy, &ran.exercised, &mut ran.found);
    ran
}

/// Grants that no test exercises; one finding for a policy that has no test at all.
fn uncovered(policy: &Policy, exercised: &BTreeSet<RuleId>, found: &mut Vec<Diagnostic>) {
    const HELP: &str = "a test is what notices when a later change takes the access away, or changes its terms";
    if policy.tests.is_empty() {
        if !policy.grants.is_empty() {
            let message = "the policy has no test: no grant is covered";
            found.push(Diagnostic::new(Code::P0902, policy.span, message).help(HELP));
        }
        return;
    }
    for grant in policy.grants.iter().filter(|grant| !grant.head.broken) {
        let name = &grant.head.name;
        let kind = if grant.is_break_glass() { RuleKind::BreakGlass } else { RuleKind::Grant };
        if !exercised.contains(&RuleId::new(kind, &name.value)) {
            let message = format!("no test covers `{}`", name.value);
            let how = format!("write one that opens it with `via={0}` and expects `grant={0}`: {HELP}", name.value);
            found.push(Diagnostic::new(Code::P0902, name.span, message).help(how));
        }
    }
}

fn asserts(policy: &Policy, program: &Program, at: Timestamp, outcomes: &mut Vec<Outcome>, all: &mut Vec<Diagnostic>) {
    if policy.asserts.is_empty() {
        return;
    }
    let estate = Estate::new(program, at);
    for assert in &policy.asserts {
        let (name, place) = (&assert.head.name.value, assert.head.name.span);
        let failure = |message: String, witness: String| TestFailure {
            rule: RuleId::new(RuleKind::Assert, name),
            message,
            witness,
        };
        let failure = match assertion::answer(&estate, policy, assert) {
            Ok(None) => continue,
            Ok(Some(Answer::Proved)) => None,
            Ok(Some(Answer::Vacuous)) => {
                all.push(
                    Diagnostic::new(Code::P0903, place, format!("nothing is concerned by the assertion \"{name}\""))
                        .help("it holds because no request meets its premise; mend `to`, `on` or `where`"),
                );
                None
            }
            Ok(Some(Answer::Violated { message, witness, test })) => {
                let mut found = Diagnostic::new(Code::P0901, place, format!("the assertion \"{name}\" is violated"))
                    .label(message.clone())
                    .witness(witness.clone());
                if let Some(test) = test {
                    found = found.note(format!("the request as a test:\n{}", test.trim_end()));
                }
                all.push(
                    found
                        .help("if the policy is right, mend the assertion; if the assertion is right, mend the policy"),
                );
                Some(failure(message, witness))
            }
            Ok(Some(Answer::Unknown(why))) => {
                let found = Diagnostic::new(Code::P0901, place, format!("the assertion \"{name}\" is not proved"));
                all.push(found.label(why.to_string()).help("what is not proved does not hold: write fewer patterns"));
                Some(failure(why.to_string(), String::new()))
            }
            Err(disagreement) => {
                let found = Diagnostic::new(Code::P0901, place, format!("the assertion \"{name}\" is not proved"));
                all.push(found.label(disagreement.to_string()).help("this is a mistake of the compiler; report it"));
                Some(failure(disagreement.to_string(), String::new()))
            }
        };
        outcomes.push(Outcome { name: name.clone(), span: assert.head.span, failure });
    }
}
