//! PostgreSQL frontend/backend protocol, version 3.

pub mod wire;
