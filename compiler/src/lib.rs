//! The Leasehold compiler: policy text in, findings and a signed bundle out.
//!
//! As a library it does no input or output of its own: files come from a [`system::Source`], the instant is an
//! argument, and everything that is found is returned as data. The gateway uses it to judge a commit.

pub mod analyze;
pub mod check;
pub mod cli;
pub mod command;
pub mod compile;
#[cfg(test)]
mod compile_tests;
pub mod coverage;
pub mod emit;
pub mod git;
pub mod glob;
pub mod graph;
pub mod kept;
pub mod load;
pub mod lower;
pub mod lsp;
pub mod matrix;
pub mod owners;
pub mod parallel;
pub mod policy_test;
pub mod report;
pub mod resolve;
pub mod sign;
pub mod system;
pub mod view;
