//! From a bearer token to an [`Identity`]: the one place where a token is believed.
//!
//! A token is a JWT access token of one of the policy's identity providers, signed with an asymmetric key that the
//! provider publishes. Nothing here prints a token or any part of one, trusts a claim before the signature, or
//! follows a key that the token itself carries or names (`jku`, `x5u`, `jwk` are never read).

mod claims;
mod fetch;
pub(crate) mod issuer;
mod json;
mod jws;
mod keys;
mod sign_in;

pub use fetch::client;
pub use keys::Bounds;
pub use sign_in::Endpoints;

use crate::core::identity::Identity;
use issuer::Issuer;
use keys::Keys;
use lang::program::Program;
use lang::program::rules::Idp;
use lang::time::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

/// The longest token in bytes; a PostgreSQL password message holds no more either.
pub const TOKEN_BYTES_MAX: usize = 64 * 1024;

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Refused {
    /// What kind of refusal it is.
    pub cause: RefusedCause,
    /// One sentence with a way out, fit for a client; it never repeats any part of the token.
    pub sentence: String,
}

/// The kinds of refusals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefusedCause {
    /// The token is not acceptable and never will be.
    Token,
    /// The token was acceptable: a newer one of the same sign-in will do.
    Expired,
    /// The identity provider's keys cannot be had: the same token may do later.
    Provider,
}

impl Refused {
    fn token(sentence: impl Into<String>) -> Self {
        Self { cause: RefusedCause::Token, sentence: sentence.into() }
    }

    fn expired(sentence: impl Into<String>) -> Self {
        Self { cause: RefusedCause::Expired, sentence: sentence.into() }
    }

    fn provider(sentence: impl Into<String>) -> Self {
        Self { cause: RefusedCause::Provider, sentence: sentence.into() }
    }
}

/// Why there is no verifier.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// The HTTP client cannot be built.
    #[error("the HTTP client cannot be set up")]
    Http(#[from] reqwest::Error),
}

/// Verifies tokens; cheap to clone, and every clone shares one cache of keys.
#[derive(Clone, Debug)]
pub struct Verifier(Arc<Keys>);

impl Verifier {
    /// A verifier with the usual bounds and an empty cache.
    ///
    /// # Errors
    /// When TLS or the HTTP client cannot be set up.
    pub fn new() -> Result<Self, SetupError> {
        Self::with_bounds(Bounds::default())
    }

    /// A verifier with other bounds on the fetching of keys.
    ///
    /// # Errors
    /// When TLS or the HTTP client cannot be set up.
    pub fn with_bounds(bounds: Bounds) -> Result<Self, SetupError> {
        Ok(Self(Arc::new(Keys::new(bounds)?)))
    }

    /// Believes a token, or refuses it.
    ///
    /// The caller closes what the identity asserts with [`Program::subject`], which refuses missing group evidence
    /// where the policy needs some.
    ///
    /// # Errors
    /// With one sentence that says why, and a way out.
    pub async fn verify(&self, program: &Program, token: &SecretString, now: Timestamp) -> Result<Identity, Refused> {
        let token = jws::Token::parse(token.expose_secret())?;
        let (idp, issuer) = choose(&program.rules().idps, &token.unverified)?;
        token.check_algorithm(idp)?;
        let asked = tokio::time::Instant::now();
        let keys = self.0.of(&issuer, &token.header, now, &program.rules().idps).await?;
        // Keys may have been waited for: the token must be valid when it is believed.
        let waited_ms = i64::try_from(asked.elapsed().as_millis()).unwrap_or(i64::MAX);
        let now = Timestamp::from_unix_ms(now.unix_ms().saturating_add(waited_ms));
        if !keys.iter().any(|key| token.is_signed_by(key)) {
            return Err(Refused::token("the token's signature does not verify: sign in again and use the new token"));
        }
        claims::identity(idp, &issuer, &token.unverified, now)
    }
}

/// The idp whose issuer the token names; of several with one issuer the one that accepts the audience.
fn choose<'a>(idps: &'a [Idp], claims: &json::Object) -> Result<(&'a Idp, Issuer), Refused> {
    let Some(iss) = claims.text("iss") else {
        return Err(Refused::token("the token names no issuer: present an access token of a configured idp"));
    };
    let mut of_issuer: Vec<(&Idp, Issuer)> = Vec::new();
    for idp in idps {
        of_issuer.extend(issuer::of(idp).into_iter().filter(|issuer| issuer.iss == iss).map(|issuer| (idp, issuer)));
    }
    let fits = |(idp, issuer): &(&Idp, Issuer)| claims::check_audience(idp, issuer, claims).is_ok();
    let position = of_issuer.iter().position(fits).unwrap_or(0);
    of_issuer.into_iter().nth(position).ok_or_else(|| {
        Refused::token("no idp of the policy has this token's issuer: sign in with an account of a configured idp")
    })
}
