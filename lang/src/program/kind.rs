//! What a subject is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The three kinds of subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectKind {
    /// A person, with delegated scopes.
    Human,
    /// A program that acts for itself.
    Service,
    /// An AI agent.
    Agent,
}

impl SubjectKind {
    /// Every kind, in the order of the language.
    pub const ALL: [Self; 3] = [Self::Human, Self::Service, Self::Agent];

    /// The word for this kind in a policy.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Service => "service",
            Self::Agent => "agent",
        }
    }

    /// The kind that a policy's word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

impl fmt::Display for SubjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
