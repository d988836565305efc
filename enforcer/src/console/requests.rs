//! Requests, windows and the inbox of those who decide.

use super::html::{Html, html};
use super::visit::Visit;
use super::{Answer, Failed, Form, Look, State, page, redirect};
use crate::access::Filter;
use crate::api::after::Review;
use crate::api::held::Statement;
use crate::api::view::{Request, Window};
use crate::core::id::{RequestId, WindowId};
use crate::gateway::clock;
use axum::extract::{Path, State as Extracted};

pub(super) async fn inbox(Extracted(state): Extracted<State>, look: Look) -> Answer {
    let (access, now) = (&state.api.access, clock::now());
    let caller = access.caller(look.identity())?;
    let at = access.instant(now);
    let filter = Filter { open: true, limit: Some(200), ..Filter::default() };
    let listed = access.requests(look.identity(), &filter, now).await?;
    let all: Vec<Request> = listed.items.iter().map(|request| Request::of(&caller, request, at)).collect();
    let (mine, others): (Vec<Request>, Vec<Request>) =
        all.into_iter().partition(|request| request.may_decide && !approved_by(&look.visit, request));
    let reviews = access.reviews(look.identity(), &filter).await?;
    let reviews: Vec<Review> = reviews.items.iter().map(|(review, may)| Review::of(review, *may, at)).collect();
    let mut body = Html::new();
    html!(body, "<p role=\"status\" data-reload=\"15\">{} to decide, ", mine.len());
    html!(body, "{} to review</p>\n", reviews.iter().filter(|review| review.may_review).count());
    for request in &mine {
        html!(body, "<article class=\"card\">\n");
        shown(&mut body, &look.visit, request, true);
        html!(body, "</article>\n");
    }
    for review in &reviews {
        self::review(&mut body, &look.visit, review);
    }
    if !others.is_empty() {
        page::requests(&mut body, "Others decide these", &others);
    }
    Ok(page::whole("Approvals", &look.visit, "/approvals", &body))
}

/// Whether the reader has approved it, and others have not yet.
fn approved_by(visit: &Visit, request: &Request) -> bool {
    request.votes.iter().any(|vote| vote.subject.id == visit.identity.subject.id)
}

/// Everything that an approver should read, and what can be done.
fn shown(body: &mut Html, visit: &Visit, request: &Request, in_list: bool) {
    wish(body, request, in_list);
    html!(body, "<dl>\n");
    page::fact(body, "State", &request.state);
    if let Some(ticket) = &request.ticket {
        page::fact(body, "Ticket", ticket);
    }
    page::fact(body, "Subject", &format!("{}:{}:{}", request.subject.idp, request.subject.tenant, request.subject.id));
    page::fact_html(body, "Asked", &page::instant(&request.asked_at));
    if let Some(by) = &request.answer_by {
        page::fact_html(body, "Answer within", &page::until(by));
    }
    page::terms(body, &request.terms);
    page::fact(body, "Policy commit", &request.commit);
    for vote in &request.votes {
        page::fact(body, "Approved by", &format!("{} at {}", page::who(&vote.subject), vote.at));
    }
    if let Some(settled) = &request.settled {
        let by = settled.by.as_ref().map_or("the policy", page::who);
        page::fact(body, "Decided", &format!("{} by {by} at {}", settled.cause, settled.at));
        if let Some(note) = &settled.note {
            page::fact(body, "Said", note);
        }
    }
    html!(body, "</dl>\n<div class=\"row\">\n");
    if request.may_decide && approved_by(visit, request) {
        html!(body, "<p class=\"note\">You have approved it; others must still answer.</p>\n");
    } else if request.may_decide {
        let mut terms = Html::new();
        html!(terms, "<input type=\"hidden\" name=\"terms\" value=\"{}\">", request.terms.digest);
        body.add(&page::button(visit, &format!("/requests/{}/approve", request.id), "Approve", "good", &terms));
        let mut reason = Html::new();
        html!(
            reason,
            "<label for=\"deny-{}\">Reason for a denial</label><input id=\"deny-{}\" name=\"reason\" \
             maxlength=\"2000\">",
            request.id,
            request.id
        );
        body.add(&page::button(visit, &format!("/requests/{}/deny", request.id), "Deny", "danger", &reason));
    }
    if request.state == "pending" && request.subject.id == visit.identity.subject.id {
        let action = format!("/requests/{}/withdraw", request.id);
        body.add(&page::button(visit, &action, "Withdraw", "quiet", &Html::new()));
    }
    html!(body, "</div>\n");
}

/// Who wants what, and why.
fn wish(body: &mut Html, request: &Request, in_list: bool) {
    let what = match request.purpose.as_str() {
        "extend" => "wants a window extended by",
        "statement" => "wants to run one statement",
        _ => "asks for",
    };
    // A statement asks for no time.
    let lifetime = if request.statement.is_some() { "" } else { request.lifetime.as_str() };
    if in_list {
        html!(body, "<h2><a href=\"/requests/{}\">{}</a></h2>", request.id, request.connection);
    }
    html!(
        body,
        "<p class=\"sentence\"><strong>{}</strong> ({}) {} <strong>{}</strong> on <strong>{}</strong> via {}.</p>\n",
        page::who(&request.subject),
        request.kind,
        what,
        lifetime,
        request.connection,
        request.grant
    );
    match (&request.reason, &request.statement) {
        (Some(reason), _) => html!(body, "<blockquote>{}</blockquote>\n", reason),
        (None, None) => html!(body, "<blockquote>No reason was given.</blockquote>\n"),
        // The statement speaks for itself.
        (None, Some(_)) => {}
    }
    if let Some(held) = &request.statement {
        statement(body, held);
    }
}

/// What would run, exactly: the text, what stands behind the names in it, and the parameters.
fn statement(body: &mut Html, held: &Statement) {
    html!(body, "<pre class=\"statement\"><code>{}</code></pre>\n<dl>\n", held.text);
    for named in &held.named {
        page::fact(body, &format!("Where {} is", named.name), &named.text);
    }
    for (at, parameter) in held.parameters.iter().enumerate() {
        page::fact(body, &format!("${}", at.saturating_add(1)), &parameter.words());
    }
    page::fact(body, "It would", &held.accesses.join(", "));
    page::fact(body, "Held by", &held.rules.join(", "));
    if held.in_transaction {
        page::fact(body, "Locks", "it waits in an open transaction, which keeps its locks");
    }
    page::fact(body, "Session", &held.session);
    if let Some(at) = &held.released {
        page::fact(body, "Ran", at);
    }
    html!(body, "</dl>\n");
}

fn review(body: &mut Html, visit: &Visit, review: &Review) {
    html!(
        body,
        "<article class=\"card\"><h2>Break-glass on <a href=\"/windows/{}\">{}</a></h2>\n<p class=\"sentence\">\
         <strong>{}</strong> used <strong>{}</strong>. Review: {}, ",
        review.window,
        review.connection,
        page::who(&review.subject),
        review.grant,
        review.quorum
    );
    html!(body, "<span class=\"state {}\">{}</span> ", review.state, review.state);
    body.add(&page::until(&review.due));
    html!(body, "</p>\n<dl>\n");
    for verdict in &review.verdicts {
        let word = if verdict.concern { "Concern of" } else { "In order, says" };
        let note = verdict.note.as_deref().unwrap_or("");
        page::fact(body, word, &format!("{} at {} {note}", page::who(&verdict.subject), verdict.at));
    }
    html!(body, "</dl>\n");
    if review.may_review {
        let mut rest = Html::new();
        html!(
            rest,
            "<label for=\"note-{}\">Note</label><input id=\"note-{}\" name=\"note\" maxlength=\"2000\">\
             <label class=\"check\"><input type=\"checkbox\" name=\"concern\" value=\"yes\"> I have a concern</label>",
            review.window,
            review.window
        );
        body.add(&page::button(visit, &format!("/windows/{}/review", review.window), "Reviewed", "good", &rest));
    }
    html!(body, "</article>\n");
}

pub(super) async fn one(Extracted(state): Extracted<State>, Path(id): Path<String>, look: Look) -> Answer {
    let (access, now) = (&state.api.access, clock::now());
    let id = RequestId::parse(&id).ok_or_else(Failed::not_found)?;
    let request = access.one_request(look.identity(), &id, now).await?;
    let request = Request::of(&access.caller(look.identity())?, &request, access.instant(now));
    let mut body = Html::new();
    if request.state == "pending" {
        html!(body, "<p role=\"status\" data-reload=\"5\">Waiting for people.</p>\n");
    }
    html!(body, "<article class=\"card\">\n");
    shown(&mut body, &look.visit, &request, false);
    if let Some(window) = &request.window {
        html!(body, "<p><a href=\"/windows/{}\">The window</a></p>\n", window);
    }
    html!(body, "</article>\n");
    Ok(page::whole(&format!("Request {}", request.id), &look.visit, "/approvals", &body))
}

pub(super) async fn decide(
    Extracted(state): Extracted<State>,
    Path((id, verb)): Path<(String, String)>,
    mut form: Form,
) -> Answer {
    let (access, now) = (&state.api.access, clock::now());
    let id = RequestId::parse(&id).ok_or_else(Failed::not_found)?;
    let outcome = match verb.as_str() {
        // What is approved is what the page showed.
        "approve" => {
            let terms = form.take("terms").unwrap_or_default();
            access.approve(form.identity(), &id, Some(terms), None, now).await?
        }
        "deny" => {
            let reason = form.take("reason");
            access.deny(form.identity(), &id, reason, None, now).await?
        }
        "withdraw" => access.withdraw(form.identity(), &id, None, now).await?,
        _ => return Err(Failed::not_found()),
    };
    // Who decided it may not see it any more.
    let seen = outcome.request.is_some_and(|request| request.asked.subject == form.identity().subject);
    Ok(redirect(&if seen { format!("/requests/{id}") } else { "/approvals".to_owned() }))
}

pub(super) async fn window(Extracted(state): Extracted<State>, Path(id): Path<String>, look: Look) -> Answer {
    let (access, now) = (&state.api.access, clock::now());
    let id = WindowId::parse(&id).ok_or_else(Failed::not_found)?;
    let window = Window::of(&access.one_window(look.identity(), &id, now).await?, access.instant(now));
    let mut body = Html::new();
    html!(
        body,
        "<article class=\"card\">\n<p class=\"sentence\"><strong>{}</strong> ({}) on <strong>{}</strong> via {}.</p>\n",
        page::who(&window.subject),
        window.kind,
        window.connection,
        window.grant
    );
    html!(body, "<dl>\n");
    page::fact(&mut body, "State", &window.state);
    page::fact_html(&mut body, "Opened", &page::instant(&window.started));
    let ends = if window.state == "open" { page::until(&window.ends) } else { page::instant(&window.ends) };
    page::fact_html(&mut body, "Ends", &ends);
    page::fact(&mut body, "Extended", &format!("{} times", window.extensions));
    if let Some(end) = &window.ended {
        let by = end.by.as_ref().map_or("time", page::who);
        page::fact(&mut body, "Ended", &format!("{} by {by} at {}", end.cause, end.at));
    }
    page::fact(&mut body, "Reason", window.reason.as_deref().unwrap_or("none"));
    page::fact(&mut body, "Policy commit", &window.commit);
    html!(body, "</dl>\n<p><a href=\"/requests/{}\">The request</a></p>\n<div class=\"row\">\n", window.request);
    if window.state == "open" {
        if window.subject.id == look.identity().subject.id {
            let action = format!("/windows/{id}/extend");
            body.add(&page::button(&look.visit, &action, "Extend", "quiet", &Html::new()));
        }
        let action = format!("/windows/{id}/revoke");
        body.add(&page::button(&look.visit, &action, "End now", "danger", &Html::new()));
    }
    html!(body, "</div></article>\n");
    let at = access.instant(now);
    if let Some((found, may)) = access.one_review(look.identity(), &id).await? {
        review(&mut body, &look.visit, &Review::of(&found, may, at));
    }
    Ok(page::whole(&format!("Window {id}"), &look.visit, "/", &body))
}

pub(super) async fn change(
    Extracted(state): Extracted<State>,
    Path((id, verb)): Path<(String, String)>,
    mut form: Form,
) -> Answer {
    let (access, now) = (&state.api.access, clock::now());
    let window = WindowId::parse(&id).ok_or_else(Failed::not_found)?;
    match verb.as_str() {
        "extend" => {
            let reason = form.take("reason");
            let outcome = access.extend(form.identity(), &window, reason, None, now).await?;
            Ok(match outcome.request {
                Some(request) => redirect(&format!("/requests/{}", request.id)),
                None => redirect("/"),
            })
        }
        "revoke" => {
            access.revoke(form.identity(), &window, None, now).await?;
            Ok(redirect(&format!("/windows/{id}")))
        }
        "review" => {
            let (concern, note) = (form.take("concern").is_some(), form.take("note"));
            access.review(form.identity(), &window, concern, note, None, now).await?;
            Ok(redirect("/approvals"))
        }
        _ => Err(Failed::not_found()),
    }
}
