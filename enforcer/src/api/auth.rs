//! From the `Authorization` header to an identity. No other header says who somebody is.

use super::rate::{self, Sort};
use super::{Problem, State};
use crate::gateway::clock;
use crate::identity::{RefusedCause, TOKEN_BYTES_MAX};
use axum::extract::{Request, State as Extracted};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use std::sync::Arc;

/// Verifies the token, tells live sessions what it says, and hands the identity on.
pub(super) async fn authenticate(Extracted(state): Extracted<State>, mut request: Request, next: Next) -> Response {
    let identity = match identify(&state, request.headers()).await {
        Ok(identity) => identity,
        Err(problem) => return problem.into_response(),
    };
    let sort = if request.method().is_safe() { Sort::Read } else { Sort::Write };
    if let Err(seconds) = state.rates.count(&identity.subject, sort, clock::mono_ms()) {
        return rate::too_often(seconds).into_response();
    }
    // What a handler sees of a request never holds the token.
    request.headers_mut().remove(header::AUTHORIZATION);
    request.extensions_mut().insert(Arc::clone(&identity));
    next.run(request).await
}

async fn identify(state: &State, headers: &HeaderMap) -> Result<Arc<crate::core::identity::Identity>, Problem> {
    let token = token(headers)?;
    let Some(active) = state.policy.active() else {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no policy is in force yet; nothing is permitted"));
    };
    match state.verifier.verify(&active.program, &token, clock::wall()).await {
        Ok(identity) => {
            let identity = Arc::new(identity);
            state.live.identity_seen(&identity);
            Ok(identity)
        }
        Err(refused) => {
            let status = match refused.cause {
                RefusedCause::Token | RefusedCause::Expired => StatusCode::UNAUTHORIZED,
                RefusedCause::Provider => StatusCode::SERVICE_UNAVAILABLE,
            };
            Err(Problem::new(status, refused.sentence))
        }
    }
}

fn token(headers: &HeaderMap) -> Result<SecretString, Problem> {
    let refuse = |sentence: &str| Problem::new(StatusCode::UNAUTHORIZED, sentence);
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(refuse(
            "send exactly one `Authorization: Bearer …` with a token of a configured identity provider",
        ));
    };
    let bearer = value.to_str().ok().and_then(|text| text.split_once(' '));
    match bearer {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => {
            if token.len() > TOKEN_BYTES_MAX {
                return Err(refuse("the token is longer than any honest one"));
            }
            Ok(SecretString::from(token.trim()))
        }
        Some(_) | None => Err(refuse("only `Authorization: Bearer …` is accepted")),
    }
}
