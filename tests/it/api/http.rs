//! The manners of the API: methods, bodies, headers, keys, pages, problems.

use super::bench::{Bench, Idp, Role, http, rules};
use crate::access::world::opened;
use enforcer::access::activation::Activation;
use enforcer::core::id::SessionId;
use enforcer::core::limits::Limits;
use enforcer::gateway::live::{Facts, Order};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn what_is_not_there_and_what_cannot_be_read_are_problems() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    for (method, path, body, want) in [
        ("GET", "/v1", None, 404),
        ("GET", "/v1/requests/req_0", None, 404),
        ("GET", "/v1/requests/..%2f..%2fetc%2fpasswd", None, 404),
        ("GET", "/v1/requests/win_0000000000000000", None, 404),
        ("GET", "/v1/sessions/ses_0000000000000000/recording", None, 404),
        ("DELETE", "/v1/requests", None, 405),
        ("PUT", "/v1/policy", None, 405),
        ("GET", "/v1/requests?nonsense=1", None, 400),
        ("GET", "/v1/requests?limit=many", None, 400),
        ("GET", "/v1/policy?x=1", None, 400),
        ("POST", "/v1/requests", None, 400),
        ("POST", "/v1/requests", Some(json!([1])), 400),
        ("POST", "/v1/requests", Some(json!({"connection": "paced", "extra": 1})), 400),
        ("POST", "/v1/requests", Some(json!({"connection": "paced", "lifetime": "forever"})), 400),
        ("POST", "/v1/requests", Some(json!({"connection": "paced", "reason": "x".repeat(3000)})), 400),
        ("POST", "/v1/requests", Some(json!({"connection": "paced", "reason": "x".repeat(70_000)})), 413),
    ] {
        let (status, headers, bytes) = bench.send(Role::Owner, method, path, body).await;
        let text = String::from_utf8_lossy(&bytes);
        assert_eq!(status, want, "{method} {path}: {text}");
        assert_eq!(headers["content-type"], "application/problem+json", "{method} {path}");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["x-content-type-options"], "nosniff");
        let problem: Value = serde_json::from_slice(&bytes).unwrap();
        assert!(problem["detail"].as_str().unwrap().len() > 10, "{text}");
        if want == 405 {
            assert!(headers.contains_key("allow"), "{method} {path}");
        }
    }
    let (status, headers, bytes) = bench.send(Role::Owner, "HEAD", "/v1/policy", None).await;
    assert_eq!((status, bytes.len()), (200, 0));
    assert_eq!(headers["content-type"], "application/json");
    let (status, _, bytes) = bench.send(Role::Anonymous, "GET", "/openapi.json", None).await;
    assert_eq!((status, bytes), (200, enforcer::api::OPENAPI.as_bytes().to_vec()));
    let form = bench
        .http
        .post(format!("{}/v1/requests", bench.url))
        .bearer_auth(bench.idp.token(Role::Owner).unwrap())
        .header("content-type", "text/plain")
        .body("{\"connection\": \"paced\"}");
    assert_eq!(form.send().await.unwrap().status().as_u16(), 415);
}

#[tokio::test]
async fn one_bearer_token_says_who_somebody_is_and_no_other_header() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let good = bench.idp.token(Role::Owner).unwrap();
    let call = || bench.http.get(format!("{}/v1/access", bench.url));
    for (what, call) in [
        ("none", call()),
        ("another header", call().header("x-forwarded-user", "root").header("x_auth_token", good.as_str())),
        ("basic", call().header("authorization", format!("Basic {good}"))),
        ("empty", call().header("authorization", "Bearer ")),
        ("two", call().bearer_auth(&good).header("authorization", format!("Bearer {good}"))),
        ("cut", call().bearer_auth(&good[..good.len() - 4])),
        ("query", bench.http.get(format!("{}/v1/access?access_token={good}", bench.url))),
    ] {
        let answer = call.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 401, "{what}");
        assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"leasehold\"", "{what}");
    }
    let answer = call().bearer_auth(&good).header("x-forwarded-user", "root").send().await.unwrap();
    let access: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    assert_eq!(access["subject"]["name"], "dana");
    bench.publisher.update(|state| state.active = None);
    let answer = call().bearer_auth(&good).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 503, "no policy permits nothing");
}

#[tokio::test]
async fn a_problem_names_the_rule_that_decided() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let (status, problem) =
        bench.json(Role::Owner, "POST", "/v1/requests", Some(json!({"connection": "ledger"}))).await;
    assert_eq!(status, 403);
    assert_eq!(problem["rule"], "grant ledger-read");
    assert_eq!((&problem["file"], &problem["line"]), (&json!("policy.kdl"), &json!(3)));
    assert_eq!(problem["reasons"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_repeated_write_under_one_key_is_one_write() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let (_, window, _) = bench.furnish().await;
    let send = async |path: &str, key: &str, body: Value| {
        let answer = bench
            .http
            .post(format!("{}{path}", bench.url))
            .bearer_auth(bench.idp.token(Role::Owner).unwrap())
            .header("idempotency-key", key)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), serde_json::from_slice::<Value>(&answer.bytes().await.unwrap()).unwrap())
    };
    let path = format!("/v1/windows/{}/extend", window.id);
    let first = send(&path, "a", json!({})).await;
    assert_eq!(send(&path, "a", json!({})).await, first);
    assert_eq!(first.1["window"]["extensions"], 1);
    assert_eq!(send(&path, "b", json!({})).await.1["window"]["extensions"], 2);
    let (status, problem) = send(&path, "a", json!({"reason": "other"})).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(send(&format!("/v1/windows/{}/revoke", window.id), "a", json!({})).await.0, 422);
    let (status, _) = send(&path, &"k".repeat(201), json!({})).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn lists_come_in_parts() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    bench.furnish().await;
    let (_, first) = bench.json(Role::Owner, "GET", "/v1/requests?limit=1", None).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 1);
    let next = first["next"].as_str().unwrap();
    let (_, second) = bench.json(Role::Owner, "GET", &format!("/v1/requests?limit=1&cursor={next}"), None).await;
    assert_ne!(second["items"][0]["id"], first["items"][0]["id"]);
    assert_eq!(second["next"], Value::Null);
    let (_, none) = bench.json(Role::Owner, "GET", "/v1/requests?cursor=nonsense", None).await;
    assert_eq!(none["items"], json!([]));
    let (_, one) = bench.json(Role::Auditor, "GET", "/v1/requests?connection=long", None).await;
    assert_eq!(one["items"].as_array().unwrap().len(), 1);
    let (_, open) = bench.json(Role::Owner, "GET", "/v1/requests?state=open", None).await;
    assert_eq!(open["items"].as_array().unwrap().len(), 1);
    let (_, mine) = bench.json(Role::Auditor, "GET", "/v1/requests?mine=true", None).await;
    assert_eq!(mine["items"], json!([]));
}

#[tokio::test]
async fn every_verified_token_is_news_to_live_sessions() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let (_, window, session) = bench.furnish().await;
    let facts = opened(&session, &window);
    let (_seat, mut orders) = bench.live.enter(Facts {
        session: SessionId::from_random([9; 10]),
        subject: facts.subject,
        kind: window.kind,
        subject_name: None,
        connection: facts.connection,
        grant: facts.grant,
        window: facts.window,
        started: window.started,
        ends: window.ends,
    });
    bench.json(Role::Colleague, "GET", "/v1/policy", None).await;
    assert!(orders.take().is_none(), "somebody else's token is no news");
    bench.json(Role::Owner, "GET", "/v1/policy", None).await;
    assert!(matches!(orders.take(), Some(Order::Identity(_))));
    let path = format!("/v1/sessions/{session}/terminate");
    let (status, _) = bench.json(Role::Controller, "POST", &path, None).await;
    assert_eq!(status, 200);
    assert!(matches!(orders.take(), Some(Order::End { .. })));
}

#[tokio::test]
async fn a_client_that_says_nothing_delays_nobody() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let address = bench.url.trim_start_matches("http://").to_owned();
    let mut silent = Vec::new();
    for _ in 0..40 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream.write_all(b"GET /v1/policy HTTP/1.1\r\nhost: x\r\n").await.unwrap();
        silent.push(stream);
    }
    let (status, _) = bench.json(Role::Owner, "GET", "/v1/policy", None).await;
    assert_eq!(status, 200);
    // Above the bound for one address a connection is closed at once, and below it again it is served.
    let mut refused = 0;
    for _ in 0..120 {
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        stream.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n").await.ok();
        silent.push(stream);
    }
    for stream in &mut silent {
        let mut byte = [0];
        let read = tokio::time::timeout(std::time::Duration::from_millis(20), stream.read(&mut byte)).await;
        refused += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    assert!(refused >= 30, "{refused}");
    drop(silent);
    for _ in 0..50 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        if bench.http.get(format!("{}/openapi.json", bench.url)).send().await.is_ok() {
            return;
        }
    }
    panic!("the places were not given back");
}

#[tokio::test]
async fn whoever_calls_too_often_waits_and_nobody_else_does() {
    let limits = Limits { api_writes_per_minute_max: 3, ..Limits::default() };
    let bench = Bench::start_with(&Idp::start().await, &http(), None, &limits).await;
    for _ in 0..3 {
        assert_eq!(bench.send(Role::Owner, "POST", "/v1/requests", None).await.0, 400);
    }
    let (status, headers, _) = bench.send(Role::Owner, "POST", "/v1/requests", None).await;
    assert_eq!(status, 429);
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
    assert_eq!(bench.send(Role::Owner, "GET", "/v1/policy", None).await.0, 200, "reading is counted apart");
    assert_eq!(bench.send(Role::Colleague, "POST", "/v1/requests", None).await.0, 400, "others are not held up");
}

#[tokio::test]
async fn a_forge_that_signs_is_heard_and_learns_nothing() {
    let mut bench = Bench::start(&Idp::start().await, &http()).await;
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"a secret of the forge");
    let body = r#"{"ref":"refs/heads/main"}"#;
    let sign = |text: &str| {
        let tag = aws_lc_rs::hmac::sign(&key, text.as_bytes());
        let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256={hex}")
    };
    let call = |signatures: Vec<String>| {
        let call = bench.http.post(format!("{}{}", bench.url, enforcer::api::WEBHOOK_PATH));
        let call = signatures.into_iter().fold(call, |call, one| call.header("x-hub-signature-256", one));
        call.header("content-type", "application/json").body(body).send()
    };
    for bad in [vec![], vec!["sha256=00".to_owned()], vec![sign("another body")], vec![sign(body), sign(body)]] {
        assert_eq!(call(bad.clone()).await.unwrap().status().as_u16(), 403, "{bad:?}");
    }
    assert!(bench.hints.try_recv().is_err());
    let answer = call(vec![sign(body)]).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.bytes().await.unwrap().len()), (202, 0));
    assert!(bench.hints.try_recv().is_ok());
    let (status, ..) = bench.send(Role::Owner, "GET", enforcer::api::WEBHOOK_PATH, None).await;
    assert_eq!(status, 405);
}

#[tokio::test]
async fn an_activation_is_written_down_once_with_what_it_changed() {
    let bench = Bench::start(&Idp::start().await, &http()).await;
    let mut rules = rules(&bench.idp.provider);
    let first = Activation { before: None, active: crate::access::world::active(rules.clone(), "c1") };
    rules.grants.retain(|grant| grant.id != "fire");
    rules.grants[0].reason = true;
    let active = crate::access::world::active(rules, "c2");
    let second = Activation { before: Some(first.active.clone()), active };
    for (activation, noted) in [(&first, true), (&first, false), (&second, true), (&second, false)] {
        let access = enforcer::gitops::difference(activation);
        assert_eq!(bench.access.note_activation(activation, &access).await.unwrap(), noted);
    }
    let (_, list) = bench.json(Role::Auditor, "GET", "/v1/policy/activations", None).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    let newest = &list["items"][0];
    assert_eq!((&newest["commit"], &newest["previous"]), (&json!("c2"), &json!("c1")));
    assert_eq!(newest["changes"], json!(["- break-glass fire", "~ grant ledger-fix"]));
    let access: Vec<&str> = newest["access"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(access.iter().any(|line| line.starts_with("- ledger, group:oncall: ")), "{access:#?}");
    assert_eq!(list["items"][1]["access"], json!([]), "the first one has nothing before it");
    let history = bench.access.store().history(0, 100).await.unwrap();
    let events: Vec<_> = history.iter().filter(|entry| entry.event == "bundle.activated").collect();
    assert_eq!(events.len(), 2);
    assert_eq!((events[1].about.as_str(), &events[1].detail["previous"]), ("c2", &json!("c1")));
    bench.publisher.update(|state| state.active = Some(second.active));
    let (_, policy) = bench.json(Role::Owner, "GET", "/v1/policy", None).await;
    assert_eq!(policy["previous"], "c1");
}
