//! What portals and cursors have returned so far: a bound on a statement's rows holds for all of them together, however
//! small the portions are in which a client fetches them.

use std::collections::HashMap;

/// Rows, and their bytes on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Returned {
    /// Rows.
    pub rows: u64,
    /// Bytes of rows.
    pub bytes: u64,
}

/// What was returned, by portal. Holds no more names than [`super::names::Names`] does.
#[derive(Debug, Default)]
pub(super) struct Spent(HashMap<Box<str>, Returned>);

impl Spent {
    /// What a run starts from that fetches from these portals: the most that any of them has returned.
    pub(super) fn before(&self, portals: &[Box<str>]) -> Returned {
        portals.iter().filter_map(|name| self.0.get(name)).fold(Returned::default(), |most, one| Returned {
            rows: most.rows.max(one.rows),
            bytes: most.bytes.max(one.bytes),
        })
    }

    /// A run that fetched from these portals has ended, having come to so much.
    pub(super) fn after(&mut self, portals: &[Box<str>], returned: Returned) {
        for name in portals {
            self.0.insert(name.clone(), returned);
        }
    }

    /// The server has confirmed that the portal is new, or gone.
    pub(super) fn forget(&mut self, portal: &str) {
        self.0.remove(portal);
    }

    /// The server has confirmed that every portal is gone.
    pub(super) fn forget_all(&mut self) {
        self.0.clear();
    }
}
