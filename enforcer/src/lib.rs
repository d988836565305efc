//! The Leasehold gateway: a policy, applied to live connections.
//!
//! `core` and every protocol's `wire`, `phase`, `classify` and `reply` are synchronous and touch no socket,
//! clock or file; `gateway`, `gitops`, `identity`, `store`, `api` and each protocol's `io` await.

pub mod access;
pub mod api;
pub mod client;
pub mod config;
pub(crate) mod console;
pub mod core;
pub mod gateway;
pub mod gitops;
pub mod identity;
pub mod notify;
pub mod protocols;
pub mod recording;
pub mod store;
