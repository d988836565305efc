//! Break-glass: who may use it now, what its use owes, and the review afterwards.
//!
//! Its use is announced and reviewed. Where it cannot be announced it is refused, and so is whoever owes a review that
//! is overdue. A review never undoes what was done; it says that people looked.

use super::announce;
use super::caller::Caller;
use super::list::{Filter, Listed, SEARCHED_PARTS_MAX, cut};
use super::quorum::same_person;
use super::refusal::{Because, Refused};
use super::request::free_text;
use super::{Access, Did, IdempotencyKey, Outcome};
use crate::core::id::WindowId;
use crate::core::identity::{Identity, SubjectKind};
use crate::core::machine::Now;
use crate::store::{About, Account, Change, Review, Verdict, Window};
use lang::program::Contract;
use lang::time::Timestamp;
use std::collections::BTreeSet;

impl Access {
    /// Says a word on a break-glass window. The one that completes the quorum ends the review.
    ///
    /// # Errors
    /// When the caller may not review it, has spoken already, or it is done.
    pub async fn review(
        &self,
        identity: &Identity,
        id: &WindowId,
        concern: bool,
        note: Option<String>,
        key: Option<&IdempotencyKey>,
        now: Now,
    ) -> Result<(Did, Review), Refused> {
        let note = free_text("note", note, 2_000)?;
        if concern && note.is_none() {
            return Err(Refused::Invalid("say what the concern is".to_owned()));
        }
        let caller = self.caller(identity)?;
        let at = self.instant(now);
        let (judged_as, named) = (caller.clone(), id.clone());
        let judge = move |account: &Account| {
            let outcome = |did| Outcome { did, request: None, window: None };
            let review = reviewable(&judged_as, account, &named)?;
            let me = &judged_as.identity.subject;
            if review.verdicts.iter().any(|verdict| same_person(&verdict.subject, me)) {
                return Ok((outcome(Did::Nothing), Vec::new()));
            }
            if review.done.is_some() {
                return Err(Refused::State(Because::plain("the review is done already")));
            }
            let verdict = Verdict {
                subject: me.clone(),
                subject_name: judged_as.identity.name.clone(),
                kind: judged_as.identity.kind,
                concern,
                note: note.clone(),
                at,
            };
            let done = people(review, &verdict) >= usize::try_from(review.quorum.count).unwrap_or(usize::MAX);
            Ok((outcome(Did::Reviewed), vec![Change::Verdict { window: named.clone(), verdict, done }]))
        };
        let outcome = self.transact(About::Window(id.clone()), &caller, key, at, judge).await?;
        let review = self.0.store.review(id.clone()).await?.ok_or(Refused::NotFound("review"))?;
        Ok((outcome.did, review))
    }

    /// Reviews that the caller may see, newest first, and whether the caller may still speak on each.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn reviews(&self, identity: &Identity, filter: &Filter) -> Result<Listed<(Review, bool)>, Refused> {
        let caller = self.caller(identity)?;
        let mut page = filter.page();
        let wanted = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut items = Vec::new();
        for _ in 0..SEARCHED_PARTS_MAX {
            let rows = self.0.store.reviews(filter.open, page.clone()).await?;
            let whole = rows.len() == wanted;
            page.after = rows.last().map(|row| row.window.to_string());
            items.extend(rows.into_iter().filter(|review| caller.sees_review(review)));
            if !whole || items.len() >= wanted {
                break;
            }
        }
        items.truncate(wanted);
        let items = items.into_iter().map(|review| (may_speak(&caller, &review), review));
        Ok(cut(items.map(|(may, review)| (review, may)).collect(), filter.limit(), |row: &(Review, bool)| {
            row.0.window.to_string()
        }))
    }

    /// The review that a window owes, when there is one that the caller may see.
    ///
    /// # Errors
    /// When the state cannot be read.
    pub async fn one_review(&self, identity: &Identity, id: &WindowId) -> Result<Option<(Review, bool)>, Refused> {
        let caller = self.caller(identity)?;
        let review = self.0.store.review(id.clone()).await?.filter(|review| caller.sees_review(review));
        Ok(review.map(|review| (may_speak(&caller, &review), review)).map(|(may, review)| (review, may)))
    }
}

fn may_speak(caller: &Caller, review: &Review) -> bool {
    let spoke = review.verdicts.iter().any(|verdict| same_person(&verdict.subject, &caller.identity.subject));
    review.done.is_none() && !spoke && caller.reviews(review)
}

fn reviewable<'a>(caller: &Caller, account: &'a Account, id: &WindowId) -> Result<&'a Review, Refused> {
    let review = account.reviews.iter().find(|review| review.window == *id).ok_or(Refused::NotFound("review"))?;
    if caller.reviews(review) {
        return Ok(review);
    }
    if !caller.sees_review(review) {
        return Err(Refused::NotFound("review"));
    }
    Err(Refused::Forbidden(Because::plain(if same_person(&caller.identity.subject, &review.subject) {
        "nobody reviews their own use of break-glass"
    } else {
        "you hold none of the groups that review this window"
    })))
}

/// How many people have spoken, this one included.
fn people(review: &Review, last: &Verdict) -> usize {
    let spoken = review.verdicts.iter().chain([last]);
    let people: BTreeSet<(&str, &str)> = spoken
        .filter(|verdict| verdict.kind == SubjectKind::Human && !same_person(&verdict.subject, &review.subject))
        .map(|verdict| (verdict.subject.tenant.as_str(), verdict.subject.id.as_str()))
        .collect();
    people.len()
}

/// Refuses a break-glass grant that cannot be announced, or to somebody who owes a review that is overdue.
pub(super) fn admissible(
    caller: &Caller,
    contract: &Contract<'_>,
    account: &Account,
    now: Timestamp,
) -> Result<(), Refused> {
    let Some(glass) = &contract.grant.break_glass else { return Ok(()) };
    let refuse =
        |sentence: String| Err(Refused::policy(Because::rule(caller.program(), contract.grant.rule(), sentence)));
    let unknown = caller.announce.unknown(&glass.notify);
    if glass.notify.is_empty() || !unknown.is_empty() {
        return refuse(format!(
            "break-glass must be announced, and the gateway has no channel `{}`; its operators add one to its \
             configuration",
            unknown.join("`, `")
        ));
    }
    if let Some(owed) = account.reviews.iter().find(|review| review.is_overdue(now)) {
        return refuse(format!(
            "the review of your earlier break-glass window `{}` on `{}` has been overdue since {}; it comes first",
            owed.window, owed.connection, owed.due
        ));
    }
    Ok(())
}

/// What the opening of a window under a break-glass grant owes: a review, and news for its channels.
pub(super) fn owed(contract: &Contract<'_>, window: &Window, now: Timestamp) -> Vec<Change> {
    let Some(glass) = &contract.grant.break_glass else { return Vec::new() };
    let review = Review {
        window: window.id.clone(),
        subject: window.subject.clone(),
        subject_name: window.subject_name.clone(),
        connection: window.connection.clone(),
        grant: window.grant.clone(),
        quorum: glass.review.clone(),
        notify: glass.notify.clone(),
        within: glass.within,
        due: window.ends.plus(glass.within),
        verdicts: Vec::new(),
        done: None,
    };
    let mut changes = vec![Change::OweReview(Box::new(review))];
    changes.extend(announce::of_glass(glass, window, now));
    changes
}
