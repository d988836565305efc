//! `cargo xtask bench compiler`: what the compiler costs on generated repositories, beside the targets that were set.
//!
//! Every figure is of a release build. Memory is the peak of the process that did the work (`VmHWM`), so each
//! measurement is a process of its own. No test asserts any of it.

use super::estate::Estate;
use super::median;
use crate::command::{Ran, must_within};
use crate::fault::{Doing as _, Fault, Outcome};
use crate::say;
use crate::tools::{self, Places};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

const SIZES: [usize; 3] = [1_000, 10_000, 50_000];
/// The estates of one size, and how many of a thousand grants differ from the first.
const ESTATES: [(&str, u64); 3] = [("base", 0), ("one-percent", 10), ("everything", 1_000)];
const SEED: u64 = 20_261_122;
/// How often a process is started; the median counts.
const TIMES: usize = 3;
/// Larger estates are measured once.
const ONCE_ABOVE: usize = 10_000;
/// The longest that one measurement may take.
const WITHIN: Duration = Duration::from_mins(15);

/// What is measured at one size.
#[derive(Debug, Default)]
struct Figures {
    grants: usize,
    bytes: f64,
    check: f64,
    check_cpu: f64,
    check_mb: f64,
    warm: f64,
    warm_cpu: f64,
    diff_one: f64,
    diff_one_cpu: f64,
    diff_all: f64,
    diff_all_cpu: f64,
    diff_mb: f64,
    profile: f64,
    p50: f64,
    p99: f64,
    reader: f64,
    reader_mb: f64,
    kdl: f64,
    kdl_mb: f64,
}

/// Measures and prints. Numbers of grants may be given instead of the usual ones; after `--built` nothing is built.
pub(super) fn run(words: &[&str]) -> Outcome<ExitCode> {
    let (built, words) = match words {
        ["--built", rest @ ..] => (true, rest),
        words => (false, words),
    };
    let sizes = words
        .iter()
        .map(|word| word.replace([',', '_'], "").parse().doing(|| format!("`{word}` is no number of grants")))
        .collect::<Outcome<Vec<usize>>>()?;
    let sizes = if sizes.is_empty() { SIZES.to_vec() } else { sizes };
    let places = Places::find()?;
    for grants in &sizes {
        say::step(&format!("generate: {grants} grants"));
        for (name, changed) in ESTATES {
            write(Estate { grants: *grants, seed: SEED, changed }, &folder(&places, *grants, name))?;
        }
    }
    if !built {
        say::step("build: release");
        let mut cargo = tools::cargo(&places);
        cargo.args(["build", "--release", "--package", "compiler", "--example", "cost"]);
        must_within(&mut cargo, Duration::from_hours(1))?;
    }
    let mut all = Vec::new();
    for grants in sizes {
        say::step(&format!("{grants} grants"));
        all.push(measure(&places, grants)?);
    }
    print(&all);
    Ok(ExitCode::SUCCESS)
}

fn measure(places: &Places, grants: usize) -> Outcome<Figures> {
    let [same, one, all] = ESTATES.map(|(name, _)| folder(places, grants, name));
    let cost = |words: &[&str], folders: &[&Path]| -> Outcome<Ran> {
        let mut command = Command::new(places.target.join("release/examples/cost"));
        command.arg(words.first().copied().unwrap_or_default()).args(folders).args(words.get(1..).unwrap_or_default());
        must_within(&mut command, WITHIN)
    };
    let often = |words: &[&str], folders: &[&Path], names: &[&str]| -> Outcome<Vec<f64>> {
        let times = if grants > ONCE_ABOVE { 1 } else { TIMES };
        let runs = (0..times).map(|_| cost(words, folders)).collect::<Outcome<Vec<Ran>>>()?;
        names.iter().map(|name| Ok(median(runs.iter().map(|ran| figure(ran, name)).collect::<Outcome<_>>()?))).collect()
    };
    let pick = |all: &[f64], at: usize| all.get(at).copied().unwrap_or(f64::NAN);
    let check = often(&["check"], &[&same], &["check_ms", "peak_mb", "exit", "check_cpu_ms"])?;
    if pick(&check, 2) != 0.0 {
        return Err(Fault::new("the generated policy has errors: run `leaseholdc check` on it"));
    }
    let warm = often(&["warm", "teams/team-1/grants.kdl"], &[&same], &["warm_ms", "warm_cpu_ms"])?;
    let diff_one = often(&["diff"], &[&same, &one], &["diff_ms", "diff_cpu_ms"])?;
    let diff_all = often(&["diff"], &[&same, &all], &["diff_ms", "peak_mb", "diff_cpu_ms", "profile_ms"])?;
    let decide = often(&["decide"], &[&same], &["decide_p50_ns", "decide_p99_ns"])?;
    let reader = often(&["reader"], &[&same], &["parse_ms", "peak_mb", "bytes"])?;
    let kdl = often(&["kdl"], &[&same], &["parse_ms", "peak_mb"])?;
    Ok(Figures {
        grants,
        bytes: pick(&reader, 2),
        check: pick(&check, 0),
        check_cpu: pick(&check, 3),
        check_mb: pick(&check, 1),
        warm: pick(&warm, 0),
        warm_cpu: pick(&warm, 1),
        diff_one: pick(&diff_one, 0),
        diff_one_cpu: pick(&diff_one, 1),
        diff_all: pick(&diff_all, 0),
        diff_all_cpu: pick(&diff_all, 2),
        diff_mb: pick(&diff_all, 1),
        profile: pick(&diff_all, 3),
        p50: pick(&decide, 0),
        p99: pick(&decide, 1),
        reader: pick(&reader, 0),
        reader_mb: pick(&reader, 1),
        kdl: pick(&kdl, 0),
        kdl_mb: pick(&kdl, 1),
    })
}

fn folder(places: &Places, grants: usize, name: &str) -> PathBuf {
    places.target.join("bench/estates").join(format!("{grants}-{name}"))
}

fn write(estate: Estate, folder: &Path) -> Outcome<()> {
    // What an earlier run left there may be of another shape.
    drop(std::fs::remove_dir_all(folder));
    for (path, text) in estate.files() {
        let file: PathBuf = folder.join(path);
        let parent = file.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).doing(|| format!("cannot make {}", parent.display()))?;
        std::fs::write(&file, text).doing(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The number behind a name in what `cost` said.
fn figure(ran: &Ran, name: &str) -> Outcome<f64> {
    let line = ran.out.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| Fault::new(format!("no {name} in: {}", ran.said())))
}

/// A row of the table: what, how it is read from the figures, and the target at 10,000 grants.
type Row = (&'static str, fn(&Figures) -> String, &'static str);

const ROWS: [Row; 12] = [
    ("policy text", |f| format!("{:.1} MB", f.bytes / 1e6), ""),
    ("`check`, cold", |f| both(f.check, f.check_cpu), "≤ 800 ms"),
    ("… peak memory", |f| format!("{:.0} MB", f.check_mb), "≤ 200 MB"),
    ("`check` again, one file changed, same process", |f| both(f.warm, f.warm_cpu), "≤ 50 ms"),
    ("digests of both revisions, once, with load", |f| format!("{:.0} ms", f.profile), ""),
    ("`diff` after load, 1 % of the grants changed", |f| both(f.diff_one, f.diff_one_cpu), "≤ 20 ms"),
    ("`diff` after load, every grant changed", |f| both(f.diff_all, f.diff_all_cpu), "≤ 400 ms"),
    ("… peak memory with both revisions", |f| format!("{:.0} MB", f.diff_mb), ""),
    ("decision, p50", |f| format!("{:.2} µs", f.p50 / 1e3), "≤ 1 µs"),
    ("decision, p99", |f| format!("{:.2} µs", f.p99 / 1e3), "≤ 5 µs"),
    ("reading: ours", |f| format!("{:.0} ms, {:.0} MB", f.reader, f.reader_mb), ""),
    ("reading: the `kdl` crate", |f| format!("{:.0} ms, {:.0} MB", f.kdl, f.kdl_mb), ""),
];

/// By the clock on the wall, and on the processors.
fn both(wall: f64, cpu: f64) -> String {
    format!("{wall:.0} ms, CPU {cpu:.0} ms")
}

fn print(all: &[Figures]) {
    let columns: Vec<String> = all.iter().map(|figures| format!(" {} grants |", thousands(figures.grants))).collect();
    say::line("");
    say::line(&format!("| medians of {TIMES}, above {ONCE_ABOVE} one run |{} target at 10,000 |", columns.concat()));
    say::line(&format!("|---|{}---|", "---:|".repeat(all.len())));
    for (what, read, target) in ROWS {
        let cells: Vec<String> = all.iter().map(|figures| format!(" {} |", read(figures))).collect();
        say::line(&format!("| {what} |{} {target} |", cells.concat()));
    }
}

fn thousands(number: usize) -> String {
    if number >= 1_000 { format!("{},{:03}", number / 1_000, number % 1_000) } else { number.to_string() }
}
