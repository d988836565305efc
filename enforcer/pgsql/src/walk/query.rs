//! SELECT in all its forms, WITH, and the sub-queries of expressions.

use super::{E, ObjectKind, Refusal, Seen, Touch, Walked, Walker, pg, unknown};
use crate::statement::Action;
use lang::protocol::Operation;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// What an item of FROM is called, and the touches it made.
pub(super) struct FromItem<'t> {
    pub(super) alias: &'t str,
    pub(super) touches: Range<usize>,
}

/// The names of CTEs that an unqualified name would find.
#[derive(Debug, Default)]
pub(super) struct Ctes<'t> {
    stack: Vec<(&'t str, Option<&'t pg::Node>)>,
    visible: BTreeMap<&'t str, usize>,
}

impl<'t> Ctes<'t> {
    /// Whether a CTE hides the relation of this name.
    pub(super) fn hide(&self, name: &str) -> bool {
        self.visible.contains_key(name)
    }

    /// The names in the order in which they became visible, each with its query.
    pub(super) fn definitions(&self) -> &[(&'t str, Option<&'t pg::Node>)] {
        &self.stack
    }

    fn push(&mut self, cte: &'t pg::CommonTableExpr) {
        self.stack.push((&cte.ctename, cte.ctequery.as_deref()));
        *self.visible.entry(&cte.ctename).or_default() += 1;
    }

    /// Forgets the names that became visible after a mark.
    pub(super) fn truncate(&mut self, mark: usize) {
        for (name, _) in self.stack.drain(mark.min(self.stack.len())..) {
            if let Some(count) = self.visible.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.visible.remove(name);
                }
            }
        }
    }
}

impl<'t> Walker<'t> {
    pub(super) fn select(&mut self, select: &'t pg::SelectStmt) -> Walked {
        let outer = self.with(select.with_clause.as_ref())?;
        self.level = self.level.saturating_add(1);
        let first = self.touches.len();
        let items = self.walk_from(&select.from_clause)?;
        self.nodes_or_empty(&select.distinct_clause)?;
        self.nodes(&select.target_list)?;
        self.boxed(select.where_clause.as_ref())?;
        self.nodes(&select.group_clause)?;
        self.boxed(select.having_clause.as_ref())?;
        self.nodes(&select.window_clause)?;
        self.nodes(&select.values_lists)?;
        self.nodes(&select.sort_clause)?;
        self.boxed(select.limit_offset.as_ref())?;
        self.boxed(select.limit_count.as_ref())?;
        if let Some(left) = &select.larg {
            self.select(left)?;
        }
        if let Some(right) = &select.rarg {
            self.select(right)?;
        }
        if !select.locking_clause.is_empty() {
            self.locking(&select.locking_clause, &items, first)?;
        }
        self.level = self.level.saturating_sub(1);
        self.ctes.truncate(outer);
        self.returns_rows = true;
        self.action = Action::Query;
        if let Some(into) = &select.into_clause {
            self.target_of_into(Operation::CreateAs, into)?;
        }
        if self.selects_into(select) {
            self.returns_rows = false;
            self.action = Action::Other;
        }
        Ok(())
    }

    /// Whether a SELECT, or the leftmost arm of its set operations, has an INTO.
    #[expect(clippy::unused_self, reason = "reads as a property of the walk")]
    fn selects_into(&self, mut select: &pg::SelectStmt) -> bool {
        loop {
            if select.into_clause.is_some() {
                return true;
            }
            match &select.larg {
                Some(left) => select = left,
                None => return false,
            }
        }
    }

    /// The target of SELECT INTO or CREATE … AS, with its options.
    pub(super) fn target_of_into(&mut self, operation: Operation, into: &'t pg::IntoClause) -> Walked {
        self.nodes(&into.options)?;
        if into.view_query.is_some() {
            return unknown("Query");
        }
        self.target(operation, into.rel.as_ref())
    }

    /// Walks the CTEs of a WITH and makes their names visible. Returns the mark to which the caller truncates `ctes`.
    ///
    /// INVARIANT (shadowing): without RECURSIVE a name is visible only after its own definition, so the query inside a
    /// CTE reads the relation of that name; with RECURSIVE all names of the list are visible in all of its queries.
    pub(super) fn with(&mut self, with: Option<&'t pg::WithClause>) -> Result<usize, Refusal> {
        let outer = self.ctes.stack.len();
        let Some(with) = with else { return Ok(outer) };
        let ctes = with.ctes.iter().map(|node| match node.node.as_ref() {
            Some(E::CommonTableExpr(cte)) => Ok(cte.as_ref()),
            _ => Err(Refusal::UnknownNode { name: "a WITH item that is not a CommonTableExpr" }),
        });
        if with.recursive {
            for cte in ctes.clone() {
                self.ctes.push(cte?);
            }
            for cte in ctes {
                self.cte(cte?)?;
            }
        } else {
            for cte in ctes {
                let cte = cte?;
                self.cte(cte)?;
                self.ctes.push(cte);
            }
        }
        Ok(outer)
    }

    fn cte(&mut self, cte: &'t pg::CommonTableExpr) -> Walked {
        self.boxed(cte.ctequery.as_ref())?;
        if let Some(cycle) = &cte.cycle_clause {
            self.boxed(cycle.cycle_mark_value.as_ref())?;
            self.boxed(cycle.cycle_mark_default.as_ref())?;
        }
        Ok(())
    }

    /// Walks FROM and remembers which item made which touches, for FOR UPDATE OF.
    fn walk_from(&mut self, from: &'t [pg::Node]) -> Result<Vec<FromItem<'t>>, Refusal> {
        let mut items = Vec::new();
        for node in from {
            self.walk_item(node, &mut items)?;
        }
        Ok(items)
    }

    fn walk_item(&mut self, node: &'t pg::Node, items: &mut Vec<FromItem<'t>>) -> Walked {
        let first = self.touches.len();
        if let Some(E::JoinExpr(join)) = node.node.as_ref() {
            for side in [join.larg.as_ref(), join.rarg.as_ref()] {
                let Some(side) = side else { return unknown("a join without a side") };
                self.walk_item(side, items)?;
            }
            self.boxed(join.quals.as_ref())?;
        } else {
            self.node(node)?;
        }
        self.remember_alias(node);
        let alias = alias_of(node);
        if !alias.is_empty() {
            items.push(FromItem { alias, touches: first..self.touches.len() });
        }
        Ok(())
    }

    /// FOR UPDATE and its weaker forms lock the rows of the named items, or of every item of FROM.
    fn locking(&mut self, clauses: &'t [pg::Node], items: &[FromItem<'t>], first: usize) -> Walked {
        let mut by_alias: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, item) in items.iter().enumerate() {
            by_alias.entry(item.alias).or_default().push(at);
        }
        let mut all = false;
        let mut locked: BTreeSet<usize> = BTreeSet::new();
        for clause in clauses {
            let Some(E::LockingClause(clause)) = clause.node.as_ref() else { return unknown("LockingClause") };
            all |= clause.locked_rels.is_empty();
            for node in &clause.locked_rels {
                let Some(E::RangeVar(name)) = node.node.as_ref() else { return unknown("LockingClause") };
                #[cfg(test)]
                self.trace.relation(name);
                match by_alias.get(name.relname.as_str()) {
                    Some(named) => locked.extend(named),
                    // No such item: the server refuses it, and nothing here rests on that.
                    None => all = true,
                }
            }
        }
        if all {
            self.lock_touched(first..self.touches.len());
            return Ok(());
        }
        for at in locked {
            if let Some(item) = items.get(at) {
                self.lock_touched(item.touches.clone());
            }
        }
        Ok(())
    }

    fn lock_touched(&mut self, range: Range<usize>) {
        let locks: Vec<Touch<'t>> = self
            .touches
            .get(range)
            .unwrap_or_default()
            .iter()
            .filter(|touch| touch.operation == Operation::Select && is_relation(touch.object))
            .map(|touch| Touch { operation: Operation::Lock, object: touch.object })
            .collect();
        if locks.is_empty() {
            self.touch_nothing(Operation::Lock);
        }
        self.touches.extend(locks);
    }

    /// Replaces what a statement inside EXPLAIN or COPY would do, from a mark on.
    pub(super) fn relations_touched(&self, first: usize) -> Vec<Seen<'t>> {
        let mut seen: Vec<Seen<'t>> = self
            .touches
            .get(first..)
            .unwrap_or_default()
            .iter()
            .filter_map(|touch| touch.object)
            .filter(|object| object.kind == ObjectKind::Relation)
            .collect();
        seen.sort_unstable();
        seen.dedup();
        seen
    }
}

fn is_relation(object: Option<Seen<'_>>) -> bool {
    object.is_some_and(|object| object.kind == ObjectKind::Relation)
}

/// What an item of FROM is called in the rest of the query; empty when it has no name of its own.
pub(super) fn alias_of(node: &pg::Node) -> &str {
    let alias = match node.node.as_ref() {
        Some(E::RangeVar(n)) => return n.alias.as_ref().map_or(&n.relname, |alias| &alias.aliasname),
        Some(E::RangeTableSample(n)) => return n.relation.as_ref().map_or("", |relation| alias_of(relation)),
        Some(E::RangeSubselect(n)) => n.alias.as_ref(),
        Some(E::RangeFunction(n)) => n.alias.as_ref(),
        Some(E::RangeTableFunc(n)) => n.alias.as_ref(),
        Some(E::JsonTable(n)) => n.alias.as_ref(),
        Some(E::JoinExpr(n)) => n.alias.as_ref(),
        _ => None,
    };
    alias.map_or("", |alias| &alias.aliasname)
}
