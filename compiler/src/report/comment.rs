//! The difference of two revisions as the one comment of a pull request, for a reviewer who has twenty seconds: who
//! gains what comes first, then what else opens, then who loses; of terms only those that changed. Nothing of a
//! policy's text is markup here, and the comment is cut where forges would refuse it.

use super::{
    diff::{MARKER, mark, names, review, setting, sides, summary, title},
    visible,
};
use crate::analyze::{
    compare::Change,
    offer::Axis,
    report::{AtConnection, Report},
    settings::SettingChange,
};
use std::{collections::BTreeMap, fmt::Write as _};

/// The longest comment; forges take 65,536 characters.
const BYTES_MAX: usize = 60_000;
/// How many parts of a difference a row shows.
const PARTS_MAX: usize = 4;
/// How many connections the line of known people names.
const CONNECTIONS_MAX: usize = 20;
/// How many objects of a part a row shows.
const OBJECTS_MAX: usize = 6;

/// The comment.
pub fn markdown(report: &Report) -> String {
    let mut text = format!("{MARKER}\n### Access diff: {}\n\n", summary(report));
    if let Some(author) = &report.author {
        let (who, gains) = (cell(&author.subject), cell(&names(&author.gains)));
        let _in_memory = writeln!(text, "> [!WARNING]\n> The author {who} gains at {gains}.\n");
    }
    let widens = |change: &Change| change.direction.widens();
    table(report, "Who gains", &mut text, widens);
    let opens = |change: &SettingChange| change.direction.widens();
    settings(report, "What else opens", &mut text, opens);
    for reviewer in &report.reviewers {
        let _in_memory = writeln!(text, "**Needs review** by {}\n", cell(&review(reviewer)));
    }
    table(report, "Who loses", &mut text, |change| !widens(change));
    settings(report, "Other settings", &mut text, |change| !opens(change));
    rest(report, &mut text);
    witnesses(report, &mut text);
    let _in_memory = writeln!(text, "\n`{}` → `{}` · semantic: {}", report.base, report.head, report.semantic);
    text
}

fn table(report: &Report, title: &str, text: &mut String, wanted: impl Fn(&Change) -> bool) {
    let mut rows: Vec<(&AtConnection, &Change)> = (report.connections.iter())
        .flat_map(|one| one.changes.iter().map(move |change| (one, change)))
        .filter(|(_, change)| wanted(change))
        .collect();
    // What is new weighs more than what is easier.
    rows.sort_by_key(|(_, change)| !change.axes.contains(&Axis::Access));
    let unknown: Vec<&AtConnection> = report.connections.iter().filter(|one| one.not_comparable).collect();
    if title == "Who gains" && !unknown.is_empty() {
        let all: Vec<String> = unknown.iter().map(|one| one.name.clone()).collect();
        let _in_memory = writeln!(text, "**Not comparable**, read by hand: {}\n", cell(&names(&all)));
    }
    if rows.is_empty() {
        return;
    }
    let _in_memory =
        writeln!(text, "#### {title}\n\n| | who | where | what | before | now |\n|---|---|---|---|---|---|");
    let mut left = 0_usize;
    let mut known = BTreeMap::new();
    for (one, change) in rows {
        let people = if change.direction.widens() { &one.gain } else { &one.lose };
        known.insert(one.name.as_str(), people.as_ref().map_or(0, Vec::len));
        let line = row(one, change);
        if text.len() + line.len() > BYTES_MAX * 2 / 3 {
            left += 1;
        } else {
            text.push_str(&line);
        }
    }
    if left > 0 {
        let _in_memory = writeln!(text, "\n{left} more are in the full report.");
    }
    // Of a connection, not of a row: who gains by one row may have had it by another grant.
    let known: Vec<String> = (known.into_iter().filter(|(_, number)| *number > 0).take(CONNECTIONS_MAX))
        .map(|(name, number)| format!("{number} {} at {}", if number == 1 { "person" } else { "people" }, cell(name)))
        .collect();
    if !known.is_empty() {
        let _in_memory = writeln!(text, "\nBy the directory: {}.", known.join(", "));
    }
    text.push('\n');
}

fn row(one: &AtConnection, change: &Change) -> String {
    let shown: Vec<String> = change.what.iter().take(PARTS_MAX).map(|part| cell(&shorter(part))).collect();
    let more = change.what.len().saturating_sub(PARTS_MAX);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let (new, old) = sides(change);
    let (before, now) = changed(old, new);
    format!(
        "| {} | **{}** | **{}** | {}: {}{more} | {} | {} |\n",
        mark(change.direction),
        cell(&change.who.join(", or ")),
        cell(&one.name),
        cell(&words(change)),
        shown.join("; "),
        cell(&before),
        cell(&now)
    )
}

/// What sort of change it is; the columns beside it show which terms.
fn words(change: &Change) -> String {
    let session = change.axes.contains(&Axis::Session);
    match (session, change.axes.contains(&Axis::Access), change.direction.widens()) {
        (true, ..) => title(change),
        (false, true, true) => "new access".to_owned(),
        (false, true, false) => "loses".to_owned(),
        (false, false, true) => "easier terms".to_owned(),
        (false, false, false) => "stricter terms".to_owned(),
    }
}

/// Of two lists of terms what the other does not have, so that a reader sees the difference and not the rest.
fn changed(old: &str, new: &str) -> (String, String) {
    let (a, b) = (terms(old), terms(new));
    let only = |own: &[&str], other: &[&str]| {
        let parts: Vec<&str> = own.iter().filter(|part| !other.contains(part)).copied().collect();
        if parts.is_empty() { "–".to_owned() } else { parts.join(", ") }
    };
    if a.first().is_some_and(|first| first.starts_with("denied") || first.starts_with("no such"))
        || old.contains("; or ")
    {
        return (old.to_owned(), new.to_owned());
    }
    let glass = |parts: &[&str]| parts.contains(&"break-glass");
    match (glass(&a), glass(&b)) {
        (true, false) => return (format!("only break-glass: {}", a.join(", ")), b.join(", ")),
        (false, true) => return (a.join(", "), format!("only break-glass: {}", b.join(", "))),
        (true, true) | (false, false) => {}
    }
    if a == b { ("the same terms".to_owned(), "the same terms".to_owned()) } else { (only(&a, &b), only(&b, &a)) }
}

/// The terms of a description, parted at commas outside parentheses, without the grant behind them.
fn terms(text: &str) -> Vec<&str> {
    let text = text.rsplit_once(" via ").map_or(text, |(terms, _)| terms);
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth <= 0 => {
                parts.extend(text.get(start..at).map(str::trim));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..).map(str::trim));
    parts
}

/// A part of a region without the objects that another pattern of it holds: `public.*` says `public.cards` too.
fn shorter(part: &str) -> String {
    let Some((head, rest)) = part.split_once(" on ") else { return part.to_owned() };
    let (objects, tail) =
        rest.split_once(", ").map_or((rest, String::new()), |(objects, tail)| (objects, format!(", {tail}")));
    let objects: Vec<&str> = objects.split(' ').collect();
    let kept: Vec<&str> = (objects.iter())
        .filter(|one| !objects.iter().any(|other| other != *one && holds(other, one)))
        .copied()
        .collect();
    let more = kept.len().saturating_sub(OBJECTS_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let kept = kept.iter().take(OBJECTS_MAX).copied().collect::<Vec<_>>().join(" ");
    format!("{head} on {kept}{more}{tail}")
}

/// Whether a pattern of as many segments holds another one.
fn holds(outer: &str, inner: &str) -> bool {
    let segments = |text: &'_ str| text.split(['.', '/']).map(str::to_owned).collect::<Vec<_>>();
    let (outer, inner) = (segments(outer), segments(inner));
    let within = |(outer, inner): (&String, &String)| match outer.strip_suffix('*') {
        Some(prefix) => inner.starts_with(prefix),
        None => outer == inner,
    };
    outer.len() > 1 && outer.len() == inner.len() && outer.iter().zip(&inner).all(within)
}

fn settings(report: &Report, title: &str, text: &mut String, wanted: impl Fn(&SettingChange) -> bool) {
    let of_connections =
        report.connections.iter().flat_map(|one| one.settings.iter().map(move |s| (Some(&one.name), s)));
    let all = of_connections.chain(report.settings.iter().map(|setting| (None, setting)));
    let mut begun = false;
    for (at, (connection, change)) in all.filter(|(_, change)| wanted(change)).enumerate() {
        if !begun {
            let _in_memory = writeln!(text, "#### {title}\n");
            begun = true;
        }
        let name = connection.map_or_else(String::new, |name| format!("**{}** ", cell(name)));
        let line = format!("- {} {name}{}\n", mark(change.direction), cell(&setting(change)));
        if text.len() + line.len() > BYTES_MAX * 5 / 6 {
            let _in_memory = writeln!(text, "- … from setting {} on in the full report", at + 1);
            break;
        }
        text.push_str(&line);
    }
    if begun {
        text.push('\n');
    }
}

fn rest(report: &Report, text: &mut String) {
    for (old, new) in &report.renamed {
        let _in_memory = writeln!(text, "- grant {} is now {}", cell(old), cell(new));
    }
    if !report.without_effect.is_empty() {
        let _in_memory = writeln!(text, "- changed without effect: {}", cell(&names(&report.without_effect)));
    }
}

fn witnesses(report: &Report, text: &mut String) {
    let changes = report.connections.iter().flat_map(|one| &one.changes);
    let mut tests = String::new();
    for change in changes {
        let witness = visible(&change.witness);
        let pasted = change.test.as_deref().unwrap_or("// no test can say this request\n");
        let block = format!("// {witness}\n{pasted}");
        if text.len() + tests.len() + block.len() + 300 > BYTES_MAX {
            tests.push_str("// more witnesses are in the full report\n");
            break;
        }
        tests.push_str(&block);
    }
    if !tests.is_empty() {
        let fenced = tests.replace("```", "` ` `");
        let head = "<details><summary>Witnesses, as tests to keep</summary>";
        let _in_memory = writeln!(text, "\n{head}\n\n```kdl\n{fenced}```\n\n</details>");
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

#[cfg(test)]
mod tests {
    use super::{changed, shorter};

    #[test]
    fn only_what_changed_is_shown() {
        let old = "requested 20m, no approval, masked (hash a, partial b) via orders-db";
        let new = "requested 30m, no approval, masked (hash a, partial b)";
        assert_eq!(changed(old, new), ("requested 20m".to_owned(), "requested 30m".to_owned()));
        let less = "requested 20m, no approval";
        assert_eq!(changed(old, less), ("masked (hash a, partial b)".to_owned(), "–".to_owned()));
        assert_eq!(changed("denied by a", new).0, "denied by a");
    }

    #[test]
    fn a_pattern_says_what_it_holds() {
        assert_eq!(
            shorter("read on public.* public.cards qa.x, within Mon 07:00-08:00"),
            "read on public.* qa.x, within Mon 07:00-08:00"
        );
        assert_eq!(shorter("read"), "read");
        // One segment alone is no pattern of objects but a word of a command line.
        assert_eq!(shorter("exec on systemctl status *"), "exec on systemctl status *");
    }
}
