//! The graph in the language of Graphviz.

use super::{Bond, Graph, Kind};
use std::fmt::Write as _;

pub(super) fn write(graph: &Graph) -> String {
    let mut out = format!("digraph {} {{\n", text(&graph.title));
    out.push_str("    rankdir=LR;\n    node [fontname=\"Helvetica\", style=\"filled,rounded\", shape=box];\n");
    let _in_memory = writeln!(out, "    label={}; labelloc=t;", text(&graph.title));
    for (id, node) in &graph.nodes {
        let label = if node.note.is_empty() { node.title.clone() } else { format!("{}\n{}", node.title, node.note) };
        let colour = match node.kind {
            Kind::Group(_) => "#dbeafe",
            Kind::Requested => "#f1f5f9",
            Kind::Standing => "#fef3c7",
            Kind::BreakGlass => "#fee2e2",
            Kind::Forbid => "#ffffff",
            Kind::Team => "#ede9fe",
            Kind::Connection => "#ecfdf5",
            Kind::Production => "#d1fae5",
            Kind::Controls => "#fecaca",
        };
        let border = if node.kind == Kind::Forbid { ", color=red" } else { "" };
        let _in_memory =
            writeln!(out, "    {} [label={}, fillcolor={}{border}];", text(id), text(&label), text(colour));
    }
    for edge in &graph.edges {
        let style = match edge.bond {
            Bond::Reaches => "",
            Bond::Escalates => " [color=red, penwidth=2, label=\"escalation\"]",
            Bond::Within => " [style=dashed, label=\"within\"]",
            Bond::Forbidden => " [color=red, style=dotted]",
        };
        let _in_memory = writeln!(out, "    {} -> {}{style};", text(&edge.from), text(&edge.to));
    }
    out.push_str("}\n");
    out
}

fn text(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
