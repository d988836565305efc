//! The difference of two revisions for a terminal, for a pull request, and for programs.

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
/// The longest comment; forges take 65,536 characters.
const MARKDOWN_BYTES_MAX: usize = 60_000;
/// How many names are listed before the rest is counted.
const NAMES_MAX: usize = 12;

const fn mark(direction: Direction) -> &'static str {
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

fn summary(report: &Report) -> String {
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
fn sides(change: &Change) -> (&str, &str) {
    match change.direction {
        Direction::Narrower => (&change.before, &change.after),
        Direction::Wider | Direction::Mixed | Direction::Neutral => (&change.after, &change.before),
    }
}

fn title(change: &Change) -> String {
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

fn setting(change: &SettingChange) -> String {
    let name = if change.connection.as_deref() == Some(&change.name) { "" } else { &change.name };
    let what = [change.section, name, &change.field].into_iter().filter(|part| !part.is_empty());
    let what = what.collect::<Vec<_>>().join(" ");
    match (change.before.is_empty(), change.after.is_empty()) {
        (true, _) => format!("{what}: {} (new)", change.after),
        (false, true) => format!("{what}: {} (gone)", change.before),
        (false, false) => format!("{what}: {} → {}", change.before, change.after),
    }
}

fn review(reviewer: &Reviewer) -> String {
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

fn names(all: &[String]) -> String {
    let shown = all.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > NAMES_MAX { format!("{shown} and {} more", all.len() - NAMES_MAX) } else { shown }
}

/// For a pull request: one comment, found again by its marker, cut where forges would refuse it.
pub fn markdown(report: &Report) -> String {
    let mut text =
        format!("{MARKER}\n### Access diff `{}` → `{}`\n\n**{}**", report.base, report.head, summary(report));
    let _in_memory = writeln!(text, "  \nsemantic: {}\n", report.semantic);
    if let Some(author) = &report.author {
        let _in_memory = writeln!(
            text,
            "> [!WARNING]\n> The author {} gains at {}.\n",
            cell(&author.subject),
            cell(&names(&author.gains))
        );
    }
    for reviewer in &report.reviewers {
        let _in_memory = writeln!(text, "Needs review by {}\n", cell(&review(reviewer)));
    }
    if report.connections.iter().any(|one| !one.changes.is_empty()) {
        text.push_str("| | connection | who | what | before | after |\n|---|---|---|---|---|---|\n");
    }
    let mut left = 0_usize;
    let rows = report.connections.iter().flat_map(|one| one.changes.iter().map(move |change| (one, change)));
    for (one, change) in rows {
        let (new, old) = sides(change);
        let row = format!(
            "| {} | {} | {} | {}: {}{} | {} | {} |\n",
            mark(change.direction),
            cell(&one.name),
            cell(&change.who.join(", or ")),
            cell(&title(change)),
            cell(&change.what.iter().take(4).cloned().collect::<Vec<_>>().join("; ")),
            if change.what.len() > 4 { format!(" and {} more", change.what.len() - 4) } else { String::new() },
            cell(old),
            cell(new)
        );
        if text.len() + row.len() > MARKDOWN_BYTES_MAX * 2 / 3 {
            left += 1;
        } else {
            text.push_str(&row);
        }
    }
    if left > 0 {
        let _in_memory = writeln!(text, "\n{left} more changes are in the full report.");
    }
    text.push('\n');
    markdown_settings(report, &mut text);
    markdown_tests(report, &mut text);
    text
}

fn markdown_settings(report: &Report, text: &mut String) {
    let of_connections =
        report.connections.iter().flat_map(|one| one.settings.iter().map(move |s| (Some(&one.name), s)));
    let all = of_connections.chain(report.settings.iter().map(|setting| (None, setting)));
    for (at, (connection, change)) in all.enumerate() {
        let line = format!(
            "- {} {}{}\n",
            mark(change.direction),
            connection.map_or_else(String::new, |name| format!("**{}** ", cell(name))),
            cell(&setting(change))
        );
        if text.len() + line.len() > MARKDOWN_BYTES_MAX * 5 / 6 {
            let _in_memory = writeln!(text, "- … from setting {} on in the full report", at + 1);
            break;
        }
        text.push_str(&line);
    }
    for (old, new) in &report.renamed {
        let _in_memory = writeln!(text, "- grant {} is now {}", cell(old), cell(new));
    }
    if !report.without_effect.is_empty() {
        let _in_memory = writeln!(text, "- changed without effect: {}", cell(&names(&report.without_effect)));
    }
}

fn markdown_tests(report: &Report, text: &mut String) {
    let changes = report.connections.iter().flat_map(|one| &one.changes);
    let mut tests = String::new();
    for change in changes {
        let block = format!(
            "// {}\n{}",
            visible(&change.witness),
            change.test.as_deref().unwrap_or("// no test can say this request\n")
        );
        if text.len() + tests.len() + block.len() + 200 > MARKDOWN_BYTES_MAX {
            tests.push_str("// more witnesses are in the full report\n");
            break;
        }
        tests.push_str(&block);
    }
    if !tests.is_empty() {
        let fenced = tests.replace("```", "` ` `");
        let _in_memory = writeln!(
            text,
            "\n<details><summary>Witnesses, as tests to keep</summary>\n\n```kdl\n{fenced}```\n\n</details>"
        );
    }
}

/// A text of the policy inside a table: nothing of it is markup.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text).chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '~' => {
                out.push('\\');
                out.push(c);
            }
            // A name is nobody's mention.
            '@' => out.push_str("@\u{2060}"),
            c => out.push(c),
        }
    }
    out
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
