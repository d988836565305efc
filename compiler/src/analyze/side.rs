//! One revision's rules at one connection, as regions over its cells: who is offered what where. Decides the same as
//! `lang::program::decide`, for all cells at once; the two are compared at every witness and by the property tests.

use super::{
    bits::Bits,
    cells::Cells,
    local::Local,
    offer::Offer,
    people::{People, Person, Seat},
    sight::Sight,
};
use lang::{
    program::{
        GroupSet, Object, Program, SubjectKind, Terms, argv_matches,
        rules::{Connection, Forbid, Grant, Guard, Limits, Mask, Mode, Principal, RuleId, RuleKind, To},
    },
    time::{Hours, Timestamp, Valid, Zone},
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// For how many people a side keeps what they are offered; others are looked at each time.
const KNOWN_MAX: usize = 4_096;

/// An alternative of `to` over a revision's groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// Groups; all are needed.
    pub groups: GroupSet,
    /// The kind, when the line names one.
    pub kind: Option<SubjectKind>,
}

impl Alternative {
    /// The alternatives of a revision's `to`.
    pub fn all(people: &People, view: usize, to: &[Principal]) -> Vec<Self> {
        to.iter().map(|one| Self { groups: people.groups(view, &one.groups), kind: one.kind }).collect()
    }

    /// Whether somebody matches it.
    pub fn matches(&self, seat: &Seat) -> bool {
        self.kind.is_none_or(|kind| kind == seat.kind) && self.groups.is_subset(&seat.held)
    }
}

/// Whom a rule concerns; `None` is everybody.
type Whom = Option<Vec<Alternative>>;

fn concerns(whom: &Whom, seat: &Seat) -> bool {
    whom.as_ref().is_none_or(|any| any.iter().any(|one| one.matches(seat)))
}

/// A grant on the cells.
#[derive(Debug)]
pub struct GrantRow<'r> {
    /// The rule.
    pub grant: &'r Grant,
    /// To whom.
    pub to: Vec<Alternative>,
    /// Where it permits something, before obligations.
    pub region: Bits,
    terms: Arc<Terms>,
}

/// A restriction on the cells.
#[derive(Debug)]
pub struct Restriction<'r> {
    /// The rule.
    pub rule: Rule<'r>,
    /// Whom it concerns; `None` is everybody.
    pub whom: Whom,
    /// Where it refuses.
    deny: Bits,
    /// Where a guard applies at all.
    applies: Bits,
    reviews: Vec<(Bits, String)>,
}

/// The rules that restrict.
#[derive(Clone, Copy, Debug)]
pub enum Rule<'r> {
    /// `forbid`.
    Forbid(&'r Forbid),
    /// `guard`.
    Guard(&'r Guard),
    /// `limits`.
    Limits(&'r Limits),
    /// `mask`.
    Mask(&'r Mask),
}

impl Rule<'_> {
    /// Its name.
    pub fn id(&self) -> RuleId {
        match self {
            Self::Forbid(rule) => RuleId::new(RuleKind::Forbid, &rule.name),
            Self::Guard(rule) => RuleId::new(RuleKind::Guard, &rule.name),
            Self::Limits(rule) => RuleId::new(RuleKind::Limits, &rule.name),
            Self::Mask(rule) => RuleId::new(RuleKind::Mask, &rule.name),
        }
    }
}

/// What a grant offers on some cells.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The position of the grant among the side's grants.
    pub grant: usize,
    /// The cells.
    pub region: Bits,
    /// What it offers there.
    pub offer: Offer,
}

/// One revision at one connection.
#[derive(Debug)]
pub struct Side<'r> {
    /// The revision's position among the people.
    pub view: usize,
    /// The revision.
    pub program: &'r Program,
    /// The connection.
    pub connection: &'r Connection,
    /// Its grants, by id.
    pub grants: Vec<GrantRow<'r>>,
    /// What restricts them.
    pub restrictions: Vec<Restriction<'r>>,
    everywhere: Bits,
    by_object: Vec<Bits>,
    objects: Vec<Object>,
    /// What people are offered who were asked about: a search comes back to the same ones again and again.
    known: Mutex<BTreeMap<Person, Arc<[Piece]>>>,
}

impl<'r> Side<'r> {
    /// A revision's rules at a connection.
    pub fn new(view: usize, program: &'r Program, local: &Local<'r>, cells: &Cells, people: &People) -> Self {
        let build = Build { local, cells, people, view, zone: program.zone() };
        Self {
            view,
            program,
            connection: local.connection,
            grants: build.grants(),
            restrictions: build.restrictions(),
            everywhere: cells.all(),
            by_object: (0..cells.objects().len()).map(|object| cells.of_object(object)).collect(),
            objects: cells.objects().to_vec(),
            known: Mutex::default(),
        }
    }

    /// Everything that somebody is offered here, in pieces of equal terms; nothing when the token is refused. `people`
    /// are those whom the side was made for.
    pub fn offers(&self, people: &People, person: &Person) -> Arc<[Piece]> {
        if let Ok(known) = self.known.lock()
            && let Some(pieces) = known.get(person)
        {
            return Arc::clone(pieces);
        }
        let pieces = people.seat(self.view, person).map_or_else(Vec::new, |seat| self.offers_to(&seat));
        let pieces: Arc<[Piece]> = pieces.into();
        if let Ok(mut known) = self.known.lock()
            && known.len() < KNOWN_MAX
        {
            known.insert(person.clone(), Arc::clone(&pieces));
        }
        pieces
    }

    /// Everything that a seat is offered here.
    pub fn offers_to(&self, seat: &Seat) -> Vec<Piece> {
        let concerned = |row: &GrantRow<'_>| row.to.iter().any(|one| one.matches(seat));
        let mut rows = self.grants.iter().enumerate().filter(|(_, row)| concerned(row)).peekable();
        if rows.peek().is_none() {
            return Vec::new();
        }
        let matched: Vec<&Restriction<'r>> = self.restrictions.iter().filter(|one| concerns(&one.whom, seat)).collect();
        let mut open = self.everywhere.clone();
        for one in &matched {
            open.remove(&one.deny);
        }
        rows.flat_map(|(at, row)| self.pieces(at, row, &matched, &open, seat.kind)).collect()
    }

    fn pieces(
        &self,
        at: usize,
        row: &GrantRow<'r>,
        matched: &[&Restriction<'r>],
        open: &Bits,
        kind: SubjectKind,
    ) -> Vec<Piece> {
        let mut terms = Arc::clone(&row.terms);
        for restriction in matched {
            if let Rule::Limits(limits) = restriction.rule {
                if limits.standing_denied && row.grant.mode == Mode::Standing {
                    return Vec::new();
                }
                Arc::make_mut(&mut terms).meet(limits, kind);
            }
        }
        if row.grant.break_glass.as_ref().is_some_and(|glass| glass.waives_approval) {
            Arc::make_mut(&mut terms).approvals.clear();
        }
        let region = row.region.and(open);
        if region.is_empty() {
            return Vec::new();
        }
        let offer = Offer {
            terms,
            glass: row.grant.break_glass.clone().map(Arc::new),
            reviews: BTreeSet::new(),
            rows: None,
            seconds: None,
            bytes: None,
            sight: Arc::default(),
        };
        let mut pieces = vec![Piece { grant: at, region, offer }];
        for restriction in matched {
            if let Rule::Guard(guard) = restriction.rule {
                split_by_guard(&mut pieces, restriction, guard);
            }
        }
        self.split_by_masks(pieces, row.grant, matched)
    }

    fn split_by_masks(&self, pieces: Vec<Piece>, grant: &Grant, matched: &[&Restriction<'r>]) -> Vec<Piece> {
        let masks: Vec<&Mask> = matched
            .iter()
            .filter_map(|one| match one.rule {
                Rule::Mask(mask) => Some(mask),
                Rule::Forbid(_) | Rule::Guard(_) | Rule::Limits(_) => None,
            })
            .collect();
        if masks.is_empty() {
            return pieces;
        }
        let mut sights: BTreeMap<Sight, Bits> = BTreeMap::new();
        for (object, cells) in self.objects.iter().zip(&self.by_object) {
            let sight = Sight::of(&masks, grant, self.connection, object);
            sights.entry(sight).and_modify(|region| region.add(cells)).or_insert_with(|| cells.clone());
        }
        let sights: Vec<(Arc<Sight>, Bits)> =
            sights.into_iter().map(|(sight, cells)| (Arc::new(sight), cells)).collect();
        let mut split = Vec::new();
        for piece in pieces {
            for (sight, cells) in &sights {
                let region = piece.region.and(cells);
                if !region.is_empty() {
                    let offer = Offer { sight: Arc::clone(sight), ..piece.offer.clone() };
                    split.push(Piece { grant: piece.grant, region, offer });
                }
            }
        }
        split
    }

    /// Every cell in which something can happen.
    pub const fn everywhere(&self) -> &Bits {
        &self.everywhere
    }

    /// The position of the grant with this id.
    pub fn grant(&self, id: &str) -> Option<usize> {
        self.grants.iter().position(|row| row.grant.id == id)
    }
}

/// Splits the pieces where a guard adds something, and adds it there.
fn split_by_guard(pieces: &mut Vec<Piece>, restriction: &Restriction<'_>, guard: &Guard) {
    if guard.rows.is_some() || guard.seconds.is_some() || guard.bytes.is_some() {
        split(pieces, &restriction.applies, |offer| {
            let tighter = |own: Option<u64>, other: Option<u64>| own.into_iter().chain(other).min();
            offer.rows = tighter(offer.rows, guard.rows);
            offer.seconds = tighter(offer.seconds, guard.seconds);
            offer.bytes = tighter(offer.bytes, guard.bytes);
        });
    }
    for (region, by) in &restriction.reviews {
        split(pieces, region, |offer| {
            offer.reviews.insert(by.clone());
        });
    }
}

fn split(pieces: &mut Vec<Piece>, region: &Bits, change: impl Fn(&mut Offer)) {
    let mut next = Vec::with_capacity(pieces.len());
    for piece in pieces.drain(..) {
        let inside = piece.region.and(region);
        if inside.is_empty() {
            next.push(piece);
            continue;
        }
        let outside = piece.region.minus(region);
        let mut offer = piece.offer.clone();
        change(&mut offer);
        if !outside.is_empty() {
            next.push(Piece { grant: piece.grant, region: outside, offer: piece.offer });
        }
        next.push(Piece { grant: piece.grant, region: inside, offer });
    }
    *pieces = next;
}

struct Build<'a, 'r> {
    local: &'a Local<'r>,
    cells: &'a Cells,
    people: &'a People,
    view: usize,
    zone: &'a Zone,
}

impl<'r> Build<'_, 'r> {
    fn alternatives(&self, to: &[Principal]) -> Vec<Alternative> {
        Alternative::all(self.people, self.view, to)
    }

    fn whom(&self, to: &To) -> Whom {
        match to {
            To::Everybody => None,
            To::Any(any) => Some(self.alternatives(any)),
        }
    }

    fn when<'t>(&'t self, hours: Option<&'t Hours>, valid: Option<&'t Valid>) -> impl Fn(Timestamp) -> bool + 't {
        move |at| {
            hours.is_none_or(|hours| hours.contains(at, self.zone))
                && valid.is_none_or(|valid| valid.contains(at, self.zone))
        }
    }

    fn grants(&self) -> Vec<GrantRow<'r>> {
        let own = self.local.grants.iter();
        own.map(|grant| GrantRow {
            grant,
            to: self.alternatives(&grant.to),
            region: self.cells.covered(
                grant.permit,
                &grant.scope,
                self.when(grant.hours.as_ref(), grant.valid.as_ref()),
            ),
            terms: Arc::new(Terms::of(grant)),
        })
        .collect()
    }

    fn restrictions(&self) -> Vec<Restriction<'r>> {
        let forbids = self.local.forbids.iter().map(|rule| self.forbid(rule));
        let limits = self.local.limits.iter().map(|rule| self.limits(rule));
        let guards = self.local.guards.iter().map(|rule| self.guard(rule));
        let masks = self.local.masks.iter();
        let masks = masks.map(|rule| self.plain(Rule::Mask(rule), self.whom(&rule.to), self.cells.none()));
        forbids.chain(limits).chain(guards).chain(masks).collect()
    }

    fn plain(&self, rule: Rule<'r>, whom: Whom, deny: Bits) -> Restriction<'r> {
        Restriction { rule, whom, deny, applies: self.cells.none(), reviews: Vec::new() }
    }

    fn forbid(&self, rule: &'r Forbid) -> Restriction<'r> {
        let deny = self.cells.region(|_, _| true, self.when(rule.hours.as_ref(), rule.valid.as_ref()));
        self.plain(Rule::Forbid(rule), Some(self.alternatives(&rule.to)), deny)
    }

    fn limits(&self, rule: &'r Limits) -> Restriction<'r> {
        let deny = match &rule.hours {
            None => self.cells.none(),
            Some(hours) => self.cells.region(|_, _| true, |at| !hours.contains(at, self.zone)),
        };
        self.plain(Rule::Limits(rule), self.whom(&rule.to), deny)
    }

    fn guard(&self, rule: &'r Guard) -> Restriction<'r> {
        let when = self.when(rule.hours.as_ref(), None);
        let applies = self.cells.region(|_, _| true, &when);
        let mut deny = self.cells.none();
        for region in &rule.blocks {
            deny.add(&self.cells.concerned(region.ops, &region.scope, &when));
        }
        if !rule.only.is_empty() {
            let mut outside = applies.clone();
            for region in &rule.only {
                outside.remove(&self.cells.covered(region.ops, &region.scope, &when));
            }
            deny.add(&outside);
        }
        if !rule.argv.is_empty() {
            let refused = |object: &Object| match object {
                Object::Argv(argv) => !rule.argv.iter().any(|pattern| argv_matches(pattern, argv)),
                Object::Nothing | Object::Table { .. } | Object::Kubernetes { .. } | Object::Path(_) => false,
            };
            deny.add(&self.cells.region(|_, object| refused(object), &when));
        }
        let reviews = rule
            .reviews
            .iter()
            .map(|review| (self.cells.concerned(review.region.ops, &review.region.scope, &when), review.by.clone()))
            .collect();
        Restriction { rule: Rule::Guard(rule), whom: self.whom(&rule.to), deny, applies, reviews }
    }
}

impl Restriction<'_> {
    /// Whether it concerns somebody.
    pub fn concerns(&self, seat: &Seat) -> bool {
        concerns(&self.whom, seat)
    }

    /// Whom it concerns, when not everybody.
    pub fn alternatives(&self) -> &[Alternative] {
        self.whom.as_deref().unwrap_or_default()
    }

    /// Whether it refuses a cell.
    pub fn denies(&self, cell: usize) -> bool {
        self.deny.contains(cell)
    }

    /// Where it refuses.
    pub const fn deny(&self) -> &Bits {
        &self.deny
    }
}

impl<'r> Side<'r> {
    /// What is left of a piece when one more restriction applies, in pieces.
    pub fn under(&self, restriction: &Restriction<'r>, piece: &Piece, kind: SubjectKind) -> Vec<Piece> {
        let Some(row) = self.grants.get(piece.grant) else { return Vec::new() };
        let mut left = piece.clone();
        left.region.remove(&restriction.deny);
        if left.region.is_empty() {
            return Vec::new();
        }
        match restriction.rule {
            Rule::Forbid(_) => vec![left],
            Rule::Limits(limits) => {
                if limits.standing_denied && row.grant.mode == Mode::Standing {
                    return Vec::new();
                }
                let terms = Arc::make_mut(&mut left.offer.terms);
                terms.meet(limits, kind);
                if row.grant.break_glass.as_ref().is_some_and(|glass| glass.waives_approval) {
                    terms.approvals.clear();
                }
                vec![left]
            }
            Rule::Guard(guard) => {
                let mut pieces = vec![left];
                split_by_guard(&mut pieces, restriction, guard);
                pieces
            }
            Rule::Mask(mask) => {
                let mut pieces = Vec::new();
                for (object, cells) in self.objects.iter().zip(&self.by_object) {
                    let region = left.region.and(cells);
                    if !region.is_empty() {
                        let sight = left.offer.sight.with(&Sight::of(&[mask], row.grant, self.connection, object));
                        let offer = Offer { sight: Arc::new(sight), ..left.offer.clone() };
                        pieces.push(Piece { grant: left.grant, region, offer });
                    }
                }
                pieces
            }
        }
    }
}
