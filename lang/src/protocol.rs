//! Connection kinds and the closed operation vocabulary of each kind.
//!
//! This is the one table: the compiler resolves the words of `permit`, `block`, `only` and `review`
//! against it, the gateway's classifiers produce its leaves, and the documentation lists it.
//! An operation that is not here does not exist, and what cannot be named cannot be permitted.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The native protocol that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionKind {
    /// PostgreSQL frontend/backend protocol, version 3.
    Postgres,
    /// MySQL client/server protocol.
    Mysql,
    /// SSH connection protocol (RFC 4254).
    Ssh,
    /// Kubernetes API over HTTPS.
    Kubernetes,
    /// Any other HTTP API.
    Http,
}

impl ConnectionKind {
    /// Every kind, in the order in which documentation and analysis list them.
    pub const ALL: [Self; 5] = [Self::Postgres, Self::Mysql, Self::Ssh, Self::Kubernetes, Self::Http];

    /// The word for this kind in a policy.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Ssh => "ssh",
            Self::Kubernetes => "kubernetes",
            Self::Http => "http",
        }
    }

    /// The kind that a policy's word names.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether its data stands in tables and columns.
    pub const fn is_sql(self) -> bool {
        match self {
            Self::Postgres | Self::Mysql => true,
            Self::Ssh | Self::Kubernetes | Self::Http => false,
        }
    }

    /// The vocabulary that this kind shares; PostgreSQL and MySQL share one.
    const fn vocabulary(self) -> Vocabulary {
        match self {
            Self::Postgres | Self::Mysql => Vocabulary::Sql,
            Self::Ssh => Vocabulary::Ssh,
            Self::Kubernetes => Vocabulary::Kubernetes,
            Self::Http => Vocabulary::Http,
        }
    }

    /// The operations of this kind that a rule may name, in taxonomy order.
    pub fn operations(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.iter().copied().filter(move |op| op.vocabulary() == self.vocabulary() && !op.is_audit_only())
    }

    /// The families of this kind (`read`, `write`, …), in taxonomy order.
    pub fn families(self) -> Vec<&'static str> {
        let mut families = Vec::new();
        for op in self.operations() {
            if let Some(family) = op.family()
                && !families.contains(&family)
            {
                families.push(family);
            }
        }
        families
    }

    /// Resolves a policy's operation word: a leaf, a family, or `prefix.*`.
    ///
    /// `None` means that this kind does not know the word.
    pub fn resolve(self, word: &str) -> Option<OpSet> {
        let mut set = OpSet::EMPTY;
        for op in self.operations() {
            let hit = op.word() == word
                || op.family() == Some(word)
                || word
                    .strip_suffix(".*")
                    .is_some_and(|prefix| op.word().split_once('.').is_some_and(|(head, _)| head == prefix));
            if hit {
                set = set.with(op);
            }
        }
        (!set.is_empty()).then_some(set)
    }
}

impl fmt::Display for ConnectionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Vocabulary {
    Sql,
    Ssh,
    Kubernetes,
    Http,
}

impl Vocabulary {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Ssh => "ssh",
            Self::Kubernetes => "kubernetes",
            Self::Http => "http",
        }
    }
}

macro_rules! operations {
    ($( $variant:ident = $vocabulary:ident $family:expr, $word:literal, $doc:literal; )*) => {
        /// A leaf of the operation vocabulary: what one statement, request or channel does.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Operation { $( #[doc = $doc] $variant, )* }

        impl Operation {
            /// Every operation, in taxonomy order.
            pub const ALL: &'static [Self] = &[ $( Self::$variant, )* ];

            /// The word of a policy for this operation, without its vocabulary.
            pub const fn word(self) -> &'static str {
                match self { $( Self::$variant => $word, )* }
            }

            /// The family that contains this operation, when it has one.
            pub const fn family(self) -> Option<&'static str> {
                match self { $( Self::$variant => $family, )* }
            }

            /// One line for people.
            pub const fn describe(self) -> &'static str {
                match self { $( Self::$variant => $doc, )* }
            }

            const fn vocabulary(self) -> Vocabulary {
                match self { $( Self::$variant => Vocabulary::$vocabulary, )* }
            }
        }
    };
}

operations! {
    Select = Sql Some("read"), "select", "Reads rows of a relation.";
    Explain = Sql Some("read"), "explain", "Shows a plan without running the statement.";
    Show = Sql Some("read"), "show", "Shows a setting.";
    Insert = Sql Some("write"), "insert", "Adds rows.";
    UpdateBounded = Sql Some("write"), "update.bounded", "Changes the rows that a condition on the table selects.";
    DeleteBounded = Sql Some("write"), "delete.bounded", "Removes the rows that a condition on the table selects.";
    Merge = Sql Some("write"), "merge", "Merges rows into a table.";
    CopyIn = Sql Some("write"), "copy.in", "Loads rows with COPY FROM STDIN.";
    CreateAs = Sql Some("write"), "create.as", "Creates a table from a query.";
    Lock = Sql Some("write"), "lock", "Locks a table or its rows.";
    UpdateUnbounded = Sql Some("bulk"), "update.unbounded", "Changes every row of a table.";
    DeleteUnbounded = Sql Some("bulk"), "delete.unbounded", "Removes every row of a table.";
    Truncate = Sql Some("bulk"), "truncate", "Empties a table.";
    DdlCreate = Sql Some("ddl"), "ddl.create", "Creates an object of the schema.";
    DdlAlter = Sql Some("ddl"), "ddl.alter", "Alters an object of the schema.";
    DdlDrop = Sql Some("ddl"), "ddl.drop", "Drops an object of the schema.";
    DclGrant = Sql Some("dcl"), "dcl.grant", "Grants privileges.";
    DclRevoke = Sql Some("dcl"), "dcl.revoke", "Revokes privileges.";
    DclRole = Sql Some("dcl"), "dcl.role", "Creates, alters, drops or assumes a role.";
    CopyOut = Sql Some("export"), "copy.out", "Unloads rows with COPY TO STDOUT.";
    Call = Sql Some("routine"), "call", "Runs a routine that is not a harmless built-in.";
    Do = Sql Some("routine"), "do", "Runs an anonymous code block.";
    Vacuum = Sql Some("maintain"), "vacuum", "Vacuums tables.";
    Analyze = Sql Some("maintain"), "analyze", "Collects statistics.";
    Reindex = Sql Some("maintain"), "reindex", "Rebuilds indexes.";
    Refresh = Sql Some("maintain"), "refresh", "Refreshes a materialised view.";
    Set = Sql None, "set", "Sets a parameter outside the allow-list.";
    Listen = Sql None, "listen", "Listens to or sends notifications.";
    Unparsed = Sql None, "unparsed", "A text that the grammar does not accept.";
    Replication = Sql None, "replication", "A replication command.";
    Fastpath = Sql None, "fastpath", "A `FunctionCall` message.";
    CopyProgram = Sql None, "copy.program", "COPY to or from a program or file of the server.";
    SftpRead = Ssh Some("read"), "sftp.read", "Reads files over SFTP.";
    Exec = Ssh None, "exec", "Runs one command.";
    Shell = Ssh None, "shell", "Opens an interactive shell.";
    SftpWrite = Ssh None, "sftp.write", "Writes files over SFTP.";
    ForwardLocal = Ssh None, "forward.local", "Forwards a local port.";
    ForwardRemote = Ssh None, "forward.remote", "Forwards a remote port.";
    AgentForward = Ssh None, "agent-forward", "Forwards the authentication agent.";
    KubernetesGet = Kubernetes Some("read"), "get", "Reads one object.";
    KubernetesList = Kubernetes Some("read"), "list", "Lists objects.";
    KubernetesWatch = Kubernetes Some("read"), "watch", "Watches objects.";
    KubernetesLog = Kubernetes Some("read"), "log", "Reads a container's log.";
    KubernetesCreate = Kubernetes Some("write"), "create", "Creates an object.";
    KubernetesUpdate = Kubernetes Some("write"), "update", "Replaces an object.";
    KubernetesPatch = Kubernetes Some("write"), "patch", "Patches an object.";
    KubernetesDelete = Kubernetes Some("write"), "delete", "Deletes an object.";
    KubernetesDeleteCollection = Kubernetes None, "deletecollection", "Deletes a collection of objects.";
    KubernetesExec = Kubernetes None, "exec", "Runs a command in a container.";
    KubernetesAttach = Kubernetes None, "attach", "Attaches to a container.";
    KubernetesPortForward = Kubernetes None, "port-forward", "Forwards a port of a pod.";
    KubernetesProxy = Kubernetes None, "proxy", "Proxies HTTP to a pod, service or node.";
    KubernetesImpersonate = Kubernetes None, "impersonate", "Acts as another user.";
    KubernetesEscalate = Kubernetes None, "escalate", "Gives a role more than one holds.";
    KubernetesBind = Kubernetes None, "bind", "Binds a role.";
    HttpGet = Http Some("read"), "get", "GET.";
    HttpHead = Http Some("read"), "head", "HEAD.";
    HttpOptions = Http Some("read"), "options", "OPTIONS.";
    HttpPost = Http None, "post", "POST.";
    HttpPut = Http None, "put", "PUT.";
    HttpPatch = Http None, "patch", "PATCH.";
    HttpDelete = Http None, "delete", "DELETE.";
}

impl Operation {
    /// A name for the audit that no rule may permit or review: it never runs.
    pub const fn is_audit_only(self) -> bool {
        matches!(self, Self::Unparsed | Self::Replication | Self::Fastpath | Self::CopyProgram)
    }

    /// The unique name in a bundle, for example `sql/select`.
    pub fn id(self) -> String {
        format!("{}/{}", self.vocabulary().prefix(), self.word())
    }

    /// The operation with this unique name.
    pub fn from_id(id: &str) -> Option<Self> {
        let (prefix, word) = id.split_once('/')?;
        Self::ALL.iter().copied().find(|op| op.vocabulary().prefix() == prefix && op.word() == word)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A set of operations: one bit for each leaf of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpSet(u64);

impl OpSet {
    /// The set without an operation.
    pub const EMPTY: Self = Self(0);

    const fn bit(op: Operation) -> u64 {
        1 << (op as u8)
    }

    /// This set and `op`.
    #[must_use]
    pub const fn with(self, op: Operation) -> Self {
        Self(self.0 | Self::bit(op))
    }

    /// The union of both sets.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The operations that both sets hold.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The operations of this set that `other` lacks.
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set holds `op`.
    pub const fn contains(self, op: Operation) -> bool {
        self.0 & Self::bit(op) != 0
    }

    /// Whether the set holds nothing.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The operations of the set, in taxonomy order.
    pub fn iter(self) -> impl Iterator<Item = Operation> {
        Operation::ALL.iter().copied().filter(move |op| self.contains(*op))
    }
}

impl FromIterator<Operation> for OpSet {
    fn from_iter<I: IntoIterator<Item = Operation>>(iter: I) -> Self {
        iter.into_iter().fold(Self::EMPTY, Self::with)
    }
}

impl Serialize for OpSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Operation::id))
    }
}

impl<'de> Deserialize<'de> for OpSet {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ids = Vec::<String>::deserialize(deserializer)?;
        ids.iter()
            .map(|id| {
                Operation::from_id(id).ok_or_else(|| serde::de::Error::custom(format!("unknown operation `{id}`")))
            })
            .collect()
    }
}

const _: () = assert!(Operation::ALL.len() <= 64, "an OpSet has 64 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_resolve_to_leaves_families_and_prefixes() {
        let pg = ConnectionKind::Postgres;
        assert_eq!(pg.resolve("select"), Some(OpSet::EMPTY.with(Operation::Select)));
        assert_eq!(
            pg.resolve("ddl.*"),
            Some([Operation::DdlCreate, Operation::DdlAlter, Operation::DdlDrop].into_iter().collect())
        );
        assert_eq!(pg.resolve("update.*").map(|set| set.iter().count()), Some(2));
        assert_eq!(pg.resolve("read").map(|set| set.iter().count()), Some(3));
        assert_eq!(pg.resolve("exec"), None);
        assert_eq!(pg.resolve("copy.program"), None, "audit names cannot be permitted");
    }

    #[test]
    fn ids_are_unique_and_round_trip() {
        for op in Operation::ALL {
            assert_eq!(Operation::from_id(&op.id()), Some(*op));
        }
    }
}
