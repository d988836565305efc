//! P0505: an approval whose lines need distinct people, of whom there are too few altogether. Each line alone can be
//! met, and no set of distinct representatives meets all of them (Hall's condition).

use super::{
    Ctx,
    p0501::{most, requesters},
};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Approval, GroupId, Quorum},
    span::Span,
};
use std::collections::BTreeMap;

/// The most lines whose subsets are looked at.
const LINES_MAX: usize = 12;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for (id, approval) in ctx.policy.approval_ids() {
        let together = approval.separate.as_ref().is_some_and(|separate| !separate.value);
        if together || approval.quorum.len() < 2 || approval.quorum.len() > LINES_MAX {
            continue;
        }
        let requesters = requesters(ctx, id);
        let subsets = 1_usize << approval.quorum.len();
        // Small subsets first: they name the fewest causes.
        let mut masks: Vec<usize> = (1..subsets).filter(|mask| mask.count_ones() > 1).collect();
        masks.sort_by_key(|mask| mask.count_ones());
        for mask in masks {
            let lines: Vec<&Quorum> = approval
                .quorum
                .iter()
                .enumerate()
                .filter(|(at, _)| mask & (1 << at) != 0)
                .map(|(_, line)| line)
                .collect();
            let Some((people, place)) = at_most(ctx, &lines) else { continue };
            let needed: u32 = lines.iter().map(|line| line.count.value).fold(0, u32::saturating_add);
            // The requester never counts, and is one of them when they are in every group concerned.
            let inside = requesters.iter().any(|asks| {
                let held = ctx.held(asks);
                lines.iter().all(|line| held.contains(&line.from.value))
            });
            let left = people.saturating_sub(u32::from(inside));
            if needed > left {
                report(ctx, approval, &lines, needed, (left, place), sink);
                break;
            }
        }
    }
}

/// The most people that these lines can draw from together; `None` when a group has no greatest size.
fn at_most(ctx: &Ctx<'_>, lines: &[&Quorum]) -> Option<(u32, Span)> {
    let mut sizes: BTreeMap<GroupId, (u32, Span)> = BTreeMap::new();
    for line in lines {
        sizes.insert(line.from.value, most(ctx, line)?);
    }
    // Who is in an inner group is counted with the outer one.
    let outer = |group: GroupId| !sizes.keys().any(|other| *other != group && ctx.closure(group).contains(other));
    let first = sizes.values().next().map(|(_, place)| *place)?;
    let people = sizes.iter().filter(|(group, _)| outer(**group)).map(|(_, (size, _))| *size);
    Some((people.fold(0, u32::saturating_add), first))
}

fn report(
    ctx: &Ctx<'_>,
    approval: &Approval,
    lines: &[&Quorum],
    needed: u32,
    (left, place): (u32, Span),
    sink: &mut Sink,
) {
    let Some((first, rest)) = lines.split_first() else { return };
    let name = &approval.head.name.value;
    let groups: Vec<&str> = lines.iter().map(|line| ctx.group_name(line.from.value)).collect();
    let message = format!(
        "`{name}` needs {needed} distinct people of {}, who are {left} at most without the requester",
        groups.join(" and ")
    );
    let mut found = Diagnostic::new(Code::P0505, first.span, message).label("these …");
    for line in rest {
        found = found.also(line.span, "… and these are different people");
    }
    sink.push(
        found
            .also(place, "how many there are")
            .help("lower a quorum, name groups that do not nest, or write `separate no`"),
    );
}
