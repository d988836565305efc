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

pub use line::{Leaf, Line, parse_line};
pub use write::Log;
pub(super) use write::{Known, Last};

use std::path::{Path, PathBuf};

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
