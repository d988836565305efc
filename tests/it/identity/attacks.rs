//! Tokens that must be refused, each one change away from a good one.

use super::Bench;
use super::provider::{AUDIENCE, CLIENT_ID, GROUP, Key, NOW, TENANT, now, with};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use enforcer::identity::RefusedCause;
use jsonwebtoken::{Algorithm, EncodingKey};
use lang::time::{Timestamp, Ttl};
use serde_json::{Value, json};

#[tokio::test]
async fn one_wrong_claim_refuses() {
    let bench = Bench::new().await;
    let good = bench.provider.person();
    assert!(bench.verify(&bench.key.token(&good)).await.is_ok());
    let cases: &[(Value, &str)] = &[
        (json!({"iss": "https://login.microsoftonline.com/x/v2.0"}), "issuer"),
        (json!({"iss": format!("{}/", bench.provider.v2())}), "issuer"),
        (json!({"iss": bench.provider.v2().to_uppercase()}), "issuer"),
        (json!({"iss": [bench.provider.v2()]}), "issuer"),
        (json!({"iss": null}), "issuer"),
        (json!({"aud": "api://other"}), "audience"),
        (json!({"aud": "API://access-gateway"}), "audience"),
        (json!({"aud": format!("{AUDIENCE}//")}), "audience"),
        (json!({"aud": format!("{AUDIENCE} ")}), "audience"),
        (json!({"aud": [CLIENT_ID, "api://other"]}), "audience"),
        (json!({"aud": []}), "audience"),
        (json!({"aud": {"x": CLIENT_ID}}), "audience"),
        (json!({"aud": null}), "audience"),
        (json!({"tid": "00000000-0000-4000-8000-000000000000"}), "tenant"),
        (json!({"tid": null}), "tenant"),
        (json!({"tid": [TENANT]}), "tenant"),
        (json!({"exp": NOW}), "expired"),
        (json!({"exp": null}), "exp"),
        (json!({"exp": (NOW + 3600).to_string()}), "exp"),
        (json!({"exp": 1e30}), "exp"),
        (json!({"exp": i64::MAX}), "exp"),
        (json!({"exp": -1}), "exp"),
        (json!({"nbf": NOW + 1}), "valid only from"),
        (json!({"iat": NOW + 1}), "valid only from"),
        (json!({"iat": null}), "iat"),
        (json!({"nbf": "now"}), "nbf"),
        (json!({"ver": "1.0"}), "version"),
        (json!({"oid": null}), "oid"),
        (json!({"oid": "ada@acme.example"}), "oid"),
        (json!({"oid": 7}), "oid"),
        (json!({"scp": null}), "neither a delegated scope"),
        (json!({"scp": " "}), "neither a delegated scope"),
        (json!({"scp": 7}), "scp"),
        (json!({"idtyp": "app"}), "both"),
        (json!({"idtyp": "device"}), "idtyp"),
        (json!({"groups": ["not-an-id"]}), "by name"),
        (json!({"groups": GROUP}), "not a list"),
        (json!({"groups": [7]}), "groups"),
        (json!({"groups": null, "_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {}}}), "too many"),
        (json!({"_claim_names": {"groups": "src1"}}), "too many"),
        (json!({"groups": null, "hasgroups": true}), "too many"),
        (json!({"groups": null, "hasgroups": "true"}), "too many"),
        (json!({"roles": {"a": 1}}), "roles"),
        (json!({"xms_act_fct": [11]}), "xms_act_fct"),
    ];
    for (change, says) in cases {
        let sentence = bench.refusal(&bench.key.token(&with(good.clone(), change))).await;
        assert!(sentence.contains(says), "{change}: {sentence}");
    }
}

#[tokio::test]
async fn expiry_is_exact_and_leeway_is_the_policys() {
    let bench = Bench::new().await;
    let token = bench.key.token(&with(bench.provider.person(), &json!({"exp": NOW + 10})));
    let at = |ms: i64| Timestamp::from_unix_ms((NOW + 10) * 1000 + ms);
    let strict = bench.provider.entra();
    assert!(bench.verify_with(vec![strict.clone()], &token, at(-5_000)).await.is_ok());
    // Half a second: what the verification itself takes counts.
    assert!(bench.verify_with(vec![strict.clone()], &token, at(-500)).await.is_ok());
    let refused = bench.verify_with(vec![strict.clone()], &token, at(0)).await.unwrap_err();
    assert_eq!(refused.cause, RefusedCause::Expired);
    let mut lenient = strict;
    lenient.leeway = Ttl::from_seconds(30);
    assert!(bench.verify_with(vec![lenient.clone()], &token, at(29_500)).await.is_ok());
    assert!(bench.verify_with(vec![lenient], &token, at(30_000)).await.is_err());
}

#[tokio::test]
async fn unsigned_and_shared_secret_tokens_are_refused() {
    let bench = Bench::new().await;
    let claims = bench.provider.person().to_string();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    for alg in ["none", "None", "nOnE", "", "HS256", "HS384", "HS512", "RS1", "rs256", "ES256K"] {
        let header = json!({"alg": alg, "kid": "k1", "typ": "JWT"}).to_string();
        for signature in ["", "AAAA"] {
            let sentence = bench.refusal(&format!("{}.{}.{signature}", encode(&header), encode(&claims))).await;
            assert!(sentence.contains("accepted algorithm"), "{alg}: {sentence}");
        }
    }
    // The classic confusion: the public modulus as the secret of an HMAC.
    let header = json!({"alg": "HS256", "kid": "k1", "typ": "JWT"}).to_string();
    let modulus = URL_SAFE_NO_PAD.decode(bench.key.jwk["n"].as_str().unwrap()).unwrap();
    let message = format!("{}.{}", encode(&header), encode(&claims));
    let secret = EncodingKey::from_secret(&modulus);
    let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &secret, Algorithm::HS256).unwrap();
    assert!(bench.refusal(&format!("{message}.{mac}")).await.contains("accepted algorithm"));
}

#[tokio::test]
async fn the_key_and_the_algorithm_must_belong_together() {
    let bench = Bench::new().await;
    let (rsa, ec) = (&bench.key, Key::p256("e1"));
    bench.provider.publish(&[rsa, &ec]);
    let claims = bench.provider.person().to_string();
    assert!(bench.verify(&ec.sign(&ec.header().to_string(), &claims, Algorithm::ES256)).await.is_ok());
    // An EC signature that names the RSA key, and the reverse.
    let header = json!({"alg": "ES256", "kid": "k1"}).to_string();
    assert!(bench.verify(&ec.sign(&header, &claims, Algorithm::ES256)).await.is_err());
    let header = json!({"alg": "RS256", "kid": "e1"}).to_string();
    assert!(bench.verify(&rsa.sign(&header, &claims, Algorithm::RS256)).await.is_err());
    // A key that says which algorithm it is for is used for no other.
    let mut pinned = Key::rsa("p1");
    pinned.jwk["alg"] = json!("RS512");
    bench.provider.publish(&[&pinned]);
    let verifier = enforcer::identity::Verifier::new().unwrap();
    let program = super::program(vec![bench.provider.entra()]);
    let token = pinned.token(&bench.provider.person());
    assert!(verifier.verify(&program, &token.into(), now()).await.is_err());
    // An idp may list fewer algorithms.
    let mut only = bench.provider.entra();
    only.algorithms = vec!["PS256".to_owned()];
    let refused = bench.verify_with(vec![only], &bench.key.token(&bench.provider.person()), now()).await.unwrap_err();
    assert!(refused.sentence.contains("PS256"), "{refused}");
}

#[tokio::test]
async fn keys_that_the_token_brings_or_points_to_are_not_used() {
    let bench = Bench::new().await;
    let mine = Key::rsa("mine");
    let claims = bench.provider.person().to_string();
    let elsewhere = format!("{}/mine/keys", bench.provider.authority);
    bench.provider.serve("/mine/keys", &json!({"keys": [mine.jwk]}).to_string());
    let headers = [
        json!({"alg": "RS256", "kid": "mine", "jwk": mine.jwk}),
        json!({"alg": "RS256", "kid": "mine", "jku": elsewhere}),
        json!({"alg": "RS256", "kid": "../../mine/keys"}),
        json!({"alg": "RS256", "kid": "../../../../etc/passwd"}),
        json!({"alg": "RS256", "kid": "k1\u{0}"}),
        json!({"alg": "RS256", "kid": "k1' OR '1'='1"}),
        json!({"alg": "RS256", "kid": ""}),
        json!({"alg": "RS256", "kid": ["k1"]}),
        json!({"alg": "RS256", "kid": "k".repeat(300)}),
        json!({"alg": "RS256", "kid": "k1"}),
    ];
    for header in headers {
        let refused = bench.verify(&mine.sign(&header.to_string(), &claims, Algorithm::RS256)).await;
        assert!(refused.is_err(), "{header}");
    }
    assert!(bench.verify(&bench.key.token(&bench.provider.person())).await.is_ok(), "the issuer's own key still works");
}

#[tokio::test]
async fn graph_tokens_and_header_extensions_are_refused_with_the_reason() {
    let bench = Bench::new().await;
    let claims = bench.provider.person().to_string();
    for (extra, says) in [
        (json!({"nonce": "abc"}), "Microsoft Graph"),
        (json!({"crit": ["exp"]}), "extensions"),
        (json!({"zip": "DEF"}), "extensions"),
        (json!({"cty": "JWT"}), "extensions"),
        (json!({"typ": "id_token+jwt"}), "no access token"),
        (json!({"typ": "dpop+jwt"}), "no access token"),
        (json!({"typ": 7}), "no access token"),
    ] {
        let header = with(bench.key.header(), &extra).to_string();
        let sentence = bench.refusal(&bench.key.sign(&header, &claims, Algorithm::RS256)).await;
        assert!(sentence.contains(says), "{extra}: {sentence}");
    }
    let header = with(bench.key.header(), &json!({"typ": "at+JWT"})).to_string();
    assert!(bench.verify(&bench.key.sign(&header, &claims, Algorithm::RS256)).await.is_ok());
}

#[tokio::test]
async fn id_tokens_are_refused_even_with_roles() {
    let bench = Bench::new().await;
    let v2 = bench.provider.person();
    let v1 = bench.provider.person_v1();
    let plain = json!({"iss": bench.provider.oidc(), "aud": CLIENT_ID, "sub": "ada", "iat": NOW, "exp": NOW + 60});
    for claims in [
        with(v2.clone(), &json!({"azp": null, "scp": null, "roles": ["Admin"]})),
        with(v2.clone(), &json!({"azp": null})),
        with(v2.clone(), &json!({"nonce": "n"})),
        with(v2, &json!({"at_hash": "h"})),
        with(v1, &json!({"appid": null})),
        with(plain.clone(), &json!({"roles": ["Admin"]})),
        with(plain, &json!({"scope": "x", "nonce": "n"})),
    ] {
        let sentence = bench.refusal(&bench.key.token(&claims)).await;
        assert!(sentence.contains("id token"), "{claims}: {sentence}");
    }
}

#[tokio::test]
async fn a_token_has_one_reading() {
    let bench = Bench::new().await;
    let claims = bench.provider.person().to_string();
    let header = bench.key.header().to_string();
    let double = |text: &str, member: &str| text.replacen('{', &format!("{{{member},"), 1);
    let sign = |header: &str, claims: &str| bench.key.sign(header, claims, Algorithm::RS256);
    for token in [
        sign(&header, &double(&claims, r#""iss":"x""#)),
        sign(&header, &double(&claims, r#""\u0065xp":1"#)),
        sign(&header, &double(&claims, r#""x":{"y":1,"y":2}"#)),
        sign(&double(&header, r#""alg":"none""#), &claims),
        sign(&header, "[]"),
        sign(&header, "not json"),
        sign(&format!("{header} "), &claims) + "=",
        format!(" {}", sign(&header, &claims)),
        format!("{}\n", sign(&header, &claims)),
        format!("{}.x.y", sign(&header, &claims)),
        format!("{}.x", sign(&header, &claims)),
        sign(&header, &claims).replace('.', ""),
        "a".repeat(70_000),
        "é.é.é".to_owned(),
        "..".to_owned(),
        String::new(),
    ] {
        assert!(bench.verify(&token).await.is_err(), "{token:.80}");
    }
}

#[tokio::test]
async fn every_flipped_byte_of_a_token_refuses() {
    let bench = Bench::new().await;
    let token = bench.key.token(&bench.provider.person());
    assert!(bench.verify(&token).await.is_ok());
    let program = super::program(vec![bench.provider.entra()]);
    for at in (0..token.len()).step_by(7) {
        let mut bytes = token.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(bench.verifier.verify(&program, &changed.into(), now()).await.is_err(), "byte {at}");
    }
}
