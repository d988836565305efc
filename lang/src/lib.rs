//! The Leasehold policy language: what the compiler and the gateway agree on.
//!
//! Everything here is pure. There is no file system, no clock, no environment and no runtime: bytes and
//! `now` come in as arguments, values and diagnostics go out.

// Test files that the compiler's tests share name this crate as they do there.
#[cfg(test)]
extern crate self as lang;

pub mod bundle;
pub mod diag;
pub mod ident;
pub mod model;
pub mod program;
pub mod protocol;
pub mod span;
pub mod syntax;
pub mod time;
