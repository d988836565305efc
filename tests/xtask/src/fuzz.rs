//! `fuzz`: builds the fuzzers of the `fuzz` crate and runs them. It knows no target and reads no finding.

use crate::fault::{Doing as _, Outcome};
use std::process::{Command, ExitCode};

/// Runs the fuzzers with the words that were given.
///
/// # Errors
/// When cargo cannot be started.
pub fn run(words: &[&str]) -> Outcome<ExitCode> {
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--profile", "fuzz", "--package", "fuzz", "--"]).args(words);
    let status = command.status().doing(|| "cannot start cargo".to_owned())?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
