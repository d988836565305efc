//! Extending and ending windows.

use super::announce;
use super::caller::Caller;
use super::judge;
use super::refusal::{Because, Refused};
use super::request::{self, Fresh, free_text, fresh_enough};
use super::{Access, Did, IdempotencyKey, Judged, Outcome};
use crate::core::id::WindowId;
use crate::core::identity::Identity;
use crate::core::machine::{Cause, Now};
use crate::store::{About, Account, Change, End, EndCause, Extension, Purpose, Window};
use lang::program::rules::Operator;
use lang::program::{Contract, Program, Subject};
use lang::time::Timestamp;

impl Access {
    /// Extends one's own window as its grant allows: at once where the policy alone decides, else through a request
    /// that waits for people.
    ///
    /// # Errors
    /// With the reasons why not.
    pub async fn extend(
        &self,
        identity: &Identity,
        id: &WindowId,
        reason: Option<String>,
        key: Option<&IdempotencyKey>,
        now: Now,
    ) -> Result<Outcome, Refused> {
        let reason = free_text("reason", reason, 2_000)?;
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let fresh = Fresh::new()?;
        let (judged_as, named) = (caller.clone(), id.clone());
        let judge = move |account: &Account| extend(&judged_as, account, &named, reason.as_deref(), &fresh, at);
        let outcome = self.transact(About::Window(id.clone()), &caller, key, at, judge).await?;
        if let (Did::Extended, Some(window)) = (outcome.did, &outcome.window) {
            self.0.live.extend_window(&window.id, window.ends);
        }
        Ok(outcome)
    }

    /// Ends a window now, and with it its sessions: by its owner, or by whoever `operate` lets revoke.
    ///
    /// # Errors
    /// When the caller may not, or the state could not be written.
    pub async fn revoke(
        &self,
        identity: &Identity,
        id: &WindowId,
        key: Option<&IdempotencyKey>,
        now: Now,
    ) -> Result<Outcome, Refused> {
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let (judged_as, named) = (caller.clone(), id.clone());
        let judge = move |account: &Account| revoke(&judged_as, account, &named, at);
        let outcome = self.transact(About::Window(id.clone()), &caller, key, at, judge).await?;
        // Also when the window had ended before: a session that somehow lives on must not.
        self.0.live.end_window(id, Cause::Revoked, super::elsewhere::REVOKED);
        Ok(outcome)
    }
}

fn seen<'a>(caller: &Caller, account: &'a Account, id: &WindowId, now: Timestamp) -> Result<&'a Window, Refused> {
    let window = account.windows.iter().find(|window| window.id == *id).ok_or(Refused::NotFound("window"))?;
    if caller.sees_window(window, now) { Ok(window) } else { Err(Refused::NotFound("window")) }
}

fn extend(
    caller: &Caller,
    account: &Account,
    id: &WindowId,
    reason: Option<&str>,
    fresh: &Fresh,
    now: Timestamp,
) -> Judged {
    let window = seen(caller, account, id, now)?;
    if !caller.owns(&window.subject, window.kind) {
        return Err(Refused::Forbidden(Because::plain("only its owner extends a window")));
    }
    if !window.is_open(now) {
        return Err(Refused::State(Because::plain("the window is over; ask for a new one")));
    }
    let (program, subject) = (caller.program(), caller.known()?);
    fresh_enough(caller)?;
    let contract = program
        .choose(subject, &window.connection, Some(&window.grant), now)
        .map_err(|reasons| Refused::Policy(Because::reasons(program, &reasons)))?;
    let (extended, change) = extension(program, subject, &contract, window)?;
    let approvals = judge::approvals(program, &contract).map_err(Refused::policy)?;
    let said = request::Asking {
        reason: reason.map(str::to_owned).or_else(|| window.reason.clone()),
        ticket: window.ticket.clone(),
        ..request::Asking::default()
    };
    let missing = judge::missing(program, subject, &contract, &said);
    if !missing.is_empty() {
        return Err(Refused::Policy(missing));
    }
    if approvals.is_empty() {
        let outcome = Outcome { did: Did::Extended, request: None, window: Some(extended) };
        return Ok((outcome, vec![Change::Extend(change)]));
    }
    if let Some(waiting) = request::waiting(account, &window.grant, now) {
        let outcome = Outcome { did: Did::Nothing, request: Some(waiting.clone()), window: Some(window.clone()) };
        return Ok((outcome, Vec::new()));
    }
    let binding = judge::binding(program, &contract);
    let purpose = Purpose::Extend(window.id.clone());
    let asked = request::asked(caller, subject, &contract, &binding, now, purpose, contract.terms.extend_by)
        .said(said.reason, said.ticket);
    let request = request::pending(fresh, asked, &approvals, now);
    let outcome = Outcome { did: Did::Asked, request: Some(request.clone()), window: Some(window.clone()) };
    let told = announce::of_request(&request, "request.asked", now);
    Ok((outcome, std::iter::once(Change::Ask(Box::new(request))).chain(told).collect()))
}

/// The next extension of a window: never past the total of its terms, hours, validity or a forbid.
pub(super) fn extension(
    program: &Program,
    owner: &Subject,
    contract: &Contract<'_>,
    window: &Window,
) -> Result<(Window, Extension), Refused> {
    let (grant, terms) = (contract.grant, &contract.terms);
    let refuse = |sentence: String| Refused::policy(Because::rule(program, grant.rule(), sentence));
    if terms.extend == 0 {
        return Err(refuse(format!("windows under `{}` cannot be extended; ask for a new one", grant.id)));
    }
    if window.extensions >= terms.extend {
        return Err(refuse(format!("the window was extended {} times, which is the most", window.extensions)));
    }
    let bound = program.window_end(owner, grant, &window.connection, window.started, terms.total);
    let to = window.ends.plus(terms.extend_by).min(bound);
    if to <= window.ends {
        return Err(refuse(format!("the window cannot last longer than until {}", window.ends)));
    }
    let mut after = window.clone();
    after.ends = to;
    after.extensions = window.extensions.saturating_add(1);
    Ok((after, Extension { window: window.id.clone(), before: window.extensions, from: window.ends, to }))
}

fn revoke(caller: &Caller, account: &Account, id: &WindowId, now: Timestamp) -> Judged {
    let window = account.windows.iter().find(|window| window.id == *id).ok_or(Refused::NotFound("window"))?;
    let own = window.subject == caller.identity.subject;
    if !own && !caller.may(&window.connection).contains(&Operator::Revoke) {
        seen(caller, account, id, now)?;
        let sentence = "no `operate` rule lets you revoke windows on this connection";
        return Err(Refused::Forbidden(Because::plain(sentence)));
    }
    if window.ended.is_some() || now >= window.ends {
        return Ok((Outcome { did: Did::Nothing, request: None, window: Some(window.clone()) }, Vec::new()));
    }
    let cause = if own { EndCause::Returned } else { EndCause::Revoked };
    let mut after = window.clone();
    after.ended = Some(End { at: now, cause, by: Some(caller.identity.subject.clone()) });
    let outcome = Outcome { did: Did::Ended, request: None, window: Some(after) };
    Ok((outcome, vec![Change::End { window: window.id.clone(), cause }]))
}
