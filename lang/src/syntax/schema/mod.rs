//! The schema of the policy language: one table of nodes, arguments, properties and clauses.
//!
//! It feeds parsing, did-you-mean, documentation and completion. What is not in the table does not exist in the
//! language, and nothing outside `schema` adds to it.

mod access;
mod estate;

mod rules;
mod words;

pub(super) use rules::check_node;
pub use words::*;

use super::{ast::Referent, keyword::Keyword};
use crate::diag::Code;

/// A node or clause: what it is and what may stand in it.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Its name; [`Keyword::Key`] for a name that the policy chooses.
    pub keyword: Keyword,
    /// One line for people.
    pub doc: &'static str,
    /// The arguments in order; only the last may take several.
    pub args: &'static [ArgSpec],
    /// The properties.
    pub props: &'static [PropSpec],
    /// Whether labels of the policy may stand as properties beside `props`.
    pub labels: Labels,
    /// The clauses.
    pub clauses: &'static [Spec],
    /// Whether it must stand in its parent.
    pub required: bool,
    /// Whether it may stand several times in its parent.
    pub repeatable: bool,
}

/// Whether labels of the policy may stand as properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Labels {
    /// No.
    Refused,
    /// Yes.
    Permitted,
    /// Yes, but a line is arguments or properties, never both.
    InsteadOfArguments,
}

/// An argument.
#[derive(Clone, Copy, Debug)]
pub struct ArgSpec {
    /// What documentation calls it.
    pub name: &'static str,
    /// What it holds.
    pub domain: Domain,
    /// How often it stands.
    pub count: Count,
}

/// How often an argument stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Exactly once.
    One,
    /// At most once.
    Optional,
    /// Once or more.
    Some,
    /// Any number of times.
    Any,
}

/// A property.
#[derive(Clone, Copy, Debug)]
pub struct PropSpec {
    /// The key.
    pub key: &'static str,
    /// What it holds.
    pub domain: Domain,
    /// Whether it must stand.
    pub required: bool,
}

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The identifier that the node defines.
    Id,
    /// The identifier of something else.
    Reference(Referent),
    /// `group:NAME`.
    Group,
    /// `group:NAME`, or the word `all-of` in front of the others.
    Principal,
    /// `team:NAME`.
    Team,
    /// One of these words.
    Words(&'static [&'static str]),
    /// One of these words, or an alias that means one of them.
    Aliased(&'static [&'static str], &'static [(&'static str, &'static str)]),
    /// A label's key or value.
    Label,
    /// The name of an operation.
    Operation,
    /// A data class or `prefix.*`.
    Class,
    /// A pattern of names.
    Pattern,
    /// A JSON pointer.
    Pointer,
    /// Free text.
    Text,
    /// An absolute `http` or `https` address.
    Url,
    /// The name of a timezone.
    Zone,
    /// `(regex)#"…"#`.
    Regex,
    /// `(uuid)"…"`; another text is this code's business.
    Uuid(Code),
    /// `(env)"VAR"`, `(vault)"path#key"`, …
    Credential,
    /// A length of time in quotes.
    Duration,
    /// A whole number from the first to the second.
    Integer(u64, u64),
    /// Weekly hours in quotes.
    Hours,
    /// A civil day in quotes.
    Day,
    /// An instant in quotes.
    Instant,
    /// The code of a rule.
    Code,
}

impl Domain {
    /// What a message calls a value of this domain.
    pub fn describe(self) -> String {
        let fixed = match self {
            Self::Id => "an identifier",
            Self::Reference(referent) => return format!("the name of a {}", referent.word()),
            Self::Group => "a group, for example `group:sre`",
            Self::Principal => "a group, for example `group:sre`, or `all-of` in front of groups",
            Self::Team => "a team, for example `team:platform`",
            Self::Words(words) | Self::Aliased(words, _) => return words_list(words),
            Self::Label => "a label",
            Self::Operation => "the name of an operation",
            Self::Class => "a data class, for example `pii.email` or `pii.*`",
            Self::Pattern => "a name or pattern",
            Self::Pointer => "a JSON pointer, for example \"/user/email\"",
            Self::Text => "a text",
            Self::Url => "an address, for example \"https://login.example.com\"",
            Self::Zone => "a timezone, for example \"Europe/Berlin\"",
            Self::Regex => "a regular expression, for example `(regex)#\"^INC-\\d+$\"#`",
            Self::Uuid(_) => "a UUID, for example `(uuid)\"8c1e0f2a-71c5-4a58-9a63-0a2f6f1d7b10\"`",
            Self::Credential => "a reference to a credential, for example `(vault)\"kv/db#password\"`",
            Self::Duration => "a duration in quotes, for example \"15m\"",
            Self::Integer(min, max) => return format!("a whole number from {min} to {max}"),
            Self::Hours => "weekly hours in quotes, for example \"Mon-Fri 07:00-20:00\"",
            Self::Day => "a day in quotes, for example \"2026-12-31\"",
            Self::Instant => "an instant in quotes, for example \"2026-05-04T10:00:00+02:00\"",
            Self::Code => "the code of a rule, for example `P0410`",
        };
        fixed.to_owned()
    }

    /// The words of a closed list, with their aliases; empty for every other domain.
    pub fn words(self) -> Vec<&'static str> {
        if let Self::Words(words) = self {
            words.to_vec()
        } else if let Self::Aliased(words, aliases) = self {
            words.iter().copied().chain(aliases.iter().map(|(alias, _)| *alias)).collect()
        } else {
            Vec::new()
        }
    }

    /// The annotations that a value of this domain may carry.
    pub fn annotations(self) -> &'static [&'static str] {
        match self {
            Self::Regex => &["regex"],
            Self::Uuid(_) => &["uuid"],
            Self::Credential => CREDENTIALS,
            Self::Id
            | Self::Reference(_)
            | Self::Group
            | Self::Principal
            | Self::Team
            | Self::Words(_)
            | Self::Aliased(..)
            | Self::Label
            | Self::Operation
            | Self::Class
            | Self::Pattern
            | Self::Pointer
            | Self::Text
            | Self::Url
            | Self::Zone
            | Self::Duration
            | Self::Integer(..)
            | Self::Hours
            | Self::Day
            | Self::Instant
            | Self::Code => &[],
        }
    }
}

/// `a`, `b` or `c` for messages.
pub fn words_list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", first.join(", "))
        }
    }
}

/// What may stand in a policy file: the nodes of the language and the catalogs of connections.
pub const DOCUMENT: Spec = Spec::new(Keyword::Key, "A policy file.").clauses(&[
    estate::POLICY,
    estate::IDP,
    estate::GROUP,
    estate::DISJOINT,
    estate::CONNECTION,
    estate::CLASSIFY,
    access::LIMITS,
    access::MASK,
    access::GUARD,
    access::APPROVAL,
    access::GRANT,
    access::FORBID,
    access::BREAK_GLASS,
    access::OPERATE,
    estate::TEAM,
    estate::DELEGATE,
    access::TEST,
    access::ASSERT,
    estate::CATALOG,
]);

impl Spec {
    /// The clause with this name, when it may stand here.
    pub fn clause(&self, word: &str) -> Option<&'static Self> {
        self.clauses.iter().find(|spec| spec.keyword == Keyword::Key || spec.keyword.word() == word)
    }

    /// The property with this key, when it may stand here.
    pub fn prop(&self, key: &str) -> Option<&'static PropSpec> {
        self.props.iter().find(|spec| spec.key == key)
    }

    /// The names of the clauses that may stand here.
    pub fn clause_words(&self) -> impl Iterator<Item = &'static str> {
        self.clauses.iter().map(|spec| spec.keyword.word()).filter(|word| !word.is_empty())
    }

    const fn new(keyword: Keyword, doc: &'static str) -> Self {
        Self {
            keyword,
            doc,
            args: &[],
            props: &[],
            labels: Labels::Refused,
            clauses: &[],
            required: false,
            repeatable: false,
        }
    }

    const fn args(mut self, args: &'static [ArgSpec]) -> Self {
        self.args = args;
        self
    }

    const fn props(mut self, props: &'static [PropSpec]) -> Self {
        self.props = props;
        self
    }

    const fn clauses(mut self, clauses: &'static [Self]) -> Self {
        self.clauses = clauses;
        self
    }

    const fn labels(mut self, labels: Labels) -> Self {
        self.labels = labels;
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn many(mut self) -> Self {
        self.repeatable = true;
        self
    }
}

const fn arg(name: &'static str, domain: Domain) -> ArgSpec {
    ArgSpec { name, domain, count: Count::One }
}

const fn opt(name: &'static str, domain: Domain) -> ArgSpec {
    ArgSpec { name, domain, count: Count::Optional }
}

const fn some(name: &'static str, domain: Domain) -> ArgSpec {
    ArgSpec { name, domain, count: Count::Some }
}

const fn any(name: &'static str, domain: Domain) -> ArgSpec {
    ArgSpec { name, domain, count: Count::Any }
}

const fn prop(key: &'static str, domain: Domain) -> PropSpec {
    PropSpec { key, domain, required: false }
}

const fn needed(key: &'static str, domain: Domain) -> PropSpec {
    PropSpec { key, domain, required: true }
}
