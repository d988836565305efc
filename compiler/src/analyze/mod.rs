//! The exact analysis of what policies permit: one engine for the semantic diff, for conflicts, assertions and
//! questions. Exact over the decision function of `lang`, not over what protocols make of statements, what data
//! makes of conditions, or who is in a group.
//!
//! Everything factors by connection. At one connection, [`cells`] are the finitely many requests that rules can tell
//! apart, [`people`] the finitely many tokens, [`side`] one revision's rules as regions over the cells, [`offer`] what
//! a grant gives there as an element of a lattice, and [`search`] finds everything that one side permits more.
//! Nothing here approximates: what is too large to compare says so ([`TooComplex`]).

pub mod approvals;
pub mod ask;
pub mod assertion;
mod beside;
pub mod bits;
pub mod cells;
pub mod compare;
pub mod describe;
pub mod estate;
pub mod local;
pub mod offer;
pub mod operators;
pub mod paste;
pub mod people;
pub mod profile;
pub mod report;
pub mod search;
mod segment;
pub mod settings;
pub mod side;
pub mod sight;
mod tickets;
mod times;
pub mod witness;
mod words;

#[cfg(test)]
#[path = "../../../lang/src/program/choices.rs"]
mod choices;
#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod universe;

/// The rules of a connection fall into more classes than the engine looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the patterns of this connection fall into too many classes to be compared")]
pub struct TooComplex;
