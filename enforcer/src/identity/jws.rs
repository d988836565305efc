//! The shape of a signed token, and its signature. Only asymmetric algorithms exist here: `none` and the HMAC family
//! have no name that this module could read.

use super::json::Object;
use super::{Refused, TOKEN_BYTES_MAX};
use aws_lc_rs::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lang::program::rules::Idp;

/// The longest key id.
const KID_BYTES_MAX: usize = 256;

/// The signature algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.word() == word)
    }
}

/// A provider's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// Whether a signature by this key can be of this algorithm.
    pub(super) const fn fits(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Rsa { .. } => matches!(
                algorithm,
                Algorithm::Rs256
                    | Algorithm::Rs384
                    | Algorithm::Rs512
                    | Algorithm::Ps256
                    | Algorithm::Ps384
                    | Algorithm::Ps512
            ),
            Self::P256(_) => matches!(algorithm, Algorithm::Es256),
            Self::P384(_) => matches!(algorithm, Algorithm::Es384),
            Self::Ed25519(_) => matches!(algorithm, Algorithm::EdDsa),
        }
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], sig: &[u8]) -> bool {
        let rsa = |parameters: &'static RsaParameters| match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }.verify(parameters, message, sig).is_ok(),
            Self::P256(_) | Self::P384(_) | Self::Ed25519(_) => false,
        };
        match algorithm {
            Algorithm::Rs256 => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            Algorithm::Rs384 => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            Algorithm::Rs512 => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            Algorithm::Ps256 => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            Algorithm::Ps384 => rsa(&signature::RSA_PSS_2048_8192_SHA384),
            Algorithm::Ps512 => rsa(&signature::RSA_PSS_2048_8192_SHA512),
            Algorithm::Es256 => match self {
                Self::P256(point) => {
                    UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, sig).is_ok()
                }
                Self::Rsa { .. } | Self::P384(_) | Self::Ed25519(_) => false,
            },
            Algorithm::Es384 => match self {
                Self::P384(point) => {
                    UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, point).verify(message, sig).is_ok()
                }
                Self::Rsa { .. } | Self::P256(_) | Self::Ed25519(_) => false,
            },
            Algorithm::EdDsa => match self {
                Self::Ed25519(key) => UnparsedPublicKey::new(&signature::ED25519, key).verify(message, sig).is_ok(),
                Self::Rsa { .. } | Self::P256(_) | Self::P384(_) => false,
            },
        }
    }
}

/// What of a token's header matters.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

/// A token that is well formed; its claims are believed by nobody yet.
pub(super) struct Token<'a> {
    pub(super) header: Header,
    pub(super) unverified: Object,
    message: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Refused> {
        let malformed =
            || Refused::token("the token is not a signed JWT: present the access token exactly as the idp issued it");
        if text.len() > TOKEN_BYTES_MAX {
            return Err(Refused::token("the token is longer than 64 KiB: ask for one with fewer claims"));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(sig)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        match parts.count() {
            0 => {}
            2 => return Err(Refused::token("the token is encrypted: have the idp issue signed access tokens")),
            _ => return Err(malformed()),
        }
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header = decode(header).and_then(|bytes| Object::parse(&bytes)).ok_or_else(malformed)?;
        let header = read_header(&header)?;
        let unverified = decode(claims).and_then(|bytes| Object::parse(&bytes)).ok_or_else(malformed)?;
        let signature = decode(sig).ok_or_else(malformed)?;
        let message = text.len().checked_sub(sig.len() + 1).and_then(|end| text.as_bytes().get(..end));
        Ok(Self { header, unverified, message: message.ok_or_else(malformed)?, signature })
    }

    /// Refuses an algorithm that the idp does not list; an empty list means every one of this module.
    pub(super) fn check_algorithm(&self, idp: &Idp) -> Result<(), Refused> {
        let word = self.header.algorithm.word();
        if idp.algorithms.is_empty() || idp.algorithms.iter().any(|accepted| accepted == word) {
            return Ok(());
        }
        let accepted = idp.algorithms.join(", ");
        Err(Refused::token(format!("idp {} accepts tokens signed with {accepted} only", idp.name)))
    }

    pub(super) fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.fits(self.header.algorithm) && key.verifies(self.header.algorithm, self.message, &self.signature)
    }
}

fn read_header(header: &Object) -> Result<Header, Refused> {
    let refuse = |sentence: &str| Err(Refused::token(sentence));
    if header.has("nonce") {
        return refuse(
            "the token is meant for Microsoft Graph (its header carries a nonce), which nobody but Graph can \
             validate: ask for an access token for the gateway's own audience",
        );
    }
    if header.has("crit") || header.has("zip") || header.has("cty") || header.has("b64") {
        return refuse("the token uses header extensions that the gateway does not know: present a plain access token");
    }
    if let Some(typ) = header.any("typ") {
        let typ = typ.as_str().unwrap_or_default().to_ascii_lowercase();
        if !["jwt", "at+jwt", "application/at+jwt"].contains(&typ.as_str()) {
            return refuse("the token says in its header that it is no access token: present an access token");
        }
    }
    let Some(algorithm) = header.text("alg").and_then(Algorithm::parse) else {
        return refuse(
            "the token is not signed with an accepted algorithm: unsigned tokens and shared-secret signatures are \
             refused",
        );
    };
    let kid = match header.any("kid") {
        None => None,
        Some(kid) => match kid.as_str() {
            Some(kid) if !kid.is_empty() && kid.len() <= KID_BYTES_MAX => Some(kid.to_owned()),
            Some(_) | None => return refuse("the token's key id is malformed: sign in again"),
        },
    };
    Ok(Header { algorithm, kid })
}
