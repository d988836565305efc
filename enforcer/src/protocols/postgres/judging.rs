//! How a session judges a text: statement by statement, with everything that is executed by name.
//!
//! Synchronous. What the gateway cannot analyse must never be permitted.

use super::classify::{Classified, Text, Under};
use super::machine::Postgres;
use super::names::{Full, Meanings};
use super::pipeline::{Freed, Run, Until, redefines, takes_back, uses_rows};
use super::reply::{self, Rule};
use super::verdict::{self, Context, Denial, Permitted};
use super::wire::client::{Execute, Query};
use super::wire::frame::{ClientTag, Frame};
use super::wire::server::TransactionStatus;
use super::wire::sqlstate::SqlState;
use super::wire::write::Notice;
use crate::core::hold::Agreed;
use crate::core::machine::Now;
use lang::program::rules::RuleId;
use lang::program::{Access, Object, StatementLimits, Verdict};
use lang::protocol::Operation;
use pgsql::mask::Outcome;
use pgsql::refusal::Refusal;
use pgsql::statement::{Action, Discard};
use std::sync::{Arc, PoisonError};

/// What a message calls a prepared statement.
pub(super) const STATEMENT: &str = "prepared statement";

/// Where a statement stands in its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// The same text makes the name that it runs.
    made_here: bool,
    /// It runs, and not only prepares.
    runs: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self { made_here: false, runs: true }
    }
}

impl Postgres {
    pub(super) fn text(&self, sql: &str) -> Result<Arc<Text>, Box<Denial>> {
        // A panic while the cache was held leaves it whole.
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.get(sql, &self.facts, self.plan.as_ref(), self.reach.as_ref()).map_err(|refusal| {
            let code = match &refusal {
                Refusal::Unparsed { .. } => SqlState::SYNTAX_ERROR,
                Refusal::TooLong { .. } | Refusal::TooDeep { .. } => SqlState::PROGRAM_LIMIT_EXCEEDED,
                Refusal::UnknownNode { .. } | Refusal::NeverRuns { .. } => SqlState::INSUFFICIENT_PRIVILEGE,
            };
            let mut denial = Denial::saying(refusal.to_string()).with_code(code);
            denial.hint = Some(hint_of(&refusal).to_owned());
            denial
        })
    }

    /// Judges a text; what is permitted, ready to run.
    pub(super) fn judge_text(&self, now: Now, text: &Text) -> Result<Run, Box<Denial>> {
        let mut permitted = Run::default();
        let behind = text.statements.split_last().map_or(&[] as &[_], |(_, before)| before);
        let takes_back = self.redefined_for_now && behind.iter().any(|one| takes_back(one));
        let defines = text.statements.len() > 1 && text.statements.iter().any(|one| redefines(one));
        if self.plan.is_some() && (defines || takes_back) {
            let sentence = "where masks stand, definitions are changed by a message of their own: what follows must be judged by what they made";
            return Err(Denial::saying(sentence));
        }
        if self.plan.is_none() && self.rests_on_names() && self.uses_what_it_defines(text) {
            let sentence = "where rules name tables, definitions are changed by a message of their own: what follows must be judged by what they made";
            return Err(Denial::saying(sentence));
        }
        for (at, statement) in text.statements.iter().enumerate() {
            // A string may make a name and run it. What the name meant before is judged as well: it may run first.
            let made_here = text.statements.iter().any(|other| makes(other, statement));
            // PREPARE runs nothing; what it prepares is judged when it is executed, unless that is here.
            let runs = !matches!(statement.action, Action::Prepare { .. })
                || text.statements.iter().any(|other| makes(statement, other));
            let judged = self.judge_one(now, statement, Place { made_here, runs }, &mut permitted);
            judged.map_err(|denial| if at == 0 { self.or_aborted(statement, denial) } else { denial })?;
        }
        Ok(permitted)
    }

    /// What the server says where a transaction has failed and a statement would not end it; otherwise the denial. The catalog
    /// cannot be read there, so that a denial would rest on what it said before.
    fn or_aborted(&self, statement: &Classified, denial: Box<Denial>) -> Box<Denial> {
        let failed = self.settled == Some(TransactionStatus::Failed);
        if !failed || matches!(statement.action, Action::Transaction(_)) {
            return denial;
        }
        let said = Denial::saying(reply::in_failed_transaction().message).with_code(SqlState::IN_FAILED_TRANSACTION);
        Box::new(Denial { accesses: denial.accesses, ..*said })
    }

    /// Judges one statement with everything that it executes by name, and adds it to what is permitted.
    pub(super) fn judge_one(
        &self,
        now: Now,
        statement: &Arc<Classified>,
        place: Place,
        permitted: &mut Run,
    ) -> Result<(), Box<Denial>> {
        let rests = self.plan.is_some() || self.rests_on_names() && uses_rows(statement);
        if rests
            && !matches!(statement.action, Action::Transaction(_))
            && let Some(sentence) = self.outdated(now, statement)
        {
            return Err(Denial::saying(sentence));
        }
        let Place { made_here, runs } = place;
        let mut judged = vec![Arc::clone(statement)];
        let mut named = |meanings: Option<Meanings>, missing: Box<Denial>| match meanings {
            // EXECUTE of an EXECUTE does not exist: one level is all.
            Some(meanings) => {
                judged.extend(meanings);
                Ok(())
            }
            None if made_here => Ok(()),
            None => Err(missing),
        };
        if let Some(name) = &statement.executes {
            named(self.statements.meanings(name), unknown(STATEMENT, name))?;
        }
        if let Action::Fetch { cursor } | Action::Move { cursor } = &statement.action {
            let meanings = self.portals.meanings(cursor);
            // A cursor that only a routine can have opened shows what the routine may show, where any routine may run
            // and nothing that it reads is narrowed, guarded or masked.
            if meanings.is_some() || verdict::needs_catalog(&self.lease) {
                named(meanings, unknown("cursor", cursor))?;
            }
            permitted.fetches.push(cursor.clone());
        }
        if let Action::DeclareCursor { name, .. } = &statement.action {
            permitted.opens.push(name.clone());
        }
        let context = self.context(now);
        let mut wants = Agreed::default();
        for (at, statement) in judged.iter().enumerate() {
            let verdict = self.judge_meaning(&context, statement)?;
            permitted.limits = tighter(std::mem::take(&mut permitted.limits), verdict.limits);
            if at > 0 || runs {
                permitted.counts |= verdict.counts;
                self.want(&mut wants, verdict.reviews)?;
            }
        }
        if !wants.is_empty() && (judged.len() > 2 || (made_here && judged.len() > 1)) {
            let sentence = "this needs people's approval, and the name that it runs may stand for several statements: they could not be shown which; use a name that is new";
            return Err(Denial::saying(sentence));
        }
        self.agree_or_want(statement, &wants, permitted);
        let until = self.until();
        permitted.frees.extend(frees(statement).into_iter().map(|freed| (freed, until)));
        permitted.statements.extend(judged);
        Ok(())
    }

    /// The verdict on a statement as it was read, now: the one place that asks for it.
    pub(super) fn judge_meaning(
        &self,
        context: &Context<'_>,
        statement: &Classified,
    ) -> Result<Permitted, Box<Denial>> {
        self.still_means(statement)?;
        verdict::judge(context, statement)
    }

    /// Refuses what was read under masks or definitions that have changed, where it now reads otherwise.
    fn still_means(&self, statement: &Classified) -> Result<(), Box<Denial>> {
        let under = &statement.under;
        if under.is(self.plan.as_ref(), self.reach.as_ref()) {
            return Ok(());
        }
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = texts.get(&statement.text, &self.facts, under.plan.as_ref(), under.reach.as_ref());
        let now = texts.get(&statement.text, &self.facts, self.plan.as_ref(), self.reach.as_ref());
        if matches!((before, now), (Ok(before), Ok(now)) if before == now) {
            return Ok(());
        }
        let sentence = "the definitions or the masks of what this statement uses have changed since it was prepared; prepare it again";
        Err(Denial::saying(sentence).with_code(SqlState::FEATURE_NOT_SUPPORTED))
    }

    /// Whether a text changes definitions and then uses rows or routines.
    fn uses_what_it_defines(&self, text: &Text) -> bool {
        let changes = |one: &Classified| redefines(one) || self.redefined_for_now && takes_back(one);
        let mut after = text.statements.iter().skip_while(|one| !changes(one)).skip(1);
        after.any(|one| uses_rows(one))
    }

    /// Whether what the session may do rests on what names lead to, and a catalog says it.
    pub(super) fn rests_on_names(&self) -> bool {
        self.reach.is_some() && self.lease.asks_for_definitions()
    }

    /// Adds what reviews want: the approvals as the policy has them now.
    pub(super) fn want(&self, wants: &mut Agreed, reviews: Vec<(RuleId, String)>) -> Result<(), Box<Denial>> {
        for (rule, by) in reviews {
            let Some(approval) = self.lease.active().program.approval(&by) else {
                let sentence = format!("this statement needs the approval `{by}`, which the policy does not define");
                return Err(Denial::by(&self.lease, rule, sentence));
            };
            if !wants.approvals.contains(approval) {
                wants.approvals.push(approval.clone());
            }
            wants.reviews.insert((rule, by));
        }
        Ok(())
    }

    /// What a statement wants is added to what its message wants, unless people have agreed to the cursor that it
    /// reads from.
    fn agree_or_want(&self, statement: &Classified, wants: &Agreed, permitted: &mut Run) {
        if wants.is_empty() {
            return;
        }
        if let Action::Fetch { cursor } | Action::Move { cursor } = &statement.action
            && let Some(agreed) = self.bindings.agreed(cursor)
            && agreed.covers(wants)
        {
            permitted.agreed.add(agreed);
            return;
        }
        permitted.wants.add(wants);
    }

    /// Judges the message that a client sent to have something run, as it stands now.
    pub(super) fn judge_message(&self, now: Now, frame: &Frame<ClientTag>) -> Result<Run, Box<Denial>> {
        if frame.tag() == ClientTag::Query {
            let query = Query::read(frame.body()).map_err(|error| Denial::saying(error.to_string()))?;
            let text = self.text(query.sql)?;
            return self.judge_text(now, &text);
        }
        let execute = Execute::read(frame.body()).map_err(|error| Denial::saying(error.to_string()))?;
        self.judge_portal(now, execute.portal, execute.rows_max)
    }

    /// Judges what a portal runs.
    pub(super) fn judge_portal(&self, now: Now, portal: &str, rows_max: i32) -> Result<Run, Box<Denial>> {
        let Some(meanings) = self.portals.meanings(portal) else { return Err(unknown("portal", portal)) };
        let mut permitted = Run { fetches: vec![portal.into()], ..Run::default() };
        for meaning in &meanings {
            self.judge_one(now, meaning, Place::default(), &mut permitted)?;
        }
        if permitted.counts && rows_max != 0 {
            let sentence =
                "the rows that it writes are limited and must be counted at once: execute it without a number of rows";
            return Err(Denial::saying(sentence));
        }
        if permitted.wants.is_empty() {
            return Ok(permitted);
        }
        if let Some(agreed) = self.bindings.agreed(portal)
            && agreed.covers(&permitted.wants)
        {
            permitted.agreed.add(agreed);
            permitted.wants = Agreed::default();
        } else if meanings.len() > 1 {
            let sentence = "this needs people's approval, and the portal may stand for several statements: they could not be shown which; use a name that is new";
            return Err(Denial::saying(sentence));
        }
        Ok(permitted)
    }

    /// Refuses parameters of types of which a value runs a routine of the database, where none may be called: their text
    /// names no type.
    pub(super) fn makes_parameters(&self, now: Now, types: &[u32]) -> Result<(), Box<Denial>> {
        let Some(reach) = self.reach.as_ref().filter(|_| self.lease.asks_for_definitions()) else { return Ok(()) };
        for name in types.iter().filter_map(|kind| reach.catalog().volatile_when_made.get(kind)) {
            let object = Object::table(self.facts.default_schema.clone(), name.clone());
            let accesses = vec![Access { op: Operation::Call, object }];
            let judgement = self.lease.judge(&accesses, &[], now.wall);
            if judgement.verdict == Verdict::Allowed && judgement.limits.rows.is_none() {
                continue;
            }
            let sentence = format!(
                "checks of the type `{name}` of a parameter run a routine of the database, which is a call of it that \
                 the policy does not simply permit"
            );
            return Err(Box::new(Denial { accesses, ..*Denial::saying(sentence) }));
        }
        Ok(())
    }

    /// What a message that frees names, and comes now, may free.
    pub(super) fn until(&self) -> Until {
        Until { statements: self.statements.newest(), portals: self.portals.newest() }
    }

    pub(super) fn context(&self, now: Now) -> Context<'_> {
        Context {
            lease: &self.lease,
            plan: self.plan.as_ref(),
            reach: self.reach.as_ref(),
            read_only: self.read_only,
            at: now.wall,
        }
    }

    /// Takes the names that a portal's own statements make, now that they run.
    pub(super) fn learn_again(&mut self, portal: &str) -> Result<(), Box<Denial>> {
        let own = self.portals.meanings(portal).unwrap_or_default();
        self.learn(&own)
    }

    /// Takes the names that permitted statements make: when they are read, for what is judged meanwhile, and when they run,
    /// since what was freed before that is freed.
    pub(super) fn learn(&mut self, statements: &[Arc<Classified>]) -> Result<(), Box<Denial>> {
        let names_max = self.limits.statements_per_session_max;
        for statement in statements {
            if let Action::Prepare { name, .. } = &statement.action {
                self.statements.may_take(name, vec![Arc::clone(statement)], names_max).map_err(|Full| too_many())?;
            }
            if let Action::DeclareCursor { name, holds, .. } = &statement.action {
                self.holds_cursors |= holds;
                self.bindings.disagree(name);
                self.portals.may_take(name, vec![Arc::clone(statement)], names_max).map_err(|Full| too_many())?;
            }
        }
        Ok(())
    }
}

pub(super) fn empty() -> Classified {
    Classified {
        text: "".into(),
        action: Action::Other,
        accesses: Vec::new(),
        relations: Vec::new(),
        renames: Vec::new(),
        sensitive: Vec::new(),
        executes: None,
        never: None,
        leaves_read_only: false,
        writes_rows: false,
        counted: false,
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

pub(super) fn unknown(what: &str, name: &str) -> Box<Denial> {
    let code = if what == STATEMENT { SqlState::INVALID_STATEMENT_NAME } else { SqlState::INVALID_CURSOR_NAME };
    Denial::saying(format!("{what} \"{name}\" does not exist in this session")).with_code(code)
}

/// The way out of a text that was not judged: the grammar's own, where it has one.
fn hint_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Unparsed { message } if message.as_ref() == "missing argument" => {
            "Use NONE to denote the missing argument of a unary operator."
        }
        Refusal::Unparsed { .. }
        | Refusal::TooLong { .. }
        | Refusal::TooDeep { .. }
        | Refusal::UnknownNode { .. }
        | Refusal::NeverRuns { .. } => "What the gateway cannot analyse does not run.",
    }
}

pub(super) fn too_many() -> Box<Denial> {
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
pub(super) fn notice_of(denial: &Denial) -> Notice {
    let (name, place) = (denial.rule.as_ref().map(ToString::to_string), denial.place.as_ref().map(ToString::to_string));
    let rule = Rule { name: name.as_deref(), place: place.as_deref() };
    let notice = Notice { code: denial.code, ..reply::denied(&denial.sentence, rule) };
    match &denial.hint {
        Some(hint) => notice.with_hint(hint.clone()),
        None => notice,
    }
}
