//! `mutants`: changes `lang` and `compiler` in a sample of places, one at a time, and says which changes no test
//! notices. All changes of a sample are compiled at once, each behind a switch, in a copy of the checkout; a run sets
//! one of them. It must never write into the checkout itself.

mod sites;

use crate::clock;
use crate::fault::{Doing as _, Fault, Outcome, ensure};
use crate::say;
use crate::tools::Places;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// The crates that are changed.
const CRATES: [&str; 2] = ["lang", "compiler"];
/// The test programs of each that judge a change; those of the language server start `leaseholdc` itself.
const TESTS: [(&str, &[&str]); 2] =
    [("lang", &["--lib"]), ("compiler", &["--lib", "--test", "outcome", "--test", "lsp"])];
/// What sets a change; the number is its position in the sample, from 1 on.
const SWITCH: &str = "LEASEHOLD_MUTANT";
/// The module that reads it, in the copy of `lang`.
const READER: &str = "//! The switch.\n\n/// Whether a change is set.\npub fn on(id: u32) -> bool {\n    static ON: std::sync::OnceLock<u32> = \
                      std::sync::OnceLock::new();\n    *ON.get_or_init(|| std::env::var(\"LEASEHOLD_MUTANT\").ok().and_then(|text| \
                      text.parse().ok()).unwrap_or(0)) == id\n}\n";
/// So many changes that do not compile are left out before the run is given up.
const REFUSED_MAX: usize = 40;
/// How often a run looks whether a test program has ended.
const LOOK: Duration = Duration::from_millis(20);

/// One change of the sample.
#[derive(Debug, Clone)]
struct Mutant {
    id: u32,
    file: String,
    position: usize,
    site: sites::Site,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Caught,
    Endless,
    Survived,
}

/// Runs with `--seed S` and `--count N`, with `--only PATH` for files whose path holds a text, and with `--from N` to go
/// on with a run that was stopped.
///
/// # Errors
/// When the words are unknown, the copy does not build, or its tests fail without a change.
pub fn run(words: &[&str]) -> Outcome<ExitCode> {
    let (mut seed, mut count, mut only, mut from) = (1_u64, 100_usize, "", 1_u32);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| Fault::new(format!("`{word}` needs a value")))?;
        match *word {
            "--seed" => seed = value.parse().doing(|| format!("`--seed {value}`"))?,
            "--count" => count = value.parse().doing(|| format!("`--count {value}`"))?,
            "--only" => only = value,
            "--from" => from = value.parse().doing(|| format!("`--from {value}`"))?,
            _ => return Err(Fault::new(format!("unknown option `{word}`"))),
        }
    }
    let places = Places::find()?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| places.target.clone(), PathBuf::from);
    let bench = Bench { tree: target.join("mutants"), target, root: places.root };
    let (all, sample) = bench.sample(seed, count, only)?;
    say::step(&format!("{} of {all} changes, seed {seed}", sample.len()));
    bench.copy()?;
    let (sample, programs) = bench.build(sample)?;
    bench.judge(&sample, programs, from)
}

/// The folders of a run.
struct Bench {
    root: PathBuf,
    tree: PathBuf,
    target: PathBuf,
}

/// A test program and where it runs.
type Program = (PathBuf, PathBuf);

/// A test program, where it runs, and how long it takes without a change.
struct Tests {
    program: PathBuf,
    folder: PathBuf,
    takes: Duration,
}

impl Bench {
    /// The Rust files of the crates without those that are for tests only.
    fn files(&self) -> Outcome<BTreeMap<String, String>> {
        let mut files = BTreeMap::new();
        let mut open: Vec<PathBuf> = CRATES.iter().map(|name| self.root.join(name).join("src")).collect();
        while let Some(path) = open.pop() {
            if path.is_dir() {
                for entry in fs::read_dir(&path).doing(|| format!("cannot list {}", path.display()))? {
                    open.push(entry.doing(|| "cannot list".to_owned())?.path());
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy().into_owned();
                files.insert(name, fs::read_to_string(&path).doing(|| format!("cannot read {}", path.display()))?);
            }
        }
        let mut tests = Vec::new();
        for (name, text) in &files {
            let path = Path::new(name);
            let (Some(folder), Some(stem)) = (path.parent(), path.file_stem()) else { continue };
            let root = ["mod", "lib", "main"].iter().any(|own| stem == *own);
            let below = if root { folder.to_path_buf() } else { folder.join(stem) };
            for module in sites::test_modules(text)? {
                tests.push(below.join(format!("{module}.rs")).to_string_lossy().into_owned());
                tests.push(below.join(module).to_string_lossy().into_owned() + "/");
            }
        }
        files.retain(|name, _| !tests.iter().any(|test| name == test || test.ends_with('/') && name.starts_with(test)));
        Ok(files)
    }

    /// How many changes there are, and a sample of them: the same for the same seed and text.
    fn sample(&self, seed: u64, count: usize, only: &str) -> Outcome<(usize, Vec<Mutant>)> {
        let mut all = Vec::new();
        for (file, text) in self.files()?.into_iter().filter(|(file, _)| file.contains(only)) {
            for (position, site) in sites::find(&text)?.into_iter().enumerate() {
                all.push(Mutant { id: 0, file: file.clone(), position, site });
            }
        }
        let total = all.len();
        let mut state = seed ^ 0x9E37_79B9_7F4A_7C15;
        let mut below = |bound: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap_or(0) % bound.max(1)
        };
        for last in (1..all.len()).rev() {
            all.swap(last, below(last + 1));
        }
        all.truncate(count);
        all.sort_by(|a, b| (&a.file, a.position).cmp(&(&b.file, b.position)));
        for (id, mutant) in (1..).zip(&mut all) {
            mutant.id = id;
        }
        Ok((total, all))
    }

    /// Brings the copy up to date: what git knows, and what is new.
    fn copy(&self) -> Outcome<()> {
        let list = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.root)
            .output()
            .doing(|| "cannot start git".to_owned())?;
        for name in String::from_utf8_lossy(&list.stdout).split('\0').filter(|name| !name.is_empty()) {
            let (from, to) = (self.root.join(name), self.tree.join(name));
            if !from.is_file() {
                continue;
            }
            let bytes = fs::read(&from).doing(|| format!("cannot read {}", from.display()))?;
            write(&to, &bytes)?;
        }
        Ok(())
    }

    /// Writes the changes into the copy and builds its tests; what does not compile is left out.
    fn build(&self, mut sample: Vec<Mutant>) -> Outcome<(Vec<Mutant>, Vec<Program>)> {
        write(&self.tree.join("lang/src/mutant.rs"), READER.as_bytes())?;
        let mut refused = 0;
        loop {
            self.place(&sample)?;
            say::note(&format!("building {} changes", sample.len()));
            let mut programs = Vec::new();
            let mut errors = String::new();
            for (name, tests) in TESTS {
                let built = self.compile(name, tests)?;
                match built {
                    Ok(found) => programs.extend(found.into_iter().map(|program| (program, self.tree.join(name)))),
                    Err(text) => errors = text,
                }
                if !errors.is_empty() {
                    break;
                }
            }
            if errors.is_empty() {
                return Ok((sample, programs));
            }
            let bad = self.blamed(&errors);
            refused += bad.len();
            ensure(!bad.is_empty() && refused <= REFUSED_MAX, || format!("the copy does not build:\n{errors}"))?;
            sample.retain(|mutant| !bad.contains(&mutant.id));
        }
    }

    fn place(&self, sample: &[Mutant]) -> Outcome<()> {
        for (name, text) in self.files()? {
            let picked: Vec<(usize, u32)> =
                sample.iter().filter(|one| one.file == name).map(|one| (one.position, one.id)).collect();
            let switch = if name.starts_with("lang/") { "crate::mutant" } else { "lang::mutant" };
            let mut text = if picked.is_empty() { text } else { sites::switched(&text, &picked, switch)? };
            if name == "lang/src/lib.rs" {
                text.push_str("\npub mod mutant;\n");
            }
            write(&self.tree.join(name), text.as_bytes())?;
        }
        Ok(())
    }

    /// The test programs of a crate, or what the compiler says.
    fn compile(&self, name: &str, tests: &[&str]) -> Outcome<Result<Vec<PathBuf>, String>> {
        let output = Command::new("cargo")
            .args(["test", "--no-run", "--offline", "--release", "--color", "never", "-p", name])
            .args(tests)
            .env("CARGO_TARGET_DIR", &self.target)
            .current_dir(&self.tree)
            .output()
            .doing(|| "cannot start cargo".to_owned())?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if !output.status.success() {
            return Ok(Err(said));
        }
        let paths = said.lines().filter(|line| line.trim_start().starts_with("Executable"));
        let paths = paths.filter_map(|line| Some(self.tree.join(line.rsplit_once('(')?.1.trim_end_matches(')'))));
        Ok(Ok(paths.collect()))
    }

    /// The changes that errors of the compiler point at.
    fn blamed(&self, errors: &str) -> Vec<u32> {
        let mut all = Vec::new();
        let mut is_error = false;
        for line in errors.lines() {
            if line.starts_with("error") || line.starts_with("warning") {
                is_error = line.starts_with("error");
            }
            let Some(place) = line.trim_start().strip_prefix("--> ").filter(|_| is_error) else { continue };
            is_error = false;
            let mut parts = place.rsplitn(3, ':');
            let column: Option<usize> = parts.next().and_then(|text| text.parse().ok());
            let row: Option<usize> = parts.next().and_then(|text| text.parse().ok());
            let (Some(column), Some(row), Some(path)) = (column, row, parts.next()) else { continue };
            let Ok(text) = fs::read_to_string(self.tree.join(path)) else { continue };
            let before: String = text.split_inclusive('\n').take(row - 1).collect();
            let line: String = text.lines().nth(row - 1).unwrap_or("").chars().take(column).collect();
            let before = before + &line;
            let id = before.rsplit_once("mutant :: on (").map(|(_, rest)| rest);
            let id: Option<u32> = id.and_then(|rest| rest.split_once("u32")).and_then(|(id, _)| id.trim().parse().ok());
            all.extend(id);
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    fn judge(&self, sample: &[Mutant], programs: Vec<Program>, from: u32) -> Outcome<ExitCode> {
        let mut tests = Vec::new();
        for (program, folder) in programs {
            let start = clock::now();
            let fate = attempt(&program, &folder, 0, Duration::from_mins(15))?;
            ensure(fate == Fate::Survived, || format!("{} fails without a change", program.display()))?;
            tests.push(Tests { program, folder, takes: start.elapsed() });
        }
        // The quickest to fail come first.
        tests.sort_by_key(|tests| tests.takes);
        let whole: Duration = tests.iter().map(|tests| tests.takes).sum();
        say::note(&format!("{} test programs take {:.1} s without a change", tests.len(), whole.as_secs_f64()));
        let mut survivors = Vec::new();
        let (mut caught, mut endless) = (0, 0);
        let sample: Vec<&Mutant> = sample.iter().filter(|mutant| mutant.id >= from).collect();
        for mutant in &sample {
            let mut fate = Fate::Survived;
            // What is changed in the compiler cannot show in the tests of `lang`.
            let lang = self.tree.join("lang");
            for one in tests.iter().filter(|one| mutant.file.starts_with("lang/") || one.folder != lang) {
                let longest = one.takes * 5 + Duration::from_secs(20);
                fate = attempt(&one.program, &one.folder, mutant.id, longest)?;
                if fate != Fate::Survived {
                    break;
                }
            }
            say::line(&format!("  {} {fate:?}: {}", mutant.id, shown(mutant)));
            match fate {
                Fate::Caught => caught += 1,
                Fate::Endless => endless += 1,
                Fate::Survived => survivors.push(mutant),
            }
        }
        say::step(&format!(
            "{} changes: {caught} caught, {endless} never ended, {} survived",
            sample.len(),
            survivors.len()
        ));
        for mutant in survivors {
            say::line(&format!("  survived: {}", shown(mutant)));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs a test program with a change.
fn attempt(program: &Path, folder: &Path, id: u32, longest: Duration) -> Outcome<Fate> {
    let mut child = Command::new(program)
        .args(["--quiet"])
        .env(SWITCH, id.to_string())
        .env("RUST_BACKTRACE", "0")
        .env("PROPTEST_MAX_SHRINK_ITERS", "0")
        .env("PROPTEST_FAILURE_PERSISTENCE", "off")
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .doing(|| format!("cannot start {}", program.display()))?;
    let start = clock::now();
    loop {
        if let Some(status) = child.try_wait().doing(|| "cannot wait".to_owned())? {
            return Ok(if status.success() { Fate::Survived } else { Fate::Caught });
        }
        if start.elapsed() > longest {
            // With what it started.
            let group = format!("-{}", child.id());
            let _gone = Command::new("kill").args(["-KILL", "--", &group]).status();
            child.kill().and_then(|()| child.wait()).doing(|| "cannot end a test".to_owned())?;
            return Ok(Fate::Endless);
        }
        std::thread::sleep(LOOK);
    }
}

fn shown(mutant: &Mutant) -> String {
    format!("{}:{} in `{}`: {}", mutant.file, mutant.site.line, mutant.site.function, mutant.site.what)
}

/// Writes a file unless it says that already, so that cargo sees no change where there is none.
fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    if fs::read(path).is_ok_and(|own| own == bytes) {
        return Ok(());
    }
    let failed = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).doing(failed)?;
    }
    fs::write(path, bytes).doing(failed)
}
