//! Where a provider signs people in, and the exchange of a code or a refresh for a token. A token that comes from here
//! is believed only after the verifier has seen it, like any other.

use super::issuer::{self, Issuer};
use super::json::Object;
use super::{Refused, Verifier};
use lang::program::Program;
use lang::program::rules::Idp;
use secrecy::SecretString;

/// Bytes of a provider's answer.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A provider's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The exact issuer.
    pub issuer: String,
    /// Where a browser is sent.
    pub authorization: String,
    /// Where codes become tokens.
    pub token: String,
    /// Where a device asks for a code; none when the provider has no such flow.
    pub device: Option<String>,
    loopback: bool,
}

fn modern(idp: &Idp) -> Option<Issuer> {
    // Entra's v2 stands last.
    issuer::of(idp).pop()
}

impl Verifier {
    /// The endpoints of an idp of the policy, as its metadata names them.
    ///
    /// # Errors
    /// When there is no such idp, or its metadata cannot be had or trusted.
    pub async fn endpoints(&self, program: &Program, idp: &str) -> Result<Endpoints, Refused> {
        let idp = program.rules().idps.iter().find(|known| known.name == idp);
        let Some(issuer) = idp.and_then(modern) else {
            return Err(Refused::provider("the policy has no idp of the name that the gateway signs people in with"));
        };
        let failed = |why: &str| Refused::provider(format!("the identity provider's metadata cannot be used: {why}"));
        let fetched = self.0.fetch().body(&issuer.metadata, issuer.loopback, ANSWER_BYTES_MAX).await;
        let bytes = fetched.map_err(|error| failed(&error.to_string()))?;
        let metadata = Object::parse(&bytes).ok_or_else(|| failed("it is no JSON object"))?;
        if metadata.text("issuer") != Some(issuer.iss.as_str()) {
            return Err(failed("it names another issuer"));
        }
        let endpoint = |name: &str| {
            let url = metadata.text(name)?;
            issuer::reach(url).filter(|plain| !plain || issuer.loopback).map(|_| url.to_owned())
        };
        Ok(Endpoints {
            authorization: endpoint("authorization_endpoint").ok_or_else(|| failed("no authorization_endpoint"))?,
            token: endpoint("token_endpoint").ok_or_else(|| failed("no token_endpoint"))?,
            device: endpoint("device_authorization_endpoint"),
            loopback: issuer.loopback,
            issuer: issuer.iss,
        })
    }

    /// The access token that the provider gives for a form, with the error word when it gives none.
    ///
    /// # Errors
    /// When it cannot be reached or gives none.
    pub async fn exchange(&self, at: &Endpoints, form: &[(&str, &str)]) -> Result<SecretString, Refused> {
        let failed = |why: &str| Refused::provider(format!("the identity provider gave no token: {why}"));
        let posted = self.0.fetch().form(&at.token, at.loopback, form, ANSWER_BYTES_MAX).await;
        let bytes = posted.map_err(|error| failed(&error.to_string()))?;
        let answer = Object::parse(&bytes).ok_or_else(|| failed("its answer is no JSON object"))?;
        if let Some(token) = answer.text("access_token") {
            Ok(SecretString::from(token))
        } else {
            let word: String = answer.text("error").unwrap_or("no reason").chars().take(60).collect();
            let known = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b' ');
            Err(failed(if known { &word } else { "an unknown reason" }))
        }
    }
}
