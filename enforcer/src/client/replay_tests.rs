//! Replaying and verifying recordings, hostile ones included.

use super::replay::{self, Pace};
use super::verify::{self, Outcome};
use crate::core::event::{Decision, Event, What};
use crate::recording::inert::acts;
use crate::recording::tests::{TempFolder, at, client_left, decision, from_client, key, opened, recorder, to_client};
use lang::program::rules::Recorded;
use proptest::prelude::*;
use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

pub(super) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend_from_slice(body);
    out
}

fn row_description(columns: &[(&str, u32, i16)]) -> Vec<u8> {
    let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
    for (name, oid, format) in columns {
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0]);
        body.extend_from_slice(&oid.to_be_bytes());
        body.extend_from_slice(&[0, 4, 255, 255, 255, 255]);
        body.extend_from_slice(&format.to_be_bytes());
    }
    frame(b'T', &body)
}

fn data_row(values: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        match value {
            Some(bytes) => {
                body.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
                body.extend_from_slice(bytes);
            }
            None => body.extend_from_slice(&[255; 4]),
        }
    }
    frame(b'D', &body)
}

fn error(message: &str) -> Vec<u8> {
    frame(b'E', format!("SERROR\0VERROR\0C42501\0M{message}\0Hask again\0\0").as_bytes())
}

fn joined(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.concat()
}

pub(super) fn record(folder: &Path, events: &[Event], close: bool) {
    let recorder = recorder(folder, u64::MAX);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    for event in events {
        session.append(std::slice::from_ref(event)).unwrap();
    }
    if close {
        session.close(at(60_000), &client_left()).unwrap();
    }
}

#[derive(Default)]
struct Script {
    waited: Vec<Duration>,
    keys: Vec<bool>,
}

impl Pace for Script {
    fn wait(&mut self, time: Duration) {
        self.waited.push(time);
    }
    fn go_on(&mut self) -> io::Result<bool> {
        Ok(self.keys.pop().unwrap_or(false))
    }
}

pub(super) fn args(folder: &Path, format: replay::Format) -> replay::Args {
    replay::Args {
        archive: crate::client::archive::Args::default(),
        key_service: None,
        key_token: None,
        identity: None,
        from: None,
        only: None,
        follow: false,
        recording: opened(1).session.to_string(),
        recordings: Some(folder.to_owned()),
        public_key: None,
        speed: None,
        idle_max: 5,
        step: false,
        width: 20,
        format,
    }
}

fn replayed(folder: &Path, format: replay::Format) -> (Outcome, String) {
    let mut out = Vec::new();
    let outcome = replay::run(&args(folder, format), &mut out, &mut Script::default()).unwrap().unwrap();
    (outcome, String::from_utf8(out).unwrap())
}

/// A simple query, a refused one, an extended one whose Describe was skipped, a COPY.
pub(super) fn conversation() -> Vec<Event> {
    let denied = Decision {
        outcome: "denied".into(),
        accesses: vec!["delete public.orders".into()],
        rule: Some("guard prod-sql".into()),
        place: Some("policies/guards.kdl:7".into()),
        sentence: "deletes are not allowed here".into(),
    };
    let parse = frame(b'P', b"s1\0SELECT name, total FROM orders WHERE id = $1\0\0\x01\0\0\0\x17");
    let describe = frame(b'D', b"Ss1\0");
    let bind = frame(b'B', b"\0s1\0\0\x01\0\x01\0\x01\0\0\0\x04\0\0\0\x2a\0\x01\0\x01");
    let execute = frame(b'E', b"\0\0\0\0\0");
    let sync = frame(b'S', b"");
    vec![
        from_client(10, frame(b'Q', b"SELECT id,\n  name\nFROM orders\0")),
        decision(11),
        to_client(
            1_500,
            joined(&[
                row_description(&[("id", 23, 0), ("name", 25, 0)]),
                data_row(&[Some(b"1"), Some(b"Mara")]),
                data_row(&[Some(b"1000"), None]),
                data_row(&[Some(b"3"), Some("a very long name that must be cut".as_bytes())]),
                frame(b'C', b"SELECT 3\0"),
                frame(b'Z', b"I"),
            ]),
        ),
        from_client(2_000, frame(b'Q', b"DELETE FROM orders\0")),
        Event { at: at(2_001), what: What::Decision(denied) },
        to_client(2_002, joined(&[error("refused by guard prod-sql"), frame(b'Z', b"I")])),
        from_client(3_000, joined(&[parse, describe, sync.clone()])),
        to_client(
            3_010,
            joined(&[
                frame(b'1', b""),
                frame(b't', b"\0\x01\0\0\0\x17"),
                row_description(&[("name", 25, 0), ("total", 20, 0)]),
                frame(b'Z', b"I"),
            ]),
        ),
        from_client(4_000, joined(&[bind, execute, sync])),
        to_client(
            4_010,
            joined(&[
                frame(b'2', b""),
                data_row(&[Some(b"Mara"), Some(&77_i64.to_be_bytes())]),
                frame(b'C', b"SELECT 1\0"),
                frame(b'Z', b"I"),
            ]),
        ),
        from_client(5_000, frame(b'Q', b"COPY orders TO STDOUT\0")),
        to_client(
            5_010,
            joined(&[
                frame(b'H', b"\0\0\0"),
                frame(b'd', b"1\tMara\n"),
                frame(b'c', b""),
                frame(b'C', b"COPY 1\0"),
                frame(b'Z', b"I"),
            ]),
        ),
        Event { at: at(5_500), what: What::RowsOmitted { rows: 4, bytes: 80 } },
    ]
}

#[test]
fn a_session_reads_as_a_story() {
    let temp = TempFolder::new();
    record(&temp.0, &conversation(), true);
    let (outcome, text) = replayed(&temp.0, replay::Format::Text);
    assert_eq!(outcome, Outcome::Complete);
    let expected = r"session     ses_71w70e1s0w3g71w7
opened      2026-05-04T13:06:40.000Z
who         mara@acme.example (human corp:t1:o1)
groups      payments
connection  orders (postgres)
grant       orders-read
window      standing, ends 2026-05-04T13:16:40.000Z
policy      commit cccccccccccccccccccccccccccccccccccccccc, bundle bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
reason      INC-7
client      user mara from 127.0.0.1:5000
application psql
gateway     gw-1, recorded full

   +0.010s  query     SELECT id,
                        name
                      FROM orders
   +0.011s  allowed   by grant orders-read (policies/orders.kdl:12): the grant `orders-read` allows this
                      accesses: select public.orders
                       id   | name
                      ------+----------------------
                       1    | Mara
                       1000 | NULL
                       3    | a very long name th…
   +1.500s  done      SELECT 3
   +2.000s  query     DELETE FROM orders
   +2.001s  denied    by guard prod-sql (policies/guards.kdl:7): deletes are not allowed here
                      accesses: delete public.orders
   +2.002s  error     refused by guard prod-sql (42501)
                      hint: ask again
   +3.000s  parse s1  SELECT name, total FROM orders WHERE id = $1
   +4.000s  bind s1   $1 = '42'
   +4.000s  execute   
                       name | total
                      ------+-------
                       Mara | 77
   +4.010s  done      SELECT 1
   +5.000s  query     COPY orders TO STDOUT
   +5.010s  note      COPY to the client begins
   +5.010s  copy      from the target: 1\tMara
   +5.010s  done      COPY 1
   +5.500s  rows      4 rows of 80 bytes are not recorded at this level
  +60.000s  closed    the client left (client)

the recording is complete and intact: 21 records, closed 2026-05-04T13:07:40.000Z (no public key given: origin not checked)
";
    let session = opened(1).session.to_string();
    let expected = expected.replace("ses_71w70e1s0w3g71w7", &session);
    let opened_at = crate::recording::transcript::instant(at(0));
    let shifted = |ms| crate::recording::transcript::instant(at(ms));
    let expected = expected
        .replace("2026-05-04T13:06:40.000Z", &opened_at)
        .replace("2026-05-04T13:16:40.000Z", &shifted(600_000))
        .replace("2026-05-04T13:07:40.000Z", &shifted(60_000));
    let lines = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(lines(&text), lines(&expected), "\n{text}");
}

#[test]
fn json_says_the_same_to_programs() {
    let temp = TempFolder::new();
    record(&temp.0, &conversation(), true);
    let (_, text) = replayed(&temp.0, replay::Format::Jsonl);
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types[..5], ["opened", "query", "decision", "columns", "row"]);
    assert_eq!(*types.last().unwrap(), "end");
    assert_eq!(lines[0]["subject"]["id"], "o1");
    assert_eq!(lines[1]["sql"], "SELECT id,\n  name\nFROM orders");
    assert_eq!(lines[5]["values"], serde_json::json!(["1000", null]));
    assert_eq!(lines.last().unwrap()["outcome"], "complete");

    let (_, document) = replayed(&temp.0, replay::Format::Json);
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["steps"].as_array().unwrap()[..], lines[..lines.len() - 1]);
    assert_eq!(document["end"]["outcome"], "complete");
}

#[test]
fn nothing_recorded_reaches_the_terminal_as_it_is() {
    let evil = "\x1b]0;owned\x07\x1b[2J\u{9b}31m\x7f\u{202e}gnp\u{2066}\u{200b}\r\nINJECTED\x08";
    let body = |prefix: &str| [prefix.as_bytes(), evil.as_bytes(), b"\0"].concat();
    let mut events = vec![
        from_client(1, frame(b'Q', &body("SELECT "))),
        from_client(2, frame(b'P', &[body("s"), body("SELECT $1 "), vec![0, 0]].concat())),
        from_client(3, frame(b'B', &[body("p"), body("s"), b"\0\0\0\x01\0\0\0\x02\x1b[\0\0".to_vec()].concat())),
        from_client(4, frame(b'E', &[body("p"), vec![0; 4]].concat())),
        from_client(5, frame(b'f', &body(""))),
        to_client(6, row_description(&[(&evil.replace('\0', ""), 25, 0)])),
        to_client(7, data_row(&[Some(evil.as_bytes())])),
        to_client(8, frame(b'C', &body("SELECT "))),
        to_client(9, error(evil)),
        to_client(10, frame(b'A', &[vec![0; 4], body(""), body("")].concat())),
        to_client(11, frame(b'd', evil.as_bytes())),
        to_client(12, frame(0x1b, evil.as_bytes())),
        to_client(13, frame(b'Z', b"")),
    ];
    let text = evil.to_owned();
    events.push(Event {
        at: at(14),
        what: What::Decision(Decision {
            outcome: text.clone(),
            accesses: vec![text.clone()],
            rule: Some(text.clone()),
            place: Some(text.clone()),
            sentence: text.clone(),
        }),
    });
    events.push(Event { at: at(15), what: What::Reauthorised { bundle: text.clone(), commit: text.clone() } });
    events.push(Event { at: at(16), what: What::Closed { cause: text.clone(), sentence: text.clone() } });
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, u64::MAX);
    let mut facts = opened(1);
    facts.reason = Some(text.clone());
    facts.client_user = text.clone();
    facts.application_name = Some(text.clone());
    facts.trace = Some(text.clone());
    facts.subject_name = Some(text.clone());
    let mut session = recorder.open(at(0), facts, Recorded::Full).unwrap();
    session.append(&events).unwrap();
    session.close(at(20), &client_left()).unwrap();
    drop((session, recorder));
    for format in [replay::Format::Text, replay::Format::Json, replay::Format::Jsonl] {
        let (outcome, shown) = replayed(&temp.0, format);
        assert_eq!(outcome, Outcome::Complete);
        assert!(shown.contains("INJECTED"), "{shown}");
        let acting: Vec<char> = shown.chars().filter(|character| *character != '\n' && acts(*character)).collect();
        assert!(acting.is_empty(), "{format:?}: {acting:?}");
        // A recorded line end never begins a line of the viewer's own.
        assert!(!shown.lines().any(|line| line.starts_with("INJECTED")), "{shown}");
    }
}

#[test]
fn speed_and_steps() {
    let temp = TempFolder::new();
    record(&temp.0, &conversation(), true);
    let mut pace = Script::default();
    let timed = replay::Args { speed: Some(2.0), ..args(&temp.0, replay::Format::Text) };
    replay::run(&timed, &mut Vec::new(), &mut pace).unwrap();
    assert_eq!(pace.waited[..3], [5_000, 500, 744_500].map(Duration::from_micros));
    assert!(pace.waited.contains(&Duration::from_secs(5)), "long waits are cut: {:?}", pace.waited);

    let stepping = replay::Args { step: true, ..args(&temp.0, replay::Format::Text) };
    let mut out = Vec::new();
    let mut pace = Script { keys: vec![false, true], ..Script::default() };
    assert_eq!(replay::run(&stepping, &mut out, &mut pace).unwrap(), None);
    let shown = String::from_utf8(out).unwrap();
    assert!(shown.contains("SELECT 3") && !shown.contains("DELETE"), "{shown}");
}

fn verified(folder: &Path, target: &str, public_key: &Path, format: verify::Format) -> (Outcome, String) {
    let args = verify::Args {
        archive: crate::client::archive::Args::default(),
        recording: Some(target.to_owned()),
        against: None,
        witness: None,
        public_key: public_key.to_owned(),
        recordings: Some(folder.to_owned()),
        format,
    };
    let mut out = Vec::new();
    let outcome = verify::run(&args, &mut out).unwrap();
    (outcome, String::from_utf8(out).unwrap())
}

#[test]
fn verify_answers_in_a_sentence_and_a_code() {
    let temp = TempFolder::new();
    let public = temp.0.join("recording.key.pub");
    fs::write(&public, key().public().to_pem().unwrap()).unwrap();
    let session = opened(1).session;
    record(&temp.0, &conversation(), true);
    let folder = crate::recording::find(&temp.0, &session).unwrap().unwrap();
    let text = |target: &str, key: &Path| verified(&temp.0, target, key, verify::Format::Text);

    let (outcome, sentence) = text(session.as_str(), &public);
    assert_eq!((outcome, outcome.code()), (Outcome::Complete, 0));
    assert!(
        sentence.starts_with(&format!("{session}: the recording is complete and intact: 21 records")),
        "{sentence}"
    );
    // The files and the public key are enough, wherever they are.
    let copy = temp.0.join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(folder.join("000000.rec.zst"), copy.join("000000.rec.zst")).unwrap();
    assert_eq!(text(copy.to_str().unwrap(), &public).0.code(), 0);
    // The recording of one session in the place of another's.
    let place = temp.0.join(opened(9).session.as_str());
    fs::rename(&copy, &place).unwrap();
    let (outcome, sentence) = text(place.to_str().unwrap(), &public);
    assert_eq!(outcome, Outcome::Tampered);
    assert!(sentence.contains("stands in the place of"), "{sentence}");

    let (outcome, line) = verified(&temp.0, session.as_str(), &public, verify::Format::Json);
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(outcome, Outcome::Complete);
    assert_eq!((line["exit_code"].as_u64(), line["outcome"].as_str()), (Some(0), Some("complete")));
    assert_eq!(line["session"], session.as_str());

    let other = temp.0.join("other.pub");
    fs::write(&other, crate::recording::SigningKey::from_seed(&[9; 32]).public().to_string()).unwrap();
    assert_eq!(text(session.as_str(), &other).0.code(), 1);
    assert_eq!(text(session.as_str(), &temp.0.join("none.pub")).0.code(), 3);
    let (outcome, sentence) = text(opened(5).session.as_str(), &public);
    assert_eq!(outcome.code(), 3);
    assert!(sentence.starts_with("there is no recording of `ses_"), "{sentence}");
    assert_eq!(text("../../etc", &public).0.code(), 3);

    let file = folder.join("000000.rec.zst");
    let plain = zstd::decode_all(fs::read(&file).unwrap().as_slice()).unwrap();
    fs::remove_file(&file).unwrap();
    let mut changed = plain.clone();
    let place = changed.windows(6).position(|window| window == b"DELETE").unwrap();
    changed[place..place + 6].copy_from_slice(b"SELECT");
    fs::write(folder.join("000000.rec"), &changed).unwrap();
    let (outcome, sentence) = text(session.as_str(), &public);
    assert_eq!(outcome.code(), 1);
    assert!(sentence.contains("record 6 in segment 0 was tampered with: the content was changed"), "{sentence}");
    // A replay shows what stands before, and says so.
    let (outcome, shown) = replayed(&temp.0, replay::Format::Text);
    assert_eq!(outcome, Outcome::Tampered);
    assert!(shown.contains("SELECT 3") && shown.contains("was tampered with"), "{shown}");
}

#[test]
fn verify_tells_a_missing_close_from_a_change() {
    let temp = TempFolder::new();
    let public = temp.0.join("recording.key.pub");
    fs::write(&public, key().public().to_string()).unwrap();
    record(&temp.0, &conversation(), false);
    let session = opened(1).session;
    let (outcome, sentence) = verified(&temp.0, session.as_str(), &public, verify::Format::Text);
    assert_eq!((outcome, outcome.code()), (Outcome::Unclosed, 2));
    assert!(
        sentence.contains("is intact and ends without a close: 19 records, the first 17 of them signed"),
        "{sentence}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever frames were recorded, a replay shows them without a panic and without an acting character.
    #[test]
    fn hostile_frames_are_shown_inert(
        frames in proptest::collection::vec((any::<bool>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..60)), 0..12),
    ) {
        let temp = TempFolder::new();
        let events: Vec<Event> = frames
            .iter()
            .map(|(client, kind, body)| {
                let bytes = if body.first().is_some_and(|byte| *byte > 240) { body.clone() } else { frame(*kind, body) };
                if *client { from_client(1, bytes) } else { to_client(1, bytes) }
            })
            .collect();
        record(&temp.0, &events, true);
        for format in [
            replay::Format::Text,
            replay::Format::Json,
            replay::Format::Csv,
            replay::Format::Cast,
            replay::Format::Html,
        ] {
            let (outcome, shown) = replayed(&temp.0, format);
            prop_assert_eq!(outcome, Outcome::Complete);
            // The line ends of CSV.
            let shown = shown.replace("\r\n", "\n");
            prop_assert!(!shown.chars().any(|character| character != '\n' && acts(character)));
        }
    }
}
