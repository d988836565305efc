//! Findings about a policy as data, the registry of their codes, and how they are shown.
//!
//! A diagnostic is a mistake of the user, never of the program. Nothing here prints: renderers make texts, which
//! depend on nothing but the findings and the sources.

mod code;
mod edit;
pub mod render;
mod sink;

pub use code::{Code, Suppression};
pub use edit::{ApplyError, apply};
pub use sink::{Reported, Sink};

use crate::span::Span;
use std::fmt;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy stands, but somebody should look.
    Warning,
    /// A fact worth knowing.
    Info,
}

impl Severity {
    /// The word in front of a finding.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A place that a finding points to, and what is to be seen there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What; may be empty.
    pub text: String,
}

/// One replacement of source text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edit {
    /// The bytes to replace; an empty span inserts.
    pub span: Span,
    /// The new text.
    pub replacement: String,
}

/// Whether a fix may be applied without a look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applicability {
    /// The fix is what was meant.
    Machine,
    /// The fix is one possible meaning.
    Maybe,
}

/// Edits that mend a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// What the edits do, for example "quote the duration".
    pub title: String,
    /// The replacements; they do not overlap.
    pub edits: Vec<Edit>,
    /// Whether they may be applied without a look.
    pub applicability: Applicability,
}

/// One finding.
///
/// The message is one sentence that stands alone: lower case, no full stop, user text in backticks. Labels say
/// what is at a place, help says how to mend it, notes state facts, the witness is a concrete request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a diagnostic is seen by nobody until it is pushed to a sink"]
pub struct Diagnostic {
    /// The rule.
    pub code: Code,
    /// The weight in this case.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where to act; `None` when the finding concerns no text.
    pub primary: Option<Label>,
    /// Every other cause, in any file.
    pub secondary: Vec<Label>,
    /// How to mend it.
    pub help: Option<String>,
    /// Edits that mend it.
    pub fix: Option<Fix>,
    /// A concrete request that shows it, line by line.
    pub witness: Vec<String>,
    /// Further facts.
    pub notes: Vec<String>,
}

impl Diagnostic {
    /// A finding at `span`, with the code's default severity.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        Self { primary: Some(Label { span, text: String::new() }), ..Self::without_place(code, message) }
    }

    /// A finding that no text shows, for example a missing file.
    pub fn without_place(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            message: message.into(),
            primary: None,
            secondary: Vec::new(),
            help: None,
            fix: None,
            witness: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Says what is to be seen at the primary place.
    pub fn label(mut self, text: impl Into<String>) -> Self {
        if let Some(primary) = &mut self.primary {
            primary.text = text.into();
        }
        self
    }

    /// Adds another cause.
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.secondary.push(Label { span, text: text.into() });
        self
    }

    /// Says how to mend it.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Adds a fact.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Adds one line of the concrete request that shows the finding.
    pub fn witness(mut self, line: impl Into<String>) -> Self {
        self.witness.push(line.into());
        self
    }

    /// Offers edits.
    pub fn fix(mut self, title: impl Into<String>, edits: Vec<Edit>, applicability: Applicability) -> Self {
        self.fix = Some(Fix { title: title.into(), edits, applicability });
        self
    }

    /// Offers one replacement.
    pub fn replace(
        self,
        title: impl Into<String>,
        span: Span,
        replacement: impl Into<String>,
        applicability: Applicability,
    ) -> Self {
        self.fix(title, vec![Edit { span, replacement: replacement.into() }], applicability)
    }

    /// Gives the finding another weight than its code's default.
    pub fn weigh(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The place to act at.
    pub fn span(&self) -> Option<Span> {
        self.primary.as_ref().map(|label| label.span)
    }
}
