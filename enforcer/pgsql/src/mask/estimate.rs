//! What a statement makes the server estimate from statistics of masked values.
//!
//! For groups, duplicates and joins the server estimates how many values there are, and the size of a hash table, or the
//! choice of a plan, follows from it: so does the order of the rows when nothing sorts them. A mask that is computed from
//! a column is looked through for that, down to the column's own statistics. Where a statement does such a thing and
//! names the column, what stands in for the relation hands its masks through a query of their own ([`opaque`]), which
//! the server neither merges nor looks through. Conditions on other columns still reach the relation and its indexes.

use super::expression::quoted;
use super::rewrite::{self, string};
use super::visit::{self, Visitor};
use super::{Cover, Plan, Shape, Treatment, blind};
use crate::refusal::Refusal;
use crate::routines::is_harmless_name;
use crate::walk::Walked;
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;
use std::collections::{BTreeMap, BTreeSet};

/// The columns that matter to what a statement groups, tells apart or joins; too many rather than too few.
#[derive(Debug, Default)]
pub(super) struct Weighed {
    /// Whether it does any of that.
    pub(super) weighs: bool,
    all: bool,
    names: BTreeSet<Box<str>>,
}

impl Weighed {
    /// Those of a statement.
    pub(super) fn of(plan: &Plan, tree: &mut pg::Node) -> Self {
        let mut found = Found::default();
        let Ok(shown) = query(&mut found, tree) else { return Self { weighs: true, all: true, ..Self::default() } };
        let asks = blind::find(tree, &mut |field, text| field == blind::NODE && text == "SubLink");
        if !found.weighs && !asks {
            return Self::default();
        }
        // What a query that groups nothing shows of a relation as it is, at the very end, weighs nothing.
        for fields in shown {
            found.mention(&fields, false);
        }
        let names: BTreeSet<Box<str>> =
            found.mentioned.into_iter().filter(|(_, times)| *times > 0).map(|(name, _)| name).collect();
        // A column of that name is meant before a routine.
        let of = |name: &pg::RangeVar| plan.catalog.relation(&rewrite::resolved(plan, name));
        let listed = found.named.iter().filter_map(of).flat_map(|relation| &relation.columns);
        let columns: BTreeSet<&str> = listed.map(|column| column.name.as_ref()).collect();
        let calls = found.attributes.iter().any(|name| !columns.contains(name.as_ref()));
        Self {
            weighs: true,
            all: found.all || calls || found.stars > 0 || !found.alone.is_disjoint(&found.aliases),
            names,
        }
    }

    /// Whether a column is among them that a relation computes a mask from.
    pub(super) fn concerns(&self, cover: &Cover) -> bool {
        cover.computed.iter().any(|column| self.all || self.names.contains(column))
    }
}

/// Visits a statement's query: the fields of the columns that it does nothing with but show them.
fn query(found: &mut Found, tree: &mut pg::Node) -> Result<Vec<Vec<Box<str>>>, Refusal> {
    let Some(inner) = visit::inner(tree, &mut |_| ()) else { return Ok(Vec::new()) };
    visit::node(found, inner)?;
    Ok(match inner.node.as_ref() {
        Some(E::SelectStmt(select)) if !groups(select) => {
            select.target_list.iter().filter_map(plain).map(fields).collect()
        }
        _ => Vec::new(),
    })
}

/// The column that an item of a SELECT list is.
fn plain(target: &pg::Node) -> Option<&pg::ColumnRef> {
    let Some(E::ResTarget(target)) = target.node.as_ref() else { return None };
    let Some(E::ColumnRef(column)) = target.val.as_deref()?.node.as_ref() else { return None };
    Some(column)
}

/// The fields of a column without its relation's name; a star is an empty text.
fn fields(column: &pg::ColumnRef) -> Vec<Box<str>> {
    let own = usize::from(column.fields.len() > 1);
    column.fields.iter().skip(own).map(|field| string(field).unwrap_or_default().into()).collect()
}

/// Whether a query tells its rows apart.
fn groups(select: &pg::SelectStmt) -> bool {
    !select.group_clause.is_empty()
        || !select.distinct_clause.is_empty()
        || !select.window_clause.is_empty()
        || select.op != pg::SetOperation::SetopNone as i32
}

#[derive(Default)]
struct Found {
    /// Whether something is grouped, told apart or joined.
    weighs: bool,
    all: bool,
    /// How often a field of a column is named.
    mentioned: BTreeMap<Box<str>, usize>,
    stars: usize,
    /// Names without a relation's before them: of a column, or of a relation for its whole row.
    alone: BTreeSet<Box<str>>,
    /// Names behind that of a relation that built-ins have.
    attributes: BTreeSet<Box<str>>,
    /// What relations are called.
    aliases: BTreeSet<Box<str>>,
    named: Vec<pg::RangeVar>,
    ctes: Vec<Box<str>>,
}

impl Found {
    fn mention(&mut self, fields: &[Box<str>], more: bool) {
        let count = |times: usize| if more { times + 1 } else { times.saturating_sub(1) };
        for field in fields {
            if field.is_empty() {
                self.stars = count(self.stars);
            } else {
                let times = self.mentioned.entry(field.clone()).or_default();
                *times = count(*times);
            }
        }
    }

    /// Names that an item of FROM brings without a column of the text.
    fn item(&mut self, item: &pg::Node) {
        if let Some(E::JoinExpr(join)) = item.node.as_ref() {
            self.weighs = true;
            self.all |= join.is_natural || join.alias.is_some();
            let using: Vec<Box<str>> = join.using_clause.iter().filter_map(string).map(Into::into).collect();
            self.mention(&using, true);
            for side in [&join.larg, &join.rarg].into_iter().flatten() {
                self.item(side);
            }
        }
    }
}

impl Visitor for Found {
    fn relation(&mut self, node: &mut pg::Node) -> Walked {
        let Some(E::RangeVar(relation)) = node.node.as_ref() else { return visit::refused("RangeVar") };
        self.named.push(relation.clone());
        let alias = relation.alias.as_ref();
        self.all |= alias.is_some_and(|alias| !alias.colnames.is_empty());
        self.aliases.insert(alias.map_or(&relation.relname, |alias| &alias.aliasname).as_str().into());
        Ok(())
    }

    fn column(&mut self, column: &mut pg::ColumnRef) {
        // `row.routine` calls the routine with the whole row.
        let called =
            column.fields.last().and_then(string).filter(|name| column.fields.len() > 1 && is_harmless_name(name));
        self.attributes.extend(called.map(Into::into));
        let fields = fields(column);
        if let [name] = fields.as_slice() {
            self.alone.insert(name.clone());
        }
        self.mention(&fields, true);
    }

    /// How many rows its parts have decides what a plan costs before its first row.
    fn windowed(&mut self, _: &mut pg::WindowDef) {
        self.weighs = true;
    }

    fn selected(&mut self, select: &mut pg::SelectStmt) -> Walked {
        self.weighs |= groups(select) || select.from_clause.len() > 1;
        select.from_clause.iter().for_each(|item| self.item(item));
        Ok(())
    }

    fn scope(&mut self) -> &mut Vec<Box<str>> {
        &mut self.ctes
    }
}

/// The query that stands in for a relation where statistics of what `computed` masks must stay out of estimates: each
/// row goes through a query of its own, which OFFSET keeps apart. The condition always holds; without a volatile one the
/// server would consider keeping the outcomes by the column's values, and estimate how many there are.
pub(super) fn opaque(query: &str, columns: &[(Box<str>, bool)], computed: &BTreeSet<Box<str>>) -> Option<Shape> {
    let from = |name: &str| if computed.contains(name) { "x" } else { "w" };
    let shown: Vec<String> =
        columns.iter().map(|(name, _)| format!("{}.{1} AS {1}", from(name), quoted(name))).collect();
    let masks: Vec<String> = computed.iter().map(|name| format!("w.{0} AS {0}", quoted(name))).collect();
    let one = quoted(computed.first()?);
    rewrite::shape(&format!(
        "SELECT {} FROM ({query}) AS w, LATERAL (SELECT {} OFFSET 0) AS x \
         WHERE x.{one} IS NULL OR pg_catalog.clock_timestamp() IS NOT NULL",
        shown.join(", "),
        masks.join(", ")
    ))
}

/// The columns of a view that may be computed from masks that other relations compute from columns; too many rather
/// than too few. `all` are the view's.
pub(super) fn of_view(plan: &Plan, definition: &str, all: &[(Box<str>, bool)]) -> BTreeSet<Box<str>> {
    let every = || all.iter().map(|(name, _)| name.clone()).collect();
    let Some(tree) = rewrite::parse_one(definition) else { return every() };
    let Some(E::SelectStmt(select)) = tree.node.as_ref() else { return every() };
    let mut covers: BTreeMap<&str, Option<&Cover>> = BTreeMap::new();
    if select.op != pg::SetOperation::SetopNone as i32
        || select.with_clause.is_some()
        || !select.from_clause.iter().all(|item| sources(plan, item, &mut covers))
    {
        return every();
    }
    let computed = |alias: &str, column: &str| {
        covers.get(alias).is_none_or(|cover| cover.is_some_and(|cover| cover.computed.contains(column)))
    };
    let shown = |target: &pg::Node| {
        let Some(E::ResTarget(named)) = target.node.as_ref() else { return None };
        let path =
            |column: &pg::ColumnRef| column.fields.iter().map_while(string).map(Into::into).collect::<Vec<Box<str>>>();
        let (name, as_it_is) = match plain(target).map(path) {
            Some(path) => match path.as_slice() {
                [alias, column] => (column.clone(), !computed(alias, column)),
                _ => return None,
            },
            None => (Box::default(), false),
        };
        let name = if named.name.is_empty() { name } else { named.name.as_str().into() };
        (!name.is_empty()).then_some((name, as_it_is))
    };
    let targets: Option<BTreeMap<Box<str>, bool>> = select.target_list.iter().map(shown).collect();
    let Some(targets) = targets else { return every() };
    all.iter().map(|(name, _)| name).filter(|name| !targets.get(*name).copied().unwrap_or(false)).cloned().collect()
}

/// What the items of a view's FROM are called, with what covers them; `false` where they are more than relations.
fn sources<'p, 't>(plan: &'p Plan, item: &'t pg::Node, found: &mut BTreeMap<&'t str, Option<&'p Cover>>) -> bool {
    match item.node.as_ref() {
        Some(E::JoinExpr(join)) => {
            let mut sides = [&join.larg, &join.rarg].into_iter().flatten();
            join.alias.is_none() && sides.all(|side| sources(plan, side, found))
        }
        Some(E::RangeVar(relation)) => {
            let cover = match plan.treatment(&rewrite::resolved(plan, relation)) {
                Some(Treatment::Covered(cover)) => Some(cover.as_ref()),
                Some(Treatment::Closed(_)) | None => None,
            };
            let alias = relation.alias.as_ref();
            let renamed = alias.is_some_and(|alias| !alias.colnames.is_empty());
            !renamed && found.insert(alias.map_or(&relation.relname, |alias| &alias.aliasname), cover).is_none()
        }
        _ => false,
    }
}
