//! The seam between a protocol and the world: one side-effect-free half of a proxied session.

use super::active::Active;
use super::event::{Event, What};
use super::hold::{HoldAnswer, HoldId, HoldOrder};
use super::identity::Identity;
use bytes::{Bytes, BytesMut};
use lang::time::Timestamp;
use std::sync::Arc;

/// The instant at which a machine is called: wall time for people and records, monotonic time for deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall time.
    pub wall: Timestamp,
    /// Milliseconds of a monotonic clock since the gateway started.
    pub mono_ms: u64,
}

/// One side-effect-free half of a proxied session: no socket, no clock, no task.
pub trait Machine {
    /// Bytes came from the client; what is not taken yet stays in `input`.
    fn on_client(&mut self, now: Now, input: &mut BytesMut, out: &mut Outbox);
    /// Bytes came from the target; what is not taken yet stays in `input`.
    fn on_upstream(&mut self, now: Now, input: &mut BytesMut, out: &mut Outbox);
    /// Another program is in force.
    fn on_program(&mut self, now: Now, active: &Arc<Active>, out: &mut Outbox);
    /// A newer token of the subject was verified.
    fn on_identity(&mut self, now: Now, identity: &Arc<Identity>, out: &mut Outbox);
    /// The window's end moved.
    fn on_extended(&mut self, now: Now, ends: Timestamp, out: &mut Outbox);
    /// What came of an order about a statement that waits for people.
    fn on_hold(&mut self, now: Now, hold: HoldId, answer: HoldAnswer, out: &mut Outbox);
    /// The client gives up the statement that waits for people.
    fn on_cancel(&mut self, now: Now, out: &mut Outbox);
    /// The session must end.
    fn on_end(&mut self, now: Now, close: Close, out: &mut Outbox);
    /// The instant of [`Machine::wake_at`] has come.
    fn on_wake(&mut self, now: Now, out: &mut Outbox);
    /// When the machine wants to be woken, in milliseconds of the monotonic clock.
    fn wake_at_mono_ms(&self) -> Option<u64>;
    /// Which sides the pump may read from.
    fn reading(&self) -> Reading;
}

/// Which sides the pump may read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Both.
    Both,
    /// Nothing more from the client until something changes.
    ClientPaused,
    /// Nothing more from the target until something changes.
    UpstreamPaused,
    /// The session is over.
    Done,
}

/// Why a session ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// A word for records and metrics; see [`What::Closed`].
    pub cause: Cause,
    /// One sentence for people.
    pub sentence: String,
}

/// The causes of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The client left.
    Client,
    /// The target left or failed.
    Upstream,
    /// The window, the hours or the token ended.
    WindowEnd,
    /// Somebody revoked the window or terminated the session.
    Revoked,
    /// The policy no longer permits the session.
    Policy,
    /// A newer token of the subject lacks what the session rests on.
    Identity,
    /// The gateway shuts down.
    Drain,
    /// A peer broke the protocol or a bound.
    Fault,
    /// The recorder cannot accept.
    Recorder,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 9] = [
        Self::Client,
        Self::Upstream,
        Self::WindowEnd,
        Self::Revoked,
        Self::Policy,
        Self::Identity,
        Self::Drain,
        Self::Fault,
        Self::Recorder,
    ];

    /// The word in records and metrics.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::WindowEnd => "window-end",
            Self::Revoked => "revoked",
            Self::Policy => "policy",
            Self::Identity => "identity",
            Self::Drain => "drain",
            Self::Fault => "fault",
            Self::Recorder => "recorder",
        }
    }
}

/// The only way out of a machine.
///
/// Frames and the event that records them are queued by one call, and the pump hands every event to the recorder
/// before it writes a byte: a full or dead recorder stops traffic.
#[derive(Debug, Default)]
pub struct Outbox {
    events: Vec<Event>,
    to_upstream: BytesMut,
    to_client: BytesMut,
    cancel_upstream: bool,
    hold: Option<HoldOrder>,
    close: Option<Close>,
}

/// What an [`Outbox`] held, in the order in which the pump must act on it.
#[derive(Debug, Default)]
pub struct Drained {
    /// First: to the recorder.
    pub events: Vec<Event>,
    /// Then: to the target.
    pub to_upstream: BytesMut,
    /// Then: to the client.
    pub to_client: BytesMut,
    /// Then: a cancel request for the target's running statement.
    pub cancel_upstream: bool,
    /// Then: an order about a statement that waits for people.
    pub hold: Option<HoldOrder>,
    /// Last: the end of the session.
    pub close: Option<Close>,
}

impl Outbox {
    /// Sends inspected frames to the target and records them.
    pub fn forward_to_upstream(&mut self, now: Now, frames: Bytes) {
        self.to_upstream.extend_from_slice(&frames);
        self.note(now, What::FromClient(frames));
    }

    /// Sends inspected frames to the target without recording their bytes: the level is below `full`, or the
    /// gateway itself speaks (a Sync after a refused pipeline).
    pub fn send_upstream_unrecorded(&mut self, frames: &[u8]) {
        self.to_upstream.extend_from_slice(frames);
    }

    /// Sends inspected frames to the client and records them.
    pub fn forward_to_client(&mut self, now: Now, frames: Bytes) {
        self.to_client.extend_from_slice(&frames);
        self.note(now, What::ToClient(frames));
    }

    /// Sends inspected frames to the client without recording their bytes: the level is below `full`.
    pub fn send_client_unrecorded(&mut self, frames: &[u8]) {
        self.to_client.extend_from_slice(frames);
    }

    /// Records something that is not a frame.
    pub fn note(&mut self, now: Now, what: What) {
        self.events.push(Event { at: now.wall, what });
    }

    /// Asks for a cancel request to the target.
    pub fn cancel_upstream(&mut self) {
        self.cancel_upstream = true;
    }

    /// Gives an order about a statement that waits for people; the newest counts.
    pub fn hold(&mut self, order: HoldOrder) {
        self.hold = Some(order);
    }

    /// Takes over what another outbox holds, behind what this one holds.
    pub fn absorb(&mut self, mut other: Self) {
        self.events.append(&mut other.events);
        self.to_upstream.unsplit(other.to_upstream);
        self.to_client.unsplit(other.to_client);
        self.cancel_upstream |= other.cancel_upstream;
        if other.hold.is_some() {
            self.hold = other.hold;
        }
        if self.close.is_none() {
            self.close = other.close;
        }
    }

    /// Bytes that wait for the target.
    pub fn pending_upstream_bytes(&self) -> usize {
        self.to_upstream.len()
    }

    /// Ends the session once everything queued has been written. The first reason wins.
    pub fn close(&mut self, cause: Cause, sentence: impl Into<String>) {
        if self.close.is_none() {
            self.close = Some(Close { cause, sentence: sentence.into() });
        }
    }

    /// Whether the session ends with this outbox.
    pub fn is_closing(&self) -> bool {
        self.close.is_some()
    }

    /// Bytes that wait for the client.
    pub fn pending_client_bytes(&self) -> usize {
        self.to_client.len()
    }

    /// Takes everything out.
    pub fn drain(&mut self) -> Drained {
        Drained {
            events: std::mem::take(&mut self.events),
            to_upstream: std::mem::take(&mut self.to_upstream),
            to_client: std::mem::take(&mut self.to_client),
            cancel_upstream: std::mem::take(&mut self.cancel_upstream),
            hold: self.hold.take(),
            close: self.close.take(),
        }
    }
}
