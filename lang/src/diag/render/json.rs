//! One JSON object with the findings, for programs. Its shape is stable: keys are added, never changed.

use crate::{
    diag::{Applicability, Diagnostic, Edit, Label, Severity},
    span::{SourceMap, Span},
};
use serde_json::{Value, json};
use std::fmt::{self, Write as _};

pub(super) fn write(out: &mut String, diagnostics: &[Diagnostic], sources: &SourceMap) -> fmt::Result {
    let count = |severity| diagnostics.iter().filter(|found| found.severity == severity).count();
    let all: Vec<Value> = diagnostics.iter().map(|found| finding(found, sources)).collect();
    let report = json!({
        "version": 1,
        "errors": count(Severity::Error),
        "warnings": count(Severity::Warning),
        "infos": count(Severity::Info),
        "diagnostics": all,
    });
    writeln!(out, "{report:#}")
}

fn finding(found: &Diagnostic, sources: &SourceMap) -> Value {
    let label = |label: &Label| json!({ "span": span(label.span, sources), "text": label.text });
    let edit = |edit: &Edit| json!({ "span": span(edit.span, sources), "replacement": edit.replacement });
    json!({
        "code": found.code.id(),
        "severity": found.severity.word(),
        "message": found.message,
        "primary": found.primary.as_ref().map(label),
        "secondary": found.secondary.iter().map(label).collect::<Vec<_>>(),
        "help": found.help,
        "fix": found.fix.as_ref().map(|fix| json!({
            "title": fix.title,
            "edits": fix.edits.iter().map(edit).collect::<Vec<_>>(),
            "applicability": match fix.applicability {
                Applicability::Machine => "machine",
                Applicability::Maybe => "maybe",
            },
        })),
        "witness": found.witness,
        "notes": found.notes,
        "docs": found.code.docs(),
    })
}

fn span(span: Span, sources: &SourceMap) -> Value {
    let (start, end) = (sources.line_column(span), sources.end_line_column(span));
    json!({
        "path": sources.path(span.source),
        "start": { "byte": span.start, "line": start.line, "column": start.column },
        "end": { "byte": span.end, "line": end.line, "column": end.column },
    })
}
