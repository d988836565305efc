//! The whole difference of two revisions as data: per connection and per setting, who is affected, and whose review
//! it needs.

use super::{
    beside::beside,
    compare::{self, Change, Direction, Revisions},
    operators,
    people::People,
    profile::Profile,
    settings::{self, SettingChange, Stated},
    witness::Disagreement,
};
use crate::kept::Key;
use lang::{
    bundle,
    model::Policy,
    program::{
        Program, SubjectKind,
        rules::{Grant, RuleId, RuleKind, Rules},
    },
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One revision, compiled.
#[derive(Clone, Copy, Debug)]
pub struct Revision<'r> {
    /// What it is called.
    pub id: &'r str,
    /// What it decides.
    pub program: &'r Program,
    /// The resolved policy.
    pub policy: &'r Policy,
    /// What it says, in digests.
    pub profile: &'r Profile,
}

/// Somebody of a directory snapshot.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// Who.
    pub subject: String,
    /// The kind.
    pub kind: SubjectKind,
    /// Object ids or claim values.
    pub groups: BTreeSet<String>,
    /// The name on the forge.
    pub github: Option<String>,
}

/// What changed.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The older revision.
    pub base: String,
    /// The newer revision.
    pub head: String,
    /// `unchanged`, `changed`, or `changed without effect`.
    pub semantic: &'static str,
    /// Everything together.
    pub verdict: Direction,
    /// Connections that changed, the widened ones first.
    pub connections: Vec<AtConnection>,
    /// How many connections did not change.
    pub unchanged: usize,
    /// Settings that belong to no connection.
    pub settings: Vec<SettingChange>,
    /// Rules that changed and change no decision.
    pub without_effect: Vec<String>,
    /// Grants of which only the id changed.
    pub renamed: Vec<(String, String)>,
    /// Whose review the widening needs.
    pub reviewers: Vec<Reviewer>,
    /// The author, when the directory knows them and they gain.
    pub author: Option<Author>,
    /// The instant from which on the comparison holds.
    pub from: String,
}

/// What changed at one connection.
#[derive(Clone, Debug, Serialize)]
pub struct AtConnection {
    /// Its name.
    pub name: String,
    /// Which way.
    pub verdict: Direction,
    /// The owning team.
    pub owner: Option<String>,
    /// What people may.
    pub changes: Vec<Change>,
    /// Its settings.
    pub settings: Vec<SettingChange>,
    /// The comparison was given up: what changed is unknown.
    pub not_comparable: bool,
    /// Who gains, when there is a directory.
    pub gain: Option<Vec<String>>,
    /// Who loses, when there is a directory.
    pub lose: Option<Vec<String>>,
}

/// A team whose review is needed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Reviewer {
    /// The team; `None` for the owners of the whole policy.
    pub team: Option<String>,
    /// Who reviews for it.
    pub reviewers: Vec<String>,
    /// The groups that maintain it.
    pub maintainers: Vec<String>,
    /// The connections and settings concerned.
    pub because: Vec<String>,
}

/// The author of a change who gains from it.
#[derive(Clone, Debug, Serialize)]
pub struct Author {
    /// Who.
    pub subject: String,
    /// At which connections.
    pub gains: Vec<String>,
}

/// Why two revisions were not compared.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The engine made a mistake, which nobody is to believe.
    #[error(transparent)]
    Engine(#[from] Disagreement),
    /// The tables could not be written.
    #[error(transparent)]
    Bundle(#[from] bundle::BundleError),
    /// The older policy does not hold in the newer one's timezone.
    #[error(transparent)]
    Invalid(#[from] lang::program::Invalid),
}

/// Compares two revisions. The instant is the one from which on they are compared: what lies before it can change no
/// decision any more.
///
/// # Errors
/// When a witness does not reproduce, or tables cannot be written.
pub fn compare(
    old: Revision<'_>,
    new: Revision<'_>,
    from: Timestamp,
    directory: &[Entry],
    author: Option<&str>,
    threads: usize,
) -> Result<Report, Failed> {
    let (before, after) = (old.program.rules(), new.program.rules());
    let mut settings = settings::compare(stated(old), stated(new));
    let people = People::new(&[before, after]);
    settings.extend(operators::compare(&people, before, after));
    settings.sort();
    // Hours of two timezones have no common cells: decisions are compared in the newer one, and the change of the
    // timezone is a change of its own for every rule with hours.
    let moved = if before.timezone == after.timezone {
        None
    } else {
        let rules = Rules { timezone: after.timezone.clone(), ..before.clone() };
        Some(Program::new(rules, old.program.sources().clone())?)
    };
    let revisions = Revisions { old: moved.as_ref().unwrap_or(old.program), new: new.program, from };
    let persons: Vec<(SubjectKind, BTreeSet<String>)> =
        directory.iter().map(|entry| (entry.kind, entry.groups.clone())).collect();
    let decided = compare::compare(revisions, (old.profile, new.profile), &people, &persons, threads)?;
    let (mut all, global) = by_connection((old, new), decided, settings, directory);
    if before.timezone != after.timezone {
        for change in timed(before, after) {
            let name = change.connection.clone().unwrap_or_default();
            all.entry(name.clone()).or_insert_with(|| fresh((old, new), &name, directory)).settings.push(change);
        }
    }
    let mut connections: Vec<AtConnection> = all.into_values().collect();
    for one in &mut connections {
        one.verdict = verdict(one);
    }
    connections.sort_by(|a, b| (!a.verdict.widens(), &a.name).cmp(&(!b.verdict.widens(), &b.name)));
    let verdict = connections
        .iter()
        .map(|one| one.verdict)
        .chain(global.iter().map(|change| change.direction))
        .fold(Direction::Neutral, Direction::and);
    let nothing = connections.is_empty() && global.is_empty();
    let same = nothing && bundle::semantic_digest(before)? == bundle::semantic_digest(after)?;
    let (renamed, without_effect) = rest(stated(old), stated(new), &connections);
    Ok(Report {
        base: old.id.to_owned(),
        head: new.id.to_owned(),
        semantic: match (same, nothing) {
            (true, _) => "unchanged",
            (false, true) => "changed without effect",
            (false, false) => "changed",
        },
        verdict,
        unchanged: known(before, after).saturating_sub(connections.len()),
        reviewers: reviewers(&connections, &global, old.policy, new.policy),
        author: author.and_then(|author| benefits(author, directory, &connections)),
        connections,
        settings: global,
        without_effect,
        renamed,
        from: from.to_string(),
    })
}

/// What changed, gathered at the connections, and the settings that belong to none.
fn by_connection(
    revisions: (Revision<'_>, Revision<'_>),
    decided: Vec<compare::AtConnection<'_>>,
    settings: Vec<SettingChange>,
    directory: &[Entry],
) -> (BTreeMap<String, AtConnection>, Vec<SettingChange>) {
    let mut all: BTreeMap<String, AtConnection> = BTreeMap::new();
    for found in decided {
        let entry = all.entry(found.name.to_owned()).or_insert_with(|| fresh(revisions, found.name, directory));
        entry.not_comparable = found.unknown.is_some();
        entry.changes = found.changes;
        for affected in &found.persons {
            let Some(person) = directory.get(affected.index) else { continue };
            if affected.gains {
                entry.gain.get_or_insert_default().push(person.subject.clone());
            }
            if affected.loses {
                entry.lose.get_or_insert_default().push(person.subject.clone());
            }
        }
    }
    let mut global = Vec::new();
    for change in settings {
        match change.connection.clone() {
            Some(name) => {
                all.entry(name.clone()).or_insert_with(|| fresh(revisions, &name, directory)).settings.push(change);
            }
            None => global.push(change),
        }
    }
    (all, global)
}

fn fresh((old, new): (Revision<'_>, Revision<'_>), name: &str, directory: &[Entry]) -> AtConnection {
    AtConnection {
        name: name.to_owned(),
        verdict: Direction::Neutral,
        owner: owner(old.program, name).or_else(|| owner(new.program, name)),
        changes: Vec::new(),
        settings: Vec::new(),
        not_comparable: false,
        gain: (!directory.is_empty()).then(Vec::new),
        lose: (!directory.is_empty()).then(Vec::new),
    }
}

fn stated(revision: Revision<'_>) -> Stated<'_> {
    Stated { rules: revision.program.rules(), profile: revision.profile }
}

fn owner(program: &Program, connection: &str) -> Option<String> {
    program.connection(connection)?.owner.clone()
}

fn verdict(one: &AtConnection) -> Direction {
    let start = if one.not_comparable { Direction::Mixed } else { Direction::Neutral };
    let changes = one.changes.iter().map(|change| change.direction);
    changes.chain(one.settings.iter().map(|change| change.direction)).fold(start, Direction::and)
}

/// Connections with rules that name hours or days: another timezone moves all of them.
fn timed(before: &Rules, after: &Rules) -> Vec<SettingChange> {
    let mut rules: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for policy in [before, after] {
        let grants = policy.grants.iter().filter(|rule| rule.hours.is_some() || rule.valid.is_some());
        let grants = grants.map(|rule| (rule.rule(), &rule.on));
        let forbids = policy.forbids.iter().filter(|rule| rule.hours.is_some() || rule.valid.is_some());
        let forbids = forbids.map(|rule| (RuleId::new(RuleKind::Forbid, &rule.name), &rule.on));
        let limits = policy.limits.iter().filter(|rule| rule.hours.is_some());
        let limits = limits.map(|rule| (RuleId::new(RuleKind::Limits, &rule.name), &rule.on));
        let guards = policy.guards.iter().filter(|rule| rule.hours.is_some());
        let guards = guards.map(|rule| (RuleId::new(RuleKind::Guard, &rule.name), &rule.on));
        for (rule, on) in grants.chain(forbids).chain(limits).chain(guards) {
            for connection in on {
                rules.entry(connection).or_default().insert(rule.to_string());
            }
        }
    }
    let change = |(connection, rules): (&str, BTreeSet<String>)| SettingChange {
        section: "timezone",
        name: connection.to_owned(),
        field: rules.into_iter().collect::<Vec<_>>().join(", "),
        connection: Some(connection.to_owned()),
        direction: Direction::Mixed,
        before: before.timezone.clone(),
        after: after.timezone.clone(),
    };
    rules.into_iter().map(change).collect()
}

/// How many connections the two revisions have together.
fn known(before: &Rules, after: &Rules) -> usize {
    fn names(rules: &Rules) -> Vec<(&str, ())> {
        let mut all: Vec<(&str, ())> = rules.connections.iter().map(|one| (one.name.as_str(), ())).collect();
        all.sort_unstable();
        all
    }
    let mut count = 0;
    beside(&names(before), &names(after), |_, _, _| count += 1);
    count
}

fn ids(rules: &Rules) -> BTreeSet<&str> {
    rules.grants.iter().map(|grant| grant.id.as_str()).collect()
}

/// Grants that got another id, and rules whose change has no effect at any connection.
fn rest(old: Stated<'_>, new: Stated<'_>, connections: &[AtConnection]) -> (Vec<(String, String)>, Vec<String>) {
    let renamed = renamed(old.rules, new.rules);
    let touched: BTreeSet<&str> = connections
        .iter()
        .filter(|one| !one.changes.is_empty() || one.not_comparable)
        .map(|one| one.name.as_str())
        .collect();
    let reaches = |rules: &Rules, on: On<'_>| match on {
        On::These(names) => names.iter().any(|name| touched.contains(name.as_str())),
        On::All => rules.connections.iter().any(|one| touched.contains(one.name.as_str())),
    };
    let (mut changed, mut added) = (Vec::new(), Vec::new());
    beside(&rules_of(old), &rules_of(new), |(kind, name), before, after| {
        let shown =
            before.is_some_and(|(on, _)| reaches(old.rules, on)) || after.is_some_and(|(on, _)| reaches(new.rules, on));
        let rule = || RuleId::new(kind, name);
        match (before, after) {
            (Some((_, a)), Some((_, b))) if a == b => {}
            _ if shown => {}
            (Some(_), None) if renamed.iter().any(|(a, _)| a == name) => {}
            (None, Some(_)) if renamed.iter().any(|(_, b)| b == name) => {}
            (Some(_), Some(_)) if renamed.iter().any(|(a, _)| a == name) => {}
            (Some(_), Some(_)) => changed.push(format!("{} changed", rule())),
            (Some(_), None) => changed.push(format!("{} removed", rule())),
            (None, Some(_)) => added.push(format!("{} added", rule())),
            (None, None) => {}
        }
    });
    changed.append(&mut added);
    (renamed, changed)
}

fn renamed(before: &Rules, after: &Rules) -> Vec<(String, String)> {
    let anonymous = |grant: &Grant| {
        let mut grant = grant.clone();
        grant.id.clear();
        grant.beside.clear();
        grant
    };
    let (old_ids, new_ids) = (ids(before), ids(after));
    let come: Vec<_> = after.grants.iter().filter(|grant| !old_ids.contains(grant.id.as_str())).collect();
    let gone = before.grants.iter().filter(|grant| !new_ids.contains(grant.id.as_str()));
    gone.filter_map(|old| {
        // Most candidates are at another connection, which is seen without a copy.
        let same = come.iter().find(|new| new.on == old.on && anonymous(new) == anonymous(old))?;
        Some((old.id.clone(), same.id.clone()))
    })
    .collect()
}

/// Where a rule stands.
#[derive(Clone, Copy)]
enum On<'r> {
    These(&'r [String]),
    All,
}

/// A rule that decides: its kind and name, where it stands, and all that it says in a digest.
type Deciding<'r> = ((RuleKind, &'r str), (On<'r>, &'r Key));

/// Every rule that decides, by kind and name.
fn rules_of(one: Stated<'_>) -> Vec<Deciding<'_>> {
    let (rules, profile) = (one.rules, one.profile);
    let grants = rules.grants.iter().zip(&profile.grants);
    let grants = grants.map(|(rule, all)| ((rule.rule_kind(), rule.id.as_str()), (On::These(&rule.on), all)));
    let forbids = rules.forbids.iter().zip(&profile.forbids);
    let forbids = forbids.map(|(rule, all)| ((RuleKind::Forbid, rule.name.as_str()), (On::These(&rule.on), all)));
    let limits = rules.limits.iter().zip(&profile.limits);
    let limits = limits.map(|(rule, all)| ((RuleKind::Limits, rule.name.as_str()), (On::These(&rule.on), all)));
    let guards = rules.guards.iter().zip(&profile.guards);
    let guards = guards.map(|(rule, all)| ((RuleKind::Guard, rule.name.as_str()), (On::These(&rule.on), all)));
    let masks = rules.masks.iter().zip(&profile.masks).map(|(rule, all)| {
        let on = rule.on.as_deref().map_or(On::All, On::These);
        ((RuleKind::Mask, rule.name.as_str()), (on, all))
    });
    let mut all: Vec<Deciding<'_>> = grants.chain(forbids).chain(limits).chain(guards).chain(masks).collect();
    all.sort_by_key(|(rule, _)| *rule);
    all
}

/// The owners of what widens, by the older revision where it knows the team: a change cannot choose its reviewers.
fn reviewers(connections: &[AtConnection], global: &[SettingChange], old: &Policy, new: &Policy) -> Vec<Reviewer> {
    let mut because: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
    for one in connections.iter().filter(|one| one.verdict.widens()) {
        because.entry(one.owner.clone()).or_default().push(one.name.clone());
    }
    for change in global.iter().filter(|change| change.direction.widens()) {
        because.entry(None).or_default().push(format!("{} {}", change.section, change.name).trim().to_owned());
    }
    because
        .into_iter()
        .map(|(team, mut because)| {
            because.dedup();
            let found = team.as_ref().and_then(|name| {
                let of = |policy: &Policy| policy.teams.iter().position(|team| team.head.name.value == *name);
                of(old).map(|at| (old, at)).or_else(|| of(new).map(|at| (new, at)))
            });
            let found = found.and_then(|(policy, at)| Some((policy, policy.teams.get(at)?)));
            let reviewers = found.map(|(_, team)| team.reviewers.iter().map(|one| one.value.clone()).collect());
            let maintainers = found.map(|(policy, team)| {
                let name =
                    |group: &lang::span::Spanned<lang::model::GroupId>| policy[group.value].head.name.value.clone();
                team.maintainers.iter().map(name).collect()
            });
            Reviewer {
                team,
                reviewers: reviewers.unwrap_or_default(),
                maintainers: maintainers.unwrap_or_default(),
                because,
            }
        })
        .collect()
}

fn benefits(author: &str, directory: &[Entry], connections: &[AtConnection]) -> Option<Author> {
    let author = author.trim_start_matches('@');
    let own = directory.iter().find(|entry| {
        entry.github.as_deref().is_some_and(|name| name.trim_start_matches('@').eq_ignore_ascii_case(author))
    })?;
    let gains: Vec<String> = connections
        .iter()
        .filter(|one| one.gain.as_ref().is_some_and(|gain| gain.contains(&own.subject)))
        .map(|one| one.name.clone())
        .collect();
    (!gains.is_empty()).then(|| Author { subject: own.subject.clone(), gains })
}
