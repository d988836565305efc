//! PostgreSQL frontend/backend protocol, version 3.
//!
//! ```text
//! client ── startup ──► Login ─┐                     ┌── upstream (login, scram) ◄── target
//!                              ├─► machine (session) ┤
//!           cancel ────────────┘                     └── cancel ──► target
//! ```
//!
//! Refused, whoever asks: replication, GSSAPI encryption, protocol 2, `FunctionCall`, start-up options other than
//! `-c leasehold.via=GRANT` and `-c leasehold.idp=IDP`, encodings other than UTF-8, MD5 and unverified clear-text passwords.
//!
//! //= <https://www.postgresql.org/docs/18/protocol.html>

pub mod ask;
pub mod bindings;
pub mod cancel;
pub mod classify;
mod counting;
mod definitions;
mod holding;
pub mod interplay;
pub mod io;
mod judging;
pub mod login;
pub mod machine;
pub mod masking;
mod meant;
mod messages;
pub mod names;
pub mod pipeline;
mod replies;
pub mod reply;
mod roles;
pub mod scan;
pub mod scram;
mod spent;
pub mod startup;
pub mod upstream;
pub mod verdict;
pub mod wire;

/// The name of the protocol in a TLS handshake.
pub const ALPN: &[u8] = b"postgresql";

/// The search path of every session at its target: fixed, with temporary tables last, so that nothing shadows.
pub const SEARCH_PATH: &str = "public, pg_temp";
