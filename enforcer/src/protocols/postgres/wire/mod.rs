//! PostgreSQL protocol 3 bytes: framing, typed views of the messages that the gateway looks at, and encoders for
//! what it says itself.
//!
//! Synchronous and total. It never changes a byte that it only looks at, never replaces text that is not UTF-8,
//! and never allocates for a length that a peer merely claims: every message kind has a maximum.
//!
//! //= <https://www.postgresql.org/docs/18/protocol-message-formats.html>

pub mod client;
pub mod frame;
pub mod packet;
pub mod parameters;
mod read;
pub mod server;
pub mod sqlstate;
pub mod write;

use sqlstate::SqlState;

/// Bytes of a prepared statement's or portal's name, without its terminator.
///
/// PostgreSQL keeps both in tables keyed by `NAMEDATALEN` (64) bytes and cuts longer names, so that two long names
/// may mean one object there while they are two here.
pub const NAME_BYTES_MAX: usize = 63;

/// Bytes that break the protocol or a bound. None of them can be repaired: the connection ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// A message kind that does not exist or that the gateway does not carry.
    #[error("message kind 0x{tag:02x} is not one that this gateway carries")]
    UnknownTag {
        /// The first byte of the message.
        tag: u8,
    },
    /// A length below the length of the length itself, or negative.
    #[error("a message of kind `{}` claims the impossible length {length}", char::from(*.tag))]
    Length {
        /// The first byte of the message; `0` for a start-up packet.
        tag: u8,
        /// The length as the signed number that the protocol says it is.
        length: i32,
    },
    /// A message above the maximum of its kind.
    #[error("a message of kind `{}` is {length} bytes long; the maximum is {max}", char::from(*.tag))]
    TooLong {
        /// The first byte of the message; `0` for a start-up packet.
        tag: u8,
        /// The claimed length of its body.
        length: usize,
        /// The maximum for this kind.
        max: usize,
    },
    /// A body that ends before its last field.
    #[error("{what} ends too early")]
    Truncated {
        /// The message.
        what: &'static str,
    },
    /// A body that goes on after its last field.
    #[error("{what} has bytes after its end")]
    Trailing {
        /// The message.
        what: &'static str,
    },
    /// Text that is not UTF-8, although `client_encoding` is pinned to it.
    #[error("{what} holds text that is not UTF-8")]
    NotUtf8 {
        /// The message.
        what: &'static str,
    },
    /// A name that PostgreSQL would cut.
    #[error("{what} names a statement or portal with more than {NAME_BYTES_MAX} bytes")]
    NameTooLong {
        /// The message.
        what: &'static str,
    },
    /// A field with a value that the protocol does not know.
    #[error("{what} holds a value that the protocol does not know")]
    Value {
        /// The message.
        what: &'static str,
    },
    /// Text to be sent that holds a NUL byte.
    #[error("{what} cannot carry a NUL byte")]
    Nul {
        /// The message.
        what: &'static str,
    },
    /// A protocol version other than 3.
    #[error("protocol version {major}.{minor} is not supported; this gateway speaks 3.0 to 3.2")]
    Version {
        /// Upper half of the version.
        major: u16,
        /// Lower half of the version.
        minor: u16,
    },
}

impl WireError {
    /// The code that tells the peer what kind of mistake it was.
    pub const fn sqlstate(&self) -> SqlState {
        match self {
            Self::UnknownTag { .. }
            | Self::Length { .. }
            | Self::Truncated { .. }
            | Self::Trailing { .. }
            | Self::Value { .. }
            | Self::Nul { .. } => SqlState::PROTOCOL_VIOLATION,
            Self::TooLong { .. } => SqlState::PROGRAM_LIMIT_EXCEEDED,
            Self::NotUtf8 { .. } => SqlState::CHARACTER_NOT_IN_REPERTOIRE,
            Self::NameTooLong { .. } => SqlState::NAME_TOO_LONG,
            Self::Version { .. } => SqlState::FEATURE_NOT_SUPPORTED,
        }
    }
}
