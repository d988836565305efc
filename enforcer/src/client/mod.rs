//! The commands for people and agents: thin clients of the HTTP API.
