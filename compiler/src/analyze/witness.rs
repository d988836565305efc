//! Witnesses: one request that shows a difference, re-run through the decision of `lang` on both revisions before
//! anybody sees it. One that does not reproduce is a mistake of the engine and is never printed.

use super::{
    cells::{Cells, Point},
    offer::Order,
    people::{People, Person},
    side::{Piece, Side},
    sight,
};
use lang::program::{Object, Outcome, Program, Request, Verdict};
use std::collections::BTreeSet;

/// The engine and the decision disagree about a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the analysis and the decision disagree about {point}: {what}; please report this")]
pub struct Disagreement {
    /// The request.
    pub point: String,
    /// What they say.
    pub what: String,
}

/// Compares what a side offers somebody at a point with what `lang` decides, for every grant.
///
/// # Errors
/// When they disagree.
pub fn verify(
    side: &Side<'_>,
    people: &People,
    cells: &Cells,
    person: &Person,
    cell: usize,
) -> Result<Vec<Piece>, Disagreement> {
    let Some(point) = cells.point(cell) else { return Ok(Vec::new()) };
    let offers: Vec<Piece> =
        side.offers(people, person).iter().filter(|piece| piece.region.contains(cell)).cloned().collect();
    let subject = people.subject(side.view, person, side.program);
    for (at, row) in side.grants.iter().enumerate() {
        let own = offers.iter().find(|piece| piece.grant == at);
        let decision = subject.as_ref().map(|subject| {
            side.program.decide(&Request {
                subject,
                connection: &side.connection.name,
                accesses: std::slice::from_ref(&point.access),
                via: Some(&row.grant.id),
                at: point.at,
            })
        });
        let outcome = decision.as_ref().map(|decision| &decision.outcome);
        if let Some(what) = differs(own, outcome, &point) {
            let id = &row.grant.id;
            let point = show(side.program, people, side.view, person, &side.connection.name, &point);
            return Err(Disagreement { point: format!("{point} via {id}"), what: what.to_owned() });
        }
    }
    Ok(offers)
}

/// What the engine and the decision say differently.
fn differs(own: Option<&Piece>, decided: Option<&Outcome<'_>>, point: &Point) -> Option<&'static str> {
    match (own, decided) {
        (None, None | Some(Outcome::Denied)) => None,
        (None, Some(Outcome::Permitted { .. })) => Some("the decision permits it, the analysis does not"),
        (Some(_), None | Some(Outcome::Denied)) => Some("the analysis permits it, the decision does not"),
        (Some(piece), Some(Outcome::Permitted { contract, judgement })) => {
            let offer = &piece.offer;
            let reviews: BTreeSet<String> = match &judgement.verdict {
                Verdict::Review(reviews) => reviews.iter().map(|(_, by)| by.clone()).collect(),
                Verdict::Allowed | Verdict::Denied(_) => BTreeSet::new(),
            };
            let bound = |bound: &Option<(u64, lang::program::rules::RuleId)>| bound.as_ref().map(|(most, _)| *most);
            let limits = &judgement.limits;
            if contract.terms != offer.terms {
                Some("the terms differ")
            } else if reviews != offer.reviews {
                Some("the reviews differ")
            } else if (bound(&limits.rows), bound(&limits.seconds), bound(&limits.bytes))
                != (offer.rows, offer.seconds, offer.bytes)
            {
                Some("the limits of the statement differ")
            } else if matches!(point.access.object, Object::Table { .. })
                && sight::hits(&judgement.masks) != offer.sight.hits
            {
                Some("the masks differ")
            } else {
                None
            }
        }
    }
}

/// Checks that a grant of one side gives somebody a cell, and no grant of the other covers it.
///
/// # Errors
/// When the engine and the decision disagree, or the difference does not show.
pub fn reproduce(
    people: &People,
    cells: &Cells,
    order: &Order<'_>,
    more: (&Side<'_>, usize),
    less: Option<&Side<'_>>,
    person: &Person,
    cell: usize,
) -> Result<(), Disagreement> {
    let (side, grant) = more;
    let missing = |what: &str| {
        let point = cells.point(cell);
        let point = point.map_or_else(String::new, |point| {
            show(side.program, people, side.view, person, &side.connection.name, &point)
        });
        Disagreement { point, what: what.to_owned() }
    };
    let mine = verify(side, people, cells, person, cell)?;
    let Some(mine) = mine.into_iter().find(|piece| piece.grant == grant) else {
        return Err(missing("the witness is not permitted"));
    };
    let theirs = match less {
        Some(less) => verify(less, people, cells, person, cell)?,
        None => Vec::new(),
    };
    if theirs.iter().any(|other| order.covered(&mine.offer, &other.offer)) {
        return Err(missing("the witness is no difference"));
    }
    Ok(())
}

/// `kind=human groups={payments-dev}  orders-db  insert orders.lines  Mon 2026-05-04 07:00`.
pub fn show(
    program: &Program,
    people: &People,
    view: usize,
    person: &Person,
    connection: &str,
    point: &Point,
) -> String {
    let groups = people.named(view, person);
    let who = format!("kind={} groups={{{}}}", person.kind, groups.join(", "));
    let access = match &point.access.object {
        Object::Nothing => point.access.op.to_string(),
        object @ (Object::Table { .. } | Object::Kubernetes { .. } | Object::Path(_) | Object::Argv(_)) => {
            format!("{} {object}", point.access.op)
        }
    };
    format!("{who}  {connection}  {access}  {}", program.zone().display(point.at))
}
