//! Workflow commands of GitHub Actions: an annotation at the line of each finding.
//= https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands

use super::visible;
use crate::{
    diag::{Diagnostic, Severity},
    span::SourceMap,
};
use std::fmt::{self, Write as _};

pub(super) fn write(out: &mut String, diagnostics: &[Diagnostic], sources: &SourceMap) -> fmt::Result {
    for found in diagnostics {
        let command = match found.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        write!(out, "::{command} ")?;
        if let Some(span) = found.span() {
            let (start, end) = (sources.line_column(span), sources.end_line_column(span));
            let path = property(sources.path(span.source));
            write!(out, "file={path},line={},endLine={}", start.line, end.line)?;
            // Columns mean something within one line only.
            if start.line == end.line {
                write!(out, ",col={},endColumn={}", start.column, end.column)?;
            }
            write!(out, ",")?;
        }
        let mut text = found.message.clone();
        for label in found.secondary.iter().filter(|label| !label.text.is_empty()) {
            text.push_str(&format_label(sources, label));
        }
        if let Some(help) = &found.help {
            text.push_str("\nhelp: ");
            text.push_str(help);
        }
        writeln!(out, "title={}::{}", property(found.code.id()), data(&text))?;
    }
    Ok(())
}

fn format_label(sources: &SourceMap, label: &crate::diag::Label) -> String {
    let at = sources.line_column(label.span);
    format!("\n{}:{}: {}", sources.path(label.span.source), at.line, label.text)
}

/// The text of a command: an end of line or a percent sign would end or change it.
fn data(text: &str) -> String {
    visible(text, true).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
