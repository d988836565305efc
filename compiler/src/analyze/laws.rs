//! Laws that a comparison of revisions obeys, whatever the policies say: what changes no decision is no difference,
//! what only gives is never narrower, what only takes is never wider, and differences compose. Each is tried on drawn
//! policies; where a change may show, the naive evaluator says whether it must.

use super::{
    choices::{GROUPS, OPS},
    tests::{compare, engine_only},
    universe::{random, revision, universe},
};
use lang::program::rules::{Grant, Principal, Recorded, Rules, To};

/// Everything that holds of a pair of policies by the engine alone.
pub(super) fn laws(old: &Rules, new: &Rules) {
    let (wider, narrower) = engine_only(old, new);
    assert_eq!(engine_only(new, old), (narrower, wider), "the other way round");
    assert_eq!(engine_only(new, new), (false, false), "nothing changes");
    for at in 0..new.grants.len() {
        let less = changed(new, |rules| {
            rules.grants.remove(at);
        });
        assert!(!engine_only(new, &less).0, "without a grant nobody has more");
    }
    for (what, fewer) in without_restrictions(new) {
        assert!(!engine_only(new, &fewer).1, "without {what} nobody has less");
    }
}

fn changed(rules: &Rules, change: impl FnOnce(&mut Rules)) -> Rules {
    let mut other = rules.clone();
    change(&mut other);
    other
}

/// The policy without each of its restrictions in turn.
fn without_restrictions(rules: &Rules) -> Vec<(String, Rules)> {
    let mut all = Vec::new();
    macro_rules! each {
        ($($list:ident)*) => { $(
            for at in 0..rules.$list.len() {
                let fewer = changed(rules, |rules| { rules.$list.remove(at); });
                all.push((format!("{} {at}", stringify!($list)), fewer));
            }
        )* };
    }
    each!(limits guards masks forbids disjoint);
    all
}

/// The same policy with every list in the other direction.
fn reversed(rules: &Rules) -> Rules {
    changed(rules, |rules| {
        rules.groups.reverse();
        rules.idps.reverse();
        rules.disjoint.iter_mut().for_each(|set| set.reverse());
        rules.limits.reverse();
        rules.guards.reverse();
        rules.masks.reverse();
        rules.approvals.reverse();
        rules.grants.reverse();
        rules.forbids.reverse();
    })
}

/// The same policy under other names. The table of groups is put into a new order by it.
fn renamed(rules: &Rules) -> Rules {
    let group = |name: &mut String| {
        if let Some(at) = GROUPS.iter().position(|own| own == name) {
            *name = ["z-people", "m-people", "a-people"][at].to_owned();
        }
    };
    let whom = |to: &mut To| {
        if let To::Any(any) = to {
            any.iter_mut().flat_map(|one| &mut one.groups).for_each(group);
        }
    };
    let approval = |name: &mut String| name.insert_str(0, "by-");
    changed(rules, |rules| {
        for one in &mut rules.groups {
            group(&mut one.name);
            one.within.iter_mut().for_each(group);
        }
        rules.disjoint.iter_mut().flatten().for_each(group);
        for (at, one) in rules.grants.iter_mut().enumerate() {
            one.id = format!("x{}", 9 - at);
            one.to.iter_mut().flat_map(|one| &mut one.groups).for_each(group);
            one.approvals.iter_mut().for_each(approval);
            if let Some(glass) = &mut one.break_glass {
                glass.review.from.iter_mut().for_each(group);
            }
        }
        for one in &mut rules.limits {
            one.name.insert(0, 'x');
            whom(&mut one.to);
            one.approvals.iter_mut().for_each(approval);
        }
        for one in &mut rules.guards {
            one.name.insert(0, 'x');
            whom(&mut one.to);
            one.reviews.iter_mut().for_each(|review| approval(&mut review.by));
        }
        for one in &mut rules.masks {
            one.name.insert(0, 'x');
            whom(&mut one.to);
        }
        for one in &mut rules.forbids {
            one.name.insert(0, 'x');
            one.to.iter_mut().flat_map(|one| &mut one.groups).for_each(group);
        }
        for one in &mut rules.approvals {
            approval(&mut one.name);
            one.quorum.iter_mut().flat_map(|line| &mut line.from).for_each(group);
        }
    })
}

/// The same policy with one rule for each alternative of `to`, and each alternative with a kind for each kind.
fn split(rules: &Rules) -> Rules {
    fn lines(to: &To) -> Vec<To> {
        match to {
            To::Everybody => vec![To::Everybody],
            To::Any(any) => any.iter().map(|one| To::Any(vec![one.clone()])).collect(),
        }
    }
    fn parts<T: Clone>(list: &mut Vec<T>, to: impl Fn(&mut T) -> (&mut To, &mut String)) {
        let mut all = Vec::new();
        for rule in list.iter() {
            let alternatives = lines(to(&mut rule.clone()).0);
            for (at, line) in alternatives.into_iter().enumerate() {
                let mut one = rule.clone();
                let (whom, name) = to(&mut one);
                *whom = line;
                *name = format!("{name}-{at}");
                all.push(one);
            }
        }
        *list = all;
    }
    changed(rules, |rules| {
        parts(&mut rules.limits, |rule| (&mut rule.to, &mut rule.name));
        parts(&mut rules.guards, |rule| (&mut rule.to, &mut rule.name));
        parts(&mut rules.masks, |rule| (&mut rule.to, &mut rule.name));
        let split = |grant: &Grant| -> Vec<Grant> {
            let one = |(at, own): (usize, &Principal)| Grant {
                id: format!("{}-{at}", grant.id),
                to: vec![own.clone()],
                ..grant.clone()
            };
            grant.to.iter().enumerate().map(one).collect()
        };
        rules.grants = rules.grants.iter().flat_map(split).collect();
        rules.grants.iter_mut().for_each(|grant| each_kind(&mut grant.to));
    })
}

/// An alternative without a kind is one for each kind.
fn each_kind(to: &mut Vec<Principal>) {
    let kinds = |one: &Principal| match one.kind {
        Some(_) => vec![one.clone()],
        None => lang::program::SubjectKind::ALL
            .into_iter()
            .map(|kind| Principal { kind: Some(kind), ..one.clone() })
            .collect(),
    };
    *to = to.iter().flat_map(kinds).collect();
}

/// The same policy with a grant that another one contains.
fn with_redundant(rules: &Rules) -> Option<Rules> {
    let mut one = rules.grants.first()?.clone();
    one.id = "redundant".to_owned();
    one.permit = one.permit.iter().take(1).collect();
    one.to.truncate(1);
    one.reason = true;
    Some(changed(rules, |rules| rules.grants.push(one)))
}

/// The policy with one clause that gives more, or demands less, each in turn.
fn weakened(rules: &Rules) -> Vec<(&'static str, Rules)> {
    let mut all = Vec::new();
    let mut try_one = |what: &'static str, change: &dyn Fn(&mut Rules)| {
        let other = changed(rules, change);
        if other != *rules {
            all.push((what, other));
        }
    };
    try_one("a longer lifetime", &|r| {
        r.grants.iter_mut().take(1).for_each(|g| g.lifetime = lang::time::Ttl::from_seconds(7_200));
    });
    try_one("an extension", &|r| r.grants.iter_mut().take(1).for_each(|g| g.extend += 1));
    try_one("more operations", &|r| {
        r.grants.iter_mut().take(1).for_each(|g| g.permit = OPS.into_iter().collect());
    });
    try_one("all objects", &|r| r.grants.iter_mut().take(1).for_each(|g| g.scope.tables.clear()));
    try_one("always", &|r| {
        r.grants.iter_mut().take(1).for_each(|g| (g.hours, g.valid) = (None, None));
    });
    try_one("less recording", &|r| r.grants.iter_mut().take(1).for_each(|g| g.recorded = Recorded::Metadata));
    try_one("no approval", &|r| r.grants.iter_mut().take(1).for_each(|g| g.approvals.clear()));
    try_one("no reason", &|r| r.grants.iter_mut().take(1).for_each(|g| (g.reason, g.ticket) = (false, None)));
    try_one("any number", &|r| r.grants.iter_mut().take(1).for_each(|g| g.at_most = None));
    try_one("more is revealed", &|r| r.grants.iter_mut().take(1).for_each(|g| g.reveal = vec!["pii.*".to_owned()]));
    try_one("limits without an approval", &|r| r.limits.iter_mut().take(1).for_each(|l| l.approvals.clear()));
    try_one("limits without hours", &|r| r.limits.iter_mut().take(1).for_each(|l| l.hours = None));
    try_one("limits that permit standing access", &|r| {
        r.limits.iter_mut().take(1).for_each(|l| l.standing_denied = false);
    });
    try_one("a guard without a block", &|r| r.guards.iter_mut().take(1).for_each(|g| g.blocks.clear()));
    try_one("a guard without `only`", &|r| r.guards.iter_mut().take(1).for_each(|g| g.only.clear()));
    try_one("a guard without a review", &|r| r.guards.iter_mut().take(1).for_each(|g| g.reviews.clear()));
    try_one("a guard without a limit", &|r| r.guards.iter_mut().take(1).for_each(|g| g.rows = None));
    try_one("a mask of no class", &|r| r.masks.iter_mut().take(1).for_each(|m| m.classes.clear()));
    try_one("a mask that grants may lift", &|r| r.masks.iter_mut().take(1).for_each(|m| m.reveal_by_grant = true));
    all
}

/// The laws about one policy.
fn of_one(rules: &Rules) {
    assert_eq!(engine_only(rules, &reversed(rules)), (false, false), "another order");
    assert_eq!(engine_only(rules, &renamed(rules)), (false, false), "other names");
    assert_eq!(engine_only(rules, &split(rules)), (false, false), "one rule for each alternative");
    if let Some(more) = with_redundant(rules) {
        assert_eq!(engine_only(rules, &more), (false, false), "a redundant grant");
    }
}

/// Deleting a restriction is never narrower, and it is reported exactly where it shows; so is every weaker clause.
fn of_changes(rules: &Rules, seed: usize) {
    let fewer = without_restrictions(rules);
    if let Some((what, fewer)) = fewer.get(seed % fewer.len().max(1)) {
        assert!(!compare(rules, fewer).1, "without {what} nobody has less");
    }
    let weaker = weakened(rules);
    if let Some((what, weaker)) = weaker.get(seed % weaker.len().max(1)) {
        assert!(!compare(rules, weaker).1, "with {what} nobody has less");
    }
    for (what, weaker) in weaker {
        assert!(!engine_only(rules, &weaker).1, "with {what} nobody has less");
    }
}

/// What is no wider than what is no wider is no wider. Approvers are those whom a revision accepts, so the groups
/// are the same in all three.
fn of_three(first: &Rules, second: &Rules, third: &Rules) -> bool {
    let alike = |rules: &Rules| {
        changed(rules, |rules| {
            rules.groups.clone_from(&first.groups);
            rules.idps.clone_from(&first.idps);
            rules.disjoint.clone_from(&first.disjoint);
        })
    };
    let (second, third) = (alike(second), alike(third));
    let steps = (engine_only(first, &second), engine_only(&second, &third));
    let whole = engine_only(first, &third);
    if !steps.0.0 && !steps.1.0 {
        assert!(!whole.0, "not wider twice");
    }
    if !steps.0.1 && !steps.1.1 {
        assert!(!whole.1, "not narrower twice");
    }
    (!steps.0.0 && !steps.1.0) || (!steps.0.1 && !steps.1.1)
}

fn all(seed: u64) -> bool {
    let (old, new) = universe(&random(seed, 700));
    of_one(&new);
    of_changes(&new, usize::try_from(seed).unwrap());
    // A third revision that gives or takes a little, so that the premise is often true.
    let third = match seed % 3 {
        0 => revision(&new, &random(seed + 1_000_000, 700)),
        1 => changed(&new, |rules| drop(rules.grants.pop())),
        _ => changed(&new, |rules| drop(rules.limits.pop())),
    };
    let second = if seed.is_multiple_of(2) { old.clone() } else { changed(&old, |rules| drop(rules.grants.pop())) };
    of_three(&old, &second, &third) | of_three(&third, &new, &old)
}

#[test]
fn some() {
    let mut composed = 0;
    for seed in 0..40 {
        let run = std::panic::catch_unwind(|| all(seed));
        let Ok(premise) = run else { panic!("seed {seed}") };
        composed += u32::from(premise);
    }
    assert!(composed > 5, "hardly ever do two differences compose");
}

/// The same laws on many policies; see CONTRIBUTING.md.
#[test]
#[ignore = "a long run: it is a command of its own"]
fn many() {
    super::tests::everywhere(5_000, |seed| {
        all(seed);
    });
}
