//! Whether one set of approvals demands at least what another demands: in every world of approvers that satisfies
//! the first, the second is satisfied. Worlds are enumerated up to what matters, which is who of the approvers is
//! the same person.

use super::people::People;
use lang::program::rules::{Approval, Quorum, Rules};
use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

/// The most approvers that worlds are enumerated for. A policy that asks more people for one window compares only
/// with itself.
const SLOTS_MAX: usize = 8;
/// The most worlds that are looked at in one comparison, beyond which the same holds: eight approvers out of ten
/// kinds of people are some twenty thousand.
const WORLDS_MAX: usize = 200_000;

/// The approvals of one revision.
#[derive(Clone, Copy, Debug)]
pub struct Approvers<'r> {
    /// The revision's tables.
    pub rules: &'r Rules,
    /// The revision's position among the people.
    pub view: usize,
}

/// One person who has to answer.
struct Slot {
    approval: usize,
    line: usize,
    separate: bool,
    /// What each way to be in the line's groups says of the lines of the other side, the least ones only; with a
    /// principal that does so.
    ways: Vec<(Marks, usize)>,
}

/// The lines of the other side that somebody counts for.
type Marks = BTreeSet<usize>;

impl<'r> Approvers<'r> {
    fn of(&self, names: &BTreeSet<String>) -> Vec<&'r Approval> {
        self.rules.approvals.iter().filter(|approval| names.contains(&approval.name)).collect()
    }
}

/// Whether everybody who satisfies `strong` satisfies `weak`. Both are names of approvals of their revisions.
pub fn implies(
    people: &People,
    strong: (Approvers<'_>, &BTreeSet<String>),
    weak: (Approvers<'_>, &BTreeSet<String>),
) -> bool {
    if weak.1.is_empty() {
        return true;
    }
    if strong.1.is_empty() {
        return false;
    }
    let (mine, theirs) = (strong.0.of(strong.1), weak.0.of(weak.1));
    let same = |one: &&Approval| mine.iter().any(|own| own.quorum == one.quorum && own.separate == one.separate);
    if people.is_alike() && theirs.iter().all(same) {
        return true;
    }
    compare(people, (strong.0.view, &mine), (weak.0.view, &theirs))
}

fn compare(people: &People, strong: (usize, &[&Approval]), weak: (usize, &[&Approval])) -> bool {
    let lines: Vec<(usize, &Quorum)> =
        weak.1.iter().enumerate().flat_map(|(at, one)| one.quorum.iter().map(move |line| (at, line))).collect();
    let mut marks: BTreeMap<usize, Marks> = BTreeMap::new();
    for (at, (_, line)) in lines.iter().enumerate() {
        for principal in people.members(weak.0, &line.from) {
            marks.entry(principal).or_default().insert(at);
        }
    }
    let mut slots = Vec::new();
    for (at, approval) in strong.1.iter().enumerate() {
        for (line, quorum) in approval.quorum.iter().enumerate() {
            let ways = ways(people, strong.0, quorum, &marks);
            let count = usize::try_from(quorum.count).unwrap_or(usize::MAX).min(SLOTS_MAX + 1);
            for _ in 0..count {
                slots.push(Slot { approval: at, line, separate: approval.separate, ways: ways.clone() });
            }
        }
    }
    let worlds = Worlds { people, view: strong.0, slots: &slots, weak: weak.1, lines: &lines, seen: Cell::new(0) };
    let answer = if slots.len() > SLOTS_MAX { None } else { worlds.all_satisfy(0, 0, &[]) };
    answer.unwrap_or_else(|| {
        people.is_alike() && weak.1.iter().all(|one| strong.1.iter().any(|own| own.quorum == one.quorum))
    })
}

/// The least ways to be in a line's groups. A way replaces another one only where it counts for no more lines and
/// whoever holds it may be one person with everybody that the other may be one with.
fn ways(people: &People, view: usize, line: &Quorum, marks: &BTreeMap<usize, Marks>) -> Vec<(Marks, usize)> {
    let mut all: BTreeMap<(Marks, (usize, BTreeSet<usize>)), usize> = BTreeMap::new();
    // Only people answer, and only those whom the revision accepts.
    let accepted = people.members(view, &line.from).into_iter().filter(|one| people.together(view, *one, *one));
    for principal in accepted {
        let way = (marks.get(&principal).cloned().unwrap_or_default(), people.company(view, principal));
        all.entry(way).or_insert(principal);
    }
    let replaced = |way: &(Marks, (usize, BTreeSet<usize>))| {
        let (marks, (idp, apart)) = way;
        all.keys().any(|other| {
            let (own, (at, held)) = other;
            other != way && own.is_subset(marks) && at == idp && held.is_subset(apart)
        })
    };
    all.iter().filter(|(way, _)| !replaced(way)).map(|((marks, _), one)| (marks.clone(), *one)).collect()
}

/// A person of a world: the slots that they fill, and how.
#[derive(Clone, Default)]
struct Approver {
    slots: Vec<usize>,
    principals: Vec<usize>,
    marks: Marks,
}

struct Worlds<'a> {
    people: &'a People,
    view: usize,
    slots: &'a [Slot],
    weak: &'a [&'a Approval],
    lines: &'a [(usize, &'a Quorum)],
    /// So many were looked at.
    seen: Cell<usize>,
}

impl Worlds<'_> {
    /// Whether every way to fill the remaining slots ends in a world that satisfies the weaker side; nothing when
    /// there are too many to look at. People of one line may change places, so each fills a slot in a way that comes
    /// no earlier than that of the slot before, which is `last`.
    fn all_satisfy(&self, next: usize, last: usize, world: &[Approver]) -> Option<bool> {
        let Some(slot) = self.slots.get(next) else {
            self.seen.set(self.seen.get() + 1);
            return (self.seen.get() <= WORLDS_MAX).then(|| self.satisfied(world));
        };
        let before = next.checked_sub(1).and_then(|before| self.slots.get(before));
        let goes_on = before.is_some_and(|one| (one.approval, one.line) == (slot.approval, slot.line));
        for (way, (marks, principal)) in slot.ways.iter().enumerate().skip(if goes_on { last } else { 0 }) {
            for at in 0..=world.len() {
                let mut with = world.to_vec();
                if at == world.len() {
                    with.push(Approver::default());
                } else if !world.get(at).is_some_and(|one| self.may_join(one, next, *principal)) {
                    continue;
                }
                if let Some(one) = with.get_mut(at) {
                    one.slots.push(next);
                    one.principals.push(*principal);
                    one.marks.extend(marks);
                }
                if !self.all_satisfy(next + 1, way, &with)? {
                    return Some(false);
                }
            }
        }
        // A line that nobody can be in is never satisfied, and then anything follows.
        Some(true)
    }

    fn may_join(&self, one: &Approver, next: usize, principal: usize) -> bool {
        let Some(slot) = self.slots.get(next) else { return false };
        let distinct = one
            .slots
            .iter()
            .filter_map(|at| self.slots.get(*at))
            .any(|other| other.approval == slot.approval && (slot.separate || other.line == slot.line));
        !distinct && one.principals.iter().all(|own| self.people.together(self.view, *own, principal))
    }

    fn satisfied(&self, world: &[Approver]) -> bool {
        self.weak.iter().enumerate().all(|(at, approval)| {
            let own = self.lines.iter().enumerate().filter(|(_, (of, _))| *of == at);
            if approval.separate {
                let slots: Vec<usize> = own
                    .flat_map(|(line, (_, quorum))| {
                        std::iter::repeat_n(line, usize::try_from(quorum.count).unwrap_or(usize::MAX).min(64))
                    })
                    .collect();
                matched(&slots, world, &mut BTreeSet::new())
            } else {
                own.into_iter().all(|(line, (_, quorum))| {
                    let count = world.iter().filter(|one| one.marks.contains(&line)).count();
                    u32::try_from(count).unwrap_or(u32::MAX) >= quorum.count
                })
            }
        })
    }
}

/// Whether distinct people can fill the slots.
fn matched(slots: &[usize], world: &[Approver], taken: &mut BTreeSet<usize>) -> bool {
    let Some((line, rest)) = slots.split_first() else { return true };
    if slots.len() + taken.len() > world.len() {
        return false;
    }
    for (at, one) in world.iter().enumerate() {
        if one.marks.contains(line) && taken.insert(at) {
            if matched(rest, world, taken) {
                return true;
            }
            taken.remove(&at);
        }
    }
    false
}
