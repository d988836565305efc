//! What clients send: JSON bodies, query parameters, path parameters and keys, all refused as problems.

use super::{Problem, State, condition};
use crate::access::{Access, Expected, Filter, IdempotencyKey};
use crate::core::identity::Identity;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Bytes of an `Idempotency-Key`.
const KEY_BYTES_MAX: usize = 200;

/// A write: who, under which key, expecting what, with what.
#[derive(Debug)]
pub(super) struct Write<T> {
    pub(super) identity: Arc<Identity>,
    pub(super) key: Option<IdempotencyKey>,
    expected: Expected,
    pub(super) body: T,
}

impl<T> Write<T> {
    /// The access service, held to the versions that the writer has looked at.
    pub(super) fn access(&self, state: &State) -> Access {
        state.access.expecting(self.expected.clone())
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for Write<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let identity = identity(request.extensions())?;
        let headers = request.headers().clone();
        let target = format!("{} {}", request.method(), request.uri().path());
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let status = rejection.into_response_status();
            let sentence = if status == StatusCode::PAYLOAD_TOO_LARGE {
                "the body is too large"
            } else {
                "the body could not be read"
            };
            Problem::new(status, sentence)
        })?;
        let key = key(&headers, &target, &bytes)?;
        let expected = condition::expected(&headers)?;
        Ok(Self { identity, key, expected, body: parse(&headers, &bytes)? })
    }
}

trait StatusOf {
    fn into_response_status(self) -> StatusCode;
}

impl<T: axum::response::IntoResponse> StatusOf for T {
    fn into_response_status(self) -> StatusCode {
        self.into_response().status()
    }
}

/// Who calls. The authentication layer put it there; without it nothing is answered.
fn identity(extensions: &axum::http::Extensions) -> Result<Arc<Identity>, Problem> {
    extensions
        .get::<Arc<Identity>>()
        .cloned()
        .ok_or_else(|| Problem::new(StatusCode::UNAUTHORIZED, "this call needs a token"))
}

fn parse<T: DeserializeOwned + Default>(headers: &HeaderMap, bytes: &Bytes) -> Result<T, Problem> {
    if bytes.is_empty() {
        return Ok(T::default());
    }
    // A browser cannot send this type to another origin without asking first.
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"));
    if !json {
        let sentence = "the body must be JSON, with `Content-Type: application/json`";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, sentence));
    }
    serde_json::from_slice(bytes)
        .map_err(|error| Problem::invalid(format!("the body is not what is expected: {error}")))
}

fn key(headers: &HeaderMap, target: &str, body: &Bytes) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if values.next().is_some()
        || text.is_empty()
        || text.len() > KEY_BYTES_MAX
        || !text.bytes().all(|byte| byte.is_ascii_graphic())
    {
        let sentence = format!("`Idempotency-Key` is one text of 1 to {KEY_BYTES_MAX} visible ASCII characters");
        return Err(Problem::invalid(sentence));
    }
    let mut hasher = blake3::Hasher::new();
    hasher.update(target.as_bytes());
    hasher.update(b"\0");
    hasher.update(body);
    Ok(Some(IdempotencyKey { key: text.to_owned(), digest: hasher.finalize().to_hex().to_string() }))
}

/// A read: who, and which part of a list.
#[derive(Debug)]
pub(super) struct Read<Q> {
    pub(super) identity: Arc<Identity>,
    pub(super) query: Q,
}

impl<S: Send + Sync, Q: DeserializeOwned + Send> FromRequestParts<S> for Read<Q> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let identity = identity(&parts.extensions)?;
        let Query(query) = Query::<Q>::try_from_uri(&parts.uri)
            .map_err(|error| Problem::invalid(format!("the query is not what is expected: {}", error.body_text())))?;
        Ok(Self { identity, query })
    }
}

/// No parameters.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The parameters of a list that is sorted by a number.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    pub(super) cursor: Option<u64>,
    pub(super) limit: Option<u32>,
}

/// The parameters of every other list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    connection: Option<String>,
    state: Option<ListState>,
    #[serde(default)]
    mine: bool,
    cursor: Option<String>,
    limit: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ListState {
    Open,
    All,
}

impl ListQuery {
    pub(super) fn filter(self) -> Filter {
        Filter {
            connection: self.connection,
            open: self.state == Some(ListState::Open),
            mine: self.mine,
            after: self.cursor,
            limit: self.limit,
            ..Filter::default()
        }
    }
}

/// An identifier in the path; what is none names nothing.
#[derive(Debug)]
pub(super) struct Named<T>(pub(super) T);

impl<S: Send + Sync, T: TryFrom<String>> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let unknown = || Problem::new(StatusCode::NOT_FOUND, "there is nothing of that name that you may see");
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(|_| unknown())?;
        T::try_from(text).map(Self).map_err(|_| unknown())
    }
}
