//! Reads a recording back and checks every byte on the way.
//!
//! Memory is bounded by one record, whatever the files hold. A recording that still grows reads up to where it
//! stands. Nothing here writes, and no bytes make it panic.

use super::PublicKey;
use super::age::{AgeError, Identity, PayloadKey};
use super::format::{
    self, CHECK_BYTES, Chain, Head, PAYLOAD_BYTES_MAX, RECORD_HEADER_BYTES, RecordKind, SEGMENT_HEADER_BYTES,
};
use super::segment::{self, Segment};
use super::transit::Opener;
use crate::core::event::{Event, What};
use crate::core::id::SessionId;
use lang::time::Timestamp;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// One event and its number among the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The record's number, from 0.
    pub record: u64,
    /// The event.
    pub event: Event,
}

/// Where and how a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Closed in order; the signature covers everything.
    Complete {
        /// All records.
        records: u64,
        /// When it was closed.
        at: Timestamp,
    },
    /// Intact up to here, and without a close: it still grows, or its gateway was stopped.
    Unclosed {
        /// Whole records.
        records: u64,
        /// Records that a signature covers; the rest is chained but could be replaced by whoever owns the disk.
        signed_records: u64,
        /// Bytes of a record that was being written.
        torn_bytes: usize,
        /// Whether a gateway still holds the file.
        live: bool,
    },
}

/// What is wrong with a recording's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampered {
    /// The first bytes are no segment header.
    Header,
    /// The header names another version of the format.
    Version(u16),
    /// The header names another session, segment or key, or continues another chain.
    Place,
    /// The length or the kind of a record was changed, or the record does not belong here.
    RecordHeader,
    /// The payload of a record was changed.
    Payload,
    /// The payload is not what its kind says.
    Meaning,
    /// A signature is not the key's.
    Signature,
    /// A compressed segment's seal is not the key's.
    Seal,
    /// A compressed segment cannot be decompressed.
    Compression,
    /// The plain and the compressed copy of a segment differ.
    Copies,
    /// A segment ends within a record although another segment follows.
    Cut,
    /// Something follows the close.
    AfterClose,
}

impl Tampered {
    pub(super) fn at(self, segment: u32, record: Option<u64>) -> ReadError {
        ReadError::Tampered { what: self, segment, record }
    }
}

impl fmt::Display for Tampered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header => f.write_str("its first bytes are no segment header"),
            Self::Version(version) => {
                write!(f, "its header names version {version} of the format, which is not known here")
            }
            Self::Place => f.write_str("its header belongs to another session, segment, key or chain"),
            Self::RecordHeader => f.write_str("the length or the kind was changed, or the record is out of place"),
            Self::Payload => f.write_str("the content was changed"),
            Self::Meaning => f.write_str("the content has no meaning here"),
            Self::Signature => f.write_str("the signature is not the key's"),
            Self::Seal => f.write_str("the seal of the compressed bytes is not the key's"),
            Self::Compression => f.write_str("the bytes cannot be decompressed"),
            Self::Copies => f.write_str("its plain and its compressed copy differ"),
            Self::Cut => f.write_str("it ends within a record although more follows"),
            Self::AfterClose => f.write_str("something follows the close"),
        }
    }
}

/// Why a recording cannot be read (on).
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("there is no recording in `{}`", .0.display())]
    Missing(PathBuf),
    /// The file system refused.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The recording names another key than the one that was given.
    #[error("the recording is signed by the key {recorded}, not by the given key {given}")]
    OtherKey {
        /// The recording's, in hexadecimal.
        recorded: String,
        /// The given one.
        given: String,
    },
    /// The end was asked for before everything was read.
    #[error("the recording was not read to its end")]
    Unfinished,
    /// The given identities do not open it.
    #[error("the recording cannot be decrypted: {0}")]
    Closed(AgeError),
    /// A byte was changed, added, removed or moved.
    #[error("{}", tampered_sentence(*what, *segment, *record))]
    Tampered {
        /// How it shows.
        what: Tampered,
        /// Where: the segment.
        segment: u32,
        /// Where: the record, from 0; none when the segment as a whole is meant.
        record: Option<u64>,
    },
}

fn tampered_sentence(what: Tampered, segment: u32, record: Option<u64>) -> String {
    match record {
        Some(record) => format!("record {record} in segment {segment} was tampered with: {what}"),
        None => format!("segment {segment} was tampered with: {what}"),
    }
}

/// A recording being read.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    given_key: Option<PublicKey>,
    /// The key that signatures are checked with: the given one, or the one that the recording names.
    key: Option<PublicKey>,
    session: Option<SessionId>,
    segment: u32,
    source: Segment,
    head: Head,
    signed_records: u64,
    /// False when reading started in the middle: numbers and signatures mean nothing then.
    anchored: bool,
    /// Whether the event that states the end has been read.
    ended: bool,
    end: Option<End>,
    failed: bool,
    payload: Vec<u8>,
    version: u16,
    identities: Vec<Identity>,
    opener: Option<Opener>,
    payload_key: Option<PayloadKey>,
    /// Events that are encrypted and were not decrypted.
    hidden: u64,
    /// A number of records, and the chain after them once it was seen.
    watched: Option<(u64, Option<Chain>)>,
}

enum Step {
    Event(Entry),
    Again,
    End(End),
}

impl Reader {
    /// Opens the recording in a folder. With a key every signature must be that key's; without one, signatures are
    /// only checked against the key that the recording itself names, which proves integrity but not origin.
    pub fn open(folder: &Path, key: Option<PublicKey>) -> Result<Self, ReadError> {
        Self::start(folder, key, 0, None)
    }

    /// Starts in the middle, without signatures: for lists.
    pub(super) fn open_unanchored(folder: &Path, segment: u32) -> Result<Self, ReadError> {
        let mut reader = Self::start(folder, None, segment, None)?;
        reader.anchored = segment == 0;
        Ok(reader)
    }

    fn start(
        folder: &Path,
        given_key: Option<PublicKey>,
        segment: u32,
        session: Option<SessionId>,
    ) -> Result<Self, ReadError> {
        // The session's name stands in the header of the segment, so the first seal is checked afterwards.
        let source =
            Segment::open(folder, segment, None, None)?.ok_or_else(|| ReadError::Missing(folder.to_owned()))?;
        let mut reader = Self {
            folder: folder.to_owned(),
            given_key,
            key: given_key,
            session,
            segment,
            source,
            head: Head { records: 0, chain: [0; 32] },
            signed_records: 0,
            anchored: true,
            ended: false,
            end: None,
            failed: false,
            payload: Vec::new(),
            version: format::VERSION,
            identities: Vec::new(),
            opener: None,
            payload_key: None,
            hidden: 0,
            watched: None,
        };
        reader.read_first_header()?;
        Ok(reader)
    }

    /// The session; none when not even the first header was written whole.
    pub fn session(&self) -> Option<&SessionId> {
        self.session.as_ref()
    }

    /// Where the recording ends, once the iteration has ended without an error.
    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Decrypts events with these identities. Without them an encrypted recording is checked, and not shown.
    #[must_use]
    pub fn with_identities(mut self, identities: Vec<Identity>) -> Self {
        self.identities = identities;
        self
    }

    /// Decrypts events whose key a key service wrapped.
    #[must_use]
    pub fn with_key_service(mut self, opener: Opener) -> Self {
        self.opener = Some(opener);
        self
    }

    /// Events so far that are encrypted and were not decrypted.
    pub fn hidden(&self) -> u64 {
        self.hidden
    }

    /// Goes on at the end of a recording that its gateway still writes; false when it will not grow, or cannot be
    /// followed from here.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn again(&mut self) -> Result<bool, ReadError> {
        let Some(End::Unclosed { live: true, torn_bytes, .. }) = self.end else { return Ok(false) };
        if self.session.is_none() || !self.source.back(torn_bytes).map_err(|source| self.io(source))? {
            return Ok(false);
        }
        self.end = None;
        Ok(true)
    }

    /// The version of the format.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Asks for the chain after that many records.
    pub fn watch(&mut self, records: u64) {
        self.watched = Some((records, None));
    }

    /// The chain that was asked for, once it was seen.
    pub fn watched(&self) -> Option<Chain> {
        self.watched.and_then(|(_, chain)| chain)
    }

    /// The chain so far.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The next event; `None` at the end, or after an error.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, ReadError> {
        while self.end.is_none() && !self.failed {
            match self.step() {
                Ok(Step::Event(entry)) => return Ok(Some(entry)),
                Ok(Step::Again) => {}
                Ok(Step::End(end)) => self.end = Some(end),
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    fn read_first_header(&mut self) -> Result<(), ReadError> {
        let mut bytes = [0_u8; SEGMENT_HEADER_BYTES];
        let filled = self.fill(&mut bytes)?;
        if filled < bytes.len() {
            if segment::exists(&self.folder, self.segment.saturating_add(1)) || self.source.is_sealed() {
                return Err(Tampered::Cut.at(self.segment, None));
            }
            self.end = Some(self.unclosed(filled));
            return Ok(());
        }
        let header = format::parse_segment_header(&bytes).ok_or_else(|| Tampered::Header.at(self.segment, None))?;
        if header.version == 0 || header.version > format::VERSION {
            return Err(Tampered::Version(header.version).at(self.segment, None));
        }
        self.version = header.version;
        if let Some(given) = self.given_key
            && given.to_bytes() != header.public_key
        {
            let recorded = super::key::hexadecimal(&header.public_key);
            return Err(ReadError::OtherKey { recorded, given: given.to_string() });
        }
        let named = PublicKey::from_bytes(&header.public_key);
        self.key = Some(named.ok_or_else(|| Tampered::Header.at(self.segment, None))?);
        self.head.chain =
            if self.segment == 0 { format::chain_start(&header.session, header.version) } else { header.before };
        self.session = Some(header.session);
        self.accept_header(&bytes)?;
        if self.source.is_sealed() {
            // Again from the start, now that the seal can be checked.
            let again = Segment::open(&self.folder, self.segment, self.session.as_ref(), self.key.as_ref())?;
            self.source = again.ok_or_else(|| ReadError::Missing(self.folder.clone()))?;
            self.fill(&mut bytes)?;
        }
        Ok(())
    }

    /// Checks a header against the chain and moves the chain.
    fn accept_header(&mut self, bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Result<(), ReadError> {
        let place = || Tampered::Place.at(self.segment, None);
        let header = format::parse_segment_header(bytes).ok_or_else(|| Tampered::Header.at(self.segment, None))?;
        if header.version != self.version {
            return Err(Tampered::Version(header.version).at(self.segment, None));
        }
        let key = self.key.map(PublicKey::to_bytes);
        if header.segment != self.segment
            || Some(&header.session) != self.session.as_ref()
            || Some(header.public_key) != key
            || header.before != self.head.chain
        {
            return Err(place());
        }
        let (content, _) = bytes.split_at(SEGMENT_HEADER_BYTES - CHECK_BYTES);
        let chain = format::chain_after(&self.head.chain, [content, b""]);
        if format::check(&chain) != header.check {
            return Err(place());
        }
        self.head.chain = chain;
        Ok(())
    }

    fn step(&mut self) -> Result<Step, ReadError> {
        let mut header = [0_u8; RECORD_HEADER_BYTES];
        let filled = self.fill_or_follow(&mut header)?;
        if filled == 0 {
            return self.next_segment();
        }
        if filled < header.len() {
            return self.torn(filled);
        }
        let Some((length_and_kind, header_check)) = header.split_first_chunk::<5>() else {
            return Err(self.tampered(Tampered::RecordHeader));
        };
        let [a, b, c, d, kind] = *length_and_kind;
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let kind = RecordKind::parse(kind, self.version).filter(|_| length <= PAYLOAD_BYTES_MAX);
        let expected = format::header_check(&self.head.chain, length_and_kind);
        let Some(kind) = kind.filter(|_| expected == *header_check) else {
            return Err(self.tampered(Tampered::RecordHeader));
        };

        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(length + CHECK_BYTES, 0);
        let filled = self.fill_or_follow(&mut payload)?;
        if filled < payload.len() {
            return self.torn(RECORD_HEADER_BYTES + filled);
        }
        let (content, check) = payload.split_at(length);
        let before = self.head.chain;
        let chain = format::chain_after(&before, [length_and_kind, content]);
        if format::check(&chain) != *check {
            return Err(self.tampered(Tampered::Payload));
        }
        let step = match kind {
            RecordKind::Event => self.accept_event(content, false),
            RecordKind::Sealed => self.accept_sealed(content),
            RecordKind::Key => self.accept_key(content),
            RecordKind::Checkpoint | RecordKind::Close => self.accept_signed(kind, content),
        }?;
        self.head.chain = chain;
        self.head.records = self.head.records.saturating_add(1);
        self.payload = payload;
        if let Some((records, seen)) = &mut self.watched
            && *records == self.head.records
        {
            *seen = Some(chain);
        }
        match step {
            Step::Event(entry) => Ok(Step::Event(entry)),
            Step::Again => {
                if kind == RecordKind::Checkpoint {
                    self.signed_records = self.head.records;
                }
                Ok(Step::Again)
            }
            Step::End(_) => self.finish(step),
        }
    }

    fn accept_key(&mut self, content: &[u8]) -> Result<Step, ReadError> {
        if (self.anchored && self.head.records != 1) || content.len() > super::age::FILE_BYTES_MAX {
            return Err(self.tampered(Tampered::Meaning));
        }
        if super::transit::is_wrapped_so(content) {
            if let (Some(opener), Some(session)) = (&self.opener, &self.session) {
                self.payload_key = Some(opener.open(session, content).map_err(ReadError::Closed)?);
            }
        } else if !self.identities.is_empty() {
            self.payload_key = Some(PayloadKey::unwrap(content, &self.identities).map_err(ReadError::Closed)?);
        }
        Ok(Step::Again)
    }

    fn accept_sealed(&mut self, content: &[u8]) -> Result<Step, ReadError> {
        if self.ended || (self.anchored && self.head.records == 0) {
            return Err(self.tampered(Tampered::Meaning));
        }
        let (Some(key), Some(session)) = (&self.payload_key, &self.session) else {
            self.hidden = self.hidden.saturating_add(1);
            return Ok(Step::Again);
        };
        let packed = key.open(self.head.records, session.as_str().as_bytes(), content).ok();
        let event = packed.and_then(|packed| format::unpack_event(&packed));
        let event = event.ok_or_else(|| self.tampered(Tampered::Meaning))?;
        self.accept_event(&event, true)
    }

    fn accept_event(&mut self, content: &[u8], sealed: bool) -> Result<Step, ReadError> {
        let event = format::decode_event(content).ok_or_else(|| self.tampered(Tampered::Meaning))?;
        let fits = match &event.what {
            What::Opened(opened) => !sealed && self.head.records == 0 && Some(&opened.session) == self.session.as_ref(),
            What::FromClient(_)
            | What::ToClient(_)
            | What::RowsOmitted { .. }
            | What::Decision(_)
            | What::Reauthorised { .. }
            | What::Closed { .. } => self.head.records > 0 || !self.anchored,
        };
        if !fits || self.ended {
            return Err(self.tampered(Tampered::Meaning));
        }
        self.ended = matches!(event.what, What::Closed { .. });
        Ok(Step::Event(Entry { record: self.head.records, event }))
    }

    fn accept_signed(&mut self, kind: RecordKind, content: &[u8]) -> Result<Step, ReadError> {
        let Some((at, signature)) = format::parse_signed(content) else {
            return Err(self.tampered(Tampered::Meaning));
        };
        let (Some(session), Some(key)) = (&self.session, &self.key) else {
            return Err(self.tampered(Tampered::Signature));
        };
        let message = format::signed_message(kind, session, self.head.records, &self.head.chain, at);
        if self.anchored && !key.verifies(&message, &signature) {
            return Err(self.tampered(Tampered::Signature));
        }
        if kind == RecordKind::Close {
            if !self.ended {
                return Err(self.tampered(Tampered::Meaning));
            }
            return Ok(Step::End(End::Complete { records: self.head.records.saturating_add(1), at }));
        }
        Ok(Step::Again)
    }

    /// Nothing may follow a close.
    fn finish(&mut self, end: Step) -> Result<Step, ReadError> {
        let more = self.fill(&mut [0])? > 0
            || self.source.has_rest().map_err(|source| self.io(source))?
            || segment::exists(&self.folder, self.segment.saturating_add(1));
        if more {
            return Err(self.tampered(Tampered::AfterClose));
        }
        self.reject_strays()?;
        Ok(end)
    }

    fn next_segment(&mut self) -> Result<Step, ReadError> {
        if self.source.has_rest().map_err(|source| self.io(source))? {
            return Err(Tampered::Compression.at(self.segment, None));
        }
        let Some(next) = self.segment.checked_add(1) else {
            return Err(self.tampered(Tampered::Place));
        };
        let Some(source) = Segment::open(&self.folder, next, self.session.as_ref(), self.key.as_ref())? else {
            self.reject_strays()?;
            return Ok(Step::End(self.unclosed(0)));
        };
        self.segment = next;
        self.source = source;
        let mut bytes = [0_u8; SEGMENT_HEADER_BYTES];
        let filled = self.fill_or_follow(&mut bytes)?;
        if filled < bytes.len() {
            return self.torn(filled);
        }
        self.accept_header(&bytes)?;
        Ok(Step::Again)
    }

    /// A segment that no chain leads to means that one before it was removed.
    fn reject_strays(&self) -> Result<(), ReadError> {
        let last = super::list::last_segment(&self.folder)
            .map_err(|source| ReadError::Io { path: self.folder.clone(), source })?;
        match last {
            // The next number may have appeared meanwhile in a recording that grows.
            Some(last) if last > self.segment.saturating_add(1) => Err(Tampered::Cut.at(self.segment, None)),
            Some(_) | None => Ok(()),
        }
    }

    fn torn(&mut self, bytes: usize) -> Result<Step, ReadError> {
        if self.source.is_sealed() || segment::exists(&self.folder, self.segment.saturating_add(1)) {
            return Err(self.tampered(Tampered::Cut));
        }
        self.reject_strays()?;
        Ok(Step::End(self.unclosed(bytes)))
    }

    fn unclosed(&self, torn_bytes: usize) -> End {
        End::Unclosed {
            records: self.head.records,
            signed_records: self.signed_records,
            torn_bytes,
            live: self.source.has_writer(),
        }
    }

    /// Fills the buffer. When the segment ended and another one stands already, its last bytes may have been written
    /// after the first look: looks once more.
    fn fill_or_follow(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        let mut filled = self.fill(buffer)?;
        if filled < buffer.len()
            && !self.source.is_sealed()
            && segment::exists(&self.folder, self.segment.saturating_add(1))
        {
            let rest = buffer.get_mut(filled..).unwrap_or_default();
            filled += self.fill(rest)?;
        }
        Ok(filled)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, ReadError> {
        self.source.fill(buffer).map_err(|source| self.io(source))
    }

    fn io(&self, source: io::Error) -> ReadError {
        if self.source.is_sealed() {
            return Tampered::Compression.at(self.segment, None);
        }
        ReadError::Io { path: self.folder.clone(), source }
    }

    fn tampered(&self, what: Tampered) -> ReadError {
        what.at(self.segment, Some(self.head.records))
    }
}

impl Iterator for Reader {
    type Item = Result<Entry, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_entry().transpose()
    }
}
