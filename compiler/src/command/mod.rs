//! One command in one file. A command reads its arguments, calls the library, and writes what is to be seen.

pub mod ask;
pub mod build;
pub mod check;
pub mod completions;
pub mod diff;
pub mod explain;
pub mod fmt;
pub mod graph;
pub mod init;
pub mod lsp;
pub mod matrix;
pub mod owners;
pub mod provision;
pub mod sign;
pub mod test;
pub mod verify;

use crate::{
    cli::{Exit, Format},
    compile::{Options, compile},
    load::{ROOT_FILE, load},
    report,
    resolve::resolve,
    system::{System, SystemError, join},
};
use lang::{
    bundle::BundleError,
    diag::{Severity, Sink},
    model::Policy,
    program::Program,
    span::SourceMap,
    time::Timestamp,
};
use std::io::Write;

/// What a command talks to.
pub struct Terminal<'a> {
    /// Files and clock.
    pub system: &'a dyn System,
    /// Where answers go.
    pub out: &'a mut dyn Write,
    /// Where remarks go that are no part of an answer.
    pub err: &'a mut dyn Write,
    /// Whether to use colours.
    pub colours: bool,
}

impl std::fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("colours", &self.colours).finish_non_exhaustive()
    }
}

/// Why a command could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// Files could not be read or written.
    #[error(transparent)]
    System(SystemError),
    /// The output could not be written.
    #[error("the output could not be written")]
    Output(#[from] std::io::Error),
    /// The engine's answer did not reproduce, and is not shown.
    #[error(transparent)]
    Engine(#[from] crate::analyze::witness::Disagreement),
    /// The policy could not be encoded.
    #[error(transparent)]
    Bundle(#[from] BundleError),
}

impl From<SystemError> for Failure {
    fn from(error: SystemError) -> Self {
        if error.asked { Self::Usage(error.to_string()) } else { Self::System(error) }
    }
}

/// The folder that holds policy.kdl: the one named, else this one, else `policies`.
fn root(path: Option<&str>, system: &dyn System) -> Result<String, Failure> {
    let holds = |folder: &str| system.is_file(&join(folder, ROOT_FILE));
    let Some(path) = path else {
        return match ["", "policies"].into_iter().find(|folder| holds(folder)) {
            Some(folder) => Ok(folder.to_owned()),
            None => Err(Failure::Usage(format!(
                "there is no {ROOT_FILE} here and none in `policies`; name the folder that holds it"
            ))),
        };
    };
    let folder = match path.strip_suffix(ROOT_FILE) {
        Some("") => ".",
        Some(folder) if folder.ends_with('/') => folder,
        Some(_) | None => path,
    };
    let folder = folder.trim_start_matches("./");
    let folder = if folder == "." || folder == "/" { folder } else { folder.trim_end_matches('/') };
    if holds(folder) {
        Ok(if folder == "." { String::new() } else { folder.to_owned() })
    } else if system.is_folder(folder) {
        Err(Failure::Usage(format!("there is no {ROOT_FILE} in `{path}`; name the folder that holds it")))
    } else if system.is_file(path) {
        Err(Failure::Usage(format!("`{path}` is a file; name the folder that holds {ROOT_FILE}")))
    } else {
        Err(Failure::Usage(format!("there is no folder `{path}`")))
    }
}

/// The resolved policy; when it has errors, they are shown and the exit says so.
fn model(root: &str, terminal: &mut Terminal<'_>) -> Result<Result<Policy, Exit>, Failure> {
    let mut sink = Sink::new();
    let loaded = load(terminal.system, root, threads(), &mut sink)?;
    let policy = loaded.root.and_then(|file| resolve(&loaded.documents, file, &mut sink));
    if let Some(policy) = policy.filter(|_| !sink.has_errors()) {
        return Ok(Ok(policy));
    }
    let found = sink.finish(&loaded.sources);
    report::findings(Format::Human, &found, &located(&loaded.sources, root), terminal)?;
    Ok(Err(Exit::Found))
}

/// The program of a policy; when it has errors, they are shown and the exit says so.
fn program(root: &str, at: Option<Timestamp>, terminal: &mut Terminal<'_>) -> Result<Result<Program, Exit>, Failure> {
    let at = at.unwrap_or_else(|| terminal.system.now());
    let compilation = compile(terminal.system, root, at, &Options { threads: threads() })?;
    if let Some(checked) = compilation.checked {
        let policy = checked.into_inner();
        return match Program::new(policy.rules, policy.sources) {
            Ok(program) => Ok(Ok(program)),
            Err(invalid) => Err(Failure::Usage(invalid.to_string())),
        };
    }
    let errors: Vec<_> =
        compilation.diagnostics.iter().filter(|found| found.severity == Severity::Error).cloned().collect();
    report::findings(Format::Human, &errors, &located(&compilation.sources, root), terminal)?;
    Ok(Err(Exit::Found))
}

/// The same texts with paths as the shell sees them.
fn located(sources: &SourceMap, root: &str) -> SourceMap {
    let mut located = SourceMap::new();
    for (_, source) in sources.iter() {
        located.add(join(root, source.path()), source.text());
    }
    located
}

/// A place of the policy as the shell sees it, as `check` shows it.
fn from_here(place: &mut Option<String>, root: &str) {
    *place = place.take().map(|place| join(root, &place));
}

/// How many files are parsed at once.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// `1 file`, `2 files`.
fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod diff_tests;
#[cfg(test)]
mod tests;
