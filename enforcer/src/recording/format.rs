//! The bytes of a recording: segment headers, framed and chained records, and what is signed.
//!
//! Pure: no file and no clock. `docs/recording-format.md` states the same for whoever writes a verifier; both
//! change together, and a change of meaning takes a new version number. Nothing here may panic on hostile bytes.

use crate::core::event::Event;
use crate::core::id::SessionId;
use lang::time::Timestamp;

/// The first bytes of every segment.
pub const MAGIC: &[u8; 8] = b"LSHREC\r\n";
/// The version of this format. Readers know all versions from 1.
pub const VERSION: u16 = 2;
/// Bytes of a session identifier.
pub const SESSION_BYTES: usize = 20;
/// Bytes of a segment header.
pub const SEGMENT_HEADER_BYTES: usize = 8 + 2 + 4 + SESSION_BYTES + 32 + 32 + CHECK_BYTES;
/// Bytes before a record's payload.
pub const RECORD_HEADER_BYTES: usize = 4 + 1 + HEADER_CHECK_BYTES;
/// Bytes of the check over a record's header.
pub const HEADER_CHECK_BYTES: usize = 4;
/// Bytes of the check after a record's payload.
pub const CHECK_BYTES: usize = 8;
/// Bytes of a checkpoint's and a close's payload.
pub const SIGNED_BYTES: usize = 8 + 64;
/// The longest payload of a record; a reader refuses more, so that its memory is bounded.
pub const PAYLOAD_BYTES_MAX: usize = 2 << 20;
/// Frames beyond this many bytes are split over several records.
pub const FRAMES_BYTES_MAX: usize = 1 << 20;
/// Shorter events are encrypted as they are.
const COMPRESSED_BYTES_MIN: usize = 256;
const COMPRESSION_LEVEL: i32 = 1;
/// A segment that has reached this size is followed by another.
pub const SEGMENT_BYTES: u64 = 8 << 20;

/// A chain value: BLAKE3 over everything that came before.
pub type Chain = [u8; 32];

/// The kinds of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// An event in CBOR.
    Event,
    /// A signature over the chain so far.
    Checkpoint,
    /// The signature that ends a recording.
    Close,
    /// An event that is encrypted; from version 2.
    Sealed,
    /// The key of the encrypted events, wrapped in an age file; from version 2.
    Key,
}

impl RecordKind {
    /// The byte in a record's header.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Event => 1,
            Self::Checkpoint => 2,
            Self::Close => 3,
            Self::Sealed => 4,
            Self::Key => 5,
        }
    }

    /// The kind that a header's byte names.
    pub const fn parse(byte: u8, version: u16) -> Option<Self> {
        match byte {
            1 => Some(Self::Event),
            2 => Some(Self::Checkpoint),
            3 => Some(Self::Close),
            4 if version >= 2 => Some(Self::Sealed),
            5 if version >= 2 => Some(Self::Key),
            _ => None,
        }
    }
}

/// The chain value before the first byte of a recording.
pub fn chain_start(session: &SessionId, version: u16) -> Chain {
    let mut hasher = blake3::Hasher::new();
    hasher.update(format!("leasehold recording v{version}\0").as_bytes());
    hasher.update(session.as_str().as_bytes());
    *hasher.finalize().as_bytes()
}

/// The chain value after some bytes.
pub fn chain_after(before: &Chain, parts: [&[u8]; 2]) -> Chain {
    let mut hasher = blake3::Hasher::new();
    hasher.update(before);
    for part in parts {
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The first bytes of a chain value, kept beside each record so that a reader can say where a change lies.
pub fn check(chain: &Chain) -> [u8; CHECK_BYTES] {
    let mut out = [0; CHECK_BYTES];
    out.iter_mut().zip(chain).for_each(|(to, from)| *to = *from);
    out
}

/// The check over the length and the kind of a record, so that a changed length is not taken for a torn tail.
pub fn header_check(before: &Chain, length_and_kind: &[u8]) -> [u8; HEADER_CHECK_BYTES] {
    let mut out = [0; HEADER_CHECK_BYTES];
    let hash = chain_after(before, [length_and_kind, b"header"]);
    out.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    out
}

/// What a checkpoint or a close signs.
pub fn signed_message(kind: RecordKind, session: &SessionId, sequence: u64, before: &Chain, at: Timestamp) -> Vec<u8> {
    let domain: &[u8] = match kind {
        RecordKind::Close => b"leasehold close v1\0",
        RecordKind::Checkpoint | RecordKind::Event | RecordKind::Sealed | RecordKind::Key => {
            b"leasehold checkpoint v1\0"
        }
    };
    let mut message = Vec::with_capacity(domain.len() + SESSION_BYTES + 8 + 32 + 8);
    message.extend_from_slice(domain);
    message.extend_from_slice(session.as_str().as_bytes());
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(before);
    message.extend_from_slice(&at.unix_ms().to_be_bytes());
    message
}

/// What the seal of a compressed segment signs.
pub fn seal_message(session: &SessionId, segment: u32, hash: &[u8; 32]) -> Vec<u8> {
    let mut message = b"leasehold seal v1\0".to_vec();
    message.extend_from_slice(session.as_str().as_bytes());
    message.extend_from_slice(&segment.to_be_bytes());
    message.extend_from_slice(hash);
    message
}

/// The head of a chain: how many records there are, and the value after the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Records so far; the number of the next.
    pub records: u64,
    /// The chain value.
    pub chain: Chain,
}

/// Appends a segment's header to `out` and moves the chain.
pub fn push_segment_header(
    head: &mut Head,
    session: &SessionId,
    segment: u32,
    public_key: &[u8; 32],
    out: &mut Vec<u8>,
) {
    let start = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&segment.to_be_bytes());
    out.extend_from_slice(session.as_str().as_bytes());
    out.extend_from_slice(public_key);
    out.extend_from_slice(&head.chain);
    head.chain = chain_after(&head.chain, [out.get(start..).unwrap_or_default(), b""]);
    out.extend_from_slice(&check(&head.chain));
}

/// Appends a record to `out` and moves the chain. The payload must be within [`PAYLOAD_BYTES_MAX`].
pub fn push_record(head: &mut Head, kind: RecordKind, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    let [a, b, c, d] = length;
    let length_and_kind = [a, b, c, d, kind.byte()];
    out.extend_from_slice(&length_and_kind);
    out.extend_from_slice(&header_check(&head.chain, &length_and_kind));
    out.extend_from_slice(payload);
    head.chain = chain_after(&head.chain, [&length_and_kind, payload]);
    head.records = head.records.saturating_add(1);
    out.extend_from_slice(&check(&head.chain));
}

/// A segment's header, as its bytes claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The version of the format.
    pub version: u16,
    /// The number of the segment.
    pub segment: u32,
    /// The session.
    pub session: SessionId,
    /// The public key whose other half signs.
    pub public_key: [u8; 32],
    /// The chain value before the header.
    pub before: Chain,
    /// The check after the header.
    pub check: [u8; CHECK_BYTES],
}

/// Reads a segment's header; `None` when the bytes are none.
pub fn parse_segment_header(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Option<SegmentHeader> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk::<2>()?;
    let (segment, rest) = rest.split_first_chunk::<4>()?;
    let (session, rest) = rest.split_first_chunk::<SESSION_BYTES>()?;
    let (public_key, rest) = rest.split_first_chunk::<32>()?;
    let (before, rest) = rest.split_first_chunk::<32>()?;
    let (check, rest) = rest.split_first_chunk::<CHECK_BYTES>()?;
    if magic != MAGIC || !rest.is_empty() {
        return None;
    }
    Some(SegmentHeader {
        version: u16::from_be_bytes(*version),
        segment: u32::from_be_bytes(*segment),
        session: SessionId::parse(std::str::from_utf8(session).ok()?)?,
        public_key: *public_key,
        before: *before,
        check: *check,
    })
}

/// Reads a checkpoint's or a close's payload: when, and the signature.
pub fn parse_signed(payload: &[u8]) -> Option<(Timestamp, [u8; 64])> {
    let (at, rest) = payload.split_first_chunk::<8>()?;
    let (signature, rest) = rest.split_first_chunk::<64>()?;
    rest.is_empty().then(|| (Timestamp::from_unix_ms(i64::from_be_bytes(*at)), *signature))
}

/// Appends an event in CBOR to `out`; false when it cannot be expressed.
pub fn encode_event(event: &Event, out: &mut Vec<u8>) -> bool {
    ciborium::into_writer(event, out).is_ok()
}

/// An event's bytes as they are encrypted: a byte that says whether zstd compressed the rest, and the rest.
pub fn pack_event(event: &[u8]) -> Vec<u8> {
    let compressed = (event.len() >= COMPRESSED_BYTES_MIN).then(|| zstd::bulk::compress(event, COMPRESSION_LEVEL).ok());
    let (flag, bytes) = match compressed.flatten().as_deref() {
        Some(smaller) if smaller.len() < event.len() => (1, smaller.to_vec()),
        Some(_) | None => (0, event.to_vec()),
    };
    let mut out = Vec::with_capacity(bytes.len() + 1 + super::age::TAG_BYTES);
    out.push(flag);
    out.extend_from_slice(&bytes);
    out
}

/// The reverse of [`pack_event`]; `None` when the bytes are none.
pub fn unpack_event(packed: &[u8]) -> Option<Vec<u8>> {
    match packed.split_first()? {
        (0, event) => Some(event.to_vec()),
        (1, compressed) => zstd::bulk::decompress(compressed, PAYLOAD_BYTES_MAX).ok(),
        _ => None,
    }
}

/// Reads an event; `None` when the payload is none.
pub fn decode_event(payload: &[u8]) -> Option<Event> {
    let mut rest = payload;
    let event = ciborium::de::from_reader_with_recursion_limit(&mut rest, 16).ok()?;
    rest.is_empty().then_some(event)
}
