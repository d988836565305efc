//! The policy as a picture: who reaches what, and who may hand out what. One graph, three ways to write it down.
//! Nothing is drawn that is not in the policy, and nothing of it is laid out by chance.

mod dot;
mod mermaid;
mod svg;

use crate::view::{self, Row};
use lang::{
    model::{ConnectionId, Policy, Withheld},
    program::{
        Program, SubjectKind,
        rules::{Connection, Mode},
    },
    protocol::Operation,
    time::Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};

/// The instant near which time cells lie; a picture does not change with the calendar.
const AROUND: Timestamp = Timestamp::from_unix(1_777_888_000);
/// The label that says what a connection controls.
const CONTROLS: &str = "controls";

/// How a graph is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For Graphviz.
    Dot,
    /// For Markdown.
    Mermaid,
    /// For people and slides.
    Svg,
}

/// What a node is; it decides column, shape and colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// People, services, agents, or any of them.
    Group(Option<SubjectKind>),
    /// A grant that is asked for.
    Requested,
    /// A grant that is always there.
    Standing,
    /// A grant for emergencies.
    BreakGlass,
    /// A rule that refuses.
    Forbid,
    /// A team, with what one line delegates to it.
    Team,
    /// A connection.
    Connection,
    /// A production connection.
    Production,
    /// A connection through which access itself can be changed.
    Controls,
}

impl Kind {
    /// Whether it stands on the left, in the middle or on the right.
    const fn column(self) -> usize {
        match self {
            Self::Group(_) => 0,
            Self::Requested | Self::Standing | Self::BreakGlass | Self::Forbid | Self::Team => 1,
            Self::Connection | Self::Production | Self::Controls => 2,
        }
    }
}

/// What an edge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Bond {
    /// Reaches.
    Reaches,
    /// Reaches something that controls access, and may change it.
    Escalates,
    /// Nests in.
    Within,
    /// Is refused.
    Forbidden,
}

#[derive(Clone, Debug)]
struct Node {
    title: String,
    note: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    to: String,
    bond: Bond,
}

/// A graph; ids are made of kind and name, so that they are unique.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    title: String,
    nodes: BTreeMap<String, Node>,
    edges: BTreeSet<Edge>,
}

impl Graph {
    fn node(&mut self, id: String, title: &str, note: &str, kind: Kind) -> String {
        let title = crate::report::visible(title);
        self.nodes.entry(id.clone()).or_insert(Node { title, note: crate::report::visible(note), kind });
        id
    }

    fn edge(&mut self, from: &str, to: &str, bond: Bond) {
        self.edges.insert(Edge { from: from.to_owned(), to: to.to_owned(), bond });
    }

    /// Writes the graph down.
    pub fn render(&self, form: Form) -> String {
        match form {
            Form::Dot => dot::write(self),
            Form::Mermaid => mermaid::write(self),
            Form::Svg => svg::write(self),
        }
    }
}

/// Who reaches what, by which grant; escalation stands out.
pub fn access(program: &Program) -> Graph {
    let rules = program.rules();
    let mut graph = Graph { title: format!("{}: who reaches what", rules.name), ..Graph::default() };
    for row in view::rows(program, AROUND) {
        add_row(&mut graph, program, &row);
    }
    for forbid in &rules.forbids {
        let rule = graph.node(format!("forbid:{}", forbid.name), &forbid.name, "forbid", Kind::Forbid);
        for who in &forbid.to {
            for group in &who.groups {
                let from = group_node(&mut graph, program, group);
                graph.edge(&from, &rule, Bond::Forbidden);
            }
            if let (true, Some(kind)) = (who.groups.is_empty(), who.kind) {
                let everyone = everyone(&mut graph, kind);
                graph.edge(&everyone, &rule, Bond::Forbidden);
            }
        }
        for target in rules.connections.iter().filter(|connection| forbid.on.contains(&connection.name)) {
            let to = connection_node(&mut graph, target);
            graph.edge(&rule, &to, Bond::Forbidden);
        }
    }
    // Nesting of groups that are drawn.
    for group in &rules.groups {
        let id = format!("group:{}", group.name);
        for parent in group.within.iter().map(|parent| format!("group:{parent}")) {
            if graph.nodes.contains_key(&parent) {
                let inner = group_node(&mut graph, program, &group.name);
                debug_assert_eq!(inner, id);
                graph.edge(&inner, &parent, Bond::Within);
            }
        }
    }
    graph
}

fn add_row(graph: &mut Graph, program: &Program, row: &Row<'_>) {
    let kind = match (row.grant.break_glass.is_some(), row.grant.mode) {
        (true, _) => Kind::BreakGlass,
        (false, Mode::Requested) => Kind::Requested,
        (false, Mode::Standing) => Kind::Standing,
    };
    let Some(gets) = &row.gets else { return };
    let mut note = vec![view::duration(&gets.terms, row.grant)];
    note.extend(view::conditions(&gets.terms).into_iter().filter(|one| one.starts_with("approval")));
    let grant = graph.node(format!("grant:{}", row.grant.id), &row.grant.id, &note.join(" · "), kind);
    let target = connection_node(graph, row.connection);
    let changes =
        gets.allowed.union(gets.reviewed).iter().any(|op| op.family() != Some("read") && op != Operation::Listen);
    let controls = row.connection.labels.iter().any(|(key, _)| key == CONTROLS);
    let bond = if controls && changes { Bond::Escalates } else { Bond::Reaches };
    graph.edge(&grant, &target, bond);
    if row.who.groups.is_empty() {
        let everyone = everyone(graph, row.kind);
        graph.edge(&everyone, &grant, bond);
    }
    for group in &row.who.groups {
        let from = group_node(graph, program, group);
        graph.edge(&from, &grant, bond);
    }
}

fn everyone(graph: &mut Graph, kind: SubjectKind) -> String {
    graph.node(format!("every:{kind}"), &format!("every {kind}"), "", Kind::Group(Some(kind)))
}

fn group_node(graph: &mut Graph, program: &Program, name: &str) -> String {
    let group = program.rules().groups.iter().find(|group| group.name == name);
    let kind = group.and_then(|group| group.kind);
    let note = kind.map_or_else(|| "any kind".to_owned(), |kind| super::check::plural(kind).to_owned());
    graph.node(format!("group:{name}"), name, &note, Kind::Group(kind))
}

fn connection_node(graph: &mut Graph, connection: &Connection) -> String {
    let label = |wanted: &str| connection.labels.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str());
    let kind = match (label(CONTROLS), label("env")) {
        (Some(_), _) => Kind::Controls,
        (None, Some("prod")) => Kind::Production,
        (None, Some(_) | None) => Kind::Connection,
    };
    let mut note: Vec<String> = vec![connection.kind.to_string()];
    note.extend(["env", "data"].into_iter().filter_map(|key| label(key).map(str::to_owned)));
    note.extend(label(CONTROLS).map(|what| format!("controls {what}")));
    graph.node(format!("connection:{}", connection.name), &connection.name, &note.join(" · "), kind)
}

/// Who may hand out what: maintainers, teams with each line of delegation, and the connections it is about.
pub fn delegation(policy: &Policy) -> Graph {
    let mut graph = Graph { title: format!("{}: who may hand out what", policy.name.value), ..Graph::default() };
    for (id, team) in policy.team_ids() {
        let name = &team.head.name.value;
        let folder = team.folder.as_ref().map_or("no folder", |folder| folder.value.as_str());
        let mut lines = Vec::new();
        for (at, delegate) in policy.delegates.iter().filter(|delegate| delegate.team == Some(id)).enumerate() {
            let mut note = vec![folder.to_owned()];
            note.extend(delegate.lifetime.iter().map(|most| format!("at most {}", most.value)));
            note.extend(delegate.withheld.iter().map(|withheld| match withheld.value {
                Withheld::Standing => "no standing".to_owned(),
                Withheld::BreakGlass => "no break-glass".to_owned(),
                Withheld::Reveal => "no reveal".to_owned(),
            }));
            let from = graph.node(format!("team:{name}:{at}"), name, &note.join(" · "), Kind::Team);
            for connection in &delegate.on.connections {
                let to = delegated(&mut graph, policy, *connection);
                let bond = if policy[*connection].label(CONTROLS).is_some() { Bond::Escalates } else { Bond::Reaches };
                graph.edge(&from, &to, bond);
            }
            lines.push(from);
        }
        if lines.is_empty() {
            lines.push(graph.node(format!("team:{name}"), name, &format!("{folder} · nothing delegated"), Kind::Team));
        }
        for (maintainer, node) in team.maintainers.iter().flat_map(|one| lines.iter().map(move |node| (one, node))) {
            let group = &policy[maintainer.value];
            let (name, kind) = (&group.head.name.value, group.kind.as_ref().map(|kind| kind.value));
            let from = graph.node(format!("group:{name}"), name, "maintains", Kind::Group(kind));
            graph.edge(&from, node, Bond::Reaches);
        }
    }
    graph
}

fn delegated(graph: &mut Graph, policy: &Policy, id: ConnectionId) -> String {
    let connection = &policy[id];
    let kind = match (connection.label(CONTROLS), connection.label("env")) {
        (Some(_), _) => Kind::Controls,
        (None, Some("prod")) => Kind::Production,
        (None, Some(_) | None) => Kind::Connection,
    };
    let name = &connection.head.name.value;
    let labels = ["env", "data", CONTROLS].into_iter().filter_map(|key| connection.label(key));
    graph.node(format!("connection:{name}"), name, &labels.collect::<Vec<_>>().join(" · "), kind)
}
