//! The forge's webhook: a signed call that shortens the wait for a merge. It carries no identity, learns nothing, and
//! is never more than a hint.

use super::Problem;
use crate::gitops::webhook::{BODY_BYTES_MAX, SIGNATURE_HEADER, Webhook};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;

/// Where a forge calls.
pub const PATH: &str = "/hooks/repository";

/// The route; without a configured secret there is none.
pub(super) fn router<S: Clone + Send + Sync + 'static>(webhook: Option<Webhook>) -> Router<S> {
    match webhook {
        None => Router::new(),
        Some(webhook) => {
            Router::new().route(PATH, post(call)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(webhook)
        }
    }
}

async fn call(State(webhook): State<Webhook>, headers: HeaderMap, body: Bytes) -> Result<StatusCode, Problem> {
    let mut signatures = headers.get_all(SIGNATURE_HEADER).iter();
    let signature = match (signatures.next(), signatures.next()) {
        (Some(one), None) => one.to_str().unwrap_or_default(),
        (_, _) => "",
    };
    if webhook.call(&body, signature) {
        Ok(StatusCode::ACCEPTED)
    } else {
        let sentence = "the call is not signed with the configured secret (`X-Hub-Signature-256: sha256=…`)";
        Err(Problem::new(StatusCode::FORBIDDEN, sentence))
    }
}
