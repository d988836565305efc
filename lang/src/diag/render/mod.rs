//! How findings are shown: for people, for logs, for editors and for the services that run checks.
//!
//! Every renderer is a function of findings and sources to a text, byte for byte the same each time. Text of the user
//! never reaches a terminal or a log with its control characters.

mod github;
mod human;
mod json;
mod junit;
mod plain;
mod sarif;

use super::{Diagnostic, Severity};
use crate::span::{SourceMap, Span};
use std::fmt::{self, Write as _};

/// A way to show findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Boxed snippets of source, with colours when asked.
    Human {
        /// Whether to colour with ANSI sequences.
        colour: bool,
    },
    /// One line for each fact, for logs and tests.
    Plain,
    /// One JSON object.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// Workflow commands of GitHub Actions.
    Github,
    /// `JUnit` XML.
    Junit,
}

impl Format {
    /// The names of all formats.
    pub const NAMES: [&'static str; 6] = ["human", "plain", "json", "sarif", "github", "junit"];

    /// The format with this name; colour is the caller's to add.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "human" => Some(Self::Human { colour: false }),
            "plain" => Some(Self::Plain),
            "json" => Some(Self::Json),
            "sarif" => Some(Self::Sarif),
            "github" => Some(Self::Github),
            "junit" => Some(Self::Junit),
            _ => None,
        }
    }
}

/// The text that shows findings, which are taken in the order given.
pub fn render(format: Format, diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let mut out = String::new();
    let done = match format {
        Format::Human { colour } => human::write(&mut out, diagnostics, sources, colour),
        Format::Plain => plain::write(&mut out, diagnostics, sources),
        Format::Json => json::write(&mut out, diagnostics, sources),
        Format::Sarif => sarif::write(&mut out, diagnostics, sources),
        Format::Github => github::write(&mut out, diagnostics, sources),
        Format::Junit => junit::write(&mut out, diagnostics, sources),
    };
    // Writing to a string does not fail.
    debug_assert!(done.is_ok());
    match format {
        Format::Json | Format::Sarif => escaped(&out),
        Format::Human { .. } | Format::Plain | Format::Github | Format::Junit => out,
    }
}

/// JSON in which direction marks stand as escapes: equal to whoever parses it, harmless to whoever looks at it.
fn escaped(json: &str) -> String {
    if !json.contains(is_direction) {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_direction(c) {
            let spelt = write!(out, "\\u{:04x}", u32::from(c));
            debug_assert!(spelt.is_ok());
        } else {
            out.push(c);
        }
    }
    out
}

/// `2 errors, 1 warning`; `no findings` when there is none.
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let mut parts = Vec::new();
    for (severity, one, many) in [
        (Severity::Error, "error", "errors"),
        (Severity::Warning, "warning", "warnings"),
        (Severity::Info, "note", "notes"),
    ] {
        let count = diagnostics.iter().filter(|found| found.severity == severity).count();
        if count > 0 {
            parts.push(format!("{count} {}", if count == 1 { one } else { many }));
        }
    }
    if parts.is_empty() { "no findings".to_owned() } else { parts.join(", ") }
}

/// A text whose control characters and direction marks are spelt out; `newlines` may stay.
fn visible(text: &str, newlines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let harmless = (c == '\n' && newlines) || !(c.is_control() || is_direction(c));
        if harmless {
            out.push(c);
        } else {
            let spelt = write!(out, "\\u{{{:x}}}", u32::from(c));
            debug_assert!(spelt.is_ok());
        }
    }
    out
}

fn is_direction(c: char) -> bool {
    matches!(c, '\u{61C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}')
}

/// `path:line:column` of a place.
fn place(sources: &SourceMap, span: Span) -> String {
    let at = sources.line_column(span);
    format!("{}:{}:{}", visible(sources.path(span.source), false), at.line, at.column)
}

/// Lines of a text, the first after `head`, the others below the first.
fn indented(out: &mut String, head: &str, text: &str) -> fmt::Result {
    for (i, line) in visible(text, true).lines().enumerate() {
        if i == 0 {
            writeln!(out, "{head}{line}")?;
        } else if line.is_empty() {
            writeln!(out)?;
        } else {
            writeln!(out, "{:width$}{line}", "", width = head.chars().count())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
