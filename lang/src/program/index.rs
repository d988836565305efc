//! Which rules concern which connection, laid out for the decision: a short row for each rule, the rows of a connection
//! side by side, so that a rule which does not concern a subject is passed over without a look at the rule.

use super::rules::{Connection, Forbid, Grant, Guard, Limits, Mask, RuleId, RuleKind, Rules};
use super::terms::Met;
use super::{Invalid, Matchers, Program, Subject, SubjectKind, matches};
use std::collections::HashMap;

/// The rules of one connection, in the order of the tables.
#[derive(Debug, Default)]
pub(super) struct ConnectionIndex {
    pub(super) grants: Rows,
    pub(super) forbids: Rows,
    pub(super) limits: Rows,
    pub(super) guards: Rows,
    pub(super) masks: Rows,
    /// The terms of each row of `grants` that decisions have met.
    pub(super) met: Vec<Met>,
}

/// The rules of one kind at one connection.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<Row>);

#[derive(Clone, Copy, Debug)]
struct Row {
    /// The position in the table of its kind.
    rule: u32,
    whom: Whom,
}

/// Whom a rule concerns, as far as a row can say it.
#[derive(Clone, Copy, Debug)]
enum Whom {
    Everybody,
    /// Who holds this group, and is of the kind.
    Holding(u32, Option<SubjectKind>),
    /// Several groups or alternatives: the rule's matchers say.
    Listed,
}

impl Whom {
    fn of(matchers: &Matchers) -> Self {
        let Some(any) = matchers else { return Self::Everybody };
        match any.as_slice() {
            [only] if only.others.is_empty() => match only.first.and_then(|group| u32::try_from(group).ok()) {
                Some(group) => Self::Holding(group, only.kind),
                None => Self::Listed,
            },
            _ => Self::Listed,
        }
    }
}

impl Rows {
    fn push(&mut self, rule: usize, matchers: &Matchers) {
        // No policy is long enough for a position that is no `u32`.
        let rule = u32::try_from(rule).unwrap_or(u32::MAX);
        self.0.push(Row { rule, whom: Whom::of(matchers) });
    }

    /// The rules, each with its position in the table.
    pub(super) fn all<'a, T>(&'a self, table: &'a [T]) -> impl Iterator<Item = (usize, &'a T)> {
        self.0.iter().filter_map(|row| Some((row.rule as usize, table.get(row.rule as usize)?)))
    }

    /// The rules that concern a subject, each with its place among these rows. `to` says whom each rule of the table
    /// concerns.
    pub(super) fn concerning<'a, T>(
        &'a self,
        table: &'a [T],
        to: &'a [Matchers],
        subject: &Subject,
    ) -> impl Iterator<Item = (usize, &'a T)> {
        let concerned = move |row: &Row| match row.whom {
            Whom::Everybody => true,
            Whom::Holding(group, kind) => kind.is_none_or(|kind| kind == subject.kind) && subject.groups.has(group),
            Whom::Listed => to.get(row.rule as usize).is_some_and(|to| matches(to, subject)),
        };
        let rows = self.0.iter().enumerate().filter(move |(_, row)| concerned(row));
        rows.filter_map(|(place, row)| Some((place, table.get(row.rule as usize)?)))
    }
}

/// A connection and the rules that concern it, in the order of the tables.
#[derive(Clone, Debug)]
pub struct RulesAt<'p> {
    /// The connection.
    pub connection: &'p Connection,
    /// Grants and break-glass.
    pub grants: Vec<&'p Grant>,
    /// Forbids.
    pub forbids: Vec<&'p Forbid>,
    /// Limits.
    pub limits: Vec<&'p Limits>,
    /// Guards.
    pub guards: Vec<&'p Guard>,
    /// Masks.
    pub masks: Vec<&'p Mask>,
}

impl Program {
    /// A connection with its rules.
    pub fn rules_at(&self, connection: &str) -> Option<RulesAt<'_>> {
        fn of<'p, T>(rows: &'p Rows, table: &'p [T]) -> Vec<&'p T> {
            rows.all(table).map(|(_, rule)| rule).collect()
        }
        let (connection, index) = self.indexed(connection)?;
        let rules = &self.rules;
        Some(RulesAt {
            connection,
            grants: of(&index.grants, &rules.grants),
            forbids: of(&index.forbids, &rules.forbids),
            limits: of(&index.limits, &rules.limits),
            guards: of(&index.guards, &rules.guards),
            masks: of(&index.masks, &rules.masks),
        })
    }

    /// For every connection of the tables the positions of its rules: grants, forbids, limits, guards, masks.
    pub fn places(&self) -> impl Iterator<Item = [Vec<usize>; 5]> {
        let of = |rows: &Rows| rows.0.iter().map(|row| row.rule as usize).collect::<Vec<usize>>();
        let all = self.rules.connections.iter().map(|connection| self.indexed(&connection.name));
        all.map(move |found| {
            found.map_or_else(Default::default, |(_, index)| {
                [&index.grants, &index.forbids, &index.limits, &index.guards, &index.masks].map(of)
            })
        })
    }

    pub(super) fn indexed(&self, connection: &str) -> Option<(&Connection, &ConnectionIndex)> {
        let (position, index) = self.connections.get(connection)?;
        Some((self.rules.connections.get(*position)?, index))
    }

    /// Fills the rows of every connection, once it is known whom rules concern.
    pub(super) fn index_connections(&mut self) -> Result<(), Invalid> {
        let mut at = Connections::of(&self.rules);
        for (index, (rule, to)) in self.rules.grants.iter().zip(&self.to_grants).enumerate() {
            at.put((RuleKind::Grant, &rule.id), &rule.on, &|entry| {
                entry.grants.push(index, to);
                entry.met.push(Met::default());
            })?;
        }
        for (index, (rule, to)) in self.rules.forbids.iter().zip(&self.to_forbids).enumerate() {
            at.put((RuleKind::Forbid, &rule.name), &rule.on, &|entry| entry.forbids.push(index, to))?;
        }
        for (index, (rule, to)) in self.rules.limits.iter().zip(&self.to_limits).enumerate() {
            at.put((RuleKind::Limits, &rule.name), &rule.on, &|entry| entry.limits.push(index, to))?;
        }
        for (index, (rule, to)) in self.rules.guards.iter().zip(&self.to_guards).enumerate() {
            at.put((RuleKind::Guard, &rule.name), &rule.on, &|entry| entry.guards.push(index, to))?;
        }
        for (index, (rule, to)) in self.rules.masks.iter().zip(&self.to_masks).enumerate() {
            match &rule.on {
                Some(on) => at.put((RuleKind::Mask, &rule.name), on, &|entry| entry.masks.push(index, to))?,
                None => at.0.values_mut().for_each(|(_, entry)| entry.masks.push(index, to)),
            }
        }
        self.connections = at.0;
        Ok(())
    }
}

struct Connections(HashMap<String, (usize, ConnectionIndex)>);

impl Connections {
    fn of(rules: &Rules) -> Self {
        let all = rules.connections.iter().enumerate();
        Self(all.map(|(at, one)| (one.name.clone(), (at, ConnectionIndex::default()))).collect())
    }

    fn put(
        &mut self,
        (kind, name): (RuleKind, &str),
        on: &[String],
        add: &dyn Fn(&mut ConnectionIndex),
    ) -> Result<(), Invalid> {
        for connection in on {
            match self.0.get_mut(connection) {
                Some((_, entry)) => add(entry),
                None => return Err(Invalid::Undefined { rule: RuleId::new(kind, name), name: connection.clone() }),
            }
        }
        Ok(())
    }
}
