//! Embedded policy tests: run by the compiler before a merge and by the gateway before it activates.

use super::rules::{Expected, RuleId, RuleKind, Test};
use super::{Access, Decision, Outcome, Program, Request, Verdict};
use crate::protocol::Operation;
use crate::time::Timestamp;

/// A test that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestFailure {
    /// The test.
    pub rule: RuleId,
    /// One sentence: what was expected and what holds.
    pub message: String,
    /// The request point at which it does not hold.
    pub witness: String,
}

impl Program {
    /// Runs every embedded test; `around` is the instant near which time cells are looked for.
    pub fn run_tests(&self, around: Timestamp) -> Vec<TestFailure> {
        self.rules().tests.iter().filter_map(|test| self.run_test(test, around).err()).collect()
    }

    /// Runs one test.
    ///
    /// # Errors
    /// With the first request point at which the expectation does not hold.
    pub fn run_test(&self, test: &Test, around: Timestamp) -> Result<(), TestFailure> {
        let instants = test.at.map_or_else(|| self.time_cells(around), |at| vec![at]);
        for op in test.ops.iter() {
            for at in &instants {
                self.holds_at(test, op, *at).map_err(|message| TestFailure {
                    rule: RuleId::new(RuleKind::Test, &test.name),
                    message,
                    witness: format!(
                        "kind={} groups={{{}}}  {}  {} {}  {}",
                        test.kind,
                        test.groups.join(", "),
                        test.connection,
                        op,
                        test.object,
                        self.zone().display(*at)
                    ),
                })?;
            }
        }
        Ok(())
    }

    fn holds_at(&self, test: &Test, op: Operation, at: Timestamp) -> Result<(), String> {
        let accesses = [Access { op, object: test.object.clone() }];
        let decision = match self.subject_of(test.kind, &test.groups, true) {
            Err(reasons) => Decision { outcome: Outcome::Denied, reasons },
            Ok(subject) => self.decide(&Request {
                subject: &subject,
                connection: &test.connection,
                accesses: &accesses,
                via: test.via.as_deref(),
                at,
            }),
        };
        compare(test, &decision)
    }
}

fn compare(test: &Test, decision: &Decision<'_>) -> Result<(), String> {
    let expect = &test.expect;
    match &decision.outcome {
        Outcome::Denied => {
            let reasons = || decision.reasons.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            if expect.outcome != Expected::Denied {
                return Err(format!("expected {}, but it is denied: {}", word(expect.outcome), reasons()));
            }
            match &expect.by {
                Some(by) if !decision.reasons.iter().any(|r| r.rule.as_ref().is_some_and(|rule| rule.name == *by)) => {
                    Err(format!("expected a denial by `{by}`, but it is denied by: {}", reasons()))
                }
                Some(_) | None => Ok(()),
            }
        }
        Outcome::Permitted { contract, judgement } => {
            let terms = &contract.terms;
            if expect.outcome == Expected::Denied {
                return Err(format!(
                    "expected a denial, but `{}` permits it ({} for {})",
                    contract.grant.id,
                    terms.mode.word(),
                    terms.lifetime
                ));
            }
            let reviews = match &judgement.verdict {
                Verdict::Review(reviews) => reviews.as_slice(),
                Verdict::Allowed | Verdict::Denied(_) => &[],
            };
            let approved = |name: &str| terms.approvals.contains(name) || reviews.iter().any(|(_, by)| by == name);
            let masked = judgement.masks.first().map_or("raw", |hit| hit.mask.word());
            let checks = [
                (
                    word(expect.outcome) == terms.mode.word(),
                    "mode",
                    word(expect.outcome).to_owned(),
                    terms.mode.word().to_owned(),
                ),
                differs("lifetime", expect.lifetime, &terms.lifetime),
                differs("recorded", expect.recorded.map(super::rules::Recorded::word), &terms.recorded.word()),
                differs("grant", expect.grant.as_deref(), &contract.grant.id.as_str()),
                differs("reason", expect.reason, &terms.reason),
                differs("mask", expect.mask.as_deref(), &masked),
            ];
            if let Some((_, name, wanted, found)) = checks.into_iter().find(|(holds, ..)| !holds) {
                return Err(format!("expected {name} {wanted}, but it is {found}"));
            }
            match &expect.approval {
                Some(name) if !approved(name) => {
                    let found: Vec<&str> = terms.approvals.iter().map(String::as_str).collect();
                    Err(format!("expected approval `{name}`, but the approvals are: {}", list(&found)))
                }
                Some(_) | None => Ok(()),
            }
        }
    }
}

fn differs<T: PartialEq + ToString>(
    name: &'static str,
    wanted: Option<T>,
    found: &T,
) -> (bool, &'static str, String, String) {
    let holds = wanted.as_ref().is_none_or(|wanted| wanted == found);
    (holds, name, wanted.map(|wanted| wanted.to_string()).unwrap_or_default(), found.to_string())
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

const fn word(expected: Expected) -> &'static str {
    match expected {
        Expected::Requested => "requested",
        Expected::Standing => "standing",
        Expected::Denied => "denied",
    }
}
