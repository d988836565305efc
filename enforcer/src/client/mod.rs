//! The commands for people and agents: thin clients of the HTTP API.

pub mod replay;
#[cfg(test)]
mod replay_tests;
pub mod verify;
