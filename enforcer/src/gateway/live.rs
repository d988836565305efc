//! The register of live sessions: how a revocation, an extension or news about a subject reaches them.
//!
//! Orders are hints with a reason: a session that receives one judges itself anew, or ends.

use crate::core::id::{SessionId, WindowId};
use crate::core::identity::{Identity, Subject};
use crate::core::machine::Cause;
use lang::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

/// Orders that wait for one session; a session that does not take them ends anyway at its next turn.
const ORDERS_MAX: usize = 16;

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
}

/// Facts of a live session, for lists.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The session.
    pub session: SessionId,
    /// Who.
    pub subject: Subject,
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
    orders: mpsc::Sender<Order>,
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
    fn entries(&self) -> std::sync::MutexGuard<'_, BTreeMap<SessionId, Entry>> {
        // A panic while the map was held leaves it whole: every change is one call.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a session.
    pub fn enter(&self, facts: Facts) -> (Seat, mpsc::Receiver<Order>) {
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        let session = facts.session.clone();
        self.entries().insert(session.clone(), Entry { facts, orders });
        (Seat { live: self.clone(), session }, receiver)
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

    /// Tells the sessions of a subject what a newer token says; call it for every token that is verified.
    pub fn identity_seen(&self, identity: &Arc<Identity>) -> usize {
        self.order(|facts| facts.subject == identity.subject, &Order::Identity(Arc::clone(identity)))
    }

    fn order(&self, concerns: impl Fn(&Facts) -> bool, order: &Order) -> usize {
        let mut told = 0;
        self.entries().retain(|_, entry| {
            if !concerns(&entry.facts) {
                return true;
            }
            told += 1;
            // A session that has not taken sixteen orders is stuck: losing its channel ends it.
            entry.orders.try_send(order.clone()).is_ok()
        });
        told
    }
}
