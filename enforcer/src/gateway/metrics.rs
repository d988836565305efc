//! Prometheus metrics, health and readiness, on a listener of their own. No metric carries a name of a person.

use crate::recording::Meter;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::sync::{Arc, Mutex, PoisonError};

/// A connection's name.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OnConnection {
    /// The connection.
    pub connection: String,
}

/// A closed set of words.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Word(pub &'static str);

impl prometheus_client::encoding::EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        prometheus_client::encoding::EncodeLabelValue::encode(&self.0, encoder)
    }
}

/// Why something happened.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct Because {
    /// The cause.
    pub cause: Word,
}

/// The gateway's metrics.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Mutex<Registry>,
    sessions_live: Gauge,
    sessions_opened: Family<OnConnection, Counter>,
    sessions_closed: Family<Because, Counter>,
    logins_refused: Family<Because, Counter>,
    login_seconds: Histogram,
    policy_age_seconds: Gauge,
    policy_failing: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("leasehold");
        let inner = Inner {
            registry: Mutex::default(),
            sessions_live: Gauge::default(),
            sessions_opened: Family::default(),
            sessions_closed: Family::default(),
            logins_refused: Family::default(),
            login_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            policy_age_seconds: Gauge::default(),
            policy_failing: Gauge::default(),
        };
        registry.register("sessions_live", "Sessions now", inner.sessions_live.clone());
        registry.register("sessions_opened", "Sessions opened", inner.sessions_opened.clone());
        registry.register("sessions_closed", "Sessions ended, by cause", inner.sessions_closed.clone());
        registry.register("logins_refused", "Logins refused, by cause", inner.logins_refused.clone());
        registry.register("login_seconds", "From accept to ready", inner.login_seconds.clone());
        let age = "Seconds since the branch's tip was confirmed to be the policy in force; -1 without one";
        registry.register("policy_age_seconds", age, inner.policy_age_seconds.clone());
        registry.register(
            "policy_failing",
            "1 while the newest commit cannot be applied",
            inner.policy_failing.clone(),
        );
        *inner.registry.lock().unwrap_or_else(PoisonError::into_inner) = registry;
        Self(Arc::new(inner))
    }
}

impl Metrics {
    /// A session opened, after a login that took this long.
    pub fn session_opened(&self, connection: &str, login_ms: u64) {
        self.0.sessions_live.inc();
        self.0.sessions_opened.get_or_create(&OnConnection { connection: connection.to_owned() }).inc();
        // Precise to the millisecond, which is more than the buckets tell apart.
        self.0.login_seconds.observe(std::time::Duration::from_millis(login_ms).as_secs_f64());
    }

    /// A session ended.
    pub fn session_closed(&self, cause: &'static str) {
        self.0.sessions_live.dec();
        self.0.sessions_closed.get_or_create(&Because { cause: Word(cause) }).inc();
    }

    /// A login was refused.
    pub fn login_refused(&self, cause: &'static str) {
        self.0.logins_refused.get_or_create(&Because { cause: Word(cause) }).inc();
    }

    /// The age and health of the policy.
    pub fn policy(&self, age_seconds: Option<u64>, failing: bool) {
        let age = age_seconds.map_or(-1, |age| i64::try_from(age).unwrap_or(i64::MAX));
        self.0.policy_age_seconds.set(age);
        self.0.policy_failing.set(i64::from(failing));
    }

    /// Shows the recorder's counters beside the gateway's own.
    pub fn show_recorder(&self, meter: &Meter, archived: bool) {
        meter.register(&mut self.0.registry.lock().unwrap_or_else(PoisonError::into_inner), archived);
    }

    /// The text that a Prometheus server reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Writing into memory does not fail; an empty page would show in the monitoring at once.
        if encode(&mut text, &registry).is_err() {
            text.clear();
        }
        text
    }
}

/// Says whether the gateway can open sessions now; the text is for people.
pub type Readiness = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

#[derive(Clone)]
struct Shared {
    metrics: Metrics,
    ready: Readiness,
}

/// The routes of the metrics listener.
pub fn router(metrics: Metrics, ready: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readiness))
        .with_state(Shared { metrics, ready })
}

async fn page(State(shared): State<Shared>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], shared.metrics.text())
}

async fn readiness(State(shared): State<Shared>) -> impl IntoResponse {
    match (shared.ready)() {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}
