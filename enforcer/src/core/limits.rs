//! Every bound of the gateway in one place. `limits` in the configuration overrides the defaults.

use std::time::Duration;

/// Bounds on sizes, counts and waits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The longest wait for one step of a handshake, client or upstream.
    pub handshake_step_max: Duration,
    /// The longest wait for a whole login.
    pub login_max: Duration,
    /// Connections from one address at a time that have not logged in.
    pub unauthenticated_per_address_max: u32,
    /// Connections from one address at a time.
    pub connections_per_address_max: u32,
    /// Sessions at a time.
    pub sessions_max: u32,
    /// Bytes of a start-up packet (PostgreSQL: `MAX_STARTUP_PACKET_LENGTH`).
    pub startup_bytes_max: usize,
    /// Bytes of a password message (libpq's server: 65,535).
    pub password_bytes_max: usize,
    /// Bytes of one statement's text.
    pub statement_bytes_max: usize,
    /// Bytes of any other message of a client.
    pub client_message_bytes_max: usize,
    /// Bytes of one message of the target; a DataRow above it ends the session.
    pub upstream_message_bytes_max: usize,
    /// Prepared statements and portals of one session.
    pub statements_per_session_max: usize,
    /// Statements sent and not yet answered.
    pub pipeline_max: usize,
    /// Bytes that wait for a slow peer before reading from the other side pauses.
    pub pending_bytes_max: usize,
    /// The longest wait of a statement for people's approval.
    pub held_max: Duration,
    /// The longest wait of a statement for people's approval while its transaction may hold locks.
    pub held_in_transaction_max: Duration,
    /// Bytes of a statement with its parameters that is shown to people.
    pub held_bytes_max: usize,
    /// Calls of one subject in a minute that change something.
    pub api_writes_per_minute_max: u32,
    /// Calls of one subject in a minute that change nothing.
    pub api_reads_per_minute_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_step_max: Duration::from_secs(10),
            login_max: Duration::from_secs(30),
            unauthenticated_per_address_max: 64,
            connections_per_address_max: 1024,
            sessions_max: 10_000,
            startup_bytes_max: 10_000,
            password_bytes_max: 65_535,
            statement_bytes_max: 1 << 20,
            client_message_bytes_max: 16 << 20,
            upstream_message_bytes_max: 64 << 20,
            statements_per_session_max: 4_096,
            pipeline_max: 10_000,
            pending_bytes_max: 256 << 10,
            held_max: Duration::from_hours(1),
            held_in_transaction_max: Duration::from_mins(1),
            held_bytes_max: 32 << 10,
            api_writes_per_minute_max: 120,
            api_reads_per_minute_max: 1_200,
        }
    }
}
