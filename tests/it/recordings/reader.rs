//! A reader and verifier of recordings, written from `docs/recording-format.md` alone: it shares no code with the product,
//! and uses other libraries for signatures. What it cannot follow, the document does not say.

use super::cbor::{self, Value};
use super::wrapped;
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use std::fs;
use std::path::Path;

pub(super) type Hash = [u8; 32];

pub(super) fn blake3_of(parts: &[&[u8]]) -> Hash {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

pub(super) fn verifies(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
}

/// A number of so many bytes, big-endian.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// What a recording holds, and how it ends.
#[derive(Debug, PartialEq)]
pub(super) struct Read {
    pub(super) version: u64,
    /// Records, checkpoints included.
    pub(super) records: u64,
    pub(super) chain: Hash,
    /// The instant and the content of each event that can be read.
    pub(super) events: Vec<(i128, String, Value)>,
    /// Events that stay encrypted.
    pub(super) hidden: u64,
    /// The wrapped key, where there is one.
    pub(super) wrapped: Option<Vec<u8>>,
    /// When it was closed.
    pub(super) closed: Option<i64>,
}

/// Where something does not fit: the segment, the record, what.
pub(super) type Fault = (u32, u64, &'static str);

/// The name of a segment's file and its uncompressed bytes.
fn segment(folder: &Path, session: &str, key: &[u8], segment: u32) -> Result<Option<Vec<u8>>, &'static str> {
    if let Ok(plain) = fs::read(folder.join(format!("{segment:06}.rec"))) {
        return Ok(Some(plain));
    }
    let Ok(file) = fs::read(folder.join(format!("{segment:06}.rec.zst"))) else { return Ok(None) };
    let (frame, seal) = file.split_at(file.len().checked_sub(72).ok_or("no seal")?);
    if seal[..8] != [0x5e, 0x2a, 0x4d, 0x18, 0x40, 0, 0, 0] {
        return Err("no seal");
    }
    let number = segment.to_be_bytes();
    let message = [b"leasehold seal v1\0", session.as_bytes(), &number, &blake3_of(&[frame])].concat();
    if !verifies(key, &message, &seal[8..]) {
        return Err("the seal");
    }
    zstd::decode_all(frame).map(Some).map_err(|_| "the frame")
}

/// Reads a recording through. `identity` opens an encrypted one.
pub(super) fn read(folder: &Path, key: &[u8], identity: Option<&Hash>) -> Result<Read, Fault> {
    let session = folder.file_name().unwrap().to_str().unwrap().to_owned();
    let mut state =
        State { session, key: key.to_vec(), identity: identity.copied(), secret: None, chain: [0; 32], read: None };
    for number in 0_u32.. {
        let at = state.read.as_ref().map_or(0, |read| read.records);
        let bytes = segment(folder, &state.session, key, number).map_err(|what| (number, at, what))?;
        let Some(bytes) = bytes else { break };
        state.segment(number, &bytes)?;
    }
    state.read.ok_or((0, 0, "no segment"))
}

struct State {
    session: String,
    key: Vec<u8>,
    identity: Option<Hash>,
    secret: Option<Hash>,
    chain: Hash,
    read: Option<Read>,
}

impl State {
    fn segment(&mut self, segment: u32, bytes: &[u8]) -> Result<(), Fault> {
        let before = self.read.as_ref().map_or(0, |read| read.records);
        let fault = |what| (segment, before, what);
        let header = bytes.get(..106).ok_or(fault("a short header"))?;
        let version = number(&header[8..10]);
        if &header[..8] != b"LSHREC\r\n" || !matches!(version, 1 | 2) {
            return Err(fault("no recording"));
        }
        if self.read.is_none() {
            let start = format!("leasehold recording v{version}\0");
            self.chain = blake3_of(&[start.as_bytes(), self.session.as_bytes()]);
        }
        let known = self.read.as_ref().map_or(version, |read| read.version);
        let fits = number(&header[10..14]) == u64::from(segment)
            && &header[14..34] == self.session.as_bytes()
            && header[34..66] == self.key
            && header[66..98] == self.chain
            && known == version;
        self.chain = blake3_of(&[&self.chain, &header[..98]]);
        if !fits || header[98..] != self.chain[..8] {
            return Err(fault("the header"));
        }
        let chain = self.chain;
        self.read.get_or_insert(Read {
            version,
            records: 0,
            chain,
            events: Vec::new(),
            hidden: 0,
            wrapped: None,
            closed: None,
        });
        let mut rest = &bytes[106..];
        while !rest.is_empty() {
            rest = self.record(segment, rest)?;
        }
        Ok(())
    }

    fn record<'a>(&mut self, segment: u32, bytes: &'a [u8]) -> Result<&'a [u8], Fault> {
        let read = self.read.as_mut().unwrap();
        let fault = |read: &Read, what| (segment, read.records, what);
        if read.closed.is_some() {
            return Err(fault(read, "something after the close"));
        }
        let head = bytes.get(..9).ok_or(fault(read, "a short record"))?;
        let (length, kind) = (usize::try_from(number(&head[..4])).unwrap(), head[4]);
        let check = blake3_of(&[&self.chain, &head[..5], b"header"]);
        if head[5..] != check[..4] || length > 2 << 20 {
            return Err(fault(read, "a record's header"));
        }
        let payload = bytes.get(9..9 + length).ok_or(fault(read, "a short payload"))?;
        let stated = bytes.get(9 + length..17 + length).ok_or(fault(read, "a short check"))?;
        let after = blake3_of(&[&self.chain, &head[..5], payload]);
        if stated != &after[..8] {
            return Err(fault(read, "a record's check"));
        }
        match kind {
            1 => read.events.push(event(payload).ok_or(fault(read, "an event"))?),
            2 | 3 => {
                let word = if kind == 2 { "checkpoint" } else { "close" };
                let prefix = format!("leasehold {word} v1\0{}", self.session);
                let at = payload.get(..8).ok_or(fault(read, "a signature"))?;
                let parts = [prefix.as_bytes(), &read.records.to_be_bytes(), &self.chain, at];
                if payload.len() != 72 || !verifies(&self.key, &parts.concat(), &payload[8..]) {
                    return Err(fault(read, "a signature"));
                }
                if kind == 3 {
                    read.closed = Some(i64::from_be_bytes(at.try_into().unwrap()));
                }
            }
            4 if read.version >= 2 => match &self.secret {
                Some(secret) => {
                    let plain = unseal(secret, read.records, &self.session, payload);
                    let plain = plain.and_then(|plain| event(&plain));
                    read.events.push(plain.ok_or(fault(read, "an encrypted event"))?);
                }
                None => read.hidden += 1,
            },
            5 if read.version >= 2 && read.records == 1 => {
                read.wrapped = Some(payload.to_vec());
                if let Some(identity) = &self.identity {
                    self.secret = Some(wrapped::open(payload, identity).ok_or(fault(read, "the wrapped key"))?);
                }
            }
            _ => return Err(fault(read, "an unknown kind")),
        }
        self.chain = after;
        read.chain = after;
        read.records += 1;
        Ok(&bytes[17 + length..])
    }
}

/// An event's instant, the one key of its `what`, and what stands there.
fn event(payload: &[u8]) -> Option<(i128, String, Value)> {
    let Value::Map(members) = cbor::decode(payload)? else { return None };
    let [(at, Value::Number(instant)), (what, Value::Map(content))] = members.as_slice() else { return None };
    let [(kind, value)] = content.as_slice() else { return None };
    (at == "at" && what == "what").then(|| (*instant, kind.clone(), value.clone()))
}

fn unseal(secret: &Hash, record: u64, session: &str, payload: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, secret).ok()?);
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&record.to_be_bytes());
    let mut bytes = payload.to_vec();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let packed = key.open_in_place(nonce, Aad::from(session.as_bytes()), &mut bytes).ok()?;
    match packed.split_first()? {
        (0, event) => Some(event.to_vec()),
        (1, frame) => zstd::decode_all(frame).ok(),
        _ => None,
    }
}
