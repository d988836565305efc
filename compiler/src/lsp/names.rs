//! Names in the typed trees: what a place names, where it is defined, and where else it is named. Works on trees of
//! broken files too, because it needs no resolution.

use lang::{
    program::rules::Rules,
    span::{SourceId, Span},
    syntax::{
        ast::{Document, Node, Referent, Typed, Value},
        keyword::Keyword,
        schema::{DOCUMENT, Spec},
    },
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a name names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Group,
    Team,
    Idp,
    Connection,
    Approval,
    Grant,
    Rule,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Team => "team",
            Self::Idp => "idp",
            Self::Connection => "connection",
            Self::Approval => "approval",
            Self::Grant => "grant",
            Self::Rule => "rule",
        }
    }

    const fn of_referent(referent: Referent) -> Self {
        match referent {
            Referent::Idp => Self::Idp,
            Referent::Connection => Self::Connection,
            Referent::Approval => Self::Approval,
            Referent::Grant => Self::Grant,
            Referent::Rule => Self::Rule,
        }
    }

    /// What a node of this keyword defines.
    fn of_keyword(keyword: Keyword) -> Option<Self> {
        let kinds = [
            (Keyword::Group, Self::Group),
            (Keyword::Team, Self::Team),
            (Keyword::Idp, Self::Idp),
            (Keyword::Connection, Self::Connection),
            (Keyword::Approval, Self::Approval),
            (Keyword::Grant, Self::Grant),
            (Keyword::BreakGlass, Self::Grant),
            (Keyword::Limits, Self::Rule),
            (Keyword::Mask, Self::Rule),
            (Keyword::Guard, Self::Rule),
            (Keyword::Forbid, Self::Rule),
            (Keyword::Operate, Self::Rule),
        ];
        kinds.into_iter().find(|(of, _)| *of == keyword).map(|(_, kind)| kind)
    }
}

/// A name with its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Symbol {
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// What stands at a byte.
pub(super) fn at(documents: &[Arc<Document>], source: SourceId, at: u32) -> Option<(Symbol, Span)> {
    let document = documents.iter().find(|document| document.source == source)?;
    let mut hit = None;
    document.visit_texts(&mut |path, value| {
        if value.span.start <= at && at <= value.span.end && hit.is_none() {
            let kind = named(value).or_else(|| {
                let node = path.last().filter(|_| value.typed == Typed::Id)?;
                Kind::of_keyword(node.keyword)
            });
            hit = kind.map(|kind| (Symbol { kind, name: value.text.clone() }, value.span));
        }
    });
    hit
}

/// What a value refers to.
fn named(value: &Value) -> Option<Kind> {
    if value.typed == Typed::Group {
        Some(Kind::Group)
    } else if value.typed == Typed::Team {
        Some(Kind::Team)
    } else if let Typed::Reference(referent) = value.typed {
        Some(Kind::of_referent(referent))
    } else {
        None
    }
}

/// The value in which a node defines its name; a grant without an id takes that of its connection.
fn defined(node: &Node) -> Option<&Value> {
    node.prop("id").filter(|_| node.keyword == Keyword::Grant).or_else(|| node.arg())
}

/// Where a name is defined.
pub(super) fn definitions(documents: &[Arc<Document>], symbol: &Symbol) -> Vec<Span> {
    let nodes = documents.iter().flat_map(|document| &document.nodes);
    nodes
        .filter(|node| match (Kind::of_keyword(node.keyword), symbol.kind) {
            (Some(Kind::Team | Kind::Idp), Kind::Rule) | (None, _) => false,
            // `by=` names a rule of any kind.
            (Some(_), Kind::Rule) => true,
            (Some(kind), wanted) => kind == wanted,
        })
        .filter_map(|node| defined(node).filter(|value| value.text == symbol.name && !value.is_invalid()))
        .map(|value| value.span)
        .collect()
}

/// Where a name is used.
pub(super) fn references(documents: &[Arc<Document>], symbol: &Symbol) -> Vec<Span> {
    let mut places = Vec::new();
    for document in documents {
        document.visit_texts(&mut |_, value| {
            let fits = named(value).is_some_and(|kind| {
                kind == symbol.kind || (kind == Kind::Rule && !matches!(symbol.kind, Kind::Team | Kind::Idp))
            });
            if fits && value.text == symbol.name {
                places.push(value.span);
            }
        });
    }
    places
}

/// The documentation of the keyword at a byte.
pub(super) fn keyword_at(documents: &[Arc<Document>], source: SourceId, at: u32) -> Option<(String, Span)> {
    let document = documents.iter().find(|document| document.source == source)?;
    let mut nodes: &[Node] = &document.nodes;
    let mut spec: &Spec = &DOCUMENT;
    loop {
        let node = nodes.iter().find(|node| node.span.start <= at && at <= node.span.end)?;
        spec = spec.clause(&node.word.value)?;
        if node.word.span.start <= at && at <= node.word.span.end {
            return Some((format!("`{}`: {}", node.word.value, spec.doc), node.word.span));
        }
        nodes = &node.clauses;
    }
}

/// The groups that a member of a group holds.
pub(super) fn closure(rules: &Rules, group: &str) -> BTreeSet<String> {
    let mut held = BTreeSet::new();
    let mut open = vec![group.to_owned()];
    while let Some(name) = open.pop() {
        if held.insert(name.clone()) {
            let parents = rules.groups.iter().filter(|item| item.name == name).flat_map(|item| &item.within);
            open.extend(parents.cloned());
        }
    }
    held
}
