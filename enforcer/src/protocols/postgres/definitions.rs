//! When a session reads the target's catalog again: after a change of definitions, and once it is too old.
//!
//! Synchronous. Where masks or scopes stand, nothing must run on a catalog that is known to be out of date.

use super::classify::Classified;
use super::machine::Postgres;
use super::masking::{CATALOG_MS_MAX, Changes};
use super::pipeline::{Awaited, Run, defines};
use super::scan::Scanner;
use super::verdict;
use super::wire::server::TransactionStatus;
use super::wire::write;
use crate::core::machine::{Now, Outbox};
use bytes::BytesMut;
use pgsql::statement::{Action, Transaction};

/// How long what comes next waits for a change of definitions that another session makes, in milliseconds; after that the
/// catalog is read again and must do.
const CHANGE_MS_MAX: u64 = 5_000;
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
        let ready = matches!(self.settled, Some(TransactionStatus::Idle | TransactionStatus::Open));
        if !ready || !self.pipeline.is_empty() {
            return false;
        }
        // What a transaction has changed, others do not see.
        if !self.redefined
            && !self.redefined_for_now
            && let Some(newer) = self.catalogs.latest(self.lease.connection())
            && (newer.made, newer.read_mono_ms) > (known.made, known.read_mono_ms)
            && !known.catalog.has_temporary()
        {
            self.known = Some(newer);
            self.lay_masks();
            return self.reads_catalog(now, run, out);
        }
        if self.waits_for_others(now) {
            return true;
        }
        if !self.catalog_is_old(now) || self.frozen && !self.redefined {
            if self.settled == Some(TransactionStatus::Idle) {
                self.made_outside = self.known.as_ref().map_or(0, |known| known.made);
            }
            return false;
        }
        self.changes_when_asked = self.changes().made;
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

    /// Whether another session is changing definitions, so that what comes next could meet them half-way.
    fn waits_for_others(&mut self, now: Now) -> bool {
        if self.changes().under_way == 0 {
            self.waits_since_mono_ms = None;
            return false;
        }
        let since = *self.waits_since_mono_ms.get_or_insert(now.mono_ms);
        let waits = now.mono_ms.saturating_sub(since) <= CHANGE_MS_MAX;
        self.look_at_mono_ms = waits.then(|| now.mono_ms.saturating_add(LOOK_MS));
        waits
    }

    fn changes(&self) -> Changes {
        self.catalogs.changes(self.lease.connection())
    }

    /// Whether a run may show other sessions new definitions: a change outside a transaction, or the end of one with changes.
    pub(super) fn publishes(&self, run: &Run) -> bool {
        let transacts = |run: &Run| run.statements.iter().any(|one| matches!(one.action, Action::Transaction(_)));
        let commits = |one: &Classified| matches!(one.action, Action::Transaction(Transaction::Commit { .. }));
        let defines = |run: &Run| run.statements.iter().any(|one| defines(one));
        let inside = self.in_transaction && !transacts(run) && !self.pipeline.runs().any(transacts);
        let changed = self.redefined_for_now || defines(run) || self.pipeline.runs().any(defines);
        defines(run) && !inside || changed && run.statements.iter().any(|one| commits(one))
    }

    /// The server is ready: what was under way has changed definitions, or has not.
    pub(super) fn changed_definitions(&mut self) {
        if self.changing.is_some() && !self.pipeline.runs().any(|run| self.publishes(run)) {
            self.changing = None;
        }
    }

    /// Whether the catalog must be read again.
    pub(super) fn catalog_is_old(&self, now: Now) -> bool {
        let Some(known) = &self.known else { return self.redefined };
        let old = !self.frozen && now.mono_ms.saturating_sub(known.read_mono_ms) > CATALOG_MS_MAX;
        self.redefined || old || known.made != self.changes().made
    }

    /// Why the catalog that is known does not tell any more what a statement means, and cannot be read before it.
    pub(super) fn outdated(&self, now: Now) -> Option<&'static str> {
        let pending = || self.pipeline.runs().any(|run| run.redefines(self.redefined_for_now));
        if self.redefined || pending() {
            return Some(
                "definitions were changed in this pipeline: end it (Sync) before the next statement, which must be judged \
                 by what they made",
            );
        }
        let known = self.known.as_ref()?;
        let changed = self.plan.is_some() && known.made != self.changes().made;
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
        self.changes_when_asked = self.changes().made;
        let mut query = BytesMut::new();
        if let Err(error) = write::query(&mut query, pgsql::snapshot::query::TEXT) {
            return self.broken(now, &error, out);
        }
        out.send_upstream_unrecorded(&query);
        self.settled = None;
        self.pipeline.push_front(Awaited::Catalog(Box::default()));
    }
}
