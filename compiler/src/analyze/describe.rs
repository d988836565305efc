//! Regions in the words of those who wrote the rules: families of operations, patterns of objects, hours. The boxes
//! that are named together are exactly the region.

use super::{bits::Bits, cells::Cells, local::Local};
use lang::{
    program::{Object, argv_matches, path_matches, segment_matches, table_matches},
    protocol::{ConnectionKind, OpSet, Operation},
    time::Zone,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

/// The region as `operations on objects`, most objects first.
pub fn region(cells: &Cells, region: &Bits, locals: &[&Local<'_>], zone: &Zone) -> Vec<String> {
    let kind = locals.first().map_or(ConnectionKind::Postgres, |local| local.connection.kind);
    // For each object: which operations at which instants.
    let mut by_object: BTreeMap<usize, BTreeMap<usize, BTreeSet<Operation>>> = BTreeMap::new();
    for cell in region.iter() {
        let Some(op) = cells.op_of(cell) else { continue };
        let times = by_object.entry(cells.object_of(cell)).or_default();
        times.entry(cells.time_of(cell)).or_default().insert(op);
    }
    let mut boxes: BTreeMap<(OpSet, BTreeSet<usize>), BTreeSet<usize>> = BTreeMap::new();
    for (object, times) in by_object {
        let mut by_ops: BTreeMap<OpSet, BTreeSet<usize>> = BTreeMap::new();
        for (time, ops) in times {
            by_ops.entry(ops.into_iter().collect()).or_default().insert(time);
        }
        for (ops, times) in by_ops {
            boxes.entry((ops, times)).or_default().insert(object);
        }
    }
    let mut lines: Vec<(usize, String)> = boxes
        .into_iter()
        .map(|((ops, times), objects)| {
            let mut line = words(kind, ops);
            if objects.len() < cells.objects().len() {
                let names = labels(cells, &objects, locals);
                let _in_memory = write!(line, " on {names}");
            }
            if times.len() < cells.times().len() {
                let _in_memory = write!(line, ", {}", when(cells, &times, locals, zone));
            }
            (objects.len(), line)
        })
        .collect();
    lines.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Operations by the widest words that name exactly them.
pub fn words(kind: ConnectionKind, ops: OpSet) -> String {
    let all: OpSet = kind.operations().collect();
    if ops == all {
        return "everything".to_owned();
    }
    let mut rest = ops;
    let mut words = Vec::new();
    for family in kind.families() {
        if let Some(set) = kind.resolve(family)
            && set.difference(ops).is_empty()
        {
            words.push(family.to_owned());
            rest = rest.difference(set);
        }
    }
    words.extend(rest.iter().map(|op| op.word().to_owned()));
    words.join(" ")
}

/// The objects by the narrowest pattern that the policies write for each.
fn labels(cells: &Cells, objects: &BTreeSet<usize>, locals: &[&Local<'_>]) -> String {
    let patterns = patterns(locals);
    let named: BTreeSet<String> = objects
        .iter()
        .filter_map(|object| cells.objects().get(*object))
        .map(|object| label(object, &patterns))
        .collect();
    // What touches nothing is within every scope and says nothing beside other objects.
    let named: Vec<String> = if named.len() > 1 {
        named.into_iter().filter(|name| name != NOTHING).collect()
    } else {
        named.into_iter().collect()
    };
    named.join(" ")
}

const NOTHING: &str = "no object";

fn label(object: &Object, patterns: &BTreeSet<String>) -> String {
    let best = |hit: &dyn Fn(&str) -> bool| {
        patterns
            .iter()
            .filter(|pattern| hit(pattern))
            .max_by_key(|pattern| pattern.trim_end_matches('*').len())
            .cloned()
    };
    let found = match object {
        Object::Nothing => Some(NOTHING.to_owned()),
        Object::Table { schema, name } => best(&|pattern| table_matches(pattern, schema, name)),
        Object::Path(path) => best(&|pattern| path_matches(pattern, path)),
        Object::Argv(argv) => best(&|pattern| argv_matches(pattern, argv)).map(|pattern| format!("`{pattern}`")),
        Object::Kubernetes { namespace, resource } => {
            let namespace = best(&|pattern| segment_matches(pattern, namespace));
            let resource = best(&|pattern| segment_matches(pattern, resource));
            match (namespace, resource) {
                (None, None) => None,
                (namespace, resource) => Some(format!(
                    "{}/{}",
                    namespace.unwrap_or_else(|| "other namespaces".to_owned()),
                    resource.unwrap_or_else(|| "*".to_owned())
                )),
            }
        }
    };
    found.unwrap_or_else(|| "other objects".to_owned())
}

fn patterns(locals: &[&Local<'_>]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for local in locals {
        let grants = local.grants.iter().map(|grant| &grant.scope);
        let guards = local.guards.iter().flat_map(|guard| {
            guard.blocks.iter().chain(&guard.only).chain(guard.reviews.iter().map(|review| &review.region))
        });
        for scope in grants.chain(guards.map(|region| &region.scope)) {
            let all = [&scope.tables, &scope.namespaces, &scope.resources, &scope.paths, &scope.argv];
            found.extend(all.into_iter().flatten().cloned());
        }
        found.extend(local.guards.iter().flat_map(|guard| &guard.argv).cloned());
        found.extend(local.connection.classified.iter().map(|item| item.object.clone()));
        let columns = local.masks.iter().flat_map(|mask| &mask.columns).filter_map(|column| column.rsplit_once('.'));
        found.extend(columns.map(|(table, _)| table.to_owned()));
    }
    found
}

/// The instants as hours that the policies write, else the first of them.
fn when(cells: &Cells, times: &BTreeSet<usize>, locals: &[&Local<'_>], zone: &Zone) -> String {
    let all = locals.iter().flat_map(|local| {
        let grants = local.grants.iter().filter_map(|rule| rule.hours.as_ref());
        let forbids = local.forbids.iter().filter_map(|rule| rule.hours.as_ref());
        let limits = local.limits.iter().filter_map(|rule| rule.hours.as_ref());
        let guards = local.guards.iter().filter_map(|rule| rule.hours.as_ref());
        grants.chain(forbids).chain(limits).chain(guards).collect::<Vec<_>>()
    });
    for hours in all {
        let within = |at: &usize| cells.times().get(*at).is_some_and(|at| hours.contains(*at, zone));
        let inside: BTreeSet<usize> = (0..cells.times().len()).filter(within).collect();
        if inside == *times {
            return format!("within {}", week(hours.intervals()));
        }
        if (0..cells.times().len()).filter(|at| !inside.contains(at)).eq(times.iter().copied()) {
            return format!("outside {}", week(hours.intervals()));
        }
    }
    let first: Vec<String> =
        times.iter().take(3).filter_map(|at| cells.times().get(*at)).map(|at| zone.display(*at)).collect();
    format!("for example at {}", first.join(", "))
}

/// Weekly intervals in the words of the language.
fn week(intervals: &[(u16, u16)]) -> String {
    const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
    let day = |minute: u16| DAYS.get(usize::from(minute / 1440) % 7).copied().unwrap_or_default();
    let clock = |minute: u16| format!("{:02}:{:02}", minute % 1440 / 60, minute % 60);
    let mut daily: BTreeMap<(String, String), Vec<u16>> = BTreeMap::new();
    let mut parts = Vec::new();
    for (from, until) in intervals {
        if *until - *from <= 1440 {
            let end = if *until % 1440 == 0 { "24:00".to_owned() } else { clock(*until) };
            daily.entry((clock(*from), end)).or_default().push(*from);
        } else {
            parts.push(format!("{} {} to {} {}", day(*from), clock(*from), day(*until - 1), clock(*until)));
        }
    }
    for ((from, until), starts) in daily {
        let days: Vec<&str> = starts.iter().map(|start| day(*start)).collect();
        let consecutive = starts.windows(2).all(|pair| matches!(pair, [a, b] if *b - *a == 1440));
        let days = match (days.first(), days.last()) {
            (Some(first), Some(last)) if days.len() > 2 && consecutive => format!("{first}-{last}"),
            _ => days.join(" "),
        };
        parts.push(format!("{days} {from}-{until}"));
    }
    parts.join(", ")
}
