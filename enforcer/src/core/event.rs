//! What a recording holds: one event for each command, response and decision of a session.
//!
//! Frames are the protocol's own bytes *after* inspection, so that a recording never holds what the client did
//! not see. Login messages are never events: a token or a credential cannot reach a recording.

use super::id::{RequestId, SessionId, WindowId};
use super::identity::Subject;
use lang::time::Timestamp;
use serde::{Deserialize, Serialize};

/// One entry of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When the gateway saw it.
    pub at: Timestamp,
    /// What it was.
    pub what: What,
}

/// The kinds of entries.
///
/// The names on disk are these in snake case; see `docs/recording-format.md`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The first entry of every recording.
    Opened(Box<Opened>),
    /// Protocol frames on their way to the target. The recorder may split a long run anywhere: readers join them.
    FromClient(#[serde(with = "bytes_as_cbor")] bytes::Bytes),
    /// Protocol frames on their way to the client. The recorder may split a long run anywhere: readers join them.
    ToClient(#[serde(with = "bytes_as_cbor")] bytes::Bytes),
    /// What stood in for rows that the level `metadata` leaves out.
    RowsOmitted {
        /// How many rows.
        rows: u64,
        /// How many bytes.
        bytes: u64,
    },
    /// The judgement of one statement or request.
    Decision(Decision),
    /// The session goes on under another bundle.
    Reauthorised {
        /// Semantic digest of the bundle, lower-case hexadecimal.
        bundle: String,
        /// Commit of the policy repository.
        commit: String,
    },
    /// The last entry of a recording that was closed in order.
    Closed {
        /// A word: `client`, `upstream`, `window-end`, `revoked`, `policy`, `identity`, `drain`, `fault`, `recorder`.
        cause: String,
        /// One sentence for people.
        sentence: String,
    },
}

/// The facts under which a session opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The session.
    pub session: SessionId,
    /// The gateway's name.
    pub gateway: String,
    /// Who.
    pub subject: Subject,
    /// What the token calls the subject, for people only.
    pub subject_name: Option<String>,
    /// `human`, `service` or `agent`.
    pub kind: String,
    /// The policy's groups that the subject holds, sorted.
    pub groups: Vec<String>,
    /// The connection.
    pub connection: String,
    /// The protocol: `postgres`.
    pub protocol: String,
    /// The grant of the session.
    pub grant: String,
    /// The request that led to the window; none for a standing grant.
    pub request: Option<RequestId>,
    /// The window; none for a standing grant.
    pub window: Option<WindowId>,
    /// The absolute end of the session.
    pub ends: Timestamp,
    /// `none`, `metadata` or `full`.
    pub recorded: String,
    /// Semantic digest of the bundle, lower-case hexadecimal.
    pub bundle: String,
    /// Commit of the policy repository.
    pub commit: String,
    /// The reason that the requester gave.
    pub reason: Option<String>,
    /// The ticket that the requester gave.
    pub ticket: Option<String>,
    /// The start-up `user`, free text of the client.
    pub client_user: String,
    /// The start-up `application_name`.
    pub application_name: Option<String>,
    /// A trace id that the client supplied.
    pub trace: Option<String>,
    /// The client's address.
    pub peer: String,
}

/// How one statement or request was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// `allowed`, `denied`, `held`, `released`, `limited`.
    pub outcome: String,
    /// Operations with their objects: `select public.orders`.
    pub accesses: Vec<String>,
    /// The rule that decided: `guard prod-sql`, `grant orders-read`.
    pub rule: Option<String>,
    /// The rule's file and line in the policy repository.
    pub place: Option<String>,
    /// One sentence for people.
    pub sentence: String,
}

mod bytes_as_cbor {
    //! Byte strings as CBOR byte strings, not as arrays of numbers.
    use bytes::Bytes;
    use serde::{Deserializer, Serializer, de::Visitor};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        struct Raw;
        impl Visitor<'_> for Raw {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a byte string")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes::copy_from_slice(bytes))
            }
            fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
                Ok(bytes.into())
            }
        }
        deserializer.deserialize_byte_buf(Raw)
    }
}
