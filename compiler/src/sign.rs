//! Reads the keys that sign and verify bundles. A private key is never shown, not even in part.

use crate::{command::Failure, system::System};
use ed25519_dalek::{
    SigningKey, VerifyingKey,
    pkcs8::{DecodePrivateKey as _, spki::DecodePublicKey as _},
};
use zeroize::Zeroizing;

/// The longest key file in bytes.
const KEY_BYTES_MAX: u64 = 16 * 1024;

/// The Ed25519 private key in a PKCS#8 PEM file.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn private_key(path: &str, system: &dyn System) -> Result<SigningKey, Failure> {
    let pem = Zeroizing::new(system.read(path, KEY_BYTES_MAX)?);
    let text = std::str::from_utf8(&pem).map_err(|_| wrong(path, "private"))?;
    SigningKey::from_pkcs8_pem(text.trim()).map_err(|_| wrong(path, "private"))
}

/// The Ed25519 public key in a PEM file.
///
/// # Errors
/// When the file cannot be read or holds something else.
pub fn public_key(path: &str, system: &dyn System) -> Result<VerifyingKey, Failure> {
    let pem = system.read(path, KEY_BYTES_MAX)?;
    let text = std::str::from_utf8(&pem).map_err(|_| wrong(path, "public"))?;
    VerifyingKey::from_public_key_pem(text.trim()).map_err(|_| wrong(path, "public"))
}

fn wrong(path: &str, which: &str) -> Failure {
    let make = match which {
        "private" => "openssl genpkey -algorithm ed25519 -out sign.pem",
        _ => "openssl pkey -in sign.pem -pubout -out sign.pub",
    };
    Failure::Usage(format!("`{path}` holds no Ed25519 {which} key in PEM; make one with `{make}`"))
}
