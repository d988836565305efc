//! The index over recordings that are in an archive: made from the archive alone where nothing is left here.
//!
//! One recording at a time is brought here, read and removed again, so that neither memory nor the disk grows with the
//! archive. What cannot be brought ends the search: a part of the recordings is no answer.

use super::{Found, Index, IndexError, Search, folder_bytes, forget, take_in};
use crate::core::id::SessionId;
use crate::recording::list;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Recordings that are in an archive.
pub struct Elsewhere<'a> {
    /// The sessions that it knows.
    pub sessions: BTreeSet<SessionId>,
    /// Brings one here; none when it was removed.
    pub bring: Bring<'a>,
}

/// Brings a recording from an archive into a folder of its own.
pub type Bring<'a> = &'a mut dyn FnMut(&SessionId) -> Result<Option<PathBuf>, String>;

/// As [`search_in`], over an archive: its recordings are brought here one at a time, and taken into the index beside the
/// recordings in a folder, or into a file of its own, or into one in memory.
/// Call it on a thread with a stack for the parser.
///
/// # Errors
/// When the archive, the folder or the index cannot be used: a part of the recordings is no answer.
pub fn search_elsewhere(
    folder: Option<&Path>,
    file: Option<&Path>,
    elsewhere: &mut Elsewhere<'_>,
    search: &Search,
) -> Result<Vec<Found>, IndexError> {
    let beside = folder.map(|folder| folder.join("index.sqlite"));
    let mut index = match file.or(beside.as_deref()) {
        Some(file) => Index::open(file)?,
        None => Index::in_memory()?,
    };
    let mut here = BTreeSet::new();
    if let Some(folder) = folder {
        index.refresh(folder)?;
        here.extend(list::all(folder)?.into_keys());
    } else {
        index.keep_only(&elsewhere.sessions)?;
    }
    for session in elsewhere.sessions.difference(&here) {
        index.take_from(session, &mut *elsewhere.bring)?;
    }
    index.search(search)
}

impl std::fmt::Debug for Elsewhere<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Elsewhere").field("sessions", &self.sessions).finish_non_exhaustive()
    }
}

impl Index {
    /// Drops every session but these.
    fn keep_only(&mut self, sessions: &BTreeSet<SessionId>) -> Result<(), IndexError> {
        let known = self.known()?;
        let transaction = self.0.transaction()?;
        for session in known {
            if !SessionId::parse(&session).is_some_and(|session| sessions.contains(&session)) {
                forget(&transaction, &session)?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// Takes in one recording that is elsewhere, unless it was read to its close before.
    fn take_from(&mut self, session: &SessionId, bring: Bring<'_>) -> Result<(), IndexError> {
        if self.seen(session)?.is_some_and(|(_, whole)| whole) {
            return Ok(());
        }
        let folder = bring(session).map_err(IndexError::Archive)?;
        let transaction = self.0.transaction()?;
        forget(&transaction, session.as_str())?;
        if let Some(folder) = &folder {
            let bytes = folder_bytes(folder)?;
            take_in(&transaction, session, folder, bytes)?;
            // A copy of our own that has served its purpose.
            fs::remove_dir_all(folder)?;
        }
        Ok(transaction.commit()?)
    }
}
