//! What the items of FROM bring into sight: what they are called, and their columns' names.

use super::Plan;
use super::rewrite::{resolved, string};
use crate::snapshot::{Name, TEMPORARY};
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;

/// Columns' names in order; `None` when not all are known.
type Columns = Option<Vec<Box<str>>>;

/// One item.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// What it is called; empty when it has no name.
    pub(super) alias: Box<str>,
    /// The columns' names that are certain; `None` when nothing is known of them.
    columns: Columns,
}

impl Item {
    /// Whether the name by itself certainly means this item or a column of it.
    pub(super) fn brings(&self, name: &str) -> bool {
        *self.alias == *name || self.columns.iter().flatten().any(|column| **column == *name)
    }
}

/// Reads items, with the queries of WITH that are in sight.
pub(super) struct Items<'p> {
    pub(super) plan: &'p Plan,
    /// Names that a WITH makes visible.
    pub(super) ctes: Vec<Box<str>>,
    /// What the queries of WITH show.
    withs: Vec<(Box<str>, Columns)>,
    /// How many there were before each open query.
    before: Vec<usize>,
}

impl<'p> Items<'p> {
    pub(super) fn new(plan: &'p Plan) -> Self {
        Self { plan, ctes: Vec::new(), withs: Vec::new(), before: Vec::new() }
    }

    /// Begins a query with its WITH.
    pub(super) fn with(&mut self, clause: Option<&pg::WithClause>) {
        self.before.push(self.withs.len());
        for item in clause.iter().flat_map(|clause| &clause.ctes) {
            let Some(E::CommonTableExpr(cte)) = item.node.as_ref() else { continue };
            let shown = cte.ctequery.as_deref().and_then(|query| self.outputs(query));
            self.withs.push((cte.ctename.as_str().into(), renamed(shown, &cte.aliascolnames)));
        }
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        self.withs.truncate(self.before.pop().unwrap_or_default());
    }

    /// The target of a change.
    pub(super) fn of_target(&self, alias: &str, name: &Name) -> Item {
        Item { alias: alias.into(), columns: self.listed(name) }
    }

    fn listed(&self, name: &Name) -> Columns {
        let temporary: Name = (TEMPORARY.into(), name.1.clone());
        let own = name.0 == self.plan.facts.default_schema;
        // A temporary table hides the one of the schema that is searched after it.
        let relation = own.then(|| self.plan.catalog.relation(&temporary)).flatten();
        let relation = relation.or_else(|| self.plan.catalog.relation(name))?;
        Some(relation.columns.iter().map(|column| column.name.clone()).collect())
    }

    /// Adds what an item of FROM brings.
    pub(super) fn of(&self, node: &pg::Node, found: &mut Vec<Item>) {
        match node.node.as_ref() {
            Some(E::RangeVar(relation)) => {
                let name = relation.relname.as_str();
                let is_cte = relation.schemaname.is_empty() && self.ctes.iter().any(|cte| **cte == *name);
                let columns = if is_cte {
                    self.withs.iter().rev().find(|(cte, _)| **cte == *name).and_then(|(_, shown)| shown.clone())
                } else {
                    self.listed(&resolved(self.plan, relation))
                };
                found.push(called(relation.alias.as_ref(), name, columns));
            }
            Some(E::RangeSubselect(item)) => {
                let columns = item.subquery.as_deref().and_then(|query| self.outputs(query));
                found.push(called(item.alias.as_ref(), "", columns));
            }
            Some(E::JoinExpr(join)) => {
                let mut sides = Vec::new();
                for side in [&join.larg, &join.rarg].into_iter().flatten() {
                    self.of(side, &mut sides);
                }
                match &join.alias {
                    Some(alias) => found.push(called(Some(alias), "", all(&sides))),
                    None => found.extend(sides),
                }
            }
            Some(E::RangeFunction(item)) => found.push(function(item)),
            Some(E::RangeTableSample(sample)) => {
                if let Some(relation) = sample.relation.as_deref() {
                    self.of(relation, found);
                }
            }
            Some(E::RangeTableFunc(item)) => found.push(called(item.alias.as_ref(), "", None)),
            Some(E::JsonTable(item)) => found.push(called(item.alias.as_ref(), "", None)),
            _ => found.push(Item { alias: Box::default(), columns: None }),
        }
    }

    /// The names of what a query shows.
    fn outputs(&self, query: &pg::Node) -> Columns {
        match query.node.as_ref() {
            Some(E::SelectStmt(select)) => self.of_select(select),
            Some(E::InsertStmt(n)) => of_returning(n.returning_clause.as_ref()),
            Some(E::UpdateStmt(n)) => of_returning(n.returning_clause.as_ref()),
            Some(E::DeleteStmt(n)) => of_returning(n.returning_clause.as_ref()),
            Some(E::MergeStmt(n)) => of_returning(n.returning_clause.as_ref()),
            _ => None,
        }
    }

    fn of_select(&self, select: &pg::SelectStmt) -> Columns {
        if let Some(left) = select.larg.as_deref() {
            return self.of_select(left);
        }
        if let Some(E::List(row)) = select.values_lists.first().and_then(|row| row.node.as_ref()) {
            return Some((1..=row.items.len()).map(|number| format!("column{number}").into()).collect());
        }
        let mut items = Vec::new();
        for item in &select.from_clause {
            self.of(item, &mut items);
        }
        targets(&select.target_list, &items)
    }
}

fn of_returning(clause: Option<&pg::ReturningClause>) -> Columns {
    targets(&clause?.exprs, &[])
}

/// The names of a list of targets over items; `None` when a star stands for what is not known.
fn targets(list: &[pg::Node], items: &[Item]) -> Columns {
    let mut names = Vec::new();
    for target in list {
        let Some(E::ResTarget(target)) = target.node.as_ref() else { return None };
        if !target.name.is_empty() {
            names.push(target.name.as_str().into());
            continue;
        }
        let Some(E::ColumnRef(column)) = target.val.as_deref().and_then(|value| value.node.as_ref()) else {
            names.push(target.val.as_deref().map(output).unwrap_or_default());
            continue;
        };
        let fields: Vec<&str> = column.fields.iter().map_while(string).collect();
        match (fields.as_slice(), fields.len() < column.fields.len()) {
            ([.., own], false) => names.push((*own).into()),
            ([], true) => names.extend(all(items)?),
            ([.., alias], true) => names.extend(items.iter().find(|item| *item.alias == **alias)?.columns.clone()?),
            ([], false) => return None,
        }
    }
    Some(names)
}

/// What the server calls an expression without a name; empty when it is no name that could be meant.
fn output(value: &pg::Node) -> Box<str> {
    match value.node.as_ref() {
        Some(E::FuncCall(call)) => call.funcname.last().and_then(string).unwrap_or_default().into(),
        Some(E::TypeCast(cast)) => match cast.arg.as_deref().map(|arg| (arg, arg.node.as_ref())) {
            Some((_, Some(E::ColumnRef(column)))) => column.fields.last().and_then(string).unwrap_or_default().into(),
            Some((arg, _)) => output(arg),
            None => Box::default(),
        },
        _ => Box::default(),
    }
}

/// All columns of items, when they are known.
fn all(items: &[Item]) -> Columns {
    let lists: Option<Vec<&Vec<Box<str>>>> = items.iter().map(|item| item.columns.as_ref()).collect();
    Some(lists?.into_iter().flatten().cloned().collect())
}

fn called(alias: Option<&pg::Alias>, name: &str, columns: Columns) -> Item {
    match alias {
        Some(alias) => Item { alias: alias.aliasname.as_str().into(), columns: renamed(columns, &alias.colnames) },
        None => Item { alias: name.into(), columns },
    }
}

/// Columns under the names that an alias gives the first of them.
fn renamed(columns: Columns, names: &[pg::Node]) -> Columns {
    let given = names.iter().filter_map(string).map(Into::into);
    let rest = columns.unwrap_or_default().into_iter().skip(names.len());
    let all: Vec<Box<str>> = given.chain(rest).collect();
    (!all.is_empty()).then_some(all)
}

/// A function in FROM: the columns that it is given, or those that it is known to have.
fn function(item: &pg::RangeFunction) -> Item {
    let alias = item.alias.as_ref();
    let mut columns: Vec<Box<str>> = Vec::new();
    for function in &item.functions {
        let Some(E::List(parts)) = function.node.as_ref() else { continue };
        let name = parts.items.first().map(output).unwrap_or_default();
        let own = alias.map_or(name.as_ref(), |alias| alias.aliasname.as_str());
        match name.as_ref() {
            "json_each" | "json_each_text" | "jsonb_each" | "jsonb_each_text" => {
                columns.extend(["key".into(), "value".into()]);
            }
            "json_array_elements"
            | "json_array_elements_text"
            | "jsonb_array_elements"
            | "jsonb_array_elements_text" => {
                columns.push("value".into());
            }
            _ => columns.push(own.into()),
        }
        columns.extend(parts.items.get(1).into_iter().flat_map(defined));
    }
    columns.extend(item.coldeflist.iter().filter_map(column_name));
    if item.ordinality {
        columns.push("ordinality".into());
    }
    let name = columns.first().cloned().unwrap_or_default();
    called(alias, &name, Some(columns))
}

/// The columns of a definition list.
fn defined(list: &pg::Node) -> Vec<Box<str>> {
    match list.node.as_ref() {
        Some(E::List(list)) => list.items.iter().filter_map(column_name).collect(),
        _ => Vec::new(),
    }
}

fn column_name(node: &pg::Node) -> Option<Box<str>> {
    let Some(E::ColumnDef(column)) = node.node.as_ref() else { return None };
    Some(column.colname.as_str().into())
}
