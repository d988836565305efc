//! Tests and assertions about a policy.

use super::{ApprovalId, ConnectionId, GrantId, GroupId, Head, On, Ops, Principal, To};
use crate::{
    program::{
        Object, SubjectKind,
        rules::{Expected, Mode, Recorded},
    },
    span::{Span, Spanned},
    time::{Timestamp, Ttl},
};

/// A request and the answer that it must get.
#[derive(Clone, Debug)]
pub struct Test {
    /// The sentence that names it, and its place.
    pub head: Head,
    /// What asks.
    pub kind: SubjectKind,
    /// The groups that it asserts.
    pub groups: Vec<Spanned<GroupId>>,
    /// The connection; `None` when its name is not defined, which is reported.
    pub connection: Option<Spanned<ConnectionId>>,
    /// The operation, or a family of which every member must agree.
    pub ops: Ops,
    /// The object.
    pub object: Object,
    /// The instant; every time cell when absent.
    pub at: Option<Spanned<Timestamp>>,
    /// The grant that is asked for; may be one that does not exist.
    pub via: Option<Spanned<GrantId>>,
    /// The answer.
    pub expect: Expect,
}

/// The answer that a test expects.
#[derive(Clone, Debug)]
pub struct Expect {
    /// Denied, or the mode.
    pub outcome: Spanned<Expected>,
    /// The window's length.
    pub lifetime: Option<Spanned<Ttl>>,
    /// The recording.
    pub recorded: Option<Spanned<Recorded>>,
    /// The grant.
    pub grant: Option<Spanned<GrantId>>,
    /// An approval among those required.
    pub approval: Option<Spanned<ApprovalId>>,
    /// Whether a reason is required.
    pub reason: Option<Spanned<bool>>,
    /// The form of the mask on the object, or `raw`.
    pub mask: Option<Spanned<String>>,
    /// A rule among the reasons.
    pub by: Option<Spanned<String>>,
    /// The clause.
    pub span: Span,
}

/// A sentence that holds for every request.
#[derive(Clone, Debug)]
pub struct Assert {
    /// The sentence that names it, and its place.
    pub head: Head,
    /// What it claims; `None` when it is wrong and reported.
    pub claim: Option<Claim>,
    /// About whom.
    pub to: To,
    /// On which connections; all when absent.
    pub on: Option<On>,
    /// Only requests that can see such data.
    pub where_raw: Option<Spanned<String>>,
}

/// What an assertion claims.
#[derive(Clone, Debug)]
pub enum Claim {
    /// No access of this mode.
    NeverMode(Spanned<Mode>),
    /// No such operation.
    NeverOp(Ops),
    /// Such data is never seen unmasked.
    NeverRaw(Spanned<String>),
    /// Nobody else.
    Only(Vec<Principal>),
    /// Every access has this term, as the property's key and text.
    Always(Spanned<String>, Spanned<String>),
}
