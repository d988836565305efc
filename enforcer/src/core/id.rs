//! Identifiers of requests, windows and sessions: a prefix that says what they name, and 80 random bits.

use serde::{Deserialize, Serialize};
use std::fmt;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

macro_rules! identifier {
    ($name:ident, $prefix:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier made of these random bytes.
            pub fn from_random(random: [u8; 10]) -> Self {
                Self(encode($prefix, random))
            }

            /// Reads an identifier; `None` when the text has another form.
            pub fn parse(text: &str) -> Option<Self> {
                decode($prefix, text).then(|| Self(text.to_owned()))
            }

            /// The identifier as text, safe in a URL and a file name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                Self::parse(&text).ok_or_else(|| format!("`{text}` is not an identifier of the form {}…", $prefix))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

identifier!(RequestId, "req_", "Names one request for access.");
identifier!(WindowId, "win_", "Names one window.");
identifier!(SessionId, "ses_", "Names one session.");

fn encode(prefix: &str, random: [u8; 10]) -> String {
    let mut text = String::from(prefix);
    let mut bits = random.iter().fold(0_u128, |bits, byte| (bits << 8) | u128::from(*byte));
    for _ in 0..16 {
        let index = usize::try_from(bits & 31).unwrap_or(0);
        text.push(ALPHABET.get(index).copied().map_or('0', char::from));
        bits >>= 5;
    }
    text
}

fn decode(prefix: &str, text: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|byte| ALPHABET.contains(&byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_round_trip_and_refuse_paths() {
        let id = SessionId::from_random([7; 10]);
        assert_eq!(SessionId::parse(id.as_str()), Some(id));
        assert_eq!(SessionId::parse("ses_../../../etc/pass"), None);
        assert_eq!(SessionId::parse("win_0000000000000000"), None);
    }
}
