//! Sessions: found, followed, ended, replayed.
//!
//! What was recorded is handed to the script as JSON whose texts are inert, and the script writes it as text.

use super::html::{Html, html};
use super::{Answer, Failed, Form, Look, State, page, redirect};
use crate::access::Filter;
use crate::api::view::Session;
use crate::core::id::SessionId;
use crate::gateway::clock;
use crate::recording::inert::write_json;
use crate::recording::read::Reader;
use crate::recording::transcript::Transcript;
use crate::recording::{self};
use axum::extract::{Path, State as Extracted};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use lang::time::Timestamp;
use std::io;
use std::path::Path as File;

/// Steps of one answer.
const STEPS_MAX: usize = 500;
/// Bytes of one answer.
const BYTES_MAX: usize = 1 << 20;

fn day(text: Option<&str>, end: bool) -> Option<Timestamp> {
    let text = text?;
    let stamp = format!("{text}T{}Z", if end { "23:59:59" } else { "00:00:00" });
    jiff_instant(&stamp)
}

fn jiff_instant(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>().ok().map(|at| Timestamp::from_unix_ms(at.as_millisecond()))
}

pub(super) async fn list(Extracted(state): Extracted<State>, look: Look) -> Answer {
    let access = &state.api.access;
    let filter = Filter {
        connection: look.get("connection").map(str::to_owned),
        open: look.get("state") == Some("live"),
        who: look.get("who").map(str::to_owned),
        from: day(look.get("from"), false),
        until: day(look.get("until"), true),
        after: look.get("cursor").map(str::to_owned),
        ..Filter::default()
    };
    let listed = access.sessions(look.identity(), &filter, clock::now()).await?;
    let mut body = Html::new();
    search(&mut body, &look);
    html!(
        body,
        "<table><caption>Sessions, newest first</caption>\n<thead><tr><th scope=\"col\">Session</th>\
         <th scope=\"col\">Who</th><th scope=\"col\">Connection</th><th scope=\"col\">Began</th>\
         <th scope=\"col\">State</th><th scope=\"col\">Reason</th></tr></thead>\n<tbody>\n"
    );
    for session in listed.items.iter().map(Session::of) {
        html!(
            body,
            "<tr><th scope=\"row\"><a href=\"/sessions/{}\">{}</a></th><td>{}</td><td>{}</td><td>",
            session.id,
            session.id,
            page::who(&session.subject),
            session.connection
        );
        body.add(&page::instant(&session.started));
        html!(body, "</td><td><span class=\"state {}\">{}</span>", session.state, session.state);
        if session.state == "live" {
            html!(body, ", ");
            body.add(&page::until(&session.ends));
            html!(body, " left");
        }
        html!(body, "</td><td>{}</td></tr>\n", session.reason.as_deref().unwrap_or(""));
    }
    html!(body, "</tbody></table>\n");
    if listed.items.is_empty() {
        html!(body, "<p class=\"empty\">No session that you may see fits.</p>\n");
    }
    if let Some(next) = &listed.next {
        let kept = ["connection", "state", "who", "from", "until"];
        let mut query = format!("cursor={}", super::escape_query(next));
        for (name, value) in kept.iter().filter_map(|name| Some((name, look.get(name)?))) {
            query.extend(["&", name, "=", &super::escape_query(value)]);
        }
        html!(body, "<p><a rel=\"next\" href=\"/sessions?{}\">Older ones</a></p>\n", query);
    }
    Ok(page::whole("Sessions", &look.visit, "/sessions", &body))
}

fn search(body: &mut Html, look: &Look) {
    html!(body, "<form method=\"get\" action=\"/sessions\" role=\"search\" class=\"search\">\n");
    for (name, label, kind) in [
        ("who", "Who", "search"),
        ("connection", "Connection", "text"),
        ("from", "From", "date"),
        ("until", "Until", "date"),
    ] {
        html!(
            body,
            "<label>{} <input type=\"{}\" name=\"{}\" value=\"{}\"></label>\n",
            label,
            kind,
            name,
            look.get(name).unwrap_or("")
        );
    }
    let live = look.get("state") == Some("live");
    html!(body, "<label class=\"check\"><input type=\"checkbox\" name=\"state\" value=\"live\"");
    if live {
        html!(body, " checked");
    }
    html!(body, "> Live only</label>\n<button>Search</button></form>\n");
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
        player(&mut body, &id, live);
    } else {
        html!(body, "<p class=\"note\">No `operate` rule lets you see what runs in this session.</p>\n");
    }
    Ok(page::whole(&format!("Session {id}"), &look.visit, "/sessions", &body))
}

fn player(body: &mut Html, id: &SessionId, live: bool) {
    html!(
        body,
        "<section id=\"replay\" aria-labelledby=\"replay-title\" data-events=\"/sessions/{}/events\" data-live=\"{}\">\n\
         <h2 id=\"replay-title\">{}</h2>\n",
        id,
        live,
        if live { "Live" } else { "Replay" }
    );
    html!(
        body,
        "<div class=\"controls\"><button type=\"button\" id=\"play\">Play</button>\
         <label for=\"timeline\">Timeline</label>\
         <input type=\"range\" id=\"timeline\" min=\"0\" max=\"0\" value=\"0\" step=\"1\">\
         <output id=\"clock\" for=\"timeline\">0 s</output>\
         <label for=\"speed\">Speed</label><select id=\"speed\"><option value=\"1\">1×</option>\
         <option value=\"4\">4×</option><option value=\"16\">16×</option></select>\
         <label class=\"check\"><input type=\"checkbox\" id=\"rows\" checked> Rows</label></div>\n\
         <noscript><p>The replay needs the console's script; `leasehold replay` shows the same.</p></noscript>\n\
         <ol id=\"steps\" tabindex=\"0\" aria-label=\"What happened\"></ol>\n\
         <p id=\"replay-state\" role=\"status\"></p>\n</section>\n"
    );
}

pub(super) async fn events(Extracted(state): Extracted<State>, Path(id): Path<String>, look: Look) -> Answer {
    let access = &state.api.access;
    let id = SessionId::parse(&id).ok_or_else(Failed::not_found)?;
    let stored = access.one_session(look.identity(), &id).await?;
    if !access.caller(look.identity())?.follows(&stored) {
        let sentence = "No `operate` rule lets you see what runs in this session.";
        return Err(Failed::new(axum::http::StatusCode::FORBIDDEN, "Refused", sentence));
    }
    let after: usize = look.get("after").and_then(|after| after.parse().ok()).unwrap_or(0);
    if after == 0 {
        tracing::info!(session = %id, by = %look.identity().subject, live = stored.closed.is_none(), "a session is watched");
    }
    let folder = state.api.recorder.folder().to_owned();
    let (named, live) = (id.clone(), stored.closed.is_none());
    let read = tokio::task::spawn_blocking(move || read(&folder, &named, after, live)).await;
    let unavailable = || {
        Failed::new(
            axum::http::StatusCode::SERVICE_UNAVAILABLE,
            "Not available now",
            "The recording is not on this gateway, or cannot be read now.",
        )
    };
    match read {
        Ok(Ok(Some(json))) => Ok(([(CONTENT_TYPE, "application/json")], json).into_response()),
        Ok(Ok(None)) | Err(_) => Err(unavailable()),
        Ok(Err(error)) => {
            tracing::error!(session = %id, %error, "a recording cannot be read");
            Err(unavailable())
        }
    }
}

/// Steps after a number of them, as JSON: `{"steps": […], "next": N, "more": bool, "live": bool, "problem": …}`.
fn read(recordings: &File, id: &SessionId, after: usize, live: bool) -> io::Result<Option<Vec<u8>>> {
    let Some(folder) = recording::find(recordings, id)? else { return Ok(None) };
    let mut reader = Reader::open(&folder, None).map_err(io::Error::other)?;
    let mut transcript = Transcript::default();
    let (mut steps, mut seen, mut given, mut more) = (Vec::new(), 0_usize, 0_usize, false);
    let mut problem = None;
    let mut out: Vec<u8> = b"{\"steps\":[".to_vec();
    'all: loop {
        let entry = match reader.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            // A live recording is written while it is read; its tail may be half there.
            Err(error) => {
                problem = (!live).then(|| error.to_string());
                break;
            }
        };
        transcript.push(entry, &mut steps);
        for step in steps.drain(..) {
            seen += 1;
            if seen <= after {
                continue;
            }
            if given >= STEPS_MAX || out.len() > BYTES_MAX {
                more = true;
                break 'all;
            }
            if given > 0 {
                out.push(b',');
            }
            write_json(&mut out, &step)?;
            given += 1;
        }
    }
    out.extend_from_slice(b"],");
    let tail =
        serde_json::json!({ "next": after.saturating_add(given), "more": more, "live": live, "problem": problem });
    let tail = tail.to_string();
    out.extend_from_slice(tail.strip_prefix('{').unwrap_or("}").as_bytes());
    Ok(Some(out))
}

pub(super) async fn terminate(Extracted(state): Extracted<State>, Path(id): Path<String>, form: Form) -> Answer {
    let id = SessionId::parse(&id).ok_or_else(Failed::not_found)?;
    state.api.access.terminate(form.identity(), &id, None, clock::now()).await?;
    Ok(redirect(&format!("/sessions/{id}")))
}
