//! The register of live sessions: how a revocation, an extension or news about a subject reaches them.
//!
//! Orders are hints with a reason: a session that receives one judges itself anew, or ends.

use crate::core::hold::{HoldAnswer, HoldId};
use crate::core::id::{SessionId, WindowId};
use crate::core::identity::{Identity, Subject, SubjectKind};
use crate::core::machine::Cause;
use lang::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What a live session is told.
#[derive(Clone, Debug)]
pub enum Order {
    /// End now.
    End {
        /// Why.
        cause: Cause,
        /// One sentence for the client.
        sentence: String,
    },
    /// The window's end moved.
    Extended {
        /// The new absolute end.
        ends: Timestamp,
    },
    /// A newer token of the subject was verified.
    Identity(Arc<Identity>),
    /// What came of a statement that waits for people.
    Hold(HoldId, HoldAnswer),
    /// The client gives up the statement that waits for people.
    Cancel,
}

/// Facts of a live session, for lists.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The session.
    pub session: SessionId,
    /// Who.
    pub subject: Subject,
    /// The kind that the token's shape gave: an agent that acts for a person bears the person's key.
    pub kind: SubjectKind,
    /// What the token calls the subject.
    pub subject_name: Option<String>,
    /// The connection.
    pub connection: String,
    /// The grant.
    pub grant: String,
    /// The window; none for a standing grant.
    pub window: Option<WindowId>,
    /// When it began.
    pub started: Timestamp,
    /// The absolute end at its beginning.
    pub ends: Timestamp,
}

#[derive(Debug)]
struct Entry {
    facts: Facts,
    orders: Orders,
}

/// The orders that wait for one session: the newest of each sort, so that however many are given, none is lost that
/// matters and no more than one of each waits.
#[derive(Clone, Debug, Default)]
pub struct Orders(Arc<Slot>);

#[derive(Debug, Default)]
struct Slot {
    waiting: Mutex<Waiting>,
    woken: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    end: Option<(Cause, String)>,
    extended: Option<Timestamp>,
    identity: Option<Arc<Identity>>,
    hold: Option<(HoldId, HoldAnswer)>,
    cancel: bool,
    /// Whether a statement of the session waits for people.
    holds: bool,
}

impl Orders {
    /// Tells the session what came of a statement that waits for people.
    pub fn answer(&self, hold: HoldId, answer: HoldAnswer) {
        self.give(Order::Hold(hold, answer));
    }

    /// Notes whether a statement of the session waits for people.
    pub fn holds(&self, holds: bool) {
        self.waiting().holds = holds;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // A panic while it was held leaves a whole value: every change is one assignment.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn give(&self, order: Order) {
        let mut waiting = self.waiting();
        match order {
            // The first cause is the one that the client is told.
            Order::End { cause, sentence } => drop(waiting.end.get_or_insert((cause, sentence))),
            // Ends only ever move forward.
            Order::Extended { ends } => waiting.extended = waiting.extended.max(Some(ends)),
            Order::Identity(identity) => {
                let newer = waiting.identity.as_ref().is_none_or(|held| held.issued_at < identity.issued_at);
                if newer {
                    waiting.identity = Some(identity);
                }
            }
            Order::Hold(hold, answer) => waiting.hold = Some((hold, answer)),
            Order::Cancel => waiting.cancel = true,
        }
        drop(waiting);
        self.0.woken.notify_one();
    }

    /// Takes an order that waits; an end before anything else.
    pub fn take(&mut self) -> Option<Order> {
        let mut waiting = self.waiting();
        if let Some((cause, sentence)) = waiting.end.take() {
            return Some(Order::End { cause, sentence });
        }
        if let Some(identity) = waiting.identity.take() {
            return Some(Order::Identity(identity));
        }
        if std::mem::take(&mut waiting.cancel) {
            return Some(Order::Cancel);
        }
        if let Some((hold, answer)) = waiting.hold.take() {
            return Some(Order::Hold(hold, answer));
        }
        waiting.extended.take().map(|ends| Order::Extended { ends })
    }

    /// Waits for an order. Giving up the wait loses none.
    pub async fn next(&mut self) -> Order {
        loop {
            if let Some(order) = self.take() {
                return order;
            }
            // A wake that came in between is kept for this wait.
            self.0.woken.notified().await;
        }
    }
}

/// The register.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Mutex<BTreeMap<SessionId, Entry>>>);

/// A session's place in the register; leaving is dropping it.
#[derive(Debug)]
pub struct Seat {
    live: Live,
    session: SessionId,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.live.entries().remove(&self.session);
    }
}

impl Live {
    fn entries(&self) -> MutexGuard<'_, BTreeMap<SessionId, Entry>> {
        // A panic while the map was held leaves it whole: every change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a session.
    pub fn enter(&self, facts: Facts) -> (Seat, Orders) {
        let orders = Orders::default();
        let session = facts.session.clone();
        self.entries().insert(session.clone(), Entry { facts, orders: orders.clone() });
        (Seat { live: self.clone(), session }, orders)
    }

    /// How many sessions are live.
    pub fn count(&self) -> usize {
        self.entries().len()
    }

    /// Facts of every live session, by id.
    pub fn list(&self) -> Vec<Facts> {
        self.entries().values().map(|entry| entry.facts.clone()).collect()
    }

    /// Ends one session; whether it was live.
    pub fn end_session(&self, session: &SessionId, cause: Cause, sentence: &str) -> bool {
        self.order(|facts| facts.session == *session, &Order::End { cause, sentence: sentence.to_owned() }) > 0
    }

    /// Gives up the statement of a session that waits for people; whether one does.
    pub fn cancel_held(&self, session: &SessionId) -> bool {
        let entries = self.entries();
        let Some(entry) = entries.get(session).filter(|entry| entry.orders.waiting().holds) else { return false };
        entry.orders.give(Order::Cancel);
        true
    }

    /// Ends every session of a window; how many there were.
    pub fn end_window(&self, window: &WindowId, cause: Cause, sentence: &str) -> usize {
        self.order(|facts| facts.window.as_ref() == Some(window), &Order::End { cause, sentence: sentence.to_owned() })
    }

    /// Ends every session.
    pub fn end_all(&self, cause: Cause, sentence: &str) -> usize {
        self.order(|_| true, &Order::End { cause, sentence: sentence.to_owned() })
    }

    /// Tells the sessions of a window that its end moved.
    pub fn extend_window(&self, window: &WindowId, ends: Timestamp) -> usize {
        self.order(|facts| facts.window.as_ref() == Some(window), &Order::Extended { ends })
    }

    /// Tells the sessions of a subject what a newer token says; call it for every token that is verified. The token
    /// of an agent says nothing about the sessions of the person that it acts for, nor the other way round.
    pub fn identity_seen(&self, identity: &Arc<Identity>) -> usize {
        let concerns = |facts: &Facts| facts.subject == identity.subject && facts.kind == identity.kind;
        self.order(concerns, &Order::Identity(Arc::clone(identity)))
    }

    fn order(&self, concerns: impl Fn(&Facts) -> bool, order: &Order) -> usize {
        let entries = self.entries();
        let concerned = entries.values().filter(|entry| concerns(&entry.facts));
        concerned.map(|entry| entry.orders.give(order.clone())).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn identity(issued: i64, kind: SubjectKind) -> Arc<Identity> {
        Arc::new(Identity {
            subject: Subject { idp: "dev".to_owned(), tenant: "t".to_owned(), id: "p".to_owned() },
            kind,
            name: None,
            group_ids: None,
            claim_values: BTreeSet::new(),
            mfa: false,
            issued_at: Timestamp::from_unix(issued),
            expires_at: Timestamp::from_unix(issued + 60),
        })
    }

    fn facts() -> Facts {
        Facts {
            session: SessionId::from_random([1; 10]),
            subject: identity(0, SubjectKind::Human).subject.clone(),
            kind: SubjectKind::Human,
            subject_name: None,
            connection: "c".to_owned(),
            grant: "g".to_owned(),
            window: None,
            started: Timestamp::from_unix(0),
            ends: Timestamp::from_unix(60),
        }
    }

    #[tokio::test]
    async fn any_number_of_orders_leaves_the_newest_of_each_sort() {
        let live = Live::default();
        let (_seat, mut orders) = live.enter(facts());
        for issued in [3, 1, 10_000, 2] {
            for _ in 0..1_000 {
                assert_eq!(live.identity_seen(&identity(issued, SubjectKind::Human)), 1);
            }
        }
        assert_eq!(live.identity_seen(&identity(20_000, SubjectKind::Agent)), 0, "an agent's token is no news");
        assert!(
            matches!(orders.next().await, Order::Identity(found) if found.issued_at == Timestamp::from_unix(10_000))
        );
        assert!(orders.take().is_none());
        assert_eq!(live.count(), 1, "nobody ends a session by calling fast");
        live.end_all(Cause::Revoked, "first");
        live.end_all(Cause::Drain, "second");
        assert!(matches!(orders.next().await, Order::End { cause: Cause::Revoked, .. }));
    }

    #[tokio::test]
    async fn an_order_that_comes_during_the_wait_wakes_it() {
        let live = Live::default();
        let (_seat, mut orders) = live.enter(facts());
        let (order, ()) = tokio::join!(orders.next(), async {
            tokio::task::yield_now().await;
            live.end_session(&SessionId::from_random([1; 10]), Cause::Revoked, "x");
        });
        assert!(matches!(order, Order::End { .. }));
    }
}
