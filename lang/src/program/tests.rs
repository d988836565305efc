//! Embedded policy tests: run by the compiler before a merge and by the gateway before it activates.

use super::rules::{Expected, RuleId, RuleKind, Test};
use super::{Access, Decision, Outcome, Program, Request, Subject, Verdict};
use crate::protocol::Operation;
use crate::time::Timestamp;
use std::collections::BTreeSet;

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
        self.walk(test, around, &mut |_, _| {})
    }

    /// Runs one test and adds the rules that it exercises: the grant that permits it with every limit, mask, approval
    /// and bound that then holds, or the forbids, guards and limits that deny it.
    ///
    /// # Errors
    /// With the first request point at which the expectation does not hold.
    pub fn run_test_seeing(
        &self,
        test: &Test,
        around: Timestamp,
        seen: &mut BTreeSet<RuleId>,
    ) -> Result<(), TestFailure> {
        self.walk(test, around, &mut |subject, decision| match &decision.outcome {
            Outcome::Permitted { contract, judgement } => {
                seen.insert(contract.grant.rule());
                seen.extend(contract.terms.approvals.iter().map(|name| RuleId::new(RuleKind::Approval, name)));
                let limits = subject.into_iter().flat_map(|subject| self.limits_of(subject, &test.connection));
                seen.extend(limits.map(|limits| RuleId::new(RuleKind::Limits, &limits.name)));
                seen.extend(judgement.masks.iter().map(|hit| hit.rule.clone()));
                let bounds = [&judgement.limits.rows, &judgement.limits.seconds, &judgement.limits.bytes];
                seen.extend(bounds.into_iter().flatten().map(|(_, rule)| rule.clone()));
                if let Verdict::Review(reviews) = &judgement.verdict {
                    for (rule, by) in reviews {
                        seen.extend([rule.clone(), RuleId::new(RuleKind::Approval, by)]);
                    }
                }
            }
            Outcome::Denied => seen.extend(
                // A grant that does not match was asked for nothing that it gives.
                (decision.reasons().into_iter().filter_map(|reason| reason.rule))
                    .filter(|rule| !matches!(rule.kind, RuleKind::Grant | RuleKind::BreakGlass)),
            ),
        })
    }

    fn walk(
        &self,
        test: &Test,
        around: Timestamp,
        see: &mut dyn FnMut(Option<&Subject>, &Decision<'_>),
    ) -> Result<(), TestFailure> {
        let instants = test.at.map_or_else(|| self.time_cells_at(&test.connection, around), |at| vec![at]);
        let subject = self.subject_of(test.kind, &test.groups, true);
        for op in test.ops.iter() {
            let accesses = [Access { op, object: test.object.clone() }];
            for at in &instants {
                let decision = match &subject {
                    Err(reasons) => Decision::refused(reasons.clone()),
                    Ok(subject) => self.decide(&Request {
                        subject,
                        connection: &test.connection,
                        accesses: &accesses,
                        via: test.via.as_deref(),
                        at: *at,
                    }),
                };
                see(subject.as_ref().ok(), &decision);
                compare(test, &decision).map_err(|message| self.failure(test, op, *at, message))?;
            }
        }
        Ok(())
    }

    fn failure(&self, test: &Test, op: Operation, at: Timestamp, message: String) -> TestFailure {
        TestFailure {
            rule: RuleId::new(RuleKind::Test, &test.name),
            message,
            witness: format!(
                "kind={} groups={{{}}}  {}  {} {}  {}",
                test.kind,
                test.groups.join(", "),
                test.connection,
                op,
                test.object,
                self.zone().display(at)
            ),
        }
    }
}

fn compare(test: &Test, decision: &Decision<'_>) -> Result<(), String> {
    let expect = &test.expect;
    match &decision.outcome {
        Outcome::Denied => {
            let reasons = || decision.reasons().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            if expect.outcome != Expected::Denied {
                return Err(format!("expected {}, but it is denied: {}", word(expect.outcome), reasons()));
            }
            match &expect.by {
                Some(by)
                    if !decision.reasons().iter().any(|r| r.rule.as_ref().is_some_and(|rule| rule.name == *by)) =>
                {
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
