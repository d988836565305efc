//! The whole difference of two revisions as data: per connection and per setting, who is affected, and whose review
//! it needs.

use super::{
    compare::{self, Change, Direction, Revisions},
    operators,
    people::People,
    settings::{self, SettingChange, Stated},
    witness::Disagreement,
};
use lang::{
    bundle,
    model::Policy,
    program::{
        Program, SubjectKind,
        rules::{Forbid, Grant, Guard, Limits, Mask, RuleId, RuleKind, Rules},
    },
    syntax::ast::Document,
    time::Timestamp,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// One revision, compiled.
#[derive(Clone, Copy, Debug)]
pub struct Revision<'r> {
    /// What it is called.
    pub id: &'r str,
    /// What it decides.
    pub program: &'r Program,
    /// The resolved policy.
    pub policy: &'r Policy,
    /// The typed trees.
    pub documents: &'r [Arc<Document>],
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
    let decided = compare::compare(revisions, &people, &persons, threads)?;
    let known: BTreeSet<&str> =
        before.connections.iter().chain(&after.connections).map(|one| one.name.as_str()).collect();
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
    let (renamed, without_effect) = rest(before, after, &connections);
    Ok(Report {
        base: old.id.to_owned(),
        head: new.id.to_owned(),
        semantic: match (same, nothing) {
            (true, _) => "unchanged",
            (false, true) => "changed without effect",
            (false, false) => "changed",
        },
        verdict,
        unchanged: known.len().saturating_sub(connections.len()),
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
    Stated { rules: revision.program.rules(), documents: revision.documents }
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

fn ids(rules: &Rules) -> BTreeSet<&str> {
    rules.grants.iter().map(|grant| grant.id.as_str()).collect()
}

/// Grants that got another id, and rules whose change has no effect at any connection.
fn rest(before: &Rules, after: &Rules, connections: &[AtConnection]) -> (Vec<(String, String)>, Vec<String>) {
    let mut renamed = Vec::new();
    let anonymous = |grant: &lang::program::rules::Grant| {
        let mut grant = grant.clone();
        grant.id.clear();
        grant.beside.clear();
        grant
    };
    let (old_ids, new_ids) = (ids(before), ids(after));
    let come: Vec<_> = after.grants.iter().filter(|grant| !old_ids.contains(grant.id.as_str())).collect();
    for old in before.grants.iter().filter(|grant| !new_ids.contains(grant.id.as_str())) {
        // Most candidates are at another connection, which is seen without a copy.
        let same = come.iter().find(|new| new.on == old.on && anonymous(new) == anonymous(old));
        renamed.extend(same.map(|new| (old.id.clone(), new.id.clone())));
    }
    let touched: BTreeSet<&str> = connections
        .iter()
        .filter(|one| !one.changes.is_empty() || one.not_comparable)
        .map(|one| one.name.as_str())
        .collect();
    let mut quiet = Vec::new();
    let all = |rules: &Rules| rules.connections.iter().map(|one| one.name.clone()).collect::<Vec<String>>();
    let (all_before, all_after) = (all(before), all(after));
    let (earlier, later) = (rules_of(before, &all_before), rules_of(after, &all_after));
    let named = |(kind, name): (RuleKind, &str)| RuleId::new(kind, name);
    for (rule, (on, old)) in &earlier {
        let other = later.get(rule);
        if other.is_some_and(|(_, new)| new == old) {
            continue;
        }
        let known = renamed.iter().any(|(a, _)| *a == rule.1);
        let mut on = on.iter().chain(other.iter().flat_map(|(on, _)| on.iter()));
        if !known && !on.any(|name| touched.contains(name.as_str())) {
            quiet.push(format!("{} {}", named(*rule), if other.is_some() { "changed" } else { "removed" }));
        }
    }
    for (rule, (on, _)) in &later {
        let known = || renamed.iter().any(|(_, b)| *b == rule.1);
        if !earlier.contains_key(rule) && !known() && !on.iter().any(|name| touched.contains(name.as_str())) {
            quiet.push(format!("{} added", named(*rule)));
        }
    }
    (renamed, quiet)
}

/// A rule, and the connections that it concerns.
type Stands<'r> = (&'r [String], Deciding<'r>);

/// A rule that decides.
#[derive(PartialEq)]
enum Deciding<'r> {
    Grant(&'r Grant),
    Forbid(&'r Forbid),
    Limits(&'r Limits),
    Guard(&'r Guard),
    Mask(&'r Mask),
}

/// Every rule that decides by kind and name, with its connections; `everywhere` are all of them.
fn rules_of<'r>(rules: &'r Rules, everywhere: &'r [String]) -> BTreeMap<(RuleKind, &'r str), Stands<'r>> {
    let grants = rules.grants.iter().map(|rule| ((rule.rule_kind(), &*rule.id), (&*rule.on, Deciding::Grant(rule))));
    let forbids = rules.forbids.iter();
    let forbids = forbids.map(|rule| ((RuleKind::Forbid, &*rule.name), (&*rule.on, Deciding::Forbid(rule))));
    let limits = rules.limits.iter();
    let limits = limits.map(|rule| ((RuleKind::Limits, &*rule.name), (&*rule.on, Deciding::Limits(rule))));
    let guards = rules.guards.iter();
    let guards = guards.map(|rule| ((RuleKind::Guard, &*rule.name), (&*rule.on, Deciding::Guard(rule))));
    let masks = rules
        .masks
        .iter()
        .map(|rule| ((RuleKind::Mask, &*rule.name), (rule.on.as_deref().unwrap_or(everywhere), Deciding::Mask(rule))));
    grants.chain(forbids).chain(limits).chain(guards).chain(masks).collect()
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
