//! `to`, `on`, operations and objects: what the rules share.

use super::{Resolver, patterns::Form, read};
use lang::{
    diag::{Code, Diagnostic},
    ident::nearest,
    model::{
        Connection, ConnectionId, Objects, On, OnLine, OpWord, Ops, Policy, Principal, Property, Region, Selector, To,
    },
    program::SubjectKind,
    protocol::{ConnectionKind, OpSet, Operation},
    span::{Span, Spanned},
    syntax::{
        ast::{Node, Value},
        keyword::Keyword,
    },
};
use std::collections::BTreeSet;

impl Resolver<'_> {
    /// Whom a rule concerns: everybody when it has no `to`.
    pub(super) fn to(&mut self, node: &Node, broken: &mut bool) -> To {
        if node.has(Keyword::To) { To::Any(self.principals(node, Keyword::To, broken)) } else { To::Everybody }
    }

    /// The alternatives of all lines with a keyword.
    pub(super) fn principals(&mut self, node: &Node, keyword: Keyword, broken: &mut bool) -> Vec<Principal> {
        let mut all = Vec::new();
        for line in node.clauses_of(keyword) {
            self.principal_line(line, &mut all, broken);
        }
        all
    }

    fn principal_line(&mut self, line: &Node, all: &mut Vec<Principal>, broken: &mut bool) {
        let said = line.principals();
        let kind = match said.kind {
            None => None,
            Some(value) => {
                let Some(kind) = value.as_str().and_then(SubjectKind::parse) else {
                    *broken = true;
                    return;
                };
                Some(kind)
            }
        };
        let mut groups = Vec::new();
        let mut complete = true;
        for value in &said.groups {
            match self.names.group(value, broken, self.sink) {
                Some(group) => groups.push(group),
                None => complete = false,
            }
        }
        if said.all_of {
            // Without one of its groups the alternative would match more subjects than it says.
            if complete && !groups.is_empty() {
                let groups = groups.iter().map(|group| group.value).collect();
                all.push(Principal { groups, kind, span: said.span });
            }
            return;
        }
        if said.groups.is_empty() && kind.is_some() {
            all.push(Principal { groups: BTreeSet::new(), kind, span: said.span });
        }
        *broken |= said.groups.is_empty() && kind.is_none();
        all.extend(groups.into_iter().map(|group| Principal {
            groups: BTreeSet::from([group.value]),
            kind,
            span: group.span,
        }));
    }

    /// The connections that a rule concerns.
    pub(super) fn on(&mut self, node: &Node, policy: &Policy, broken: &mut bool) -> On {
        let mut lines = Vec::new();
        for line in node.clauses_of(Keyword::On) {
            let mut line_broken = read::is_broken(line);
            let (selector, connections) = if line.args.is_empty() {
                let properties = self.properties(line, policy, &mut line_broken);
                // A line that lost a property would select more than it says.
                let selected = if line_broken || properties.is_empty() {
                    BTreeSet::new()
                } else {
                    policy.connection_ids().filter(|(_, it)| selects(&properties, it)).map(|(id, _)| id).collect()
                };
                line_broken |= properties.is_empty();
                (Selector::Properties(properties), selected)
            } else {
                let mut names = Vec::new();
                for value in &line.args {
                    names.extend(self.names.connection(value, &mut line_broken, self.sink));
                }
                let selected: BTreeSet<ConnectionId> = names.iter().map(|name| name.value).collect();
                (Selector::Names(names), selected)
            };
            *broken |= line_broken;
            lines.push(OnLine { span: line.head, selector, connections, broken: line_broken });
        }
        let connections = lines.iter().flat_map(|line| line.connections.iter().copied()).collect();
        On { lines, connections }
    }

    fn properties(&mut self, line: &Node, policy: &Policy, broken: &mut bool) -> Vec<Property> {
        let mut properties = Vec::new();
        for prop in &line.props {
            let property = match prop.key.value.as_str() {
                "kind" => read::word(Some(&prop.value), ConnectionKind::parse).map(Property::Kind),
                "owner" => self.names.team(&prop.value, broken, self.sink).map(Property::Owner),
                _ => self
                    .label(&prop.key, &prop.value, policy)
                    .map(|value| Property::Label { key: prop.key.clone(), value }),
            };
            *broken |= property.is_none();
            properties.extend(property);
        }
        properties
    }

    /// The value of a label; a key or value outside the vocabulary is reported.
    pub(super) fn label(&mut self, key: &Spanned<String>, value: &Value, policy: &Policy) -> Option<Spanned<String>> {
        let value = value.spanned()?;
        let Some(known) = policy.labels.iter().find(|known| known.key.value == key.value) else {
            let keys = policy.labels.iter().map(|known| known.key.value.as_str());
            let found = Diagnostic::new(Code::P0304, key.span, format!("unknown label `{}`", key.value));
            self.sink.push(vocabulary(found, &key.value, key.span, &keys.collect::<Vec<_>>()));
            return None;
        };
        if known.values.iter().any(|word| word.value == value.value) {
            return Some(value);
        }
        let values = known.values.iter().map(|word| word.value.as_str());
        let message = format!("`{}` is not a value of the label `{}`", value.value, key.value);
        let found = Diagnostic::new(Code::P0304, value.span, message).also(known.key.span, "the label's values");
        self.sink.push(vocabulary(found, &value.value, value.span, &values.collect::<Vec<_>>()));
        None
    }

    /// Operations as they are meant on connections of these kinds; a word that none of them knows is reported.
    pub(super) fn ops<'v>(
        &mut self,
        values: impl IntoIterator<Item = &'v Value>,
        kinds: &BTreeSet<ConnectionKind>,
        broken: &mut bool,
    ) -> Ops {
        // A selector that matches nothing yet says nothing about kinds.
        let any = ConnectionKind::ALL.into_iter().collect();
        let kinds = if kinds.is_empty() { &any } else { kinds };
        let mut ops = Ops::default();
        for value in values {
            let Some(word) = value.spanned() else {
                *broken = true;
                continue;
            };
            let set = meaning(&word.value, kinds);
            if set.is_empty() {
                self.unknown_operation(&word, kinds);
                *broken = true;
            }
            ops.set = ops.set.union(set);
            ops.words.push(OpWord { word, set });
        }
        ops
    }

    fn unknown_operation(&mut self, word: &Spanned<String>, kinds: &BTreeSet<ConnectionKind>) {
        let text = &word.value;
        if Operation::ALL.iter().any(|op| op.word() == text && op.is_audit_only()) {
            let message = format!("`{text}` never runs, so no rule can permit, block or review it");
            let found = Diagnostic::new(Code::P0421, word.span, message);
            self.sink.push(found.help("remove the word; it is a name that the audit uses"));
            return;
        }
        let list: Vec<&str> = kinds.iter().map(|kind| kind.word()).collect();
        let message = format!("no connection concerned knows the operation `{text}`");
        let found = Diagnostic::new(Code::P0703, word.span, message)
            .label(format!("not an operation of {}", list.join(" or ")));
        let mut words: Vec<&str> = Vec::new();
        for kind in kinds {
            words.extend(kind.operations().map(Operation::word));
            words.extend(kind.families());
        }
        let elsewhere: Vec<&str> = ConnectionKind::ALL
            .into_iter()
            .filter(|kind| kind.resolve(text).is_some())
            .map(ConnectionKind::word)
            .collect();
        self.sink.push(match nearest(text, words.iter().copied()) {
            _ if !elsewhere.is_empty() => {
                found.note(format!("`{text}` is an operation of {}", elsewhere.join(" and ")))
            }
            Some(near) => found.help(format!("did you mean `{near}`?")),
            None => found.help(format!("the operations are: {}", words.join(", "))),
        });
    }

    /// The objects that the properties and clauses of a node narrow to.
    pub(super) fn objects(&mut self, node: &Node, broken: &mut bool) -> Objects {
        let mut read = |keyword: Keyword, form: Form| -> Vec<Spanned<String>> {
            let property = node.prop(keyword.word());
            let values: Vec<&Value> = property.into_iter().chain(node.values(keyword)).collect();
            values.into_iter().filter_map(|value| form.read(value, broken, self.sink)).collect()
        };
        Objects {
            tables: read(Keyword::Table, Form::Table),
            namespaces: read(Keyword::Namespace, Form::Name),
            resources: read(Keyword::Resource, Form::Name),
            paths: read(Keyword::Path, Form::Path),
            argv: read(Keyword::Argv, Form::Argv),
        }
    }

    /// A `block`, `only` or `review` clause.
    pub(super) fn region(&mut self, clause: &Node, kinds: &BTreeSet<ConnectionKind>, broken: &mut bool) -> Region {
        Region { ops: self.ops(&clause.args, kinds, broken), objects: self.objects(clause, broken), span: clause.head }
    }
}

/// The kinds of these connections.
pub(super) fn kinds(policy: &Policy, connections: &BTreeSet<ConnectionId>) -> BTreeSet<ConnectionKind> {
    connections.iter().map(|id| policy[*id].kind.value).collect()
}

/// What an operation's word means over these kinds.
pub(super) fn meaning(word: &str, kinds: &BTreeSet<ConnectionKind>) -> OpSet {
    kinds.iter().filter_map(|kind| kind.resolve(word)).fold(OpSet::EMPTY, OpSet::union)
}

fn selects(properties: &[Property], connection: &Connection) -> bool {
    properties.iter().all(|property| match property {
        Property::Kind(kind) => connection.kind.value == kind.value,
        Property::Owner(team) => connection.owner.as_ref().is_some_and(|owner| owner.value == team.value),
        Property::Label { key, value } => connection.label(&key.value) == Some(&value.value),
    })
}

fn vocabulary(found: Diagnostic, wrong: &str, span: Span, known: &[&str]) -> Diagnostic {
    match nearest(wrong, known.iter().copied()) {
        Some(near) => found.help(format!("did you mean `{near}`?")).replace(
            format!("write `{near}`"),
            span,
            near,
            lang::diag::Applicability::Maybe,
        ),
        None if known.is_empty() => found.help("declare the vocabulary in policy.kdl: `labels { env prod dev; }`"),
        None => found.help(format!("declared are: {}", known.join(", "))),
    }
}
