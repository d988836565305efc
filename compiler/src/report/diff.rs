//! The difference of two revisions for a terminal and for programs; [`super::comment`] is that for a pull request.

use super::visible;
use crate::analyze::{
    compare::{Change, Direction},
    offer::Axis,
    report::{AtConnection, Report, Reviewer},
    settings::SettingChange,
};
use std::fmt::Write as _;

/// What finds the comment again.
pub const MARKER: &str = "<!-- leasehold: access diff -->";
/// How many names are listed before the rest is counted.
const NAMES_MAX: usize = 12;

pub(super) const fn mark(direction: Direction) -> &'static str {
    match direction {
        Direction::Wider => "▲",
        Direction::Narrower => "▼",
        Direction::Mixed => "◆",
        Direction::Neutral => "·",
    }
}

/// For people at a terminal.
pub fn human(report: &Report, took_ms: u64, colours: bool) -> String {
    let mut text = String::new();
    line(
        &mut text,
        &format!("access diff  {} → {}        {} · {took_ms} ms", report.base, report.head, summary(report)),
    );
    for one in &report.connections {
        text.push('\n');
        text.push_str(&head(one, colours));
        text.push('\n');
        one.changes.iter().for_each(|change| human_change(&mut text, change));
        one.settings
            .iter()
            .for_each(|change| line(&mut text, &format!("  {} {}", mark(change.direction), setting(change))));
    }
    if !report.settings.is_empty() {
        text.push_str("\nsettings\n");
        for change in &report.settings {
            line(&mut text, &format!("  {} {}", mark(change.direction), setting(change)));
        }
    }
    text.push('\n');
    for (old, new) in &report.renamed {
        line(&mut text, &format!("renamed: grant {old} is now {new}"));
    }
    if !report.without_effect.is_empty() {
        line(&mut text, &format!("changed without effect: {}", names(&report.without_effect)));
    }
    if let Some(author) = &report.author {
        line(&mut text, &format!("! the author {} gains at {}", author.subject, names(&author.gains)));
    }
    for reviewer in &report.reviewers {
        line(&mut text, &format!("needs review by {}", review(reviewer)));
    }
    line(&mut text, &format!("semantic: {}", report.semantic));
    text
}

/// Texts of a policy neither steer the terminal nor begin a line.
fn line(text: &mut String, content: &str) {
    text.push_str(&visible(content));
    text.push('\n');
}

pub(super) fn summary(report: &Report) -> String {
    let of = |direction: Direction| report.connections.iter().filter(|one| one.verdict == direction).count();
    let mut parts = Vec::new();
    for (direction, word) in
        [(Direction::Wider, "WIDENS"), (Direction::Mixed, "MIXED"), (Direction::Narrower, "narrows")]
    {
        if of(direction) > 0 {
            parts.push(format!("{word} {}", of(direction)));
        }
    }
    if report.settings.iter().any(|change| change.direction.widens()) {
        parts.push("SETTINGS widen".to_owned());
    }
    let plural = if report.unchanged == 1 { "" } else { "s" };
    parts.push(format!("{} connection{plural} unchanged", report.unchanged));
    parts.join(" · ")
}

fn head(one: &AtConnection, colours: bool) -> String {
    let (on, off) = match (colours, one.verdict) {
        (false, _) | (true, Direction::Neutral) => ("", ""),
        (true, Direction::Wider | Direction::Mixed) => ("\u{1b}[1;31m", "\u{1b}[0m"),
        (true, Direction::Narrower) => ("\u{1b}[32m", "\u{1b}[0m"),
    };
    let mut line = format!("{on}{} {}{off}  {}", mark(one.verdict), visible(&one.name), one.verdict.word());
    if let Some(owner) = &one.owner {
        let _in_memory = write!(line, "  (team:{})", visible(owner));
    }
    if one.not_comparable {
        line.push_str("  not comparable: too many patterns, read it by hand");
    }
    for (people, verb) in [(&one.gain, "gain"), (&one.lose, "lose")] {
        if let Some(people) = people.as_ref().filter(|people| !people.is_empty()) {
            let _in_memory = write!(line, "  {} {verb}: {}", people.len(), visible(&names(people)));
        }
    }
    line
}

fn human_change(text: &mut String, change: &Change) {
    let what = change.what.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join("; ");
    let (mark, who, title) = (mark(change.direction), change.who.join(", or "), title(change));
    line(text, &format!("  {mark} {who}  {title}: {what}{}", more(change.what.len())));
    let (new, old) = sides(change);
    let place = change.place.as_ref().map_or_else(String::new, |place| format!("  {place}"));
    line(text, &format!("      before   {old}"));
    line(text, &format!("      after    {new}"));
    line(text, &format!("      witness  {}", change.witness));
    line(text, &format!("      grant    {}{place}", change.grant));
}

/// What holds after and before the change, in the order of time.
pub(super) fn sides(change: &Change) -> (&str, &str) {
    match change.direction {
        Direction::Narrower => (&change.before, &change.after),
        Direction::Wider | Direction::Mixed | Direction::Neutral => (&change.after, &change.before),
    }
}

pub(super) fn title(change: &Change) -> String {
    let verb = match change.direction {
        Direction::Narrower => ("loses", "narrower"),
        Direction::Wider | Direction::Mixed | Direction::Neutral => ("new", "wider"),
    };
    if change.axes.contains(&Axis::Session) {
        return if verb.1 == "wider" { "now in one session".to_owned() } else { "no longer in one session".to_owned() };
    }
    let axes: Vec<&str> = change.axes.iter().filter(|axis| **axis != Axis::Access).map(|axis| axis.word()).collect();
    match (change.axes.contains(&Axis::Access), axes.is_empty()) {
        (true, true) => verb.0.to_owned(),
        (true, false) => format!("{}, and {} {}", verb.0, verb.1, axes.join(" ")),
        (false, _) => format!("{} {}", verb.1, axes.join(" ")),
    }
}

fn more(length: usize) -> String {
    if length > NAMES_MAX { format!("; and {} more", length - NAMES_MAX) } else { String::new() }
}

pub(super) fn setting(change: &SettingChange) -> String {
    let name = if change.connection.as_deref() == Some(&change.name) { "" } else { &change.name };
    let what = [change.section, name, &change.field].into_iter().filter(|part| !part.is_empty());
    let what = what.collect::<Vec<_>>().join(" ");
    match (change.before.is_empty(), change.after.is_empty()) {
        (true, _) => format!("{what}: {} (new)", change.after),
        (false, true) => format!("{what}: {} (gone)", change.before),
        (false, false) => format!("{what}: {} → {}", change.before, change.after),
    }
}

pub(super) fn review(reviewer: &Reviewer) -> String {
    let who = match &reviewer.team {
        Some(team) => format!("team:{team}"),
        None => "the owners of the policy".to_owned(),
    };
    let reviewers = if reviewer.reviewers.is_empty() {
        reviewer.maintainers.iter().map(|group| format!("group:{group}")).collect::<Vec<_>>().join(" ")
    } else {
        reviewer.reviewers.join(" ")
    };
    let reviewers = if reviewers.is_empty() { String::new() } else { format!(" ({reviewers})") };
    format!("{who}{reviewers}: {}", names(&reviewer.because))
}

pub(super) fn names(all: &[String]) -> String {
    let shown = all.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > NAMES_MAX { format!("{shown} and {} more", all.len() - NAMES_MAX) } else { shown }
}

/// For programs.
///
/// # Errors
/// When the report cannot be written.
pub fn json(report: &Report) -> Result<String, std::io::Error> {
    let mut text = serde_json::to_string_pretty(report).map_err(std::io::Error::from)?;
    text.push('\n');
    Ok(text)
}
