//! A policy in force: the program with the digest and commit that name it.

use lang::program::Program;
use lang::time::Timestamp;

/// A policy that was activated.
#[derive(Debug)]
pub struct Active {
    /// The policy.
    pub program: Program,
    /// Semantic digest, lower-case hexadecimal.
    pub digest: String,
    /// Commit of the policy repository, lower-case hexadecimal.
    pub commit: String,
    /// The commit's committer date.
    pub committed_at: Timestamp,
    /// When this gateway activated it.
    pub activated_at: Timestamp,
}
