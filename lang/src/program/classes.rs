//! Which masks hold for whom: sessions of one class see the same of a connection.

use super::rules::{Grant, Mask};
use super::scope::class_matches;
use super::{GroupSet, Matcher, Matchers, Program, Subject, SubjectKind, matches};
use std::collections::{BTreeMap, BTreeSet};

/// Groups whose holding is tried in every combination.
const GROUPS_MAX: usize = 10;

/// What decides which masks a session has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaskClass {
    /// The grant.
    pub grant: String,
    /// Names of the masks that concern the subject, sorted.
    pub masks: Vec<String>,
    /// The classes that the grant reveals, where a mask lets it.
    pub reveals: Vec<String>,
}

/// A policy whose classes are too many to be counted out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the grants and masks of `{0}` name more than {GROUPS_MAX} groups, too many for one role for each combination")]
pub struct TooManyClasses(pub String);

impl Program {
    /// The class of a session of this subject under this grant.
    pub fn mask_class(&self, subject: &Subject, grant: &Grant, connection: &str) -> MaskClass {
        let mut class = MaskClass { grant: grant.id.clone(), masks: Vec::new(), reveals: Vec::new() };
        for (mask, to) in self.masks_of(connection) {
            if matches(to, subject) {
                class.masks.push(mask.name.clone());
                if mask.reveal_by_grant {
                    class.reveals.clone_from(&grant.reveal);
                }
            }
        }
        class.masks.sort();
        class
    }

    /// Every class that a session on a connection can have, each with a subject of it.
    ///
    /// # Errors
    /// When the rules name too many groups.
    pub fn mask_classes(&self, connection: &str) -> Result<BTreeMap<MaskClass, Subject>, TooManyClasses> {
        let mut found = BTreeMap::new();
        let Some((_, index)) = self.indexed(connection) else { return Ok(found) };
        for (place, grant) in index.grants.all(&self.rules.grants) {
            let Some(to) = self.to_grants.get(place) else { continue };
            let mut groups = GroupSet::default();
            for matchers in self.masks_of(connection).map(|(_, to)| to).chain([to]) {
                matchers.iter().flatten().flat_map(Matcher::groups).for_each(|group| groups.insert(group));
            }
            let groups: Vec<usize> = groups.iter().collect();
            if groups.len() > GROUPS_MAX {
                return Err(TooManyClasses(connection.to_owned()));
            }
            for held in 0..1_usize << groups.len() {
                let held: BTreeSet<usize> = groups
                    .iter()
                    .enumerate()
                    .filter(|(bit, _)| held >> bit & 1 == 1)
                    .map(|(_, group)| *group)
                    .collect();
                for kind in [SubjectKind::Human, SubjectKind::Service, SubjectKind::Agent] {
                    let Ok(subject) = self.close(kind, held.iter().copied().collect(), true) else { continue };
                    if matches(to, &subject) {
                        found.entry(self.mask_class(&subject, grant, connection)).or_insert(subject);
                    }
                }
            }
        }
        Ok(found)
    }

    /// The masks that can hold on a connection, with whom they concern.
    fn masks_of(&self, connection: &str) -> impl Iterator<Item = (&Mask, &Matchers)> {
        let indexed = self.indexed(connection).into_iter();
        let masks = indexed.flat_map(|(target, index)| {
            index.masks.all(&self.rules.masks).map(move |(place, mask)| (target, place, mask))
        });
        masks.filter_map(|(target, place, mask)| {
            let to = self.to_masks.get(place)?;
            let classified = |class: &String| target.classified.iter().any(|item| class_matches(class, &item.class));
            (!mask.columns.is_empty() || mask.classes.iter().any(classified)).then_some((mask, to))
        })
    }
}
