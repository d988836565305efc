//! Small scope, exhaustively: not drawn, but every policy and every pair of revisions within a bound, against the naive
//! evaluator. Three families:
//! * policies: every policy of at most two grants, one forbid and one obligation over three groups, two operations
//!   and three ways in which the groups lie; each is held to the evaluator and to the decision of `lang`;
//! * revisions: every pair of policies of at most one grant, one forbid and one obligation over two groups;
//! * grants: every pair of sets of at most two grants over two groups, under every same forbid, obligation and way.
//!
//! With every `cargo test` an even sample of each family runs; all of it is a command of its own, see CONTRIBUTING.md.

use super::{
    choices::GROUPS,
    tests::{compare, decided, everywhere},
    universe::{bare, plain},
};
use lang::{
    program::rules::{Grant, Guard, Limits, PerKind, Principal, Region, Rules, To},
    protocol::{OpSet, Operation},
    time::Ttl,
};

/// Everything that policies of so many groups are made of.
struct Parts {
    /// How the groups lie: apart, one within another, two disjoint.
    ways: Vec<Rules>,
    grants: Vec<Grant>,
    principals: Vec<Principal>,
}

/// What a policy restricts besides forbids.
enum Obligation {
    None,
    Limits(Limits),
    Guard(Guard),
}

impl Parts {
    fn of(groups: usize) -> Self {
        let sets = 1..1_usize << groups;
        let principals: Vec<Principal> = sets
            .map(|set| Principal {
                groups: (0..groups).filter(|at| set & (1 << at) != 0).map(|at| GROUPS[at].to_owned()).collect(),
                kind: None,
            })
            .collect();
        let apart = bare();
        let mut nested = bare();
        nested.groups[0].within = vec![GROUPS[1].to_owned()];
        let mut disjoint = bare();
        disjoint.disjoint = vec![vec![GROUPS[0].to_owned(), GROUPS[1].to_owned()]];
        let mut grants = Vec::new();
        for to in &principals {
            for permit in permits() {
                // Of these terms neither contains the other.
                for (lifetime, reason) in [(900, false), (3_600, true)] {
                    let id = format!("grant{}", grants.len());
                    let lifetime = Ttl::from_seconds(lifetime);
                    grants.push(Grant { id, to: vec![to.clone()], permit, lifetime, reason, ..plain().0 });
                }
            }
        }
        Self { ways: vec![apart, nested, disjoint], grants, principals }
    }

    /// How many sets of at most so many grants there are.
    fn sets(&self, most: usize) -> u64 {
        let n = self.grants.len();
        (1 + n + if most > 1 { n * (n + 1) / 2 } else { 0 }) as u64
    }

    /// The set of this number. Two grants may say the same.
    fn set(&self, number: u64) -> Vec<Grant> {
        let (n, mut number) = (self.grants.len(), usize::try_from(number).unwrap());
        if number == 0 {
            return Vec::new();
        }
        number -= 1;
        if number < n {
            return vec![self.grants[number].clone()];
        }
        number -= n;
        for first in 0..n {
            if number < n - first {
                let mut second = self.grants[first + number].clone();
                second.id.push('b');
                return vec![self.grants[first].clone(), second];
            }
            number -= n - first;
        }
        panic!("{number} more than there are")
    }

    /// How many frames there are: a way, at most one forbid, at most one obligation.
    fn frames(&self) -> u64 {
        let p = self.principals.len();
        (self.ways.len() * (1 + p) * (1 + 2 * p)) as u64
    }

    /// The frame of this number around some grants.
    fn policy(&self, frame: u64, grants: Vec<Grant>) -> Rules {
        let (p, frame) = (self.principals.len(), usize::try_from(frame).unwrap());
        let (way, rest) = (frame % self.ways.len(), frame / self.ways.len());
        let (forbid, obligation) = (rest % (1 + p), rest / (1 + p));
        let mut rules = self.ways[way].clone();
        rules.grants = grants;
        if let Some(to) = forbid.checked_sub(1).map(|at| self.principals[at].clone()) {
            rules.forbids = vec![lang::program::rules::Forbid { to: vec![to], ..plain().3 }];
        }
        match self.obligation(obligation) {
            Obligation::None => {}
            Obligation::Limits(limits) => rules.limits = vec![limits],
            Obligation::Guard(guard) => rules.guards = vec![guard],
        }
        rules
    }

    fn obligation(&self, number: usize) -> Obligation {
        let Some(at) = number.checked_sub(1) else { return Obligation::None };
        let p = self.principals.len();
        let to = To::Any(vec![self.principals[at % p].clone()]);
        if at < p {
            let short = Some(Ttl::from_seconds(900));
            let lifetime = PerKind { human: short, service: short, agent: short };
            Obligation::Limits(Limits { to, lifetime, ..plain().1 })
        } else {
            let block = Region { ops: OpSet::EMPTY.with(Operation::Insert), scope: lang::program::Scope::default() };
            Obligation::Guard(Guard { to, blocks: vec![block], ..plain().2 })
        }
    }
}

fn permits() -> [OpSet; 3] {
    let (read, write) = (OpSet::EMPTY.with(Operation::Select), OpSet::EMPTY.with(Operation::Insert));
    [read, write, read.with(Operation::Insert)]
}

/// One family: how many cases, and one of them.
struct Family {
    name: &'static str,
    cases: u64,
    case: Box<dyn Fn(u64) + Sync>,
}

fn families() -> [Family; 3] {
    let three = Parts::of(3);
    let sets = three.sets(2);
    let policies = Family {
        name: "policies",
        cases: sets * three.frames(),
        case: Box::new(move |number| {
            let rules = three.policy(number / sets, three.set(number % sets));
            decided(&rules);
            // From nothing to the policy: all that it gives, at everybody.
            compare(&three.policy(number / sets, Vec::new()), &rules);
        }),
    };
    let two = Parts::of(2);
    let (sets, frames) = (two.sets(1), two.frames());
    let all = sets * frames;
    let revisions = Family {
        name: "revisions",
        cases: all * all,
        case: Box::new(move |number| {
            // Both directions are compared at once.
            let (old, new) = (number / all, number % all);
            if old <= new {
                let policy = |at: u64| two.policy(at / sets, two.set(at % sets));
                compare(&policy(old), &policy(new));
            }
        }),
    };
    let two = Parts::of(2);
    let sets = two.sets(2);
    let grants = Family {
        name: "grants",
        cases: sets * sets * two.frames(),
        case: Box::new(move |number| {
            let (frame, pair) = (number / (sets * sets), number % (sets * sets));
            let (old, new) = (pair / sets, pair % sets);
            if old <= new {
                compare(&two.policy(frame, two.set(old)), &two.policy(frame, two.set(new)));
            }
        }),
    };
    [policies, revisions, grants]
}

/// An even sample: every so many-th case, by a step that shares no factor with the parts.
fn sample(cases: u64) {
    for family in families() {
        let step = family.cases / cases + 1;
        let fits = |step: &u64| [2, 3, 5, 7, 11, 13, 19].iter().all(|prime| !step.is_multiple_of(*prime));
        let step = (step..step + 1_000).find(fits).unwrap();
        for number in (0..family.cases).step_by(usize::try_from(step).unwrap()) {
            (family.case)(number);
        }
    }
}

#[test]
fn a_sample_of_small_policies() {
    sample(250);
}

/// All of it; see CONTRIBUTING.md.
#[test]
#[ignore = "a long run: it is a command of its own"]
fn all_policies() {
    whole("policies");
}

#[test]
#[ignore = "a long run: it is a command of its own"]
fn all_revisions() {
    whole("revisions");
}

#[test]
#[ignore = "a long run: it is a command of its own"]
fn all_grants() {
    whole("grants");
}

fn whole(name: &str) {
    for family in families().into_iter().filter(|family| family.name == name) {
        everywhere(family.cases, &family.case);
        let _result = std::io::Write::write_fmt(
            &mut std::io::stderr(),
            format_args!("{}: all of {} cases\n", family.name, family.cases),
        );
    }
}
