//! `cargo xtask test`: everything, from a clean checkout, and a summary that adds it up.
//!
//! A step that fails does not stop the others: one run tells all that is wrong.

use crate::clock;
use crate::command::{Ran, shown};
use crate::fault::Outcome;
use crate::say::{self, Tone};
use crate::setup::{self, Want};
use crate::tools::{self, Places};
use crate::{demo, scene};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// One line of the summary.
#[derive(Debug)]
struct Row {
    what: &'static str,
    passed: usize,
    failed: usize,
    ignored: usize,
    took: Duration,
}

/// Runs everything.
pub fn run() -> Outcome<ExitCode> {
    let start = clock::now();
    let places = setup::run(Want::Tests)?;
    let mut rows = vec![Row { what: "setup", passed: 1, failed: 0, ignored: 0, took: start.elapsed() }];
    let cargo = |arguments: &[&str]| {
        let mut command = tools::cargo(&places);
        command.args(arguments);
        command
    };
    rows.push(step("formatting", || shown(&mut cargo(&["fmt", "--all", "--check"]))));
    let lint = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    rows.push(step("lints", || shown(&mut cargo(&lint))));
    rows.push(check("build of the programs", || scene::build(&places, "debug")));
    rows.push(tests(&mut cargo(&["test", "--workspace", "--no-fail-fast"])));
    for (what, arguments) in [
        ("policies: check", ["check", "policies"].as_slice()),
        ("policies: formatting", &["fmt", "--check", "policies"]),
        ("policies: tests and what they exercise", &["test", "policies", "--coverage", "--coverage-min", "50"]),
        ("policies: ACCESS.md is fresh", &["matrix", "policies", "--check"]),
        (
            "policies: CODEOWNERS is fresh",
            &["owners", "policies", "--check", "--file", "policies/.github/CODEOWNERS", "--prefix", ""],
        ),
    ] {
        rows.push(step(what, || shown(&mut leaseholdc(&places, arguments))));
    }
    rows.push(demo_row(&places));
    Ok(summary(&rows, start.elapsed()))
}

fn leaseholdc(places: &Places, arguments: &[&str]) -> Command {
    let mut command = Command::new(places.built("debug", "leaseholdc"));
    command.args(arguments).current_dir(&places.root);
    command
}

/// A step that is one program.
fn step(what: &'static str, run: impl FnOnce() -> Outcome<Ran>) -> Row {
    check(what, || {
        let ran = run()?;
        crate::fault::ensure(ran.ok(), || format!("{what}: exit code {:?}", ran.code))
    })
}

/// A step that holds or does not.
fn check(what: &'static str, run: impl FnOnce() -> Outcome<()>) -> Row {
    say::step(what);
    let start = clock::now();
    let outcome = run();
    if let Err(fault) = &outcome {
        say::error(&fault.to_string());
    }
    let failed = usize::from(outcome.is_err());
    Row { what, passed: 1 - failed, failed, ignored: 0, took: start.elapsed() }
}

/// Cargo's tests, counted from its own result lines. A run that ends badly is a failure even if no test says so.
fn tests(command: &mut Command) -> Row {
    say::step("cargo test");
    let start = clock::now();
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    match shown(command) {
        Ok(ran) => {
            for (p, f, i) in ran.out.lines().filter_map(result_line) {
                passed += p;
                failed += f;
                ignored += i;
            }
            if failed == 0 && (!ran.ok() || passed == 0) {
                failed = 1;
            }
        }
        Err(fault) => {
            say::error(&fault.to_string());
            failed = 1;
        }
    }
    Row { what: "cargo test", passed, failed, ignored, took: start.elapsed() }
}

fn demo_row(places: &Places) -> Row {
    say::step("demo");
    let start = clock::now();
    let (passed, failed) = match demo::tell(places, false) {
        Ok(tally) => (tally.held, tally.failed),
        Err(fault) => {
            say::error(&fault.to_string());
            (0, 1)
        }
    };
    Row { what: "demo", passed, failed, ignored: 0, took: start.elapsed() }
}

/// Reads `test result: ok. 5 passed; 0 failed; 1 ignored; …`.
fn result_line(line: &str) -> Option<(usize, usize, usize)> {
    let counts = line.trim().strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |word: &str| counts.split("; ").find_map(|part| part.strip_suffix(word)?.trim().parse::<usize>().ok());
    Some((count("passed")?, count("failed")?, count("ignored")?))
}

fn summary(rows: &[Row], took: Duration) -> ExitCode {
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    let mut table = vec![["", "passed", "failed", "ignored", "seconds"].map(str::to_owned).to_vec()];
    for row in rows {
        passed += row.passed;
        failed += row.failed;
        ignored += row.ignored;
        let counts = [row.passed, row.failed, row.ignored].map(|count| count.to_string());
        let seconds = format!("{:.1}", row.took.as_secs_f64());
        table.push([vec![row.what.to_owned()], counts.to_vec(), vec![seconds]].concat());
    }
    say::line("");
    say::line(&say::toned(Tone::Bold, "Summary"));
    say::table(&table);
    say::line(&format!(
        "\n  {} in {:.0} s, {ignored} ignored",
        if failed == 0 { "all well" } else { "not well" },
        took.as_secs_f64()
    ));
    say::line("");
    say::line(&format!("{passed} passed, {failed} failed"));
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use super::result_line;

    #[test]
    fn counts_come_from_cargos_own_lines() {
        let line = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(result_line(line), Some((12, 0, 3)));
        let line = "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s";
        assert_eq!(result_line(line), Some((1, 2, 0)));
        assert_eq!(result_line("test a::b ... ok"), None);
    }
}
