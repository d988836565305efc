//! Integration tests.

mod access;
mod api;
mod gitops;
mod identity;
mod live;
mod policy_digest;
mod policy_fixtures;
mod recordings;
mod revisions;
mod rules;
mod tidy;
mod wire;
