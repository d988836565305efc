//! A picture of a policy: groups, connections, and the grants that lead from one to the other.

use super::html::{Html, html};
use lang::program::rules::Rules;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of a picture; a larger policy is read as a table.
const PICTURE_MAX: usize = 60;

/// Groups on the left, connections on the right, a line for each grant between them.
pub(super) fn picture(body: &mut Html, rules: &Rules) {
    let mut edges: BTreeSet<(String, String, bool)> = BTreeSet::new();
    for grant in &rules.grants {
        for group in grant.to.iter().map(|principal| principal.groups.join("+")) {
            for connection in &grant.on {
                edges.insert((group.clone(), connection.clone(), grant.break_glass.is_some()));
            }
        }
    }
    let place = |names: BTreeSet<&String>| -> BTreeMap<String, usize> {
        names.into_iter().enumerate().map(|(row, name)| (name.clone(), row)).collect()
    };
    let groups = place(edges.iter().map(|edge| &edge.0).collect());
    let connections = place(edges.iter().map(|edge| &edge.1).collect());
    let rows = groups.len().max(connections.len());
    if rows == 0 || rows > PICTURE_MAX {
        return;
    }
    let y = |row: usize| 24 + row * 30;
    html!(
        body,
        "<section><h2>Picture</h2><svg viewBox=\"0 0 760 {}\" role=\"img\" \
         aria-label=\"Groups and the connections that their grants lead to; the table above says the same\">\n",
        y(rows)
    );
    for (group, connection, glass) in &edges {
        let (from, to) = (groups.get(group).copied().unwrap_or(0), connections.get(connection).copied().unwrap_or(0));
        let class = if *glass { "edge glass" } else { "edge" };
        html!(
            body,
            "<path class=\"{}\" d=\"M 240 {} C 380 {}, 380 {}, 520 {}\"/>\n",
            class,
            y(from),
            y(from),
            y(to),
            y(to)
        );
    }
    for (name, row) in &groups {
        html!(body, "<text x=\"232\" y=\"{}\" text-anchor=\"end\">{}</text>\n", y(*row) + 5, name);
    }
    for (name, row) in &connections {
        html!(body, "<text x=\"528\" y=\"{}\">{}</text>\n", y(*row) + 5, name);
    }
    html!(body, "</svg></section>\n");
}
