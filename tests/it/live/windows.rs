//! Windows and revocation on live sessions: the end, a revocation, a lost group, a narrower policy.
//!
//! What must happen within a second is asserted under a bound that a busy machine keeps, and printed as measured.

use super::api::{applied, call, id, open, request};
use super::fresh;
use super::raw::Raw;
use serde_json::json;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use xtask::cast::{CODER, LENA, PAULA, Person, SAM, TRIAGE};
use xtask::clock;
use xtask::scene::{Choice, Scene};

/// How late an end may be noticed on a machine with other work.
const LATE_SECONDS_MAX: f64 = 5.0;

/// These tests change the policy: one at a time, on a scene of their own.
static SCENE: LazyLock<Mutex<Scene>> = LazyLock::new(|| Mutex::new(fresh("windows", &Choice::default()).unwrap()));

fn scene() -> MutexGuard<'static, Scene> {
    SCENE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same kind of subject, but another one: nobody waits for anybody's cool-down.
const fn another(person: Person, oid: &'static str) -> Person {
    Person { oid, ..person }
}

fn login(scene: &Scene, who: &Person, connection: &str) -> Raw {
    Raw::login(scene.gateway.port, connection, &scene.token(who).unwrap()).expect("the login works")
}

/// Starts a long query and waits until the target runs it.
fn asleep(scene: &Scene, raw: &mut Raw, database: &str, seconds: u32) {
    raw.send(&super::raw::message(b'Q', format!("select pg_sleep({seconds})\0").as_bytes()));
    running(scene, database, seconds, "1");
}

fn running(scene: &Scene, database: &str, seconds: u32, count: &str) {
    let sql = format!(
        "select count(*) from pg_stat_activity where state = 'active' and query like '%pg_sleep({seconds})%' and pid <> pg_backend_pid()"
    );
    clock::wait_for("the target's state", Duration::from_secs(15), || {
        Ok((scene.cluster.value(database, &sql)? == count).then_some(()))
    })
    .unwrap();
}

/// Reads to the end, which must be FATAL with 57P01; how long it took.
fn cut(raw: &mut Raw) -> f64 {
    let start = clock::now();
    let said = raw.ends();
    let last = said.iter().rev().find_map(super::raw::Message::refusal).expect("the end is said");
    assert_eq!((last.severity.as_str(), last.code.as_str()), ("FATAL", "57P01"), "{last:?}");
    start.elapsed().as_secs_f64()
}

#[test]
fn a_session_opened_just_before_the_end_is_cut_at_the_end() {
    let scene = scene();
    let who = another(TRIAGE, "a0000000-0000-4000-8000-000000000101");
    let opened = clock::unix_seconds();
    open(&scene, &who, "prod-logs", "6s");
    std::thread::sleep(Duration::from_secs(4));
    let mut raw = login(&scene, &who, "prod-logs");
    asleep(&scene, &mut raw, "logs", 31);
    cut(&mut raw);
    let lived = clock::unix_seconds() - opened;
    assert!((5.0..6.0 + LATE_SECONDS_MAX).contains(&lived), "the window of 6 s was seen to end after {lived:.2} s");
    println!("measured: a window of 6 s ended after {lived:.2} s");
    running(&scene, "logs", 31, "0");
    let refused = Raw::login(scene.gateway.port, "prod-logs", &scene.token(&who).unwrap()).map(|_| ());
    assert_eq!(refused.expect_err("no window").severity, "FATAL");
}

#[test]
fn asking_again_returns_the_open_window_and_moves_nothing() {
    let scene = scene();
    let who = another(CODER, "a0000000-0000-4000-8000-000000000102");
    let ask = json!({ "connection": "ledger-staging", "reason": "a live test", "lifetime": "5m" });
    let first = request(&scene, &who, &ask);
    let second =
        request(&scene, &who, &json!({ "connection": "ledger-staging", "reason": "again", "lifetime": "10m" }));
    assert_eq!(first["window"], second["window"]);
    let longer = call(
        &scene,
        &another(CODER, "a0000000-0000-4000-8000-000000000103"),
        "/v1/requests",
        &json!({ "connection": "ledger-staging", "reason": "too long", "lifetime": "21m" }),
    );
    if longer.status < 300 {
        let window = longer.json().unwrap()["window"].clone();
        assert!(!window.to_string().contains("1260"), "a window longer than its grant: {window}");
    }
}

#[test]
fn a_revoked_window_cuts_its_session() {
    let scene = scene();
    let who = another(TRIAGE, "a0000000-0000-4000-8000-000000000104");
    let window = open(&scene, &who, "prod-logs", "5m");
    let mut raw = login(&scene, &who, "prod-logs");
    asleep(&scene, &mut raw, "logs", 32);
    let path = format!("/v1/windows/{window}/revoke");
    let nobody = call(&scene, &PAULA, &path, &json!({}));
    assert!((400..500).contains(&nobody.status), "anybody may revoke: {}", nobody.body);
    let answer = call(&scene, &SAM, &path, &json!({}));
    assert!((200..300).contains(&answer.status), "{}", answer.body);
    let took = cut(&mut raw);
    println!("measured: cut {took:.3} s after the revocation");
    assert!(took < LATE_SECONDS_MAX, "cut after {took:.2} s");
    running(&scene, "logs", 32, "0");
}

#[test]
fn a_newer_token_without_the_group_cuts_the_session() {
    let scene = scene();
    let who = another(TRIAGE, "a0000000-0000-4000-8000-000000000105");
    open(&scene, &who, "prod-logs", "5m");
    let mut raw = login(&scene, &who, "prod-logs");
    asleep(&scene, &mut raw, "logs", 33);
    std::thread::sleep(Duration::from_millis(1100));
    let lost = who.within(&[]);
    let token = scene.token(&lost).unwrap();
    drop(xtask::http::get(scene.gateway.api_port, "/v1/windows", Some(&token)));
    let took = cut(&mut raw);
    println!("measured: cut {took:.3} s after the newer token");
    assert!(took < LATE_SECONDS_MAX, "cut after {took:.2} s");
}

#[test]
fn a_standing_session_ends_with_its_token() {
    let scene = scene();
    let token = scene.idp.token(&PAULA, 8).unwrap();
    let minted = clock::unix_seconds();
    let mut raw = Raw::login(scene.gateway.port, "ledger-dev", &token).unwrap();
    asleep(&scene, &mut raw, "ledger_dev", 34);
    cut(&mut raw);
    let lived = clock::unix_seconds() - minted;
    println!("measured: a token of 8 s held a session for {lived:.2} s");
    assert!((6.0..8.0 + LATE_SECONDS_MAX).contains(&lived), "the session ended after {lived:.2} s");
}

#[test]
fn people_decide_once_and_never_for_themselves() {
    let scene = scene();
    let who = another(PAULA, "b0000000-0000-4000-8000-000000000106");
    let ask = json!({ "connection": "payments-db", "reason": "a live test", "ticket": "INC-4711" });
    let asked = request(&scene, &who, &ask);
    let request_id = id(&asked, "request").unwrap_or_else(|| panic!("no request: {asked}"));
    let path = format!("/v1/requests/{request_id}/approve");
    let decided = |person: &Person| call(&scene, person, &path, &json!({}));
    assert!((400..500).contains(&decided(&who).status), "the requester approved");
    let alias = scene.idp.mint(
        &json!({ "oid": who.oid, "kind": "human", "groups": LENA.groups, "version": 1, "name": "Somebody Else" }),
    );
    let answer = xtask::http::post(scene.gateway.api_port, &path, Some(&alias.unwrap()), &json!({})).unwrap();
    assert!((400..500).contains(&answer.status), "the requester approved with a token of version 1: {}", answer.body);
    assert!((400..500).contains(&decided(&TRIAGE).status), "an agent approved");
    assert!((200..300).contains(&decided(&LENA).status));
    let refused = Raw::login(scene.gateway.port, "payments-db", &scene.token(&who).unwrap()).map(|_| ());
    assert_eq!(refused.expect_err("one approval of two").severity, "FATAL");
    drop(decided(&LENA));
    let refused = Raw::login(scene.gateway.port, "payments-db", &scene.token(&who).unwrap()).map(|_| ());
    assert_eq!(refused.expect_err("one person twice").severity, "FATAL");
    let opened = decided(&SAM);
    assert!((200..300).contains(&opened.status), "{}", opened.body);
    let window = opened.json().unwrap()["window"].clone();
    let again = decided(&SAM);
    if (200..300).contains(&again.status) {
        assert_eq!(again.json().unwrap()["window"], window, "a second approval moved the window");
    }
    let mut raw = login(&scene, &who, "payments-db");
    assert_eq!(raw.query("select count(*) from public.ledger_entries").unwrap(), ["20000"]);
}

#[test]
fn a_narrower_policy_narrows_a_live_session_and_an_unrelated_merge_does_not() {
    let scene = scene();
    let who = another(CODER, "a0000000-0000-4000-8000-000000000107");
    open(&scene, &who, "ledger-staging", "10m");
    let mut raw = login(&scene, &who, "ledger-staging");
    let insert = "insert into public.scratch (id) values (1)";
    let delete = "delete from public.scratch where id = 1";
    raw.query(insert).expect("the grant permits writes");
    raw.query(delete).expect("the grant permits writes");
    scene.repository.edit("teams/platform/grants.kdl", |text| format!("{text}// a comment\n")).unwrap();
    let commit = scene.repository.merge("platform: a comment").unwrap();
    applied(&scene, &SAM, &commit);
    raw.query(insert).expect("an unrelated merge changes nothing");
    raw.query(delete).expect("an unrelated merge changes nothing");
    let grants = "teams/payments/grants.kdl";
    scene.repository.edit(grants, |text| narrowed(&text)).unwrap();
    let test = "tests/nonprod.kdl";
    let before = std::fs::read_to_string(scene.repository.work.join(test)).unwrap();
    scene
        .repository
        .edit(test, |text| {
            text.replacen("op=insert table=public.ledger_entries", "op=select table=public.ledger_entries", 1)
        })
        .unwrap();
    let commit = scene.repository.merge("payments: agents read").unwrap();
    applied(&scene, &SAM, &commit);
    let refused = raw.query(insert).expect_err("the narrower policy holds for the open session");
    assert_eq!((refused.severity.as_str(), refused.code.as_str()), ("ERROR", "42501"), "{refused:?}");
    assert_eq!(raw.query("select count(*) from public.scratch").expect("reading goes on"), ["0"]);
    scene
        .repository
        .edit(grants, |text| {
            text.replacen(
                "permit read\n    table public.*\n    at-most 12",
                "permit read write\n    table public.*\n    at-most 12",
                1,
            )
        })
        .unwrap();
    std::fs::write(scene.repository.work.join(test), before).unwrap();
    let commit = scene.repository.merge("payments: agents write again").unwrap();
    applied(&scene, &SAM, &commit);
}

fn narrowed(text: &str) -> String {
    text.replacen(
        "permit read write\n    table public.*\n    at-most 12",
        "permit read\n    table public.*\n    at-most 12",
        1,
    )
}
