//! The Leasehold compiler.
