//! A KDL v2 document as a tree of nodes with places: what the text says, before anything is known about its meaning.
//!
//! A tree is returned for every text, however broken, together with what is wrong with it. Nesting is bounded before
//! the parser descends. The `kdl` crate stays out of it: on a mistake it returns no tree, it overflows the stack on
//! deep nesting, and it reads ten times slower than our limits for large repositories permit. A test holds both to
//! the same verdicts and values.

use super::reader;
use crate::{
    diag::Diagnostic,
    span::{SourceId, Span, Spanned},
};

/// A document, or what could be read of it.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// The nodes in order.
    pub nodes: Vec<TreeNode>,
    /// What `/-` removes.
    pub removed: Vec<Removed>,
    /// What is wrong, in order of discovery; when empty, the text is KDL v2.
    pub mistakes: Vec<Diagnostic>,
}

/// A node.
#[derive(Clone, Debug)]
pub struct TreeNode {
    /// Its annotation.
    pub annotation: Option<Spanned<String>>,
    /// Its name.
    pub name: Spanned<String>,
    /// Arguments and properties in order.
    pub entries: Vec<Entry>,
    /// Its block.
    pub children: Option<Vec<TreeNode>>,
    /// The node with its block.
    pub span: Span,
    /// The node without its block.
    pub head: Span,
    /// Whether a part of it could not be read.
    pub broken: bool,
}

/// An argument or property.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key of a property.
    pub key: Option<Spanned<String>>,
    /// The annotation of the value.
    pub annotation: Option<Spanned<String>>,
    /// The value.
    pub scalar: Scalar,
    /// The value with its annotation.
    pub value_span: Span,
    /// All of it.
    pub span: Span,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// A string in any form.
    Text(String),
    /// A whole number.
    Integer(i128),
    /// Any other number.
    Float,
    /// `#true` or `#false`.
    Bool(bool),
    /// `#null`.
    Null,
    /// Something that was reported; the text as far as it is known.
    Bad(String),
}

/// Something that `/-` removes.
#[derive(Clone, Debug)]
pub struct Removed {
    /// From the `/-` to its end.
    pub span: Span,
    /// What it is.
    pub what: RemovedKind,
    /// How many blocks contain it.
    pub depth: usize,
}

/// What `/-` removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovedKind {
    /// A node of this name.
    Node(String),
    /// An argument or property.
    Entry,
    /// A block.
    Block,
}

/// Reads a text as KDL v2.
pub fn read(source: SourceId, text: &str) -> Tree {
    reader::read(source, text)
}
