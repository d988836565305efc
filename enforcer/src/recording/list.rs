//! Which recordings a folder holds, with the facts of their openings and how they end.
//!
//! A list reads the first record and the last segment only: it shows, it does not prove. `verify` proves.

use super::read::{End, ReadError, Reader};
use crate::core::event::{Opened, What};
use crate::core::id::SessionId;
use lang::time::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How a recording stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its gateway still writes.
    Live,
    /// Closed in order.
    Closed {
        /// When.
        at: Timestamp,
        /// The cause's word.
        cause: String,
        /// One sentence for people.
        sentence: String,
    },
    /// Its gateway stopped before it could close it.
    Unclosed,
    /// It cannot be read to its end.
    Damaged(String),
}

impl State {
    /// A word for lists.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Closed { .. } => "closed",
            Self::Unclosed => "unclosed",
            Self::Damaged(_) => "damaged",
        }
    }
}

/// One recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The session.
    pub session: SessionId,
    /// The recording's folder.
    pub folder: PathBuf,
    /// When and under which facts it opened; none when the opening cannot be read.
    pub opened: Option<(Timestamp, Box<Opened>)>,
    /// How it stands.
    pub state: State,
}

/// The newest recordings, newest first, at most `count_max`.
pub fn list(recordings: &Path, count_max: usize) -> io::Result<Vec<Summary>> {
    let mut found: Vec<Summary> = Vec::new();
    let mut months = folders(recordings, is_month)?;
    months.sort_unstable_by(|a, b| b.cmp(a));
    for month in months {
        if found.len() >= count_max {
            break;
        }
        let mut sessions: Vec<_> = folders(&month, |name| SessionId::parse(name).is_some())?
            .into_iter()
            .filter_map(|folder| opening(&folder))
            .collect();
        sessions.sort_by_key(|summary| {
            (std::cmp::Reverse(summary.opened.as_ref().map(|(at, _)| *at)), summary.session.clone())
        });
        found.extend(sessions);
    }
    found.truncate(count_max);
    for summary in &mut found {
        if summary.opened.is_some() {
            summary.state = state(&summary.folder);
        }
    }
    Ok(found)
}

/// One recording's facts; `None` when there is none of that session.
pub fn summary(recordings: &Path, session: &SessionId) -> io::Result<Option<Summary>> {
    let Some(folder) = find(recordings, session)? else {
        return Ok(None);
    };
    Ok(opening(&folder).map(|found| Summary { state: state(&folder), ..found }))
}

/// The folders of the months.
pub(super) fn months(recordings: &Path) -> io::Result<Vec<PathBuf>> {
    folders(recordings, is_month)
}

/// The folder of every recording.
pub fn all(recordings: &Path) -> io::Result<BTreeMap<SessionId, PathBuf>> {
    let mut found = BTreeMap::new();
    for month in folders(recordings, is_month)? {
        for folder in folders(&month, |name| SessionId::parse(name).is_some())? {
            if let Some(session) = folder.file_name().and_then(|name| name.to_str()).and_then(SessionId::parse) {
                found.insert(session, folder);
            }
        }
    }
    Ok(found)
}

/// The folder of a session's recording.
pub fn find(recordings: &Path, session: &SessionId) -> io::Result<Option<PathBuf>> {
    let mut months = folders(recordings, is_month)?;
    months.sort_unstable_by(|a, b| b.cmp(a));
    Ok(months.into_iter().map(|month| month.join(session.as_str())).find(|folder| folder.is_dir()))
}

/// Whether a recording's folder holds nothing: the session never began.
pub(super) fn is_empty(folder: &Path) -> io::Result<bool> {
    Ok(fs::read_dir(folder)?.next().is_none())
}

/// The highest number of a segment in a recording's folder.
pub(super) fn last_segment(folder: &Path) -> io::Result<Option<u32>> {
    let mut last = None;
    for entry in fs::read_dir(folder)? {
        last = last.max(entry?.file_name().to_str().and_then(segment_number).map(|(number, _)| number));
    }
    Ok(last)
}

/// The number that a segment's file name states, and whether it is compressed; none for other names.
pub fn segment_number(name: &str) -> Option<(u32, bool)> {
    let (digits, sealed) = match name.strip_suffix(".rec.zst") {
        Some(digits) => (digits, true),
        None => (name.strip_suffix(".rec")?, false),
    };
    let plain = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain).map(|number| (number, sealed))
}

fn folders(parent: &Path, matches: impl Fn(&str) -> bool) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&matches) && entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn is_month(name: &str) -> bool {
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    name.split_once('-').is_some_and(|(year, month)| digits(year, 4) && digits(month, 2))
}

fn opening(folder: &Path) -> Option<Summary> {
    let session = SessionId::parse(folder.file_name()?.to_str()?)?;
    let first = Reader::open(folder, None).and_then(|mut reader| reader.next_entry());
    let (opened, state) = match first {
        Ok(Some(entry)) => match entry.event.what {
            What::Opened(opened) => (Some((entry.event.at, opened)), State::Unclosed),
            What::FromClient(_)
            | What::ToClient(_)
            | What::RowsOmitted { .. }
            | What::Decision(_)
            | What::Reauthorised { .. }
            | What::Closed { .. } => (None, State::Damaged("it does not begin with an opening".into())),
        },
        Ok(None) => (None, State::Unclosed),
        Err(error) => (None, State::Damaged(error.to_string())),
    };
    Some(Summary { session, folder: folder.to_owned(), opened, state })
}

fn state(folder: &Path) -> State {
    match last_state(folder) {
        Ok(state) => state,
        Err(error) => State::Damaged(error.to_string()),
    }
}

fn last_state(folder: &Path) -> Result<State, ReadError> {
    let io = |source| ReadError::Io { path: folder.to_owned(), source };
    let last = last_segment(folder).map_err(io)?.ok_or_else(|| ReadError::Missing(folder.to_owned()))?;
    let mut reader = Reader::open_unanchored(folder, last)?;
    let mut closed = State::Unclosed;
    while let Some(entry) = reader.next_entry()? {
        if let What::Closed { cause, sentence } = entry.event.what {
            closed = State::Closed { at: entry.event.at, cause, sentence };
        }
    }
    Ok(match reader.end() {
        Some(End::Complete { .. }) => closed,
        Some(End::Unclosed { live: true, .. }) => State::Live,
        Some(End::Unclosed { live: false, .. }) | None => State::Unclosed,
    })
}
