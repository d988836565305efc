//! Attacks on identity: tokens that are wrong in one way each, and what right ones must mean.

use super::raw::{Raw, Refusal};
use super::{fresh, scene, token};
use serde_json::{Value, json};
use std::time::Duration;
use xtask::cast::{CODER, PAULA, PIPELINE, Person, TRIAGE};
use xtask::clock;
use xtask::idp::{AUDIENCE, CertifiedProvider, TENANT};
use xtask::scene::Choice;

/// A person of her own: what the gateway learns from these tokens must not end other tests' sessions.
const VERA: Person = Person { name: "Vera", oid: "b0000000-0000-4000-8000-000000000201", ..PAULA };

/// A token of a person with something laid over the request for it.
fn minted(person: &Person, over: &Value) -> String {
    let mut ask = person.claims();
    for (name, value) in over.as_object().unwrap() {
        ask[name] = value.clone();
    }
    scene().idp.mint(&ask).expect("the development identity provider mints what it is asked for")
}

fn login(token: &str) -> Result<Raw, Refusal> {
    Raw::login(scene().gateway.port, "ledger-dev", token)
}

/// Refused at login, and without a piece of the token in the refusal.
fn refused(what: &str, token: &str) -> Refusal {
    let refusal = login(token).map(|_| ()).expect_err(what);
    assert_eq!(refusal.severity, "FATAL", "{what}: {refusal:?}");
    // A control: a right token is let in at the same time, so it is the token's own fault.
    assert!(login(&super::token(&VERA)).is_ok(), "{what}: nobody is let in");
    for part in token.split('.').filter(|part| part.len() > 16) {
        assert!(!refusal.whole.contains(part), "{what}: the refusal repeats the token");
    }
    refusal
}

#[test]
fn a_right_token_of_either_version_is_accepted() {
    for version in [1, 2] {
        let mut raw = login(&minted(&VERA, &json!({ "version": version }))).expect("a right token");
        assert_eq!(raw.query("select 'in'").unwrap(), ["in"]);
    }
}

#[test]
fn forged_signatures_are_refused() {
    for signature in ["none", "hs256", "other-key", "corrupt"] {
        refused(signature, &minted(&VERA, &json!({ "signature": signature })));
    }
    let good = token(&VERA);
    let mut parts: Vec<&str> = good.split('.').collect();
    let other = minted(&TRIAGE, &json!({}));
    parts[1] = other.split('.').nth(1).unwrap();
    refused("claims of another token", &parts.join("."));
    refused("a signature cut off", good.rsplit_once('.').unwrap().0);
    refused("an empty signature", &format!("{}.", good.rsplit_once('.').unwrap().0));
    refused("nothing", "x");
}

#[test]
fn headers_that_steer_the_key_are_refused() {
    for header in [
        json!({ "kid": "../../../../etc/passwd" }),
        json!({ "kid": "' or '1'='1" }),
        json!({ "kid": null }),
        json!({ "alg": "RS512" }),
        json!({ "crit": ["exp"] }),
    ] {
        let what = header.to_string();
        if header.get("kid") == Some(&Value::Null) {
            // Without a key id the published keys may be tried, each with the algorithm of the policy: either is safe.
            drop(login(&minted(&VERA, &json!({ "header": header }))));
        } else {
            refused(&what, &minted(&VERA, &json!({ "header": header })));
        }
    }
    let other = json!({ "signature": "other-key", "header": { "jku": "http://127.0.0.1:1/keys" } });
    refused("a key that the token names", &minted(&VERA, &other));
}

#[test]
fn wrong_claims_are_refused() {
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970 fit")]
    let now = clock::unix_seconds() as i64;
    let other_tenant = "00000000-0000-4000-8000-00000000dead";
    let cases = [
        ("another audience", json!({ "audience": "api://something-else" })),
        ("the audience and another", json!({ "claims": { "aud": [AUDIENCE, "api://something-else"] } })),
        ("no audience", json!({ "claims": { "aud": null } })),
        ("another issuer", json!({ "claims": { "iss": format!("https://login.microsoftonline.com/{TENANT}/v2.0") } })),
        (
            "the issuer of the other version",
            json!({ "claims": { "iss": format!("{}/{TENANT}/", scene().idp.authority) } }),
        ),
        ("another tenant", json!({ "claims": { "tid": other_tenant } })),
        ("another tenant's issuer", json!({ "tid": other_tenant })),
        ("no tenant", json!({ "claims": { "tid": null } })),
        ("expired", json!({ "claims": { "exp": now - 600, "iat": now - 4000, "nbf": now - 4000 } })),
        ("no expiry", json!({ "claims": { "exp": null } })),
        ("not yet valid", json!({ "claims": { "nbf": now + 3000 } })),
        ("issued in the future", json!({ "claims": { "iat": now + 3000 } })),
        ("an expiry that is text", json!({ "claims": { "exp": "never" } })),
        ("no object id", json!({ "claims": { "oid": null } })),
        ("an object id that is none", json!({ "claims": { "oid": "paula" } })),
        ("an id token", json!({ "claims": { "scp": null, "azp": null, "nonce": "n" } })),
        (
            "a Graph token",
            json!({ "header": { "nonce": "abc" }, "claims": { "aud": "00000003-0000-0000-c000-000000000000" } }),
        ),
    ];
    for (what, over) in cases {
        refused(what, &minted(&VERA, &over));
    }
}

#[test]
fn missing_group_evidence_refuses() {
    refused("no groups claim", &minted(&VERA, &json!({ "groups": null })));
    let overage = json!({ "groups": null, "claims": {
        "_claim_names": { "groups": "src1" },
        "_claim_sources": { "src1": { "endpoint": "http://127.0.0.1:1/users/x/getMemberObjects" } },
    } });
    refused("groups that must be fetched", &minted(&VERA, &overage));
    refused("hasgroups", &minted(&VERA, &json!({ "groups": null, "claims": { "hasgroups": true } })));
    refused(
        "groups that are no list",
        &minted(&VERA, &json!({ "groups": { "b3f0a9d2-5a3c-4c44-9b8b-0e0d7a1c2f33": true } })),
    );
    // A token with too many groups to be real, but with all of them in it, is long and right.
    let mut many: Vec<String> = (0..180).map(|n| format!("{n:08x}-9999-4999-8999-999999999999")).collect();
    many.push(VERA.groups[0].to_owned());
    assert!(login(&minted(&VERA, &json!({ "groups": many }))).is_ok());
}

#[test]
fn a_group_of_another_kind_and_disjoint_groups_refuse() {
    refused(
        "a person with an agents' group",
        &VERA.groups.first().map(|own| minted(&VERA, &json!({ "groups": [own, CODER.groups[0]] }))).unwrap(),
    );
    refused("an agent with a people's group", &minted(&CODER, &json!({ "groups": [CODER.groups[0], VERA.groups[0]] })));
    let (contractors, dba) = ("c0c0c0c0-2222-4333-8444-555566667777", "aa11bb22-cc33-4d44-9e55-ff6677889900");
    refused("a contractor who is a dba", &minted(&VERA, &json!({ "groups": [VERA.groups[0], contractors, dba] })));
}

#[test]
fn who_has_no_grant_is_refused_whatever_they_are_called() {
    refused("no groups at all", &minted(&VERA, &json!({ "groups": [] })));
    refused("a service", &minted(&PIPELINE, &json!({})));
    refused(
        "a name that looks like a group",
        &minted(&VERA, &json!({ "groups": ["payments-dev"], "name": "payments-dev" })),
    );
}

#[test]
fn a_rotated_key_is_picked_up() {
    // On a scene of its own: the gateway asks for keys at a bounded rate, and forged key ids elsewhere use it up.
    let scene = fresh("rotation", &Choice::default()).unwrap();
    let login = |token: &str| Raw::login(scene.gateway.port, "ledger-dev", token);
    let before = scene.token(&VERA).unwrap();
    assert!(login(&before).is_ok(), "a token of the first key");
    scene.idp.rotate(true).unwrap();
    let after = scene.token(&VERA).unwrap();
    clock::wait_for("a token of the new key is accepted", Duration::from_mins(1), || Ok(login(&after).ok().map(drop)))
        .unwrap();
    assert!(login(&before).is_ok(), "a token of the old key, which is still published");
}

#[test]
fn tokens_of_a_certified_provider_are_understood() {
    let places = &scene().places;
    let package = places.root.join("tests/idp/node_modules/oidc-provider");
    assert!(package.exists(), "oidc-provider is missing: run `cargo xtask setup`");
    let client = |id: &str, person: &Person, over: Value| {
        let mut claims = json!({ "oid": person.oid, "tid": TENANT, "ver": "2.0", "azp": id, "groups": person.groups });
        for (name, value) in over.as_object().unwrap() {
            claims[name] = value.clone();
        }
        json!({ "client_id": id, "client_secret": "a-secret-of-tests", "claims": claims })
    };
    let clients = json!([
        client("paula", &VERA, json!({ "scp": "access" })),
        client("pipeline", &PIPELINE, json!({ "idtyp": "app" })),
    ]);
    let folder = places.target.join("live/certified-provider");
    std::fs::create_dir_all(&folder).unwrap();
    let provider = CertifiedProvider::start(places, &folder, &clients).unwrap();
    let choice = Choice { authority: Some(provider.authority.clone()), ..Choice::default() };
    let scene = fresh("certified", &choice).unwrap();
    let login = |client| {
        let token = provider.token(client, "a-secret-of-tests").unwrap();
        Raw::login(scene.gateway.port, "ledger-dev", &token)
    };
    assert_eq!(login("paula").expect("a right token").query("select 'in'").unwrap(), ["in"]);
    assert_eq!(login("pipeline").map(|_| ()).expect_err("no grant for a service").severity, "FATAL");
    let ours = token(&VERA);
    let other = Raw::login(scene.gateway.port, "ledger-dev", &ours).map(|_| ());
    assert_eq!(other.expect_err("a token of another issuer").severity, "FATAL");
}
