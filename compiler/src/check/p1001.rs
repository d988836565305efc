//! P1001: a file that is not laid out in the one canonical way. Two layouts of one policy make a difference that is
//! none.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    span::{SourceMap, Span},
    syntax::{ast::Document, print},
};

/// The line that `leaseholdc fmt` puts in front of a file.
const MARK: &str = "/- kdl-version 2\n";

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for page in ctx.pages() {
        sink.absorb(page.layout.clone());
    }
}

/// Looks at one file.
pub(super) fn look(document: &Document, sources: &SourceMap, sink: &mut Sink) {
    let text = sources.text(document.source);
    if document.broken || print::is_laid_out(text) {
        return;
    }
    let Ok(formatted) = print::format(document.source, text) else { return };
    // The mark of the version alone is not worth a finding.
    if formatted == text || formatted.strip_prefix(MARK) == Some(text) {
        return;
    }
    // The first node stands for the file, so that it can hold an `allow`.
    let place = document.nodes.first().map_or(Span::point(document.source, 0), |node| node.head);
    let message = format!("`{}` is not formatted", sources.path(document.source));
    sink.push(Diagnostic::new(Code::P1001, place, message).help("run `leaseholdc fmt`"));
}
