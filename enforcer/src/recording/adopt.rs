//! What an earlier process left behind, when a gateway starts: recordings that it could not close, or could not log.
//!
//! Each gets a line in the log with the head that it has now, so that it cannot be cut short from then on. Nothing
//! here changes a recording.

use super::RecorderError;
use super::archive;
use super::list;
use super::log::{Known, Last, Leaf, Line, Log};
use super::read::{End, ReadError, Reader};
use lang::time::Timestamp;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Logs the heads of recordings that will not grow any more, and counts the bytes of all.
pub(super) fn adopt(
    recordings: &Path,
    log: &Log,
    known: &Known,
    usage: &AtomicU64,
    spool: Option<&archive::Spool>,
) -> io::Result<Result<(), RecorderError>> {
    for (session, folder) in list::all(recordings)? {
        usage.fetch_add(folder_bytes(&folder)?, Ordering::Relaxed);
        if let Some(spool) = spool
            && !archive::archived(recordings, &session)
        {
            spool.add(session.clone(), folder.clone());
        }
        if matches!(known.get(&session), Some(Last::Ended | Last::Removed)) {
            continue;
        }
        if list::is_empty(&folder)? {
            // A session whose folder was made and that never began.
            continue;
        }
        match head(&folder) {
            Ok((at, leaf, _)) => {
                if let Err(error) = log.append(&Line { leaf, at, session }) {
                    return Ok(Err(error));
                }
            }
            // `verify` says more; the recording stays as it is.
            Err(error) => tracing::error!(%session, %error, "a recording of an earlier process is not intact"),
        }
    }
    Ok(Ok(()))
}

fn folder_bytes(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0_u64;
    for entry in fs::read_dir(folder)? {
        bytes = bytes.saturating_add(entry?.metadata()?.len());
    }
    Ok(bytes)
}

/// When a recording's last event was, its head, and whether it may still grow.
pub(super) fn head(folder: &Path) -> Result<(Timestamp, Leaf, bool), ReadError> {
    let mut reader = Reader::open(folder, None)?;
    let mut at = Timestamp::from_unix_ms(0);
    while let Some(entry) = reader.next_entry()? {
        at = entry.event.at;
    }
    let super::format::Head { records, chain } = reader.head();
    let leaf = match reader.end() {
        Some(End::Complete { .. }) => Leaf::Closed { records, chain },
        Some(End::Unclosed { .. }) | None => Leaf::Left { records, chain },
    };
    Ok((at, leaf, matches!(reader.end(), Some(End::Unclosed { live: true, .. }))))
}
