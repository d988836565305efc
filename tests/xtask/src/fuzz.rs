//! `fuzz`: builds the fuzzers of the `fuzz` crate and runs them. It reads no finding.

use crate::fault::{Doing as _, Outcome};
use std::process::{Command, ExitCode};

/// The targets that need nothing of the gateway, whose build takes minutes.
const OF_THE_LANGUAGE: [&str; 4] = ["kdl", "format", "compile", "bundle"];

/// Runs the fuzzers with the words that were given.
///
/// # Errors
/// When cargo cannot be started.
pub fn run(words: &[&str]) -> Outcome<ExitCode> {
    let mut command = Command::new("cargo");
    command.args(["run", "--quiet", "--profile", "fuzz", "--package", "fuzz"]);
    let mut named = words.iter().take_while(|word| !word.starts_with("--")).peekable();
    if named.peek().is_some() && named.all(|word| OF_THE_LANGUAGE.contains(word)) {
        command.arg("--no-default-features");
    }
    command.arg("--").args(words);
    let status = command.status().doing(|| "cannot start cargo".to_owned())?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
