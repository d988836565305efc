//! A scripted target: it can log a client in as PostgreSQL does, and stop doing so at any step.

use super::super::super::scram::end_point;
use super::super::super::wire::frame::{ClientTag, Frame, ServerTag};
use super::super::super::wire::packet::Packet;
use super::super::super::wire::server::TransactionStatus;
use super::super::super::wire::write;
use crate::core::limits::Limits;
use crate::gateway::tls::server_config;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};
use rustls::ServerConfig;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsAcceptor;

pub(super) const PASSWORD: &str = "s3cret-of-the-target";
pub(super) const PLUS: &str = "SCRAM-SHA-256-PLUS";
pub(super) const SCRAM: &str = "SCRAM-SHA-256";
pub(super) const PINS: [&str; 5] = ["public, pg_temp", "on", "UTF8", "off", "session"];

/// A certificate for the name `db`, and the authority that signed it.
pub(super) struct Certificate {
    pub(super) config: Arc<ServerConfig>,
    pub(super) authority: String,
    pub(super) hash: Vec<u8>,
}

pub(super) fn certificate(name: &str) -> Certificate {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = parameters.self_signed(&authority_key).unwrap();
    let issuer = rcgen::Issuer::new(parameters, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = server_config(leaf.pem().as_bytes(), key.serialize_pem().as_bytes(), &[]).unwrap();
    Certificate { config, authority: authority.pem(), hash: end_point(leaf.der()).unwrap() }
}

/// A target's end of a connection, with everything that it heard outside TLS or inside.
pub(super) struct Fake<S> {
    stream: S,
    input: BytesMut,
    heard: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Fake<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, input: BytesMut::new(), heard: Vec::new() }
    }

    /// Reads a packet without a kind byte.
    pub(super) async fn packet(&mut self) -> Packet {
        let length = self.stream.read_u32().await.unwrap();
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.stream.read_exact(&mut body).await.unwrap();
        self.heard.extend_from_slice(&body);
        Packet::read(&body).unwrap()
    }

    /// Reads the StartupMessage.
    pub(super) async fn startup(&mut self) -> BTreeMap<String, String> {
        let packet = self.packet().await;
        let Packet::Startup(startup) = packet else { panic!("{packet:?}") };
        startup.parameters.into_iter().collect()
    }

    /// Reads one message; `None` when the gateway has left.
    pub(super) async fn frame(&mut self) -> Option<Frame<ClientTag>> {
        loop {
            if let Some(frame) = Frame::next(&mut self.input, &Limits::default()).unwrap() {
                self.heard.extend_from_slice(frame.whole());
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.input).await.ok()? == 0 {
                return None;
            }
        }
    }

    pub(super) async fn raw(&mut self, bytes: &[u8]) {
        // The gateway may have left already.
        let _ = self.stream.write_all(bytes).await;
    }

    pub(super) async fn send(&mut self, write: impl FnOnce(&mut BytesMut)) {
        let mut out = BytesMut::new();
        write(&mut out);
        self.raw(&out).await;
    }

    /// An Authentication message.
    pub(super) async fn auth(&mut self, code: u32, data: &[u8]) {
        self.send(|out| {
            write::frame(out, b'R', |out| {
                out.put_u32(code);
                out.put_slice(data);
            });
        })
        .await;
    }

    pub(super) async fn offer(&mut self, mechanisms: &[&str]) {
        let list: Vec<u8> = mechanisms.iter().flat_map(|name| [name.as_bytes(), b"\0"].concat()).chain([0]).collect();
        self.auth(10, &list).await;
    }

    /// Reads the first SCRAM message: mechanism, channel-binding header, client-first-bare.
    pub(super) async fn first(&mut self) -> (String, String, String) {
        let frame = self.frame().await.expect("a first message");
        let body = std::str::from_utf8(frame.body()).unwrap();
        let (mechanism, rest) = body.split_once('\0').unwrap();
        let (_length, message) = rest.split_at(4);
        let (header, bare) = message.split_at(message.find("n=,").unwrap());
        (mechanism.to_owned(), header.to_owned(), bare.to_owned())
    }

    /// Reads until the gateway leaves, and gives everything heard.
    pub(super) async fn rest(mut self) -> Vec<u8> {
        while self.frame().await.is_some() {}
        self.heard.extend_from_slice(&self.input);
        self.heard
    }

    /// Runs SCRAM as a server does, checking proof and channel binding; gives the mechanism and gs2 header chosen.
    pub(super) async fn scram(&mut self, offered: &[&str], binding: &[u8]) -> (String, String) {
        self.offer(offered).await;
        let (mechanism, header, bare) = self.first().await;
        let nonce = format!("{}fake", bare.split_once("r=").unwrap().1);
        let challenge = format!("r={nonce},s={},i=4096", STANDARD.encode(b"saltsalt"));
        self.auth(11, challenge.as_bytes()).await;

        let frame = self.frame().await.expect("a proof");
        let proof = std::str::from_utf8(frame.body()).unwrap();
        let (without_proof, proof) = proof.split_once(",p=").unwrap();
        let bound = if header.starts_with('p') { binding } else { &[] };
        let expected = STANDARD.encode([header.as_bytes(), bound].concat());
        assert_eq!(without_proof, format!("c={expected},r={nonce}"));

        let said = format!("{bare},{challenge},{without_proof}");
        let keys = Keys::new();
        let signature = mac(digest::digest(&digest::SHA256, &keys.client).as_ref(), said.as_bytes());
        let wanted: Vec<u8> = keys.client.iter().zip(&signature).map(|(key, mask)| key ^ mask).collect();
        assert_eq!(STANDARD.decode(proof).unwrap(), wanted);
        let last = format!("v={}", STANDARD.encode(mac(&keys.server, said.as_bytes())));
        self.auth(12, last.as_bytes()).await;
        self.auth(0, b"").await;
        (mechanism, header)
    }

    /// Everything after AuthenticationOk, with these answers to the question about the pins.
    pub(super) async fn settle(&mut self, pins: &[&str]) {
        self.send(|out| {
            write::parameter_status(out, "server_version", "15.0");
            write::parameter_status(out, "client_encoding", "UTF8");
            write::backend_key_data(out, 77, &[1, 2, 3, 4]);
            write::ready_for_query(out, TransactionStatus::Idle);
        })
        .await;
        if self.frame().await.is_none_or(|frame| frame.tag() != ClientTag::Query) {
            return;
        }
        self.send(|out| {
            write::frame(out, ServerTag::RowDescription.to_byte(), |out| out.put_u16(0));
            write::data_row(out, pins.iter().map(|pin| Some(pin.as_bytes())).collect::<Vec<_>>().into_iter());
            write::command_complete(out, "SELECT 1");
            write::ready_for_query(out, TransactionStatus::Idle);
        })
        .await;
    }
}

impl Fake<DuplexStream> {
    /// Answers an SSLRequest with yes and brings TLS up; `None` when the gateway refuses the certificate.
    pub(super) async fn tls(
        mut self,
        config: &Arc<ServerConfig>,
    ) -> Option<Fake<tokio_rustls::server::TlsStream<DuplexStream>>> {
        assert_eq!(self.packet().await, Packet::Ssl);
        self.raw(b"S").await;
        let stream = TlsAcceptor::from(Arc::clone(config)).accept(self.stream).await.ok()?;
        Some(Fake::new(stream))
    }
}

struct Keys {
    client: Vec<u8>,
    server: Vec<u8>,
}

impl Keys {
    fn new() -> Self {
        let mut salted = [0; 32];
        let rounds = NonZeroU32::new(4096).unwrap();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, rounds, b"saltsalt", PASSWORD.as_bytes(), &mut salted);
        Self { client: mac(&salted, b"Client Key"), server: mac(&salted, b"Server Key") }
    }
}

fn mac(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}
