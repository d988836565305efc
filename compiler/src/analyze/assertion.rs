//! Assertions: sentences about every request, answered by proof or by a counterexample. Fewer principals bring fewer
//! obligations, and every claim only fails the more without them; so whoever violates a claim shows it already with
//! the principals of one grant's alternative and one alternative of `to`.

use super::{
    TooComplex,
    approvals::{self, Approvers},
    estate::{At, Estate, Holder},
    offer::Offer,
    paste, witness,
    witness::Disagreement,
};
use lang::{
    model::{Assert, Claim, Policy, Principal},
    program::{
        GroupSet, Object, SubjectKind, class_matches,
        rules::{Mode, Recorded},
        table_matches,
    },
    protocol::{ConnectionKind, Operation},
    time::Ttl,
};
use std::collections::BTreeSet;

/// How an assertion ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It holds for every request.
    Proved,
    /// It holds because nothing is concerned.
    Vacuous,
    /// It does not hold.
    Violated {
        /// One sentence.
        message: String,
        /// The request.
        witness: String,
        /// The request as a test.
        test: Option<String>,
    },
    /// It could not be looked at.
    Unknown(TooComplex),
}

/// Answers an assertion; `None` when it claims nothing, which is reported elsewhere.
///
/// # Errors
/// When a counterexample does not reproduce.
pub fn answer(estate: &Estate<'_>, policy: &Policy, assert: &Assert) -> Result<Option<Answer>, Disagreement> {
    let Some(claim) = &assert.claim else { return Ok(None) };
    let question = Question { estate, policy, assert, claim, besides: besides(estate, policy, assert) };
    let names: Vec<&str> = match &assert.on {
        Some(on) => on.connections.iter().map(|id| policy[*id].head.name.value.as_str()).collect(),
        None => estate.connections().collect(),
    };
    let mut concerned = false;
    for name in names {
        let at = match estate.at(name) {
            Ok(Some(at)) => at,
            Ok(None) => continue,
            Err(too_complex) => return Ok(Some(Answer::Unknown(too_complex))),
        };
        for grant in 0..at.side.grants.len() {
            for holder in estate.holders(&at, grant, &question.besides) {
                if let Some(found) = question.look(&at, &holder, &mut concerned)? {
                    return Ok(Some(found));
                }
            }
        }
    }
    Ok(Some(if concerned { Answer::Proved } else { Answer::Vacuous }))
}

fn alternative(estate: &Estate<'_>, policy: &Policy, one: &Principal) -> (GroupSet, Option<SubjectKind>) {
    let names: Vec<String> = one.groups.iter().map(|group| policy[*group].head.name.value.clone()).collect();
    (estate.people.groups(0, &names), one.kind)
}

fn besides(estate: &Estate<'_>, policy: &Policy, assert: &Assert) -> Vec<(GroupSet, Option<SubjectKind>)> {
    if assert.to.is_everybody() {
        return estate.anybody();
    }
    assert.to.alternatives().iter().map(|one| alternative(estate, policy, one)).collect()
}

struct Question<'a, 'r> {
    estate: &'a Estate<'r>,
    policy: &'a Policy,
    assert: &'a Assert,
    claim: &'a Claim,
    besides: Vec<(GroupSet, Option<SubjectKind>)>,
}

impl Question<'_, '_> {
    /// The violation that a holder shows, when they show one.
    fn look(&self, at: &At<'_>, holder: &Holder, concerned: &mut bool) -> Result<Option<Answer>, Disagreement> {
        let mut least: Option<(usize, &Offer, usize)> = None;
        for piece in &holder.pieces {
            for cell in piece.region.iter() {
                let Some(point) = at.cells.point(cell) else { continue };
                if let Some(class) = &self.assert.where_raw
                    && !raw(at, point.access.op, &point.access.object, &piece.offer, &class.value)
                {
                    continue;
                }
                *concerned = true;
                let violated = self.violated(at, holder, point.access.op, &point.access.object, &piece.offer);
                let better = |(old, ..): &(usize, &Offer, usize)| touches(at, cell) && !touches(at, *old);
                if violated && least.as_ref().is_none_or(better) {
                    least = Some((cell, &piece.offer, piece.grant));
                }
            }
        }
        let Some((cell, offer, grant)) = least else { return Ok(None) };
        let (people, who) = (&self.estate.people, &holder.who);
        witness::verify(&at.side, people, &at.cells, who, cell)?;
        let (Some(row), Some(point)) = (at.side.grants.get(grant), at.cells.point(cell)) else { return Ok(None) };
        let connection = &at.side.connection.name;
        Ok(Some(Answer::Violated {
            message: format!("`{}` gives {} at {connection}", row.grant.id, offer.describe()),
            witness: witness::show(self.estate.program, people, 0, who, connection, &point),
            test: paste::test(&at.side, people, &at.cells, who, cell, Some(&row.grant.id)),
        }))
    }

    fn violated(&self, at: &At<'_>, holder: &Holder, op: Operation, object: &Object, offer: &Offer) -> bool {
        match self.claim {
            Claim::NeverMode(mode) => offer.terms.mode == mode.value,
            Claim::NeverOp(ops) => ops.set.contains(op),
            Claim::NeverRaw(class) => raw(at, op, object, offer, &class.value),
            Claim::Only(principals) => {
                let Some(seat) = self.estate.people.seat(0, &holder.who) else { return false };
                !principals.iter().any(|one| {
                    let (groups, kind) = alternative(self.estate, self.policy, one);
                    kind.is_none_or(|kind| kind == seat.kind) && groups.is_subset(&seat.held)
                })
            }
            Claim::Always(key, value) => !self.at_least(&key.value, &value.value, offer),
        }
    }

    /// Whether an offer is at least as strict as a term.
    fn at_least(&self, axis: &str, value: &str, offer: &Offer) -> bool {
        let terms = &offer.terms;
        let length = || Ttl::parse(value).unwrap_or_default();
        match axis {
            "when" => terms.mode == if value == "standing" { Mode::Standing } else { Mode::Requested },
            "lifetime" => terms.lifetime <= length() && terms.total <= length(),
            "recorded" => {
                let least = [Recorded::None, Recorded::Metadata].into_iter().find(|one| one.word() == value);
                terms.recorded >= least.unwrap_or(Recorded::Full)
            }
            "approval" => {
                let own = Approvers { rules: self.estate.program.rules(), view: 0 };
                let wanted = BTreeSet::from([value.to_owned()]);
                approvals::implies(&self.estate.people, (own, &terms.approvals), (own, &wanted))
            }
            "reason" => terms.reason,
            "ticket" => !terms.tickets.is_empty(),
            "mfa" => terms.mfa,
            "cooldown" => terms.cooldown >= length(),
            // The schema knows no other axis; one that nobody judges is not proved.
            _ => false,
        }
    }
}

fn touches(at: &At<'_>, cell: usize) -> bool {
    at.cells.point(cell).is_some_and(|point| point.access.object != Object::Nothing)
}

/// Whether an operation on an object shows data of a class as it is.
pub fn raw(at: &At<'_>, op: Operation, object: &Object, offer: &Offer, class: &str) -> bool {
    let connection = at.side.connection;
    let own = connection.classified.iter().filter(|item| class_matches(class, &item.class));
    match (connection.kind, object) {
        (ConnectionKind::Postgres | ConnectionKind::Mysql, Object::Table { schema, name }) => {
            // Whatever else a statement does, what it reads it selects.
            matches!(op, Operation::Select | Operation::CopyOut)
                && own
                    .filter(|item| table_matches(&item.object, schema, name))
                    .any(|item| offer.sight.is_raw(item.column.as_deref()))
        }
        (ConnectionKind::Kubernetes, Object::Kubernetes { .. }) | (ConnectionKind::Http, Object::Path(_)) => {
            own.into_iter().any(|item| offer.sight.is_raw(Some(&item.object)))
        }
        (
            ConnectionKind::Postgres
            | ConnectionKind::Mysql
            | ConnectionKind::Ssh
            | ConnectionKind::Kubernetes
            | ConnectionKind::Http,
            _,
        ) => false,
    }
}
