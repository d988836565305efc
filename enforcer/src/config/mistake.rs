//! What is wrong with a configuration, shown all at once with the places. Nothing here stops at the first mistake.

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, Severity, SourceCode};
use serde_json::json;
use std::fmt;
use std::io::{self, Write};
use std::ops::Range;

/// One mistake, or one thing worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Whether the configuration stands in spite of it.
    pub weight: Weight,
    /// One sentence without a full stop, user text in backticks.
    pub message: String,
    /// The bytes that show it; none for a file that cannot be read.
    pub place: Option<Range<usize>>,
    /// How to mend it.
    pub help: Option<String>,
}

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// The gateway does not start.
    Error,
    /// The gateway starts.
    Warning,
}

/// Every finding about one file, in its order.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    file: String,
    text: String,
    list: Vec<Mistake>,
}

impl Findings {
    /// No findings yet about the file of this name and text.
    pub(super) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), list: Vec::new() }
    }

    pub(super) fn error(&mut self, place: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.push(Weight::Error, Some(place), message.into(), help.into());
    }

    #[expect(dead_code, reason = "no clause of this version is idle; the next one may be")]
    pub(super) fn warning(&mut self, place: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        self.push(Weight::Warning, Some(place), message.into(), help.into());
    }

    pub(super) fn whole(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.push(Weight::Error, None, message.into(), help.into());
    }

    fn push(&mut self, weight: Weight, place: Option<Range<usize>>, message: String, help: String) {
        let help = (!help.is_empty()).then_some(help);
        self.list.push(Mistake { weight, message, place, help });
    }

    pub(super) fn sort(&mut self) {
        self.list.sort_by_key(|mistake| mistake.place.as_ref().map(|place| place.start));
    }

    /// Whether the configuration is refused.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|mistake| mistake.weight == Weight::Error)
    }

    /// The findings in the order of the file.
    pub fn list(&self) -> &[Mistake] {
        &self.list
    }

    /// Every finding with its place, lines and columns (in characters) from one.
    pub fn json(&self) -> serde_json::Value {
        let place = |at: usize| {
            let before = self.text.get(..at).unwrap_or(&self.text);
            let line = before.matches('\n').count().saturating_add(1);
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count().saturating_add(1);
            json!({ "line": line, "column": column })
        };
        let finding = |mistake: &Mistake| {
            let severity = match mistake.weight {
                Weight::Error => "error",
                Weight::Warning => "warning",
            };
            let start = mistake.place.as_ref().map(|range| place(range.start));
            json!({ "severity": severity, "message": mistake.message, "help": mistake.help, "at": start })
        };
        let findings: Vec<_> = self.list.iter().map(finding).collect();
        json!({ "file": self.file, "ok": !self.has_errors(), "findings": findings })
    }

    /// Shows every finding with its place.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub fn render(&self, out: &mut dyn Write) -> io::Result<()> {
        let handler = GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(110);
        let source = NamedSource::new(&self.file, self.text.clone());
        for mistake in &self.list {
            let mut shown = String::new();
            let report = Shown { mistake, source: &source };
            handler.render_report(&mut shown, &report).map_err(|_| io::Error::other("a report cannot be shown"))?;
            out.write_all(shown.as_bytes())?;
        }
        Ok(())
    }
}

struct Shown<'a> {
    mistake: &'a Mistake,
    source: &'a NamedSource<String>,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mistake.fmt(f)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.mistake.weight {
            Weight::Error => "error",
            Weight::Warning => "warning",
        };
        write!(f, "{word}: {}", self.mistake.message)
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<Severity> {
        Some(match self.mistake.weight {
            Weight::Error => Severity::Error,
            Weight::Warning => Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.mistake.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.mistake.place.as_ref().map(|_| self.source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.mistake.place.clone()?;
        Some(Box::new(std::iter::once(LabeledSpan::new(None, place.start, place.len()))))
    }
}
