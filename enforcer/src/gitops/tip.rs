//! The branch's tip, and whether it may be applied: a fast-forward of the applied commit, or the one rewind that the
//! configuration names.

use git2::{ErrorCode, ObjectType, Oid, ReferenceType, Repository};
use lang::time::Timestamp;
use std::path::Path;

/// The largest commit object that is read.
const COMMIT_BYTES_MAX: usize = 1 << 20;

/// A commit to apply.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tip {
    pub(super) commit: Oid,
    pub(super) tree: Oid,
    pub(super) committed_at: Timestamp,
}

/// Opens a repository. The error is a sentence for people.
pub(super) fn open(path: &Path) -> Result<Repository, String> {
    Repository::open(path).map_err(|error| {
        let help = if error.code() == ErrorCode::Owner {
            "add it to `safe.directory` of the gateway's user"
        } else {
            "mend the path, or its permissions"
        };
        format!("the repository `{}` cannot be opened ({}): {help}", path.display(), error.message())
    })
}

/// The commit at the branch's tip.
pub(super) fn resolve(repository: &Repository, branch: &str) -> Result<Oid, String> {
    let name = format!("refs/heads/{branch}");
    let reference = repository
        .find_reference(&name)
        .map_err(|error| format!("the repository has no branch `{branch}`: {}", error.message()))?;
    if reference.kind() != Some(ReferenceType::Direct) {
        return Err(format!("the branch `{branch}` only points to another branch: name that one"));
    }
    reference.target().ok_or_else(|| format!("the branch `{branch}` has no commit"))
}

/// Reads a commit, small enough to be one.
pub(super) fn read(repository: &Repository, commit: Oid) -> Result<Tip, String> {
    let unreadable = |error: git2::Error| format!("commit {commit} cannot be read: {}", error.message());
    let objects = repository.odb().map_err(unreadable)?;
    let (bytes, kind) = objects.read_header(commit).map_err(unreadable)?;
    if kind != ObjectType::Commit || bytes > COMMIT_BYTES_MAX {
        return Err(format!("{commit} is no commit, or one of an absurd size"));
    }
    let read = repository.find_commit(commit).map_err(unreadable)?;
    let committed_at = Timestamp::from_unix(read.time().seconds());
    Ok(Tip { commit, tree: read.tree_id(), committed_at })
}

/// Refuses a tip that does not follow the applied commit.
pub(super) fn check_forward(
    repository: &Repository,
    tip: Oid,
    applied: &str,
    rewind: Option<&str>,
) -> Result<(), String> {
    if rewind == Some(tip.to_string().as_str()) {
        return Ok(());
    }
    let forward = Oid::from_str(applied).and_then(|applied| repository.graph_descendant_of(tip, applied));
    if forward.is_ok_and(|forward| forward) {
        return Ok(());
    }
    Err(format!(
        "the branch was rewound or rewritten: {tip} does not follow the applied commit {applied}; restore the branch, \
         or name the commit in the gateway's configuration (`rewind \"{tip}\"`) and restart"
    ))
}
