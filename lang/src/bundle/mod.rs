//! The bundle: a policy as bytes that a gateway can trust.
//!
//! Three parts in one strict frame: the canonical tables (tests included), the source table beside them, and a DSSE
//! envelope whose statement names the digests of both. The semantic digest covers the tables and the wire version
//! and nothing else: commit, compiler and findings stand in the envelope, so that a compiler of another version
//! agrees on the digest of the same policy. Nothing is decoded before its signature is verified.

mod envelope;
mod frame;

pub use envelope::{Envelope, Signature, key_id};
pub use frame::{BUNDLE_BYTES_MAX, Parts};

use crate::program::{SourceTable, rules::Rules};
use ed25519_dalek::{SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The version of the wire format; part of the semantic digest.
pub const WIRE_VERSION: u32 = 1;
/// Where git keeps what was attested about commits.
pub const NOTES: &str = "refs/notes/leasehold";
/// The longest attestation in bytes.
pub const ATTESTATION_BYTES_MAX: usize = 64 * 1024;
/// The deepest nesting of CBOR values.
const NESTING_MAX: usize = 32;

/// Why bytes are not a bundle that can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The frame is damaged.
    #[error("this is not a bundle: {0}")]
    Frame(&'static str),
    /// Another version of the format.
    #[error("the bundle has wire version {0}, and this program reads {WIRE_VERSION}")]
    Version(u32),
    /// The envelope is damaged.
    #[error("the bundle's envelope cannot be read: {0}")]
    Envelope(String),
    /// Nobody signed.
    #[error("the bundle is not signed")]
    Unsigned,
    /// No signature is by one of the keys.
    #[error("no signature of the bundle is by the given key")]
    Untrusted,
    /// The statement is about other content.
    #[error("the bundle's {0} is not what the signed statement says")]
    Digest(&'static str),
    /// The content cannot be decoded.
    #[error("the bundle's {part} cannot be decoded: {why}")]
    Content {
        /// Which part.
        part: &'static str,
        /// Why.
        why: String,
    },
    /// The content cannot be encoded.
    #[error("the policy cannot be encoded: {0}")]
    Encode(String),
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The version of the wire format.
    pub wire: u32,
    /// The policy's name.
    pub policy: String,
    /// The commit, when the policy was built from one.
    pub commit: Option<String>,
    /// The tree of the commit.
    pub tree: Option<String>,
    /// The position in the branch's history; strictly increasing.
    pub sequence: u64,
    /// The compiler that checked.
    pub compiler: String,
    /// How much it found.
    pub findings: Findings,
    /// The digest of the canonical tables and the wire version, in hexadecimal.
    pub semantic: String,
    /// The digest of the source table, in hexadecimal.
    pub places: String,
    /// The digest of all policy files, in hexadecimal.
    pub source: String,
}

/// How many findings of each weight the compiler reported; a bundle never has an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// Warnings.
    pub warnings: u64,
    /// Facts.
    pub infos: u64,
}

/// What a bundle's maker says about it.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The commit, when the policy was built from one.
    pub commit: Option<String>,
    /// The tree of the commit.
    pub tree: Option<String>,
    /// The position in the branch's history.
    pub sequence: u64,
    /// The compiler that checked.
    pub compiler: String,
    /// How much it found.
    pub findings: Findings,
    /// The digest of all policy files, in hexadecimal.
    pub source: String,
}

/// The content of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The canonical tables.
    pub rules: Rules,
    /// Where the rules stand.
    pub sources: SourceTable,
    /// What was signed about them.
    pub statement: Statement,
}

/// Evidence that content was signed by a trusted key. Only [`open`] and [`attested`] make one.
#[derive(Clone, Debug)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    /// The content.
    pub const fn get(&self) -> &T {
        &self.0
    }

    /// The content, without the evidence.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// The tables as they are digested and sent.
#[derive(Serialize)]
struct WireOut<'a> {
    version: u32,
    rules: &'a Rules,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireIn {
    version: u32,
    rules: Rules,
}

/// The canonical bytes of the tables.
///
/// # Errors
/// Never for tables that `lower` wrote.
pub fn canonical(rules: &Rules) -> Result<Vec<u8>, BundleError> {
    to_cbor(&WireOut { version: WIRE_VERSION, rules })
}

/// The digest of what a policy means, in hexadecimal: equal for policies that differ only in form.
///
/// # Errors
/// Never for tables that `lower` wrote.
pub fn semantic_digest(rules: &Rules) -> Result<String, BundleError> {
    canonical(rules).map(|bytes| digest(&bytes))
}

/// Builds a bundle; without a key its envelope carries no signature, and nothing will trust it.
///
/// # Errors
/// Never for tables that `lower` wrote.
pub fn build(
    rules: &Rules,
    sources: &SourceTable,
    facts: Facts,
    key: Option<&SigningKey>,
) -> Result<Vec<u8>, BundleError> {
    let (tables, places) = (canonical(rules)?, to_cbor(sources)?);
    let envelope = Envelope::seal(&statement(rules, facts, &tables, &places), key)?.to_json()?;
    Ok(frame::encode(&Parts { tables: &tables, places: &places, envelope: &envelope }))
}

/// The envelope of a bundle without its content: what a commit carries as a note.
///
/// # Errors
/// Never for tables that `lower` wrote.
pub fn attest(rules: &Rules, sources: &SourceTable, facts: Facts, key: &SigningKey) -> Result<Vec<u8>, BundleError> {
    let (tables, places) = (canonical(rules)?, to_cbor(sources)?);
    Envelope::seal(&statement(rules, facts, &tables, &places), Some(key))?.to_json()
}

/// The statement of an attestation that one of these keys signed. Whether it is about a policy, its digest says.
///
/// # Errors
/// When the bytes are damaged, too long, or not signed by one of the keys.
pub fn attested(bytes: &[u8], trusted: &[VerifyingKey]) -> Result<Verified<Statement>, BundleError> {
    if bytes.len() > ATTESTATION_BYTES_MAX {
        return Err(BundleError::Envelope("it is too long".to_owned()));
    }
    let statement = Envelope::from_json(bytes)?.open(trusted)?;
    if statement.wire == WIRE_VERSION { Ok(Verified(statement)) } else { Err(BundleError::Version(statement.wire)) }
}

fn statement(rules: &Rules, facts: Facts, tables: &[u8], places: &[u8]) -> Statement {
    Statement {
        wire: WIRE_VERSION,
        policy: rules.name.clone(),
        commit: facts.commit,
        tree: facts.tree,
        sequence: facts.sequence,
        compiler: facts.compiler,
        findings: facts.findings,
        semantic: digest(tables),
        places: digest(places),
        source: facts.source,
    }
}

/// Opens a bundle that one of these keys signed.
///
/// # Errors
/// When the bytes are damaged, not signed by one of the keys, or not what the statement says.
pub fn open(bytes: &[u8], trusted: &[VerifyingKey]) -> Result<Verified<Bundle>, BundleError> {
    let parts = frame::decode(bytes)?;
    let statement = Envelope::from_json(parts.envelope)?.open(trusted)?;
    if statement.wire != WIRE_VERSION {
        return Err(BundleError::Version(statement.wire));
    }
    if digest(parts.tables) != statement.semantic {
        return Err(BundleError::Digest("policy"));
    }
    if digest(parts.places) != statement.places {
        return Err(BundleError::Digest("source table"));
    }
    let wire: WireIn = from_cbor("policy", parts.tables)?;
    if wire.version != WIRE_VERSION {
        return Err(BundleError::Version(wire.version));
    }
    // One policy has one representation: other bytes for the same tables are not canonical.
    if canonical(&wire.rules)? != parts.tables {
        return Err(BundleError::Content { part: "policy", why: "it is not in canonical form".to_owned() });
    }
    let sources = from_cbor("source table", parts.places)?;
    Ok(Verified(Bundle { rules: wire.rules, sources, statement }))
}

fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

fn to_cbor<T: Serialize>(value: &T) -> Result<Vec<u8>, BundleError> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|error| BundleError::Encode(error.to_string()))?;
    Ok(bytes)
}

fn from_cbor<T: DeserializeOwned>(part: &'static str, bytes: &[u8]) -> Result<T, BundleError> {
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, NESTING_MAX)
        .map_err(|error| BundleError::Content { part, why: error.to_string() })?;
    if !rest.is_empty() {
        return Err(BundleError::Content { part, why: "bytes follow it".to_owned() });
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
