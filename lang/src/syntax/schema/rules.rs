//! What the table of the schema cannot say: clauses that depend on the kind of their node, and choices of which one
//! must be made. No rule here looks at another node.

use super::super::{ast::Node, keyword::Keyword};
use crate::diag::{Code, Diagnostic, Sink};

/// Reports what is wrong within one node of a document although each of its parts is well formed.
pub fn check_node(node: &Node, sink: &mut Sink) {
    match node.keyword {
        Keyword::Idp => idp(node, sink),
        Keyword::Connection => connection(node, sink),
        Keyword::Group => group(node, sink),
        Keyword::Mask => mask(node, sink),
        Keyword::Disjoint => disjoint(node, sink),
        Keyword::Assert => assertion(node, sink),
        _ => {}
    }
    for clause in &node.clauses {
        line(clause, sink);
    }
}
