//! Recordings from an object store, for `replay` and `verify`: with the store's own credentials, and without a gateway.
//!
//! What comes from there is kept in a private folder that goes when the command ends.

use crate::core::id::SessionId;
use crate::recording::PublicKey;
use crate::recording::archive::store::{Place, Store};
use crate::recording::archive::{Fetched, fetch, newest_checkpoint, sessions};
use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Where recordings are fetched from.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Fetch from this archive, for example `s3://BUCKET/PREFIX`, `azure://CONTAINER/PREFIX` or `file:///FOLDER`;
    /// credentials, region and endpoint come from the variables that the provider's own tools read
    #[arg(long, value_name = "URL", env = "LEASEHOLD_ARCHIVE")]
    pub archive: Option<String>,
}

/// An open archive, and a folder for what comes from it.
#[derive(Debug)]
pub struct Remote {
    store: Arc<dyn Store>,
    runtime: Runtime,
    folder: PathBuf,
}

impl Drop for Remote {
    fn drop(&mut self) {
        // What cannot be removed stays private to its user.
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Args {
    /// Opens the archive; none when none is named.
    ///
    /// # Errors
    /// With a sentence.
    pub fn open(&self) -> Result<Option<Remote>, String> {
        let Some(text) = &self.archive else { return Ok(None) };
        let place = Place::parse(text)
            .ok_or_else(|| format!("`{text}` is no archive: write s3://BUCKET/PREFIX, azure://… or file:///…"))?;
        let store = place.open().map_err(|error| error.to_string())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let mut random = [0_u8; 8];
        getrandom::fill(&mut random).map_err(|error| format!("no randomness: {error}"))?;
        let folder = std::env::temp_dir().join(format!("leasehold-{:016x}", u64::from_be_bytes(random)));
        let made = DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        Ok(Some(Remote { store, runtime, folder }))
    }
}

impl Remote {
    /// Brings one recording here; none when the archive has it not.
    ///
    /// # Errors
    /// With a sentence, also when it was removed.
    pub fn bring(&self, session: &SessionId) -> Result<Option<PathBuf>, String> {
        match self.runtime.block_on(fetch(self.store.as_ref(), session, &self.folder)) {
            Ok(Fetched::Here(folder)) => Ok(Some(folder)),
            Ok(Fetched::Unknown) => Ok(None),
            Ok(Fetched::Removed(tombstone)) => {
                let line = tombstone.lines().nth(1).unwrap_or_default();
                Err(format!("it was removed from the archive, which holds its tombstone: {line}"))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    /// Brings the recording that a command names, unless it names a folder here.
    ///
    /// # Errors
    /// With a sentence.
    pub fn bring_named(&self, argument: &str, recordings: Option<&Path>) -> Result<Option<PathBuf>, String> {
        let Some(session) = SessionId::parse(argument) else { return Ok(None) };
        let here = recordings.map(|folder| crate::recording::find(folder, &session));
        if let Some(Ok(Some(_))) = here {
            return Ok(None);
        }
        self.bring(&session)?.map(Some).ok_or_else(|| format!("the archive has no recording of {session}"))
    }

    /// Every session that the archive knows.
    ///
    /// # Errors
    /// With a sentence.
    pub fn sessions(&self) -> Result<BTreeSet<SessionId>, String> {
        self.runtime.block_on(sessions(self.store.as_ref())).map_err(|error| error.to_string())
    }

    /// Brings one recording here; none when it was removed, or the archive has it not.
    ///
    /// # Errors
    /// With a sentence.
    pub fn bring_unless_removed(&self, session: &SessionId) -> Result<Option<PathBuf>, String> {
        match self.runtime.block_on(fetch(self.store.as_ref(), session, &self.folder)) {
            Ok(Fetched::Here(folder)) => Ok(Some(folder)),
            Ok(Fetched::Unknown | Fetched::Removed(_)) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The newest head of the log that the archive keeps.
    ///
    /// # Errors
    /// With a sentence.
    pub fn checkpoint(&self, key: PublicKey) -> Result<Option<String>, String> {
        self.runtime.block_on(newest_checkpoint(self.store.as_ref(), key)).map_err(|error| error.to_string())
    }
}
