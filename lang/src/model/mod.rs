//! The resolved policy: every name is an id of a table here, every value is typed, and everything that a finding
//! may point to keeps its place in the text.
//!
//! A model may stem from a policy with mistakes: what could not be resolved is left out and its item is marked as
//! broken, so that no check concludes anything from an absence. Only a policy without an error is lowered.

mod access;
mod estate;
mod ids;
mod parts;
mod proof;

pub use access::{
    Approval, AtMost, BreakGlass, Forbid, Grant, Guard, Lifetime, Limits, Mask, MaskForm, Operate, PatternMask, Quorum,
    Region, Review, Target,
};
pub use estate::{
    AbsentGroups, Catalog, CatalogTable, Claims, Classified, Classify, Connection, Credential, Delegate, Disjoint,
    EntraSettings, Group, Idp, IdpKind, LabelKey, Masking, OidcSettings, Overage, Size, Staleness, Team, Tls,
    TlsSettings, Withheld,
};
pub use ids::{ApprovalId, ConnectionId, GrantId, GroupId, IdpId, TeamId};
pub use parts::{Head, Objects, On, OnLine, OpWord, Ops, PerKind, Principal, Property, Selector, To};
pub use proof::{Assert, Claim, Expect, Test};

use crate::{
    span::{Span, Spanned},
    time::Zone,
};
use std::ops::Index;

/// A whole policy, in the order of its files and nodes.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The policy's name.
    pub name: Spanned<String>,
    /// The `policy` node.
    pub span: Span,
    /// The name of the one timezone.
    pub timezone: Spanned<String>,
    /// The timezone.
    pub zone: Zone,
    /// What a gateway does that cannot learn of changes any more.
    pub staleness: Option<Spanned<Staleness>>,
    /// The closed vocabulary of labels.
    pub labels: Vec<LabelKey>,
    /// Identity providers.
    pub idps: Vec<Idp>,
    /// Groups.
    pub groups: Vec<Group>,
    /// Sets of groups of which nobody holds two.
    pub disjoint: Vec<Disjoint>,
    /// Connections.
    pub connections: Vec<Connection>,
    /// What kind of data connections hold.
    pub classify: Vec<Classify>,
    /// Tables and columns as exported.
    pub catalogs: Vec<Catalog>,
    /// `limits`, each with the connections that its selectors expand to.
    pub limits: Vec<Limits>,
    /// `mask`, their classes and columns as written.
    pub masks: Vec<Mask>,
    /// `guard`.
    pub guards: Vec<Guard>,
    /// `approval`.
    pub approvals: Vec<Approval>,
    /// `grant` and `break-glass`.
    pub grants: Vec<Grant>,
    /// `forbid`.
    pub forbids: Vec<Forbid>,
    /// Who may act on other people's sessions.
    pub operators: Vec<Operate>,
    /// Teams.
    pub teams: Vec<Team>,
    /// What teams may hand out.
    pub delegates: Vec<Delegate>,
    /// Tests.
    pub tests: Vec<Test>,
    /// Assertions.
    pub asserts: Vec<Assert>,
}

impl Policy {
    /// Every connection with its id.
    pub fn connection_ids(&self) -> impl Iterator<Item = (ConnectionId, &Connection)> {
        self.connections.iter().enumerate().map(|(index, item)| (ConnectionId::at(index), item))
    }

    /// Every group with its id.
    pub fn group_ids(&self) -> impl Iterator<Item = (GroupId, &Group)> {
        self.groups.iter().enumerate().map(|(index, item)| (GroupId::at(index), item))
    }

    /// Every approval with its id.
    pub fn approval_ids(&self) -> impl Iterator<Item = (ApprovalId, &Approval)> {
        self.approvals.iter().enumerate().map(|(index, item)| (ApprovalId::at(index), item))
    }

    /// Every grant with its id.
    pub fn grant_ids(&self) -> impl Iterator<Item = (GrantId, &Grant)> {
        self.grants.iter().enumerate().map(|(index, item)| (GrantId::at(index), item))
    }

    /// Every idp with its id.
    pub fn idp_ids(&self) -> impl Iterator<Item = (IdpId, &Idp)> {
        self.idps.iter().enumerate().map(|(index, item)| (IdpId::at(index), item))
    }

    /// Every team with its id.
    pub fn team_ids(&self) -> impl Iterator<Item = (TeamId, &Team)> {
        self.teams.iter().enumerate().map(|(index, item)| (TeamId::at(index), item))
    }
}

macro_rules! tables {
    ($( $id:ident => $table:ident: $item:ident; )*) => { $(
        impl Index<$id> for Policy {
            type Output = $item;

            #[expect(clippy::indexing_slicing, reason = "ids are positions in the tables of the policy that made them")]
            fn index(&self, id: $id) -> &$item {
                &self.$table[id.index()]
            }
        }
    )* };
}

tables! {
    IdpId => idps: Idp;
    GroupId => groups: Group;
    ConnectionId => connections: Connection;
    ApprovalId => approvals: Approval;
    GrantId => grants: Grant;
    TeamId => teams: Team;
}
