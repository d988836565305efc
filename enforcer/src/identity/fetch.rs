//! HTTPS for metadata and keys: bounded in time and size, no redirects, and plain HTTP on this machine only.

use super::SetupError;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;

/// Why a document could not be had. Goes to the log, never to a client.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The provider cannot be reached, or not in time.
    #[error("request failed")]
    Http(#[from] reqwest::Error),
    /// The provider answers, but not with the document.
    #[error("the answer's status is {0}")]
    Status(u16),
    /// The document is longer than anything honest.
    #[error("the answer is longer than {0} bytes")]
    TooLong(usize),
    /// The document says something else than it must.
    #[error("{0}")]
    Content(&'static str),
}

/// The two ways out.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    https: reqwest::Client,
    loopback: reqwest::Client,
}

impl Fetch {
    pub(super) fn new(timeout: Duration) -> Result<Self, SetupError> {
        let base = || {
            reqwest::Client::builder()
                .user_agent("leasehold")
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(timeout)
                .timeout(timeout)
                .pool_max_idle_per_host(1)
        };
        let tls = tls()?;
        Ok(Self {
            https: base().tls_backend_preconfigured(tls.clone()).https_only(true).build()?,
            loopback: base().tls_backend_preconfigured(tls).no_proxy().build()?,
        })
    }

    /// The body at `url`, at most `bytes_max` long.
    pub(super) async fn body(&self, url: &str, loopback: bool, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
        if super::issuer::reach(url).is_none_or(|plain| plain && !loopback) {
            return Err(FetchError::Content("the address is not one that may be asked"));
        }
        let client = if loopback { &self.loopback } else { &self.https };
        let answer = client.get(url).header("accept", "application/json").send().await?;
        if answer.status().as_u16() != 200 {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        read(answer, bytes_max).await
    }

    /// The answer to a form, at most `bytes_max` long; also when it is a refusal, whose body says why.
    pub(super) async fn form(
        &self,
        url: &str,
        loopback: bool,
        form: &[(&str, &str)],
        bytes_max: usize,
    ) -> Result<Vec<u8>, FetchError> {
        let Ok(address) = reqwest::Url::parse_with_params(url, form) else {
            return Err(FetchError::Content("the address is not one that may be asked"));
        };
        if super::issuer::reach(url).is_none_or(|plain| plain && !loopback) {
            return Err(FetchError::Content("the address is not one that may be asked"));
        }
        let client = if loopback { &self.loopback } else { &self.https };
        // A query and a form are written alike; the secret stays out of the address.
        let body = zeroize::Zeroizing::new(address.query().unwrap_or_default().to_owned());
        let call = client
            .post(url)
            .header("accept", "application/json")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body.as_bytes().to_vec());
        read(call.send().await?, bytes_max).await
    }
}

async fn read(mut answer: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Err(FetchError::TooLong(bytes_max));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A client with the system's authorities that follows no redirect.
///
/// # Errors
/// When TLS or the client cannot be set up.
pub fn client(timeout: Duration) -> Result<reqwest::Client, SetupError> {
    Ok(reqwest::Client::builder()
        .user_agent("leasehold")
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(timeout)
        .timeout(timeout)
        .tls_backend_preconfigured(tls()?)
        .build()?)
}

/// The system's authorities and one explicit provider, so that nothing depends on a process-wide default.
fn tls() -> Result<ClientConfig, SetupError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("no certificate authority of this system could be read: only a loopback idp can be reached");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
