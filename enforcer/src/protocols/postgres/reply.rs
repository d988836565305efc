//! What the gateway says to a client in PostgreSQL's own words: denials, holds, ends, failures.
//!
//! It must never repeat what a target or a token says, nor name anything of the gateway's inside. A sentence tells a
//! person or an agent what happened; the detail names the rule; the hint says what to do.

use super::login::UpstreamError;
use super::wire::WireError;
use super::wire::server::TransactionStatus;
use super::wire::sqlstate::SqlState;
use super::wire::write::{self, Notice, Severity};
use crate::core::machine::Cause;
use bytes::BytesMut;
use lang::time::Timestamp;

/// The rule behind a decision, as far as the reader may know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule<'a> {
    /// `guard prod-sql`, `grant orders-read`.
    pub name: Option<&'a str>,
    /// Its file and line in the policy repository.
    pub place: Option<&'a str>,
}

impl Rule<'_> {
    /// `Rule: guard prod-sql (guard/sql.kdl:12).`
    fn detail(self) -> Option<String> {
        match (self.name, self.place) {
            (Some(name), Some(place)) => Some(format!("Rule: {name} ({place}).")),
            (Some(name), None) => Some(format!("Rule: {name}.")),
            (None, Some(place)) => Some(format!("Rule at {place}.")),
            (None, None) => None,
        }
    }
}

/// A connection and a grant, to say how to ask for access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access<'a> {
    /// The connection.
    pub connection: &'a str,
    /// The grant.
    pub grant: Option<&'a str>,
}

impl Access<'_> {
    /// `leasehold request prod-logs --via incident`.
    fn command(self) -> String {
        match self.grant {
            Some(grant) => format!("leasehold request {} --via {grant}", self.connection),
            None => format!("leasehold request {}", self.connection),
        }
    }
}

/// A statement that the policy refuses. The session goes on.
pub fn denied(sentence: &str, rule: Rule<'_>) -> Notice {
    error(SqlState::INSUFFICIENT_PRIVILEGE, sentence, rule)
}

/// A statement whose result exceeds a limit of the policy.
pub fn limited(sentence: &str, rule: Rule<'_>) -> Notice {
    error(SqlState::CONFIGURATION_LIMIT_EXCEEDED, sentence, rule)
}

/// A statement that cannot be parsed, and therefore cannot be judged.
pub fn unparsed(sentence: &str) -> Notice {
    error(SqlState::SYNTAX_ERROR, sentence, Rule::default())
        .with_hint("The gateway reads statements with PostgreSQL's own grammar; what it cannot read does not run.")
}

/// A statement within a transaction that has failed.
pub fn in_failed_transaction() -> Notice {
    let sentence = "current transaction is aborted, commands ignored until end of transaction block";
    error(SqlState::IN_FAILED_TRANSACTION, sentence, Rule::default())
}

/// A statement that waits for people.
pub fn held(sentence: &str, rule: Rule<'_>, url: &str) -> Notice {
    let notice = Notice::new(Severity::Notice, SqlState::SUCCESSFUL_COMPLETION, sentence);
    Notice { detail: rule.detail(), ..notice }.with_hint(format!("Approve or deny it at {url}"))
}

/// Something for people to know.
pub fn notice(sentence: &str) -> Notice {
    Notice::new(Severity::Notice, SqlState::SUCCESSFUL_COMPLETION, sentence)
}

/// A session that the policy does not open, with how to ask for it where asking can help.
pub fn session_refused(sentence: &str, rule: Rule<'_>, ask: Option<Access<'_>>) -> Notice {
    let notice = Notice { detail: rule.detail(), ..fatal(SqlState::INVALID_AUTHORIZATION, sentence) };
    match ask {
        Some(access) => notice.with_hint(format!("Ask for access with: {}", access.command())),
        None => notice,
    }
}

/// A token that is not acceptable. The sentence never holds a part of it.
pub fn token_refused(sentence: &str) -> Notice {
    fatal(SqlState::INVALID_PASSWORD, sentence).with_hint("Get a fresh token with: leasehold login")
}

/// A token is asked for within TLS only.
pub fn plaintext() -> Notice {
    fatal(SqlState::INVALID_AUTHORIZATION, "a token is accepted within TLS only")
        .with_hint("Connect with sslmode=verify-full, or at least sslmode=require.")
}

/// A connection that the policy does not name, or that this subject may not know of.
pub fn unknown_connection() -> Notice {
    fatal(SqlState::UNKNOWN_DATABASE, "the policy has no such connection for you")
        .with_hint("Connect with dbname=CONNECTION; `leasehold status` lists what you can reach.")
}

/// The end of a window, of the policy's hours or of a token.
pub fn window_ended(ends: Timestamp, access: Access<'_>) -> Notice {
    fatal(SqlState::ADMIN_SHUTDOWN, format!("the window for {} ended at {ends}", access.connection))
        .with_hint(format!("Ask again with: {}", access.command()))
}

/// The end of a session for a cause other than its window.
pub fn ended(cause: Cause, sentence: &str) -> Notice {
    let code = match cause {
        Cause::Client | Cause::WindowEnd | Cause::Revoked | Cause::Policy | Cause::Identity | Cause::Drain => {
            SqlState::ADMIN_SHUTDOWN
        }
        Cause::Upstream => SqlState::CONNECTION_FAILURE,
        Cause::Fault => SqlState::PROTOCOL_VIOLATION,
        Cause::Recorder => SqlState::SYSTEM_ERROR,
    };
    fatal(code, sentence)
}

/// The recorder cannot accept: nothing may pass unrecorded.
pub fn recorder_failed() -> Notice {
    ended(Cause::Recorder, "the session cannot be recorded, so it ends here")
        .with_detail("The last statement may have run; its result was not delivered.")
        .with_hint(
            "Tell the gateway's operator: its recordings cannot be written, for example because the disk is full.",
        )
}

/// The gateway has no room for another session.
pub fn too_many(sentence: &str) -> Notice {
    fatal(SqlState::TOO_MANY_CONNECTIONS, sentence)
}

/// The gateway is not ready or shuts down.
pub fn not_now(sentence: &str) -> Notice {
    fatal(SqlState::CANNOT_CONNECT_NOW, sentence)
}

/// A mistake of the gateway itself. The facts are in its log.
pub fn internal() -> Notice {
    fatal(SqlState::INTERNAL_ERROR, "the gateway made a mistake; its log says which")
}

/// The client broke the protocol or a bound.
pub fn protocol_violation(error: &WireError) -> Notice {
    fatal(error.sqlstate(), error.to_string())
}

/// The target cannot be used. Says which kind of failure it is, never the target's own words.
pub fn upstream_failed(connection: &str, error: &UpstreamError) -> Notice {
    let (code, sentence) = match error {
        UpstreamError::Address => (SqlState::CANNOT_CONNECT, "has an address that cannot be used".to_owned()),
        UpstreamError::Unreachable(_) => (SqlState::CANNOT_CONNECT, "cannot be reached".to_owned()),
        UpstreamError::Timeout { .. } => (SqlState::CANNOT_CONNECT, "does not answer in time".to_owned()),
        UpstreamError::Broken(_) | UpstreamError::Closed => {
            (SqlState::CONNECTION_FAILURE, "closed the connection".to_owned())
        }
        UpstreamError::TlsRefused | UpstreamError::TlsAnswer { .. } | UpstreamError::Tls(_) => {
            (SqlState::CONNECTION_FAILURE, "could not be verified by TLS".to_owned())
        }
        UpstreamError::Wire(_) | UpstreamError::OutOfTurn { .. } | UpstreamError::Endless => {
            (SqlState::CONNECTION_FAILURE, "broke the protocol during the login".to_owned())
        }
        UpstreamError::Refused { code: Some(code), .. } => {
            (SqlState::REJECTED_CONNECTION, format!("refused the gateway's login with SQLSTATE {code}"))
        }
        UpstreamError::Refused { code: None, .. } => {
            (SqlState::REJECTED_CONNECTION, "refused the gateway's login".to_owned())
        }
        UpstreamError::Downgrade { .. } | UpstreamError::Unchecked | UpstreamError::Scram(_) => {
            (SqlState::REJECTED_CONNECTION, "could not be authenticated safely".to_owned())
        }
        UpstreamError::Pin { setting, .. } => {
            (SqlState::REJECTED_CONNECTION, format!("does not keep the pinned setting {setting}"))
        }
    };
    fatal(code, format!("the target of `{connection}` {sentence}"))
        .with_hint("Try again later, or tell the connection's owner; the gateway's log has the facts.")
}

/// What follows a token that was accepted, once the target has opened its session: AuthenticationOk, the target's
/// parameters, the gateway's own cancel key, ReadyForQuery.
pub fn welcome(out: &mut BytesMut, parameters: &[(String, String)], pid: u32, secret: &[u8]) {
    write::authentication_ok(out);
    for (name, value) in parameters {
        write::parameter_status(out, name, value);
    }
    write::backend_key_data(out, pid, secret);
    write::ready_for_query(out, TransactionStatus::Idle);
}

fn error(code: SqlState, sentence: &str, rule: Rule<'_>) -> Notice {
    Notice { detail: rule.detail(), ..Notice::new(Severity::Error, code, sentence) }
}

fn fatal(code: SqlState, sentence: impl Into<String>) -> Notice {
    Notice::new(Severity::Fatal, code, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_its_rule() {
        let rule = Rule { name: Some("guard prod-sql"), place: Some("guard/sql.kdl:12") };
        let notice = denied("delete on public.orders is blocked", rule);
        assert_eq!((notice.severity, notice.code), (Severity::Error, SqlState::INSUFFICIENT_PRIVILEGE));
        assert_eq!(notice.detail.as_deref(), Some("Rule: guard prod-sql (guard/sql.kdl:12)."));
        assert_eq!(denied("no", Rule::default()).detail, None);
    }

    #[test]
    fn the_end_of_a_window_says_when_and_how_to_ask_again() {
        let access = Access { connection: "prod-logs", grant: Some("incident") };
        let notice = window_ended(Timestamp::from_unix(0), access);
        assert_eq!((notice.severity, notice.code), (Severity::Fatal, SqlState::ADMIN_SHUTDOWN));
        assert_eq!(notice.message, "the window for prod-logs ended at 1970-01-01T00:00:00Z");
        assert_eq!(notice.hint.as_deref(), Some("Ask again with: leasehold request prod-logs --via incident"));
    }

    #[test]
    fn a_target_is_never_quoted() {
        let message = Some("password authentication failed for user \"svc_secret\"".to_owned());
        let error = UpstreamError::Refused { code: Some("28P01".to_owned()), message };
        let said = format!("{:?}", upstream_failed("prod-logs", &error));
        assert!(said.contains("28P01") && !said.contains("svc_secret"), "{said}");
        let error = UpstreamError::Pin { setting: "search_path", found: "secret_schema".to_owned() };
        assert!(!format!("{:?}", upstream_failed("prod-logs", &error)).contains("secret_schema"));
    }
}
