//! Sessions: found by who, where, when, how they ended and what they touched; shown, and ended.

use super::html::{Html, html};
use super::{Answer, Failed, Form, Look, State, page, redirect, replay};
use crate::access::{Filter, Refused};
use crate::api::view::Session;
use crate::core::id::SessionId;
use crate::core::machine::Cause;
use crate::gateway::clock;
use crate::recording::find::FindError;
use crate::recording::index::Search;
use axum::extract::{Path, State as Extracted};
use lang::time::Timestamp;

/// The most sessions that a search of statements shows.
const FOUND_MAX: u32 = 200;
/// What the next part of a list keeps of a search.
const KEPT: [&str; 6] = ["connection", "state", "ended", "who", "from", "until"];

fn day(text: Option<&str>, end: bool) -> Option<Timestamp> {
    let text = text?;
    let stamp = format!("{text}T{}Z", if end { "23:59:59" } else { "00:00:00" });
    jiff_instant(&stamp)
}

fn jiff_instant(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp::from_unix_ms(at.as_millisecond()))
}

/// What a search asks of sessions, and what of their statements.
struct Asked {
    filter: Filter,
    /// Nothing, where statements play no part.
    statements: Option<Search>,
}

impl Asked {
    fn of(look: &Look) -> Self {
        let text = |name: &str| look.get(name).map(str::to_owned);
        let filter = Filter {
            connection: text("connection"),
            open: look.get("state") == Some("live"),
            ended: text("ended"),
            who: text("who"),
            from: day(look.get("from"), false),
            until: day(look.get("until"), true),
            after: text("cursor"),
            ..Filter::default()
        };
        let (table, outcome) = (text("table"), text("statements"));
        let statements = (table.is_some() || outcome.is_some()).then(|| Search {
            who: filter.who.clone(),
            connection: filter.connection.clone(),
            table,
            outcome,
            since: filter.from,
            until: filter.until,
            limit: FOUND_MAX,
            ..Search::default()
        });
        Self { filter, statements }
    }
}

/// A row, with the first statement that was looked for, without its constants.
struct Row {
    session: Session,
    matches: Option<(i64, String)>,
}

pub(super) async fn list(Extracted(state): Extracted<State>, look: Look) -> Answer {
    let access = &state.api.access;
    let asked = Asked::of(&look);
    let mut body = Html::new();
    search(&mut body, &look);
    let (rows, next) = match asked.statements {
        None => {
            let listed = access.sessions(look.identity(), &asked.filter, clock::now()).await?;
            let rows = listed.items.iter().map(|session| Row { session: Session::of(session), matches: None });
            (rows.collect::<Vec<_>>(), listed.next)
        }
        Some(search) => match by_statements(&state, &look, &asked.filter, search).await? {
            Ok(rows) => (rows, None),
            Err(error) => {
                html!(body, "<div role=\"alert\" class=\"problem\"><p>{}.</p></div>\n", error);
                (Vec::new(), None)
            }
        },
    };
    table(&mut body, &rows);
    if let Some(next) = &next {
        let mut query = format!("cursor={}", super::escape_query(next));
        for (name, value) in KEPT.iter().filter_map(|name| Some((name, look.get(name)?))) {
            query.extend(["&", name, "=", &super::escape_query(value)]);
        }
        html!(body, "<p><a rel=\"next\" href=\"/sessions?{}\">Older ones</a></p>\n", query);
    }
    Ok(page::whole("Sessions", &look.visit, "/sessions", &body))
}

/// The sessions whose recordings hold what is looked for, as far as the reader may replay them.
async fn by_statements(
    state: &State,
    look: &Look,
    filter: &Filter,
    mut search: Search,
) -> Result<Result<Vec<Row>, FindError>, Failed> {
    let access = &state.api.access;
    search.scope = Some(access.replayable(look.identity())?);
    let found = match state.api.recorder.find(search).await {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    let mut rows = Vec::new();
    for found in found {
        let Some(id) = SessionId::parse(&found.session) else { continue };
        // The scope is a hint for the index: who may read a recording is decided here.
        let stored = match access.recorded_session(look.identity(), &id).await {
            Ok(stored) => stored,
            Err(Refused::NotFound(_) | Refused::Forbidden(_)) => continue,
            Err(other) => return Err(other.into()),
        };
        if filter.fits(&stored) && (!filter.open || stored.closed.is_none()) {
            let text = found.text.unwrap_or_default();
            rows.push(Row { session: Session::of(&stored), matches: Some((found.statements, text)) });
        }
    }
    Ok(Ok(rows))
}

fn table(body: &mut Html, rows: &[Row]) {
    if rows.is_empty() {
        html!(body, "<p class=\"empty\">No session that you may see fits.</p>\n");
        return;
    }
    let statements = rows.iter().any(|row| row.matches.is_some());
    html!(
        body,
        "<table><caption>Sessions, newest first</caption>\n<thead><tr><th scope=\"col\">Session</th>\
         <th scope=\"col\">Who</th><th scope=\"col\">Connection</th><th scope=\"col\">Began</th>\
         <th scope=\"col\">State</th><th scope=\"col\">{}</th></tr></thead>\n<tbody>\n",
        if statements { "Statements" } else { "Reason" }
    );
    for Row { session, matches } in rows {
        html!(
            body,
            "<tr><th scope=\"row\"><a href=\"/sessions/{}\">{}</a></th><td>{}</td><td>{}</td><td>",
            session.id,
            session.id,
            page::who(&session.subject),
            session.connection
        );
        body.add(&page::instant(&session.started));
        let ended = session.closed.as_ref().map_or("live", |end| end.cause.as_str());
        html!(body, "</td><td><span class=\"state {}\">{}</span>", session.state, ended);
        if session.state == "live" {
            html!(body, ", ");
            body.add(&page::until(&session.ends));
            html!(body, " left");
        }
        match matches {
            Some((count, text)) => html!(body, "</td><td>{}: <code>{}</code></td></tr>\n", count, text),
            None => html!(body, "</td><td>{}</td></tr>\n", session.reason.as_deref().unwrap_or("")),
        }
    }
    html!(body, "</tbody></table>\n");
    if rows.len() >= FOUND_MAX as usize {
        html!(body, "<p class=\"note\">Only the newest {} are shown; narrow the search.</p>\n", FOUND_MAX);
    }
}

fn search(body: &mut Html, look: &Look) {
    html!(body, "<form method=\"get\" action=\"/sessions\" role=\"search\" class=\"search\">\n");
    for (name, label, kind, hint) in [
        ("who", "Who", "search", ""),
        ("connection", "Connection", "text", ""),
        ("table", "Table", "search", "public.orders"),
        ("from", "From", "date", ""),
        ("until", "Until", "date", ""),
    ] {
        html!(
            body,
            "<label>{} <input type=\"{}\" name=\"{}\" value=\"{}\" placeholder=\"{}\"></label>\n",
            label,
            kind,
            name,
            look.get(name).unwrap_or(""),
            hint
        );
    }
    let ends: Vec<(&str, &str)> = Cause::ALL.iter().map(|cause| (cause.word(), cause.word())).collect();
    choice(body, look, "ended", "Ended by", &ends);
    choice(
        body,
        look,
        "statements",
        "With a statement",
        &[("denied", "denied"), ("held", "held"), ("allowed", "allowed")],
    );
    let live = look.get("state") == Some("live");
    html!(body, "<label class=\"check\"><input type=\"checkbox\" name=\"state\" value=\"live\"");
    if live {
        html!(body, " checked");
    }
    html!(body, "> Live only</label>\n<button>Search</button></form>\n");
}

fn choice(body: &mut Html, look: &Look, name: &str, label: &str, all: &[(&str, &str)]) {
    html!(body, "<label>{} <select name=\"{}\"><option value=\"\">any</option>", label, name);
    for (value, word) in all {
        html!(body, "<option value=\"{}\"", value);
        if look.get(name) == Some(*value) {
            html!(body, " selected");
        }
        html!(body, ">{}</option>", word);
    }
    html!(body, "</select></label>\n");
}

pub(super) async fn one(Extracted(state): Extracted<State>, Path(id): Path<String>, look: Look) -> Answer {
    let access = &state.api.access;
    let id = SessionId::parse(&id).ok_or_else(Failed::not_found)?;
    let stored = access.one_session(look.identity(), &id).await?;
    let caller = access.caller(look.identity())?;
    let session = Session::of(&stored);
    let live = stored.closed.is_none();
    let mut body = Html::new();
    html!(body, "<div class=\"row\"><span class=\"state {}\">{}</span>", session.state, session.state);
    if live {
        html!(body, "<span>");
        body.add(&page::until(&session.ends));
        html!(body, " left</span>");
        let action = format!("/sessions/{id}/terminate");
        body.add(&page::button(&look.visit, &action, "Terminate", "danger", &Html::new()));
    }
    html!(body, "</div>\n<dl>\n");
    page::fact(&mut body, "Who", &format!("{} ({})", page::who(&session.subject), session.kind));
    page::fact(&mut body, "Connection", &format!("{} via {}", session.connection, session.grant));
    page::fact_html(&mut body, "Began", &page::instant(&session.started));
    if let Some(closed) = &session.closed {
        let note = closed.note.as_deref().unwrap_or("");
        page::fact(&mut body, "Ended", &format!("{} ({}) {note}", closed.at, closed.cause));
    }
    for (name, value) in [
        ("Reason", &session.reason),
        ("Ticket", &session.ticket),
        ("Window", &session.window),
        ("Application", &session.application_name),
        ("Trace", &session.trace),
    ] {
        if let Some(value) = value {
            page::fact(&mut body, name, value);
        }
    }
    page::fact(&mut body, "Client", &session.peer);
    page::fact(&mut body, "Recorded", &session.recorded);
    page::fact(&mut body, "Policy commit", &session.commit);
    html!(body, "</dl>\n");
    if caller.follows(&stored) {
        replay::player(&mut body, &id, live);
    } else {
        html!(body, "<p class=\"note\">No `operate` rule lets you see what runs in this session.</p>\n");
    }
    Ok(page::whole(&format!("Session {id}"), &look.visit, "/sessions", &body))
}

pub(super) async fn terminate(Extracted(state): Extracted<State>, Path(id): Path<String>, form: Form) -> Answer {
    let id = SessionId::parse(&id).ok_or_else(Failed::not_found)?;
    state.api.access.terminate(form.identity(), &id, None, clock::now()).await?;
    Ok(redirect(&format!("/sessions/{id}")))
}
