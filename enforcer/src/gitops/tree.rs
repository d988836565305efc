//! The tree of a commit as the compiler reads it: never the work tree, and every bound checked on an object's header
//! before its content is read.

use compiler::system::{Entry, EntryKind, Source, SystemError, join};
use git2::{ObjectType, Oid, Repository, Tree};
use std::collections::BTreeMap;

const DEPTH_MAX: usize = 32;
const ENTRIES_MAX: usize = 20_000;
/// The largest tree object: 20,000 entries with long names.
const TREE_BYTES_MAX: usize = 4 << 20;
/// The largest file of a policy folder, whether the policy reads it or not.
const FILE_BYTES_MAX: usize = 1 << 20;
const FOLDER_BYTES_MAX: usize = 64 << 20;

const LINK: i32 = 0o120_000;
const SUBMODULE: i32 = 0o160_000;
const FOLDER: i32 = 0o040_000;
const FILES: [i32; 3] = [0o100_644, 0o100_755, 0o100_664];

/// The files of one folder of one commit.
pub(super) struct Files<'r> {
    repository: &'r Repository,
    blobs: BTreeMap<String, (Oid, usize)>,
    bytes: usize,
}

impl<'r> Files<'r> {
    /// Lists a folder. The error is a sentence for people.
    pub(super) fn list(repository: &'r Repository, tree: Oid, folder: &str) -> Result<Self, String> {
        let mut files = Self { repository, blobs: BTreeMap::new(), bytes: 0 };
        let mut tree = files.open(tree, "")?;
        let mut path = String::new();
        for part in folder.split('/').filter(|part| !part.is_empty()) {
            path = join(&path, part);
            let next = tree.get_name(part).filter(|entry| entry.filemode_raw() == FOLDER).map(|entry| entry.id());
            tree = files.open(next.ok_or_else(|| format!("the commit has no folder `{path}`"))?, &path)?;
        }
        files.walk(&tree, "", 0)?;
        Ok(files)
    }

    fn open(&self, tree: Oid, path: &str) -> Result<Tree<'r>, String> {
        let (size, kind) = self.header(tree, path)?;
        if kind != ObjectType::Tree || size > TREE_BYTES_MAX {
            return Err(format!("the folder `{path}` of the commit has too many entries"));
        }
        self.repository.find_tree(tree).map_err(|error| unreadable(path, &error))
    }

    fn header(&self, id: Oid, path: &str) -> Result<(usize, ObjectType), String> {
        let objects = self.repository.odb().map_err(|error| unreadable(path, &error))?;
        objects.read_header(id).map_err(|error| unreadable(path, &error))
    }

    fn walk(&mut self, tree: &Tree<'_>, below: &str, depth: usize) -> Result<(), String> {
        if depth > DEPTH_MAX {
            return Err(format!("folders are nested more than {DEPTH_MAX} deep at `{below}`"));
        }
        for entry in tree {
            let name = std::str::from_utf8(entry.name_bytes())
                .ok()
                .filter(|name| is_plain(name))
                .ok_or_else(|| format!("a name in the folder `{below}` is no plain UTF-8 file name"))?;
            let path = join(below, name);
            match entry.filemode_raw() {
                LINK => return Err(format!("`{path}` is a symbolic link: put the file itself there")),
                SUBMODULE => return Err(format!("`{path}` is a submodule: copy its files into the repository")),
                // The forge's own folders (.github) are none of the policy's.
                FOLDER if name.starts_with('.') => {}
                FOLDER => {
                    let inner = self.open(entry.id(), &path)?;
                    self.walk(&inner, &path, depth + 1)?;
                }
                mode if FILES.contains(&mode) => self.add(path, entry.id())?,
                mode => return Err(format!("`{path}` has the unknown mode {mode:o}")),
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, id: Oid) -> Result<(), String> {
        let (bytes, kind) = self.header(id, &path)?;
        if kind != ObjectType::Blob || bytes > FILE_BYTES_MAX {
            return Err(format!("`{path}` is larger than 1 MiB: split it, or keep it outside the policy's folder"));
        }
        self.bytes += bytes;
        self.blobs.insert(path, (id, bytes));
        if self.blobs.len() > ENTRIES_MAX || self.bytes > FOLDER_BYTES_MAX {
            return Err(format!("the policy's folder holds more than {ENTRIES_MAX} files or 64 MiB"));
        }
        Ok(())
    }
}

impl Source for Files<'_> {
    fn list(&self, root: &str) -> Result<Vec<Entry>, SystemError> {
        if !root.is_empty() {
            return Err(SystemError::new("list", root, "the policy's folder is the root of this source"));
        }
        let entry = |(path, (_, bytes)): (&String, &(Oid, usize))| Entry {
            path: path.clone(),
            kind: EntryKind::File,
            bytes: *bytes as u64,
        };
        Ok(self.blobs.iter().map(entry).collect())
    }

    fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, SystemError> {
        let failed = |why: &str| SystemError::new("read", path, why);
        let (id, bytes) = self.blobs.get(path).ok_or_else(|| failed("the commit has no such file"))?;
        if *bytes as u64 > bytes_max {
            return Err(failed("the file is too long"));
        }
        let blob = self.repository.find_blob(*id).map_err(|error| failed(error.message()))?;
        Ok(blob.content().to_vec())
    }
}

fn unreadable(path: &str, error: &git2::Error) -> String {
    format!("`{path}` cannot be read from the repository: {}", error.message())
}

/// Whether a name is one that git itself would write: no path, nothing that a file system could read otherwise.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 255
        && name != "."
        && name != ".."
        && !name.eq_ignore_ascii_case(".git")
        && !name.chars().any(|c| matches!(c, '/' | '\\' | ':') || c.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_be_paths() {
        for name in ["policy.kdl", "ä.kdl", "...", ".gitignore"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", ".", "..", ".git", ".GIT", "a/b", "..\\a", "c:", "a\u{0}", "a\n", &"x".repeat(256)] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
