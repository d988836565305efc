//! From the claims of a verified token to an [`Identity`].
//!
//! Every claim has one type. What is missing, doubtful or contradictory refuses: a forbid keyed on a group must
//! never fail to match because a claim was read generously.

use super::Refused;
use super::issuer::{Dialect, Issuer};
use super::json::{Object, texts};
use crate::core::identity::{Identity, Subject, SubjectKind};
use lang::program::rules::{Idp, IdpFlavour, Overage};
use lang::time::{Timestamp, Ttl};
use serde_json::Value;
use std::collections::BTreeSet;

const NAME_CHARACTERS_MAX: usize = 128;
const SUBJECT_BYTES_MAX: usize = 255;
/// The facet that Entra gives to the identity of an AI agent.
const AGENT_FACET: &str = "11";
/// 9999-12-31: what a date may be at most, so that arithmetic on it stays exact.
const NUMERIC_DATE_MAX: i64 = 253_402_300_799;
/// Claims that people can change, or that other people can have had before.
const NOT_SUBJECTS: &[&str] = &["email", "preferred_username", "upn", "unique_name", "name", "given_name"];

/// Judges the claims of a token whose signature holds.
pub(super) fn identity(idp: &Idp, issuer: &Issuer, claims: &Object, now: Timestamp) -> Result<Identity, Refused> {
    let (issued_at, expires_at) = check_times(idp, claims, now)?;
    check_audience(idp, issuer, claims)?;
    check_tenant(issuer, claims)?;
    check_access_token(issuer, claims)?;
    let kind = kind(idp, issuer, claims)?;
    Ok(Identity {
        subject: subject(idp, issuer, claims)?,
        kind,
        name: if kind == SubjectKind::Human { display_name(idp, claims) } else { None },
        group_ids: group_ids(idp, issuer, claims)?,
        claim_values: claim_values(idp, claims)?,
        mfa: mfa(idp, claims, now),
        issued_at,
        expires_at,
    })
}

fn date(claims: &Object, name: &str) -> Result<Option<Timestamp>, Refused> {
    match claims.any(name) {
        None => Ok(None),
        Some(value) => match value.as_i64() {
            Some(seconds) if (0..=NUMERIC_DATE_MAX).contains(&seconds) => Ok(Some(Timestamp::from_unix(seconds))),
            Some(_) | None => {
                Err(Refused::token(format!("the token's `{name}` is not a date in whole seconds: sign in again")))
            }
        },
    }
}

fn check_times(idp: &Idp, claims: &Object, now: Timestamp) -> Result<(Timestamp, Timestamp), Refused> {
    let missing = |name: &str| Refused::token(format!("the token has no `{name}`: present an access token"));
    let expires_at = date(claims, "exp")?.ok_or_else(|| missing("exp"))?;
    let issued_at = date(claims, "iat")?.ok_or_else(|| missing("iat"))?;
    if now >= expires_at.plus(idp.leeway) {
        return Err(Refused::expired(format!("the token expired at {expires_at}: sign in again")));
    }
    let begins = date(claims, "nbf")?.map_or(issued_at, |nbf| nbf.max(issued_at));
    if begins > now.plus(idp.leeway) {
        return Err(Refused::token(format!(
            "the token is valid only from {begins}: wait, or check the clocks of the gateway and the idp"
        )));
    }
    Ok((issued_at, expires_at))
}

/// Audiences compare exactly, but for one trailing slash (v1 repeats the App ID URI as the client spelt it) and the
/// letter case of a GUID.
fn normal_audience(audience: &str) -> String {
    let audience = audience.strip_suffix('/').unwrap_or(audience);
    if is_guid(audience) { audience.to_ascii_lowercase() } else { audience.to_owned() }
}

pub(super) fn check_audience(idp: &Idp, issuer: &Issuer, claims: &Object) -> Result<(), Refused> {
    let stated = claims.texts("aud").unwrap_or_default();
    // Entra states one audience. Several would let another service of the list use the token here.
    let acceptable = issuer.dialect == Dialect::Oidc || stated.len() == 1;
    let accepted = |aud: &&str| idp.audiences.iter().any(|ours| normal_audience(ours) == normal_audience(aud));
    if acceptable && stated.iter().any(accepted) {
        return Ok(());
    }
    let ours = idp.audiences.join("` or `");
    Err(Refused::token(format!("the token is meant for another audience: ask idp {} for one for `{ours}`", idp.name)))
}

fn check_tenant(issuer: &Issuer, claims: &Object) -> Result<(), Refused> {
    let Some(tenant) = &issuer.tenant else { return Ok(()) };
    if claims.text("tid").is_some_and(|tid| tid.eq_ignore_ascii_case(tenant)) {
        return Ok(());
    }
    Err(Refused::token("the token is of another tenant: sign in with an account of the policy's tenant"))
}

/// Refuses an id token, which says who signed in to a client and not what may be done here.
///
/// Entra's access tokens name the client that asked (`appid` in version 1, `azp` in version 2) and its id tokens
/// do not. Elsewhere an access token carries a scope, a client id, or `idtyp`; with these alone, since an id token
/// may carry roles and a nonce-less one looks like any other token.
fn check_access_token(issuer: &Issuer, claims: &Object) -> Result<(), Refused> {
    let of_sign_in = ["nonce", "at_hash", "c_hash", "s_hash"].iter().any(|name| claims.has(name));
    let for_access = match issuer.dialect {
        Dialect::EntraV1 => claims.text("appid").is_some(),
        Dialect::EntraV2 => claims.text("azp").is_some(),
        Dialect::Oidc => ["scp", "scope", "client_id", "idtyp"].iter().any(|name| claims.has(name)),
    };
    if of_sign_in || !for_access {
        return Err(Refused::token("the token is an id token, not an access token: ask for an access token"));
    }
    let version = match issuer.dialect {
        Dialect::EntraV1 => "1.0",
        Dialect::EntraV2 => "2.0",
        Dialect::Oidc => return Ok(()),
    };
    if claims.any("ver").is_some_and(|ver| ver.as_str() != Some(version)) {
        return Err(Refused::token("the token's version is not that of its issuer: sign in again"));
    }
    Ok(())
}

fn kind(idp: &Idp, issuer: &Issuer, claims: &Object) -> Result<SubjectKind, Refused> {
    for facets in ["xms_act_fct", "xms_sub_fct"] {
        match claims.any(facets).map(Value::as_str) {
            Some(Some(set)) if set.split(' ').any(|facet| facet == AGENT_FACET) => return Ok(SubjectKind::Agent),
            None | Some(Some(_)) => {}
            Some(None) => return Err(Refused::token(format!("the token's `{facets}` is malformed: sign in again"))),
        }
    }
    let says_app = match claims.any("idtyp").map(Value::as_str) {
        Some(Some("app")) => true,
        None | Some(Some("user")) => false,
        Some(_) => return Err(Refused::token("the token's `idtyp` is not known: present an access token")),
    };
    let scopes = scopes(issuer, claims)?;
    let has_roles = claims.texts(roles_claim(idp)).is_some_and(|roles| !roles.is_empty());
    match issuer.dialect {
        Dialect::EntraV1 | Dialect::EntraV2 => match (scopes, says_app, has_roles) {
            (true, false, _) => Ok(SubjectKind::Human),
            (false, true, _) | (false, false, true) => Ok(SubjectKind::Service),
            (true, true, _) => Err(Refused::token(
                "the token says that it is both a person's and an application's: present one or the other",
            )),
            (false, false, false) => Err(Refused::token(
                "the token carries neither a delegated scope nor an application's role: ask for a scope of the \
                 gateway, or have a role assigned",
            )),
        },
        Dialect::Oidc if says_app || is_client_itself(claims) => Ok(SubjectKind::Service),
        Dialect::Oidc if scopes => Ok(SubjectKind::Human),
        Dialect::Oidc => Ok(SubjectKind::Service),
    }
}

fn scopes(issuer: &Issuer, claims: &Object) -> Result<bool, Refused> {
    let names: &[&str] = match issuer.dialect {
        Dialect::EntraV1 | Dialect::EntraV2 => &["scp"],
        Dialect::Oidc => &["scp", "scope"],
    };
    let mut some = false;
    for name in names {
        if let Some(value) = claims.any(name) {
            let listed = texts(value).ok_or_else(|| {
                Refused::token(format!("the token's `{name}` is neither a text nor a list of texts: sign in again"))
            })?;
            some |= listed.iter().any(|scope| !scope.trim().is_empty());
        }
    }
    Ok(some)
}

/// Whether a token of a plain OIDC provider is the client's own (client credentials): its subject is the client.
fn is_client_itself(claims: &Object) -> bool {
    let sub = claims.text("sub").unwrap_or_default();
    claims.text("gty") == Some("client-credentials")
        || sub.ends_with("@clients")
        || ["client_id", "azp", "cid"].iter().any(|name| claims.text(name) == Some(sub))
        || claims.text("preferred_username").is_some_and(|name| name.starts_with("service-account-"))
}

fn subject(idp: &Idp, issuer: &Issuer, claims: &Object) -> Result<Subject, Refused> {
    let usual = if issuer.tenant.is_some() { "oid" } else { "sub" };
    let claim = idp.claims.subject.as_deref().unwrap_or(usual);
    if NOT_SUBJECTS.contains(&claim) {
        return Err(Refused::token(format!(
            "idp {} keys its subjects on `{claim}`, which people can change: the policy must name another claim",
            idp.name
        )));
    }
    let Some(id) = claims
        .text(claim)
        .filter(|id| !id.is_empty() && id.len() <= SUBJECT_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic()))
    else {
        return Err(Refused::token(format!(
            "the token's `{claim}`, which keys its subject, is missing or malformed: have the idp emit it"
        )));
    };
    if claim == "oid" && !is_guid(id) {
        return Err(Refused::token("the token's `oid` is not an object id: sign in again"));
    }
    let id = if is_guid(id) { id.to_ascii_lowercase() } else { id.to_owned() };
    let tenant = issuer.tenant.clone().unwrap_or_else(|| issuer.iss.clone());
    Ok(Subject { idp: idp.name.clone(), tenant, id })
}

fn roles_claim(idp: &Idp) -> &str {
    idp.claims.roles.as_deref().unwrap_or("roles")
}

fn claim_values(idp: &Idp, claims: &Object) -> Result<BTreeSet<String>, Refused> {
    let name = roles_claim(idp);
    let Some(value) = claims.any(name) else { return Ok(BTreeSet::new()) };
    let values = texts(value).ok_or_else(|| {
        Refused::token(format!("the token's `{name}` is neither a text nor a list of texts: sign in again"))
    })?;
    Ok(values.into_iter().map(str::to_owned).collect())
}

fn group_ids(idp: &Idp, issuer: &Issuer, claims: &Object) -> Result<Option<BTreeSet<String>>, Refused> {
    let name = idp.claims.groups.as_deref().unwrap_or("groups");
    check_overage(idp, name, claims)?;
    let Some(value) = claims.any(name) else { return Ok(None) };
    let Some(groups) = Some(value).filter(|value| value.is_array()).and_then(texts) else {
        return Err(Refused::token(format!("the token's `{name}` is not a list of texts: sign in again")));
    };
    if groups.iter().all(|group| is_guid(group)) {
        return Ok(Some(groups.into_iter().map(str::to_ascii_lowercase).collect()));
    }
    match issuer.dialect {
        Dialect::EntraV1 | Dialect::EntraV2 => Err(Refused::token(
            "the token lists groups by name: have the application registration emit group ids, since names can be \
             taken by anybody",
        )),
        // Names are no evidence about ids: a policy that depends on ids refuses the subject.
        Dialect::Oidc => Ok(None),
    }
}

fn check_overage(idp: &Idp, groups: &str, claims: &Object) -> Result<(), Refused> {
    let named_elsewhere = match claims.any("_claim_names") {
        None => false,
        Some(Value::Object(names)) => names.contains_key(groups) || names.contains_key(roles_claim(idp)),
        Some(_) => true,
    };
    let has_groups = claims.any("hasgroups").is_some_and(|value| !matches!(value, Value::Bool(false)));
    if !named_elsewhere && !has_groups {
        return Ok(());
    }
    let asked_of_graph = match &idp.flavour {
        IdpFlavour::Entra { overage: Overage::Graph, .. } => true,
        IdpFlavour::Entra { overage: Overage::Refuse, .. } | IdpFlavour::Oidc { .. } => false,
    };
    let unable = if asked_of_graph {
        ", and this version does not resolve them through Microsoft Graph (`overage graph` refuses, P0422)"
    } else {
        ""
    };
    Err(Refused::token(format!(
        "the token refers to its groups instead of listing them because there are too many{unable}: have the \
         application registration emit only groups assigned to the application"
    )))
}

/// Multi-factor authentication is proved by the named claim with the named value, young enough; by nothing else.
fn mfa(idp: &Idp, claims: &Object, now: Timestamp) -> bool {
    let (Some(claim), Some(value)) = (&idp.claims.mfa, &idp.mfa_value) else { return false };
    if !claims.texts(claim).is_some_and(|values| values.contains(&value.as_str())) {
        return false;
    }
    let Some(age) = idp.mfa_age else { return true };
    let Ok(Some(signed_in)) = date(claims, "auth_time") else { return false };
    signed_in <= now.plus(idp.leeway) && now < signed_in.plus(age).plus(Ttl::from_seconds(1))
}

/// A name for people to read, never to decide by: cleaned of what could disguise it, and bounded.
fn display_name(idp: &Idp, claims: &Object) -> Option<String> {
    let configured = idp.claims.name.as_deref();
    configured
        .into_iter()
        .chain(["name", "preferred_username", "upn", "unique_name"])
        .filter_map(|claim| claims.text(claim))
        .map(clean)
        .find(|name| !name.is_empty())
}

fn clean(name: &str) -> String {
    let is_invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{e0000}'..='\u{e007f}')
    };
    let visible: String = name.chars().map(|c| if is_invisible(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = visible.split_whitespace().collect();
    words.join(" ").chars().take(NAME_CHARACTERS_MAX).collect()
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
