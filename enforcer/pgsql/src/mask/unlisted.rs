//! Columns of a relation with masks that the catalog does not list, in statements that test, change or show its real rows.
//!
//! What is read goes through a query that names the columns it shows, so that a column of another name fails at the
//! server. A statement that changes rows names the table itself: a masked column that somebody else has just renamed
//! would be tested under its new name. So each name must be one that the catalog lists, or one that an item of FROM
//! brings where it is used ([`items`]); the next reading of the catalog knows it. It must never count a name as known
//! that only another part of the statement defines.

use super::items::{Item, Items};
use super::named::Named;
use super::rewrite::{resolved, string};
use super::visit::{self, Query, Visitor};
use super::{Plan, Treatment};
use crate::snapshot::Name;
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::{BTreeMap, BTreeSet};

/// Columns that every table has.
const SYSTEM: [&str; 6] = ["cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"];

/// Why a statement does not run that names a column which may be one of a relation with masks, and is not known.
/// `top` is its query, `written` what it gives values.
pub(super) fn refused<'w>(
    plan: &Plan,
    top: Option<&mut pg::Node>,
    mut written: impl Iterator<Item = (&'w Name, &'w Named)>,
) -> Option<String> {
    let gives = written.find_map(|(name, named)| match named {
        Named::These(columns) if is_covered(plan, name) => columns.iter().find(|column| !lists(plan, name, column)),
        Named::These(_) | Named::All | Named::Nothing => None,
    });
    let mut names = Names { items: Items::new(plan), frames: Vec::new(), unknown: None };
    if let Some(top) = top
        && gives.is_none()
        && visit::node(&mut names, top).is_err()
    {
        return Some("the gateway cannot analyse this statement, and this connection has masks".to_owned());
    }
    gives.cloned().or(names.unknown).map(|column| {
        format!(
            "the gateway does not know which relation `{column}` is a column of, and this statement works on real rows of \
             one with masks; name its relation, or, when the table was changed a moment ago, try again in half a minute"
        )
    })
}

fn is_covered(plan: &Plan, name: &Name) -> bool {
    matches!(plan.treatment(name), Some(Treatment::Covered(_)))
}

fn lists(plan: &Plan, name: &Name, column: &str) -> bool {
    plan.catalog.relation(name).is_some_and(|relation| relation.column_named(column).is_some())
}

/// What the names inside one query may mean.
#[derive(Default)]
struct Frame {
    items: Vec<Item>,
    /// The relation with masks of which real rows are in sight, and what its rows are called.
    real: Option<(Name, BTreeSet<Box<str>>)>,
    /// Names of what the query shows, as often as something is grouped or sorted by one.
    shown: BTreeMap<Box<str>, usize>,
}

struct Names<'p> {
    items: Items<'p>,
    frames: Vec<Frame>,
    unknown: Option<Box<str>>,
}

impl Names<'_> {
    /// Whether a name by itself is known where it stands; the innermost query that brings it decides.
    fn is_known(&mut self, name: &str) -> bool {
        let plan = self.items.plan;
        for frame in self.frames.iter_mut().rev() {
            if let Some(times) = frame.shown.get_mut(name).filter(|times| **times > 0) {
                *times -= 1;
                return true;
            }
            let real = frame.real.as_ref();
            let is_real = real
                .is_some_and(|(own, called)| called.contains(name) || lists(plan, own, name) || SYSTEM.contains(&name));
            if is_real || frame.items.iter().any(|item| item.brings(name)) {
                return true;
            }
        }
        self.frames.iter().all(|frame| frame.real.is_none())
    }

    /// The same of a name behind that of a relation.
    fn is_known_of(&self, alias: &str, name: &str) -> bool {
        for frame in self.frames.iter().rev() {
            match &frame.real {
                Some((own, called)) if called.contains(alias) => {
                    return name.is_empty() || SYSTEM.contains(&name) || lists(self.items.plan, own, name);
                }
                Some(_) | None if frame.items.iter().any(|item| *item.alias == *alias) => return true,
                Some(_) | None => {}
            }
        }
        true
    }

    /// The frame of a statement that changes rows. `also` are items beside its target.
    fn of_change(
        &mut self,
        target: Option<&pg::RangeVar>,
        sees: bool,
        also: &[pg::Node],
        rows: Option<&pg::ReturningClause>,
    ) {
        let mut frame = Frame::default();
        if let Some(target) = target {
            let own = resolved(self.items.plan, target);
            let alias = target.alias.as_ref().map_or(&target.relname, |alias| &alias.aliasname);
            if sees && is_covered(self.items.plan, &own) {
                let options = rows.map_or(&[] as &[pg::Node], |rows| &rows.options).iter();
                let named = options.filter_map(|option| match option.node.as_ref() {
                    Some(E::ReturningOption(option)) => Some(option.value.as_str().into()),
                    _ => None,
                });
                let called = [alias.as_str(), "old", "new", "excluded"].map(Into::into);
                frame.real = Some((own, called.into_iter().chain(named).collect()));
            } else {
                frame.items.push(self.items.of_target(alias, &own));
            }
        }
        for item in also {
            self.items.of(item, &mut frame.items);
        }
        self.frames.push(frame);
    }
}

/// The output names of a query by which it groups or sorts.
fn outputs_used(select: &pg::SelectStmt) -> BTreeMap<Box<str>, usize> {
    let mut shown: BTreeMap<Box<str>, usize> = BTreeMap::new();
    let named: BTreeSet<&str> = select
        .target_list
        .iter()
        .filter_map(|target| match target.node.as_ref() {
            Some(E::ResTarget(target)) => Some(target.name.as_str()),
            _ => None,
        })
        .collect();
    for item in select.sort_clause.iter().chain(&select.group_clause).chain(&select.distinct_clause) {
        let item = match item.node.as_ref() {
            Some(E::SortBy(sort)) => sort.node.as_deref(),
            _ => Some(item),
        };
        if let Some(E::ColumnRef(column)) = item.and_then(|item| item.node.as_ref())
            && let [name] = column.fields.as_slice()
            && let Some(name) = string(name).filter(|name| named.contains(name))
        {
            *shown.entry(name.into()).or_default() += 1;
        }
    }
    shown
}

impl Visitor for Names<'_> {
    fn opened(&mut self, query: Query<'_>) {
        match query {
            Query::Select(n) => {
                self.items.with(n.with_clause.as_ref());
                let mut frame = Frame { shown: outputs_used(n), ..Frame::default() };
                for item in &n.from_clause {
                    self.items.of(item, &mut frame.items);
                }
                self.frames.push(frame);
            }
            Query::Insert(n) => {
                self.items.with(n.with_clause.as_ref());
                let sees = n.on_conflict_clause.is_some() || n.returning_clause.is_some();
                self.of_change(n.relation.as_ref(), sees, &[], n.returning_clause.as_ref());
            }
            Query::Update(n) => {
                self.items.with(n.with_clause.as_ref());
                self.of_change(n.relation.as_ref(), true, &n.from_clause, n.returning_clause.as_ref());
            }
            Query::Delete(n) => {
                self.items.with(n.with_clause.as_ref());
                self.of_change(n.relation.as_ref(), true, &n.using_clause, n.returning_clause.as_ref());
            }
            Query::Merge(n) => {
                self.items.with(n.with_clause.as_ref());
                let source: Vec<pg::Node> = n.source_relation.as_deref().cloned().into_iter().collect();
                self.of_change(n.relation.as_ref(), true, &source, n.returning_clause.as_ref());
            }
        }
    }

    fn closed(&mut self) {
        self.frames.pop();
        self.items.end();
    }

    fn column(&mut self, column: &mut pg::ColumnRef) {
        let fields: Vec<&str> = column.fields.iter().map(|field| string(field).unwrap_or_default()).collect();
        let (known, name) = match fields.as_slice() {
            [] | [""] => return,
            [name] => (self.is_known(name), *name),
            [.., alias, name] => (self.is_known_of(alias, name), *name),
        };
        if !known {
            self.unknown.get_or_insert_with(|| name.into());
        }
    }

    fn scope(&mut self) -> &mut Vec<Box<str>> {
        &mut self.items.ctes
    }
}
