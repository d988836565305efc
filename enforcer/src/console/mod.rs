//! The console: pages made by the server, with a small script that counts down, follows and replays.
//!
//! It decides nothing: every page and every form goes through the access service as the person who signed in, like a
//! call of the API. No script stands in a page, nothing is loaded from elsewhere, a form counts only from a page of
//! this console, and recorded data is text and nothing else.

mod access;
mod audit;
mod html;
mod page;
mod picture;
mod policy;
mod reach;
mod replay;
mod requests;
mod sessions;
mod sign_in;
mod visit;

use crate::access::Refused;
use crate::api;
use crate::core::identity::Identity;
use crate::gateway::clock;
use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Request, State as Extracted};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, HeaderName, LOCATION, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use visit::{Visit, Visits};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const STYLE: &str = include_str!("assets/console.css");
const SCRIPT: &str = include_str!("assets/console.js");
/// Fields of a form.
const FIELDS_MAX: usize = 32;

/// What the console serves from.
#[derive(Clone, Debug)]
pub(crate) struct State {
    api: api::State,
    visits: Visits,
    secure: bool,
}

/// The console's routes.
pub(crate) fn router(api: &api::State) -> Router {
    let secure = api.public_url.starts_with("https://");
    let state = State { api: api.clone(), visits: Visits::default(), secure };
    let inside = Router::new()
        .route("/", get(access::page))
        .route("/requests", post(access::ask))
        .route("/requests/{id}", get(requests::one))
        .route("/requests/{id}/{verb}", post(requests::decide))
        .route("/approvals", get(requests::inbox))
        .route("/windows/{id}", get(requests::window))
        .route("/windows/{id}/{verb}", post(requests::change))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", get(sessions::one))
        .route("/sessions/{id}/events", get(replay::events))
        .route("/sessions/{id}/terminate", post(sessions::terminate))
        .route("/policy", get(policy::page))
        .route("/audit", get(audit::page))
        .route_layer(middleware::from_fn_with_state(state.clone(), guard));
    Router::new()
        .merge(inside)
        .route("/sign-in", get(sign_in::page))
        .route("/sign-in/start", get(sign_in::start))
        .route("/sign-in/callback", get(sign_in::callback))
        .route("/sign-out", post(sign_in::out))
        .route("/assets/console.css", get(async || asset("text/css; charset=utf-8", STYLE)))
        .route("/assets/console.js", get(async || asset("text/javascript; charset=utf-8", SCRIPT)))
        .layer(middleware::from_fn_with_state(secure, headers))
        .with_state(state)
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(CONTENT_TYPE, kind)], text).into_response()
}

async fn headers(Extracted(secure): Extracted<bool>, request: Request, next: Next) -> Response {
    let asset = request.uri().path().starts_with("/assets/");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    set(CACHE_CONTROL, if asset { "no-cache" } else { "no-store" });
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(CONTENT_SECURITY_POLICY, POLICY);
    set(REFERRER_POLICY, "no-referrer");
    set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    if secure {
        set(STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
    response
}

/// Lets those in who have signed in, and counts their calls like those of the API.
async fn guard(Extracted(state): Extracted<State>, mut request: Request, next: Next) -> Response {
    let visit =
        cookie(request.headers(), state.visit_cookie()).and_then(|secret| state.visits.find(&secret, clock::wall()));
    let Some(visit) = visit else {
        if request.method() != Method::GET {
            return page::failure(StatusCode::UNAUTHORIZED, "Sign in again", "Your sign-in is over.").into_response();
        }
        let next = request.uri().path_and_query().map_or("/", |path| path.as_str());
        return redirect(&format!("/sign-in?next={}", escape_query(next)));
    };
    let sort = if request.method().is_safe() { api::rate::Sort::Read } else { api::rate::Sort::Write };
    if let Err(seconds) = state.api.rates.count(&visit.identity.subject, sort, clock::mono_ms()) {
        let sentence = format!("You call too often; try again in {seconds} s.");
        return page::failure(StatusCode::TOO_MANY_REQUESTS, "Too often", &sentence).into_response();
    }
    request.headers_mut().remove(COOKIE);
    request.extensions_mut().insert(Arc::new(visit));
    next.run(request).await
}

impl State {
    fn visit_cookie(&self) -> &'static str {
        if self.secure { "__Host-leasehold" } else { "leasehold" }
    }

    fn start_cookie(&self) -> &'static str {
        if self.secure { "__Host-leasehold-start" } else { "leasehold-start" }
    }

    fn set_cookie(&self, name: &str, value: &str, same_site: &str, seconds: u32) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite={same_site}; Max-Age={seconds}{secure}");
        HeaderValue::try_from(text).ok()
    }
}

/// The one cookie of a name; of several none, since one of them may be somebody else's.
fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut values = all.flat_map(|value| value.split(';')).filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    });
    match (values.next(), values.next()) {
        (Some(one), None) => Some(one.to_owned()),
        (_, _) => None,
    }
}

fn redirect(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(to) = HeaderValue::try_from(to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

/// A text as a value of a query.
fn escape_query(text: &str) -> String {
    reqwest::Url::parse_with_params("http://x/", [("v", text)])
        .ok()
        .and_then(|url| url.query().and_then(|query| query.strip_prefix("v=")).map(str::to_owned))
        .unwrap_or_default()
}

/// The pairs of a query or a form.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let Ok(url) = reqwest::Url::parse(&format!("http://x/?{text}")) else { return BTreeMap::new() };
    url.query_pairs().take(FIELDS_MAX).map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}

/// Who looks, and what the address asks for.
struct Look {
    visit: Arc<Visit>,
    query: BTreeMap<String, String>,
}

impl Look {
    fn identity(&self) -> &Identity {
        &self.visit.identity
    }

    /// A parameter that is not empty.
    fn get(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Look {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failed> {
        let visit = parts.extensions.get::<Arc<Visit>>().cloned().ok_or_else(Failed::signed_out)?;
        Ok(Self { visit, query: pairs(parts.uri.query().unwrap_or_default()) })
    }
}

/// A form of a page of this console.
struct Form {
    visit: Arc<Visit>,
    fields: BTreeMap<String, String>,
}

impl Form {
    fn identity(&self) -> &Identity {
        &self.visit.identity
    }

    /// A field that is not empty.
    fn take(&mut self, name: &str) -> Option<String> {
        self.fields.remove(name).filter(|value| !value.trim().is_empty())
    }
}

impl<S: Send + Sync> FromRequest<S> for Form {
    type Rejection = Failed;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failed> {
        let visit = request.extensions().get::<Arc<Visit>>().cloned().ok_or_else(Failed::signed_out)?;
        let foreign = request
            .headers()
            .get("sec-fetch-site")
            .is_some_and(|value| value.as_bytes() != b"same-origin" && value.as_bytes() != b"none");
        let bytes = Bytes::from_request(request, state).await.map_err(|_| Failed::foreign())?;
        let fields = pairs(std::str::from_utf8(&bytes).unwrap_or_default());
        let token = fields.get("form").map(String::as_bytes).unwrap_or_default();
        // The digests are compared, so that the time it takes says nothing.
        if foreign || blake3::hash(token) != blake3::hash(visit.form_token.as_bytes()) {
            return Err(Failed::foreign());
        }
        Ok(Self { visit, fields })
    }
}

/// A page that says why not.
struct Failed {
    status: StatusCode,
    title: &'static str,
    sentences: Vec<String>,
}

impl Failed {
    fn new(status: StatusCode, title: &'static str, sentence: impl Into<String>) -> Self {
        Self { status, title, sentences: vec![sentence.into()] }
    }

    fn signed_out() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "Sign in again", "Your sign-in is over.")
    }

    fn foreign() -> Self {
        Self::new(StatusCode::FORBIDDEN, "Not from this console", "Load the page anew and send the form again.")
    }

    fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Nothing here", "There is nothing of that name that you may see.")
    }
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        let sentences = refused.because().iter().map(ToString::to_string).collect();
        let problem = api::Problem::from(refused);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let title = match status {
            StatusCode::NOT_FOUND => "Nothing here",
            StatusCode::CONFLICT => "Too late",
            StatusCode::SERVICE_UNAVAILABLE => "Not available now",
            _ => "Refused",
        };
        Self { status, title, sentences }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        page::failure(self.status, self.title, &self.sentences.join("\n")).into_response()
    }
}

/// What every page answers with.
type Answer = Result<Response, Failed>;
