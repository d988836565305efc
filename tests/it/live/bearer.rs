//! The login by OAUTHBEARER with a real libpq 18: discovery, then the token.

use super::{scene, token};
use serde_json::Value;
use std::process::Command;
use xtask::cast::PAULA;
use xtask::command::must;

/// What libpq does, with a hook that gives it this token.
fn libpq(idp: &str, token: &str) -> Value {
    let scene = scene();
    let python = scene.places.python();
    assert!(python.exists(), "{} is missing: run `cargo xtask setup`", python.display());
    let conninfo = format!(
        "host=127.0.0.1 port={} dbname=ledger-dev user=me sslmode=require connect_timeout=20 require_auth=oauth \
         options='-c leasehold.idp={idp}' oauth_issuer={} oauth_client_id=psql",
        scene.gateway.port,
        issuer()
    );
    let mut command = Command::new(python);
    command.arg("-B").arg(scene.places.root.join("tests/live/python/bearer.py"));
    // The development identity provider is reached over plain HTTP, which libpq wants to be told.
    command.env("CONNINFO", conninfo).env("TOKEN", token).env("PGOAUTHDEBUG", "UNSAFE");
    let ran = must(&mut command).expect("libpq 18 runs");
    serde_json::from_str(&ran.out).expect("the script says what happened")
}

fn issuer() -> String {
    format!("{}/{}/v2.0", scene().idp.authority, xtask::idp::TENANT)
}

#[test]
fn libpq_18_finds_out_where_tokens_come_from_and_logs_in_with_one() {
    let said = libpq("entra", &token(&PAULA));
    assert!(said["version"].as_u64() >= Some(180_000), "{said}");
    assert_eq!(said["row"], "in", "{said}");
    let asked = &said["asked"][0];
    assert_eq!(asked[0], format!("{}/.well-known/openid-configuration", issuer()), "{said}");
    assert_eq!(asked[1], format!("{}/.default", xtask::idp::AUDIENCE), "{said}");
}

#[test]
fn libpq_18_is_told_why_a_token_is_refused() {
    let other = token(&PAULA).replace('.', "");
    let said = libpq("entra", &other);
    assert!(said["row"].is_null() && said["error"].as_str().is_some_and(|text| text.contains("token")), "{said}");
    assert!(!said["error"].as_str().unwrap().contains(&other), "{said}");
    let said = libpq("nobody", &token(&PAULA));
    assert!(said["error"].as_str().is_some_and(|text| text.contains("names no identity provider")), "{said}");
}
