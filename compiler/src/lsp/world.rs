//! The policy as the editor has it: its files, with open buffers in their place, and the last compilation of both.

use super::find_root;
use crate::{
    compile::{Compilation, Options, compile_again},
    kept::Kept,
    system::{Entry, EntryKind, Source, System, SystemError, join},
};
use lang::{span::SourceId, time::Timestamp};
use std::collections::BTreeMap;

/// No hours of a policy begin or end within a minute.
const MINUTE_MS: i64 = 60_000;

pub(super) struct World<'a> {
    system: &'a dyn System,
    /// The folder that holds policy.kdl, when it is known.
    root: Option<String>,
    buffers: BTreeMap<String, String>,
    /// What the last compilation found.
    pub(super) found: Option<Compilation>,
    kept: Kept,
}

impl<'a> World<'a> {
    pub(super) fn new(system: &'a dyn System, folder: Option<&str>) -> Self {
        let root = folder.and_then(|folder| find_root(system, folder.trim_end_matches('/')));
        Self { system, root, buffers: BTreeMap::new(), found: None, kept: Kept::default() }
    }

    /// A buffer with its whole text.
    pub(super) fn open(&mut self, path: &str, text: &str) {
        if self.root.is_none() {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            self.root = find_root(self.system, folder);
        }
        self.buffers.insert(path.to_owned(), text.to_owned());
    }

    pub(super) fn close(&mut self, path: &str) {
        self.buffers.remove(path);
    }

    pub(super) fn now(&self) -> Timestamp {
        self.system.now()
    }

    /// Compiles the policy anew; what cannot be read leaves the last state.
    pub(super) fn compile(&mut self) {
        let Some(root) = &self.root else { return };
        let overlay = Overlay { system: self.system, buffers: &self.buffers };
        // Witnesses name an instant: one that stays for a while leaves what is kept good from key to key.
        let now = Timestamp::from_unix_ms(self.system.now().unix_ms() / MINUTE_MS * MINUTE_MS);
        if let Ok(found) = compile_again(&overlay, root, now, &Options::default(), &mut self.kept) {
            self.found = Some(found);
        }
    }

    /// The path of a file of the policy as editors know it.
    pub(super) fn path(&self, below: &str) -> String {
        join(self.root.as_deref().unwrap_or_default(), below)
    }

    /// The source of a file by its path.
    pub(super) fn source(&self, path: &str) -> Option<SourceId> {
        let found = self.found.as_ref()?;
        found.sources.iter().find(|(_, source)| self.path(source.path()) == path).map(|(id, _)| id)
    }
}

/// Files, with open buffers in front of them.
struct Overlay<'a> {
    system: &'a dyn System,
    buffers: &'a BTreeMap<String, String>,
}

impl Source for Overlay<'_> {
    fn list(&self, root: &str) -> Result<Vec<Entry>, SystemError> {
        let mut entries = self.system.list(root)?;
        let prefix = join(root, "");
        for (path, text) in self.buffers {
            let Some(below) = path.strip_prefix(&prefix) else { continue };
            let bytes = text.len() as u64;
            match entries.iter_mut().find(|entry| entry.path == below) {
                Some(entry) => entry.bytes = bytes,
                None => entries.push(Entry { path: below.to_owned(), kind: EntryKind::File, bytes }),
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, SystemError> {
        match self.buffers.get(path) {
            Some(text) if text.len() as u64 <= bytes_max => Ok(text.clone().into_bytes()),
            Some(_) => Err(SystemError::new("read", path, format_args!("longer than {bytes_max} bytes"))),
            None => self.system.read(path, bytes_max),
        }
    }
}
