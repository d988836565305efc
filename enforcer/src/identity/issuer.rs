//! The issuers that follow from a policy's idp, and where each publishes its metadata. No network here.

use lang::program::rules::{Idp, IdpFlavour};
use std::net::IpAddr;

const ENTRA: &str = "https://login.microsoftonline.com";

/// The dialect of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// Entra's version 1 tokens.
    EntraV1,
    /// Entra's version 2 tokens.
    EntraV2,
    /// Any other provider.
    Oidc,
}

/// One issuer of one idp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Issuer {
    /// The exact `iss`.
    pub(super) iss: String,
    /// Where its metadata stands.
    pub(super) metadata: String,
    /// How its tokens speak.
    pub(super) dialect: Dialect,
    /// The tenant of an Entra idp.
    pub(super) tenant: Option<String>,
    /// Whether plain HTTP to this machine is meant.
    pub(super) loopback: bool,
}

/// Every issuer of an idp: two for Entra, one for any other. An issuer over plain HTTP beyond this machine, or one
/// that is no URL, has none: nothing it signs is believed.
pub(super) fn of(idp: &Idp) -> Vec<Issuer> {
    match &idp.flavour {
        IdpFlavour::Entra { tenant, authority, .. } => entra(tenant, authority.as_deref()),
        IdpFlavour::Oidc { issuer } => {
            let Some(loopback) = reach(issuer) else { return Vec::new() };
            vec![Issuer {
                iss: issuer.clone(),
                metadata: well_known(issuer),
                dialect: Dialect::Oidc,
                tenant: None,
                loopback,
            }]
        }
    }
}

/// What a client is told that asks where to get a token: the address of the metadata, and what to ask for. An Entra idp
/// is announced by its version 2.
pub(crate) fn announced(idp: &Idp) -> Option<(String, String)> {
    let metadata = of(idp).pop()?.metadata;
    let scope = match &idp.flavour {
        IdpFlavour::Entra { .. } => format!("{}/.default", idp.audiences.first()?),
        IdpFlavour::Oidc { .. } => "openid".to_owned(),
    };
    Some((metadata, scope))
}

fn entra(tenant: &str, authority: Option<&str>) -> Vec<Issuer> {
    let issuer = |iss: String, base: &str, dialect: Dialect, loopback: bool| Issuer {
        metadata: well_known(base),
        iss,
        dialect,
        tenant: Some(tenant.to_owned()),
        loopback,
    };
    let Some(authority) = authority else {
        let v2 = format!("{ENTRA}/{tenant}/v2.0");
        return vec![
            issuer(format!("https://sts.windows.net/{tenant}/"), &format!("{ENTRA}/{tenant}"), Dialect::EntraV1, false),
            issuer(v2.clone(), &v2, Dialect::EntraV2, false),
        ];
    };
    // A stand-in for Entra exists on this machine only: elsewhere it would be somebody who pretends to be Entra.
    if reach(authority) != Some(true) {
        return Vec::new();
    }
    let authority = authority.trim_end_matches('/');
    let (v1, v2) = (format!("{authority}/{tenant}/"), format!("{authority}/{tenant}/v2.0"));
    vec![issuer(v1.clone(), &v1, Dialect::EntraV1, true), issuer(v2.clone(), &v2, Dialect::EntraV2, true)]
}

fn well_known(base: &str) -> String {
    format!("{}/.well-known/openid-configuration", base.trim_end_matches('/'))
}

/// How a URL may be reached: `Some(true)` over plain HTTP on this machine, `Some(false)` over HTTPS, else `None`.
pub(super) fn reach(url: &str) -> Option<bool> {
    let url = reqwest::Url::parse(url).ok()?;
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return None;
    }
    let host = url.host_str()?;
    match url.scheme() {
        "https" => Some(false),
        "http" => {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            (host == "localhost" || address.is_ok_and(|ip| ip.is_loopback())).then_some(true)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_reaches_this_machine_only() {
        assert_eq!(reach("https://idp.example"), Some(false));
        assert_eq!(reach("http://127.0.0.1:8080/t"), Some(true));
        assert_eq!(reach("http://[::1]:8080"), Some(true));
        for url in ["http://idp.example", "http://127.0.0.1.evil.example", "http://10.0.0.1", "ftp://127.0.0.1", "x"] {
            assert_eq!(reach(url), None, "{url}");
        }
        assert_eq!(reach("http://u@127.0.0.1"), None);
    }

    #[test]
    fn entra_has_two_issuers_with_metadata_of_their_own() {
        let [v1, v2] = entra("t", None).try_into().unwrap();
        assert_eq!(v1.iss, "https://sts.windows.net/t/");
        assert_eq!(v1.metadata, "https://login.microsoftonline.com/t/.well-known/openid-configuration");
        assert_eq!(v2.iss, "https://login.microsoftonline.com/t/v2.0");
        assert_eq!(v2.metadata, "https://login.microsoftonline.com/t/v2.0/.well-known/openid-configuration");
        assert!(entra("t", Some("https://login.evil.example")).is_empty());
        let [v1, v2] = entra("t", Some("http://127.0.0.1:9/")).try_into().unwrap();
        assert_eq!((v1.iss.as_str(), v2.iss.as_str()), ("http://127.0.0.1:9/t/", "http://127.0.0.1:9/t/v2.0"));
    }
}
