//! Where checks leave their findings. A sink never stops at the first one, and never loses the fact that
//! there was an error.

use super::{Diagnostic, Severity};
use crate::span::SourceMap;

/// The most findings that are kept; further ones are counted.
const DIAGNOSTICS_MAX: usize = 5_000;

/// Evidence that a mistake has been reported, so that whoever holds it stays silent about what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported(());

/// Collects findings.
#[derive(Clone, Debug)]
pub struct Sink {
    diagnostics: Vec<Diagnostic>,
    limit: usize,
    errors: usize,
    dropped: usize,
}

impl Default for Sink {
    fn default() -> Self {
        Self::limited(DIAGNOSTICS_MAX)
    }
}

impl Sink {
    /// A sink without findings.
    pub fn new() -> Self {
        Self::default()
    }

    /// A sink that keeps at most `limit` findings and counts the others.
    pub const fn limited(limit: usize) -> Self {
        Self { diagnostics: Vec::new(), limit, errors: 0, dropped: 0 }
    }

    /// Whether further findings are only counted.
    pub const fn is_full(&self) -> bool {
        self.diagnostics.len() >= self.limit
    }

    /// Keeps a finding.
    pub fn push(&mut self, diagnostic: Diagnostic) -> Reported {
        if diagnostic.severity == Severity::Error {
            self.errors += 1;
        }
        if self.is_full() {
            self.dropped += 1;
        } else {
            self.diagnostics.push(diagnostic);
        }
        Reported(())
    }

    /// Keeps every finding of another sink.
    pub fn absorb(&mut self, other: Self) {
        let kept: usize = other.diagnostics.iter().filter(|found| found.severity == Severity::Error).count();
        self.errors += other.errors.saturating_sub(kept);
        self.dropped += other.dropped;
        for diagnostic in other.diagnostics {
            let Reported(()) = self.push(diagnostic);
        }
    }

    /// Whether an error was found.
    pub const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// The findings kept so far, in the order in which they came.
    pub fn as_slice(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Removes the findings for which `silence` holds; suppression is the only user.
    pub fn silence(&mut self, mut silence: impl FnMut(&Diagnostic) -> bool) {
        let mut errors = 0;
        self.diagnostics.retain(|diagnostic| {
            let silent = silence(diagnostic);
            errors += usize::from(silent && diagnostic.severity == Severity::Error);
            !silent
        });
        self.errors = self.errors.saturating_sub(errors);
    }

    /// How many findings were counted but not kept.
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// The findings sorted by path and place, each once.
    pub fn finish(self, sources: &SourceMap) -> Vec<Diagnostic> {
        let mut diagnostics = self.diagnostics;
        diagnostics.sort_by(|a, b| {
            place(sources, a)
                .cmp(&place(sources, b))
                .then_with(|| a.severity.cmp(&b.severity))
                .then_with(|| a.code.cmp(&b.code))
                .then_with(|| a.message.cmp(&b.message))
        });
        diagnostics.dedup_by(|later, earlier| {
            later.code == earlier.code && later.span() == earlier.span() && later.message == earlier.message
        });
        diagnostics
    }
}

fn place<'a>(sources: &'a SourceMap, found: &Diagnostic) -> Option<(&'a str, u32, u32)> {
    found.span().map(|span| (sources.path(span.source), span.start, span.end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{diag::Code, span::Span};

    #[test]
    fn findings_are_sorted_by_path_and_place_and_said_once() {
        let mut sources = SourceMap::new();
        let (b, a) = (sources.add("b.kdl", "xx"), sources.add("a.kdl", "xx"));
        let mut sink = Sink::new();
        for span in [Span::new(b, 0, 1), Span::new(a, 1, 2), Span::new(a, 0, 1), Span::new(a, 0, 1)] {
            sink.push(Diagnostic::new(Code::P0101, span, "undefined"));
        }
        sink.push(Diagnostic::without_place(Code::P1008, "no place"));
        let spans: Vec<_> = sink.finish(&sources).iter().map(Diagnostic::span).collect();
        assert_eq!(spans, [None, Some(Span::new(a, 0, 1)), Some(Span::new(a, 1, 2)), Some(Span::new(b, 0, 1))]);
    }

    #[test]
    fn an_error_is_never_lost() {
        let mut sink = Sink::new();
        for _ in 0..DIAGNOSTICS_MAX {
            sink.push(Diagnostic::without_place(Code::P1008, "info"));
        }
        assert!(!sink.has_errors());
        sink.push(Diagnostic::without_place(Code::P0101, "undefined"));
        assert!(sink.has_errors());
        assert_eq!(sink.dropped(), 1);
        let mut outer = Sink::new();
        outer.absorb(sink);
        assert!(outer.has_errors());
        outer.silence(|found| found.code == Code::P1008);
        assert!(outer.has_errors());
    }
}
