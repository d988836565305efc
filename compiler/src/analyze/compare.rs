//! Two revisions compared at every connection: who has more, who has less, where and under which terms, each with a
//! witness that was re-run. What is printed is [`Change`]; how it looks is the commands' business.

use super::{
    TooComplex,
    approvals::Approvers,
    beside::beside,
    bits::Bits,
    cells::Cells,
    describe,
    local::{self, Local},
    offer::{Axis, Order},
    paste,
    people::{People, Person},
    profile::Profile,
    search::{Gain, Versus},
    side::Side,
    witness::{self, Disagreement},
};
use crate::{kept::Key, parallel};
use lang::{
    program::{Object, Program, SubjectKind},
    time::Timestamp,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Which way something changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// Somebody may more.
    Wider,
    /// Somebody may less.
    Narrower,
    /// Both, or it cannot be ordered.
    Mixed,
    /// Nobody's access depends on it.
    Neutral,
}

impl Direction {
    /// Both changes together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Neutral, one) | (one, Self::Neutral) => one,
            (Self::Wider, Self::Wider) => Self::Wider,
            (Self::Narrower, Self::Narrower) => Self::Narrower,
            (Self::Wider | Self::Narrower | Self::Mixed, Self::Wider | Self::Narrower | Self::Mixed) => Self::Mixed,
        }
    }

    /// Whether somebody may more.
    pub const fn widens(self) -> bool {
        matches!(self, Self::Wider | Self::Mixed)
    }

    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Wider => "wider",
            Self::Narrower => "narrower",
            Self::Mixed => "mixed",
            Self::Neutral => "unchanged",
        }
    }
}

/// A difference in what one grant gives to some people.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// More or less.
    pub direction: Direction,
    /// The grant that gives it, in the revision that gives more.
    pub grant: String,
    /// Where the grant stands there.
    pub place: Option<String>,
    /// Who, as alternatives: `group:payments-dev`, `every agent`.
    pub who: Vec<String>,
    /// The kinds concerned.
    pub kinds: BTreeSet<SubjectKind>,
    /// On which axes.
    pub axes: BTreeSet<Axis>,
    /// Exactly what, in boxes.
    pub what: Vec<String>,
    /// The best that the other revision offers for the witness.
    pub before: String,
    /// What this revision offers.
    pub after: String,
    /// One request that shows it.
    pub witness: String,
    /// The witness as a test that holds in the newer revision; `None` when no test can say it.
    pub test: Option<String>,
}

/// What changed at one connection.
#[derive(Debug)]
pub struct AtConnection<'r> {
    /// Its name.
    pub name: &'r str,
    /// What people may.
    pub changes: Vec<Change>,
    /// The comparison was given up: what changed is unknown.
    pub unknown: Option<TooComplex>,
    /// What people of a directory gain.
    pub persons: Vec<Affected>,
}

/// Somebody of a directory whose access changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Affected {
    /// The position among the people asked about.
    pub index: usize,
    /// Whether they gain.
    pub gains: bool,
    /// Whether they lose.
    pub loses: bool,
}

/// Two revisions.
#[derive(Clone, Copy, Debug)]
pub struct Revisions<'r> {
    /// The older one.
    pub old: &'r Program,
    /// The newer one; its timezone is that of both.
    pub new: &'r Program,
    /// The instant from which they are compared.
    pub from: Timestamp,
}

/// Compares every connection at which something changed, several at once; `people` are those of both revisions, the
/// older first. What is found does not depend on the number of threads.
///
/// # Errors
/// When a witness does not reproduce.
pub fn compare<'r>(
    revisions: Revisions<'r>,
    profiles: (&Profile, &Profile),
    people: &People,
    persons: &[(SubjectKind, BTreeSet<String>)],
    threads: usize,
) -> Result<Vec<AtConnection<'r>>, Disagreement> {
    let (old, new) = (revisions.old, revisions.new);
    let quiet = people.is_alike() && old.rules().approvals == new.rules().approvals;
    let mut all: Vec<At<'_, '_>> = Vec::new();
    beside(&deciding(old, profiles.0), &deciding(new, profiles.1), |name, before, after| {
        if !quiet || before != after {
            let (before, after) = (old.rules_at(name), new.rules_at(name));
            all.push(At { revisions, people, quiet, name, before, after });
        }
    });
    let mut found =
        parallel::map(&all, threads, |at| at.compare(persons)).into_iter().collect::<Result<Vec<_>, _>>()?;
    found.retain(|one| !one.changes.is_empty() || one.unknown.is_some());
    Ok(found)
}

/// The connections of a revision, with what decides there in digests.
fn deciding<'r>(program: &'r Program, profile: &Profile) -> Vec<(&'r str, Key)> {
    let names = program.rules().connections.iter().map(|connection| connection.name.as_str());
    let mut all: Vec<_> = names.zip(profile.decides.iter().copied()).collect();
    all.sort_unstable();
    all
}

struct At<'a, 'r> {
    revisions: Revisions<'r>,
    people: &'a People,
    /// Whether both revisions see everybody alike and have the same approvals.
    quiet: bool,
    name: &'r str,
    before: Option<Local<'r>>,
    after: Option<Local<'r>>,
}

impl<'r> At<'_, 'r> {
    fn compare(&self, persons: &[(SubjectKind, BTreeSet<String>)]) -> Result<AtConnection<'r>, Disagreement> {
        let mut found = AtConnection { name: self.name, changes: Vec::new(), unknown: None, persons: Vec::new() };
        let kinds: BTreeSet<_> = self.before.iter().chain(&self.after).map(|local| local.connection.kind).collect();
        if kinds.len() > 1 {
            // Another protocol is another connection: one goes, one comes.
            let gone = Self { after: None, before: self.before.clone(), ..*self };
            let come = Self { before: None, after: self.after.clone(), ..*self };
            found.changes.extend(gone.compare(&[])?.changes);
            found.changes.extend(come.compare(&[])?.changes);
            return Ok(found);
        }
        let (before, after) = (self.before.as_ref(), self.after.as_ref());
        let locals: Vec<&Local<'_>> = before.into_iter().chain(after).collect();
        let cells = match Cells::new(&locals, self.revisions.new.zone(), self.revisions.from) {
            Ok(cells) => cells,
            Err(too_complex) => {
                found.unknown = Some(too_complex);
                return Ok(found);
            }
        };
        let old = before.map(|local| Side::new(0, self.revisions.old, local, &cells, self.people));
        let new = after.map(|local| Side::new(1, self.revisions.new, local, &cells, self.people));
        let approvers = (
            Approvers { rules: self.revisions.old.rules(), view: 0 },
            Approvers { rules: self.revisions.new.rules(), view: 1 },
        );
        let alike = before.zip(after).filter(|(before, after)| self.quiet && local::restricts_alike(before, after));
        let kept = alike.map(|(before, after)| (local::kept(before, after), local::kept(after, before)));
        let widening = Versus {
            people: self.people,
            cells: &cells,
            more: new.as_ref(),
            less: old.as_ref(),
            approvers: (approvers.1, approvers.0),
            except: None,
            kept: kept.as_ref().map(|(_, of_new)| of_new),
        };
        let of_old = kept.as_ref().map(|(of_old, _)| of_old);
        let narrowing = Versus { more: old.as_ref(), less: new.as_ref(), approvers, kept: of_old, ..widening };
        let newer = new.as_ref();
        found.changes.extend(Reported { versus: widening, locals: &locals, newer }.changes(Direction::Wider)?);
        found.changes.extend(Reported { versus: narrowing, locals: &locals, newer }.changes(Direction::Narrower)?);
        if !found.changes.is_empty() {
            for (index, (kind, values)) in persons.iter().enumerate() {
                let Some(person) = self.people.carrying(*kind, values) else { continue };
                let gains = !widening.gains_of(&person).is_empty();
                let loses = !narrowing.gains_of(&person).is_empty();
                if gains || loses {
                    found.persons.push(Affected { index, gains, loses });
                }
            }
        }
        Ok(found)
    }
}

/// One direction of a comparison, to be reported.
struct Reported<'a, 'r> {
    versus: Versus<'a, 'r>,
    locals: &'a [&'a Local<'r>],
    newer: Option<&'a Side<'r>>,
}

impl Reported<'_, '_> {
    fn changes(&self, direction: Direction) -> Result<Vec<Change>, Disagreement> {
        let mut gains = least(&self.versus.gains());
        if gains.is_empty() {
            gains = least(&self.versus.sessions());
        }
        // What one person gains on the same axes under one grant is one change, and so are people who gain the same.
        let mut of_person: BTreeMap<(usize, BTreeSet<Axis>, Person), Vec<Gain>> = BTreeMap::new();
        for gain in gains {
            of_person.entry((gain.grant, gain.axes.clone(), gain.who.clone())).or_default().push(gain);
        }
        let mut merged: BTreeMap<(usize, BTreeSet<Axis>, Bits), Vec<Gain>> = BTreeMap::new();
        for ((grant, axes, _), gains) in of_person {
            let region = gains.iter().fold(self.versus.cells.none(), |all, gain| all.or(&gain.region));
            merged.entry((grant, axes, region)).or_default().extend(gains);
        }
        let mut changes = Vec::new();
        for ((.., region), gains) in merged {
            changes.extend(self.change(direction, &region, &gains)?);
        }
        Ok(changes)
    }

    fn change(&self, direction: Direction, region: &Bits, gains: &[Gain]) -> Result<Option<Change>, Disagreement> {
        let versus = &self.versus;
        let Some(more) = versus.more else { return Ok(None) };
        let Some(cell) = canonical(versus.cells, region) else { return Ok(None) };
        let showing = gains.iter().filter(|gain| gain.region.contains(cell));
        let first = showing.min_by_key(|gain| (gain.who.asserts.len(), gain.who.clone()));
        let Some(gain) = first else { return Ok(None) };
        let Some(row) = more.grants.get(gain.grant) else { return Ok(None) };
        let Some(point) = versus.cells.point(cell) else { return Ok(None) };
        let order = Order { people: versus.people, left: versus.approvers.0, right: versus.approvers.1 };
        if gain.axes.contains(&Axis::Session) {
            witness::verify(more, versus.people, versus.cells, &gain.who, cell)?;
        } else {
            let pair = (more, gain.grant);
            witness::reproduce(versus.people, versus.cells, &order, pair, versus.less, &gain.who, cell)?;
        }
        let named = |person: &Person| who(versus.people, more, person);
        let rule = row.grant.rule();
        let program = more.program;
        Ok(Some(Change {
            direction,
            grant: row.grant.id.clone(),
            place: program.place(&rule).map(ToString::to_string),
            who: gains.iter().map(|gain| named(&gain.who)).collect::<BTreeSet<_>>().into_iter().collect(),
            kinds: gains
                .iter()
                .filter_map(|gain| versus.people.kind_and_groups(more.view, &gain.who))
                .map(|seat| seat.kind)
                .collect(),
            axes: gain.axes.clone(),
            what: describe::region(versus.cells, region, self.locals, program.zone()),
            before: self.otherwise(&gain.who, cell),
            after: gain.offer.describe(),
            witness: witness::show(program, versus.people, more.view, &gain.who, &more.connection.name, &point),
            test: self.newer.and_then(|newer| {
                let via = (newer.view == more.view).then_some(row.grant.id.as_str());
                paste::test(newer, versus.people, versus.cells, &gain.who, cell, via)
            }),
        }))
    }

    /// The best that the other side offers in a cell, in words.
    fn otherwise(&self, who: &Person, cell: usize) -> String {
        let Some(less) = self.versus.less else { return "no such connection".to_owned() };
        let Some(seat) = self.versus.people.seat(less.view, who) else { return "the token is refused".to_owned() };
        let offers: Vec<String> = less
            .offers(self.versus.people, who)
            .iter()
            .filter(|piece| piece.region.contains(cell))
            .filter_map(|piece| {
                Some(format!("{} via {}", piece.offer.describe(), less.grants.get(piece.grant)?.grant.id))
            })
            .collect();
        if !offers.is_empty() {
            return offers.join("; or ");
        }
        let by: Vec<String> = less
            .restrictions
            .iter()
            .filter(|one| one.concerns(&seat) && one.denies(cell))
            .map(|one| one.rule.id().to_string())
            .collect();
        if by.is_empty() { "denied".to_owned() } else { format!("denied by {}", by.join(" and ")) }
    }
}

/// Gains that no gain of fewer principals shows as well.
fn least(gains: &[Gain]) -> Vec<Gain> {
    let shown = |one: &Gain| {
        gains.iter().any(|other| {
            other.grant == one.grant
                && other.who.kind == one.who.kind
                && other.who.provider() == one.who.provider()
                && other.who.asserts.len() < one.who.asserts.len()
                && other.who.asserts.is_subset(&one.who.asserts)
                && one.region.is_subset(&other.region)
                && one.axes.is_subset(&other.axes)
        })
    };
    gains.iter().filter(|gain| !shown(gain)).cloned().collect()
}

/// The cell that people see: the first one that touches something.
fn canonical(cells: &Cells, region: &Bits) -> Option<usize> {
    let touches = |cell: &usize| cells.objects().get(cells.object_of(*cell)).is_some_and(|one| *one != Object::Nothing);
    region.iter().find(touches).or_else(|| region.first())
}

/// Somebody in words, by what their token asserts: `group:a and group:b`, `every agent`.
pub fn who(people: &People, side: &Side<'_>, person: &Person) -> String {
    let named = people.named(side.view, person);
    let others = people.values(person).len().saturating_sub(named.len());
    let mut parts: Vec<String> = named.iter().map(|name| format!("group:{name}")).collect();
    if others > 0 && named.is_empty() {
        parts.extend(people.values(person).into_iter().map(|value| format!("the principal {value}")));
    }
    if parts.is_empty() { format!("every {}", person.kind) } else { parts.join(" and ") }
}
