//! The outer frame of a bundle: a mark, a version, and three parts with their lengths. Nothing may follow.

use super::{BundleError, WIRE_VERSION};

/// The longest bundle in bytes.
pub const BUNDLE_BYTES_MAX: usize = 256 * 1024 * 1024;
/// The longest envelope in bytes.
const ENVELOPE_BYTES_MAX: usize = 64 * 1024;

const MARK: &[u8; 8] = b"LEASEHLD";

/// The three parts of a bundle.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// The canonical tables.
    pub tables: &'a [u8],
    /// The source table.
    pub places: &'a [u8],
    /// The envelope.
    pub envelope: &'a [u8],
}

/// The bytes of a bundle.
pub(super) fn encode(parts: &Parts<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + parts.tables.len() + parts.places.len() + parts.envelope.len());
    out.extend_from_slice(MARK);
    out.extend_from_slice(&WIRE_VERSION.to_be_bytes());
    for part in [parts.tables, parts.places, parts.envelope] {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// The parts of a bundle's bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<Parts<'_>, BundleError> {
    if bytes.len() > BUNDLE_BYTES_MAX {
        return Err(BundleError::Frame("it is too long"));
    }
    let rest = bytes.strip_prefix(MARK).ok_or(BundleError::Frame("it does not begin like one"))?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or(BundleError::Frame("it ends too early"))?;
    let version = u32::from_be_bytes(*version);
    if version != WIRE_VERSION {
        return Err(BundleError::Version(version));
    }
    let (tables, rest) = part(rest)?;
    let (places, rest) = part(rest)?;
    let (envelope, rest) = part(rest)?;
    if !rest.is_empty() {
        return Err(BundleError::Frame("bytes follow its end"));
    }
    if envelope.len() > ENVELOPE_BYTES_MAX {
        return Err(BundleError::Frame("its envelope is too long"));
    }
    Ok(Parts { tables, places, envelope })
}

fn part(bytes: &[u8]) -> Result<(&[u8], &[u8]), BundleError> {
    let early = BundleError::Frame("it ends too early");
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| early.clone())?;
    let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| early.clone())?;
    rest.split_at_checked(length).ok_or(early)
}
