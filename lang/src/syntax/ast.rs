//! A policy file as a typed tree: every node, argument and property is known to the schema, and every value is
//! read as what the schema says it is. Names are not resolved here.
//!
//! What was wrong has been reported and stands as [`Typed::Invalid`], or is left out where the schema knows no such
//! thing. Whoever reads the tree stays silent about both: accessors answer `None` for an invalid value.

use super::keyword::Keyword;
use crate::{
    span::{SourceId, Span, Spanned},
    time::{Hours, Timestamp, Ttl},
};
use jiff::civil::Date;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The file.
    pub source: SourceId,
    /// The nodes of the file in order.
    pub nodes: Vec<Node>,
    /// Whether the file holds mistakes of syntax, so that nodes may be missing from `nodes`.
    pub broken: bool,
}

/// A node of a policy, or a clause of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub keyword: Keyword,
    /// The word as written; it differs from the keyword's only for [`Keyword::Key`].
    pub word: Spanned<String>,
    /// The whole node with its block.
    pub span: Span,
    /// From the keyword to the last argument or property, without the block.
    pub head: Span,
    /// The arguments in order.
    pub args: Vec<Value>,
    /// The properties in order; each key stands once.
    pub props: Vec<Prop>,
    /// The clauses in order.
    pub clauses: Vec<Node>,
    /// Whether something of this node was wrong and is left out, so that nothing may be concluded from an absence.
    pub broken: bool,
}

/// A property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prop {
    /// The key.
    pub key: Spanned<String>,
    /// The value.
    pub value: Value,
    /// Key and value.
    pub span: Span,
}

/// The value of an argument or property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Where it stands, with its annotation.
    pub span: Span,
    /// Its text after escapes are resolved; for a number its digits.
    pub text: String,
    /// What it was read as.
    pub typed: Typed,
}

/// What a value was read as. The text of all but numbers and times is in [`Value::text`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Typed {
    /// The identifier that a node defines.
    Id,
    /// The bare identifier of something that another node defines.
    Reference(Referent),
    /// `group:NAME`; the text is NAME.
    Group,
    /// `team:NAME`; the text is NAME.
    Team,
    /// One of a closed list of words.
    Word,
    /// A label's key or value.
    Label,
    /// The name of an operation, a family or `prefix.*`; not checked against a connection's kind.
    Operation,
    /// A data class such as `pii.email`, or `pii.*`.
    Class,
    /// A pattern of table, column, path, namespace, resource or command names.
    Pattern,
    /// Free text.
    Text,
    /// A regular expression; not compiled.
    Regex,
    /// A UUID in lower case.
    Uuid,
    /// A reference to a credential; the text is the reference.
    Credential(CredentialKind),
    /// A length of time.
    Duration(Ttl),
    /// A whole number that is not negative.
    Integer(u64),
    /// Weekly hours.
    Hours(Hours),
    /// A civil day.
    Day(Date),
    /// An instant.
    Instant(Timestamp),
    /// The code of a rule, for example `P0410`.
    Code(crate::diag::Code),
    /// Wrong, and reported.
    Invalid,
}

/// What a bare identifier refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Referent {
    /// An `idp`.
    Idp,
    /// A `connection`.
    Connection,
    /// An `approval`.
    Approval,
    /// A `grant` or `break-glass`.
    Grant,
    /// Any rule.
    Rule,
}

impl Referent {
    /// The word for it in messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Idp => "idp",
            Self::Connection => "connection",
            Self::Approval => "approval",
            Self::Grant => "grant",
            Self::Rule => "rule",
        }
    }
}

/// Where a credential comes from: the annotation of `credential (kind)"reference"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialKind {
    /// An environment variable of the gateway.
    Env,
    /// A file of the gateway.
    File,
    /// `HashiCorp` Vault, `mount/path#key`.
    Vault,
    /// Azure Key Vault, `vault/secret`.
    AzureKeyvault,
    /// AWS Secrets Manager, `id#key`.
    AwsSecretsmanager,
    /// A token of the gateway's own workload identity for this scope.
    Entra,
    /// A PostgreSQL role created for the session from this template.
    PostgresRole,
    /// A certificate minted for the session with this key.
    SshCa,
}

impl CredentialKind {
    /// Every kind in the order of the documentation.
    pub const ALL: [Self; 8] = [
        Self::Env,
        Self::File,
        Self::Vault,
        Self::AzureKeyvault,
        Self::AwsSecretsmanager,
        Self::Entra,
        Self::PostgresRole,
        Self::SshCa,
    ];

    /// The annotation.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::File => "file",
            Self::Vault => "vault",
            Self::AzureKeyvault => "azure-keyvault",
            Self::AwsSecretsmanager => "aws-secretsmanager",
            Self::Entra => "entra",
            Self::PostgresRole => "postgres-role",
            Self::SshCa => "ssh-ca",
        }
    }

    /// The kind that an annotation names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// One alternative of `to`, `only` or `as`: a line with its groups and an optional kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principals<'a> {
    /// Whether a subject must hold all groups (`all-of`) instead of one of them.
    pub all_of: bool,
    /// The groups, valid or not.
    pub groups: Vec<&'a Value>,
    /// `kind=`.
    pub kind: Option<&'a Value>,
    /// The line.
    pub span: Span,
}

impl Document {
    /// The nodes with this keyword in order.
    pub fn nodes_of(&self, keyword: Keyword) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(move |node| node.keyword == keyword)
    }

    /// Calls `visit` with every value and the path of nodes to it, outermost first.
    pub fn visit_texts<'a>(&'a self, visit: &mut impl FnMut(&[&'a Node], &'a Value)) {
        let mut path = Vec::new();
        for node in &self.nodes {
            node.visit(&mut path, visit);
        }
    }
}

impl Node {
    /// The first argument.
    pub fn arg(&self) -> Option<&Value> {
        self.args.first()
    }

    /// The text of the first argument; `None` when it is missing or invalid.
    pub fn name(&self) -> Option<&str> {
        self.arg().and_then(Value::as_str)
    }

    /// The value of a property.
    pub fn prop(&self, key: &str) -> Option<&Value> {
        self.props.iter().find(|prop| prop.key.value == key).map(|prop| &prop.value)
    }

    /// The first clause with this keyword.
    pub fn clause(&self, keyword: Keyword) -> Option<&Self> {
        self.clauses.iter().find(|clause| clause.keyword == keyword)
    }

    /// The clauses with this keyword in order.
    pub fn clauses_of(&self, keyword: Keyword) -> impl Iterator<Item = &Self> {
        self.clauses.iter().filter(move |clause| clause.keyword == keyword)
    }

    /// Whether a clause stands in this node.
    pub fn has(&self, keyword: Keyword) -> bool {
        self.clause(keyword).is_some()
    }

    /// The first argument of the clause with this keyword: `lifetime "15m"` gives the value `15m`.
    pub fn value(&self, keyword: Keyword) -> Option<&Value> {
        self.clause(keyword).and_then(Self::arg)
    }

    /// The arguments of all clauses with this keyword in order.
    pub fn values(&self, keyword: Keyword) -> impl Iterator<Item = &Value> {
        self.clauses_of(keyword).flat_map(|clause| clause.args.iter())
    }

    /// What a `to`, `only` or `as` line says.
    pub fn principals(&self) -> Principals<'_> {
        let all_of = self.args.first().is_some_and(|arg| arg.typed == Typed::Word && arg.text == "all-of");
        Principals {
            all_of,
            groups: self.args.iter().skip(usize::from(all_of)).collect(),
            kind: self.prop("kind"),
            span: self.head,
        }
    }

    fn visit<'a>(&'a self, path: &mut Vec<&'a Self>, visit: &mut impl FnMut(&[&'a Self], &'a Value)) {
        path.push(self);
        for value in self.args.iter().chain(self.props.iter().map(|prop| &prop.value)) {
            visit(path, value);
        }
        for clause in &self.clauses {
            clause.visit(path, visit);
        }
        path.pop();
    }
}

impl Value {
    /// Whether the value was wrong and is reported.
    pub fn is_invalid(&self) -> bool {
        matches!(self.typed, Typed::Invalid)
    }

    /// The text; `None` when the value is invalid.
    pub fn as_str(&self) -> Option<&str> {
        (!self.is_invalid()).then_some(self.text.as_str())
    }

    /// The text with its place; `None` when the value is invalid.
    pub fn spanned(&self) -> Option<Spanned<String>> {
        self.as_str().map(|text| Spanned { value: text.to_owned(), span: self.span })
    }

    /// The length of time.
    pub const fn duration(&self) -> Option<Ttl> {
        if let Typed::Duration(ttl) = &self.typed { Some(*ttl) } else { None }
    }

    /// The number.
    pub const fn integer(&self) -> Option<u64> {
        if let Typed::Integer(number) = &self.typed { Some(*number) } else { None }
    }

    /// The weekly hours.
    pub const fn hours(&self) -> Option<&Hours> {
        if let Typed::Hours(hours) = &self.typed { Some(hours) } else { None }
    }

    /// The civil day.
    pub const fn day(&self) -> Option<Date> {
        if let Typed::Day(day) = &self.typed { Some(*day) } else { None }
    }

    /// The instant.
    pub const fn instant(&self) -> Option<Timestamp> {
        if let Typed::Instant(at) = &self.typed { Some(*at) } else { None }
    }

    /// The name of a group.
    pub fn group(&self) -> Option<&str> {
        (self.typed == Typed::Group).then_some(self.text.as_str())
    }

    /// The name of a team.
    pub fn team(&self) -> Option<&str> {
        (self.typed == Typed::Team).then_some(self.text.as_str())
    }

    /// Where a credential comes from.
    pub const fn credential(&self) -> Option<CredentialKind> {
        if let Typed::Credential(kind) = &self.typed { Some(*kind) } else { None }
    }

    /// The code of a rule.
    pub const fn code(&self) -> Option<crate::diag::Code> {
        if let Typed::Code(code) = &self.typed { Some(*code) } else { None }
    }
}
