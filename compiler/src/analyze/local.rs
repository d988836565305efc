//! The rules that concern one connection. Everything factors by connection, and nothing crosses.

use lang::program::rules::{Connection, Forbid, Grant, Guard, Limits, Mask, Rules};
use std::collections::BTreeMap;

/// One connection with its rules, in the order of the tables.
#[derive(Clone, Debug)]
pub struct Local<'r> {
    /// The whole policy.
    pub rules: &'r Rules,
    /// The connection.
    pub connection: &'r Connection,
    /// Grants and break-glass.
    pub grants: Vec<&'r Grant>,
    /// Forbids.
    pub forbids: Vec<&'r Forbid>,
    /// Limits.
    pub limits: Vec<&'r Limits>,
    /// Guards.
    pub guards: Vec<&'r Guard>,
    /// Masks.
    pub masks: Vec<&'r Mask>,
}

impl<'r> Local<'r> {
    /// Every connection of a policy with its rules.
    pub fn all(rules: &'r Rules) -> BTreeMap<&'r str, Self> {
        let empty = |connection: &'r Connection| Self {
            rules,
            connection,
            grants: Vec::new(),
            forbids: Vec::new(),
            limits: Vec::new(),
            guards: Vec::new(),
            masks: Vec::new(),
        };
        let mut all: BTreeMap<&str, Self> =
            rules.connections.iter().map(|connection| (connection.name.as_str(), empty(connection))).collect();
        rules.grants.iter().for_each(|rule| put(&mut all, &rule.on, |local| local.grants.push(rule)));
        rules.forbids.iter().for_each(|rule| put(&mut all, &rule.on, |local| local.forbids.push(rule)));
        rules.limits.iter().for_each(|rule| put(&mut all, &rule.on, |local| local.limits.push(rule)));
        rules.guards.iter().for_each(|rule| put(&mut all, &rule.on, |local| local.guards.push(rule)));
        for rule in &rules.masks {
            match &rule.on {
                Some(on) => put(&mut all, on, |local| local.masks.push(rule)),
                None => all.values_mut().for_each(|local| local.masks.push(rule)),
            }
        }
        all
    }

    /// Whether two revisions say the same here, but for on which other connections they say it.
    pub fn is_like(&self, other: &Self) -> bool {
        fn same<T: PartialEq + Clone>(a: &[&T], b: &[&T], bare: impl Fn(&mut T)) -> bool {
            let equal = |a: &T, b: &T| {
                a == b || {
                    let (mut a, mut b) = (a.clone(), b.clone());
                    bare(&mut a);
                    bare(&mut b);
                    a == b
                }
            };
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b))
        }
        let (mine, theirs) = (self.connection, other.connection);
        mine.kind == theirs.kind
            && mine.classified == theirs.classified
            && same(&self.grants, &other.grants, |rule| {
                rule.on.clear();
                rule.beside.clear();
            })
            && same(&self.forbids, &other.forbids, |rule| rule.on.clear())
            && same(&self.limits, &other.limits, |rule| rule.on.clear())
            && same(&self.guards, &other.guards, |rule| rule.on.clear())
            && same(&self.masks, &other.masks, |rule| rule.on = None)
    }
}

fn put<'r>(all: &mut BTreeMap<&'r str, Local<'r>>, on: &[String], mut add: impl FnMut(&mut Local<'r>)) {
    for name in on {
        if let Some(local) = all.get_mut(name.as_str()) {
            add(local);
        }
    }
}
