//! What an activation changed for people, by the analysis that `leaseholdc diff` rests on. It describes; it decides
//! nothing, and it runs after the policy is in force, on a thread that holds nobody up.

use crate::access::activation::Activation;
use compiler::analyze::compare::{Change, Direction, Revisions, compare};
use compiler::analyze::operators;
use compiler::analyze::people::People;
use compiler::analyze::profile::Profile;

/// Differences that are written down; the rest is counted.
const LINES_MAX: usize = 40;
/// Parts of what one difference lists.
const PARTS_MAX: usize = 6;

/// Who gained and lost what, one sentence each; empty for the first activation and for one that changed no access.
pub fn difference(activation: &Activation) -> Vec<String> {
    let Some(before) = &activation.before else { return Vec::new() };
    let revisions =
        Revisions { old: &before.program, new: &activation.active.program, from: activation.active.activated_at };
    let people = People::new(&[before.program.rules(), activation.active.program.rules()]);
    // One thread: the others belong to sessions.
    let profiles = (Profile::new(revisions.old, &[], 1), Profile::new(revisions.new, &[], 1));
    let connections = match compare(revisions, (&profiles.0, &profiles.1), &people, &[], 1) {
        Ok(connections) => connections,
        Err(error) => {
            tracing::error!(commit = activation.active.commit, %error, "an activation could not be compared");
            return vec!["the difference could not be computed; compare with `leaseholdc diff`".to_owned()];
        }
    };
    let mut lines = Vec::new();
    for at in &connections {
        lines.extend(at.changes.iter().map(|change| sentence(at.name, change)));
        if at.unknown.is_some() {
            lines.push(format!("? {}: not comparable, too many patterns; read the commit", at.name));
        }
    }
    let (old, new) = (before.program.rules(), activation.active.program.rules());
    for change in operators::compare(&people, old, new) {
        // One side is empty: who comes or goes is told, not the whole list.
        let who = if change.before.is_empty() { change.after } else { change.before };
        lines.push(format!("{} {}, {who}: operate {}", mark(change.direction), change.name, change.field));
    }
    if lines.len() > LINES_MAX {
        let more = lines.len() - LINES_MAX;
        lines.truncate(LINES_MAX);
        lines.push(format!("… and {more} more"));
    }
    lines
}

/// `+` gives more, `-` gives less, `~` does both.
const fn mark(direction: Direction) -> &'static str {
    match direction {
        Direction::Wider => "+",
        Direction::Narrower => "-",
        Direction::Mixed => "~",
        Direction::Neutral => "·",
    }
}

fn sentence(connection: &str, change: &Change) -> String {
    let what = change.what.iter().take(PARTS_MAX).cloned().collect::<Vec<_>>().join("; ");
    let more = change.what.len().saturating_sub(PARTS_MAX);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    // A change is told of the revision that gives more.
    let (old, new) = match change.direction {
        Direction::Narrower => (&change.after, &change.before),
        Direction::Wider | Direction::Mixed | Direction::Neutral => (&change.before, &change.after),
    };
    let who = change.who.join(", or ");
    format!("{} {connection}, {who}: {what}{more} ({old} -> {new}, grant {})", mark(change.direction), change.grant)
}
