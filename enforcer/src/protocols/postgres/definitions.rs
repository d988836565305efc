//! When a session reads the target's catalog again: after a change of definitions, and once it is too old.
//!
//! Synchronous. Where masks or scopes stand, nothing must run on a catalog that is known to be out of date.

use super::classify::{self, Classified, QualifiedName};
use super::interplay::{Change, Conflict, Wanted};
use super::machine::Postgres;
use super::masking::CATALOG_MS_MAX;
use super::pipeline::{Awaited, defines, is_definition};
use super::scan::Scanner;
use super::verdict::{self, Denial};
use super::wire::frame::{ClientTag, Frame};
use super::wire::server::TransactionStatus;
use super::wire::sqlstate::SqlState;
use super::wire::write;
use crate::core::machine::{Now, Outbox};
use bytes::BytesMut;
use lang::program::Object;
use pgsql::statement::{Action, Transaction};
use std::sync::Arc;

/// How long a message waits for what other sessions use or change, in milliseconds.
const CHANGE_MS_MAX: u64 = 60_000;
/// How old the catalog may become while a pipeline leaves no room to read it again, in milliseconds.
const PIPELINE_MS_MAX: u64 = 2 * CATALOG_MS_MAX;
/// How often it looks whether that is over, in milliseconds.
const LOOK_MS: u64 = 20;

impl Postgres {
    /// Lays the program's masks over the catalog that is known, and works out what names lead to in it.
    pub(super) fn lay_masks(&mut self) {
        self.plan = match &self.known {
            Some(known) if verdict::has_masks(&self.lease) => {
                let masks = self.catalogs.masks(&self.lease, &known.catalog);
                Some(self.catalogs.plan(&known.catalog, masks, &self.facts))
            }
            Some(_) | None => None,
        };
        self.reach = match &self.known {
            Some(known) if verdict::needs_catalog(&self.lease) => {
                Some(self.catalogs.reach(&known.catalog, &self.facts))
            }
            Some(_) | None => None,
        };
        let patterns = self.lease.active().program.patterns(self.lease.subject(), self.lease.connection());
        self.scanner = Scanner::new(patterns, &self.pattern_key);
    }

    /// Whether what comes next must wait until the definitions that a request changes, or the catalog, are known.
    pub(super) fn waits_for_definitions(&self) -> bool {
        matches!(self.pipeline.front(), Some(Awaited::Catalog(_)))
            || self.reach.is_some()
                && self.pipeline.ends_a_request()
                && self.pipeline.runs().any(|run| run.redefines(self.redefined_for_now))
    }

    /// Between two requests of the client, sees to it that the catalog is not too old. While it is being read, nothing
    /// is taken from the client.
    pub(super) fn reads_catalog(&mut self, now: Now, run: &mut BytesMut, out: &mut Outbox) -> bool {
        if self.waits_for_definitions() {
            return true;
        }
        let (Some(known), Some(_)) = (&self.known, &self.reach) else { return false };
        if !self.is_settled() || !self.pipeline.is_empty() {
            return false;
        }
        // What a transaction has changed, others do not see.
        let learned = self.catalogs.learned();
        if learned != self.learned && !self.redefined && !self.redefined_for_now && !known.catalog.has_temporary() {
            self.learned = learned;
            if let Some(newer) = self.catalogs.latest(self.lease.connection())
                && (newer.made, newer.read_mono_ms) > (known.made, known.read_mono_ms)
            {
                self.known = Some(newer);
                self.lay_masks();
                return self.reads_catalog(now, run, out);
            }
        }
        if !self.catalog_is_old(now) || self.frozen && !self.redefined {
            if self.settled == Some(TransactionStatus::Idle) {
                self.made_outside = self.known.as_ref().map_or(0, |known| known.made);
            }
            return false;
        }
        self.changes_when_asked = self.member.made();
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

    /// Whether the server would take a query of the gateway's own now.
    fn is_settled(&self) -> bool {
        matches!(self.settled, Some(TransactionStatus::Idle | TransactionStatus::Open))
    }

    /// Has statements begin beside what other sessions do; `false`: their message waits until they may.
    ///
    /// It waits only where nothing of its request has been sent: what a target has bound holds locks for it.
    pub(super) fn begins(
        &mut self,
        now: Now,
        frame: &Frame<ClientTag>,
        statements: &[Arc<Classified>],
    ) -> Result<bool, Box<Denial>> {
        let Err(denial) = self.enters(now, statements) else {
            self.waits_until_mono_ms = None;
            return Ok(true);
        };
        let until = *self.waits_until_mono_ms.get_or_insert(now.mono_ms.saturating_add(CHANGE_MS_MAX));
        let outside = self.back.is_none() && (self.pipeline.is_empty() || self.pipeline.ends_a_request());
        if outside && now.mono_ms < until {
            self.next = Some(frame.clone());
            self.look_at_mono_ms = Some(now.mono_ms.saturating_add(LOOK_MS));
            return Ok(false);
        }
        self.waits_until_mono_ms = None;
        Err(denial)
    }

    /// The same for statements that cannot wait.
    pub(super) fn enters(&mut self, now: Now, statements: &[Arc<Classified>]) -> Result<(), Box<Denial>> {
        let change = self.change_of(statements);
        let rests = self.plan.is_some() || self.rests_on_names();
        if !rests && change.is_none() {
            return Ok(());
        }
        let reach = self.reach.as_ref();
        let as_read = |one: &Classified| one.under.reach.as_ref().map(Arc::as_ptr) == reach.map(Arc::as_ptr);
        let under_way = |one: &Arc<Classified>| as_read(one) && self.member.has_just_begun(&one.under.uses);
        if change.is_none() && statements.iter().all(under_way) {
            return Ok(());
        }
        let read_before = statements.iter().filter(|one| !as_read(one));
        let read_before = read_before.filter_map(|one| reach.map(|reach| classify::used(&one.accesses, reach)));
        let own = statements.iter().map(|one| Arc::clone(&one.under.uses));
        // Where a transaction begins or ends rests on nothing.
        let transacts = statements.iter().all(|one| matches!(one.action, Action::Transaction(_)));
        let uses = (rests && !transacts).then(|| read_before.chain(own).collect());
        let made = self.known.as_ref().map(|known| known.made).filter(|_| self.plan.is_some() && !transacts);
        let wanted = Wanted { uses, change, made, now_mono_ms: now.mono_ms };
        self.member.enter(&wanted).map_err(|conflict| denial(&conflict))
    }

    /// What statements change that other sessions may rest on.
    fn change_of(&self, statements: &[Arc<Classified>]) -> Option<Change> {
        let shown = self.publishes(statements);
        let mut change = Change { shown, ..Change::default() };
        for one in statements.iter().filter(|one| defines(one) && one.action != Action::Beside) {
            add_change(one, &mut change);
        }
        (shown || change != Change::default()).then_some(change)
    }

    /// Whether statements may show other sessions new definitions: a change outside a transaction, or the end of one with
    /// changes.
    fn publishes(&self, statements: &[Arc<Classified>]) -> bool {
        let transacts = |one: &Arc<Classified>| matches!(one.action, Action::Transaction(_));
        let commits = |one: &Arc<Classified>| matches!(one.action, Action::Transaction(Transaction::Commit { .. }));
        let sent =
            |is: &dyn Fn(&Arc<Classified>) -> bool| self.pipeline.runs().any(|run| run.statements.iter().any(is));
        let defines = |one: &Arc<Classified>| defines(one);
        let inside = || self.in_transaction && !statements.iter().any(transacts) && !sent(&transacts);
        let now = statements.iter().any(defines);
        now && !inside() || statements.iter().any(commits) && (now || self.redefined_for_now || sent(&defines))
    }

    /// The server is ready.
    pub(super) fn settle_definitions(&mut self, status: TransactionStatus) {
        let shows = self.member.changes() && self.pipeline.runs().any(|run| self.publishes(&run.statements));
        self.member.settle(status, self.pipeline.is_empty(), shows);
    }

    /// Whether the catalog must be read again.
    pub(super) fn catalog_is_old(&self, now: Now) -> bool {
        let Some(known) = &self.known else { return self.redefined };
        let old = !self.frozen && now.mono_ms.saturating_sub(known.read_mono_ms) > CATALOG_MS_MAX;
        self.redefined || old || known.made != self.member.made()
    }

    /// Why the catalog that is known does not tell any more what a statement means, and cannot be read before it.
    pub(super) fn outdated(&self, now: Now, statement: &Classified) -> Option<&'static str> {
        let pending = || self.pipeline.runs().any(|run| run.redefines(self.redefined_for_now));
        if self.redefined || pending() {
            return Some(
                "definitions were changed in this pipeline: end it (Sync) before the next statement, which must be judged \
                 by what they made",
            );
        }
        let known = self.known.as_ref()?;
        // At the beginning of a request it is read again, if not before then when the statement is about to begin.
        let may_read = self.pipeline.is_empty() && self.is_settled() && !self.frozen;
        let changed = self.plan.is_some()
            && !may_read
            && known.made != self.member.made()
            && !self.member.uses(&statement.under.uses);
        if changed && self.frozen {
            return Some(
                "definitions have changed since this transaction began, and it reads them as they were then (REPEATABLE \
                 READ, SERIALIZABLE): end it and begin again",
            );
        }
        let old = !self.frozen && now.mono_ms.saturating_sub(known.read_mono_ms) > PIPELINE_MS_MAX;
        (changed || old).then_some(
            "definitions may have changed since this pipeline began: end it (Sync, and wait for its answers), then send \
             the statement again",
        )
    }

    /// Reads the catalog before anything that is kept back.
    pub(super) fn read_catalog_first(&mut self, now: Now, out: &mut Outbox) {
        self.changes_when_asked = self.member.made();
        let mut query = BytesMut::new();
        if let Err(error) = write::query(&mut query, pgsql::snapshot::query::TEXT) {
            return self.broken(now, &error, out);
        }
        out.send_upstream_unrecorded(&query);
        self.settled = None;
        self.pipeline.push_front(Awaited::Catalog(Box::default()));
    }
}

/// Adds what a statement changes.
fn add_change(statement: &Classified, change: &mut Change) {
    for access in statement.accesses.iter().filter(|access| is_definition(access.op)) {
        let name: QualifiedName = match &access.object {
            Object::Table { schema, name } => (schema.as_str().into(), name.as_str().into()),
            Object::Nothing | Object::Kubernetes { .. } | Object::Path(_) | Object::Argv(_) => Default::default(),
        };
        // CASCADE has no name: with a relation go its row type, and columns and routines that rest on it.
        if statement.relations.iter().any(|(relation, _)| *relation == name) {
            change.relations.insert(name);
        } else {
            change.anything = true;
        }
    }
}

/// What the client is told that cannot wait any longer.
fn denial(conflict: &Conflict) -> Box<Denial> {
    let named = |name: &Option<QualifiedName>| match name {
        Some((schema, name)) if !name.is_empty() => format!("`{schema}.{name}`"),
        Some(_) | None => "definitions".to_owned(),
    };
    let sentence = match conflict {
        Conflict::Changed(name) => {
            format!("another session is changing {}, which this uses: send it again when that has ended", named(name))
        }
        Conflict::Used(name) => format!(
            "statements of other sessions are under way and would meet what this changes of {}: send it again when they have \
             ended",
            named(name)
        ),
    };
    Denial::saying(sentence).with_code(SqlState::LOCK_NOT_AVAILABLE)
}
