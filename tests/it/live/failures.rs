//! What breaks around a session: the target, the identity provider, the disk, the clock, the machine. Each is told in
//! one sentence with a way out, nothing unrecorded passes, and nobody else waits.

use super::api::open;
use super::raw::{Message, Raw, message};
use super::{fresh, scene, token};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use xtask::cast::{CODER, PAULA, TRIAGE};
use xtask::clock;
use xtask::command::must;
use xtask::scene::{Choice, Scene};
use xtask::service::{free_port, signal};

/// The refusal at login.
fn refused(scene: &Scene, connection: &str) -> String {
    let login = Raw::login(scene.gateway.port, connection, &scene.token(&PAULA).unwrap());
    let refusal = login.map(|_| ()).expect_err("the login is refused");
    assert_eq!(refusal.severity, "FATAL", "{refusal:?}");
    println!("said: {}", refusal.whole);
    refusal.whole
}

/// A connection of the development team at an address of the test's, recorded in full.
pub(super) fn elsewhere(name: &str, address: &str) -> (String, String) {
    let text = format!(
        "/- kdl-version 2\n\
         connection {name} kind=postgres {{\n    owner team:payments\n    address \"{address}\" database=ledger_dev\n    \
         credential (env)\"BENCH_PASSWORD\" user=gateway_rw\n    tls off\n    label env=dev data=public\n}}\n\
         grant {name} id={name}-standing {{\n    to group:payments-dev\n    when standing\n    lifetime \"8h\"\n    \
         permit read\n    recorded full\n}}\n"
    );
    (format!("connections/{name}.kdl"), text)
}

#[test]
fn a_target_that_is_down_or_silent_is_told_and_delays_nobody() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let policy_files = vec![
        elsewhere("down", &format!("127.0.0.1:{}", free_port().unwrap())),
        elsewhere("silent", &silent.local_addr().unwrap().to_string()),
    ];
    let mut scene = fresh("failures-target", &Choice { policy_files, ..Choice::default() }).unwrap();
    assert!(refused(&scene, "down").contains("down"), "the connection is named");
    let waiting: Vec<Raw> = (0..8)
        .map(|_| {
            let mut raw = Raw::connect(scene.gateway.port);
            raw.send(&super::raw::startup(&[("user", "me"), ("database", "silent")]));
            raw.receive().expect("the question for the password");
            raw.send(&message(b'p', format!("{}\0", scene.token(&PAULA).unwrap()).as_bytes()));
            raw
        })
        .collect();
    let start = clock::now();
    let mut raw = Raw::login(scene.gateway.port, "ledger-dev", &scene.token(&PAULA).unwrap()).expect("others work");
    let took = start.elapsed();
    println!("measured: a login beside eight that wait for a silent target took {took:?}");
    assert!(took < Duration::from_secs(8), "a login took {took:?} beside those that wait for a silent target");
    for mut raw in waiting {
        let said = raw.ends();
        let last = said.iter().rev().find_map(Message::refusal).expect("the wait ends with a sentence");
        assert_eq!(last.severity, "FATAL", "{last:?}");
    }
    scene.cluster.stop();
    raw.send(&message(b'Q', b"select 1\0"));
    let said = raw.ends();
    let last = said.iter().rev().find_map(Message::refusal).expect("the end is said");
    println!("said: {}", last.whole);
    assert_eq!(last.severity, "FATAL", "{last:?}");
}

#[test]
fn an_identity_provider_that_is_unreachable_refuses_with_a_sentence() {
    let mut scene = fresh("failures-idp", &Choice::default()).unwrap();
    let token = scene.token(&PAULA).unwrap();
    scene.idp.stop();
    let login = Raw::login(scene.gateway.port, "ledger-dev", &token);
    let refusal = login.map(|_| ()).expect_err("nobody's key can be had");
    println!("said: {}", refusal.whole);
    assert_eq!(refusal.severity, "FATAL", "{refusal:?}");
    assert!(refusal.whole.contains("identity provider"), "{refusal:?}");
}

#[test]
fn a_recording_that_cannot_be_written_ends_the_session_and_nothing_unrecorded_passes() {
    // Files of this gateway end at 1 MiB: a write beyond it fails, as on a full disk, in the middle of a result.
    let shell = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" \"$@\"";
    let launcher = ["/bin/sh", "-c", shell].map(str::to_owned).to_vec();
    let policy_files = vec![elsewhere("in-full", "127.0.0.1:PORT")];
    let scene = fresh("failures-disk", &Choice { launcher, policy_files, ..Choice::default() }).unwrap();
    let mut raw = Raw::login(scene.gateway.port, "in-full", &scene.token(&PAULA).unwrap()).unwrap();
    raw.send(&message(b'Q', b"select md5(n::text) || md5((n + 1)::text) from generate_series(1, 200000) n\0"));
    let (mut rows, mut last) = (0, None);
    while let Some(message) = raw.receive() {
        rows += usize::from(message.tag == 'D');
        last = message.refusal().or(last);
    }
    let last = last.expect("the end is said");
    println!("said after {rows} rows: {}", last.whole);
    assert_eq!(last.severity, "FATAL", "{last:?}");
    assert!(last.whole.contains("record"), "the reason is named: {last:?}");
    assert!(rows < 200_000, "rows passed that no recording holds");
    let recorded = recorded_rows(&scene);
    assert!(rows <= recorded, "the client has {rows} rows, the recording {recorded}");
}

/// Rows in all recordings of a gateway, as replayed.
fn recorded_rows(scene: &Scene) -> usize {
    let folders = |folder: PathBuf| {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect::<Vec<_>>()
    };
    // A folder for each month.
    let sessions = folders(scene.gateway.folder.join("recordings")).into_iter().flat_map(folders);
    let rows = sessions.map(|path| {
        let path = path.to_string_lossy().into_owned();
        let replayed = scene.gateway.ask("", &["replay", &path, "--format", "jsonl"]).unwrap();
        replayed.out.matches("\"type\":\"row\"").count()
    });
    rows.sum()
}

#[test]
fn a_wall_clock_that_is_set_back_gives_no_more_time() {
    let places = &scene().places;
    let folder = places.target.join("live/failures-clock-shim");
    std::fs::create_dir_all(&folder).unwrap();
    let (library, offset) = (folder.join("clock.so"), folder.join("offset"));
    std::fs::write(&offset, "0").unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(places.root.join("tests/live/clock.c"));
    must(&mut cc).unwrap();
    let launcher = vec![
        "env".to_owned(),
        format!("LD_PRELOAD={}", library.display()),
        format!("CLOCK_OFFSET={}", offset.display()),
    ];
    let scene = fresh("failures-clock", &Choice { launcher, ..Choice::default() }).unwrap();
    open(&scene, &TRIAGE, "prod-logs", "8s");
    let mut raw = Raw::login(scene.gateway.port, "prod-logs", &scene.token(&TRIAGE).unwrap()).unwrap();
    let start = clock::now();
    std::fs::write(&offset, "-3600").unwrap();
    raw.send(&message(b'Q', b"select pg_sleep(60)\0"));
    let said = raw.ends();
    let took = start.elapsed();
    let last = said.iter().rev().find_map(Message::refusal).expect("the end is said");
    println!("measured: cut {took:?} after the login, with the clock an hour back: {}", last.whole);
    assert_eq!((last.severity.as_str(), last.code.as_str()), ("FATAL", "57P01"), "{last:?}");
    assert!(took < Duration::from_secs(15), "the window of 8 s lasted {took:?}");
    let again = Raw::login(scene.gateway.port, "prod-logs", &scene.token(&TRIAGE).unwrap()).map(|_| ());
    assert_eq!(again.expect_err("the window is over").severity, "FATAL");
}

#[test]
fn a_machine_that_slept_past_the_end_serves_nothing_more() {
    let scene = fresh("failures-sleep", &Choice::default()).unwrap();
    open(&scene, &CODER, "ledger-staging", "5s");
    let mut raw = Raw::login(scene.gateway.port, "ledger-staging", &scene.token(&CODER).unwrap()).unwrap();
    assert_eq!(raw.query("select 'awake'").unwrap(), ["awake"]);
    signal(scene.gateway.pid(), "STOP");
    raw.send(&message(b'Q', b"select 'asleep'\0"));
    std::thread::sleep(Duration::from_secs(7));
    signal(scene.gateway.pid(), "CONT");
    let said = raw.ends();
    assert!(said.iter().all(|message| message.tag != 'D'), "a row came after the end: {said:?}");
    let last = said.iter().rev().find_map(Message::refusal).expect("the end is said");
    assert_eq!((last.severity.as_str(), last.code.as_str()), ("FATAL", "57P01"), "{last:?}");
}

#[test]
fn what_is_said_of_a_wrong_token_has_a_way_out() {
    let refusal = Raw::login(scene().gateway.port, "ledger-dev", "not-a-token").map(|_| ()).expect_err("no token");
    println!("said: {}", refusal.whole);
    assert!(refusal.whole.contains("token"), "{refusal:?}");
    let refusal = Raw::login(scene().gateway.port, "no-such", &token(&PAULA)).map(|_| ()).expect_err("no connection");
    println!("said: {}", refusal.whole);
    assert!(refusal.whole.contains("no-such"), "{refusal:?}");
}
