//! What good tokens mean: subjects, kinds, groups, roles, names and multi-factor evidence.

use super::Bench;
use super::provider::{CLIENT_ID, GROUP, Key, NOW, OID, TENANT, now, with};
use enforcer::core::identity::{Identity, Subject};
use lang::program::SubjectKind;
use lang::program::rules::{IdpFlavour, Overage};
use lang::time::{Timestamp, Ttl};
use serde_json::{Value, json};

async fn read(bench: &Bench, claims: &Value) -> Identity {
    bench.verify(&bench.key.token(claims)).await.unwrap_or_else(|refused| panic!("{claims}: {refused}"))
}

#[tokio::test]
async fn both_versions_of_a_persons_token_give_one_subject() {
    let bench = Bench::new().await;
    let v2 = read(&bench, &bench.provider.person()).await;
    let v1 = read(&bench, &bench.provider.person_v1()).await;
    let expected = Subject { idp: "entra".into(), tenant: TENANT.into(), id: OID.into() };
    assert_eq!((&v2.subject, &v1.subject), (&expected, &expected));
    assert_eq!(v1.group_ids, v2.group_ids);
    assert_eq!(v2.group_ids.unwrap().into_iter().collect::<Vec<_>>(), [GROUP]);
    assert_eq!((v2.kind, v2.name.as_deref()), (SubjectKind::Human, Some("Ada Lovelace")));
    assert_eq!(v1.name.as_deref(), Some("ada@acme.example"));
    assert_eq!(v2.expires_at, Timestamp::from_unix(NOW + 3600));
    assert_eq!(v2.issued_at, Timestamp::from_unix(NOW - 60));
}

#[tokio::test]
async fn kinds_follow_from_the_tokens_shape() {
    let bench = Bench::new().await;
    let (person, application) = (bench.provider.person(), bench.provider.application());
    let cases = [
        (person.clone(), SubjectKind::Human),
        (application.clone(), SubjectKind::Service),
        (with(application.clone(), &json!({"idtyp": null})), SubjectKind::Service),
        (with(application.clone(), &json!({"roles": null})), SubjectKind::Service),
        (with(application.clone(), &json!({"xms_sub_fct": "3 11 9"})), SubjectKind::Agent),
        (with(application.clone(), &json!({"xms_act_fct": "11"})), SubjectKind::Agent),
        (with(application.clone(), &json!({"xms_act_fct": "111 1 1 12"})), SubjectKind::Service),
        (with(person.clone(), &json!({"xms_act_fct": "9 11"})), SubjectKind::Agent),
        (with(person, &json!({"roles": ["Reader"]})), SubjectKind::Human),
    ];
    for (claims, kind) in cases {
        let identity = read(&bench, &claims).await;
        assert_eq!(identity.kind, kind, "{claims}");
        assert_eq!(identity.name.is_some(), kind == SubjectKind::Human, "names are for people only");
    }
}

#[tokio::test]
async fn groups_are_evidence_or_absent_and_roles_are_values() {
    let bench = Bench::new().await;
    let person = bench.provider.person();
    assert_eq!(read(&bench, &with(person.clone(), &json!({"groups": null}))).await.group_ids, None);
    let none = read(&bench, &with(person.clone(), &json!({"groups": []}))).await.group_ids;
    assert_eq!(none.map(|ids| ids.len()), Some(0), "an empty list is evidence");
    let roles = read(&bench, &with(person.clone(), &json!({"roles": ["B", "A", "A"]}))).await.claim_values;
    assert_eq!(roles.into_iter().collect::<Vec<_>>(), ["A", "B"]);
    let other = read(&bench, &with(person, &json!({"hasgroups": false, "_claim_names": {"x": "src1"}}))).await;
    assert!(other.group_ids.is_some(), "an unrelated distributed claim changes nothing");
}

#[tokio::test]
async fn overage_through_graph_is_refused_by_name() {
    let bench = Bench::new().await;
    let mut idp = bench.provider.entra();
    if let IdpFlavour::Entra { overage, .. } = &mut idp.flavour {
        *overage = Overage::Graph;
    }
    let claims = with(bench.provider.person(), &json!({"groups": null, "hasgroups": true}));
    let refused = bench.verify_with(vec![idp], &bench.key.token(&claims), now()).await.unwrap_err();
    assert!(refused.sentence.contains("P0422"), "{refused}");
}

#[tokio::test]
async fn multi_factor_evidence_is_named_present_and_young() {
    let bench = Bench::new().await;
    let mut idp = bench.provider.entra();
    idp.claims.mfa = Some("amr".into());
    idp.mfa_value = Some("mfa".into());
    let mut aged = idp.clone();
    aged.mfa_age = Some(Ttl::from_seconds(600));
    let cases = [
        (json!({}), false, false),
        (json!({"amr": ["pwd", "mfa"]}), true, false),
        (json!({"amr": "mfa", "auth_time": NOW - 600}), true, true),
        (json!({"amr": ["mfa"], "auth_time": NOW - 602}), true, false),
        (json!({"amr": ["mfa"], "auth_time": NOW + 5}), true, false),
        (json!({"amr": ["mfa"], "auth_time": "now"}), true, false),
        (json!({"amr": ["MFA"], "auth_time": NOW}), false, false),
        (json!({"amr": "pwd mfa", "auth_time": NOW}), false, false),
        (json!({"amr": {"mfa": 1}, "auth_time": NOW}), false, false),
    ];
    for (change, plain, young) in cases {
        let token = bench.key.token(&with(bench.provider.person(), &change));
        assert_eq!(bench.verify_with(vec![idp.clone()], &token, now()).await.unwrap().mfa, plain, "{change}");
        assert_eq!(bench.verify_with(vec![aged.clone()], &token, now()).await.unwrap().mfa, young, "{change}");
    }
    let token = bench.key.token(&with(bench.provider.person(), &json!({"amr": ["mfa"]})));
    assert!(!bench.verify(&token).await.unwrap().mfa, "no claim is named: nothing proves it");
}

#[tokio::test]
async fn names_are_cleaned_and_bounded() {
    let bench = Bench::new().await;
    let read_name = async |name: &str| read(&bench, &with(bench.provider.person(), &json!({"name": name}))).await.name;
    assert_eq!(read_name("Ada\u{202e}\u{1b}[2J\r\nLovelace\u{0}").await.as_deref(), Some("Ada [2J Lovelace"));
    assert_eq!(read_name(&"ä".repeat(500)).await.map(|name| name.chars().count()), Some(128));
    assert_eq!(read_name(" \u{200b} ").await, None);
}

#[tokio::test]
async fn a_plain_provider_has_subjects_of_its_own() {
    let bench = Bench::new().await;
    let claims = json!({
        "iss": bench.provider.oidc(), "aud": ["account", CLIENT_ID], "sub": "auth0|ada", "scope": "openid access",
        "azp": "console", "iat": NOW, "exp": NOW + 60, "groups": ["/dev"],
    });
    let person = read(&bench, &claims).await;
    assert_eq!(person.subject.tenant, bench.provider.oidc());
    assert_eq!((person.subject.idp.as_str(), person.subject.id.as_str()), ("keycloak", "auth0|ada"));
    assert_eq!(person.kind, SubjectKind::Human);
    assert_eq!(person.group_ids, None, "names are no evidence about ids");
    for change in [
        json!({"azp": "auth0|ada"}),
        json!({"sub": "x@clients"}),
        json!({"gty": "client-credentials"}),
        json!({"idtyp": "app"}),
        json!({"scope": null, "client_id": "c"}),
        json!({"preferred_username": "service-account-ci"}),
    ] {
        assert_eq!(read(&bench, &with(claims.clone(), &change)).await.kind, SubjectKind::Service, "{change}");
    }
    for sub in ["", "ada lovelace", "ada\u{0}", "ädä", &"x".repeat(256)] {
        let sentence = bench.refusal(&bench.key.token(&with(claims.clone(), &json!({"sub": sub})))).await;
        assert!(sentence.contains("`sub`"), "{sub}: {sentence}");
    }
    let mut by_mail = bench.provider.plain();
    by_mail.claims.subject = Some("email".into());
    let refused = bench.verify_with(vec![by_mail], &bench.key.token(&claims), now()).await.unwrap_err();
    assert!(refused.sentence.contains("can change"), "{refused}");
}

#[tokio::test]
async fn every_kind_of_key_verifies_and_a_lone_key_needs_no_id() {
    let bench = Bench::new().await;
    for key in [Key::p256("e"), Key::ed25519("d")] {
        bench.provider.publish(&[&key]);
        let verifier = enforcer::identity::Verifier::new().unwrap();
        let program = super::program(vec![bench.provider.entra()]);
        let claims = bench.provider.person();
        assert!(verifier.verify(&program, &key.token(&claims).into(), now()).await.is_ok(), "{}", key.kid);
        let header = with(key.header(), &json!({"kid": null})).to_string();
        let token = key.sign(&header, &claims.to_string(), key.algorithm);
        assert!(verifier.verify(&program, &token.into(), now()).await.is_ok());
    }
    let (a, b) = (Key::ed25519("a"), Key::ed25519("b"));
    bench.provider.publish(&[&a, &b]);
    let verifier = enforcer::identity::Verifier::new().unwrap();
    let header = with(a.header(), &json!({"kid": null})).to_string();
    let token = a.sign(&header, &bench.provider.person().to_string(), a.algorithm);
    assert!(verifier.verify(&super::program(vec![bench.provider.entra()]), &token.into(), now()).await.is_err());
}
