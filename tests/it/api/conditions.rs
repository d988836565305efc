//! Conditional calls, parts of lists and rates: each for every verb that there is.

use super::bench::{Bench, Idp, Role, http};
use enforcer::api::Verb;
use enforcer::core::limits::Limits;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};

/// A call under a condition.
async fn call(
    bench: &Bench,
    role: Role,
    method: &str,
    path: &str,
    condition: Option<(&str, &str)>,
) -> (u16, HeaderMap, Vec<u8>) {
    let mut call = bench.http.request(method.parse().unwrap(), format!("{}{path}", bench.url));
    call = call.bearer_auth(bench.idp.token(role).unwrap());
    if let Some((name, value)) = condition {
        call = call.header(name, value);
    }
    let answer = call.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, headers, answer.bytes().await.unwrap().to_vec())
}

/// The path of a verb for the things that a furnished bench holds.
async fn furnished(bench: &Bench) -> impl Fn(Verb) -> String + use<> {
    let (request, window, session) = bench.furnish().await;
    move |verb: Verb| {
        let id = match verb.path() {
            path if path.contains("/requests/") => request.id.to_string(),
            path if path.contains("/windows/") => window.id.to_string(),
            _ => session.to_string(),
        };
        verb.path().replace("{id}", &id)
    }
}

#[tokio::test]
async fn every_read_has_a_tag_and_is_not_sent_twice() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let path = furnished(&bench).await;
    for verb in Verb::ALL.iter().filter(|verb| verb.method() == Method::GET && **verb != Verb::Recording) {
        let path = path(*verb);
        let (status, headers, body) = call(&bench, Role::Auditor, "GET", &path, None).await;
        assert_eq!(status, 200, "{verb:?}");
        let tag = headers["etag"].to_str().unwrap().to_owned();
        assert_eq!(tag.starts_with("W/"), *verb == Verb::Policy, "{verb:?} {tag}");
        for known in [tag.as_str(), &format!("\"other\", {tag}"), "*"] {
            let (status, headers, body) =
                call(&bench, Role::Auditor, "GET", &path, Some(("if-none-match", known))).await;
            assert_eq!((status, body.len()), (304, 0), "{verb:?} {known}");
            assert_eq!(headers["etag"].to_str().unwrap(), tag);
            assert_eq!(headers["cache-control"], "no-store");
        }
        let (status, _, again) = call(&bench, Role::Auditor, "GET", &path, Some(("if-none-match", "\"0000\""))).await;
        assert_eq!((status, again.is_empty()), (200, body.is_empty()), "{verb:?}");
        let (status, headers, body) = call(&bench, Role::Auditor, "HEAD", &path, None).await;
        assert_eq!((status, body.len(), headers["etag"].to_str().unwrap()), (200, 0, tag.as_str()), "{verb:?}");
        for bad in [("if-none-match", "nonsense"), ("if-match", tag.as_str())] {
            assert_eq!(call(&bench, Role::Auditor, "GET", &path, Some(bad)).await.0, 400, "{verb:?} {bad:?}");
        }
    }
    let (_, headers, _) = call(&bench, Role::Owner, "GET", "/openapi.json", None).await;
    let tag = headers["etag"].to_str().unwrap().to_owned();
    let (status, ..) = call(&bench, Role::Owner, "GET", "/openapi.json", Some(("if-none-match", &tag))).await;
    assert_eq!(status, 304);
}

#[tokio::test]
async fn a_tag_is_the_caller_s_own_and_changes_with_what_it_stands_for() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let (request, ..) = bench.furnish().await;
    let path = format!("/v1/requests/{}", request.id);
    let tag = async |role| {
        let (_, headers, _) = call(&bench, role, "GET", &path, None).await;
        headers["etag"].to_str().unwrap().to_owned()
    };
    let (owner, approver) = (tag(Role::Owner).await, tag(Role::Approver).await);
    assert_ne!(owner, approver, "whether one may decide is part of the answer");
    let (status, ..) = call(&bench, Role::Approver, "POST", &format!("{path}/approve"), None).await;
    assert_eq!(status, 200);
    assert_ne!(owner, tag(Role::Owner).await);
    let (status, ..) = call(&bench, Role::Owner, "GET", &path, Some(("if-none-match", &owner))).await;
    assert_eq!(status, 200, "a vote is news");
}

#[tokio::test]
async fn a_write_that_expects_a_version_happens_at_that_version_only() {
    for (verb, role) in [
        (Verb::Approve, Role::Auditor),
        (Verb::Deny, Role::Auditor),
        (Verb::Withdraw, Role::Owner),
        (Verb::Extend, Role::Owner),
        (Verb::Revoke, Role::Owner),
        (Verb::Terminate, Role::Owner),
        (Verb::Hold, Role::Auditor),
        (Verb::Release, Role::Auditor),
    ] {
        let bench = Bench::start(&Idp::start().await, &http()).await;
        let path = furnished(&bench).await(verb);
        let one = path.rsplit_once('/').unwrap().0;
        let (_, headers, before) = call(&bench, role, "GET", one, None).await;
        let tag = headers["etag"].to_str().unwrap();
        for other in ["\"00000000000000000000000000000000\"", &format!("W/{tag}")] {
            let (status, headers, body) = call(&bench, role, "POST", &path, Some(("if-match", other))).await;
            assert_eq!(status, 412, "{verb:?}: {}", String::from_utf8_lossy(&body));
            assert_eq!(headers["content-type"], "application/problem+json");
        }
        let (status, ..) = call(&bench, Role::Stranger, "POST", &path, Some(("if-match", "\"0\""))).await;
        assert_eq!(status, 404, "{verb:?}: who may not see it learns nothing of its version");
        assert_eq!(call(&bench, role, "POST", &path, Some(("if-match", "0"))).await.0, 400);
        assert_eq!(call(&bench, role, "GET", one, None).await.2, before, "{verb:?}: nothing has happened");
        let (status, _, body) = call(&bench, role, "POST", &path, Some(("if-match", tag))).await;
        assert_eq!(status, 200, "{verb:?}: {}", String::from_utf8_lossy(&body));
        // The end of a session is written down by whoever holds it, and a hold stands in the log of recordings.
        if !matches!(verb, Verb::Terminate | Verb::Hold | Verb::Release) {
            let (status, ..) = call(&bench, role, "POST", &path, Some(("if-match", tag))).await;
            assert!(matches!(status, 404 | 412), "{verb:?}: it has changed by now, {status}");
        }
    }
}

#[tokio::test]
async fn a_condition_is_never_passed_over() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let path = furnished(&bench).await;
    for verb in Verb::ALL.iter().filter(|verb| verb.method() == Method::POST && !verb.is_versioned()) {
        let (status, _, body) = call(&bench, Role::Auditor, "POST", &path(*verb), Some(("if-match", "\"a\""))).await;
        let text = String::from_utf8_lossy(&body);
        assert!(status == 400 && text.contains("has a version"), "{verb:?}: {status} {text}");
    }
}

#[tokio::test]
async fn a_repeated_key_answers_as_before_whatever_the_version_is_by_then() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let (_, window, _) = bench.furnish().await;
    let one = format!("/v1/windows/{}", window.id);
    let (_, headers, _) = call(&bench, Role::Owner, "GET", &one, None).await;
    let send = async || {
        let call = bench.http.post(format!("{}{one}/extend", bench.url));
        let call = call.bearer_auth(bench.idp.token(Role::Owner).unwrap()).header("idempotency-key", "k");
        let answer = call.header("if-match", headers["etag"].clone()).send().await.unwrap();
        (answer.status().as_u16(), answer.bytes().await.unwrap())
    };
    let first = send().await;
    assert_eq!(first.0, 200);
    assert_eq!(send().await, first);
}

/// Every list: its answer has `items` and `next`, and takes `limit` and `cursor`.
#[tokio::test]
async fn every_list_comes_in_parts_of_a_bounded_size() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    bench.furnish().await;
    bench.furnish_more().await;
    let mut lists = 0;
    for verb in Verb::ALL.iter().filter(|verb| verb.method() == Method::GET && !verb.path().contains("{id}")) {
        let (_, whole) = bench.json(Role::Auditor, "GET", verb.path(), None).await;
        if whole.get("items").is_none() {
            continue;
        }
        lists += 1;
        let whole = whole["items"].as_array().unwrap().clone();
        assert!(whole.len() >= 2, "{verb:?} shows {} rows: too few to be parted", whole.len());
        let (mut parts, mut cursor) = (Vec::new(), String::new());
        loop {
            let path = format!("{}?limit=1{cursor}", verb.path());
            let (status, part) = bench.json(Role::Auditor, "GET", &path, None).await;
            assert_eq!((status, part["items"].as_array().unwrap().len()), (200, 1), "{verb:?}: {part}");
            parts.push(part["items"][0].clone());
            match &part["next"] {
                Value::Null => break,
                next => cursor = format!("&cursor={}", next.as_str().unwrap()),
            }
            assert!(parts.len() <= whole.len(), "{verb:?} does not end");
        }
        assert_eq!(parts, whole, "{verb:?}");
        for bad in ["limit=x", "limit=-1", "nonsense=1"] {
            let (status, problem) = bench.json(Role::Auditor, "GET", &format!("{}?{bad}", verb.path()), None).await;
            assert_eq!((status, &problem["status"]), (400, &json!(400)), "{verb:?} {bad}");
        }
        for huge in ["limit=4000000000", "limit=0"] {
            let (status, _) = bench.json(Role::Auditor, "GET", &format!("{}?{huge}", verb.path()), None).await;
            assert_eq!(status, 200, "{verb:?} {huge}");
        }
    }
    assert_eq!(lists, 7, "requests, windows, sessions, reviews, notices, activations, audit");
}

#[tokio::test]
async fn every_verb_counts_its_calls_and_says_when_to_come_again() {
    let idp = Idp::start().await;
    let limits = Limits { api_writes_per_minute_max: 1, api_reads_per_minute_max: 1, ..Limits::default() };
    for verb in Verb::ALL {
        let bench = Bench::start_with(&idp, &http(), None, &limits).await;
        let path = furnished(&bench).await(*verb);
        let method = verb.method().to_string();
        let (first, ..) = call(&bench, Role::Auditor, &method, &path, None).await;
        assert_ne!(first, 429, "{verb:?}");
        let (status, headers, body) = call(&bench, Role::Auditor, &method, &path, None).await;
        assert_eq!(status, 429, "{verb:?}");
        assert_eq!(headers["content-type"], "application/problem+json", "{verb:?}");
        let seconds: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..=60).contains(&seconds), "{verb:?}: {seconds}");
        let problem: Value = serde_json::from_slice(&body).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("too often"), "{verb:?}: {problem}");
        let (other, ..) = call(&bench, Role::Owner, &method, &path, None).await;
        assert_ne!(other, 429, "{verb:?}: nobody else waits");
    }
}
