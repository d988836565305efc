//! P0401, P0402, P0403, P0404: two grants give the same people the same thing under terms of which neither contains
//! the other. People take the convenient one, and whoever wrote the other believes in a control that is not there.
//! `beside` says that both are meant.
//!
//! Judged are pairs that somebody certainly holds together: whoever holds the one with the fewest principals holds
//! the other as well. Their effective terms are compared wherever both permit. It is a conflict when
//! * neither offer is stricter on every axis that differs, or
//! * one is stricter, its people hold the other, and the other has the same operations on only a part of the objects
//!   or hours: within that part the stricter one holds nothing. (On all of them it is shadowed, P0410; with fewer
//!   operations it is another task.)
//!
//! The code follows from the first axis that differs: mode, lifetime, approval, recording. Two grants that differ
//! in none of these are left alone.

use super::{
    grants::{Holding, Rivals},
    terms,
};
use crate::analyze::{bits::Bits, offer::Axis, side::Piece};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Grant, Principal},
    program::{Object, rules::Mode},
    protocol::OpSet,
    span::Span,
};
use std::collections::BTreeSet;

/// What a conflict is about.
#[derive(Clone, Copy)]
enum About {
    Mode,
    Lifetime,
    Approval,
    Recording,
}

/// The axes that make a conflict, the weightiest first.
const AXES: [(Axis, About); 5] = [
    (Axis::Mode, About::Mode),
    (Axis::Lifetime, About::Lifetime),
    (Axis::Extensions, About::Lifetime),
    (Axis::Approval, About::Approval),
    (Axis::Recording, About::Recording),
];

/// Judges every pair; returns those that conflict.
pub(super) fn judge(rivals: &Rivals<'_, '_>, settled: &BTreeSet<usize>, sink: &mut Sink) -> BTreeSet<(usize, usize)> {
    let mut conflicts = BTreeSet::new();
    for (a, b) in rivals.pairs() {
        if settled.contains(&a) || settled.contains(&b) || rivals.are_meant(a, b) {
            continue;
        }
        if let Some(conflict) = rivals.holdings.iter().find_map(|holding| conflict(rivals, holding, a, b)) {
            conflicts.insert((a, b));
            if let Some(found) = report(rivals, &conflict) {
                sink.push(found);
            }
        }
    }
    conflicts
}

/// Where two grants meet for somebody, and on which axes each of them gives more there.
struct Touch<'a> {
    region: Bits,
    mine: &'a Piece,
    theirs: &'a Piece,
    more: BTreeSet<Axis>,
    less: BTreeSet<Axis>,
}

/// What two grants do to somebody.
struct Conflict<'a> {
    about: About,
    holding: &'a Holding,
    /// Both grants, as the author wrote them first and second.
    grants: (usize, usize),
    offers: (&'a Piece, &'a Piece),
    region: Bits,
}

fn touches<'a>(rivals: &Rivals<'_, '_>, holding: &'a Holding, a: usize, b: usize) -> Vec<Touch<'a>> {
    let order = rivals.order();
    let mut found = Vec::new();
    for mine in holding.pieces(a) {
        for theirs in holding.pieces(b) {
            let region = mine.region.and(&theirs.region);
            if !region.is_empty() {
                let more = order.wider(&mine.offer, &theirs.offer);
                let less = order.wider(&theirs.offer, &mine.offer);
                found.push(Touch { region, mine, theirs, more, less });
            }
        }
    }
    found
}

fn conflict<'a>(rivals: &Rivals<'a, '_>, holding: &'a Holding, a: usize, b: usize) -> Option<Conflict<'a>> {
    if !holding.least.contains(&a) && !holding.least.contains(&b) {
        return None;
    }
    // The author's order, not that of the tables, decides what is shown first.
    let (a, b) = if rivals.models.get(&a)?.0 <= rivals.models.get(&b)?.0 { (a, b) } else { (b, a) };
    let mut touches = touches(rivals, holding, a, b);
    let made = |about: About, touch: &Touch<'a>| Conflict {
        about,
        holding,
        grants: (a, b),
        offers: (touch.mine, touch.theirs),
        region: touch.region.clone(),
    };
    let (own, other) = (rivals.models.get(&a)?.1.mode.value, rivals.models.get(&b)?.1.mode.value);
    if own != other {
        let asks = if own == Mode::Requested { a } else { b };
        let all = touches.iter().collect::<Vec<_>>();
        if holding.least.contains(&asks) && is_same_task(rivals, holding, asks, &all) {
            return touches.first().map(|touch| made(About::Mode, touch));
        }
        // A standing session and a requested window are different lengths of time.
        for touch in &mut touches {
            for axes in [&mut touch.more, &mut touch.less] {
                axes.retain(|axis| ![Axis::Mode, Axis::Lifetime, Axis::Extensions].contains(axis));
            }
        }
    }
    let incomparable = |touch: &&Touch<'_>| !touch.more.is_empty() && !touch.less.is_empty();
    let hit = touches.iter().filter(incomparable).find_map(|touch| Some((first(&[touch])?, touch)));
    if let Some((about, touch)) = hit {
        return Some(made(about, touch));
    }
    for (strict, loose) in [(a, b), (b, a)] {
        let looser = |touch: &&Touch<'_>| {
            let (own, other) = if strict == a { (&touch.more, &touch.less) } else { (&touch.less, &touch.more) };
            own.is_empty() && !other.is_empty()
        };
        let parts: Vec<&Touch<'_>> = touches.iter().filter(looser).collect();
        let none = rivals.at.cells.none();
        let whole = holding.region(strict, &none).is_subset(&holding.region(loose, &none));
        if holding.least.contains(&strict)
            && !whole
            && is_same_task(rivals, holding, strict, &parts)
            && let (Some(about), Some(touch)) = (first(&parts), parts.first())
        {
            return Some(made(about, touch));
        }
    }
    None
}

/// The weightiest axis on which offers differ.
fn first(touches: &[&Touch<'_>]) -> Option<About> {
    let differs = |axis: &Axis| touches.iter().any(|touch| touch.more.contains(axis) || touch.less.contains(axis));
    AXES.iter().find(|(axis, _)| differs(axis)).map(|(_, about)| *about)
}

/// Whether every operation that somebody has under a grant is among those of some regions.
fn is_same_task(rivals: &Rivals<'_, '_>, holding: &Holding, grant: usize, touches: &[&Touch<'_>]) -> bool {
    let none = rivals.at.cells.none();
    let met = touches.iter().fold(none.clone(), |all, touch| all.or(&touch.region));
    !met.is_empty() && ops(rivals, &holding.region(grant, &none)).difference(ops(rivals, &met)).is_empty()
}

fn ops(rivals: &Rivals<'_, '_>, region: &Bits) -> OpSet {
    rivals.at.cells.ops_of(region)
}

/// Reports a grant that is to be requested where several standing grants together give all of it.
pub(super) fn theatre(
    rivals: &Rivals<'_, '_>,
    index: usize,
    model: &Grant,
    others: &BTreeSet<usize>,
) -> Option<Diagnostic> {
    let holding = rivals.of(index).find(|holding| !holding.pieces(index).is_empty())?;
    let who = who(rivals, holding);
    let (id, name) = (rivals.id(index), &rivals.at.side.connection.name);
    let message = format!("{who} has standing access to {name} beside what is to be requested");
    let mut found = Diagnostic::new(Code::P0404, rivals.alternative(model, &holding.seat)?.span, message)
        .label(format!("{who} requests with `{id}` what is always there"));
    for (_, other) in others.iter().filter_map(|other| rivals.models.get(other)) {
        found = found.also(other.mode.span, format!("`{}` gives a part of it", other.head.name.value));
    }
    if let Some(text) = rivals.witness(holding, &holding.pieces(index).first()?.region) {
        found = found.witness(text);
    }
    let beside = others.first().map_or("", |other| rivals.id(*other));
    Some(found.help(format!("remove one of the two ways, or write `beside {beside}` in {id} to say both are meant")))
}

/// Who somebody is, for messages.
fn who(rivals: &Rivals<'_, '_>, holding: &Holding) -> String {
    let named = rivals.estate.people.named(0, &holding.who);
    if named.is_empty() { format!("every {}", holding.seat.kind) } else { named.join(" and ") }
}

fn report(rivals: &Rivals<'_, '_>, found: &Conflict<'_>) -> Option<Diagnostic> {
    let (a, b) = found.grants;
    let (first, second) = (rivals.models.get(&a)?.1, rivals.models.get(&b)?.1);
    let ours = rivals.alternative(first, &found.holding.seat)?;
    let theirs = rivals.alternative(second, &found.holding.seat)?;
    let name = &rivals.at.side.connection.name;
    let who = who(rivals, found.holding);
    let (code, message) = match found.about {
        About::Mode => (Code::P0404, format!("{who} has standing access to {name} beside what is to be requested")),
        About::Approval => (Code::P0402, format!("{who} gets {name} under two different approvals")),
        About::Recording => (Code::P0403, format!("what {who} does on {name} is recorded in two different ways")),
        About::Lifetime => (Code::P0401, format!("{who} gets two different lifetimes on {name}")),
    };
    let mine = terms::describe((first, &found.offers.0.offer), (second, &found.offers.1.offer));
    let other = terms::describe((second, &found.offers.1.offer), (first, &found.offers.0.offer));
    let none = rivals.at.cells.none();
    let scope = |own: usize, other: usize, grant: &Grant| {
        let (own, other) = (found.holding.region(own, &none), found.holding.region(other, &none));
        let objects = terms::objects(grant);
        if objects.is_empty() || other.is_subset(&own) { String::new() } else { format!(", but only {objects}") }
    };
    let mut diagnostic = Diagnostic::new(code, ours.span, message)
        .label(people(rivals, found.holding, ours))
        .also(place(first, found.about), format!("… may hold {name} {mine}{}", scope(a, b, first)))
        .also(theirs.span, people(rivals, found.holding, theirs))
        .also(place(second, found.about), format!("… and here {other}{}", scope(b, a, second)));
    if let Some(text) = rivals.witness(found.holding, &shown(rivals, found)) {
        diagnostic = diagnostic
            .witness(text)
            .witness(format!("via {} → {mine}", rivals.id(a)))
            .witness(format!("via {} → {other}", rivals.id(b)));
    }
    let (a, b) = (rivals.id(a), rivals.id(b));
    Some(diagnostic.help(format!("merge the two grants, or write `beside {a}` in {b} to say both are meant")))
}

/// The cell to show: where no rule names an object, the operation alone says it.
fn shown(rivals: &Rivals<'_, '_>, found: &Conflict<'_>) -> Bits {
    let cells = &rivals.at.cells;
    let bare = found.region.first().and_then(|cell| cells.point(cell)).and_then(|point| {
        let access = lang::program::Access { op: point.access.op, object: Object::Nothing };
        cells.cell(&access, point.at)
    });
    let open = |grant: usize| rivals.models.get(&grant).is_some_and(|(_, model)| terms::objects(model).is_empty());
    match bare {
        Some(cell) if open(found.grants.0) && open(found.grants.1) => {
            let mut one = cells.none();
            one.insert(cell);
            one
        }
        Some(_) | None => found.region.clone(),
    }
}

/// Who is meant by an alternative of a grant, as the beginning of a sentence.
fn people(rivals: &Rivals<'_, '_>, holding: &Holding, own: &Principal) -> String {
    let named = rivals.estate.people.named(0, &holding.who);
    if named.is_empty() {
        return format!("every {} …", holding.seat.kind);
    }
    let written: BTreeSet<&str> = own.groups.iter().map(|group| rivals.ctx.group_name(*group)).collect();
    if written.is_empty() || written.iter().copied().eq(named.iter().map(String::as_str)) {
        return format!("everyone in {} …", named.join(" and "));
    }
    format!("everyone in {}, who are also in {}, …", named.join(" and "), rivals.ctx.describe(own))
}

/// The clause that states an axis, else the lifetime, which every grant has.
fn place(grant: &Grant, about: About) -> Span {
    match about {
        About::Mode => grant.mode.span,
        About::Approval => grant.approvals.first().map_or(grant.lifetime.span, |approval| approval.span),
        About::Recording => grant.recorded.as_ref().map_or(grant.lifetime.span, |recorded| recorded.span),
        About::Lifetime => grant.lifetime.span,
    }
}
