//! A bound on rows for statements that write: what the server counts is known before anything can be committed.
//!
//! Synchronous. In the extended protocol the statement's count is asked for at once, and nothing that the client sends
//! behind it, least of all its Sync, passes before the count is known. A simple query outside a transaction is put into
//! one of the gateway's own. A count that exceeds the bound ends in an error of the server, so that the transaction
//! cannot be committed any more. What cannot be counted must never run under a bound.

use super::classify::Text;
use super::judging::notice_of;
use super::machine::{Copying, Postgres, Skipping};
use super::messages::{REFUSED_NAME, REFUSED_TEXT, rewritten};
use super::pipeline::{Awaited, Run};
use super::replies::{Fate, target_at_fault};
use super::reply::{self, Rule};
use super::verdict::Denial;
use super::wire::frame::{ClientTag, Frame, ServerTag};
use super::wire::server::{CommandComplete, TransactionStatus};
use super::wire::write::{self, Notice};
use crate::core::event::{Decision, What};
use crate::core::machine::{Now, Outbox};
use bytes::BytesMut;
use pgsql::statement::Action;

/// A statement that waits for the transaction that the gateway opens around it.
#[derive(Debug)]
pub struct Wrapped {
    run: Run,
    bytes: BytesMut,
}

/// What the client is told at the end of the transaction that the gateway opened.
#[derive(Debug, Default)]
pub struct End {
    error: Option<Box<Notice>>,
}

impl Postgres {
    /// Whether nothing may be taken from the client before a count is known.
    pub(super) fn counts_now(&self) -> bool {
        let counts = |entry: &Awaited| entry.run().is_some_and(|run| run.counts);
        self.copying != Copying::In
            && (self.pipeline.back().is_some_and(counts)
                || matches!(self.pipeline.front(), Some(Awaited::Begin(_) | Awaited::End(_))))
    }

    /// Sends a permitted simple query whose rows are counted, or keeps it until what came before is answered.
    pub(super) fn query_counted(
        &mut self,
        now: Now,
        frame: &Frame<ClientTag>,
        text: &Text,
        permitted: Run,
        run: &mut BytesMut,
        out: &mut Outbox,
    ) {
        if self.settled.is_none() && !self.pipeline.is_empty() {
            Self::flush_client_run(now, run, out);
            if !self.pipeline.ends_a_request() {
                Self::ask_for_answers(out);
            }
            self.next = Some(frame.clone());
            return;
        }
        if let Err(denial) = self.countable(text).and_then(|()| self.learn(&text.statements)) {
            return self.refuse(now, frame, &denial, run, out);
        }
        Self::flush_client_run(now, run, out);
        self.keep(now, frame, out);
        let decision = super::verdict::allowed(&self.lease, permitted.accesses());
        self.send_counted(now, frame, text, permitted, decision, out);
    }

    /// Whether a text can be put into a transaction, and its rows be counted in it.
    pub(super) fn countable(&self, text: &Text) -> Result<(), Box<Denial>> {
        if self.settled.is_none() {
            let sentence =
                "the rows that it writes are limited: end the pipeline (Sync) before it, so that it can be taken back";
            return Err(Denial::saying(sentence));
        }
        if text.statements.iter().any(|one| matches!(one.action, Action::Transaction(_))) {
            let sentence =
                "the rows that it writes are limited: send BEGIN, COMMIT and the like in messages of their own";
            return Err(Denial::saying(sentence));
        }
        Ok(())
    }

    /// Sends a simple query that is on record, within a transaction.
    pub(super) fn send_counted(
        &mut self,
        now: Now,
        frame: &Frame<ClientTag>,
        text: &Text,
        permitted: Run,
        decision: Decision,
        out: &mut Outbox,
    ) {
        let bytes = match rewritten(text) {
            None => BytesMut::from(&**frame.whole()),
            Some(Ok(bytes)) => bytes,
            Some(Err(error)) => return self.broken(now, &error, out),
        };
        out.note(now, What::Decision(decision));
        if self.settled == Some(TransactionStatus::Idle) {
            self.say_upstream(now, "BEGIN", out);
            self.queue(now, Awaited::Begin(Box::new(Wrapped { run: permitted, bytes })));
        } else {
            out.send_upstream_unrecorded(&bytes);
            self.queue(now, Awaited::Query(Box::new(permitted)));
        }
    }

    /// Has the server answer what it was sent.
    pub(super) fn ask_for_answers(out: &mut Outbox) {
        let mut flush = BytesMut::new();
        write::flush(&mut flush);
        out.send_upstream_unrecorded(&flush);
    }

    fn say_upstream(&mut self, now: Now, sql: &str, out: &mut Outbox) {
        let mut query = BytesMut::new();
        match write::query(&mut query, sql) {
            Ok(()) => out.send_upstream_unrecorded(&query),
            Err(error) => self.broken(now, &error, out),
        }
    }

    /// One frame of the answer to the gateway's own BEGIN, COMMIT or ROLLBACK.
    pub(super) fn bracket_frame(&mut self, now: Now, frame: &Frame<ServerTag>, out: &mut Outbox) -> Fate {
        let begins = matches!(self.pipeline.front(), Some(Awaited::Begin(_)));
        let tag = frame.tag();
        if tag == ServerTag::ReadyForQuery {
            return if begins { self.begun(now, frame, out) } else { self.ready(now, frame, out) };
        }
        if tag == ServerTag::ErrorResponse {
            return if begins { target_at_fault("the target opens no transaction") } else { self.failed(now, frame) };
        }
        if tag == ServerTag::ParameterStatus {
            return Self::parameter(frame.body());
        }
        if tag == ServerTag::CommandComplete
            && let Some(Awaited::End(end)) = self.pipeline.front_mut()
            && let Some(notice) = end.error.take()
        {
            return Fate::Instead(notice);
        }
        Fate::Drop
    }

    /// The gateway's transaction is open: the statement follows, if it is still permitted.
    fn begun(&mut self, now: Now, frame: &Frame<ServerTag>, out: &mut Outbox) -> Fate {
        let Some(Awaited::Begin(wrapped)) = self.pipeline.pop() else {
            return target_at_fault("the target answered what was not asked");
        };
        if !matches!(TransactionStatus::read(frame.body()), Ok(TransactionStatus::Open)) {
            return target_at_fault("the target opens no transaction");
        }
        let Wrapped { mut run, bytes } = *wrapped;
        if let Some(denial) = self.unagreed(&run, now) {
            out.note(now, What::Decision(denial.event()));
            self.end_bracket(now, "ROLLBACK", Some(Box::new(notice_of(&denial))), out);
            return Fate::Drop;
        }
        run.wrapped = true;
        out.send_upstream_unrecorded(&bytes);
        self.queue(now, Awaited::Query(Box::new(run)));
        Fate::Drop
    }

    /// Whether what the server says besides rows takes a statement beyond its bound on bytes: an error or a notice may
    /// quote a value of any length.
    pub(super) fn says_too_much(&mut self, frame_bytes: usize) -> bool {
        let Some(run) = self.pipeline.front_mut().and_then(Awaited::run_mut) else { return false };
        run.says_too_much(frame_bytes)
    }

    fn end_bracket(&mut self, now: Now, sql: &str, error: Option<Box<Notice>>, out: &mut Outbox) {
        self.say_upstream(now, sql, out);
        self.queue(now, Awaited::End(Box::new(End { error })));
    }

    /// The front statement is complete, and its rows are counted: none when it may stand.
    pub(super) fn counted(&mut self, now: Now, frame: &Frame<ServerTag>, out: &mut Outbox) -> Option<Fate> {
        let run = self.pipeline.front_mut().and_then(Awaited::run_mut).filter(|run| run.counts)?;
        let ending = run.ending.take();
        let limit = run.limits.rows.clone();
        let complete = CommandComplete::read(frame.body());
        let (rows, tag) = complete.as_ref().map_or((None, ""), |complete| (complete.rows(), complete.tag));
        let named = limit.as_ref().map_or((None, None), |(_, rule)| {
            (Some(rule.to_string()), self.lease.active().program.place(rule).map(ToString::to_string))
        });
        let notice = match (ending, limit) {
            (Some(notice), _) => notice,
            (None, None) => return None,
            (None, Some((max, _))) => {
                // What makes no table makes no rows.
                let none = ["CREATE TABLE AS", "CREATE MATERIALIZED VIEW", "SELECT INTO"].contains(&tag);
                if none || rows.is_some_and(|rows| rows <= max) {
                    return None;
                }
                let rows = rows.map_or_else(|| "an unknown number of".to_owned(), |rows| rows.to_string());
                let rule = Rule { name: named.0.as_deref(), place: named.1.as_deref() };
                let sentence = format!("the statement writes {rows} rows, more than {max}: nothing of it is kept");
                Box::new(reply::limited(&sentence, rule).with_hint("Write fewer rows at a time."))
            }
        };
        let sentence = notice.message.clone();
        let accesses = run_phrases(self.pipeline.front());
        let decision = Decision { outcome: "limited".to_owned(), accesses, rule: named.0, place: named.1, sentence };
        out.note(now, What::Decision(decision));
        self.grace_mono_ms = None;
        self.copying = Copying::No;
        if matches!(self.pipeline.front(), Some(Awaited::Execute(_))) {
            if let Some(Awaited::Execute(run)) = self.pipeline.pop() {
                self.settle(&run, false);
            }
            let mut refused = BytesMut::new();
            if let Err(error) = write::parse(&mut refused, REFUSED_NAME, REFUSED_TEXT, &[]) {
                return Some(target_at_fault(error.to_string()));
            }
            out.send_upstream_unrecorded(&refused);
            self.queue(now, Awaited::Refused(notice));
        } else if let Some(run) = self.pipeline.front_mut().and_then(Awaited::run_mut) {
            run.exceeded = Some(notice);
            self.skipping = Skipping::Server;
        }
        Some(Fate::Drop)
    }

    /// A counted simple query is done: the transaction around it ends as the count demands.
    pub(super) fn counted_query_done(
        &mut self,
        now: Now,
        run: &mut Run,
        status: TransactionStatus,
        out: &mut Outbox,
    ) -> Option<Fate> {
        let exceeded = run.exceeded.take();
        match (run.wrapped, status) {
            (true, TransactionStatus::Idle) => {
                return Some(target_at_fault("the target ended a transaction that is the gateway's"));
            }
            (true, TransactionStatus::Open) if exceeded.is_none() => self.end_bracket(now, "COMMIT", None, out),
            (true, TransactionStatus::Open | TransactionStatus::Failed) => {
                self.end_bracket(now, "ROLLBACK", exceeded, out);
            }
            (false, _) => {
                let notice = exceeded?;
                self.say_upstream(now, REFUSED_TEXT, out);
                self.queue(now, Awaited::RefusedQuery(notice));
            }
        }
        Some(Fate::Drop)
    }
}

fn run_phrases(entry: Option<&Awaited>) -> Vec<String> {
    entry.and_then(Awaited::run).map(|run| super::verdict::phrases(run.accesses())).unwrap_or_default()
}
