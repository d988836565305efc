//! Keys of recordings wrapped by a key service: the transit engine of Vault or what speaks like it.
//!
//! The key is made here and goes to the service once, over TLS, to be wrapped; what comes back stands in the
//! recording. The gateway's token needs `update` on `MOUNT/encrypt/KEY` alone, so the gateway cannot read a recording
//! back. Without an answer there is no key, and without a key no session. No error names a secret.

use super::age::{AgeError, PayloadKey};
use super::archive::store::read_secret;
use crate::core::id::SessionId;
use crate::identity;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// The first line of a key that a key service wrapped.
const MAGIC: &str = "leasehold-transit/v1";
/// A session waits no longer for its key.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A longer answer is none.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Which key of which service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The service's address, without a slash at its end.
    pub address: String,
    /// Where the transit engine is mounted.
    pub mount: String,
    /// The key's name.
    pub key: String,
    /// The file of the token.
    pub token: PathBuf,
}

/// Why a key could not be wrapped or unwrapped. For the log and for operators, never for a client.
#[derive(Debug, thiserror::Error)]
pub enum TransitError {
    /// The client cannot be set up.
    #[error("the key service cannot be used: {0}")]
    Setup(String),
    /// The service cannot be reached, or not in time.
    #[error("the key service does not answer")]
    Silent(#[source] reqwest::Error),
    /// The service refuses.
    #[error("the key service refuses with status {0}")]
    Refused(u16),
    /// The answer is not what it must be.
    #[error("the key service gives no usable answer")]
    Malformed,
}

/// A recording's key, and the form in which it stands in the recording.
#[derive(Debug)]
pub struct Wrapped {
    pub(super) key: PayloadKey,
    pub(super) file: Vec<u8>,
}

/// A key service.
#[derive(Clone, Debug)]
pub struct Transit {
    settings: Settings,
    http: reqwest::Client,
}

impl Transit {
    /// A client of that service.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub fn new(settings: Settings) -> Result<Self, TransitError> {
        let http = identity::client(ANSWER_MAX).map_err(|error| TransitError::Setup(error.to_string()))?;
        Ok(Self { settings, http })
    }

    /// A new key for a session's recording. The service binds it to the session.
    ///
    /// # Errors
    /// When the service does not wrap it.
    pub async fn wrap(&self, session: &SessionId) -> Result<Wrapped, TransitError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(|_| TransitError::Setup("no randomness".to_owned()))?;
        let plain = Zeroizing::new(STANDARD.encode(key.as_slice()));
        let wrapped = self.ask("encrypt", "plaintext", &plain, "ciphertext", session).await?;
        let Settings { mount, key: name, .. } = &self.settings;
        let file = format!("{MAGIC}\n{mount}/{name}\n{}\n", wrapped.as_str()).into_bytes();
        if wrapped.contains(char::is_whitespace) || file.len() > super::age::FILE_BYTES_MAX {
            return Err(TransitError::Malformed);
        }
        let key = PayloadKey::from_bytes(&key).map_err(|_| TransitError::Malformed)?;
        Ok(Wrapped { key, file })
    }

    /// The key of a recording, for those whose token may decrypt.
    ///
    /// # Errors
    /// When the service does not unwrap it.
    pub async fn unwrap(&self, session: &SessionId, wrapped: &str) -> Result<PayloadKey, TransitError> {
        let plain = self.ask("decrypt", "ciphertext", wrapped, "plaintext", session).await?;
        let bytes = Zeroizing::new(STANDARD.decode(plain.as_bytes()).map_err(|_| TransitError::Malformed)?);
        let key = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| TransitError::Malformed)?;
        PayloadKey::from_bytes(&Zeroizing::new(key)).map_err(|_| TransitError::Malformed)
    }

    async fn ask(
        &self,
        verb: &str,
        give: &str,
        value: &str,
        want: &str,
        session: &SessionId,
    ) -> Result<Zeroizing<String>, TransitError> {
        let Settings { address, mount, key, token } = &self.settings;
        // Read anew each time: an agent beside the gateway renews it.
        let token = read_secret(token).map_err(TransitError::Setup)?;
        let body = serde_json::json!({ give: value, "associated_data": STANDARD.encode(session.as_str()) });
        let body = Zeroizing::new(body.to_string());
        let call = self
            .http
            .post(format!("{address}/v1/{mount}/{verb}/{key}"))
            .header("X-Vault-Token", token.expose_secret())
            .header("X-Vault-Request", "true")
            .header("content-type", "application/json")
            .body(body.as_bytes().to_vec());
        let mut answer = call.send().await.map_err(|error| TransitError::Silent(error.without_url()))?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(TransitError::Refused(status));
        }
        let mut read = Zeroizing::new(Vec::new());
        while let Some(chunk) = answer.chunk().await.map_err(|error| TransitError::Silent(error.without_url()))? {
            if read.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(TransitError::Malformed);
            }
            read.extend_from_slice(&chunk);
        }
        let answer: Answer = serde_json::from_slice(&read).map_err(|_| TransitError::Malformed)?;
        let given = match want {
            "ciphertext" => answer.data.ciphertext,
            _ => answer.data.plaintext,
        };
        given.map(Zeroizing::new).filter(|text| !text.is_empty()).ok_or(TransitError::Malformed)
    }
}

#[derive(serde::Deserialize)]
struct Answer {
    data: Data,
}

#[derive(serde::Deserialize)]
struct Data {
    ciphertext: Option<String>,
    plaintext: Option<String>,
}

/// What opens recordings whose key a key service wrapped.
pub struct Opener {
    address: String,
    token: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Opener {
    /// Asks the service at that address with the token of that file. Not to be used on a runtime's thread.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub fn new(address: &str, token: &Path) -> Result<Self, TransitError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| TransitError::Setup(error.to_string()))?;
        Ok(Self { address: address.trim_end_matches('/').to_owned(), token: token.to_owned(), runtime })
    }

    /// The key that stands wrapped in a recording.
    pub(super) fn open(&self, session: &SessionId, file: &[u8]) -> Result<PayloadKey, AgeError> {
        let (path, wrapped) = parse(file).ok_or(AgeError::Malformed)?;
        let (mount, key) = path.rsplit_once('/').ok_or(AgeError::Malformed)?;
        let settings = Settings {
            address: self.address.clone(),
            mount: mount.to_owned(),
            key: key.to_owned(),
            token: self.token.clone(),
        };
        let answer = Transit::new(settings).map(|transit| {
            let asked = transit.unwrap(session, wrapped);
            self.runtime.block_on(asked)
        });
        answer.and_then(|key| key).map_err(|error| AgeError::Service(error.to_string()))
    }
}

/// Whether a recording's key was wrapped by a key service.
pub(super) fn is_wrapped_so(file: &[u8]) -> bool {
    file.starts_with(MAGIC.as_bytes())
}

/// The key's path at the service, and what it wrapped.
fn parse(file: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(file).ok()?;
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let (magic, path, wrapped) = (lines.next()?, lines.next()?, lines.next()?);
    let plain = path.split('/').all(is_name) && wrapped.bytes().all(|byte| byte.is_ascii_graphic());
    (magic == MAGIC && plain && !wrapped.is_empty() && lines.next().is_none()).then_some((path, wrapped))
}

/// Whether a text may be a part of a path at the service.
pub fn is_name(part: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_keys_are_told_apart_and_hostile_ones_refused() {
        let good = b"leasehold-transit/v1\ntransit/recordings\nvault:v1:aGVsbG8=\n";
        assert_eq!(parse(good), Some(("transit/recordings", "vault:v1:aGVsbG8=")));
        assert!(is_wrapped_so(good) && !is_wrapped_so(b"age-encryption.org/v1\n"));
        for bad in [
            &b"leasehold-transit/v1\ntransit/../sys\nvault:v1:x\n"[..],
            b"leasehold-transit/v1\ntransit/a?b\nvault:v1:x\n",
            b"leasehold-transit/v1\ntransit/a\n\n",
            b"leasehold-transit/v1\ntransit/a\nvault:v1:x\nmore\n",
            b"leasehold-transit/v1\ntransit/a\nvault:v1:x",
            b"leasehold-transit/v2\ntransit/a\nvault:v1:x\n",
            b"leasehold-transit/v1\ntransit/a\nx y\n",
        ] {
            assert_eq!(parse(bad), None, "{:?}", String::from_utf8_lossy(bad));
        }
    }
}
