//! The gateway's state goes away while the gateway runs, and comes back: nothing opens meanwhile, what is open goes on
//! to its end, a merged change still acts, and nobody has to do anything afterwards.

use super::api::{ask, call, open};
use super::fresh;
use super::raw::{Message, Raw};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use xtask::cast::{CODER, TRIAGE};
use xtask::clock;
use xtask::http::get;
use xtask::scene::{Choice, Scene};

/// Nothing opens, and each refusal says what is the matter; what is open goes on.
fn refused(scene: &Scene, open: &mut Raw) {
    let answer = call(scene, &TRIAGE, "/v1/requests", &json!({ "connection": "prod-logs", "reason": "a live test" }));
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.body.contains("the gateway's state is"), "{}", answer.body);
    let login = Raw::login(scene.gateway.port, "ledger-staging", &scene.token(&CODER).unwrap()).map(|_| ());
    let refusal = login.expect_err("no session begins");
    println!("said: {}", refusal.whole);
    assert_eq!(refusal.severity, "FATAL", "{refusal:?}");
    assert!(refusal.whole.contains("state"), "{refusal:?}");
    assert_eq!(open.query("select 'it goes on'").unwrap(), ["it goes on"]);
}

/// Whoever comes next is served.
fn served(scene: &Scene) {
    let mut raw = Raw::login(scene.gateway.port, "ledger-staging", &scene.token(&CODER).unwrap()).expect("it is back");
    assert_eq!(raw.query("select 'back'").unwrap(), ["back"]);
}

/// Takes the file away, with what the engine keeps beside it.
fn moved(file: &Path, away: bool) {
    for end in ["", "-wal", "-shm"] {
        let here = PathBuf::from(format!("{}{end}", file.display()));
        let there = PathBuf::from(format!("{}{end}.away", file.display()));
        let (from, to) = if away { (here, there) } else { (there, here) };
        if from.exists() {
            std::fs::rename(from, to).unwrap();
        }
    }
}

fn ends(raw: &mut Raw, within: Duration) -> String {
    let start = clock::now();
    let said = raw.ends();
    assert!(start.elapsed() < within, "it took {:?}", start.elapsed());
    said.iter().rev().find_map(Message::refusal).expect("the end is said").whole
}

#[test]
fn the_state_goes_away_and_comes_back() {
    let scene = fresh("store", &Choice::default()).unwrap();
    let file = scene.gateway.folder.join("state/state.sqlite");
    open(&scene, &CODER, "ledger-staging", "5m");
    let mut raw = Raw::login(scene.gateway.port, "ledger-staging", &scene.token(&CODER).unwrap()).unwrap();

    let lock = rusqlite::Connection::open(&file).unwrap();
    lock.execute_batch("BEGIN EXCLUSIVE").unwrap();
    refused(&scene, &mut raw);
    drop(lock);
    served(&scene);

    let short = open(&scene, &TRIAGE, "prod-logs", "4s");
    let mut logs = Raw::login(scene.gateway.port, "prod-logs", &scene.token(&TRIAGE).unwrap()).unwrap();
    moved(&file, true);
    refused(&scene, &mut raw);
    let list = get(scene.gateway.api_port, "/v1/windows", Some(&scene.token(&CODER).unwrap())).unwrap();
    assert_eq!(list.status, 503, "what was read of a file that is gone would be old: {}", list.body);
    let said = ends(&mut logs, Duration::from_secs(15));
    assert!(said.contains("window"), "a window ends when it ends: {said}");
    for file in ["teams/payments/grants.kdl", "tests/nonprod.kdl"] {
        scene.repository.edit(file, |text| text.replace("=staging-agents", "=others")).unwrap();
    }
    scene.repository.merge("grants: others than those who are there").unwrap();
    let said = ends(&mut raw, Duration::from_secs(15));
    println!("said: {said}");
    moved(&file, false);

    clock::wait_for("the state is asked again", Duration::from_secs(10), || {
        let answer = get(scene.gateway.api_port, "/v1/windows", Some(&scene.token(&TRIAGE).unwrap()))?;
        Ok((answer.status == 200).then_some(()))
    })
    .unwrap();
    assert_eq!(ask(&scene, &TRIAGE, &format!("/v1/windows/{short}"))["state"], "over");
    open(&scene, &CODER, "ledger-staging", "1m");
    served(&scene);
    clock::wait_for("what ended meanwhile is written down", Duration::from_secs(20), || {
        let live = ask(&scene, &TRIAGE, "/v1/sessions?state=open");
        Ok(live["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
    })
    .unwrap();

    // A file of the same name that is not the one that was opened is not written to.
    let copy = file.with_extension("copy");
    std::fs::copy(&file, &copy).unwrap();
    std::fs::rename(&copy, &file).unwrap();
    let answer = call(&scene, &TRIAGE, "/v1/requests", &json!({ "connection": "prod-logs", "reason": "a live test" }));
    assert_eq!(answer.status, 503, "{}", answer.body);
}
