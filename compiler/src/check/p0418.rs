//! P0418: break-glass that opens more than all normal grants of the same people together: whoever breaks the glass
//! gets requests that nobody would give them otherwise, not only the same without an approval. Judged for everybody
//! who certainly holds it, cell by cell; terms do not matter.

use super::{Ctx, ctx::is_whole};
use crate::analyze::{describe, witness};
use lang::diag::{Code, Diagnostic, Sink};

/// So many connections are described.
const SHOWN: usize = 3;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.policy.grants.iter().filter(|grant| grant.is_break_glass() && is_whole(&grant.head)) {
        let id = &grant.head.name.value;
        let mut broader: Vec<(String, Option<String>)> = grant
            .connections()
            .into_iter()
            .filter_map(|connection| beyond(ctx, id, ctx.connection_name(connection)))
            .collect();
        let Some((_, shown)) = broader.first_mut() else { continue };
        let message = format!("`{id}` opens what no normal grant gives the same people");
        let mut found = Diagnostic::new(Code::P0418, grant.head.span, message);
        if let Some(text) = shown.take() {
            found = found.witness(text);
        }
        for (what, _) in broader.iter().take(SHOWN) {
            found = found.note(what.clone());
        }
        if let Some(more) = broader.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            found = found.note(format!("and on {more} more connections"));
        }
        sink.push(found.help(
            "narrow it to what its people have on request, or accept it: `allow P0418 reason=\"…\" until=\"…\"`",
        ));
    }
}

/// What a break-glass grant gives somebody on a connection beyond their normal grants, and a request that shows it.
fn beyond(ctx: &Ctx<'_>, id: &str, name: &str) -> Option<(String, Option<String>)> {
    let estate = ctx.estate()?;
    // What is too large to look at is an error already.
    let at = estate.at(name).ok()??;
    let index = at.side.grant(id)?;
    let reach = at.cells.reaching();
    for holder in estate.holders(&at, index, &estate.anybody()) {
        let mut rest = holder.pieces.iter().fold(at.cells.none(), |all, piece| all.or(&piece.region)).and(&reach);
        for normal in estate.offers(&at, &holder.who).iter().filter(|piece| piece.offer.glass.is_none()) {
            rest.remove(&normal.region);
        }
        let Some(cell) = rest.first() else { continue };
        let people = &estate.people;
        let shown = witness::verify(&at.side, people, &at.cells, &holder.who, cell)
            .ok()
            .and_then(|_| at.cells.point(cell))
            .map(|point| witness::show(estate.program, people, 0, &holder.who, name, &point));
        let local = estate.local(name)?;
        let what = describe::region(&at.cells, &rest, &[local], estate.program.zone());
        return Some((format!("{name}: {}", what.join("; ")), shown));
    }
    None
}
