//! One look at the branch: resolve, judge, read, compile, test, store. Runs on a thread of its own, off the data
//! path, and changes nothing but the gateway's own folder.

use super::attested::Attested;
use super::keep::{Facts, Keep};
use super::signers;
use super::tip::{self, Tip};
use super::tree::Files;
use crate::config;
use crate::gateway::clock;
use crate::gateway::policy::Active;
use compiler::compile::{Compilation, Options, PolicySet, compile};
use git2::Repository;
use lang::bundle::{self, Bundle};
use lang::diag::Severity;
use lang::program::rules::Rules;
use lang::program::{Program, SourceTable};
use lang::time::Timestamp;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The most errors that a failure lists; the rest is counted.
const ERRORS_SHOWN_MAX: usize = 10;
const THREADS_MAX: usize = 4;

/// What a look needs.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) repository: config::Repository,
    /// The repository, or the mirror of a remote one.
    pub(super) path: PathBuf,
    pub(super) keep: Keep,
    /// Names what is followed; see [`Facts::followed`].
    pub(super) followed: String,
    /// The commit that the next one must follow.
    pub(super) applied: Option<String>,
    /// The commit in force.
    pub(super) serving: Option<String>,
    /// A commit that was refused and would be again.
    pub(super) rejected: Option<String>,
    /// The next bundle's sequence.
    pub(super) sequence: u64,
    /// When the look began: what it confirms holds since then.
    pub(super) at: Timestamp,
    /// What to store when the tip is still the commit in force; none when that was done lately.
    pub(super) confirmation: Option<Facts>,
    /// The commit under judgement, for whoever has to report that the look itself broke.
    pub(super) reading: Arc<Mutex<Option<String>>>,
}

/// What a look found.
#[derive(Debug)]
pub(super) enum Look {
    /// The tip is the commit in force. The error says why that could not be stored.
    Confirmed(Result<(), String>),
    /// The tip is the commit that was rejected before.
    StillRejected,
    /// The tip may be served.
    Fresh(Box<Fresh>),
    /// The tip may not, or there is none to be had.
    Refused(Refusal),
}

/// A policy that may be served.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) active: Active,
    pub(super) sequence: u64,
    /// Why it could not be stored for the next start.
    pub(super) not_kept: Option<String>,
}

/// Why a look served nothing.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) commit: Option<String>,
    /// May have several lines.
    pub(super) sentence: String,
    /// Whether the same commit would be refused again.
    pub(super) lasting: bool,
}

impl Job {
    fn read(&self, commit: Option<String>) {
        *self.reading.lock().unwrap_or_else(PoisonError::into_inner) = commit;
    }
}

/// Looks once.
pub(super) fn look(job: &Job) -> Look {
    job.read(None);
    let refuse = |commit: Option<String>, sentence, lasting| Look::Refused(Refusal { commit, sentence, lasting });
    let found = tip::open(&job.path).and_then(|repository| {
        let oid = tip::resolve(&repository, &job.repository.branch)?;
        Ok((repository, oid))
    });
    let (repository, oid) = match found {
        Ok(found) => found,
        Err(sentence) => return refuse(None, sentence, false),
    };
    let commit = oid.to_string();
    if job.serving.as_ref() == Some(&commit) {
        return Look::Confirmed(job.confirmation.as_ref().map_or(Ok(()), |facts| job.keep.save_facts(facts)));
    }
    if job.rejected.as_ref() == Some(&commit) {
        return Look::StillRejected;
    }
    job.read(Some(commit.clone()));
    let permitted = tip::read(&repository, oid).and_then(|tip| Ok((tip, permit(job, &repository, tip)?)));
    let (tip, attested) = match permitted {
        Ok(permitted) => permitted,
        // The history, the signers, the notes or the clock may change without the commit.
        Err(sentence) => return refuse(Some(commit), sentence, false),
    };
    match build(job, &repository, tip, attested.as_ref()) {
        Ok(fresh) => Look::Fresh(Box::new(fresh)),
        Err((sentence, lasting)) => refuse(Some(commit), sentence, lasting),
    }
}

/// Whether a commit may be looked into, and what was attested about it where that is required.
fn permit(job: &Job, repository: &Repository, tip: Tip) -> Result<Option<Attested>, String> {
    if let Some(applied) = &job.applied {
        let rewind = job.repository.rewind.as_deref();
        if *applied != tip.commit.to_string() {
            tip::check_forward(repository, tip.commit, applied, rewind)?;
        }
    }
    if let Some(file) = &job.repository.signers {
        let signer = signers::verify(repository, tip.commit, file, job.keep.folder())?;
        tracing::info!(commit = %tip.commit, signer, "the commit is signed");
    }
    let keys = job.repository.require_signed_by.as_deref();
    keys.map(|keys| Attested::of(repository, tip.commit, keys)).transpose()
}

/// The error says whether the same commit would be refused again.
fn build(job: &Job, repository: &Repository, tip: Tip, attested: Option<&Attested>) -> Result<Fresh, (String, bool)> {
    let lasting = |sentence| (sentence, true);
    let (bytes, findings) = bundled(job, repository, tip).map_err(lasting)?;
    // What is served is what was stored: the bundle is read back as a restart would read it.
    let key = job.keep.key().map_err(lasting)?;
    let opened = bundle::open(&bytes, &[key.verifying_key()]).map_err(|error| lasting(error.to_string()))?;
    let statement = &opened.get().statement;
    // Another note may come for the same commit.
    attested.map_or(Ok(()), |attested| attested.covers(&statement.semantic)).map_err(|sentence| (sentence, false))?;
    let facts = Facts {
        followed: job.followed.clone(),
        commit: tip.commit.to_string(),
        committed_at: tip.committed_at,
        confirmed_at: job.at,
    };
    let sequence = statement.sequence;
    let active = activate(opened.into_inner(), tip.committed_at).map_err(lasting)?;
    let not_kept = job.keep.save(&bytes, &facts, attested.map(Attested::note)).err();
    tracing::debug!(warnings = findings.warnings, infos = findings.infos, "compiled");
    Ok(Fresh { active, sequence, not_kept })
}

/// The bundle of a commit's policy, and how much the compiler found.
fn bundled(job: &Job, repository: &Repository, tip: Tip) -> Result<(Vec<u8>, compiler::compile::Findings), String> {
    let files = Files::list(repository, tip.tree, &job.repository.folder)?;
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get().min(THREADS_MAX));
    let compilation = compile(&files, "", tip.committed_at, &Options { threads }).map_err(|error| error.to_string())?;
    let Some(checked) = &compilation.checked else { return Err(errors(&compilation)) };
    Ok((pack(job, tip, checked.get())?, compilation.findings()))
}

/// The rules of a commit's policy, and where they stand.
pub(super) fn compiled(repository: &Repository, tip: Tip, folder: &str) -> Result<(Rules, SourceTable), String> {
    let files = Files::list(repository, tip.tree, folder)?;
    let compilation =
        compile(&files, "", tip.committed_at, &Options { threads: 1 }).map_err(|error| error.to_string())?;
    let Some(checked) = &compilation.checked else { return Err(errors(&compilation)) };
    let policy = checked.get();
    Ok((Rules::clone(&policy.rules), SourceTable::clone(&policy.sources)))
}

fn pack(job: &Job, tip: Tip, policy: &PolicySet) -> Result<Vec<u8>, String> {
    let facts = bundle::Facts {
        commit: Some(tip.commit.to_string()),
        tree: Some(tip.tree.to_string()),
        sequence: job.sequence,
        compiler: env!("CARGO_PKG_VERSION").to_owned(),
        findings: bundle::Findings { warnings: policy.findings.warnings as u64, infos: policy.findings.infos as u64 },
        source: policy.source_digest.clone(),
    };
    let key = job.keep.key()?;
    bundle::build(&policy.rules, &policy.sources, facts, Some(&key)).map_err(|error| error.to_string())
}

/// The policy of a bundle that was verified.
pub(super) fn activate(bundle: Bundle, committed_at: Timestamp) -> Result<Active, String> {
    let commit = bundle.statement.commit.unwrap_or_default();
    let digest = bundle.statement.semantic;
    let program = Program::new(bundle.rules, bundle.sources).map_err(|error| error.to_string())?;
    Ok(Active { program, digest, commit, committed_at, activated_at: clock::wall() })
}

/// The first errors of a policy, one a line.
fn errors(compilation: &Compilation) -> String {
    let all = compilation.findings().errors;
    let mut lines =
        vec![format!("the policy has {all} error(s): mend them, and run `leaseholdc check` before merging")];
    let of_policy = compilation.diagnostics.iter().filter(|found| found.severity == Severity::Error);
    lines.extend(of_policy.take(ERRORS_SHOWN_MAX).map(|found| {
        let place = found.span().map_or(String::new(), |span| {
            let at = compilation.sources.line_column(span);
            format!("{}:{}:{}: ", compilation.sources.path(span.source), at.line, at.column)
        });
        format!("{place}{}[{:?}]: {}", found.severity, found.code, found.message)
    }));
    if all > ERRORS_SHOWN_MAX {
        lines.push(format!("… and {} more", all - ERRORS_SHOWN_MAX));
    }
    lines.join("\n")
}
