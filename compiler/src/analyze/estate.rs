//! One policy under the engine: what somebody can do at a connection, and who can. The interface of everything that
//! asks about a single revision; whoever compares two uses [`super::report`].

use super::{
    TooComplex,
    cells::Cells,
    local::Local,
    people::{People, Person, Seat},
    side::{Alternative, Piece, Side},
};
use lang::{
    program::{
        GroupSet, Object, Program, SubjectKind,
        rules::{Principal, To},
    },
    time::Timestamp,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A policy from an instant on.
#[derive(Debug)]
pub struct Estate<'r> {
    /// The policy.
    pub program: &'r Program,
    /// Everybody whom it tells apart.
    pub people: People,
    locals: BTreeMap<&'r str, Local<'r>>,
    from: Timestamp,
}

/// One connection of a policy.
#[derive(Debug)]
pub struct At<'r> {
    /// Its cells.
    pub cells: Cells,
    /// Its rules on the cells.
    pub side: Side<'r>,
}

/// Somebody who is offered something by a grant, with the fewest principals that it takes.
#[derive(Clone, Debug)]
pub struct Holder {
    /// Who.
    pub who: Person,
    /// What, in pieces of equal terms.
    pub pieces: Vec<Piece>,
}

impl<'r> Estate<'r> {
    /// A policy; what ended before `from` is no part of it.
    pub fn new(program: &'r Program, from: Timestamp) -> Self {
        let people = People::new(&[program.rules()]);
        let names = program.rules().connections.iter().map(|connection| connection.name.as_str());
        let locals = names.filter_map(|name| Some((name, program.rules_at(name)?))).collect();
        Self { program, people, locals, from }
    }

    /// The names of the connections.
    pub fn connections(&self) -> impl Iterator<Item = &'r str> + '_ {
        self.locals.keys().copied()
    }

    /// The rules of a connection.
    pub fn local(&self, connection: &str) -> Option<&Local<'r>> {
        self.locals.get(connection)
    }

    /// A connection under the engine; `None` when there is none of this name.
    ///
    /// # Errors
    /// When its patterns fall into more classes than can be looked at.
    pub fn at(&self, connection: &str) -> Result<Option<At<'r>>, TooComplex> {
        self.about(connection, None)
    }

    /// The same, with an object that is told apart from every other one.
    ///
    /// # Errors
    /// When its patterns fall into more classes than can be looked at.
    pub fn about(&self, connection: &str, object: Option<&Object>) -> Result<Option<At<'r>>, TooComplex> {
        let Some(local) = self.locals.get(connection) else { return Ok(None) };
        let cells = Cells::with(&[local], object, self.program.zone(), self.from)?;
        let side = Side::new(0, self.program, local, &cells, &self.people);
        Ok(Some(At { cells, side }))
    }

    /// The person who holds these groups, by name; `None` when no token can assert them together.
    pub fn person(&self, kind: SubjectKind, groups: &[String]) -> Option<Person> {
        self.people.holding(0, kind, groups)
    }

    /// What somebody is offered at a connection; nothing when the token is refused.
    pub fn offers(&self, at: &At<'r>, who: &Person) -> Arc<[Piece]> {
        at.side.offers(&self.people, who)
    }

    /// Everybody who matches one of these alternatives: for each of them and each kind the fewest principals.
    /// `besides` are groups and a kind that they hold as well.
    pub fn seats(&self, to: &[Alternative], besides: &[(GroupSet, Option<SubjectKind>)]) -> Vec<(Person, Seat)> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for alternative in to {
            for (groups, kind) in besides {
                let wanted = alternative.groups.or(groups);
                for idp in self.people.providers() {
                    for own in SubjectKind::ALL {
                        for who in self.people.joined(0, &People::nobody(idp, own), &wanted) {
                            let Some(seat) = self.people.seat(0, &who) else { continue };
                            // A service that is an agent is looked at as an agent.
                            let turned = seat.kind != who.kind;
                            let matches = alternative.matches(&seat) && kind.is_none_or(|kind| kind == seat.kind);
                            if !turned && matches && seen.insert(who.clone()) {
                                found.push((who, seat));
                            }
                        }
                    }
                }
            }
        }
        found
    }

    /// Everybody who gets something from a grant, with the fewest principals that it takes.
    pub fn holders(&self, at: &At<'r>, grant: usize, besides: &[(GroupSet, Option<SubjectKind>)]) -> Vec<Holder> {
        let Some(row) = at.side.grants.get(grant) else { return Vec::new() };
        let mut found = Vec::new();
        for (who, seat) in self.seats(&row.to, besides) {
            let mut pieces = at.side.offers_to(&seat);
            pieces.retain(|piece| piece.grant == grant);
            if !pieces.is_empty() {
                found.push(Holder { who, pieces });
            }
        }
        found
    }

    /// The alternatives of a rule's `to`.
    pub fn alternatives(&self, to: &[Principal]) -> Vec<Alternative> {
        Alternative::all(&self.people, 0, to)
    }

    /// Whether a rule concerns somebody.
    pub fn concerns(&self, to: &To, seat: &Seat) -> bool {
        match to {
            To::Everybody => true,
            To::Any(any) => self.alternatives(any).iter().any(|one| one.matches(seat)),
        }
    }

    /// Nothing besides: for [`Estate::seats`].
    pub fn anybody(&self) -> Vec<(GroupSet, Option<SubjectKind>)> {
        vec![(GroupSet::new(), None)]
    }
}
