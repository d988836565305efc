//! Moves bytes between a client, a machine and a target: the only place that awaits on a session's sockets.
//!
//! INVARIANT (record before forward): what an outbox holds reaches the recorder before a byte of it reaches a socket.

use super::clock;
use super::live::{Order, Orders};
use super::policy::Policy;
use crate::core::active::Active;
use crate::core::event::Event;
use crate::core::machine::{Cause, Close, Machine, Outbox, Reading};
use bytes::BytesMut;
use lang::time::Timestamp;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

/// One read takes at most this much.
const READ_BYTES_MAX: usize = 64 << 10;
/// The longest wait for a peer to take the last words of a session.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// The longest time that an accepted event stays without a signature.
pub const UNSIGNED_MS_MAX: u64 = 1_000;

/// A wait for the medium; an error is one sentence, and the session ends.
pub type Durable = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// What accepts a session's events.
pub trait Recording {
    /// Accepts events before their effect leaves the gateway.
    ///
    /// # Errors
    /// With one sentence; the session ends.
    fn accept(&mut self, events: &[Event]) -> Result<(), String>;

    /// The wait for the medium that what was accepted still needs before its effect may leave the gateway.
    fn durable(&mut self) -> Option<Durable> {
        None
    }

    /// Signs what was accepted and no signature covers yet.
    ///
    /// # Errors
    /// With one sentence; the session ends.
    fn sign(&mut self, at: Timestamp) -> Result<(), String>;
}

/// The recorder with the instant at which what it accepted must be signed.
struct Recorded<'a> {
    recording: &'a mut dyn Recording,
    unsigned_ms_max: u64,
    sign_at_mono_ms: Option<u64>,
}

impl Recorded<'_> {
    /// Accepts the events, or signs earlier ones when that is due.
    async fn accept(&mut self, events: &[Event]) -> Result<(), String> {
        if !events.is_empty() {
            self.recording.accept(events)?;
            if let Some(durable) = self.recording.durable() {
                durable.await?;
            }
            self.sign_at_mono_ms.get_or_insert(clock::mono_ms().saturating_add(self.unsigned_ms_max));
        }
        if self.sign_at_mono_ms.is_some_and(|at| clock::mono_ms() >= at) {
            self.sign_at_mono_ms = None;
            self.recording.sign(clock::wall())?;
        }
        Ok(())
    }
}

/// Sends a cancel request to the target, on its own. What it returns is told, or dropped, once the target has taken the
/// request or cannot be reached, within a bounded time.
pub type Cancel = Box<dyn Fn() -> oneshot::Receiver<()>>;

/// One direction's socket and what waits for it.
struct Side<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    input: BytesMut,
    pending: BytesMut,
    unflushed: bool,
}

impl<S: AsyncRead + AsyncWrite> Side<S> {
    fn new(stream: S, input: BytesMut) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self { reader, writer, input, pending: BytesMut::new(), unflushed: false }
    }
}

async fn fill<R: AsyncRead + Unpin>(reader: &mut R, input: &mut BytesMut) -> io::Result<usize> {
    input.reserve(READ_BYTES_MAX.min(8 << 10));
    reader.read_buf(input).await
}

/// Writes a part of what waits, or flushes when nothing does. Cancelling it loses nothing.
async fn push<W: AsyncWrite + Unpin>(writer: &mut W, pending: &mut BytesMut, unflushed: &mut bool) -> io::Result<()> {
    if pending.is_empty() {
        writer.flush().await?;
        *unflushed = false;
        return Ok(());
    }
    *unflushed = true;
    if writer.write_buf(pending).await? == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(())
}

/// What a session runs with.
pub struct Session<'a, C, U> {
    /// The client.
    pub client: C,
    /// Bytes that the client sent already.
    pub client_input: BytesMut,
    /// The target.
    pub upstream: U,
    /// Bytes that the target sent already.
    pub upstream_input: BytesMut,
    /// What the client is told first.
    pub greeting: BytesMut,
    /// The machine.
    pub machine: &'a mut dyn Machine,
    /// The recorder.
    pub recording: &'a mut dyn Recording,
    /// Orders from the register.
    pub orders: Orders,
    /// The policy.
    pub policy: Policy,
    /// The policy that the machine was made with.
    pub applied: Arc<Active>,
    /// How to cancel the target's statement.
    pub cancel: Cancel,
    /// Bytes that may wait for one peer before reading from the other pauses.
    pub pending_bytes_max: usize,
    /// The longest time that an accepted event stays without a signature; see [`UNSIGNED_MS_MAX`].
    pub unsigned_ms_max: u64,
    /// What a client is told when the recorder does not accept, in the protocol's words.
    pub recorder_failed: &'static dyn Fn(&mut BytesMut),
    /// What a target is told at the end, in the protocol's words.
    pub goodbye: &'static dyn Fn(&mut BytesMut),
}

impl<C, U> std::fmt::Debug for Session<'_, C, U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// What woke the pump.
enum Woke {
    Client(io::Result<usize>),
    Upstream(io::Result<usize>),
    ClientWritten(io::Result<()>),
    UpstreamWritten(io::Result<()>),
    Time,
    Cancelled,
    Order(Order),
    Policy(bool),
}

/// Runs a session to its end and says why it ended. The target's connection is closed when it returns.
pub async fn run<C, U>(session: Session<'_, C, U>) -> Close
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let Session { machine, recording, mut orders, mut policy, cancel, pending_bytes_max, .. } = session;
    let mut recorded = Recorded { recording, unsigned_ms_max: session.unsigned_ms_max, sign_at_mono_ms: None };
    let mut client = Side::new(session.client, session.client_input);
    let mut upstream = Side::new(session.upstream, session.upstream_input);
    client.pending = session.greeting;
    let mut out = Outbox::default();
    let mut applied = session.applied;
    let mut cancelling: Option<oneshot::Receiver<()>> = None;
    // Whatever came with the login is handled like anything that comes later.
    machine.on_upstream(clock::now(), &mut upstream.input, &mut out);
    machine.on_client(clock::now(), &mut client.input, &mut out);
    let close = loop {
        let drained = out.drain();
        if let Err(sentence) = recorded.accept(&drained.events).await {
            // Nothing of this turn is forwarded: the statement may run no further, its result goes nowhere.
            drop(cancel());
            (session.recorder_failed)(&mut client.pending);
            break Close { cause: Cause::Recorder, sentence };
        }
        upstream.pending.extend_from_slice(&drained.to_upstream);
        client.pending.extend_from_slice(&drained.to_client);
        if drained.cancel_upstream {
            cancelling = Some(cancel());
        }
        if let Some(close) = drained.close {
            break close;
        }
        let reading = machine.reading();
        let from_client = reading != Reading::ClientPaused && upstream.pending.len() < pending_bytes_max;
        let from_upstream = reading != Reading::UpstreamPaused && client.pending.len() < pending_bytes_max;
        let wake = [machine.wake_at_mono_ms(), recorded.sign_at_mono_ms].into_iter().flatten().min();
        let wait =
            Duration::from_millis(wake.map_or(u64::MAX / 4, |at| at.saturating_sub(clock::mono_ms())).min(3_600_000));
        let event = tokio::select! {
            biased;
            done = push(&mut client.writer, &mut client.pending, &mut client.unflushed),
                if !client.pending.is_empty() || client.unflushed => Woke::ClientWritten(done),
            // A request that is under way cancels whatever the target runs when it arrives: nothing new runs until then.
            done = push(&mut upstream.writer, &mut upstream.pending, &mut upstream.unflushed),
                if cancelling.is_none() && (!upstream.pending.is_empty() || upstream.unflushed) => Woke::UpstreamWritten(done),
            () = taken(&mut cancelling), if cancelling.is_some() => Woke::Cancelled,
            order = orders.next() => Woke::Order(order),
            live = policy.changed() => Woke::Policy(live),
            () = sleep_until(Instant::now() + wait) => Woke::Time,
            read = fill(&mut upstream.reader, &mut upstream.input), if from_upstream => Woke::Upstream(read),
            read = fill(&mut client.reader, &mut client.input), if from_client => Woke::Client(read),
        };
        react(event, machine, &mut client.input, &mut upstream.input, &policy, &mut applied, &mut out);
    };
    (session.goodbye)(&mut upstream.pending);
    farewell(client, upstream).await;
    close
}

/// Waits until the cancel request that is under way has been taken.
async fn taken(cancelling: &mut Option<oneshot::Receiver<()>>) {
    if let Some(receiver) = cancelling {
        // A sender that is gone has given up.
        let _ = receiver.await;
    }
    *cancelling = None;
}

/// Writes the last words to both peers and closes, within a bounded time.
async fn farewell<C, U>(mut client: Side<C>, mut upstream: Side<U>)
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    let to_client = async {
        client.writer.write_all(&client.pending).await?;
        client.writer.shutdown().await
    };
    let to_upstream = async {
        upstream.writer.write_all(&upstream.pending).await?;
        upstream.writer.shutdown().await
    };
    let both = async {
        let _: (io::Result<()>, io::Result<()>) = tokio::join!(to_client, to_upstream);
    };
    // A peer that takes no last words loses them.
    let _ = timeout(FAREWELL_MAX, both).await;
}

/// Has the machine act on what woke the pump.
fn react(
    woke: Woke,
    machine: &mut dyn Machine,
    client_input: &mut BytesMut,
    upstream_input: &mut BytesMut,
    policy: &Policy,
    applied: &mut Arc<Active>,
    out: &mut Outbox,
) {
    let now = clock::now();
    let end = |cause, sentence: &str| Close { cause, sentence: sentence.to_owned() };
    match woke {
        Woke::ClientWritten(Ok(())) | Woke::UpstreamWritten(Ok(())) | Woke::Cancelled => {}
        Woke::Client(Ok(0) | Err(_)) | Woke::ClientWritten(Err(_)) => {
            machine.on_end(now, end(Cause::Client, "the client is gone"), out);
        }
        Woke::Upstream(Ok(0) | Err(_)) | Woke::UpstreamWritten(Err(_)) => {
            machine.on_end(now, end(Cause::Upstream, "the target closed the connection"), out);
        }
        Woke::Client(Ok(_)) => machine.on_client(now, client_input, out),
        Woke::Upstream(Ok(_)) => {
            machine.on_upstream(now, upstream_input, out);
            if !client_input.is_empty() {
                // An answer may make room for messages that waited.
                machine.on_client(now, client_input, out);
            }
        }
        Woke::Time => machine.on_wake(now, out),
        Woke::Order(Order::End { cause, sentence }) => machine.on_end(now, Close { cause, sentence }, out),
        Woke::Order(Order::Extended { ends }) => machine.on_extended(now, ends, out),
        Woke::Order(Order::Identity(identity)) => machine.on_identity(now, &identity, out),
        Woke::Policy(false) => {
            machine.on_end(now, end(Cause::Fault, "the gateway lost touch with the session"), out);
        }
        Woke::Policy(true) => policy_changed(machine, policy, applied, out),
    }
}

/// Tells the machine of a policy that is not the one it knows, and ends it when staleness demands.
fn policy_changed(machine: &mut dyn Machine, policy: &Policy, applied: &mut Arc<Active>, out: &mut Outbox) {
    let now = clock::now();
    let state = policy.state();
    if state.staleness == super::policy::Staleness::Deny {
        let sentence = "the policy is stale, and says that nothing is permitted then".to_owned();
        return machine.on_end(now, Close { cause: Cause::Policy, sentence }, out);
    }
    if let Some(active) = state.active
        && !Arc::ptr_eq(applied, &active)
    {
        machine.on_program(now, &active, out);
        *applied = active;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::What;
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
    ) -> (Session<'a, S, S>, policy::Publisher) {
        let (publisher, policy) = policy::channel();
        let program =
            Program::new(Rules { timezone: "UTC".into(), ..Rules::default() }, SourceTable::default()).unwrap();
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
        let (session, _publisher) = between(client, upstream, &mut machine, &mut book, cancel);
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

    async fn idle_after_one_event(signs: bool, quiet_after: bool) -> (Vec<&'static str>, Close) {
        let (client, mut at_client) = tokio::io::duplex(1 << 10);
        let (upstream, mut at_upstream) = tokio::io::duplex(1 << 10);
        #[expect(clippy::disallowed_methods, reason = "a test's queue of a few units")]
        let (signed, mut signatures) = mpsc::unbounded_channel();
        let mut book = Book { calls: vec![], signed, signs };
        let cancel: Cancel = Box::new(|| oneshot::channel().1);
        let mut machine = Echo::default();
        let (session, _publisher) = between(client, upstream, &mut machine, &mut book, cancel);
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
}
