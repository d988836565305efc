//! From flags, environment and `client.kdl` to authenticated calls of the API.
//!
//! The token is never printed, never part of an error, and never sent over plain HTTP beyond this machine.

use crate::api::Problem;
use crate::gateway::tls;
use kdl::KdlDocument;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use reqwest::{Client, Method, Response, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// The longest wait for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The longest wait for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(40);
/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Bytes of a token file.
const TOKEN_BYTES_MAX: u64 = 64 * 1024;
/// Bytes of `client.kdl`.
const SETTINGS_BYTES_MAX: u64 = 64 * 1024;

/// How the gateway is reached.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Connect {
    /// The gateway's API, for example <https://access.acme.example:8443>
    #[arg(long, value_name = "URL", env = "LEASEHOLD_URL", help_heading = "Gateway")]
    pub url: Option<String>,
    /// A file with an access token; else the variable `LEASEHOLD_TOKEN`
    #[arg(long, value_name = "FILE", help_heading = "Gateway")]
    pub token_file: Option<PathBuf>,
    /// Trust only the certificate authorities of this PEM file
    #[arg(long, value_name = "FILE", env = "LEASEHOLD_CA", help_heading = "Gateway")]
    pub ca: Option<PathBuf>,
}

/// Why a command did not do what was asked. The number is the exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The gateway said no.
    #[error("{}", .0.detail)]
    Refused(Box<Problem>),
    /// The command was not given what it needs.
    #[error("{0}")]
    Usage(String),
    /// The gateway cannot be reached, or cannot answer now.
    #[error("{0}")]
    Unavailable(String),
}

impl Failure {
    /// The exit code.
    pub const fn code(&self) -> u8 {
        match self {
            Self::Refused(_) => 1,
            Self::Usage(_) => 3,
            Self::Unavailable(_) => 4,
        }
    }
}

/// What `client.kdl` may say.
#[derive(Debug, Default)]
struct Settings {
    url: Option<String>,
    token_file: Option<PathBuf>,
    ca: Option<PathBuf>,
}

impl Settings {
    /// The file of `LEASEHOLD_CLIENT_CONFIG`, else the one in the user's configuration folder when there is one.
    fn load() -> Result<Self, Failure> {
        let var = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let (file, named) = if let Some(file) = var("LEASEHOLD_CLIENT_CONFIG") {
            (file, true)
        } else {
            let folder = var("XDG_CONFIG_HOME").or_else(|| var("HOME").map(|home| home.join(".config")));
            let Some(folder) = folder else { return Ok(Self::default()) };
            (folder.join("leasehold/client.kdl"), false)
        };
        match read(&file, SETTINGS_BYTES_MAX) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => Ok(Self::default()),
            Err(error) => Err(Failure::Usage(format!("cannot read {}: {error}", file.display()))),
        }
    }

    fn parse(file: &Path, text: &str) -> Result<Self, Failure> {
        let wrong = |what: &str| {
            Failure::Usage(format!(
                "{}: {what}; it may hold `url \"…\"`, `token-file \"…\"` and `ca \"…\"`",
                file.display()
            ))
        };
        // Nothing in this file has children: what is nested is refused before the parser recurses.
        if text.contains('{') {
            return Err(wrong("no node of this file takes a block"));
        }
        let document = KdlDocument::parse_v2(text).map_err(|_| wrong("this is not KDL"))?;
        let mut settings = Self::default();
        let base = file.parent().unwrap_or(Path::new("."));
        for node in document.nodes() {
            let name = node.name().value();
            let [entry] = node.entries() else { return Err(wrong(&format!("`{name}` takes one value"))) };
            let value = entry.value().as_string().filter(|_| entry.name().is_none());
            let Some(value) = value else { return Err(wrong(&format!("`{name}` takes one text"))) };
            let twice = match name {
                "url" => settings.url.replace(value.to_owned()).is_some(),
                "token-file" => settings.token_file.replace(base.join(value)).is_some(),
                "ca" => settings.ca.replace(base.join(value)).is_some(),
                _ => return Err(wrong(&format!("unknown node `{name}`"))),
            };
            if twice {
                return Err(wrong(&format!("`{name}` stands twice")));
            }
        }
        Ok(settings)
    }
}

/// Reads a text file of bounded length.
fn read(file: &Path, bytes_max: u64) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    let length = std::fs::File::open(file)?.take(bytes_max + 1).read_to_string(&mut text)?;
    if u64::try_from(length).unwrap_or(u64::MAX) > bytes_max {
        return Err(std::io::Error::other("the file is too large"));
    }
    Ok(text)
}

/// The API, as one caller uses it.
#[derive(Debug)]
pub struct Api {
    client: Client,
    url: Url,
    bearer: HeaderValue,
}

/// The gateway's address.
///
/// # Errors
/// When it is missing or cannot be used.
pub(super) fn gateway(connect: &Connect) -> Result<Url, Failure> {
    let url = connect.url.clone().or(Settings::load()?.url).ok_or_else(|| {
        Failure::Usage("where is the gateway? use --url, LEASEHOLD_URL, or `url` in client.kdl".to_owned())
    })?;
    address(&url)
}

/// A GET that needs no token.
///
/// # Errors
/// When the gateway refuses or does not answer.
pub(super) async fn anonymous<T: DeserializeOwned>(connect: &Connect, path: &[&str]) -> Result<T, Failure> {
    let api = Api::with_bearer(connect, HeaderValue::from_static("Bearer none"))?;
    api.get(path, &[]).await
}

impl Api {
    /// Like [`Api::new`], after a token of `leasehold login` that is about to end was renewed.
    ///
    /// # Errors
    /// When the address or the token is missing or cannot be used.
    pub async fn ready(connect: &Connect) -> Result<Self, Failure> {
        if let Ok(url) = gateway(connect) {
            super::login::renew(&url).await;
        }
        Self::new(connect)
    }

    /// The token, for a native client.
    pub(super) fn token(&self) -> String {
        let text = self.bearer.to_str().unwrap_or_default();
        text.strip_prefix("Bearer ").unwrap_or_default().to_owned()
    }

    /// Gathers the settings and prepares calls; nothing is sent yet.
    ///
    /// # Errors
    /// When the address or the token is missing or cannot be used.
    pub fn new(connect: &Connect) -> Result<Self, Failure> {
        let settings = Settings::load()?;
        let url = gateway(connect)?;
        Self::with_bearer(connect, bearer(connect.token_file.clone(), settings.token_file, &url)?)
    }

    fn with_bearer(connect: &Connect, bearer: HeaderValue) -> Result<Self, Failure> {
        let settings = Settings::load()?;
        let url = gateway(connect)?;
        let roots = match connect.ca.clone().or(settings.ca) {
            Some(file) => {
                let pem = read(&file, 4 << 20)
                    .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", file.display())))?;
                tls::roots(pem.as_bytes()).map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?
            }
            None if url.scheme() == "http" => rustls::RootCertStore::empty(),
            None => tls::system_roots().map_err(|error| Failure::Usage(format!("{error}; use --ca FILE")))?,
        };
        let config = rustls::ClientConfig::builder_with_provider(tls::provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| Failure::Usage(format!("TLS cannot be set up: {error}")))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let mut builder = Client::builder()
            .user_agent(concat!("leasehold/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_MAX)
            .tls_backend_preconfigured(config);
        if loopback(&url) {
            builder = builder.no_proxy();
        }
        let client = builder.build().map_err(|_| Failure::Usage("the HTTP client cannot be set up".to_owned()))?;
        Ok(Self { client, url, bearer })
    }

    /// A GET.
    ///
    /// # Errors
    /// When the gateway refuses or does not answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<T, Failure> {
        let response = self.send(Method::GET, path, query, None, None, Some(ANSWER_MAX)).await?;
        parse(response).await
    }

    /// A POST. It carries a fresh `Idempotency-Key`, so that it can be sent again when the connection broke.
    ///
    /// # Errors
    /// When the gateway refuses or does not answer.
    pub async fn post<T: DeserializeOwned>(&self, path: &[&str], body: &impl Serialize) -> Result<T, Failure> {
        let mut random = [0_u8; 16];
        getrandom::fill(&mut random).map_err(|error| Failure::Unavailable(format!("no randomness: {error}")))?;
        let key = blake3::Hash::to_hex(&blake3::hash(&random)).to_string();
        let body = serde_json::to_vec(body).map_err(|error| Failure::Usage(error.to_string()))?;
        let mut again = true;
        loop {
            match self.send(Method::POST, path, &[], Some(&key), Some(body.clone()), Some(ANSWER_MAX)).await {
                Err(Failure::Unavailable(_)) if again => {
                    again = false;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                answer => return parse(answer?).await,
            }
        }
    }

    /// A GET whose answer is read piece by piece.
    ///
    /// # Errors
    /// When the gateway refuses or does not answer.
    pub async fn stream(&self, path: &[&str]) -> Result<Response, Failure> {
        self.send(Method::GET, path, &[], None, None, None).await
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        key: Option<&str>,
        body: Option<Vec<u8>>,
        within: Option<Duration>,
    ) -> Result<Response, Failure> {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let mut request = self
            .client
            .request(method, url)
            .header(AUTHORIZATION, self.bearer.clone())
            .header(ACCEPT, "application/json, application/x-tar;q=0.9");
        if let Some(within) = within {
            request = request.timeout(within);
        }
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let bytes = body_of(response).await?;
        let problem = serde_json::from_slice::<Problem>(&bytes).unwrap_or_else(|_| {
            Problem::new(
                axum::http::StatusCode::from_u16(status.as_u16()).unwrap_or_default(),
                format!("the answer's status is {status}, and it is no answer of a Leasehold gateway"),
            )
        });
        if status.is_server_error() {
            return Err(Failure::Unavailable(problem.detail));
        }
        Err(Failure::Refused(Box::new(problem)))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() {
            "it does not answer in time".to_owned()
        } else {
            let mut cause: &dyn std::error::Error = error;
            while let Some(source) = cause.source() {
                cause = source;
            }
            cause.to_string()
        };
        Failure::Unavailable(format!("cannot reach the gateway at {}: {why}", self.url.origin().ascii_serialization()))
    }
}

async fn body_of(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() <= ANSWER_BYTES_MAX => bytes.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(Failure::Unavailable("the gateway's answer is too large".to_owned())),
            Ok(None) => return Ok(bytes),
            Err(_) => return Err(Failure::Unavailable("the connection to the gateway broke".to_owned())),
        }
    }
}

async fn parse<T: DeserializeOwned>(response: Response) -> Result<T, Failure> {
    let bytes = body_of(response).await?;
    serde_json::from_slice(&bytes)
        .map_err(|_| Failure::Unavailable("the answer is not that of a gateway of this version".to_owned()))
}

fn loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => {
            host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        None => false,
    }
}

fn address(text: &str) -> Result<Url, Failure> {
    let url = Url::parse(text).map_err(|error| Failure::Usage(format!("`{text}` is not a URL: {error}")))?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(Failure::Usage("the gateway's URL holds neither a user nor a query".to_owned()));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback(&url) => Ok(url),
        "http" => Err(Failure::Usage("a token is sent over https only; http reaches this machine only".to_owned())),
        _ => Err(Failure::Usage(format!("`{text}`: the gateway's URL begins with https://"))),
    }
}

fn bearer(flag: Option<PathBuf>, setting: Option<PathBuf>, url: &Url) -> Result<HeaderValue, Failure> {
    let from_file = |file: PathBuf| {
        let text = read(&file, TOKEN_BYTES_MAX)
            .map_err(|error| Failure::Usage(format!("cannot read the token file {}: {error}", file.display())))?;
        Ok(SecretString::from(text))
    };
    let variable = std::env::var("LEASEHOLD_TOKEN").ok().filter(|token| !token.trim().is_empty());
    let token = match (flag, variable, setting) {
        (Some(file), _, _) | (None, None, Some(file)) => from_file(file)?,
        (None, Some(token), _) => SecretString::from(token),
        (None, None, None) => super::login::token(url).ok_or_else(|| {
            let over = if super::login::ends(url).is_some() { "the sign-in is over" } else { "no token" };
            Failure::Usage(format!("{over}: run `leasehold login`, set LEASEHOLD_TOKEN, or use --token-file"))
        })?,
    };
    let text = Zeroizing::new(format!("Bearer {}", token.expose_secret().trim()));
    let mut value = HeaderValue::try_from(text.as_str())
        .map_err(|_| Failure::Usage("the token holds characters that no token has".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leaves_this_machine_only_over_https() {
        for good in ["https://a.example", "http://127.0.0.1:1", "http://[::1]:1", "http://localhost:8"] {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in
            ["http://a.example", "ftp://a", "a.example", "https://u:p@a.example", "http://127.0.0.1.evil.example"]
        {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_are_three_texts_and_nothing_else() {
        let file = Path::new("/etc/leasehold/client.kdl");
        let settings = Settings::parse(file, "url \"https://a\"\ntoken-file \"t\"\nca \"/ca.pem\"\n").unwrap();
        assert_eq!(settings.url.as_deref(), Some("https://a"));
        assert_eq!(settings.token_file.as_deref(), Some(Path::new("/etc/leasehold/t")));
        assert_eq!(settings.ca.as_deref(), Some(Path::new("/ca.pem")));
        for bad in
            ["url", "url \"a\" \"b\"", "url 1", "url x=\"a\"", "url \"a\"\nurl \"b\"", "token \"x\"", "a {", "url {"]
        {
            assert!(Settings::parse(file, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_prepared_call_prints_no_token() {
        let folder = std::env::temp_dir().join(format!("leasehold-client-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("token");
        std::fs::write(&file, "very-secret\n").unwrap();
        let connect = Connect { url: Some("http://127.0.0.1:1".to_owned()), token_file: Some(file), ca: None };
        let api = Api::new(&connect).unwrap();
        assert_eq!(api.bearer, "Bearer very-secret");
        assert!(!format!("{api:?} {connect:?}").contains("very-secret"));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
