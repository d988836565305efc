//! The SQLSTATE codes that the gateway itself uses, and those of a target that it passes on.

use std::fmt;

/// A five-character error code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// `00000`: nothing is wrong.
    pub const SUCCESSFUL_COMPLETION: Self = Self(*b"00000");
    /// `01000`: a warning.
    pub const WARNING: Self = Self(*b"01000");
    /// `08001`: the gateway could not reach the target.
    pub const CANNOT_CONNECT: Self = Self(*b"08001");
    /// `08004`: the target refused the gateway.
    pub const REJECTED_CONNECTION: Self = Self(*b"08004");
    /// `08006`: the connection to the target failed.
    pub const CONNECTION_FAILURE: Self = Self(*b"08006");
    /// `08P01`: a peer broke the protocol.
    pub const PROTOCOL_VIOLATION: Self = Self(*b"08P01");
    /// `0A000`: what the client asks for does not exist here.
    pub const FEATURE_NOT_SUPPORTED: Self = Self(*b"0A000");
    /// `22021`: text that is not UTF-8.
    pub const CHARACTER_NOT_IN_REPERTOIRE: Self = Self(*b"22021");
    /// `22023`: a parameter with a value that is not allowed.
    pub const INVALID_PARAMETER_VALUE: Self = Self(*b"22023");
    /// `25P02`: the transaction has failed and waits for its end.
    pub const IN_FAILED_TRANSACTION: Self = Self(*b"25P02");
    /// `28000`: the subject may not open this session.
    pub const INVALID_STATEMENT_NAME: Self = Self(*b"26000");
    /// A portal or cursor that does not exist.
    pub const INVALID_CURSOR_NAME: Self = Self(*b"34000");
    /// No identity, or none that may connect.
    pub const INVALID_AUTHORIZATION: Self = Self(*b"28000");
    /// `28P01`: the token is not acceptable.
    pub const INVALID_PASSWORD: Self = Self(*b"28P01");
    /// `3D000`: no such connection.
    pub const UNKNOWN_DATABASE: Self = Self(*b"3D000");
    /// `42501`: the policy refuses the statement.
    pub const INSUFFICIENT_PRIVILEGE: Self = Self(*b"42501");
    /// `42601`: the statement cannot be parsed.
    pub const SYNTAX_ERROR: Self = Self(*b"42601");
    /// `42622`: a name that PostgreSQL would cut.
    pub const NAME_TOO_LONG: Self = Self(*b"42622");
    /// `53300`: too many sessions.
    pub const TOO_MANY_CONNECTIONS: Self = Self(*b"53300");
    /// `53400`: a configured limit is reached.
    pub const CONFIGURATION_LIMIT_EXCEEDED: Self = Self(*b"53400");
    /// `54000`: a bound of the gateway is exceeded.
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self(*b"54000");
    /// `55P03`: what other sessions use or change cannot be had now.
    pub const LOCK_NOT_AVAILABLE: Self = Self(*b"55P03");
    /// `57014`: a statement was cancelled.
    pub const QUERY_CANCELED: Self = Self(*b"57014");
    /// `57P01`: the session was ended from outside.
    pub const ADMIN_SHUTDOWN: Self = Self(*b"57P01");
    /// `57P03`: the gateway cannot take the connection now.
    pub const CANNOT_CONNECT_NOW: Self = Self(*b"57P03");
    /// `58000`: the gateway's own surroundings fail (recorder, disk).
    pub const SYSTEM_ERROR: Self = Self(*b"58000");
    /// `XX000`: a bug in the gateway.
    pub const INTERNAL_ERROR: Self = Self(*b"XX000");

    /// A code that a target sent; `None` when it is none.
    pub fn of_target(code: &str) -> Option<Self> {
        let bytes: [u8; 5] = code.as_bytes().try_into().ok()?;
        bytes.iter().all(u8::is_ascii_alphanumeric).then_some(Self(bytes))
    }

    /// The five characters.
    pub const fn as_str(&self) -> &str {
        match std::str::from_utf8(&self.0) {
            Ok(text) => text,
            Err(_) => "XX000",
        }
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
