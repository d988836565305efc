//! Wrapping a recording's key for `age` recipients, and encrypting payloads with it.
//!
//! Only what a recording needs of age v1: X25519 recipients and one chunk. The primitives are aws-lc-rs's. The gateway
//! knows recipients alone: what it has encrypted it cannot read back. Nothing here prints a key.

//= https://github.com/C2SP/C2SP/blob/main/age.md

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::hkdf::{self, HKDF_SHA256};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes that the authentication adds.
pub const TAG_BYTES: usize = 16;
/// The longest wrapped key that is read.
pub const FILE_BYTES_MAX: usize = 16 << 10;

const VERSION_LINE: &str = "age-encryption.org/v1\n";
const X25519_LABEL: &[u8] = b"age-encryption.org/v1/X25519";
const BECH32: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Why something cannot be encrypted or decrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AgeError {
    /// The text is no X25519 recipient.
    #[error("this is no age recipient; one begins with `age1`")]
    Recipient,
    /// The text is no X25519 identity.
    #[error("this is no age identity; one begins with `AGE-SECRET-KEY-1`")]
    Identity,
    /// None of the identities is a recipient's.
    #[error("none of the identities opens this recording")]
    NoMatch,
    /// The wrapped key is malformed.
    #[error("the wrapped key of this recording is malformed")]
    Malformed,
    /// The key service did not unwrap the key.
    #[error("{0}")]
    Service(String),
    /// The primitive refused.
    #[error("encryption failed")]
    Failed,
}

/// Who may read a recording: the public half, `age1…`.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient([u8; 32]);

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recipient(age1…)")
    }
}

impl Recipient {
    /// Reads `age1…`.
    ///
    /// # Errors
    /// When the text is none.
    pub fn parse(text: &str) -> Result<Self, AgeError> {
        let bytes = bech32(text.trim(), "age").ok_or(AgeError::Recipient)?;
        <[u8; 32]>::try_from(bytes.as_slice()).map(Self).map_err(|_| AgeError::Recipient)
    }
}

/// The private half, `AGE-SECRET-KEY-1…`.
pub struct Identity(Zeroizing<[u8; 32]>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

impl Identity {
    /// Reads the identities of a key file: one a line, `#` begins a comment.
    ///
    /// # Errors
    /// When a line is no identity, or there is none.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, AgeError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let found: Result<Vec<_>, _> = lines.map(Self::parse).collect();
        found.and_then(|found| if found.is_empty() { Err(AgeError::Identity) } else { Ok(found) })
    }

    fn parse(line: &str) -> Result<Self, AgeError> {
        let lower = Zeroizing::new(line.to_ascii_lowercase());
        let bytes = Zeroizing::new(bech32(&lower, "age-secret-key-").ok_or(AgeError::Identity)?);
        let bytes = <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| AgeError::Identity)?;
        Ok(Self(Zeroizing::new(bytes)))
    }
}

/// A recording's key.
pub struct PayloadKey(LessSafeKey);

impl fmt::Debug for PayloadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PayloadKey(…)")
    }
}

impl PayloadKey {
    /// A new key, and the age file in which it stands wrapped for the recipients.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn wrapped(recipients: &[Recipient]) -> Result<(Self, Vec<u8>), AgeError> {
        let mut key = Zeroizing::new([0_u8; 32]);
        getrandom::fill(key.as_mut_slice()).map_err(|_| AgeError::Failed)?;
        let file = wrap(recipients, key.as_slice())?;
        Ok((Self::new(&key)?, file))
    }

    /// The key that stands wrapped in an age file.
    ///
    /// # Errors
    /// When no identity opens it.
    pub fn unwrap(file: &[u8], identities: &[Identity]) -> Result<Self, AgeError> {
        let plain = unwrap(file, identities)?;
        let key = <[u8; 32]>::try_from(plain.as_slice()).map_err(|_| AgeError::Malformed)?;
        Self::new(&Zeroizing::new(key))
    }

    /// A key of those bytes.
    pub(super) fn from_bytes(key: &Zeroizing<[u8; 32]>) -> Result<Self, AgeError> {
        Self::new(key)
    }

    fn new(key: &[u8; 32]) -> Result<Self, AgeError> {
        UnboundKey::new(&CHACHA20_POLY1305, key).map(|key| Self(LessSafeKey::new(key))).map_err(|_| AgeError::Failed)
    }

    /// Encrypts in place and appends the tag. No two records of a recording share a number.
    ///
    /// # Errors
    /// When the primitive refuses.
    pub fn seal(&self, record: u64, session: &[u8], payload: &mut Vec<u8>) -> Result<(), AgeError> {
        self.0.seal_in_place_append_tag(nonce(record), Aad::from(session), payload).map_err(|_| AgeError::Failed)
    }

    /// Decrypts.
    ///
    /// # Errors
    /// When the bytes are not what was encrypted as that record.
    pub fn open(&self, record: u64, session: &[u8], payload: &[u8]) -> Result<Vec<u8>, AgeError> {
        let mut bytes = payload.to_vec();
        let length = self.0.open_in_place(nonce(record), Aad::from(session), &mut bytes);
        let length = length.map_err(|_| AgeError::Malformed)?.len();
        bytes.truncate(length);
        Ok(bytes)
    }
}

fn nonce(record: u64) -> Nonce {
    let mut bytes = [0_u8; 12];
    bytes.iter_mut().skip(4).zip(record.to_be_bytes()).for_each(|(to, from)| *to = from);
    Nonce::assume_unique_for_key(bytes)
}

/// An age file of a short plaintext.
fn wrap(recipients: &[Recipient], plain: &[u8]) -> Result<Vec<u8>, AgeError> {
    let mut file_key = Zeroizing::new([0_u8; 16]);
    getrandom::fill(file_key.as_mut_slice()).map_err(|_| AgeError::Failed)?;
    let mut header = VERSION_LINE.to_owned();
    for recipient in recipients {
        let ephemeral = PrivateKey::generate(&X25519).map_err(|_| AgeError::Failed)?;
        let share = public_of(&ephemeral)?;
        let wrap_key = shared_key(&ephemeral, &recipient.0, &share, &recipient.0)?;
        let mut body = file_key.to_vec();
        chacha(&wrap_key)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut body)
            .map_err(|_| AgeError::Failed)?;
        header.push_str("-> X25519 ");
        header.push_str(&STANDARD_NO_PAD.encode(share));
        header.push('\n');
        header.push_str(&STANDARD_NO_PAD.encode(&body));
        header.push('\n');
    }
    header.push_str("---");
    let mac = hmac::sign(&header_key(&file_key)?, header.as_bytes());
    header.push(' ');
    header.push_str(&STANDARD_NO_PAD.encode(mac.as_ref()));
    header.push('\n');
    let mut salt = [0_u8; 16];
    getrandom::fill(&mut salt).map_err(|_| AgeError::Failed)?;
    let mut body = plain.to_vec();
    let key = derive(&salt, file_key.as_slice(), b"payload")?;
    chacha(&key)?.seal_in_place_append_tag(last_chunk(), Aad::empty(), &mut body).map_err(|_| AgeError::Failed)?;
    let mut file = header.into_bytes();
    file.extend_from_slice(&salt);
    file.extend_from_slice(&body);
    Ok(file)
}

fn unwrap(file: &[u8], identities: &[Identity]) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    let end = file.windows(5).position(|window| window == b"\n--- ").ok_or(AgeError::Malformed)?;
    let (header, rest) = file.split_at_checked(end + 1).ok_or(AgeError::Malformed)?;
    let line = rest.iter().position(|byte| *byte == b'\n').ok_or(AgeError::Malformed)?;
    let (mac_line, rest) = rest.split_at_checked(line).ok_or(AgeError::Malformed)?;
    let body = rest.get(1..).ok_or(AgeError::Malformed)?;
    let text = std::str::from_utf8(header).map_err(|_| AgeError::Malformed)?;
    let stanzas = text.strip_prefix(VERSION_LINE).ok_or(AgeError::Malformed)?;
    let file_key = identities.iter().find_map(|identity| open_stanzas(stanzas, identity)).ok_or(AgeError::NoMatch)?;
    let mac = mac_line.get(4..).and_then(|mac| STANDARD_NO_PAD.decode(mac).ok()).ok_or(AgeError::Malformed)?;
    let mut signed = header.to_vec();
    signed.extend_from_slice(b"---");
    hmac::verify(&header_key(&file_key)?, &signed, &mac).map_err(|_| AgeError::Malformed)?;
    let (salt, sealed) = body.split_at_checked(16).ok_or(AgeError::Malformed)?;
    let mut plain = Zeroizing::new(sealed.to_vec());
    let key = derive(salt, file_key.as_slice(), b"payload")?;
    let length =
        chacha(&key)?.open_in_place(last_chunk(), Aad::empty(), &mut plain).map_err(|_| AgeError::Malformed)?.len();
    plain.truncate(length);
    Ok(plain)
}

fn open_stanzas(stanzas: &str, identity: &Identity) -> Option<Zeroizing<[u8; 16]>> {
    let mut lines = stanzas.lines();
    let private = PrivateKey::from_private_key(&X25519, identity.0.as_slice()).ok()?;
    let public = public_of(&private).ok()?;
    while let Some(line) = lines.next() {
        let Some(share) = line.strip_prefix("-> X25519 ") else { continue };
        let share = <[u8; 32]>::try_from(STANDARD_NO_PAD.decode(share).ok()?.as_slice()).ok()?;
        let mut body = STANDARD_NO_PAD.decode(lines.next()?).ok()?;
        let Ok(wrap_key) = shared_key(&private, &share, &share, &public) else { continue };
        let opened =
            chacha(&wrap_key).ok()?.open_in_place(Nonce::assume_unique_for_key([0; 12]), Aad::empty(), &mut body);
        if let Ok(key) = opened
            && let Ok(key) = <[u8; 16]>::try_from(&*key)
        {
            return Some(Zeroizing::new(key));
        }
    }
    None
}

fn public_of(private: &PrivateKey) -> Result<[u8; 32], AgeError> {
    let public = private.compute_public_key().map_err(|_| AgeError::Failed)?;
    <[u8; 32]>::try_from(public.as_ref()).map_err(|_| AgeError::Failed)
}

fn shared_key(
    private: &PrivateKey,
    peer: &[u8; 32],
    share: &[u8; 32],
    recipient: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    let mut salt = share.to_vec();
    salt.extend_from_slice(recipient);
    agreement::agree(private, UnparsedPublicKey::new(&X25519, peer), AgeError::Failed, |shared| {
        derive(&salt, shared, X25519_LABEL)
    })
}

fn derive(salt: &[u8], secret: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    let mut out = Zeroizing::new([0_u8; 32]);
    let key = hkdf::Salt::new(HKDF_SHA256, salt).extract(secret);
    let info = [info];
    let expanded = key.expand(&info, HKDF_SHA256).map_err(|_| AgeError::Failed)?;
    expanded.fill(out.as_mut_slice()).map_err(|_| AgeError::Failed)?;
    Ok(out)
}

fn header_key(file_key: &[u8; 16]) -> Result<hmac::Key, AgeError> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, derive(&[], file_key, b"header")?.as_slice()))
}

fn chacha(key: &[u8; 32]) -> Result<LessSafeKey, AgeError> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new).map_err(|_| AgeError::Failed)
}

/// The nonce of the only chunk of a payload: number 0, and the last.
fn last_chunk() -> Nonce {
    let mut bytes = [0_u8; 12];
    if let Some(last) = bytes.last_mut() {
        *last = 1;
    }
    Nonce::assume_unique_for_key(bytes)
}

//= https://github.com/bitcoin/bips/blob/master/bip-0173.mediawiki
fn bech32(text: &str, prefix: &str) -> Option<Vec<u8>> {
    let data = text.strip_prefix(prefix)?.strip_prefix('1')?;
    let values: Option<Vec<u8>> = data
        .bytes()
        .map(|byte| BECH32.iter().position(|known| *known == byte).and_then(|at| u8::try_from(at).ok()))
        .collect();
    let values = values?;
    let expanded = prefix.bytes().map(|byte| byte >> 5).chain([0]).chain(prefix.bytes().map(|byte| byte & 31));
    if polymod(expanded.chain(values.iter().copied())) != 1 {
        return None;
    }
    let data = values.get(..values.len().checked_sub(6)?)?;
    let (mut bits, mut count, mut out) = (0_u32, 0_u32, Vec::new());
    for value in data {
        bits = (bits << 5) | u32::from(*value);
        count += 5;
        if count >= 8 {
            count -= 8;
            out.push(u8::try_from((bits >> count) & 0xff).ok()?);
            bits &= (1 << count) - 1;
        }
    }
    (count < 5 && bits == 0).then_some(out)
}

fn polymod(values: impl Iterator<Item = u8>) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    values.fold(1_u32, |sum, value| {
        let top = sum >> 25;
        let sum = ((sum & 0x01ff_ffff) << 5) ^ u32::from(value);
        GENERATOR
            .iter()
            .enumerate()
            .fold(sum, |sum, (index, part)| if (top >> index) & 1 == 1 { sum ^ part } else { sum })
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A key pair of the `age` tool, and a file that it wrote.
    pub(crate) const RECIPIENT: &str = "age1pvgeg69muvtm4rl9z9v73wd9penpnqcjp0lhgmfqdve6f6mgmakssn8ddk";
    pub(crate) const IDENTITY: &str = "AGE-SECRET-KEY-16AXDDE4YWZKJARYG0T867C9GKRHDCW8KNSWW3PZ07WVLX7MA5R3S4CLC9Y";
    const FILE: &str = "YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBwQ2p2RlVSZThXQ1duRTJYQTkyRU42QnZ5bjA5clFYcXpmL3RrVmQwckRrClgzbDdxaVRyL1N2NGxpS29KNUVlckZ3NkZxWmxoVkNvVXRUS1BRK096RkkKLT4gVi1ncmVhc2Ugdkp0ISEoIC5tT0pCQGhQCmFQdVlsZkVHd1o3MTU5dmV4MkxGbzhKZDNWVzdKYnI1VC9qalRmWFZ5RkhGRGR4cVVoVEJMdDRCSjVhNW5ZMDkKWnVFdEtpZ0FpSFMrTy9haE8ydkdlVEtzRHUzZmVsdEsxM3Mya08xMWE4cjNBblB4N3dBZ0FTTFQKLS0tIEhhdHRDWi9UbStqSTYxU3Z2S1dHUUplMWJWdE1zQUJ3RCt1bDVEeDlYY0UKTPqB1Q9buQwRtUMHL2QP+XbxLjn+ldCjhpFyuv6MQbyVqUqntZ1Q7quPn0lPyE8gmUy52I4+B5pUjAltFBkrlg==";

    #[test]
    fn a_file_of_the_age_tool_is_read() {
        let file = base64::engine::general_purpose::STANDARD.decode(FILE).unwrap();
        let identities = Identity::parse_all(&format!("# created\n{IDENTITY}\n")).unwrap();
        assert_eq!(unwrap(&file, &identities).unwrap().as_slice(), b"a key of thirty-two bytes, here!");
    }

    #[test]
    fn a_key_opens_for_its_recipients_only() {
        let recipient = Recipient::parse(RECIPIENT).unwrap();
        let identities = Identity::parse_all(IDENTITY).unwrap();
        let (key, file) = PayloadKey::wrapped(&[recipient]).unwrap();
        let mut payload = b"text".to_vec();
        key.seal(7, b"ses", &mut payload).unwrap();
        let again = PayloadKey::unwrap(&file, &identities).unwrap();
        assert_eq!(again.open(7, b"ses", &payload).unwrap(), b"text");
        assert_eq!(again.open(8, b"ses", &payload), Err(AgeError::Malformed));
        assert_eq!(again.open(7, b"sea", &payload), Err(AgeError::Malformed));
        let other = Identity(Zeroizing::new([9; 32]));
        assert!(matches!(PayloadKey::unwrap(&file, &[other]), Err(AgeError::NoMatch)));
        for place in 0..file.len() {
            let mut bytes = file.clone();
            bytes[place] ^= 1;
            assert!(PayloadKey::unwrap(&bytes, &identities).is_err(), "byte {place}");
        }
    }

    #[test]
    fn texts_that_are_no_keys_are_refused() {
        assert!(Recipient::parse("age1qqqq").is_err());
        assert!(Recipient::parse(&RECIPIENT.replace("age1", "age1q")).is_err());
        assert!(Identity::parse_all("").is_err());
        assert!(Identity::parse_all(RECIPIENT).is_err());
        assert_eq!(format!("{:?}", Identity::parse_all(IDENTITY).unwrap()), "[Identity(…)]");
    }
}
