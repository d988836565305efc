//! A logged-in PostgreSQL session, from the client's side: every message is judged before the server sees it.
//!
//! A refused message is replaced by one that the server's own parser rejects, and the server's error by ours. So the
//! state of the transaction, the skipping up to Sync and an implicit transaction's rollback are the server's, exactly.
//! The client's text never reaches the server unless it was judged as a whole.

use super::bindings::Bindings;
use super::classify::Texts;
use super::holding::{Back, Holding};
use super::interplay::Member;
use super::judging::notice_of;
use super::masking::{self, Catalogs, Known};
use super::names::Names;
use super::pipeline::{Awaited, Pipeline, Run};
use super::reply;
use super::scan::{Scanner, Shape};
use super::spent::Spent;
use super::verdict::{self, Denial};
use super::wire::WireError;
use super::wire::frame::{ClientTag, Frame};
use super::wire::server::TransactionStatus;
use super::wire::sqlstate::SqlState;
use super::wire::write::{Notice, Severity};
use crate::core::active::Active;
use crate::core::event::What;
use crate::core::hold::{HoldAnswer, HoldId};
use crate::core::identity::Identity;
use crate::core::lease::Lease;
use crate::core::limits::Limits;
use crate::core::machine::{Cause, Close, Machine, Now, Outbox, Reading};
use bytes::{Bytes, BytesMut};
use lang::program::rules::Recorded;
use lang::time::Timestamp;
use pgsql::mask::Plan;
use pgsql::reach::Reach;
use pgsql::session::SessionFacts;
use secrecy::SecretBox;
use std::sync::{Arc, Mutex};

/// How long the server may take to end a statement that was cancelled.
pub(super) const CANCEL_GRACE_MS: u64 = 5_000;

/// Where COPY stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Copying {
    /// No COPY, or COPY TO.
    No,
    /// The client sends data.
    In,
}

/// What is skipped because the client was told of an error that the server does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Skipping {
    /// Nothing.
    No,
    /// The server's messages up to ReadyForQuery.
    Server,
    /// The client's messages up to its next Sync as well.
    Both,
}

/// The machine.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "facts of a session that are independent of each other")]
pub struct Postgres {
    pub(super) lease: Lease,
    pub(super) limits: Limits,
    pub(super) facts: SessionFacts,
    /// The target's catalog, where masks stand or what names lead to matters.
    pub(super) known: Option<Known>,
    pub(super) catalogs: Arc<Catalogs>,
    /// The masks over the catalog.
    pub(super) plan: Option<Arc<Plan>>,
    /// What names lead to in the catalog.
    pub(super) reach: Option<Arc<Reach>>,
    /// Whether the session was opened with a need for the catalog.
    pub(super) asked_for_definitions: bool,
    /// The role at the target, where it masks by itself.
    pub(super) role: Option<String>,
    /// What is looked for in what the target sends.
    pub(super) scanner: Option<Scanner>,
    pub(super) pattern_key: Arc<SecretBox<[u8; 32]>>,
    /// How the rows that come are written, where it is said.
    pub(super) shape: Option<Shape>,
    /// Whether a portal was bound to binary results.
    pub(super) binds_binary: bool,
    /// Whether COPY data that comes is binary.
    pub(super) copies_binary: bool,
    /// The session changed definitions: the catalog must be read again.
    pub(super) redefined: bool,
    /// And did so in a transaction that may yet undo it.
    pub(super) redefined_for_now: bool,
    /// What it uses and changes, beside the other sessions of the connection.
    pub(super) member: Member,
    /// Whether the server said last that a transaction is open.
    pub(super) in_transaction: bool,
    /// How many changes of definitions had ended when the catalog was asked for.
    pub(super) changes_when_asked: u64,
    /// How many of them the catalog knew that was known outside a transaction last.
    pub(super) made_outside: u64,
    /// How many catalogs the gateway had learnt when it looked for a newer one last.
    pub(super) learned: u64,
    /// The transaction reads definitions as they were when it began (REPEATABLE READ, SERIALIZABLE).
    pub(super) frozen: bool,
    /// Until when the next message waits for what other sessions use or change, in milliseconds of the monotonic clock.
    pub(super) waits_until_mono_ms: Option<u64>,
    /// When it looks again whether it is over.
    pub(super) look_at_mono_ms: Option<u64>,
    /// What the server said last when it was ready, as long as nothing was sent since.
    pub(super) settled: Option<TransactionStatus>,
    pub(super) read_only: bool,
    pub(super) texts: Arc<Mutex<Texts>>,
    pub(super) statements: Names,
    pub(super) portals: Names,
    pub(super) spent: Spent,
    pub(super) holds_cursors: bool,
    pub(super) pipeline: Pipeline,
    /// Whether any guard wants people's word on statements of the connection.
    pub(super) reviews: bool,
    /// What portals were bound to.
    pub(super) bindings: Bindings,
    /// Messages that are kept back.
    pub(super) back: Option<Box<Back>>,
    /// The statement that waits for people.
    pub(super) holding: Option<Box<Holding>>,
    /// How many have waited.
    pub(super) holds: u64,
    /// The server skips what comes, up to the client's next Sync.
    pub(super) batch_failed: bool,
    /// A message that waits until what came before it is answered.
    pub(super) next: Option<Frame<ClientTag>>,
    /// Bytes of the client that wait behind a statement.
    pub(super) behind_bytes: usize,
    pub(super) copying: Copying,
    pub(super) skipping: Skipping,
    /// When a cancelled statement must have ended.
    pub(super) grace_mono_ms: Option<u64>,
    pub(super) lease_end_mono_ms: u64,
    pub(super) omitted: (u64, u64),
    /// Bytes of a message of the target that are still to come and are not kept.
    pub(super) passing_over: usize,
    pub(super) done: bool,
}

/// What a machine is made of.
#[derive(Debug)]
pub struct Parts {
    /// The lease.
    pub lease: Lease,
    /// Bounds.
    pub limits: Limits,
    /// The server's facts.
    pub facts: SessionFacts,
    /// The target's catalog, where masks stand or what names lead to matters.
    pub known: Option<Known>,
    /// The catalogs of all connections.
    pub catalogs: Arc<Catalogs>,
    /// The key of hashes that stand for what a pattern finds.
    pub pattern_key: Arc<SecretBox<[u8; 32]>>,
    /// Whether the session is pinned read-only.
    pub read_only: bool,
    /// Texts that were judged before.
    pub texts: Arc<Mutex<Texts>>,
}

/// A machine for a session that is ready for its first query.
pub fn start(now: Now, parts: Parts) -> Postgres {
    let asked_for_definitions = verdict::needs_catalog(&parts.lease);
    let member = parts.catalogs.interplay.join(parts.lease.connection());
    let mut session = Postgres {
        role: masking::names(&parts.lease).map(|names| names.role),
        scanner: None,
        pattern_key: parts.pattern_key,
        shape: None,
        binds_binary: false,
        copies_binary: false,
        lease_end_mono_ms: parts.lease.ends_mono_ms(now),
        lease: parts.lease,
        limits: parts.limits,
        facts: parts.facts,
        known: parts.known,
        catalogs: parts.catalogs,
        plan: None,
        reach: None,
        asked_for_definitions,
        redefined: false,
        redefined_for_now: false,
        member,
        in_transaction: false,
        changes_when_asked: 0,
        made_outside: 0,
        learned: 0,
        frozen: false,
        waits_until_mono_ms: None,
        look_at_mono_ms: None,
        settled: Some(TransactionStatus::Idle),
        read_only: parts.read_only,
        texts: parts.texts,
        statements: Names::default(),
        portals: Names::default(),
        spent: Spent::default(),
        holds_cursors: false,
        pipeline: Pipeline::default(),
        reviews: false,
        bindings: Bindings::default(),
        back: None,
        holding: None,
        holds: 0,
        batch_failed: false,
        next: None,
        behind_bytes: 0,
        copying: Copying::No,
        skipping: Skipping::No,
        grace_mono_ms: None,
        omitted: (0, 0),
        passing_over: 0,
        done: false,
    };
    session.lay_masks();
    session.reviews = session.has_reviews();
    session
}

impl Machine for Postgres {
    fn on_client(&mut self, now: Now, input: &mut BytesMut, out: &mut Outbox) {
        if self.is_over(now, out) {
            return;
        }
        let mut run = BytesMut::new();
        while !self.done
            && self.holding.is_none()
            && !self.counts_now()
            && self.look_at_mono_ms.is_none()
            && self.pipeline.len() < self.limits.pipeline_max
            && !self.reads_catalog(now, &mut run, out)
        {
            if let Some(frame) = self.next.take() {
                if !self.pipeline.is_empty() {
                    self.next = Some(frame);
                    break;
                }
                self.take_message(now, frame, &mut run, out);
                continue;
            }
            match Frame::<ClientTag>::next(input, &self.limits) {
                Ok(Some(frame)) => self.take_message(now, frame, &mut run, out),
                Ok(None) => break,
                Err(error) => self.broken(now, &error, out),
            }
        }
        Self::flush_client_run(now, &mut run, out);
        self.behind_bytes = input.len();
        self.look_behind_held(input, out);
    }

    fn on_upstream(&mut self, now: Now, input: &mut BytesMut, out: &mut Outbox) {
        if self.is_over(now, out) {
            return;
        }
        self.server_bytes(now, input, out);
        self.go_on_holding(now, out);
        if self.next.is_some() {
            self.on_client(now, &mut BytesMut::new(), out);
        }
    }

    fn on_program(&mut self, now: Now, active: &Arc<Active>, out: &mut Outbox) {
        if self.done {
            return;
        }
        if let Err(close) = self.lease.on_program(active, now.wall) {
            return self.end(now, close, out);
        }
        out.note(now, What::Reauthorised { bundle: active.digest.clone(), commit: active.commit.clone() });
        self.rejudge(now, out);
    }

    fn on_identity(&mut self, now: Now, identity: &Arc<Identity>, out: &mut Outbox) {
        if self.done {
            return;
        }
        match self.lease.on_identity(identity, now.wall) {
            Err(close) => self.end(now, close, out),
            Ok(()) => self.rejudge(now, out),
        }
    }

    fn on_extended(&mut self, now: Now, ends: Timestamp, out: &mut Outbox) {
        if self.done {
            return;
        }
        match self.lease.on_extended(ends, now.wall) {
            Err(close) => self.end(now, close, out),
            Ok(()) => self.lease_end_mono_ms = self.lease.ends_mono_ms(now),
        }
    }

    fn on_hold(&mut self, now: Now, hold: HoldId, answer: HoldAnswer, out: &mut Outbox) {
        if !self.is_over(now, out) {
            self.answered_hold(now, hold, answer, out);
        }
    }

    fn on_cancel(&mut self, now: Now, out: &mut Outbox) {
        if !self.is_over(now, out) {
            self.waits_until_mono_ms = self.waits_until_mono_ms.map(|_| now.mono_ms);
            self.cancel_held(now, out);
        }
    }

    fn on_end(&mut self, now: Now, close: Close, out: &mut Outbox) {
        self.end(now, close, out);
    }

    fn on_wake(&mut self, now: Now, out: &mut Outbox) {
        self.look_at_mono_ms = None;
        if self.done {
            return;
        }
        if self.is_over(now, out) {
            return;
        }
        self.wake_held(now, out);
        if self.grace_mono_ms.is_some_and(|grace| now.mono_ms >= grace) {
            let sentence = "the target did not end a cancelled statement".to_owned();
            return self.end(now, Close { cause: Cause::Upstream, sentence }, out);
        }
        let over = self.pipeline.front().and_then(Awaited::run).and_then(|run| run.deadline_mono_ms);
        if over.is_some_and(|deadline| now.mono_ms >= deadline) {
            self.out_of_time(now, out);
        }
        if self.next.is_some() {
            self.on_client(now, &mut BytesMut::new(), out);
        }
    }

    fn wake_at_mono_ms(&self) -> Option<u64> {
        let deadline = self.pipeline.front().and_then(Awaited::run).and_then(|run| run.deadline_mono_ms);
        [Some(self.lease_end_mono_ms), deadline, self.grace_mono_ms, self.held_until_mono_ms(), self.look_at_mono_ms]
            .into_iter()
            .flatten()
            .min()
    }

    fn reading(&self) -> Reading {
        if self.done {
            Reading::Done
        } else if self.pipeline.len() >= self.limits.pipeline_max
            || self.waits_for_definitions()
            || self.look_at_mono_ms.is_some()
            || (self.behind_bytes >= self.limits.pending_bytes_max
                && (self.holding.is_some() || self.next.is_some() || self.counts_now()))
        {
            Reading::ClientPaused
        } else {
            Reading::Both
        }
    }
}

impl Postgres {
    /// The lease that the session runs under.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// Ends the session when its lease has ended. Both clocks must agree that it lasts: one may have been set back, or
    /// have slept with the machine, so that traffic comes before the timer.
    fn is_over(&mut self, now: Now, out: &mut Outbox) -> bool {
        if !self.done && (now.mono_ms >= self.lease_end_mono_ms || now.wall >= self.lease.ends()) {
            let close = self.lease.over();
            self.end(now, close, out);
        }
        self.done
    }

    /// Judges what is under way by the lease as it is now.
    pub(super) fn rejudge(&mut self, now: Now, out: &mut Outbox) {
        self.lease_end_mono_ms = self.lease.ends_mono_ms(now);
        self.lay_masks();
        if masking::names(&self.lease).map(|names| names.role) != self.role {
            let sentence = "the policy now gives this session another role at the target: connect again".to_owned();
            return self.end(now, Close { cause: Cause::Policy, sentence }, out);
        }
        if self.plan.is_none() && verdict::has_masks(&self.lease) {
            let sentence = "the policy now masks data of this connection: connect again".to_owned();
            return self.end(now, Close { cause: Cause::Policy, sentence }, out);
        }
        if self.reach.is_none() && !self.asked_for_definitions && verdict::needs_catalog(&self.lease) {
            let sentence = "the policy now narrows what this connection may reach: connect again".to_owned();
            return self.end(now, Close { cause: Cause::Policy, sentence }, out);
        }
        self.reviews = self.has_reviews();
        let refused = |run: &Run| self.unagreed(run, now);
        if self.pipeline.behind_front().filter_map(Awaited::run).any(|run| refused(run).is_some()) {
            // What the server has already been sent cannot be taken back one by one.
            let sentence = "the policy no longer permits a statement that is under way".to_owned();
            return self.end(now, Close { cause: Cause::Policy, sentence }, out);
        }
        let denial = self.pipeline.front().and_then(Awaited::run).and_then(refused);
        if let Some(denial) = denial {
            self.cut_front(now, &denial, out);
        }
        self.rejudge_held(now, out);
    }

    /// Cancels what runs, because the policy no longer permits it.
    fn cut_front(&mut self, now: Now, denial: &Denial, out: &mut Outbox) {
        if let Some(run) = self.pipeline.front_mut().and_then(Awaited::run_mut)
            && run.ending.is_none()
        {
            let message = format!("the policy no longer permits this statement: {}", denial.sentence);
            run.ending = Some(Box::new(Notice { message, ..notice_of(denial) }));
            self.grace_mono_ms = Some(now.mono_ms.saturating_add(CANCEL_GRACE_MS));
            out.cancel_upstream();
        }
    }

    fn out_of_time(&mut self, now: Now, out: &mut Outbox) {
        let Some(run) = self.pipeline.front_mut().and_then(Awaited::run_mut) else { return };
        run.deadline_mono_ms = None;
        if let (None, Some((seconds, rule))) = (&run.ending, run.limits.seconds.clone()) {
            let place = self.lease.active().program.place(&rule).map(|place| format!(", {place}")).unwrap_or_default();
            let sentence = format!("the statement ran longer than {seconds} s");
            let notice =
                Notice::new(Severity::Error, SqlState::QUERY_CANCELED, sentence).with_detail(format!("{rule}{place}"));
            run.ending = Some(Box::new(notice));
            self.grace_mono_ms = Some(now.mono_ms.saturating_add(CANCEL_GRACE_MS));
            out.cancel_upstream();
        }
    }

    /// Ends the session: the running statement is cancelled, the client is told why.
    pub(super) fn end(&mut self, now: Now, close: Close, out: &mut Outbox) {
        if self.done {
            return;
        }
        self.done = true;
        self.drop_held(&close.sentence, out);
        if !self.pipeline.is_empty() {
            out.cancel_upstream();
        }
        let mut bytes = BytesMut::new();
        reply::ended(close.cause, &close.sentence).write(&mut bytes);
        self.tell(now, bytes.freeze(), out);
        out.close(close.cause, close.sentence);
    }

    /// Says something to the client in the gateway's own words.
    pub(super) fn tell(&mut self, now: Now, frames: Bytes, out: &mut Outbox) {
        if self.lease.recorded() == Recorded::None {
            out.send_client_unrecorded(&frames);
        } else {
            out.forward_to_client(now, frames);
        }
    }

    pub(super) fn broken(&mut self, now: Now, error: &WireError, out: &mut Outbox) {
        self.protocol_error(now, error.to_string(), out);
    }

    pub(super) fn protocol_error(&mut self, now: Now, sentence: String, out: &mut Outbox) {
        self.end(now, Close { cause: Cause::Fault, sentence }, out);
    }
}
