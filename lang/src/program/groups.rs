//! Sets of groups of one program. A subject holds few groups of a policy that may have thousands, so a set is the
//! sorted list of its groups; a short one stands where the set stands, without other memory.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

/// The longest list that stands in the set itself.
const FEW: usize = 7;

/// A set of groups of one program, as positions in its table.
#[derive(Clone)]
pub struct GroupSet(Ids);

#[derive(Clone)]
enum Ids {
    /// The first so many are the set.
    Few(u8, [u32; FEW]),
    Many(Vec<u32>),
}

impl GroupSet {
    /// The set without groups.
    pub const fn new() -> Self {
        Self(Ids::Few(0, [0; FEW]))
    }

    fn ids(&self) -> &[u32] {
        match &self.0 {
            Ids::Few(length, ids) => ids.get(..usize::from(*length)).unwrap_or_default(),
            Ids::Many(ids) => ids,
        }
    }

    /// A set of ids that are ascending and each there once.
    fn of(ids: impl Iterator<Item = u32>) -> Self {
        let mut set = Self::new();
        for id in ids {
            set.place(set.ids().len(), id);
        }
        set
    }

    /// Puts an id where it belongs.
    fn place(&mut self, at: usize, id: u32) {
        match &mut self.0 {
            Ids::Few(length, ids) if usize::from(*length) < FEW => {
                let end = usize::from(*length);
                ids.copy_within(at..end, at + 1);
                if let Some(free) = ids.get_mut(at) {
                    *free = id;
                }
                *length += 1;
            }
            Ids::Few(_, ids) => {
                let mut many = ids.to_vec();
                many.insert(at, id);
                self.0 = Ids::Many(many);
            }
            Ids::Many(ids) => ids.insert(at, id),
        }
    }

    /// Adds a group. No policy is long enough for a position that is no `u32`.
    pub fn insert(&mut self, group: usize) {
        if let Ok(id) = u32::try_from(group)
            && let Err(at) = self.ids().binary_search(&id)
        {
            self.place(at, id);
        }
    }

    /// Adds everything of `other`.
    pub fn add(&mut self, other: &Self) {
        if self.ids().is_empty() {
            self.clone_from(other);
        } else {
            other.iter().for_each(|group| self.insert(group));
        }
    }

    /// Whether the set holds the group at this position.
    pub fn contains(&self, group: usize) -> bool {
        u32::try_from(group).is_ok_and(|id| self.has(id))
    }

    pub(super) fn has(&self, id: u32) -> bool {
        match &self.0 {
            // A look at each is faster than a search among so few.
            Ids::Few(length, ids) => ids.iter().take(usize::from(*length)).any(|own| *own == id),
            Ids::Many(ids) => ids.binary_search(&id).is_ok(),
        }
    }

    /// Whether the set holds nothing.
    pub fn is_empty(&self) -> bool {
        self.ids().is_empty()
    }

    /// How many groups the set holds.
    pub fn len(&self) -> usize {
        self.ids().len()
    }

    /// Whether every group of this set is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.ids().iter().all(|id| other.has(*id))
    }

    /// Whether both sets hold some group.
    pub fn meets(&self, other: &Self) -> bool {
        self.ids().iter().any(|id| other.has(*id))
    }

    /// What is in this set alone.
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        Self::of(self.ids().iter().copied().filter(|id| !other.has(*id)))
    }

    /// What is in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.add(other);
        all
    }

    /// Positions of the groups, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.ids().iter().map(|id| *id as usize)
    }
}

impl Default for GroupSet {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for GroupSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.ids()).finish()
    }
}

impl PartialEq for GroupSet {
    fn eq(&self, other: &Self) -> bool {
        self.ids() == other.ids()
    }
}

impl Eq for GroupSet {}

impl PartialOrd for GroupSet {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GroupSet {
    fn cmp(&self, other: &Self) -> Ordering {
        self.ids().cmp(other.ids())
    }
}

impl Hash for GroupSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ids().hash(state);
    }
}

impl FromIterator<usize> for GroupSet {
    fn from_iter<I: IntoIterator<Item = usize>>(groups: I) -> Self {
        let mut set = Self::new();
        groups.into_iter().for_each(|group| set.insert(group));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_set_is_a_set(a in prop::collection::vec(0..40_usize, 0..14), b in prop::collection::vec(0..40_usize, 0..14)) {
            let (x, y): (GroupSet, GroupSet) = (a.iter().copied().collect(), b.iter().copied().collect());
            let (p, q): (BTreeSet<usize>, BTreeSet<usize>) = (a.into_iter().collect(), b.into_iter().collect());
            let same = |set: &GroupSet, plain: &BTreeSet<usize>| set.iter().eq(plain.iter().copied());
            prop_assert!(same(&x, &p) && x.len() == p.len() && x.is_empty() == p.is_empty());
            prop_assert!((0..40).all(|group| x.contains(group) == p.contains(&group)));
            prop_assert!(same(&x.or(&y), &(&p | &q)) && same(&x.minus(&y), &(&p - &q)));
            prop_assert_eq!(x.is_subset(&y), p.is_subset(&q));
            prop_assert_eq!(x.meets(&y), !p.is_disjoint(&q));
            prop_assert_eq!(x == y, p == q);
            prop_assert_eq!(x.cmp(&y), p.cmp(&q));
        }
    }
}
