//! The graph as Mermaid, which forges draw in Markdown.

use super::{Bond, Graph, Kind};
use std::{collections::BTreeMap, fmt::Write as _};

pub(super) fn write(graph: &Graph) -> String {
    let mut out = format!("---\ntitle: {}\n---\nflowchart LR\n", graph.title.replace(':', " ·"));
    // Ids of Mermaid are plain words.
    let ids: BTreeMap<&str, String> =
        graph.nodes.keys().enumerate().map(|(at, id)| (id.as_str(), format!("n{at}"))).collect();
    let id = |name: &str| ids.get(name).cloned().unwrap_or_default();
    for (name, node) in &graph.nodes {
        let label = if node.note.is_empty() {
            text(&node.title)
        } else {
            format!("{}<br/>{}", text(&node.title), text(&node.note))
        };
        let (open, close, class) = match node.kind {
            Kind::Group(_) => ("([\"", "\"])", "group"),
            Kind::Requested => ("[\"", "\"]", "requested"),
            Kind::Standing => ("[\"", "\"]", "standing"),
            Kind::BreakGlass => ("[\"", "\"]", "glass"),
            Kind::Forbid => ("[/\"", "\"/]", "forbid"),
            Kind::Team => ("{{\"", "\"}}", "team"),
            Kind::Connection => ("[(\"", "\")]", "connection"),
            Kind::Production => ("[(\"", "\")]", "prod"),
            Kind::Controls => ("[(\"", "\")]", "controls"),
        };
        let _in_memory = writeln!(out, "    {}{open}{label}{close}:::{class}", id(name));
    }
    for edge in &graph.edges {
        let arrow = match edge.bond {
            Bond::Reaches => "-->",
            Bond::Escalates => "==>|escalation|",
            Bond::Within => "-.->|within|",
            Bond::Forbidden => "-.-x",
        };
        let _in_memory = writeln!(out, "    {} {arrow} {}", id(&edge.from), id(&edge.to));
    }
    for (class, fill) in [
        ("group", "#dbeafe"),
        ("requested", "#f1f5f9"),
        ("standing", "#fef3c7"),
        ("glass", "#fee2e2"),
        ("forbid", "#ffffff"),
        ("team", "#ede9fe"),
        ("connection", "#ecfdf5"),
        ("prod", "#d1fae5"),
        ("controls", "#fecaca"),
    ] {
        let _in_memory = writeln!(out, "    classDef {class} fill:{fill},stroke:#475569,color:#0f172a");
    }
    out
}

fn text(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}
