//! Keys that rotate, providers that fail or lie, and strangers who make the gateway fetch.

use super::Bench;
use super::provider::{Key, NOW, Provider, TENANT, now, program, with};
use enforcer::identity::{Bounds, RefusedCause, Verifier};
use lang::time::Timestamp;
use serde_json::json;
use std::time::Duration;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix(NOW + seconds)
}

/// Few enough for a test to wait for.
fn quick() -> Bounds {
    Bounds { refresh_min: Duration::from_millis(100), ..Bounds::default() }
}

#[tokio::test]
async fn a_rotated_key_is_found_and_a_withdrawn_one_is_forgotten() {
    let bench = Bench::bounded(quick()).await;
    let idps = || vec![bench.provider.entra()];
    let claims = with(bench.provider.person(), &json!({"exp": NOW + 100_000}));
    let old = bench.key.token(&claims);
    assert!(bench.verify_with(idps(), &old, now()).await.is_ok());
    let next = Key::p256("k2");
    bench.provider.publish(&[&next]);
    assert!(bench.verify_with(idps(), &old, at(5)).await.is_ok(), "its key was not yet seen to be withdrawn");
    // A fetch was made just now: the token waits for the next one instead of being refused.
    assert!(bench.verify_with(idps(), &next.token(&claims), at(5)).await.is_ok());
    assert!(bench.verify_with(idps(), &old, at(5)).await.is_err(), "its key is withdrawn");
    assert_eq!(bench.provider.key_requests(), 3);
}

#[tokio::test]
async fn strangers_cause_one_fetch_and_delay_nobody_who_is_known() {
    let bench = Bench::bounded(Bounds { refresh_min: Duration::from_secs(1), ..Bounds::default() }).await;
    let good = bench.key.token(&bench.provider.person());
    assert!(bench.verify(&good).await.is_ok());
    let stranger = Key::ed25519("unknown");
    let strangers: Vec<_> = (0..200)
        .map(|n| {
            let header = json!({"alg": "EdDSA", "kid": format!("unknown-{n}")}).to_string();
            let token = stranger.sign(&header, &bench.provider.person().to_string(), stranger.algorithm);
            let (verifier, program) = (bench.verifier.clone(), program(vec![bench.provider.entra()]));
            tokio::spawn(async move { verifier.verify(&program, &token.into(), now()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(bench.verify(&good).await.is_ok());
    assert_eq!(bench.provider.key_requests(), 1, "the strangers still wait");
    // A rotation among them is seen with the one fetch that they share.
    let next = Key::p256("k2");
    bench.provider.publish(&[&bench.key, &next]);
    assert!(bench.verify(&next.token(&bench.provider.person())).await.is_ok());
    for stranger in strangers {
        assert!(stranger.await.unwrap().is_err());
    }
    assert_eq!(bench.provider.key_requests(), 2);
}

#[tokio::test]
async fn a_provider_that_fails_is_not_asked_by_every_token() {
    let bench = Bench::bounded(Bounds::default()).await;
    bench.provider.broken(true);
    let token = bench.key.token(&bench.provider.person());
    for _ in 0..20 {
        let refused = bench.verify(&token).await.unwrap_err();
        assert_eq!(refused.cause, RefusedCause::Provider);
    }
    assert_eq!(bench.provider.metadata_requests(), 1);
}

#[tokio::test]
async fn concurrent_callers_share_one_fetch() {
    let bench = Bench::new().await;
    let token = bench.key.token(&bench.provider.person());
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let (verifier, program) = (bench.verifier.clone(), program(vec![bench.provider.entra()]));
            let token = token.clone();
            tokio::spawn(async move { verifier.verify(&program, &token.into(), now()).await })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().is_ok());
    }
    assert_eq!(bench.provider.key_requests(), 1);
}

#[tokio::test]
async fn stale_keys_serve_for_a_bounded_time() {
    let bench = Bench::bounded(quick()).await;
    let idps = || vec![bench.provider.entra()];
    let token = bench.key.token(&with(bench.provider.person(), &json!({"exp": NOW + 1_000_000})));
    assert!(bench.verify_with(idps(), &token, now()).await.is_ok());
    bench.provider.broken(true);
    assert!(bench.verify_with(idps(), &token, at(86_399)).await.is_ok(), "stale, but within a day");
    let refused = bench.verify_with(idps(), &token, at(86_400)).await.unwrap_err();
    assert_eq!(refused.cause, RefusedCause::Provider);
    bench.provider.broken(false);
    tokio::time::sleep(quick().refresh_min).await;
    assert!(bench.verify_with(idps(), &token, at(86_430)).await.is_ok());
    let requests = bench.provider.key_requests();
    assert!(bench.verify_with(idps(), &token, at(0)).await.is_ok());
    assert_eq!(bench.provider.key_requests(), requests + 1, "the clock was set back: the keys' age is unknown");
}

#[tokio::test]
async fn a_provider_that_lies_is_not_believed() {
    let key = Key::ed25519("k1");
    let path = format!("/{TENANT}/v2.0");
    let metadata = format!("{path}/.well-known/openid-configuration");
    let keys = format!("{path}/keys");
    let huge = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(2 << 20));
    let mut encryption = key.jwk.clone();
    encryption["use"] = json!("enc");
    let mut foreign = key.jwk.clone();
    foreign["issuer"] = json!("https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0");
    let mut signing = key.jwk.clone();
    signing["key_ops"] = json!(["sign"]);
    let lies = |provider: &Provider| {
        let (iss, base) = (provider.v2(), provider.authority.clone());
        vec![
            (metadata.clone(), json!({"issuer": provider.v1(), "jwks_uri": format!("{iss}/keys")}).to_string()),
            (metadata.clone(), json!({"issuer": iss, "jwks_uri": "file:///etc/passwd"}).to_string()),
            (metadata.clone(), json!({"issuer": iss, "jwks_uri": "http://127.0.0.1:1/keys"}).to_string()),
            (metadata.clone(), format!("{{\"issuer\":\"{iss}\",\"jwks_uri\":\"{base}\",\"jwks_uri\":\"{iss}/keys\"}}")),
            (metadata.clone(), "[]".to_owned()),
            (keys.clone(), json!({"keys": []}).to_string()),
            (keys.clone(), json!({"keys": [encryption]}).to_string()),
            (keys.clone(), json!({"keys": [foreign]}).to_string()),
            (keys.clone(), json!({"keys": [signing]}).to_string()),
            (keys.clone(), json!({"keys": [{"kty": "oct", "kid": "k1", "k": "AAAA"}]}).to_string()),
            (keys.clone(), json!({"keys": "k1"}).to_string()),
            (keys.clone(), huge.clone()),
            (keys.clone(), "<html>".to_owned()),
        ]
    };
    let provider = Provider::start(&[&key]).await;
    let token = key.token(&provider.person());
    for (path, document) in lies(&provider) {
        provider.publish(&[&key]);
        provider.serve(&path, &document);
        let verifier = Verifier::new().unwrap();
        let refused =
            verifier.verify(&program(vec![provider.entra()]), &token.clone().into(), now()).await.unwrap_err();
        assert_eq!(refused.cause, RefusedCause::Provider, "{document:.120}");
    }
    provider.publish(&[&key]);
    let verifier = Verifier::new().unwrap();
    assert!(verifier.verify(&program(vec![provider.entra()]), &token.into(), now()).await.is_ok());
}

#[tokio::test]
async fn one_tenants_key_does_not_serve_an_issuer_of_another_idp() {
    let bench = Bench::new().await;
    let elsewhere = Key::rsa("k1");
    let other = Provider::start(&[&elsewhere]).await;
    let idps = || vec![bench.provider.entra(), other.plain()];
    // The other provider signs a token that names this one's issuer and key id.
    let forged = elsewhere.token(&bench.provider.person());
    assert!(bench.verify_with(idps(), &forged, now()).await.is_err());
    assert!(bench.verify_with(idps(), &bench.key.token(&bench.provider.person()), now()).await.is_ok());
}
