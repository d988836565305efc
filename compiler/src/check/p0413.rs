//! P0413, P0414: grants of which all, or a whole operation or object that they name, is denied to everybody by
//! forbids, guards, limits and hours. Somebody believes that they have this access, or the rule that denies it denies
//! more than was meant. What a rule takes from one of several objects of an operation is what rules are for.

use super::grants::Rivals;
use crate::analyze::{bits::Bits, describe};
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::Grant,
    program::{Object, Scope},
    span::{Span, Spanned},
};

/// Reports a grant that gives nobody anything.
pub(super) fn dead(rivals: &Rivals<'_, '_>, index: usize, model: &Grant, sink: &mut Sink) {
    let Some(row) = rivals.at.side.grants.get(index) else { return };
    // Its days are over: P1003 says so.
    let over = row.grant.valid.as_ref().and_then(|valid| valid.end(&rivals.ctx.policy.zone));
    if over.is_some_and(|end| rivals.ctx.at >= end) {
        return;
    }
    let message = format!("`{}` gives nobody anything: all of it is denied", row.grant.id);
    let found = Diagnostic::new(Code::P0413, model.head.span, message);
    sink.push(because(rivals, &row.region, found).help("remove the grant, or the rule that denies it"));
}

/// Reports operations and objects that a living grant names in vain.
pub(super) fn partly(rivals: &Rivals<'_, '_>, index: usize, model: &Grant, sink: &mut Sink) {
    let Some(row) = rivals.at.side.grants.get(index) else { return };
    let (cells, none) = (&rivals.at.cells, rivals.at.cells.none());
    let usable = rivals.of(index).fold(none.clone(), |all, holding| all.or(&holding.region(index, &none)));
    let written = row.region.and(&rivals.reach);
    let ops = cells.ops_of(&written).difference(cells.ops_of(&usable));
    if !ops.is_empty() {
        let words = describe::words(rivals.at.side.connection.kind, ops).replace(' ', "`, `");
        let place = model.permit.iter().flat_map(|permit| &permit.words);
        let place = place.filter(|word| !word.set.intersection(ops).is_empty()).map(|word| word.word.span).next();
        let denied = cells.covered(ops, &Scope::default(), |_| true).and(&written);
        report(rivals, (index, model), &words, place.unwrap_or(model.head.span), &denied, sink);
    }
    let objects = cells.region(|_, object| *object != Object::Nothing, |_| true).and(&written);
    for (pattern, scope) in patterns(model) {
        let named = cells.covered(row.grant.permit, &scope, |_| true).and(&objects);
        if !named.is_empty() && !named.meets(&usable) {
            report(rivals, (index, model), &pattern.value, pattern.span, &named, sink);
        }
    }
}

/// Each object that a grant names, alone.
fn patterns(model: &Grant) -> Vec<(&Spanned<String>, Scope)> {
    let objects = &model.objects;
    let one = |pattern: &Spanned<String>| vec![pattern.value.clone()];
    let tables = objects.tables.iter().map(|own| (own, Scope { tables: one(own), ..Scope::default() }));
    let namespaces = objects.namespaces.iter().map(|own| (own, Scope { namespaces: one(own), ..Scope::default() }));
    let resources = objects.resources.iter().map(|own| (own, Scope { resources: one(own), ..Scope::default() }));
    let paths = objects.paths.iter().map(|own| (own, Scope { paths: one(own), ..Scope::default() }));
    let argv = objects.argv.iter().map(|own| (own, Scope { argv: one(own), ..Scope::default() }));
    tables.chain(namespaces).chain(resources).chain(paths).chain(argv).collect()
}

fn report(
    rivals: &Rivals<'_, '_>,
    (index, model): (usize, &Grant),
    what: &str,
    place: Span,
    denied: &Bits,
    sink: &mut Sink,
) {
    let message = format!("`{}` permits `{what}`, and nobody may use it", rivals.id(index));
    let mut found = Diagnostic::new(Code::P0414, place, message);
    if place != model.head.span {
        found = found.also(model.head.span, "the grant");
    }
    sink.push(because(rivals, denied, found).help("leave it out of the grant, or mend the rule that denies it"));
}

/// Names the rules that deny some of a region to somebody.
fn because(rivals: &Rivals<'_, '_>, region: &Bits, mut found: Diagnostic) -> Diagnostic {
    for restriction in &rivals.at.side.restrictions {
        if restriction.deny().meets(region) {
            found = found.note(format!("denied by {}", restriction.rule.id()));
        }
    }
    found
}
