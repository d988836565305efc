//! The items of FROM without their joins, and what joins ask of each.

use super::names::string;
use super::query::alias_of;
use super::restriction::{Effort, Target};
use super::twin::{Attached, Twin};
use super::{E, Walked, Walker, pg};
use std::ops::Range;

/// How often conditions are gone through for what they attach.
const ROUNDS_MAX: usize = 4;

/// What going through one condition costs, in nodes.
const CONDITION_NODES: usize = 400;

/// An item of FROM that is no join.
#[derive(Debug)]
pub(super) struct Leaf<'t> {
    pub(super) item: &'t pg::Node,
    /// What it is called: by its own name, or by that of the join around it.
    pub(super) alias: &'t str,
    /// Conditions of joins that its rows have to meet.
    pub(super) conditions: Vec<&'t pg::Node>,
    /// What it is joined with by equal names of columns (USING, NATURAL), as places in the list.
    pub(super) named_with: Vec<Range<usize>>,
    /// Whether an outer join may give nulls in its place.
    nullable: bool,
}

#[derive(Debug, Default)]
pub(super) struct Joined<'t> {
    pub(super) leaves: Vec<Leaf<'t>>,
    /// Conditions of outer joins.
    outer: Vec<&'t pg::Node>,
    /// The two sides of outer joins by equal names of columns.
    outer_named: Vec<[Range<usize>; 2]>,
}

/// Takes joins apart.
pub(super) fn joined<'t>(items: &'t [pg::Node], effort: &Effort) -> Joined<'t> {
    let mut joined = Joined::default();
    for item in items {
        joined.add(item, effort);
    }
    joined
}

impl<'t> Joined<'t> {
    fn add(&mut self, item: &'t pg::Node, effort: &Effort) {
        let Some(E::JoinExpr(join)) = item.node.as_ref() else {
            let (conditions, named_with) = (Vec::new(), Vec::new());
            self.leaves.push(Leaf { item, alias: alias_of(item), conditions, named_with, nullable: false });
            return;
        };
        let first = self.leaves.len();
        join.larg.iter().for_each(|side| self.add(side, effort));
        let middle = self.leaves.len();
        join.rarg.iter().for_each(|side| self.add(side, effort));
        let (left, right) = (first..middle, middle..self.leaves.len());
        effort.spend(self.leaves.len().saturating_sub(first));
        let (keeps_left, keeps_right) = match pg::JoinType::try_from(join.jointype) {
            Ok(pg::JoinType::JoinLeft) => (true, false),
            Ok(pg::JoinType::JoinRight) => (false, true),
            Ok(pg::JoinType::JoinFull) => (true, true),
            _ => (false, false),
        };
        let by_name = join.is_natural || !join.using_clause.is_empty();
        for (side, other, keeps, other_keeps) in
            [(&left, &right, keeps_left, keeps_right), (&right, &left, keeps_right, keeps_left)]
        {
            for leaf in self.leaves.get_mut(side.clone()).unwrap_or_default() {
                leaf.nullable |= other_keeps;
                if !keeps {
                    leaf.conditions.extend(join.quals.as_deref());
                    leaf.named_with.extend(by_name.then(|| other.clone()));
                }
                if let Some(alias) = &join.alias {
                    leaf.alias = &alias.aliasname;
                }
            }
        }
        if keeps_left || keeps_right {
            self.outer.extend(join.quals.as_deref());
            self.outer_named.extend(by_name.then_some([left, right]));
        }
    }
}

impl<'t> Walker<'t> {
    /// Adds to a target what stands beside it and belongs to its row: a twin joined on the same column, and what an outer
    /// join finds for it. Conditions on those leave rows of the target out.
    pub(super) fn attach(
        &self,
        target: &mut Target<'t>,
        joined: &Joined<'t>,
        condition: Option<&'t pg::Node>,
    ) -> Walked {
        let inner = joined.leaves.iter().flat_map(|leaf| leaf.conditions.iter().copied());
        let mut found = Vec::new();
        for condition in inner.chain(condition) {
            self.effort.spend(CONDITION_NODES);
            twins_of(condition, target, &mut found);
        }
        for alias in found {
            target.attach(Attached { alias, nullable: false });
        }
        for _ in 0..ROUNDS_MAX {
            let before = target.attached.len();
            for condition in &joined.outer {
                self.effort.spend(CONDITION_NODES);
                if self.effort.is_spent() || !self.restricts(Some(condition), target)? {
                    continue;
                }
                let names = self.qualifiers(condition)?;
                for leaf in joined.leaves.iter().filter(|leaf| names.contains(&leaf.alias)) {
                    target.attach(Attached { alias: leaf.alias, nullable: leaf.nullable });
                }
            }
            for [left, right] in &joined.outer_named {
                for (side, other) in [(left, right), (right, left)] {
                    let side = joined.leaves.get(side.clone()).unwrap_or_default();
                    if side.iter().any(|leaf| target.is_called(leaf.alias)) {
                        let others = joined.leaves.get(other.clone()).unwrap_or_default();
                        for leaf in others {
                            target.attach(Attached { alias: leaf.alias, nullable: leaf.nullable });
                        }
                        break;
                    }
                }
            }
            if target.attached.len() == before {
                break;
            }
        }
        Ok(())
    }
}

/// The twins that a condition joins with the target on the same column, in all of its parts.
fn twins_of<'t>(condition: &'t pg::Node, target: &Target<'t>, found: &mut Vec<&'t str>) {
    match condition.node.as_ref() {
        Some(E::BoolExpr(n)) if n.boolop == pg::BoolExprType::AndExpr as i32 => {
            n.args.iter().for_each(|arg| twins_of(arg, target, found));
        }
        Some(E::AExpr(n)) if n.kind == pg::AExprKind::AexprOp as i32 && n.name.last().and_then(string) == Some("=") => {
            let (Some(left), Some(right)) = (n.lexpr.as_deref(), n.rexpr.as_deref()) else { return };
            found.extend(target.twin_compared(left, right).map(|twin: &Twin<'t>| twin.alias));
        }
        _ => {}
    }
}
