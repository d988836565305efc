//! The HTTP API: requests, windows, sessions, recordings, and what the gateway applies.
//!
//! Every call carries a bearer token of a configured identity provider and is authorised by the access service; this
//! layer only translates. It must never decide on its own, answer with anything but JSON, a recording or a problem,
//! or repeat a token.

pub mod after;
mod auth;
mod body;
mod condition;
mod handlers;
pub mod held;
pub mod hold;
mod hook;
mod problem;
pub mod rate;
mod recording;
mod search;
mod serve;
pub mod view;

pub use hook::PATH as WEBHOOK_PATH;
pub use problem::Problem;
pub use serve::serve;

use crate::access::Access;
use crate::config::SignIn;
use crate::console;
use crate::gateway::live::Live;
use crate::gateway::policy::Policy;
use crate::gitops::webhook::Webhook;
use crate::identity::Verifier;
use crate::recording::Recorder;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State as Extracted};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use std::time::Duration;

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The longest wait for an answer's head.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What the API serves from.
#[derive(Clone, Debug)]
pub struct State {
    /// Requests, windows and sessions.
    pub access: Access,
    /// Verifies tokens.
    pub verifier: Verifier,
    /// The policy in force.
    pub policy: Policy,
    /// The register of live sessions: every verified token is news to it.
    pub live: Live,
    /// Where recordings are.
    pub recorder: Recorder,
    /// The API's address as people reach it.
    pub public_url: String,
    /// How often a subject may call.
    pub rates: rate::Rates,
    /// Where PostgreSQL clients connect.
    pub postgres: Option<view::Endpoint>,
    /// How people sign in.
    pub sign_in: Option<SignIn>,
    /// Takes calls of the forge; none without a configured secret.
    pub webhook: Option<Webhook>,
}

macro_rules! verbs {
    ($($(#[doc = $doc:literal])+ $verb:ident = $method:ident $path:literal $handler:path;)+) => {
        /// What the API can be asked for. A verb that is not here does not exist.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Verb { $($(#[doc = $doc])+ $verb,)+ }

        impl Verb {
            /// Every verb.
            pub const ALL: &[Self] = &[$(Self::$verb,)+];

            /// The method.
            pub const fn method(self) -> Method {
                match self { $(Self::$verb => Method::$method,)+ }
            }

            /// The path, with parameters in braces.
            pub const fn path(self) -> &'static str {
                match self { $(Self::$verb => $path,)+ }
            }

            fn route(self) -> MethodRouter<State> {
                match self { $(Self::$verb => on(self, $handler),)+ }
            }
        }
    };
}

verbs! {
    /// Asks for a window.
    Request = POST "/v1/requests" handlers::request;
    /// Lists requests.
    Requests = GET "/v1/requests" handlers::requests;
    /// Shows one request.
    OneRequest = GET "/v1/requests/{id}" handlers::one_request;
    /// Approves a request.
    Approve = POST "/v1/requests/{id}/approve" handlers::approve;
    /// Denies a request.
    Deny = POST "/v1/requests/{id}/deny" handlers::deny;
    /// Takes one's own request back.
    Withdraw = POST "/v1/requests/{id}/withdraw" handlers::withdraw;
    /// Lists windows.
    Windows = GET "/v1/windows" handlers::windows;
    /// Shows one window.
    OneWindow = GET "/v1/windows/{id}" handlers::one_window;
    /// Extends one's own window.
    Extend = POST "/v1/windows/{id}/extend" handlers::extend;
    /// Ends a window.
    Revoke = POST "/v1/windows/{id}/revoke" handlers::revoke;
    /// Says a word on a break-glass window.
    Review = POST "/v1/windows/{id}/review" after::review;
    /// Lists reviews of break-glass windows.
    Reviews = GET "/v1/reviews" after::reviews;
    /// Lists notices that a channel did not take.
    Notices = GET "/v1/notices" after::notices;
    /// Has a notice tried again.
    RetryNotice = POST "/v1/notices/{id}/retry" after::retry_notice;
    /// Reads the history.
    Audit = GET "/v1/audit" after::audit;
    /// Lists sessions.
    Sessions = GET "/v1/sessions" handlers::sessions;
    /// Shows one session.
    OneSession = GET "/v1/sessions/{id}" handlers::one_session;
    /// Hands out the raw recording of a session.
    Recording = GET "/v1/sessions/{id}/recording" recording::recording;
    /// Ends a live session.
    Terminate = POST "/v1/sessions/{id}/terminate" handlers::terminate;
    /// Holds a session's recording against retention.
    Hold = POST "/v1/sessions/{id}/hold" hold::hold;
    /// Lets retention have a session's recording again.
    Release = POST "/v1/sessions/{id}/release" hold::release;
    /// Says what policy is in force.
    Policy = GET "/v1/policy" handlers::policy;
    /// Lists what was activated, and what each activation changed.
    Activations = GET "/v1/policy/activations" handlers::activations;
    /// Says what the caller can reach.
    Access = GET "/v1/access" handlers::access;
}

impl Verb {
    /// Whether it writes to one thing that has a version.
    pub fn is_versioned(self) -> bool {
        let one = |what: &str| self.path().starts_with(&format!("/v1/{what}/{{id}}/"));
        self.method() == Method::POST && ["requests", "windows", "sessions"].into_iter().any(one)
    }
}

fn on<H, T>(verb: Verb, handler: H) -> MethodRouter<State>
where
    H: axum::handler::Handler<T, State>,
    T: 'static,
{
    match (verb.method() == Method::POST, verb.is_versioned()) {
        (true, true) => post(handler),
        (true, false) => post(handler).layer(middleware::from_fn(condition::unversioned)),
        (false, _) => get(handler).layer(middleware::from_fn(condition::read)),
    }
}

/// The document at `/openapi.json`.
pub const OPENAPI: &str = include_str!("openapi.json");

/// The API's routes.
pub fn router(state: &State) -> Router {
    let hsts = state.public_url.starts_with("https://");
    let mut routes = Router::new();
    for verb in Verb::ALL {
        routes = routes.route(verb.path(), verb.route());
    }
    routes
        .route_layer(middleware::from_fn_with_state(state.clone(), auth::authenticate))
        .route("/openapi.json", get(openapi).layer(middleware::from_fn(condition::read)))
        .route("/v1/sign-in", get(after::sign_in))
        .merge(hook::router(state.webhook.clone()))
        .fallback(async || Problem::new(StatusCode::NOT_FOUND, "there is nothing at this address; see /openapi.json"))
        .method_not_allowed_fallback(async || {
            Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this address does not take this method; see /openapi.json")
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(hsts, secure))
        .with_state(state.clone())
        .merge(console::router(state).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)))
}

async fn openapi() -> Response {
    ([("content-type", "application/json")], OPENAPI).into_response()
}

/// Bounds the wait for an answer and adds the headers that every answer carries.
async fn secure(Extracted(hsts): Extracted<bool>, request: Request, next: Next) -> Response {
    let mut response = match tokio::time::timeout(ANSWER_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway took too long; try again").into_response(),
    };
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(CACHE_CONTROL, "no-store");
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'; sandbox");
    set(REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if hsts {
        set(STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}
