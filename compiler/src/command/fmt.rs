//! `fmt`: the one layout of policy files. A file with mistakes is reported and left alone.

use super::{Failure, Terminal, count, root};
use crate::{
    cli::{Exit, FmtArgs, Format},
    load::is_kdl,
    report,
    system::{EntryKind, join},
};
use lang::{
    diag::Sink,
    span::SourceMap,
    syntax::{self, print::FormatError},
};

const FILE_BYTES_MAX: u64 = lang::syntax::limits::FILE_BYTES_MAX as u64;

/// What became of the files.
#[derive(Default)]
struct Tally {
    files: usize,
    changed: usize,
    broken: usize,
}

/// Formats files, or says which would change.
///
/// # Errors
/// When a path does not exist, or files or output fail.
pub fn run(args: &FmtArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let mut tally = Tally::default();
    for path in files(args, terminal)? {
        one(&path, args.check, &mut tally, terminal)?;
    }
    let verb = if args.check { "would change" } else { "changed" };
    writeln!(terminal.out, "{}, {} {verb}", count(tally.files, "file"), tally.changed)?;
    let fails = tally.broken > 0 || (args.check && tally.changed > 0);
    Ok(if fails { Exit::Found } else { Exit::Clean })
}

fn files(args: &FmtArgs, terminal: &Terminal<'_>) -> Result<Vec<String>, Failure> {
    let system = terminal.system;
    let given = if args.paths.is_empty() { vec![root(None, system)?] } else { args.paths.clone() };
    let mut files = Vec::new();
    for path in given {
        if system.is_file(&path) {
            files.push(path);
        } else if path.is_empty() || system.is_folder(&path) {
            let found = system.list(&path)?.into_iter().filter(|entry| entry.kind == EntryKind::File);
            files.extend(found.filter(|entry| is_kdl(&entry.path)).map(|entry| join(&path, &entry.path)));
        } else {
            return Err(Failure::Usage(format!("there is no file or folder `{path}`")));
        }
    }
    Ok(files)
}

fn one(path: &str, check: bool, tally: &mut Tally, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    tally.files += 1;
    let content = terminal.system.read(path, FILE_BYTES_MAX)?;
    let Ok(text) = String::from_utf8(content) else {
        tally.broken += 1;
        writeln!(terminal.out, "{path}: not UTF-8 text, left as it is")?;
        return Ok(());
    };
    let mut sources = SourceMap::new();
    let id = sources.add(path, text.as_str());
    match syntax::print::format(id, &text) {
        Ok(formatted) if formatted == text => {}
        Ok(formatted) => {
            tally.changed += 1;
            if check {
                writeln!(terminal.out, "{path}: not formatted")?;
            } else {
                terminal.system.write(path, formatted.as_bytes())?;
                writeln!(terminal.out, "{path}: formatted")?;
            }
        }
        Err(error) => {
            tally.broken += 1;
            if error == FormatError::Broken {
                let mut sink = Sink::new();
                syntax::parse(id, &sources, &mut sink);
                let found = sink.finish(&sources);
                report::findings(Format::Human, &found, &sources, terminal)?;
            }
            writeln!(terminal.out, "{path}: {error}")?;
        }
    }
    Ok(())
}
