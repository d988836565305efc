//! The columns that a statement gives values, as its lists of targets name them.

use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::BTreeSet;

/// The columns that a statement gives values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    Nothing,
    All,
    These(BTreeSet<Box<str>>),
}

impl Named {
    /// Whether there is one.
    pub(super) fn any(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::These(columns) => !columns.is_empty(),
        }
    }

    /// Whether this is one.
    pub(super) fn has(&self, column: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::These(columns) => columns.contains(column),
        }
    }

    /// Adds others.
    pub(super) fn also(&mut self, other: Self) {
        *self = match (std::mem::replace(self, Self::Nothing), other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::These(mut one), Self::These(more)) => {
                one.extend(more);
                Self::These(one)
            }
            (one, Self::Nothing) | (Self::Nothing, one) => one,
        };
    }
}

/// The columns that a list of targets names; an empty list stands for all.
pub(super) fn names(targets: &[pg::Node]) -> Named {
    let named = targets.iter().filter_map(|target| match target.node.as_ref() {
        Some(E::ResTarget(target)) => Some(target.name.as_str().into()),
        _ => None,
    });
    if targets.is_empty() { Named::All } else { Named::These(named.collect()) }
}

/// The columns of which a list of targets names a field or an element only.
pub(super) fn assigned_in_part(targets: &[pg::Node]) -> impl Iterator<Item = Box<str>> {
    targets.iter().filter_map(|target| match target.node.as_ref() {
        Some(E::ResTarget(target)) if !target.indirection.is_empty() => Some(target.name.as_str().into()),
        _ => None,
    })
}
