//! The whole way of a policy: load, parse, resolve, check, lower, test.
//!
//! Pure but for the [`Source`] that is handed in. Every step runs as far as it can, so that all mistakes are found
//! at once; the tables exist only when nothing is an error, and [`Checked`] is the evidence.

use crate::{
    analyze::{profile::Profile, report::Revision},
    check::{self, Ctx},
    kept::{Kept, Memos},
    load::{Parsed, load_again},
    lower::lower,
    policy_test,
    resolve::resolve,
    system::{Source, SystemError},
};
use lang::{
    diag::{Code, Diagnostic, Severity, Sink},
    model::Policy,
    program::{
        Program, SourceTable,
        rules::{RuleId, Rules},
    },
    span::SourceMap,
    syntax::ast::Document,
    time::Timestamp,
};
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

/// How to compile.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many files are parsed at once; the result does not depend on it.
    pub threads: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { threads: 1 }
    }
}

/// Evidence that a value was checked and no error was found. Only [`compile`] makes one.
#[derive(Clone, Debug)]
pub struct Checked<T>(T);

impl<T> Checked<T> {
    /// The value.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// The value, without the evidence.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// A policy as a bundle carries it.
#[derive(Clone, Debug)]
pub struct PolicySet {
    /// The canonical tables.
    pub rules: Arc<Rules>,
    /// Where the rules stand.
    pub sources: Arc<SourceTable>,
    /// The digest of all policy files, in hexadecimal.
    pub source_digest: String,
    /// How much was found.
    pub findings: Findings,
}

/// How many findings of each weight there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Errors.
    pub errors: usize,
    /// Warnings.
    pub warnings: usize,
    /// Facts.
    pub infos: usize,
}

impl Findings {
    /// Counts findings.
    pub fn count(found: &[Diagnostic]) -> Self {
        let of = |severity| found.iter().filter(|one| one.severity == severity).count();
        Self { errors: of(Severity::Error), warnings: of(Severity::Warning), infos: of(Severity::Info) }
    }
}

/// What became of a policy.
#[derive(Debug)]
pub struct Compilation {
    /// The texts, with paths relative to the policy's root.
    pub sources: SourceMap,
    /// Everything that was found, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// How many findings were counted but not kept.
    pub dropped: usize,
    /// The typed trees, in the order in which they were read.
    pub documents: Vec<Arc<Document>>,
    /// The resolved policy, mistakes left out; `None` when there is no policy at all.
    pub policy: Option<Policy>,
    /// What the policy decides; `None` when names or values are wrong. Findings of checks and tests do not matter.
    pub program: Option<Program>,
    /// What every test said; empty when the policy has errors before its tests.
    pub tests: Vec<policy_test::Outcome>,
    /// The rules that tests exercise; as empty as `tests`.
    pub exercised: BTreeSet<RuleId>,
    /// The policy; `None` when something is an error, a failed test included.
    pub checked: Option<Checked<PolicySet>>,
    /// What a comparison asks of it, once it was asked.
    profile: OnceLock<Profile>,
}

impl Compilation {
    /// How much was found.
    pub fn findings(&self) -> Findings {
        Findings::count(&self.diagnostics)
    }

    /// One side of a comparison; `None` when names or values are wrong. The first call does what the comparison needs
    /// of this side alone.
    pub fn revision<'r>(&'r self, id: &'r str, threads: usize) -> Option<Revision<'r>> {
        let (program, policy) = (self.program.as_ref()?, self.policy.as_ref()?);
        let profile = self.profile.get_or_init(|| Profile::new(program, &self.documents, threads));
        Some(Revision { id, program, policy, profile })
    }
}

/// Compiles the policy whose policy.kdl stands at `root`, with `at` as the clock.
///
/// # Errors
/// When the source cannot be read. Mistakes of the policy are findings of the compilation instead.
pub fn compile(source: &dyn Source, root: &str, at: Timestamp, options: &Options) -> Result<Compilation, SystemError> {
    compiled(source, root, at, *options, &mut Parsed::default(), None)
}

/// The same for whoever compiles again and again: what follows from nothing that changed is kept from the last time.
/// What is found is what [`compile`] finds.
///
/// # Errors
/// As [`compile`].
pub fn compile_again(
    source: &dyn Source,
    root: &str,
    at: Timestamp,
    options: &Options,
    kept: &mut Kept,
) -> Result<Compilation, SystemError> {
    let found = compiled(source, root, at, *options, &mut kept.parsed, Some(&kept.memos));
    kept.memos.turn();
    found
}

fn compiled(
    source: &dyn Source,
    root: &str,
    at: Timestamp,
    options: Options,
    parsed: &mut Parsed,
    memos: Option<&Memos>,
) -> Result<Compilation, SystemError> {
    let mut sink = Sink::new();
    let loaded = load_again(source, root, options.threads, parsed, &mut sink)?;
    let policy = loaded.root.and_then(|root| resolve(&loaded.documents, root, &mut sink));
    // The tables stand as soon as every name and value is right: checks ask them, and a comparison of revisions
    // looks at them even where a check or a test objects.
    let sound = policy.as_ref().filter(|_| !sink.has_errors());
    let lowered = sound.map(|policy| lower(policy, &loaded.sources)).map(|(rules, table)| Program::new(rules, table));
    let program = lowered.as_ref().and_then(|lowered| lowered.as_ref().ok());
    let (mut tests, mut exercised) = (Vec::new(), BTreeSet::new());
    if let Some(policy) = &policy {
        let ctx = Ctx::new(policy, &loaded.documents, &loaded.sources, at)
            .with_program(program)
            .with_beside(loaded.beside.clone())
            .with_memos(memos)
            .with_threads(options.threads);
        check::run(&ctx, &mut sink);
        let ran = program.map(|program| policy_test::run(policy, program, at)).unwrap_or_default();
        // What proves nothing can be accepted; what fails cannot, and is worth saying of a policy without errors.
        let (failed, weak): (Vec<_>, Vec<_>) = ran.found.into_iter().partition(|found| found.code == Code::P0901);
        for found in weak {
            sink.push(found);
        }
        check::suppress(&ctx, &mut sink);
        match &lowered {
            Some(Ok(_)) if !sink.has_errors() => {
                (tests, exercised) = (ran.outcomes, ran.exercised);
                for found in failed {
                    sink.push(found);
                }
            }
            // The checks let something through that the tables cannot hold. Refusing is the safe answer.
            Some(Err(invalid)) if !sink.has_errors() => {
                let found = Diagnostic::without_place(Code::P0101, invalid.to_string());
                sink.push(found.note("no check of the compiler names the place; please report this"));
            }
            Some(Ok(_) | Err(_)) | None => {}
        }
    }
    let failed = sink.has_errors();
    let dropped = sink.dropped();
    let diagnostics = sink.finish(&loaded.sources);
    let findings = Findings::count(&diagnostics);
    let program = lowered.and_then(Result::ok);
    let checked = program.as_ref().filter(|_| !failed).map(|program| {
        let (rules, sources) = program.shared();
        Checked(PolicySet { rules, sources, source_digest: loaded.digest.clone(), findings })
    });
    let (sources, documents) = (loaded.sources, loaded.documents);
    Ok(Compilation {
        sources,
        diagnostics,
        dropped,
        documents,
        policy,
        program,
        tests,
        exercised,
        checked,
        profile: OnceLock::new(),
    })
}
