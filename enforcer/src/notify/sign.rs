//! The signature of a posted notice, as Standard Webhooks writes it.
//= https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use zeroize::Zeroizing;

/// A shorter secret could be guessed.
const SECRET_BYTES_MIN: usize = 16;
/// The prefix of a secret in base64.
const PREFIX: &[u8] = b"whsec_";

/// A channel's key.
pub(super) struct Key(hmac::Key);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// The key in a file: `whsec_` and base64, or the bytes themselves; white space around it does not count.
    pub(super) fn read(file: &Path) -> io::Result<Self> {
        let content = Zeroizing::new(fs::read(file)?);
        Self::of(content.trim_ascii())
    }

    fn of(secret: &[u8]) -> io::Result<Self> {
        let invalid = |sentence: String| io::Error::new(io::ErrorKind::InvalidData, sentence);
        let bytes = match secret.strip_prefix(PREFIX) {
            Some(encoded) => Zeroizing::new(
                STANDARD.decode(encoded).map_err(|_| invalid("the secret is not base64 after `whsec_`".to_owned()))?,
            ),
            None => Zeroizing::new(secret.to_vec()),
        };
        if bytes.len() < SECRET_BYTES_MIN {
            return Err(invalid(format!("the secret is shorter than {SECRET_BYTES_MIN} bytes")));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The header `webhook-signature`.
    pub(super) fn sign(&self, id: &str, seconds: i64, body: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{id}.{seconds}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        // The example of the reference libraries.
        let key = Key::of(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(Key::of(b"hunter2").is_err());
        assert!(Key::of(b"whsec_aGk=").is_err());
        assert!(Key::of(b"whsec_???").is_err());
    }
}
