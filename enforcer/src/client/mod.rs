//! The commands for people and agents: thin clients of the HTTP API.

pub mod commands;
pub mod connect;
pub mod download;
pub mod replay;
#[cfg(test)]
mod replay_tests;
mod show;
pub mod verify;
