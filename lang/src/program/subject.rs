//! From what a token asserts to the groups that a policy sees.

use super::rules::{AbsentGroups, Group, IdpFlavour, RuleId, RuleKind};
use super::{Program, Reason, SubjectKind, Why};
use std::collections::BTreeSet;

/// A set of groups of one program: one bit for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupSet(Vec<u64>);

impl GroupSet {
    pub(super) fn insert(&mut self, group: usize) {
        let word = group / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(bits) = self.0.get_mut(word) {
            *bits |= 1 << (group % 64);
        }
    }

    pub(super) fn union_with(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    /// Whether the set holds the group with this index.
    pub fn contains(&self, group: usize) -> bool {
        self.0.get(group / 64).is_some_and(|bits| bits & (1 << (group % 64)) != 0)
    }

    /// Whether every group of this set is in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().enumerate().all(|(i, bits)| bits & !other.0.get(i).copied().unwrap_or(0) == 0)
    }

    /// Indexes of the groups, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(word, bits)| (0..64).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| word * 64 + bit))
    }
}

/// What a verified token asserts.
#[derive(Clone, Copy, Debug)]
pub struct Asserted<'a> {
    /// The idp's name.
    pub idp: &'a str,
    /// The kind that the token's shape gives, before group kinds apply.
    pub kind: SubjectKind,
    /// Object ids of groups; `None` when the token carries no group evidence.
    pub group_ids: Option<&'a BTreeSet<String>>,
    /// Values of the roles claim.
    pub claim_values: &'a BTreeSet<String>,
    /// Whether multi-factor authentication is proved.
    pub mfa: bool,
}

/// A subject as one program sees it: a kind and a closed set of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// What it is.
    pub kind: SubjectKind,
    /// The groups it holds, closed under nesting.
    pub groups: GroupSet,
    /// Whether multi-factor authentication is proved.
    pub mfa: bool,
}

impl Program {
    /// Closes what a token asserts, or refuses it.
    ///
    /// # Errors
    /// With every reason: missing group evidence, a group of another kind, groups that are disjoint.
    pub fn subject(&self, asserted: &Asserted<'_>) -> Result<Subject, Vec<Reason>> {
        let Some(idp) = self.rules().idps.iter().find(|idp| idp.name == asserted.idp) else {
            return Err(vec![Reason::new(None, Why::UnknownIdp(asserted.idp.to_owned()))]);
        };
        let absent_means_none = match &idp.flavour {
            IdpFlavour::Entra { absent_groups, .. } => *absent_groups == AbsentGroups::None,
            IdpFlavour::Oidc { .. } => false,
        };
        if asserted.group_ids.is_none() && !absent_means_none && self.keyed_on_ids(asserted.idp) {
            let rule = RuleId::new(RuleKind::Idp, &idp.name);
            return Err(vec![Reason::new(Some(rule), Why::MissingGroupEvidence)]);
        }
        // What a token says may be long, and so may the policy: the one is looked up in the other.
        let by_id = asserted.group_ids.into_iter().flatten().flat_map(|id| {
            let groups = self.naming(asserted.idp, id);
            groups.filter(move |(_, group)| group.ids.contains(id))
        });
        let by_claim = asserted.claim_values.iter().flat_map(|value| {
            let groups = self.naming(asserted.idp, value);
            groups.filter(move |(_, group)| group.claim_values.contains(value))
        });
        let held: BTreeSet<usize> = by_id.chain(by_claim).map(|(index, _)| index).collect();
        self.close(asserted.kind, held.into_iter().collect(), asserted.mfa)
    }

    /// The groups of an identity provider that have this id or claim value.
    fn naming<'p>(&'p self, idp: &'p str, value: &str) -> impl Iterator<Item = (usize, &'p Group)> + use<'p> {
        let found = self.asserted_by.get(value).into_iter().flatten();
        let groups = found.filter_map(|index| Some((*index, self.rules().groups.get(*index)?)));
        groups.filter(move |(_, group)| group.idp == idp)
    }

    /// The subject that asserts exactly these groups, by name; for tests and analysis.
    ///
    /// # Errors
    /// As [`Program::subject`], and when a group does not exist.
    pub fn subject_of(&self, kind: SubjectKind, groups: &[String], mfa: bool) -> Result<Subject, Vec<Reason>> {
        let mut asserted = Vec::new();
        for name in groups {
            match self.group_index(name) {
                Some(index) => asserted.push(index),
                None => return Err(vec![Reason::new(None, Why::UnknownGroup(name.clone()))]),
            }
        }
        self.close(kind, asserted, mfa)
    }

    pub(super) fn close(&self, kind: SubjectKind, asserted: Vec<usize>, mfa: bool) -> Result<Subject, Vec<Reason>> {
        let groups = &self.rules().groups;
        let holds_agent_group =
            asserted.iter().any(|index| groups.get(*index).is_some_and(|group| group.kind == Some(SubjectKind::Agent)));
        let kind = if kind == SubjectKind::Service && holds_agent_group { SubjectKind::Agent } else { kind };
        let mut set = GroupSet::default();
        for index in asserted {
            if let Some(closure) = self.closure(index) {
                set.union_with(closure);
            }
        }
        let mut reasons = Vec::new();
        for index in set.iter() {
            if let Some(group) = groups.get(index)
                && let Some(declared) = group.kind
                && declared != kind
            {
                let rule = RuleId::new(RuleKind::Group, &group.name);
                reasons.push(Reason::new(Some(rule), Why::GroupOfAnotherKind { declared, actual: kind }));
            }
        }
        for (names, members) in self.disjoint() {
            let held: Vec<String> = names
                .iter()
                .zip(members)
                .filter(|(_, member)| set.contains(**member))
                .map(|(name, _)| name.clone())
                .collect();
            if held.len() > 1 {
                let rule = RuleId::new(RuleKind::Disjoint, names.join(" "));
                reasons.push(Reason::new(Some(rule), Why::Disjoint(held)));
            }
        }
        if reasons.is_empty() { Ok(Subject { kind, groups: set, mfa }) } else { Err(reasons) }
    }

    /// Names of the groups that a subject holds, sorted.
    pub fn group_names(&self, subject: &Subject) -> Vec<String> {
        let mut names: Vec<String> = subject
            .groups
            .iter()
            .filter_map(|index| self.rules().groups.get(index).map(|group| group.name.clone()))
            .collect();
        names.sort();
        names
    }
}
