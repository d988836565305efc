//! The tests that a policy carries.

use super::Recorded;
use crate::program::Object;
use crate::program::SubjectKind;
use crate::protocol::OpSet;
use crate::time::{Timestamp, Ttl};
use serde::{Deserialize, Serialize};

/// An embedded policy test: a request point and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Test {
    /// The sentence that names it.
    pub name: String,
    /// The subject's kind.
    pub kind: SubjectKind,
    /// Asserted groups, sorted.
    pub groups: Vec<String>,
    /// The connection.
    pub connection: String,
    /// The operation; any of a family must agree.
    pub ops: OpSet,
    /// The object: `table=`, `path=`, `namespace=` or `argv=`.
    pub object: Object,
    /// The instant; every time cell when absent.
    pub at: Option<Timestamp>,
    /// The grant asked for.
    pub via: Option<String>,
    /// What is expected.
    pub expect: Expect,
}

/// `expect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expect {
    /// Denied, or the mode of the access.
    pub outcome: Expected,
    /// The window's length.
    pub lifetime: Option<Ttl>,
    /// The recording.
    pub recorded: Option<Recorded>,
    /// The grant.
    pub grant: Option<String>,
    /// An approval among those required.
    pub approval: Option<String>,
    /// Whether a reason is required.
    pub reason: Option<bool>,
    /// A mask, by the word of its form, on the object.
    pub mask: Option<String>,
    /// A rule among the reasons.
    pub by: Option<String>,
}

/// The outcome that a test expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// A window on request.
    Requested,
    /// Standing access.
    Standing,
    /// Refusal.
    Denied,
}
