//! SCRAM-SHA-256 towards a target, bound to its TLS certificate wherever the target offers that.
//!
//! It must never answer a challenge that was not checked, and never hand over the password itself.
//!
//! //= <https://www.rfc-editor.org/rfc/rfc5802>
//! //= <https://www.rfc-editor.org/rfc/rfc5929#section-4>

use aws_lc_rs::digest;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use secrecy::{ExposeSecret, SecretString};
use x509_parser::prelude::FromDer;
use x509_parser::signature_algorithm::RsaSsaPssParams;

/// Bytes of a challenge: a nonce, a salt, a count. PostgreSQL's own is about a hundred.
const CHALLENGE_BYTES_MAX: usize = 1024;

/// Bytes of the last message.
const FINAL_BYTES_MAX: usize = 1024;

/// Rounds below which a recorded exchange is too cheap to guess against (RFC 7677, section 4).
const ITERATIONS_MIN: u32 = 4096;

/// Rounds above which a target could keep the gateway busy. The library's own bound.
const ITERATIONS_MAX: u32 = 100_000;

/// Why a SCRAM exchange ends. Holds neither password nor message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScramError {
    /// No mechanism in common.
    #[error("the target offers no SCRAM-SHA-256")]
    NoMechanism,
    /// The certificate cannot be bound to, and its name was not verified either.
    #[error("the target's certificate cannot be bound to (RFC 5929 defines no hash for its signature)")]
    NoBinding,
    /// A message above its bound.
    #[error("a SCRAM message of the target is too long")]
    TooLong,
    /// A challenge that does not follow the rules.
    #[error("the target's SCRAM challenge is malformed")]
    Malformed,
    /// A challenge whose nonce does not extend ours.
    #[error("the target's SCRAM nonce does not extend the gateway's")]
    Nonce,
    /// Too few or too many rounds.
    #[error("the target asks for a number of SCRAM rounds outside {ITERATIONS_MIN} to {ITERATIONS_MAX}")]
    Iterations,
    /// The target does not know the password, or says that we do not.
    #[error("the target could not prove that it knows the password")]
    Unproven,
}

/// What the exchange runs over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// No TLS.
    Plain,
    /// TLS.
    Tls {
        /// The hash of the target's certificate; `None` when RFC 5929 defines none.
        end_point: Option<Vec<u8>>,
        /// Whether the certificate's name was verified.
        name_verified: bool,
    },
}

/// An exchange whose first message is ready.
pub struct First {
    mechanism: &'static str,
    scram: ScramSha256,
}

/// An exchange whose proof is ready.
pub struct Second {
    scram: ScramSha256,
}

impl std::fmt::Debug for First {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("First").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Second {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Second").finish_non_exhaustive()
    }
}

impl First {
    /// Chooses among the mechanisms that the target offers.
    ///
    /// Over TLS without an offer of `SCRAM-SHA-256-PLUS` the flag `y` says "I could, you cannot", by which a target
    /// that can learns that somebody between removed the offer, and refuses.
    pub fn choose(offered: &[&str], channel: &Channel, password: &SecretString) -> Result<Self, ScramError> {
        let is_offered = |mechanism| offered.contains(&mechanism);
        let (mechanism, binding) = match channel {
            Channel::Tls { end_point: Some(hash), .. } if is_offered(SCRAM_SHA_256_PLUS) => {
                (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash.clone()))
            }
            Channel::Tls { end_point: None, name_verified } if is_offered(SCRAM_SHA_256_PLUS) => {
                // Whoever holds any certificate of the authority could otherwise relay the exchange.
                if !*name_verified {
                    return Err(ScramError::NoBinding);
                }
                (SCRAM_SHA_256, ChannelBinding::unsupported())
            }
            Channel::Tls { .. } => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            Channel::Plain => (SCRAM_SHA_256, ChannelBinding::unsupported()),
        };
        if !is_offered(mechanism) {
            return Err(ScramError::NoMechanism);
        }
        Ok(Self { mechanism, scram: ScramSha256::new(password.expose_secret().as_bytes(), binding) })
    }

    /// The mechanism's name.
    pub const fn mechanism(&self) -> &'static str {
        self.mechanism
    }

    /// The first message.
    pub fn message(&self) -> &[u8] {
        self.scram.message()
    }

    /// Answers the target's challenge.
    pub fn challenged(mut self, challenge: &[u8]) -> Result<Second, ScramError> {
        let own = std::str::from_utf8(self.scram.message()).map_err(|_| ScramError::Malformed)?;
        // The nonce is the only attribute after `n=`, and it holds no comma.
        let (_, nonce) = own.split_once(",r=").ok_or(ScramError::Malformed)?;
        check_challenge(challenge, nonce)?;
        self.scram.update(challenge).map_err(|_| ScramError::Malformed)?;
        Ok(Second { scram: self.scram })
    }
}

impl Second {
    /// The proof.
    pub fn message(&self) -> &[u8] {
        self.scram.message()
    }

    /// Checks the target's own proof. The login may go on only after `Ok`.
    pub fn finished(mut self, last: &[u8]) -> Result<(), ScramError> {
        if last.len() > FINAL_BYTES_MAX {
            return Err(ScramError::TooLong);
        }
        self.scram.finish(last).map_err(|_| ScramError::Unproven)
    }
}

/// What must hold before any work is done on a challenge: `r=NONCE,s=SALT,i=COUNT`.
fn check_challenge(challenge: &[u8], own_nonce: &str) -> Result<(), ScramError> {
    if challenge.len() > CHALLENGE_BYTES_MAX {
        return Err(ScramError::TooLong);
    }
    let text = std::str::from_utf8(challenge).map_err(|_| ScramError::Malformed)?;
    let mut attributes = text.split(',');
    let mut next = |prefix| attributes.next().and_then(|attribute: &str| attribute.strip_prefix(prefix));
    let nonce = next("r=").ok_or(ScramError::Malformed)?;
    let salt = next("s=").ok_or(ScramError::Malformed)?;
    let iterations: u32 = next("i=").and_then(|count| count.parse().ok()).ok_or(ScramError::Malformed)?;
    if nonce.strip_prefix(own_nonce).is_none_or(str::is_empty) {
        return Err(ScramError::Nonce);
    }
    if salt.is_empty() {
        return Err(ScramError::Malformed);
    }
    if (ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) { Ok(()) } else { Err(ScramError::Iterations) }
}

/// The `tls-server-end-point` of a certificate: its hash under the hash of its own signature, with SHA-256 instead of
/// MD5 and SHA-1. `None` where that signature has no single hash (Ed25519, Ed448) or an unknown one.
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (rest, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let signature = &parsed.signature_algorithm;
    let identifier = signature.algorithm.to_id_string();
    let algorithm = if identifier == "1.2.840.113549.1.1.10" {
        let parameters = RsaSsaPssParams::try_from(signature.parameters.as_ref()?).ok()?;
        hash_of(&parameters.hash_algorithm_oid().to_id_string())
    } else {
        hash_of(&identifier)
    }?;
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// The hash that an algorithm's object identifier names.
fn hash_of(identifier: &str) -> Option<&'static digest::Algorithm> {
    match identifier {
        // RSA and ECDSA with MD5 or SHA-1, and SHA-1 itself: SHA-256 instead.
        "1.2.840.113549.1.1.4" | "1.2.840.113549.1.1.5" | "1.2.840.10045.4.1" | "1.3.14.3.2.26" => {
            Some(&digest::SHA256)
        }
        "1.2.840.113549.1.1.14" | "1.2.840.10045.4.3.1" | "2.16.840.1.101.3.4.2.4" => Some(&digest::SHA224),
        "1.2.840.113549.1.1.11" | "1.2.840.10045.4.3.2" | "2.16.840.1.101.3.4.2.1" => Some(&digest::SHA256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" | "2.16.840.1.101.3.4.2.2" => Some(&digest::SHA384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" | "2.16.840.1.101.3.4.2.3" => Some(&digest::SHA512),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [&str; 2] = [SCRAM_SHA_256_PLUS, SCRAM_SHA_256];

    fn tls(end_point: Option<&[u8]>, name_verified: bool) -> Channel {
        Channel::Tls { end_point: end_point.map(<[u8]>::to_vec), name_verified }
    }

    fn chosen(offered: &[&str], channel: &Channel) -> Result<(&'static str, String), ScramError> {
        let first = First::choose(offered, channel, &SecretString::from("pw"))?;
        Ok((first.mechanism(), String::from_utf8(first.message().to_vec()).unwrap()))
    }

    #[test]
    fn the_strongest_common_mechanism_is_chosen() {
        let (mechanism, message) = chosen(&BOTH, &tls(Some(b"hash"), true)).unwrap();
        assert_eq!(mechanism, SCRAM_SHA_256_PLUS);
        assert!(message.starts_with("p=tls-server-end-point,,n=,r="), "{message}");
        let (mechanism, message) = chosen(&BOTH, &Channel::Plain).unwrap();
        assert_eq!((mechanism, message.get(..3)), (SCRAM_SHA_256, Some("n,,")));
    }

    #[test]
    fn a_stripped_offer_shows_in_the_first_message() {
        for end_point in [Some(b"hash".as_slice()), None] {
            for name_verified in [false, true] {
                let (mechanism, message) = chosen(&[SCRAM_SHA_256], &tls(end_point, name_verified)).unwrap();
                assert_eq!((mechanism, message.get(..3)), (SCRAM_SHA_256, Some("y,,")));
            }
        }
    }

    #[test]
    fn a_certificate_without_a_hash_needs_a_verified_name() {
        assert_eq!(chosen(&BOTH, &tls(None, true)).unwrap().0, SCRAM_SHA_256);
        assert_eq!(chosen(&BOTH, &tls(None, false)), Err(ScramError::NoBinding));
        assert_eq!(chosen(&[SCRAM_SHA_256_PLUS], &tls(None, true)), Err(ScramError::NoMechanism));
    }

    #[test]
    fn nothing_in_common_is_refused() {
        for offered in [&[][..], &["SCRAM-SHA-1"], &["OAUTHBEARER", "PLAIN"], &[SCRAM_SHA_256_PLUS]] {
            assert_eq!(chosen(offered, &Channel::Plain), Err(ScramError::NoMechanism), "{offered:?}");
        }
    }

    #[test]
    fn challenges_are_checked_before_any_work() {
        let check = |challenge: &str| check_challenge(challenge.as_bytes(), "own");
        assert_eq!(check("r=ownserver,s=c2FsdA==,i=4096"), Ok(()));
        assert_eq!(check("r=own,s=c2FsdA==,i=4096"), Err(ScramError::Nonce));
        assert_eq!(check("r=other,s=c2FsdA==,i=4096"), Err(ScramError::Nonce));
        assert_eq!(check("r=ownserver,s=,i=4096"), Err(ScramError::Malformed));
        for count in ["0", "1", "4095", "100001", "4294967295"] {
            assert_eq!(check(&format!("r=ownserver,s=c2FsdA==,i={count}")), Err(ScramError::Iterations), "{count}");
        }
        for count in ["", "-1", "4294967296", "x"] {
            assert_eq!(check(&format!("r=ownserver,s=c2FsdA==,i={count}")), Err(ScramError::Malformed), "{count}");
        }
        assert_eq!(check(&format!("r=own{},s=c2FsdA==,i=4096", "n".repeat(2000))), Err(ScramError::TooLong));
        assert_eq!(check("m=ext,r=ownserver,s=c2FsdA==,i=4096"), Err(ScramError::Malformed));
        assert_eq!(check_challenge(b"r=own\xff", "own"), Err(ScramError::Malformed));
    }

    #[test]
    fn a_target_that_does_not_know_the_password_is_not_believed() {
        let first = First::choose(&BOTH, &Channel::Plain, &SecretString::from("pw")).unwrap();
        let message = String::from_utf8(first.message().to_vec()).unwrap();
        let nonce = message.split_once(",r=").unwrap().1;
        let second = first.challenged(format!("r={nonce}server,s=c2FsdA==,i=4096").as_bytes()).unwrap();
        let wrong = "v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert_eq!(second.finished(wrong.as_bytes()), Err(ScramError::Unproven));
    }

    #[test]
    fn the_end_point_is_hashed_as_the_certificate_was_signed() {
        for (algorithm, bytes) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some(32)),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Some(48)),
            (&rcgen::PKCS_ED25519, None),
        ] {
            let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let made = rcgen::CertificateParams::new(vec!["db".to_owned()]).unwrap().self_signed(&key).unwrap();
            assert_eq!(end_point(made.der()).map(|hash| hash.len()), bytes, "{algorithm:?}");
        }
        assert_eq!(end_point(b"no certificate"), None);
    }
}
