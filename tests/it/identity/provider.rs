//! A stand-in identity provider on loopback: keys made on the spot, metadata and keys over HTTP, any token.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair, RsaPublicKeyComponents,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use lang::program::rules::{AbsentGroups, Claims, Idp, IdpFlavour, Overage, Rules};
use lang::program::{Program, SourceTable};
use lang::time::{Timestamp, Ttl};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

pub(crate) const TENANT: &str = "9d1f0000-0000-4000-8000-000000000001";
pub(crate) const AUDIENCE: &str = "api://access-gateway";
pub(crate) const CLIENT_ID: &str = "1111aaaa-0000-4000-8000-000000000001";
pub(crate) const OID: &str = "2222bbbb-0000-4000-8000-000000000002";
pub(crate) const GROUP: &str = "8c1e0f2a-71c5-4a58-9a63-0a2f6f1d7b10";
/// The instant of every test: nothing here reads a clock.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix(NOW)
}

/// A key pair, and its public half as a JWK.
pub(crate) struct Key {
    pub(crate) kid: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) signer: EncodingKey,
    pub(crate) jwk: Value,
}

impl Key {
    pub(crate) fn rsa(kid: &str) -> Self {
        let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let pkcs8 = pair.as_der().unwrap();
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(pkcs8.as_ref()));
        let public = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
        let (n, e) = (URL_SAFE_NO_PAD.encode(public.n), URL_SAFE_NO_PAD.encode(public.e));
        Self {
            kid: kid.to_owned(),
            algorithm: Algorithm::RS256,
            signer: EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
            jwk: json!({"kty": "RSA", "use": "sig", "kid": kid, "n": n, "e": e}),
        }
    }

    pub(crate) fn p256(kid: &str) -> Self {
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        Self {
            kid: kid.to_owned(),
            algorithm: Algorithm::ES256,
            signer: EncodingKey::from_ec_der(pkcs8.as_ref()),
            jwk: json!({"kty": "EC", "crv": "P-256", "kid": kid, "alg": "ES256", "x": x, "y": y}),
        }
    }

    pub(crate) fn ed25519(kid: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        Self {
            kid: kid.to_owned(),
            algorithm: Algorithm::EdDSA,
            signer: EncodingKey::from_ed_der(pkcs8.as_ref()),
            jwk: json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": URL_SAFE_NO_PAD.encode(pair.public_key())}),
        }
    }

    pub(crate) fn header(&self) -> Value {
        json!({"alg": format!("{:?}", self.algorithm), "kid": self.kid, "typ": "JWT"})
    }

    /// A token of exactly these claims under the key's usual header.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.sign(&self.header().to_string(), &claims.to_string(), self.algorithm)
    }

    /// A token of exactly these texts.
    pub(crate) fn sign(&self, header: &str, claims: &str, algorithm: Algorithm) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &self.signer, algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

#[derive(Default)]
struct Served {
    documents: BTreeMap<String, String>,
    requests: BTreeMap<String, usize>,
    broken: bool,
}

/// The provider: an authority with the two issuers of one tenant, and a plain issuer.
#[derive(Clone)]
pub(crate) struct Provider {
    pub(crate) authority: String,
    served: Arc<Mutex<Served>>,
}

impl Provider {
    pub(crate) async fn start(keys: &[&Key]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = format!("http://{}", listener.local_addr().unwrap());
        let provider = Self { authority, served: Arc::default() };
        provider.publish(keys);
        let served = Arc::clone(&provider.served);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                        if stream.read_buf(&mut head).await.unwrap_or(0) == 0 {
                            return;
                        }
                    }
                    let path = String::from_utf8_lossy(&head).split(' ').nth(1).unwrap_or("").to_owned();
                    let answer = answer(&mut served.lock().unwrap(), &path);
                    stream.write_all(answer.as_bytes()).await.ok();
                });
            }
        });
        provider
    }

    /// Replaces the published keys.
    pub(crate) fn publish(&self, keys: &[&Key]) {
        let jwks = json!({"keys": keys.iter().map(|key| &key.jwk).collect::<Vec<_>>()}).to_string();
        let mut served = self.served.lock().unwrap();
        for issuer in [self.v1(), self.v2(), self.oidc()] {
            let base = issuer.trim_end_matches('/');
            let path = base.strip_prefix(&self.authority).unwrap();
            let metadata = json!({"issuer": issuer, "jwks_uri": format!("{base}/keys")}).to_string();
            served.documents.insert(format!("{path}/.well-known/openid-configuration"), metadata);
            served.documents.insert(format!("{path}/keys"), jwks.clone());
        }
    }

    /// Replaces one document.
    pub(crate) fn serve(&self, path: &str, document: &str) {
        self.served.lock().unwrap().documents.insert(path.to_owned(), document.to_owned());
    }

    /// Answers every request with an error, or no longer.
    pub(crate) fn broken(&self, broken: bool) {
        self.served.lock().unwrap().broken = broken;
    }

    /// How often keys were asked for.
    pub(crate) fn key_requests(&self) -> usize {
        self.requests("/keys")
    }

    /// How often metadata was asked for.
    pub(crate) fn metadata_requests(&self) -> usize {
        self.requests("/openid-configuration")
    }

    fn requests(&self, end: &str) -> usize {
        let served = self.served.lock().unwrap();
        served.requests.iter().filter(|(path, _)| path.ends_with(end)).map(|(_, count)| count).sum()
    }

    pub(crate) fn v1(&self) -> String {
        format!("{}/{TENANT}/", self.authority)
    }

    pub(crate) fn v2(&self) -> String {
        format!("{}/{TENANT}/v2.0", self.authority)
    }

    pub(crate) fn oidc(&self) -> String {
        format!("{}/realm", self.authority)
    }

    pub(crate) fn entra(&self) -> Idp {
        Idp {
            name: "entra".to_owned(),
            flavour: IdpFlavour::Entra {
                tenant: TENANT.to_owned(),
                authority: Some(self.authority.clone()),
                overage: Overage::Refuse,
                absent_groups: AbsentGroups::Refuse,
            },
            audiences: vec![CLIENT_ID.to_owned(), AUDIENCE.to_owned()],
            claims: Claims::default(),
            mfa_value: None,
            mfa_age: None,
            algorithms: Vec::new(),
            leeway: Ttl::ZERO,
        }
    }

    pub(crate) fn plain(&self) -> Idp {
        Idp { name: "keycloak".to_owned(), flavour: IdpFlavour::Oidc { issuer: self.oidc() }, ..self.entra() }
    }

    /// Claims of a person's access token of version 2.
    pub(crate) fn person(&self) -> Value {
        json!({
            "iss": self.v2(), "aud": CLIENT_ID, "tid": TENANT, "oid": OID, "sub": "pairwise-a", "ver": "2.0",
            "azp": "3333cccc-0000-4000-8000-000000000003", "scp": "access", "name": "Ada Lovelace",
            "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 3600, "groups": [GROUP],
        })
    }

    /// Claims of the same person's access token of version 1.
    pub(crate) fn person_v1(&self) -> Value {
        json!({
            "iss": self.v1(), "aud": format!("{AUDIENCE}/"), "tid": TENANT, "oid": OID.to_uppercase(),
            "sub": "pairwise-b", "ver": "1.0", "appid": "3333cccc-0000-4000-8000-000000000003", "scp": "access",
            "unique_name": "ada@acme.example", "iat": NOW - 60, "nbf": NOW - 60, "exp": NOW + 3600,
            "groups": [GROUP.to_uppercase()],
        })
    }

    /// Claims of an application's access token.
    pub(crate) fn application(&self) -> Value {
        with(self.person(), &json!({"scp": null, "name": null, "idtyp": "app", "roles": ["Deploy"], "groups": []}))
    }
}

fn answer(served: &mut Served, path: &str) -> String {
    *served.requests.entry(path.to_owned()).or_default() += 1;
    let document = served.documents.get(path).filter(|_| !served.broken);
    let (status, body) = document.map_or(("503 Service Unavailable", ""), |body| ("200 OK", body));
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// `claims` with members replaced, or removed where `changes` says null.
pub(crate) fn with(mut claims: Value, changes: &Value) -> Value {
    let members = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
    claims
}

pub(crate) fn program(idps: Vec<Idp>) -> Program {
    let rules = Rules { name: "t".to_owned(), timezone: "UTC".to_owned(), idps, ..Rules::default() };
    Program::new(rules, SourceTable::default()).unwrap()
}
