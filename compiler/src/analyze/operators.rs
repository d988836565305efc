//! Who may act on other people's sessions, compared between two revisions as tokens, not as names.

use super::{
    compare::Direction,
    people::{People, Person},
    settings::SettingChange,
};
use lang::program::{
    SubjectKind,
    rules::{Operator, Principal, Rules},
};
use std::collections::{BTreeMap, BTreeSet};

type Holders<'r> = BTreeMap<(&'r str, Operator), Vec<&'r Principal>>;

/// What somebody may more or less, by connection.
pub fn compare(people: &People, old: &Rules, new: &Rules) -> Vec<SettingChange> {
    if people.is_alike() && old.operators == new.operators {
        return Vec::new();
    }
    let (before, after) = (holders(old), holders(new));
    let keys: BTreeSet<&(&str, Operator)> = before.keys().chain(after.keys()).collect();
    let mut changes = Vec::new();
    for key in keys {
        let none = Vec::new();
        let (a, b) = (before.get(key).unwrap_or(&none), after.get(key).unwrap_or(&none));
        if people.is_alike() && a == b {
            continue;
        }
        let gained = gained(people, (1, b), (0, a));
        let lost = self::gained(people, (0, a), (1, b));
        for (direction, who) in [(Direction::Wider, gained), (Direction::Narrower, lost)] {
            if !who.is_empty() {
                let text = who.into_iter().collect::<Vec<_>>().join("; ");
                let (before, after) =
                    if direction == Direction::Wider { (String::new(), text) } else { (text, String::new()) };
                changes.push(SettingChange {
                    section: "operators",
                    name: key.0.to_owned(),
                    field: key.1.word().to_owned(),
                    connection: Some(key.0.to_owned()),
                    direction,
                    before,
                    after,
                });
            }
        }
    }
    changes
}

fn holders(rules: &Rules) -> Holders<'_> {
    let mut all: Holders<'_> = BTreeMap::new();
    for rule in &rules.operators {
        for connection in &rule.on {
            for may in &rule.may {
                all.entry((connection, *may)).or_default().extend(&rule.to);
            }
        }
    }
    all
}

/// Who holds something on the one side and not on the other, in words.
fn gained(
    people: &People,
    (view, more): (usize, &[&Principal]),
    (other, less): (usize, &[&Principal]),
) -> BTreeSet<String> {
    let holds = |view: usize, to: &[&Principal], person: &Person| {
        people.seat(view, person).is_some_and(|seat| {
            seat.kind != SubjectKind::Agent
                && to.iter().any(|one| {
                    one.kind.is_none_or(|kind| kind == seat.kind)
                        && people.groups(view, &one.groups).is_subset(&seat.held)
                })
        })
    };
    let mut who = BTreeSet::new();
    for principal in more {
        let wanted = people.groups(view, &principal.groups);
        for idp in people.providers() {
            for kind in [SubjectKind::Human, SubjectKind::Service] {
                for person in people.joined(view, &People::nobody(idp, kind), &wanted) {
                    if !holds(view, more, &person) {
                        continue;
                    }
                    let shown = if holds(other, less, &person) {
                        people.refused(&person, other, view).into_iter().find(|one| holds(view, more, one))
                    } else {
                        Some(person)
                    };
                    who.extend(shown.map(|person| describe(people, view, &person)));
                }
            }
        }
    }
    who
}

fn describe(people: &People, view: usize, person: &Person) -> String {
    let groups = people.named(view, person);
    if groups.is_empty() {
        return format!("every {}", person.kind);
    }
    groups.iter().map(|group| format!("group:{group}")).collect::<Vec<_>>().join(" and ")
}
