//! The messages of a client, one by one: each is judged, then passed on, rewritten, or replaced by one that the server
//! refuses.
//!
//! Synchronous. The client's text must never reach the server unless it was judged as a whole.

use super::classify::Text;
use super::holding::Back;
use super::judging::{STATEMENT, empty, notice_of, too_many, unknown};
use super::machine::{Copying, Postgres, Skipping};
use super::names::{Full, Meanings};
use super::pipeline::{Awaited, Freed, Run};
use super::verdict::{self, Denial};
use super::wire::WireError;
use super::wire::client::{Bind, Execute, Named, Parse, Query};
use super::wire::frame::{ClientTag, Format, Frame};
use super::wire::write;
use crate::core::event::What;
use crate::core::machine::{Cause, Now, Outbox};
use bytes::BytesMut;
use lang::program::rules::Recorded;
use std::sync::Arc;

/// The text that stands in for a refused one: a syntax error on every version of the server.
pub(super) const REFUSED_TEXT: &str = "leasehold: refused by policy";
/// The prepared statement that is never made.
pub(super) const REFUSED_NAME: &str = "leasehold_refused";

impl Postgres {
    /// Takes a message, or keeps it back with those before it until it is known whether people must agree to one.
    pub(super) fn take_message(&mut self, now: Now, frame: Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        if self.keeps_back(&frame) {
            let mut back = self.back.take().unwrap_or_else(|| Box::new(Back::new(self.settled)));
            let Back { run: back_run, out: back_out, .. } = &mut *back;
            self.client_frame(now, frame, back_run, back_out);
            let full = back.is_full(&self.limits) || self.pipeline.len() >= self.limits.pipeline_max;
            self.back = Some(back);
            if self.done || full {
                self.send_back(now, run, out);
            }
            return;
        }
        if self.back.is_some() && !(frame.tag() == ClientTag::Execute && self.would_hold(now, &frame)) {
            self.send_back(now, run, out);
        }
        self.client_frame(now, frame, run, out);
    }

    fn client_frame(&mut self, now: Now, frame: Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        if self.skipping == Skipping::Both {
            if frame.tag() == ClientTag::Sync {
                self.skipping = Skipping::Server;
                self.pass(frame, Some(Awaited::Sync), run);
            } else if frame.tag() == ClientTag::Terminate {
                self.leave(now, &frame, run, out);
            }
            return;
        }
        match frame.tag() {
            ClientTag::Query => {
                self.end_batch();
                self.query(now, &frame, run, out);
                self.end_batch();
            }
            ClientTag::Parse => self.parse(now, &frame, run, out),
            ClientTag::Bind => self.bind(now, &frame, run, out),
            ClientTag::Execute => self.execute(now, &frame, run, out),
            ClientTag::Describe => match Named::read_describe(frame.body()) {
                Ok(named) => {
                    let statement = match named {
                        Named::Statement(name) => Some(name.into()),
                        Named::Portal(_) => None,
                    };
                    self.pass(frame, Some(Awaited::Describe(statement)), run);
                }
                Err(error) => self.broken(now, &error, out),
            },
            ClientTag::Close => self.close(now, frame, run, out),
            ClientTag::Sync => {
                self.end_batch();
                // While the server reads COPY data it ignores Sync.
                let awaited = (self.copying == Copying::No).then_some(Awaited::Sync);
                self.batch_failed = false;
                self.pass(frame, awaited, run);
            }
            ClientTag::Flush => self.pass(frame, None, run),
            ClientTag::CopyData => {
                if self.copying == Copying::In || self.copy_to_come().is_some() {
                    self.copy_data(now, frame, run, out);
                }
            }
            ClientTag::CopyDone | ClientTag::CopyFail => {
                if self.copying == Copying::In {
                    self.copying = Copying::No;
                    self.pass(frame, None, run);
                    if matches!(self.pipeline.back(), Some(Awaited::Execute(copy)) if copy.counts) {
                        Self::flush_client_run(now, run, out);
                        Self::ask_for_answers(out);
                    }
                } else if let Some(copy) = self.copy_to_come() {
                    copy.copy_ended = true;
                    self.pass(frame, None, run);
                }
            }
            ClientTag::FunctionCall => {
                let denial = Denial::saying(
                    "function calls by OID (fastpath) never run through the gateway; call the function in a statement",
                );
                self.refuse(now, &frame, &denial, run, out);
            }
            ClientTag::Terminate => self.leave(now, &frame, run, out),
            ClientTag::Password => {
                self.protocol_error(now, "a password message after the login".to_owned(), out);
            }
        }
    }

    fn query(&mut self, now: Now, frame: &Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        if self.copying == Copying::In {
            return self.protocol_error(now, "a query while COPY data is awaited".to_owned(), out);
        }
        let sql = match Query::read(frame.body()) {
            Ok(query) => query.sql,
            Err(error) => return self.broken(now, &error, out),
        };
        let text = match self.text(sql) {
            Ok(text) => text,
            Err(denial) => return self.refuse(now, frame, &denial, run, out),
        };
        match self.judge_text(now, &text) {
            Err(denial) => self.refuse(now, frame, &denial, run, out),
            Ok(permitted) if !permitted.wants.is_empty() => self.hold(now, frame, run, out),
            Ok(permitted) => {
                match self.begins(now, frame, &permitted.statements) {
                    Ok(true) if permitted.counts => {
                        return self.query_counted(now, frame, &text, permitted, run, out);
                    }
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(denial) => return self.refuse(now, frame, &denial, run, out),
                }
                if let Err(denial) = self.learn(&text.statements) {
                    return self.refuse(now, frame, &denial, run, out);
                }
                self.send(now, frame, rewritten(&text), run, out);
                out.note(now, What::Decision(verdict::allowed(&self.lease, permitted.accesses())));
                self.queue(now, Awaited::Query(Box::new(permitted)));
            }
        }
    }

    fn close(&mut self, now: Now, frame: Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        match Named::read_close(frame.body()) {
            Ok(named) => {
                let freed = match named {
                    Named::Statement(name) => Freed::Statement(name.into()),
                    Named::Portal(name) => Freed::Portal(name.into()),
                };
                self.pass(frame, Some(Awaited::Close(freed, self.until())), run);
            }
            Err(error) => self.broken(now, &error, out),
        }
    }

    /// What comes next is not skipped together with what came before.
    pub(super) fn end_batch(&mut self) {
        self.statements.end_batch();
        self.portals.end_batch();
    }

    fn parse(&mut self, now: Now, frame: &Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        let parse = match Parse::read(frame.body()) {
            Ok(parse) => parse,
            Err(error) => return self.broken(now, &error, out),
        };
        let judged = self.text(parse.sql).and_then(|text| {
            if let Some(plan) = &self.plan
                && let Some(kind) = parse.parameter_types.iter().find(|kind| !plan.takes(**kind))
            {
                return Err(Denial::saying(format!(
                    "checks of the type {kind} of a parameter run a routine, and the gateway cannot see what it reads; \
                     this connection has masks"
                )));
            }
            self.makes_parameters(now, &parse.parameter_types)?;
            let permitted = self.judge_text(now, &text)?;
            if !self.begins(now, frame, &permitted.statements)? {
                return Ok(None);
            }
            self.learn(&text.statements)?;
            let meanings: Meanings = text.statements.clone();
            // An empty text prepares nothing that could do anything, yet its name is taken.
            let meanings = if meanings.is_empty() { vec![Arc::new(empty())] } else { meanings };
            let names_max = self.limits.statements_per_session_max;
            let taking = self.statements.take(parse.name, meanings, names_max).map_err(|Full| too_many())?;
            let instead = text.rewritten.as_deref().map(|sql| {
                let mut bytes = BytesMut::new();
                write::parse(&mut bytes, parse.name, sql, &parse.parameter_types).map(|()| bytes)
            });
            Ok(Some((permitted, taking, instead)))
        });
        match judged {
            Err(denial) => self.refuse(now, frame, &denial, run, out),
            Ok(None) => {}
            Ok(Some((permitted, taking, instead))) => {
                self.send(now, frame, instead, run, out);
                out.note(now, What::Decision(verdict::allowed(&self.lease, permitted.accesses())));
                let types = self.reviews.then(|| Box::new((parse.name.into(), parse.parameter_types)));
                self.queue(now, Awaited::Parse(parse.name.is_empty().then_some(taking), types));
            }
        }
    }

    fn bind(&mut self, now: Now, frame: &Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        let bind = match Bind::read(frame.body()) {
            Ok(bind) => bind,
            Err(error) => return self.broken(now, &error, out),
        };
        let Some(meanings) = self.statements.meanings(bind.statement) else {
            return self.refuse(now, frame, &unknown(STATEMENT, bind.statement), run, out);
        };
        match self.begins(now, frame, &meanings) {
            Ok(true) => {}
            Ok(false) => return,
            Err(denial) => return self.refuse(now, frame, &denial, run, out),
        }
        let names_max = self.limits.statements_per_session_max;
        self.bindings.disagree(bind.portal);
        let binding = self.reviews && meanings.iter().any(|meaning| self.wants_review(now, meaning));
        let bytes_max = self.limits.held_bytes_max;
        let binding =
            binding.then(|| Box::new(self.bindings.binding(&bind, frame.body(), meanings.clone(), bytes_max)));
        let Ok(taking) = self.portals.take(bind.portal, meanings, names_max) else {
            return self.refuse(now, frame, &too_many(), run, out);
        };
        self.binds_binary |= bind.result_formats.contains(&Format::Binary);
        if self.lease.recorded() == Recorded::Full {
            run.extend_from_slice(frame.whole());
        } else {
            // Parameters are data: below `full` they are not recorded.
            Self::flush_client_run(now, run, out);
            out.send_upstream_unrecorded(frame.whole());
        }
        self.queue(now, Awaited::Bind(bind.portal.is_empty().then_some(taking), bind.portal.into(), binding));
    }

    fn execute(&mut self, now: Now, frame: &Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        let (portal, rows_max) = match Execute::read(frame.body()) {
            Ok(execute) => (execute.portal, execute.rows_max),
            Err(error) => return self.broken(now, &error, out),
        };
        // Judged anew: the program may have changed since Parse.
        match self.judge_portal(now, portal, rows_max) {
            Err(denial) => self.refuse(now, frame, &denial, run, out),
            Ok(permitted) if !permitted.wants.is_empty() => self.hold(now, frame, run, out),
            Ok(permitted) => {
                match self.begins(now, frame, &permitted.statements) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(denial) => return self.refuse(now, frame, &denial, run, out),
                }
                if let Err(denial) = self.learn_again(portal) {
                    return self.refuse(now, frame, &denial, run, out);
                }
                run.extend_from_slice(frame.whole());
                if permitted.counts {
                    Self::flush_client_run(now, run, out);
                    Self::ask_for_answers(out);
                }
                self.queue(now, Awaited::Execute(Box::new(permitted)));
            }
        }
    }

    /// A permitted COPY FROM STDIN that was sent last and that the server has not asked for data yet: a client may
    /// send its data at once. After a refused COPY there is none, and the data goes nowhere.
    pub(super) fn copy_to_come(&mut self) -> Option<&mut Run> {
        let run = self.pipeline.back_mut().and_then(Awaited::run_mut)?;
        (run.copies_in() && !run.copy_ended && run.ending.is_none()).then_some(run)
    }

    fn copy_data(&mut self, now: Now, frame: Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        if self.lease.recorded() == Recorded::Full {
            self.pass(frame, None, run);
        } else {
            Self::flush_client_run(now, run, out);
            out.send_upstream_unrecorded(frame.whole());
        }
    }

    fn leave(&mut self, now: Now, frame: &Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        if self.copying == Copying::No && !self.pipeline.is_empty() && self.pipeline.ends_a_request() {
            // What is under way ends within its lease, and on record.
            self.next = Some(frame.clone());
            return;
        }
        run.extend_from_slice(frame.whole());
        Self::flush_client_run(now, run, out);
        self.done = true;
        out.close(Cause::Client, "the client ended the session");
    }

    /// Sends a permitted text, or what stands in for it; what is recorded is what the client sent.
    fn send(
        &mut self,
        now: Now,
        frame: &Frame<ClientTag>,
        instead: Option<Result<BytesMut, WireError>>,
        run: &mut BytesMut,
        out: &mut Outbox,
    ) {
        match instead {
            None => {
                run.extend_from_slice(frame.whole());
                Self::flush_client_run(now, run, out);
            }
            Some(Ok(bytes)) => {
                Self::flush_client_run(now, run, out);
                out.note(now, What::FromClient(frame.whole().clone()));
                out.send_upstream_unrecorded(&bytes);
            }
            Some(Err(error)) => self.broken(now, &error, out),
        }
    }

    fn pass(&mut self, frame: Frame<ClientTag>, awaited: Option<Awaited>, run: &mut BytesMut) {
        self.settled = None;
        run.extend_from_slice(&frame.into_whole());
        if let Some(awaited) = awaited {
            self.pipeline.push(awaited);
        }
    }

    pub(super) fn flush_client_run(now: Now, run: &mut BytesMut, out: &mut Outbox) {
        if !run.is_empty() {
            out.forward_to_upstream(now, run.split().freeze());
        }
    }

    /// Refuses a message: records it with its denial and has the server fail in its place.
    pub(super) fn refuse(
        &mut self,
        now: Now,
        frame: &Frame<ClientTag>,
        denial: &Denial,
        run: &mut BytesMut,
        out: &mut Outbox,
    ) {
        Self::flush_client_run(now, run, out);
        self.keep(now, frame, out);
        self.refuse_kept(now, frame.tag(), denial, out);
    }

    /// Records a message that does not go on as it came, where the level keeps it.
    pub(super) fn keep(&self, now: Now, frame: &Frame<ClientTag>, out: &mut Outbox) {
        if self.keeps_refused(frame.tag()) {
            out.note(now, What::FromClient(frame.whole().clone()));
        }
    }

    /// Refuses a message that is on record already.
    pub(super) fn refuse_kept(&mut self, now: Now, tag: ClientTag, denial: &Denial, out: &mut Outbox) {
        out.note(now, What::Decision(denial.event()));
        let simple = matches!(tag, ClientTag::Query | ClientTag::FunctionCall);
        let mut instead = BytesMut::new();
        let written = if simple {
            write::query(&mut instead, REFUSED_TEXT)
        } else {
            write::parse(&mut instead, REFUSED_NAME, REFUSED_TEXT, &[])
        };
        if let Err(error) = written {
            return self.broken(now, &error, out);
        }
        out.send_upstream_unrecorded(&instead);
        let notice = Box::new(notice_of(denial));
        self.queue(now, if simple { Awaited::RefusedQuery(notice) } else { Awaited::Refused(notice) });
    }

    /// Whether the level keeps a refused message: below `full` statements and names, never data.
    fn keeps_refused(&self, tag: ClientTag) -> bool {
        match self.lease.recorded() {
            Recorded::Full => true,
            Recorded::Metadata => match tag {
                ClientTag::Query
                | ClientTag::Parse
                | ClientTag::Execute
                | ClientTag::Describe
                | ClientTag::Close
                | ClientTag::Sync
                | ClientTag::Flush
                | ClientTag::Terminate => true,
                ClientTag::Bind
                | ClientTag::FunctionCall
                | ClientTag::CopyData
                | ClientTag::CopyDone
                | ClientTag::CopyFail
                | ClientTag::Password => false,
            },
            Recorded::None => false,
        }
    }

    pub(super) fn queue(&mut self, now: Now, awaited: Awaited) {
        self.settled = None;
        self.pipeline.push(awaited);
        self.start_front(now);
    }

    /// The turn of the front entry has come: its clock starts, and what its portals returned before counts.
    pub(super) fn start_front(&mut self, now: Now) {
        let Some(run) = self.pipeline.front_mut().and_then(Awaited::run_mut) else { return };
        if run.started {
            return;
        }
        run.started = true;
        run.returned = self.spent.before(&run.fetches);
        if let Some((seconds, _)) = &run.limits.seconds {
            run.deadline_mono_ms = Some(now.mono_ms.saturating_add(seconds.saturating_mul(1_000)));
        }
    }
}

/// What the server gets instead of a text that was rewritten for masks.
pub(super) fn rewritten(text: &Text) -> Option<Result<BytesMut, WireError>> {
    text.rewritten.as_deref().map(|sql| {
        let mut bytes = BytesMut::new();
        write::query(&mut bytes, sql).map(|()| bytes)
    })
}
