//! A logged-in PostgreSQL session, from the client's side: every message is judged before the server sees it.
//!
//! A refused message is replaced by one that the server's own parser rejects, and the server's error by ours. So the
//! state of the transaction, the skipping up to Sync and an implicit transaction's rollback are the server's, exactly.
//! The client's text never reaches the server unless it was judged as a whole.

use super::classify::{Classified, Text, Texts, Under};
use super::masking::{self, CATALOG_MS_MAX, Catalogs, Known};
use super::names::{Full, Meanings, Names};
use super::pipeline::{Awaited, Freed, Pipeline, Run, redefines};
use super::reply::{self, Rule};
use super::spent::Spent;
use super::verdict::{self, Context, Denial};
use super::wire::WireError;
use super::wire::client::{Bind, Execute, Named, Parse, Query};
use super::wire::frame::{ClientTag, Frame};
use super::wire::server::TransactionStatus;
use super::wire::sqlstate::SqlState;
use super::wire::write::{self, Notice, Severity};
use crate::core::active::Active;
use crate::core::event::What;
use crate::core::identity::Identity;
use crate::core::lease::Lease;
use crate::core::limits::Limits;
use crate::core::machine::{Cause, Close, Machine, Now, Outbox, Reading};
use bytes::{Bytes, BytesMut};
use lang::program::StatementLimits;
use lang::program::rules::Recorded;
use lang::time::Timestamp;
use pgsql::mask::{Outcome, Plan};
use pgsql::refusal::Refusal;
use pgsql::session::SessionFacts;
use pgsql::statement::{Action, Discard};
use std::sync::{Arc, Mutex, PoisonError};

/// The text that stands in for a refused one: a syntax error on every version of the server.
const REFUSED_TEXT: &str = "leasehold: refused by policy";
/// The prepared statement that is never made.
const REFUSED_NAME: &str = "leasehold_refused";
/// What a message calls a prepared statement.
const STATEMENT: &str = "prepared statement";
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
    /// The target's catalog, where the connection has masks.
    pub(super) known: Option<Known>,
    pub(super) catalogs: Arc<Catalogs>,
    /// The masks over the catalog.
    pub(super) plan: Option<Arc<Plan>>,
    /// The session changed definitions: the catalog must be read again.
    pub(super) redefined: bool,
    /// And did so in a transaction that may yet undo it.
    pub(super) redefined_for_now: bool,
    /// What the server said last when it was ready, as long as nothing was sent since.
    pub(super) settled: Option<TransactionStatus>,
    pub(super) read_only: bool,
    pub(super) texts: Arc<Mutex<Texts>>,
    pub(super) statements: Names,
    pub(super) portals: Names,
    pub(super) spent: Spent,
    pub(super) holds_cursors: bool,
    pub(super) pipeline: Pipeline,
    pub(super) copying: Copying,
    pub(super) skipping: Skipping,
    /// When a cancelled statement must have ended.
    pub(super) grace_mono_ms: Option<u64>,
    pub(super) lease_end_mono_ms: u64,
    pub(super) omitted: (u64, u64),
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
    /// The target's catalog, where the connection has masks.
    pub known: Option<Known>,
    /// The catalogs of all connections.
    pub catalogs: Arc<Catalogs>,
    /// Whether the session is pinned read-only.
    pub read_only: bool,
    /// Texts that were judged before.
    pub texts: Arc<Mutex<Texts>>,
}

/// A machine for a session that is ready for its first query.
pub fn start(now: Now, parts: Parts) -> Postgres {
    let mut session = Postgres {
        lease_end_mono_ms: parts.lease.ends_mono_ms(now),
        lease: parts.lease,
        limits: parts.limits,
        facts: parts.facts,
        known: parts.known,
        catalogs: parts.catalogs,
        plan: None,
        redefined: false,
        redefined_for_now: false,
        settled: Some(TransactionStatus::Idle),
        read_only: parts.read_only,
        texts: parts.texts,
        statements: Names::default(),
        portals: Names::default(),
        spent: Spent::default(),
        holds_cursors: false,
        pipeline: Pipeline::default(),
        copying: Copying::No,
        skipping: Skipping::No,
        grace_mono_ms: None,
        omitted: (0, 0),
        done: false,
    };
    session.lay_masks();
    session
}

impl Machine for Postgres {
    fn on_client(&mut self, now: Now, input: &mut BytesMut, out: &mut Outbox) {
        if self.is_over(now, out) {
            return;
        }
        let mut run = BytesMut::new();
        while !self.done && self.pipeline.len() < self.limits.pipeline_max && !self.reads_catalog(now, &mut run, out) {
            match Frame::<ClientTag>::next(input, &self.limits) {
                Ok(Some(frame)) => self.client_frame(now, frame, &mut run, out),
                Ok(None) => break,
                Err(error) => self.broken(now, &error, out),
            }
        }
        Self::flush_client_run(now, &mut run, out);
    }

    fn on_upstream(&mut self, now: Now, input: &mut BytesMut, out: &mut Outbox) {
        if self.is_over(now, out) {
            return;
        }
        self.server_bytes(now, input, out);
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

    fn on_end(&mut self, now: Now, close: Close, out: &mut Outbox) {
        self.end(now, close, out);
    }

    fn on_wake(&mut self, now: Now, out: &mut Outbox) {
        if self.done {
            return;
        }
        if self.is_over(now, out) {
            return;
        }
        if self.grace_mono_ms.is_some_and(|grace| now.mono_ms >= grace) {
            let sentence = "the target did not end a cancelled statement".to_owned();
            return self.end(now, Close { cause: Cause::Upstream, sentence }, out);
        }
        let over = self.pipeline.front().and_then(Awaited::run).and_then(|run| run.deadline_mono_ms);
        if over.is_some_and(|deadline| now.mono_ms >= deadline) {
            self.out_of_time(now, out);
        }
    }

    fn wake_at_mono_ms(&self) -> Option<u64> {
        let deadline = self.pipeline.front().and_then(Awaited::run).and_then(|run| run.deadline_mono_ms);
        [Some(self.lease_end_mono_ms), deadline, self.grace_mono_ms].into_iter().flatten().min()
    }

    fn reading(&self) -> Reading {
        if self.done {
            Reading::Done
        } else if self.pipeline.len() >= self.limits.pipeline_max || self.waits_for_definitions() {
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
            ClientTag::Query => self.query(now, &frame, run, out),
            ClientTag::Parse => self.parse(now, &frame, run, out),
            ClientTag::Bind => self.bind(now, &frame, run, out),
            ClientTag::Execute => self.execute(now, &frame, run, out),
            ClientTag::Describe => match Named::read_describe(frame.body()) {
                Ok(_) => self.pass(frame, Some(Awaited::Describe), run),
                Err(error) => self.broken(now, &error, out),
            },
            ClientTag::Close => match Named::read_close(frame.body()) {
                Ok(named) => {
                    let freed = match named {
                        Named::Statement(name) => Freed::Statement(name.into()),
                        Named::Portal(name) => Freed::Portal(name.into()),
                    };
                    self.pass(frame, Some(Awaited::Close(freed)), run);
                }
                Err(error) => self.broken(now, &error, out),
            },
            ClientTag::Sync => {
                // While the server reads COPY data it ignores Sync.
                let awaited = (self.copying == Copying::No).then_some(Awaited::Sync);
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
            Ok(permitted) => {
                if let Err(denial) = self.learn(&text) {
                    return self.refuse(now, frame, &denial, run, out);
                }
                let instead = text.rewritten.as_deref().map(|sql| {
                    let mut bytes = BytesMut::new();
                    write::query(&mut bytes, sql).map(|()| bytes)
                });
                self.send(now, frame, instead, run, out);
                out.note(now, What::Decision(verdict::allowed(&self.lease, permitted.accesses())));
                self.queue(now, Awaited::Query(Box::new(permitted)));
            }
        }
    }

    fn parse(&mut self, now: Now, frame: &Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        let parse = match Parse::read(frame.body()) {
            Ok(parse) => parse,
            Err(error) => return self.broken(now, &error, out),
        };
        let judged = self.text(parse.sql).and_then(|text| {
            let permitted = self.judge_text(now, &text)?;
            self.learn(&text)?;
            let meanings: Meanings = text.statements.clone();
            // An empty text prepares nothing that could do anything, yet its name is taken.
            let meanings = if meanings.is_empty() { vec![Arc::new(empty())] } else { meanings };
            let names_max = self.limits.statements_per_session_max;
            self.statements.take(parse.name, meanings, names_max).map_err(|Full| too_many())?;
            let instead = text.rewritten.as_deref().map(|sql| {
                let mut bytes = BytesMut::new();
                write::parse(&mut bytes, parse.name, sql, &parse.parameter_types).map(|()| bytes)
            });
            Ok((permitted, instead))
        });
        match judged {
            Err(denial) => self.refuse(now, frame, &denial, run, out),
            Ok((permitted, instead)) => {
                self.send(now, frame, instead, run, out);
                out.note(now, What::Decision(verdict::allowed(&self.lease, permitted.accesses())));
                self.queue(now, Awaited::Parse);
            }
        }
    }

    fn bind(&mut self, now: Now, frame: &Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        let bind = match Bind::read(frame.body()) {
            Ok(bind) => bind,
            Err(error) => return self.broken(now, &error, out),
        };
        let Some(meanings) = self.statements.meanings(bind.statement).cloned() else {
            return self.refuse(now, frame, &unknown(STATEMENT, bind.statement), run, out);
        };
        let names_max = self.limits.statements_per_session_max;
        if self.portals.take(bind.portal, meanings, names_max).is_err() {
            return self.refuse(now, frame, &too_many(), run, out);
        }
        if self.lease.recorded() == Recorded::Full {
            run.extend_from_slice(frame.whole());
        } else {
            // Parameters are data: below `full` they are not recorded.
            Self::flush_client_run(now, run, out);
            out.send_upstream_unrecorded(frame.whole());
        }
        self.queue(now, Awaited::Bind(bind.portal.into()));
    }

    fn execute(&mut self, now: Now, frame: &Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        let portal = match Execute::read(frame.body()) {
            Ok(execute) => execute.portal,
            Err(error) => return self.broken(now, &error, out),
        };
        let Some(meanings) = self.portals.meanings(portal).cloned() else {
            return self.refuse(now, frame, &unknown("portal", portal), run, out);
        };
        // Judged anew: the program may have changed since Parse.
        let mut permitted = Run { fetches: vec![portal.into()], ..Run::default() };
        for meaning in &meanings {
            if let Err(denial) = self.judge_one(now, meaning, false, &mut permitted) {
                return self.refuse(now, frame, &denial, run, out);
            }
        }
        run.extend_from_slice(frame.whole());
        self.queue(now, Awaited::Execute(Box::new(permitted)));
    }

    /// A permitted COPY FROM STDIN that was sent last and that the server has not asked for data yet: a client may
    /// send its data at once. After a refused COPY there is none, and the data goes nowhere.
    fn copy_to_come(&mut self) -> Option<&mut Run> {
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

    fn flush_client_run(now: Now, run: &mut BytesMut, out: &mut Outbox) {
        if !run.is_empty() {
            out.forward_to_upstream(now, run.split().freeze());
        }
    }

    /// Refuses a message: records it with its denial and has the server fail in its place.
    fn refuse(&mut self, now: Now, frame: &Frame<ClientTag>, denial: &Denial, run: &mut BytesMut, out: &mut Outbox) {
        Self::flush_client_run(now, run, out);
        if self.keeps_refused(frame.tag()) {
            out.note(now, What::FromClient(frame.whole().clone()));
        }
        out.note(now, What::Decision(denial.event()));
        let simple = matches!(frame.tag(), ClientTag::Query | ClientTag::FunctionCall);
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

    fn queue(&mut self, now: Now, awaited: Awaited) {
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

    fn text(&self, sql: &str) -> Result<Arc<Text>, Box<Denial>> {
        // A panic while the cache was held leaves it whole.
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.get(sql, &self.facts, self.plan.as_ref()).map_err(|refusal| {
            let code = match &refusal {
                Refusal::Unparsed { .. } => SqlState::SYNTAX_ERROR,
                Refusal::TooLong { .. } | Refusal::TooDeep { .. } => SqlState::PROGRAM_LIMIT_EXCEEDED,
                Refusal::UnknownNode { .. } | Refusal::NeverRuns { .. } => SqlState::INSUFFICIENT_PRIVILEGE,
            };
            let mut denial = Denial::saying(refusal.to_string()).with_code(code);
            denial.hint = Some("What the gateway cannot analyse does not run.".to_owned());
            denial
        })
    }

    /// Judges a text; what is permitted, ready to run.
    fn judge_text(&self, now: Now, text: &Text) -> Result<Run, Box<Denial>> {
        let mut permitted = Run::default();
        if self.plan.is_some() && text.statements.len() > 1 && text.statements.iter().any(|one| redefines(one)) {
            let sentence = "where masks stand, definitions are changed by a message of their own: what follows must be judged by what they made";
            return Err(Denial::saying(sentence));
        }
        for statement in &text.statements {
            // A string may make a name and run it. What the name meant before is judged as well: it may run first.
            let made_here = text.statements.iter().any(|other| makes(other, statement));
            self.judge_one(now, statement, made_here, &mut permitted)?;
        }
        Ok(permitted)
    }

    /// Judges one statement with everything that it executes by name, and adds it to what is permitted.
    fn judge_one(
        &self,
        now: Now,
        statement: &Arc<Classified>,
        made_here: bool,
        permitted: &mut Run,
    ) -> Result<(), Box<Denial>> {
        let pending = || self.pipeline.runs().any(Run::redefines);
        if self.plan.is_some() && !matches!(statement.action, Action::Transaction(_)) && (self.redefined || pending()) {
            let sentence = "definitions were changed in this pipeline: end it (Sync) before the next statement, which must be judged by what they made";
            return Err(Denial::saying(sentence));
        }
        let mut judged = vec![Arc::clone(statement)];
        let mut named = |meanings: Option<&Meanings>, missing: Box<Denial>| match meanings {
            // EXECUTE of an EXECUTE does not exist: one level is all.
            Some(meanings) => {
                judged.extend(meanings.iter().cloned());
                Ok(())
            }
            None if made_here => Ok(()),
            None => Err(missing),
        };
        if let Some(name) = &statement.executes {
            named(self.statements.meanings(name), unknown(STATEMENT, name))?;
        }
        if let Action::Fetch { cursor } | Action::Move { cursor } = &statement.action {
            named(self.portals.meanings(cursor), unknown("cursor", cursor))?;
            permitted.fetches.push(cursor.clone());
        }
        if let Action::DeclareCursor { name, .. } = &statement.action {
            permitted.opens.push(name.clone());
        }
        let context = self.context(now);
        for statement in &judged {
            permitted.limits = tighter(std::mem::take(&mut permitted.limits), verdict::judge(&context, statement)?);
        }
        permitted.frees.extend(frees(statement));
        permitted.statements.extend(judged);
        Ok(())
    }

    fn context(&self, now: Now) -> Context<'_> {
        Context { lease: &self.lease, plan: self.plan.as_ref(), read_only: self.read_only, at: now.wall }
    }

    /// Takes the names that a permitted text makes.
    fn learn(&mut self, text: &Text) -> Result<(), Box<Denial>> {
        let names_max = self.limits.statements_per_session_max;
        for statement in &text.statements {
            if let Action::Prepare { name, .. } = &statement.action {
                self.statements.take(name, vec![Arc::clone(statement)], names_max).map_err(|Full| too_many())?;
            }
            if let Action::DeclareCursor { name, holds, .. } = &statement.action {
                self.holds_cursors |= holds;
                self.portals.take(name, vec![Arc::clone(statement)], names_max).map_err(|Full| too_many())?;
            }
        }
        Ok(())
    }

    /// Lays the program's masks over the catalog that is known.
    pub(super) fn lay_masks(&mut self) {
        self.plan = match &self.known {
            Some(known) if verdict::has_masks(&self.lease) => {
                let masks = masking::masks(&self.lease, &known.catalog);
                Some(self.catalogs.plan(&known.catalog, masks, &self.facts))
            }
            Some(_) | None => None,
        };
    }

    /// Whether what comes next must wait until the definitions that a request changes, or the catalog, are known.
    fn waits_for_definitions(&self) -> bool {
        matches!(self.pipeline.front(), Some(Awaited::Catalog(_)))
            || self.plan.is_some() && self.pipeline.ends_a_request() && self.pipeline.runs().any(Run::redefines)
    }

    /// Between two requests of the client, sees to it that the catalog is not too old. While it is being read, nothing
    /// is taken from the client.
    fn reads_catalog(&mut self, now: Now, run: &mut BytesMut, out: &mut Outbox) -> bool {
        if self.waits_for_definitions() {
            return true;
        }
        let (Some(known), Some(_)) = (&self.known, &self.plan) else { return false };
        let ready = matches!(self.settled, Some(TransactionStatus::Idle | TransactionStatus::Open));
        if !ready || !self.pipeline.is_empty() {
            return false;
        }
        if !self.redefined
            && let Some(newer) = self.catalogs.latest(self.lease.connection())
            && newer.read_mono_ms > known.read_mono_ms
            && !known.catalog.has_temporary()
        {
            self.known = Some(newer);
            self.lay_masks();
            return self.reads_catalog(now, run, out);
        }
        let old = now.mono_ms.saturating_sub(known.read_mono_ms) > CATALOG_MS_MAX;
        if !self.redefined && !old {
            return false;
        }
        let mut query = BytesMut::new();
        if let Err(error) = write::query(&mut query, pgsql::snapshot::query::TEXT) {
            self.broken(now, &error, out);
            return true;
        }
        Self::flush_client_run(now, run, out);
        out.send_upstream_unrecorded(&query);
        self.queue(now, Awaited::Catalog(Box::default()));
        true
    }

    /// Judges what is under way by the lease as it is now.
    fn rejudge(&mut self, now: Now, out: &mut Outbox) {
        self.lease_end_mono_ms = self.lease.ends_mono_ms(now);
        self.lay_masks();
        if self.plan.is_none() && verdict::has_masks(&self.lease) {
            let sentence = "the policy now masks data of this connection: connect again".to_owned();
            return self.end(now, Close { cause: Cause::Policy, sentence }, out);
        }
        let context = self.context(now);
        let refused = |run: &Run| run.statements.iter().find_map(|one| verdict::judge(&context, one).err());
        if self.pipeline.behind_front().filter_map(Awaited::run).any(|run| refused(run).is_some()) {
            // What the server has already been sent cannot be taken back one by one.
            let sentence = "the policy no longer permits a statement that is under way".to_owned();
            return self.end(now, Close { cause: Cause::Policy, sentence }, out);
        }
        let Some(denial) = self.pipeline.front().and_then(Awaited::run).and_then(refused) else { return };
        if let Some(run) = self.pipeline.front_mut().and_then(Awaited::run_mut)
            && run.ending.is_none()
        {
            let message = format!("the policy no longer permits this statement: {}", denial.sentence);
            run.ending = Some(Box::new(Notice { message, ..notice_of(&denial) }));
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

    fn broken(&mut self, now: Now, error: &WireError, out: &mut Outbox) {
        self.protocol_error(now, error.to_string(), out);
    }

    pub(super) fn protocol_error(&mut self, now: Now, sentence: String, out: &mut Outbox) {
        self.end(now, Close { cause: Cause::Fault, sentence }, out);
    }
}

fn empty() -> Classified {
    Classified {
        action: Action::Other,
        accesses: Vec::new(),
        relations: Vec::new(),
        sensitive: Vec::new(),
        executes: None,
        never: None,
        leaves_read_only: false,
        writes_rows: false,
        outcome: Outcome::Untouched,
        under: Under::default(),
    }
}

/// Whether `maker` makes the name that `user` runs.
fn makes(maker: &Classified, user: &Classified) -> bool {
    if let Action::Prepare { name, .. } = &maker.action {
        return user.executes.as_ref() == Some(name);
    }
    if let Action::DeclareCursor { name, .. } = &maker.action
        && let Action::Fetch { cursor } | Action::Move { cursor } = &user.action
    {
        return name == cursor;
    }
    false
}

/// Names that the statement's success frees.
fn frees(statement: &Classified) -> Vec<Freed> {
    if let Action::Deallocate { name } = &statement.action {
        return vec![name.as_ref().map_or(Freed::Statements, |name| Freed::Statement(name.clone()))];
    }
    if let Action::CloseCursor { cursor } = &statement.action {
        return vec![cursor.as_ref().map_or(Freed::Portals, |name| Freed::Portal(name.clone()))];
    }
    if matches!(statement.action, Action::Discard(Discard::All)) {
        return vec![Freed::Statements, Freed::Portals];
    }
    Vec::new()
}

fn unknown(what: &str, name: &str) -> Box<Denial> {
    let code = if what == STATEMENT { SqlState::INVALID_STATEMENT_NAME } else { SqlState::INVALID_CURSOR_NAME };
    Denial::saying(format!("{what} \"{name}\" does not exist in this session")).with_code(code)
}

fn too_many() -> Box<Denial> {
    Denial::saying("the session holds too many prepared statements or portals; close some of them")
}

fn tighter(a: StatementLimits, b: StatementLimits) -> StatementLimits {
    let min = |a: Option<(u64, _)>, b: Option<(u64, _)>| match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
        (a, b) => a.or(b),
    };
    StatementLimits { rows: min(a.rows, b.rows), seconds: min(a.seconds, b.seconds), bytes: min(a.bytes, b.bytes) }
}

/// The ERROR that a denial is on the wire.
fn notice_of(denial: &Denial) -> Notice {
    let (name, place) = (denial.rule.as_ref().map(ToString::to_string), denial.place.as_ref().map(ToString::to_string));
    let rule = Rule { name: name.as_deref(), place: place.as_deref() };
    let notice = Notice { code: denial.code, ..reply::denied(&denial.sentence, rule) };
    match &denial.hint {
        Some(hint) => notice.with_hint(hint.clone()),
        None => notice,
    }
}
