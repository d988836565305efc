//! Integration tests.

mod access;
mod identity;
mod live;
mod policy_digest;
mod policy_fixtures;
mod tidy;
mod wire;
