//! Who and what exists: identity providers, groups, connections, their data, teams and delegation.

use super::{ConnectionId, GroupId, Head, IdpId, On, Principal, TeamId};
use crate::{
    program::SubjectKind,
    protocol::ConnectionKind,
    span::{Span, Spanned},
    syntax::ast::CredentialKind,
    time::Ttl,
};

pub use crate::program::rules::{AbsentGroups, Claims, Masking, Overage, Staleness};

/// A key of the label vocabulary.
#[derive(Clone, Debug)]
pub struct LabelKey {
    /// The key.
    pub key: Spanned<String>,
    /// Its values.
    pub values: Vec<Spanned<String>>,
}

/// An identity provider.
#[derive(Clone, Debug)]
pub struct Idp {
    /// Name and place.
    pub head: Head,
    /// What it is.
    pub kind: IdpKind,
    /// Accepted audiences.
    pub audiences: Vec<Spanned<String>>,
    /// Names of claims.
    pub claims: Claims,
    /// The value of the mfa claim that counts.
    pub mfa_value: Option<Spanned<String>>,
    /// How old a multi-factor sign-in may be.
    pub mfa_age: Option<Spanned<Ttl>>,
    /// Accepted signature algorithms.
    pub algorithms: Vec<Spanned<String>>,
    /// How far clocks may differ.
    pub leeway: Option<Spanned<Ttl>>,
}

/// What an identity provider is.
#[derive(Clone, Debug)]
pub enum IdpKind {
    /// Microsoft Entra.
    Entra(EntraSettings),
    /// Any OIDC provider.
    Oidc(OidcSettings),
}

/// Settings of Entra.
#[derive(Clone, Debug)]
pub struct EntraSettings {
    /// The tenant, lower case.
    pub tenant: Spanned<String>,
    /// A stand-in on this machine, for development.
    pub authority: Option<Spanned<String>>,
    /// What happens above 200 groups; `None` when the policy does not say, which means refusal.
    pub overage: Option<Spanned<Overage>>,
    /// What a token without group evidence means; `None` when the policy does not say, which means refusal.
    pub absent_groups: Option<Spanned<AbsentGroups>>,
}

/// Settings of an OIDC provider.
#[derive(Clone, Debug)]
pub struct OidcSettings {
    /// The issuer.
    pub issuer: Spanned<String>,
}

/// A group of an identity provider.
#[derive(Clone, Debug)]
pub struct Group {
    /// Name and place.
    pub head: Head,
    /// The idp whose tokens assert it; `None` when its name is not defined, which is reported.
    pub idp: Option<Spanned<IdpId>>,
    /// The only kind that may hold it.
    pub kind: Option<Spanned<SubjectKind>>,
    /// Object ids, lower case.
    pub ids: Vec<Spanned<String>>,
    /// Values of the roles claim.
    pub claim_values: Vec<Spanned<String>>,
    /// Groups that contain this one.
    pub within: Vec<Spanned<GroupId>>,
    /// How many members it has.
    pub size: Option<Size>,
}

/// How many members a group has.
#[derive(Clone, Debug)]
pub struct Size {
    /// At least.
    pub min: Option<Spanned<u32>>,
    /// At most.
    pub max: Option<Spanned<u32>>,
    /// The clause.
    pub span: Span,
}

/// Groups of which nobody holds two.
#[derive(Clone, Debug)]
pub struct Disjoint {
    /// The groups.
    pub groups: Vec<Spanned<GroupId>>,
    /// The node.
    pub span: Span,
}

/// A target.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Name and place.
    pub head: Head,
    /// Its protocol.
    pub kind: Spanned<ConnectionKind>,
    /// Who answers for it.
    pub owner: Option<Spanned<TeamId>>,
    /// Whether an owner is named, defined or not.
    pub owner_named: bool,
    /// Where it listens.
    pub address: Spanned<String>,
    /// The database of a SQL connection.
    pub database: Option<Spanned<String>>,
    /// How the gateway signs in.
    pub credential: Option<Credential>,
    /// How the upstream's certificate is verified; `None` means fully.
    pub tls: Option<TlsSettings>,
    /// How columns are masked; `None` means by rewriting statements.
    pub masking: Option<Spanned<Masking>>,
    /// Labels as key and value.
    pub labels: Vec<(Spanned<String>, Spanned<String>)>,
    /// The file that lists its tables.
    pub catalog: Option<Spanned<String>>,
    /// Clauses of single kinds: `host-key`, `ca`, `upstream-auth`.
    pub settings: Vec<(String, Spanned<String>)>,
}

impl Connection {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(found, _)| found.value == key).map(|(_, value)| value.value.as_str())
    }
}

/// How the gateway signs in at a target.
#[derive(Clone, Debug)]
pub struct Credential {
    /// Where the credential comes from.
    pub kind: CredentialKind,
    /// The reference; never a secret.
    pub reference: Spanned<String>,
    /// The target's user.
    pub user: Option<Spanned<String>>,
    /// The clause.
    pub span: Span,
}

/// `tls`.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// How.
    pub way: Spanned<Tls>,
    /// The file of authorities.
    pub ca: Option<Spanned<String>>,
}

/// How a certificate is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Chain and name.
    VerifyFull,
    /// Chain only.
    VerifyCa,
    /// No TLS.
    Off,
}

/// What kind of data a connection holds.
#[derive(Clone, Debug)]
pub struct Classify {
    /// The connection's name and the place; several nodes may concern one connection.
    pub head: Head,
    /// The connection; `None` when its name is not defined, which is reported.
    pub connection: Option<ConnectionId>,
    /// What is classified.
    pub items: Vec<Classified>,
    /// Whether unlisted columns are hidden.
    pub unlisted_hidden: Option<Spanned<bool>>,
}

/// One classified object.
#[derive(Clone, Debug)]
pub struct Classified {
    /// `schema.table`, or a JSON pointer.
    pub object: Spanned<String>,
    /// The column, when the class concerns one.
    pub column: Option<String>,
    /// Whether the object is a JSON pointer.
    pub json: bool,
    /// The class.
    pub class: Spanned<String>,
}

/// The tables and columns of a connection.
#[derive(Clone, Debug)]
pub struct Catalog {
    /// The connection; `None` when its name is not defined, which is reported.
    pub connection: Option<ConnectionId>,
    /// The node's head.
    pub span: Span,
    /// The tables.
    pub tables: Vec<CatalogTable>,
    /// Whether part of it is wrong and reported.
    pub broken: bool,
}

/// One table of a catalog.
#[derive(Clone, Debug)]
pub struct CatalogTable {
    /// The schema.
    pub schema: String,
    /// The table.
    pub name: Spanned<String>,
    /// Its columns.
    pub columns: Vec<Spanned<String>>,
}

/// A team.
#[derive(Clone, Debug)]
pub struct Team {
    /// Name and place.
    pub head: Head,
    /// Who maintains its folder.
    pub maintainers: Vec<Spanned<GroupId>>,
    /// Who reviews changes.
    pub reviewers: Vec<Spanned<String>>,
    /// Its folder, relative to the policy's root, without a slash at the end.
    pub folder: Option<Spanned<String>>,
}

/// What a team may hand out in its folder.
#[derive(Clone, Debug)]
pub struct Delegate {
    /// The team's name and the place.
    pub head: Head,
    /// The team; `None` when its name is not defined, which is reported.
    pub team: Option<TeamId>,
    /// On which connections.
    pub on: On,
    /// To whom.
    pub to: Vec<Principal>,
    /// For how long at most.
    pub lifetime: Option<Spanned<Ttl>>,
    /// What not at all.
    pub withheld: Vec<Spanned<Withheld>>,
}

/// What a delegation withholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Withheld {
    /// Standing access.
    Standing,
    /// Break-glass.
    BreakGlass,
    /// Revealing masked classes.
    Reveal,
}
