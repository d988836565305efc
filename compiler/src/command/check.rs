//! `check`: everything that is wrong with a policy, at once.

use super::{Failure, Terminal, count, located, root, threads};
use crate::{
    cli::{CheckArgs, Exit, Format},
    compile::{Compilation, Options, compile},
    report,
};
use std::fmt::Write as _;

/// Checks a policy and shows what was found.
///
/// # Errors
/// When the arguments make no sense, or files or output fail.
pub fn run(args: &CheckArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let root = root(args.path.as_deref(), terminal.system)?;
    let started = terminal.system.now();
    let at = args.at.unwrap_or(started);
    let compilation = compile(terminal.system, &root, at, &Options { threads: threads() })?;
    let sources = located(&compilation.sources, &root);
    report::findings(args.format, &compilation.diagnostics, &sources, terminal)?;
    let took = terminal.system.now().ms_since(started);
    summary(args.format, &compilation, took, terminal)?;
    let findings = compilation.findings();
    let fails = compilation.checked.is_none() || (args.deny_warnings && findings.warnings > 0);
    // The process is about to end, and takes less time than giving every node back would.
    std::mem::forget(compilation);
    Ok(if fails { Exit::Found } else { Exit::Clean })
}

/// `12 files, 0 errors, 3 warnings, 41 ms`: part of the answer for people, a remark beside one for programs.
fn summary(
    format: Format,
    compilation: &Compilation,
    took_ms: u64,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let findings = compilation.findings();
    let mut line = format!(
        "{}, {}, {}",
        count(compilation.sources.len(), "file"),
        count(findings.errors, "error"),
        count(findings.warnings, "warning"),
    );
    if findings.infos > 0 {
        let _in_memory = write!(line, ", {}", count(findings.infos, "remark"));
    }
    if compilation.dropped > 0 {
        let _in_memory = write!(line, ", {} more not shown", compilation.dropped);
    }
    match format {
        Format::Human => writeln!(terminal.out, "{line}, {took_ms} ms")?,
        Format::Plain => writeln!(terminal.out, "{line}")?,
        Format::Json | Format::Sarif | Format::Github | Format::Junit => writeln!(terminal.err, "{line}")?,
    }
    Ok(())
}
