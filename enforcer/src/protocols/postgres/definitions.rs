//! When a session reads the target's catalog again: after a change of definitions, and once it is too old.
//!
//! Synchronous. Where masks or scopes stand, nothing must run on a catalog that is known to be out of date.

use super::machine::Postgres;
use super::masking::{self, CATALOG_MS_MAX, Known};
use super::pipeline::Awaited;
use super::scan::Scanner;
use super::verdict;
use super::wire::server::TransactionStatus;
use super::wire::write;
use crate::core::machine::{Now, Outbox};
use bytes::BytesMut;

impl Postgres {
    /// Lays the program's masks over the catalog that is known, and works out what names lead to in it.
    pub(super) fn lay_masks(&mut self) {
        self.plan = match &self.known {
            Some(known) if verdict::has_masks(&self.lease) => {
                let masks = masking::masks(&self.lease, &known.catalog);
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
            && newer.read_mono_ms > known.read_mono_ms
            && !known.catalog.has_temporary()
        {
            self.known = Some(newer);
            self.lay_masks();
            return self.reads_catalog(now, run, out);
        }
        if !self.catalog_is_old(now) {
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

    /// Whether the catalog must be read again.
    pub(super) fn catalog_is_old(&self, now: Now) -> bool {
        let old = |known: &Known| now.mono_ms.saturating_sub(known.read_mono_ms) > CATALOG_MS_MAX;
        self.redefined || self.known.as_ref().is_some_and(old)
    }

    /// Reads the catalog before anything that is kept back.
    pub(super) fn read_catalog_first(&mut self, now: Now, out: &mut Outbox) {
        let mut query = BytesMut::new();
        if let Err(error) = write::query(&mut query, pgsql::snapshot::query::TEXT) {
            return self.broken(now, &error, out);
        }
        out.send_upstream_unrecorded(&query);
        self.settled = None;
        self.pipeline.push_front(Awaited::Catalog(Box::default()));
    }
}
