//! Relations beside the target of a change that hold each of its rows again, and what their columns are of it.

use super::made::result;
use super::names::string;
use super::operator::uncast;
use super::{E, pg};

/// The name of a column that may be any.
pub(super) const ANY: &str = "*";

/// Which columns of a relation the columns of a query over it are.
#[derive(Clone, Debug)]
pub(super) struct Columns<'t> {
    /// Names in their order, with the column of the relation; none for what is computed.
    named: Vec<(&'t str, Option<&'t str>)>,
    /// What columns of other names are.
    others: Others,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Others {
    /// The relation's of the same name.
    Same,
    Any,
    None,
    /// None of the relation's.
    Foreign,
}

/// What stands beside the target and holds every one of its rows again.
#[derive(Clone, Debug)]
pub(super) struct Twin<'t> {
    pub(super) alias: &'t str,
    pub(super) columns: Columns<'t>,
}

/// What stands beside the target and belongs to its row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attached<'t> {
    pub(super) alias: &'t str,
    /// Whether it may be absent, so that IS NOT NULL says something.
    pub(super) nullable: bool,
}

impl<'t> Columns<'t> {
    pub(super) fn same() -> Self {
        Self { named: Vec::new(), others: Others::Same }
    }

    pub(super) fn unknown() -> Self {
        Self { named: Vec::new(), others: Others::Any }
    }

    /// The column of the relation that a column is; [`ANY`] when it may be any.
    pub(super) fn stands_for(&self, name: &'t str) -> Option<&'t str> {
        match self.named.iter().find(|(own, _)| *own == name) {
            Some((_, column)) => *column,
            None if name == ANY => Some(ANY),
            None => match self.others {
                Others::Same => Some(name),
                Others::Any => Some(ANY),
                Others::Foreign => None,
                // A name that the query does not give is one that an alias with columns gives.
                Others::None => self.named.iter().all(|(own, _)| !own.is_empty()).then_some(ANY),
            },
        }
    }

    /// With other names for some.
    pub(super) fn with(mut self, names: Vec<(&'t str, Option<&'t str>)>) -> Self {
        self.named.extend(names);
        self
    }

    /// The columns of what a view's query reads, as those of the view, given what those of the view are.
    pub(super) fn below(&self, select: &'t pg::SelectStmt, alias: &str) -> Self {
        let mut below = Self { named: Vec::new(), others: Others::Foreign };
        for target in select.target_list.iter().filter_map(result) {
            let Some(E::ColumnRef(column)) = target.val.as_deref().and_then(|value| uncast(value).node.as_ref()) else {
                continue;
            };
            let own = column.fields.len() < 2 || column.fields.first().and_then(string) == Some(alias);
            if own
                && let Some(name) = column.fields.last().and_then(string)
                && below.named.iter().all(|(known, _)| *known != name)
            {
                below.named.push((name, self.stands_for(name_of(target))));
            }
        }
        below
    }

    /// What the only column is; [`ANY`] when there are several. None when some is computed.
    pub(super) fn only(&self) -> Option<&'t str> {
        match (self.named.as_slice(), self.others) {
            ([(_, column)], Others::None) => *column,
            (several, _) => several.iter().all(|(_, column)| column.is_some()).then_some(ANY),
        }
    }

    /// Under the names of an alias with columns: `t AS b(k)`.
    pub(super) fn renamed(mut self, names: &'t [pg::Node]) -> Self {
        let in_order = self.others == Others::None;
        for (at, name) in names.iter().filter_map(string).enumerate() {
            if in_order && let Some(own) = self.named.get_mut(at) {
                own.0 = name;
            } else {
                self.named.insert(at.min(self.named.len()), (name, Some(ANY)));
            }
        }
        self
    }

    /// Under the names of another arm of a set operation.
    pub(super) fn named_as(mut self, first: &'t pg::SelectStmt) -> Self {
        let mut first = first;
        while let Some(left) = first.larg.as_deref() {
            first = left;
        }
        for (own, target) in self.named.iter_mut().zip(&first.target_list) {
            if let Some(E::ResTarget(target)) = target.node.as_ref() {
                own.0 = name_of(target);
            }
        }
        self
    }

    /// What a query over these columns, called by an alias, selects of them.
    pub(super) fn selected(&self, select: &'t pg::SelectStmt, alias: &str) -> Self {
        let mut selected = Self { named: Vec::new(), others: Others::None };
        for node in &select.target_list {
            let Some(E::ResTarget(target)) = node.node.as_ref() else { continue };
            let Some(value) = target.val.as_deref().map(uncast) else { continue };
            let value = of_group(value, select).unwrap_or(value);
            let Some(E::ColumnRef(column)) = value.node.as_ref() else {
                let computed = if is_computed(value) { None } else { Some(ANY) };
                selected.named.push((name_of(target), computed));
                continue;
            };
            let own = column.fields.len() < 2 || column.fields.first().and_then(string) == Some(alias);
            match column.fields.last().and_then(string) {
                Some(name) => {
                    let column = self.stands_for(name).filter(|_| own);
                    selected.named.push((name_of(target), column));
                }
                None if own => {
                    selected.named.extend(self.named.iter().copied());
                    selected.others = self.others;
                }
                None => {}
            }
        }
        selected
    }
}

/// Whether a value is none of a column's own: an aggregate or a window function makes another.
fn is_computed(value: &pg::Node) -> bool {
    matches!(value.node.as_ref(), Some(E::FuncCall(call))
        if call.over.is_some()
            || call.funcname.last().and_then(string).is_some_and(super::whole::computes))
}

/// The column that an aggregate or a window function gives again, since all rows of its group have the same:
/// `SELECT max(id) … GROUP BY id`.
fn of_group<'t>(value: &'t pg::Node, select: &'t pg::SelectStmt) -> Option<&'t pg::Node> {
    let Some(E::FuncCall(call)) = value.node.as_ref() else { return None };
    let picks = ["any_value", "first_value", "last_value", "max", "min"];
    call.funcname.last().and_then(string).filter(|name| picks.contains(name))?;
    let argument = uncast(call.args.first()?);
    let Some(E::ColumnRef(column)) = argument.node.as_ref() else { return None };
    let name = column.fields.last().and_then(string)?;
    let by = call.over.as_deref().map_or(&select.group_clause, |over| &over.partition_clause);
    let alike = |node: &pg::Node| match uncast(node).node.as_ref() {
        Some(E::ColumnRef(by)) => by.fields.last().and_then(string).is_some_and(|by| by == name || by == "ctid"),
        _ => false,
    };
    by.iter().any(alike).then_some(argument)
}

/// What a column of a query is called.
pub(super) fn name_of(target: &pg::ResTarget) -> &str {
    if !target.name.is_empty() {
        return &target.name;
    }
    match target.val.as_deref().map(uncast).and_then(|value| value.node.as_ref()) {
        Some(E::ColumnRef(column)) => column.fields.last().and_then(string).unwrap_or_default(),
        Some(E::FuncCall(call)) => call.funcname.last().and_then(string).unwrap_or_default(),
        _ => "",
    }
}
