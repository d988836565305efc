//! One line for each fact: `path:line:column: error[P0101]: message`, then labels, witness, help and notes.

use super::{indented, place, visible};
use crate::{diag::Diagnostic, span::SourceMap};
use std::fmt::{self, Write as _};

pub(super) fn write(out: &mut String, diagnostics: &[Diagnostic], sources: &SourceMap) -> fmt::Result {
    for found in diagnostics {
        if let Some(span) = found.span() {
            write!(out, "{}: ", place(sources, span))?;
        }
        writeln!(out, "{}[{}]: {}", found.severity, found.code, visible(&found.message, false))?;
        for label in found.primary.iter().chain(&found.secondary).filter(|label| !label.text.is_empty()) {
            writeln!(out, "  {}: {}", place(sources, label.span), visible(&label.text, false))?;
        }
        if !found.witness.is_empty() {
            indented(out, "  witness: ", &found.witness.join("\n"))?;
        }
        if let Some(help) = &found.help {
            indented(out, "  help: ", help)?;
        }
        if let Some(fix) = &found.fix {
            indented(out, "  fix: ", &fix.title)?;
        }
        for note in &found.notes {
            indented(out, "  note: ", note)?;
        }
    }
    Ok(())
}
