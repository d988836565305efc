//! What a change of a relation's rows would make the server tell of masked values, whatever its statement reads: by
//! constraints, indexes, foreign keys and parts that it evaluates on the real rows, of the relation and of what is changed along
//! with it.

use super::named::Named;
use super::{Cover, Plan, Treatment, hashes};
use crate::snapshot::{Evaluated, Kind, Name, Relation};
use lang::protocol::Operation;
use std::collections::BTreeSet;

/// What one statement writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Written {
    pub(super) relation: Name,
    /// What rows that it makes are given. A row may be made of defaults alone: an insertion names all then.
    pub(super) inserted: Named,
    /// What it changes in rows that are there.
    pub(super) updated: Named,
    pub(super) deletes: bool,
    /// Whether it looks for rows that are there.
    pub(super) finds: bool,
}

impl Written {
    pub(super) fn inserts(&self) -> bool {
        !matches!(self.inserted, Named::Nothing)
    }
}

/// Whether a relation may not be written so, whatever the statement reads.
pub(super) fn refuses(
    plan: &Plan,
    relation: &Name,
    inserts: bool,
    deletes: bool,
    columns: &BTreeSet<Box<str>>,
) -> bool {
    let given = || Named::These(columns.clone());
    let written = Written {
        relation: relation.clone(),
        inserted: if inserts { given() } else { Named::Nothing },
        updated: if inserts || deletes { Named::Nothing } else { given() },
        deletes,
        finds: deletes || !inserts,
    };
    target(plan, &written).is_some()
}

/// Whether any way to write a relation is refused.
pub(super) fn refuses_some(plan: &Plan, relation: &Name) -> bool {
    let written =
        Written { relation: relation.clone(), inserted: Named::All, updated: Named::All, deletes: true, finds: true };
    target(plan, &written).is_some()
}

/// Why a relation may not be written so.
pub(super) fn target(plan: &Plan, written: &Written) -> Option<String> {
    let name = format!("`{}.{}`", written.relation.0, written.relation.1);
    let relation = plan.catalog.relation(&written.relation)?;
    if relation.rules {
        return Some(format!(
            "{name} has rewrite rules, and the gateway cannot see what they do; this connection has masks"
        ));
    }
    if let Some(why) = hashes::told(plan, relation, written, &name) {
        return Some(why);
    }
    match plan.treatment(&written.relation) {
        Some(Treatment::Closed(why)) => return Some(format!("{name} is closed on this connection: {why}")),
        Some(Treatment::Covered(cover)) => {
            if relation.kind == Kind::View {
                return Some(format!(
                    "{name} is a view over what is masked for you, or is shown by a masking view of the target: it cannot be \
                     written through; write to the table that it shows"
                ));
            }
            if relation.triggers {
                return Some(format!(
                    "{name} has masked columns and triggers, which would see and could repeat the real values; write with an account of your own"
                ));
            }
            if written.finds && finds_by_policy(relation, cover) {
                return Some(format!(
                    "the row policies of {name} rest on columns that an index holds beside masked ones, so that its rows \
                     are found in an order of masked values; change them with an account of your own"
                ));
            }
            if written.finds && cover.access.scattered {
                return Some(format!(
                    "{name} is divided by a masked column, so that the order in which its rows are found tells of it; \
                     change them with an account of your own"
                ));
            }
        }
        // A view over nothing masked: what it writes is a table that the policy may mask after all.
        None if relation.kind == Kind::View => {
            let bases = plan.catalog.bases_of(relation.oid).filter_map(|oid| plan.catalog.name_of(oid));
            for base in bases {
                let through = Written {
                    relation: base.clone(),
                    inserted: Named::All,
                    updated: Named::All,
                    deletes: true,
                    finds: true,
                };
                if let Some(why) = target(plan, &through) {
                    return Some(why);
                }
            }
        }
        None => {}
    }
    beside(plan, relation, written, &mut BTreeSet::new())
}

/// Whether the row policies of a table find its rows by columns that an index holds beside masked ones.
fn finds_by_policy(relation: &Relation, cover: &Cover) -> bool {
    let beside = |(table, column): &(Option<u32>, i16)| match relation.column(*column) {
        Some(column) if *table == Some(relation.oid) => cover.access.beside.contains(&column.name),
        Some(_) | None => table.is_none(),
    };
    relation.row_security && relation.policy_reads.iter().any(beside)
}

/// Why the server may not do to a relation, to what inherits from it and to what foreign keys change along with it what
/// the change asks for.
///
/// One relation may be changed in several ways, by several keys or by its own: each is looked at.
fn beside(plan: &Plan, relation: &Relation, written: &Written, seen: &mut BTreeSet<Written>) -> Option<String> {
    if !seen.insert(written.clone()) {
        return None;
    }
    let name = format!("`{}.{}`", written.relation.0, written.relation.1);
    if let Some(why) = hashes::told(plan, relation, written, &name) {
        return Some(why);
    }
    if let Some(why) = evaluated(plan, relation, written, &name) {
        return Some(why);
    }
    let mut others: Vec<Written> = along(plan, relation, written)
        .into_iter()
        .filter_map(|(other, operation)| {
            let deletes = operation == Operation::DeleteBounded;
            let updated = if deletes { Named::Nothing } else { Named::These(keys(plan, &other, relation.oid)?) };
            Some(Written { relation: other, inserted: Named::Nothing, updated, deletes, finds: true })
        })
        .collect();
    let below = plan.catalog.children_of(relation.oid).filter_map(|oid| plan.catalog.name_of(oid));
    others.extend(below.map(|child| Written { relation: child.clone(), ..written.clone() }));
    others.iter().find_map(|other| {
        let found = plan.catalog.relation(&other.relation)?;
        if found.triggers && plan.is_tainted(&other.relation) {
            return Some(format!(
                "this change of {name} makes the server change rows of `{}.{}`, which has masked columns and triggers; \
                 make it with an account of your own",
                other.relation.0, other.relation.1
            ));
        }
        beside(plan, found, other, seen)
    })
}

/// The columns by which a relation refers to another.
fn keys(plan: &Plan, name: &Name, referred: u32) -> Option<BTreeSet<Box<str>>> {
    let relation = plan.catalog.relation(name)?;
    let rules = relation.evaluated.iter().filter(|rule| matches!(rule.refers, Some((table, _)) if table == referred));
    let numbers = rules.flat_map(|rule| rule.columns.iter());
    Some(numbers.filter_map(|number| relation.column(*number)).map(|column| column.name.clone()).collect())
}

/// Constraints and indexes are evaluated on raw values: success and failure tell something of them.
fn evaluated(plan: &Plan, relation: &Relation, written: &Written, name: &str) -> Option<String> {
    let updated: BTreeSet<i16> = relation
        .columns
        .iter()
        .filter(|column| written.updated.has(&column.name))
        .map(|column| column.number)
        .collect();
    let computed = relation.computed_from.values().map(|from| Evaluated {
        what: "a generated column",
        columns: from.clone(),
        refers: None,
        validated: true,
    });
    if written.inserts() && is_divided_by_number(plan, relation) {
        return Some(format!(
            "{name} is divided by a masked column that a sequence gives its numbers, and the outcome of an insertion would \
             tell of them; make it with an account of your own"
        ));
    }
    let moves = moves(plan, relation, written);
    for rule in relation.evaluated.iter().cloned().chain(computed) {
        let masked: BTreeSet<i16> =
            rule.columns.iter().copied().filter(|column| plan.is_masked(relation.oid, *column)).collect();
        let compares =
            matches!(rule.what, "a unique index or constraint" | "an exclusion constraint" | "a foreign key");
        let refers_to_masked = rule
            .refers
            .as_ref()
            .is_some_and(|(table, columns)| columns.iter().any(|column| plan.is_masked(*table, *column)));
        if masked.is_empty() && !refers_to_masked {
            continue;
        }
        // What rests on the written values alone tells nothing: those of a new row, or all masked ones of a changed row.
        // But a number that a sequence gave is nobody's word.
        let numbered = masked.iter().any(|column| plan.catalog.is_numbered(relation.oid, *column));
        let by_insertion = written.inserts() && (compares || numbered) || moves;
        let evaluates = !rule.columns.is_disjoint(&updated) || !rule.validated && !compares;
        let by_change = written.updated.any() && evaluates && (compares || !masked.is_subset(&updated));
        if by_insertion || by_change {
            return Some(format!(
                "this write would make the server evaluate {} of {name} on masked values, and its outcome would tell of \
                 them; change other columns only, or write with an account of your own",
                rule.what
            ));
        }
    }
    referred(plan, relation, written, &updated, name)
}

/// Whether a sequence decides in which part of a divided table a new row stands, by a masked number.
fn is_divided_by_number(plan: &Plan, relation: &Relation) -> bool {
    let numbered = |by: &i16| plan.is_masked(relation.oid, *by) && plan.catalog.is_numbered(relation.oid, *by);
    relation.partitioned_by.iter().any(numbered)
}

/// Whether a change may move rows into other parts of a divided table: there they are inserted, with their masked values.
fn moves(plan: &Plan, relation: &Relation, written: &Written) -> bool {
    let mut tables = plan
        .catalog
        .family(relation.oid)
        .into_iter()
        .filter_map(|oid| plan.catalog.name_of(oid).and_then(|name| plan.catalog.relation(name)));
    written.updated.any()
        && tables.any(|table| {
            let named = |by: &i16| table.column(*by).is_none_or(|column| written.updated.has(&column.name));
            table.partitioned_by.iter().any(named)
        })
}

/// What foreign keys change along with a change, and how.
fn along(plan: &Plan, relation: &Relation, written: &Written) -> Vec<(Name, Operation)> {
    let refers = |other: &Relation| {
        let rules = other.evaluated.iter().filter_map(|rule| rule.refers.as_ref());
        let named = |columns: &BTreeSet<i16>| {
            columns.iter().filter_map(|number| relation.column(*number)).any(|column| written.updated.has(&column.name))
        };
        rules.filter(|(table, _)| *table == relation.oid).any(|(_, columns)| named(columns))
    };
    let mut along = Vec::new();
    if written.deletes {
        along.extend(plan.catalog.changed_along(relation.oid, Operation::DeleteBounded));
    }
    along.extend(plan.catalog.changed_along(relation.oid, Operation::UpdateBounded).into_iter().filter(
        |(other, _)| plan.catalog.name_of(*other).and_then(|name| plan.catalog.relation(name)).is_some_and(refers),
    ));
    let named = |(other, operation)| plan.catalog.name_of(other).map(|name| (name.clone(), operation));
    along.into_iter().filter_map(named).collect()
}

/// A relation whose rows a foreign key writes anew along with this change, found in an order of masked values; or removes,
/// where another key says which was first.
fn moved_along(plan: &Plan, relation: &Relation, written: &Written) -> Option<Name> {
    let refers = |oid: u32| {
        let mut rules = plan.catalog.relations().flat_map(|(_, other)| &other.evaluated);
        rules.any(|rule| rule.refers.as_ref().is_some_and(|(table, _)| *table == oid))
    };
    let tells = |(name, operation): &(Name, Operation)| {
        *operation == Operation::UpdateBounded || plan.catalog.relation(name).is_some_and(|other| refers(other.oid))
    };
    along(plan, relation, written)
        .into_iter()
        .filter(tells)
        .map(|(name, _)| name)
        .find(|name| matches!(plan.treatment(name), Some(Treatment::Covered(cover)) if cover.access.is_ordered()))
}

/// A deletion, or a change of a key, that a foreign key of another table judges by masked values.
fn referred(
    plan: &Plan,
    relation: &Relation,
    written: &Written,
    numbers: &BTreeSet<i16>,
    name: &str,
) -> Option<String> {
    if let Some(other) = moved_along(plan, relation, written) {
        return Some(format!(
            "this change makes the server change rows of `{}.{}` in the order of masked values; make it with an account \
             of your own",
            other.0, other.1
        ));
    }
    for (other, with) in plan.catalog.relations() {
        for rule in &with.evaluated {
            let Some((table, columns)) = &rule.refers else { continue };
            if *table != relation.oid {
                continue;
            }
            let masked = rule.columns.iter().any(|column| plan.is_masked(with.oid, *column))
                || columns.iter().any(|column| plan.is_masked(*table, *column));
            let touched = written.deletes || !columns.is_disjoint(numbers);
            if masked && touched {
                return Some(format!(
                    "the foreign key of `{}.{}` refers to {name} by masked values, so that the outcome of this change \
                     would tell of them; make it with an account of your own",
                    other.0, other.1
                ));
            }
        }
    }
    None
}
