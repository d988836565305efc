//! `JUnit` XML: one test case for each file, which fails by its errors. Warnings are its output.

use super::visible;
use crate::{
    diag::{Diagnostic, Severity},
    span::SourceMap,
};
use std::fmt::{self, Write as _};

pub(super) fn write(out: &mut String, diagnostics: &[Diagnostic], sources: &SourceMap) -> fmt::Result {
    let of_file = |path: Option<&str>| -> Vec<&Diagnostic> {
        diagnostics.iter().filter(|found| found.span().map(|span| sources.path(span.source)) == path).collect()
    };
    let mut cases: Vec<(&str, Vec<&Diagnostic>)> =
        sources.iter().map(|(_, source)| (source.path(), of_file(Some(source.path())))).collect();
    let placeless = of_file(None);
    if !placeless.is_empty() {
        cases.push(("policy", placeless));
    }
    let fails = |found: &[&Diagnostic]| found.iter().any(|found| found.severity == Severity::Error);
    let failures = cases.iter().filter(|(_, found)| fails(found)).count();
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites><testsuite name=\"leaseholdc\" tests=\"{}\" failures=\"{failures}\">", cases.len())?;
    for (path, found) in cases {
        write!(out, "<testcase classname=\"policy\" name=\"{}\">", escape(path))?;
        for error in found.iter().filter(|found| found.severity == Severity::Error) {
            let message = escape(&error.message);
            write!(out, "<failure type=\"{}\" message=\"{message}\">{}</failure>", error.code, detail(error, sources))?;
        }
        for other in found.iter().filter(|found| found.severity != Severity::Error) {
            write!(out, "<system-out>{}</system-out>", detail(other, sources))?;
        }
        writeln!(out, "</testcase>")?;
    }
    writeln!(out, "</testsuite></testsuites>")
}

fn detail(found: &Diagnostic, sources: &SourceMap) -> String {
    let mut text = found.span().map_or_else(String::new, |span| {
        let at = sources.line_column(span);
        format!("{}:{}:{}: ", sources.path(span.source), at.line, at.column)
    });
    text.extend([found.severity.word(), "[", found.code.id(), "]: ", &found.message]);
    if let Some(help) = &found.help {
        text.push_str("\nhelp: ");
        text.push_str(help);
    }
    escape(&text)
}

/// Text of XML 1.0, in which most control characters cannot stand at all.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text, true).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\u{FFFE}' | '\u{FFFF}' => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
