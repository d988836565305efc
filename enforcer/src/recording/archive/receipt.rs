//! What says that a recording is in the archive: `archive/SESSION` in the folder of recordings.
//!
//! A receipt is written once all of a recording's objects are known to be there, and goes when they were removed. Its
//! loss loses nothing: the uploads are done again, and find the objects as they are.

use crate::core::id::SessionId;
use crate::recording::Disk;
use crate::recording::format::Chain;
use crate::recording::log::{Leaf, Line};
use lang::time::Timestamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A receipt larger than this is none.
const RECEIPT_BYTES_MAX: u64 = 16 << 20;

/// The receipts of a folder of recordings.
pub(in crate::recording) fn folder(recordings: &Path) -> PathBuf {
    recordings.join("archive")
}

/// One object of a recording.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::recording) struct Object {
    /// The segment's file name.
    pub(super) name: String,
    /// Its length.
    pub(super) bytes: u64,
    /// BLAKE3 of it, hexadecimal.
    pub(super) blake3: String,
}

/// A recording's receipt.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(in crate::recording) struct Receipt {
    /// When the last event was, milliseconds since 1970.
    pub(in crate::recording) ended: i64,
    /// Whether it was closed, or its gateway stopped before.
    pub(super) closed: bool,
    /// All records.
    pub(in crate::recording) records: u64,
    /// The chain after them.
    pub(in crate::recording) chain: Chain,
    /// Its objects.
    pub(super) objects: Vec<Object>,
    /// The log's line about its removal, with a signature; the objects go once it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::recording) tombstone: Option<String>,
}

impl Receipt {
    /// The recording's head, as the log has it.
    pub(super) fn new(ended: Timestamp, leaf: &Leaf, objects: Vec<Object>) -> Option<Self> {
        let (closed, records, chain) = match leaf {
            Leaf::Closed { records, chain } => (true, *records, *chain),
            Leaf::Left { records, chain } => (false, *records, *chain),
            Leaf::Opened { .. } | Leaf::Archived { .. } | Leaf::Removed { .. } | Leaf::Held(_) | Leaf::Released(_) => {
                return None;
            }
        };
        Some(Self { ended: ended.unix_ms(), closed, records, chain, objects, tombstone: None })
    }

    /// The receipt of a session; none when there is none that can be read.
    pub(in crate::recording) fn read(recordings: &Path, session: &SessionId) -> io::Result<Option<Self>> {
        let file = folder(recordings).join(session.as_str());
        match fs::metadata(&file) {
            Ok(facts) if facts.len() > RECEIPT_BYTES_MAX => return Ok(None),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(serde_json::from_slice(&fs::read(&file)?).ok())
    }

    /// Writes it, whole or not at all.
    pub(in crate::recording) fn write(
        &self,
        disk: &dyn Disk,
        recordings: &Path,
        session: &SessionId,
    ) -> io::Result<()> {
        let folder = folder(recordings);
        match disk.create_folder(&folder) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let file = folder.join(session.as_str());
        let half = folder.join(format!("{session}.tmp"));
        match disk.remove_file(&half) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut sink = disk.create_file(&half)?;
        sink.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        sink.sync()?;
        disk.rename(&half, &file)?;
        disk.sync_folder(&folder)
    }

    /// States that the recording goes, in the words of the log.
    pub(in crate::recording) fn bury(&mut self, line: &Line, sign: impl FnOnce(&[u8]) -> [u8; 64]) {
        let text = line.text();
        let signature = sign(&tombstone_message(&text));
        let signature: String = crate::recording::key::hexadecimal(&signature);
        self.tombstone = Some(format!("leasehold tombstone v1\n{text}\n{signature}\n"));
    }
}

/// What a tombstone's signature covers.
pub(super) fn tombstone_message(text: &str) -> Vec<u8> {
    [b"leasehold tombstone v1\0".as_slice(), text.as_bytes()].concat()
}

/// The sessions with a receipt.
pub(in crate::recording) fn list(recordings: &Path) -> io::Result<Vec<SessionId>> {
    let entries = match fs::read_dir(folder(recordings)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        if let Some(session) = entry?.file_name().to_str().and_then(SessionId::parse) {
            found.push(session);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a recording is in the archive, as its receipt says.
pub fn archived(recordings: &Path, session: &SessionId) -> bool {
    folder(recordings).join(session.as_str()).is_file()
}
