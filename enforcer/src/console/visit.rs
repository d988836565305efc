//! Who looks at the console: sign-ins under way and sessions of browsers, in memory, bounded, each known only by the
//! digest of a random value that the browser holds. The token itself is not kept: what it said is, until it expires.

use crate::core::identity::Identity;
use lang::time::{Timestamp, Ttl};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Browsers at a time.
const VISITS_MAX: usize = 10_000;
/// Sign-ins under way at a time.
const STARTS_MAX: usize = 10_000;
/// The longest sign-in.
const START_MAX: Ttl = Ttl::from_seconds(600);
/// The longest session of a browser, whatever its token says.
const VISIT_MAX: Ttl = Ttl::from_seconds(8 * 3_600);

/// A browser that has signed in.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    /// Who.
    pub(super) identity: Arc<Identity>,
    /// What every form repeats.
    pub(super) form_token: String,
    ends: Timestamp,
}

/// A sign-in under way.
#[derive(Clone)]
pub(super) struct Start {
    /// What the provider repeats.
    pub(super) state: String,
    /// What proves that the code is ours.
    pub(super) verifier: String,
    /// Where to go afterwards: a path of this console.
    pub(super) next: String,
    ends: Timestamp,
}

#[derive(Default)]
struct Held {
    visits: BTreeMap<[u8; 32], Visit>,
    starts: BTreeMap<[u8; 32], Start>,
}

/// Every browser. Cloning shares them.
#[derive(Clone, Default)]
pub(super) struct Visits(Arc<Mutex<Held>>);

impl std::fmt::Debug for Visits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Visits")
    }
}

/// A value that nobody guesses.
pub(super) fn random() -> Option<String> {
    use base64::Engine as _;
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

fn digest(secret: &str) -> [u8; 32] {
    *blake3::hash(secret.as_bytes()).as_bytes()
}

impl Visits {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a sign-in; what the browser is to hold, what the provider is to repeat and the verifier.
    pub(super) fn start(&self, next: &str, now: Timestamp) -> Option<(String, Start)> {
        let (secret, state, verifier) = (random()?, random()?, random()?);
        let start = Start { state, verifier, next: next.to_owned(), ends: now.plus(START_MAX) };
        let mut held = self.held();
        held.starts.retain(|_, start| start.ends > now);
        if held.starts.len() >= STARTS_MAX {
            return None;
        }
        held.starts.insert(digest(&secret), start.clone());
        Some((secret, start))
    }

    /// Takes a sign-in, once.
    pub(super) fn take_start(&self, secret: &str, now: Timestamp) -> Option<Start> {
        self.held().starts.remove(&digest(secret)).filter(|start| start.ends > now)
    }

    /// Lets a browser in; what it is to hold.
    pub(super) fn enter(&self, identity: Identity, now: Timestamp) -> Option<String> {
        let (secret, form_token) = (random()?, random()?);
        let ends = identity.expires_at.min(now.plus(VISIT_MAX));
        let mut held = self.held();
        held.visits.retain(|_, visit| visit.ends > now);
        if held.visits.len() >= VISITS_MAX {
            return None;
        }
        held.visits.insert(digest(&secret), Visit { identity: Arc::new(identity), form_token, ends });
        Some(secret)
    }

    /// The browser that holds a value.
    pub(super) fn find(&self, secret: &str, now: Timestamp) -> Option<Visit> {
        self.held().visits.get(&digest(secret)).filter(|visit| visit.ends > now).cloned()
    }

    /// Forgets a browser.
    pub(super) fn leave(&self, secret: &str) {
        self.held().visits.remove(&digest(secret));
    }
}
