//! One function for each verb: reads what was sent, asks the access service, shows the answer.

use super::after::Activation;
use super::body::{ListQuery, Named, Nothing, PageQuery, Read, Write};
use super::search::{self, SessionsQuery};
use super::view::{Done, List, Policy, Reachables, Request, Session, Window};
use super::{Problem, State, condition};
use crate::access::{Asking, Caller, Did, Listed};
use crate::core::id::{RequestId, SessionId, WindowId};
use crate::core::identity::Identity;
use crate::gateway::clock;
use axum::Json;
use axum::extract::State as Extracted;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lang::time::Ttl;
use serde::{Deserialize, Serialize};

type Answer<T> = Result<Json<T>, Problem>;

/// The body of `POST /v1/requests`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestBody {
    #[serde(default)]
    connection: Option<String>,
    via: Option<String>,
    reason: Option<String>,
    ticket: Option<String>,
    lifetime: Option<String>,
}

/// The body of `approve`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApproveBody {
    terms: Option<String>,
}

/// The body of `deny` and `extend`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonBody {
    reason: Option<String>,
}

fn caller(state: &State, identity: &Identity) -> Result<Caller, Problem> {
    Ok(state.access.caller(identity)?)
}

pub(super) async fn request(
    Extracted(state): Extracted<State>,
    write: Write<RequestBody>,
) -> Result<Response, Problem> {
    let RequestBody { connection, via, reason, ticket, lifetime } = write.body;
    let connection = connection.ok_or_else(|| Problem::invalid("`connection` is missing"))?;
    let lifetime = lifetime
        .map(|text| Ttl::parse(&text).map_err(|error| Problem::invalid(format!("`lifetime`: {error}"))))
        .transpose()?;
    let now = clock::now();
    let asking = Asking { connection, via, reason, ticket, lifetime };
    let outcome = state.access.request(&write.identity, asking, write.key.as_ref(), now).await?;
    let done = Done::of(&caller(&state, &write.identity)?, &outcome, state.access.instant(now));
    let status = match outcome.did {
        Did::Asked | Did::Opened => StatusCode::CREATED,
        Did::Nothing
        | Did::Released
        | Did::Counted
        | Did::Extended
        | Did::Denied
        | Did::Withdrawn
        | Did::Ended
        | Did::Reviewed
        | Did::HoldSet
        | Did::HoldLifted => StatusCode::OK,
    };
    let at = done.request.as_ref().map(|request| format!("/v1/requests/{}", request.id));
    let at = at.or_else(|| done.window.as_ref().map(|window| format!("/v1/windows/{}", window.id)));
    let mut response = (status, Json(done)).into_response();
    if let Some(at) = at.and_then(|at| HeaderValue::try_from(at).ok()) {
        response.headers_mut().insert(header::LOCATION, at);
    }
    Ok(response)
}

pub(super) async fn requests(
    Extracted(state): Extracted<State>,
    Read { identity, query }: Read<ListQuery>,
) -> Answer<List<Request>> {
    let now = clock::now();
    let listed = state.access.requests(&identity, &query.filter(), now).await?;
    let (caller, at) = (caller(&state, &identity)?, state.access.instant(now));
    Ok(Json(list(listed, |request| Request::of(&caller, request, at))))
}

pub(super) fn list<T, V>(listed: Listed<T>, view: impl Fn(&T) -> V) -> List<V> {
    List { items: listed.items.iter().map(view).collect(), next: listed.next }
}

pub(super) async fn one_request(
    Extracted(state): Extracted<State>,
    Named(id): Named<RequestId>,
    Read { identity, query: _ }: Read<Nothing>,
) -> Result<Response, Problem> {
    let now = clock::now();
    let request = state.access.one_request(&identity, &id, now).await?;
    let (caller, at) = (caller(&state, &identity)?, state.access.instant(now));
    Ok(tagged(true, &caller.version_of_request(&request, at), Request::of(&caller, &request, at)))
}

/// An answer under a version.
fn tagged(strong: bool, version: &str, answer: impl Serialize) -> Response {
    let mut response = Json(answer).into_response();
    if let Some(tag) = condition::tag(strong, version) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

pub(super) async fn approve(
    Extracted(state): Extracted<State>,
    Named(id): Named<RequestId>,
    write: Write<ApproveBody>,
) -> Answer<Done> {
    let now = clock::now();
    let terms = write.body.terms.clone();
    let outcome = write.access(&state).approve(&write.identity, &id, terms, write.key.as_ref(), now).await?;
    Ok(Json(Done::of(&caller(&state, &write.identity)?, &outcome, state.access.instant(now))))
}

pub(super) async fn deny(
    Extracted(state): Extracted<State>,
    Named(id): Named<RequestId>,
    write: Write<ReasonBody>,
) -> Answer<Done> {
    let now = clock::now();
    let reason = write.body.reason.clone();
    let outcome = write.access(&state).deny(&write.identity, &id, reason, write.key.as_ref(), now).await?;
    Ok(Json(Done::of(&caller(&state, &write.identity)?, &outcome, state.access.instant(now))))
}

pub(super) async fn withdraw(
    Extracted(state): Extracted<State>,
    Named(id): Named<RequestId>,
    write: Write<Nothing>,
) -> Answer<Done> {
    let now = clock::now();
    let outcome = write.access(&state).withdraw(&write.identity, &id, write.key.as_ref(), now).await?;
    Ok(Json(Done::of(&caller(&state, &write.identity)?, &outcome, state.access.instant(now))))
}

pub(super) async fn windows(
    Extracted(state): Extracted<State>,
    Read { identity, query }: Read<ListQuery>,
) -> Answer<List<Window>> {
    let now = clock::now();
    let listed = state.access.windows(&identity, &query.filter(), now).await?;
    let at = state.access.instant(now);
    Ok(Json(list(listed, |window| Window::of(window, at))))
}

pub(super) async fn one_window(
    Extracted(state): Extracted<State>,
    Named(id): Named<WindowId>,
    Read { identity, query: _ }: Read<Nothing>,
) -> Result<Response, Problem> {
    let now = clock::now();
    let window = state.access.one_window(&identity, &id, now).await?;
    let at = state.access.instant(now);
    Ok(tagged(true, &caller(&state, &identity)?.version_of_window(&window, at), Window::of(&window, at)))
}

pub(super) async fn extend(
    Extracted(state): Extracted<State>,
    Named(id): Named<WindowId>,
    write: Write<ReasonBody>,
) -> Answer<Done> {
    let now = clock::now();
    let reason = write.body.reason.clone();
    let outcome = write.access(&state).extend(&write.identity, &id, reason, write.key.as_ref(), now).await?;
    Ok(Json(Done::of(&caller(&state, &write.identity)?, &outcome, state.access.instant(now))))
}

pub(super) async fn revoke(
    Extracted(state): Extracted<State>,
    Named(id): Named<WindowId>,
    write: Write<Nothing>,
) -> Answer<Done> {
    let now = clock::now();
    let outcome = write.access(&state).revoke(&write.identity, &id, write.key.as_ref(), now).await?;
    Ok(Json(Done::of(&caller(&state, &write.identity)?, &outcome, state.access.instant(now))))
}

pub(super) async fn sessions(
    Extracted(state): Extracted<State>,
    Read { identity, query }: Read<SessionsQuery>,
) -> Answer<List<Session>> {
    Ok(Json(search::sessions(&state, &identity, query, clock::now()).await?))
}

pub(super) async fn one_session(
    Extracted(state): Extracted<State>,
    Named(id): Named<SessionId>,
    Read { identity, query: _ }: Read<Nothing>,
) -> Result<Response, Problem> {
    let session = state.access.one_session(&identity, &id).await?;
    Ok(tagged(true, &caller(&state, &identity)?.version_of_session(&session), Session::of(&session)))
}

pub(super) async fn terminate(
    Extracted(state): Extracted<State>,
    Named(id): Named<SessionId>,
    write: Write<Nothing>,
) -> Answer<Done> {
    let (did, session) = write.access(&state).terminate(&write.identity, &id, write.key.as_ref(), clock::now()).await?;
    Ok(Json(Done { did, request: None, window: None, session: Some(Session::of(&session)) }))
}

pub(super) async fn policy(
    Extracted(state): Extracted<State>,
    Read { identity, query: _ }: Read<Nothing>,
) -> Result<Response, Problem> {
    let caller = caller(&state, &identity)?;
    let previous = state.access.previous_commit(&caller.active.commit).await?;
    let policy = Policy::of(&caller, &state.policy.state(), previous, state.access.instant(clock::now()));
    // That the same was confirmed anew is no news, as long as it is fresh: hence a weak tag.
    let lasting = Policy { confirmed_at: None, age_seconds: None, ..policy.clone() };
    let version = condition::digest(&serde_json::to_vec(&lasting).unwrap_or_default());
    Ok(tagged(false, &version, policy))
}

pub(super) async fn activations(
    Extracted(state): Extracted<State>,
    Read { identity, query }: Read<PageQuery>,
) -> Answer<List<Activation>> {
    let listed = state.access.activations(&identity, query.cursor, query.limit.unwrap_or(20)).await?;
    Ok(Json(list(listed, Activation::of)))
}

/// The parameters of `GET /v1/access`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessQuery {
    connection: Option<String>,
}

pub(super) async fn access(
    Extracted(state): Extracted<State>,
    Read { identity, query }: Read<AccessQuery>,
) -> Answer<Reachables> {
    let all = state.access.reach(&identity, query.connection.as_deref(), clock::now())?;
    let reachables = Reachables::of(&caller(&state, &identity)?, &all);
    Ok(Json(Reachables { postgres: state.postgres.clone(), ..reachables }))
}
