//! Checkpoints of the log as C2SP signed notes: what a gateway signs, and what a witness countersigns.

//= https://github.com/C2SP/C2SP/blob/main/tlog-checkpoint.md
//= https://github.com/C2SP/C2SP/blob/main/tlog-cosignature.md

use super::merkle::Hash;
use crate::recording::{PublicKey, SigningKey};
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const ED25519: u8 = 1;
const COSIGNATURE: u8 = 4;
/// The longest note that is read.
const NOTE_BYTES_MAX: usize = 64 << 10;

/// A tree's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log: `leasehold/<gateway>`.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// The hash of the tree.
    pub root: Hash,
}

/// Why a note is not what it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// It is no checkpoint.
    #[error("this is no checkpoint of a log")]
    Malformed,
    /// No signature of the key.
    #[error("the checkpoint carries no valid signature of the gateway's key")]
    Unsigned,
    /// No countersignature of the witness.
    #[error("the checkpoint carries no valid countersignature of the witness")]
    Unwitnessed,
    /// The text is no verifier key.
    #[error("this is no verifier key; one reads `name+hash+key`")]
    Key,
}

/// The name of a gateway's log.
pub fn origin(gateway: &str) -> String {
    let name: String = gateway.chars().map(|c| if c.is_ascii_graphic() && c != '+' { c } else { '_' }).collect();
    format!("leasehold/{name}")
}

fn key_id(name: &str, algorithm: u8, key: &[u8; 32]) -> [u8; 4] {
    let mut bytes = name.as_bytes().to_vec();
    bytes.extend_from_slice(&[b'\n', algorithm]);
    bytes.extend_from_slice(key);
    let hash = digest::digest(&digest::SHA256, &bytes);
    let mut id = [0; 4];
    id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    id
}

/// A public key as a note's verifiers write it: `name+hash+key`.
pub fn verifier_key(origin: &str, key: PublicKey) -> String {
    let key = key.to_bytes();
    let mut bytes = vec![ED25519];
    bytes.extend_from_slice(&key);
    let id = u32::from_be_bytes(key_id(origin, ED25519, &key));
    format!("{origin}+{id:08x}+{}", STANDARD.encode(bytes))
}

impl Checkpoint {
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// The note, signed.
    pub fn sign(&self, key: &SigningKey) -> String {
        let text = self.text();
        let mut bytes = key_id(&self.origin, ED25519, &key.public().to_bytes()).to_vec();
        bytes.extend_from_slice(&key.sign(text.as_bytes()));
        format!("{text}\n\u{2014} {} {}\n", self.origin, STANDARD.encode(bytes))
    }

    /// Reads a note that the key has signed.
    ///
    /// # Errors
    /// When it is malformed or not signed so.
    pub fn open(note: &str, key: PublicKey) -> Result<Self, NoteError> {
        let (text, _) = split(note)?;
        let checkpoint = Self::parse(text)?;
        let id = key_id(&checkpoint.origin, ED25519, &key.to_bytes());
        let signed = signatures(note, &checkpoint.origin, id).any(|bytes| {
            <&[u8; 64]>::try_from(bytes.as_slice()).is_ok_and(|signature| key.verifies(text.as_bytes(), signature))
        });
        if signed { Ok(checkpoint) } else { Err(NoteError::Unsigned) }
    }

    /// The size that a note states, whoever signed it.
    pub(in crate::recording) fn size_of(note: &str) -> Option<u64> {
        let (text, _) = split(note).ok()?;
        Self::parse(text).ok().map(|checkpoint| checkpoint.size)
    }

    fn parse(text: &str) -> Result<Self, NoteError> {
        let mut lines = text.lines();
        let mut next = || lines.next().ok_or(NoteError::Malformed);
        let (origin, size, root) = (next()?, next()?, next()?);
        let size = size.parse().map_err(|_| NoteError::Malformed)?;
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok()).ok_or(NoteError::Malformed)?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

fn split(note: &str) -> Result<(&str, &str), NoteError> {
    if note.len() > NOTE_BYTES_MAX {
        return Err(NoteError::Malformed);
    }
    let at = note.find("\n\n").ok_or(NoteError::Malformed)?;
    note.split_at_checked(at + 1).ok_or(NoteError::Malformed)
}

/// The signatures of that name and key, without the key's hash.
fn signatures<'a>(note: &'a str, name: &'a str, id: [u8; 4]) -> impl Iterator<Item = Vec<u8>> + 'a {
    let lines = split(note).map(|(_, lines)| lines).unwrap_or_default();
    lines.lines().filter_map(move |line| {
        let (found, signature) = line.strip_prefix("\u{2014} ")?.split_once(' ')?;
        let bytes = STANDARD.decode(signature).ok()?;
        let (found_id, signature) = bytes.split_first_chunk::<4>()?;
        (found == name && *found_id == id).then(|| signature.to_vec())
    })
}

/// A witness: its name and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Witness {
    name: String,
    key: PublicKey,
}

impl Witness {
    /// Reads `name+hash+key` of a cosignature/v1 key.
    ///
    /// # Errors
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = STANDARD.decode(key).map_err(|_| NoteError::Key)?;
        let (algorithm, key) = bytes.split_first().ok_or(NoteError::Key)?;
        let key = <[u8; 32]>::try_from(key).map_err(|_| NoteError::Key)?;
        let expected = u32::from_be_bytes(key_id(name, COSIGNATURE, &key));
        if *algorithm != COSIGNATURE || format!("{expected:08x}") != id {
            return Err(NoteError::Key);
        }
        let key = PublicKey::from_bytes(&key).ok_or(NoteError::Key)?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// When the witness countersigned a note, in seconds since 1970.
    ///
    /// # Errors
    /// When it did not.
    pub fn countersigned(&self, note: &str) -> Result<u64, NoteError> {
        let (text, _) = split(note)?;
        let id = key_id(&self.name, COSIGNATURE, &self.key.to_bytes());
        signatures(note, &self.name, id)
            .find_map(|bytes| {
                let (time, signature) = bytes.split_first_chunk::<8>()?;
                let time = u64::from_be_bytes(*time);
                let signature = <&[u8; 64]>::try_from(signature).ok()?;
                let message = format!("cosignature/v1\ntime {time}\n{text}");
                self.key.verifies(message.as_bytes(), signature).then_some(time)
            })
            .ok_or(NoteError::Unwitnessed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= https://github.com/C2SP/C2SP/blob/main/signed-note.md
    // The example key and note of the specification's reference implementation.
    #[test]
    fn the_reference_notes_key_is_hashed_alike() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let bytes = STANDARD.decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW").unwrap();
        let key = <[u8; 32]>::try_from(&bytes[1..]).unwrap();
        assert_eq!(verifier_key("PeterNeumann", PublicKey::from_bytes(&key).unwrap()), text);
        let note =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let signature = "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        let bytes = STANDARD.decode(signature).unwrap();
        let key = PublicKey::from_bytes(&key).unwrap();
        assert_eq!(bytes[..4], key_id("PeterNeumann", ED25519, &key.to_bytes()));
        assert!(key.verifies(note.as_bytes(), <&[u8; 64]>::try_from(&bytes[4..]).unwrap()));
    }

    #[test]
    fn checkpoints_open_with_their_key_only() {
        let key = SigningKey::from_seed(&[7; 32]);
        let checkpoint = Checkpoint { origin: origin("gw 1+a"), size: 12, root: [9; 32] };
        assert_eq!(checkpoint.origin, "leasehold/gw_1_a");
        let note = checkpoint.sign(&key);
        assert_eq!(Checkpoint::open(&note, key.public()).unwrap(), checkpoint);
        let other = SigningKey::from_seed(&[8; 32]).public();
        assert_eq!(Checkpoint::open(&note, other), Err(NoteError::Unsigned));
        assert_eq!(Checkpoint::open(&note.replace("\n12\n", "\n13\n"), key.public()), Err(NoteError::Unsigned));
        assert_eq!(Checkpoint::open("", key.public()), Err(NoteError::Malformed));
    }

    #[test]
    fn a_witness_is_believed_for_what_it_signed() {
        let witness_key = SigningKey::from_seed(&[3; 32]);
        let (name, key) = ("witness.example/w", witness_key.public().to_bytes());
        let mut bytes = vec![COSIGNATURE];
        bytes.extend_from_slice(&key);
        let id = key_id(name, COSIGNATURE, &key);
        let text = format!("{name}+{:08x}+{}", u32::from_be_bytes(id), STANDARD.encode(bytes));
        let witness = Witness::parse(&text).unwrap();
        let checkpoint = Checkpoint { origin: origin("gw"), size: 2, root: [1; 32] };
        let note = checkpoint.sign(&SigningKey::from_seed(&[7; 32]));
        assert_eq!(witness.countersigned(&note), Err(NoteError::Unwitnessed));
        let message = format!("cosignature/v1\ntime 1700000000\n{}", checkpoint.text());
        let mut signature = id.to_vec();
        signature.extend_from_slice(&1_700_000_000_u64.to_be_bytes());
        signature.extend_from_slice(&witness_key.sign(message.as_bytes()));
        let line = |signature: &[u8]| format!("{note}\u{2014} {name} {}\n", STANDARD.encode(signature));
        assert_eq!(witness.countersigned(&line(&signature)), Ok(1_700_000_000));
        signature[9] ^= 1;
        assert_eq!(witness.countersigned(&line(&signature)), Err(NoteError::Unwitnessed));
        assert_eq!(Witness::parse("a+b+c"), Err(NoteError::Key));
    }
}
