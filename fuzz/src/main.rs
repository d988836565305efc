//! Mutation fuzzers of every parser of foreign bytes: `cargo xtask fuzz [TARGET] [--seconds N] [--seed S]`.
//!
//! Inputs are fixtures and policies, changed step by step by a seeded generator, so that a run can be repeated. The
//! input at work stands in a file before it runs: what kills the process is found there. What panics, takes too long
//! or breaks a property is kept under `fixtures/fuzz`, which a test runs ever after.

mod corpus;
#[cfg(feature = "gateway")]
mod gateway;
#[cfg(feature = "gateway")]
mod messages;
mod mutate;
mod targets;

use mutate::Rng;
use std::{
    fs,
    io::{self, Write as _},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};
use targets::{TARGETS, Target};

/// How long a run takes unless told otherwise.
const SECONDS: u64 = 60;
/// The longest time that one input may take.
const INPUT_TIME_MAX: Duration = Duration::from_secs(5);
/// How often an input that took longer is tried again.
const AGAIN: usize = 3;
/// The most inputs that are kept in memory.
const CORPUS_MAX: usize = 4_000;

/// What a run was asked to do.
struct Wish {
    targets: Vec<&'static Target>,
    seconds: u64,
    seed: u64,
    /// One file to run instead of a search.
    file: Option<PathBuf>,
    /// The repository; the one that this program was built from unless told otherwise.
    root: PathBuf,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = wish(&arguments).and_then(|wish| {
        on_a_thread(|| run(&wish.root, &wish)).and_then(|result| result).map_err(|error| error.to_string())
    });
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(sentence) => {
            let _nobody_listens = writeln!(io::stderr(), "fuzz: {sentence}");
            ExitCode::from(3)
        }
    }
}

fn wish(arguments: &[String]) -> Result<Wish, String> {
    let mut wish = Wish {
        targets: Vec::new(),
        seconds: SECONDS,
        seed: 1,
        file: None,
        root: Path::new(env!("CARGO_MANIFEST_DIR")).join(".."),
    };
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let mut number =
            || rest.next().and_then(|text| text.parse::<u64>().ok()).ok_or(format!("{word} needs a number"));
        match word.as_str() {
            "--seconds" => wish.seconds = number()?,
            "--seed" => wish.seed = number()?,
            "--root" => wish.root = rest.next().map(PathBuf::from).ok_or("--root needs a folder")?,
            "--file" => wish.file = rest.next().map(PathBuf::from),
            name => {
                let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
                let known = TARGETS.iter().find(|target| target.name == name);
                wish.targets.push(known.ok_or(format!("there is no target `{name}`; there are {}", names.join(", ")))?);
            }
        }
    }
    if wish.targets.is_empty() {
        wish.targets.extend(TARGETS);
    }
    Ok(wish)
}

/// Runs the targets one after the other; the number of findings.
fn run(root: &Path, wish: &Wish) -> io::Result<usize> {
    let mut findings = 0;
    for target in &wish.targets {
        findings += match &wish.file {
            Some(file) => usize::from(judge(target, &fs::read(file)?).is_some()),
            None => search(root, target, wish)?,
        };
    }
    Ok(findings)
}

#[expect(clippy::disallowed_methods, reason = "a search is bounded by the clock, and nothing else depends on it")]
fn search(root: &Path, target: &Target, wish: &Wish) -> io::Result<usize> {
    let mut out = io::stdout();
    let mut corpus = corpus::seeds(root, target.seeds)?;
    let seeds = corpus.len();
    let at_work = root.join("target").join(format!("fuzz-{}.input", target.name));
    fs::create_dir_all(root.join("target"))?;
    let mut rng = Rng::new(wish.seed);
    let (mut runs, mut findings, mut taken) = (0_u64, 0_usize, std::collections::BTreeSet::new());
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(wish.seconds) {
        let input = mutate::next(&corpus, &mut rng);
        fs::write(&at_work, &input)?;
        let began = Instant::now();
        let verdict = judge(target, &input);
        // On a machine that is starved anything is slow once; an input that is slow is slow again.
        let slow = (began.elapsed() > INPUT_TIME_MAX)
            .then(|| (0..AGAIN).map(|_| time(target, &input)).min().unwrap_or_default())
            .filter(|took| *took > INPUT_TIME_MAX)
            .map(|took| format!("took {} ms", took.as_millis()));
        runs += 1;
        match verdict.or(slow) {
            Some(why) => {
                findings += 1;
                let kept = keep(root, target, &input)?;
                writeln!(out, "{}: {why}\n  kept as {}", target.name, kept.display())?;
            }
            // What the target reads in a new way is worth changing further.
            None => {
                if corpus.len() < CORPUS_MAX && taken.insert((target.shape)(&input)) {
                    corpus.push(input);
                }
            }
        }
    }
    let _gone_already = fs::remove_file(&at_work);
    writeln!(
        out,
        "{}: {runs} inputs in {} s from {seeds} seeds, {} shapes, seed {}, {findings} findings",
        target.name,
        started.elapsed().as_secs(),
        taken.len(),
        wish.seed
    )?;
    Ok(findings)
}

/// Runs a target's work on a thread with the stack that the gateway's own threads have.
fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(pgsql::bounds::STACK_BYTES).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| io::Error::other("the search itself panicked"))
    })
}

/// How long a target takes for an input.
#[expect(clippy::disallowed_methods, reason = "the time itself is what is looked for")]
fn time(target: &Target, input: &[u8]) -> Duration {
    let began = Instant::now();
    let _judged_already = judge(target, input);
    began.elapsed()
}

/// What is wrong with how a target takes an input.
fn judge(target: &Target, input: &[u8]) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        Err(_) => Some("panicked".to_owned()),
    }
}

fn keep(root: &Path, target: &Target, input: &[u8]) -> io::Result<PathBuf> {
    let folder = root.join("fixtures/fuzz").join(target.name);
    fs::create_dir_all(&folder)?;
    let digest = blake3::hash(input).to_hex();
    let path = folder.join(digest.as_str().get(..16).unwrap_or("input"));
    fs::write(&path, input)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a search once found stays mended.
    #[test]
    fn kept_inputs_hold() {
        on_a_thread(kept_inputs).unwrap();
    }

    fn kept_inputs() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/fuzz");
        let mut seen = 0;
        for target in TARGETS {
            let Ok(entries) = fs::read_dir(root.join(target.name)) else { continue };
            for entry in entries {
                let path = entry.unwrap().path();
                assert_eq!(judge(target, &fs::read(&path).unwrap()), None, "{}", path.display());
                seen += 1;
            }
        }
        assert!(seen > 0, "the kept inputs moved");
    }

    /// Every target takes its seeds, and a short search from them finds nothing.
    #[test]
    fn seeds_and_their_first_changes_hold() {
        on_a_thread(first_changes).unwrap();
    }

    fn first_changes() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for target in TARGETS {
            let corpus = corpus::seeds(&root, target.seeds).unwrap();
            assert!(corpus.len() > 50, "{} has too few seeds", target.name);
            let mut rng = Rng::new(1);
            for _ in 0..100 {
                let input = mutate::next(&corpus, &mut rng);
                assert_eq!(judge(target, &input), None, "{}: {:?}", target.name, String::from_utf8_lossy(&input));
            }
        }
    }
}
