//! The recorder's only way to a file system, so that a test can put a failing disk in its place.
//!
//! Folders get mode 0700 and files 0600. Nothing here ever truncates, renames or removes a file.

use std::fmt::Debug;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// A segment that grows.
pub trait Sink: Debug + Send {
    /// Hands the bytes to the operating system, all or an error.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Waits until what was written is on the medium.
    fn sync(&mut self) -> io::Result<()>;
}

/// What the recorder needs of a file system.
pub trait Disk: Debug + Send + Sync {
    /// Creates a folder and its parents; an existing folder is an error of kind `AlreadyExists`.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Creates a file that must not exist.
    fn create_file(&self, file: &Path) -> io::Result<Box<dyn Sink>>;
    /// Waits until the names in a folder are on the medium.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Bytes that an unprivileged process may still use there.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// The operating system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

#[derive(Debug)]
struct OsSink(File);

impl Disk for OsDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        if let Some(parent) = folder.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        }
        DirBuilder::new().mode(0o700).create(folder)
    }

    fn create_file(&self, file: &Path) -> io::Result<Box<dyn Sink>> {
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(file)?;
        // Only a hint for readers that a writer lives: a lock that cannot be had changes nothing.
        drop(file.try_lock());
        Ok(Box::new(OsSink(file)))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let facts = rustix::fs::statvfs(folder)?;
        Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
    }
}

impl Sink for OsSink {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
