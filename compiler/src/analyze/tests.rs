//! The engine against the naive evaluator of [`super::reference`], over small universes in which every token and
//! every request can be looked at: verdicts, regions, witnesses, and the laws that a comparison must obey.
//!
//! A bounded number of universes runs with every `cargo test`; many more with
//! `cargo test -p compiler --lib analyze::tests::many -- --ignored --nocapture`.

use super::{
    approvals::Approvers,
    bits::Bits,
    cells::Cells,
    offer::{Axis, Order},
    people::{People, Person},
    reference::{At, Given, Reference, Token, Worlds, named},
    search::Versus,
    side::Side,
    witness,
};
use lang::{
    program::{
        Object, Program, Scope, SourceTable, SubjectKind,
        rules::{
            Approval, AtMost, BreakGlass, Classified, Connection, Credential, Forbid, Grant, Group, Guard, Idp,
            IdpFlavour, Limits, Mask, MaskAs, Masking, Mode, PerKind, Principal, Quorum, Recorded, Region, Review,
            Rules, Tls, To,
        },
    },
    protocol::{ConnectionKind, OpSet, Operation},
    time::{Hours, Timestamp, Ttl, Valid},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
};

const GROUPS: [&str; 3] = ["g0", "g1", "g2"];
const IDS: [&str; 3] = ["i0", "i1", "i2"];
const OPS: [Operation; 3] = [Operation::Select, Operation::Insert, Operation::DdlDrop];
const CONNECTION: &str = "c";

fn start() -> Timestamp {
    Timestamp::parse_rfc3339("2026-05-04T10:00:00Z").unwrap()
}

/// Choices drawn from bytes, so that a failing case shrinks with them.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        usize::from(self.0.next().copied().unwrap_or(0)) % n
    }

    fn maybe(&mut self) -> bool {
        self.below(3) == 2
    }

    fn option<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        if self.maybe() { Some(make(self)) } else { None }
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn list<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self, usize) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|index| make(self, index)).collect()
    }

    fn principal(&mut self) -> Principal {
        let mut groups: Vec<String> = vec![self.pick(&GROUPS).to_owned()];
        groups.extend(self.option(|c| c.pick(&GROUPS).to_owned()));
        groups.sort();
        groups.dedup();
        let kind = self.option(|c| c.pick(&SubjectKind::ALL));
        if kind.is_some() && self.maybe() {
            groups.clear();
        }
        Principal { groups, kind }
    }

    fn principals(&mut self) -> Vec<Principal> {
        let mut all = vec![self.principal()];
        all.extend(self.option(Self::principal));
        all.sort();
        all.dedup();
        all
    }

    fn to(&mut self) -> To {
        if self.maybe() { To::Everybody } else { To::Any(self.principals()) }
    }

    fn hours(&mut self) -> Option<Hours> {
        if self.maybe() {
            self.option(|c| Hours::parse(c.pick(&["Mon-Fri 09:00-17:00", "Mon-Sun 22:00-06:00"])).unwrap())
        } else {
            None
        }
    }

    fn valid(&mut self) -> Option<Valid> {
        if !self.maybe() {
            return None;
        }
        self.option(|c| Valid {
            from: c.option(|c| Valid::parse_day(c.pick(&["2026-05-05", "2026-05-04"])).unwrap()),
            until: c.option(|c| Valid::parse_day(c.pick(&["2026-05-03", "2026-05-05", "2026-05-09"])).unwrap()),
        })
    }

    fn ops(&mut self) -> OpSet {
        (0..=self.below(3)).map(|_| self.pick(&OPS)).collect()
    }

    fn scope(&mut self) -> Scope {
        let mut tables = self.list(2, |c, _| c.pick(&["a.*", "a.x", "*.x*", "b.xy"]).to_owned());
        tables.sort();
        tables.dedup();
        Scope { tables, ..Scope::default() }
    }

    fn region(&mut self) -> Region {
        Region { ops: self.ops(), scope: self.scope() }
    }

    fn ttl(&mut self) -> Ttl {
        Ttl::from_seconds(self.pick(&[900, 3_600]))
    }

    fn approvals(&mut self) -> Vec<String> {
        self.option(|c| c.pick(&["lead", "peer"]).to_owned()).into_iter().collect()
    }

    fn at_most(&mut self) -> Option<AtMost> {
        self.option(|c| AtMost { count: 2, per: c.ttl() })
    }

    fn limits(&mut self, index: usize) -> Limits {
        Limits {
            name: format!("l{index}"),
            on: vec![CONNECTION.into()],
            to: self.to(),
            lifetime: PerKind { human: self.option(Self::ttl), service: None, agent: self.option(Self::ttl) },
            extend: PerKind { human: self.option(|c| c.pick(&[0, 1])), service: None, agent: self.option(|_| 0) },
            standing_denied: self.maybe(),
            recorded: self.option(|_| Recorded::Full),
            approvals: self.approvals(),
            reason: self.maybe(),
            ticket: self.option(|_| "INC-.*".to_owned()),
            mfa: self.maybe(),
            hours: self.hours(),
            cooldown: self.option(Self::ttl),
            at_most: self.at_most(),
        }
    }

    fn grant(&mut self, index: usize) -> Grant {
        let glass = self.option(|c| c.maybe()).filter(|glass| *glass).map(|_| BreakGlass {
            waives_approval: self.maybe(),
            notify: self.option(|_| "soc".to_owned()).into_iter().collect(),
            within: self.ttl(),
            review: Quorum { count: 1, from: vec![self.pick(&GROUPS).to_owned()] },
        });
        Grant {
            id: format!("grant{index}"),
            on: vec![CONNECTION.into()],
            to: self.principals(),
            mode: if glass.is_none() && self.maybe() { Mode::Standing } else { Mode::Requested },
            lifetime: self.ttl(),
            extend: self.pick(&[0, 0, 2]),
            extend_by: Ttl::from_seconds(900),
            permit: self.ops(),
            scope: self.scope(),
            recorded: self.pick(&[Recorded::Full, Recorded::Metadata]),
            approvals: self.approvals(),
            reveal: self.option(|c| c.pick(&["pii.*", "pii.mail"]).to_owned()).into_iter().collect(),
            hours: self.hours(),
            valid: self.valid(),
            reason: self.maybe(),
            ticket: self.option(|_| "PAY-.*".to_owned()),
            mfa: false,
            cooldown: None,
            at_most: self.at_most(),
            beside: Vec::new(),
            break_glass: glass,
        }
    }

    fn guard(&mut self, index: usize) -> Guard {
        Guard {
            name: format!("guard{index}"),
            on: vec![CONNECTION.into()],
            to: self.to(),
            blocks: self.list(1, |c, _| c.region()),
            only: self.option(Self::region).into_iter().collect(),
            reviews: self.list(1, |c, _| Review { region: c.region(), by: c.pick(&["peer", "lead"]).into() }),
            argv: Vec::new(),
            rows: self.option(|c| c.pick(&[10, 20])),
            seconds: None,
            bytes: None,
            hours: self.hours(),
        }
    }

    fn mask(&mut self, index: usize) -> Mask {
        Mask {
            name: format!("mask{index}"),
            on: self.option(|_| vec![CONNECTION.into()]),
            to: self.to(),
            classes: self.option(|c| c.pick(&["pii.*", "pci.pan"]).to_owned()).into_iter().collect(),
            columns: self.option(|c| c.pick(&["a.x.mail", "*.xy.name"]).to_owned()).into_iter().collect(),
            patterns: self.option(|_| ("[0-9]+".to_owned(), None)).into_iter().collect(),
            json: Vec::new(),
            mask: self.pick(&[
                MaskAs::Hash,
                MaskAs::Nullify,
                MaskAs::Partial { keep_first: 1, keep_last: 0 },
                MaskAs::Partial { keep_first: 0, keep_last: 2 },
            ]),
            reveal_by_grant: self.maybe(),
        }
    }

    fn groups(&mut self) -> Vec<Group> {
        let second = self.below(8) == 7;
        GROUPS
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let mut ids: Vec<String> = if self.below(3) == 0 {
                    self.list(2, |c, _| c.pick(&IDS).to_owned())
                } else {
                    vec![IDS[index].to_owned()]
                };
                ids.sort();
                ids.dedup();
                Group {
                    name: (*name).to_owned(),
                    idp: if second && index == 2 { "other".into() } else { "corp".into() },
                    kind: self.option(|c| c.pick(&SubjectKind::ALL)),
                    ids: Vec::new(),
                    claim_values: ids,
                    within: GROUPS[index + 1..]
                        .iter()
                        .filter(|_| self.maybe())
                        .map(|name| (*name).to_owned())
                        .collect(),
                    size_min: None,
                    size_max: None,
                }
            })
            .collect()
    }

    fn approval(&mut self, name: &str) -> Approval {
        let mut quorum = vec![self.quorum()];
        quorum.extend(self.option(Self::quorum));
        quorum.sort();
        Approval {
            name: name.into(),
            quorum,
            separate: !self.maybe(),
            answer_within: Ttl::from_seconds(3_600),
            notify: Vec::new(),
        }
    }

    fn quorum(&mut self) -> Quorum {
        let mut from = vec![self.pick(&GROUPS).to_owned()];
        from.extend(self.option(|c| c.pick(&GROUPS).to_owned()));
        from.sort();
        from.dedup();
        Quorum { count: self.pick(&[1, 1, 2]), from }
    }

    fn forbid(&mut self, index: usize) -> Forbid {
        Forbid {
            name: format!("forbid{index}"),
            on: vec![CONNECTION.into()],
            to: self.principals(),
            hours: self.hours(),
            valid: self.valid(),
        }
    }

    fn rules(&mut self) -> Rules {
        let groups = self.groups();
        let mut idps = vec![idp("corp")];
        if groups.iter().any(|group| group.idp == "other") || self.below(8) == 7 {
            idps.push(idp("other"));
        }
        Rules {
            name: "universe".into(),
            timezone: "UTC".into(),
            idps,
            groups,
            disjoint: self
                .option(|c| c.pick(&[["g0", "g2"], ["g0", "g1"]]).map(str::to_owned).to_vec())
                .into_iter()
                .collect(),
            connections: vec![connection()],
            limits: self.list(2, Self::limits),
            masks: self.list(2, Self::mask),
            guards: self.list(2, Self::guard),
            approvals: ["lead", "peer"].into_iter().map(|name| self.approval(name)).collect(),
            grants: self.list(3, Self::grant),
            forbids: self.list(1, Self::forbid),
            ..Rules::default()
        }
    }

    /// A revision of a policy: every part is kept, or drawn anew.
    fn revised(&mut self, old: &Rules) -> Rules {
        let mut new = self.rules();
        if !self.maybe() {
            new.groups.clone_from(&old.groups);
            new.idps.clone_from(&old.idps);
        }
        let keep = |c: &mut Self| !c.maybe();
        if keep(self) {
            new.disjoint.clone_from(&old.disjoint);
        }
        if keep(self) {
            new.limits.clone_from(&old.limits);
        }
        if keep(self) {
            new.masks.clone_from(&old.masks);
        }
        if keep(self) {
            new.guards.clone_from(&old.guards);
        }
        if keep(self) {
            new.approvals.clone_from(&old.approvals);
        }
        if keep(self) {
            new.grants.clone_from(&old.grants);
        }
        if keep(self) {
            new.forbids.clone_from(&old.forbids);
        }
        if new.groups.iter().any(|group| group.idp == "other") && new.idps.len() == 1 {
            new.idps.push(idp("other"));
        }
        new
    }
}

fn idp(name: &str) -> Idp {
    Idp {
        name: name.into(),
        flavour: IdpFlavour::Oidc { issuer: format!("https://{name}.example.com") },
        audiences: vec!["leasehold".into()],
        claims: lang::program::rules::Claims::default(),
        mfa_value: None,
        mfa_age: None,
        algorithms: Vec::new(),
        leeway: Ttl::from_seconds(60),
    }
}

fn connection() -> Connection {
    let classified = |object: &str, column: Option<&str>, class: &str| Classified {
        object: object.into(),
        column: column.map(str::to_owned),
        class: class.into(),
    };
    Connection {
        name: CONNECTION.into(),
        kind: ConnectionKind::Postgres,
        owner: None,
        address: "db.internal:5432".into(),
        database: Some("app".into()),
        credential: Credential { source: "env".into(), reference: "DB".into(), user: "app".into() },
        tls: Tls::Off,
        masking: Masking::Rewrite,
        labels: Vec::new(),
        settings: Vec::new(),
        classified: vec![classified("a.x", Some("mail"), "pii.mail"), classified("b.*", None, "pci.pan")],
        unlisted_hidden: Some(false),
    }
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
        let of = |program: &Program| program.rules().connections[0].clone();
        let (a, b) = (of(&old), of(&new));
        let cells = Cells::new(&[(old.rules(), &a), (new.rules(), &b)], new.zone(), start()).unwrap();
        Self { old, new, people, cells }
    }

    fn sides(&self) -> (Side<'_>, Side<'_>) {
        let side = |view: usize, program| -> Side<'_> {
            let program: &Program = program;
            Side::new(view, program, &program.rules().connections[0], &self.cells, &self.people)
        };
        (side(0, &self.old), side(1, &self.new))
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
    let approvers = |side: &Side<'_>| side.view;
    let (m, l) = (more.program.rules(), less.program.rules());
    let versus = Versus {
        people: &pair.people,
        cells: &pair.cells,
        more: Some(more),
        less: Some(less),
        approvers: (Approvers { rules: m, view: approvers(more) }, Approvers { rules: l, view: approvers(less) }),
    };
    let brute = brute(pair, m, l);
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
    let (left, right) = (Reference(more.program.rules()), Reference(less.program.rules()));
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
    let (left, right) = (Reference(m), Reference(l));
    let worlds = Worlds::new(m, l, &IDS);
    let mut brute = Brute::default();
    for person in pair.people.everybody() {
        let token = pair.token(&person);
        for instant in pair.cells.times() {
            let mut held: BTreeMap<String, Vec<(Given, Vec<Given>)>> = BTreeMap::new();
            for op in OPS {
                for object in pair.cells.objects() {
                    let at = At { connection: CONNECTION, op, object, instant: *instant };
                    let theirs = right.given(&token, &at);
                    for given in left.given(&token, &at) {
                        let covering: Vec<Given> =
                            theirs.iter().filter(|other| worlds.covered(&given, other)).cloned().collect();
                        if covering.is_empty() {
                            let access = lang::program::Access { op, object: object.clone() };
                            let cell = pair.cells.cell(&access, *instant).unwrap();
                            let key = (person.clone(), given.grant.clone());
                            brute.gains.entry(key).or_insert_with(|| pair.cells.none()).insert(cell);
                        }
                        held.entry(given.grant.clone()).or_default().push((given, covering));
                    }
                }
            }
            brute.session |= held.values().any(|cells| {
                let single =
                    |id: &String| cells.iter().all(|(_, covering)| covering.iter().any(|other| other.grant == *id));
                cells.iter().all(|(_, covering)| !covering.is_empty())
                    && !l.grants.iter().any(|grant| single(&grant.id))
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
fn compare(old: &Rules, new: &Rules) -> (bool, bool) {
    let pair = Pair::new(old, new);
    let (before, after) = pair.sides();
    (one_direction(&pair, &after, &before), one_direction(&pair, &before, &after))
}

fn engine_only(old: &Rules, new: &Rules) -> (bool, bool) {
    let pair = Pair::new(old, new);
    let (before, after) = pair.sides();
    let way = |more: &Side<'_>, less: &Side<'_>| {
        let approvers = |side: &Side<'_>| side.view;
        let versus = Versus {
            people: &pair.people,
            cells: &pair.cells,
            more: Some(more),
            less: Some(less),
            approvers: (
                Approvers { rules: more.program.rules(), view: approvers(more) },
                Approvers { rules: less.program.rules(), view: approvers(less) },
            ),
        };
        !versus.gains().is_empty() || !versus.sessions().is_empty()
    };
    (way(&after, &before), way(&before, &after))
}

/// Everything that holds of a pair of policies.
fn laws(old: &Rules, new: &Rules) {
    let (wider, narrower) = compare(old, new);
    assert_eq!(engine_only(new, old), (narrower, wider), "the other way round");
    assert_eq!(engine_only(new, new), (false, false), "nothing changes");
    for at in 0..new.grants.len() {
        let mut less = new.clone();
        less.grants.remove(at);
        assert!(!engine_only(new, &less).0, "without a grant nobody has more");
    }
    let drop = |change: &dyn Fn(&mut Rules)| {
        let mut fewer = new.clone();
        change(&mut fewer);
        assert!(!engine_only(new, &fewer).1, "without an obligation nobody has less");
    };
    (0..new.limits.len()).for_each(|at| drop(&|rules| drop_at(&mut rules.limits, at)));
    (0..new.guards.len()).for_each(|at| drop(&|rules| drop_at(&mut rules.guards, at)));
    (0..new.masks.len()).for_each(|at| drop(&|rules| drop_at(&mut rules.masks, at)));
    (0..new.forbids.len()).for_each(|at| drop(&|rules| drop_at(&mut rules.forbids, at)));
    (0..new.disjoint.len()).for_each(|at| drop(&|rules| drop_at(&mut rules.disjoint, at)));
}

fn drop_at<T>(list: &mut Vec<T>, at: usize) {
    list.remove(at);
}

fn universe(bytes: &[u8]) -> (Rules, Rules) {
    let mut choices = Choices(bytes.iter());
    let old = choices.rules();
    let new = choices.revised(&old);
    (old, new)
}

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xD1B5_4A32_D192_ED03;
    (0..length)
        .map(|_| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)).to_le_bytes()[0]
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), ..ProptestConfig::default() })]

    #[test]
    fn the_comparison_agrees_with_brute_force(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let (old, new) = universe(&bytes);
        laws(&old, &new);
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

/// Many universes, with seeds that are printed: `-- --ignored --nocapture`.
#[test]
#[ignore = "a long run: it is a command of its own"]
fn many() {
    let (mut wider, mut narrower) = (0_u32, 0_u32);
    let universes = 20_000;
    for seed in 0..universes {
        if seed % 500 == 0 {
            let _progress = writeln!(std::io::stderr(), "seed {seed}: {wider} wider, {narrower} narrower");
        }
        let (old, new) = universe(&random(seed, 700));
        let run = std::panic::catch_unwind(|| compare(&old, &new));
        let Ok(verdict) = run else { panic!("seed {seed}") };
        wider += u32::from(verdict.0);
        narrower += u32::from(verdict.1);
    }
    let _result = writeln!(std::io::stderr(), "{universes} pairs: {wider} wider, {narrower} narrower");
    assert!(wider > 1_000 && narrower > 1_000, "the universes test nothing");
}
