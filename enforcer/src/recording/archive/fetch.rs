//! A recording from the archive into a folder here. Needs the store alone: no gateway, no log.
//!
//! Only objects with the names of segments are taken, and the folder is the caller's: what comes from afar cannot
//! write elsewhere. What was fetched is not trusted for having been there; `verify` judges it.

use super::store::{Store, StoreError};
use super::{RECORDINGS, name_of};
use crate::core::id::SessionId;
use crate::recording::list;
use std::collections::BTreeSet;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What a fetch brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// The recording, in a folder of its session's name.
    Here(PathBuf),
    /// It was removed; the tombstone's text.
    Removed(String),
    /// The archive knows nothing of it.
    Unknown,
}

/// The objects of a recording's segments, in order, with their sizes.
///
/// # Errors
/// When the store fails.
pub async fn segments(store: &dyn Store, session: &SessionId) -> Result<Vec<(String, u64)>, StoreError> {
    let mut found = store.list(&name_of(session)).await?;
    found.retain(|(name, _)| list::segment_number(name).is_some());
    Ok(found)
}

/// The sessions that an archive knows, also those whose recordings were removed.
///
/// # Errors
/// When the store fails.
pub async fn sessions(store: &dyn Store) -> Result<BTreeSet<SessionId>, StoreError> {
    let names = store.folders(RECORDINGS).await?;
    Ok(names.iter().filter_map(|name| SessionId::parse(name)).collect())
}

/// Fetches a recording into a new folder below `into`.
///
/// # Errors
/// When the store fails or the files cannot be written.
pub async fn fetch(store: &dyn Store, session: &SessionId, into: &Path) -> Result<Fetched, StoreError> {
    let here = |error: io::Error| StoreError::Setup(format!("`{}`: {error}", into.display()));
    let base = name_of(session);
    let names = segments(store, session).await?;
    if names.is_empty() {
        let tombstone = store.get(&format!("{base}/tombstone")).await?;
        let text = tombstone.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        return Ok(text.map_or(Fetched::Unknown, Fetched::Removed));
    }
    let folder = into.join(session.as_str());
    DirBuilder::new().mode(0o700).create(&folder).map_err(here)?;
    for (name, _) in names {
        let gone = || StoreError::Failed { verb: "get", name: name.clone(), said: "it went meanwhile".to_owned() };
        let bytes = store.get(&format!("{base}/{name}")).await?.ok_or_else(gone)?;
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(&name));
        file.and_then(|mut file| file.write_all(&bytes)).map_err(here)?;
    }
    Ok(Fetched::Here(folder))
}
