//! Other relations that hold every row of one: what it inherits from, what a view's query reads, and views over either.

use super::operator::uncast;
use super::tautology::shape;
use super::twin::Columns;
use super::{E, Walker, pg};
use crate::catalog::schema_of;
use crate::snapshot::{Name, TEMPORARY};

/// How many views over views are followed.
const VIEWS_MAX: usize = 32;

/// What looking for one relation costs, in nodes.
const NAME_NODES: usize = 4;

impl<'t> Walker<'t> {
    /// What a name that is no common table expression's stands for: of a relation, every row, in these columns.
    pub(super) fn holds_all_of(&self, name: &pg::RangeVar, relation: &'t pg::RangeVar) -> Option<Columns<'t>> {
        let sought = self.name_of(name);
        let (mut relation, mut columns) = (relation, Columns::same());
        for _ in 0..VIEWS_MAX {
            self.effort.spend(NAME_NODES);
            let own = self.name_of(relation);
            if own == sought || name.inh && self.session.made.is_part(&own, &sought) {
                return Some(columns);
            }
            let (select, base) = self.view(relation).and_then(simple)?;
            columns = columns.below(select, alias_of_range(base));
            relation = base;
        }
        None
    }

    /// What the columns of a view are of each other: those that give the same have one name.
    pub(super) fn columns_of(&self, relation: &'t pg::RangeVar) -> Columns<'t> {
        let Some((select, _)) = self.view(relation).and_then(simple) else { return Columns::same() };
        self.effort.spend(select.target_list.len());
        let mut first: Vec<(String, &'t str)> = Vec::new();
        let mut same = Vec::new();
        for target in select.target_list.iter().filter_map(result) {
            let value = shape(target.val.as_deref().map(uncast));
            let own = super::twin::name_of(target);
            match first.iter().find(|(other, _)| *other == value) {
                Some((_, other)) => same.push((own, Some(*other))),
                None => first.push((value, own)),
            }
        }
        Columns::same().with(same)
    }

    /// The query of a view of this name.
    pub(super) fn view(&self, name: &pg::RangeVar) -> Option<&'t pg::Node> {
        let made = &self.session.made;
        let own = self.name_of(name);
        let temporary = name.schemaname.is_empty().then(|| (TEMPORARY.into(), own.1.clone()));
        made.query(&own).or_else(|| made.query(&temporary?))
    }

    fn name_of(&self, name: &pg::RangeVar) -> Name {
        let schema = match name.schemaname.as_str() {
            "" => schema_of(&name.relname, &self.session.default_schema),
            schema => schema,
        };
        (schema.into(), name.relname.as_str().into())
    }
}

/// A query that gives rows of one relation as they are, and that relation: the server changes rows through such a view.
fn simple(query: &pg::Node) -> Option<(&pg::SelectStmt, &pg::RangeVar)> {
    let Some(E::SelectStmt(select)) = query.node.as_ref() else { return None };
    let ([item], true) = (select.from_clause.as_slice(), select.group_clause.is_empty()) else { return None };
    match item.node.as_ref() {
        Some(E::RangeVar(base)) if select.with_clause.is_none() => Some((select, base)),
        _ => None,
    }
}

pub(super) fn result(node: &pg::Node) -> Option<&pg::ResTarget> {
    match node.node.as_ref() {
        Some(E::ResTarget(target)) => Some(target),
        _ => None,
    }
}

fn alias_of_range(name: &pg::RangeVar) -> &str {
    name.alias.as_ref().map_or(&name.relname, |alias| &alias.aliasname)
}
