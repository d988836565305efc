//! Tokens against the verifier: a stand-in provider on loopback, every attack of the list, and key rotation.
#![cfg(test)]

mod attacks;
mod facts;
pub(crate) mod provider;
mod rotation;

use enforcer::core::identity::Identity;
use enforcer::identity::{Bounds, Refused, Verifier};
use lang::program::rules::Idp;
use lang::time::Timestamp;
use provider::{Key, Provider, now, program};
use secrecy::SecretString;
use std::time::Duration;

/// One provider with one key, and a verifier.
struct Bench {
    provider: Provider,
    key: Key,
    verifier: Verifier,
}

impl Bench {
    async fn new() -> Self {
        Self::bounded(Bounds { refresh_min: Duration::from_millis(20), ..Bounds::default() }).await
    }

    async fn bounded(bounds: Bounds) -> Self {
        let key = Key::rsa("k1");
        let verifier = Verifier::with_bounds(bounds).unwrap();
        Self { provider: Provider::start(&[&key]).await, key, verifier }
    }

    async fn verify(&self, token: &str) -> Result<Identity, Refused> {
        self.verify_with(vec![self.provider.entra(), self.provider.plain()], token, now()).await
    }

    async fn verify_with(&self, idps: Vec<Idp>, token: &str, at: Timestamp) -> Result<Identity, Refused> {
        let result = self.verifier.verify(&program(idps), &SecretString::from(token), at).await;
        if let Err(refused) = &result {
            assert!(refused.sentence.contains(": ") || refused.sentence.contains("only"), "a way out: {refused}");
            for part in token.split('.').filter(|part| part.len() > 8) {
                assert!(!refused.sentence.contains(part), "the token is repeated");
            }
        }
        result
    }

    async fn refusal(&self, token: &str) -> String {
        self.verify(token).await.expect_err("refused").sentence
    }
}
