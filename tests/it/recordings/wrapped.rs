//! The key of an encrypted recording, out of its age file: age v1 with one X25519 identity, from age's own specification.

//= https://github.com/C2SP/C2SP/blob/main/age.md

use super::reader::Hash;
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

fn derive(secret: &[u8], salt: &[u8], info: &str) -> Option<Hash> {
    let mut key = [0; 32];
    let info = [info.as_bytes()];
    let okm = Salt::new(HKDF_SHA256, salt).extract(secret);
    okm.expand(&info, HKDF_SHA256).ok()?.fill(&mut key).ok()?;
    Some(key)
}

fn open_chacha(key: &Hash, nonce: [u8; 12], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).ok()?);
    let mut bytes = sealed.to_vec();
    let plain = key.open_in_place(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut bytes).ok()?;
    Some(plain.to_vec())
}

/// The 32 bytes of an `AGE-SECRET-KEY-1…`: Bech32 without a look at its checksum.
pub(super) fn identity(text: &str) -> Hash {
    let alphabet = "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L";
    let data = text.strip_prefix("AGE-SECRET-KEY-1").unwrap();
    let (mut sum, mut bits, mut bytes) = (0_u32, 0, Vec::new());
    for letter in data[..data.len() - 6].chars() {
        sum = sum << 5 | u32::try_from(alphabet.find(letter).unwrap()).unwrap();
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(sum >> bits & 0xff).unwrap());
        }
    }
    bytes.try_into().unwrap()
}

/// The 32 bytes that an age file wraps for an identity.
pub(super) fn open(file: &[u8], identity: &Hash) -> Option<Hash> {
    let end = file.windows(5).position(|window| window == b"\n--- ")?;
    let head = std::str::from_utf8(&file[..end]).ok()?;
    let (mac, payload) = file[end + 5..].split_at_checked(43)?;
    let mut lines = head.lines();
    if lines.next() != Some("age-encryption.org/v1") || payload.first() != Some(&b'\n') {
        return None;
    }
    let secret = PrivateKey::from_private_key(&X25519, identity).ok()?;
    let recipient = secret.compute_public_key().ok()?;
    let mut file_key = None;
    while let Some(line) = lines.next() {
        let Some(share) = line.strip_prefix("-> X25519 ") else { continue };
        let share = STANDARD_NO_PAD.decode(share).ok()?;
        let body = STANDARD_NO_PAD.decode(lines.next()?).ok()?;
        let salt = [share.as_slice(), recipient.as_ref()].concat();
        let wrap = agree(&secret, UnparsedPublicKey::new(&X25519, &share), (), |shared| {
            derive(shared, &salt, "age-encryption.org/v1/X25519").ok_or(())
        });
        file_key = wrap.ok().and_then(|wrap| open_chacha(&wrap, [0; 12], &body)).or(file_key);
    }
    let file_key = file_key?;
    let mac_key = hmac::Key::new(hmac::HMAC_SHA256, &derive(&file_key, &[], "header")?);
    let mac = STANDARD_NO_PAD.decode(mac).ok()?;
    hmac::verify(&mac_key, &file[..end + 4], &mac).ok()?;
    let (nonce, chunk) = payload[1..].split_at_checked(16)?;
    let mut last = [0; 12];
    last[11] = 1;
    open_chacha(&derive(&file_key, nonce, "payload")?, last, chunk)?.try_into().ok()
}
