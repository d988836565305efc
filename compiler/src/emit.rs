//! From a checked policy to the bytes of its bundle.

use crate::compile::{Checked, PolicySet};
use ed25519_dalek::SigningKey;
use lang::bundle::{self, BundleError, Facts, Findings};

/// Where a policy comes from.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The commit.
    pub commit: Option<String>,
    /// Its tree.
    pub tree: Option<String>,
    /// The position in the branch's history.
    pub sequence: u64,
}

/// The name of this compiler in statements.
pub const COMPILER: &str = concat!("leaseholdc ", env!("CARGO_PKG_VERSION"));

/// The bundle of a policy, signed when there is a key.
///
/// # Errors
/// When the policy cannot be encoded, which does not happen to one that was checked.
pub fn bundle(policy: &Checked<PolicySet>, origin: &Origin, key: Option<&SigningKey>) -> Result<Vec<u8>, BundleError> {
    let policy = policy.get();
    bundle::build(&policy.rules, &policy.sources, facts(policy, origin), key)
}

/// What a commit carries as a note: the signed statement of its bundle, without the bundle.
///
/// # Errors
/// When the policy cannot be encoded, which does not happen to one that was checked.
pub fn attestation(policy: &Checked<PolicySet>, origin: &Origin, key: &SigningKey) -> Result<Vec<u8>, BundleError> {
    let policy = policy.get();
    bundle::attest(&policy.rules, &policy.sources, facts(policy, origin), key)
}

fn facts(policy: &PolicySet, origin: &Origin) -> Facts {
    Facts {
        commit: origin.commit.clone(),
        tree: origin.tree.clone(),
        sequence: origin.sequence,
        compiler: COMPILER.to_owned(),
        findings: Findings { warnings: policy.findings.warnings as u64, infos: policy.findings.infos as u64 },
        source: policy.source_digest.clone(),
    }
}
