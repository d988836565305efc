//! What one side permits more than another: for which people, in which cells, under which terms. Exact by the
//! small-model theorem: whoever gains something shows it already with the principals of one grant's alternative, and
//! of those rules of the other side that keep its grants from covering it.
//!
//! The rules of the other side are joined one by one: as long as one of its grants covers a cell, whoever gains that
//! cell must fall under a rule that takes it from that grant. On every axis one rule suffices, so the search finds
//! all of them, and looks at no rule that changes nothing.

use super::{
    approvals::Approvers,
    bits::Bits,
    cells::Cells,
    offer::{Axis, Offer, Order},
    people::{People, Person, Seat},
    side::{Piece, Side},
};
use lang::program::SubjectKind;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Somebody, and what they gain under one grant.
#[derive(Clone, Debug)]
pub struct Gain {
    /// Who: the fewest principals that show it.
    pub who: Person,
    /// The position of the grant among the gaining side's grants.
    pub grant: usize,
    /// The cells.
    pub region: Bits,
    /// What is offered there.
    pub offer: Offer,
    /// The axes on which it is more than anything that the other side offers there.
    pub axes: BTreeSet<Axis>,
}

/// Both sides of a comparison at one connection.
#[derive(Clone, Copy, Debug)]
pub struct Versus<'a, 'r> {
    /// Everybody.
    pub people: &'a People,
    /// The cells.
    pub cells: &'a Cells,
    /// The side that may permit more; `None` where the connection does not exist.
    pub more: Option<&'a Side<'r>>,
    /// The side that may permit less.
    pub less: Option<&'a Side<'r>>,
    /// The tables of both sides, the gaining one first.
    pub approvers: (Approvers<'a>, Approvers<'a>),
    /// Grants of the lesser side that do not count, and break-glass with them: both sides are then one revision.
    pub except: Option<&'a BTreeSet<usize>>,
    /// Grants of the gaining side which the other side has word for word, where both sides see everybody alike and
    /// restrict them alike: whatever one of these gives, its twin gives.
    pub kept: Option<&'a BTreeSet<usize>>,
}

/// A subject of the search: somebody, and the cells that are still to be gained.
struct Node {
    who: Person,
    open: Bits,
}

impl<'r> Versus<'_, 'r> {
    fn order(&self) -> Order<'_> {
        Order { people: self.people, left: self.approvers.0, right: self.approvers.1 }
    }

    /// Everything that the one side permits more, at the people who show it.
    pub fn gains(&self) -> Vec<Gain> {
        let Some(more) = self.more else { return Vec::new() };
        (0..more.grants.len()).filter(|grant| !self.keeps(*grant)).flat_map(|grant| self.gains_under(grant)).collect()
    }

    /// Everything that one grant permits more.
    pub fn gains_under(&self, grant: usize) -> Vec<Gain> {
        let Some((more, row)) = self.more.and_then(|more| Some((more, more.grants.get(grant)?))) else {
            return Vec::new();
        };
        let mut found = Found::default();
        for seed in self.people.seeds() {
            for alternative in &row.to {
                for who in self.people.joined(more.view, seed, &alternative.groups) {
                    if self.agrees(seed, &who) {
                        self.explore(grant, Node { who, open: more.everywhere().clone() }, &mut found);
                    }
                }
            }
        }
        found.gains
    }

    fn keeps(&self, grant: usize) -> bool {
        self.kept.is_some_and(|kept| kept.contains(&grant))
    }

    /// What the lesser side offers somebody.
    fn theirs(&self, who: &Person) -> Arc<[Piece]> {
        self.less.map_or_else(|| Arc::from([]), |less| less.offers(self.people, who))
    }

    /// Whether what the lesser side offers counts.
    fn counts(&self, piece: &Piece) -> bool {
        self.except.is_none_or(|except| !except.contains(&piece.grant) && piece.offer.glass.is_none())
    }

    fn kinds(&self, who: &Person) -> [Option<SubjectKind>; 2] {
        [self.approvers.0.view, self.approvers.1.view].map(|view| self.people.kind(view, who))
    }

    /// Whether the kinds are still those that the search began with: others begin elsewhere.
    fn agrees(&self, seed: &Person, who: &Person) -> bool {
        self.kinds(seed) == self.kinds(who)
    }

    fn explore(&self, grant: usize, node: Node, found: &mut Found) {
        let Some(more) = self.more else { return };
        let mut open = vec![node];
        while let Some(Node { who, open: wanted }) = open.pop() {
            let (wanted, first) = found.unvisited(grant, &who, wanted);
            if wanted.is_empty() {
                continue;
            }
            let mine = more.offers(self.people, &who);
            let mut mine = mine.iter().filter(|piece| piece.grant == grant).peekable();
            if mine.peek().is_none() {
                continue;
            }
            let theirs = self.theirs(&who);
            let theirs: Vec<&Piece> = theirs.iter().filter(|piece| self.counts(piece)).collect();
            for piece in mine {
                let (gained, covered) = self.against(piece, &theirs);
                if first && !gained.is_empty() {
                    found.gains.extend(self.parted(&who, piece, &gained, &theirs));
                }
                for (other, region) in covered {
                    let region = region.and(&wanted);
                    if !region.is_empty() {
                        open.extend(self.joined(&who, &piece.offer, other, &region));
                    }
                }
            }
        }
    }

    /// The cells of a piece that nothing covers, and those that something covers, by one that does.
    fn against<'p>(&self, piece: &Piece, theirs: &[&'p Piece]) -> (Bits, Vec<(&'p Piece, Bits)>) {
        let mut rest = piece.region.clone();
        let mut covered = Vec::new();
        for other in theirs {
            let common = rest.and(&other.region);
            if !common.is_empty() && self.order().covered(&piece.offer, &other.offer) {
                rest.remove(&common);
                covered.push((*other, common));
            }
        }
        (rest, covered)
    }

    /// What somebody gains by a piece, in two: where nothing was offered, and where it was under other terms.
    fn parted(&self, who: &Person, piece: &Piece, gained: &Bits, theirs: &[&Piece]) -> Vec<Gain> {
        // Breaking the glass is no substitute for access without it.
        let alike = |other: &&Piece| piece.offer.glass.is_some() || other.offer.glass.is_none();
        let theirs: Vec<&Piece> = theirs.iter().copied().filter(alike).collect();
        let mut fresh = gained.clone();
        for other in &theirs {
            fresh.remove(&other.region);
        }
        let mut known = gained.clone();
        known.remove(&fresh);
        let parts = [fresh, known].into_iter().filter(|region| !region.is_empty());
        let gain = |region: Bits| Gain {
            who: who.clone(),
            grant: piece.grant,
            axes: self.axes(piece, &region, &theirs),
            offer: piece.offer.clone(),
            region,
        };
        parts.map(gain).collect()
    }

    /// The axes on which a piece is more than the best that is offered on these cells otherwise.
    fn axes(&self, piece: &Piece, gained: &Bits, theirs: &[&Piece]) -> BTreeSet<Axis> {
        let mut axes = BTreeSet::new();
        let mut rest = gained.clone();
        let mut order: Vec<(BTreeSet<Axis>, &Piece)> =
            theirs.iter().map(|other| (self.order().wider(&piece.offer, &other.offer), *other)).collect();
        order.sort_by_key(|(axes, _)| axes.len());
        for (wider, other) in order {
            if rest.meets(&other.region) {
                axes.extend(wider);
                rest.remove(&other.region);
            }
        }
        if !rest.is_empty() {
            axes.insert(Axis::Access);
        }
        axes
    }

    /// Everybody who asserts a little more and falls under a rule that keeps `other` from covering some cells.
    fn joined(&self, who: &Person, offer: &Offer, other: &Piece, region: &Bits) -> Vec<Node> {
        let Some(less) = self.less else { return Vec::new() };
        let Some(seat) = self.people.kind_and_groups(less.view, who) else { return Vec::new() };
        let mut next = Vec::new();
        for restriction in &less.restrictions {
            let Some(killed) = self.killed(less, restriction, other, offer, &seat) else { continue };
            let killed = killed.and(region);
            if killed.is_empty() {
                continue;
            }
            for alternative in restriction.alternatives() {
                if alternative.kind.is_some_and(|kind| kind != seat.kind) || alternative.groups.is_subset(&seat.held) {
                    continue;
                }
                for more in self.people.joined(less.view, who, &alternative.groups) {
                    next.push(Node { who: more, open: killed.clone() });
                }
            }
        }
        let (more, less) = (self.approvers.0.view, self.approvers.1.view);
        let refused = self.people.refused(who, less, more);
        next.extend(refused.into_iter().map(|who| Node { who, open: region.clone() }));
        next.retain(|node| self.agrees(who, &node.who));
        next
    }

    /// Where a rule that does not apply yet would keep a piece of the lesser side from covering an offer.
    fn killed(
        &self,
        less: &Side<'r>,
        restriction: &super::side::Restriction<'r>,
        other: &Piece,
        offer: &Offer,
        seat: &Seat,
    ) -> Option<Bits> {
        if restriction.concerns(seat) {
            return None;
        }
        let left = less.under(restriction, other, seat.kind);
        let mut killed = other.region.clone();
        for piece in left {
            if self.order().covered(offer, &piece.offer) {
                killed.remove(&piece.region);
            }
        }
        Some(killed)
    }

    /// What one session of the one side holds together, and no single session of the other: cells at one instant
    /// that are each permitted on both sides under no lesser terms, but not by one grant of the other.
    pub fn sessions(&self) -> Vec<Gain> {
        let (Some(more), Some(less)) = (self.more, self.less) else { return Vec::new() };
        if less.grants.len() < 2 {
            return Vec::new();
        }
        let mut found = Found::default();
        for (at, row) in more.grants.iter().enumerate().filter(|(at, _)| !self.keeps(*at)) {
            for seed in self.people.seeds() {
                for alternative in &row.to {
                    for who in self.people.joined(more.view, seed, &alternative.groups) {
                        if self.agrees(seed, &who) {
                            self.explore_sessions(at, who, &mut found);
                        }
                    }
                }
            }
        }
        found.gains
    }

    fn explore_sessions(&self, grant: usize, start: Person, found: &mut Found) {
        let (Some(more), Some(less)) = (self.more, self.less) else { return };
        let mut open = vec![Node { who: start, open: more.everywhere().clone() }];
        while let Some(Node { who, open: wanted }) = open.pop() {
            let (wanted, first) = found.unvisited(grant, &who, wanted);
            if wanted.is_empty() {
                continue;
            }
            let mine = more.offers(self.people, &who);
            let mine: Vec<&Piece> = mine.iter().filter(|piece| piece.grant == grant).collect();
            let theirs = less.offers(self.people, &who);
            let theirs: Vec<&Piece> = theirs.iter().collect();
            for time in 0..self.cells.times().len() {
                let now = self.cells.of_time(time);
                if !now.meets(&wanted) {
                    continue;
                }
                let held = mine.iter().fold(self.cells.none(), |held, piece| held.or(&piece.region.and(&now)));
                if held.is_empty() {
                    continue;
                }
                let whole = (0..less.grants.len()).find(|other| {
                    let mut rest = held.clone();
                    for piece in &mine {
                        for own in theirs.iter().filter(|own| own.grant == *other) {
                            if self.order().covered(&piece.offer, &own.offer) {
                                rest.remove(&piece.region.and(&own.region));
                            }
                        }
                    }
                    rest.is_empty()
                });
                match whole {
                    None => {
                        // Cell by cell nothing is gained, or it is a gain of another kind.
                        let single = mine.iter().all(|piece| {
                            let (gained, _) = self.against(piece, &theirs);
                            !gained.meets(&now)
                        });
                        if first
                            && single
                            && let Some(piece) = mine.iter().find(|piece| piece.region.meets(&now))
                        {
                            found.gains.push(Gain {
                                who: who.clone(),
                                grant,
                                region: held,
                                offer: piece.offer.clone(),
                                axes: BTreeSet::from([Axis::Session]),
                            });
                        }
                    }
                    Some(other) => {
                        for own in theirs.iter().filter(|own| own.grant == other) {
                            for piece in &mine {
                                let region = piece.region.and(&own.region).and(&now);
                                if !region.is_empty() {
                                    let next = self.joined(&who, &piece.offer, own, &region);
                                    open.extend(next.into_iter().map(|node| Node { who: node.who, open: now.clone() }));
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Everything that somebody gains, cell by cell.
    pub fn gains_of(&self, who: &Person) -> Vec<Gain> {
        let Some(more) = self.more else { return Vec::new() };
        let theirs = self.less.map_or_else(|| Arc::from([]), |less| less.offers(self.people, who));
        let theirs: Vec<&Piece> = theirs.iter().collect();
        let mut gains = Vec::new();
        for piece in more.offers(self.people, who).iter() {
            let (region, _) = self.against(piece, &theirs);
            if !region.is_empty() {
                gains.extend(self.parted(who, piece, &region, &theirs));
            }
        }
        gains
    }
}

/// What the search has seen.
#[derive(Default)]
struct Found {
    gains: Vec<Gain>,
    visited: BTreeMap<(usize, Person), Bits>,
}

impl Found {
    /// The cells that somebody was not looked at for yet, and whether they were not looked at for any; the cells
    /// count as looked at from now on.
    fn unvisited(&mut self, grant: usize, who: &Person, wanted: Bits) -> (Bits, bool) {
        if let Some(seen) = self.visited.get_mut(&(grant, who.clone())) {
            let new = wanted.minus(seen);
            seen.add(&wanted);
            return (new, false);
        }
        self.visited.insert((grant, who.clone()), wanted.clone());
        (wanted, true)
    }
}
