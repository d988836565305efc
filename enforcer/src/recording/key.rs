//! The Ed25519 key that signs recordings, as PKCS#8 PEM, and its public half beside it as SPKI PEM.
//!
//! The private half never leaves this file's type: it is not printed, not compared and not cloned.

use super::inert::push;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePublicKey, KeypairBytes, spki::der::pem::LineEnding,
};
use ed25519_dalek::{Signature, Signer, VerifyingKey};
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A key file larger than this is none.
const KEY_FILE_BYTES_MAX: u64 = 16 << 10;

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("cannot {verb} the key file `{}`", file.display())]
    Io {
        /// `read`, `create` or `write`.
        verb: &'static str,
        /// The file.
        file: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// Everybody on the machine can read the private key.
    #[error("the signing key `{}` is readable by others (mode {mode:04o}); run `chmod 600` on it", file.display())]
    Exposed {
        /// The file.
        file: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The file holds something else.
    #[error("`{}` is not an Ed25519 {half} key in PEM", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// `private` or `public`.
        half: &'static str,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes for a signing key")]
    Random,
}

/// The private half.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

impl SigningKey {
    /// The key made of this seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads a key file.
    pub fn load(file: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { verb: "read", file: file.to_owned(), source };
        let handle = File::open(file).map_err(io)?;
        let mode = handle.metadata().map_err(io)?.mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(KeyError::Exposed { file: file.to_owned(), mode });
        }
        let mut text = Zeroizing::new(String::new());
        handle.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
        let malformed = |_| KeyError::Malformed { file: file.to_owned(), half: "private" };
        ed25519_dalek::SigningKey::from_pkcs8_pem(text.trim_start()).map(Self).map_err(malformed)
    }

    /// Reads a key file, or creates one with mode 0600. True when it was created.
    ///
    /// The public half is written to [`public_file`] beside it when it is missing there.
    pub fn load_or_create(file: &Path) -> Result<(Self, bool), KeyError> {
        let (key, created) = match Self::load(file) {
            Ok(key) => (key, false),
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => (Self::create(file)?, true),
            Err(other) => return Err(other),
        };
        let public = public_file(file);
        let text = key.public().to_pem().ok_or(KeyError::Random)?;
        match OpenOptions::new().write(true).create_new(true).mode(0o644).open(&public) {
            Ok(mut handle) => handle.write_all(text.as_bytes()).map_err(|source| KeyError::Io {
                verb: "write",
                file: public,
                source,
            })?,
            Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {}
            // A key from a read-only mount needs no copy of its public half beside it.
            Err(_) if !created => {}
            Err(source) => return Err(KeyError::Io { verb: "create", file: public, source }),
        }
        Ok((key, created))
    }

    fn create(file: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { verb: "create", file: file.to_owned(), source };
        let mut seed = Zeroizing::new([0_u8; 32]);
        getrandom::fill(seed.as_mut_slice()).map_err(|_| KeyError::Random)?;
        // Without the public half the document is version 1, which every OpenSSL reads.
        let document = KeypairBytes { secret_key: *seed, public_key: None };
        let text = ed25519_dalek::pkcs8::EncodePrivateKey::to_pkcs8_pem(&document, LineEnding::LF)
            .map_err(|_| KeyError::Malformed { file: file.to_owned(), half: "private" })?;
        if let Some(parent) = file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(io)?;
        }
        let mut handle = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).map_err(io)?;
        handle.write_all(text.as_bytes()).and_then(|()| handle.sync_all()).map_err(io)?;
        Ok(Self::from_seed(&seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Where the public half of a key file is kept: the same name with `.pub` appended.
pub fn public_file(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

/// The public half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl fmt::Display for PublicKey {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hexadecimal(self.0.as_bytes()))
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        push(&mut out, format_args!("{byte:02x}"));
    }
    out
}

impl PublicKey {
    /// Reads SPKI PEM, or 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(key) = VerifyingKey::from_public_key_pem(text) {
            return Some(Self(key));
        }
        let mut bytes = [0_u8; 32];
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        for (to, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *to = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Self::from_bytes(&bytes)
    }

    /// Reads a file that [`PublicKey::parse`] accepts.
    pub fn load(file: &Path) -> Result<Self, KeyError> {
        let io = |source| KeyError::Io { verb: "read", file: file.to_owned(), source };
        let mut text = String::new();
        File::open(file).map_err(io)?.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(io)?;
        Self::parse(&text).ok_or_else(|| KeyError::Malformed { file: file.to_owned(), half: "public" })
    }

    /// The key of these bytes; a weak key is none.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).map(Self)
    }

    /// The key's bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// SPKI PEM.
    pub fn to_pem(self) -> Option<String> {
        self.0.to_public_key_pem(LineEnding::LF).ok()
    }

    /// Whether the signature is this key's over the message.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}
