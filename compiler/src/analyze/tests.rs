//! The engine against the naive evaluator of [`super::reference`], over small universes in which every token and
//! every request can be looked at: verdicts, regions, witnesses, and the laws that a comparison must obey.
//!
//! A bounded number of universes runs with every `cargo test`; many more with
//! `cargo test --profile fuzz -p compiler --lib analyze::tests::many -- --ignored --nocapture`.

use super::{
    approvals::Approvers,
    bits::Bits,
    cells::Cells,
    choices::OPS,
    laws::laws,
    local,
    offer::{Axis, Order},
    people::{People, Person},
    profile::Profile,
    reference::{At, Given, Reference, Token, Worlds, named},
    search::Versus,
    side::Side,
    universe::{CONNECTION, IDS, random, universe},
    witness,
};
use lang::{
    program::{
        Object, Program, SourceTable,
        rules::{Grant, Rules},
    },
    time::{Timestamp, Ttl, Valid},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

fn start() -> Timestamp {
    Timestamp::parse_rfc3339("2026-05-04T10:00:00Z").unwrap()
}

/// Two revisions under one engine.
struct Pair {
    old: Program,
    new: Program,
    people: People,
    cells: Cells,
}

impl Pair {
    fn new(old: &Rules, new: &Rules) -> Self {
        let old = Program::new(old.clone(), SourceTable::default()).unwrap();
        let new = Program::new(new.clone(), SourceTable::default()).unwrap();
        let people = People::new(&[old.rules(), new.rules()]);
        let (before, after) = (old.rules_at(CONNECTION).unwrap(), new.rules_at(CONNECTION).unwrap());
        let cells = Cells::new(&[&before, &after], new.zone(), start()).unwrap();
        Self { old, new, people, cells }
    }

    fn sides(&self) -> (Side<'_>, Side<'_>) {
        let (before, after) = (self.old.rules_at(CONNECTION).unwrap(), self.new.rules_at(CONNECTION).unwrap());
        let old = Side::new(0, &self.old, &before, &self.cells, &self.people);
        (old, Side::new(1, &self.new, &after, &self.cells, &self.people))
    }

    /// What one side gives beyond the other.
    fn versus<'a, 'r>(&'a self, more: &'a Side<'r>, less: &'a Side<'r>) -> Versus<'a, 'r> {
        let of = |side: &Side<'r>| Approvers { rules: side.program.rules(), view: side.view };
        Versus {
            people: &self.people,
            cells: &self.cells,
            more: Some(more),
            less: Some(less),
            approvers: (of(more), of(less)),
            except: None,
            kept: None,
        }
    }

    fn token(&self, person: &Person) -> Token {
        Token {
            idp: self.people.provider_name(person).to_owned(),
            kind: person.kind,
            ids: self.people.values(person).into_iter().map(str::to_owned).collect(),
        }
    }
}

/// What the naive evaluator finds in one direction.
#[derive(Default)]
struct Brute {
    /// For each token and grant the cells that are gained.
    gains: BTreeMap<(Person, String), Bits>,
    /// Whether some session holds more together.
    session: bool,
}

fn cases() -> u32 {
    48
}

/// Compares one direction with brute force; returns whether something is gained.
fn one_direction(pair: &Pair, more: &Side<'_>, less: &Side<'_>) -> bool {
    let versus = pair.versus(more, less);
    let brute = brute(pair, more.program.rules(), less.program.rules());
    // Every token: the region that it gains.
    for person in pair.people.everybody() {
        let mut own: BTreeMap<String, Bits> = BTreeMap::new();
        for gain in versus.gains_of(&person) {
            let id = more.grants[gain.grant].grant.id.clone();
            own.entry(id).or_insert_with(|| pair.cells.none()).add(&gain.region);
        }
        for row in &more.grants {
            let id = &row.grant.id;
            let expected = brute.gains.get(&(person.clone(), id.clone()));
            assert_eq!(own.get(id), expected, "{}", explain(pair, (more, less), &person, own.get(id), expected));
        }
    }
    // The search: every cell that anybody gains is found, at somebody who gains it.
    let gains = versus.gains();
    let mut found: BTreeMap<String, Bits> = BTreeMap::new();
    for gain in &gains {
        let id = &more.grants[gain.grant].grant.id;
        let expected = &brute.gains[&(gain.who.clone(), id.clone())];
        assert!(gain.region.is_subset(expected), "{:?} under {id}", pair.token(&gain.who));
        assert!(!gain.axes.is_empty());
        found.entry(id.clone()).or_insert_with(|| pair.cells.none()).add(&gain.region);
        let cell = gain.region.first().unwrap();
        let order = Order { people: &pair.people, left: versus.approvers.0, right: versus.approvers.1 };
        witness::reproduce(&pair.people, &pair.cells, &order, (more, gain.grant), Some(less), &gain.who, cell).unwrap();
    }
    let mut all: BTreeMap<String, Bits> = BTreeMap::new();
    for ((_, id), region) in &brute.gains {
        all.entry(id.clone()).or_insert_with(|| pair.cells.none()).add(region);
    }
    assert_eq!(found, all, "the cells that anybody gains");
    let sessions = versus.sessions();
    assert!(sessions.iter().all(|gain| gain.axes == BTreeSet::from([Axis::Session])));
    let wider = !gains.is_empty() || !sessions.is_empty();
    assert_eq!(wider, !brute.gains.is_empty() || brute.session, "the verdict");
    if gains.is_empty() {
        assert_eq!(!sessions.is_empty(), brute.session, "what one session holds together");
    }
    wider
}

/// Both answers at the first cell on which they differ.
fn explain(
    pair: &Pair,
    (more, less): (&Side<'_>, &Side<'_>),
    person: &Person,
    own: Option<&Bits>,
    expected: Option<&Bits>,
) -> String {
    let none = pair.cells.none();
    let (own, expected) = (own.unwrap_or(&none), expected.unwrap_or(&none));
    let Some(cell) = own.minus(expected).or(&expected.minus(own)).first() else { return String::new() };
    let point = pair.cells.point(cell).unwrap();
    let token = pair.token(person);
    let at = At { connection: CONNECTION, op: point.access.op, object: &point.access.object, instant: point.at };
    let (left, right) = (Reference::new(more.program.rules()), Reference::new(less.program.rules()));
    format!(
        "{token:?} {point:?}\nmore {:?}\nless {:?}\nmore approvals {:?}\nless approvals {:?}\ngroups {:?}\n{:?}",
        left.given(&token, &at),
        right.given(&token, &at),
        left.0.approvals,
        right.0.approvals,
        left.0.groups,
        right.0.groups
    )
}

fn brute(pair: &Pair, m: &Rules, l: &Rules) -> Brute {
    let (left, right) = (Reference::new(m), Reference::new(l));
    let worlds = Worlds::new(m, l, &IDS);
    let mut brute = Brute::default();
    for person in pair.people.everybody() {
        let token = pair.token(&person);
        let Some(mine) = left.subject(&token) else { continue };
        let other = right.subject(&token);
        for instant in pair.cells.times() {
            let mut held: BTreeMap<String, Vec<Vec<Given>>> = BTreeMap::new();
            for op in OPS {
                for object in pair.cells.objects() {
                    let at = At { connection: CONNECTION, op, object, instant: *instant };
                    let theirs = other.as_ref().map_or_else(Vec::new, |other| right.given_to(other, &at));
                    for given in left.given_to(&mine, &at) {
                        let covering: Vec<Given> =
                            theirs.iter().filter(|other| worlds.covered(&given, other)).cloned().collect();
                        if covering.is_empty() {
                            let access = lang::program::Access { op, object: object.clone() };
                            let cell = pair.cells.cell(&access, *instant).unwrap();
                            let key = (person.clone(), given.grant.clone());
                            brute.gains.entry(key).or_insert_with(|| pair.cells.none()).insert(cell);
                        }
                        held.entry(given.grant.clone()).or_default().push(covering);
                    }
                }
            }
            brute.session |= held.values().any(|cells| {
                let single = |id: &String| cells.iter().all(|covering| covering.iter().any(|other| other.grant == *id));
                cells.iter().all(|covering| !covering.is_empty()) && !l.grants.iter().any(|grant| single(&grant.id))
            });
        }
    }
    brute
}

/// Every request of a wider universe is like one of the cells.
fn cells_are_complete(pair: &Pair) {
    let (a, b) = (pair.old.rules(), pair.new.rules());
    let tables: BTreeSet<&String> = [a, b]
        .into_iter()
        .flat_map(|rules| {
            let grants = rules.grants.iter().flat_map(|grant| &grant.scope.tables);
            let guards = rules.guards.iter().flat_map(|guard| {
                let regions = guard.blocks.iter().chain(&guard.only).chain(guard.reviews.iter().map(|r| &r.region));
                regions.flat_map(|region| &region.scope.tables)
            });
            grants.chain(guards).chain(rules.connections.iter().flat_map(|c| c.classified.iter().map(|i| &i.object)))
        })
        .collect();
    let signature = |object: &Object| -> (bool, Vec<bool>) {
        (*object == Object::Nothing, tables.iter().map(|table| named(table, object)).collect())
    };
    let known: BTreeSet<(bool, Vec<bool>)> = pair.cells.objects().iter().map(signature).collect();
    for schema in ["a", "b", "ab", "q", "x"] {
        for name in ["x", "xy", "xyz", "y", "zz", "a"] {
            assert!(known.contains(&signature(&Object::table(schema, name))), "{schema}.{name}");
        }
    }
    let zone = pair.new.zone();
    let moment = |at: Timestamp| -> Vec<bool> {
        [a, b]
            .into_iter()
            .flat_map(|rules| {
                let grants = rules.grants.iter().map(|grant| (grant.hours.as_ref(), grant.valid.as_ref()));
                let forbids = rules.forbids.iter().map(|forbid| (forbid.hours.as_ref(), forbid.valid.as_ref()));
                let limits = rules.limits.iter().map(|limits| (limits.hours.as_ref(), None));
                let guards = rules.guards.iter().map(|guard| (guard.hours.as_ref(), None));
                grants.chain(forbids).chain(limits).chain(guards).collect::<Vec<_>>()
            })
            .flat_map(|(hours, valid)| {
                [hours.is_none_or(|h| h.contains(at, zone)), valid.is_none_or(|v: &Valid| v.contains(at, zone))]
            })
            .collect()
    };
    let known: BTreeSet<Vec<bool>> = pair.cells.times().iter().map(|at| moment(*at)).collect();
    for hour in 0..24 * 14 {
        let at = start().plus(Ttl::from_seconds(3_600 * hour));
        assert!(known.contains(&moment(at)), "{at}");
    }
}

/// Compares the offers of a policy with the decision, for every request of everybody.
pub(super) fn decided(rules: &Rules) {
    let pair = Pair::new(rules, rules);
    decisions_agree(&pair, &pair.sides().0);
}

/// Every cell of every token, against the decision of `lang`.
fn decisions_agree(pair: &Pair, side: &Side<'_>) {
    for person in pair.people.everybody() {
        for op in OPS {
            for object in pair.cells.objects() {
                for at in pair.cells.times() {
                    let access = lang::program::Access { op, object: object.clone() };
                    let cell = pair.cells.cell(&access, *at).unwrap();
                    witness::verify(side, &pair.people, &pair.cells, &person, cell).unwrap();
                }
            }
        }
    }
}

/// Compares two revisions in both directions; returns the verdict.
pub(super) fn compare(old: &Rules, new: &Rules) -> (bool, bool) {
    let pair = Pair::new(old, new);
    let (before, after) = pair.sides();
    (one_direction(&pair, &after, &before), one_direction(&pair, &before, &after))
}

pub(super) fn engine_only(old: &Rules, new: &Rules) -> (bool, bool) {
    let pair = Pair::new(old, new);
    let (before, after) = pair.sides();
    let way = |more: &Side<'_>, less: &Side<'_>| {
        let versus = pair.versus(more, less);
        !versus.gains().is_empty() || !versus.sessions().is_empty()
    };
    (way(&after, &before), way(&before, &after))
}

/// What a comparison passes over because it is the same in both revisions: digests stand for all that the rules say at
/// a connection, and under a grant that was kept nobody gains anything.
fn passing_over_loses_nothing(pair: &Pair) {
    let (before, after) = (pair.old.rules_at(CONNECTION).unwrap(), pair.new.rules_at(CONNECTION).unwrap());
    let decides = |program: &Program| {
        let at = program.rules().connections.iter().position(|connection| connection.name == CONNECTION).unwrap();
        Profile::new(program, &[], 1).decides[at]
    };
    assert_eq!(decides(&pair.old) == decides(&pair.new), local::is_alike(&before, &after));
    let approvals = pair.old.rules().approvals == pair.new.rules().approvals;
    if !approvals || !pair.people.is_alike() || !local::restricts_alike(&before, &after) {
        return;
    }
    let (old, new) = pair.sides();
    for (more, less, kept) in [(&old, &new, local::kept(&before, &after)), (&new, &old, local::kept(&after, &before))] {
        let whole = pair.versus(more, less);
        let short = Versus { kept: Some(&kept), ..whole };
        assert_eq!(format!("{:?}", short.gains()), format!("{:?}", whole.gains()));
        assert_eq!(format!("{:?}", short.sessions()), format!("{:?}", whole.sessions()));
    }
}

/// The old revision with one or two of the new one's rules in the place of its own, so that most is the same.
fn near(old: &Rules, new: &Rules, at: usize) -> Rules {
    let mut near = old.clone();
    if let (Some(own), Some(other)) = (near.grants.first_mut(), new.grants.get(at % new.grants.len().max(1))) {
        *own = Grant { id: own.id.clone(), ..other.clone() };
    }
    if at.is_multiple_of(3) {
        near.guards.clone_from(&new.guards);
    }
    near
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_comparison_agrees_with_brute_force(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let (old, new) = universe(&bytes);
        compare(&old, &new);
        laws(&old, &new);
    }

    #[test]
    fn what_is_the_same_is_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..700), at in 0..6_usize) {
        let (old, new) = universe(&bytes);
        passing_over_loses_nothing(&Pair::new(&old, &new));
        passing_over_loses_nothing(&Pair::new(&old, &old));
        passing_over_loses_nothing(&Pair::new(&old, &near(&old, &new, at)));
    }

    #[test]
    fn the_offers_agree_with_the_decision(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let (old, new) = universe(&bytes);
        let pair = Pair::new(&old, &new);
        let (before, after) = pair.sides();
        cells_are_complete(&pair);
        decisions_agree(&pair, &before);
        decisions_agree(&pair, &after);
    }
}

/// Denser universes than those that shrink well.
#[test]
fn some() {
    // The last one has approvers of two providers, of whom one can fill two lines.
    for seed in (0..60).chain([14_025]) {
        let (old, new) = universe(&random(seed, 700));
        let run = std::panic::catch_unwind(|| {
            compare(&old, &new);
            laws(&old, &new);
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// Many universes, with seeds that are printed; see CONTRIBUTING.md.
#[test]
#[ignore = "a long run: it is a command of its own"]
fn many() {
    let universes = 20_000;
    let (wider, narrower) = (AtomicU64::new(0), AtomicU64::new(0));
    everywhere(universes, |seed| {
        let (old, new) = universe(&random(seed, 700));
        let verdict = compare(&old, &new);
        laws(&old, &new);
        wider.fetch_add(u64::from(verdict.0), Ordering::Relaxed);
        narrower.fetch_add(u64::from(verdict.1), Ordering::Relaxed);
    });
    let (wider, narrower) = (wider.into_inner(), narrower.into_inner());
    let _result = writeln!(std::io::stderr(), "{universes} pairs: {wider} wider, {narrower} narrower");
    assert!(wider > 1_000 && narrower > 1_000, "the universes test nothing");
}

/// Runs every case of so many on all cores, and says how far it is and which cases failed.
pub(super) fn everywhere(cases: u64, case: impl Fn(u64) + Sync) {
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= cases {
                        break;
                    }
                    if at > 0 && at.is_multiple_of((cases / 20).max(1)) {
                        let _progress = writeln!(std::io::stderr(), "{at} of {cases}");
                    }
                    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(at))).is_err() {
                        failed.lock().unwrap().push(at);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "cases that failed: {failed:?}");
}
