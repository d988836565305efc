//! The credentials that the gateway injects: read when a session opens, never kept, never printed.

use lang::program::rules::Credential;
use secrecy::SecretString;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// A longer file is not a password.
const CREDENTIAL_BYTES_MAX: u64 = 64 << 10;

/// Why a credential cannot be had. The text names the reference, never the secret.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A kind that this version does not fetch.
    #[error("credentials of the kind ({0}) are not supported by this version of the gateway; use (env) or (file)")]
    Kind(String),
    /// The variable is unset or not text.
    #[error("the environment variable {0} of the credential is not set")]
    Unset(String),
    /// The file cannot be read.
    #[error("the credential's file {} cannot be read", path.display())]
    Unreadable {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is empty, too long or not text.
    #[error("the credential's file {} does not hold one line of text", .0.display())]
    Malformed(PathBuf),
}

/// Reads credentials; relative files stand below one folder.
#[derive(Clone, Debug)]
pub struct Credentials {
    folder: PathBuf,
}

impl Credentials {
    /// A reader whose relative files stand below `folder`.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The secret that a reference leads to.
    ///
    /// # Errors
    /// When the kind is not supported, or there is nothing to read.
    pub fn fetch(&self, credential: &Credential) -> Result<SecretString, CredentialError> {
        match credential.source.as_str() {
            "env" => std::env::var(&credential.reference)
                .map(SecretString::from)
                .map_err(|_| CredentialError::Unset(credential.reference.clone())),
            "file" => read(&self.folder.join(Path::new(&credential.reference))),
            other => Err(CredentialError::Kind(other.to_owned())),
        }
    }
}

fn read(path: &Path) -> Result<SecretString, CredentialError> {
    let unreadable = |source| CredentialError::Unreadable { path: path.to_owned(), source };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > CREDENTIAL_BYTES_MAX {
        return Err(CredentialError::Malformed(path.to_owned()));
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
    let text = std::str::from_utf8(&bytes).map_err(|_| CredentialError::Malformed(path.to_owned()))?;
    let line = text.trim_end_matches(['\r', '\n']);
    if line.is_empty() || line.contains(['\n', '\0']) {
        return Err(CredentialError::Malformed(path.to_owned()));
    }
    Ok(SecretString::from(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn credential(source: &str, reference: &str) -> Credential {
        Credential { source: source.into(), reference: reference.into(), user: "u".into() }
    }

    #[test]
    fn one_line_of_a_file_is_a_credential_and_other_kinds_are_refused() {
        let folder = std::env::temp_dir().join(format!("leasehold-credential-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("one"), "hunter2\n").unwrap();
        std::fs::write(folder.join("two"), "a\nb\n").unwrap();
        let credentials = Credentials::new(&folder);
        assert_eq!(credentials.fetch(&credential("file", "one")).unwrap().expose_secret(), "hunter2");
        assert!(matches!(credentials.fetch(&credential("file", "two")), Err(CredentialError::Malformed(_))));
        assert!(matches!(credentials.fetch(&credential("file", "three")), Err(CredentialError::Unreadable { .. })));
        assert!(matches!(credentials.fetch(&credential("vault", "kv/x#y")), Err(CredentialError::Kind(_))));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
