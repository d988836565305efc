//! What a policy stands on: identity providers, groups, and connections with what is classified there.

use crate::program::SubjectKind;
use crate::protocol::ConnectionKind;
use crate::time::Ttl;
use serde::{Deserialize, Serialize};

/// An identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Idp {
    /// Name.
    pub name: String,
    /// Entra or plain OIDC.
    pub flavour: IdpFlavour,
    /// Accepted `aud` values, sorted.
    pub audiences: Vec<String>,
    /// Claim names.
    pub claims: Claims,
    /// The value of the mfa claim that proves multi-factor authentication.
    pub mfa_value: Option<String>,
    /// How old that proof may be.
    pub mfa_age: Option<Ttl>,
    /// Accepted signature algorithms (`RS256`…), sorted; empty means the default set of asymmetric algorithms.
    pub algorithms: Vec<String>,
    /// Tolerated clock difference.
    pub leeway: Ttl,
}

/// What an identity provider is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdpFlavour {
    /// Microsoft Entra: both issuers, v1 and v2, follow from the tenant.
    Entra {
        /// Tenant id, lower case.
        tenant: String,
        /// A loopback authority for development.
        authority: Option<String>,
        /// What happens above 200 groups.
        overage: Overage,
        /// What a token without group evidence means.
        absent_groups: AbsentGroups,
    },
    /// Any OIDC provider.
    Oidc {
        /// Issuer URL.
        issuer: String,
    },
}

/// What happens when a token refers to its groups instead of listing them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overage {
    /// Resolve them through Microsoft Graph.
    Graph,
    /// Refuse the token.
    Refuse,
}

/// What a token without group evidence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AbsentGroups {
    /// The subject is refused.
    Refuse,
    /// The subject holds no group.
    None,
}

/// Names of claims; `None` means the provider's usual one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claims {
    /// The subject's key.
    pub subject: Option<String>,
    /// Group object ids.
    pub groups: Option<String>,
    /// Roles.
    pub roles: Option<String>,
    /// A display name.
    pub name: Option<String>,
    /// Proof of multi-factor authentication.
    pub mfa: Option<String>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Group {
    /// Name.
    pub name: String,
    /// The idp whose tokens assert it.
    pub idp: String,
    /// The only kind that may hold it.
    pub kind: Option<SubjectKind>,
    /// Object ids, lower case, sorted.
    pub ids: Vec<String>,
    /// Values of the roles claim, sorted.
    pub claim_values: Vec<String>,
    /// Groups that every member also holds, sorted.
    pub within: Vec<String>,
    /// The least declared size.
    pub size_min: Option<u32>,
    /// The greatest declared size.
    pub size_max: Option<u32>,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Connection {
    /// Name.
    pub name: String,
    /// Protocol.
    pub kind: ConnectionKind,
    /// Owning team.
    pub owner: Option<String>,
    /// `host:port`, or an https URL.
    pub address: String,
    /// Database of a SQL connection.
    pub database: Option<String>,
    /// The injected credential: a reference, never a secret.
    pub credential: Credential,
    /// How the target's TLS is verified.
    pub tls: Tls,
    /// How columns are masked.
    pub masking: Masking,
    /// Labels, sorted by key.
    pub labels: Vec<(String, String)>,
    /// Clauses of other kinds that later versions read (host key, upstream-auth, ca), sorted by keyword.
    pub settings: Vec<(String, String)>,
    /// Classified objects, sorted.
    pub classified: Vec<Classified>,
    /// Whether unlisted columns of a relation with a masked one are hidden.
    pub unlisted_hidden: Option<bool>,
    /// Columns that the catalog lists, `schema.table.column`, sorted; only where unlisted columns are hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Vec<String>>,
}

/// A reference to a credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credential {
    /// The annotation: `env`, `file`, `vault`…
    pub source: String,
    /// What the annotation reads: a variable, a path, a mount.
    pub reference: String,
    /// The target's user.
    pub user: String,
}

/// How the target's TLS is verified.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Chain and name; an optional file of certificate authorities.
    VerifyFull {
        /// PEM file of authorities instead of the system's.
        ca: Option<String>,
    },
    /// Chain only.
    VerifyCa {
        /// PEM file of authorities.
        ca: Option<String>,
    },
    /// No TLS.
    Off,
}

/// How columns are masked on a SQL connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Masking {
    /// Statements are rewritten.
    Rewrite,
    /// The database's own privileges.
    Database,
}

/// A classified object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Classified {
    /// `schema.table` pattern, or a JSON pointer.
    pub object: String,
    /// A column, when the class concerns one.
    pub column: Option<String>,
    /// Class, for example `pii.email`.
    pub class: String,
}
