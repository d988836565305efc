//! Prepared statements, portals and cursors of one session, by the names that the server shares among them.
//!
//! A name that is taken twice keeps both meanings: which of them the server kept depends on errors that have not
//! arrived yet, and running either must be permitted. A meaning goes when the server has confirmed a later message that
//! replaces it (the unnamed one) or frees its name.

use super::classify::Classified;
use std::collections::HashMap;
use std::sync::Arc;

/// What a name may stand for.
pub type Meanings = Vec<Arc<Classified>>;

/// One namespace: prepared statements, or portals and cursors.
#[derive(Debug, Default)]
pub struct Names {
    /// The unnamed one has an empty name.
    taken: HashMap<Box<str>, Taken>,
    newest: Taking,
    /// The last taking before the messages that the server skips together.
    batch: Taking,
    kept: usize,
}

/// What one name stands for, each meaning with the message that gave it last.
#[derive(Debug, Default)]
struct Taken {
    meanings: Meanings,
    by: Vec<Taking>,
    /// The last message that the server either obeys or fails: Parse or Bind. SQL that would take the name may never run.
    certain: Taking,
}

impl Taken {
    /// Forgets what came with certain messages; how much that was.
    fn forget(&mut self, is: impl Fn(Taking) -> bool) -> usize {
        let before = self.meanings.len();
        let mut by = self.by.iter();
        self.meanings.retain(|_| by.next().is_none_or(|taking| !is(*taking)));
        self.by.retain(|taking| !is(*taking));
        before - self.meanings.len()
    }
}

/// One message that took a name; the server's confirmation of it says what the name no longer stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taking(u64);

/// The namespace is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Names {
    /// What the name may stand for; `None` when nothing has taken it. A Parse or Bind among the messages that the server skips
    /// together with the one that asks leaves nothing older: after an error of it nothing that follows is run.
    pub fn meanings(&self, name: &str) -> Option<Meanings> {
        let taken = self.taken.get(name)?;
        let since = if taken.certain > self.batch { taken.certain } else { Taking::default() };
        let of = taken.meanings.iter().zip(&taken.by);
        let found: Meanings = of.filter(|(_, by)| **by >= since).map(|(meaning, _)| Arc::clone(meaning)).collect();
        (!found.is_empty()).then_some(found)
    }

    /// The client ended what the server skips together (Sync, or a simple query).
    pub fn end_batch(&mut self) {
        self.batch = self.newest;
    }

    /// The last message that took a name: what is freed by a later one was taken by it or before.
    pub fn newest(&self) -> Taking {
        self.newest
    }

    /// Gives the name what a Parse or Bind does, in addition.
    ///
    /// # Errors
    /// When the session has taken as many names as it may.
    pub fn take(&mut self, name: &str, meanings: Meanings, names_max: usize) -> Result<Taking, Full> {
        let taking = self.may_take(name, meanings, names_max)?;
        if let Some(taken) = self.taken.get_mut(name) {
            taken.certain = taking;
        }
        Ok(taking)
    }

    /// Gives the name what PREPARE or DECLARE does when it runs, in addition.
    ///
    /// # Errors
    /// When the session has taken as many names as it may.
    pub fn may_take(&mut self, name: &str, meanings: Meanings, names_max: usize) -> Result<Taking, Full> {
        self.newest.0 += 1;
        let entry = self.taken.entry(name.into()).or_default();
        for meaning in meanings {
            match entry.meanings.iter().position(|own| *own == meaning) {
                Some(at) => entry.by.iter_mut().skip(at).take(1).for_each(|by| *by = self.newest),
                None if self.kept >= names_max => return Err(Full),
                None => {
                    entry.meanings.push(meaning);
                    entry.by.push(self.newest);
                    self.kept += 1;
                }
            }
        }
        Ok(self.newest)
    }

    /// The server has done what this message asked for: the unnamed one stands for nothing older.
    pub fn confirm(&mut self, taking: Taking) {
        let forgotten = self.taken.get_mut("").map_or(0, |taken| taken.forget(|own| own < taking));
        self.kept = self.kept.saturating_sub(forgotten);
    }

    /// The server has confirmed that the name is free again. What took it after the message that freed it stays.
    pub fn free(&mut self, name: &str, until: Taking) {
        let Some(taken) = self.taken.get_mut(name) else { return };
        let forgotten = taken.forget(|own| own <= until);
        if taken.meanings.is_empty() {
            self.taken.remove(name);
        }
        self.kept = self.kept.saturating_sub(forgotten);
    }

    /// The server has confirmed that every name is free again.
    pub fn free_all(&mut self, until: Taking) {
        let forgotten: usize = self.taken.values_mut().map(|taken| taken.forget(|own| own <= until)).sum();
        self.taken.retain(|_, taken| !taken.meanings.is_empty());
        self.kept = self.kept.saturating_sub(forgotten);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocols::postgres::classify::Texts;
    use pgsql::session::SessionFacts;

    const MAX: usize = 8;

    fn meaning(sql: &str) -> Meanings {
        Texts::default().get(sql, &SessionFacts::pinned(15), None, None).unwrap().statements.clone()
    }

    fn texts(names: &Names, name: &str) -> Vec<String> {
        names.meanings(name).unwrap_or_default().iter().map(|one| one.text.to_string()).collect()
    }

    #[test]
    fn what_is_freed_is_what_was_there_when_the_message_was_sent() {
        let mut names = Names::default();
        names.take("a", meaning("select 1"), MAX).unwrap();
        names.end_batch();
        let until = names.newest();
        names.take("a", meaning("select 2"), MAX).unwrap();
        names.free("a", until);
        names.end_batch();
        names.take("a", meaning("select 3"), MAX).unwrap();
        names.end_batch();
        assert_eq!(texts(&names, "a"), ["select 2", "select 3"], "which of them the server kept is not known");
        names.free_all(names.newest());
        assert_eq!(names.meanings("a"), None);
    }

    #[test]
    fn a_parse_that_the_server_may_have_skipped_leaves_the_older_statement() {
        let mut names = Names::default();
        let old = names.take("", meaning("select 1"), MAX).unwrap();
        names.confirm(old);
        names.end_batch();
        let new = names.take("", meaning("select 2"), MAX).unwrap();
        assert_eq!(texts(&names, ""), ["select 2"], "what follows is skipped with it");
        names.end_batch();
        assert_eq!(texts(&names, ""), ["select 1", "select 2"]);
        names.confirm(new);
        assert_eq!(texts(&names, ""), ["select 2"]);
    }

    #[test]
    fn a_prepare_that_was_read_and_may_never_run_hides_nothing() {
        let mut names = Names::default();
        names.take("a", meaning("delete from t"), MAX).unwrap();
        names.end_batch();
        names.may_take("a", meaning("select 1"), MAX).unwrap();
        assert_eq!(texts(&names, "a"), ["delete from t", "select 1"]);
    }

    #[test]
    fn names_have_a_bound_that_the_unnamed_one_counts_for() {
        let mut names = Names::default();
        for number in 0..MAX {
            names.take("", meaning(&format!("select {number}")), MAX).unwrap();
        }
        assert_eq!(names.take("b", meaning("select 'more'"), MAX), Err(Full));
    }
}
