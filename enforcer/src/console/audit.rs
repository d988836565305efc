//! `/audit`: the history, as far as the reader may see it.

use super::html::{Html, html};
use super::{Answer, Look, State, page};
use crate::access::Filter;
use crate::api::after::{Event, Notice};
use crate::store::NoticeState;
use axum::extract::State as Extracted;

pub(super) async fn page(Extracted(state): Extracted<State>, look: Look) -> Answer {
    let access = &state.api.access;
    let cursor = look.get("cursor").and_then(|cursor| cursor.parse().ok());
    let listed = access.audit(look.identity(), cursor, 100).await?;
    let mut body = Html::new();
    if let Ok(dead) = access.notices(look.identity(), NoticeState::Dead, &Filter::default()).await
        && !dead.items.is_empty()
    {
        html!(body, "<section class=\"problem\"><h2>Notices that no channel took</h2>\n<ul>\n");
        for notice in dead.items.iter().map(Notice::of) {
            let error = notice.error.as_deref().unwrap_or("");
            html!(body, "<li>{} about {} to {}: {}</li>\n", notice.kind, notice.about, notice.channel, error);
        }
        html!(body, "</ul></section>\n");
    }
    html!(
        body,
        "<table><caption>History, newest first</caption>\n<thead><tr><th scope=\"col\">#</th><th scope=\"col\">When</th>\
         <th scope=\"col\">What</th><th scope=\"col\">About</th><th scope=\"col\">Connection</th>\
         <th scope=\"col\">By</th></tr></thead>\n<tbody>\n"
    );
    for event in listed.items.iter().map(Event::of) {
        html!(body, "<tr><th scope=\"row\">{}</th><td>", event.seq);
        body.add(&page::instant(&event.at));
        html!(body, "</td><td>{}</td><td>", event.event);
        about(&mut body, &event.about);
        let by = event.actor.as_ref().map_or("time or policy", page::who);
        html!(body, "</td><td>{}</td><td>{}</td></tr>\n", event.connection.as_deref().unwrap_or(""), by);
    }
    html!(body, "</tbody></table>\n");
    if let Some(next) = &listed.next {
        html!(body, "<p><a rel=\"next\" href=\"/audit?cursor={}\">Older entries</a></p>\n", next);
    }
    Ok(page::whole("Audit log", &look.visit, "/audit", &body))
}

fn about(body: &mut Html, id: &str) {
    let place = [("req_", "requests"), ("win_", "windows"), ("ses_", "sessions")];
    match place.iter().find(|(prefix, _)| id.starts_with(prefix)) {
        Some((_, place)) => html!(body, "<a href=\"/{}/{}\">{}</a>", place, id, id),
        None => html!(body, "<code>{}</code>", id),
    }
}
