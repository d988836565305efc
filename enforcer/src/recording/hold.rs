//! Legal holds: what retention must leave, whatever its age.
//!
//! A hold is a line of the signed log, with who asked for it and why; so is its release. Somebody whom the policy lets
//! hold recordings asks over the API, and only there is such a hold released. A file in the folder of holds counts as
//! well, for whoever may write there: retention notes it in the log before it removes anything. Nothing here removes.

use super::archive::Receipt;
use super::log::{Leaf, Line, Word};
use super::{Recorder, RecorderError, list};
use crate::core::id::SessionId;
use lang::time::Timestamp;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{MutexGuard, PoisonError};

/// The longest reason.
pub const REASON_BYTES_MAX: usize = 512;
/// The longest name of a subject.
const SUBJECT_BYTES_MAX: usize = 512;
/// Recordings that are held at a time.
const HOLDS_MAX: usize = 65_536;

/// The folder of the files that hold recordings.
fn folder(recordings: &Path) -> PathBuf {
    recordings.join("holds")
}

/// The file that holds a recording against retention.
pub fn hold_file(recordings: &Path, session: &SessionId) -> PathBuf {
    folder(recordings).join(session.as_str())
}

/// Whether a reason can stand in the log.
pub fn is_reason(text: &str) -> bool {
    text.len() <= REASON_BYTES_MAX && !text.chars().any(char::is_control)
}

/// Who holds a recording, since when, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The subject.
    pub by: String,
    /// The reason.
    pub why: String,
    /// Since when.
    pub at: Timestamp,
}

/// The holds of one recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// The one that the policy let somebody set.
    pub asked: Option<Held>,
    /// Whether the log knows of a file.
    pub file: bool,
}

/// The recordings that are held.
pub(super) type All = BTreeMap<SessionId, Holds>;

/// Takes a line of the log into account.
pub(super) fn follow(all: &mut All, line: &Line) {
    let (Leaf::Held(word) | Leaf::Released(word)) = &line.leaf else { return };
    let holds = all.entry(line.session.clone()).or_default();
    let held = matches!(line.leaf, Leaf::Held(_));
    match &word.by {
        None => holds.file = held,
        Some(by) => holds.asked = held.then(|| Held { by: by.clone(), why: word.why.clone(), at: line.at }),
    }
    if *holds == Holds::default() {
        all.remove(&line.session);
    }
}

/// Why a recording is not held, or not released.
#[derive(Debug, thiserror::Error)]
pub enum HoldError {
    /// There is none here, or it is about to be removed.
    #[error("the recording of this session is not on this gateway")]
    Absent,
    /// The words do not fit a line.
    #[error("a reason is one line of at most {REASON_BYTES_MAX} bytes")]
    Reason,
    /// There are too many.
    #[error("{HOLDS_MAX} recordings are held, and no more can be")]
    TooMany,
    /// The log or the files.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// The files.
    #[error("the recordings cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Recorder {
    /// The holds of every recording. While it is kept, nothing is held, released or removed.
    pub(super) fn holds(&self) -> MutexGuard<'_, All> {
        // A map is whole after each call that changes it.
        self.0.holds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who holds a recording, where the policy let somebody.
    pub fn held(&self, session: &SessionId) -> Option<Held> {
        self.holds().get(session).and_then(|holds| holds.asked.clone())
    }

    /// Whether there is a recording that can be held: here or in the archive, without a tombstone.
    ///
    /// # Errors
    /// When the files cannot be read.
    pub fn is_kept(&self, session: &SessionId) -> io::Result<bool> {
        let recordings = self.folder();
        match Receipt::read(recordings, session)? {
            Some(receipt) => Ok(receipt.tombstone.is_none()),
            None => Ok(list::find(recordings, session)?.is_some()),
        }
    }

    /// Holds a recording; false when it was held so already.
    ///
    /// # Errors
    /// When there is none, or the log cannot take the line: then nothing is held.
    pub fn hold(&self, session: &SessionId, by: &str, why: &str, now: Timestamp) -> Result<bool, HoldError> {
        let mut all = self.holds();
        if all.get(session).is_some_and(|holds| holds.asked.is_some()) {
            return Ok(false);
        }
        if !self.is_kept(session)? {
            return Err(HoldError::Absent);
        }
        if all.len() >= HOLDS_MAX {
            return Err(HoldError::TooMany);
        }
        let word = word(by, why)?;
        self.note(&mut all, session, Leaf::Held(word), now)?;
        Ok(true)
    }

    /// Releases a recording that somebody was let hold; false when nobody held it.
    ///
    /// # Errors
    /// When the log cannot take the line: then it is still held.
    pub fn release(&self, session: &SessionId, by: &str, why: &str, now: Timestamp) -> Result<bool, HoldError> {
        let mut all = self.holds();
        if all.get(session).is_none_or(|holds| holds.asked.is_none()) {
            return Ok(false);
        }
        let word = word(by, why)?;
        self.note(&mut all, session, Leaf::Released(word), now)?;
        Ok(true)
    }

    fn note(&self, all: &mut All, session: &SessionId, leaf: Leaf, at: Timestamp) -> Result<(), RecorderError> {
        let line = Line { leaf, at, session: session.clone() };
        self.0.log.append(&line)?;
        follow(all, &line);
        Ok(())
    }

    /// Notes in the log which files hold recordings by now, and which do no more.
    pub(super) fn note_hold_files(&self, now: Timestamp) -> io::Result<()> {
        let recordings = self.folder();
        let files = files(recordings)?;
        let mut all = self.holds();
        let gone: Vec<SessionId> = all
            .iter()
            .filter(|(session, holds)| holds.file && !files.contains(session))
            .map(|(id, _)| id.clone())
            .collect();
        for session in gone {
            let word = Word { by: None, why: String::new() };
            self.note(&mut all, &session, Leaf::Released(word), now).map_err(io::Error::other)?;
        }
        for session in files {
            if all.get(&session).is_some_and(|holds| holds.file) || all.len() >= HOLDS_MAX {
                continue;
            }
            let word = Word { by: None, why: reason_in(&hold_file(recordings, &session)) };
            self.note(&mut all, &session, Leaf::Held(word), now).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

fn word(by: &str, why: &str) -> Result<Word, HoldError> {
    if !is_reason(why) || by.len() > SUBJECT_BYTES_MAX {
        return Err(HoldError::Reason);
    }
    Ok(Word { by: Some(by.to_owned()), why: why.to_owned() })
}

/// The sessions that a file holds.
fn files(recordings: &Path) -> io::Result<Vec<SessionId>> {
    let entries = match fs::read_dir(folder(recordings)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        found.extend(entry?.file_name().to_str().and_then(SessionId::parse));
    }
    found.sort();
    Ok(found)
}

/// The first line of a file, as far as it can stand in the log. What cannot be read is no reason, and holds as well.
fn reason_in(file: &Path) -> String {
    let most = u64::try_from(REASON_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    if File::open(file).and_then(|file| file.take(most).read_to_end(&mut bytes)).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().next().unwrap_or_default();
    if is_reason(line) { line.to_owned() } else { String::new() }
}

/// What the log in a folder says of a recording's holds; for commands, which cannot ask the gateway.
///
/// # Errors
/// When the log cannot be read.
pub fn logged(recordings: &Path, session: &SessionId) -> io::Result<Holds> {
    let mut all = All::new();
    super::log::each_line(recordings, |line| {
        if line.session == *session {
            follow(&mut all, line);
        }
    })?;
    Ok(all.remove(session).unwrap_or_default())
}
