//! The history, as far as a caller may see it: one's own, what `operate … requests` and `operate … replay` name, and
//! activations for `operate … policy`.

use super::list::{Filter, LIMIT_MAX, Listed, cut};
use super::refusal::{Because, Refused};
use super::{Access, Caller};
use crate::core::identity::Identity;
use crate::core::machine::Now;
use crate::store::{AuditEntry, AuditScan, Notice, NoticeState};
use lang::program::rules::Operator;

impl Access {
    /// The history, newest first, from before a sequence number.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn audit(
        &self,
        identity: &Identity,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Listed<AuditEntry>, Refused> {
        let caller = self.caller(identity)?;
        let limit = limit.clamp(1, LIMIT_MAX);
        let scan = AuditScan {
            subject: caller.identity.subject.clone(),
            requests: caller.connections(&[Operator::Requests]),
            sessions: caller.connections(&[Operator::Replay]),
            policy: !caller.connections(&[Operator::Policy]).is_empty(),
            before,
        };
        let rows = self.0.store.audit(scan, limit.saturating_add(1)).await?;
        Ok(cut(rows, limit, |entry| entry.entry.seq.to_string()))
    }

    /// Notices of a state, newest first.
    ///
    /// # Errors
    /// When no `operate … policy` rule names the caller, or the state cannot be read.
    pub async fn notices(
        &self,
        identity: &Identity,
        state: NoticeState,
        filter: &Filter,
    ) -> Result<Listed<Notice>, Refused> {
        operator(&self.caller(identity)?)?;
        let rows = self.0.store.notices(state, filter.page()).await?;
        Ok(cut(rows, filter.limit(), |notice| notice.id.clone()))
    }

    /// Has a notice that was given up tried again.
    ///
    /// # Errors
    /// When no `operate … policy` rule names the caller, it is not dead, or the state cannot be written.
    pub async fn retry_notice(&self, identity: &Identity, id: &str, now: Now) -> Result<(), Refused> {
        operator(&self.caller(identity)?)?;
        if self.0.store.retry_notice(id.to_owned(), self.instant(now)).await? {
            Ok(())
        } else {
            Err(Refused::NotFound("undelivered notice"))
        }
    }
}

fn operator(caller: &Caller) -> Result<(), Refused> {
    if caller.connections(&[Operator::Policy]).is_empty() {
        let sentence = "no `operate … policy` rule lets you look after the gateway's notices";
        return Err(Refused::Forbidden(Because::plain(sentence)));
    }
    Ok(())
}
