//! `/`: what I hold, what I can reach, what I have asked for; and the form that asks.

use super::html::{Html, html};
use super::visit::Visit;
use super::{Answer, Failed, Form, Look, State, page, redirect};
use crate::access::{Asking, Did, Filter};
use crate::api::view::{Reachable, Reachables, Request, Window};
use crate::gateway::clock;
use axum::extract::State as Extracted;
use axum::response::Response;
use lang::time::Ttl;

pub(super) async fn page(Extracted(state): Extracted<State>, look: Look) -> Answer {
    let (access, identity, now) = (&state.api.access, look.identity(), clock::now());
    let caller = access.caller(identity)?;
    let at = access.instant(now);
    let mine = Filter { mine: true, open: true, ..Filter::default() };
    let windows = access.windows(identity, &mine, now).await?;
    let requests = access.requests(identity, &mine, now).await?;
    let windows: Vec<Window> = windows.items.iter().map(|window| Window::of(window, at)).collect();
    let requests: Vec<Request> = requests.items.iter().map(|request| Request::of(&caller, request, at)).collect();
    let reach = Reachables::of(&caller, &access.reach(identity, None, now)?);
    let mut body = Html::new();
    html!(body, "<section aria-labelledby=\"held\"><h2 id=\"held\">Open now</h2>\n");
    if windows.is_empty() {
        html!(body, "<p class=\"empty\">You hold no window.</p>\n");
    }
    for window in &windows {
        held(&mut body, &look.visit, window);
    }
    html!(body, "</section>\n");
    if !requests.is_empty() {
        html!(body, "<section>\n");
        page::requests(&mut body, "Waiting for people", &requests);
        html!(body, "</section>\n");
    }
    html!(body, "<section aria-labelledby=\"reach\"><h2 id=\"reach\">Ask for access</h2>\n");
    if reach.connections.is_empty() {
        html!(body, "<p class=\"empty\">No grant concerns you.</p>\n");
    }
    for reachable in &reach.connections {
        connection(&mut body, &look.visit, reachable);
    }
    html!(body, "</section>\n<p class=\"note\">Your groups: {}</p>\n", reach.groups.join(", "));
    Ok(page::whole("My access", &look.visit, "/", &body))
}

fn held(body: &mut Html, visit: &Visit, window: &Window) {
    html!(
        body,
        "<article class=\"card open\"><h3><a href=\"/windows/{}\">{}</a></h3><p>via {}, ",
        window.id,
        window.connection,
        window.grant
    );
    body.add(&page::until(&window.ends));
    html!(body, " left</p>\n<div class=\"row\">");
    body.add(&page::button(visit, &format!("/windows/{}/extend", window.id), "Extend", "quiet", &Html::new()));
    body.add(&page::button(visit, &format!("/windows/{}/revoke", window.id), "End now", "danger", &Html::new()));
    html!(body, "</div></article>\n");
}

fn connection(body: &mut Html, visit: &Visit, reachable: &Reachable) {
    html!(body, "<article class=\"card\"><h3>{} <small>{}</small></h3>\n", reachable.connection, reachable.kind);
    for grant in &reachable.grants {
        html!(body, "<details><summary>{}: {}", grant.grant, grant.permits.join(", "));
        let people = grant.terms.approvals.len();
        if grant.mode == "standing" {
            html!(body, " <span class=\"state approved\">standing</span></summary>\n");
            html!(body, "<p>Connect as it is: no request is needed.</p></details>\n");
            continue;
        }
        html!(
            body,
            " <span class=\"state\">{}, {}</span></summary>\n",
            grant.terms.lifetime,
            if people == 0 { "the policy decides" } else { "people decide" }
        );
        if let Some(reason) = &grant.unserved {
            html!(body, "<p class=\"problem\">{}</p></details>\n", reason.detail);
            continue;
        }
        html!(body, "<dl>\n");
        page::terms(body, &grant.terms);
        html!(body, "</dl>\n");
        ask_form(body, visit, &reachable.connection, grant);
        html!(body, "</details>\n");
    }
    for miss in &reachable.misses {
        html!(body, "<p class=\"note\">{}</p>\n", miss.detail);
    }
    html!(body, "</article>\n");
}

fn ask_form(body: &mut Html, visit: &Visit, connection: &str, grant: &crate::api::view::ReachableGrant) {
    let id = format!("{connection}-{}", grant.grant);
    html!(
        body,
        "<form method=\"post\" action=\"/requests\" class=\"ask\">\
         <input type=\"hidden\" name=\"form\" value=\"{}\"><input type=\"hidden\" name=\"connection\" value=\"{}\">\
         <input type=\"hidden\" name=\"via\" value=\"{}\">\n",
        visit.form_token,
        connection,
        grant.grant
    );
    html!(body, "<label for=\"reason-{}\">Reason{}</label>", id, if grant.terms.reason { "" } else { " (optional)" });
    html!(body, "<textarea id=\"reason-{}\" name=\"reason\" rows=\"2\" maxlength=\"2000\"", id);
    if grant.terms.reason {
        html!(body, " required");
    }
    html!(body, "></textarea>\n");
    html!(
        body,
        "<label for=\"ticket-{}\">Ticket{}</label>",
        id,
        if grant.terms.tickets.is_empty() {
            " (optional)".to_owned()
        } else {
            format!(" ({})", grant.terms.tickets.join(" and "))
        }
    );
    html!(body, "<input id=\"ticket-{}\" name=\"ticket\" maxlength=\"200\"", id);
    if !grant.terms.tickets.is_empty() {
        html!(body, " required");
    }
    html!(body, ">\n<label for=\"lifetime-{}\">Shorter than {} (optional)</label>", id, grant.terms.lifetime);
    html!(body, "<input id=\"lifetime-{}\" name=\"lifetime\" placeholder=\"10m\" maxlength=\"20\">\n", id);
    html!(body, "<button>Ask for {}</button></form>\n", connection);
}

pub(super) async fn ask(Extracted(state): Extracted<State>, mut form: Form) -> Answer {
    let invalid = |sentence: String| Failed::new(axum::http::StatusCode::BAD_REQUEST, "Not understood", sentence);
    let lifetime = form.take("lifetime").map(|text| Ttl::parse(text.trim())).transpose();
    let asking = Asking {
        connection: form.take("connection").ok_or_else(|| invalid("Name a connection.".to_owned()))?,
        via: form.take("via"),
        reason: form.take("reason"),
        ticket: form.take("ticket"),
        lifetime: lifetime.map_err(|error| invalid(format!("The length of time: {error}")))?,
    };
    let outcome = state.api.access.request(form.identity(), asking, None, clock::now()).await?;
    Ok(after(outcome.did, outcome.request.as_ref().map(|request| request.id.as_str())))
}

fn after(did: Did, request: Option<&str>) -> Response {
    match (did, request) {
        (Did::Asked | Did::Nothing, Some(id)) => redirect(&format!("/requests/{id}")),
        (
            Did::Asked
            | Did::Opened
            | Did::Released
            | Did::Counted
            | Did::Extended
            | Did::Denied
            | Did::Withdrawn
            | Did::Ended
            | Did::Reviewed
            | Did::HoldSet
            | Did::HoldLifted
            | Did::Nothing,
            _,
        ) => redirect("/"),
    }
}
