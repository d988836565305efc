//! One segment's bytes, plain or compressed, as a stream.
//!
//! The seal of a compressed segment is checked before its first byte is handed out.

use super::PublicKey;
use super::format;
use super::read::{ReadError, Tampered};
use super::seal::{SEAL_BYTES, SEAL_HEADER, WINDOW_LOG_MAX, copy_hashed, sealed_name};
use super::session::segment_name;
use crate::core::id::SessionId;
use std::fs::{File, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Take};
use std::path::Path;

/// Read ahead of a plain segment.
const READ_BYTES: usize = 64 << 10;

/// A segment's uncompressed bytes.
pub(super) enum Segment {
    /// May still grow.
    Plain(BufReader<File>),
    /// Whole.
    Sealed(Box<zstd::stream::read::Decoder<'static, BufReader<Take<File>>>>),
}

impl std::fmt::Debug for Segment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Plain",
            Self::Sealed(_) => "Sealed",
        })
    }
}

/// Whether a segment of that number stands in the folder.
pub(super) fn exists(folder: &Path, segment: u32) -> bool {
    folder.join(segment_name(segment)).exists() || folder.join(sealed_name(segment)).exists()
}

impl Segment {
    /// Opens a segment; `None` when there is none. Without a key and a session the seal is not checked.
    pub(super) fn open(
        folder: &Path,
        segment: u32,
        session: Option<&SessionId>,
        key: Option<&PublicKey>,
    ) -> Result<Option<Self>, ReadError> {
        let plain = open_file(&folder.join(segment_name(segment)))?;
        let sealed = open_file(&folder.join(sealed_name(segment)))?;
        let sealed = match sealed {
            Some(file) => Some(open_sealed(file, folder, segment, session, key)?),
            None => None,
        };
        let Some(plain) = plain else {
            return Ok(sealed);
        };
        let mut plain = Self::Plain(BufReader::with_capacity(READ_BYTES, plain));
        if let Some(mut sealed) = sealed {
            // The gateway stopped between writing the compressed copy and removing the plain one.
            if plain.hash(folder)? != sealed.hash(folder)? {
                return Err(Tampered::Copies.at(segment, None));
            }
            plain.rewind(folder)?;
        }
        Ok(Some(plain))
    }

    /// Reads until the buffer is full or the segment ends.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let count = match self {
                Self::Plain(file) => file.read(rest),
                Self::Sealed(decoder) => decoder.read(rest),
            };
            match count {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    /// Goes back by that many bytes; false in a segment that never grows.
    pub(super) fn back(&mut self, bytes: usize) -> io::Result<bool> {
        match self {
            Self::Plain(file) => {
                file.seek(SeekFrom::Current(-i64::try_from(bytes).unwrap_or(0)))?;
                Ok(true)
            }
            Self::Sealed(_) => Ok(false),
        }
    }

    /// Whether this segment is one that never grows.
    pub(super) fn is_sealed(&self) -> bool {
        matches!(self, Self::Sealed(_))
    }

    /// Whether a recorder still holds the segment.
    pub(super) fn has_writer(&self) -> bool {
        match self {
            Self::Plain(file) => matches!(file.get_ref().try_lock_shared(), Err(TryLockError::WouldBlock)),
            Self::Sealed(_) => false,
        }
    }

    /// Whether the compressed file holds more than its one frame; only to be asked at the end.
    pub(super) fn has_rest(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(_) => Ok(false),
            Self::Sealed(decoder) => Ok(decoder.get_mut().read(&mut [0])? > 0),
        }
    }

    fn hash(&mut self, folder: &Path) -> Result<blake3::Hash, ReadError> {
        let mut hasher = blake3::Hasher::new();
        let outcome = match self {
            Self::Plain(file) => copy_hashed(file, &mut io::sink(), &mut hasher),
            Self::Sealed(decoder) => copy_hashed(decoder, &mut io::sink(), &mut hasher),
        };
        outcome.map_err(|source| ReadError::Io { path: folder.to_owned(), source })?;
        Ok(hasher.finalize())
    }

    fn rewind(&mut self, folder: &Path) -> Result<(), ReadError> {
        match self {
            Self::Plain(file) => {
                file.seek(SeekFrom::Start(0)).map_err(|source| ReadError::Io { path: folder.to_owned(), source })?;
                Ok(())
            }
            Self::Sealed(_) => Ok(()),
        }
    }
}

fn open_file(path: &Path) -> Result<Option<File>, ReadError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(ReadError::Io { path: path.to_owned(), source }),
    }
}

fn open_sealed(
    mut file: File,
    folder: &Path,
    segment: u32,
    session: Option<&SessionId>,
    key: Option<&PublicKey>,
) -> Result<Segment, ReadError> {
    let io = |source| ReadError::Io { path: folder.join(sealed_name(segment)), source };
    let length = file.seek(SeekFrom::End(0)).map_err(io)?;
    let seal_bytes = u64::try_from(SEAL_BYTES).unwrap_or(u64::MAX);
    let Some(frame_bytes) = length.checked_sub(seal_bytes) else {
        return Err(Tampered::Seal.at(segment, None));
    };
    file.seek(SeekFrom::Start(frame_bytes)).map_err(io)?;
    let mut seal = [0_u8; SEAL_BYTES];
    file.read_exact(&mut seal).map_err(io)?;
    let signature = seal.split_first_chunk::<8>().filter(|(header, _)| **header == SEAL_HEADER);
    let signature = signature.and_then(|(_, rest)| <[u8; 64]>::try_from(rest).ok());
    let signature = signature.ok_or_else(|| Tampered::Seal.at(segment, None))?;
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    if let (Some(session), Some(key)) = (session, key) {
        let mut hasher = blake3::Hasher::new();
        copy_hashed(&mut (&mut file).take(frame_bytes), &mut io::sink(), &mut hasher).map_err(io)?;
        let message = format::seal_message(session, segment, hasher.finalize().as_bytes());
        if !key.verifies(&message, &signature) {
            return Err(Tampered::Seal.at(segment, None));
        }
        file.seek(SeekFrom::Start(0)).map_err(io)?;
    }
    let frame = BufReader::new(file.take(frame_bytes));
    let mut decoder = zstd::stream::read::Decoder::with_buffer(frame).map_err(io)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(io)?;
    Ok(Segment::Sealed(Box::new(decoder)))
}
