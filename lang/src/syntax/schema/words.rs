//! The closed lists of words that values of the language come from.

/// Kinds of connections.
pub const CONNECTION_KINDS: &[&str] = &["postgres", "mysql", "ssh", "kubernetes", "http"];
/// Kinds of subjects.
pub const SUBJECT_KINDS: &[&str] = &["human", "service", "agent"];
/// How much is recorded, from least to most.
pub const RECORDED: &[&str] = &["none", "metadata", "full"];
/// Other words for an amount of recording.
pub const RECORDED_ALIASES: &[(&str, &str)] = &[("yes", "full")];
/// Whether access is asked for.
pub const WHEN: &[&str] = &["requested", "standing"];
/// Annotations of `credential`.
pub const CREDENTIALS: &[&str] =
    &["env", "file", "vault", "azure-keyvault", "aws-secretsmanager", "entra", "postgres-role", "ssh-ca"];
/// The checks that a `pattern` may demand of what it finds.
pub const CHECKSUMS: &[&str] = &["luhn", "iban", "email"];
/// What `may` lists.
pub const POWERS: &[&str] = &["revoke", "watch", "replay", "requests", "policy", "hold"];
/// What `no` of a delegation lists.
pub const WITHHELD: &[&str] = &["standing", "break-glass", "reveal"];
/// Signature algorithms of tokens.
pub const ALGORITHMS: &[&str] = &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{program::SubjectKind, protocol::ConnectionKind, syntax::ast::CredentialKind};

    #[test]
    fn words_agree_with_the_types_they_become() {
        assert_eq!(CONNECTION_KINDS.to_vec(), ConnectionKind::ALL.map(ConnectionKind::word));
        assert_eq!(CREDENTIALS.to_vec(), CredentialKind::ALL.map(CredentialKind::word));
        assert_eq!(SUBJECT_KINDS.to_vec(), SubjectKind::ALL.map(SubjectKind::word));
    }
}
