//! The Leasehold gateway.
