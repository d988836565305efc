//! The words of the language: the names of all nodes and clauses. Which word may stand where is the schema's business.

use std::fmt;

macro_rules! keywords {
    ($( $variant:ident = $word:literal; )*) => {
        /// The name of a node or clause.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Keyword {
            $( #[doc = concat!("`", $word, "`")] $variant, )*
            /// A key that the policy itself chooses: a label of `labels`.
            Key,
        }

        impl Keyword {
            /// Every word, nodes first.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The word as a policy writes it; empty for [`Keyword::Key`].
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* Self::Key => "" }
            }
        }
    };
}

keywords! {
    Policy = "policy";
    Idp = "idp";
    Group = "group";
    Disjoint = "disjoint";
    Connection = "connection";
    Classify = "classify";
    Limits = "limits";
    Mask = "mask";
    Guard = "guard";
    Approval = "approval";
    Grant = "grant";
    Forbid = "forbid";
    BreakGlass = "break-glass";
    Operate = "operate";
    Team = "team";
    Delegate = "delegate";
    Test = "test";
    Assert = "assert";
    Catalog = "catalog";
    Description = "description";
    Timezone = "timezone";
    Include = "include";
    Labels = "labels";
    Staleness = "staleness";
    Kind = "kind";
    Tenant = "tenant";
    Authority = "authority";
    Overage = "overage";
    AbsentGroups = "absent-groups";
    Issuer = "issuer";
    Audience = "audience";
    Claim = "claim";
    MfaValue = "mfa-value";
    MfaAge = "mfa-age";
    Algorithms = "algorithms";
    Leeway = "leeway";
    Id = "id";
    ClaimValue = "claim-value";
    Within = "within";
    Size = "size";
    Owner = "owner";
    Address = "address";
    Credential = "credential";
    Tls = "tls";
    Masking = "masking";
    Label = "label";
    UpstreamAuth = "upstream-auth";
    HostKey = "host-key";
    Ca = "ca";
    Column = "column";
    Table = "table";
    Json = "json";
    Unlisted = "unlisted";
    On = "on";
    To = "to";
    Lifetime = "lifetime";
    Extend = "extend";
    Standing = "standing";
    Recorded = "recorded";
    Reason = "reason";
    Ticket = "ticket";
    Mfa = "mfa";
    Hours = "hours";
    Cooldown = "cooldown";
    AtMost = "at-most";
    Class = "class";
    Pattern = "pattern";
    As = "as";
    Reveal = "reveal";
    Block = "block";
    Only = "only";
    Review = "review";
    Argv = "argv";
    Limit = "limit";
    Quorum = "quorum";
    Separate = "separate";
    AnswerWithin = "answer-within";
    Notify = "notify";
    When = "when";
    Permit = "permit";
    Namespace = "namespace";
    Path = "path";
    Resource = "resource";
    Valid = "valid";
    Beside = "beside";
    Waives = "waives";
    Afterwards = "afterwards";
    May = "may";
    Maintainers = "maintainers";
    Reviewers = "reviewers";
    Folder = "folder";
    No = "no";
    Open = "open";
    Expect = "expect";
    Never = "never";
    Always = "always";
    Where = "where";
    Allow = "allow";
    Schema = "schema";
}

impl fmt::Display for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
