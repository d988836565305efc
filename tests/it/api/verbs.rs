//! Every verb × every role. A verb without a row does not compile; a role without a column does not either.

use super::bench::{Bench, Idp, Role, http};
use enforcer::api::Verb;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What a verb answers to owner, approver, auditor, controller, colleague, stranger, agent and service, in this
/// order: a status, and for lists how many rows. Nobody answers to a caller without a good token.
#[rustfmt::skip]
fn expected(verb: Verb) -> [(u16, Option<usize>); 8] {
    let only = |statuses: [u16; 8]| statuses.map(|status| (status, None));
    let rows = |counts: [usize; 8]| counts.map(|count| (200, Some(count)));
    match verb {
        //                            own  appr aud  ctrl coll stra agen serv
        Verb::Request    => only([ 201, 403, 403, 403, 201, 403, 403, 403]),
        Verb::Requests   => rows([   2,   1,   2,   0,   0,   0,   0,   0]),
        Verb::OneRequest => only([ 200, 200, 200, 404, 404, 404, 404, 404]),
        Verb::Approve    => only([ 403, 200, 200, 404, 404, 404, 404, 404]),
        Verb::Deny       => only([ 403, 200, 200, 404, 404, 404, 404, 404]),
        Verb::Withdraw   => only([ 200, 403, 403, 404, 404, 404, 404, 404]),
        Verb::Windows    => rows([   1,   0,   1,   1,   0,   0,   0,   0]),
        Verb::OneWindow  => only([ 200, 404, 200, 200, 404, 404, 404, 404]),
        Verb::Extend     => only([ 200, 404, 403, 403, 404, 404, 404, 404]),
        Verb::Revoke     => only([ 200, 404, 403, 200, 404, 404, 404, 404]),
        Verb::Sessions   => rows([   1,   0,   1,   1,   0,   0,   0,   0]),
        Verb::OneSession => only([ 200, 404, 200, 200, 404, 404, 404, 404]),
        Verb::Recording  => only([ 200, 404, 200, 403, 404, 404, 404, 404]),
        Verb::Terminate  => only([ 200, 404, 403, 200, 404, 404, 404, 404]),
        Verb::Hold       => only([ 403, 404, 200, 403, 404, 404, 404, 404]),
        Verb::Release    => only([ 403, 404, 200, 403, 404, 404, 404, 404]),
        Verb::Policy     => only([ 200, 200, 200, 200, 200, 200, 200, 200]),
        Verb::Activations => auditor_only(),
        Verb::Review     => only([ 404, 404, 404, 404, 404, 404, 404, 404]),
        Verb::Reviews    => rows([   0,   0,   0,   0,   0,   0,   0,   0]),
        Verb::Notices    => auditor_only(),
        Verb::RetryNotice => only([403, 403, 404, 403, 403, 403, 403, 403]),
        Verb::Audit      => rows([   5,   0,   5,   0,   0,   0,   0,   0]),
        Verb::Access     => only([ 200, 200, 200, 200, 200, 200, 200, 200]),
    }
}

/// An empty list for those whom `operate … policy` names.
fn auditor_only() -> [(u16, Option<usize>); 8] {
    let mut all = [(403, None); 8];
    all[2] = (200, Some(0));
    all
}

fn column(role: Role) -> Option<usize> {
    match role {
        Role::Owner => Some(0),
        Role::Approver => Some(1),
        Role::Auditor => Some(2),
        Role::Controller => Some(3),
        Role::Colleague => Some(4),
        Role::Stranger => Some(5),
        Role::Agent => Some(6),
        Role::Service => Some(7),
        Role::Anonymous | Role::Expired => None,
    }
}

#[tokio::test]
async fn every_verb_answers_every_role_as_the_table_says() {
    let (idp, http) = (Idp::start().await, http());
    let mut wrong = Vec::new();
    for verb in Verb::ALL {
        for role in Role::ALL {
            let bench = Bench::start(&idp, &http).await;
            let (request, window, session) = bench.furnish().await;
            let id = if verb.path().contains("/requests/") {
                request.id.to_string()
            } else if verb.path().contains("/windows/") {
                window.id.to_string()
            } else {
                session.to_string()
            };
            let body = (*verb == Verb::Request).then(|| json!({"connection": "paced"}));
            let path = verb.path().replace("{id}", &id);
            let (status, headers, bytes) = bench.send(role, verb.method().as_str(), &path, body).await;
            let (want, rows) = column(role).map_or((401, None), |column| expected(*verb)[column]);
            let json: Option<Value> = serde_json::from_slice(&bytes).ok();
            let found = json.as_ref().and_then(|json| json["items"].as_array()).map(Vec::len);
            if status != want || found != rows {
                wrong.push(format!("{verb:?} {role:?}: {status} {found:?}, expected {want} {rows:?}"));
            }
            let text = String::from_utf8_lossy(&bytes);
            if status >= 400 {
                assert_eq!(headers["content-type"], "application/problem+json", "{verb:?} {role:?}: {text}");
                assert_eq!(json.unwrap()["status"], status);
            }
            if status == 404 || status == 401 {
                assert!(!text.contains("totals") && !text.contains("INC-1"), "{verb:?} {role:?}: {text}");
            }
            if let Some(token) = idp.token(role) {
                let signature = token.rsplit('.').next().unwrap();
                assert!(!text.contains(signature), "{verb:?} {role:?} repeats the token");
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn an_agent_sees_and_ends_its_own() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let body = json!({"connection": "logs", "reason": "incident"});
    let (status, done) = bench.json(Role::Agent, "POST", "/v1/requests", Some(body)).await;
    assert_eq!((status, &done["did"]), (201, &json!("opened")));
    let window = done["window"]["id"].as_str().unwrap();
    let (_, list) = bench.json(Role::Agent, "GET", "/v1/windows?state=open", None).await;
    assert_eq!(list["items"][0]["id"], window);
    let (status, done) = bench.json(Role::Agent, "POST", &format!("/v1/windows/{window}/revoke"), None).await;
    assert_eq!((status, &done["window"]["ended"]["cause"]), (200, &json!("returned")));
}

#[test]
fn the_openapi_document_names_every_verb_and_nothing_else() {
    let document: Value = serde_json::from_str(enforcer::api::OPENAPI).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let written: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())).collect::<Vec<_>>()
        })
        .collect();
    let mut served: BTreeSet<(String, String)> =
        Verb::ALL.iter().map(|verb| (verb.method().to_string(), verb.path().to_owned())).collect();
    served.insert(("GET".to_owned(), "/openapi.json".to_owned()));
    served.insert(("GET".to_owned(), "/v1/sign-in".to_owned()));
    served.insert(("POST".to_owned(), enforcer::api::WEBHOOK_PATH.to_owned()));
    assert_eq!(written, served);
    let mut refs = Vec::new();
    references(&document, &mut refs);
    for reference in refs {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn references<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            out.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, out));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, out)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Checks an answer against a schema of the document: types, required members, no member that is not written down.
fn conforms(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return conforms(document, document.pointer(&reference[1..]).unwrap(), value, at);
    }
    if let Some(one_of) = schema["oneOf"].as_array() {
        let null = one_of.iter().any(|schema| schema["type"] == "null");
        if !(null && value.is_null()) {
            conforms(document, &one_of[0], value, at);
        }
        return;
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value} is not among {words:?}");
        return;
    }
    let types = schema["type"].as_array().cloned().unwrap_or_else(|| vec![schema["type"].clone()]);
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(types.contains(&json!(is)), "{at}: {value} is {is}, written down as {types:?}");
    if let Some(items) = value.as_array() {
        items.iter().for_each(|item| conforms(document, &schema["items"], item, &format!("{at}[]")));
    }
    if schema["additionalProperties"] == true {
        return;
    }
    if let (Some(members), Some(properties)) = (value.as_object(), schema["properties"].as_object()) {
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(members.contains_key(name.as_str().unwrap()), "{at}: {name} is missing");
        }
        for (name, member) in members {
            let property = properties.get(name).unwrap_or_else(|| panic!("{at}: {name} is not written down"));
            conforms(document, property, member, &format!("{at}.{name}"));
        }
    }
}

#[tokio::test]
async fn answers_are_as_the_openapi_document_says() {
    let document: Value = serde_json::from_str(enforcer::api::OPENAPI).unwrap();
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let (request, window, session) = bench.furnish().await;
    bench.publisher.update(|state| {
        state.confirmed_at = Some(enforcer::gateway::clock::wall());
        state.last_error = Some(enforcer::gateway::policy::Failure {
            at: enforcer::gateway::clock::wall(),
            commit: None,
            sentence: "error[P0101]: unknown group".to_owned(),
        });
    });
    for (role, verb, id) in [
        (Role::Auditor, Verb::Requests, String::new()),
        (Role::Auditor, Verb::OneRequest, request.id.to_string()),
        (Role::Auditor, Verb::Windows, String::new()),
        (Role::Auditor, Verb::OneWindow, window.id.to_string()),
        (Role::Auditor, Verb::Sessions, String::new()),
        (Role::Auditor, Verb::OneSession, session.to_string()),
        (Role::Auditor, Verb::Policy, String::new()),
        (Role::Owner, Verb::Policy, String::new()),
        (Role::Owner, Verb::Access, String::new()),
        (Role::Auditor, Verb::Audit, String::new()),
        (Role::Auditor, Verb::Activations, String::new()),
        (Role::Auditor, Verb::Notices, String::new()),
        (Role::Auditor, Verb::Reviews, String::new()),
        (Role::Approver, Verb::Approve, request.id.to_string()),
        (Role::Owner, Verb::Withdraw, request.id.to_string()),
        (Role::Owner, Verb::OneRequest, request.id.to_string()),
        (Role::Owner, Verb::Extend, window.id.to_string()),
        (Role::Auditor, Verb::Hold, session.to_string()),
        (Role::Auditor, Verb::Release, session.to_string()),
        (Role::Owner, Verb::Terminate, session.to_string()),
        (Role::Owner, Verb::Revoke, window.id.to_string()),
        (Role::Owner, Verb::OneWindow, window.id.to_string()),
    ] {
        let method = verb.method();
        let (status, answer) = bench.json(role, method.as_str(), &verb.path().replace("{id}", &id), None).await;
        assert_eq!(status, 200, "{verb:?}: {answer}");
        let operation = &document["paths"][verb.path()][method.as_str().to_lowercase()];
        let schema = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        conforms(&document, schema, &answer, &format!("{verb:?}"));
        if verb == Verb::Policy {
            let told = answer.get("last_error").is_some();
            assert_eq!(told, role == Role::Auditor, "only `operate … policy` reads why");
            assert_eq!(answer["failing"], true);
        }
    }
}
