//! What a session is, whatever its protocol: identity, permit, event, limits. Synchronous; no socket, clock or file.

pub mod active;
pub mod event;
pub mod hold;
pub mod id;
pub mod identity;
pub mod lease;
pub mod limits;
pub mod machine;
