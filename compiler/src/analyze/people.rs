//! Who can ask: sets of principals that an identity provider asserts, never names of groups. Every revision closes
//! such a set by its own nesting, and refuses it by its own kinds and disjointness, so that a group that got another
//! id, another parent or another kind is seen as what it is.

use lang::program::{
    Asserted, GroupSet, Program, Subject, SubjectKind,
    rules::{self, IdpFlavour, Rules},
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// What a token asserts of one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Principal {
    /// The position of its identity provider.
    idp: usize,
    /// Whether it is a value of the roles claim; otherwise it is an object id.
    is_claim: bool,
    /// The value.
    value: String,
}

/// How one revision sees a principal.
#[derive(Clone, Debug, Default)]
struct Seen {
    /// The groups that it brings, closed under nesting.
    held: GroupSet,
    /// Whether it makes a service an agent.
    agent: bool,
    /// The kinds that its groups are declared for.
    kinds: BTreeSet<SubjectKind>,
}

/// An identity provider over all revisions.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Provider {
    /// Its name in each revision; `None` where it does not exist.
    names: Vec<Option<String>>,
}

/// One revision's groups.
#[derive(Clone, Debug)]
struct View {
    groups: BTreeMap<String, usize>,
    names: Vec<String>,
    disjoint: Vec<GroupSet>,
    /// For each group that `disjoint` names, the positions of those sets.
    disjoint_of: BTreeMap<usize, Vec<usize>>,
}

/// Somebody who asks: an identity provider, the kind that the token's shape gives, and what the token asserts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Person {
    /// The position of the identity provider.
    idp: usize,
    /// The kind, before group kinds apply.
    pub kind: SubjectKind,
    /// Positions of the principals.
    pub asserts: BTreeSet<usize>,
}

impl Person {
    /// The position of the identity provider.
    pub const fn provider(&self) -> usize {
        self.idp
    }
}

/// Somebody as one revision sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The kind that holds.
    pub kind: SubjectKind,
    /// The groups, closed.
    pub held: GroupSet,
}

/// Everybody whom some revisions can tell apart.
#[derive(Clone, Debug)]
pub struct People {
    providers: Vec<Provider>,
    principals: Vec<Principal>,
    seen: Vec<Vec<Seen>>,
    views: Vec<View>,
    /// For each revision and group, the principals that bring it.
    bringing: Vec<Vec<Vec<usize>>>,
    /// For each revision and principal, the groups that name it, ascending.
    naming: Vec<Vec<Vec<usize>>>,
    /// Who every search begins with.
    seeds: Vec<Person>,
    /// For each revision and group what [`People::ways`] found, once it was asked.
    ways: Vec<Vec<OnceLock<Vec<usize>>>>,
    /// Whether all revisions see everybody alike.
    alike: bool,
}

impl People {
    /// The people of these revisions.
    pub fn new(revisions: &[&Rules]) -> Self {
        let providers = providers(revisions);
        let mut principals: BTreeSet<Principal> = BTreeSet::new();
        for (view, rules) in revisions.iter().enumerate() {
            for group in &rules.groups {
                principals.extend(asserted(&providers, view, group));
            }
        }
        let principals: Vec<Principal> = principals.into_iter().collect();
        let position: BTreeMap<&Principal, usize> = principals.iter().enumerate().map(|(at, one)| (one, at)).collect();
        let (mut seen, mut views, mut naming) = (Vec::new(), Vec::new(), Vec::new());
        for (index, rules) in revisions.iter().enumerate() {
            let view = View::new(rules);
            let closures = closures(rules, &view);
            let mut all = vec![Seen::default(); principals.len()];
            let mut named = vec![Vec::new(); principals.len()];
            for (at, (group, closure)) in rules.groups.iter().zip(&closures).enumerate() {
                for principal in asserted(&providers, index, group) {
                    let Some(place) = position.get(&principal) else { continue };
                    let (Some(one), Some(named)) = (all.get_mut(*place), named.get_mut(*place)) else { continue };
                    named.push(at);
                    one.held.add(closure);
                    one.agent |= group.kind == Some(SubjectKind::Agent);
                    let kinds = closure.iter().filter_map(|group| rules.groups.get(group)?.kind);
                    one.kinds.extend(kinds);
                }
            }
            seen.push(all);
            views.push(view);
            naming.push(named);
        }
        let same = |rules: &&Rules| {
            revisions.first().is_some_and(|first| {
                first.groups.iter().map(identity).eq(rules.groups.iter().map(identity))
                    && first.disjoint == rules.disjoint
                    && first.idps.iter().map(issuer).eq(rules.idps.iter().map(issuer))
            })
        };
        let alike = revisions.iter().all(same);
        let bringing = seen.iter().zip(&views).map(|(seen, view)| bringing(seen, view.names.len())).collect();
        let ways = views.iter().map(|view: &View| vec![OnceLock::new(); view.names.len()]).collect();
        let mut people = Self { providers, principals, seen, views, bringing, naming, seeds: Vec::new(), ways, alike };
        people.seeds = people.begin();
        people
    }

    /// Who every search begins with: for each provider and kind somebody who asserts nothing, and services that only
    /// some revisions take for agents.
    pub fn seeds(&self) -> &[Person] {
        &self.seeds
    }

    fn begin(&self) -> Vec<Person> {
        let mut seeds = Vec::new();
        for idp in self.providers() {
            seeds.extend(SubjectKind::ALL.into_iter().map(|kind| Self::nobody(idp, kind)));
            for turning in self.turning(idp) {
                let mut person = Self::nobody(idp, SubjectKind::Service);
                person.asserts.insert(turning);
                seeds.push(person);
            }
        }
        seeds
    }

    /// Whether all revisions see everybody alike.
    pub const fn is_alike(&self) -> bool {
        self.alike
    }

    /// The positions of the identity providers.
    pub fn providers(&self) -> impl Iterator<Item = usize> + use<> {
        0..self.providers.len()
    }

    /// Somebody who asserts nothing.
    pub fn nobody(idp: usize, kind: SubjectKind) -> Person {
        Person { idp, kind, asserts: BTreeSet::new() }
    }

    /// The position of a revision's group.
    pub fn group(&self, view: usize, name: &str) -> Option<usize> {
        self.views.get(view)?.groups.get(name).copied()
    }

    /// The groups of a revision as a set.
    pub fn groups(&self, view: usize, names: &[String]) -> GroupSet {
        names.iter().filter_map(|name| self.group(view, name)).collect()
    }

    /// The sets of groups of which nobody may hold two, in a revision.
    pub fn disjoint(&self, view: usize) -> &[GroupSet] {
        self.views.get(view).map_or(&[], |view| view.disjoint.as_slice())
    }

    /// Somebody as a revision sees them; `None` when it refuses the token.
    pub fn seat(&self, view: usize, person: &Person) -> Option<Seat> {
        self.providers.get(person.idp)?.names.get(view)?.as_ref()?;
        let seat = self.kind_and_groups(view, person)?;
        let seen = self.seen.get(view)?;
        let mut kinds = person.asserts.iter().filter_map(|at| seen.get(*at)).flat_map(|one| &one.kinds);
        let other_kind = kinds.any(|kind| *kind != seat.kind);
        let apart = self.views.get(view)?.holds_apart(&seat.held);
        (!other_kind && !apart).then_some(seat)
    }

    /// The kind, whether or not the revision accepts it.
    pub fn kind(&self, view: usize, person: &Person) -> Option<SubjectKind> {
        let seen = self.seen.get(view)?;
        let agent = || person.asserts.iter().filter_map(|at| seen.get(*at)).any(|one| one.agent);
        Some(if person.kind == SubjectKind::Service && agent() { SubjectKind::Agent } else { person.kind })
    }

    /// The kind and groups, whether or not the revision accepts them.
    pub fn kind_and_groups(&self, view: usize, person: &Person) -> Option<Seat> {
        let seen = self.seen.get(view)?;
        let mut held = GroupSet::new();
        for one in person.asserts.iter().filter_map(|at| seen.get(*at)) {
            held.add(&one.held);
        }
        Some(Seat { kind: self.kind(view, person)?, held })
    }

    /// The people one gets from `person` by the fewest principals that make a revision see all of `groups`. Only
    /// principals that no other one replaces with less are used: what a larger set shows, one of these shows as well.
    pub fn joined(&self, view: usize, person: &Person, groups: &GroupSet) -> Vec<Person> {
        let Some(seat) = self.kind_and_groups(view, person) else { return Vec::new() };
        let mut all = vec![person.clone()];
        for group in groups.minus(&seat.held).iter() {
            let ways: Vec<usize> = self.ways(view, person.idp, group).collect();
            let mut next = BTreeSet::new();
            for person in &all {
                let holds = self.kind_and_groups(view, person).is_some_and(|seat| seat.held.contains(group));
                if holds {
                    next.insert(person.clone());
                    continue;
                }
                for way in &ways {
                    let mut more = person.clone();
                    more.asserts.insert(*way);
                    next.insert(more);
                }
            }
            all = next.into_iter().collect();
        }
        all
    }

    /// The principals of an identity provider that bring a group in a revision, the least ones only.
    fn ways(&self, view: usize, idp: usize, group: usize) -> impl Iterator<Item = usize> {
        let found = self.ways.get(view).and_then(|groups| groups.get(group));
        let all = found.map_or(&[] as &[usize], |found| found.get_or_init(|| self.least_bringing(view, group)));
        all.iter().copied().filter(move |at| self.is_of(*at, idp))
    }

    fn least_bringing(&self, view: usize, group: usize) -> Vec<usize> {
        let all = self.bringing.get(view).and_then(|groups| groups.get(group)).map_or(&[] as &[usize], Vec::as_slice);
        let of = |idp: usize| self.least(&all.iter().copied().filter(|at| self.is_of(*at, idp)).collect::<Vec<_>>());
        self.providers().flat_map(of).collect()
    }

    fn is_of(&self, principal: usize, idp: usize) -> bool {
        self.principals.get(principal).is_some_and(|one| one.idp == idp)
    }

    /// Principals of an identity provider that turn a service into an agent in some revisions only.
    fn turning(&self, idp: usize) -> Vec<usize> {
        let turns = |at: &usize| {
            let mut agents = self.seen.iter().filter_map(|seen| seen.get(*at)).map(|one| one.agent);
            let first = agents.next();
            agents.any(|agent| Some(agent) != first)
        };
        let all = (0..self.principals.len()).filter(|at| self.principals.get(*at).is_some_and(|one| one.idp == idp));
        self.least_by(&all.filter(turns).collect::<Vec<_>>(), true)
    }

    /// Principals of an identity provider that one revision refuses to subjects of a kind, and another one does not.
    pub fn refused_by_kind(&self, idp: usize, by: (usize, SubjectKind), not_by: (usize, SubjectKind)) -> Vec<usize> {
        let (Some(by_seen), Some(not_seen)) = (self.seen.get(by.0), self.seen.get(not_by.0)) else {
            return Vec::new();
        };
        let other = |seen: &Seen, kind: SubjectKind| seen.kinds.iter().any(|own| *own != kind);
        let all = self.principals.iter().zip(by_seen.iter().zip(not_seen)).enumerate();
        let all =
            all.filter(|(_, (one, (a, b)))| one.idp == idp && other(a, by.1) && !other(b, not_by.1)).map(|(at, _)| at);
        self.least(&all.collect::<Vec<_>>())
    }

    /// Those who assert a little more than somebody, whom one revision then refuses and another does not.
    pub fn refused(&self, person: &Person, by: usize, not_by: usize) -> Vec<Person> {
        if self.alike {
            return Vec::new();
        }
        let (Some(seat), Some(other)) = (self.kind_and_groups(by, person), self.kind_and_groups(not_by, person)) else {
            return Vec::new();
        };
        let mut all = Vec::new();
        for set in self.disjoint(by) {
            let members: Vec<usize> = set.iter().collect();
            for (at, a) in members.iter().enumerate() {
                for b in members.iter().skip(at + 1) {
                    let pair = [*a, *b].into_iter().collect();
                    all.extend(self.joined(by, person, &pair));
                }
            }
        }
        for principal in self.refused_by_kind(person.idp, (by, seat.kind), (not_by, other.kind)) {
            let mut one = person.clone();
            one.asserts.insert(principal);
            all.push(one);
        }
        all.retain(|one| self.seat(not_by, one).is_some());
        all
    }

    fn least(&self, all: &[usize]) -> Vec<usize> {
        self.least_by(all, false)
    }

    /// Without the principals that another one replaces with less; of equal ones the first.
    fn least_by(&self, all: &[usize], same_turn: bool) -> Vec<usize> {
        let below = |a: usize, b: usize| {
            self.seen.iter().all(|seen| match (seen.get(a), seen.get(b)) {
                (Some(a), Some(b)) => {
                    a.held.is_subset(&b.held)
                        && a.kinds.is_subset(&b.kinds)
                        && (if same_turn { a.agent == b.agent } else { a.agent <= b.agent })
                }
                (None, _) | (_, None) => false,
            })
        };
        let replaced = |one: &usize| {
            all.iter().any(|other| other != one && below(*other, *one) && (!below(*one, *other) || other < one))
        };
        all.iter().copied().filter(|one| !replaced(one)).collect()
    }

    /// The principals that bring any of these groups in a revision.
    pub fn members(&self, view: usize, groups: &[String]) -> BTreeSet<usize> {
        let wanted = self.groups(view, groups);
        let seen = self.seen.get(view).map_or(&[] as &[Seen], Vec::as_slice);
        seen.iter().enumerate().filter(|(_, one)| one.held.meets(&wanted)).map(|(at, _)| at).collect()
    }

    /// With whom a principal may be one person, in a revision: those of the same identity provider, unless groups that
    /// are held apart meet. Whoever holds fewer of these may be one with more.
    pub fn company(&self, view: usize, principal: usize) -> (usize, BTreeSet<usize>) {
        let idp = self.principals.get(principal).map_or(usize::MAX, |one| one.idp);
        let held = self.seen.get(view).and_then(|seen| seen.get(principal)).map(|one| &one.held);
        let apart = self.views.get(view).into_iter().flat_map(|view| view.disjoint_of.keys());
        (idp, apart.copied().filter(|group| held.is_some_and(|held| held.contains(*group))).collect())
    }

    /// Whether one person may hold two principals, in a revision. The kind is that of people, who approve.
    pub fn together(&self, view: usize, a: usize, b: usize) -> bool {
        let (Some(x), Some(y)) = (self.principals.get(a), self.principals.get(b)) else { return false };
        x.idp == y.idp && {
            let person = Person { idp: x.idp, kind: SubjectKind::Human, asserts: BTreeSet::from([a, b]) };
            self.seat(view, &person).is_some()
        }
    }

    /// The person whose token carries these ids and claim values; `None` when no revision knows any of them.
    pub fn carrying(&self, kind: SubjectKind, values: &BTreeSet<String>) -> Option<Person> {
        let known = |at: &usize| self.principals.get(*at).is_some_and(|one| values.contains(&one.value));
        let all: Vec<usize> = (0..self.principals.len()).filter(known).collect();
        let idp = all.first().and_then(|at| self.principals.get(*at)).map(|one| one.idp)?;
        let of_idp = |at: &usize| self.principals.get(*at).is_some_and(|one| one.idp == idp);
        Some(Person { idp, kind, asserts: all.into_iter().filter(of_idp).collect() })
    }

    /// The person who asserts exactly these groups of a revision, by name, and their own first principal of each.
    pub fn holding(&self, view: usize, kind: SubjectKind, groups: &[String]) -> Option<Person> {
        let wanted = self.groups(view, groups);
        self.providers().find_map(|idp| {
            let start = Self::nobody(idp, kind);
            self.joined(view, &start, &wanted).into_iter().next()
        })
    }

    /// The subject of a person as `lang` sees it; `None` when the program refuses the token.
    pub fn subject(&self, view: usize, person: &Person, program: &Program) -> Option<Subject> {
        let name = self.providers.get(person.idp)?.names.get(view)?.as_ref()?;
        let of = |is_claim: bool| -> BTreeSet<String> {
            let all = person.asserts.iter().filter_map(|at| self.principals.get(*at));
            all.filter(|one| one.is_claim == is_claim).map(|one| one.value.clone()).collect()
        };
        let (group_ids, claim_values) = (of(false), of(true));
        let asserted = Asserted {
            idp: name,
            kind: person.kind,
            group_ids: Some(&group_ids),
            claim_values: &claim_values,
            mfa: true,
        };
        program.subject(&asserted).ok()
    }

    /// The groups that a person's principals name in a revision, not those that follow by nesting.
    pub fn named(&self, view: usize, person: &Person) -> Vec<String> {
        let (Some(naming), Some(own)) = (self.naming.get(view), self.views.get(view)) else { return Vec::new() };
        let groups: BTreeSet<usize> =
            person.asserts.iter().filter_map(|at| naming.get(*at)).flatten().copied().collect();
        groups.into_iter().filter_map(|group| own.names.get(group).cloned()).collect()
    }

    /// The values that a person's token carries, for people.
    pub fn values(&self, person: &Person) -> Vec<&str> {
        person.asserts.iter().filter_map(|at| self.principals.get(*at)).map(|one| one.value.as_str()).collect()
    }

    /// The name of a person's identity provider, in the last revision that has it.
    pub fn provider_name(&self, person: &Person) -> &str {
        let names = self.providers.get(person.idp).map(|provider| provider.names.as_slice());
        names.and_then(|names| names.iter().rev().flatten().next()).map_or("", String::as_str)
    }

    /// Every set of principals of an identity provider: for tests over small universes.
    #[cfg(test)]
    pub(super) fn everybody(&self) -> Vec<Person> {
        let mut all = Vec::new();
        for idp in self.providers() {
            let own: Vec<usize> = (0..self.principals.len())
                .filter(|at| self.principals.get(*at).is_some_and(|one| one.idp == idp))
                .collect();
            for bits in 0..1_usize << own.len() {
                let asserts: BTreeSet<usize> =
                    own.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, one)| *one).collect();
                for kind in SubjectKind::ALL {
                    all.push(Person { idp, kind, asserts: asserts.clone() });
                }
            }
        }
        all
    }
}

/// The parts of a group that decide who is in it.
type GroupIdentity<'r> =
    (&'r String, &'r String, Option<SubjectKind>, &'r Vec<String>, &'r Vec<String>, &'r Vec<String>);

fn identity(group: &rules::Group) -> GroupIdentity<'_> {
    (&group.name, &group.idp, group.kind, &group.ids, &group.claim_values, &group.within)
}

/// What tells identity providers apart, whatever they are called.
fn issuer(idp: &rules::Idp) -> (String, &str) {
    let of = match &idp.flavour {
        IdpFlavour::Entra { tenant, authority, .. } => {
            format!("entra {tenant} {}", authority.as_deref().unwrap_or_default())
        }
        IdpFlavour::Oidc { issuer } => format!("oidc {issuer}"),
    };
    (of, &idp.name)
}

/// Identity providers of all revisions: one issuer is one provider, unless a revision has two for it.
fn providers(revisions: &[&Rules]) -> Vec<Provider> {
    let twice = revisions.iter().any(|rules| {
        let issuers: BTreeSet<String> = rules.idps.iter().map(|idp| issuer(idp).0).collect();
        issuers.len() != rules.idps.len()
    });
    let key = |idp: &rules::Idp| {
        let (of, name) = issuer(idp);
        if twice { format!("{of} {name}") } else { of }
    };
    let mut found: BTreeMap<String, Provider> = BTreeMap::new();
    for (view, rules) in revisions.iter().enumerate() {
        for idp in &rules.idps {
            let provider = found.entry(key(idp)).or_insert_with(|| Provider { names: vec![None; revisions.len()] });
            if let Some(name) = provider.names.get_mut(view) {
                *name = Some(idp.name.clone());
            }
        }
    }
    found.into_values().collect()
}

/// The principals that assert a group.
fn asserted(providers: &[Provider], view: usize, group: &rules::Group) -> Vec<Principal> {
    let of = |provider: &Provider| provider.names.get(view).and_then(Option::as_ref) == Some(&group.idp);
    let Some(idp) = providers.iter().position(of) else { return Vec::new() };
    let ids = group.ids.iter().map(|value| (false, value));
    let claims = group.claim_values.iter().map(|value| (true, value));
    ids.chain(claims).map(|(is_claim, value)| Principal { idp, is_claim, value: value.clone() }).collect()
}

fn bringing(seen: &[Seen], groups: usize) -> Vec<Vec<usize>> {
    let mut bringing = vec![Vec::new(); groups];
    for (at, one) in seen.iter().enumerate() {
        for group in one.held.iter() {
            if let Some(list) = bringing.get_mut(group) {
                list.push(at);
            }
        }
    }
    bringing
}

impl View {
    fn new(rules: &Rules) -> Self {
        let names: Vec<String> = rules.groups.iter().map(|group| group.name.clone()).collect();
        let groups: BTreeMap<String, usize> = names.iter().enumerate().map(|(at, name)| (name.clone(), at)).collect();
        let set = |members: &Vec<String>| members.iter().filter_map(|name| groups.get(name)).copied().collect();
        let disjoint: Vec<GroupSet> = rules.disjoint.iter().map(set).collect();
        let mut disjoint_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, set) in disjoint.iter().enumerate() {
            set.iter().for_each(|group| disjoint_of.entry(group).or_default().push(at));
        }
        Self { groups, names, disjoint, disjoint_of }
    }

    /// Whether some of these groups are held by nobody together.
    fn holds_apart(&self, held: &GroupSet) -> bool {
        let mut met = BTreeSet::new();
        !self.disjoint_of.is_empty()
            && held.iter().filter_map(|group| self.disjoint_of.get(&group)).flatten().any(|set| !met.insert(*set))
    }
}

/// The groups that each group implies, itself included.
fn closures(rules: &Rules, view: &View) -> Vec<GroupSet> {
    let mut all = Vec::with_capacity(rules.groups.len());
    for start in 0..rules.groups.len() {
        let mut set = GroupSet::new();
        let mut open = vec![start];
        while let Some(group) = open.pop() {
            if set.contains(group) {
                continue;
            }
            set.insert(group);
            let above = rules.groups.get(group).map_or(&[] as &[String], |group| group.within.as_slice());
            open.extend(above.iter().filter_map(|name| view.groups.get(name)));
        }
        all.push(set);
    }
    all
}
