//! Who can reach what, what some groups can do, and why not the rest. Asked of the decision function under the policy in
//! force; nothing here gives access.

use super::html::{Html, html};
use super::{Look, State};
use crate::access::{Because, Caller};
use crate::api::view::Terms;
use crate::core::identity::SubjectKind;
use crate::gateway::clock;
use lang::program::Subject;
use lang::program::rules::{Grant, Mode, Principal};
use lang::time::Timestamp;

/// What the reader can do on a connection, and why not the rest.
pub(super) fn mine(body: &mut Html, state: &State, look: &Look) {
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

fn principals(to: &[Principal]) -> String {
    let one = |principal: &Principal| {
        let kind = principal.kind.map_or(String::new(), |kind| format!(" ({})", kind.word()));
        format!("{}{kind}", principal.groups.join(" and "))
    };
    to.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Which groups hold which grant on which connection.
pub(super) fn who_can(body: &mut Html, caller: &Caller, only: Option<&str>) {
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

/// What somebody in some groups could do, and why not the rest: a question about anybody, for those who look after the
/// policy.
pub(super) fn what_can(body: &mut Html, caller: &Caller, look: &Look, now: Timestamp) {
    let rules = caller.program().rules();
    let kind = look.get("kind").and_then(SubjectKind::parse).unwrap_or(SubjectKind::Human);
    html!(
        body,
        "<section id=\"what-can\"><h2>What can somebody in these groups do, and why not the rest</h2>\n\
         <form method=\"get\" action=\"/policy#what-can\" class=\"search\">\n<label>Kind <select name=\"kind\">"
    );
    for one in [SubjectKind::Human, SubjectKind::Service, SubjectKind::Agent] {
        html!(body, "<option value=\"{}\"", one.word());
        if one == kind {
            html!(body, " selected");
        }
        html!(body, ">{}</option>", one.word());
    }
    let (groups, only) = (look.get("groups").unwrap_or(""), look.get("on").unwrap_or(""));
    html!(
        body,
        "</select></label>\n<label>Groups <input name=\"groups\" list=\"groups\" value=\"{}\" \
         placeholder=\"one, another\"></label>\n<label>Connection <input name=\"on\" list=\"connections\" \
         value=\"{}\"></label>\n<button>Ask</button>\n<datalist id=\"groups\">",
        groups,
        only
    );
    rules.groups.iter().for_each(|group| html!(body, "<option value=\"{}\">", group.name));
    html!(body, "</datalist><datalist id=\"connections\">");
    rules.connections.iter().for_each(|target| html!(body, "<option value=\"{}\">", target.name));
    html!(body, "</datalist></form>\n");
    let held: Vec<String> = groups.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if !held.is_empty() {
        match caller.program().subject_of(kind, &held, true) {
            Ok(subject) => answers(body, caller, &subject, look.get("on"), now),
            Err(reasons) => {
                for because in Because::reasons(caller.program(), &reasons) {
                    html!(body, "<p class=\"problem\">{}</p>\n", because);
                }
            }
        }
    }
    html!(body, "</section>\n");
}

fn answers(body: &mut Html, caller: &Caller, subject: &Subject, only: Option<&str>, now: Timestamp) {
    let program = caller.program();
    html!(
        body,
        "<p class=\"note\">At this moment, with multi-factor authentication.</p>\n<table><caption>What they can do</caption>\n\
         <thead><tr><th scope=\"col\">Connection</th><th scope=\"col\">Grant</th><th scope=\"col\">Operations</th>\
         <th scope=\"col\">Terms, or why not</th></tr></thead>\n<tbody>\n"
    );
    for target in program.rules().connections.iter().filter(|target| only.is_none_or(|only| only == target.name)) {
        let found = program.candidates(subject, &target.name, now);
        let refused = !found.refusals.is_empty();
        for contract in found.contracts.iter().filter(|_| !refused) {
            let permits: Vec<String> = contract.grant.permit.iter().map(lang::protocol::Operation::id).collect();
            let terms = Terms::of(caller, &contract.terms, &contract.terms.digest());
            let needs: Vec<String> = terms.approvals.iter().map(|approval| approval.quorum.join(" and ")).collect();
            let people = if needs.is_empty() { String::new() } else { format!(", needs {}", needs.join("; ")) };
            let place = program.place(&contract.grant.rule()).map_or_else(String::new, |place| format!(" ({place})"));
            let text = format!("{}, {}{people}{place}", how(contract.grant), terms.recorded);
            row(body, &target.name, &contract.grant.id, &permits.join(", "), &text);
        }
        let reasons = [found.refusals, found.misses].concat();
        for because in Because::reasons(program, &reasons) {
            let rule = because.rule.as_ref().map(ToString::to_string).unwrap_or_default();
            row(body, &target.name, &rule, "none", &because.to_string());
        }
        if reasons.is_empty() && found.contracts.is_empty() {
            row(body, &target.name, "", "none", "no grant concerns them");
        }
    }
    html!(body, "</tbody></table>\n");
}

fn row(body: &mut Html, connection: &str, rule: &str, operations: &str, text: &str) {
    html!(
        body,
        "<tr><th scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td></tr>\n",
        connection,
        rule,
        operations,
        text
    );
}
