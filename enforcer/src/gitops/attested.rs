//! What somebody else attested about a commit: a signed statement in its note, made where the policy was checked
//! (`leaseholdc sign`). It can only keep a policy from coming into force, never bring one into force.

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::spki::DecodePublicKey;
use git2::{Oid, Repository};
use lang::bundle::{self, ATTESTATION_BYTES_MAX, NOTES, Statement};
use std::fs::File;
use std::io::Read;
use std::path::Path;

const KEYS_BYTES_MAX: u64 = 64 * 1024;
const END_OF_KEY: &str = "-----END PUBLIC KEY-----";

/// A statement that is signed, and about the commit at hand.
#[derive(Debug)]
pub(super) struct Attested {
    note: Vec<u8>,
    statement: Statement,
}

impl Attested {
    /// The statement in a commit's note. The error is a sentence for people.
    pub(super) fn of(repository: &Repository, commit: Oid, keys: &Path) -> Result<Self, String> {
        let note = compiler::git::note(repository, NOTES, commit, ATTESTATION_BYTES_MAX)?.ok_or_else(|| {
            format!(
                "the policy of {commit} is not signed: run `leaseholdc sign {commit} --sign-key KEY` where it is \
                 checked, and push `{NOTES}`"
            )
        })?;
        Self::read(note, &commit.to_string(), keys)
    }

    /// A note that was kept, or that a commit carries.
    pub(super) fn read(note: Vec<u8>, commit: &str, keys: &Path) -> Result<Self, String> {
        let opened = bundle::attested(&note, &trusted(keys)?)
            .map_err(|error| format!("the note of {commit} is not by a key of `{}`: {error}", keys.display()))?;
        let statement = opened.into_inner();
        if statement.commit.as_deref() != Some(commit) {
            return Err(format!("the note of {commit} is about another commit: sign this one"));
        }
        Ok(Self { note, statement })
    }

    /// The note's bytes.
    pub(super) fn note(&self) -> &[u8] {
        &self.note
    }

    /// Refuses a policy with another meaning than the one that was signed.
    pub(super) fn covers(&self, semantic: &str) -> Result<(), String> {
        let signed = &self.statement.semantic;
        if signed == semantic {
            return Ok(());
        }
        Err(format!(
            "the signed digest is {signed}, and the policy's is {semantic}: what was signed is not what the commit \
             means here; bring `leaseholdc` and the gateway to one version, and sign again"
        ))
    }
}

/// The keys of a file: public keys in PEM, one after the other. Read whenever a commit is to come into
/// force, so that keys can be exchanged; what serves already serves on until the gateway starts again.
fn trusted(file: &Path) -> Result<Vec<VerifyingKey>, String> {
    let unreadable = |why: &dyn std::fmt::Display| format!("the keys of `{}` cannot be read: {why}", file.display());
    let mut text = String::new();
    let handle = File::open(file).map_err(|error| unreadable(&error))?;
    handle.take(KEYS_BYTES_MAX).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    let mut keys = Vec::new();
    for pem in text.split_inclusive(END_OF_KEY).map(str::trim).filter(|pem| !pem.is_empty()) {
        let key = VerifyingKey::from_public_key_pem(pem)
            .map_err(|_| unreadable(&"it holds something else than Ed25519 public keys in PEM"))?;
        keys.push(key);
    }
    if keys.is_empty() { Err(unreadable(&"it holds no key")) } else { Ok(keys) }
}
