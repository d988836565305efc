//! The nodes that describe who and what exists: the policy itself, identity providers, groups, connections,
//! their data, teams and delegation.

use super::{
    super::{ast::Referent, keyword::Keyword},
    ALGORITHMS, CONNECTION_KINDS,
    Domain::{
        self, Class, Credential, Duration, Group, Id, Label, Pattern, Pointer, Reference, Team, Text, Url, Uuid, Words,
        Zone,
    },
    Labels, SUBJECT_KINDS, Spec, WITHHELD, any, arg, needed, prop, some,
};
use crate::diag::Code;

/// `allow`, which may stand in every node.
pub(super) const ALLOW: Spec = Spec::new(Keyword::Allow, "Accepts a finding about the node it stands in.")
    .args(&[arg("rule", Domain::Code)])
    .props(&[prop("reason", Text), prop("until", Domain::Day)])
    .many();

/// `description`, of which a node has at most one.
pub(super) const DESCRIPTION: Spec =
    Spec::new(Keyword::Description, "Says what the node is for.").args(&[arg("text", Text)]);

/// `to`, optional.
pub(super) const TO: Spec = Spec::new(
    Keyword::To,
    "Whom the rule concerns: any of the groups, or with `all-of` only who holds them all; `kind=` narrows the line.",
)
.args(&[any("group", Domain::Principal)])
.props(&[prop("kind", Words(SUBJECT_KINDS))])
.many();

/// `on`, optional.
pub(super) const ON: Spec =
    Spec::new(Keyword::On, "Which connections the rule concerns: names, or labels that all hold.")
        .args(&[any("connection", Reference(Referent::Connection))])
        .props(&[prop("kind", Words(CONNECTION_KINDS)), prop("owner", Team)])
        .labels(Labels::InsteadOfArguments)
        .many();

pub(super) const POLICY: Spec = Spec::new(Keyword::Policy, "The repository: its name, timezone and files.")
    .props(&[needed("version", Domain::Integer(1, 1_000_000)), needed("name", Id)])
    .clauses(&[
        DESCRIPTION,
        Spec::new(Keyword::Timezone, "The one civil timezone of the policy.").args(&[arg("zone", Zone)]).required(),
        Spec::new(Keyword::Include, "The files of the policy, downward from here.").args(&[some("glob", Text)]).many(),
        Spec::new(Keyword::Labels, "The closed vocabulary of labels.").clauses(&[Spec::new(
            Keyword::Key,
            "A label and its values.",
        )
        .args(&[some("value", Label)])
        .many()]),
        Spec::new(Keyword::Staleness, "What a gateway does that cannot learn of changes any more.")
            .props(&[needed("max", Duration), needed("then", Words(&["keep", "no-new-windows", "deny"]))]),
        ALLOW,
    ]);

pub(super) const IDP: Spec = Spec::new(Keyword::Idp, "An identity provider whose tokens are accepted.")
    .args(&[arg("name", Id)])
    .clauses(&[
        DESCRIPTION,
        Spec::new(Keyword::Kind, "Entra ID, or any other provider.")
            .args(&[arg("kind", Words(&["entra", "oidc"]))])
            .required(),
        Spec::new(Keyword::Tenant, "The Entra tenant.").args(&[arg("tenant", Uuid(Code::P0004))]),
        Spec::new(Keyword::Authority, "A stand-in for Entra on this machine, for development.")
            .args(&[arg("url", Url)]),
        Spec::new(Keyword::Overage, "What to do when a token omits groups because there are too many.")
            .args(&[arg("way", Words(&["graph", "refuse"]))]),
        Spec::new(Keyword::AbsentGroups, "What a token without a groups claim means.")
            .args(&[arg("way", Words(&["refuse", "none"]))]),
        Spec::new(Keyword::Issuer, "The issuer of an OpenID Connect provider.").args(&[arg("url", Url)]),
        Spec::new(Keyword::Audience, "The audience that a token must state.")
            .args(&[some("audience", Text)])
            .required()
            .many(),
        Spec::new(Keyword::Claim, "The names of claims.").props(&[
            prop("subject", Text),
            prop("groups", Text),
            prop("roles", Text),
            prop("name", Text),
            prop("mfa", Text),
        ]),
        Spec::new(Keyword::MfaValue, "The value of the mfa claim that counts.").args(&[arg("value", Text)]),
        Spec::new(Keyword::MfaAge, "How old a multi-factor sign-in may be.").args(&[arg("age", Duration)]),
        Spec::new(Keyword::Algorithms, "The signature algorithms that are accepted.")
            .args(&[some("algorithm", Words(ALGORITHMS))]),
        Spec::new(Keyword::Leeway, "How far clocks may differ.").args(&[arg("leeway", Duration)]),
        ALLOW,
    ])
    .many();

pub(super) const GROUP: Spec = Spec::new(Keyword::Group, "A group of an identity provider.")
    .args(&[arg("name", Id)])
    .props(&[needed("idp", Reference(Referent::Idp)), prop("kind", Words(SUBJECT_KINDS))])
    .clauses(&[
        DESCRIPTION,
        Spec::new(Keyword::Id, "The object ids of the group.").args(&[some("uuid", Uuid(Code::P0203))]).many(),
        Spec::new(Keyword::ClaimValue, "The values of the roles claim that mean the group.")
            .args(&[some("value", Text)])
            .many(),
        Spec::new(Keyword::Within, "A group that contains this one.").args(&[some("group", Group)]).many(),
        Spec::new(Keyword::Size, "How many members the group has.")
            .props(&[prop("min", Domain::Integer(0, 10_000_000)), prop("max", Domain::Integer(0, 10_000_000))]),
        ALLOW,
    ])
    .many();

pub(super) const DISJOINT: Spec =
    Spec::new(Keyword::Disjoint, "Groups of which nobody holds two; a token that asserts two is refused.")
        .args(&[some("group", Group)])
        .clauses(&[ALLOW])
        .many();

pub(super) const CONNECTION: Spec = Spec::new(Keyword::Connection, "Something that people and programs connect to.")
    .args(&[arg("name", Id)])
    .props(&[needed("kind", Words(CONNECTION_KINDS))])
    .clauses(&[
        DESCRIPTION,
        Spec::new(Keyword::Owner, "The team that answers for the connection.").args(&[arg("team", Team)]),
        Spec::new(Keyword::Address, "Where it listens.")
            .args(&[arg("address", Text)])
            .props(&[prop("database", Text)])
            .required(),
        Spec::new(Keyword::Credential, "How the gateway signs in there; never a secret itself.")
            .args(&[arg("reference", Credential)])
            .props(&[prop("user", Text)]),
        Spec::new(Keyword::Tls, "How the upstream's certificate is verified.")
            .args(&[arg("way", Words(&["verify-full", "verify-ca", "off"]))])
            .props(&[prop("ca", Text)]),
        Spec::new(Keyword::Masking, "Whether statements are rewritten, or the database masks.")
            .args(&[arg("way", Words(&["rewrite", "database"]))]),
        Spec::new(Keyword::Label, "The labels of the connection.").labels(Labels::Permitted),
        Spec::new(Keyword::Catalog, "The file that lists its tables and columns.").args(&[arg("file", Text)]),
        Spec::new(Keyword::UpstreamAuth, "How an http upstream is told who calls.")
            .args(&[arg("way", Words(&["bearer", "basic", "header", "entra"]))]),
        Spec::new(Keyword::HostKey, "The ssh host key.").args(&[arg("key", Text)]),
        Spec::new(Keyword::Ca, "The authority of a kubernetes API's certificate.").args(&[arg("certificate", Text)]),
        ALLOW,
    ])
    .many();

pub(super) const CLASSIFY: Spec = Spec::new(Keyword::Classify, "What kind of data a connection holds.")
    .args(&[arg("connection", Reference(Referent::Connection))])
    .clauses(&[
        DESCRIPTION,
        Spec::new(Keyword::Column, "The class of a column.")
            .args(&[arg("column", Pattern)])
            .props(&[needed("as", Class)])
            .many(),
        Spec::new(Keyword::Table, "The class of all columns of a table.")
            .args(&[arg("table", Pattern)])
            .props(&[needed("as", Class)])
            .many(),
        Spec::new(Keyword::Json, "The class of a value in JSON.")
            .args(&[arg("pointer", Pointer)])
            .props(&[needed("as", Class)])
            .many(),
        Spec::new(Keyword::Unlisted, "What a column is worth that nothing names.")
            .args(&[arg("way", Words(&["hidden", "raw"]))]),
        ALLOW,
    ])
    .many();

pub(super) const TEAM: Spec = Spec::new(Keyword::Team, "A team that owns connections or a folder of the policy.")
    .args(&[arg("name", Id)])
    .clauses(&[
        DESCRIPTION,
        Spec::new(Keyword::Maintainers, "Who maintains the folder.").args(&[some("group", Group)]).required(),
        Spec::new(Keyword::Reviewers, "Who reviews changes, for CODEOWNERS.").args(&[some("reviewer", Text)]),
        Spec::new(Keyword::Folder, "The folder of the team.").args(&[arg("path", Text)]),
        ALLOW,
    ])
    .many();

pub(super) const DELEGATE: Spec = Spec::new(Keyword::Delegate, "What a team may hand out in its folder.")
    .args(&[arg("team", Team)])
    .clauses(&[
        DESCRIPTION,
        ON.required(),
        TO.required(),
        Spec::new(Keyword::Lifetime, "The longest lifetime that the team may give.").args(&[arg("lifetime", Duration)]),
        Spec::new(Keyword::No, "What the team may not give at all.").args(&[some("what", Words(WITHHELD))]),
        ALLOW,
    ])
    .many();

pub(super) const CATALOG: Spec = Spec::new(Keyword::Catalog, "The tables and columns of a connection, as exported.")
    .args(&[arg("connection", Reference(Referent::Connection))])
    .clauses(&[Spec::new(Keyword::Schema, "A schema.")
        .args(&[arg("name", Text)])
        .clauses(&[Spec::new(Keyword::Table, "A table.")
            .args(&[arg("name", Text)])
            .clauses(&[Spec::new(Keyword::Column, "A column.")
                .args(&[arg("name", Text)])
                .props(&[prop("type", Text)])
                .many()])
            .many()])
        .many()])
    .many();
