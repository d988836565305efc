//! What the pump promises, between pipes.

use super::*;
use crate::core::event::What;
use crate::core::hold::{HoldAnswer, HoldId};
use crate::core::identity::Identity;
use crate::core::machine::Now;
use crate::gateway::policy;
use lang::program::rules::Rules;
use lang::program::{Program, SourceTable};
use tokio::sync::mpsc;

/// Forwards whatever the client says, and cancels what ran before when it is told to.
#[derive(Default)]
struct Echo {
    cancels: bool,
}

impl Machine for Echo {
    fn on_client(&mut self, now: Now, input: &mut BytesMut, out: &mut Outbox) {
        if !input.is_empty() {
            out.forward_to_upstream(now, input.split().freeze());
            if self.cancels {
                out.cancel_upstream();
            }
        }
    }
    fn on_upstream(&mut self, _: Now, _: &mut BytesMut, _: &mut Outbox) {}
    fn on_program(&mut self, _: Now, _: &Arc<Active>, _: &mut Outbox) {}
    fn on_identity(&mut self, _: Now, _: &Arc<Identity>, _: &mut Outbox) {}
    fn on_extended(&mut self, _: Now, _: Timestamp, _: &mut Outbox) {}
    fn on_hold(&mut self, _: Now, _: HoldId, _: HoldAnswer, _: &mut Outbox) {}
    fn on_cancel(&mut self, _: Now, _: &mut Outbox) {}
    fn on_end(&mut self, _: Now, close: Close, out: &mut Outbox) {
        out.close(close.cause, close.sentence);
    }
    fn on_wake(&mut self, _: Now, _: &mut Outbox) {}
    fn wake_at_mono_ms(&self) -> Option<u64> {
        None
    }
    fn reading(&self) -> Reading {
        Reading::Both
    }
}

/// Notes what it is asked for, and tells the target's side of each signature.
struct Book {
    calls: Vec<&'static str>,
    signed: mpsc::UnboundedSender<()>,
    signs: bool,
}

impl Recording for Book {
    fn accept(&mut self, events: &[Event]) -> Result<(), String> {
        assert!(events.iter().all(|event| matches!(event.what, What::FromClient(_))));
        self.calls.push("accept");
        Ok(())
    }
    fn sign(&mut self, _: Timestamp) -> Result<(), String> {
        self.calls.push("sign");
        let _ = self.signed.send(());
        if self.signs { Ok(()) } else { Err("no".into()) }
    }
}

/// A session between two pipes; the policy lives as long as what is returned beside it.
fn between<'a, S>(
    client: S,
    upstream: S,
    machine: &'a mut Echo,
    recording: &'a mut Book,
    cancel: Cancel,
    hold: &'a mut dyn FnMut(HoldOrder),
) -> (Session<'a, S, S>, policy::Publisher) {
    let (publisher, policy) = policy::channel();
    let program = Program::new(Rules { timezone: "UTC".into(), ..Rules::default() }, SourceTable::default()).unwrap();
    let at = Timestamp::from_unix_ms(0);
    let (digest, commit) = (String::new(), String::new());
    let applied = Arc::new(Active { program, digest, commit, committed_at: at, activated_at: at });
    let session = Session {
        client,
        client_input: BytesMut::new(),
        upstream,
        upstream_input: BytesMut::new(),
        greeting: BytesMut::new(),
        machine,
        recording,
        orders: Orders::default(),
        policy,
        applied,
        cancel,
        hold,
        pending_bytes_max: 1 << 10,
        unsigned_ms_max: 5,
        recorder_failed: &|_| {},
        goodbye: &|_| {},
    };
    (session, publisher)
}

#[tokio::test]
async fn nothing_new_runs_while_a_cancel_request_is_under_way() {
    let (client, mut at_client) = tokio::io::duplex(1 << 10);
    let (upstream, mut at_upstream) = tokio::io::duplex(1 << 10);
    #[expect(clippy::disallowed_methods, reason = "a test's queue of a few units")]
    let (signed, _signatures) = mpsc::unbounded_channel();
    let mut book = Book { calls: vec![], signed, signs: true };
    let (taken, told) = oneshot::channel();
    let told = std::cell::RefCell::new(Some(told));
    let cancel: Cancel = Box::new(move || told.borrow_mut().take().unwrap());
    let mut machine = Echo { cancels: true };
    let mut hold = |_: HoldOrder| {};
    let (session, _publisher) = between(client, upstream, &mut machine, &mut book, cancel, &mut hold);
    let plays = async {
        at_client.write_all(b"one").await.unwrap();
        let mut seen = [0; 3];
        let early = timeout(Duration::from_millis(50), at_upstream.read_exact(&mut seen)).await;
        assert!(early.is_err(), "the target would have run and cancelled it");
        taken.send(()).unwrap();
        at_upstream.read_exact(&mut seen).await.unwrap();
        drop(at_client);
    };
    tokio::join!(run(session), plays);
}

#[tokio::test]
async fn what_the_target_has_not_taken_does_not_run_after_the_end() {
    let (client, mut at_client) = tokio::io::duplex(1 << 10);
    // The target takes four bytes, and then no more.
    let (upstream, mut at_upstream) = tokio::io::duplex(4);
    #[expect(clippy::disallowed_methods, reason = "a test's queue of a few units")]
    let (signed, _signatures) = mpsc::unbounded_channel();
    let mut book = Book { calls: vec![], signed, signs: true };
    let cancel: Cancel = Box::new(|| oneshot::channel().1);
    let mut machine = Echo::default();
    let mut hold = |_: HoldOrder| {};
    let (mut session, _publisher) = between(client, upstream, &mut machine, &mut book, cancel, &mut hold);
    session.goodbye = &|out| out.put_slice(b"bye");
    let orders = session.orders.clone();
    let plays = async {
        at_client.write_all(b"delete from orders").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        orders.give(Order::End { cause: Cause::Revoked, sentence: "revoked".into() });
        // The session is over when its client hears so; only then does the target read on.
        assert_eq!(at_client.read(&mut [0; 1]).await.unwrap(), 0);
        let mut seen = Vec::new();
        at_upstream.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"dele", "the rest would have run after the end");
    };
    let (close, ()) = tokio::join!(run(session), plays);
    assert_eq!(close.cause, Cause::Revoked);
}

async fn idle_after_one_event(signs: bool, quiet_after: bool) -> (Vec<&'static str>, Close) {
    let (client, mut at_client) = tokio::io::duplex(1 << 10);
    let (upstream, mut at_upstream) = tokio::io::duplex(1 << 10);
    #[expect(clippy::disallowed_methods, reason = "a test's queue of a few units")]
    let (signed, mut signatures) = mpsc::unbounded_channel();
    let mut book = Book { calls: vec![], signed, signs };
    let cancel: Cancel = Box::new(|| oneshot::channel().1);
    let mut machine = Echo::default();
    let mut hold = |_: HoldOrder| {};
    let (session, _publisher) = between(client, upstream, &mut machine, &mut book, cancel, &mut hold);
    let plays = async {
        at_client.write_all(b"one").await.unwrap();
        let mut seen = [0; 3];
        at_upstream.read_exact(&mut seen).await.unwrap();
        // Nothing more is said, and a signature comes all the same.
        signatures.recv().await.unwrap();
        if quiet_after {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(at_client);
    };
    let (close, ()) = tokio::join!(run(session), plays);
    (book.calls, close)
}

#[tokio::test]
async fn an_idle_session_is_signed_once() {
    let (calls, close) = idle_after_one_event(true, true).await;
    assert_eq!(calls, ["accept", "sign"]);
    assert_eq!(close.cause, Cause::Client);
}

#[tokio::test]
async fn a_session_whose_signature_fails_ends() {
    let (calls, close) = idle_after_one_event(false, false).await;
    assert_eq!(calls, ["accept", "sign"]);
    assert_eq!(close.cause, Cause::Recorder);
}
