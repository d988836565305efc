//! Failures as `application/problem+json` (RFC 9457), with the rule, file and line where a rule decided.

use crate::access::{Because, Refused};
use crate::store::StoreError;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// A failure, as a client reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    pub kind: Box<str>,
    /// The status' own words.
    pub title: Box<str>,
    /// The status.
    pub status: u16,
    /// What a person or an agent can act on.
    pub detail: String,
    /// The rule that decided: `grant orders-read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<Box<str>>,
    /// The rule's file in the policy repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<Box<str>>,
    /// The rule's line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Every reason, when there are several.
    #[serde(default, skip_serializing_if = "<[Reason]>::is_empty")]
    pub reasons: Box<[Reason]>,
    /// Seconds to wait before the next attempt; a header, not a member.
    #[serde(skip)]
    wait_seconds: Option<NonZeroU16>,
}

/// One reason of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What a person or an agent can act on.
    pub detail: String,
    /// The rule that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The rule's file in the policy repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The rule's line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
}

impl From<&Because> for Reason {
    fn from(because: &Because) -> Self {
        Self {
            detail: because.sentence.clone(),
            rule: because.rule.as_ref().map(ToString::to_string),
            file: because.place.as_ref().map(|place| place.file.clone()),
            line: because.place.as_ref().map(|place| place.line),
        }
    }
}

impl Problem {
    /// A failure in one sentence.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or("Failure").into(),
            status: status.as_u16(),
            detail: detail.into(),
            rule: None,
            file: None,
            line: None,
            reasons: Box::default(),
            wait_seconds: None,
        }
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.wait_seconds = NonZeroU16::new(u16::try_from(seconds).unwrap_or(u16::MAX));
        self
    }

    /// What was asked has no meaning.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    fn because(mut self, all: &[Because]) -> Self {
        if let Some(first) = all.first() {
            let Reason { rule, file, line, .. } = Reason::from(first);
            (self.rule, self.file, self.line) = (rule.map(Into::into), file.map(Into::into), line);
        }
        self.detail = all.iter().map(|because| because.sentence.as_str()).collect::<Vec<_>>().join("; ");
        if all.len() > 1 {
            self.reasons = all.iter().map(Reason::from).collect();
        }
        self
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match &refused {
            Refused::Policy(_) | Refused::Forbidden(_) => StatusCode::FORBIDDEN,
            Refused::NotFound(_) => StatusCode::NOT_FOUND,
            Refused::State(_) | Refused::Store(StoreError::Conflict) => StatusCode::CONFLICT,
            Refused::Changed => StatusCode::PRECONDITION_FAILED,
            Refused::Invalid(_) => StatusCode::BAD_REQUEST,
            Refused::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Refused::NoPolicy | Refused::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        if let Refused::Store(error) = &refused {
            // The chain goes to the log; the client reads the sentence alone.
            let mut source = std::error::Error::source(error);
            let mut chain = error.to_string();
            while let Some(cause) = source {
                chain.push_str(": ");
                chain.push_str(&cause.to_string());
                source = cause.source();
            }
            tracing::error!(error = %chain, "the state gave no answer");
        }
        Self::new(status, "").because(&refused.because())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"leasehold\""));
        }
        let usual = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        let wait = self.wait_seconds.map(NonZeroU16::get).or(usual);
        if let Some(seconds) = wait {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
