//! The HTTP API as a client sees it: requests, approvals, windows, what is applied.

use serde_json::{Value, json};
use std::time::Duration;
use xtask::cast::Person;
use xtask::clock;
use xtask::http::{Answer, get, post};
use xtask::scene::Scene;

/// Calls with a fresh token.
pub(super) fn call(scene: &Scene, who: &Person, path: &str, body: &Value) -> Answer {
    post(scene.gateway.api_port, path, Some(&scene.token(who).unwrap()), body).unwrap()
}

/// Asks with a fresh token.
pub(super) fn ask(scene: &Scene, who: &Person, path: &str) -> Value {
    let answer = get(scene.gateway.api_port, path, Some(&scene.token(who).unwrap())).unwrap();
    assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
    answer.json().unwrap()
}

/// Requests access; it must be taken.
pub(super) fn request(scene: &Scene, who: &Person, body: &Value) -> Value {
    let answer = call(scene, who, "/v1/requests", body);
    assert!((200..202).contains(&answer.status), "{}: {}", answer.status, answer.body);
    answer.json().unwrap()
}

/// Requests access that the policy alone gives; the window's id.
pub(super) fn open(scene: &Scene, who: &Person, connection: &str, lifetime: &str) -> String {
    let answer =
        request(scene, who, &json!({ "connection": connection, "reason": "a live test", "lifetime": lifetime }));
    id(&answer, "window").unwrap_or_else(|| panic!("no window: {answer}"))
}

/// The id of the request or the window in an answer.
pub(super) fn id(answer: &Value, what: &str) -> Option<String> {
    answer.get(what)?.get("id")?.as_str().map(str::to_owned)
}

/// Waits until the gateway applies a commit.
pub(super) fn applied(scene: &Scene, who: &Person, commit: &str) {
    clock::wait_for(&format!("commit {commit} is applied"), Duration::from_secs(30), || {
        Ok((ask(scene, who, "/v1/policy")["commit"] == commit).then_some(()))
    })
    .unwrap();
}
