//! Keeps one session's wait for people: asks the state, waits for the word, and uses it up before the session hears of
//! it.
//!
//! It must never release anything by itself: what it passes on is what one transaction of the state gave it.

use super::book::Book;
use super::live::Orders;
use super::shared::Shared;
use crate::core::hold::{Held, HoldAnswer, HoldId, HoldOrder};
use crate::core::id::{RequestId, SessionId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The longest wait, at a session's end, for its request to be taken back. What is not taken back lapses.
const LAST_WORD_MAX: Duration = Duration::from_secs(5);

/// The keeper of a session.
#[derive(Debug)]
pub struct Keeper {
    newest: watch::Sender<Option<HoldOrder>>,
    task: Option<JoinHandle<()>>,
    desk: Desk,
}

/// What the keeper works with.
#[derive(Clone, Debug)]
struct Desk {
    book: Arc<dyn Book>,
    session: SessionId,
    orders: Orders,
    public_url: String,
}

/// A request that waits.
struct Waiting {
    hold: HoldId,
    request: RequestId,
    digest: String,
}

impl Keeper {
    /// A keeper for a session that takes its orders here.
    pub fn of(shared: &Shared, session: &SessionId, orders: &Orders) -> Self {
        let desk = Desk {
            book: Arc::clone(&shared.book),
            session: session.clone(),
            orders: orders.clone(),
            public_url: shared.public_url.clone(),
        };
        Self { newest: watch::Sender::new(None), task: None, desk }
    }

    /// Takes an order of the session's machine; the newest counts. Works on its own from then on.
    pub fn order(&mut self, order: HoldOrder) {
        match &order {
            HoldOrder::Ask(_) => self.desk.orders.holds(true),
            HoldOrder::Withdraw { .. } => self.desk.orders.holds(false),
        }
        let asks = matches!(order, HoldOrder::Ask(_));
        self.newest.send_replace(Some(order));
        if asks && self.task.is_none() {
            let mut newest = self.newest.subscribe();
            newest.mark_changed();
            self.task = Some(tokio::task::spawn_local(keep(self.desk.clone(), newest)));
        }
    }

    /// The session is over: what still waits is taken back.
    pub async fn close(self) {
        drop(self.newest);
        if let Some(task) = self.task
            && tokio::time::timeout(LAST_WORD_MAX, task).await.is_err()
        {
            tracing::warn!(session = %self.desk.session, "a request for a statement could not be taken back in time");
        }
    }
}

async fn keep(desk: Desk, mut newest: watch::Receiver<Option<HoldOrder>>) {
    let mut waiting: Option<Waiting> = None;
    loop {
        let ended = match &waiting {
            None => newest.changed().await.is_err(),
            Some(held) => tokio::select! {
                biased;
                changed = newest.changed() => changed.is_err(),
                answer = desk.book.decided(&held.request, &desk.session, &held.digest) => {
                    desk.orders.holds(false);
                    desk.orders.answer(held.hold, answer);
                    waiting = None;
                    continue;
                }
            },
        };
        if ended {
            return desk.withdraw(waiting, "the session ended").await;
        }
        let order = newest.borrow_and_update().clone();
        match order {
            Some(HoldOrder::Ask(held)) => {
                if waiting.as_ref().is_some_and(|before| before.hold != held.hold) {
                    desk.withdraw(waiting.take(), "the session asks for something else now").await;
                }
                waiting = desk.ask(&held).await;
            }
            Some(HoldOrder::Withdraw { sentence }) => desk.withdraw(waiting.take(), &sentence).await,
            None => {}
        }
    }
}

impl Desk {
    async fn ask(&self, held: &Held) -> Option<Waiting> {
        match self.book.ask(&self.session, held).await {
            Ok((request, answer_by)) => {
                let url = format!("{}/requests/{request}", self.public_url.trim_end_matches('/'));
                self.orders.answer(held.hold, HoldAnswer::Asked { request: request.clone(), url, answer_by });
                Some(Waiting { hold: held.hold, request, digest: held.digest.clone() })
            }
            Err(refused) => {
                self.orders.holds(false);
                self.orders.answer(held.hold, HoldAnswer::Refused { sentence: refused.0 });
                None
            }
        }
    }

    async fn withdraw(&self, waiting: Option<Waiting>, sentence: &str) {
        let Some(waiting) = waiting else { return };
        if let Err(error) = self.book.withdraw(&waiting.request, sentence).await {
            // It lapses by itself, and no other session can use it.
            tracing::warn!(request = %waiting.request, %error, "a request for a statement could not be taken back");
        }
    }
}
