//! A whole gateway killed under load, again and again: what it forwarded is on record, what is on record is what was
//! forwarded, and `verify` says so.
//!
//! `LEASEHOLD_KILLS=100 cargo test -p tests --test it -- --ignored killed_a_hundred_times` is the long run.

use super::failures::elsewhere;
use super::fresh;
use super::raw::{Message, Raw, message};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use xtask::cast::PAULA;
use xtask::scene::{Choice, Scene};

const CLIENTS: usize = 4;

/// A connection that is recorded in full and may be written to.
fn policy() -> Vec<(String, String)> {
    let (file, text) = elsewhere("in-full", "127.0.0.1:PORT");
    vec![(file, text.replace("permit read\n", "permit read write\n"))]
}

/// What the clients of one round share.
#[derive(Debug, Default)]
struct Load {
    stop: AtomicBool,
    answers: AtomicU64,
}

/// One client that writes marks as fast as it gets answers, until the gateway is gone. The marks it was told of.
fn client(port: u16, token: &str, name: &str, load: &Load) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    // A login in whose middle the gateway is killed is no failure of the test.
    let Ok(Ok(mut raw)) = std::panic::catch_unwind(|| Raw::login(port, "in-full", token)) else { return told };
    for number in 0_u64.. {
        if load.stop.load(Ordering::Relaxed) {
            break;
        }
        let mark = format!("mark-{name}-{number}");
        let sql = format!("insert into public.kill_marks values ('{mark}') returning mark\0");
        raw.send(&message(b'Q', sql.as_bytes()));
        loop {
            let Some(answer) = raw.receive() else { return told };
            if answer.tag == 'D' {
                told.insert(Message::first_column(&answer));
                load.answers.fetch_add(1, Ordering::Relaxed);
            }
            if answer.tag == 'Z' {
                break;
            }
        }
    }
    told
}

/// The marks in the statements and in the rows of every recording.
fn recorded(scene: &Scene) -> (BTreeSet<String>, BTreeSet<String>) {
    let folders = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let (mut asked, mut answered) = (BTreeSet::new(), BTreeSet::new());
    for session in folders(&scene.gateway.folder.join("recordings")).iter().flat_map(|month| folders(month)) {
        let path = session.display().to_string();
        let shown = scene.gateway.ask("", &["replay", &path, "--format", "jsonl"]).unwrap();
        for line in shown.out.lines() {
            let step: serde_json::Value = serde_json::from_str(line).unwrap();
            let marks = |text: &str| text.split('\'').find(|part| part.starts_with("mark-")).map(str::to_owned);
            match step["type"].as_str() {
                Some("query") => asked.extend(step["sql"].as_str().and_then(marks)),
                Some("row") => answered.extend(step["values"][0].as_str().map(str::to_owned)),
                _ => {}
            }
        }
    }
    (asked, answered)
}

fn killed(name: &str, kills: usize, durability: &str) {
    let policy_files = policy();
    let recording_lines = format!("durability {durability}\n");
    let mut scene =
        fresh(name, &Choice { plaintext: true, policy_files, recording_lines, ..Choice::default() }).unwrap();
    let token = scene.token(&PAULA).unwrap();
    let mut first = Raw::login(scene.gateway.port, "in-full", &token).unwrap();
    scene.cluster.value("ledger_dev", "create table public.kill_marks (mark text primary key)").unwrap();
    scene.cluster.value("ledger_dev", "grant all on public.kill_marks to gateway_rw").unwrap();
    drop(first.query("select 1"));
    drop(first);
    let mut told = BTreeSet::new();
    for kill in 0..kills {
        let load = Arc::new(Load::default());
        let port = scene.gateway.port;
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let (token, load) = (token.clone(), Arc::clone(&load));
                std::thread::spawn(move || client(port, &token, &format!("{kill}-{number}"), &load))
            })
            .collect();
        // The kills fall on every phase: logins of others, statements, answers.
        let loaded = || Ok((load.answers.load(Ordering::Relaxed) > 0).then_some(()));
        xtask::clock::wait_for("there is load", Duration::from_secs(20), loaded).unwrap();
        std::thread::sleep(Duration::from_millis(40 + u64::try_from(kill).unwrap() * 37 % 400));
        scene.gateway.restart(false).unwrap();
        load.stop.store(true, Ordering::Relaxed);
        for client in clients {
            told.extend(client.join().unwrap());
        }
    }
    let done = scene.cluster.value("ledger_dev", "select coalesce(string_agg(mark, ' '), '') from public.kill_marks");
    let done: BTreeSet<String> = done.unwrap().split_whitespace().map(str::to_owned).collect();
    let (asked, answered) = recorded(&scene);
    println!(
        "{kills} kills, durability {durability}: {} statements reached the target, {} rows reached clients; \
         {} statements and {} rows are on record",
        done.len(),
        told.len(),
        asked.len(),
        answered.len()
    );
    assert!(done.len() > kills, "there was load");
    let unrecorded: Vec<&String> = done.difference(&asked).collect();
    assert!(unrecorded.is_empty(), "forwarded and not on record: {unrecorded:?}");
    let missing: Vec<&String> = told.difference(&answered).collect();
    assert!(missing.is_empty(), "told to a client and not on record: {missing:?}");
    let recordings = scene.gateway.folder.join("recordings").display().to_string();
    let key = scene.gateway.folder.join("state/recording.key.pub").display().to_string();
    let verified = scene.gateway.ask("", &["verify", "--recordings", &recordings, "--public-key", &key]).unwrap();
    println!("said: {}", verified.said().trim());
    assert_eq!(verified.code, Some(0), "{}", verified.said());
}

#[test]
fn a_gateway_that_is_killed_under_load_has_everything_on_record() {
    killed("killed", 3, "process");
}

#[test]
#[ignore = "minutes; `LEASEHOLD_KILLS=100 cargo test -p tests --test it -- --ignored killed_a_hundred_times`"]
fn killed_a_hundred_times() {
    let kills = std::env::var("LEASEHOLD_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    killed("killed-often", kills, "process");
}

#[test]
fn a_slow_medium_delays_and_a_broken_one_lets_nothing_pass() {
    let places = xtask::tools::Places::find().unwrap();
    let folder = places.target.join("live/killed-disk-shim");
    std::fs::create_dir_all(&folder).unwrap();
    let (library, mode) = (folder.join("disk.so"), folder.join("mode"));
    std::fs::write(&mode, "").unwrap();
    let mut cc = std::process::Command::new("cc");
    cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(places.root.join("tests/live/disk.c"));
    xtask::command::must(&mut cc).unwrap();
    let launcher =
        vec!["env".to_owned(), format!("LD_PRELOAD={}", library.display()), format!("DISK_MODE={}", mode.display())];
    let policy_files = policy();
    let recording_lines = "durability disk\n".to_owned();
    let choice = Choice { launcher, plaintext: true, policy_files, recording_lines, ..Choice::default() };
    let scene = fresh("killed-disk", &choice).unwrap();
    let token = scene.token(&PAULA).unwrap();
    scene.cluster.value("ledger_dev", "create table public.disk_marks (mark text primary key)").unwrap();
    scene.cluster.value("ledger_dev", "grant all on public.disk_marks to gateway_rw").unwrap();
    let mut raw = Raw::login(scene.gateway.port, "in-full", &token).unwrap();
    assert_eq!(raw.query("select 'fast'").unwrap(), ["fast"]);

    std::fs::write(&mode, "slow 300").unwrap();
    let start = xtask::clock::now();
    assert_eq!(raw.query("insert into public.disk_marks values ('slow') returning mark").unwrap(), ["slow"]);
    let took = start.elapsed();
    println!("measured: a statement on a medium that takes 300 ms took {took:?}");
    assert!(took >= Duration::from_millis(300), "it was forwarded before the medium had it");

    std::fs::write(&mode, "fail").unwrap();
    raw.send(&message(b'Q', b"insert into public.disk_marks values ('unrecorded')\0"));
    let said = raw.ends();
    let last = said.iter().rev().find_map(Message::refusal).expect("the end is said");
    println!("said: {}", last.whole);
    assert!(last.severity == "FATAL" && last.whole.contains("record"), "{last:?}");
    let refusal = Raw::login(scene.gateway.port, "in-full", &token).map(|_| ()).expect_err("nothing opens");
    assert_eq!(refusal.severity, "FATAL", "{refusal:?}");
    let marks = scene.cluster.value("ledger_dev", "select string_agg(mark, ' ') from public.disk_marks").unwrap();
    assert_eq!(marks, "slow", "what the medium refused never reached the target");
    assert!(scene.gateway.metric("leasehold_recording_failures_total").unwrap() >= 1.0);
}
