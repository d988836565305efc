//! The policy of any commit of a local repository, compiled for looking ahead: it is applied to nothing.

use super::activate::compiled;
use super::tip;
use lang::program::Program;
use std::path::Path;

/// The policy of a commit, branch or tag. The error is for people. Needs a stack as the compiler does.
///
/// # Errors
/// When there is no such revision, or its policy has errors.
pub fn program(repository: &Path, folder: &str, revision: &str) -> Result<Program, String> {
    let repository = tip::open(repository)?;
    let found = repository.revparse_single(revision).and_then(|object| object.peel_to_commit());
    let commit = found.map_err(|error| format!("there is no commit `{revision}`: {}", error.message()))?.id();
    let tip = tip::read(&repository, commit)?;
    let (rules, sources) = compiled(&repository, tip, folder)?;
    Program::new(rules, sources).map_err(|error| error.to_string())
}
