//! What a file says by itself, whatever stands in the others: looked at once for each text.

use super::{p0305, p1001, p1007};
use lang::{diag::Sink, span::SourceMap, syntax::ast::Document};

/// One file.
#[derive(Debug)]
pub(crate) struct Page {
    /// P1001.
    pub(super) layout: Sink,
    /// P0305.
    pub(super) secrets: Sink,
    /// What each rule says, by the position of its node; `None` for other nodes and broken ones.
    pub(super) bodies: Vec<Option<String>>,
}

impl Page {
    pub(super) fn of(document: &Document, sources: &SourceMap) -> Self {
        let (mut layout, mut secrets) = (Sink::new(), Sink::new());
        p1001::look(document, sources, &mut layout);
        p0305::look(document, sources, &mut secrets);
        Self { layout, secrets, bodies: document.nodes.iter().map(p1007::said).collect() }
    }
}
