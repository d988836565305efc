//! `/policy`: what is in force, since when, and what the last activations changed.

use super::html::{Html, html};
use super::{Answer, Look, State, page, picture, reach};
use crate::api::after::Activation;
use crate::api::view::Policy;
use crate::gateway::clock;
use axum::extract::State as Extracted;
use lang::program::rules::Operator;

pub(super) async fn page(Extracted(state): Extracted<State>, look: Look) -> Answer {
    let access = &state.api.access;
    let caller = access.caller(look.identity())?;
    let previous = access.previous_commit(&caller.active.commit).await?;
    let policy = Policy::of(&caller, &state.api.policy.state(), previous, access.instant(clock::now()));
    let mut body = Html::new();
    in_force(&mut body, &policy);
    reach::mine(&mut body, &state, &look);
    if !caller.connections(&[Operator::Policy]).is_empty() {
        let activations = access.activations(look.identity(), None, 10).await?;
        changes(&mut body, &activations.items.iter().map(Activation::of).collect::<Vec<_>>());
        reach::who_can(&mut body, &caller, look.get("connection"));
        reach::what_can(&mut body, &caller, &look, access.instant(clock::now()));
        picture::picture(&mut body, caller.program().rules());
    }
    Ok(page::whole("Policy", &look.visit, "/policy", &body))
}

fn in_force(body: &mut Html, policy: &Policy) {
    html!(body, "<dl>\n");
    page::fact(body, "Policy", &policy.name);
    page::fact(body, "Commit", &policy.commit);
    page::fact(body, "Digest", &policy.digest);
    page::fact_html(body, "In force since", &page::instant(&policy.activated_at));
    page::fact(body, "Before", policy.previous.as_deref().unwrap_or("nothing"));
    let age = policy.age_seconds.map_or("never".to_owned(), |age| format!("{age} s ago"));
    page::fact(body, "Confirmed", &format!("{age}, {}", policy.staleness));
    html!(body, "</dl>\n");
    if policy.failing {
        html!(
            body,
            "<div class=\"problem\" role=\"alert\"><p>The gateway cannot follow its policy; it keeps the last \
                     good one.</p>\n"
        );
        if let Some(error) = &policy.last_error {
            html!(body, "<pre>{}</pre>\n", error.detail);
        }
        html!(body, "</div>\n");
    }
}

fn changes(body: &mut Html, activations: &[Activation]) {
    html!(body, "<section><h2>Activations</h2>\n");
    for activation in activations {
        html!(body, "<details><summary><code>{}</code> on {}, ", activation.commit, activation.gateway);
        body.add(&page::instant(&activation.activated_at));
        let (access, rules) = (activation.access.len(), activation.changes.len());
        html!(body, ": {} differences of access, {} rules changed</summary>\n", access, rules);
        if let Some(previous) = &activation.previous {
            html!(body, "<p class=\"note\">Since <code>{}</code></p>\n", previous);
        }
        listed(body, "Who gained and lost what", &activation.access, "Nobody's access changed.");
        listed(body, "Rules", &activation.changes, "No rule changed.");
        html!(body, "</details>\n");
    }
    html!(body, "</section>\n");
}

/// Sentences that begin with what they are: more, less, or changed.
fn listed(body: &mut Html, title: &str, sentences: &[String], none: &str) {
    html!(body, "<h3>{}</h3>\n", title);
    if sentences.is_empty() {
        html!(body, "<p class=\"empty\">{}</p>\n", none);
        return;
    }
    html!(body, "<ul class=\"diff\">\n");
    for sentence in sentences {
        let class = match sentence.chars().next() {
            Some('+') => "more",
            Some('-') => "less",
            Some(_) | None => "changed",
        };
        html!(body, "<li class=\"{}\">{}</li>\n", class, sentence);
    }
    html!(body, "</ul>\n");
}
