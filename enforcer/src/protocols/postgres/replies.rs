//! A logged-in PostgreSQL session, from the server's side: answers are matched to what was asked, counted and passed on.

use super::classify::ROW_WRITES;
use super::machine::{CANCEL_GRACE_MS, Copying, Postgres, Skipping};
use super::masking::{self, Known};
use super::pipeline::{Awaited, Freed, Run, Until, is_definition, takes_back};
use super::reply::{self, Rule};
use super::scan::Shape;
use super::spent::Returned;
use super::verdict;
use super::wire::WireError;
use super::wire::frame::{Format, Frame, HEADER_BYTES, ServerTag};
use super::wire::server::{
    CopyResponse, Fields, ParameterDescription, ParameterStatus, RowDescription, TransactionStatus,
};
use super::wire::sqlstate::SqlState;
use super::wire::write::{Notice, Severity};
use crate::core::event::What;
use crate::core::machine::{Cause, Close, Now, Outbox};
use bytes::{Buf as _, BytesMut};
use lang::program::rules::Recorded;
use lang::program::{Access, Object};
use std::sync::Arc;

/// What becomes of one frame of the server.
pub(super) enum Fate {
    /// It goes on as it is.
    Pass,
    /// It goes no further.
    Drop,
    /// It goes on with what was found in it hidden.
    Changed(BytesMut),
    /// Ours goes instead.
    Instead(Box<Notice>),
    /// The session ends, once what stands before it is with the client.
    End(Close),
}

/// The session ends because the target does what it must not.
pub(super) fn target_at_fault(sentence: impl Into<String>) -> Fate {
    Fate::End(Close { cause: Cause::Upstream, sentence: sentence.into() })
}

impl Postgres {
    pub(super) fn server_bytes(&mut self, now: Now, input: &mut BytesMut, out: &mut Outbox) {
        let mut run = BytesMut::new();
        while !self.done {
            if self.passes_over(now, input) {
                break;
            }
            match Frame::<ServerTag>::next(input, &self.limits) {
                Ok(None) => break,
                Err(error) if self.is_too_large(now, &error, out) => {}
                Err(error) => {
                    let sentence = format!("the target broke the protocol: {error}");
                    self.flush_server_run(now, &mut run, out);
                    self.end(now, Close { cause: Cause::Upstream, sentence }, out);
                }
                Ok(Some(frame)) => {
                    let fate = self.server_frame(now, &frame, out);
                    match fate {
                        Fate::Drop => {}
                        Fate::End(close) => {
                            self.flush_server_run(now, &mut run, out);
                            self.end(now, close, out);
                        }
                        Fate::Pass => self.pass_on(now, frame.tag(), frame.whole(), &mut run, out),
                        Fate::Changed(bytes) => self.pass_on(now, frame.tag(), &bytes, &mut run, out),
                        Fate::Instead(notice) => {
                            self.note_omitted(now, &mut run, out);
                            notice.write(&mut run);
                        }
                    }
                }
            }
        }
        self.flush_server_run(now, &mut run, out);
    }

    /// A value that is larger than any message may be ends its statement, not the session: what comes of it is passed
    /// over as it comes, and never kept.
    fn is_too_large(&mut self, now: Now, error: &WireError, out: &mut Outbox) -> bool {
        let WireError::TooLong { tag, length, max } = error else { return false };
        if ![ServerTag::DataRow.to_byte(), ServerTag::CopyData.to_byte()].contains(tag) {
            return false;
        }
        if self.skipping == Skipping::No {
            let Some(run) = self.pipeline.front_mut().and_then(Awaited::run_mut) else { return false };
            if run.ending.is_none() {
                let sentence =
                    format!("a row of {length} bytes is more than the {max} bytes that this gateway carries");
                let notice = Notice::new(Severity::Error, SqlState::PROGRAM_LIMIT_EXCEEDED, sentence)
                    .with_hint("Ask for parts of the value, for example with substring().");
                run.ending = Some(Box::new(notice));
                out.cancel_upstream();
            }
        }
        self.passing_over = length.saturating_add(HEADER_BYTES);
        self.grace_mono_ms = Some(now.mono_ms.saturating_add(CANCEL_GRACE_MS));
        true
    }

    /// Drops what has come of a message that is passed over; whether more of it must come first.
    fn passes_over(&mut self, now: Now, input: &mut BytesMut) -> bool {
        if self.passing_over == 0 {
            return false;
        }
        let dropped = self.passing_over.min(input.len());
        input.advance(dropped);
        self.passing_over -= dropped;
        // As long as it comes, the target is at work on the end of its statement.
        self.grace_mono_ms = Some(now.mono_ms.saturating_add(CANCEL_GRACE_MS));
        self.passing_over > 0
    }

    /// Hands a frame to the client, and to the recording as far as the level says.
    fn pass_on(&mut self, now: Now, tag: ServerTag, whole: &[u8], run: &mut BytesMut, out: &mut Outbox) {
        if self.omits(tag) {
            self.flush_server_run(now, run, out);
            self.omitted.0 = self.omitted.0.saturating_add(1);
            self.omitted.1 = self.omitted.1.saturating_add(whole.len() as u64);
            out.send_client_unrecorded(whole);
        } else {
            self.note_omitted(now, run, out);
            run.extend_from_slice(whole);
        }
    }

    /// Whether the level leaves the frame out of the recording.
    fn omits(&self, tag: ServerTag) -> bool {
        match self.lease.recorded() {
            Recorded::Full => false,
            Recorded::Metadata => matches!(tag, ServerTag::DataRow | ServerTag::CopyData),
            Recorded::None => true,
        }
    }

    fn note_omitted(&mut self, now: Now, run: &mut BytesMut, out: &mut Outbox) {
        let (rows, bytes) = std::mem::take(&mut self.omitted);
        if rows > 0 && self.lease.recorded() == Recorded::Metadata {
            self.flush_server_run(now, run, out);
            out.note(now, What::RowsOmitted { rows, bytes });
        }
    }

    fn flush_server_run(&mut self, now: Now, run: &mut BytesMut, out: &mut Outbox) {
        if !run.is_empty() {
            let frames = run.split().freeze();
            self.tell(now, frames, out);
        }
    }

    fn server_frame(&mut self, now: Now, frame: &Frame<ServerTag>, out: &mut Outbox) -> Fate {
        if self.skipping != Skipping::No && frame.tag() != ServerTag::ReadyForQuery {
            return Fate::Drop;
        }
        if let Some(Awaited::Catalog(_)) = self.pipeline.front() {
            return self.catalog_frame(now, frame);
        }
        if matches!(self.pipeline.front(), Some(Awaited::Begin(_) | Awaited::End(_))) {
            return self.bracket_frame(now, frame, out);
        }
        match frame.tag() {
            ServerTag::DataRow | ServerTag::CopyData => match self.row(now, frame.whole().len(), out) {
                Fate::Pass => self.scanned(frame),
                other @ (Fate::Drop | Fate::Changed(_) | Fate::Instead(_) | Fate::End(_)) => other,
            },
            ServerTag::RowDescription | ServerTag::NoData => self.described(now, frame),
            ServerTag::NoticeResponse if self.says_too_much(frame.whole().len()) => Fate::Drop,
            ServerTag::NoticeResponse if self.plan.is_some() => match masking::scrubbed_notice(frame.body()) {
                Some(notice) => self.repeated(notice),
                None => Fate::Drop,
            },
            ServerTag::NoticeResponse => self.scanned(frame),
            ServerTag::CopyOutResponse => {
                let binary = CopyResponse::read(frame.body()).is_ok_and(|copy| copy.format == Format::Binary);
                self.copies_binary = binary;
                Fate::Pass
            }
            ServerTag::ParameterDescription => {
                self.parameters_typed(frame.body());
                Fate::Pass
            }
            ServerTag::CopyDone => Fate::Pass,
            ServerTag::ParseComplete => {
                self.parsed();
                self.expect(now, |entry| matches!(entry, Awaited::Parse(..)))
            }
            ServerTag::BindComplete => {
                self.bound_now();
                self.expect(now, |entry| matches!(entry, Awaited::Bind(..)))
            }
            ServerTag::CloseComplete => {
                if let Some(Awaited::Close(freed, until)) = self.pipeline.front() {
                    let (freed, until) = (freed.clone(), *until);
                    self.free(&freed, until);
                }
                self.expect(now, |entry| matches!(entry, Awaited::Close(..)))
            }
            ServerTag::CommandComplete | ServerTag::EmptyQueryResponse | ServerTag::PortalSuspended => {
                self.shape = None;
                match self.counted(now, frame, out) {
                    Some(fate) => fate,
                    None => self.complete(now, frame.tag()),
                }
            }
            ServerTag::ErrorResponse => self.failed(now, frame),
            ServerTag::ReadyForQuery => self.ready(now, frame, out),
            ServerTag::CopyInResponse => self.asked_for_data(),
            ServerTag::ParameterStatus => Self::parameter(frame.body()),
            // LISTEN may have been set up by nobody else on this connection: what arrives is not the client's.
            ServerTag::NotificationResponse => Fate::Drop,
            ServerTag::CopyBothResponse
            | ServerTag::Authentication
            | ServerTag::BackendKeyData
            | ServerTag::FunctionCallResponse
            | ServerTag::NegotiateProtocolVersion => {
                target_at_fault("the target sent a message that has no place in a session")
            }
        }
    }

    /// The columns of what follows, or that there are none.
    fn described(&mut self, now: Now, frame: &Frame<ServerTag>) -> Fate {
        if self.pipeline.front().and_then(Awaited::run).is_some_and(|run| run.ending.is_some()) {
            // Nothing of a statement that was cut is shown, not even its columns.
            return Fate::Drop;
        }
        if frame.tag() == ServerTag::RowDescription && self.shows_masked(frame.body()) {
            return target_at_fault("the target was about to show a masked column; the session ends");
        }
        if matches!(self.pipeline.front(), Some(Awaited::Describe(_))) {
            self.answered(now);
        } else if self.scanner.is_some() {
            self.shape = None;
            if frame.tag() == ServerTag::RowDescription {
                match RowDescription::read(frame.body()) {
                    Ok(columns) => self.shape = Some(Shape::of(&columns)),
                    Err(error) => return target_at_fault(format!("the target broke the protocol: {error}")),
                }
            }
        }
        Fate::Pass
    }

    /// The server waits for COPY data, unless the client has ended it already.
    fn asked_for_data(&mut self) -> Fate {
        let ended = self.pipeline.front().and_then(Awaited::run).is_some_and(|run| run.copy_ended);
        if !ended {
            self.copying = Copying::In;
            if matches!(self.pipeline.front(), Some(Awaited::Execute(_))) {
                self.pipeline.forget_syncs_behind_front();
            }
        }
        Fate::Pass
    }

    /// One frame of the answer to the gateway's own question for the catalog.
    fn catalog_frame(&mut self, now: Now, frame: &Frame<ServerTag>) -> Fate {
        let tag = frame.tag();
        if tag == ServerTag::DataRow {
            let Some(Awaited::Catalog(builder)) = self.pipeline.front_mut() else { return Fate::Drop };
            return match masking::take_row(frame.body(), &mut |values| builder.row(values)) {
                Ok(()) => Fate::Drop,
                Err(error) => target_at_fault(format!("the target's catalog cannot be read: {error}")),
            };
        }
        if tag == ServerTag::ReadyForQuery {
            return self.catalog_read(now, frame);
        }
        if tag == ServerTag::ErrorResponse {
            return target_at_fault("the target's catalog cannot be read: the target refuses");
        }
        if tag == ServerTag::ParameterStatus { Self::parameter(frame.body()) } else { Fate::Drop }
    }

    /// The front entry is answered; the next one's turn begins.
    fn answered(&mut self, now: Now) -> Option<Awaited> {
        let entry = self.pipeline.pop();
        self.start_front(now);
        entry
    }

    fn expect(&mut self, now: Now, is: impl Fn(&Awaited) -> bool) -> Fate {
        if self.pipeline.front().is_some_and(is) {
            self.answered(now);
            return Fate::Pass;
        }
        target_at_fault("the target answered what was not asked")
    }

    fn row(&mut self, now: Now, row_bytes: usize, out: &mut Outbox) -> Fate {
        let Some(run) = self.pipeline.front_mut().and_then(Awaited::run_mut) else {
            return target_at_fault("the target sent rows that nothing asked for");
        };
        if run.ending.is_some() {
            return Fate::Drop;
        }
        let Some(exceeded) = run.count(row_bytes) else { return Fate::Pass };
        let (name, place) = (exceeded.rule.to_string(), self.lease.active().program.place(&exceeded.rule));
        let place = place.map(ToString::to_string);
        let rule = Rule { name: Some(&name), place: place.as_deref() };
        let notice = reply::limited(&format!("the statement returns more than {}", exceeded.bound), rule)
            .with_hint("Ask for fewer rows, for example with LIMIT.");
        run.ending = Some(Box::new(notice));
        self.grace_mono_ms = Some(now.mono_ms.saturating_add(CANCEL_GRACE_MS));
        out.cancel_upstream();
        Fate::Drop
    }

    fn complete(&mut self, now: Now, tag: ServerTag) -> Fate {
        let behind_are_syncs = self.pipeline.only_syncs_behind_front();
        let Some(run) = self.pipeline.front_mut().and_then(Awaited::run_mut) else {
            return target_at_fault("the target completed what was not asked");
        };
        if let Some(notice) = run.ending.take() {
            // The statement ended before the cancel reached it: the client is told of the error all the same.
            if !behind_are_syncs {
                let sentence = notice.message.clone();
                return Fate::End(Close { cause: Cause::Policy, sentence });
            }
            self.grace_mono_ms = None;
            let awaits_sync = matches!(self.pipeline.front(), Some(Awaited::Execute(_))) && self.pipeline.len() == 1;
            self.skipping = if awaits_sync { Skipping::Both } else { Skipping::Server };
            return Fate::Instead(notice);
        }
        self.copying = Copying::No;
        // A string of statements makes and frees its names once all of it is done.
        if matches!(self.pipeline.front(), Some(Awaited::Execute(_))) {
            if let Some(Awaited::Execute(run)) = self.pipeline.pop() {
                self.settle(&run, tag == ServerTag::CommandComplete);
            }
            self.start_front(now);
        } else if let Some(run) = self.pipeline.front_mut().and_then(Awaited::run_mut)
            && run.fetches.is_empty()
        {
            // Each statement of a string is counted for itself, unless several may read from one cursor.
            run.returned = Returned::default();
        }
        Fate::Pass
    }

    pub(super) fn failed(&mut self, now: Now, frame: &Frame<ServerTag>) -> Fate {
        let hides = self.quotes_unread(now, frame.body()) | self.says_too_much(frame.whole().len());
        self.copying = Copying::No;
        self.grace_mono_ms = None;
        let ours = match self.pipeline.front_mut() {
            Some(Awaited::Query(run)) => {
                run.frees.clear();
                run.opens.clear();
                run.ending.take()
            }
            Some(Awaited::Execute(run)) => run.ending.take(),
            Some(Awaited::Refused(notice) | Awaited::RefusedQuery(notice)) => Some(notice.clone()),
            Some(
                Awaited::Parse(..)
                | Awaited::Bind(..)
                | Awaited::Describe(_)
                | Awaited::Close(..)
                | Awaited::Sync
                | Awaited::Catalog(_)
                | Awaited::Begin(_)
                | Awaited::End(_),
            )
            | None => None,
        };
        let failed = self.pipeline.fail();
        // What the client sends until its next Sync is skipped by the server, unless that Sync is on its way.
        self.batch_failed = failed.is_some() && self.pipeline.is_empty();
        if let Some(Awaited::Execute(run)) = failed {
            self.settle(&run, false);
        }
        match ours {
            Some(notice) => Fate::Instead(notice),
            None if hides => self.repeated(masking::unsaid(frame.body())),
            None if self.plan.is_some() => self.repeated(masking::scrubbed(frame.body())),
            None => self.scanned(frame),
        }
    }

    /// Whether an error may quote rows that the client may not read: what is under way writes or defines their relation, or
    /// ends a transaction, when constraints of whatever it wrote are tested.
    fn quotes_unread(&self, now: Now, error: &[u8]) -> bool {
        let context = self.context(now);
        let alters = |access: &&Access| ROW_WRITES.contains(&access.op) || is_definition(access.op);
        let statements = || self.pipeline.runs().flat_map(|run| &run.statements);
        let mut changed = statements().flat_map(|one| &one.accesses).filter(alters).peekable();
        if changed.peek().is_none() {
            let other =
                Fields::read(error).is_ok_and(|fields| fields.code().is_some_and(|code| !code.starts_with("23")));
            return !other && !verdict::may_read(&context, &Object::table("", ""));
        }
        changed
            .any(|access| matches!(access.object, Object::Table { .. }) && !verdict::may_read(&context, &access.object))
    }

    /// What the gateway repeats of the target's words, with what a pattern finds in it hidden.
    fn repeated(&self, mut notice: Notice) -> Fate {
        if let Some(scanner) = &self.scanner {
            scanner.repeat(&mut notice);
        }
        Fate::Instead(Box::new(notice))
    }

    /// A frame that may go on, with what a pattern finds in it hidden.
    fn scanned(&self, frame: &Frame<ServerTag>) -> Fate {
        let Some(scanner) = &self.scanner else { return Fate::Pass };
        let changed = if frame.tag() == ServerTag::DataRow {
            let unsaid = if self.binds_binary { Shape::Unknown } else { Shape::Text };
            scanner.row(frame.body(), self.shape.as_ref().unwrap_or(&unsaid))
        } else if frame.tag() == ServerTag::CopyData {
            Ok(scanner.copy(frame.body(), self.copies_binary))
        } else {
            scanner.said(frame.tag(), frame.body())
        };
        match changed {
            Ok(None) => Fate::Pass,
            Ok(Some(bytes)) => Fate::Changed(bytes),
            Err(error) => target_at_fault(format!("the target broke the protocol: {error}")),
        }
    }

    /// The server confirms a Parse.
    fn parsed(&mut self) {
        let Some(Awaited::Parse(unnamed, typed)) = self.pipeline.front() else { return };
        if let Some(taking) = unnamed {
            self.statements.confirm(*taking);
        }
        if let Some(typed) = typed {
            self.bindings.typed(&typed.0, typed.1.clone());
        }
    }

    /// The server confirms a Bind.
    fn bound_now(&mut self) {
        if let Some(Awaited::Bind(unnamed, portal, binding)) = self.pipeline.front() {
            if let Some(taking) = unnamed {
                self.portals.confirm(*taking);
            }
            self.spent.forget(portal);
            self.bindings.confirm(portal, binding.as_deref());
        }
    }

    /// The server names the types of a statement's parameters.
    fn parameters_typed(&mut self, body: &[u8]) {
        if self.reviews
            && let Some(Awaited::Describe(Some(statement))) = self.pipeline.front()
            && let Ok(description) = ParameterDescription::read(body)
        {
            self.bindings.typed(statement, description.types);
        }
    }

    /// The tripwire: whether the columns that the target announces hold one that is masked. It is not the defence.
    fn shows_masked(&self, body: &[u8]) -> bool {
        let Some(plan) = &self.plan else { return false };
        match RowDescription::read(body) {
            Ok(columns) => columns.fields.iter().any(|field| plan.is_masked(field.table, field.attribute)),
            Err(_) => true,
        }
    }

    /// The gateway's own query is answered: what is under way from now on is judged by what it found.
    fn catalog_read(&mut self, now: Now, frame: &Frame<ServerTag>) -> Fate {
        let Some(Awaited::Catalog(builder)) = self.pipeline.pop() else {
            return target_at_fault("the target answered what was not asked");
        };
        let Ok(status) = TransactionStatus::read(frame.body()) else {
            return target_at_fault("the target broke the protocol");
        };
        let (frozen, catalog) = (builder.is_frozen() && status == TransactionStatus::Open, builder.build());
        self.settled = self.pipeline.is_empty().then_some(status);
        let made = self.changes_when_asked;
        if frozen {
            // What it reads is as old as the transaction, and names lead to what they are now: it shows no change but its own.
            self.frozen = true;
            if !self.redefined {
                return Fate::Drop;
            }
        }
        let made = if frozen { self.made_outside } else { made };
        let known = if catalog.has_temporary() || status != TransactionStatus::Idle {
            // What one transaction sees is not for others.
            Known { catalog: Arc::new(catalog), read_mono_ms: now.mono_ms, made }
        } else {
            self.catalogs.learn(self.lease.connection(), catalog, now.mono_ms, made)
        };
        let same = self.known.as_ref().is_some_and(|before| *before.catalog == *known.catalog);
        match &mut self.known {
            Some(before) if same => (before.read_mono_ms, before.made) = (now.mono_ms, made),
            other => *other = Some(known),
        }
        self.redefined = false;
        if !same {
            self.lay_masks();
        }
        Fate::Drop
    }

    pub(super) fn ready(&mut self, now: Now, frame: &Frame<ServerTag>, out: &mut Outbox) -> Fate {
        self.copying = Copying::No;
        self.skipping = Skipping::No;
        self.grace_mono_ms = None;
        self.shape = None;
        if let Some(Awaited::Query(mut run)) = self.pipeline.ready() {
            self.settle(&run, run.exceeded.is_none());
            if run.counts
                && let Ok(status) = TransactionStatus::read(frame.body())
                && let Some(fate) = self.counted_query_done(now, &mut run, status, out)
            {
                return fate;
            }
        }
        self.start_front(now);
        match TransactionStatus::read(frame.body()) {
            Ok(status) => {
                self.settled = self.pipeline.is_empty().then_some(status);
                if status == TransactionStatus::Idle {
                    // The transaction kept or undid what it defined.
                    self.redefined |= std::mem::take(&mut self.redefined_for_now);
                    self.frozen = false;
                }
                self.in_transaction = status != TransactionStatus::Idle;
                self.settle_definitions(status);
                // Portals end with their transaction; only a cursor WITH HOLD outlives it.
                if status == TransactionStatus::Idle && self.pipeline.is_empty() && !self.holds_cursors {
                    self.portals.free_all(self.portals.newest());
                    self.spent.forget_all();
                    self.bindings.forget_portals();
                }
                Fate::Pass
            }
            Err(error) => target_at_fault(format!("the target broke the protocol: {error}")),
        }
    }

    /// Keeps what a run that ended did to names: what it fetched always, what it made and freed when it succeeded.
    pub(super) fn settle(&mut self, run: &Run, succeeded: bool) {
        if run.redefines(self.redefined_for_now) {
            self.redefined = true;
            self.redefined_for_now = true;
        }
        if run.statements.iter().any(|one| takes_back(one)) {
            self.member.release();
        }
        if succeeded {
            run.opens.iter().for_each(|cursor| self.spent.forget(cursor));
        }
        self.spent.after(&run.fetches, run.returned);
        if succeeded {
            run.frees.iter().for_each(|(freed, until)| self.free(freed, *until));
        }
    }

    fn free(&mut self, freed: &Freed, until: Until) {
        match freed {
            Freed::Statement(name) => {
                self.statements.free(name, until.statements);
                self.bindings.forget_statement(name);
            }
            Freed::Portal(name) => {
                self.portals.free(name, until.portals);
                self.spent.forget(name);
                self.bindings.forget_portal(name);
            }
            Freed::Statements => {
                self.statements.free_all(until.statements);
                self.bindings.forget_statements();
            }
            Freed::Portals => {
                self.portals.free_all(until.portals);
                self.spent.forget_all();
                self.bindings.forget_portals();
            }
        }
    }

    /// A parameter changed: a pinned one must not.
    pub(super) fn parameter(body: &[u8]) -> Fate {
        let changed = match ParameterStatus::read(body) {
            Ok(status) => match status.name {
                "standard_conforming_strings" => status.value != "on",
                "client_encoding" => !status.value.eq_ignore_ascii_case("UTF8"),
                _ => false,
            },
            Err(_) => true,
        };
        if changed {
            return target_at_fault("the target changed a parameter that the gateway pins");
        }
        Fate::Pass
    }
}
