//! A statement that waits for people: held here, shown to them exactly, and run once when they agree.
//!
//! Synchronous. The wait is a state; what is asked of the world is an order, and what it answers comes back as one.
//! Nothing of a held message must reach the server before the answer, and nothing that the client sends behind it.
//! What runs is judged again at that moment: an answer never permits what the policy of then refuses.

use super::classify::Classified;
use super::judging::{Place, unknown};
use super::machine::{Copying, Postgres, Skipping};
use super::meant::Meant;
use super::messages::rewritten;
use super::pipeline::{Awaited, Run};
use super::reply::{self, Rule};
use super::verdict::{self, Denial};
use super::wire::client::{Execute, Query};
use super::wire::frame::{ClientTag, Frame, peek};
use super::wire::server::TransactionStatus;
use super::wire::sqlstate::SqlState;
use crate::core::event::{Decision, What};
use crate::core::hold::{Agreed, Held, HoldAnswer, HoldId, HoldOrder, Named, Shown};
use crate::core::id::RequestId;
use crate::core::limits::Limits;
use crate::core::machine::{Cause, Now, Outbox};
use bytes::BytesMut;
use lang::program::Access;
use lang::time::Timestamp;
use pgsql::statement::Action;
use std::sync::Arc;

/// Where a held message stands.
#[derive(Debug)]
enum Phase {
    /// What was sent before it is not answered yet.
    Draining,
    /// People are asked.
    Asked,
    /// People have agreed; it runs as soon as the catalog is new enough to judge it.
    Agreed {
        request: RequestId,
        by: Vec<String>,
        /// Whether the catalog was read again since.
        looked: bool,
    },
}

/// A message that is held.
#[derive(Debug)]
pub(super) struct Holding {
    hold: HoldId,
    frame: Frame<ClientTag>,
    agreed: Agreed,
    phase: Phase,
    request: Option<RequestId>,
    accesses: Vec<Access>,
    /// What its names meant when people were first asked.
    meant: Option<Meant>,
    until_mono_ms: u64,
    in_transaction: bool,
    /// How many of the bytes behind it are known not to hold the client's farewell.
    looked_at_bytes: usize,
}

impl Holding {
    /// Whether the client says farewell among what waits behind the held message.
    fn sees_farewell(&mut self, input: &[u8], limits: &Limits) -> bool {
        while let Some(rest) = input.get(self.looked_at_bytes..)
            && let Ok(Some(head)) = peek::<ClientTag>(rest, limits)
        {
            if head.tag == ClientTag::Terminate {
                return true;
            }
            self.looked_at_bytes = self.looked_at_bytes.saturating_add(head.frame_bytes);
        }
        false
    }
}

/// Messages that are kept back until it is known whether people must agree to what they prepare: a server that has
/// seen them holds locks for them.
#[derive(Debug)]
pub(super) struct Back {
    pub(super) run: BytesMut,
    pub(super) out: Outbox,
    settled: Option<TransactionStatus>,
}

impl Back {
    pub(super) fn new(settled: Option<TransactionStatus>) -> Self {
        Self { run: BytesMut::new(), out: Outbox::default(), settled }
    }

    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.run.len().saturating_add(self.out.pending_upstream_bytes()) >= limits.pending_bytes_max
    }
}

impl Postgres {
    /// Whether any guard of the policy wants people's word on statements of this connection.
    pub(super) fn has_reviews(&self) -> bool {
        let connection = self.lease.connection();
        let guards = &self.lease.active().program.rules().guards;
        guards.iter().any(|guard| !guard.reviews.is_empty() && guard.on.iter().any(|name| name == connection))
    }

    /// Whether a message can stay here until the next that decides: the server answers none of these before a Sync or
    /// a Flush anyway.
    pub(super) fn keeps_back(&self, frame: &Frame<ClientTag>) -> bool {
        let opens = self.settled == Some(TransactionStatus::Idle) && self.pipeline.is_empty();
        self.reviews
            && self.skipping == Skipping::No
            && self.copying == Copying::No
            && matches!(frame.tag(), ClientTag::Parse | ClientTag::Bind | ClientTag::Describe | ClientTag::Close)
            && (self.back.is_some() || opens)
    }

    /// Sends what was kept back.
    pub(super) fn send_back(&mut self, now: Now, run: &mut BytesMut, out: &mut Outbox) {
        let Some(mut back) = self.back.take() else { return };
        Self::flush_client_run(now, run, out);
        Self::flush_client_run(now, &mut back.run, &mut back.out);
        out.absorb(back.out);
    }

    /// Whether people must agree to a message.
    pub(super) fn would_hold(&self, now: Now, frame: &Frame<ClientTag>) -> bool {
        self.judge_message(now, frame).is_ok_and(|run| !run.wants.is_empty())
    }

    /// Whether people must agree to a statement.
    pub(super) fn wants_review(&self, now: Now, statement: &Arc<Classified>) -> bool {
        let mut run = Run::default();
        self.judge_one(now, statement, Place::default(), &mut run).is_ok() && !run.wants.is_empty()
    }

    /// Holds a message until people have spoken. What was sent before it is answered first.
    pub(super) fn hold(&mut self, now: Now, frame: &Frame<ClientTag>, run: &mut BytesMut, out: &mut Outbox) {
        Self::flush_client_run(now, run, out);
        self.keep(now, frame, out);
        if self.copying == Copying::In || self.copy_to_come().is_some() {
            let sentence = "this needs people's approval and cannot wait for it while COPY data is on its way";
            return self.refuse_kept(now, frame.tag(), &Denial::saying(sentence), out);
        }
        if self.back.is_none() && !self.pipeline.is_empty() {
            Self::ask_for_answers(out);
        }
        self.holds = self.holds.saturating_add(1);
        self.holding = Some(Box::new(Holding {
            hold: HoldId(self.holds),
            frame: frame.clone(),
            agreed: Agreed::default(),
            phase: Phase::Draining,
            request: None,
            accesses: Vec::new(),
            meant: None,
            until_mono_ms: u64::MAX,
            in_transaction: false,
            looked_at_bytes: 0,
        }));
        self.go_on_holding(now, out);
    }

    /// Goes on with a held message when what it waited for has come.
    pub(super) fn go_on_holding(&mut self, now: Now, out: &mut Outbox) {
        let Some(holding) = &self.holding else { return };
        if self.done || matches!(self.pipeline.front(), Some(Awaited::Catalog(_))) {
            return;
        }
        match &holding.phase {
            Phase::Draining if self.back.is_some() || self.pipeline.is_empty() => self.ask(now, out),
            Phase::Draining | Phase::Asked => {}
            Phase::Agreed { .. } => self.run_agreed(now, out),
        }
    }

    /// Asks for people's word: the pipeline is empty, so what names stand for is what the server has confirmed.
    fn ask(&mut self, now: Now, out: &mut Outbox) {
        let Some(mut holding) = self.holding.take() else { return };
        if self.batch_failed {
            // The server would skip it, up to the next Sync.
            return;
        }
        let settled = self.settled.or(self.back.as_ref().and_then(|back| back.settled));
        if settled == Some(TransactionStatus::Failed) {
            let denial = Denial::saying(reply::in_failed_transaction().message);
            return self.refuse_held(now, &holding, &denial.with_code(SqlState::IN_FAILED_TRANSACTION), out);
        }
        holding.in_transaction = settled != Some(TransactionStatus::Idle);
        let bound = if holding.in_transaction { self.limits.held_in_transaction_max } else { self.limits.held_max };
        let bound_ms = u64::try_from(bound.as_millis()).unwrap_or(u64::MAX);
        holding.until_mono_ms = now.mono_ms.saturating_add(bound_ms).min(self.lease_end_mono_ms);
        self.ask_again(now, holding, None, out);
    }

    /// Judges the held message as things stand, and runs it, refuses it, or asks for people's word on it.
    fn ask_again(&mut self, now: Now, mut holding: Box<Holding>, why: Option<&str>, out: &mut Outbox) {
        let permitted = match self.judge_message(now, &holding.frame) {
            Ok(permitted) => permitted,
            Err(mut denial) => {
                if let Some(why) = why {
                    denial.sentence = format!("{why}: {}", denial.sentence);
                }
                return self.refuse_held(now, &holding, &denial, out);
            }
        };
        if permitted.wants.is_empty() {
            out.hold(HoldOrder::Withdraw { sentence: "the policy no longer wants a review".to_owned() });
            let decision = verdict::allowed(&self.lease, permitted.accesses());
            return self.run_held(now, &holding, permitted, decision, out);
        }
        let (shown, digest) = match self.shown(&holding.frame) {
            Ok(shown) => shown,
            Err(denial) => return self.refuse_held(now, &holding, &denial, out),
        };
        if matches!(holding.phase, Phase::Asked) && holding.agreed != permitted.wants {
            // What people may have said of the earlier terms is about another wait.
            self.holds = self.holds.saturating_add(1);
            holding.hold = HoldId(self.holds);
            holding.request = None;
            holding.meant = None;
        }
        holding.phase = Phase::Asked;
        if holding.meant.is_none() {
            holding.meant = self.meant(&permitted);
        }
        holding.agreed = permitted.wants.clone();
        holding.accesses = permitted.accesses().cloned().collect();
        let accesses = verdict::phrases(permitted.accesses());
        if holding.request.is_none() {
            out.note(now, What::Decision(self.held_event(&permitted.wants, accesses.clone())));
        }
        out.hold(HoldOrder::Ask(Box::new(Held {
            hold: holding.hold,
            shown,
            digest,
            accesses,
            reviews: permitted.wants.reviews,
            until: wall_at(now, holding.until_mono_ms),
            in_transaction: holding.in_transaction,
            identity: Arc::clone(self.lease.identity()),
            connection: self.lease.connection().to_owned(),
            grant: self.lease.grant_id().to_owned(),
        })));
        self.holding = Some(holding);
    }

    /// What people are shown, with the digest of what they agree to.
    fn shown(&self, frame: &Frame<ClientTag>) -> Result<(Shown, String), Box<Denial>> {
        let broken = |error: super::wire::WireError| Denial::saying(error.to_string());
        let mut shown = Shown::default();
        let mut bound_digest = String::new();
        if frame.tag() == ClientTag::Query {
            let query = Query::read(frame.body()).map_err(broken)?;
            query.sql.clone_into(&mut shown.text);
            for statement in &self.text(query.sql)?.statements {
                self.name_behind(statement, &mut shown);
            }
        } else {
            let portal = Execute::read(frame.body()).map_err(broken)?.portal;
            let bound = self.bound(portal);
            let meanings = match &bound {
                Some(bound) => Some(bound.meanings.clone()),
                None => self.portals.meanings(portal),
            };
            let Some([meaning]) = meanings.as_deref() else { return Err(unknown("portal", portal)) };
            let parameters = match &bound {
                Some(bound) => bound.parameters.clone(),
                // A cursor of SQL has no parameters.
                None if matches!(meaning.action, Action::DeclareCursor { .. }) => Some(Vec::new()),
                None => {
                    let sentence = "this now needs people's approval, and its parameters were not kept: bind it again";
                    return Err(Denial::saying(sentence));
                }
            };
            shown.parameters = parameters.ok_or_else(|| self.too_long())?;
            shown.text = meaning.text.to_string();
            self.name_behind(meaning, &mut shown);
            bound_digest = bound.map(|bound| bound.digest).unwrap_or_default();
        }
        let parameters = shown.parameters.iter().map(|one| one.to_string().len());
        let named = shown.named.iter().map(|named| named.text.len());
        if shown.text.len().saturating_add(parameters.chain(named).sum()) > self.limits.held_bytes_max {
            return Err(self.too_long());
        }
        let digest = digest(frame, &bound_digest, &shown);
        Ok((shown, digest))
    }

    /// What the portal is bound to: as the server confirmed, or as it will once it gets what is kept back.
    fn bound(&self, portal: &str) -> Option<super::bindings::Bound> {
        match self.pipeline.binding(portal) {
            Some((binding, types)) => binding.map(|binding| self.bindings.bound(binding, types)),
            None => self.bindings.portal(portal).cloned(),
        }
    }

    /// Adds the text behind the name that a statement runs.
    fn name_behind(&self, statement: &Classified, shown: &mut Shown) {
        let behind = if let Some(name) = &statement.executes {
            Some((name, self.statements.meanings(name)))
        } else if let Action::Fetch { cursor } | Action::Move { cursor } = &statement.action {
            Some((cursor, self.portals.meanings(cursor)))
        } else {
            None
        };
        let Some((name, Some(meanings))) = behind else { return };
        for meaning in meanings {
            shown.named.push(Named { name: name.to_string(), text: meaning.text.to_string() });
        }
    }

    fn too_long(&self) -> Box<Denial> {
        let sentence = format!(
            "this needs people's approval and is too long to be shown to them: {} bytes with its parameters at most",
            self.limits.held_bytes_max
        );
        Denial::saying(sentence).with_code(SqlState::PROGRAM_LIMIT_EXCEEDED)
    }

    /// What came of asking.
    pub(super) fn answered_hold(&mut self, now: Now, hold: HoldId, answer: HoldAnswer, out: &mut Outbox) {
        let Some(mut holding) = self.holding.take_if(|holding| holding.hold == hold) else { return };
        match answer {
            HoldAnswer::Asked { request, url, answer_by } => {
                if holding.request.as_ref() != Some(&request) {
                    self.tell_held(now, &holding, &request, &url, answer_by, out);
                }
                let left = answer_by.ms_since(now.wall);
                holding.until_mono_ms = holding.until_mono_ms.min(now.mono_ms.saturating_add(left));
                holding.request = Some(request);
                self.holding = Some(holding);
            }
            HoldAnswer::Released { request, by } => {
                holding.phase = Phase::Agreed { request, by, looked: false };
                self.holding = Some(holding);
                self.go_on_holding(now, out);
            }
            HoldAnswer::Refused { sentence } => {
                self.refuse_held(now, &holding, &Denial::saying(sentence), out);
            }
        }
    }

    fn tell_held(
        &mut self,
        now: Now,
        holding: &Holding,
        request: &RequestId,
        url: &str,
        answer_by: Timestamp,
        out: &mut Outbox,
    ) {
        let first = holding.agreed.reviews.first();
        let by: Vec<&str> = holding.agreed.approvals.iter().map(|approval| approval.name.as_str()).collect();
        let locks = if holding.in_transaction { "; the transaction keeps its locks meanwhile" } else { "" };
        let sentence = format!(
            "this statement waits for the approval `{}` (request {request}) until {answer_by}{locks}",
            by.join("`, `")
        );
        let (name, place) = match first {
            Some((rule, _)) => {
                (Some(rule.to_string()), self.lease.active().program.place(rule).map(ToString::to_string))
            }
            None => (None, None),
        };
        let rule = Rule { name: name.as_deref(), place: place.as_deref() };
        let notice = reply::held(&sentence, rule, &format!("{url}, or with: leasehold approve {request}"));
        let mut bytes = BytesMut::new();
        notice.write(&mut bytes);
        self.tell(now, bytes.freeze(), out);
    }

    /// People have agreed: judges once more, by a catalog that is new enough, and runs.
    fn run_agreed(&mut self, now: Now, out: &mut Outbox) {
        if self.looks_first(now, out) {
            return;
        }
        let Some(holding) = self.holding.take() else { return };
        if (self.plan.is_some() || self.reach.is_some()) && !self.frozen && self.catalog_is_old(now) {
            let sentence = "where masks stand, a statement in the middle of a pipeline cannot wait so long: send it in a request of its own, and ask again";
            return self.refuse_held(now, &holding, &Denial::saying(sentence), out);
        }
        let permitted = match self.judge_message(now, &holding.frame) {
            Ok(permitted) if holding.agreed.covers(&permitted.wants) => permitted,
            Ok(_) => {
                let sentence = "the policy now wants another approval than the one that was given; send it again";
                return self.refuse_held(now, &holding, &Denial::saying(sentence), out);
            }
            Err(denial) => return self.refuse_held(now, &holding, &denial, out),
        };
        if !self.means_what_it_meant(holding.meant.as_ref(), &permitted) {
            let sentence = "what this statement names has changed since it was shown to people; send it again";
            return self.refuse_held(now, &holding, &Denial::saying(sentence), out);
        }
        let Phase::Agreed { request, by, .. } = &holding.phase else { return };
        let accesses = verdict::phrases(permitted.accesses());
        let decision = Decision {
            outcome: "released".to_owned(),
            sentence: format!("approved by {} (request {request})", by.join(", ")),
            ..self.held_event(&holding.agreed, accesses)
        };
        self.run_held(now, &holding, permitted, decision, out);
    }

    /// Reads the catalog once more when people have agreed, where the server would take a query now: what names mean
    /// may have changed while they thought about it, past the gateway too.
    fn looks_first(&mut self, now: Now, out: &mut Outbox) -> bool {
        let settled = self.settled.or(self.back.as_ref().and_then(|back| back.settled));
        let takes = matches!(settled, Some(TransactionStatus::Idle | TransactionStatus::Open));
        let rests = self.plan.is_some() || self.reach.is_some();
        let old = !self.frozen && self.catalog_is_old(now);
        let Some(Phase::Agreed { looked, .. }) = self.holding.as_mut().map(|holding| &mut holding.phase) else {
            return false;
        };
        if !rests || !takes || *looked && !old {
            return false;
        }
        *looked = true;
        self.read_catalog_first(now, out);
        true
    }

    /// Sends a held message to the server.
    fn run_held(&mut self, now: Now, holding: &Holding, mut permitted: Run, decision: Decision, out: &mut Outbox) {
        self.send_back(now, &mut BytesMut::new(), out);
        permitted.wants = Agreed::default();
        permitted.agreed.add(&holding.agreed);
        if let Err(denial) = self.enters(now, &permitted.statements) {
            return self.refuse_held(now, holding, &denial, out);
        }
        let frame = &holding.frame;
        if let Ok(execute) = Execute::read(frame.body())
            && frame.tag() == ClientTag::Execute
        {
            if let Err(denial) = self.learn_again(execute.portal) {
                return self.refuse_held(now, holding, &denial, out);
            }
            out.send_upstream_unrecorded(frame.whole());
            out.note(now, What::Decision(decision));
            if permitted.counts {
                Self::ask_for_answers(out);
            }
            self.bindings.agree(execute.portal, &permitted.agreed);
            return self.queue(now, Awaited::Execute(Box::new(permitted)));
        }
        let sql = Query::read(frame.body()).map_or("", |query| query.sql);
        let text = match self.text(sql).and_then(|text| self.learn(&text.statements).map(|()| text)) {
            Ok(text) => text,
            Err(denial) => return self.refuse_held(now, holding, &denial, out),
        };
        self.end_batch();
        for cursor in &permitted.opens {
            self.bindings.agree(cursor, &permitted.agreed);
        }
        if permitted.counts {
            return match self.countable(&text) {
                Ok(()) => self.send_counted(now, frame, &text, permitted, decision, out),
                Err(denial) => self.refuse_held(now, holding, &denial, out),
            };
        }
        match rewritten(&text) {
            None => out.send_upstream_unrecorded(frame.whole()),
            Some(Ok(bytes)) => out.send_upstream_unrecorded(&bytes),
            Some(Err(error)) => return self.broken(now, &error, out),
        }
        out.note(now, What::Decision(decision));
        self.queue(now, Awaited::Query(Box::new(permitted)));
    }

    /// Refuses a message that was held; the request for it, if there is one, is taken back.
    fn refuse_held(&mut self, now: Now, holding: &Holding, denial: &Denial, out: &mut Outbox) {
        out.hold(HoldOrder::Withdraw { sentence: denial.sentence.clone() });
        self.send_back(now, &mut BytesMut::new(), out);
        let mut denial = denial.clone();
        if denial.accesses.is_empty() {
            denial.accesses.clone_from(&holding.accesses);
        }
        self.refuse_kept(now, holding.frame.tag(), &denial, out);
    }

    /// The client gives the held statement up; what was sent before it is not concerned.
    pub(super) fn cancel_held(&mut self, now: Now, out: &mut Outbox) {
        if let Some(holding) = self.holding.take_if(|holding| !matches!(holding.phase, Phase::Draining)) {
            let denial = Denial::saying("canceling statement due to user request");
            self.refuse_held(now, &holding, &denial.with_code(SqlState::QUERY_CANCELED), out);
        }
    }

    /// Nobody answered in time.
    pub(super) fn wake_held(&mut self, now: Now, out: &mut Outbox) {
        let Some(holding) = self.holding.take_if(|holding| now.mono_ms >= holding.until_mono_ms) else { return };
        let within = if holding.in_transaction {
            "in the time that a statement may wait in an open transaction"
        } else {
            "in time"
        };
        let denial = Denial::saying(format!("nobody approved this statement {within}; send it again"));
        self.refuse_held(now, &holding, &denial.with_code(SqlState::QUERY_CANCELED), out);
    }

    /// When the held message waits no longer.
    pub(super) fn held_until_mono_ms(&self) -> Option<u64> {
        self.holding.as_ref().map(|holding| holding.until_mono_ms)
    }

    /// The policy or the subject changed: what waits is judged by that.
    pub(super) fn rejudge_held(&mut self, now: Now, out: &mut Outbox) {
        let Some(holding) = self.holding.take_if(|holding| matches!(holding.phase, Phase::Asked)) else { return };
        self.ask_again(now, holding, Some("the policy no longer permits this statement"), out);
    }

    /// Looks at what waits behind a held message; a client that leaves takes it back.
    pub(super) fn look_behind_held(&mut self, input: &[u8], out: &mut Outbox) {
        let Some(holding) = &mut self.holding else { return };
        if !self.done && holding.sees_farewell(input, &self.limits) {
            self.holding = None;
            self.done = true;
            out.hold(HoldOrder::Withdraw { sentence: "the client ended the session".to_owned() });
            out.close(Cause::Client, "the client ended the session");
        }
    }

    /// The session ends.
    pub(super) fn drop_held(&mut self, sentence: &str, out: &mut Outbox) {
        if self.holding.take().is_some() {
            out.hold(HoldOrder::Withdraw { sentence: sentence.to_owned() });
        }
    }

    fn held_event(&self, wants: &Agreed, accesses: Vec<String>) -> Decision {
        let rule = wants.reviews.first().map(|(rule, _)| rule);
        let by: Vec<&str> = wants.approvals.iter().map(|approval| approval.name.as_str()).collect();
        Decision {
            outcome: "held".to_owned(),
            accesses,
            rule: rule.map(ToString::to_string),
            place: rule.and_then(|rule| self.lease.active().program.place(rule)).map(ToString::to_string),
            sentence: format!("waits for the approval `{}`", by.join("`, `")),
        }
    }

    /// The ERROR for a statement under way whose review was not agreed on.
    pub(super) fn unagreed(&self, run: &Run, now: Now) -> Option<Box<Denial>> {
        let context = self.context(now);
        let mut wants = Agreed::default();
        for statement in &run.statements {
            match self.judge_meaning(&context, statement) {
                Err(denial) => return Some(denial),
                Ok(_) if only_prepares(statement, run) => {}
                Ok(permitted) => {
                    if let Err(denial) = self.want(&mut wants, permitted.reviews) {
                        return Some(denial);
                    }
                }
            }
        }
        if run.agreed.covers(&wants) {
            return None;
        }
        let (rule, by) = wants.reviews.first().cloned()?;
        Some(Denial::by(&self.lease, rule, format!("it now needs the approval `{by}`: send it again")))
    }
}

/// Whether a statement prepares what the run does not execute.
fn only_prepares(statement: &Classified, run: &Run) -> bool {
    let Action::Prepare { name, .. } = &statement.action else { return false };
    !run.statements.iter().any(|other| other.executes.as_ref() == Some(name))
}

/// Wall time at an instant of the monotonic clock.
fn wall_at(now: Now, mono_ms: u64) -> Timestamp {
    let left = i64::try_from(mono_ms.saturating_sub(now.mono_ms)).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(now.wall.unix_ms().saturating_add(left))
}

/// The digest of a message with everything that it runs.
fn digest(frame: &Frame<ClientTag>, bound: &str, shown: &Shown) -> String {
    let mut bytes = Vec::new();
    match ciborium::into_writer(&(frame.tag() == ClientTag::Query, frame.body(), bound, shown), &mut bytes) {
        Ok(()) => blake3::hash(&bytes).to_hex().to_string(),
        // Writing to memory cannot fail; an empty digest would match nothing.
        Err(_) => String::new(),
    }
}
