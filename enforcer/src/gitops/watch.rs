//! Hints that a local repository's branch moved. Only hints: the gateway's own reads must not feed them, a missed
//! one costs a poll interval, and the branch is always resolved anew.

use super::Nudge;
use notify::event::{Event, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Watches while it lives.
#[derive(Debug)]
pub(super) struct Watch {
    _watcher: RecommendedWatcher,
    folder: PathBuf,
    identity: (u64, u64),
}

impl Watch {
    /// Watches the references of the repository at `path`; `None` when that is not possible now.
    pub(super) fn start(path: &Path, nudge: Nudge) -> Option<Self> {
        let folder = git2::Repository::open(path).ok()?.commondir().to_owned();
        let home = folder.clone();
        let identity = identity(&folder)?;
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            if event.is_ok_and(|event| moves_a_branch(&event, &home)) {
                nudge.nudge();
            }
        })
        .ok()?;
        watcher.watch(&folder, RecursiveMode::NonRecursive).ok()?;
        watcher.watch(&folder.join("refs"), RecursiveMode::Recursive).ok()?;
        // A repository without a table of references has no such folder.
        watcher.watch(&folder.join("reftable"), RecursiveMode::NonRecursive).ok();
        Some(Self { _watcher: watcher, folder, identity })
    }

    /// Whether the watched folder is still the one at its path: a repository may be moved away and replaced.
    pub(super) fn is_of_what_stands_there(&self) -> bool {
        identity(&self.folder) == Some(self.identity)
    }
}

fn identity(folder: &Path) -> Option<(u64, u64)> {
    std::fs::metadata(folder).ok().map(|facts| (facts.dev(), facts.ino()))
}

fn moves_a_branch(event: &Event, folder: &Path) -> bool {
    match event.kind {
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => {}
        // Reading causes events too, and the gateway reads.
        EventKind::Any | EventKind::Access(_) | EventKind::Other => return false,
    }
    let concerns = |path: &PathBuf| {
        path.strip_prefix(folder).is_ok_and(|below| {
            below.starts_with("refs")
                || below.starts_with("reftable")
                || below == Path::new("HEAD")
                || below == Path::new("packed-refs")
        })
    };
    event.paths.iter().any(concerns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use notify::event::{AccessKind, CreateKind, ModifyKind, RemoveKind};

    #[test]
    fn writes_to_references_are_hints_and_reads_are_not() {
        let folder = Path::new("/srv/policy.git");
        let event = |kind, path: &str| Event::new(kind).add_path(folder.join(path));
        for (kind, path, hint) in [
            (EventKind::Create(CreateKind::File), "refs/heads/main", true),
            (EventKind::Modify(ModifyKind::Any), "packed-refs", true),
            (EventKind::Remove(RemoveKind::File), "refs/heads/main", true),
            (EventKind::Modify(ModifyKind::Any), "reftable/tables.list", true),
            (EventKind::Access(AccessKind::Any), "refs/heads/main", false),
            (EventKind::Modify(ModifyKind::Any), "config", false),
            (EventKind::Create(CreateKind::File), "objects/ab/cd", false),
        ] {
            assert_eq!(moves_a_branch(&event(kind, path), folder), hint, "{kind:?} {path}");
        }
    }
}
