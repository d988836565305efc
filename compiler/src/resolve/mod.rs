//! From names to ids: typed trees become one resolved policy.
//!
//! Reported here: P0101 (undefined reference, with the nearest name), P0102 (duplicate id), P0304 (label outside the
//! vocabulary), P0703 (operation that no connection concerned knows), patterns of a wrong form (P0004), and a missing
//! or second `policy`. What cannot be resolved is left out of the model and marks its item as broken; a policy with
//! a broken item always has an error, so that nothing is dropped in silence.

mod access;
mod estate;
mod guards;
mod lines;
mod names;
mod patterns;
mod proof;
mod read;

use lang::{
    diag::{Code, Diagnostic, Sink},
    model::Policy,
    span::{SourceId, Spanned},
    syntax::{
        ast::{Document, Node},
        keyword::Keyword,
    },
    time::Zone,
};
use names::Names;
use std::sync::Arc;

/// What the resolution of every node uses.
struct Resolver<'a> {
    names: Names,
    documents: &'a [Arc<Document>],
    sink: &'a mut Sink,
}

impl<'a> Resolver<'a> {
    /// The nodes with a keyword over all documents.
    fn nodes(&self, keyword: Keyword) -> impl Iterator<Item = &'a Node> + use<'a> {
        self.documents.iter().flat_map(move |document| document.nodes_of(keyword))
    }
}

/// Resolves a policy. `root` is the file that must hold the `policy` node.
///
/// `None` when there is no usable `policy` node, which is reported.
pub fn resolve(documents: &[Arc<Document>], root: SourceId, sink: &mut Sink) -> Option<Policy> {
    let header = header(documents, root, sink)?;
    let names = Names::collect(documents, sink);
    let mut resolver = Resolver { names, documents, sink };
    let mut policy = resolver.estate(header);
    resolver.rules(&mut policy);
    resolver.guards(&mut policy);
    resolver.proofs(&mut policy);
    let Resolver { names, sink, .. } = resolver;
    // A node that was left out without a word would be a rule that silently does not hold.
    if !sink.has_errors() {
        for span in names.ghosts() {
            sink.push(Diagnostic::new(Code::P0009, *span, "this node is incomplete and cannot be read"));
        }
        for head in broken_heads(&policy) {
            sink.push(Diagnostic::new(Code::P0009, head, "part of this node cannot be read"));
        }
    }
    Some(policy)
}

/// What the `policy` node says about the whole.
struct Header<'a> {
    node: &'a Node,
    name: Spanned<String>,
    timezone: Spanned<String>,
    zone: Zone,
}

fn header<'a>(documents: &'a [Arc<Document>], root: SourceId, sink: &mut Sink) -> Option<Header<'a>> {
    let mut found: Option<&Node> = None;
    for document in documents {
        for node in document.nodes_of(Keyword::Policy) {
            if document.source != root {
                sink.push(
                    Diagnostic::new(Code::P0003, node.head, "`policy` stands outside policy.kdl")
                        .help("a repository has one `policy` node, in policy.kdl; remove this one"),
                );
            } else if let Some(first) = found {
                sink.push(
                    Diagnostic::new(Code::P0102, node.head, "`policy` stands twice").also(first.head, "first here"),
                );
            } else {
                found = Some(node);
            }
        }
    }
    let Some(node) = found else {
        let broken = documents.iter().any(|document| document.source == root && document.broken);
        if !broken {
            sink.push(
                Diagnostic::new(Code::P0009, lang::span::Span::point(root, 0), "policy.kdl has no `policy` node")
                    .help("begin with `policy version=1 name=… { timezone \"Europe/Berlin\"; include \"*.kdl\"; }`"),
            );
        }
        return None;
    };
    version(node, sink);
    let name = node.prop("name").and_then(lang::syntax::ast::Value::spanned)?;
    let timezone = node.value(Keyword::Timezone).and_then(lang::syntax::ast::Value::spanned)?;
    let Some(zone) = Zone::parse(&timezone.value) else {
        sink.push(
            Diagnostic::new(Code::P0004, timezone.span, format!("unknown timezone `{}`", timezone.value))
                .help("write an IANA name, for example \"Europe/Berlin\" or \"UTC\""),
        );
        return None;
    };
    Some(Header { node, name, timezone, zone })
}

/// The language versions that this compiler reads.
const VERSION: u64 = 1;

fn version(node: &Node, sink: &mut Sink) {
    if let Some(value) = node.prop("version")
        && let Some(version) = value.integer()
        && version != VERSION
    {
        sink.push(
            Diagnostic::new(Code::P0004, value.span, format!("this compiler does not read version {version} policies"))
                .help(format!("write `version={VERSION}`, or use a compiler that knows version {version}")),
        );
    }
}

/// The heads of items that are marked as broken.
fn broken_heads(policy: &Policy) -> Vec<lang::span::Span> {
    let mut spans = Vec::new();
    let mut see = |head: &lang::model::Head| {
        if head.broken {
            spans.push(head.span);
        }
    };
    policy.idps.iter().for_each(|item| see(&item.head));
    policy.groups.iter().for_each(|item| see(&item.head));
    policy.connections.iter().for_each(|item| see(&item.head));
    policy.classify.iter().for_each(|item| see(&item.head));
    policy.limits.iter().for_each(|item| see(&item.head));
    policy.masks.iter().for_each(|item| see(&item.head));
    policy.guards.iter().for_each(|item| see(&item.head));
    policy.approvals.iter().for_each(|item| see(&item.head));
    policy.grants.iter().for_each(|item| see(&item.head));
    policy.forbids.iter().for_each(|item| see(&item.head));
    policy.operators.iter().for_each(|item| see(&item.head));
    policy.teams.iter().for_each(|item| see(&item.head));
    policy.delegates.iter().for_each(|item| see(&item.head));
    policy.tests.iter().for_each(|item| see(&item.head));
    policy.asserts.iter().for_each(|item| see(&item.head));
    spans
}
