//! Prepared statements, portals and cursors of one session, by the names that the server shares among them.
//!
//! A name that is taken twice keeps both meanings: which of them the server kept depends on errors that have not
//! arrived yet, and running either must be permitted.

use super::classify::Classified;
use std::collections::HashMap;
use std::sync::Arc;

/// What a name may stand for.
pub type Meanings = Vec<Arc<Classified>>;

/// One namespace: prepared statements, or portals and cursors.
#[derive(Debug, Default)]
pub struct Names {
    named: HashMap<Box<str>, Meanings>,
    unnamed: Meanings,
    kept: usize,
}

/// The namespace is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Names {
    /// What the name stands for; `None` when nothing has taken it.
    pub fn meanings(&self, name: &str) -> Option<&Meanings> {
        let meanings = if name.is_empty() { Some(&self.unnamed) } else { self.named.get(name) };
        meanings.filter(|meanings| !meanings.is_empty())
    }

    /// Gives the name these meanings: the unnamed one anew, another one in addition.
    ///
    /// # Errors
    /// When the session has taken as many names as it may.
    pub fn take(&mut self, name: &str, meanings: Meanings, names_max: usize) -> Result<(), Full> {
        if name.is_empty() {
            self.unnamed = meanings;
            return Ok(());
        }
        let entry = self.named.entry(name.into()).or_default();
        for meaning in meanings {
            if !entry.contains(&meaning) {
                if self.kept >= names_max {
                    return Err(Full);
                }
                entry.push(meaning);
                self.kept += 1;
            }
        }
        Ok(())
    }

    /// The server has confirmed that the name is free again.
    pub fn free(&mut self, name: &str) {
        if name.is_empty() {
            self.unnamed.clear();
        } else if let Some(meanings) = self.named.remove(name) {
            self.kept = self.kept.saturating_sub(meanings.len());
        }
    }

    /// The server has confirmed that every name is free again.
    pub fn free_all(&mut self) {
        *self = Self::default();
    }
}
