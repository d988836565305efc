//! From what a token asserts to the groups that a policy sees.

use super::rules::{AbsentGroups, Group, IdpFlavour, RuleId, RuleKind};
use super::{GroupSet, Program, Reason, SubjectKind, Why};
use std::collections::BTreeSet;

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
                set.add(closure);
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
        for place in self.disjoint_touched(&set) {
            let (Some(names), Some(members)) = (self.rules().disjoint.get(place), self.disjoint.get(place)) else {
                continue;
            };
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

    /// The rules of disjointness that name one of these groups, in the order of the table.
    fn disjoint_touched(&self, held: &GroupSet) -> BTreeSet<usize> {
        held.iter().filter_map(|group| self.disjoint_of.get(&group)).flatten().copied().collect()
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
