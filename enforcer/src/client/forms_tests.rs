//! The forms of a replay beside text and JSON, and which steps it shows.

use super::replay::{self, Only, Pace};
use super::replay_tests::{args, conversation, frame, record};
use super::verify::Outcome;
use crate::recording::inert::acts;
use crate::recording::tests::{TempFolder, at, client_left, from_client, opened, recorder};
use lang::program::rules::Recorded;
use std::io;
use std::time::Duration;

struct Still;

impl Pace for Still {
    fn wait(&mut self, _: Duration) {}
    fn go_on(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

fn shown(args: &replay::Args) -> String {
    let mut out = Vec::new();
    replay::run(args, &mut out, &mut Still).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_replay_begins_where_it_is_told_and_shows_what_is_asked_for() {
    let temp = TempFolder::new();
    record(&temp.0, &conversation(), true);
    let text = args(&temp.0, replay::Format::Text);
    let later = shown(&replay::Args { from: Some("3s".into()), ..text.clone() });
    assert!(later.contains("session ") && later.contains("$1") && !later.contains("DELETE"), "{later}");
    let instant = replay::Args { from: Some("2026-05-04T13:06:43Z".into()), ..text.clone() };
    assert_eq!(shown(&instant), later);
    let statements = shown(&replay::Args { only: Some(Only::Statements), ..text.clone() });
    assert!(statements.contains("SELECT 3") && !statements.contains("1000"), "{statements}");
    let denials = shown(&replay::Args { only: Some(Only::Denials), ..text.clone() });
    assert!(denials.contains("DELETE FROM orders") && denials.contains("deletes are not allowed"), "{denials}");
    assert!(!denials.contains("SELECT") && !denials.contains("COPY"), "{denials}");
    assert!(replay::run(&replay::Args { from: Some("soon".into()), ..text }, &mut Vec::new(), &mut Still).is_err());
}

#[test]
fn csv_has_a_line_for_each_step() {
    let temp = TempFolder::new();
    record(&temp.0, &conversation(), true);
    let text = shown(&args(&temp.0, replay::Format::Csv));
    let lines: Vec<&str> = text.split("\r\n").collect();
    assert_eq!(lines[0], "record,at,type,text,rule,values");
    assert!(lines.iter().any(|line| line.ends_with("row,,,1,Mara")), "{text}");
    assert!(
        lines.iter().any(|line| line.contains(",denied,\"deletes are not allowed here\",\"guard prod-sql\"")),
        "{text}"
    );
    assert!(lines.iter().any(|line| line.starts_with(",,end,")), "{text}");
}

#[test]
fn an_asciicast_is_json_lines_with_times_that_grow() {
    let temp = TempFolder::new();
    record(&temp.0, &conversation(), true);
    let text = shown(&args(&temp.0, replay::Format::Cast));
    let mut lines = text.lines();
    let head: serde_json::Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    assert_eq!((head["version"].as_i64(), head["timestamp"].as_i64()), (Some(2), Some(at(0).unix_ms() / 1_000)));
    let (mut last, mut screen) = (0.0, String::new());
    for line in lines {
        let event: (f64, String, String) = serde_json::from_str(line).unwrap();
        assert!(event.0 >= last && event.1 == "o");
        last = event.0;
        screen.push_str(&event.2);
    }
    assert!(screen.contains("DELETE FROM orders\r\n") && screen.contains("Mara"), "{screen}");
    assert!((5.0..30.0).contains(&last), "a pause of a minute is shortened: {last}");
}

#[test]
fn a_page_holds_no_markup_of_the_recorded() {
    let temp = TempFolder::new();
    let hostile = "SELECT '<script>alert(1)</script>' AS \"<img src=x onerror=1>\" \u{202e} \x1b[31m\0";
    let mut events = conversation();
    events.push(from_client(5_600, frame(b'Q', hostile.as_bytes())));
    record(&temp.0, &events, true);
    let text = shown(&args(&temp.0, replay::Format::Html));
    assert!(text.starts_with("<!doctype html>") && text.trim_end().ends_with("</html>"));
    assert!(text.contains("default-src 'none'") && text.contains("<td>Mara</td>") && text.contains("class=\"null\""));
    assert!(text.contains("&lt;script&gt;") && !text.contains("<script") && !text.contains("<img"), "{text}");
    assert!(!text.chars().any(|character| acts(character) && character != '\n'));
    assert!(text.contains("class=\"complete\""));
}

/// Appends to a live session while a replay waits for more.
struct Writes<'a> {
    session: &'a mut crate::recording::SessionRecorder,
    left: u8,
}

impl Pace for Writes<'_> {
    fn wait(&mut self, _: Duration) {
        match self.left {
            0 => {}
            1 => {
                self.session.close(at(9_000), &client_left()).unwrap();
            }
            _ => {
                let sql = format!("SELECT {}\0", self.left);
                self.session.append(&[from_client(100, frame(b'Q', sql.as_bytes()))]).unwrap();
            }
        }
        self.left = self.left.saturating_sub(1);
    }
    fn go_on(&mut self) -> io::Result<bool> {
        Ok(true)
    }
}

#[test]
fn a_live_session_is_followed_over_segments_to_its_close() {
    let temp = TempFolder::new();
    let recorder = recorder(&temp.0, 300);
    let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
    let follow = replay::Args { follow: true, ..args(&temp.0, replay::Format::Text) };
    let mut out = Vec::new();
    let mut writes = Writes { session: &mut session, left: 12 };
    let outcome = replay::run(&follow, &mut out, &mut writes).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(outcome, Some(Outcome::Complete), "{text}");
    (2..=12).for_each(|number| assert!(text.contains(&format!("SELECT {number}\n")), "{number}: {text}"));
    drop((session, recorder));
    assert!(crate::recording::find(&temp.0, &opened(1).session).unwrap().unwrap().join("000002.rec.zst").exists());
}

/// The kept recording that an age recipient can read.
fn encrypted() -> replay::Args {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/recordings/v2-encrypted");
    let folder = folder.join(opened(1).session.as_str());
    replay::Args { recording: folder.display().to_string(), recordings: None, ..args(&folder, replay::Format::Text) }
}

#[test]
fn an_encrypted_recording_says_what_is_hidden_and_how_to_see_it() {
    let blind = shown(&encrypted());
    assert!(blind.contains("8 events are encrypted (--identity or --key-service shows them)"), "{blind}");
    assert!(blind.contains("orders") && blind.contains("mara"), "the facts of its opening stay readable: {blind}");
    assert!(!blind.contains("select public.orders"), "{blind}");

    let temp = TempFolder::new();
    let file = temp.0.join("identity");
    std::fs::write(&file, crate::recording::age::tests::IDENTITY).unwrap();
    let open = shown(&replay::Args { identity: Some(file.clone()), ..encrypted() });
    assert!(open.contains("accesses: select public.orders") && !open.contains("encrypted"), "{open}");

    // Another person's identity is an error with a sentence, not an empty recording.
    let other = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
    std::fs::write(&file, other).unwrap();
    let mut out = Vec::new();
    let outcome = replay::run(&replay::Args { identity: Some(file), ..encrypted() }, &mut out, &mut Still).unwrap();
    let said = String::from_utf8(out).unwrap();
    assert_eq!(outcome, Some(Outcome::Unreadable), "{said}");
    assert!(said.contains("none of the identities opens this recording"), "{said}");
}
