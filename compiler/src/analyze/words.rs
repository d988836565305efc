//! Classes of paths and command lines that a set of patterns cannot tell apart: the patterns run side by side as one
//! automaton over classes of segments, and every set of patterns that accepts some word gives one class. The word
//! that is kept is a shortest one.

use super::{TooComplex, segment};
use lang::program::segment_matches;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// The most states that are looked at before the comparison is given up, loudly.
const STATES_MAX: usize = 10_000;

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// `**` of a path: any number of segments.
    Many,
    /// `*` of a command line: exactly one argument.
    One,
    /// A literal or `prefix*`.
    Segment(String),
    /// A literal argument.
    Literal(String),
}

impl Part {
    fn takes(&self, text: &str) -> bool {
        match self {
            Self::Many | Self::One => true,
            Self::Segment(pattern) => segment_matches(pattern, text),
            Self::Literal(literal) => literal == text,
        }
    }
}

/// One path for each class, shortest first. A path begins with `/`.
pub(super) fn paths<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Vec<String>, TooComplex> {
    let patterns: BTreeSet<&str> = patterns.into_iter().collect();
    let parts: Vec<Vec<Part>> = patterns
        .iter()
        .map(|pattern| {
            let part = |part: &str| if part == "**" { Part::Many } else { Part::Segment(part.to_owned()) };
            pattern.split('/').map(part).collect()
        })
        .collect();
    let segments = patterns.iter().flat_map(|pattern| pattern.split('/')).filter(|part| *part != "**");
    let alphabet = segment::examples(segments);
    let words = classes(&parts, &alphabet, Some(""))?;
    Ok(words.into_iter().map(|word| format!("/{}", word.join("/"))).collect())
}

/// One command line for each class, shortest first. A command line has a first argument.
pub(super) fn command_lines<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Vec<String>, TooComplex> {
    let patterns: BTreeSet<&str> = patterns.into_iter().collect();
    let parts: Vec<Vec<Part>> = patterns
        .iter()
        .map(|pattern| {
            let part = |part: &str| if part == "*" { Part::One } else { Part::Literal(part.to_owned()) };
            pattern.split(' ').map(part).collect()
        })
        .collect();
    let literals = parts.iter().flatten().filter_map(|part| match part {
        Part::Literal(text) => Some(text.as_str()),
        Part::Many | Part::One | Part::Segment(_) => None,
    });
    let alphabet = segment::examples(literals);
    let words = classes(&parts, &alphabet, None)?;
    Ok(words.into_iter().map(|word| word.join(" ")).collect())
}

/// For each pattern the positions at which it may stand.
type State = Vec<BTreeSet<usize>>;

/// A shortest word, of at least one letter after `lead`, for each set of patterns that accept one.
fn classes(patterns: &[Vec<Part>], alphabet: &[String], lead: Option<&str>) -> Result<Vec<Vec<String>>, TooComplex> {
    let start: State = patterns.iter().map(|parts| settle(parts, [0])).collect();
    let start = lead.map_or(start.clone(), |lead| step(patterns, &start, lead));
    let mut seen: BTreeSet<State> = BTreeSet::new();
    let mut found: BTreeMap<Vec<bool>, Vec<String>> = BTreeMap::new();
    let mut queue: VecDeque<(State, Vec<String>)> = VecDeque::from([(start, Vec::new())]);
    let mut order = Vec::new();
    while let Some((state, word)) = queue.pop_front() {
        for letter in alphabet {
            let next = step(patterns, &state, letter);
            if !seen.insert(next.clone()) {
                continue;
            }
            if seen.len() > STATES_MAX {
                return Err(TooComplex);
            }
            let longer: Vec<String> = word.iter().cloned().chain([letter.clone()]).collect();
            let accepts: Vec<bool> =
                patterns.iter().zip(&next).map(|(parts, places)| places.contains(&parts.len())).collect();
            if !found.contains_key(&accepts) {
                found.insert(accepts.clone(), longer.clone());
                order.push(accepts);
            }
            queue.push_back((next, longer));
        }
    }
    Ok(order.iter().filter_map(|accepts| found.remove(accepts)).collect())
}

fn step(patterns: &[Vec<Part>], state: &State, letter: &str) -> State {
    patterns
        .iter()
        .zip(state)
        .map(|(parts, places)| {
            let next = places.iter().filter_map(|at| {
                let part = parts.get(*at)?;
                part.takes(letter).then_some(if *part == Part::Many { *at } else { *at + 1 })
            });
            settle(parts, next)
        })
        .collect()
}

/// `**` may stand for nothing.
fn settle(parts: &[Part], places: impl IntoIterator<Item = usize>) -> BTreeSet<usize> {
    let mut all = BTreeSet::new();
    let mut open: Vec<usize> = places.into_iter().collect();
    while let Some(at) = open.pop() {
        if all.insert(at) && parts.get(at) == Some(&Part::Many) {
            open.push(at + 1);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use lang::program::{argv_matches, path_matches};

    #[test]
    fn paths_and_commands_fall_into_their_classes() {
        let patterns = ["/v1/**", "/v1/refunds/*", "/**/lines"];
        let found = paths(patterns).unwrap();
        let signatures: BTreeSet<Vec<bool>> =
            found.iter().map(|path| patterns.iter().map(|pattern| path_matches(pattern, path)).collect()).collect();
        assert_eq!(signatures.len(), found.len(), "{found:?}");
        assert_eq!(found.len(), 6, "{found:?}");
        assert_eq!(paths([]).unwrap(), ["/x"]);
        let patterns = ["df -h", "systemctl * *", "systemctl status *"];
        let found = command_lines(patterns).unwrap();
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.iter().any(|line| argv_matches("systemctl * *", line) && !argv_matches(patterns[2], line)));
    }
}
