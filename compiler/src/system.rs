//! The world as the compiler sees it: files in, files out, a clock, a terminal. The only place that touches the
//! operating system; everything else takes a [`Source`] and is pure.

use lang::{
    bundle::{ATTESTATION_BYTES_MAX, NOTES},
    time::Timestamp,
};
use std::{collections::BTreeMap, fmt, io::IsTerminal as _, path::Path, sync::Mutex};

/// The deepest folder that is looked into.
const DEPTH_MAX: usize = 32;
/// The most entries of a tree.
const ENTRIES_MAX: usize = 50_000;

/// One entry of a tree of files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its path relative to the root, with `/` between parts.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its size in bytes; zero for a link.
    pub bytes: u64,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A plain file.
    File,
    /// A symbolic link, to a file or a folder; never followed.
    Link,
}

/// Why the world did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {doing} {path}: {why}")]
pub struct SystemError {
    /// What was tried, for example `read`.
    pub doing: &'static str,
    /// On what.
    pub path: String,
    /// Why it failed.
    pub why: String,
    /// What was asked for does not exist: the question is wrong, and not the machine.
    pub asked: bool,
}

impl SystemError {
    /// The failure of doing something to a path.
    pub fn new(doing: &'static str, path: &str, why: impl fmt::Display) -> Self {
        Self { doing, path: path.to_owned(), why: why.to_string(), asked: false }
    }

    /// The same, of something that does not exist.
    #[must_use]
    pub fn unknown(self) -> Self {
        Self { asked: true, ..self }
    }
}

/// Where policy files are read from: a folder, memory, or the tree of a commit.
pub trait Source {
    /// Every file and link below `root`, sorted by path. Folders whose name begins with a dot are left out.
    ///
    /// # Errors
    /// When the tree cannot be listed or is too large.
    fn list(&self, root: &str) -> Result<Vec<Entry>, SystemError>;

    /// The content of a plain file. The path is `root`, a slash and an [`Entry::path`], as [`join`] makes it.
    ///
    /// # Errors
    /// When the file cannot be read or is longer than `bytes_max`.
    fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, SystemError>;
}

/// A policy folder as it was at a commit.
pub struct Revision {
    /// The commit.
    pub id: String,
    /// Its tree.
    pub tree: String,
    /// When it was committed.
    pub at: Timestamp,
    /// Its files, to be read with the same root as those of the work tree.
    pub source: Box<dyn Source>,
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revision").field("id", &self.id).field("at", &self.at).finish_non_exhaustive()
    }
}

/// What the command line needs beside files.
pub trait System: Source {
    /// A folder at a revision of the repository that holds it.
    ///
    /// # Errors
    /// When there is no repository, no such revision, or no such folder in it.
    fn revision(&self, root: &str, name: &str) -> Result<Revision, SystemError>;

    /// The attestation that a commit of that repository carries as a note.
    ///
    /// # Errors
    /// When there is no repository, or its notes cannot be read.
    fn attestation(&self, root: &str, commit: &str) -> Result<Option<Vec<u8>>, SystemError>;

    /// Attaches an attestation to a commit of that repository; one that it has is replaced.
    ///
    /// # Errors
    /// When there is no repository, no such commit, or the note cannot be written.
    fn attest(&self, root: &str, commit: &str, text: &str) -> Result<(), SystemError>;

    /// Replaces a file; the folders above it are made when they are missing.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write(&self, path: &str, content: &[u8]) -> Result<(), SystemError>;

    /// Whether a path is a folder.
    fn is_folder(&self, path: &str) -> bool;

    /// Whether a path is a plain file.
    fn is_file(&self, path: &str) -> bool;

    /// The clock.
    fn now(&self) -> Timestamp;

    /// Whether output may be coloured: it goes to a terminal and `NO_COLOR` is not set.
    fn colours(&self) -> bool;

    /// The width of the terminal in characters, when there is one.
    fn width(&self) -> Option<usize>;
}

/// The path of an entry below a root.
pub fn join(root: &str, path: &str) -> String {
    let root = root.trim_end_matches('/');
    if root.is_empty() || root == "." { path.to_owned() } else { format!("{root}/{path}") }
}

/// The operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct Os;

impl Os {
    fn walk(root: &str, below: &str, depth: usize, entries: &mut Vec<Entry>) -> Result<(), SystemError> {
        let folder = if below.is_empty() { root.to_owned() } else { format!("{}/{below}", root.trim_end_matches('/')) };
        let failed = |why: &dyn fmt::Display| SystemError::new("list", &folder, why);
        if depth > DEPTH_MAX {
            return Err(failed(&"folders are nested too deeply"));
        }
        for found in std::fs::read_dir(&folder).map_err(|error| failed(&error))? {
            let found = found.map_err(|error| failed(&error))?;
            let Ok(name) = found.file_name().into_string() else {
                return Err(failed(&"a name is not UTF-8"));
            };
            let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
            let meta = found.metadata().map_err(|error| failed(&error))?;
            if meta.is_symlink() {
                entries.push(Entry { path, kind: EntryKind::Link, bytes: 0 });
            } else if meta.is_dir() {
                if !name.starts_with('.') {
                    Self::walk(root, &path, depth + 1, entries)?;
                }
            } else if meta.is_file() {
                entries.push(Entry { path, kind: EntryKind::File, bytes: meta.len() });
            }
            if entries.len() > ENTRIES_MAX {
                return Err(failed(&format_args!("more than {ENTRIES_MAX} files")));
            }
        }
        Ok(())
    }
}

impl Source for Os {
    fn list(&self, root: &str) -> Result<Vec<Entry>, SystemError> {
        let mut entries = Vec::new();
        Self::walk(if root.is_empty() { "." } else { root }, "", 0, &mut entries)?;
        entries.sort();
        Ok(entries)
    }

    fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, SystemError> {
        use std::io::Read as _;
        let failed = |why: &dyn fmt::Display| SystemError::new("read", path, why);
        let file = std::fs::File::open(path).map_err(|error| failed(&error))?;
        let mut content = Vec::new();
        let length = file.take(bytes_max.saturating_add(1)).read_to_end(&mut content);
        let length = length.map_err(|error| failed(&error))? as u64;
        if length > bytes_max {
            return Err(failed(&format_args!("longer than {bytes_max} bytes")));
        }
        Ok(content)
    }
}

impl System for Os {
    fn revision(&self, root: &str, name: &str) -> Result<Revision, SystemError> {
        crate::git::revision(root, name)
    }

    fn attestation(&self, root: &str, commit: &str) -> Result<Option<Vec<u8>>, SystemError> {
        crate::git::note_of(root, NOTES, commit, ATTESTATION_BYTES_MAX)
    }

    fn attest(&self, root: &str, commit: &str, text: &str) -> Result<(), SystemError> {
        crate::git::attach(root, NOTES, commit, text, self.now())
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<(), SystemError> {
        let failed = |error: std::io::Error| SystemError::new("write", path, error);
        if let Some(folder) = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        // A reader sees the old content or the new one, never a part.
        let temporary = format!("{path}.{}.tmp", std::process::id());
        std::fs::write(&temporary, content).map_err(failed)?;
        if let Ok(meta) = std::fs::metadata(path) {
            let _kept_as_it_is = std::fs::set_permissions(&temporary, meta.permissions());
        }
        std::fs::rename(&temporary, path).map_err(|error| {
            let _nothing_left_behind = std::fs::remove_file(&temporary);
            failed(error)
        })
    }

    fn is_folder(&self, path: &str) -> bool {
        Path::new(if path.is_empty() { "." } else { path }).is_dir()
    }

    fn is_file(&self, path: &str) -> bool {
        Path::new(path).is_file()
    }

    #[expect(clippy::disallowed_methods, reason = "the compiler's only clock; everything else takes the instant")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn colours(&self) -> bool {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        !unwanted && std::io::stdout().is_terminal()
    }

    fn width(&self) -> Option<usize> {
        std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok())
    }
}

/// Files in memory, at a fixed instant.
#[derive(Debug)]
pub struct Memory {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    now: Timestamp,
}

impl Memory {
    /// Files under their paths, at an instant.
    pub fn new<P: Into<String>, C: Into<Vec<u8>>>(now: Timestamp, files: impl IntoIterator<Item = (P, C)>) -> Self {
        let files = files.into_iter().map(|(path, content)| (path.into(), content.into())).collect();
        Self { files: Mutex::new(files), now }
    }

    fn with<T>(&self, then: impl FnOnce(&mut BTreeMap<String, Vec<u8>>) -> T) -> T {
        // A panic elsewhere leaves whole files behind, so a poisoned lock is still good.
        then(&mut self.files.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Source for Memory {
    fn list(&self, root: &str) -> Result<Vec<Entry>, SystemError> {
        let prefix = join(root, "");
        Ok(self.with(|files| {
            let below = files.iter().filter_map(|(path, content)| {
                let path = path.strip_prefix(&prefix)?;
                let hidden = path
                    .rsplit_once('/')
                    .is_some_and(|(folders, _)| folders.split('/').any(|folder| folder.starts_with('.')));
                (!hidden).then(|| Entry { path: path.to_owned(), kind: EntryKind::File, bytes: content.len() as u64 })
            });
            below.collect()
        }))
    }

    fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, SystemError> {
        let content = self.with(|files| files.get(path).cloned());
        match content {
            Some(content) if content.len() as u64 <= bytes_max => Ok(content),
            Some(_) => Err(SystemError::new("read", path, format_args!("longer than {bytes_max} bytes"))),
            None => Err(SystemError::new("read", path, "no such file")),
        }
    }
}

impl System for Memory {
    /// The files below `.revisions/NAME/`.
    fn revision(&self, root: &str, name: &str) -> Result<Revision, SystemError> {
        let prefix = format!(".revisions/{name}/");
        let own =
            |(path, content): (&String, &Vec<u8>)| Some((path.strip_prefix(&prefix)?.to_owned(), content.clone()));
        let files: Vec<(String, Vec<u8>)> = self.with(|files| files.iter().filter_map(own).collect());
        if files.is_empty() {
            let why = format_args!("`{root}` has no such revision");
            return Err(SystemError::new("read the revision", name, why).unknown());
        }
        let source = Box::new(Self::new(self.now, files));
        Ok(Revision { id: name.to_owned(), tree: name.to_owned(), at: self.now, source })
    }

    /// The file `.notes/COMMIT`.
    fn attestation(&self, _root: &str, commit: &str) -> Result<Option<Vec<u8>>, SystemError> {
        Ok(self.with(|files| files.get(&format!(".notes/{commit}")).cloned()))
    }

    fn attest(&self, _root: &str, commit: &str, text: &str) -> Result<(), SystemError> {
        self.write(&format!(".notes/{commit}"), text.as_bytes())
    }

    fn write(&self, path: &str, content: &[u8]) -> Result<(), SystemError> {
        self.with(|files| files.insert(path.to_owned(), content.to_vec()));
        Ok(())
    }

    fn is_folder(&self, path: &str) -> bool {
        let prefix = join(path, "");
        self.with(|files| files.keys().any(|file| file.starts_with(&prefix)))
    }

    fn is_file(&self, path: &str) -> bool {
        self.with(|files| files.contains_key(path))
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    fn colours(&self) -> bool {
        false
    }

    fn width(&self) -> Option<usize> {
        None
    }
}
