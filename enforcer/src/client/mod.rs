//! The commands for people and agents: thin clients of the HTTP API.

pub mod archive;
pub mod catalog;
pub mod commands;
pub mod connect;
pub mod download;
#[cfg(test)]
mod forms_tests;
pub mod hold;
mod keeper;
pub mod login;
mod more;
mod native;
pub mod provision;
pub mod replay;
#[cfg(test)]
mod replay_tests;
pub mod search;
mod show;
pub mod simulate;
mod steps;
mod tell;
pub mod verify;
