//! The SQLSTATE codes that the gateway itself uses. Not a list of what PostgreSQL may say.

use std::fmt;

/// A five-character error code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SqlState(&'static str);

impl SqlState {
    /// `00000`: nothing is wrong.
    pub const SUCCESSFUL_COMPLETION: Self = Self("00000");
    /// `01000`: a warning.
    pub const WARNING: Self = Self("01000");
    /// `08001`: the gateway could not reach the target.
    pub const CANNOT_CONNECT: Self = Self("08001");
    /// `08004`: the target refused the gateway.
    pub const REJECTED_CONNECTION: Self = Self("08004");
    /// `08006`: the connection to the target failed.
    pub const CONNECTION_FAILURE: Self = Self("08006");
    /// `08P01`: a peer broke the protocol.
    pub const PROTOCOL_VIOLATION: Self = Self("08P01");
    /// `0A000`: what the client asks for does not exist here.
    pub const FEATURE_NOT_SUPPORTED: Self = Self("0A000");
    /// `22021`: text that is not UTF-8.
    pub const CHARACTER_NOT_IN_REPERTOIRE: Self = Self("22021");
    /// `22023`: a parameter with a value that is not allowed.
    pub const INVALID_PARAMETER_VALUE: Self = Self("22023");
    /// `25P02`: the transaction has failed and waits for its end.
    pub const IN_FAILED_TRANSACTION: Self = Self("25P02");
    /// `28000`: the subject may not open this session.
    pub const INVALID_STATEMENT_NAME: Self = Self("26000");
    /// A portal or cursor that does not exist.
    pub const INVALID_CURSOR_NAME: Self = Self("34000");
    /// No identity, or none that may connect.
    pub const INVALID_AUTHORIZATION: Self = Self("28000");
    /// `28P01`: the token is not acceptable.
    pub const INVALID_PASSWORD: Self = Self("28P01");
    /// `3D000`: no such connection.
    pub const UNKNOWN_DATABASE: Self = Self("3D000");
    /// `42501`: the policy refuses the statement.
    pub const INSUFFICIENT_PRIVILEGE: Self = Self("42501");
    /// `42601`: the statement cannot be parsed.
    pub const SYNTAX_ERROR: Self = Self("42601");
    /// `42622`: a name that PostgreSQL would cut.
    pub const NAME_TOO_LONG: Self = Self("42622");
    /// `53300`: too many sessions.
    pub const TOO_MANY_CONNECTIONS: Self = Self("53300");
    /// `53400`: a configured limit is reached.
    pub const CONFIGURATION_LIMIT_EXCEEDED: Self = Self("53400");
    /// `54000`: a bound of the gateway is exceeded.
    pub const PROGRAM_LIMIT_EXCEEDED: Self = Self("54000");
    /// `57014`: a statement was cancelled.
    pub const QUERY_CANCELED: Self = Self("57014");
    /// `57P01`: the session was ended from outside.
    pub const ADMIN_SHUTDOWN: Self = Self("57P01");
    /// `57P03`: the gateway cannot take the connection now.
    pub const CANNOT_CONNECT_NOW: Self = Self("57P03");
    /// `58000`: the gateway's own surroundings fail (recorder, disk).
    pub const SYSTEM_ERROR: Self = Self("58000");
    /// `XX000`: a bug in the gateway.
    pub const INTERNAL_ERROR: Self = Self("XX000");

    /// The five characters.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}
