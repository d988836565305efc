//! Integration tests.

mod access;
mod identity;
mod live;
mod policy_fixtures;
mod tidy;
mod wire;
