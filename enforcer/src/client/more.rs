//! Commands that look after break-glass, the history and the gateway's notices, and the one that follows sessions.

use super::commands::{Format, Shell, Stop, parts};
use super::connect::Api;
use crate::api::after::{Event, Notice, Review, Reviewed};
use crate::api::view::{List, Session, Subject};
use crate::recording::inert::inert;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// Reviews and notices that one command shows.
const ROWS_MAX: u32 = 1_000;
/// Between two looks at what is live.
const LOOK_EVERY: Duration = Duration::from_secs(1);

fn who(subject: &Subject) -> String {
    inert(subject.name.as_deref().unwrap_or(&subject.id)).into_owned()
}

fn review(out: &mut dyn Write, review: &Review) -> io::Result<()> {
    writeln!(
        out,
        "{}  {}  {} used `{}` on `{}`; {}, due {}{}",
        inert(&review.window),
        inert(&review.state),
        who(&review.subject),
        inert(&review.grant),
        inert(&review.connection),
        inert(&review.quorum),
        inert(&review.due),
        if review.may_review { "  <- yours" } else { "" }
    )?;
    for verdict in &review.verdicts {
        let word = if verdict.concern { "concern" } else { "in order" };
        let note = verdict.note.as_deref().unwrap_or("");
        writeln!(out, "  {word}, {} at {}: {}", who(&verdict.subject), inert(&verdict.at), inert(note))?;
    }
    Ok(())
}

pub(super) async fn reviews(api: &Api, shell: &mut Shell<'_>, all: bool) -> Result<u8, Stop> {
    let query = [("state", if all { "all" } else { "open" }.to_owned())];
    let all: Vec<Review> = parts(api, "reviews", &query, ROWS_MAX).await?;
    shell.answer(&all, |out, rows| {
        if rows.is_empty() {
            writeln!(out, "no review")?;
        }
        rows.iter().try_for_each(|row| review(out, row))
    })?;
    Ok(0)
}

pub(super) async fn say(
    api: &Api,
    shell: &mut Shell<'_>,
    id: &str,
    concern: bool,
    note: Option<&str>,
) -> Result<u8, Stop> {
    let mut body = json!({ "concern": concern });
    if let (Some(note), Some(members)) = (note, body.as_object_mut()) {
        members.insert("note".to_owned(), note.into());
    }
    let done: Reviewed = api.post(&["v1", "windows", id, "review"], &body).await?;
    shell.answer(&done, |out, done| review(out, &done.review))?;
    Ok(0)
}

pub(super) async fn audit(api: &Api, shell: &mut Shell<'_>, limit: u32) -> Result<u8, Stop> {
    let all: Vec<Event> = parts(api, "audit", &[], limit).await?;
    shell.answer(&all, |out, all| {
        all.iter().try_for_each(|event| {
            let by = event.actor.as_ref().map_or_else(|| "-".to_owned(), who);
            let on = event.connection.as_deref().unwrap_or("-");
            writeln!(
                out,
                "{:>8}  {}  {:<24} {:<42} {:<16} {by}",
                event.seq,
                event.at,
                event.event,
                inert(&event.about),
                inert(on)
            )
        })
    })?;
    Ok(0)
}

pub(super) async fn notices(api: &Api, shell: &mut Shell<'_>, retry: Option<&str>) -> Result<u8, Stop> {
    if let Some(id) = retry {
        let done: serde_json::Value = api.post(&["v1", "notices", id, "retry"], &json!({})).await?;
        shell.answer(&done, |out, _| writeln!(out, "{} is tried again", inert(id)))?;
        return Ok(0);
    }
    let all: Vec<Notice> = parts(api, "notices", &[], ROWS_MAX).await?;
    shell.answer(&all, |out, rows| {
        if rows.is_empty() {
            writeln!(out, "every notice was taken")?;
        }
        rows.iter().try_for_each(|row| {
            let error = row.error.as_deref().unwrap_or("");
            writeln!(
                out,
                "{}  {} about {} to {}: {}",
                row.id,
                inert(&row.kind),
                inert(&row.about),
                inert(&row.channel),
                inert(error)
            )
        })
    })?;
    Ok(0)
}

/// Says what begins and ends, until it is interrupted.
pub(super) async fn follow(api: &Api, shell: &mut Shell<'_>, connection: Option<&str>) -> Result<u8, Stop> {
    let mut live: BTreeMap<String, Session> = BTreeMap::new();
    loop {
        let mut query = vec![("state", "open".to_owned()), ("limit", "200".to_owned())];
        query.extend(connection.map(|name| ("connection", name.to_owned())));
        match api.get::<List<Session>>(&["v1", "sessions"], &query).await {
            Ok(list) => {
                let now: BTreeMap<String, Session> =
                    list.items.into_iter().map(|session| (session.id.clone(), session)).collect();
                for (id, session) in &now {
                    if !live.contains_key(id) {
                        say_session(shell, "began", session)?;
                    }
                }
                for (id, session) in &live {
                    if !now.contains_key(id) {
                        let ended = api.get::<Session>(&["v1", "sessions", id], &[]).await;
                        say_session(shell, "ended", ended.as_ref().unwrap_or(session))?;
                    }
                }
                live = now;
            }
            // A gateway that is away for a moment is waited for.
            Err(super::connect::Failure::Unavailable(sentence)) => writeln!(shell.notes, "{}", inert(&sentence))?,
            Err(failure) => return Err(failure.into()),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn say_session(shell: &mut Shell<'_>, what: &str, session: &Session) -> io::Result<()> {
    match shell.format {
        Format::Json => {
            let line = json!({ "event": what, "session": session });
            writeln!(shell.out, "{line}")?;
        }
        Format::Human => {
            let why = session.closed.as_ref().and_then(|end| end.note.as_deref()).unwrap_or("");
            writeln!(
                shell.out,
                "{} {what}: {} on `{}` via `{}`  {}",
                inert(&session.id),
                who(&session.subject),
                inert(&session.connection),
                inert(&session.grant),
                inert(why)
            )?;
        }
    }
    shell.out.flush()
}
