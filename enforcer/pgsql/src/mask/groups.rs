//! GROUP BY over what stands in for a relation: the columns that follow from a key must be named there.
//!
//! It must never change which groups there are.

use super::rewrite::string;
use super::{Cover, blind};
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::BTreeSet;

/// `GROUP BY key` lets other columns of a table stand by themselves, those of a sub-query not: they are added to the
/// list. They depend on the key, so that the groups stay the same.
pub(super) fn extend(aliases: &[(Box<str>, &Cover)], select: &mut pg::SelectStmt) {
    if select.group_clause.is_empty() {
        return;
    }
    let mut named: Vec<Vec<String>> = Vec::new();
    for item in &select.group_clause {
        match item.node.as_ref() {
            Some(E::ColumnRef(column)) => {
                let fields: Vec<String> = column.fields.iter().filter_map(string).map(str::to_owned).collect();
                // A name that a column of FROM has means that one; the key is then shown without being grouped by.
                if let [name] = fields.as_slice() {
                    named.extend(select.target_list.iter().filter_map(|target| shown_as(target, Some(name))));
                }
                named.push(fields);
            }
            Some(E::AConst(_)) => named.extend(position(item, &select.target_list)),
            Some(E::GroupingSet(_)) => return,
            _ => {}
        }
    }
    // Whatever the query could mean: what it writes, in any of its parts.
    let written = Mentioned::of(select);
    let here: Vec<&str> = select.from_clause.iter().flat_map(names_of).collect();
    for (alias, cover) in aliases.iter().filter(|(alias, _)| here.contains(&alias.as_ref())) {
        let Some(key) = &cover.primary_key else { continue };
        let grouped = |column: &str| {
            named.iter().any(|fields| match fields.as_slice() {
                [name] => name == column,
                [table, name] => **table == **alias && name == column,
                _ => false,
            })
        };
        if !key.iter().all(|column| grouped(column)) {
            continue;
        }
        for (column, groups) in &cover.columns {
            if *groups && written.mentions(column) && !key.contains(column) {
                select.group_clause.push(self::column(&[alias, column]));
            }
        }
    }
}

/// The names that stand in what a query shows and in what its groups are tested and ordered by.
struct Mentioned {
    star: bool,
    names: BTreeSet<String>,
}

impl Mentioned {
    fn of(select: &pg::SelectStmt) -> Self {
        let mut written = Self { star: false, names: BTreeSet::new() };
        let lists = [&select.target_list, &select.sort_clause, &select.distinct_clause];
        for node in lists.into_iter().flatten().chain(select.having_clause.as_deref()) {
            // A reading that ends early has not seen everything.
            written.star |= blind::find(node, &mut |field, text| {
                if field == "sval" {
                    written.names.insert(text.to_owned());
                }
                field == blind::NODE && text == "AStar"
            });
        }
        written
    }

    fn mentions(&self, column: &str) -> bool {
        self.star || self.names.contains(column)
    }
}

/// What GROUP BY 1 stands for.
fn position(item: &pg::Node, targets: &[pg::Node]) -> Option<Vec<String>> {
    let Some(E::AConst(constant)) = item.node.as_ref() else { return None };
    let Some(pg::a_const::Val::Ival(number)) = &constant.val else { return None };
    shown_as(targets.get(usize::try_from(number.ival).ok()?.checked_sub(1)?)?, None)
}

/// The column that a query shows, under a name when one is asked for.
fn shown_as(target: &pg::Node, name: Option<&String>) -> Option<Vec<String>> {
    let Some(E::ResTarget(target)) = target.node.as_ref() else { return None };
    if name.is_some_and(|name| *name != target.name) {
        return None;
    }
    match target.val.as_deref()?.node.as_ref() {
        Some(E::ColumnRef(column)) => Some(column.fields.iter().filter_map(string).map(str::to_owned).collect()),
        _ => None,
    }
}

/// What the items of FROM are called, on both sides of joins.
pub(super) fn names_of(node: &pg::Node) -> Vec<&str> {
    match node.node.as_ref() {
        Some(E::JoinExpr(join)) => {
            [join.larg.as_deref(), join.rarg.as_deref()].into_iter().flatten().flat_map(names_of).collect()
        }
        Some(E::RangeSubselect(item)) => {
            item.alias.as_ref().map(|alias| alias.aliasname.as_str()).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// A column as a text names it.
pub(super) fn column(names: &[&str]) -> pg::Node {
    let name = |text: &&str| pg::Node { node: Some(E::String(pg::String { sval: (*text).to_owned() })) };
    let column = pg::ColumnRef { fields: names.iter().map(name).collect(), location: 0 };
    pg::Node { node: Some(E::ColumnRef(column)) }
}
