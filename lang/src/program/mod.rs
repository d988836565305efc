//! The policy as tables, and the one pure function that judges by them.

mod kind;

pub use kind::SubjectKind;
