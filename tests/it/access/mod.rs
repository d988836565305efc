//! The life of requests, approvals and windows, over a real store.

mod approvals;
mod glass;
mod kills;
mod statements;
mod stress;
mod windows;
pub(crate) mod world;
