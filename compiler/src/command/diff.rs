//! `diff`: what a change of the policy gives and takes, exactly, with witnesses. Needs no network and no secrets.

use super::{Failure, Terminal, count, from_here, located, root, threads};
use crate::{
    analyze::report::{self as analysis, Entry, Failed, Report},
    cli::{DiffArgs, DiffFormat, Exit, FailOn, Format},
    compile::{Compilation, Options, compile},
    report::{self, comment, diff as shown},
    system::Source,
};
use lang::{
    diag::{Diagnostic, Severity},
    time::Timestamp,
};

/// The largest directory snapshot.
const DIRECTORY_BYTES_MAX: u64 = 64 << 20;

/// Compares two revisions of a policy, or one with the work tree.
///
/// # Errors
/// When a revision cannot be read, or the engine and the decision disagree.
pub fn run(args: &DiffArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let root = root_of(args, terminal)?;
    let started = terminal.system.now();
    let (base, head) = match (args.base.split_once(".."), &args.head) {
        (Some(_), Some(_)) => {
            return Err(Failure::Usage("write either `BASE HEAD` or `BASE..HEAD`".to_owned()));
        }
        (Some((base, head)), None) if head.starts_with('.') => (
            args.base.clone(),
            Some(head.trim_start_matches('.').to_owned()).filter(|head| !head.is_empty() || base.is_empty()),
        ),
        (Some((base, head)), None) => (base.to_owned(), Some(head.to_owned()).filter(|head| !head.is_empty())),
        (None, head) => (args.base.clone(), head.clone()),
    };
    let older = terminal.system.revision(&root, &base)?;
    let newer = head.as_ref().map(|head| terminal.system.revision(&root, head)).transpose()?;
    // A commit's difference does not change with the calendar.
    let at = args.at.or_else(|| newer.as_ref().map(|newer| newer.at)).unwrap_or(started);
    let Some(before) = sound(older.source.as_ref(), &root, older.at, &base, terminal)? else { return Ok(Exit::Found) };
    let source: &dyn Source = newer.as_ref().map_or(terminal.system, |newer| newer.source.as_ref());
    let name = head.as_deref().unwrap_or("the work tree");
    let Some(after) = sound(source, &root, at, name, terminal)? else { return Ok(Exit::Found) };
    let directory = match &args.directory {
        Some(path) => directory(path, terminal)?,
        None => Vec::new(),
    };
    let id = newer.as_ref().map_or_else(|| "work tree".to_owned(), |newer| short(&newer.id));
    let ids = (short(&older.id), id);
    let revisions = (before.revision(&ids.0, threads()), after.revision(&ids.1, threads()));
    let (Some(old), Some(new)) = revisions else {
        return Ok(Exit::Found);
    };
    let mut report = match analysis::compare(old, new, at, &directory, args.author.as_deref(), super::threads()) {
        Ok(report) => report,
        Err(Failed::Engine(disagreement)) => return Err(Failure::Engine(disagreement)),
        Err(Failed::Bundle(error)) => return Err(Failure::Bundle(error)),
        Err(Failed::Invalid(error)) => return Err(Failure::Usage(error.to_string())),
    };
    for change in report.connections.iter_mut().flat_map(|connection| &mut connection.changes) {
        from_here(&mut change.place, &root);
    }
    let took = terminal.system.now().ms_since(started);
    let text = match args.format {
        DiffFormat::Human => shown::human(&report, took, terminal.colours),
        DiffFormat::Markdown => comment::markdown(&report),
        DiffFormat::Json => shown::json(&report)?,
    };
    terminal.out.write_all(text.as_bytes())?;
    Ok(exit(args.fail_on, &report))
}

fn exit(fail_on: Option<FailOn>, report: &Report) -> Exit {
    match fail_on {
        Some(FailOn::Wider) if report.verdict.widens() => Exit::Widens,
        Some(FailOn::Wider) | None => Exit::Clean,
    }
}

fn root_of(args: &DiffArgs, terminal: &Terminal<'_>) -> Result<String, Failure> {
    match (&args.path, &args.head) {
        // Both revisions may hold a folder that the work tree lacks.
        (Some(path), Some(_)) if !terminal.system.is_folder(path) => Ok(path.trim_end_matches('/').to_owned()),
        (path, _) => root(path.as_deref(), terminal.system),
    }
}

/// A revision whose names and values are right; else its errors are shown. What checks and tests object to does not
/// keep it from being compared.
fn sound(
    source: &dyn Source,
    root: &str,
    at: Timestamp,
    name: &str,
    terminal: &mut Terminal<'_>,
) -> Result<Option<Compilation>, Failure> {
    let compilation = compile(source, root, at, &Options { threads: threads() })?;
    if compilation.program.is_some() && compilation.policy.is_some() {
        return Ok(Some(compilation));
    }
    let errors: Vec<Diagnostic> =
        compilation.diagnostics.iter().filter(|found| found.severity == Severity::Error).cloned().collect();
    report::findings(Format::Human, &errors, &located(&compilation.sources, root), terminal)?;
    writeln!(terminal.err, "nothing was compared: {name} has {}", count(errors.len(), "error"))?;
    Ok(None)
}

fn directory(path: &str, terminal: &Terminal<'_>) -> Result<Vec<Entry>, Failure> {
    let content = terminal.system.read(path, DIRECTORY_BYTES_MAX)?;
    serde_json::from_slice(&content)
        .map_err(|error| Failure::Usage(format!("`{path}` is no snapshot of a directory: {error}")))
}

fn short(id: &str) -> String {
    let hash = id.len() == 40 && id.chars().all(|c| c.is_ascii_hexdigit());
    if hash { id.chars().take(10).collect() } else { id.to_owned() }
}
