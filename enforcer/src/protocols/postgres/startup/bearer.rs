//! The SASL mechanism OAUTHBEARER (RFC 7628), as PostgreSQL 18's server speaks it: how libpq 18 shows a token, and how
//! it asks where to get one.
//!
//! A message is read whole and once. It must never print a token, nor take a message for one that is not exactly of the
//! form.

use super::super::wire::client::SaslInitialResponse;
use super::super::wire::sqlstate::SqlState;
use super::super::wire::write::{self, Notice, Severity};
use super::{Door, Provider, StartupError, read_password, refused, reply, send};
use bytes::BytesMut;
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncWrite};

/// The mechanism.
const MECHANISM: &str = "OAUTHBEARER";
/// What stands between the parts of a message.
const SEPARATOR: char = '\x01';

/// Offers the mechanism.
pub(super) fn offer(out: &mut BytesMut) {
    write::authentication_sasl(out, &[MECHANISM]);
}

/// The token that a client shows. One that asks where to get a token is told, and refused: it comes again with one.
pub(super) async fn token<S>(stream: &mut S, idp: &str, door: Door<'_>) -> Result<SecretString, StartupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let no = |notice: Notice| StartupError::Refused(Box::new(notice));
    let provider = door.providers.provider(idp).ok_or_else(|| no(unknown_provider()))?;
    let body = read_password(stream, door.limits).await?;
    let chosen = SaslInitialResponse::read(&body).map_err(|error| refused(&error))?;
    if chosen.mechanism != MECHANISM {
        return Err(no(violation("the client chose a mechanism that was not offered")));
    }
    let shown = if let Some(message) = chosen.response {
        read(message).map_err(no)?
    } else {
        // It waits to be asked.
        challenge(stream, b"", door).await?;
        read(&read_password(stream, door.limits).await?).map_err(no)?
    };
    if let Some(token) = shown {
        return Ok(token);
    }
    challenge(stream, answer(&provider).as_bytes(), door).await?;
    let end = read_password(stream, door.limits).await?;
    if end.as_slice() != [SEPARATOR as u8] {
        return Err(no(violation("the client does not end the exchange as OAUTHBEARER says")));
    }
    Err(no(reply::token_refused("the client shows no token; the gateway has told it where to get one")))
}

async fn challenge<S>(stream: &mut S, text: &[u8], door: Door<'_>) -> Result<(), StartupError>
where
    S: AsyncWrite + Unpin,
{
    let mut out = BytesMut::new();
    write::authentication_sasl_continue(&mut out, text);
    send(stream, &out, door.limits).await
}

/// The answer to a client without a token, whose names are those of RFC 7628.
fn answer(provider: &Provider) -> String {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    format!(
        r#"{{"status":"invalid_token","openid-configuration":{},"scope":{}}}"#,
        text(&provider.metadata),
        text(&provider.scope)
    )
}

/// The token of a client's message; `None` where the client asks for the way to one.
fn read(message: &[u8]) -> Result<Option<SecretString>, Notice> {
    let malformed = || violation("the client's OAUTHBEARER message is malformed");
    let text = std::str::from_utf8(message).map_err(|_| malformed())?;
    let rest = match text.split_once(',') {
        Some(("n" | "y", rest)) => rest,
        Some((binding, _)) if binding.starts_with("p=") => {
            return Err(violation("OAUTHBEARER has no channel binding"));
        }
        Some(_) | None => return Err(malformed()),
    };
    let Some(pairs) = rest.strip_prefix(',') else {
        let sentence = "the client asks for another identity than its token's, which this gateway does not know";
        return Err(Notice::new(Severity::Fatal, SqlState::FEATURE_NOT_SUPPORTED, sentence));
    };
    let pairs = pairs.strip_prefix(SEPARATOR).and_then(|rest| rest.strip_suffix("\x01\x01")).ok_or_else(malformed)?;
    let mut auth = None;
    for pair in pairs.split(SEPARATOR) {
        let (key, value) = pair.split_once('=').ok_or_else(malformed)?;
        let is_value = |byte: u8| matches!(byte, 0x21..=0x7e | b' ' | b'\t' | b'\r' | b'\n');
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) || !value.bytes().all(is_value) {
            return Err(malformed());
        }
        if key == "auth" && auth.replace(value).is_some() {
            return Err(malformed());
        }
    }
    match auth {
        None => Err(malformed()),
        Some("") => Ok(None),
        Some(auth) => {
            bearer(auth).map(Some).ok_or_else(|| reply::token_refused("the token is none of the form Bearer"))
        }
    }
}

/// The token of `Bearer TOKEN`, as RFC 6750 writes tokens.
fn bearer(auth: &str) -> Option<SecretString> {
    let (scheme, token) = auth.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let body = token.trim_end_matches('=');
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    let fits = scheme.eq_ignore_ascii_case("bearer") && !body.is_empty() && body.bytes().all(is_letter);
    // A boxed text of its exact size: nothing is copied again and left behind.
    fits.then(|| SecretString::from(Box::<str>::from(token)))
}

fn violation(sentence: &str) -> Notice {
    Notice::new(Severity::Fatal, SqlState::PROTOCOL_VIOLATION, sentence)
}

fn unknown_provider() -> Notice {
    let sentence = "`leasehold.idp` names no identity provider of the policy in force";
    Notice::new(Severity::Fatal, SqlState::INVALID_AUTHORIZATION, sentence)
}
