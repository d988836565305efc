//! Conditional calls (RFC 9110, section 13): what has not changed is not sent again, and what has changed is not
//! written over.
//!
//! `If-Match` is judged by the access service, inside its transaction; this layer only refuses it where nothing has a
//! version. No condition is ever passed over in silence.

use super::Problem;
use crate::access::Expected;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Bytes of an answer whose tag is made from it.
const TAGGED_BYTES_MAX: usize = 64 << 20;
/// Tags of one condition.
const TAGS_MAX: usize = 64;

/// A tag of an answer: strong when equal tags mean equal bytes.
pub(super) fn tag(strong: bool, version: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{}\"{version}\"", if strong { "" } else { "W/" })).ok()
}

/// The version of some bytes.
pub(super) fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().chars().take(32).collect()
}

/// What a condition names.
#[derive(Debug, PartialEq, Eq)]
enum Named {
    /// `*`: whatever there is.
    Anything,
    /// Opaque parts of tags, and whether each is strong.
    Tags(Vec<(bool, String)>),
}

/// The tags of a header; `None` when it is not sent, and an error when it is not what it should be.
fn named(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Named>, Problem> {
    let wrong = || Problem::invalid(format!("`{name}` is `*` or a list of entity tags like `\"…\"`"));
    let mut tags = Vec::new();
    let mut anything = false;
    for value in headers.get_all(name) {
        let mut rest = value.to_str().map_err(|_| wrong())?.trim_matches([' ', '\t', ',']);
        if rest == "*" {
            anything = true;
            rest = "";
        }
        while !rest.is_empty() {
            let (strong, opened) = rest.strip_prefix("W/").map_or((true, rest), |rest| (false, rest));
            let (tag, more) = opened.strip_prefix('"').and_then(|rest| rest.split_once('"')).ok_or_else(wrong)?;
            tags.push((strong, tag.to_owned()));
            let next = more.trim_start_matches([' ', '\t']);
            if tags.len() > TAGS_MAX || !(next.is_empty() || next.starts_with(',')) {
                return Err(wrong());
            }
            rest = next.trim_start_matches([' ', '\t', ',']);
        }
    }
    match (anything, tags.is_empty()) {
        (true, true) => Ok(Some(Named::Anything)),
        (true, false) => Err(wrong()),
        (false, true) if headers.contains_key(name) => Err(wrong()),
        (false, true) => Ok(None),
        (false, false) => Ok(Some(Named::Tags(tags))),
    }
}

/// The versions that a write expects. A weak tag is never one of them.
pub(super) fn expected(headers: &HeaderMap) -> Result<Expected, Problem> {
    Ok(match named(headers, &IF_MATCH)? {
        // That there is something is judged by whoever may know it.
        None | Some(Named::Anything) => Expected::default(),
        Some(Named::Tags(tags)) => Expected::one_of(tags.into_iter().filter_map(|(strong, tag)| strong.then_some(tag))),
    })
}

/// Around a read: tags its answer, and leaves the body out when the caller has it.
pub(super) async fn read(mut request: Request, next: Next) -> Response {
    let has = match named(request.headers(), &IF_NONE_MATCH) {
        Ok(has) => has,
        Err(problem) => return problem.into_response(),
    };
    if request.headers().contains_key(IF_MATCH) {
        return Problem::invalid("`If-Match` is for writes; a read takes `If-None-Match`").into_response();
    }
    // A HEAD's tag is that of its GET; the body is taken off by the router.
    if *request.method() == Method::HEAD {
        *request.method_mut() = Method::GET;
    }
    let response = next.run(request).await;
    let json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"application/json");
    if response.status() != StatusCode::OK || !json {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, TAGGED_BYTES_MAX).await else {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the answer could not be made").into_response();
    };
    if !head.headers.contains_key(ETAG)
        && let Some(tag) = tag(true, &digest(&bytes))
    {
        head.headers.insert(ETAG, tag);
    }
    let current = head.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).unwrap_or_default();
    let current = current.trim_start_matches("W/").trim_matches('"');
    let same = match has {
        None => false,
        Some(Named::Anything) => true,
        Some(Named::Tags(tags)) => tags.iter().any(|(_, tag)| tag == current),
    };
    if !same {
        return Response::from_parts(head, Body::from(bytes));
    }
    head.status = StatusCode::NOT_MODIFIED;
    head.headers.remove(CONTENT_TYPE);
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, Body::empty())
}

/// Around a write to what has no version.
pub(super) async fn unversioned(request: Request, next: Next) -> Response {
    if request.headers().contains_key(IF_MATCH) {
        let sentence = "nothing here has a version: `If-Match` is taken on one request, window or session";
        return Problem::invalid(sentence).into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (IF_MATCH, HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn tags_are_read_as_the_standard_writes_them() {
        let tags = |all: &[(bool, &str)]| {
            Some(Named::Tags(all.iter().map(|(strong, tag)| (*strong, (*tag).to_owned())).collect()))
        };
        for (values, want) in [
            (&[][..], None),
            (&["*"][..], Some(Named::Anything)),
            (&["\"a\""][..], tags(&[(true, "a")])),
            (&["\"a\", W/\"b,c\" ,, \"\""][..], tags(&[(true, "a"), (false, "b,c"), (true, "")])),
            (&["\"a\"", "\"b\""][..], tags(&[(true, "a"), (true, "b")])),
        ] {
            assert_eq!(named(&headers(values), &IF_MATCH).unwrap(), want, "{values:?}");
        }
        for bad in [&[""][..], &["a"], &["\"a"], &["\"a\" \"b\""], &["w/\"a\""], &["*", "\"a\""], &["*, \"a\""]] {
            assert!(named(&headers(bad), &IF_MATCH).is_err(), "{bad:?}");
        }
        assert_eq!(expected(&headers(&["W/\"a\""])).unwrap(), Expected::one_of([]), "a weak tag is never expected");
    }
}
