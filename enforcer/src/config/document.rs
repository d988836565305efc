//! KDL nodes with their places, read so that every argument, property and child is either used or reported.

use super::mistake::Findings;
use kdl::{KdlDocument, KdlEntry, KdlNode, KdlValue};
use lang::ident::nearest;
use std::ops::Range;

/// The largest configuration.
const TEXT_BYTES_MAX: usize = 256 * 1024;
/// The parser recurses; nothing honest is nested this deeply.
const DEPTH_MAX: usize = 32;

/// Parses a text; what KDL refuses is a finding.
pub(super) fn parse(text: &str, findings: &mut Findings) -> Option<KdlDocument> {
    if text.len() > TEXT_BYTES_MAX || depth(text) > DEPTH_MAX {
        findings.whole("the file is too large or too deeply nested for a configuration", "");
        return None;
    }
    match KdlDocument::parse_v2(text) {
        Ok(document) => Some(document),
        Err(error) => {
            let mut lines_seen = Vec::new();
            for problem in error.diagnostics {
                let place = problem.span.offset()..problem.span.offset() + problem.span.len();
                // One mistake makes the parser stumble several times in a line: the first says what it is.
                let line = text.bytes().take(place.start).filter(|byte| *byte == b'\n').count();
                if !lines_seen.contains(&line) {
                    lines_seen.push(line);
                    let message = problem.message.unwrap_or_else(|| "this is not KDL".to_owned());
                    findings.error(place, message.trim_end_matches('.').to_owned(), problem.help.unwrap_or_default());
                }
            }
            None
        }
    }
}

fn depth(text: &str) -> usize {
    let mut deepest = 0;
    let mut open = 0_usize;
    for byte in text.bytes() {
        match byte {
            b'{' => open += 1,
            b'}' => open = open.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

/// A value with its annotation and place.
#[derive(Clone, Debug)]
pub(super) struct Value<'a> {
    pub(super) annotation: Option<&'a str>,
    pub(super) stated: &'a KdlValue,
    pub(super) place: Range<usize>,
}

/// A node with its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node<'a>(pub(super) &'a KdlNode);

impl<'a> Node<'a> {
    pub(super) fn name(self) -> &'a str {
        self.0.name().value()
    }

    /// The place of the node's name.
    pub(super) fn place(self) -> Range<usize> {
        let span = self.0.name().span();
        span.offset()..span.offset() + span.len()
    }

    /// The node's arguments: exactly as many as `names`, each reported by its name when it is missing.
    pub(super) fn arguments<const N: usize>(self, names: [&str; N], findings: &mut Findings) -> [Option<Value<'a>>; N] {
        let mut given = self.0.entries().iter().filter(|entry| entry.name().is_none());
        let arguments = names.map(|name| {
            let value = given.next().map(value);
            if value.is_none() {
                let node = self.name();
                findings.error(self.place(), format!("`{node}` needs {name}"), format!("write `{node} …`"));
            }
            value
        });
        for extra in given {
            findings.error(place(extra), format!("`{}` takes no further argument", self.name()), "remove it");
        }
        arguments
    }

    /// The node's properties of these names; others and repeated ones are reported.
    pub(super) fn properties<const N: usize>(
        self,
        names: [&str; N],
        findings: &mut Findings,
    ) -> [Option<Value<'a>>; N] {
        let mut found = [const { None }; N];
        for entry in self.0.entries() {
            let Some(name) = entry.name() else { continue };
            match names.iter().position(|known| *known == name.value()).and_then(|at| found.get_mut(at)) {
                Some(slot @ None) => *slot = Some(value(entry)),
                Some(Some(_)) => {
                    findings.error(place(entry), format!("`{}` stands twice", name.value()), "keep one of the two");
                }
                None => {
                    let message = format!("`{}` has no property `{}`", self.name(), name.value());
                    findings.error(place(entry), message, suggest(name.value(), &names));
                }
            }
        }
        found
    }

    /// The node's children; those of other names are reported, and so are repeated ones unless they are in `many`.
    pub(super) fn children(self, names: &[&str], many: &[&str], findings: &mut Findings) -> Vec<Node<'a>> {
        children(self.0.children(), self.name(), names, many, findings)
    }

    /// Reports children of a node that has none.
    pub(super) fn no_children(self, findings: &mut Findings) {
        self.children(&[], &[], findings);
    }
}

/// The nodes of a block; see [`Node::children`].
pub(super) fn children<'a>(
    block: Option<&'a KdlDocument>,
    owner: &str,
    names: &[&str],
    many: &[&str],
    findings: &mut Findings,
) -> Vec<Node<'a>> {
    let mut known: Vec<Node<'a>> = Vec::new();
    for node in block.into_iter().flat_map(KdlDocument::nodes).map(Node) {
        if let Some(annotation) = node.0.ty() {
            let span = annotation.span();
            let message = "a node takes no annotation here";
            findings.error(span.offset()..span.offset() + span.len(), message, "remove it");
        }
        if !names.contains(&node.name()) && !many.contains(&node.name()) {
            let all: Vec<&str> = names.iter().chain(many).copied().collect();
            findings.error(node.place(), format!("{owner} knows no `{}`", node.name()), suggest(node.name(), &all));
        } else if !many.contains(&node.name()) && known.iter().any(|other| other.name() == node.name()) {
            findings.error(node.place(), format!("`{}` stands twice", node.name()), "keep one of the two");
        } else {
            known.push(node);
        }
    }
    known
}

fn suggest(wrong: &str, known: &[&str]) -> String {
    match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("known here: {}", known.join(", ")),
    }
}

fn place(entry: &KdlEntry) -> Range<usize> {
    let span = entry.span();
    span.offset()..span.offset() + span.len()
}

fn value(entry: &KdlEntry) -> Value<'_> {
    Value { annotation: entry.ty().map(kdl::KdlIdentifier::value), stated: entry.value(), place: place(entry) }
}
