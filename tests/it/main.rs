//! Integration tests.

mod identity;
mod live;
mod policy_fixtures;
mod tidy;
mod wire;
