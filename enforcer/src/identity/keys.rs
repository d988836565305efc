//! The providers' public keys: fetched when needed, kept for a bounded time, refreshed at a bounded rate.
//!
//! Strangers can make the gateway fetch: tokens with unknown key ids cause at most one fetch for each
//! [`Bounds::refresh_min`]. Whoever comes earlier waits for the next one, so that strangers cannot keep a rotated key
//! from being seen; a token whose key is known and fresh never waits.

use super::fetch::{Fetch, FetchError};
use super::issuer::{self, Issuer};
use super::json::Object;
use super::jws::{Header, PublicKey};
use super::{Refused, SetupError};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lang::program::rules::Idp;
use lang::time::{Timestamp, Ttl};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const METADATA_BYTES_MAX: usize = 256 * 1024;
const JWKS_BYTES_MAX: usize = 1024 * 1024;
const KEYS_MAX: usize = 100;
/// Between the clocks of two callers of this process.
const CLOCK_SKEW_MAX: Ttl = Ttl::from_seconds(60);
/// Issuers of policies that are no longer in force are dropped above this.
const ISSUERS_MAX: usize = 64;

/// How keys are fetched and kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Between two fetches from one issuer.
    pub refresh_min: Duration,
    /// How old keys may be before the next token waits for newer ones.
    pub fresh_for: Ttl,
    /// How old keys may be when newer ones cannot be had.
    pub stale_max: Ttl,
    /// The longest wait for one document of a provider.
    pub fetch_timeout: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            refresh_min: Duration::from_secs(3),
            fresh_for: Ttl::from_seconds(3_600),
            stale_max: Ttl::from_seconds(86_400),
            fetch_timeout: Duration::from_secs(5),
        }
    }
}

#[derive(Debug)]
struct Published {
    kid: Option<String>,
    algorithm: Option<String>,
    key: PublicKey,
}

#[derive(Debug)]
struct KeySet {
    fetched_at: Timestamp,
    keys: Vec<Published>,
}

/// What is known of one issuer.
#[derive(Debug, Default)]
struct Slot {
    current: Mutex<Option<Arc<KeySet>>>,
    /// Held while a fetch is under way: who waits for it finds its result instead of fetching again.
    last_attempt: Arc<tokio::sync::Mutex<Option<Attempt>>>,
}

/// A fetch that ended, or is under way.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    began: Instant,
    succeeded: bool,
}

/// The cache of every issuer.
#[derive(Debug)]
pub(super) struct Keys {
    bounds: Bounds,
    fetch: Fetch,
    slots: Mutex<BTreeMap<String, Arc<Slot>>>,
}

impl Keys {
    pub(super) fn new(bounds: Bounds) -> Result<Self, SetupError> {
        Ok(Self { bounds, fetch: Fetch::new(bounds.fetch_timeout)?, slots: Mutex::default() })
    }

    /// The ways out.
    pub(super) fn fetch(&self) -> &Fetch {
        &self.fetch
    }

    /// The keys by which a token with this header may be signed; never none.
    pub(super) async fn of(
        &self,
        issuer: &Issuer,
        header: &Header,
        now: Timestamp,
        idps: &[Idp],
    ) -> Result<Vec<PublicKey>, Refused> {
        let slot = self.slot(issuer, idps);
        if let Some(set) = slot.current()
            && age(set.fetched_at, now) < self.bounds.fresh_for
            && let Some(keys) = candidates(&set, header)
        {
            return Ok(keys);
        }
        self.refresh(&slot, issuer, header, now).await;
        let Some(set) = slot.current().filter(|set| age(set.fetched_at, now) < self.bounds.stale_max) else {
            return Err(Refused::provider(
                "the identity provider's keys cannot be fetched at the moment: try again in a minute",
            ));
        };
        candidates(&set, header).ok_or_else(|| {
            Refused::token("the token is signed with a key that its issuer does not publish: sign in again")
        })
    }

    fn slot(&self, issuer: &Issuer, idps: &[Idp]) -> Arc<Slot> {
        let name = |issuer: &Issuer| format!("{} {}", issuer.iss, issuer.metadata);
        // A panic while the map was held leaves it whole: every change is one call.
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() > ISSUERS_MAX {
            let in_force: Vec<String> = idps.iter().flat_map(issuer::of).map(|issuer| name(&issuer)).collect();
            slots.retain(|held, _| in_force.contains(held));
        }
        Arc::clone(slots.entry(name(issuer)).or_default())
    }

    /// Fetches unless somebody else does, or tried in vain just now. The fetch is a task of its own: a caller that
    /// goes away neither aborts it nor lets the next one start over.
    async fn refresh(&self, slot: &Arc<Slot>, issuer: &Issuer, header: &Header, now: Timestamp) {
        let arrived = Instant::now();
        let mut last_attempt = Arc::clone(&slot.last_attempt).lock_owned().await;
        // What was fetched since this caller came is as new as it can ask for.
        if last_attempt.is_some_and(|attempt| attempt.began >= arrived) {
            return;
        }
        let set = slot.current().filter(|set| age(set.fetched_at, now) < self.bounds.fresh_for);
        if set.is_some_and(|set| candidates(&set, header).is_some()) {
            return;
        }
        if let Some(attempt) = *last_attempt {
            let wait = self.bounds.refresh_min.saturating_sub(attempt.began.elapsed());
            if !wait.is_zero() && !attempt.succeeded {
                return;
            }
            tokio::time::sleep(wait).await;
        }
        *last_attempt = Some(Attempt { began: Instant::now(), succeeded: false });
        let (fetch, slot, issuer) = (self.fetch.clone(), Arc::clone(slot), issuer.clone());
        let task = tokio::spawn(async move {
            let mut held = last_attempt;
            match fetch_keys(&fetch, &issuer).await {
                Ok(keys) => {
                    let set = Arc::new(KeySet { fetched_at: now, keys });
                    *slot.current.lock().unwrap_or_else(PoisonError::into_inner) = Some(set);
                    if let Some(attempt) = held.as_mut() {
                        attempt.succeeded = true;
                    }
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                    tracing::warn!(issuer = issuer.iss, metadata = issuer.metadata, %error, cause, "keys not fetched");
                }
            }
        });
        if let Err(error) = task.await {
            tracing::error!(%error, "the task that fetches keys failed");
        }
    }
}

impl Slot {
    fn current(&self) -> Option<Arc<KeySet>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How long ago something was. What seems to lie in the future was stamped by a clock that has since been set back:
/// it counts as too old, so that it does not serve for ever.
fn age(since: Timestamp, now: Timestamp) -> Ttl {
    if since > now.plus(CLOCK_SKEW_MAX) {
        return Ttl::MAX;
    }
    Ttl::from_seconds(u32::try_from(now.ms_since(since) / 1000).unwrap_or(u32::MAX))
}

/// Keys that may have signed: those with the token's key id, or the only fitting one when the token names none.
fn candidates(set: &KeySet, header: &Header) -> Option<Vec<PublicKey>> {
    let fitting = set.keys.iter().filter(|published| {
        published.key.fits(header.algorithm)
            && published.algorithm.as_ref().is_none_or(|only| only == header.algorithm.word())
    });
    let keys: Vec<PublicKey> = if let Some(kid) = &header.kid {
        fitting.filter(|published| published.kid.as_ref() == Some(kid)).map(|published| published.key.clone()).collect()
    } else {
        let all: Vec<PublicKey> = fitting.map(|published| published.key.clone()).collect();
        if all.len() == 1 { all } else { Vec::new() }
    };
    (!keys.is_empty()).then_some(keys)
}

async fn fetch_keys(fetch: &Fetch, issuer: &Issuer) -> Result<Vec<Published>, FetchError> {
    let metadata = fetch.body(&issuer.metadata, issuer.loopback, METADATA_BYTES_MAX).await?;
    let metadata = Object::parse(&metadata).ok_or(FetchError::Content("the metadata is not one JSON object"))?;
    if metadata.text("issuer") != Some(issuer.iss.as_str()) {
        return Err(FetchError::Content("the metadata names another issuer"));
    }
    let address = metadata.text("jwks_uri").ok_or(FetchError::Content("the metadata names no keys"))?;
    if issuer.tenant.is_some() && host(address) != host(&issuer.metadata) {
        return Err(FetchError::Content("the keys stand on another host than Entra's"));
    }
    let jwks = fetch.body(address, issuer.loopback, JWKS_BYTES_MAX).await?;
    let jwks = Object::parse(&jwks).ok_or(FetchError::Content("the keys are not one JSON object"))?;
    let Some(Value::Array(keys)) = jwks.any("keys") else {
        return Err(FetchError::Content("the document holds no keys"));
    };
    // A key of a kind that is not known here is no error: providers add new kinds beside old ones.
    let keys: Vec<Published> = keys.iter().take(KEYS_MAX).filter_map(|jwk| read_key(jwk, issuer)).collect();
    if keys.is_empty() { Err(FetchError::Content("no published key can verify a signature")) } else { Ok(keys) }
}

fn host(url: &str) -> Option<(String, Option<u16>)> {
    let url = reqwest::Url::parse(url).ok()?;
    Some((url.host_str()?.to_owned(), url.port_or_known_default()))
}

fn read_key(jwk: &Value, issuer: &Issuer) -> Option<Published> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str, len: usize| {
        text(name).and_then(|text| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()).filter(|b| b.len() == len)
    };
    if text("use").is_some_and(|meant| meant != "sig") || !is_for_verifying(jwk) || !is_of_tenant(jwk, issuer) {
        return None;
    }
    let point = |len: usize| Some([vec![4], bytes("x", len)?, bytes("y", len)?].concat());
    let key = match (text("kty")?, text("crv")) {
        ("RSA", _) => {
            let number = |name: &str| {
                let number = URL_SAFE_NO_PAD.decode(text(name)?.trim_end_matches('=')).ok()?;
                let leading = number.iter().take_while(|byte| **byte == 0).count();
                number.get(leading..).map(<[u8]>::to_vec)
            };
            // The length of the modulus is checked by the verification itself: 2048 to 8192 bits.
            PublicKey::Rsa { n: number("n")?, e: number("e")? }
        }
        ("EC", Some("P-256")) => PublicKey::P256(point(32)?),
        ("EC", Some("P-384")) => PublicKey::P384(point(48)?),
        ("OKP", Some("Ed25519")) => PublicKey::Ed25519(bytes("x", 32)?),
        _ => return None,
    };
    Some(Published { kid: text("kid").map(str::to_owned), algorithm: text("alg").map(str::to_owned), key })
}

fn is_for_verifying(jwk: &Value) -> bool {
    jwk.get("key_ops").is_none_or(|ops| super::json::texts(ops).is_some_and(|ops| ops.contains(&"verify")))
}

/// Entra marks a key that belongs to one tenant only: it must be ours.
fn is_of_tenant(jwk: &Value, issuer: &Issuer) -> bool {
    let (Some(tenant), Some(marked)) = (&issuer.tenant, jwk.get("issuer")) else { return true };
    let Some(marked) = marked.as_str() else { return false };
    let marked = marked.replace("{tenantid}", tenant);
    marked == issuer.iss || marked.split('/').any(|segment| segment == tenant)
}
