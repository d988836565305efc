//! Answers for people. Whatever came from afar is made inert before it reaches a terminal.

use crate::access::Did;
use crate::api::Problem;
use crate::api::held::Statement;
use crate::api::view::{Done, Policy, Reachables, Request, Session, Subject, Terms, Window};
use crate::recording::inert::{inert, inert_lines};
use serde::Serialize;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// What `leasehold status` shows.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    /// The policy in force.
    pub(super) policy: Policy,
    /// The caller's open windows.
    pub(super) windows: Vec<Window>,
    /// Requests that wait: the caller's own, and those that the caller may see.
    pub(super) requests: Vec<Request>,
}

/// The widest cell of a table.
const CELL_MAX: usize = 48;

fn who(subject: &Subject) -> String {
    subject.name.clone().unwrap_or_else(|| subject.id.clone())
}

fn quote(text: &str) -> String {
    inert(text).into_owned()
}

pub(super) fn problem(out: &mut dyn Write, problem: &Problem) -> io::Result<()> {
    let place = |rule: Option<&str>, file: Option<&str>, line: Option<u32>| match (rule, file, line) {
        (Some(rule), Some(file), Some(line)) => format!(" ({rule}, {file}:{line})"),
        (Some(rule), _, _) => format!(" ({rule})"),
        (None, _, _) => String::new(),
    };
    if problem.reasons.is_empty() {
        let place = place(problem.rule.as_deref(), problem.file.as_deref(), problem.line);
        return writeln!(out, "refused: {}{}", quote(&problem.detail), quote(&place));
    }
    writeln!(out, "refused:")?;
    for reason in &problem.reasons {
        let place = place(reason.rule.as_deref(), reason.file.as_deref(), reason.line);
        writeln!(out, "  {}{}", quote(&reason.detail), quote(&place))?;
    }
    Ok(())
}

/// Rows under a heading, aligned.
pub(super) fn table(out: &mut dyn Write, heading: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| shorten(&quote(cell))).collect()).collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width());
        cells.chain(heading.get(column).map(|cell| cell.width())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heading.len()).map(width).collect();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(cell);
            text.push_str(&" ".repeat(width.saturating_sub(cell.width()) + 2));
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(&mut heading.iter().copied())?;
    for row in &rows {
        line(&mut row.iter().map(String::as_str))?;
    }
    Ok(())
}

fn shorten(text: &str) -> String {
    let line = text.replace('\n', " ");
    if line.width() <= CELL_MAX {
        return line;
    }
    line.chars().take(CELL_MAX - 1).chain(['…']).collect()
}

fn terms(out: &mut dyn Write, terms: &Terms) -> io::Result<()> {
    for approval in &terms.approvals {
        let people = if approval.separate { "different people" } else { "people" };
        writeln!(
            out,
            "  needs `{}`: {} ({people}), within {}",
            quote(&approval.name),
            quote(&approval.quorum.join(" and ")),
            approval.answer_within
        )?;
    }
    Ok(())
}

/// Everything that an approver should read.
pub(super) fn request(out: &mut dyn Write, request: &Request) -> io::Result<()> {
    let what = match request.purpose.as_str() {
        "extend" => format!("extends {} by {}", request.window.as_deref().unwrap_or("a window"), request.lifetime),
        "statement" => "wants to run one statement".to_owned(),
        _ => format!("asks for {}", request.lifetime),
    };
    writeln!(
        out,
        "{}: {} ({}) {} on `{}` via `{}`, recorded {}",
        quote(&request.id),
        quote(&who(&request.subject)),
        quote(&request.kind),
        quote(&what),
        quote(&request.connection),
        quote(&request.grant),
        quote(&request.terms.recorded)
    )?;
    if let Some(reason) = &request.reason {
        writeln!(out, "  reason: {}", quote(reason))?;
    }
    if let Some(ticket) = &request.ticket {
        writeln!(out, "  ticket: {}", quote(ticket))?;
    }
    if let Some(held) = &request.statement {
        statement(out, held)?;
    }
    terms(out, &request.terms)?;
    for vote in &request.votes {
        writeln!(out, "  approved by {} at {}", quote(&who(&vote.subject)), quote(&vote.at))?;
    }
    Ok(())
}

/// A statement that waits: all of it, and nothing that could act on the terminal.
fn statement(out: &mut dyn Write, held: &Statement) -> io::Result<()> {
    let lines = |out: &mut dyn Write, text: &str| inert_lines(text).try_for_each(|line| writeln!(out, "    {line}"));
    writeln!(out, "  statement, in session {}:", quote(&held.session))?;
    lines(out, &held.text)?;
    for named in &held.named {
        writeln!(out, "  where `{}` is:", quote(&named.name))?;
        lines(out, &named.text)?;
    }
    for (at, parameter) in held.parameters.iter().enumerate() {
        writeln!(out, "  ${} = {}", at.saturating_add(1), quote(&parameter.words()))?;
    }
    writeln!(out, "  it would: {}", quote(&held.accesses.join(", ")))?;
    writeln!(out, "  held by: {}", quote(&held.rules.join(", ")))?;
    if held.in_transaction {
        writeln!(out, "  it waits in an open transaction, which keeps its locks")?;
    }
    match &held.released {
        Some(at) => writeln!(out, "  it ran at {}", quote(at)),
        None => Ok(()),
    }
}

fn window(out: &mut dyn Write, window: &Window, did: Did) -> io::Result<()> {
    let name = format!("{} on `{}` via `{}`", window.id, window.connection, window.grant);
    let sentence = match (did, window.state.as_str()) {
        (Did::Opened, _) => format!("opened {name}, until {}", window.ends),
        (Did::Extended, _) => format!("extended {name}, now until {}", window.ends),
        (Did::Ended, _) => format!("ended {name}, and its sessions"),
        (_, "open") => format!("{name} is open until {}", window.ends),
        (_, _) => format!("{name} is over since {}", window.ended.as_ref().map_or(&window.ends, |end| &end.at)),
    };
    writeln!(out, "{}", quote(&sentence))
}

/// What a write did.
pub(super) fn done(out: &mut dyn Write, done: &Done) -> io::Result<()> {
    if let Some(session) = &done.session {
        let sentence = if done.did == Did::Ended { "is being ended" } else { "had ended already" };
        return writeln!(out, "{} {sentence}", quote(&session.id));
    }
    if let Some(request) = done.request.as_ref().filter(|request| request.state == "pending") {
        let until = request.answer_by.as_deref().unwrap_or("?");
        writeln!(out, "{} waits for approval until {}", quote(&request.id), quote(until))?;
        terms(out, &request.terms)?;
        return writeln!(out, "  an approver runs: leasehold approve {}", quote(&request.id));
    }
    if let Some(found) = &done.window {
        return window(out, found, done.did);
    }
    match &done.request {
        Some(request) => {
            let note = request.settled.as_ref().and_then(|end| end.note.as_ref());
            let note = note.map_or(String::new(), |note| format!(": {note}"));
            writeln!(out, "{} is {}{}", quote(&request.id), quote(&request.state), quote(&note))
        }
        None => writeln!(out, "nothing changed"),
    }
}

pub(super) fn requests(out: &mut dyn Write, rows: &[Request]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no requests");
    }
    let cells = |request: &Request| {
        vec![
            request.id.clone(),
            if request.may_decide { "yours to decide".to_owned() } else { request.state.clone() },
            who(&request.subject),
            request.connection.clone(),
            request.grant.clone(),
            if request.statement.is_some() { "one statement".to_owned() } else { request.lifetime.clone() },
            request
                .answer_by
                .clone()
                .or_else(|| request.settled.as_ref().map(|end| end.at.clone()))
                .unwrap_or_default(),
            request
                .statement
                .as_ref()
                .map(|held| held.text.clone())
                .or_else(|| request.reason.clone())
                .unwrap_or_default(),
        ]
    };
    let heading = ["REQUEST", "STATE", "WHO", "CONNECTION", "GRANT", "FOR", "UNTIL", "REASON OR STATEMENT"];
    table(out, &heading, &rows.iter().map(cells).collect::<Vec<_>>())
}

pub(super) fn windows(out: &mut dyn Write, rows: &[Window]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no windows");
    }
    let cells = |window: &Window| {
        vec![
            window.id.clone(),
            window.ended.as_ref().map_or_else(|| window.state.clone(), |end| end.cause.clone()),
            who(&window.subject),
            window.connection.clone(),
            window.grant.clone(),
            window.started.clone(),
            window.ended.as_ref().map_or_else(|| window.ends.clone(), |end| end.at.clone()),
        ]
    };
    let heading = ["WINDOW", "STATE", "WHO", "CONNECTION", "GRANT", "FROM", "UNTIL"];
    table(out, &heading, &rows.iter().map(cells).collect::<Vec<_>>())
}

pub(super) fn sessions(out: &mut dyn Write, rows: &[Session]) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no sessions");
    }
    let cells = |session: &Session| {
        vec![
            session.id.clone(),
            session.closed.as_ref().map_or_else(|| session.state.clone(), |end| end.cause.clone()),
            who(&session.subject),
            session.connection.clone(),
            session.grant.clone(),
            session.started.clone(),
            session.closed.as_ref().map_or_else(|| session.ends.clone(), |end| end.at.clone()),
            session.recorded.clone(),
            session.application_name.clone().unwrap_or_default(),
        ]
    };
    let heading = ["SESSION", "STATE", "WHO", "CONNECTION", "GRANT", "FROM", "UNTIL", "RECORDED", "APPLICATION"];
    table(out, &heading, &rows.iter().map(cells).collect::<Vec<_>>())
}

pub(super) fn status(out: &mut dyn Write, status: &Status) -> io::Result<()> {
    let policy = &status.policy;
    writeln!(out, "policy     {}", quote(&policy.name))?;
    writeln!(out, "commit     {} of {}", quote(&policy.commit), quote(&policy.committed_at))?;
    writeln!(out, "digest     {}", quote(&policy.digest))?;
    match &policy.previous {
        Some(commit) => writeln!(out, "in force   since {}, after {}", quote(&policy.activated_at), quote(commit))?,
        None => writeln!(out, "in force   since {}", quote(&policy.activated_at))?,
    }
    match policy.age_seconds {
        Some(age) => writeln!(out, "confirmed  {age} s ago, {}", quote(&policy.staleness))?,
        None => writeln!(out, "confirmed  never, {}", quote(&policy.staleness))?,
    }
    match &policy.last_error {
        Some(error) => {
            let commit = error.commit.as_ref().map_or(String::new(), |commit| format!(" on {commit}"));
            writeln!(out, "FAILING    since {}{}", quote(&error.at), quote(&commit))?;
            for line in error.detail.lines() {
                writeln!(out, "           {}", quote(line))?;
            }
        }
        None if policy.failing => {
            writeln!(out, "FAILING    the gateway cannot follow its policy; it keeps the last good one")?;
        }
        None => {}
    }
    writeln!(out)?;
    if status.windows.is_empty() {
        writeln!(out, "you have no open window")?;
    } else {
        windows(out, &status.windows)?;
    }
    if !status.requests.is_empty() {
        writeln!(out)?;
        requests(out, &status.requests)?;
    }
    Ok(())
}

pub(super) fn access(out: &mut dyn Write, access: &Reachables) -> io::Result<()> {
    let kind = access.kind.as_deref().unwrap_or("refused");
    writeln!(
        out,
        "you are {} ({}), in {}",
        quote(&who(&access.subject)),
        quote(kind),
        match access.groups.as_slice() {
            [] => "no group of the policy".to_owned(),
            groups => quote(&groups.join(", ")),
        }
    )?;
    if access.connections.is_empty() {
        return writeln!(out, "no grant gives you access to anything");
    }
    for reach in &access.connections {
        writeln!(out, "\n{} ({})", quote(&reach.connection), quote(&reach.kind))?;
        for grant in &reach.grants {
            let how = if grant.mode == "standing" { "always open, sessions of" } else { "on request for" };
            writeln!(
                out,
                "  {}: {how} {}, {}",
                quote(&grant.grant),
                quote(&grant.terms.lifetime),
                quote(&grant.permits.join(" "))
            )?;
            terms(out, &grant.terms)?;
            if grant.terms.reason {
                writeln!(out, "  needs a reason")?;
            }
            for ticket in &grant.terms.tickets {
                writeln!(out, "  needs a ticket that matches {}", quote(ticket))?;
            }
            if let Some(unserved) = &grant.unserved {
                writeln!(out, "  but {}", quote(&unserved.detail))?;
            }
        }
        for miss in &reach.misses {
            let rule = miss.rule.as_ref().map_or(String::new(), |rule| format!(" ({rule})"));
            writeln!(out, "  not now: {}{}", quote(&miss.detail), quote(&rule))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned_and_inert() {
        let mut out = Vec::new();
        let rows =
            vec![vec!["a".to_owned(), "\u{1b}[31mred\u{7}".to_owned()], vec!["long name".to_owned(), "x".repeat(100)]];
        table(&mut out, &["ONE", "TWO"], &rows).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ONE        TWO");
        assert!(lines[1].starts_with("a          "), "{text}");
        assert!(lines[2].ends_with('…'), "{text}");
    }
}
