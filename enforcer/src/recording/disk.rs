//! The recorder's only way to a file system, so that a test can put a failing or a forgetful disk in its place.
//!
//! Folders get mode 0700 and files 0600. A recording's bytes are only ever appended; whole files are removed by the
//! sealing and by retention alone.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

/// A file that grows.
pub trait Sink: Debug + Send {
    /// Hands the bytes to the operating system, all or an error.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Waits until what was written is on the medium.
    fn sync(&mut self) -> io::Result<()>;
    /// What another thread may use to wait for the same.
    fn flush(&self) -> io::Result<Arc<dyn Flush>>;
}

/// Waits until a file's bytes are on the medium.
pub trait Flush: Debug + Send + Sync {
    /// Waits.
    fn sync(&self) -> io::Result<()>;
}

/// A file that is read.
pub trait Source: Read + Seek + Send {}

impl<T: Read + Seek + Send> Source for T {}

/// What the recorder needs of a file system.
pub trait Disk: Debug + Send + Sync {
    /// Creates a folder and its parents; an existing folder is an error of kind `AlreadyExists`.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;
    /// Creates a file that must not exist.
    fn create_file(&self, file: &Path) -> io::Result<Box<dyn Sink>>;
    /// Opens a file for appending, and creates it when there is none; an error of kind `WouldBlock` when another
    /// process has it open so.
    fn append_file(&self, file: &Path) -> io::Result<Box<dyn Sink>>;
    /// Opens a file for reading.
    fn open_file(&self, file: &Path) -> io::Result<Box<dyn Source>>;
    /// Gives a file another name, in place of what has that name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, file: &Path) -> io::Result<()>;
    /// Removes an empty folder.
    fn remove_folder(&self, folder: &Path) -> io::Result<()>;
    /// Waits until the names in a folder are on the medium.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// Bytes that an unprivileged process may still use there.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// The operating system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsDisk;

#[derive(Debug)]
struct OsSink(Arc<File>);

#[derive(Debug)]
struct OsFlush(Arc<File>);

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
        Ok(Box::new(OsSink(Arc::new(file))))
    }

    fn append_file(&self, file: &Path) -> io::Result<Box<dyn Sink>> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(file)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(OsSink(Arc::new(file)))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn open_file(&self, file: &Path) -> io::Result<Box<dyn Source>> {
        Ok(Box::new(File::open(file)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, file: &Path) -> io::Result<()> {
        fs::remove_file(file)
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        fs::remove_dir(folder)
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
        (&*self.0).write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn flush(&self) -> io::Result<Arc<dyn Flush>> {
        Ok(Arc::new(OsFlush(Arc::clone(&self.0))))
    }
}

impl Flush for OsFlush {
    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}
