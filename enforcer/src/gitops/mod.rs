//! Follows one branch of one repository and puts its tip into force.
//!
//! A merge is seen by a hint (a local repository's references change, a forge calls) or by polling; the branch is
//! always resolved anew. Whatever fails keeps the last good policy in force and is loud. Only this folder of the
//! gateway sees policy text.

mod activate;
mod attested;
mod difference;
mod fetch;
mod keep;
pub mod revision;
mod signers;
mod staleness;
mod status;
mod tip;
mod tree;
mod watch;
pub mod webhook;

pub use difference::difference;
pub use status::{ActiveStatus, FailureStatus, Status, status};

use crate::access::activation::Activation;
use crate::config::{Origin, Repository};
use crate::gateway::clock;
use crate::gateway::policy::{Active, Failure, Publisher, Staleness};
use activate::{Fresh, Job, Look, Refusal};
use keep::{Facts, Keep};
use lang::program::rules;
use lang::time::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch as signal};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};
use watch::Watch;

/// Hints that come this close together are one.
const COALESCE: Duration = Duration::from_millis(50);
/// Between two judgements of the policy's age.
const AGE_TICK: Duration = Duration::from_secs(1);
/// After this a commit that was rejected is judged once more.
const REJECTED_FOR: Duration = Duration::from_mins(10);
/// Between two writes of the time of the last confirmation.
const CONFIRMED_SAVED_EVERY_MS: u64 = 30_000;
/// The compiler recurses over what it reads.
const STACK_BYTES: usize = 64 << 20;

/// Asks for a look at the branch now. Cheap, and never more than a hint.
#[derive(Clone, Debug)]
pub struct Nudge(mpsc::Sender<()>);

impl Nudge {
    /// A nudge and where it is felt.
    pub fn channel() -> (Self, mpsc::Receiver<()>) {
        let (sender, receiver) = mpsc::channel(1);
        (Self(sender), receiver)
    }

    /// Asks.
    pub fn nudge(&self) {
        // A full channel means that a look is asked for already.
        self.0.try_send(()).ok();
    }
}

/// Where the mirror of a remote repository stands, for a gateway that keeps its state in this folder.
pub fn mirror(state: &Path) -> PathBuf {
    mirror_in(Keep::new(state).folder())
}

fn mirror_in(folder: &Path) -> PathBuf {
    folder.join("mirror.git")
}

/// Follows the branch; see [`Follower::run`].
#[derive(Debug)]
pub struct Follower {
    repository: Repository,
    keep: Keep,
    path: PathBuf,
    followed: String,
    publisher: Publisher,
    nudge: Nudge,
    hints: mpsc::Receiver<()>,
    watch: Option<Watch>,
    reading: Arc<Mutex<Option<String>>>,
    journal: Option<mpsc::Sender<Activation>>,
    known: Known,
}

/// What the follower knows of the branch.
#[derive(Debug, Default)]
struct Known {
    restored: bool,
    applied: Option<String>,
    serving: Option<Arc<Active>>,
    sequence: u64,
    rejected: Option<(String, Instant)>,
    rule: Option<rules::Staleness>,
    confirmed_at: Option<Timestamp>,
    confirmed_mono_ms: u64,
    saved_mono_ms: Option<u64>,
    staleness: Staleness,
    failing: Option<(Option<String>, String)>,
}

impl Follower {
    /// A follower that publishes into `publisher` and keeps what it needs under `state`.
    pub fn new(repository: Repository, state: &Path, publisher: Publisher) -> (Self, Nudge) {
        let (nudge, hints) = Nudge::channel();
        let keep = Keep::new(state);
        let (origin, path) = match &repository.origin {
            Origin::Local(path) => (path.display().to_string(), path.clone()),
            Origin::Remote(url) => (url.clone(), mirror_in(keep.folder())),
        };
        let followed = format!("{origin} branch {} folder {}", repository.branch, repository.folder);
        let this = Self {
            repository,
            keep,
            path,
            followed,
            publisher,
            nudge: nudge.clone(),
            hints,
            watch: None,
            reading: Arc::default(),
            journal: None,
            known: Known::default(),
        };
        (this, nudge)
    }

    /// Tells `journal` of every policy that comes into force.
    #[must_use]
    pub fn journal(mut self, journal: mpsc::Sender<Activation>) -> Self {
        self.journal = Some(journal);
        self
    }

    /// Follows until `stop` is true or its sender is gone. The last good policy is published first, so that a
    /// restart onto a broken tip or without the repository serves it.
    pub async fn run(mut self, mut stop: signal::Receiver<bool>) {
        let mut due = Instant::now();
        let mut ticks = tokio::time::interval(AGE_TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                _ = ticks.tick() => self.judge_age(),
                () = sleep_until(due) => {
                    let work = self.work();
                    tokio::pin!(work);
                    let found = loop {
                        tokio::select! {
                            biased;
                            () = stopped(&mut stop) => return,
                            found = &mut work => break found,
                            _ = ticks.tick() => self.judge_age(),
                        }
                    };
                    self.take(found);
                    due = Instant::now() + self.repository.poll;
                }
                Some(()) = self.hints.recv() => due = due.min(Instant::now() + COALESCE),
            }
        }
    }

    /// One look, as a future that owns what it needs: the age of the policy is judged while it runs.
    fn work(&mut self) -> impl Future<Output = Found> + use<> {
        // Before the look, so that no change falls between the two.
        if let Origin::Local(path) = &self.repository.origin
            && !self.watch.as_ref().is_some_and(Watch::is_of_what_stands_there)
        {
            self.watch = Watch::start(path, self.nudge.clone());
        }
        let at = clock::wall();
        let confirmation = self.confirmation(at);
        let known = &self.known;
        let fresh_rejection = known.rejected.as_ref().filter(|(_, at)| at.elapsed() < REJECTED_FOR);
        let job = Job {
            repository: self.repository.clone(),
            path: self.path.clone(),
            keep: self.keep.clone(),
            followed: self.followed.clone(),
            applied: known.applied.clone(),
            serving: known.serving.as_ref().map(|active| active.commit.clone()),
            rejected: fresh_rejection.map(|(commit, _)| commit.clone()),
            sequence: known.sequence + 1,
            at,
            confirmation,
            reading: Arc::clone(&self.reading),
        };
        let restored = known.restored;
        async move { if restored { follow(job).await } else { restore(job).await } }
    }

    fn take(&mut self, found: Found) {
        match found {
            Found::Restored(restored) => {
                self.known.restored = true;
                self.take_restored(restored);
                // The repository is looked at at once.
                self.nudge.nudge();
            }
            Found::Looked { look, at, mono_ms } => match look {
                Look::Confirmed(kept) => self.confirm(at, mono_ms, kept),
                Look::StillRejected => {}
                Look::Fresh(fresh) => self.put_into_force(*fresh, at, mono_ms),
                Look::Refused(refusal) => self.refuse(refusal),
            },
            Found::Failed(sentence) => {
                self.refuse(Refusal { commit: None, sentence, lasting: false });
            }
            Found::Panicked => {
                let commit = self.reading.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let sentence = "the judgement of the commit stopped unexpectedly; please report this with the commit";
                self.refuse(Refusal { commit, sentence: sentence.to_owned(), lasting: true });
            }
        }
    }

    fn take_restored(&mut self, restored: Option<Restored>) {
        let Some(Restored { facts, bundle }) = restored else { return };
        self.known.applied = Some(facts.commit);
        self.known.confirmed_at = Some(facts.confirmed_at);
        self.known.confirmed_mono_ms = clock::mono_ms();
        match bundle {
            Ok((active, sequence)) => {
                tracing::info!(commit = active.commit, digest = active.digest, "the stored policy is in force");
                self.known.applied = Some(active.commit.clone());
                self.known.sequence = sequence;
                self.publish(active);
            }
            Err(sentence) => self.refuse(Refusal { commit: None, sentence, lasting: false }),
        }
    }

    fn publish(&mut self, active: Box<Active>) {
        let active: Arc<Active> = Arc::from(active);
        let known = &mut self.known;
        known.rule = active.program.rules().staleness;
        let before = known.serving.replace(Arc::clone(&active));
        let told = self
            .journal
            .as_ref()
            .map(|journal| journal.try_send(Activation { before, active: Arc::clone(&active) }).is_ok());
        if told == Some(false) {
            // The policy acts all the same: what it takes away must not wait for a state that does not answer.
            tracing::error!(commit = active.commit, "an activation is missing in the record: the state is behind");
        }
        known.staleness = age(known);
        let (confirmed_at, staleness) = (known.confirmed_at, known.staleness);
        self.publisher.update(|state| {
            state.active = Some(active);
            state.confirmed_at = confirmed_at;
            state.staleness = staleness;
        });
    }

    fn put_into_force(&mut self, fresh: Fresh, at: Timestamp, mono_ms: u64) {
        let Fresh { active, sequence, not_kept } = fresh;
        let unchanged = self.known.serving.as_ref().is_some_and(|before| before.digest == active.digest);
        let (commit, digest) = (active.commit.clone(), active.digest.clone());
        self.known.applied = Some(commit.clone());
        self.known.sequence = sequence;
        self.known.rejected = None;
        self.known.confirmed_at = Some(at);
        self.known.confirmed_mono_ms = mono_ms;
        self.known.saved_mono_ms = not_kept.is_none().then_some(mono_ms);
        self.publish(Box::new(active));
        let took_ms = clock::mono_ms().saturating_sub(mono_ms);
        tracing::info!(commit, digest, unchanged, took_ms, "the policy is in force");
        match not_kept {
            None => self.succeed(),
            Some(sentence) => {
                let sentence = format!("the policy is in force, but a restart would not have it: {sentence}");
                self.refuse(Refusal { commit: Some(commit), sentence, lasting: false });
            }
        }
    }

    fn confirm(&mut self, at: Timestamp, mono_ms: u64, kept: Result<(), String>) {
        let known = &mut self.known;
        known.confirmed_at = Some(at);
        known.confirmed_mono_ms = mono_ms;
        known.rejected = None;
        self.publisher.note(|state| state.confirmed_at = Some(at));
        self.judge_age();
        match kept {
            Ok(()) => self.succeed(),
            Err(sentence) => self.refuse(Refusal { commit: None, sentence, lasting: false }),
        }
    }

    /// What the next confirmation is to store: at most every half minute.
    fn confirmation(&mut self, at: Timestamp) -> Option<Facts> {
        let active = self.known.serving.clone()?;
        let mono_ms = clock::mono_ms();
        if self.known.saved_mono_ms.is_some_and(|saved| mono_ms.saturating_sub(saved) < CONFIRMED_SAVED_EVERY_MS) {
            return None;
        }
        self.known.saved_mono_ms = Some(mono_ms);
        let (commit, committed_at) = (active.commit.clone(), active.committed_at);
        Some(Facts { followed: self.followed.clone(), commit, committed_at, confirmed_at: at })
    }

    fn succeed(&mut self) {
        if self.known.failing.take().is_some() {
            tracing::info!("the branch is followed again");
            self.publisher.update(|state| state.last_error = None);
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        let Refusal { commit, sentence, lasting } = refusal;
        if lasting {
            self.known.rejected = commit.clone().map(|commit| (commit, Instant::now()));
        }
        let failure = Failure { at: clock::wall(), commit: commit.clone(), sentence: sentence.clone() };
        let failing = Some((commit.clone(), sentence.clone()));
        if self.known.failing == failing {
            self.publisher.note(|state| state.last_error = Some(failure));
            return;
        }
        let serving = self.known.serving.as_ref().map(|active| active.commit.clone());
        tracing::error!(commit, serving, "the policy was not updated: {sentence}");
        self.known.failing = failing;
        self.publisher.update(|state| state.last_error = Some(failure));
    }

    fn judge_age(&mut self) {
        let staleness = age(&self.known);
        if staleness != self.known.staleness && self.known.serving.is_some() {
            self.known.staleness = staleness;
            tracing::warn!(?staleness, confirmed_at = ?self.known.confirmed_at.map(|at| at.to_string()), "policy age");
            self.publisher.update(|state| state.staleness = staleness);
        }
    }
}

fn age(known: &Known) -> Staleness {
    let mono_age_ms = clock::mono_ms().saturating_sub(known.confirmed_mono_ms);
    staleness::judge(known.rule, known.confirmed_at, clock::wall(), mono_age_ms)
}

/// What a piece of work found.
enum Found {
    Restored(Option<Restored>),
    Looked { look: Look, at: Timestamp, mono_ms: u64 },
    Failed(String),
    Panicked,
}

struct Restored {
    facts: Facts,
    bundle: Result<(Box<Active>, u64), String>,
}

async fn restore(job: Job) -> Found {
    let restored = on_own_thread(move || {
        job.keep.prepare()?;
        let Some(kept) = job.keep.load(&job.followed, job.repository.require_signed_by.as_deref())? else {
            return Ok(None);
        };
        let bundle = kept.bundle.and_then(|bundle| {
            let bundle = bundle.into_inner();
            let sequence = bundle.statement.sequence;
            activate::activate(bundle, kept.facts.committed_at).map(|active| (Box::new(active), sequence))
        });
        Ok(Some(Restored { facts: kept.facts, bundle }))
    })
    .await;
    match restored {
        Some(Ok(restored)) => Found::Restored(restored),
        // Without knowing what was applied, nothing is: a rewind could not be told from progress.
        Some(Err(sentence)) => Found::Failed(sentence),
        None => Found::Panicked,
    }
}

async fn follow(job: Job) -> Found {
    let mono_ms = clock::mono_ms();
    let at = job.at;
    if let Origin::Remote(url) = &job.repository.origin {
        let fetched = fetch::fetch(url, &job.repository.branch, &job.path, job.repository.fetch_timeout).await;
        if let Err(sentence) = fetched {
            return Found::Failed(sentence);
        }
    }
    match on_own_thread(move || activate::look(&job)).await {
        Some(look) => Found::Looked { look, at, mono_ms },
        None => Found::Panicked,
    }
}

/// Runs `work` on a thread with a large stack; `None` when it panics or no thread is to be had.
async fn on_own_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("policy".to_owned()).stack_size(STACK_BYTES).spawn(move || {
        // Nobody waits any more when the gateway stops.
        drop(sender.send(work()));
    });
    match thread {
        Ok(_detached) => receiver.await.ok(),
        Err(error) => {
            tracing::error!(%error, "no thread for the policy");
            None
        }
    }
}

async fn stopped(stop: &mut signal::Receiver<bool>) {
    // A sender that is gone stops as well.
    drop(stop.wait_for(|stop| *stop).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::policy;

    #[tokio::test]
    async fn a_panic_is_a_failure_that_names_the_commit() {
        assert!(on_own_thread(|| -> u8 { panic!("a bug of the compiler") }).await.is_none());
        let repository = Repository {
            origin: Origin::Local("/nonexistent".into()),
            branch: "main".to_owned(),
            folder: String::new(),
            poll: Duration::from_secs(1),
            fetch_timeout: Duration::from_secs(1),
            webhook_secret: None,
            signers: None,
            require_signed_by: None,
            rewind: None,
        };
        let (publisher, state) = policy::channel();
        let (mut follower, _nudge) = Follower::new(repository, Path::new("/nonexistent"), publisher);
        *follower.reading.lock().unwrap() = Some("abc".to_owned());
        follower.take(Found::Panicked);
        let failure = state.state().last_error.unwrap();
        assert_eq!(failure.commit.as_deref(), Some("abc"));
        assert!(failure.sentence.contains("stopped unexpectedly"), "{}", failure.sentence);
        assert_eq!(follower.known.rejected.as_ref().map(|(commit, _)| commit.as_str()), Some("abc"));
    }
}
