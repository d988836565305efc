//! P0412: a grant generalises another. Everybody who holds the special one may do all of it under the general one as
//! well, and the special one demands less: it is an exception from the general one. That may well be meant; whoever
//! changes one of them should know the other.

use super::grants::Rivals;
use crate::analyze::offer::Axis;
use lang::diag::{Code, Diagnostic, Sink};
use std::collections::BTreeSet;

/// Judges the pairs that no other rule speaks of.
pub(super) fn judge(
    rivals: &Rivals<'_, '_>,
    superfluous: &BTreeSet<usize>,
    conflicts: &BTreeSet<(usize, usize)>,
    sink: &mut Sink,
) {
    for (a, b) in rivals.pairs() {
        let spoken = superfluous.contains(&a) || superfluous.contains(&b) || conflicts.contains(&(a, b));
        if spoken || rivals.are_meant(a, b) {
            continue;
        }
        for (special, general) in [(a, b), (b, a)] {
            let found = exception(rivals, special, general).and_then(|axes| report(rivals, special, general, &axes));
            if let Some(found) = found {
                sink.push(found);
            }
        }
    }
}

/// The axes on which a special grant demands less than a general one that permits the same people all of it.
fn exception(rivals: &Rivals<'_, '_>, special: usize, general: usize) -> Option<BTreeSet<Axis>> {
    let (order, none) = (rivals.order(), rivals.at.cells.none());
    let mut axes = BTreeSet::new();
    for holding in rivals.of(special) {
        if !holding.region(special, &none).is_subset(&holding.region(general, &none)) {
            return None;
        }
        for mine in holding.pieces(special) {
            for theirs in holding.pieces(general).iter().filter(|theirs| theirs.region.meets(&mine.region)) {
                if !order.covered(&theirs.offer, &mine.offer) {
                    return None;
                }
                axes.extend(order.wider(&mine.offer, &theirs.offer));
            }
        }
    }
    (!axes.is_empty()).then_some(axes)
}

fn report(rivals: &Rivals<'_, '_>, special: usize, general: usize, axes: &BTreeSet<Axis>) -> Option<Diagnostic> {
    let (one, all) = (rivals.models.get(&special)?.1, rivals.models.get(&general)?.1);
    let (special, general) = (rivals.id(special), rivals.id(general));
    let axes: Vec<&str> = axes.iter().map(|axis| axis.word()).collect();
    let message =
        format!("`{general}` permits all that `{special}` permits, and `{special}` demands less: {}", axes.join(", "));
    Some(
        Diagnostic::new(Code::P0412, all.head.span, message)
            .also(one.head.span, "an exception for fewer people, or for less")
            .help(format!("nothing to mend when the exception is meant; `beside {special}` says so")),
    )
}
