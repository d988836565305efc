//! What survives a restart: the last good bundle, signed by a key of this gateway's own, and what was followed.
//!
//! Every write is a new file that is moved into place, so that a crash leaves the old content or the new one. A bundle
//! that does not verify is never served.

use super::attested::Attested;
use ed25519_dalek::SigningKey;
use lang::bundle::{self, ATTESTATION_BYTES_MAX, Bundle, Verified};
use lang::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const BUNDLE: &str = "last-good.bundle";
const NOTE: &str = "last-good.note";
const FACTS: &str = "followed.json";
const KEY: &str = "bundle.key";
const FACTS_BYTES_MAX: u64 = 64 * 1024;

/// What was followed when, beside the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Facts {
    /// The repository, branch and folder: other ones begin anew.
    pub(super) followed: String,
    /// The applied commit.
    pub(super) commit: String,
    /// Its committer date.
    pub(super) committed_at: Timestamp,
    /// When the branch's tip was last seen to be the applied commit.
    pub(super) confirmed_at: Timestamp,
}

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Keep(PathBuf);

/// What was found at a start.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) facts: Facts,
    /// The bundle, or why it cannot be served.
    pub(super) bundle: Result<Box<Verified<Bundle>>, String>,
}

impl Keep {
    pub(super) fn new(state: &Path) -> Self {
        Self(state.join("policy"))
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    /// Makes the folder.
    pub(super) fn prepare(&self) -> Result<(), String> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|error| format!("the folder `{}` cannot be made: {error}", self.0.display()))
    }

    /// The gateway's own key for the stored bundle; made on first use.
    pub(super) fn key(&self) -> Result<SigningKey, String> {
        let file = self.0.join(KEY);
        let failed = |error: io::Error| format!("the key `{}` cannot be used: {error}", file.display());
        let mut seed = Zeroizing::new([0_u8; 32]);
        match File::open(&file) {
            Ok(mut handle) => handle.read_exact(seed.as_mut_slice()).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                getrandom::fill(seed.as_mut_slice()).map_err(|_| failed(io::Error::other("no random bytes")))?;
                replace(&file, seed.as_slice()).map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(SigningKey::from_bytes(&seed))
    }

    /// What was kept of the followed branch; `None` at a first start, or when another branch was followed.
    /// With `keys`, the bundle is served only if it was attested by one of them.
    pub(super) fn load(&self, followed: &str, keys: Option<&Path>) -> Result<Option<Kept>, String> {
        let file = self.0.join(FACTS);
        let failed = |why: &dyn std::fmt::Display| {
            let file = file.display();
            format!("`{file}` cannot be read ({why}): mend it, or remove it to begin anew at the branch's tip")
        };
        let mut text = Vec::new();
        match File::open(&file) {
            Ok(handle) => handle.take(FACTS_BYTES_MAX).read_to_end(&mut text).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(&error)),
        };
        let facts: Facts = serde_json::from_slice(&text).map_err(|error| failed(&error))?;
        if facts.followed != followed {
            tracing::warn!(before = facts.followed, now = followed, "another branch is followed than before");
            return Ok(None);
        }
        let bundle = self.bundle().and_then(|bundle| {
            keys.map_or(Ok(()), |keys| self.attested(bundle.get(), keys))?;
            Ok(Box::new(bundle))
        });
        Ok(Some(Kept { facts, bundle }))
    }

    /// Refuses a stored bundle that nobody attested who must, now.
    fn attested(&self, bundle: &Bundle, keys: &Path) -> Result<(), String> {
        let failed = |why: &dyn std::fmt::Display| format!("the stored policy is not served: {why}");
        let mut note = Vec::new();
        let handle = File::open(self.0.join(NOTE)).map_err(|_| failed(&"it was stored before it had to be signed"))?;
        handle.take(ATTESTATION_BYTES_MAX as u64 + 1).read_to_end(&mut note).map_err(|error| failed(&error))?;
        let commit = bundle.statement.commit.as_deref().unwrap_or_default();
        let attested = Attested::read(note, commit, keys).map_err(|why| failed(&why))?;
        attested.covers(&bundle.statement.semantic).map_err(|why| failed(&why))
    }

    fn bundle(&self) -> Result<Verified<Bundle>, String> {
        let file = self.0.join(BUNDLE);
        let failed =
            |why: &dyn std::fmt::Display| format!("the stored bundle `{}` is not served: {why}", file.display());
        let size = fs::metadata(&file).map_err(|error| failed(&error))?.len();
        if size > bundle::BUNDLE_BYTES_MAX as u64 {
            return Err(failed(&"it is too long"));
        }
        let bytes = fs::read(&file).map_err(|error| failed(&error))?;
        bundle::open(&bytes, &[self.key()?.verifying_key()]).map_err(|error| failed(&error))
    }

    /// Stores a bundle, what it came from, and what was attested about it. The note comes first: a crash in between
    /// leaves one that is about another commit, and no bundle is served with it.
    pub(super) fn save(&self, bundle: &[u8], facts: &Facts, note: Option<&[u8]>) -> Result<(), String> {
        let file = self.0.join(NOTE);
        let kept = match note {
            Some(note) => replace(&file, note),
            None => match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
                Ok(()) | Err(_) => Ok(()),
            },
        };
        kept.map_err(|error| format!("`{}` cannot be written: {error}", file.display()))?;
        let file = self.0.join(BUNDLE);
        replace(&file, bundle).map_err(|error| format!("`{}` cannot be written: {error}", file.display()))?;
        self.save_facts(facts)
    }

    pub(super) fn save_facts(&self, facts: &Facts) -> Result<(), String> {
        let file = self.0.join(FACTS);
        let text = serde_json::to_vec(facts).map_err(|error| error.to_string())?;
        replace(&file, &text).map_err(|error| format!("`{}` cannot be written: {error}", file.display()))
    }
}

fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = file.with_extension("new");
    let mut handle = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    handle.write_all(content)?;
    handle.sync_all()?;
    fs::rename(&temporary, file)?;
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
