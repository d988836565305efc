//! What people do with recordings, by the commands that the documentation gives them: find, replay, export, verify, hold,
//! release, and simulate another policy.

use super::failures::elsewhere;
use super::fresh;
use super::raw::Raw;
use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;
use xtask::cast::{PAULA, SAM};
use xtask::clock::wait_for;
use xtask::command::{must, start};
use xtask::scene::{Choice, Scene};

/// A connection that is recorded in full, and people who may replay and hold.
fn policy() -> Vec<(String, String)> {
    let audit = "/- kdl-version 2\noperate dev-audit { to group:security; on env=dev; may replay hold; }\n";
    vec![elsewhere("in-full", "127.0.0.1:PORT"), ("connections/dev-audit.kdl".to_owned(), audit.to_owned())]
}

/// A session that reads, is denied, and ends; its name.
fn recorded(scene: &Scene, token: &str) -> String {
    let mut raw = Raw::login(scene.gateway.port, "in-full", token).expect("a session opens");
    assert_eq!(raw.query("select 'first' as word from public.found_here").unwrap(), ["first"]);
    assert!(raw.query("delete from public.found_here where 1 = 1").is_err(), "reading is all that is permitted");
    assert_eq!(raw.query("select 'second'").unwrap(), ["second"]);
    drop(raw);
    let mut id = String::new();
    wait_for("the session has ended", Duration::from_secs(20), || {
        let listed = scene.gateway.ask_json(token, &["sessions", "--all"])?;
        let closed = listed[0]["closed"].is_object();
        listed[0]["id"].as_str().unwrap_or_default().clone_into(&mut id);
        Ok(closed.then_some(()))
    })
    .unwrap();
    id
}

fn finds_and_replays(scene: &Scene, sam: &str, id: &str, recordings: &str) {
    let say = |arguments: &[&str]| scene.gateway.ask(sam, arguments).unwrap();
    // At the gateway, and from the files alone.
    for more in [&[][..], &["--recordings", recordings]] {
        for found in ["--table=public.found_here", "--outcome=denied", "--text=found_here"] {
            let arguments = [&["sessions", found, "--since", "7d", "--format", "json"][..], more].concat();
            let said = say(&arguments);
            let list: Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.said()));
            let named = |one: &Value| one["id"] == id || one["session"] == id;
            assert!(list.as_array().unwrap().iter().any(named), "{arguments:?}: {list}");
        }
        let nothing = say(&[&["sessions", "--table", "public.elsewhere", "--since", "7d"][..], more].concat());
        assert!(nothing.ok() && !nothing.out.contains(id), "{}", nothing.said());
    }
    let replayed = |arguments: &[&str]| {
        let ran = say(&[&["replay", id][..], arguments].concat());
        assert!(ran.ok(), "{arguments:?}: {}", ran.said());
        ran.out
    };
    let whole = replayed(&["--speed", "1000"]);
    assert!(whole.contains("first") && whole.contains("second") && whole.contains("delete from"), "{whole}");
    let statements = replayed(&["--only", "statements"]);
    assert!(statements.contains("select 'second'"), "{statements}");
    let denials = replayed(&["--only", "denials"]);
    assert!(denials.contains("delete from") && !denials.contains("select 'second'"), "{denials}");
    let later = replayed(&["--from", "1h"]);
    assert!(!later.contains("select 'second'"), "nothing happened an hour in: {later}");
    for (format, holds) in [
        ("jsonl", "\"type\":\"query\""),
        ("csv", "record,at,type,text,rule,values"),
        ("cast", "\"version\":2"),
        ("html", "<!doctype html>"),
    ] {
        let text = replayed(&["--format", format]);
        assert!(text.to_lowercase().replace(": ", ":").contains(holds), "{format}: {text}");
        assert!(text.contains("second"), "{format}");
    }
    // Step by step, ended by the person.
    let mut command = scene.gateway.client(sam, &["replay", id, "--step"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"\nq\n").unwrap();
    let stepped = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(stepped.contains("first") && !stepped.contains("second"), "{stepped}");
}

fn follows(scene: &Scene, token: &str, recordings: &str) {
    let mut raw = Raw::login(scene.gateway.port, "in-full", token).unwrap();
    assert_eq!(raw.query("select 'before'").unwrap(), ["before"]);
    let listed = scene.gateway.ask_json(token, &["sessions"]).unwrap();
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    let mut command = scene.gateway.client("", &["replay", &id, "--recordings", recordings, "--follow"]);
    let mut following = start(command.stdin(Stdio::null())).unwrap();
    assert_eq!(raw.query("select 'meanwhile'").unwrap(), ["meanwhile"]);
    assert!(following.is_alive(), "it waits while the session lives");
    drop(raw);
    let followed = following.finish(Duration::from_secs(20)).unwrap();
    assert!(
        followed.ok() && followed.out.contains("before") && followed.out.contains("meanwhile"),
        "{}",
        followed.said()
    );
}

fn holds_and_releases(scene: &Scene, sam: &str, paula: &str, id: &str) {
    let refused = scene.gateway.ask(paula, &["hold", id, "--reason", "mine"]).unwrap();
    assert!(refused.code == Some(1) && refused.said().contains("operate … hold"), "{}", refused.said());
    let held = scene.gateway.ask_json(sam, &["hold", id, "--reason", "case 17"]).unwrap();
    assert_eq!((&held["did"], &held["hold"]["reason"]), (&"hold_set".into(), &"case 17".into()), "{held}");
    let again = scene.gateway.ask(sam, &["hold", id]).unwrap();
    assert!(again.ok() && again.out.contains("is held already") && again.out.contains("case 17"), "{}", again.said());
    let history = scene.gateway.ask(sam, &["audit"]).unwrap();
    assert!(history.out.contains("session.held"), "{}", history.said());
    let log = std::fs::read_to_string(scene.gateway.folder.join("recordings/log/entries")).unwrap();
    assert!(
        log.lines().any(|line| line.starts_with("held ") && line.contains(id) && line.contains("case%2017")),
        "{log}"
    );
    let released = scene.gateway.ask_json(sam, &["release", id, "--reason", "closed"]).unwrap();
    assert_eq!((&released["did"], released["hold"].is_null()), (&"hold_lifted".into(), true), "{released}");
}

/// The same operations under a policy that no longer has the grant.
fn simulates(scene: &Scene, id: &str, recordings: &str) {
    let repository = &scene.repository.work;
    let git = |arguments: &[&str]| must(Command::new("git").current_dir(repository).args(arguments)).unwrap().out;
    let current = git(&["rev-parse", "HEAD"]);
    let simulate = |policy: &str| {
        let mut command =
            scene.gateway.client("", &["simulate", "--policy", policy, "--since", "30d", "--format", "json"]);
        command.args(["--recordings", recordings]).arg("--repository").arg(repository);
        let ran = xtask::command::run(&mut command).unwrap();
        let found: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.said()));
        (ran.code, found)
    };
    let (code, same) = simulate(current.trim());
    assert_eq!((code, same["changes"].as_array().unwrap().len()), (Some(0), 0), "{same}");
    assert!(same["statements"].as_u64().unwrap() >= 3, "{same}");
    git(&["checkout", "--quiet", "-b", "narrower"]);
    let file = repository.join("connections/in-full.kdl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("permit read", "permit write")).unwrap();
    git(&["-c", "user.name=t", "-c", "user.email=t@t.example", "commit", "--quiet", "--all", "--message", "narrower"]);
    let (code, narrower) = simulate("narrower");
    let changes = narrower["changes"].as_array().unwrap();
    assert_eq!(code, Some(1), "{narrower}");
    assert!(changes.iter().any(|change| change["session"] == id && change["was"] == "allowed"), "{narrower}");
}

#[test]
fn people_find_replay_export_verify_hold_and_simulate() {
    let scene = fresh("recordings", &Choice { plaintext: true, policy_files: policy(), ..Choice::default() }).unwrap();
    scene.cluster.value("ledger_dev", "create table public.found_here as select 1 as id").unwrap();
    scene.cluster.value("ledger_dev", "grant all on public.found_here to gateway_rw").unwrap();
    let (paula, sam) = (scene.token(&PAULA).unwrap(), scene.token(&SAM).unwrap());
    let recordings = scene.gateway.folder.join("recordings").display().to_string();
    let id = recorded(&scene, &paula);
    finds_and_replays(&scene, &sam, &id, &recordings);
    follows(&scene, &paula, &recordings);
    holds_and_releases(&scene, &sam, &paula, &id);
    simulates(&scene, &id, &recordings);
    let key = scene.gateway.folder.join("state/recording.key.pub").display().to_string();
    let verified = scene.gateway.ask("", &["verify", &id, "--recordings", &recordings, "--public-key", &key]).unwrap();
    assert_eq!(verified.code, Some(0), "{}", verified.said());
}
