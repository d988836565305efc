//! The canonical tables of a policy: what `lower` writes, what a bundle carries, what [`super::Program`] indexes.
//!
//! Every list is sorted by name and every set is sorted, so that one policy has one representation whatever the
//! order of its files and nodes. Nothing here depends on formatting: files and lines stand in the
//! [`super::SourceTable`] beside it.

use super::SubjectKind;
use super::scope::Scope;
use crate::protocol::{ConnectionKind, OpSet};
use crate::time::{Hours, Timestamp, Ttl, Valid};
use serde::{Deserialize, Serialize};

/// A whole policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The policy's name.
    pub name: String,
    /// IANA name of the one timezone.
    pub timezone: String,
    /// What happens when the gateway cannot confirm the branch's tip.
    pub staleness: Option<Staleness>,
    /// Identity providers.
    pub idps: Vec<Idp>,
    /// Groups.
    pub groups: Vec<Group>,
    /// Sets of groups of which a subject may hold one; each sorted.
    pub disjoint: Vec<Vec<String>>,
    /// Connections.
    pub connections: Vec<Connection>,
    /// Ceilings and floors.
    pub limits: Vec<Limits>,
    /// Masks.
    pub masks: Vec<Mask>,
    /// Guards.
    pub guards: Vec<Guard>,
    /// Approvals.
    pub approvals: Vec<Approval>,
    /// Grants and break-glass grants; ids share one namespace.
    pub grants: Vec<Grant>,
    /// Forbids.
    pub forbids: Vec<Forbid>,
    /// Who may act on other people's sessions.
    pub operators: Vec<Operate>,
    /// Embedded policy tests: the gateway runs them before it activates.
    pub tests: Vec<Test>,
}

/// `staleness max= then=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staleness {
    /// How long the tip may stay unconfirmed.
    pub max: Ttl,
    /// What then holds.
    pub then: WhenStale,
}

/// What holds when a policy is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenStale {
    /// The last good bundle stays in force.
    Keep,
    /// Open windows run to their end; nothing new opens.
    NoNewWindows,
    /// Nothing is permitted.
    Deny,
}

/// An identity provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Idp {
    /// Name.
    pub name: String,
    /// Entra or plain OIDC.
    pub flavour: IdpFlavour,
    /// Accepted `aud` values, sorted.
    pub audiences: Vec<String>,
    /// Claim names.
    pub claims: Claims,
    /// The value of the mfa claim that proves multi-factor authentication.
    pub mfa_value: Option<String>,
    /// How old that proof may be.
    pub mfa_age: Option<Ttl>,
    /// Accepted signature algorithms (`RS256`…), sorted; empty means the default set of asymmetric algorithms.
    pub algorithms: Vec<String>,
    /// Tolerated clock difference.
    pub leeway: Ttl,
}

/// What an identity provider is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdpFlavour {
    /// Microsoft Entra: both issuers, v1 and v2, follow from the tenant.
    Entra {
        /// Tenant id, lower case.
        tenant: String,
        /// A loopback authority for development.
        authority: Option<String>,
        /// What happens above 200 groups.
        overage: Overage,
        /// What a token without group evidence means.
        absent_groups: AbsentGroups,
    },
    /// Any OIDC provider.
    Oidc {
        /// Issuer URL.
        issuer: String,
    },
}

/// What happens when a token refers to its groups instead of listing them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overage {
    /// Resolve them through Microsoft Graph.
    Graph,
    /// Refuse the token.
    Refuse,
}

/// What a token without group evidence means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AbsentGroups {
    /// The subject is refused.
    Refuse,
    /// The subject holds no group.
    None,
}

/// Names of claims; `None` means the provider's usual one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The subject's key.
    pub subject: Option<String>,
    /// Group object ids.
    pub groups: Option<String>,
    /// Roles.
    pub roles: Option<String>,
    /// A display name.
    pub name: Option<String>,
    /// Proof of multi-factor authentication.
    pub mfa: Option<String>,
}

/// A group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Name.
    pub name: String,
    /// The idp whose tokens assert it.
    pub idp: String,
    /// The only kind that may hold it.
    pub kind: Option<SubjectKind>,
    /// Object ids, lower case, sorted.
    pub ids: Vec<String>,
    /// Values of the roles claim, sorted.
    pub claim_values: Vec<String>,
    /// Groups that every member also holds, sorted.
    pub within: Vec<String>,
    /// The least declared size.
    pub size_min: Option<u32>,
    /// The greatest declared size.
    pub size_max: Option<u32>,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// Name.
    pub name: String,
    /// Protocol.
    pub kind: ConnectionKind,
    /// Owning team.
    pub owner: Option<String>,
    /// `host:port`, or an https URL.
    pub address: String,
    /// Database of a SQL connection.
    pub database: Option<String>,
    /// The injected credential: a reference, never a secret.
    pub credential: Credential,
    /// How the target's TLS is verified.
    pub tls: Tls,
    /// How columns are masked.
    pub masking: Masking,
    /// Labels, sorted by key.
    pub labels: Vec<(String, String)>,
    /// Clauses of other kinds that later versions read (host key, upstream-auth, ca), sorted by keyword.
    pub settings: Vec<(String, String)>,
    /// Classified objects, sorted.
    pub classified: Vec<Classified>,
    /// Whether unlisted columns of a relation with a masked one are hidden.
    pub unlisted_hidden: Option<bool>,
    /// Columns that the catalog lists, `schema.table.column`, sorted; only where unlisted columns are hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<Vec<String>>,
}

/// A reference to a credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// The annotation: `env`, `file`, `vault`…
    pub source: String,
    /// What the annotation reads: a variable, a path, a mount.
    pub reference: String,
    /// The target's user.
    pub user: String,
}

/// How the target's TLS is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Chain and name; an optional file of certificate authorities.
    VerifyFull {
        /// PEM file of authorities instead of the system's.
        ca: Option<String>,
    },
    /// Chain only.
    VerifyCa {
        /// PEM file of authorities.
        ca: Option<String>,
    },
    /// No TLS.
    Off,
}

/// How columns are masked on a SQL connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Masking {
    /// Statements are rewritten.
    Rewrite,
    /// The database's own privileges.
    Database,
}

/// A classified object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Classified {
    /// `schema.table` pattern, or a JSON pointer.
    pub object: String,
    /// A column, when the class concerns one.
    pub column: Option<String>,
    /// Class, for example `pii.email`.
    pub class: String,
}

/// One alternative of `to`: all of these groups, and the kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Principal {
    /// Groups, sorted; all are needed.
    pub groups: Vec<String>,
    /// The kind, when the line names one.
    pub kind: Option<SubjectKind>,
}

/// Whom a rule concerns: any of the alternatives; `everybody` when the rule has no `to`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum To {
    /// Every subject.
    Everybody,
    /// Any of these, sorted.
    Any(Vec<Principal>),
}

/// Per-kind values; a kind left out is not bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerKind<T> {
    /// For people.
    pub human: Option<T>,
    /// For services.
    pub service: Option<T>,
    /// For agents.
    pub agent: Option<T>,
}

impl<T: Copy> PerKind<T> {
    /// The value for `kind`.
    pub const fn of(&self, kind: SubjectKind) -> Option<T> {
        match kind {
            SubjectKind::Human => self.human,
            SubjectKind::Service => self.service,
            SubjectKind::Agent => self.agent,
        }
    }
}

/// How much of a session is recorded; ordered from less to more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recorded {
    /// Opening, decisions and end.
    None,
    /// Statements and counts.
    Metadata,
    /// Everything, rows included.
    Full,
}

impl Recorded {
    /// The word of the language.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Metadata => "metadata",
            Self::Full => "full",
        }
    }
}

/// At most `count` windows in a rolling period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AtMost {
    /// How many.
    pub count: u32,
    /// The rolling period.
    pub per: Ttl,
}

/// `limits`: ceilings and floors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Name.
    pub name: String,
    /// Connections, sorted.
    pub on: Vec<String>,
    /// Whom it concerns.
    pub to: To,
    /// The longest total, lifetime and extensions.
    pub lifetime: PerKind<Ttl>,
    /// The most extensions.
    pub extend: PerKind<u32>,
    /// Whether standing access is denied.
    pub standing_denied: bool,
    /// The least recording.
    pub recorded: Option<Recorded>,
    /// Approvals that every window needs, sorted.
    pub approvals: Vec<String>,
    /// A reason is required.
    pub reason: bool,
    /// A ticket that matches is required.
    pub ticket: Option<String>,
    /// Multi-factor authentication is required.
    pub mfa: bool,
    /// Access exists only within.
    pub hours: Option<Hours>,
    /// Between two windows.
    pub cooldown: Option<Ttl>,
    /// How many windows.
    pub at_most: Option<AtMost>,
}

/// How a value is masked; ordered from weaker to stricter by [`super::terms`], not here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaskAs {
    /// Keeps the first and last characters.
    Partial {
        /// Kept at the beginning.
        keep_first: u32,
        /// Kept at the end.
        keep_last: u32,
    },
    /// A keyed hash.
    Hash,
    /// `[redacted]`.
    Redact,
    /// A fixed text.
    Fixed(String),
    /// NULL.
    Nullify,
}

/// `mask`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mask {
    /// Name.
    pub name: String,
    /// Connections, sorted; every connection when the rule has no `on`.
    pub on: Option<Vec<String>>,
    /// Whom it concerns.
    pub to: To,
    /// Class patterns (`pii.*`), sorted.
    pub classes: Vec<String>,
    /// Columns, `schema.table.column`, sorted.
    pub columns: Vec<String>,
    /// Patterns over values with their checks, sorted.
    pub patterns: Vec<(String, Option<String>)>,
    /// JSON pointers, sorted.
    pub json: Vec<String>,
    /// How.
    pub mask: MaskAs,
    /// Whether a grant may lift it.
    pub reveal_by_grant: bool,
}

/// `guard`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Name.
    pub name: String,
    /// Connections, sorted.
    pub on: Vec<String>,
    /// Whom it concerns.
    pub to: To,
    /// Blocked operations with their scopes.
    pub blocks: Vec<Region>,
    /// Operations outside of which everything is blocked; none of them means no `only`.
    pub only: Vec<Region>,
    /// Operations that wait for a person.
    pub reviews: Vec<Review>,
    /// Permitted command lines; empty means any.
    pub argv: Vec<String>,
    /// The most rows that a statement may return.
    pub rows: Option<u64>,
    /// The longest run of a statement.
    pub seconds: Option<u64>,
    /// The most bytes that a statement may return.
    pub bytes: Option<u64>,
    /// When it applies.
    pub hours: Option<Hours>,
}

/// Operations on objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Region {
    /// Operations.
    pub ops: OpSet,
    /// Objects.
    pub scope: Scope,
}

/// `review … by=`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Review {
    /// What waits.
    pub region: Region,
    /// The approval.
    pub by: String,
}

/// `approval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Name.
    pub name: String,
    /// How many people from which groups; each line needs its count.
    pub quorum: Vec<Quorum>,
    /// Whether lines need distinct people.
    pub separate: bool,
    /// How long an answer may take.
    pub answer_within: Ttl,
    /// Channels of the gateway, sorted.
    pub notify: Vec<String>,
}

/// `quorum N from=`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Quorum {
    /// How many distinct people.
    pub count: u32,
    /// Groups, any of which counts, sorted.
    pub from: Vec<String>,
}

/// How a grant is had; ordered from stricter to looser.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A window opens on request.
    Requested,
    /// Always.
    Standing,
}

impl Mode {
    /// The word of the language.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Standing => "standing",
        }
    }
}

/// `grant` and `break-glass`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Id.
    pub id: String,
    /// Connections, sorted: one for a grant, any number for break-glass.
    pub on: Vec<String>,
    /// Whom it concerns; never everybody.
    pub to: Vec<Principal>,
    /// How it is had.
    pub mode: Mode,
    /// The window, or the longest session of standing access.
    pub lifetime: Ttl,
    /// How many extensions.
    pub extend: u32,
    /// By how much each.
    pub extend_by: Ttl,
    /// Operations.
    pub permit: OpSet,
    /// Objects.
    pub scope: Scope,
    /// How much is recorded.
    pub recorded: Recorded,
    /// Approvals of its own, sorted.
    pub approvals: Vec<String>,
    /// Classes it reveals, sorted.
    pub reveal: Vec<String>,
    /// Access exists only within.
    pub hours: Option<Hours>,
    /// Days on which it is valid.
    pub valid: Option<Valid>,
    /// A reason is required.
    pub reason: bool,
    /// A ticket that matches is required.
    pub ticket: Option<String>,
    /// Multi-factor authentication is required.
    pub mfa: bool,
    /// Between two windows.
    pub cooldown: Option<Ttl>,
    /// How many windows.
    pub at_most: Option<AtMost>,
    /// Grants beside which it is meant to stand, sorted.
    pub beside: Vec<String>,
    /// What makes it a break-glass grant.
    pub break_glass: Option<BreakGlass>,
}

/// The clauses of `break-glass` alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakGlass {
    /// Approvals that open the window are waived.
    pub waives_approval: bool,
    /// Channels, sorted.
    pub notify: Vec<String>,
    /// How long the review afterwards may take.
    pub within: Ttl,
    /// Who reviews.
    pub review: Quorum,
}

/// `forbid`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forbid {
    /// Name.
    pub name: String,
    /// Connections, sorted.
    pub on: Vec<String>,
    /// Whom it concerns; never everybody.
    pub to: Vec<Principal>,
    /// When it applies.
    pub hours: Option<Hours>,
    /// Days on which it applies.
    pub valid: Option<Valid>,
}

/// `operate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operate {
    /// Name.
    pub name: String,
    /// Connections, sorted.
    pub on: Vec<String>,
    /// Who; never everybody.
    pub to: Vec<Principal>,
    /// What, sorted.
    pub may: Vec<Operator>,
}

/// What an operator may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    /// End windows and sessions.
    Revoke,
    /// Follow live sessions.
    Watch,
    /// Read recordings.
    Replay,
    /// See requests.
    Requests,
    /// See the policy's state.
    Policy,
}

impl Operator {
    /// The word of the language.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Watch => "watch",
            Self::Replay => "replay",
            Self::Requests => "requests",
            Self::Policy => "policy",
        }
    }

    /// The capability that a policy's word names.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Revoke, Self::Watch, Self::Replay, Self::Requests, Self::Policy]
            .into_iter()
            .find(|may| may.word() == word)
    }
}

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
    pub object: super::Object,
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

/// The kinds of rules that a decision can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RuleKind {
    /// `grant`.
    Grant,
    /// `break-glass`.
    BreakGlass,
    /// `forbid`.
    Forbid,
    /// `guard`.
    Guard,
    /// `limits`.
    Limits,
    /// `mask`.
    Mask,
    /// `approval`.
    Approval,
    /// `operate`.
    Operate,
    /// `connection`.
    Connection,
    /// `group`.
    Group,
    /// `disjoint`.
    Disjoint,
    /// `idp`.
    Idp,
    /// `test`.
    Test,
    /// `assert`.
    Assert,
    /// `policy`.
    Policy,
}

impl RuleKind {
    /// The keyword of the language.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::BreakGlass => "break-glass",
            Self::Forbid => "forbid",
            Self::Guard => "guard",
            Self::Limits => "limits",
            Self::Mask => "mask",
            Self::Approval => "approval",
            Self::Operate => "operate",
            Self::Connection => "connection",
            Self::Group => "group",
            Self::Disjoint => "disjoint",
            Self::Idp => "idp",
            Self::Test => "test",
            Self::Assert => "assert",
            Self::Policy => "policy",
        }
    }
}

/// Names a rule: `guard prod-sql`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RuleId {
    /// Its kind.
    pub kind: RuleKind,
    /// Its name or id.
    pub name: String,
}

impl RuleId {
    /// The rule of this kind and name.
    pub fn new(kind: RuleKind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl std::fmt::Display for RuleId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.word(), self.name)
    }
}
