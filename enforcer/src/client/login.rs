//! `leasehold login` and `logout`: a token of the gateway's identity provider, by a browser on this machine or by
//! another device, kept by [`super::keeper`]. The token is never printed and never part of an error.

use super::commands::Format;
use super::connect::{self, Connect, Failure};
use super::keeper::{self, Kept, Place};
use super::tell::{Done, tell};
use crate::api::after::SignIn;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lang::time::Timestamp;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use std::io::{self, Write};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

/// The longest answer of an identity provider.
const ANSWER_MAX: Duration = Duration::from_secs(20);
/// The longest sign-in.
const SIGN_IN_MAX: Duration = Duration::from_mins(10);
/// Bytes of a request that the browser sends back.
const CALL_BYTES_MAX: usize = 16 * 1024;
/// The longest pause between two questions whether somebody has signed in on the other device.
const POLL_EVERY_MAX: Duration = Duration::from_mins(1);
/// Calls that the browser may make before it brings the code.
const CALLS_MAX: usize = 32;
/// Bytes of a provider's answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// A token that ends this soon is renewed first.
const RENEW_BEFORE_SECONDS: i64 = 60;

/// A provider's answer with tokens.
#[derive(Deserialize)]
struct Tokens {
    access_token: Option<String>,
    refresh_token: Option<String>,
    expires_in: Option<i64>,
    error: Option<String>,
}

/// A provider's answer for another device.
#[derive(Deserialize)]
struct Device {
    #[serde(rename = "device_code")]
    code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    interval: Option<u64>,
    expires_in: Option<u64>,
}

/// Why a call of the identity provider gave nothing.
enum Unanswered {
    /// No answer came: another call may be answered.
    Lost,
    /// What came is no answer.
    Wrong(&'static str),
}

impl Unanswered {
    fn failure(self) -> Failure {
        unavailable(match self {
            Self::Lost => "the identity provider cannot be reached",
            Self::Wrong(sentence) => sentence,
        })
    }
}

fn unavailable(sentence: impl Into<String>) -> Failure {
    Failure::Unavailable(sentence.into())
}

/// The token of an earlier sign-in at this gateway, while it is good.
pub(super) fn token(url: &Url) -> Option<SecretString> {
    let kept = keeper::load(url)?;
    (kept.expires_at > now()).then(|| SecretString::from(kept.access_token))
}

fn now() -> i64 {
    crate::gateway::clock::wall().unix_ms() / 1_000
}

/// Renews a token that is about to end, when there is a way; otherwise nothing happens.
pub(super) async fn renew(url: &Url) {
    let Some(mut kept) = keeper::load(url) else { return };
    let Some(refresh) = kept.refresh_token.clone() else { return };
    if kept.expires_at - RENEW_BEFORE_SECONDS > now() {
        return;
    }
    let Ok(client) = crate::identity::client(ANSWER_MAX) else { return };
    let mut form =
        vec![("grant_type", "refresh_token"), ("refresh_token", refresh.as_str()), ("client_id", &kept.client_id)];
    form.extend(kept.resource.as_deref().map(|resource| ("resource", resource)));
    let Ok(tokens) = post::<Tokens>(&client, &kept.token_endpoint, &form).await else { return };
    let Some(access) = tokens.access_token else { return };
    kept.access_token = access;
    kept.refresh_token = tokens.refresh_token.or(Some(refresh));
    kept.expires_at = now() + tokens.expires_in.unwrap_or(300);
    // The old one may still do when the new one cannot be kept.
    drop(keeper::store(url, &kept));
}

async fn post<T: serde::de::DeserializeOwned>(
    client: &reqwest::Client,
    url: &str,
    form: &[(&str, &str)],
) -> Result<T, Unanswered> {
    let address =
        Url::parse_with_params(url, form).map_err(|_| Unanswered::Wrong("the identity provider's address is none"))?;
    // A query and a form are written alike; the code and the token stay out of the address.
    let body = Zeroizing::new(address.query().unwrap_or_default().to_owned());
    let call = client
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("accept", "application/json")
        .body(body.as_bytes().to_vec());
    let failed = |_: reqwest::Error| Unanswered::Lost;
    let mut answer = call.send().await.map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::new());
    while let Some(chunk) = answer.chunk().await.map_err(failed)? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Unanswered::Wrong("the identity provider's answer is too large"));
        }
        bytes.extend_from_slice(&chunk);
    }
    let wrong = "the identity provider's answer is not what is expected";
    serde_json::from_slice(&bytes).map_err(|_| Unanswered::Wrong(wrong))
}

/// Signs in; the exit code. What the person has to do goes to `notes`, as it comes.
///
/// # Errors
/// When `out` or `notes` cannot be written.
pub async fn login(
    connect: &Connect,
    device: bool,
    format: Format,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> io::Result<u8> {
    let done = match tokio::time::timeout(SIGN_IN_MAX, sign_in(connect, device, notes)).await {
        Ok(Ok((seconds, place))) => {
            let (word, place) = match place {
                Place::Keyring => ("keyring", "the keyring"),
                Place::File => ("file", "a file that only this user reads"),
            };
            let sentence = format!(
                "signed in for {} min; the token is in {place}, and this user's commands use it from now on",
                seconds / 60
            );
            Ok(Done::well(sentence, json!({ "signed_in": true, "seconds": seconds, "kept_in": word })))
        }
        Ok(Err(failure)) => Err(failure),
        Err(_) => Err(unavailable(format!("nobody signed in within {} min", SIGN_IN_MAX.as_secs() / 60))),
    };
    tell(done, format, out, notes)
}

/// Forgets the token; the exit code.
///
/// # Errors
/// When `out` or `notes` cannot be written.
pub fn logout(connect: &Connect, format: Format, out: &mut dyn Write, notes: &mut dyn Write) -> io::Result<u8> {
    let done = connect::gateway(connect).and_then(|url| {
        let forgotten = keeper::forget(&url);
        forgotten.map_err(|error| unavailable(format!("the token could not be removed: {error}")))?;
        Ok(Done::well("signed out on this machine".to_owned(), json!({ "signed_in": false })))
    });
    tell(done, format, out, notes)
}

async fn sign_in(connect: &Connect, device: bool, notes: &mut dyn Write) -> Result<(i64, Place), Failure> {
    let url = connect::gateway(connect)?;
    let way: SignIn = connect::anonymous(connect, &["v1", "sign-in"]).await?;
    let client = crate::identity::client(ANSWER_MAX).map_err(|error| unavailable(error.to_string()))?;
    let tokens = match (&way.device_authorization_endpoint, device) {
        (Some(endpoint), true) => by_device(&client, &way, endpoint, notes).await?,
        (None, true) => {
            return Err(Failure::Usage("the identity provider has no device flow; leave --device out".into()));
        }
        (_, false) => by_browser(&client, &way, notes).await?,
    };
    let access_token = tokens.access_token.ok_or_else(|| unavailable("the identity provider gave no token"))?;
    let seconds = tokens.expires_in.unwrap_or(300).max(1);
    let kept = Kept {
        origin: url.origin().ascii_serialization(),
        access_token,
        refresh_token: tokens.refresh_token,
        expires_at: now() + seconds,
        token_endpoint: way.token_endpoint,
        client_id: way.client_id,
        resource: way.resource,
    };
    let place = keeper::store(&url, &kept);
    let place = place.map_err(|error| unavailable(format!("the token cannot be kept: {error}")))?;
    Ok((seconds, place))
}

fn say(notes: &mut dyn Write, text: &str) -> Result<(), Failure> {
    writeln!(notes, "{text}").map_err(|error| unavailable(error.to_string()))
}

fn random() -> Result<String, Failure> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| unavailable(format!("no randomness: {error}")))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

async fn by_device(
    client: &reqwest::Client,
    way: &SignIn,
    endpoint: &str,
    notes: &mut dyn Write,
) -> Result<Tokens, Failure> {
    let mut form = vec![("client_id", way.client_id.as_str()), ("scope", &way.scope)];
    form.extend(way.resource.as_deref().map(|resource| ("resource", resource)));
    let device: Device = post(client, endpoint, &form).await.map_err(Unanswered::failure)?;
    let inert = crate::recording::inert::inert;
    say(notes, &format!("open {} and enter {}", inert(&device.verification_uri), inert(&device.user_code)))?;
    if let Some(whole) = &device.verification_uri_complete {
        say(notes, &format!("or open {}", inert(whole)))?;
    }
    let ends = now() + i64::try_from(device.expires_in.unwrap_or(600)).unwrap_or(600);
    let mut every = Duration::from_secs(device.interval.unwrap_or(5).clamp(1, POLL_EVERY_MAX.as_secs()));
    while now() < ends {
        tokio::time::sleep(every).await;
        let mut form = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
            ("device_code", device.code.as_str()),
            ("client_id", &way.client_id),
        ];
        form.extend(way.resource.as_deref().map(|resource| ("resource", resource)));
        let tokens: Tokens = match post(client, &way.token_endpoint, &form).await {
            Ok(tokens) => tokens,
            // RFC 8628, section 3.5: a call that timed out is made again, less often.
            Err(Unanswered::Lost) => {
                every = (every * 2).min(POLL_EVERY_MAX);
                continue;
            }
            Err(wrong) => return Err(wrong.failure()),
        };
        match tokens.error.as_deref() {
            None => return Ok(tokens),
            Some("authorization_pending") => {}
            Some("slow_down") => every += Duration::from_secs(5),
            Some(_) => return Err(unavailable("the identity provider refused the sign-in")),
        }
    }
    Err(unavailable("nobody entered the code in time"))
}

async fn by_browser(client: &reqwest::Client, way: &SignIn, notes: &mut dyn Write) -> Result<Tokens, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|error| unavailable(error.to_string()))?;
    let port = listener.local_addr().map_err(|error| unavailable(error.to_string()))?.port();
    let redirect = format!("http://127.0.0.1:{port}/callback");
    let (verifier, state) = (random()?, random()?);
    let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    let mut query = vec![
        ("response_type", "code"),
        ("client_id", &way.client_id),
        ("redirect_uri", &redirect),
        ("scope", &way.scope),
        ("state", &state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    query.extend(way.resource.as_deref().map(|resource| ("resource", resource)));
    let address = Url::parse_with_params(&way.authorization_endpoint, query)
        .map_err(|_| unavailable("the identity provider's address is none"))?;
    say(notes, &format!("sign in with your browser; if it does not open, go to\n{address}"))?;
    show(&address);
    let code = SecretString::from(code(&listener, &state, &way.issuer).await?);
    let mut form = vec![
        ("grant_type", "authorization_code"),
        ("code", code.expose_secret()),
        ("redirect_uri", &redirect),
        ("client_id", &way.client_id),
        ("code_verifier", &verifier),
    ];
    form.extend(way.resource.as_deref().map(|resource| ("resource", resource)));
    post(client, &way.token_endpoint, &form).await.map_err(Unanswered::failure)
}

/// Has the desktop open an address; whoever has none reads it.
fn show(address: &Url) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let quiet = std::process::Stdio::null;
    drop(
        std::process::Command::new(program)
            .arg(address.as_str())
            .stdin(quiet())
            .stdout(quiet())
            .stderr(quiet())
            .spawn(),
    );
}

/// The code that the browser brings back; a call that belongs to another sign-in is not it.
async fn code(listener: &TcpListener, state: &str, issuer: &str) -> Result<String, Failure> {
    for _ in 0..CALLS_MAX {
        let (mut stream, _) = listener.accept().await.map_err(|error| unavailable(error.to_string()))?;
        let Some(target) = target(&mut stream).await else { continue };
        let Ok(url) = Url::parse(&format!("http://127.0.0.1{target}")) else { continue };
        let get = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let ours = url.path() == "/callback"
            && get("state").as_deref() == Some(state)
            && get("iss").is_none_or(|iss| iss == issuer);
        let found = get("code").filter(|_| ours);
        let sentence = match (&found, ours) {
            (Some(_), _) => "You are signed in. Close this page.",
            (None, true) => "The identity provider did not sign you in.",
            (None, false) => "This is not the sign-in that is waited for.",
        };
        let body = format!("<!doctype html><meta charset=utf-8><title>Leasehold</title><p>{sentence}</p>");
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
             content-security-policy: default-src 'none'\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        // A browser that is gone has brought the code all the same.
        drop(stream.write_all(answer.as_bytes()).await);
        match found {
            Some(code) => return Ok(code),
            None if ours => return Err(unavailable("the identity provider did not sign you in")),
            None => {}
        }
    }
    Err(unavailable("too many calls that were no sign-in"))
}

/// The target of a request, within five seconds.
async fn target(stream: &mut tokio::net::TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let read = async {
        while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut part = [0_u8; 2048];
            let count = stream.read(&mut part).await.ok().filter(|count| *count > 0)?;
            bytes.extend_from_slice(part.get(..count)?);
            if bytes.len() > CALL_BYTES_MAX {
                return None;
            }
        }
        Some(())
    };
    tokio::time::timeout(Duration::from_secs(5), read).await.ok()??;
    let head = String::from_utf8(bytes).ok()?;
    let mut words = head.lines().next()?.split(' ');
    (words.next() == Some("GET")).then_some(())?;
    words.next().filter(|target| target.starts_with('/')).map(str::to_owned)
}

/// When a kept token ends, for `leasehold status`.
pub(super) fn ends(url: &Url) -> Option<Timestamp> {
    keeper::load(url).map(|kept| Timestamp::from_unix(kept.expires_at))
}
