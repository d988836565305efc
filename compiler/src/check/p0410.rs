//! P0410, P0411: grants that others make superfluous.
//!
//! A grant is shadowed (P0410) when everybody who holds it may do all of it under other grants, by one or by several
//! together, and one of those demands less: an approval, a shorter window or a recording that it states can be
//! stepped around with `--via`. It is redundant (P0411) when one other grant gives the same under equal terms;
//! several together are not one session. Grants that stand `beside` it do not count. Named are the fewest grants that
//! suffice, and among them those that demand less where they can be. Standing access beside what is to be requested
//! is P0404, whether one standing grant suffices for it or only several do.

use super::{grants::Rivals, p0401};
use crate::analyze::offer::Axis;
use lang::{
    diag::{Code, Diagnostic, Severity, Sink},
    model::Grant,
    program::rules::Mode,
};
use std::collections::{BTreeMap, BTreeSet};

/// Axes on which a stricter grant is a control that somebody believes in.
const CONTROLS: [Axis; 4] = [Axis::Mode, Axis::Lifetime, Axis::Approval, Axis::Recording];

/// The fewest grants that cover one.
struct Cover {
    others: BTreeSet<usize>,
    looser: BTreeSet<Axis>,
}

/// What was said of a grant; `None` when it has a use of its own.
pub(super) fn judge(rivals: &Rivals<'_, '_>, index: usize, model: &Grant, sink: &mut Sink) -> Option<Severity> {
    let cover = cover(rivals, index)?;
    if cover.looser.is_empty() {
        // Of two equal grants the later one can go.
        let mut others = cover.others.iter();
        if let (Some(other), None) = (others.next(), others.next())
            && (*other < index || !rivals.is_covered(*other, &all_but(rivals, &BTreeSet::from([index]))))
        {
            let message = format!("`{}` is redundant: `{}` gives the same", rivals.id(index), rivals.id(*other));
            let found = Diagnostic::new(Code::P0411, model.head.span, message);
            sink.push(found.help("remove it: no decision changes"));
            return Some(Severity::Warning);
        }
        return None;
    }
    let standing = |other: &usize| rivals.models.get(other).is_some_and(|(_, own)| own.mode.value == Mode::Standing);
    if model.mode.value == Mode::Requested && cover.others.iter().all(standing) {
        // One standing grant for all of it is a pair, and judged among the pairs.
        let found =
            if cover.others.len() > 1 { p0401::theatre(rivals, index, model, &cover.others)? } else { return None };
        sink.push(found);
        return Some(Severity::Error);
    }
    let found = shadowed(rivals, index, model, &cover);
    let severity = found.severity;
    sink.push(found);
    Some(severity)
}

/// The fewest grants that together give everybody all that a grant gives.
fn cover(rivals: &Rivals<'_, '_>, index: usize) -> Option<Cover> {
    if rivals.models.len() < 2 {
        return None;
    }
    let meant: BTreeSet<usize> =
        rivals.models.keys().copied().filter(|other| *other == index || rivals.are_meant(index, *other)).collect();
    if !rivals.is_covered(index, &meant) {
        return None;
    }
    let mut looser: BTreeMap<usize, BTreeSet<Axis>> = BTreeMap::new();
    let order = rivals.order();
    for holding in rivals.of(index) {
        for piece in holding.pieces(index) {
            let others = holding.offers.iter().filter(|(other, _)| !meant.contains(other));
            for theirs in others.flat_map(|(_, theirs)| theirs) {
                if piece.region.meets(&theirs.region) && order.covered(&piece.offer, &theirs.offer) {
                    looser.entry(theirs.grant).or_default().extend(order.wider(&theirs.offer, &piece.offer));
                }
            }
        }
    }
    // Those go first that demand the same, and of these the later ones.
    let mut order: Vec<usize> = looser.keys().rev().copied().collect();
    order.sort_by_key(|other| looser.get(other).is_some_and(|axes| !axes.is_empty()));
    let mut others: BTreeSet<usize> = looser.keys().copied().collect();
    for other in order {
        others.remove(&other);
        if !rivals.is_covered(index, &all_but(rivals, &others)) {
            others.insert(other);
        }
    }
    let looser = others.iter().filter_map(|other| looser.get(other)).flatten().copied().collect();
    Some(Cover { others, looser })
}

/// All grants of the connection but some.
fn all_but(rivals: &Rivals<'_, '_>, some: &BTreeSet<usize>) -> BTreeSet<usize> {
    (0..rivals.at.side.grants.len()).filter(|one| !some.contains(one)).collect()
}

fn shadowed(rivals: &Rivals<'_, '_>, index: usize, model: &Grant, cover: &Cover) -> Diagnostic {
    let names: Vec<&str> = cover.others.iter().map(|other| rivals.id(*other)).collect();
    let axes: Vec<&str> = cover.looser.iter().map(|axis| axis.word()).collect();
    let message = format!(
        "`{}` is shadowed: its people get all of it from `{}`, with less {}",
        rivals.id(index),
        names.join("` and `"),
        axes.join(" and ")
    );
    let mut found = Diagnostic::new(Code::P0410, model.head.span, message);
    if !cover.looser.iter().any(|axis| CONTROLS.contains(axis)) {
        found.severity = Severity::Warning;
    }
    for (_, other) in cover.others.iter().filter_map(|other| rivals.models.get(other)) {
        let what =
            if names.len() > 1 { "gives the same people a part of it" } else { "gives the same people the same" };
        found = found.also(other.head.span, what);
    }
    let shown = rivals.of(index).find_map(|holding| rivals.witness(holding, &holding.pieces(index).first()?.region));
    if let Some(text) = shown {
        found = found.witness(text);
    }
    found.help(format!(
        "remove it, make it stricter than nothing by narrowing the other, or write `beside {}` to say both are meant",
        names.first().copied().unwrap_or_default()
    ))
}
