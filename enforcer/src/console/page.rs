//! The frame of every page, and the pieces that several pages share.

use super::html::{Html, html};
use super::visit::Visit;
use crate::api::view::{Request, Subject, Terms};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

/// The places of the menu.
const MENU: [(&str, &str); 5] = [
    ("/", "My access"),
    ("/approvals", "Approvals"),
    ("/sessions", "Sessions"),
    ("/policy", "Policy"),
    ("/audit", "Audit log"),
];

fn frame(title: &str, visit: Option<&Visit>, here: &str, body: &Html) -> Html {
    let mut out = Html::new();
    html!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{} · Leasehold</title>\n\
         <link rel=\"stylesheet\" href=\"/assets/console.css\">\n\
         <script src=\"/assets/console.js\" defer></script>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#main\">Skip to content</a>\n<header>\n<a class=\"brand\" href=\"/\">Leasehold</a>\n",
        title
    );
    if let Some(visit) = visit {
        html!(out, "<nav aria-label=\"Main\">\n");
        for (to, name) in MENU {
            if to == here {
                html!(out, "<a href=\"{}\" aria-current=\"page\">{}</a>\n", to, name);
            } else {
                html!(out, "<a href=\"{}\">{}</a>\n", to, name);
            }
        }
        let who = visit.identity.name.as_deref().unwrap_or(&visit.identity.subject.id);
        html!(
            out,
            "</nav>\n<form method=\"post\" action=\"/sign-out\" class=\"who\"><span>{}</span>\
             <input type=\"hidden\" name=\"form\" value=\"{}\"><button class=\"quiet\">Sign out</button></form>\n",
            who,
            visit.form_token
        );
    }
    html!(out, "</header>\n<main id=\"main\" tabindex=\"-1\">\n<h1>{}</h1>\n", title);
    out.add(body);
    html!(out, "</main>\n</body>\n</html>\n");
    out
}

/// A page for somebody who has signed in.
pub(super) fn whole(title: &str, visit: &Visit, here: &str, body: &Html) -> Response {
    respond(StatusCode::OK, frame(title, Some(visit), here, body))
}

/// A page for anybody.
pub(super) fn outside(status: StatusCode, title: &str, body: &Html) -> Response {
    respond(status, frame(title, None, "", body))
}

/// A page that says why not.
pub(super) fn failure(status: StatusCode, title: &str, sentences: &str) -> Response {
    let mut body = Html::new();
    html!(body, "<div role=\"alert\" class=\"problem\">\n");
    for sentence in sentences.lines() {
        html!(body, "<p>{}</p>\n", sentence);
    }
    html!(body, "</div>\n<p><a href=\"/\">My access</a></p>\n");
    outside(status, title, &body)
}

fn respond(status: StatusCode, page: Html) -> Response {
    (status, [(CONTENT_TYPE, "text/html; charset=utf-8")], page.into_string()).into_response()
}

/// A form with one button; `rest` are its fields.
pub(super) fn button(visit: &Visit, action: &str, label: &str, class: &str, rest: &Html) -> Html {
    let mut out = Html::new();
    html!(
        out,
        "<form method=\"post\" action=\"{}\" class=\"inline\"><input type=\"hidden\" name=\"form\" value=\"{}\">",
        action,
        visit.form_token
    );
    out.add(rest);
    html!(out, "<button class=\"{}\">{}</button></form>\n", class, label);
    out
}

/// An instant that the script counts down to, or shows in the reader's own time.
pub(super) fn until(instant: &str) -> Html {
    let mut out = Html::new();
    html!(out, "<time datetime=\"{}\" data-countdown>{}</time>", instant, instant);
    out
}

/// An instant.
pub(super) fn instant(at: &str) -> Html {
    let mut out = Html::new();
    html!(out, "<time datetime=\"{}\">{}</time>", at, at);
    out
}

/// What to call somebody.
pub(super) fn who(subject: &Subject) -> &str {
    subject.name.as_deref().unwrap_or(&subject.id)
}

/// A row of a list of facts.
pub(super) fn fact(out: &mut Html, name: &str, value: &str) {
    html!(out, "<dt>{}</dt><dd>{}</dd>\n", name, value);
}

/// The same with a piece of a page.
pub(super) fn fact_html(out: &mut Html, name: &str, value: &Html) {
    html!(out, "<dt>{}</dt><dd>", name);
    out.add(value);
    html!(out, "</dd>\n");
}

/// The terms that an approval binds to.
pub(super) fn terms(out: &mut Html, terms: &Terms) {
    fact(out, "Window", &format!("{} (at most {} with extensions)", terms.lifetime, terms.total));
    fact(
        out,
        "Extensions",
        &if terms.extend == 0 { "none".to_owned() } else { format!("{} of {}", terms.extend, terms.extend_by) },
    );
    fact(out, "Recorded", &terms.recorded);
    for approval in &terms.approvals {
        let people = if approval.separate { ", different people" } else { "" };
        let text = format!("{}{people}, within {}", approval.quorum.join(" and "), approval.answer_within);
        fact(out, &format!("Approval {}", approval.name), &text);
    }
    fact(out, "Terms digest", &terms.digest);
}

/// A table of requests.
pub(super) fn requests(out: &mut Html, caption: &str, all: &[Request]) {
    html!(
        out,
        "<table><caption>{}</caption>\n<thead><tr><th scope=\"col\">Request</th><th scope=\"col\">Who</th>",
        caption
    );
    html!(
        out,
        "<th scope=\"col\">Connection</th><th scope=\"col\">Grant</th><th scope=\"col\">State</th>\
         <th scope=\"col\">Reason</th></tr></thead>\n<tbody>\n"
    );
    for request in all {
        html!(
            out,
            "<tr><th scope=\"row\"><a href=\"/requests/{}\">{}</a></th><td>{}</td><td>{}</td><td>{}</td>",
            request.id,
            request.id,
            who(&request.subject),
            request.connection,
            request.grant
        );
        html!(out, "<td><span class=\"state {}\">{}</span>", request.state, request.state);
        if let Some(by) = &request.answer_by {
            html!(out, " until ");
            out.add(&until(by));
        }
        html!(out, "</td><td>{}</td></tr>\n", request.reason.as_deref().unwrap_or(""));
    }
    html!(out, "</tbody></table>\n");
}
