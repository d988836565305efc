//! The policy of a commit, read from the repository's objects: never the work tree, no network, no configuration of
//! the repository beyond where its objects are. Beside it the notes of commits, the only thing that is written.

use crate::system::{Entry, EntryKind, Revision, Source, SystemError, join};
use git2::{Commit, ErrorClass, ErrorCode, ObjectType, Oid, Repository, Signature, Time, Tree};
use lang::time::Timestamp;
use std::{collections::BTreeMap, path::Path};

const DEPTH_MAX: usize = 32;
const ENTRIES_MAX: usize = 50_000;
const FILE_BYTES_MAX: usize = 1 << 20;
/// The largest commit or tree of notes that is read.
const NOTES_BYTES_MAX: usize = 32 << 20;
const FOLDER_BYTES_MAX: usize = 64 << 20;
const FOLDER: i32 = 0o040_000;
const LINK: i32 = 0o120_000;

/// The policy folder at a revision. `root` is a path of the work tree; `name` is what git understands as a commit,
/// or `A...B` for the commit that both stem from.
pub(crate) fn revision(root: &str, name: &str) -> Result<Revision, SystemError> {
    let failed = |why: &str| SystemError::new("read the revision", name, why);
    let here = if root.is_empty() { "." } else { root };
    let repository = Repository::discover(here).map_err(|error| failed(error.message()).unknown())?;
    let commit = match name.split_once("...") {
        Some((a, b)) => merge_base(&repository, a, b),
        None => named(&repository, name),
    };
    let commit = commit.map_err(|error| {
        let named = matches!(error.code(), ErrorCode::NotFound | ErrorCode::Ambiguous | ErrorCode::InvalidSpec);
        let failure = failed(&missing(&repository, &error));
        if named { failure.unknown() } else { failure }
    })?;
    let folder = folder(&repository, here)
        .ok_or_else(|| failed("the folder is outside the repository's work tree").unknown())?;
    let mut files = Files { blobs: BTreeMap::new(), bytes: 0, root: root.trim_end_matches('/').to_owned() };
    let mut tree = commit.tree().map_err(|error| failed(error.message()))?;
    for part in folder.split('/').filter(|part| !part.is_empty()) {
        let next = tree.get_name(part).filter(|entry| entry.filemode_raw() == FOLDER).map(|entry| entry.id());
        let next = next.and_then(|id| repository.find_tree(id).ok());
        tree = next.ok_or_else(|| failed(&format!("the commit has no folder `{folder}`")).unknown())?;
    }
    files.walk(&repository, &tree, "", 0)?;
    Ok(Revision {
        id: commit.id().to_string(),
        tree: commit.tree_id().to_string(),
        at: Timestamp::from_unix(commit.time().seconds()),
        source: Box::new(files),
    })
}

fn named<'r>(repository: &'r Repository, name: &str) -> Result<Commit<'r>, git2::Error> {
    // As git reads `..B` and `A..`.
    let name = if name.is_empty() { "HEAD" } else { name };
    repository.revparse_single(name).and_then(|object| object.peel_to_commit())
}

fn merge_base<'r>(repository: &'r Repository, a: &str, b: &str) -> Result<Commit<'r>, git2::Error> {
    let (a, b) = (named(repository, a)?, named(repository, b)?);
    repository.find_commit(repository.merge_base(a.id(), b.id())?)
}

/// What is missing, in words, and where a clone that has only a part of the history gets the rest.
fn missing(repository: &Repository, error: &git2::Error) -> String {
    let what = match (error.code(), error.class()) {
        (ErrorCode::NotFound, ErrorClass::Merge) => "the two commits have no common ancestor here".to_owned(),
        (ErrorCode::NotFound, _) => "the repository has no such commit, branch or tag".to_owned(),
        (ErrorCode::Ambiguous, _) => "several objects begin with it; write more of it".to_owned(),
        _ => error.message().to_owned(),
    };
    if repository.is_shallow() {
        format!("{what}; this clone has only a part of the history: run `git fetch --unshallow`, or fetch the commit")
    } else {
        what
    }
}

/// Where a folder of the work tree stands in the repository.
fn folder(repository: &Repository, here: &str) -> Option<String> {
    let top = repository.workdir()?.canonicalize().ok()?;
    let inner = Path::new(here).canonicalize().ok()?;
    Some(inner.strip_prefix(top).ok()?.to_str()?.replace('\\', "/"))
}

/// The note of a commit under a reference; none when it has none. The error is for people.
///
/// # Errors
/// When the notes cannot be read, or are absurdly large.
pub fn note(
    repository: &Repository,
    reference: &str,
    commit: Oid,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, String> {
    let message = |error: git2::Error| format!("`{reference}` cannot be read: {}", error.message());
    let bounded = |id: Oid, most: usize| {
        let (bytes, _) = repository.odb().and_then(|objects| objects.read_header(id)).map_err(message)?;
        if bytes > most { Err(format!("`{reference}` holds an object of {bytes} bytes")) } else { Ok(()) }
    };
    let top = match repository.find_reference(reference) {
        Ok(found) => found.target().ok_or_else(|| format!("`{reference}` only points to another reference"))?,
        Err(error) if error.code() == ErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(message(error)),
    };
    bounded(top, NOTES_BYTES_MAX)?;
    let mut id = repository.find_commit(top).map_err(message)?.tree_id();
    let name = commit.to_string();
    let mut rest = name.as_str();
    // Many notes are spread over folders: `ab/cd/ef…`.
    while let (Some(folder), Some(inner)) = (rest.get(..2), rest.get(2..)) {
        bounded(id, NOTES_BYTES_MAX)?;
        let tree = repository.find_tree(id).map_err(message)?;
        if let Some(entry) = tree.get_name(rest).filter(|entry| entry.kind() == Some(ObjectType::Blob)) {
            bounded(entry.id(), bytes_max)?;
            return repository.find_blob(entry.id()).map(|blob| Some(blob.content().to_vec())).map_err(message);
        }
        let Some(next) = tree.get_name(folder).filter(|entry| entry.filemode_raw() == FOLDER) else { break };
        id = next.id();
        rest = inner;
    }
    Ok(None)
}

/// The note of a commit of the repository that holds a folder.
pub(crate) fn note_of(
    root: &str,
    reference: &str,
    commit: &str,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, SystemError> {
    let failed = |why: &str| SystemError::new("read the note of", commit, why);
    let repository = Repository::discover(if root.is_empty() { "." } else { root });
    let repository = repository.map_err(|error| failed(error.message()))?;
    let commit = Oid::from_str(commit).map_err(|error| failed(error.message()))?;
    note(&repository, reference, commit, bytes_max).map_err(|why| failed(&why))
}

/// Attaches a note to a commit; one that it has is replaced.
pub(crate) fn attach(root: &str, reference: &str, commit: &str, text: &str, at: Timestamp) -> Result<(), SystemError> {
    let failed = |error: git2::Error| SystemError::new("attach a note to", commit, error.message());
    let repository = Repository::discover(if root.is_empty() { "." } else { root }).map_err(failed)?;
    let commit = Oid::from_str(commit).map_err(failed)?;
    // Who signs is in the note; a name of the environment would say nothing.
    let who = Signature::new("leaseholdc", "leaseholdc@localhost", &Time::new(at.unix_ms().div_euclid(1000), 0))
        .map_err(failed)?;
    repository.note(&who, &who, Some(reference), commit, text, true).map(|_| ()).map_err(failed)
}

struct Files {
    blobs: BTreeMap<String, Content>,
    bytes: usize,
    root: String,
}

enum Content {
    File(Vec<u8>),
    /// Policy files are plain files: a link is listed and never followed.
    Link,
}

impl Files {
    fn walk(&mut self, repository: &Repository, tree: &Tree<'_>, below: &str, depth: usize) -> Result<(), SystemError> {
        let failed = |path: &str, why: &str| SystemError::new("read", path, why);
        if depth > DEPTH_MAX {
            return Err(failed(below, "folders are nested too deeply"));
        }
        for entry in tree {
            let Ok(name) = std::str::from_utf8(entry.name_bytes()) else {
                return Err(failed(below, "a name is not UTF-8"));
            };
            let path = join(below, name);
            match entry.filemode_raw() {
                FOLDER if name.starts_with('.') => {}
                FOLDER => {
                    let inner = repository.find_tree(entry.id()).map_err(|error| failed(&path, error.message()))?;
                    self.walk(repository, &inner, &path, depth + 1)?;
                }
                LINK => {
                    self.blobs.insert(path, Content::Link);
                }
                _ if entry.kind() == Some(ObjectType::Blob) => {
                    let content = read(repository, entry.id()).map_err(|why| failed(&path, &why))?;
                    self.bytes += content.len();
                    self.blobs.insert(path, Content::File(content));
                }
                // A submodule holds no policy.
                _ => {}
            }
            if self.blobs.len() > ENTRIES_MAX || self.bytes > FOLDER_BYTES_MAX {
                return Err(failed(below, "the policy's folder holds too much"));
            }
        }
        Ok(())
    }
}

fn read(repository: &Repository, id: Oid) -> Result<Vec<u8>, String> {
    let message = |error: git2::Error| error.message().to_owned();
    let (bytes, _) = repository.odb().and_then(|objects| objects.read_header(id)).map_err(message)?;
    if bytes > FILE_BYTES_MAX {
        // Whoever reads it learns that it is too long, as with a file of the work tree.
        return Ok(vec![0; FILE_BYTES_MAX + 1]);
    }
    repository.find_blob(id).map(|blob| blob.content().to_vec()).map_err(message)
}

impl Source for Files {
    fn list(&self, _root: &str) -> Result<Vec<Entry>, SystemError> {
        let entry = |(path, content): (&String, &Content)| match content {
            Content::File(bytes) => Entry { path: path.clone(), kind: EntryKind::File, bytes: bytes.len() as u64 },
            Content::Link => Entry { path: path.clone(), kind: EntryKind::Link, bytes: 0 },
        };
        Ok(self.blobs.iter().map(entry).collect())
    }

    fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, SystemError> {
        let failed = |why: &str| SystemError::new("read", path, why);
        let inner = path.strip_prefix(&self.root).map_or(path, |inner| inner.trim_start_matches('/'));
        match self.blobs.get(inner) {
            Some(Content::File(content)) if content.len() as u64 <= bytes_max => Ok(content.clone()),
            Some(Content::File(_)) => Err(failed("the file is too long")),
            Some(Content::Link) | None => Err(failed("the commit has no such file")),
        }
    }
}
