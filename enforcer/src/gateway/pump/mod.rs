//! Moves bytes between a client, a machine and a target: the only place that awaits on a session's sockets.
//!
//! INVARIANT (record before forward): what an outbox holds reaches the recorder before a byte of it reaches a socket.

use crate::core::active::Active;
use crate::core::event::Event;
use crate::core::hold::HoldOrder;
use crate::core::machine::{Cause, Close, Machine, Outbox, Reading};
use crate::gateway::clock;
use crate::gateway::live::{Order, Orders};
use crate::gateway::policy::{Policy, Staleness};
use bytes::{Buf, BufMut, BytesMut};
use lang::time::Timestamp;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// One read takes at most this much.
const READ_BYTES_MAX: usize = 64 << 10;
/// A read that follows a short one takes at most this much.
const READ_BYTES_MIN: usize = 8 << 10;
/// An alarm is set again at least this often.
const ALARM_MS_MAX: u64 = 3_600_000;
/// The longest wait for a peer to take the last words of a session.
const FAREWELL_MAX: Duration = Duration::from_secs(2);
/// Cancel requests of one session that may be under way. One more would cancel nothing that these do not.
const CANCELS_MAX: usize = 4;
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
    stream: S,
    input: BytesMut,
    pending: BytesMut,
    unflushed: bool,
    /// How much room the next read gets: grows while reads fill it, so that a stream of rows takes few calls and an idle
    /// session little memory.
    room: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Side<S> {
    fn new(stream: S, input: BytesMut, pending: BytesMut) -> Self {
        Self { stream, input, pending, unflushed: false, room: READ_BYTES_MIN }
    }

    /// Writes what waits as far as the peer takes it now, and flushes once nothing waits.
    fn push(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        while !self.pending.is_empty() {
            let Poll::Ready(wrote) = Pin::new(&mut self.stream).poll_write(cx, &self.pending)? else { return Ok(()) };
            if wrote == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.pending.advance(wrote);
            self.unflushed = true;
        }
        if self.unflushed && Pin::new(&mut self.stream).poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Ok(())
    }

    /// Reads what has arrived; none at the end.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.input.reserve(self.room);
        let mut bounded = (&mut self.input).limit(self.room);
        // The future holds no state of its own: dropping it while it waits loses nothing.
        let read = pin!(self.stream.read_buf(&mut bounded)).poll(cx);
        if let Poll::Ready(Ok(bytes)) = &read {
            self.room = if *bytes == self.room {
                self.room.saturating_mul(2).min(READ_BYTES_MAX)
            } else {
                bytes.next_power_of_two().clamp(READ_BYTES_MIN, self.room)
            };
        }
        read
    }

    /// Writes the last words and closes.
    async fn leave(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.pending).await?;
        self.stream.shutdown().await
    }
}

/// Both sockets of a session.
struct Wires<C, U> {
    client: Side<C>,
    upstream: Side<U>,
    /// The cancel requests that are under way.
    cancelling: Vec<oneshot::Receiver<()>>,
    pending_bytes_max: usize,
}

impl<C, U> Wires<C, U>
where
    C: AsyncRead + AsyncWrite + Unpin,
    U: AsyncRead + AsyncWrite + Unpin,
{
    fn write(&mut self, cx: &mut Context<'_>) -> Option<Woke> {
        if let Err(error) = self.client.push(cx) {
            return Some(Woke::Client(Err(error)));
        }
        // A request that is under way cancels whatever the target runs when it arrives: nothing new runs until then.
        let under_way = self.cancelling.len();
        // A sender that is gone has given up.
        self.cancelling.retain_mut(|request| Pin::new(request).poll(cx).is_pending());
        if self.cancelling.len() < under_way {
            return Some(Woke::Cancelled);
        }
        if under_way > 0 {
            return None;
        }
        self.upstream.push(cx).err().map(|error| Woke::Upstream(Err(error)))
    }

    /// Reads from the sides that the machine wants to hear, as long as not too much waits for the other.
    fn read(&mut self, reading: Reading, cx: &mut Context<'_>) -> Option<Woke> {
        if reading != Reading::UpstreamPaused
            && self.client.pending.len() < self.pending_bytes_max
            && let Poll::Ready(read) = self.upstream.fill(cx)
        {
            return Some(Woke::Upstream(read));
        }
        if reading != Reading::ClientPaused
            && self.upstream.pending.len() < self.pending_bytes_max
            && let Poll::Ready(read) = self.client.fill(cx)
        {
            return Some(Woke::Client(read));
        }
        None
    }

    /// Writes the last words to both peers and closes, within a bounded time.
    async fn farewell(mut self, cause: Cause, goodbye: &dyn Fn(&mut BytesMut)) {
        let unsent = !self.upstream.pending.is_empty() || self.upstream.unflushed;
        if cause != Cause::Client && unsent {
            // What the target has not taken must not run once access has ended, nor what lies in a TLS record that was
            // not sent, which closing in good order would send. A message may be cut in two by this, so that no
            // goodbye could follow it: the connection just ends.
            drop(self.upstream);
            // A peer that takes no last words loses them.
            let _ = timeout(FAREWELL_MAX, self.client.leave()).await;
            return;
        }
        goodbye(&mut self.upstream.pending);
        let both = async { tokio::join!(self.client.leave(), self.upstream.leave()) };
        // A peer that takes no last words loses them.
        let _ = timeout(FAREWELL_MAX, both).await;
    }
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
    /// Takes orders about a statement that waits for people.
    pub hold: &'a mut dyn FnMut(HoldOrder),
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
    let Session { machine, recording, orders, policy, cancel, pending_bytes_max, .. } = session;
    let mut recorded = Recorded { recording, unsigned_ms_max: session.unsigned_ms_max, sign_at_mono_ms: None };
    let client = Side::new(session.client, session.client_input, session.greeting);
    let upstream = Side::new(session.upstream, session.upstream_input, BytesMut::new());
    let mut wires = Wires { client, upstream, cancelling: Vec::new(), pending_bytes_max };
    let mut out = Outbox::default();
    let mut applied = session.applied;
    // These waits outlive a turn: making them anew for each message would cost more than judging it.
    let mut order = pin!(next_order(orders.clone()));
    let mut publication = pin!(next_publication(policy.clone()));
    let mut alarm = Alarm { wait: pin!(sleep_until(Instant::now())), at_mono_ms: None };
    // Whatever came with the login is handled like anything that comes later.
    machine.on_upstream(clock::now(), &mut wires.upstream.input, &mut out);
    machine.on_client(clock::now(), &mut wires.client.input, &mut out);
    let close = loop {
        let drained = out.drain();
        if let Err(sentence) = recorded.accept(&drained.events).await {
            // Nothing of this turn is forwarded: the statement may run no further, its result goes nowhere.
            drop(cancel());
            (session.recorder_failed)(&mut wires.client.pending);
            break Close { cause: Cause::Recorder, sentence };
        }
        join(&mut wires.upstream.pending, drained.to_upstream);
        join(&mut wires.client.pending, drained.to_client);
        if drained.cancel_upstream && wires.cancelling.len() < CANCELS_MAX {
            wires.cancelling.push(cancel());
        }
        if let Some(order) = drained.hold {
            (session.hold)(order);
        }
        if let Some(close) = drained.close {
            break close;
        }
        let reading = machine.reading();
        alarm.set([machine.wake_at_mono_ms(), recorded.sign_at_mono_ms].into_iter().flatten().min());
        let woke = poll_fn(|cx| {
            if let Some(woke) = wires.write(cx) {
                return Poll::Ready(woke);
            }
            if let Poll::Ready(given) = order.as_mut().poll(cx) {
                order.set(next_order(orders.clone()));
                return Poll::Ready(Woke::Order(given));
            }
            if let Poll::Ready((live, policy)) = publication.as_mut().poll(cx) {
                publication.set(next_publication(policy));
                return Poll::Ready(Woke::Policy(live));
            }
            if alarm.rings(cx) {
                return Poll::Ready(Woke::Time);
            }
            wires.read(reading, cx).map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        react(woke, machine, &mut wires, &policy, &mut applied, &mut out);
    };
    wires.farewell(close.cause, session.goodbye).await;
    close
}

/// What follows what waits.
fn join(waiting: &mut BytesMut, next: BytesMut) {
    if waiting.is_empty() {
        *waiting = next;
    } else {
        waiting.extend_from_slice(&next);
    }
}

async fn next_order(mut orders: Orders) -> Order {
    orders.next().await
}

/// Whether the publisher lives, and the reader, which has seen what is published now.
async fn next_publication(mut policy: Policy) -> (bool, Policy) {
    let live = policy.changed().await;
    (live, policy)
}

/// The one timer of a session, moved only when the instant moves.
struct Alarm<'a> {
    wait: Pin<&'a mut Sleep>,
    at_mono_ms: Option<u64>,
}

impl Alarm<'_> {
    fn set(&mut self, at_mono_ms: Option<u64>) {
        let at_mono_ms = at_mono_ms.unwrap_or(u64::MAX);
        if self.at_mono_ms != Some(at_mono_ms) {
            self.at_mono_ms = Some(at_mono_ms);
            let wait_ms = at_mono_ms.saturating_sub(clock::mono_ms()).min(ALARM_MS_MAX);
            self.wait.as_mut().reset(Instant::now() + Duration::from_millis(wait_ms));
        }
    }

    /// Whether it has rung; it must be set again then.
    fn rings(&mut self, cx: &mut Context<'_>) -> bool {
        let rung = self.wait.as_mut().poll(cx).is_ready();
        if rung {
            self.at_mono_ms = None;
        }
        rung
    }
}

/// Has the machine act on what woke the pump.
fn react<C, U>(
    woke: Woke,
    machine: &mut dyn Machine,
    wires: &mut Wires<C, U>,
    policy: &Policy,
    applied: &mut Arc<Active>,
    out: &mut Outbox,
) {
    let now = clock::now();
    let end = |cause, sentence: &str| Close { cause, sentence: sentence.to_owned() };
    match woke {
        Woke::Cancelled => {}
        Woke::Client(Ok(0) | Err(_)) => {
            machine.on_end(now, end(Cause::Client, "the client is gone"), out);
        }
        Woke::Upstream(Ok(0) | Err(_)) => {
            machine.on_end(now, end(Cause::Upstream, "the target closed the connection"), out);
        }
        Woke::Client(Ok(_)) => machine.on_client(now, &mut wires.client.input, out),
        Woke::Upstream(Ok(_)) => {
            machine.on_upstream(now, &mut wires.upstream.input, out);
            go_on(machine, &mut wires.client.input, out);
        }
        Woke::Time => {
            machine.on_wake(now, out);
            go_on(machine, &mut wires.client.input, out);
        }
        Woke::Order(Order::End { cause, sentence }) => machine.on_end(now, Close { cause, sentence }, out),
        Woke::Order(Order::Extended { ends }) => machine.on_extended(now, ends, out),
        Woke::Order(Order::Identity(identity)) => {
            machine.on_identity(now, &identity, out);
            go_on(machine, &mut wires.client.input, out);
        }
        Woke::Order(Order::Hold(hold, answer)) => {
            machine.on_hold(now, hold, answer, out);
            go_on(machine, &mut wires.client.input, out);
        }
        Woke::Order(Order::Cancel) => {
            machine.on_cancel(now, out);
            go_on(machine, &mut wires.client.input, out);
        }
        Woke::Policy(false) => {
            machine.on_end(now, end(Cause::Fault, "the gateway lost touch with the session"), out);
        }
        Woke::Policy(true) => {
            policy_changed(machine, policy, applied, out);
            go_on(machine, &mut wires.client.input, out);
        }
    }
}

/// What happened may make room for messages that waited.
fn go_on(machine: &mut dyn Machine, client_input: &mut BytesMut, out: &mut Outbox) {
    if !client_input.is_empty() {
        machine.on_client(clock::now(), client_input, out);
    }
}

/// Tells the machine of a policy that is not the one it knows, and ends it when staleness demands.
fn policy_changed(machine: &mut dyn Machine, policy: &Policy, applied: &mut Arc<Active>, out: &mut Outbox) {
    let now = clock::now();
    let state = policy.state();
    if state.staleness == Staleness::Deny {
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
mod tests;
