//! The proof of a rewritten statement: without the queries of the gateway's own making, nothing in it names a relation
//! with masked columns.
//!
//! The text that the server will get is read anew. Each sub-query in FROM that is, word for word, one that stands in for
//! a relation is taken out; what is left goes through the judge's own walk, which misses no name, and must be the tree
//! that was judged, node for node: a name that is written without its quotes would become something else. So an error
//! of the rewriting, or of whoever writes trees as texts, ends in a refusal.

use super::visit::{self, Change, Visitor, boxed};
#[cfg(test)]
use super::write;
use super::{Plan, blind, order, rewrite};
use crate::refusal::Refusal;
use crate::statement::ObjectKind;
use crate::walk::{Walked, Walker};
use pg_query::NodeEnum as E;
use pg_query::protobuf as pg;

/// Sub-queries that are looked at, beside those that were made.
const LOOKED_AT_MAX: usize = 256;

/// Whether the text, in which `made` references were replaced, shows no masked relation, and says what `meant` does, which
/// holds marks in their place.
pub(super) fn holds(plan: &Plan, text: &str, made: usize, meant: &mut pg::Node) -> bool {
    let Some(mut tree) = rewrite::parse_one(text) else { return false };
    for (tree, marked) in [(&mut tree, false), (&mut *meant, true)] {
        let mut eraser = Eraser::new(plan, made, marked);
        if eraser.top(tree).is_err() || eraser.found != made {
            return false;
        }
    }
    if blind::digest(&tree).is_none_or(|digest| blind::digest(meant) != Some(digest)) {
        return false;
    }
    let Ok(found) = Walker::new(&plan.facts).statement(&tree) else { return false };
    found.accesses.iter().all(|access| {
        let Some(object) = access.object.as_ref().filter(|object| object.kind == ObjectKind::Relation) else {
            return true;
        };
        let name = (object.schema.clone().unwrap_or_default(), object.name.clone());
        plan.treatment(&name).is_none()
    })
}

struct Eraser<'p> {
    plan: &'p Plan,
    ctes: Vec<Box<str>>,
    found: usize,
    looks_left: usize,
    /// Whether the tree holds marks in the place of what stands in for relations.
    marked: bool,
}

/// What a target with masked columns is called while the rest is looked at: the rules for writes have judged it.
const TARGET: &str = "leasehold_target";

impl<'p> Eraser<'p> {
    fn new(plan: &'p Plan, made: usize, marked: bool) -> Self {
        let looks_left = made.saturating_mul(2).saturating_add(LOOKED_AT_MAX);
        Self { plan, ctes: Vec::new(), found: 0, looks_left, marked }
    }

    fn top(&mut self, tree: &mut pg::Node) -> Walked {
        match tree.node.as_mut() {
            Some(E::ExplainStmt(n)) => self.inner(n.query.as_deref_mut()),
            Some(E::PrepareStmt(n)) => self.inner(n.query.as_deref_mut()),
            Some(E::DeclareCursorStmt(n)) => self.inner(n.query.as_deref_mut()),
            Some(E::CreateTableAsStmt(n)) => boxed(self, n.query.as_mut()),
            Some(E::CopyStmt(n)) if n.is_from => {
                self.target(n.relation.as_mut());
                Ok(())
            }
            Some(E::CopyStmt(n)) => boxed(self, n.query.as_mut()),
            Some(E::SelectStmt(_) | E::InsertStmt(_) | E::UpdateStmt(_) | E::DeleteStmt(_) | E::MergeStmt(_)) => {
                visit::node(self, tree)
            }
            _ => visit::refused("a statement that is not rewritten"),
        }
    }

    fn inner(&mut self, query: Option<&mut pg::Node>) -> Walked {
        query.map_or_else(|| visit::refused("a statement without its query"), |query| self.top(query))
    }

    fn target(&self, target: Option<&mut pg::RangeVar>) {
        if let Some(target) = target
            && self.plan.treatment(&rewrite::resolved(self.plan, target)).is_some()
        {
            if target.alias.is_none() {
                target.alias = Some(pg::Alias { aliasname: target.relname.clone(), colnames: Vec::new() });
            }
            TARGET.clone_into(&mut target.schemaname);
            TARGET.clone_into(&mut target.relname);
        }
    }

    /// What stands in for a relation, when the query does; a fence and a sample are taken off it first.
    fn shape(&mut self, query: &pg::Node) -> Option<Shape> {
        let Some(E::SelectStmt(select)) = query.node.as_ref() else { return None };
        if self.marked && rewrite::is_mark(select) {
            return Some(Shape::Whole);
        }
        self.looks_left = self.looks_left.checked_sub(1)?;
        let is_shape = |query: &pg::Node| blind::digest(query).is_some_and(|digest| self.plan.shapes.contains(&digest));
        let [from] = select.from_clause.as_slice() else { return is_shape(query).then_some(Shape::Whole) };
        let sample = match from.node.as_ref() {
            Some(E::RangeTableSample(sample)) => Some(sample),
            _ if order::is_fenced(select) => None,
            _ => return is_shape(query).then_some(Shape::Whole),
        };
        let mut bare = select.as_ref().clone();
        if order::is_fenced(select) {
            bare.limit_offset = None;
            bare.limit_option = pg::LimitOption::Default as i32;
        }
        if let Some(sample) = sample {
            *bare.from_clause.first_mut()? = sample.relation.as_deref()?.clone();
        }
        is_shape(&pg::Node { node: Some(E::SelectStmt(Box::new(bare))) })
            .then(|| sample.map_or(Shape::Whole, |sample| Shape::Sampled(sample.clone())))
    }
}

/// A query that stands in for a relation.
enum Shape {
    /// With all its rows.
    Whole,
    /// With a sample of them.
    Sampled(Box<pg::RangeTableSample>),
}

impl Visitor for Eraser<'_> {
    fn change(&mut self, mut change: Change<'_>) -> Walked {
        self.target(change.target());
        Ok(())
    }

    fn subselect(&mut self, item: &mut pg::RangeSubselect) -> Result<bool, Refusal> {
        let Some(query) = item.subquery.as_deref() else { return Ok(true) };
        let Some(shape) = self.shape(query) else { return Ok(true) };
        self.found += 1;
        // What remains of it: nothing but the arguments of its sample.
        let mut rest = pg::SelectStmt::default();
        if let Shape::Sampled(mut sample) = shape {
            visit::nodes(self, &mut sample.args)?;
            boxed(self, sample.repeatable.as_mut())?;
            rest.where_clause = sample.repeatable;
            rest.target_list = sample.args;
        }
        item.subquery = Some(Box::new(pg::Node { node: Some(E::SelectStmt(Box::new(rest))) }));
        Ok(false)
    }

    fn scope(&mut self) -> &mut Vec<Box<str>> {
        &mut self.ctes
    }
}

/// Whether a query or change that is written as a text reads as itself; `None` for another statement.
#[cfg(test)]
pub(crate) fn reads_as_written(tree: &pg::Node) -> Option<bool> {
    let text = write::is_query(tree).then(|| rewrite::deparse(tree))?;
    let read = text.and_then(|text| rewrite::parse_one(&text));
    Some(read.is_some_and(|read| blind::digest(&read).is_some() && blind::digest(&read) == blind::digest(tree)))
}
