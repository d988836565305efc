//! Whether the votes on a request satisfy its approvals. Pure.
//!
//! A line of an approval has as many places as its count. With `separate yes` a person fills one place of the whole
//! approval, with `separate no` one place of each line; a person in two groups of a line still fills one. The
//! requester fills none, whatever name the vote came under.

use crate::core::identity::{Subject, SubjectKind};
use crate::store::Vote;
use lang::program::rules::{Approval, Quorum};
use std::collections::BTreeMap;

/// Whether two keys name one person: two idps of one tenant give two subjects of one person.
pub fn same_person(one: &Subject, other: &Subject) -> bool {
    one.tenant == other.tenant && one.id == other.id
}

/// The votes that may count: one for each person, none of the requester's. An agent bears the key of the person that
/// it acts for, and its word is nobody's.
fn counted<'v>(requester: &Subject, votes: &'v [Vote]) -> Vec<&'v Vote> {
    let mut people: BTreeMap<(&str, &str), &Vote> = BTreeMap::new();
    for vote in votes.iter().filter(|vote| vote.kind == SubjectKind::Human && !same_person(&vote.subject, requester)) {
        people.entry((&vote.subject.tenant, &vote.subject.id)).or_insert(vote);
    }
    people.into_values().collect()
}

fn eligible(line: &Quorum, vote: &Vote) -> bool {
    line.from.iter().any(|group| vote.groups.contains(group))
}

/// How many places an approval has.
pub(super) fn places(approval: &Approval) -> usize {
    approval.quorum.iter().map(|line| usize::try_from(line.count).unwrap_or(usize::MAX)).fold(0, usize::saturating_add)
}

/// How many places the votes fill: at most [`places`].
pub(super) fn filled(approval: &Approval, requester: &Subject, votes: &[Vote]) -> usize {
    let people = counted(requester, votes);
    if approval.separate {
        return matching(&approval.quorum, &people);
    }
    let of_line = |line: &Quorum| {
        let able = people.iter().filter(|vote| eligible(line, vote)).count();
        able.min(usize::try_from(line.count).unwrap_or(usize::MAX))
    };
    approval.quorum.iter().map(of_line).sum()
}

/// Whether every place of an approval is filled. An approval without a place is never satisfied.
pub(super) fn satisfied(approval: &Approval, requester: &Subject, votes: &[Vote]) -> bool {
    let places = places(approval);
    places > 0 && filled(approval, requester, votes) == places
}

/// The greatest number of voters that can each stand on a place of their own: augmenting paths, where a line with a
/// count of n takes n voters.
fn matching(lines: &[Quorum], voters: &[&Vote]) -> usize {
    let mut seats: Vec<Vec<usize>> = vec![Vec::new(); lines.len()];
    let mut matched = 0;
    for voter in 0..voters.len() {
        let mut visited = vec![false; lines.len()];
        if seat(voter, lines, voters, &mut seats, &mut visited) {
            matched += 1;
        }
    }
    matched
}

/// Seats a voter, moving others to another line where that makes room. Recurses at most once for each line.
fn seat(voter: usize, lines: &[Quorum], voters: &[&Vote], seats: &mut [Vec<usize>], visited: &mut [bool]) -> bool {
    for (index, line) in lines.iter().enumerate() {
        let fits = voters.get(voter).is_some_and(|vote| eligible(line, vote));
        if !fits || visited.get(index).copied().unwrap_or(true) {
            continue;
        }
        if let Some(seen) = visited.get_mut(index) {
            *seen = true;
        }
        let room = usize::try_from(line.count).unwrap_or(usize::MAX);
        let seated = seats.get(index).cloned().unwrap_or_default();
        if seated.len() < room {
            if let Some(places) = seats.get_mut(index) {
                places.push(voter);
            }
            return true;
        }
        for other in seated {
            if seat(other, lines, voters, seats, visited) {
                if let Some(places) = seats.get_mut(index) {
                    places.retain(|held| *held != other);
                    places.push(voter);
                }
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use lang::time::{Timestamp, Ttl};
    use proptest::prelude::*;

    fn person(id: &str) -> Subject {
        Subject { idp: "entra".to_owned(), tenant: "t".to_owned(), id: id.to_owned() }
    }

    fn vote(id: &str, groups: &[&str]) -> Vote {
        Vote {
            subject: person(id),
            subject_name: None,
            kind: SubjectKind::Human,
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            at: Timestamp::from_unix(0),
        }
    }

    fn approval(separate: bool, lines: &[(u32, &[&str])]) -> Approval {
        Approval {
            name: "a".to_owned(),
            quorum: lines
                .iter()
                .map(|(count, from)| Quorum { count: *count, from: from.iter().map(|g| (*g).to_owned()).collect() })
                .collect(),
            separate,
            answer_within: Ttl::from_seconds(3600),
            notify: Vec::new(),
        }
    }

    #[test]
    fn one_person_in_two_groups_counts_once_and_completes_a_quorum_of_one() {
        let both = [vote("p", &["leads", "security"])];
        assert!(satisfied(&approval(true, &[(1, &["leads", "security"])]), &person("r"), &both));
        assert!(!satisfied(&approval(true, &[(2, &["leads", "security"])]), &person("r"), &both));
        assert!(!satisfied(&approval(false, &[(2, &["leads", "security"])]), &person("r"), &both));
        let twice = [both[0].clone(), both[0].clone()];
        assert!(!satisfied(&approval(false, &[(2, &["leads"])]), &person("r"), &twice));
    }

    #[test]
    fn separate_lines_need_distinct_people_and_others_do_not() {
        let both = [vote("p", &["leads", "security"])];
        let four_eyes: &[(u32, &[&str])] = &[(1, &["leads"]), (1, &["security"])];
        assert!(!satisfied(&approval(true, four_eyes), &person("r"), &both));
        assert!(satisfied(&approval(false, four_eyes), &person("r"), &both));
        // The one in both groups must give way to the one who is in a single one, in whatever order they came.
        let two = [vote("p", &["leads", "security"]), vote("q", &["leads"])];
        assert!(satisfied(&approval(true, four_eyes), &person("r"), &two));
    }

    #[test]
    fn the_requester_never_counts_under_another_idp_either() {
        let mut own = vote("r", &["leads"]);
        own.subject.idp = "entra-v1".to_owned();
        assert!(!satisfied(&approval(true, &[(1, &["leads"])]), &person("r"), &[own]));
    }

    #[test]
    fn an_agent_never_counts_and_does_not_hide_its_person() {
        let by_agent = Vote { kind: SubjectKind::Agent, ..vote("p", &["leads"]) };
        let one = approval(true, &[(1, &["leads"])]);
        assert!(!satisfied(&one, &person("r"), std::slice::from_ref(&by_agent)));
        assert!(satisfied(&one, &person("r"), &[by_agent.clone(), vote("p", &["leads"])]));
        assert!(!satisfied(&approval(false, &[(2, &["leads"])]), &person("r"), &[by_agent, vote("p", &["leads"])]));
    }

    #[test]
    fn an_approval_without_places_is_never_satisfied() {
        assert!(!satisfied(&approval(true, &[]), &person("r"), &[vote("p", &["leads"])]));
        assert!(!satisfied(&approval(true, &[(0, &["leads"])]), &person("r"), &[vote("p", &["leads"])]));
    }

    /// The obvious answer: try every assignment of voters to lines or to none.
    fn reference(lines: &[Quorum], voters: &[Vote], next: usize, load: &mut Vec<u32>) -> usize {
        let Some(vote) = voters.get(next) else { return 0 };
        let mut best = reference(lines, voters, next + 1, load);
        for (index, line) in lines.iter().enumerate() {
            if eligible(line, vote) && load[index] < line.count {
                load[index] += 1;
                best = best.max(1 + reference(lines, voters, next + 1, load));
                load[index] -= 1;
            }
        }
        best
    }

    proptest! {
        #[test]
        fn matching_agrees_with_trying_everything(
            lines in prop::collection::vec((1_u32..3, prop::collection::btree_set(0_usize..4, 1..3)), 1..4),
            people in prop::collection::vec(prop::collection::btree_set(0_usize..4, 0..4), 0..6),
        ) {
            let names = ["a", "b", "c", "d"];
            let lines: Vec<Quorum> = lines
                .iter()
                .map(|(count, from)| Quorum { count: *count, from: from.iter().map(|g| names[*g].to_owned()).collect() })
                .collect();
            let votes: Vec<Vote> = people
                .iter()
                .enumerate()
                .map(|(i, groups)| vote(&i.to_string(), &groups.iter().map(|g| names[*g]).collect::<Vec<_>>()))
                .collect();
            let mut with = approval(true, &[]);
            with.quorum = lines.clone();
            prop_assert_eq!(
                filled(&with, &person("r"), &votes),
                reference(&lines, &votes, 0, &mut vec![0; lines.len()])
            );
        }
    }
}
