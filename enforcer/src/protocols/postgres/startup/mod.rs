//! The way in: from the first byte of a connection to a client's token, or to a cancel request.
//!
//! Only awaits; what a packet means is decided in `wire`. Every read is exact, so that nothing sent in plaintext is
//! ever taken for something said within TLS, and every step has a deadline, so that nobody holds a place for free.

mod bearer;

use super::ALPN;
use super::reply;
use super::wire::frame::{ClientTag, HEADER_BYTES, peek};
use super::wire::packet::{self, CancelRequest, Packet, Startup, TLS_RECORD_BYTE};
use super::wire::parameters::Asked;
use super::wire::sqlstate::SqlState;
use super::wire::write::{self, Notice, Severity};
use crate::core::limits::Limits;
use crate::gateway::stream::{Rewind, Stream};
use bytes::BytesMut;
use rustls::ServerConfig;
use secrecy::SecretString;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsStream};
use zeroize::Zeroizing;

/// Bytes that are read and forgotten after a refusal, so that closing does not take the refusal back.
const FORGOTTEN_BYTES_MAX: usize = 128 << 10;

/// The longest wait for a refused client to leave.
const FAREWELL_MAX: Duration = Duration::from_millis(500);

/// Where a client gets a token of an identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The address of its metadata.
    pub metadata: String,
    /// What to ask it for.
    pub scope: String,
}

/// The identity providers of the policy in force.
pub trait Providers {
    /// The one of this name.
    fn provider(&self, idp: &str) -> Option<Provider>;
}

/// What a listener knows of a connection.
#[derive(Clone, Copy)]
pub struct Door<'a> {
    /// The client's address.
    pub peer: IpAddr,
    /// The listener's certificate; `None` only on loopback.
    pub tls: Option<&'a Arc<ServerConfig>>,
    /// The bounds.
    pub limits: &'a Limits,
    /// Who issues tokens.
    pub providers: &'a dyn Providers,
}

impl std::fmt::Debug for Door<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("peer", &self.peer).field("tls", &self.tls.is_some()).finish_non_exhaustive()
    }
}

/// What came in.
#[derive(Debug)]
pub enum Arrival<S> {
    /// Somebody who asks for a session and has shown a token that nobody has looked at yet.
    Login(Box<Login<S>>),
    /// Somebody who asks to cancel a statement. The connection is to be dropped without a word, once the target has taken
    /// the request: a client takes its end for a sign that no later statement can be hit.
    Cancel(CancelRequest, Stream<S>),
}

/// A client that waits for AuthenticationOk or a refusal.
#[derive(Debug)]
pub struct Login<S> {
    /// What it asks for.
    pub asked: Asked,
    /// Its token, unverified.
    pub token: SecretString,
    /// The connection. Nothing has been read beyond the token.
    pub stream: Stream<S>,
}

/// Why a connection ended before there was a login.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// The client left.
    #[error("the client left before it had logged in")]
    Left,
    /// The connection broke.
    #[error("the client's connection broke")]
    Broken(#[source] io::Error),
    /// A step took too long.
    #[error("the client took too long: {step}")]
    Timeout {
        /// What it was about to do.
        step: &'static str,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake with the client failed")]
    Tls(#[source] io::Error),
    /// The client began TLS, and the listener has none; or it did so without naming the protocol.
    #[error("the client began TLS in a way that this listener does not speak")]
    TlsUnasked,
    /// The client was refused and told so.
    #[error("refused: {}", .0.message)]
    Refused(Box<Notice>),
}

/// Receives a connection. A refusal has been sent when this returns it.
pub async fn arrive<S>(stream: S, door: Door<'_>) -> Result<Arrival<S>, StartupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let whole = Box::pin(async {
        let (stream, packet) = open(stream, door).await?;
        match packet {
            Packet::Cancel(request) => Ok(Arrival::Cancel(request, stream)),
            Packet::Startup(startup) => ask(stream, &startup, door).await.map(Arrival::Login),
            Packet::Ssl | Packet::Gss => Err(StartupError::TlsUnasked),
        }
    });
    timeout(door.limits.login_max, whole).await.unwrap_or(Err(StartupError::Timeout { step: "complete the login" }))
}

/// Refuses a client: says why, closes, and waits a moment for it to read that.
pub async fn refuse<S>(stream: &mut S, notice: &Notice, limits: &Limits)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut out = BytesMut::new();
    notice.write(&mut out);
    if send(stream, &out, limits).await.is_err() {
        return;
    }
    let _ = timeout(FAREWELL_MAX, async {
        stream.shutdown().await?;
        let (mut forgotten, mut bytes) = (0_usize, [0; 4096]);
        while forgotten < FORGOTTEN_BYTES_MAX {
            match stream.read(&mut bytes).await? {
                0 => break,
                count => forgotten = forgotten.saturating_add(count),
            }
        }
        Ok::<_, io::Error>(())
    })
    .await;
}

/// Everything up to the packet that says what the client wants: never a request for encryption.
async fn open<S>(mut plain: S, door: Door<'_>) -> Result<(Stream<S>, Packet), StartupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut first = [0];
    read(&mut plain, &mut first, "say its first word", door.limits).await?;
    if first == [TLS_RECORD_BYTE] {
        let config = door.tls.ok_or(StartupError::TlsUnasked)?;
        let stream = handshake(Rewind::after(TLS_RECORD_BYTE, plain), config, door.limits).await?;
        if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            return Err(StartupError::TlsUnasked);
        }
        return within_tls(stream, door).await;
    }
    let mut packet = next_packet(&mut plain, Some(first), door).await?;
    let (mut asked_ssl, mut asked_gss) = (false, false);
    loop {
        match packet {
            Packet::Gss if !asked_gss => {
                asked_gss = true;
                send(&mut plain, b"N", door.limits).await?;
            }
            Packet::Ssl if !asked_ssl => {
                asked_ssl = true;
                if let Some(config) = door.tls {
                    send(&mut plain, b"S", door.limits).await?;
                    let stream = handshake(Rewind::fresh(plain), config, door.limits).await?;
                    return within_tls(stream, door).await;
                }
                send(&mut plain, b"N", door.limits).await?;
            }
            Packet::Ssl | Packet::Gss => return Err(tell(&mut plain, asked_twice(), door).await),
            Packet::Cancel(_) | Packet::Startup(_) => return Ok((Stream::Plain(plain), packet)),
        }
        packet = next_packet(&mut plain, None, door).await?;
    }
}

/// The first packet within TLS, which must say what the client wants.
async fn within_tls<S>(
    stream: tokio_rustls::server::TlsStream<Rewind<S>>,
    door: Door<'_>,
) -> Result<(Stream<S>, Packet), StartupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = Stream::Tls(Box::new(TlsStream::Server(stream)));
    let packet = next_packet(&mut stream, None, door).await?;
    match packet {
        Packet::Ssl | Packet::Gss => Err(tell(&mut stream, asked_twice(), door).await),
        Packet::Cancel(_) | Packet::Startup(_) => Ok((stream, packet)),
    }
}

/// Judges what the client asks for, and asks for its token.
async fn ask<S>(mut stream: Stream<S>, startup: &Startup, door: Door<'_>) -> Result<Box<Login<S>>, StartupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if !stream.is_tls() && !door.peer.to_canonical().is_loopback() {
        return Err(tell(&mut stream, reply::plaintext(), door).await);
    }
    let asked = match Asked::read(startup) {
        Ok(asked) => asked,
        Err(notice) => return Err(tell(&mut stream, notice, door).await),
    };
    let mut out = BytesMut::new();
    if let Some(unknown) = &asked.unknown_options {
        write::negotiate_protocol_version(&mut out, asked.minor, unknown);
    }
    let shown = if let Some(idp) = &asked.idp {
        bearer::offer(&mut out);
        send(&mut stream, &out, door.limits).await?;
        bearer::token(&mut stream, idp, door).await
    } else {
        write::authentication_cleartext(&mut out);
        send(&mut stream, &out, door.limits).await?;
        read_token(&mut stream, door.limits).await
    };
    match shown {
        Ok(token) => Ok(Box::new(Login { asked, token, stream })),
        Err(StartupError::Refused(notice)) => Err(tell(&mut stream, *notice, door).await),
        Err(error) => Err(error),
    }
}

/// One packet; a refusal is told.
async fn next_packet<S>(stream: &mut S, first: Option<[u8; 1]>, door: Door<'_>) -> Result<Packet, StartupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    match read_packet(stream, first, door.limits).await {
        Ok(packet) => Ok(packet),
        Err(StartupError::Refused(notice)) => Err(tell(stream, *notice, door).await),
        Err(error) => Err(error),
    }
}

async fn read_packet<S>(stream: &mut S, first: Option<[u8; 1]>, limits: &Limits) -> Result<Packet, StartupError>
where
    S: AsyncRead + Unpin,
{
    let mut length = [0; 4];
    let unread = match (&mut length, first) {
        ([start, rest @ ..], Some([first])) => {
            *start = first;
            &mut rest[..]
        }
        (all, None) => &mut all[..],
    };
    read(stream, unread, "complete its first packet", limits).await?;
    let mut body = vec![0; packet::body_bytes(length, limits.startup_bytes_max).map_err(|error| refused(&error))?];
    read(stream, &mut body, "complete its first packet", limits).await?;
    Packet::read(&body).map_err(|error| refused(&error))
}

async fn read_token<S>(stream: &mut S, limits: &Limits) -> Result<SecretString, StartupError>
where
    S: AsyncRead + Unpin,
{
    let body = read_password(stream, limits).await?;
    token_of(&body).map_err(|notice| StartupError::Refused(Box::new(notice)))
}

/// The body of a password or SASL message.
async fn read_password<S>(stream: &mut S, limits: &Limits) -> Result<Zeroizing<Vec<u8>>, StartupError>
where
    S: AsyncRead + Unpin,
{
    const STEP: &str = "show its token";
    let mut header = [0; HEADER_BYTES];
    read(stream, &mut header, STEP, limits).await?;
    let head = match peek::<ClientTag>(&header, limits) {
        Ok(Some(head)) if head.tag == ClientTag::Password => head,
        Ok(_) => return Err(StartupError::Refused(Box::new(token_expected()))),
        Err(error) => return Err(refused(&error)),
    };
    let mut body = Zeroizing::new(vec![0; head.frame_bytes.saturating_sub(HEADER_BYTES)]);
    read(stream, &mut body, STEP, limits).await?;
    Ok(body)
}

/// The text of a PasswordMessage: everything up to its only NUL.
fn token_of(body: &[u8]) -> Result<SecretString, Notice> {
    let violation = |message: &str| Notice::new(Severity::Fatal, SqlState::PROTOCOL_VIOLATION, message);
    let Some((0, text)) = body.split_last() else {
        return Err(violation("the password message does not end with NUL"));
    };
    if text.is_empty() {
        return Err(reply::token_refused("the password is empty; it must be an access token"));
    }
    let text = std::str::from_utf8(text).map_err(|_| violation("the password message is not UTF-8"))?;
    if text.contains('\0') {
        return Err(violation("the password message has bytes after its end"));
    }
    // A boxed text of its exact size: nothing is copied again and left behind.
    Ok(SecretString::from(Box::<str>::from(text)))
}

fn token_expected() -> Notice {
    Notice::new(Severity::Fatal, SqlState::PROTOCOL_VIOLATION, "the client sent another message instead of a password")
}

fn asked_twice() -> Notice {
    Notice::new(Severity::Fatal, SqlState::PROTOCOL_VIOLATION, "the client asked for encryption again")
}

fn refused(error: &super::wire::WireError) -> StartupError {
    StartupError::Refused(Box::new(reply::protocol_violation(error)))
}

/// Tells a client why it is refused.
async fn tell<S>(stream: &mut S, notice: Notice, door: Door<'_>) -> StartupError
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    refuse(stream, &notice, door.limits).await;
    StartupError::Refused(Box::new(notice))
}

async fn handshake<S>(
    stream: Rewind<S>,
    config: &Arc<ServerConfig>,
    limits: &Limits,
) -> Result<tokio_rustls::server::TlsStream<Rewind<S>>, StartupError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    timeout(limits.handshake_step_max, Box::pin(TlsAcceptor::from(Arc::clone(config)).accept(stream)))
        .await
        .map_err(|_| StartupError::Timeout { step: "complete the TLS handshake" })?
        .map_err(StartupError::Tls)
}

async fn read<S>(stream: &mut S, bytes: &mut [u8], step: &'static str, limits: &Limits) -> Result<(), StartupError>
where
    S: AsyncRead + Unpin,
{
    match timeout(limits.handshake_step_max, stream.read_exact(bytes)).await {
        Err(_) => Err(StartupError::Timeout { step }),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(StartupError::Left),
        Ok(Err(error)) => Err(StartupError::Broken(error)),
    }
}

async fn send<S>(stream: &mut S, bytes: &[u8], limits: &Limits) -> Result<(), StartupError>
where
    S: AsyncWrite + Unpin,
{
    let written = timeout(limits.handshake_step_max, async {
        stream.write_all(bytes).await?;
        stream.flush().await
    });
    written
        .await
        .map_err(|_| StartupError::Timeout { step: "take what the gateway says" })?
        .map_err(StartupError::Broken)
}

#[cfg(test)]
mod tests;
