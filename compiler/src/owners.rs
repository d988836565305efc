//! CODEOWNERS from teams: who reviews a change of a folder is who the policy says maintains it. The generated part
//! stands between two marks, so that the rest of the file is its owner's.

use lang::model::Policy;
use std::fmt::Write as _;

/// Begins the generated part.
const BEGIN: &str = "# leaseholdc owners: begin (generated, do not edit)";
/// Ends it.
const END: &str = "# leaseholdc owners: end";

/// The generated part. `prefix` is where the policy's root lies in the repository.
pub fn section(policy: &Policy, prefix: &str) -> String {
    let prefix = prefix.trim_matches('/');
    let path = |folder: &str| if prefix.is_empty() { format!("/{folder}/") } else { format!("/{prefix}/{folder}/") };
    let mut lines: Vec<String> = policy
        .teams
        .iter()
        .filter_map(|team| {
            let folder = team.folder.as_ref()?;
            let reviewers: Vec<&str> = team.reviewers.iter().map(|reviewer| reviewer.value.as_str()).collect();
            // A folder without reviewers belongs to whoever owns the file above it.
            (!reviewers.is_empty()).then(|| format!("{} {}", path(&folder.value), reviewers.join(" ")))
        })
        .collect();
    lines.sort();
    let mut out = format!("{BEGIN}\n");
    for line in lines {
        let _in_memory = writeln!(out, "{line}");
    }
    out.push_str(END);
    out.push('\n');
    out
}

/// The file with the generated part replaced, or added at its end: in CODEOWNERS the last match counts.
pub fn merged(file: &str, section: &str) -> String {
    match split(file) {
        Some((before, _, after)) => format!("{before}{section}{after}"),
        None if file.is_empty() || file.ends_with('\n') => format!("{file}{section}"),
        None => format!("{file}\n{section}"),
    }
}

/// Whether the generated part of a file is what it should be; `None` when it has none.
pub fn is_fresh(file: &str, section: &str) -> Option<bool> {
    split(file).map(|(_, found, _)| found == section)
}

/// The prefix that the generated part was written with, when it can be told from a folder in it.
pub fn prefix_of(file: &str, policy: &Policy) -> Option<String> {
    let (_, found, _) = split(file)?;
    policy.teams.iter().filter_map(|team| team.folder.as_ref()).find_map(|folder| {
        let tail = format!("/{}/", folder.value);
        found
            .lines()
            .filter_map(|line| line.split(' ').next())
            .find_map(|path| path.strip_suffix(&tail).map(|prefix| prefix.trim_start_matches('/').to_owned()))
    })
}

/// What stands before, in and after the generated part.
fn split(file: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = file.split_once(BEGIN)?;
    let (inner, after) = rest.split_once(END)?;
    let after = after.strip_prefix('\n').unwrap_or(after);
    let length = BEGIN.len() + inner.len() + END.len() + 1;
    let found = file.get(before.len()..(before.len() + length).min(file.len()))?;
    Some((before, found, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_generated_part_is_replaced() {
        let section = format!("{BEGIN}\n/teams/a/ @x\n{END}\n");
        let file = merged("* @root\n", &section);
        assert_eq!(file, format!("* @root\n{section}"));
        assert_eq!(is_fresh(&file, &section), Some(true));
        let newer = format!("{BEGIN}\n/teams/a/ @y\n{END}\n");
        assert_eq!(is_fresh(&file, &newer), Some(false));
        assert_eq!(merged(&format!("{file}docs @z\n"), &newer), format!("* @root\n{newer}docs @z\n"));
        assert_eq!(is_fresh("* @root\n", &section), None);
    }
}
