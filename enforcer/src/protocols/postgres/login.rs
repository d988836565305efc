//! The login at a target, step by step: authentication, parameters, and proof that the pinned settings took.
//!
//! Synchronous. The target is not trusted: it gets no password, it must prove that it knows it, and it may say only
//! what the step allows, in bounded messages of bounded number.

use super::SEARCH_PATH;
use super::scram::{Channel, First, ScramError, Second};
use super::wire::WireError;
use super::wire::frame::{Frame, ServerTag};
use super::wire::server::{Authentication, BackendKeyData, DataRow, Fields, ParameterStatus, TransactionStatus};
use super::wire::{packet, write};
use bytes::BytesMut;
use secrecy::{ExposeSecret, SecretString};

/// Messages that a target may send until the login is complete.
const MESSAGES_MAX: usize = 256;

/// What the target must answer to it: see [`check_pins`].
const PINS_QUERY: &str = "SELECT pg_catalog.current_setting('search_path'), \
    pg_catalog.current_setting('standard_conforming_strings'), \
    pg_catalog.current_setting('client_encoding'), \
    pg_catalog.current_setting('default_transaction_read_only'), \
    CASE WHEN current_user = session_user THEN 'session' ELSE 'other' END";

/// How the gateway proves itself to a target.
#[derive(Clone, Debug)]
pub enum Secret {
    /// A password: used for SCRAM, never sent.
    Password(SecretString),
    /// A short-lived token of the target's identity provider. Such targets can only take it as it is, so it is sent,
    /// but only within TLS that verified the target's name.
    Token(SecretString),
}

/// What a session at a target is opened with. All of it comes from the policy, except `settings`.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The target's user.
    pub user: String,
    /// The target's database.
    pub database: String,
    /// The credential.
    pub secret: Secret,
    /// Whether the session may only read.
    pub read_only: bool,
    /// What the target's logs call the session.
    pub application_name: String,
    /// The client's display settings, from the allow-list.
    pub settings: Vec<(&'static str, String)>,
    /// Parameters whose values nobody but the target may see: the keys of masks.
    pub secrets: Vec<(&'static str, SecretString)>,
}

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The policy's address is not `host:port`.
    #[error("the target's address is not host:port")]
    Address,
    /// No connection.
    #[error("cannot connect to the target")]
    Unreachable(#[source] std::io::Error),
    /// The connection broke.
    #[error("the connection to the target broke")]
    Broken(#[source] std::io::Error),
    /// A step took too long.
    #[error("the target took too long: {step}")]
    Timeout {
        /// What it was about to do.
        step: &'static str,
    },
    /// The target closed the connection.
    #[error("the target closed the connection during the login")]
    Closed,
    /// The target has no TLS, and the policy demands it.
    #[error("the target refuses TLS, and the policy demands it")]
    TlsRefused,
    /// Neither yes nor no to TLS.
    #[error("the target answered the request for TLS with byte 0x{byte:02x}")]
    TlsAnswer {
        /// The byte.
        byte: u8,
    },
    /// The handshake failed: no proof of who the target is.
    #[error("the TLS handshake with the target failed")]
    Tls(#[source] std::io::Error),
    /// The target broke the protocol or a bound.
    #[error("the target broke the protocol")]
    Wire(#[from] WireError),
    /// The target said something that has no place there.
    #[error("the target sent {tag:?} out of turn")]
    OutOfTurn {
        /// What it sent.
        tag: ServerTag,
    },
    /// The target talks on without end.
    #[error("the target sent more than {MESSAGES_MAX} messages before the login was complete")]
    Endless,
    /// The target refused the login. The message may name accounts of the target: for logs only.
    #[error("the target refused the login: {} {}", code.as_deref().unwrap_or("without SQLSTATE"), message.as_deref().unwrap_or(""))]
    Refused {
        /// Its SQLSTATE.
        code: Option<String>,
        /// Its message.
        message: Option<String>,
    },
    /// The target wants a password in a form that gives it away.
    #[error("the target asks for {what}; the gateway answers SCRAM-SHA-256 only")]
    Downgrade {
        /// What it wants.
        what: &'static str,
    },
    /// The target let the gateway in without asking who it is.
    ///
    /// Nothing then shows that it is the target: one that stands in for it would do the same.
    #[error("the target did not check the gateway's credential; use scram-sha-256 in its pg_hba.conf")]
    Unchecked,
    /// SCRAM failed.
    #[error("authentication at the target failed")]
    Scram(#[from] ScramError),
    /// A pinned setting has another value.
    #[error("the target runs with {setting} = `{found}`; the gateway needs another value")]
    Pin {
        /// The setting.
        setting: &'static str,
        /// Its value there.
        found: String,
    },
}

/// A login on its way.
#[derive(Debug)]
pub struct Login<'a> {
    terms: &'a Terms,
    channel: Channel,
    phase: Phase,
    messages: usize,
    parameters: Vec<(String, String)>,
    key: Option<Key>,
}

/// What a complete login leaves.
#[derive(Debug)]
pub struct Complete {
    /// The parameters that the target reported, each once, in the order in which they first came.
    pub parameters: Vec<(String, String)>,
    /// What a cancel request must name; `None` when the target has no cancel requests.
    pub key: Option<Key>,
}

/// What a target wants to see in a cancel request. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    /// The process id.
    pub pid: u32,
    /// The secret.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("pid", &self.pid).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Phase {
    /// The StartupMessage is sent.
    Started,
    /// The first SCRAM message is sent.
    Challenge(First),
    /// The proof is sent.
    Proof(Second),
    /// Authentication is done on both sides, or a token is sent: only AuthenticationOk may follow.
    Verdict,
    /// Parameters and the cancel key come.
    Parameters,
    /// The question about the pins is sent.
    Pins {
        /// Whether the answer came and was right.
        proven: bool,
    },
    /// Nothing more may come.
    Over,
}

impl<'a> Login<'a> {
    /// Starts: writes the StartupMessage with every pinned setting.
    pub fn start(terms: &'a Terms, channel: Channel, out: &mut BytesMut) -> Result<Self, UpstreamError> {
        let mut parameters = vec![
            ("user", terms.user.as_str()),
            ("database", terms.database.as_str()),
            ("application_name", terms.application_name.as_str()),
            ("client_encoding", "UTF8"),
            ("standard_conforming_strings", "on"),
            ("search_path", SEARCH_PATH),
        ];
        if terms.read_only {
            parameters.push(("default_transaction_read_only", "on"));
        }
        parameters.extend(terms.settings.iter().map(|(name, value)| (*name, value.as_str())));
        parameters.extend(terms.secrets.iter().map(|(name, value)| (*name, value.expose_secret())));
        packet::write_startup(out, &parameters)?;
        Ok(Self { terms, channel, phase: Phase::Started, messages: 0, parameters: Vec::new(), key: None })
    }

    /// Takes one message of the target; what to answer goes to `out`. `Some` ends the login.
    pub fn on_frame(
        &mut self,
        frame: &Frame<ServerTag>,
        out: &mut BytesMut,
    ) -> Result<Option<Complete>, UpstreamError> {
        self.messages = self.messages.saturating_add(1);
        if self.messages > MESSAGES_MAX {
            return Err(UpstreamError::Endless);
        }
        let body = frame.body();
        if frame.tag() == ServerTag::NoticeResponse {
            return Ok(None);
        }
        if frame.tag() == ServerTag::ErrorResponse {
            let fields = Fields::read(body)?;
            let (code, message) = (fields.code().map(str::to_owned), fields.message().map(bounded));
            return Err(UpstreamError::Refused { code, message });
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Over);
        self.phase = match (phase, frame.tag()) {
            (Phase::Started, ServerTag::Authentication) => self.asked(&Authentication::read(body)?, out)?,
            (Phase::Challenge(first), ServerTag::Authentication) => {
                let Authentication::SaslContinue(challenge) = Authentication::read(body)? else {
                    return Err(out_of_turn(frame));
                };
                let second = first.challenged(challenge)?;
                write::sasl_response(out, second.message());
                Phase::Proof(second)
            }
            (Phase::Proof(second), ServerTag::Authentication) => {
                let Authentication::SaslFinal(last) = Authentication::read(body)? else {
                    return Err(out_of_turn(frame));
                };
                second.finished(last)?;
                Phase::Verdict
            }
            (Phase::Verdict, ServerTag::Authentication) if Authentication::read(body)? == Authentication::Ok => {
                Phase::Parameters
            }
            (phase @ (Phase::Parameters | Phase::Pins { .. }), ServerTag::ParameterStatus) => {
                self.report(ParameterStatus::read(body)?);
                phase
            }
            (Phase::Parameters, ServerTag::BackendKeyData) if self.key.is_none() => {
                let key = BackendKeyData::read(body)?;
                self.key = Some(Key { pid: key.pid, secret: key.secret.to_vec() });
                Phase::Parameters
            }
            (Phase::Parameters, ServerTag::ReadyForQuery) => {
                idle(body)?;
                write::query(out, PINS_QUERY)?;
                Phase::Pins { proven: false }
            }
            (phase @ Phase::Pins { .. }, ServerTag::RowDescription | ServerTag::CommandComplete) => phase,
            (Phase::Pins { proven: false }, ServerTag::DataRow) => {
                check_pins(body, self.terms.read_only)?;
                Phase::Pins { proven: true }
            }
            (Phase::Pins { proven: true }, ServerTag::ReadyForQuery) => {
                idle(body)?;
                let parameters = std::mem::take(&mut self.parameters);
                return Ok(Some(Complete { parameters, key: self.key.take() }));
            }
            _ => return Err(out_of_turn(frame)),
        };
        Ok(None)
    }

    /// The target's first word about authentication.
    fn asked(&self, asked: &Authentication<'_>, out: &mut BytesMut) -> Result<Phase, UpstreamError> {
        match asked {
            Authentication::Sasl(offered) => {
                let (Secret::Password(secret) | Secret::Token(secret)) = &self.terms.secret;
                let first = First::choose(offered, &self.channel, secret)?;
                write::sasl_initial_response(out, first.mechanism(), first.message());
                Ok(Phase::Challenge(first))
            }
            Authentication::CleartextPassword => match (&self.terms.secret, &self.channel) {
                (Secret::Token(token), Channel::Tls { name_verified: true, .. }) => {
                    write::password(out, token.expose_secret())?;
                    Ok(Phase::Verdict)
                }
                (Secret::Token(_) | Secret::Password(_), Channel::Tls { .. } | Channel::Plain) => {
                    Err(UpstreamError::Downgrade { what: "the password in clear text" })
                }
            },
            Authentication::Md5Password => Err(UpstreamError::Downgrade { what: "an MD5 digest of the password" }),
            Authentication::Ok => Err(UpstreamError::Unchecked),
            Authentication::SaslContinue(_) | Authentication::SaslFinal(_) | Authentication::Other(_) => {
                Err(UpstreamError::Downgrade { what: "another kind of authentication" })
            }
        }
    }

    fn report(&mut self, status: ParameterStatus<'_>) {
        if let Some((_, value)) = self.parameters.iter_mut().find(|(name, _)| name == status.name) {
            status.value.clone_into(value);
        } else {
            self.parameters.push((status.name.to_owned(), status.value.to_owned()));
        }
    }
}

fn out_of_turn(frame: &Frame<ServerTag>) -> UpstreamError {
    UpstreamError::OutOfTurn { tag: frame.tag() }
}

fn idle(body: &[u8]) -> Result<(), UpstreamError> {
    match TransactionStatus::read(body)? {
        TransactionStatus::Idle => Ok(()),
        TransactionStatus::Open | TransactionStatus::Failed => {
            Err(UpstreamError::OutOfTurn { tag: ServerTag::ReadyForQuery })
        }
    }
}

/// Checks that the settings took: a pooler between may drop them, and `ALTER ROLE … SET role` may change the user.
fn check_pins(body: &[u8], read_only: bool) -> Result<(), UpstreamError> {
    let wanted = [
        ("search_path", Some(SEARCH_PATH)),
        ("standard_conforming_strings", Some("on")),
        ("client_encoding", Some("UTF8")),
        ("default_transaction_read_only", read_only.then_some("on")),
        ("role", Some("session")),
    ];
    let mut row = DataRow::read(body)?;
    for (setting, wanted) in wanted {
        let value = row.next().transpose()?.flatten().unwrap_or_default();
        if wanted.is_some_and(|wanted| value != wanted.as_bytes()) {
            let found = std::str::from_utf8(value).map_or_else(|_| "not UTF-8".to_owned(), bounded);
            return Err(UpstreamError::Pin { setting, found });
        }
    }
    match row.next() {
        None => Ok(()),
        Some(Ok(_)) => Err(UpstreamError::OutOfTurn { tag: ServerTag::DataRow }),
        Some(Err(error)) => Err(error.into()),
    }
}

/// At most the first 200 characters, none of them a control character.
fn bounded(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(200).collect()
}
