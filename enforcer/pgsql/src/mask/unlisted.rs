//! Columns of a relation with masks that the catalog does not list, in statements that test, change or show its real rows.
//!
//! What is read goes through a query that names the columns it shows, so that a column of another name fails at the
//! server. A statement that changes rows names the table itself: a masked column that somebody else has just renamed
//! would be tested under its new name. Whatever cannot be told is refused; the next reading of the catalog knows it.

use super::named::Named;
use super::{Plan, Treatment, blind};
use crate::snapshot::Name;
use pg_query::protobuf as pg;
use std::collections::BTreeSet;

/// Columns that every table has.
const SYSTEM: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

/// What a statement names.
pub(super) struct Scope<'s> {
    /// What relations are called.
    pub(super) relations: &'s [(Box<str>, Name)],
    /// The fields of each column; a star is an empty text.
    pub(super) columns: &'s [Vec<Box<str>>],
    /// Relations of which real rows are tested or shown.
    pub(super) shown: &'s BTreeSet<Name>,
}

/// Why a statement does not run that names a column which may be one of a relation with masks, and is not known.
pub(super) fn refused<'w>(
    plan: &Plan,
    tree: &pg::Node,
    scope: &Scope<'_>,
    mut written: impl Iterator<Item = (&'w Name, &'w Named)>,
) -> Option<String> {
    let covered = |name: &Name| matches!(plan.treatment(name), Some(Treatment::Covered(_)));
    let lists = |name: &Name, column: &str| {
        plan.catalog.relation(name).is_some_and(|relation| relation.column_named(column).is_some())
    };
    let gives = written.find_map(|(name, named)| match named {
        Named::These(columns) if covered(name) => columns.iter().find(|column| !lists(name, column)),
        Named::These(_) | Named::All | Named::Nothing => None,
    });
    let shown: Vec<&str> = scope
        .relations
        .iter()
        .filter(|(_, name)| scope.shown.contains(name) && covered(name))
        .map(|(alias, _)| alias.as_ref())
        .collect();
    let reads = || {
        scope.columns.iter().filter(|_| !shown.is_empty()).find_map(|fields| {
            let (last, before) = fields.split_last()?;
            let alias = before.last().map(AsRef::as_ref);
            let is_open = match alias {
                Some(alias) => shown.contains(&alias),
                None => !is_called(scope, last) && !is_defined(tree, scope, last),
            };
            let called = |own: &str| alias.is_none_or(|alias| alias == own);
            let known = last.is_empty()
                || SYSTEM.contains(&last.as_ref())
                || scope.relations.iter().any(|(own, name)| called(own) && lists(name, last));
            (is_open && !known).then_some(last)
        })
    };
    gives.or_else(reads).map(|column| {
        format!(
            "the gateway does not know which relation `{column}` is a column of, and this statement works on real rows of \
             one with masks; name its relation, or, when the table was changed a moment ago, try again in half a minute"
        )
    })
}

/// Whether a name is that of a relation: its whole row.
fn is_called(scope: &Scope<'_>, name: &str) -> bool {
    scope.relations.iter().any(|(alias, _)| **alias == *name)
}

/// Whether a name stands in the statement in another way than as a column: it may be defined there.
fn is_defined(tree: &pg::Node, scope: &Scope<'_>, name: &str) -> bool {
    let mut times = 0_usize;
    let unread = blind::find(tree, &mut |_, text| {
        times += usize::from(text == name);
        false
    });
    let mentioned = scope.columns.iter().flatten().filter(|field| ***field == *name).count();
    !unread && times > mentioned
}
