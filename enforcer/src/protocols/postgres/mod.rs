//! PostgreSQL frontend/backend protocol, version 3.

pub mod classify;
pub mod machine;
pub mod names;
pub mod pipeline;
mod replies;
pub mod verdict;
pub mod wire;
