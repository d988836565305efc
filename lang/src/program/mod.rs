//! The policy as tables, and the pure functions that judge by them.
//!
//! [`Rules`](rules::Rules) are the canonical tables; [`Program`] indexes them once, so that a judgement looks only
//! at the rules of one connection. Everything is total: what no rule permits is denied.

#[cfg(test)]
mod choices;
mod classes;
mod decide;
pub mod enforced;
mod groups;
mod index;
mod judge;
mod kind;
#[cfg(test)]
mod lookup_tests;
mod masks;
pub mod patterns;
mod reason;
#[cfg(test)]
mod reference_tests;
pub mod rules;
mod scope;
mod subject;
mod terms;
mod tests;
#[cfg(test)]
mod universe;

pub use classes::{MaskClass, TooManyClasses};
pub use decide::{Access, Candidates, Contract, Decision, Outcome, Request};
pub use groups::GroupSet;
pub use index::RulesAt;
pub use judge::{Beyond, Judgement, StatementLimits, Verdict};
pub use kind::SubjectKind;
pub use masks::MaskHit;
pub use reason::{Reason, Why};
pub use scope::{Object, Scope, argv_matches, class_matches, path_matches, segment_matches, table_matches};
pub use subject::{Asserted, Subject};
pub use terms::Terms;
pub use tests::TestFailure;

use crate::time::{Timestamp, Valid, Zone};
use regex::Regex;
use rules::{Principal, RuleId, RuleKind, Rules, To};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Where rules stand in the policy repository: beside the rules, outside the semantic digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTable(pub BTreeMap<RuleId, Place>);

/// A file and a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Path in the repository.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Why tables are not a program. A bundle that `lower` wrote never gives one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A name that nothing defines.
    #[error("{rule} refers to `{name}`, which the policy does not define")]
    Undefined {
        /// The rule that refers.
        rule: RuleId,
        /// The missing name.
        name: String,
    },
    /// The timezone does not exist.
    #[error("`{0}` is not an IANA timezone")]
    Timezone(String),
    /// An expression that cannot be compiled.
    #[error("{rule}: {message}")]
    Expression {
        /// The rule that holds it.
        rule: RuleId,
        /// What is wrong.
        message: String,
    },
}

/// A principal over group indexes. Most name one group, which then costs no look into other memory.
#[derive(Clone, Debug)]
struct Matcher {
    first: Option<usize>,
    others: Vec<usize>,
    kind: Option<SubjectKind>,
}

impl Matcher {
    fn matches(&self, subject: &Subject) -> bool {
        self.kind.is_none_or(|kind| kind == subject.kind) && self.groups().all(|group| subject.groups.contains(group))
    }

    /// The groups; all are needed.
    fn groups(&self) -> impl Iterator<Item = usize> + '_ {
        self.first.iter().chain(&self.others).copied()
    }
}

/// The alternatives of a rule; `None` is everybody.
type Matchers = Option<Vec<Matcher>>;

fn matches(matchers: &Matchers, subject: &Subject) -> bool {
    matchers.as_ref().is_none_or(|any| any.iter().any(|matcher| matcher.matches(subject)))
}

/// A policy that judges.
#[derive(Debug)]
pub struct Program {
    rules: Arc<Rules>,
    sources: Arc<SourceTable>,
    zone: Zone,
    group_index: BTreeMap<String, usize>,
    /// For each id or claim value of a token, the groups that it asserts, of whichever identity provider.
    asserted_by: HashMap<String, Vec<usize>>,
    closures: Vec<GroupSet>,
    /// Positions of the grants, by id.
    grants_by_id: Vec<usize>,
    disjoint: Vec<Vec<usize>>,
    /// For each group that `disjoint` names, the positions of those rules.
    disjoint_of: HashMap<usize, Vec<usize>>,
    keyed_idps: BTreeSet<String>,
    connections: HashMap<String, (usize, index::ConnectionIndex)>,
    to_grants: Vec<Matchers>,
    to_forbids: Vec<Matchers>,
    to_limits: Vec<Matchers>,
    to_guards: Vec<Matchers>,
    to_masks: Vec<Matchers>,
    to_operators: Vec<Matchers>,
    tickets: BTreeMap<String, Regex>,
    detectors: patterns::Detectors,
}

impl Program {
    /// Indexes the tables.
    ///
    /// # Errors
    /// When a name is undefined, the timezone does not exist, or an expression does not compile.
    pub fn new(rules: impl Into<Arc<Rules>>, sources: impl Into<Arc<SourceTable>>) -> Result<Self, Invalid> {
        let (rules, sources) = (rules.into(), sources.into());
        let zone = Zone::parse(&rules.timezone).ok_or_else(|| Invalid::Timezone(rules.timezone.clone()))?;
        let group_index: BTreeMap<String, usize> =
            rules.groups.iter().enumerate().map(|(index, group)| (group.name.clone(), index)).collect();
        let mut program = Self {
            sources,
            zone,
            closures: closures(&rules, &group_index)?,
            disjoint: Vec::new(),
            disjoint_of: HashMap::new(),
            grants_by_id: by_id(&rules.grants),
            keyed_idps: BTreeSet::new(),
            asserted_by: asserted_by(&rules),
            connections: HashMap::new(),
            to_grants: Vec::new(),
            to_forbids: Vec::new(),
            to_limits: Vec::new(),
            to_guards: Vec::new(),
            to_masks: Vec::new(),
            to_operators: Vec::new(),
            tickets: BTreeMap::new(),
            detectors: patterns::compile(&rules.masks)?,
            group_index,
            rules,
        };
        program.index_disjoint()?;
        program.index_principals()?;
        program.index_connections()?;
        program.compile_tickets()?;
        Ok(program)
    }

    /// The tables.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The tables and where their rules stand, for whoever keeps them longer than the program.
    pub fn shared(&self) -> (Arc<Rules>, Arc<SourceTable>) {
        (Arc::clone(&self.rules), Arc::clone(&self.sources))
    }

    /// Where a rule stands in the policy repository.
    pub fn place(&self, rule: &RuleId) -> Option<&Place> {
        self.sources.0.get(rule)
    }

    /// Where every rule stands.
    pub fn sources(&self) -> &SourceTable {
        &self.sources
    }

    /// The policy's timezone.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The connection with this name.
    pub fn connection(&self, name: &str) -> Option<&rules::Connection> {
        self.connections.get(name).and_then(|(index, _)| self.rules.connections.get(*index))
    }

    /// The grant with this id.
    pub fn grant(&self, id: &str) -> Option<&rules::Grant> {
        let named = |place: &usize| self.rules.grants.get(*place);
        let at = self.grants_by_id.partition_point(|place| named(place).is_some_and(|grant| grant.id.as_str() < id));
        self.grants_by_id.get(at).and_then(named).filter(|grant| grant.id == id)
    }

    /// The approval with this name.
    pub fn approval(&self, name: &str) -> Option<&rules::Approval> {
        self.rules.approvals.iter().find(|approval| approval.name == name)
    }

    /// Whether a subject holds the group with this name.
    pub fn holds(&self, subject: &Subject, group: &str) -> bool {
        self.group_index.get(group).is_some_and(|index| subject.groups.contains(*index))
    }

    /// What `operate` lets a subject do on a connection; never anything for agents.
    pub fn may(&self, subject: &Subject, connection: &str) -> BTreeSet<rules::Operator> {
        if subject.kind == SubjectKind::Agent {
            return BTreeSet::new();
        }
        self.rules
            .operators
            .iter()
            .zip(&self.to_operators)
            .filter(|(rule, to)| rule.on.iter().any(|name| name == connection) && matches(to, subject))
            .flat_map(|(rule, _)| rule.may.iter().copied())
            .collect()
    }

    /// Whether a ticket satisfies an expression of the policy: the whole ticket must match.
    pub fn ticket_matches(&self, expression: &str, ticket: &str) -> bool {
        self.tickets.get(expression).is_some_and(|regex| regex.is_match(ticket))
    }

    /// Whether some rule depends on a group of this idp that has an object id.
    pub fn keyed_on_ids(&self, idp: &str) -> bool {
        self.keyed_idps.contains(idp)
    }

    /// Instants that represent every time cell of the policy near `around`: between two neighbouring ones no rule
    /// begins or ends to apply. Grows with the number of distinct hours and days that rules name.
    pub fn time_cells(&self, around: Timestamp) -> Vec<Timestamp> {
        let rules = &self.rules;
        let (grants, forbids) = (rules.grants.iter().collect(), rules.forbids.iter().collect());
        self.cells(grants, forbids, rules.limits.iter().collect(), rules.guards.iter().collect(), around)
    }

    /// The same for the rules of one connection, which are all that decide anything there.
    pub fn time_cells_at(&self, connection: &str, around: Timestamp) -> Vec<Timestamp> {
        let Some(at) = self.rules_at(connection) else { return vec![around] };
        self.cells(at.grants, at.forbids, at.limits, at.guards, around)
    }

    fn cells(
        &self,
        grants: Vec<&rules::Grant>,
        forbids: Vec<&rules::Forbid>,
        limits: Vec<&rules::Limits>,
        guards: Vec<&rules::Guard>,
        around: Timestamp,
    ) -> Vec<Timestamp> {
        let mut minutes: BTreeSet<u16> = BTreeSet::from([0]);
        let mut days: BTreeSet<Timestamp> = BTreeSet::from([around]);
        let mut see = |hours: Option<&crate::time::Hours>, valid: Option<&Valid>| {
            for (from, until) in hours.map(crate::time::Hours::intervals).unwrap_or_default() {
                minutes.insert(*from);
                minutes.insert(*until % (7 * 24 * 60));
            }
            if let Some(valid) = valid {
                days.extend(valid.start(&self.zone));
                days.extend(valid.end(&self.zone));
            }
        };
        for rule in grants {
            see(rule.hours.as_ref(), rule.valid.as_ref());
        }
        for rule in forbids {
            see(rule.hours.as_ref(), rule.valid.as_ref());
        }
        for rule in limits {
            see(rule.hours.as_ref(), None);
        }
        for rule in guards {
            see(rule.hours.as_ref(), None);
        }
        let mut cells = BTreeSet::new();
        for day in &days {
            cells.insert(*day);
            // A day before the first bound stands for the time in which nothing has begun.
            cells.insert(day.minus(crate::time::Ttl::from_seconds(1)));
            for minute in &minutes {
                cells.insert(self.zone.week_minute(*day, *minute));
                cells.insert(self.zone.week_minute(day.plus(crate::time::Ttl::from_seconds(7 * 86_400)), *minute));
            }
        }
        cells.into_iter().collect()
    }

    fn group_index(&self, name: &str) -> Option<usize> {
        self.group_index.get(name).copied()
    }

    fn closure(&self, group: usize) -> Option<&GroupSet> {
        self.closures.get(group)
    }

    fn resolve_groups(&self, rule: &RuleId, names: &[String]) -> Result<Vec<usize>, Invalid> {
        let mut set = Vec::new();
        for name in names {
            let index =
                self.group_index(name).ok_or_else(|| Invalid::Undefined { rule: rule.clone(), name: name.clone() })?;
            set.push(index);
        }
        Ok(set)
    }

    fn index_disjoint(&mut self) -> Result<(), Invalid> {
        for names in &self.rules.disjoint {
            let rule = RuleId::new(RuleKind::Disjoint, names.join(" "));
            let members: Result<Vec<usize>, Invalid> = names
                .iter()
                .map(|name| {
                    self.group_index(name).ok_or_else(|| Invalid::Undefined { rule: rule.clone(), name: name.clone() })
                })
                .collect();
            let members = members?;
            for member in &members {
                self.disjoint_of.entry(*member).or_default().push(self.disjoint.len());
            }
            self.disjoint.push(members);
        }
        Ok(())
    }

    fn index_principals(&mut self) -> Result<(), Invalid> {
        let any = |kind: RuleKind, name: &str, to: &[Principal]| -> Result<Matchers, Invalid> {
            let rule = RuleId::new(kind, name);
            let matchers: Result<Vec<Matcher>, Invalid> = to
                .iter()
                .map(|principal| {
                    let mut groups = self.resolve_groups(&rule, &principal.groups)?.into_iter();
                    Ok(Matcher { first: groups.next(), others: groups.collect(), kind: principal.kind })
                })
                .collect();
            Ok(Some(matchers?))
        };
        let to = |kind: RuleKind, name: &str, to: &To| match to {
            To::Everybody => Ok(None),
            To::Any(principals) => any(kind, name, principals),
        };
        let rules = &self.rules;
        let grants: Result<Vec<Matchers>, Invalid> =
            rules.grants.iter().map(|r| any(RuleKind::Grant, &r.id, &r.to)).collect();
        let forbids: Result<Vec<Matchers>, Invalid> =
            rules.forbids.iter().map(|r| any(RuleKind::Forbid, &r.name, &r.to)).collect();
        let operators: Result<Vec<Matchers>, Invalid> =
            rules.operators.iter().map(|r| any(RuleKind::Operate, &r.name, &r.to)).collect();
        let limits: Result<Vec<Matchers>, Invalid> =
            rules.limits.iter().map(|r| to(RuleKind::Limits, &r.name, &r.to)).collect();
        let guards: Result<Vec<Matchers>, Invalid> =
            rules.guards.iter().map(|r| to(RuleKind::Guard, &r.name, &r.to)).collect();
        let masks: Result<Vec<Matchers>, Invalid> =
            rules.masks.iter().map(|r| to(RuleKind::Mask, &r.name, &r.to)).collect();
        let (grants, forbids, operators) = (grants?, forbids?, operators?);
        let (limits, guards, masks) = (limits?, guards?, masks?);
        self.keyed_idps = self.idps_with_keyed_rules(&[&grants, &forbids, &operators, &limits, &guards, &masks]);
        self.to_grants = grants;
        self.to_forbids = forbids;
        self.to_operators = operators;
        self.to_limits = limits;
        self.to_guards = guards;
        self.to_masks = masks;
        Ok(())
    }

    /// Idps of groups with an id that a rule names, directly or through a group nested within it, or that a
    /// `disjoint` or an approval names.
    fn idps_with_keyed_rules(&self, rules: &[&Vec<Matchers>]) -> BTreeSet<String> {
        let mut named = GroupSet::default();
        for matcher in rules.iter().flat_map(|list| list.iter()).flatten().flatten() {
            matcher.groups().for_each(|group| named.insert(group));
        }
        for index in self.disjoint.iter().flatten() {
            named.insert(*index);
        }
        for quorum in self.rules.approvals.iter().flat_map(|approval| &approval.quorum) {
            for index in quorum.from.iter().filter_map(|name| self.group_index(name)) {
                named.insert(index);
            }
        }
        self.rules
            .groups
            .iter()
            .zip(&self.closures)
            .filter(|(group, closure)| !group.ids.is_empty() && closure.iter().any(|index| named.contains(index)))
            .map(|(group, _)| group.idp.clone())
            .collect()
    }

    fn compile_tickets(&mut self) -> Result<(), Invalid> {
        let of_grants = self.rules.grants.iter().map(|r| (RuleId::new(RuleKind::Grant, &r.id), &r.ticket));
        let of_limits = self.rules.limits.iter().map(|r| (RuleId::new(RuleKind::Limits, &r.name), &r.ticket));
        for (rule, ticket) in of_grants.chain(of_limits) {
            let Some(expression) = ticket else { continue };
            let regex = Regex::new(&format!("^(?:{expression})$"))
                .map_err(|error| Invalid::Expression { rule, message: error.to_string() })?;
            self.tickets.insert(expression.clone(), regex);
        }
        Ok(())
    }
}

fn by_id(grants: &[rules::Grant]) -> Vec<usize> {
    let mut places: Vec<usize> = (0..grants.len()).collect();
    places.sort_by_key(|place| grants.get(*place).map(|grant| grant.id.as_str()));
    places
}

fn asserted_by(rules: &Rules) -> HashMap<String, Vec<usize>> {
    let mut all: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, group) in rules.groups.iter().enumerate() {
        for value in group.ids.iter().chain(&group.claim_values) {
            all.entry(value.clone()).or_default().push(index);
        }
    }
    all
}

/// The groups that each group implies, itself included. A cycle closes to the same set on every member.
fn closures(rules: &Rules, index: &BTreeMap<String, usize>) -> Result<Vec<GroupSet>, Invalid> {
    let mut parents: Vec<Vec<usize>> = Vec::new();
    for group in &rules.groups {
        let above: Result<Vec<usize>, Invalid> = group
            .within
            .iter()
            .map(|name| {
                index.get(name).copied().ok_or_else(|| Invalid::Undefined {
                    rule: RuleId::new(RuleKind::Group, &group.name),
                    name: name.clone(),
                })
            })
            .collect();
        parents.push(above?);
    }
    let mut all = Vec::with_capacity(parents.len());
    for start in 0..parents.len() {
        let mut set = GroupSet::default();
        let mut open = vec![start];
        while let Some(group) = open.pop() {
            if !set.contains(group) {
                set.insert(group);
                open.extend(parents.get(group).into_iter().flatten().copied());
            }
        }
        all.push(set);
    }
    Ok(all)
}
