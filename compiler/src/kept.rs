//! What a compilation keeps for the next one of the same policy: trees and findings, by the digest of everything that
//! they follow from. It may be dropped at any time; what is found is the same. Nothing is kept that the last
//! compilation did not ask for, so that it never grows beyond one policy.

use crate::{check::Page, load::Parsed};
use lang::diag::Sink;
use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
};

/// What whoever compiles one policy again and again holds.
#[derive(Debug, Default)]
pub struct Kept {
    pub(crate) parsed: Parsed,
    pub(crate) memos: Memos,
}

/// Results of checks.
#[derive(Debug, Default)]
pub(crate) struct Memos {
    /// Of each file: what it says by itself.
    pub(crate) pages: Memo<Page>,
    /// Of each connection: what its grants say of each other.
    pub(crate) rivals: Memo<Sink>,
}

impl Memos {
    /// Ends a compilation: what it asked for is what is kept.
    pub(crate) fn turn(&mut self) {
        self.pages.turn();
        self.rivals.turn();
    }
}

/// Stands for everything that was hashed into it, as far as BLAKE3 goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// The key of a value. `Hash` writes nothing that begins like something else of its type: lengths stand before lists,
    /// an end behind texts, and the variant before what it holds. It need not be the same tomorrow.
    pub(crate) fn of(value: &(impl Hash + ?Sized)) -> Self {
        let mut bytes = Bytes(Vec::with_capacity(512));
        value.hash(&mut bytes);
        Self(*blake3::hash(&bytes.0).as_bytes())
    }
}

/// Takes what is hashed as it comes.
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Nobody asks: the bytes are what counts.
    fn finish(&self) -> u64 {
        0
    }
}

/// Values by what they follow from, of the last compilation and of this one.
#[derive(Debug)]
pub(crate) struct Memo<V> {
    before: HashMap<Key, Arc<V>>,
    now: Mutex<HashMap<Key, Arc<V>>>,
}

impl<V> Default for Memo<V> {
    fn default() -> Self {
        Self { before: HashMap::new(), now: Mutex::default() }
    }
}

impl<V> Memo<V> {
    /// The value of a key: as it was, or made now.
    pub(crate) fn recall(&self, key: Key, make: impl FnOnce() -> V) -> Arc<V> {
        let value = self.before.get(&key).map_or_else(|| Arc::new(make()), Arc::clone);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.insert(key, Arc::clone(&value));
        value
    }

    fn turn(&mut self) {
        let now = self.now.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.before = std::mem::take(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_last_compilation_asked_for_is_kept() {
        let mut memo = Memo::default();
        let ask = |memo: &Memo<u8>, key: &str, value: u8| *memo.recall(Key::of(key), || value);
        assert_eq!((ask(&memo, "a", 1), ask(&memo, "b", 2)), (1, 2));
        memo.turn();
        assert_eq!(ask(&memo, "a", 3), 1);
        memo.turn();
        assert_eq!((ask(&memo, "a", 4), ask(&memo, "b", 5)), (1, 5));
        assert_eq!(memo.before.len(), 1);
    }

    #[test]
    fn a_key_tells_apart_what_runs_together() {
        assert_ne!(Key::of(&("ab", "c")), Key::of(&("a", "bc")));
        assert_ne!(Key::of(&vec![vec![1_u8], vec![]]), Key::of(&vec![vec![], vec![1_u8]]));
        assert_ne!(Key::of(&(None::<u8>, Some(0_u8))), Key::of(&(Some(0_u8), None::<u8>)));
    }
}
