//! What this version of the gateway does not enforce yet, and what it does instead: it refuses.
//!
//! The one table: the compiler warns by it (P0422), the gateway refuses by it. The canonical tables are the same for
//! every version; refusal is laid over them, never into them.

use super::rules::{Connection, IdpFlavour, Overage, RuleId, RuleKind, Rules};
use crate::protocol::ConnectionKind;

/// A node or clause that is not enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// A connection of a kind that the gateway does not speak.
    ConnectionKind,
    /// A source of credentials that the gateway does not read.
    Credential,
    /// `json` of a `mask`.
    Mask,
    /// `overage graph`.
    Overage,
}

impl Gap {
    /// Every gap.
    pub const ALL: [Self; 4] = [Self::ConnectionKind, Self::Credential, Self::Mask, Self::Overage];

    /// What happens instead, as a sentence for people.
    pub const fn instead(self) -> &'static str {
        match self {
            Self::ConnectionKind | Self::Credential => "the gateway keeps the connection closed",
            Self::Mask => "the gateway serves no connection whose answers are documents",
            Self::Overage => "the gateway refuses a token that refers to its groups instead of listing them",
        }
    }
}

/// Whether the gateway speaks the protocol of a kind.
pub const fn serves(kind: ConnectionKind) -> bool {
    match kind {
        ConnectionKind::Postgres => true,
        ConnectionKind::Mysql | ConnectionKind::Ssh | ConnectionKind::Kubernetes | ConnectionKind::Http => false,
    }
}

/// Whether the gateway reads credentials from a source; the word is the annotation in a policy.
pub fn reads_credential(source: &str) -> bool {
    matches!(source, "env" | "file" | "postgres-role")
}

/// Why the gateway keeps a connection closed; `None` when it opens it.
pub fn closed(connection: &Connection) -> Option<Gap> {
    if !serves(connection.kind) {
        Some(Gap::ConnectionKind)
    } else if !reads_credential(&connection.credential.source) {
        Some(Gap::Credential)
    } else {
        None
    }
}

/// Everything in a policy that is not enforced, by rule.
pub fn gaps(rules: &Rules) -> Vec<(RuleId, Gap)> {
    let mut gaps = Vec::new();
    for connection in &rules.connections {
        gaps.extend(closed(connection).map(|gap| (RuleId::new(RuleKind::Connection, &connection.name), gap)));
    }
    for idp in &rules.idps {
        if let IdpFlavour::Entra { overage: Overage::Graph, .. } = idp.flavour {
            gaps.push((RuleId::new(RuleKind::Idp, &idp.name), Gap::Overage));
        }
    }
    for mask in rules.masks.iter().filter(|mask| !mask.json.is_empty()) {
        gaps.push((RuleId::new(RuleKind::Mask, &mask.name), Gap::Mask));
    }
    gaps
}
