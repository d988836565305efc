//! Webhooks of a forge: a signed call that shortens the wait for a merge. Never more than a hint: whoever calls
//! learns nothing, and the branch is resolved anew.

use super::Nudge;
use aws_lc_rs::hmac;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// The header that carries the signature, as GitHub, Gitea and Forgejo name it.
pub const SIGNATURE_HEADER: &str = "x-hub-signature-256";
/// The longest body that is looked at.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// A shorter secret could be guessed.
const SECRET_BYTES_MIN: usize = 16;

/// Takes calls of a forge.
#[derive(Clone)]
pub struct Webhook {
    key: hmac::Key,
    nudge: Nudge,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Webhook")
    }
}

impl Webhook {
    /// A webhook whose calls are signed with the secret in `file`; white space around it does not count.
    ///
    /// # Errors
    /// When the file cannot be read or holds fewer than 16 bytes.
    pub fn new(file: &Path, nudge: Nudge) -> io::Result<Self> {
        let content = Zeroizing::new(fs::read(file)?);
        let secret = content.trim_ascii();
        if secret.len() < SECRET_BYTES_MIN {
            let sentence = format!("the webhook secret is shorter than {SECRET_BYTES_MIN} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, sentence));
        }
        Ok(Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), nudge })
    }

    /// Takes a call: true when it is signed, and then the branch is looked at at once.
    pub fn call(&self, body: &[u8], signature: &str) -> bool {
        let genuine = body.len() <= BODY_BYTES_MAX
            && signature
                .strip_prefix("sha256=")
                .and_then(unhex)
                .is_some_and(|tag| hmac::verify(&self.key, body, &tag).is_ok());
        if genuine {
            self.nudge.nudge();
        }
        genuine
    }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    blake3::Hash::from_hex(text).ok().map(|digest| *digest.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_signed_call_is_a_hint() {
        let (nudge, mut hints) = Nudge::channel();
        let webhook = Webhook { key: hmac::Key::new(hmac::HMAC_SHA256, b"It's a Secret to Everybody"), nudge };
        // The example of GitHub's documentation.
        let good = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        for (body, signature) in [
            ("Hello, World", good),
            ("Hello, World!", good.trim_start_matches("sha256=")),
            ("Hello, World!", "sha256="),
            ("Hello, World!", ""),
            ("Hello, World!", good.trim_end_matches('7')),
            ("Hello, World!", "sha1=757107ea0eb2509fc211221cce984b8a37570b6d"),
        ] {
            assert!(!webhook.call(body.as_bytes(), signature), "{signature}");
        }
        assert!(hints.try_recv().is_err());
        assert!(webhook.call(b"Hello, World!", good));
        assert!(webhook.call(b"Hello, World!", good), "a full channel is a hint that waits already");
        assert!(hints.try_recv().is_ok());
    }
}
