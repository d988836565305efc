//! The grants of one connection side by side, under the exact analysis: P0401–P0404 and P0410–P0414 are answered here.
//!
//! Looked at is everybody who certainly holds a grant: the fewest principals that match one of its alternatives.
//! Every grant has at most one verdict about itself (dead, partly dead, shadowed, redundant), and every pair of grants
//! at most one about both (conflict, generalisation). A grant that is shadowed as an error is party to no conflict:
//! what mends the one mends the other. `beside` says that two grants are meant to stand together. Break-glass takes
//! no part.
//!
//! A connection whose patterns fall into too many classes is an error (P0008): silence about it would conclude that
//! nothing conflicts.

use super::{Ctx, p0401, p0410, p0412, p0413};
use crate::analyze::{
    TooComplex,
    approvals::Approvers,
    bits::Bits,
    estate::{At, Estate},
    offer::Order,
    people::{People, Person, Seat},
    profile,
    search::Versus,
    side::Piece,
    witness,
};
use crate::{kept::Key, parallel};
use lang::{
    diag::{Code, Diagnostic, Severity, Sink},
    model::{Grant, GrantId, Principal},
    span::Span,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let Some(estate) = ctx.estate() else { return };
    let by_name: BTreeMap<&str, (GrantId, &Grant)> =
        ctx.policy.grant_ids().map(|(id, grant)| (grant.head.name.value.as_str(), (id, grant))).collect();
    let with_grants = |name: &&str| estate.local(name).is_some_and(|local| !local.grants.is_empty());
    let names: Vec<&str> = estate.connections().filter(with_grants).collect();
    let judge = |name: &str| {
        let mut own = Sink::new();
        match estate.at(name) {
            Ok(Some(at)) => Rivals::new(ctx, estate, &at, &by_name).judge(&mut own),
            Ok(None) => {}
            Err(too_complex) => too_many(ctx, name, too_complex, &mut own),
        }
        own
    };
    let found = match ctx.memos.map(|memos| (memos, Causes::of(ctx, estate))) {
        Some((memos, causes)) => parallel::map(&names, ctx.threads, |name| {
            let known = causes.at(name, &by_name).map(|key| memos.rivals.recall(key, || judge(name)));
            known.map_or_else(|| judge(name), |known| Sink::clone(&known))
        }),
        None => parallel::map(&names, ctx.threads, |name| judge(name)),
    };
    for own in found {
        sink.absorb(own);
    }
}

/// What the findings about a connection follow from: who there is, the approvals, the timezone and the instant; what
/// the rules say there; and of the grants, which findings point into, the places and the text.
struct Causes<'a, 'r> {
    ctx: &'a Ctx<'r>,
    estate: &'a Estate<'r>,
    everywhere: Key,
    decides: BTreeMap<&'r str, Key>,
    places: BTreeMap<&'a str, Span>,
}

impl<'a, 'r> Causes<'a, 'r> {
    fn of(ctx: &'a Ctx<'r>, estate: &'a Estate<'r>) -> Self {
        let rules = estate.program.rules();
        let everybody = (&rules.idps, &rules.groups, &rules.disjoint);
        let everywhere = Key::of(&(everybody, &rules.approvals, &rules.timezone, ctx.at));
        let decides = profile::deciding(estate.program, ctx.threads).into_iter().collect();
        let heads = ctx.policy.connections.iter().map(|connection| &connection.head.name);
        let places = heads.map(|name| (name.value.as_str(), name.span)).collect();
        Self { ctx, estate, everywhere, decides, places }
    }

    fn at(&self, name: &str, by_name: &BTreeMap<&str, (GrantId, &Grant)>) -> Option<Key> {
        let (decides, place) = (self.decides.get(name)?, self.places.get(name)?);
        let grants = self.estate.local(name)?.grants.iter().map(|grant| {
            let (_, model) = by_name.get(grant.id.as_str())?;
            let whole = model.head.node;
            Some((whole, model.head.broken, self.ctx.text(whole)))
        });
        Some(Key::of(&(self.everywhere, name, decides, place, grants.collect::<Vec<_>>())))
    }
}

fn too_many(ctx: &Ctx<'_>, name: &str, too_complex: TooComplex, sink: &mut Sink) {
    let place = ctx.policy.connections.iter().find(|connection| connection.head.name.value == name);
    if let Some(place) = place {
        sink.push(
            Diagnostic::new(Code::P0008, place.head.name.span, format!("`{name}`: {too_complex}"))
                .help("use fewer or simpler patterns in the rules of this connection"),
        );
    }
}

/// Somebody who certainly holds a grant.
#[derive(Debug)]
pub(super) struct Holding {
    pub(super) who: Person,
    pub(super) seat: Seat,
    /// The grants that it takes nothing less to hold.
    pub(super) least: BTreeSet<usize>,
    /// What each grant offers, without break-glass and without what reaches nothing.
    pub(super) offers: BTreeMap<usize, Vec<Piece>>,
}

impl Holding {
    /// What a grant offers.
    pub(super) fn pieces(&self, grant: usize) -> &[Piece] {
        self.offers.get(&grant).map_or(&[], Vec::as_slice)
    }

    /// Where a grant offers something.
    pub(super) fn region(&self, grant: usize, none: &Bits) -> Bits {
        self.pieces(grant).iter().fold(none.clone(), |all, piece| all.or(&piece.region))
    }
}

/// The grants of a connection.
pub(super) struct Rivals<'a, 'r> {
    pub(super) ctx: &'a Ctx<'r>,
    pub(super) estate: &'a Estate<'r>,
    pub(super) at: &'a At<'r>,
    /// Where something is reached.
    pub(super) reach: Bits,
    /// The grants that are judged, as the author wrote them.
    pub(super) models: BTreeMap<usize, (GrantId, &'a Grant)>,
    pub(super) holdings: Vec<Holding>,
}

impl<'a, 'r> Rivals<'a, 'r> {
    fn new(
        ctx: &'a Ctx<'r>,
        estate: &'a Estate<'r>,
        at: &'a At<'r>,
        by_name: &BTreeMap<&str, (GrantId, &'a Grant)>,
    ) -> Self {
        let rows = at.side.grants.iter().enumerate();
        let models = rows
            .filter_map(|(index, row)| Some((index, *by_name.get(row.grant.id.as_str())?)))
            .filter(|(_, (_, model))| !model.is_break_glass() && !model.head.broken)
            .collect();
        let mut rivals = Self { ctx, estate, at, reach: at.cells.reaching(), models, holdings: Vec::new() };
        rivals.hold();
        rivals
    }

    /// Everybody who certainly holds one of the grants, and what they hold.
    fn hold(&mut self) {
        let mut position: BTreeMap<Person, usize> = BTreeMap::new();
        for index in self.models.keys() {
            let Some(row) = self.at.side.grants.get(*index) else { continue };
            for (who, seat) in self.estate.seats(&row.to, &self.estate.anybody()) {
                let next = self.holdings.len();
                let place = *position.entry(who.clone()).or_insert(next);
                if place == next {
                    let mut offers: BTreeMap<usize, Vec<Piece>> = BTreeMap::new();
                    for mut piece in self.at.side.offers_to(&seat) {
                        piece.region.keep(&self.reach);
                        if piece.offer.glass.is_none() && !piece.region.is_empty() {
                            offers.entry(piece.grant).or_default().push(piece);
                        }
                    }
                    self.holdings.push(Holding { who, seat, least: BTreeSet::new(), offers });
                }
                if let Some(holding) = self.holdings.get_mut(place) {
                    holding.least.insert(*index);
                }
            }
        }
    }

    fn judge(&self, sink: &mut Sink) {
        let (mut superfluous, mut settled) = (BTreeSet::new(), BTreeSet::new());
        for (index, (_, model)) in &self.models {
            let mut held = self.of(*index).peekable();
            if held.peek().is_none() {
                // Nobody can be in its groups: other rules say so.
                continue;
            }
            if held.all(|holding| holding.pieces(*index).is_empty()) {
                p0413::dead(self, *index, model, sink);
                continue;
            }
            p0413::partly(self, *index, model, sink);
            match p0410::judge(self, *index, model, sink) {
                Some(Severity::Error) => settled.insert(*index),
                Some(Severity::Warning | Severity::Info) => superfluous.insert(*index),
                None => continue,
            };
        }
        let conflicts = p0401::judge(self, &settled, sink);
        superfluous.extend(settled);
        p0412::judge(self, &superfluous, &conflicts, sink);
    }

    /// Everybody whom it takes nothing less to hold a grant.
    pub(super) fn of(&self, grant: usize) -> impl Iterator<Item = &Holding> {
        self.holdings.iter().filter(move |holding| holding.least.contains(&grant))
    }

    /// The pairs of grants that somebody certainly holds together, the lesser position first.
    pub(super) fn pairs(&self) -> BTreeSet<(usize, usize)> {
        let mut pairs = BTreeSet::new();
        for holding in &self.holdings {
            for own in &holding.least {
                for other in holding.offers.keys().filter(|other| *other != own && self.models.contains_key(other)) {
                    pairs.insert((*own.min(other), *own.max(other)));
                }
            }
        }
        pairs
    }

    /// Whether one of two grants names the other with `beside`.
    pub(super) fn are_meant(&self, a: usize, b: usize) -> bool {
        let names = |one: usize, other: usize| {
            let (Some((_, model)), Some((id, _))) = (self.models.get(&one), self.models.get(&other)) else {
                return false;
            };
            model.beside.iter().any(|beside| beside.value == *id)
        };
        names(a, b) || names(b, a)
    }

    /// The id of a grant.
    pub(super) fn id(&self, grant: usize) -> &'r str {
        self.at.side.grants.get(grant).map_or("", |row| row.grant.id.as_str())
    }

    /// The order of what grants offer.
    pub(super) fn order(&self) -> Order<'_> {
        let own = self.approvers();
        Order { people: &self.estate.people, left: own, right: own }
    }

    fn approvers(&self) -> Approvers<'_> {
        Approvers { rules: self.estate.program.rules(), view: 0 }
    }

    /// Whether everybody has all that a grant gives under other grants as well, those in `except` left out.
    pub(super) fn is_covered(&self, grant: usize, except: &BTreeSet<usize>) -> bool {
        let own = self.approvers();
        let versus = Versus {
            people: &self.estate.people,
            cells: &self.at.cells,
            more: Some(&self.at.side),
            less: Some(&self.at.side),
            approvers: (own, own),
            except: Some(except),
            kept: None,
        };
        versus.gains_under(grant).iter().all(|gain| !gain.region.meets(&self.reach))
    }

    /// The alternative of a grant by which somebody holds it, the most demanding one.
    pub(super) fn alternative<'g>(&self, grant: &'g Grant, seat: &Seat) -> Option<&'g Principal> {
        let people: &People = &self.estate.people;
        let held = |one: &&Principal| {
            one.kind.is_none_or(|kind| kind == seat.kind)
                && one.groups.iter().all(|group| {
                    people.group(0, self.ctx.group_name(*group)).is_some_and(|group| seat.held.contains(group))
                })
        };
        grant.to.iter().filter(held).rev().max_by_key(|one| (one.groups.len(), one.kind.is_some()))
    }

    /// A request of somebody in a region, when the decision says of it what the analysis says.
    pub(super) fn witness(&self, holding: &Holding, region: &Bits) -> Option<String> {
        let cell = region.first()?;
        let point = self.at.cells.point(cell)?;
        let people = &self.estate.people;
        witness::verify(&self.at.side, people, &self.at.cells, &holding.who, cell).ok()?;
        Some(witness::show(self.estate.program, people, 0, &holding.who, &self.at.side.connection.name, &point))
    }
}
