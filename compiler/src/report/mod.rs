//! How findings and results reach people and programs.

pub mod junit;

use crate::{
    cli::Format,
    command::{Failure, Terminal},
};
use lang::{diag::Diagnostic, span::SourceMap};

/// Shows findings.
///
/// # Errors
/// When the output fails.
pub fn findings(
    format: Format,
    found: &[Diagnostic],
    sources: &SourceMap,
    terminal: &mut Terminal<'_>,
) -> Result<(), Failure> {
    let _ = format;
    for one in found {
        let place = one.span().map_or_else(String::new, |span| {
            let at = sources.line_column(span);
            format!("{}:{}:{}: ", sources.path(span.source), at.line, at.column)
        });
        writeln!(terminal.out, "{place}{}[{}]: {}", one.severity, one.code, one.message)?;
        for label in one.primary.iter().chain(&one.secondary) {
            let at = sources.line_column(label.span);
            writeln!(terminal.out, "    {}:{}: {}", sources.path(label.span.source), at.line, label.text)?;
        }
        for line in one.help.iter().chain(&one.notes).chain(&one.witness) {
            writeln!(terminal.out, "    {line}")?;
        }
    }
    Ok(())
}
