//! The parts that rules share: heads, principals, selectors, operations, objects.

use super::{ConnectionId, GroupId, TeamId};
use crate::{
    program::SubjectKind,
    protocol::{ConnectionKind, OpSet},
    span::{Span, Spanned},
};
use std::collections::BTreeSet;

/// What every named node has.
#[derive(Clone, Debug)]
pub struct Head {
    /// The name or id; for a grant without `id=` it stands where the connection is named.
    pub name: Spanned<String>,
    /// From the keyword to the last argument or property.
    pub span: Span,
    /// The whole node with its block.
    pub node: Span,
    /// `description`.
    pub description: Option<Spanned<String>>,
    /// Whether something of the node was wrong, is reported and left out: nothing may be concluded from an absence.
    pub broken: bool,
}

/// One alternative of `to`: all of these groups, and the kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The groups; all are needed.
    pub groups: BTreeSet<GroupId>,
    /// `kind=`.
    pub kind: Option<SubjectKind>,
    /// The group's argument, or the line when the alternative has none or several.
    pub span: Span,
}

/// Whom a rule concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum To {
    /// Every subject: the rule has no `to`.
    Everybody,
    /// Any of these.
    Any(Vec<Principal>),
}

impl To {
    /// The alternatives; none for everybody.
    pub fn alternatives(&self) -> &[Principal] {
        match self {
            Self::Everybody => &[],
            Self::Any(principals) => principals,
        }
    }

    /// Whether every subject is concerned.
    pub const fn is_everybody(&self) -> bool {
        matches!(self, Self::Everybody)
    }
}

/// The connections that a rule concerns.
#[derive(Clone, Debug)]
pub struct On {
    /// The lines, which are alternatives.
    pub lines: Vec<OnLine>,
    /// What they select together.
    pub connections: BTreeSet<ConnectionId>,
}

/// One `on` line.
#[derive(Clone, Debug)]
pub struct OnLine {
    /// The line.
    pub span: Span,
    /// What it says.
    pub selector: Selector,
    /// What it selects.
    pub connections: BTreeSet<ConnectionId>,
    /// Whether part of the line is wrong and reported.
    pub broken: bool,
}

/// What an `on` line says.
#[derive(Clone, Debug)]
pub enum Selector {
    /// These connections.
    Names(Vec<Spanned<ConnectionId>>),
    /// The connections of which all of these hold.
    Properties(Vec<Property>),
}

/// A property of a connection.
#[derive(Clone, Debug)]
pub enum Property {
    /// `kind=`.
    Kind(Spanned<ConnectionKind>),
    /// `owner=team:`.
    Owner(Spanned<TeamId>),
    /// A label.
    Label {
        /// Its key.
        key: Spanned<String>,
        /// Its value.
        value: Spanned<String>,
    },
}

/// Operations as a rule names them.
#[derive(Clone, Debug, Default)]
pub struct Ops {
    /// The words.
    pub words: Vec<OpWord>,
    /// All operations that they mean on the connections concerned.
    pub set: OpSet,
}

/// A leaf, a family or `prefix.*`.
#[derive(Clone, Debug)]
pub struct OpWord {
    /// The word.
    pub word: Spanned<String>,
    /// What it means on the connections concerned, over all their kinds; empty when none of them knows it.
    pub set: OpSet,
}

/// The objects that a clause narrows to; an empty list leaves its dimension open.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// `schema.table` patterns.
    pub tables: Vec<Spanned<String>>,
    /// Namespace patterns.
    pub namespaces: Vec<Spanned<String>>,
    /// Resource patterns.
    pub resources: Vec<Spanned<String>>,
    /// Path globs.
    pub paths: Vec<Spanned<String>>,
    /// Command lines.
    pub argv: Vec<Spanned<String>>,
}

/// A value for each kind of subject; a kind left out is not bounded.
#[derive(Clone, Debug)]
pub struct PerKind<T> {
    /// For people.
    pub human: Option<Spanned<T>>,
    /// For services.
    pub service: Option<Spanned<T>>,
    /// For agents.
    pub agent: Option<Spanned<T>>,
}

impl<T> Default for PerKind<T> {
    fn default() -> Self {
        Self { human: None, service: None, agent: None }
    }
}

impl<T> PerKind<T> {
    /// The value for a kind.
    pub const fn of(&self, kind: SubjectKind) -> Option<&Spanned<T>> {
        match kind {
            SubjectKind::Human => self.human.as_ref(),
            SubjectKind::Service => self.service.as_ref(),
            SubjectKind::Agent => self.agent.as_ref(),
        }
    }
}
