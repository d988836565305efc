//! Who is asking: the evidence that a verified token leaves behind. Made only by `identity::verify`.

use lang::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// The key of a subject: never an e-mail address or a display name.
///
/// A v1 and a v2 token of one person give one subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subject {
    /// The idp's name in the policy.
    pub idp: String,
    /// The tenant; the issuer's URL for a plain OIDC idp.
    pub tenant: String,
    /// The object id (Entra `oid`) or the configured subject claim.
    pub id: String,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.idp, self.tenant, self.id)
    }
}

/// What a subject is. A word of the policy language.
pub use lang::program::SubjectKind;

/// A verified token's facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Who.
    pub subject: Subject,
    /// What kind of subject, before the policy's group kinds are applied: `agent` by facet, `human` by scopes, else `service`.
    pub kind: SubjectKind,
    /// What the token calls the subject, for people only.
    pub name: Option<String>,
    /// Object ids of groups that the token asserts; `None` when the token carries no group evidence.
    pub group_ids: Option<BTreeSet<String>>,
    /// Values of the roles claim.
    pub claim_values: BTreeSet<String>,
    /// Whether the named claim proves multi-factor authentication.
    pub mfa: bool,
    /// When the token was issued.
    pub issued_at: Timestamp,
    /// When the token expires.
    pub expires_at: Timestamp,
}
