//! The graph as a drawing: three columns, edges between them, nested groups beside each other. No script, no font of
//! its own, no link: what is drawn can be put into a slide.

use super::{Bond, Edge, Graph, Kind, Node};
use lang::program::SubjectKind;
use std::{collections::BTreeMap, fmt::Write as _};

const BOX_WIDTH: usize = 300;
const BOX_HEIGHT: usize = 48;
const GAP: usize = 14;
const COLUMNS: [usize; 3] = [90, 520, 950];
const TOP: usize = 96;
const WIDTH: usize = 1_290;
/// The most characters of a line in a box.
const TITLE_MAX: usize = 32;
const NOTE_MAX: usize = 46;

pub(super) fn write(graph: &Graph) -> String {
    let places = places(graph);
    let bottom = places.values().map(|(_, y)| y + BOX_HEIGHT).max().unwrap_or(TOP);
    let height = bottom + 84;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"Inter, Helvetica, Arial, sans-serif\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    out.push_str("<defs>");
    for (bond, colour) in [("r", "#64748b"), ("e", "#dc2626")] {
        let _in_memory = write!(
            out,
            "<marker id=\"{bond}\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
             <path d=\"M0 0L8 4L0 8z\" fill=\"{colour}\"/></marker>"
        );
    }
    out.push_str("</defs>\n");
    let _in_memory = writeln!(
        out,
        "<text x=\"40\" y=\"46\" font-size=\"24\" font-weight=\"600\" fill=\"#0f172a\">{}</text>",
        escape(&graph.title)
    );
    let teams = graph.nodes.values().any(|node| node.kind == Kind::Team);
    let forbids = graph.nodes.values().any(|node| node.kind == Kind::Forbid);
    let middle = match (teams, forbids) {
        (true, _) => "teams",
        (false, true) => "grants and forbids",
        (false, false) => "grants",
    };
    for (x, word) in COLUMNS.iter().zip(["groups", middle, "connections"]) {
        let _in_memory = writeln!(
            out,
            "<text x=\"{x}\" y=\"80\" font-size=\"13\" letter-spacing=\"1\" fill=\"#64748b\">{}</text>",
            word.to_uppercase()
        );
    }
    for edge in &graph.edges {
        if let (Some(from), Some(to)) = (places.get(edge.from.as_str()), places.get(edge.to.as_str())) {
            draw_edge(&mut out, edge, *from, *to);
        }
    }
    for (id, node) in &graph.nodes {
        if let Some(place) = places.get(id.as_str()) {
            draw_node(&mut out, node, *place);
        }
    }
    legend(&mut out, bottom + 48, teams);
    out.push_str("</svg>\n");
    out
}

/// Where each node stands. Each column is ordered by what its nodes are connected to, so that few edges cross.
fn places(graph: &Graph) -> BTreeMap<&str, (usize, usize)> {
    let mut columns: [Vec<&str>; 3] = Default::default();
    for (id, node) in &graph.nodes {
        if let Some(column) = columns.get_mut(node.kind.column()) {
            column.push(id);
        }
    }
    // From the right, whose order is that of names, to the left and back once.
    for (moved, fixed) in [(1, 2), (0, 1), (1, 0), (2, 1), (1, 2), (0, 1)] {
        let rank: BTreeMap<&str, usize> =
            columns.get(fixed).into_iter().flatten().enumerate().map(|(at, id)| (*id, at)).collect();
        if let Some(column) = columns.get_mut(moved) {
            column.sort_by_cached_key(|id| (centre(graph, id, &rank), *id));
        }
    }
    let tallest = columns.iter().map(Vec::len).max().unwrap_or(0) * (BOX_HEIGHT + GAP);
    let mut places = BTreeMap::new();
    for (x, column) in COLUMNS.iter().zip(&columns) {
        let spare = tallest.saturating_sub(column.len() * (BOX_HEIGHT + GAP)) / (column.len() + 1).max(1);
        for (at, id) in column.iter().enumerate() {
            places.insert(*id, (*x, TOP + spare * (at + 1) + at * (BOX_HEIGHT + GAP)));
        }
    }
    places
}

/// The mean position of a node's neighbours, in thousandths; nodes without one come last.
fn centre(graph: &Graph, id: &str, rank: &BTreeMap<&str, usize>) -> usize {
    let near: Vec<usize> = graph
        .edges
        .iter()
        .filter_map(|edge| {
            let other = if edge.from == id { &edge.to } else { &edge.from };
            (edge.from == id || edge.to == id).then(|| rank.get(other.as_str()).copied()).flatten()
        })
        .collect();
    if near.is_empty() { usize::MAX } else { near.iter().sum::<usize>() * 1_000 / near.len() }
}

fn draw_edge(out: &mut String, edge: &Edge, from: (usize, usize), to: (usize, usize)) {
    let half = BOX_HEIGHT / 2;
    let (colour, width, dash, marker) = match edge.bond {
        Bond::Reaches => ("#94a3b8", "1.4", "", "r"),
        Bond::Escalates => ("#dc2626", "2.6", "", "e"),
        Bond::Within => ("#64748b", "1.4", "5 4", "r"),
        Bond::Forbidden => ("#dc2626", "1.4", "2 5", "e"),
    };
    let (y1, y2) = (from.1 + half, to.1 + half);
    let path = if edge.bond == Bond::Within {
        // An arc on the left of the column.
        let bend = from.0.saturating_sub(18 + (y1.abs_diff(y2) / 8).min(56));
        format!("M{} {y1}C{bend} {y1} {bend} {y2} {} {y2}", from.0, to.0.saturating_sub(3))
    } else {
        let (x1, x2) = (from.0 + BOX_WIDTH, to.0.saturating_sub(3));
        let bend = x2.saturating_sub(x1) / 2;
        format!("M{x1} {y1}C{} {y1} {} {y2} {x2} {y2}", x1 + bend, x2.saturating_sub(bend))
    };
    let _in_memory = writeln!(
        out,
        "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" stroke-dasharray=\"{dash}\" \
         marker-end=\"url(#{marker})\"/>"
    );
}

/// Fill, border and bar of a box.
const fn colours(kind: Kind) -> (&'static str, &'static str, &'static str) {
    match kind {
        Kind::Group(Some(SubjectKind::Agent)) => ("#faf5ff", "#a855f7", "#9333ea"),
        Kind::Group(Some(SubjectKind::Service)) => ("#ecfeff", "#06b6d4", "#0891b2"),
        Kind::Group(Some(SubjectKind::Human) | None) => ("#eff6ff", "#60a5fa", "#2563eb"),
        Kind::Requested => ("#f8fafc", "#94a3b8", "#64748b"),
        Kind::Standing => ("#fffbeb", "#f59e0b", "#d97706"),
        Kind::BreakGlass => ("#fef2f2", "#ef4444", "#dc2626"),
        Kind::Forbid => ("#ffffff", "#dc2626", "#dc2626"),
        Kind::Team => ("#f5f3ff", "#8b5cf6", "#7c3aed"),
        Kind::Connection => ("#f0fdf4", "#86efac", "#4ade80"),
        Kind::Production => ("#f0fdf4", "#16a34a", "#15803d"),
        Kind::Controls => ("#fef2f2", "#dc2626", "#7f1d1d"),
    }
}

fn draw_node(out: &mut String, node: &Node, (x, y): (usize, usize)) {
    let (fill, border, bar) = colours(node.kind);
    let _in_memory = writeln!(
        out,
        "<g><title>{} {}</title><rect x=\"{x}\" y=\"{y}\" width=\"{BOX_WIDTH}\" height=\"{BOX_HEIGHT}\" rx=\"8\" fill=\"{fill}\" \
         stroke=\"{border}\"/><rect x=\"{x}\" y=\"{y}\" width=\"6\" height=\"{BOX_HEIGHT}\" rx=\"3\" fill=\"{bar}\"/>",
        escape(&node.title),
        escape(&node.note)
    );
    let title_y = if node.note.is_empty() { y + 29 } else { y + 20 };
    let _in_memory = writeln!(
        out,
        "<text x=\"{}\" y=\"{title_y}\" font-size=\"15\" font-weight=\"600\" fill=\"#0f172a\">{}</text>",
        x + 18,
        escape(&cut(&node.title, TITLE_MAX))
    );
    if !node.note.is_empty() {
        let _in_memory = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" font-size=\"11.5\" fill=\"#475569\">{}</text>",
            x + 18,
            y + 38,
            escape(&cut(&node.note, NOTE_MAX))
        );
    }
    out.push_str("</g>\n");
}

fn legend(out: &mut String, y: usize, teams: bool) {
    let kinds: &[(Kind, &str)] = if teams {
        &[
            (Kind::Group(Some(SubjectKind::Human)), "maintainers"),
            (Kind::Team, "team"),
            (Kind::Production, "production"),
            (Kind::Connection, "elsewhere"),
            (Kind::Controls, "controls access"),
        ]
    } else {
        &[
            (Kind::Group(Some(SubjectKind::Human)), "people"),
            (Kind::Group(Some(SubjectKind::Service)), "services"),
            (Kind::Group(Some(SubjectKind::Agent)), "agents"),
            (Kind::Requested, "requested"),
            (Kind::Standing, "standing"),
            (Kind::BreakGlass, "break-glass"),
            (Kind::Forbid, "forbid"),
            (Kind::Production, "production"),
            (Kind::Connection, "elsewhere"),
            (Kind::Controls, "controls access"),
        ]
    };
    let mut x = 40;
    for (kind, word) in kinds {
        let (fill, border, bar) = colours(*kind);
        let _in_memory = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"22\" height=\"14\" rx=\"3\" fill=\"{fill}\" stroke=\"{border}\"/>\
             <rect x=\"{x}\" y=\"{}\" width=\"5\" height=\"14\" rx=\"2\" fill=\"{bar}\"/>\
             <text x=\"{}\" y=\"{}\" font-size=\"12\" fill=\"#475569\">{word}</text>",
            y - 11,
            y - 11,
            x + 29,
            y + 1
        );
        x += 46 + word.len() * 6;
    }
    let lines = if teams { "red: escalation" } else { "dashed: nests in · dotted: refused · red: escalation" };
    let _in_memory =
        writeln!(out, "<text x=\"{}\" y=\"{}\" font-size=\"12\" fill=\"#475569\">{lines}</text>", x + 12, y + 1);
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
