//! What a refused message leaves on record at each level of recording.

use super::{on_a_large_stack, policy};
use bytes::{BufMut, BytesMut};
use enforcer::core::event::What;
use enforcer::core::machine::{Machine, Now, Outbox};
use enforcer::protocols::postgres::classify::Texts;
use enforcer::protocols::postgres::machine::{self, Parts};
use lang::time::Timestamp;
use pgsql::session::SessionFacts;
use std::sync::{Arc, Mutex};

const CANARY: &[u8] = b"canary-7731";

fn frame(tag: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(tag);
    out.put_u32(u32::try_from(body.len() + 4).unwrap());
    out.put_slice(body);
    out
}

/// A Bind of a statement that nobody prepared, with one parameter.
fn unknown_bind() -> BytesMut {
    let mut body = b"\0missing\0\0\0\0\x01".to_vec();
    body.put_u32(u32::try_from(CANARY.len()).unwrap());
    body.extend_from_slice(CANARY);
    body.extend_from_slice(&[0, 0]);
    frame(b'B', &body)
}

/// A fastpath call with one argument.
fn function_call() -> BytesMut {
    let mut body = b"\0\0\0\x2a\0\0\0\x01".to_vec();
    body.put_u32(u32::try_from(CANARY.len()).unwrap());
    body.extend_from_slice(CANARY);
    body.extend_from_slice(&[0, 0]);
    frame(b'F', &body)
}

/// What the recorder is given for the bytes of a client.
fn recorded(policy: &str, bytes: BytesMut) -> (Vec<u8>, usize) {
    let policy = policy.to_owned();
    on_a_large_stack(move || {
        let now = Now { wall: Timestamp::parse_rfc3339("2026-05-04T10:00:00Z").unwrap(), mono_ms: 1_000 };
        let mut machine = machine::start(
            now,
            Parts {
                lease: policy::lease(&policy, now.wall),
                limits: enforcer::core::limits::Limits::default(),
                facts: SessionFacts::pinned(15),
                known: None,
                catalogs: Arc::default(),
                pattern_key: Arc::new(secrecy::SecretBox::new(Box::new([7; 32]))),
                read_only: false,
                texts: Arc::new(Mutex::new(Texts::default())),
            },
        );
        let (mut input, mut out) = (bytes, Outbox::default());
        machine.on_client(now, &mut input, &mut out);
        let mut frames = Vec::new();
        let mut denied = 0;
        for event in out.drain().events {
            match event.what {
                What::FromClient(bytes) | What::ToClient(bytes) => frames.extend_from_slice(&bytes),
                What::Decision(decision) => denied += usize::from(decision.outcome == "denied"),
                What::Opened(_) | What::RowsOmitted { .. } | What::Reauthorised { .. } | What::Closed { .. } => {}
            }
        }
        (frames, denied)
    })
}

fn holds_canary(frames: &[u8]) -> bool {
    frames.windows(CANARY.len()).any(|window| window == CANARY)
}

#[test]
fn parameters_of_a_refused_message_are_recorded_at_full_only() {
    for message in [unknown_bind(), function_call()] {
        let (frames, denied) = recorded("default", message.clone());
        assert!(holds_canary(&frames));
        assert_eq!(denied, 1);
        for policy in ["metadata", "unrecorded"] {
            let (frames, denied) = recorded(policy, message.clone());
            assert!(!holds_canary(&frames), "{policy}");
            assert_eq!(denied, 1, "the decision stays on record: {policy}");
        }
    }
}

#[test]
fn a_refused_statement_is_recorded_unless_the_level_is_none() {
    let mut body = b"drop table public.t -- ".to_vec();
    body.extend_from_slice(CANARY);
    body.push(0);
    let message = frame(b'Q', &body);
    for (policy, kept) in [("default", true), ("metadata", true), ("unrecorded", false)] {
        let (frames, denied) = recorded(policy, message.clone());
        assert_eq!(holds_canary(&frames), kept, "{policy}");
        assert_eq!(denied, 1);
    }
}

#[test]
fn nothing_that_rests_on_the_catalog_runs_where_it_is_not_known() {
    for policy in ["default", "masked"] {
        for text in ["select * from public.events\0", "select lower('x') from public.events\0"] {
            let (frames, denied) = recorded(policy, frame(b'Q', text.as_bytes()));
            assert_eq!(denied, 1, "{policy}: {text}: {}", String::from_utf8_lossy(&frames));
        }
    }
    // What touches nothing needs no catalog.
    assert_eq!(recorded("default", frame(b'Q', b"begin\0")).1, 0);
}
