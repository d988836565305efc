//! The gateway's log of its recordings, so that a whole recording cannot vanish unnoticed.
//!
//! `<recordings>/log/entries` is append-only text, one line for each opening, close and removal with the head of that
//! recording's chain. The lines are the leaves of a Merkle tree (RFC 6962), and `<recordings>/log/checkpoint` is its
//! head as a C2SP tlog-checkpoint that the gateway signs and an outside witness may countersign.
//! A session opens only once its line is written. After an error nothing more is logged: no session opens.

pub mod check;
mod line;
pub mod merkle;
pub mod note;
#[cfg(test)]
mod tests;
mod write;

pub use line::{Leaf, Line, Word, parse_line};
pub use write::Log;
pub(super) use write::{Known, Last};

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line that is read.
const LINE_BYTES_MAX: u64 = 4_096;

/// Shows every whole line of a log to somebody, in order, without holding it against anything.
///
/// # Errors
/// When the file cannot be read; that there is none is no error.
pub(super) fn each_line(recordings: &Path, mut show: impl FnMut(&Line)) -> io::Result<()> {
    let mut lines = match File::open(entries_file(recordings)) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    loop {
        let mut line = Vec::new();
        lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.pop_if(|last| *last == b'\n').is_none() {
            return Ok(());
        }
        if let Some((line, ..)) = parse_line(&line) {
            show(&line);
        }
    }
}

/// The folder of the log in the folder of all recordings.
pub fn folder(recordings: &Path) -> PathBuf {
    recordings.join("log")
}

/// The file of the log's lines.
pub fn entries_file(recordings: &Path) -> PathBuf {
    folder(recordings).join("entries")
}

/// The file of the newest checkpoint.
pub fn checkpoint_file(recordings: &Path) -> PathBuf {
    folder(recordings).join("checkpoint")
}
