//! The DSSE envelope: a statement and signatures over its exact bytes.
//= https://github.com/secure-systems-lab/dsse/blob/master/protocol.md

use super::{BundleError, Statement};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

const PAYLOAD_TYPE: &str = "application/vnd.leasehold.bundle+json";
/// The most signatures that are looked at.
const SIGNATURES_MAX: usize = 8;

/// An envelope as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    /// What the payload is.
    pub payload_type: String,
    /// The statement's JSON in base64.
    pub payload: String,
    /// The signatures.
    pub signatures: Vec<Signature>,
}

/// One signature.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Which key; a hint, never trusted.
    pub keyid: String,
    /// The signature in base64.
    pub sig: String,
}

/// The name of a key: `ed25519:` and the beginning of its digest.
pub fn key_id(key: &VerifyingKey) -> String {
    let digest = blake3::hash(key.as_bytes()).to_hex();
    format!("ed25519:{}", digest.as_str().get(..32).unwrap_or_default())
}

impl Envelope {
    /// Wraps a statement, signed when there is a key.
    pub(super) fn seal(statement: &Statement, key: Option<&SigningKey>) -> Result<Self, BundleError> {
        let payload = serde_json::to_vec(statement).map_err(|error| BundleError::Encode(error.to_string()))?;
        let signatures = key
            .map(|key| Signature {
                keyid: key_id(&key.verifying_key()),
                sig: STANDARD.encode(key.sign(&signed_bytes(&payload)).to_bytes()),
            })
            .into_iter()
            .collect();
        Ok(Self { payload_type: PAYLOAD_TYPE.to_owned(), payload: STANDARD.encode(payload), signatures })
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, BundleError> {
        serde_json::to_vec(self).map_err(|error| BundleError::Encode(error.to_string()))
    }

    pub(super) fn from_json(bytes: &[u8]) -> Result<Self, BundleError> {
        serde_json::from_slice(bytes).map_err(|error| BundleError::Envelope(error.to_string()))
    }

    /// The statement, when one of these keys signed it.
    pub(super) fn open(&self, trusted: &[VerifyingKey]) -> Result<Statement, BundleError> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(BundleError::Envelope(format!("its payload is `{}`", self.payload_type)));
        }
        if self.signatures.is_empty() {
            return Err(BundleError::Unsigned);
        }
        let payload = STANDARD
            .decode(&self.payload)
            .map_err(|_| BundleError::Envelope("its payload is not base64".to_owned()))?;
        let message = signed_bytes(&payload);
        let by = |signature: &Signature| {
            let Ok(bytes) = STANDARD.decode(&signature.sig) else { return false };
            let Ok(parsed) = ed25519_dalek::Signature::from_slice(&bytes) else { return false };
            trusted.iter().any(|key| key.verify_strict(&message, &parsed).is_ok())
        };
        if !self.signatures.iter().take(SIGNATURES_MAX).any(by) {
            return Err(BundleError::Untrusted);
        }
        serde_json::from_slice(&payload).map_err(|error| BundleError::Envelope(error.to_string()))
    }
}

/// The pre-authentication encoding of DSSE: type and payload with their lengths.
fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}
