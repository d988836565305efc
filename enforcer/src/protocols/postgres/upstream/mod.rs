//! The way to a target: connect, TLS, login. Only awaits; what is said and believed is decided in `login` and `scram`.
//!
//! Nothing is read beyond the one byte that answers an SSLRequest, so that plaintext sent along with it cannot be
//! taken for what the target says within TLS.

use super::login::{Complete, Key, Login, Terms, UpstreamError};
use super::scram::{Channel, end_point};
use super::wire::frame::{Frame, ServerTag};
use super::wire::packet;
use crate::core::limits::Limits;
use crate::gateway::stream::{Rewind, Stream};
use crate::gateway::tls::{Checks, UpstreamTls, Verified};
use bytes::BytesMut;
use rustls_pki_types::ServerName;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

/// Bytes of one message until the login is complete.
const LOGIN_MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Bytes that are read at a time.
const READ_BYTES: usize = 8 << 10;

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an address; without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port`; an IPv6 address stands in brackets.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|host| host.parse::<std::net::Ipv6Addr>().is_ok())?,
            None => host,
        };
        let is_name = ServerName::try_from(host).is_ok() && !host.is_empty();
        (is_name && (text.starts_with('[') || !host.contains(':'))).then(|| Self { host: host.to_owned(), port })
    }
}

/// A target and how to open a session there.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where.
    pub address: Address,
    /// How it is spoken to.
    pub tls: UpstreamTls,
    /// What the session is opened with.
    pub terms: Terms,
}

/// A session that a target has opened.
#[derive(Debug)]
pub struct Upstream<S> {
    /// The connection.
    pub stream: Stream<S>,
    /// The parameters that the target reported.
    pub parameters: Vec<(String, String)>,
    /// What a cancel request must name.
    pub key: Option<Key>,
    /// What the target sent beyond the login: to be read before the stream.
    pub leftover: BytesMut,
}

/// Connects to a target and logs in, within the limits of a login.
pub async fn connect(target: &Target, limits: &Limits) -> Result<Upstream<TcpStream>, UpstreamError> {
    let stream = dial(&target.address, limits).await?;
    login(stream, target, limits).await
}

/// Opens a TCP connection.
pub async fn dial(address: &Address, limits: &Limits) -> Result<TcpStream, UpstreamError> {
    let connecting = TcpStream::connect((address.host.as_str(), address.port));
    let stream = timeout(limits.handshake_step_max, connecting)
        .await
        .map_err(|_| UpstreamError::Timeout { step: "connect" })?
        .map_err(UpstreamError::Unreachable)?;
    stream.set_nodelay(true).map_err(UpstreamError::Unreachable)?;
    Ok(stream)
}

/// Logs in over a connection.
pub async fn login<S>(stream: S, target: &Target, limits: &Limits) -> Result<Upstream<S>, UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let whole = Box::pin(async {
        let (stream, channel) = secure(stream, &target.address.host, &target.tls, limits).await?;
        converse(stream, channel, &target.terms, limits).await
    });
    timeout(limits.login_max, whole).await.unwrap_or(Err(UpstreamError::Timeout { step: "complete the login" }))
}

/// Brings TLS up as the mode says, or fails.
pub async fn secure<S>(
    mut stream: S,
    host: &str,
    tls: &UpstreamTls,
    limits: &Limits,
) -> Result<(Stream<S>, Channel), UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let verified = match tls {
        UpstreamTls::Off => return Ok((Stream::Plain(stream), Channel::Plain)),
        UpstreamTls::On(verified) => verified,
    };
    let mut request = BytesMut::new();
    packet::write_ssl_request(&mut request);
    send(&mut stream, &mut request, limits).await?;
    let mut answer = [0];
    timeout(limits.handshake_step_max, stream.read_exact(&mut answer))
        .await
        .map_err(|_| UpstreamError::Timeout { step: "answer the request for TLS" })?
        .map_err(broken)?;
    match answer {
        [b'S'] => handshake(stream, host, verified, limits).await,
        [b'N'] => Err(UpstreamError::TlsRefused),
        [byte] => Err(UpstreamError::TlsAnswer { byte }),
    }
}

async fn handshake<S>(
    stream: S,
    host: &str,
    verified: &Verified,
    limits: &Limits,
) -> Result<(Stream<S>, Channel), UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(host.to_owned()).map_err(|_| UpstreamError::Address)?;
    let connecting = TlsConnector::from(verified.config().clone()).connect(name, Rewind::fresh(stream));
    let stream = timeout(limits.handshake_step_max, Box::pin(connecting))
        .await
        .map_err(|_| UpstreamError::Timeout { step: "complete the TLS handshake" })?
        .map_err(UpstreamError::Tls)?;
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let channel = Channel::Tls {
        end_point: leaf.and_then(|leaf| end_point(leaf)),
        name_verified: match verified.checks() {
            Checks::ChainAndName => true,
            Checks::Chain => false,
        },
    };
    Ok((Stream::Tls(Box::new(TlsStream::Client(stream))), channel))
}

async fn converse<S>(
    mut stream: Stream<S>,
    channel: Channel,
    terms: &Terms,
    limits: &Limits,
) -> Result<Upstream<S>, UpstreamError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut bounds = limits.clone();
    bounds.upstream_message_bytes_max = bounds.upstream_message_bytes_max.min(LOGIN_MESSAGE_BYTES_MAX);
    let (mut input, mut out) = (BytesMut::with_capacity(READ_BYTES), BytesMut::new());
    let mut login = Login::start(terms, channel, &mut out)?;
    loop {
        if !out.is_empty() {
            send(&mut stream, &mut out, limits).await?;
        }
        let frame = timeout(limits.handshake_step_max, next_frame(&mut stream, &mut input, &bounds))
            .await
            .map_err(|_| UpstreamError::Timeout { step: "say the next word of the login" })??;
        if let Some(Complete { parameters, key }) = login.on_frame(&frame, &mut out)? {
            return Ok(Upstream { stream, parameters, key, leftover: input });
        }
    }
}

async fn next_frame<S>(stream: &mut S, input: &mut BytesMut, bounds: &Limits) -> Result<Frame<ServerTag>, UpstreamError>
where
    S: AsyncRead + Unpin,
{
    loop {
        if let Some(frame) = Frame::next(input, bounds)? {
            return Ok(frame);
        }
        input.reserve(READ_BYTES);
        if stream.read_buf(input).await.map_err(broken)? == 0 {
            return Err(UpstreamError::Closed);
        }
    }
}

/// Writes everything in `out` and empties it. What it held may be a credential: it is wiped.
pub(super) async fn send<S>(stream: &mut S, out: &mut BytesMut, limits: &Limits) -> Result<(), UpstreamError>
where
    S: AsyncWrite + Unpin,
{
    let written = timeout(limits.handshake_step_max, async {
        stream.write_all(out).await?;
        stream.flush().await
    })
    .await;
    zeroize::Zeroize::zeroize(&mut out[..]);
    out.clear();
    written.map_err(|_| UpstreamError::Timeout { step: "take what the gateway says" })?.map_err(broken)
}

fn broken(error: io::Error) -> UpstreamError {
    if error.kind() == io::ErrorKind::UnexpectedEof { UpstreamError::Closed } else { UpstreamError::Broken(error) }
}

#[cfg(test)]
mod tests;
