//! The names that a policy defines: one flat namespace for each kind of thing.

use super::read;
use lang::{
    diag::{Code, Diagnostic, Sink},
    ident::nearest,
    model::{ApprovalId, ConnectionId, GrantId, GroupId, IdpId, TeamId},
    span::{Span, Spanned},
    syntax::{
        ast::{Document, Node, Value},
        keyword::Keyword,
    },
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The names of one kind.
#[derive(Default)]
struct Table {
    entries: BTreeMap<String, Entry>,
    /// How many items the model's table will hold.
    count: usize,
}

struct Entry {
    /// The position in the model's table; `None` when the node is too wrong to stand in it.
    id: Option<usize>,
    span: Span,
}

impl Table {
    fn define(&mut self, what: &str, name: Spanned<String>, viable: bool, sink: &mut Sink) {
        let id = viable.then_some(self.count);
        self.count += usize::from(viable);
        match self.entries.get(&name.value) {
            Some(first) => {
                sink.push(
                    Diagnostic::new(Code::P0102, name.span, format!("{what} `{}` is defined twice", name.value))
                        .label("defined again here")
                        .also(first.span, "first defined here")
                        .help("give one of them another name"),
                );
            }
            None => {
                self.entries.insert(name.value, Entry { id, span: name.span });
            }
        }
    }

    /// The position of a name; an undefined one is reported.
    fn find(&self, what: &str, value: &Value, incomplete: bool, sink: &mut Sink) -> Option<usize> {
        let name = value.as_str()?;
        let found = self.entries.get(name);
        if found.is_none() {
            undefined(what, name, value.span, self.entries.keys().map(String::as_str), incomplete, sink);
        }
        found.and_then(|entry| entry.id)
    }
}

/// Reports an undefined name, with the nearest one. Where part of the policy could not be read, a name that is near
/// to no other one is probably defined there, and the part that could not be read is reported already.
fn undefined<'n>(
    what: &str,
    name: &str,
    span: Span,
    names: impl Iterator<Item = &'n str>,
    incomplete: bool,
    sink: &mut Sink,
) {
    let known: Vec<&str> = names.collect();
    if incomplete && nearest(name, known.iter().copied()).is_none() {
        return;
    }
    let found = Diagnostic::new(Code::P0101, span, format!("unknown {what} `{name}`")).label("not defined anywhere");
    let prefix = if what == "group" || what == "team" { format!("{what}:") } else { String::new() };
    sink.push(match nearest(name, known.iter().copied()) {
        Some(near) => found.help(format!("did you mean `{prefix}{near}`?")).replace(
            format!("write `{near}`"),
            span,
            format!("{prefix}{near}"),
            lang::diag::Applicability::Maybe,
        ),
        None if known.is_empty() => found.note(format!("the policy defines no {what}")),
        None if what == "rule" => found.help("name a grant, guard, forbid, mask, approval or `limits` of the policy"),
        None => found.help(format!("define it with `{what} {name} …`, or name one that exists")),
    });
}

/// The names of a policy.
#[derive(Default)]
pub(super) struct Names {
    idps: Table,
    groups: Table,
    connections: Table,
    approvals: Table,
    grants: Table,
    teams: Table,
    /// Kinds that nothing refers to by id: limits, masks, guards, forbids, operators, tests and assertions.
    others: BTreeMap<Keyword, Table>,
    ghosts: Vec<Span>,
    /// Whether part of the policy could not be read, so that definitions may be missing.
    incomplete: bool,
}

impl Names {
    /// Collects every definition; duplicates are reported.
    pub(super) fn collect(documents: &[Arc<Document>], sink: &mut Sink) -> Self {
        let unread = sink.as_slice().iter().any(|found| matches!(found.code, Code::P0106 | Code::P0008 | Code::P0001));
        let broken = documents.iter().any(|document| document.broken);
        let mut names = Self { incomplete: unread || broken, ..Self::default() };
        for node in documents.iter().flat_map(|document| &document.nodes) {
            names.define(node, sink);
        }
        explicit_ids(documents, sink);
        names
    }

    fn define(&mut self, node: &Node, sink: &mut Sink) {
        let what = node.keyword.word();
        let viable = read::viable(node);
        if !defines(node.keyword) {
            return;
        }
        let Some(name) = read::name(node) else {
            self.ghosts.push(node.head);
            return;
        };
        if !viable {
            self.ghosts.push(node.head);
        }
        self.table(node.keyword).define(what, name, viable, sink);
    }

    fn table(&mut self, keyword: Keyword) -> &mut Table {
        let tables = [
            (Keyword::Idp, &mut self.idps),
            (Keyword::Group, &mut self.groups),
            (Keyword::Connection, &mut self.connections),
            (Keyword::Approval, &mut self.approvals),
            (Keyword::Team, &mut self.teams),
            (Keyword::Grant, &mut self.grants),
        ];
        let keyword = if keyword == Keyword::BreakGlass { Keyword::Grant } else { keyword };
        for (of, table) in tables {
            if of == keyword {
                return table;
            }
        }
        self.others.entry(keyword).or_default()
    }

    /// Where nodes stand that could not be read at all.
    pub(super) fn ghosts(&self) -> &[Span] {
        &self.ghosts
    }

    /// Whether some rule has this name; an undefined one is reported.
    pub(super) fn rule(&self, value: &Value, broken: &mut bool, sink: &mut Sink) -> Option<Spanned<String>> {
        let Some(name) = value.spanned() else {
            *broken = true;
            return None;
        };
        let named = [&self.idps, &self.groups, &self.connections, &self.approvals, &self.grants];
        let rules = [Keyword::Limits, Keyword::Mask, Keyword::Guard, Keyword::Forbid];
        let tables: Vec<&Table> =
            named.into_iter().chain(rules.iter().filter_map(|keyword| self.others.get(keyword))).collect();
        if tables.iter().any(|table| table.entries.contains_key(&name.value)) {
            return Some(name);
        }
        let all = tables.iter().flat_map(|table| table.entries.keys().map(String::as_str));
        undefined("rule", &name.value, name.span, all, self.incomplete, sink);
        *broken = true;
        None
    }
}

/// A grant without `id=` takes its connection's name, which is only clear while it is alone.
fn explicit_ids(documents: &[Arc<Document>], sink: &mut Sink) {
    let mut by_connection: BTreeMap<&str, Vec<&Node>> = BTreeMap::new();
    for node in documents.iter().flat_map(|document| document.nodes_of(Keyword::Grant)) {
        if let Some(connection) = node.name() {
            by_connection.entry(connection).or_default().push(node);
        }
    }
    for (connection, grants) in by_connection {
        let unnamed: Vec<&&Node> = grants.iter().filter(|node| node.prop("id").is_none()).collect();
        // Two grants without an id are duplicates already.
        let ([only], Some(other)) = (unnamed.as_slice(), grants.iter().find(|node| node.prop("id").is_some())) else {
            continue;
        };
        sink.push(
            Diagnostic::new(Code::P0009, only.head, format!("a grant on `{connection}` among several needs `id=`"))
                .label("has no id of its own")
                .also(other.head, "another grant on the same connection")
                .help(format!("write `grant {connection} id=… {{`")),
        );
    }
}

/// Whether a node of this keyword defines a name.
const fn defines(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::Idp
            | Keyword::Group
            | Keyword::Connection
            | Keyword::Approval
            | Keyword::Grant
            | Keyword::BreakGlass
            | Keyword::Team
            | Keyword::Limits
            | Keyword::Mask
            | Keyword::Guard
            | Keyword::Forbid
            | Keyword::Operate
            | Keyword::Test
            | Keyword::Assert
    )
}

macro_rules! finders {
    ($( $find:ident $table:ident $what:literal $id:ident; )*) => {
        impl Names { $(
            #[doc = concat!("The id of a named ", $what, "; an undefined one is reported.")]
            pub(super) fn $find(&self, value: &Value, broken: &mut bool, sink: &mut Sink) -> Option<Spanned<$id>> {
                let id = self.$table.find($what, value, self.incomplete, sink);
                *broken |= id.is_none();
                id.map(|id| Spanned { value: $id::at(id), span: value.span })
            }
        )* }
    };
}

finders! {
    idp idps "idp" IdpId;
    group groups "group" GroupId;
    connection connections "connection" ConnectionId;
    approval approvals "approval" ApprovalId;
    grant grants "grant" GrantId;
    team teams "team" TeamId;
}
