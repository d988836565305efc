//! `/policy`: what is in force, since when, what the last activations changed, who can reach what, and a picture of it.

use super::html::{Html, html};
use super::{Answer, Look, State, page};
use crate::access::Caller;
use crate::api::view::{Activation, Policy};
use crate::gateway::clock;
use axum::extract::State as Extracted;
use lang::program::rules::{Grant, Mode, Operator, Principal, Rules};
use std::collections::{BTreeMap, BTreeSet};

/// Rows of a picture; a larger policy is read as a table.
const PICTURE_MAX: usize = 60;

pub(super) async fn page(Extracted(state): Extracted<State>, look: Look) -> Answer {
    let access = &state.api.access;
    let caller = access.caller(look.identity())?;
    let previous = access.previous_commit(&caller.active.commit).await?;
    let policy = Policy::of(&caller, &state.api.policy.state(), previous, access.instant(clock::now()));
    let mut body = Html::new();
    in_force(&mut body, &policy);
    why(&mut body, &state, &look);
    if !caller.connections(&[Operator::Policy]).is_empty() {
        let activations = access.activations(look.identity(), 10).await?;
        changes(&mut body, &activations.iter().map(Activation::of).collect::<Vec<_>>());
        who_can(&mut body, &caller, look.get("connection"));
        picture(&mut body, caller.program().rules());
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

/// What the reader can do on a connection, and why not the rest.
fn why(body: &mut Html, state: &State, look: &Look) {
    html!(
        body,
        "<section><h2>What can I do, and why not</h2>\n<form method=\"get\" action=\"/policy\" class=\"search\">\
         <label>Connection <input name=\"connection\" value=\"{}\"></label><button>Show</button></form>\n",
        look.get("connection").unwrap_or("")
    );
    if let Some(name) = look.get("connection") {
        match state.api.access.reach(look.identity(), Some(name), clock::now()) {
            Ok(reach) => {
                html!(body, "<ul>\n");
                for found in &reach {
                    for contract in &found.contracts {
                        html!(body, "<li>{} permits {}</li>\n", contract.grant, contract.permits.join(", "));
                    }
                    for miss in &found.misses {
                        html!(body, "<li>{}</li>\n", miss);
                    }
                }
                html!(body, "</ul>\n");
            }
            Err(refused) => html!(body, "<p class=\"note\">{}</p>\n", refused),
        }
    }
    html!(body, "</section>\n");
}

fn changes(body: &mut Html, activations: &[Activation]) {
    html!(body, "<section><h2>Activations</h2>\n");
    for activation in activations {
        html!(body, "<details><summary><code>{}</code> on {}, ", activation.commit, activation.gateway);
        body.add(&page::instant(&activation.activated_at));
        html!(body, ": {} changed</summary>\n<ul class=\"diff\">\n", activation.changes.len());
        for change in &activation.changes {
            html!(body, "<li>{}</li>\n", change);
        }
        html!(body, "</ul></details>\n");
    }
    html!(body, "</section>\n");
}

fn principals(to: &[Principal]) -> String {
    let one = |principal: &Principal| {
        let kind = principal.kind.map_or(String::new(), |kind| format!(" ({})", kind.word()));
        format!("{}{kind}", principal.groups.join(" and "))
    };
    to.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Which groups hold which grant on which connection.
fn who_can(body: &mut Html, caller: &Caller, only: Option<&str>) {
    html!(
        body,
        "<section><table><caption>Who can</caption>\n<thead><tr><th scope=\"col\">Connection</th>\
         <th scope=\"col\">Grant</th><th scope=\"col\">Groups</th><th scope=\"col\">Operations</th>\
         <th scope=\"col\">How</th></tr></thead>\n<tbody>\n"
    );
    let rules = caller.program().rules();
    for grant in &rules.grants {
        for connection in grant.on.iter().filter(|name| only.is_none_or(|only| *name == only)) {
            let operations: Vec<String> = grant.permit.iter().map(lang::protocol::Operation::id).collect();
            html!(
                body,
                "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                connection,
                grant.id,
                principals(&grant.to),
                operations.join(", "),
                how(grant)
            );
        }
    }
    for forbid in &rules.forbids {
        for connection in forbid.on.iter().filter(|name| only.is_none_or(|only| *name == only)) {
            html!(
                body,
                "<tr class=\"forbid\"><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>none</td>\
                 <td>forbidden</td></tr>\n",
                connection,
                forbid.name,
                principals(&forbid.to)
            );
        }
    }
    html!(body, "</tbody></table></section>\n");
}

fn how(grant: &Grant) -> String {
    let mode = match (&grant.break_glass, grant.mode) {
        (Some(_), _) => "break-glass",
        (None, Mode::Standing) => "standing",
        (None, Mode::Requested) => "requested",
    };
    let approvals =
        if grant.approvals.is_empty() { String::new() } else { format!(", {}", grant.approvals.join(", ")) };
    format!("{mode}, {}{approvals}", grant.lifetime)
}

/// Groups on the left, connections on the right, a line for each grant between them.
fn picture(body: &mut Html, rules: &Rules) {
    let mut edges: BTreeSet<(String, String, bool)> = BTreeSet::new();
    for grant in &rules.grants {
        for group in grant.to.iter().map(|principal| principal.groups.join("+")) {
            for connection in &grant.on {
                edges.insert((group.clone(), connection.clone(), grant.break_glass.is_some()));
            }
        }
    }
    let place = |names: BTreeSet<&String>| -> BTreeMap<String, usize> {
        names.into_iter().enumerate().map(|(row, name)| (name.clone(), row)).collect()
    };
    let groups = place(edges.iter().map(|edge| &edge.0).collect());
    let connections = place(edges.iter().map(|edge| &edge.1).collect());
    let rows = groups.len().max(connections.len());
    if rows == 0 || rows > PICTURE_MAX {
        return;
    }
    let y = |row: usize| 24 + row * 30;
    html!(
        body,
        "<section><h2>Picture</h2><svg viewBox=\"0 0 760 {}\" role=\"img\" \
         aria-label=\"Groups and the connections that their grants lead to; the table above says the same\">\n",
        y(rows)
    );
    for (group, connection, glass) in &edges {
        let (from, to) = (groups.get(group).copied().unwrap_or(0), connections.get(connection).copied().unwrap_or(0));
        let class = if *glass { "edge glass" } else { "edge" };
        html!(
            body,
            "<path class=\"{}\" d=\"M 240 {} C 380 {}, 380 {}, 520 {}\"/>\n",
            class,
            y(from),
            y(from),
            y(to),
            y(to)
        );
    }
    for (name, row) in &groups {
        html!(body, "<text x=\"232\" y=\"{}\" text-anchor=\"end\">{}</text>\n", y(*row) + 5, name);
    }
    for (name, row) in &connections {
        html!(body, "<text x=\"528\" y=\"{}\">{}</text>\n", y(*row) + 5, name);
    }
    html!(body, "</svg></section>\n");
}
