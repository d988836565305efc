//! P0410, P0411, P0413: grants that change nothing, found by the exact analysis.
//!
//! A grant is shadowed (P0410) when everybody who holds it may do all of it under other grants, by one or by several
//! together, and one of those demands less: an approval, a shorter window or a recording that it states can be
//! stepped around with `--via`. It is redundant (P0411) when one other grant gives the same under equal terms. It is
//! dead (P0413) when forbids, guards or hours deny all of it. `beside` says that both are meant. Break-glass takes
//! no part.

use super::Ctx;
use crate::analyze::{
    approvals::Approvers,
    estate::{At, Estate, Holder},
    offer::{Axis, Order},
    search::Versus,
    witness,
};
use lang::{
    diag::{Code, Diagnostic, Severity, Sink},
    model::{Grant, GrantId},
};
use std::collections::BTreeSet;

/// Axes on which a stricter grant is a control that somebody believes in.
const CONTROLS: [Axis; 4] = [Axis::Mode, Axis::Lifetime, Axis::Approval, Axis::Recording];

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let Some(program) = ctx.program else { return };
    let estate = Estate::new(program, ctx.at);
    for name in estate.connections() {
        let Some(local) = estate.local(name) else { continue };
        if local.grants.iter().all(|grant| grant.break_glass.is_some()) {
            continue;
        }
        // What is too large to look at is said by `diff`; silence here concludes nothing.
        let Ok(Some(at)) = estate.at(name) else { continue };
        let look = Look { ctx, estate: &estate, at: &at };
        for grant in 0..at.side.grants.len() {
            look.grant(grant, sink);
        }
    }
}

struct Look<'a, 'r> {
    ctx: &'a Ctx<'r>,
    estate: &'a Estate<'r>,
    at: &'a At<'r>,
}

/// Who covers a grant, and by how much more.
#[derive(Default)]
struct Cover {
    others: BTreeSet<usize>,
    looser: BTreeSet<Axis>,
}

impl Look<'_, '_> {
    fn grant(&self, index: usize, sink: &mut Sink) {
        let Some(row) = self.at.side.grants.get(index) else { return };
        let Some((_, model)) = self.model(&row.grant.id) else { return };
        if row.grant.break_glass.is_some() || model.head.broken {
            return;
        }
        let holders = self.estate.holders(self.at, index, &self.estate.anybody());
        if holders.is_empty() {
            self.dead(index, model, sink);
        } else if self.at.side.grants.len() > 1 {
            self.covered(index, model, &holders, sink);
        }
    }

    fn model(&self, id: &str) -> Option<(GrantId, &Grant)> {
        self.ctx.policy.grant_ids().find(|(_, grant)| grant.head.name.value == id)
    }

    fn dead(&self, index: usize, model: &Grant, sink: &mut Sink) {
        let Some(row) = self.at.side.grants.get(index) else { return };
        // Nobody can be in such groups, or its days are over: other rules say so.
        let anybody = model.to.iter().any(|one| self.ctx.is_feasible(one));
        let zone = &self.ctx.policy.zone;
        let over = row.grant.valid.as_ref().and_then(|valid| valid.end(zone)).is_some_and(|end| self.ctx.at >= end);
        let reachable = row.to.iter().any(|one| {
            self.estate.people.providers().any(|idp| {
                lang::program::SubjectKind::ALL.into_iter().any(|kind| {
                    let nobody = crate::analyze::people::People::nobody(idp, kind);
                    let people = &self.estate.people;
                    people.joined(0, &nobody, &one.groups).iter().any(|who| people.seat(0, who).is_some())
                })
            })
        });
        if !anybody || over || !reachable {
            return;
        }
        let message = format!("`{}` gives nobody anything: all of it is denied", row.grant.id);
        let mut found = Diagnostic::new(Code::P0413, model.head.span, message);
        for restriction in &self.at.side.restrictions {
            if restriction.deny().meets(&row.region) {
                found = found.note(format!("denied by {}", restriction.rule.id()));
            }
        }
        sink.push(found.help("remove the grant, or the rule that denies it"));
    }

    fn covered(&self, index: usize, model: &Grant, holders: &[Holder], sink: &mut Sink) {
        let own = Approvers { rules: self.estate.program.rules(), view: 0 };
        let versus = Versus {
            people: &self.estate.people,
            cells: &self.at.cells,
            more: Some(&self.at.side),
            less: Some(&self.at.side),
            approvers: (own, own),
            except: Some(index),
        };
        if !versus.gains_under(index).is_empty() {
            return;
        }
        let order = Order { people: &self.estate.people, left: own, right: own };
        let cover = self.cover(index, holders, &order);
        let names: Vec<&str> =
            cover.others.iter().filter_map(|at| Some(self.at.side.grants.get(*at)?.grant.id.as_str())).collect();
        let Some(row) = self.at.side.grants.get(index) else { return };
        let meant = cover
            .others
            .iter()
            .filter_map(|at| self.at.side.grants.get(*at))
            .any(|other| other.grant.beside.contains(&row.grant.id) || row.grant.beside.contains(&other.grant.id));
        // Standing access beside what is to be requested is P0404.
        let theatre = cover.others.len() == 1 && cover.looser.contains(&Axis::Mode);
        if meant || theatre || names.is_empty() {
            return;
        }
        let (id, others) = (&row.grant.id, names.join("` and `"));
        if cover.looser.is_empty() {
            // Of two equal grants the later one can go; several together are not one session.
            let single = |other: &usize| self.covers_all(*other, holders, &order);
            if cover.others.iter().any(|other| single(other) && (*other < index || !self.equal(*other, index, &order)))
            {
                let message = format!("`{id}` is redundant: `{others}` gives the same");
                let found = Diagnostic::new(Code::P0411, model.head.span, message);
                sink.push(found.help("remove it: no decision changes"));
            }
            return;
        }
        let axes: Vec<&str> = cover.looser.iter().map(|axis| axis.word()).collect();
        let message =
            format!("`{id}` is shadowed: its people get all of it from `{others}`, with less {}", axes.join(" and "));
        let mut found = Diagnostic::new(Code::P0410, model.head.span, message);
        if !cover.looser.iter().any(|axis| CONTROLS.contains(axis)) {
            found.severity = Severity::Warning;
        }
        for other in &cover.others {
            let place = self.at.side.grants.get(*other).and_then(|row| self.model(&row.grant.id));
            if let Some((_, other)) = place {
                found = found.also(other.head.span, "gives the same people the same");
            }
        }
        if let Some(text) = self.witness(holders) {
            found = found.witness(text);
        }
        sink.push(found.help(format!(
            "remove it, make it stricter than nothing by narrowing the other, or write `beside {}` to say both are meant",
            names.first().copied().unwrap_or_default()
        )));
    }

    fn cover(&self, index: usize, holders: &[Holder], order: &Order<'_>) -> Cover {
        let mut cover = Cover::default();
        for holder in holders {
            let others = self.estate.offers(self.at, &holder.who);
            for piece in &holder.pieces {
                let mut rest = piece.region.clone();
                for other in others.iter().filter(|other| other.grant != index && other.offer.glass.is_none()) {
                    if rest.meets(&other.region) && order.covered(&piece.offer, &other.offer) {
                        rest.remove(&other.region);
                        cover.others.insert(other.grant);
                        cover.looser.extend(order.wider(&other.offer, &piece.offer));
                    }
                }
            }
        }
        cover
    }

    /// Whether one grant gives all holders everything that they have.
    fn covers_all(&self, other: usize, holders: &[Holder], order: &Order<'_>) -> bool {
        holders.iter().all(|holder| {
            let offers = self.estate.offers(self.at, &holder.who);
            holder.pieces.iter().all(|piece| {
                let mut rest = piece.region.clone();
                for own in offers.iter().filter(|own| own.grant == other) {
                    if order.covered(&piece.offer, &own.offer) {
                        rest.remove(&own.region);
                    }
                }
                rest.is_empty()
            })
        })
    }

    /// Whether two grants cover each other.
    fn equal(&self, a: usize, b: usize, order: &Order<'_>) -> bool {
        let holders = |grant: usize| self.estate.holders(self.at, grant, &self.estate.anybody());
        self.covers_all(a, &holders(b), order) && self.covers_all(b, &holders(a), order)
    }

    fn witness(&self, holders: &[Holder]) -> Option<String> {
        let holder = holders.first()?;
        let cell = holder.pieces.first()?.region.first()?;
        let point = self.at.cells.point(cell)?;
        let people = &self.estate.people;
        witness::verify(&self.at.side, people, &self.at.cells, &holder.who, cell).ok()?;
        let name = &self.at.side.connection.name;
        Some(witness::show(self.estate.program, people, 0, &holder.who, name, &point))
    }
}
