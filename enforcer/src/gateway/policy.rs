//! The policy in force: swapped as a whole, watched by every live session.

pub use crate::core::active::Active;

use lang::time::Timestamp;
use std::sync::Arc;
use tokio::sync::watch;

/// What the gateway knows of its policy.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// The policy in force; none until the first activation: nothing is permitted.
    pub active: Option<Arc<Active>>,
    /// Until when the branch's tip was confirmed to be the commit in force.
    pub confirmed_at: Option<Timestamp>,
    /// The newest failure to follow the branch, when it is newer than the newest success.
    pub last_error: Option<Failure>,
    /// How `staleness` bears on new windows and on sessions now.
    pub staleness: Staleness,
}

/// A failure to fetch, compile, verify or activate.
#[derive(Clone, Debug)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// The commit concerned, when one was read.
    pub commit: Option<String>,
    /// What is wrong and the way out; may have several lines.
    pub sentence: String,
}

/// How staleness bears on access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Staleness {
    /// The policy is fresh, or says that age does not matter.
    #[default]
    Fresh,
    /// Windows run to their end; nothing new opens.
    NoNewWindows,
    /// Nothing is permitted; sessions end.
    Deny,
}

/// Publishes the state; owned by `gitops`.
#[derive(Debug)]
pub struct Publisher(watch::Sender<State>);

/// Reads the state; every session and every API call holds one.
#[derive(Clone, Debug)]
pub struct Policy(watch::Receiver<State>);

/// A publisher and its first reader, before any activation.
pub fn channel() -> (Publisher, Policy) {
    let (sender, receiver) = watch::channel(State::default());
    (Publisher(sender), Policy(receiver))
}

impl Publisher {
    /// Changes the state and wakes every reader.
    pub fn update(&self, change: impl FnOnce(&mut State)) {
        self.0.send_modify(change);
    }

    /// Changes what no session depends on: readers see it when they look, and none is woken.
    pub fn note(&self, change: impl FnOnce(&mut State)) {
        self.0.send_if_modified(|state| {
            change(state);
            false
        });
    }
}

impl Policy {
    /// The state now.
    pub fn state(&self) -> State {
        self.0.borrow().clone()
    }

    /// The policy in force now.
    pub fn active(&self) -> Option<Arc<Active>> {
        self.0.borrow().active.clone()
    }

    /// Waits for the next change; `false` when the publisher is gone.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}
