//! What was recorded of a session, for the script: followed while it is written, replayed along a timeline after it.
//!
//! It is handed over as JSON whose texts are inert, and the script writes it as text.

use super::html::{Html, html};
use super::{Answer, Failed, Look, State};
use crate::core::id::SessionId;
use crate::recording;
use crate::recording::inert::write_json;
use crate::recording::read::Reader;
use crate::recording::transcript::Transcript;
use axum::extract::{Path, State as Extracted};
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use std::io;
use std::path::Path as File;

/// Steps of one answer.
const STEPS_MAX: usize = 500;
/// Bytes of one answer.
const BYTES_MAX: usize = 1 << 20;
/// What is said of what only its recipients can read.
const ENCRYPTED: &str = "This recording is encrypted for recipients whose keys this gateway does not hold: only how the \
                         session began and ended can be shown here. Whoever holds a key reads the rest with \
                         `leasehold replay SESSION --identity FILE`.";

pub(super) fn player(body: &mut Html, id: &SessionId, live: bool) {
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
            Ok(None) => {
                problem = (reader.hidden() > 0).then(|| ENCRYPTED.to_owned());
                break;
            }
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
