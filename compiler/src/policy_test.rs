//! Runs the tests of a policy with the gateway's own decision function, and reports failures as P0901.

use lang::{
    diag::{Code, Diagnostic, Sink},
    model::Policy,
    program::{Program, TestFailure},
    span::Span,
    time::Timestamp,
};

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

/// Runs every test, in the order of files and nodes. `at` is the instant near which time cells are looked for.
pub fn run(policy: &Policy, program: &Program, at: Timestamp, sink: &mut Sink) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for test in &policy.tests {
        let name = &test.head.name.value;
        let Some(lowered) = program.rules().tests.iter().find(|lowered| lowered.name == *name) else { continue };
        let failure = program.run_test(lowered, at).err();
        if let Some(failure) = &failure {
            sink.push(
                Diagnostic::new(Code::P0901, test.head.name.span, format!("the test \"{name}\" fails"))
                    .label(failure.message.clone())
                    .also(test.expect.span, "this is expected")
                    .witness(failure.witness.clone())
                    .help("if the policy is right, mend the test; if the test is right, mend the policy"),
            );
        }
        outcomes.push(Outcome { name: name.clone(), span: test.head.span, failure });
    }
    outcomes
}
