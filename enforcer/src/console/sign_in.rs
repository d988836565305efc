//! Signing in: the authorisation code with PKCE, at the idp that the configuration names. The access token that it
//! gives is verified like any other and then forgotten.
//!
//! The session's cookie is strict, so that no other site can make a browser send it. The provider's answer comes from
//! another site: a cookie of its own, good for this one sign-in, ties it to the browser that began.

use super::html::{Html, html};
use super::{Failed, State, cookie, escape_query, page, pairs, redirect};
use crate::config::SignIn;
use crate::gateway::clock;
use crate::identity::Endpoints;
use aws_lc_rs::digest;
use axum::extract::State as Extracted;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

/// Bytes of a client secret's file.
const SECRET_BYTES_MAX: usize = 4_096;

/// Only a path of this console: `//host` and `/\host` would leave it.
fn inside(next: Option<&String>) -> String {
    let fits = |next: &&String| {
        let mut characters = next.chars();
        characters.next() == Some('/')
            && !matches!(characters.next(), Some('/' | '\\'))
            && !next.chars().any(|c| c.is_control() || c == '\\')
            && !next.starts_with("/sign-")
    };
    next.filter(fits).cloned().unwrap_or_else(|| "/".to_owned())
}

pub(super) async fn page(Extracted(state): Extracted<State>, headers: HeaderMap, uri: Uri) -> Response {
    let next = inside(pairs(uri.query().unwrap_or_default()).get("next"));
    // A link from elsewhere arrives without the strict cookie; the reload from here brings it.
    let signed_in = cookie(&headers, state.visit_cookie()).and_then(|secret| state.visits.find(&secret, clock::wall()));
    if signed_in.is_some() {
        return redirect(&next);
    }
    let mut body = Html::new();
    match &state.api.sign_in {
        Some(setting) => html!(
            body,
            "<p>Access is leased, never owned.</p>\n\
             <p><a class=\"button\" href=\"/sign-in/start?next={}\">Sign in with {}</a></p>\n\
             <p><a href=\"{}\">I have signed in already: go on</a></p>\n",
            escape_query(&next),
            setting.idp,
            next
        ),
        None => html!(
            body,
            "<p>The gateway's configuration names no <code>sign-in</code>. Use the command line with a token, or ask \
             the gateway's operators.</p>\n"
        ),
    }
    page::outside(StatusCode::OK, "Sign in", &body)
}

struct Way<'a> {
    setting: &'a SignIn,
    endpoints: Endpoints,
    callback: String,
}

async fn way(state: &State) -> Result<Way<'_>, Failed> {
    let failed = |sentence: &str| Failed::new(StatusCode::SERVICE_UNAVAILABLE, "Sign-in is not possible now", sentence);
    let setting = state.api.sign_in.as_ref().ok_or_else(|| failed("The configuration names no `sign-in`."))?;
    let active = state.api.policy.active().ok_or_else(|| failed("No policy is in force yet."))?;
    let endpoints = state.api.verifier.endpoints(&active.program, &setting.idp).await;
    let endpoints = endpoints.map_err(|refused| failed(&refused.sentence))?;
    Ok(Way { setting, endpoints, callback: format!("{}/sign-in/callback", state.api.public_url) })
}

pub(super) async fn start(Extracted(state): Extracted<State>, uri: Uri) -> Result<Response, Failed> {
    let way = way(&state).await?;
    let next = inside(pairs(uri.query().unwrap_or_default()).get("next"));
    let busy = || Failed::new(StatusCode::SERVICE_UNAVAILABLE, "Sign-in is not possible now", "Try again in a minute.");
    let (secret, start) = state.visits.start(&next, clock::wall()).ok_or_else(busy)?;
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, start.verifier.as_bytes()));
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", &way.setting.client_id),
        ("redirect_uri", &way.callback),
        ("scope", &way.setting.scope),
        ("state", &start.state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    parameters.extend(way.setting.resource.as_deref().map(|resource| ("resource", resource)));
    let address = reqwest::Url::parse_with_params(&way.endpoints.authorization, parameters).map_err(|_| busy())?;
    let mut response = redirect(address.as_str());
    if let Some(value) = state.set_cookie(state.start_cookie(), &secret, "Lax", 600) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    Ok(response)
}

pub(super) async fn callback(
    Extracted(state): Extracted<State>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Failed> {
    let refuse = |sentence: &str| Failed::new(StatusCode::FORBIDDEN, "You are not signed in", sentence);
    let query = pairs(uri.query().unwrap_or_default());
    let now = clock::wall();
    let start = cookie(&headers, state.start_cookie()).and_then(|secret| state.visits.take_start(&secret, now));
    let start = start.ok_or_else(|| refuse("This sign-in was not begun in this browser, or took too long."))?;
    if query.get("state") != Some(&start.state) {
        return Err(refuse("The answer belongs to another sign-in."));
    }
    let way = way(&state).await?;
    if query.get("iss").is_some_and(|iss| *iss != way.endpoints.issuer) {
        return Err(refuse("The answer comes from another identity provider."));
    }
    let Some(code) = query.get("code") else {
        return Err(refuse("The identity provider did not sign you in."));
    };
    let secret = client_secret(way.setting).map_err(|error| {
        tracing::error!(%error, "the client secret of `sign-in` cannot be read");
        refuse("The gateway's own registration at the identity provider is broken; tell its operators.")
    })?;
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", &way.callback),
        ("client_id", &way.setting.client_id),
        ("code_verifier", &start.verifier),
    ];
    form.extend(secret.as_ref().map(|secret| ("client_secret", secret.expose_secret())));
    form.extend(way.setting.resource.as_deref().map(|resource| ("resource", resource)));
    let token = state.api.verifier.exchange(&way.endpoints, &form).await;
    let token = token.map_err(|refused| refuse(&refused.sentence))?;
    let active = state.api.policy.active().ok_or_else(|| refuse("No policy is in force."))?;
    let identity = state.api.verifier.verify(&active.program, &token, clock::wall()).await;
    let identity = identity.map_err(|refused| refuse(&refused.sentence))?;
    state.api.live.identity_seen(&std::sync::Arc::new(identity.clone()));
    let value = state.visits.enter(identity, clock::wall()).ok_or_else(|| refuse("Too many people are signed in."))?;
    Ok(entered(&state, &start.next, &value))
}

/// A page of this site that goes on: only from here does the browser send the strict cookie.
fn entered(state: &State, next: &str, value: &str) -> Response {
    let mut body = Html::new();
    html!(body, "<p><a id=\"go-on\" data-go-on href=\"{}\">Go on</a></p>\n", next);
    let mut response = page::outside(StatusCode::OK, "Signed in", &body);
    let headers = response.headers_mut();
    for cookie in [
        state.set_cookie(state.visit_cookie(), value, "Strict", 8 * 3_600),
        state.set_cookie(state.start_cookie(), "", "Lax", 0),
    ]
    .into_iter()
    .flatten()
    {
        headers.append(SET_COOKIE, cookie);
    }
    response
}

fn client_secret(setting: &SignIn) -> std::io::Result<Option<SecretString>> {
    let Some(file) = &setting.secret else { return Ok(None) };
    let bytes = Zeroizing::new(std::fs::read(file)?);
    let text = std::str::from_utf8(bytes.trim_ascii()).ok().filter(|text| text.len() <= SECRET_BYTES_MAX);
    let text = text.ok_or_else(|| std::io::Error::new(std::io::ErrorKind::InvalidData, "not a text"))?;
    Ok(Some(SecretString::from(text)))
}

pub(super) async fn out(Extracted(state): Extracted<State>, request: axum::extract::Request) -> Response {
    let secret = cookie(request.headers(), state.visit_cookie());
    let visit = secret.as_ref().and_then(|secret| state.visits.find(secret, clock::wall()));
    let Some((secret, visit)) = secret.zip(visit) else { return redirect("/sign-in") };
    let mut request = request;
    request.extensions_mut().insert(std::sync::Arc::new(visit));
    let form = <super::Form as axum::extract::FromRequest<State>>::from_request(request, &state).await;
    if let Err(failed) = form {
        return axum::response::IntoResponse::into_response(failed);
    }
    state.visits.leave(&secret);
    let mut response = redirect("/sign-in");
    if let Some(value) = state.set_cookie(state.visit_cookie(), "", "Strict", 0) {
        response.headers_mut().append(SET_COOKIE, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_leads_nowhere_but_into_this_console() {
        for good in ["/", "/requests/req_1", "/sessions?who=x&state=all"] {
            assert_eq!(inside(Some(&good.to_owned())), good);
        }
        for bad in ["//evil.example", "/\\evil.example", "https://evil.example", "", "x", "/a\n", "/sign-out", "/a\\b"]
        {
            assert_eq!(inside(Some(&bad.to_owned())), "/", "{bad}");
        }
        assert_eq!(inside(None), "/");
    }
}
