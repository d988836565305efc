//! Questions about one policy: who can, what can somebody, and why. Answers are data with rules and places; the
//! decision itself is that of `lang`.

use super::{
    TooComplex,
    bits::Bits,
    compare, describe,
    estate::{At, Estate},
};
use lang::{
    program::{
        Access, Contract, Judgement, Object, Outcome, Program, Reason, Request, Subject, SubjectKind, Verdict,
        rules::{Grant, Principal, RuleId, RuleKind},
    },
    protocol::OpSet,
    time::Timestamp,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What one grant gives to some people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Given {
    /// The connection.
    pub connection: String,
    /// To whom, as alternatives.
    pub who: Vec<String>,
    /// Of which kinds.
    pub kinds: BTreeSet<SubjectKind>,
    /// What, in boxes.
    pub what: Vec<String>,
    /// Under which terms.
    pub terms: String,
    /// By which grant.
    pub grant: String,
    /// Where it stands.
    pub place: Option<String>,
}

/// Why a request is answered as it is.
#[derive(Clone, Debug, Serialize)]
pub struct Why {
    /// Whether some grant permits it.
    pub permitted: bool,
    /// The request in words.
    pub request: String,
    /// Grants that permit it.
    pub via: Vec<Permits>,
    /// Grants that do not, the nearest miss first.
    pub not: Vec<Misses>,
    /// Why nobody with this token is let in at all.
    pub refused: Vec<String>,
}

/// A grant that permits a request.
#[derive(Clone, Debug, Serialize)]
pub struct Permits {
    /// The grant.
    pub grant: String,
    /// Where it stands.
    pub place: Option<String>,
    /// The effective terms.
    pub terms: String,
    /// Every obligation that applies, with its place.
    pub obligations: Vec<Obligation>,
}

/// A rule that applies.
#[derive(Clone, Debug, Serialize)]
pub struct Obligation {
    /// The rule.
    pub rule: String,
    /// Where it stands.
    pub place: Option<String>,
}

/// A grant that does not permit a request.
#[derive(Clone, Debug, Serialize)]
pub struct Misses {
    /// The grant.
    pub grant: String,
    /// Where it stands.
    pub place: Option<String>,
    /// Everything that keeps it from permitting.
    pub because: Vec<String>,
}

/// A request that is asked about.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The kind of the subject.
    pub kind: SubjectKind,
    /// The groups that it asserts.
    pub groups: &'a [String],
    /// The connection.
    pub connection: &'a str,
    /// The operation on an object.
    pub access: Access,
    /// When.
    pub at: Timestamp,
}

/// Everybody who gets something at a connection, restricted to operations and an object when they are given.
///
/// # Errors
/// When the connection's patterns cannot be looked at.
pub fn who_can(
    estate: &Estate<'_>,
    connection: &str,
    ops: Option<OpSet>,
    object: Option<&Object>,
) -> Result<Vec<Given>, TooComplex> {
    let Some(at) = estate.about(connection, object)? else { return Ok(Vec::new()) };
    let wanted = wanted(&at, ops, object);
    let mut merged: BTreeMap<(usize, Bits, String), Given> = BTreeMap::new();
    for (grant, row) in at.side.grants.iter().enumerate() {
        for holder in estate.holders(&at, grant, &estate.anybody()) {
            for piece in holder.pieces {
                let region = piece.region.and(&wanted);
                if region.is_empty() {
                    continue;
                }
                let terms = piece.offer.describe();
                let given = merged.entry((grant, region.clone(), terms.clone())).or_insert_with(|| {
                    let mut given = given(estate, &at, row.grant, &region, terms);
                    if let Some(object) = object {
                        given.what = vec![on_object(&at, &region, object)];
                    }
                    given
                });
                let who = compare::who(&estate.people, &at.side, &holder.who);
                if !given.who.contains(&who) {
                    given.who.push(who);
                }
                given.kinds.insert(holder.who.kind);
            }
        }
    }
    Ok(merged.into_values().collect())
}

/// Everything that somebody gets, at one connection or at all of them.
///
/// # Errors
/// With the reasons when the token is refused, or when patterns cannot be looked at.
pub fn what_can(
    estate: &Estate<'_>,
    kind: SubjectKind,
    groups: &[String],
    only: Option<&str>,
) -> Result<Vec<Given>, Vec<String>> {
    estate.program.subject_of(kind, groups, true).map_err(|reasons| texts(&reasons))?;
    let Some(person) = estate.person(kind, groups) else {
        return Err(vec!["no identity provider asserts these groups together".to_owned()]);
    };
    let mut all = Vec::new();
    for connection in estate.connections().filter(|name| only.is_none_or(|only| only == *name)) {
        let at = estate.at(connection).map_err(|error| vec![format!("{connection}: {error}")])?;
        let Some(at) = at else { continue };
        for piece in estate.offers(&at, &person).iter() {
            let Some(row) = at.side.grants.get(piece.grant) else { continue };
            let mut given = given(estate, &at, row.grant, &piece.region, piece.offer.describe());
            given.who.push(compare::who(&estate.people, &at.side, &person));
            given.kinds.insert(kind);
            all.push(given);
        }
    }
    Ok(all)
}

/// Why a request is permitted or denied.
///
/// # Errors
/// When the connection's patterns cannot be looked at.
pub fn why(estate: &Estate<'_>, asked: &Asked<'_>) -> Result<Why, TooComplex> {
    let program = estate.program;
    let object = match &asked.access.object {
        Object::Nothing => String::new(),
        object @ (Object::Table { .. } | Object::Kubernetes { .. } | Object::Path(_) | Object::Argv(_)) => {
            format!(" {object}")
        }
    };
    let mut why = Why {
        permitted: false,
        request: format!(
            "kind={} groups={{{}}}  {}  {}{object}  {}",
            asked.kind,
            asked.groups.join(", "),
            asked.connection,
            asked.access.op,
            program.zone().display(asked.at)
        ),
        via: Vec::new(),
        not: Vec::new(),
        refused: Vec::new(),
    };
    let subject = match program.subject_of(asked.kind, asked.groups, true) {
        Ok(subject) => subject,
        Err(reasons) => {
            why.refused = texts(&reasons);
            return Ok(why);
        }
    };
    let Some(local) = estate.local(asked.connection) else {
        why.refused.push(format!("there is no connection `{}`", asked.connection));
        return Ok(why);
    };
    for grant in &local.grants {
        let decision = program.decide(&Request {
            subject: &subject,
            connection: asked.connection,
            accesses: std::slice::from_ref(&asked.access),
            via: Some(&grant.id),
            at: asked.at,
        });
        let rule = grant.rule();
        let place = program.place(&rule).map(ToString::to_string);
        let reasons = decision.reasons();
        match decision.outcome {
            Outcome::Permitted { contract, judgement } => {
                why.permitted = true;
                let obligations = obligations(program, &subject, asked.connection, &contract, &judgement);
                let terms = offer(&contract.terms, &judgement);
                why.via.push(Permits { grant: grant.id.clone(), place, terms, obligations });
            }
            Outcome::Denied => {
                let because = nearest(program, &subject, grant, &asked.access, &reasons);
                why.not.push(Misses { grant: grant.id.clone(), place, because });
            }
        }
    }
    why.not.sort_by_key(|miss| (miss.because.len(), miss.grant.clone()));
    Ok(why)
}

/// Every rule behind a permission besides its grant, with its place.
fn obligations(
    program: &Program,
    subject: &Subject,
    connection: &str,
    contract: &Contract<'_>,
    judgement: &Judgement,
) -> Vec<Obligation> {
    let mut rules: BTreeSet<RuleId> = judgement.masks.iter().map(|hit| hit.rule.clone()).collect();
    if let Verdict::Review(reviews) = &judgement.verdict {
        rules.extend(reviews.iter().map(|(rule, _)| rule.clone()));
        rules.extend(reviews.iter().map(|(_, by)| RuleId::new(RuleKind::Approval, by)));
    }
    let limits = &judgement.limits;
    let bounds = [&limits.rows, &limits.seconds, &limits.bytes];
    rules.extend(bounds.into_iter().flatten().map(|(_, rule)| rule.clone()));
    let applying = program.limits_of(subject, connection);
    rules.extend(applying.map(|rule| RuleId::new(RuleKind::Limits, &rule.name)));
    rules.extend(contract.terms.approvals.iter().map(|name| RuleId::new(RuleKind::Approval, name)));
    let placed =
        |rule: RuleId| Obligation { place: program.place(&rule).map(ToString::to_string), rule: rule.to_string() };
    rules.into_iter().map(placed).collect()
}

/// What a grant lacks to permit an access.
fn nearest(program: &Program, subject: &Subject, grant: &Grant, access: &Access, reasons: &[Reason]) -> Vec<String> {
    let held: BTreeSet<String> = program.group_names(subject).into_iter().collect();
    let mut because: Vec<String> = missing(grant, &held, subject.kind).into_iter().collect();
    let stated = |reason: &&Reason| because.is_empty() || reason.rule.is_some();
    let others: Vec<String> = reasons.iter().filter(stated).map(ToString::to_string).collect();
    because.extend(others);
    if !grant.permit.contains(access.op) && !because.iter().any(|one| one.contains("permitted")) {
        because.push(format!("`{}` is not among the operations that it permits", access.op));
    } else if !grant.scope.covers(&access.object) && !because.iter().any(|one| one.contains("outside")) {
        because.push(format!("`{}` is outside its objects", access.object));
    }
    because
}

/// What somebody lacks to match a grant at all; by the alternative that they are nearest to.
fn missing(grant: &Grant, held: &BTreeSet<String>, kind: SubjectKind) -> Option<String> {
    let lacks = |one: &Principal| -> Vec<String> {
        let groups = one.groups.iter().filter(|group| !held.contains(*group)).map(|group| format!("group:{group}"));
        let wrong = one.kind.filter(|own| *own != kind).map(|own| format!("kind={own}"));
        groups.chain(wrong).collect()
    };
    let nearest = grant.to.iter().map(lacks).min_by_key(Vec::len)?;
    (!nearest.is_empty()).then(|| format!("it is for {}, which the subject does not hold", nearest.join(" and ")))
}

fn offer(terms: &Arc<lang::program::Terms>, judgement: &lang::program::Judgement) -> String {
    let reviews = match &judgement.verdict {
        Verdict::Review(reviews) => reviews.iter().map(|(_, by)| by.clone()).collect(),
        Verdict::Allowed | Verdict::Denied(_) => BTreeSet::new(),
    };
    let bound = |bound: &Option<(u64, RuleId)>| bound.as_ref().map(|(most, _)| *most);
    let offer = super::offer::Offer {
        terms: Arc::clone(terms),
        glass: None,
        reviews,
        rows: bound(&judgement.limits.rows),
        seconds: bound(&judgement.limits.seconds),
        bytes: bound(&judgement.limits.bytes),
        sight: Arc::default(),
    };
    let masks: BTreeSet<String> = judgement
        .masks
        .iter()
        .map(|hit| {
            let column = hit.column.as_ref().map_or_else(String::new, |column| format!(" {column}"));
            format!("{}{column}", hit.mask.word())
        })
        .collect();
    if masks.is_empty() {
        return offer.describe();
    }
    format!("{}, masked ({})", offer.describe(), masks.into_iter().collect::<Vec<_>>().join(", "))
}

fn texts(reasons: &[Reason]) -> Vec<String> {
    reasons.iter().map(ToString::to_string).collect()
}

fn given(estate: &Estate<'_>, at: &At<'_>, grant: &Grant, region: &Bits, terms: String) -> Given {
    let connection = at.side.connection.name.clone();
    let local = estate.local(&connection);
    Given {
        what: describe::region(&at.cells, region, &local.into_iter().collect::<Vec<_>>(), estate.program.zone()),
        connection,
        who: Vec::new(),
        kinds: BTreeSet::new(),
        terms,
        grant: grant.id.clone(),
        place: estate.program.place(&grant.rule()).map(ToString::to_string),
    }
}

/// Operations on the one object that was asked about.
fn on_object(at: &At<'_>, region: &Bits, object: &Object) -> String {
    let ops: OpSet = region.iter().filter_map(|cell| at.cells.point(cell)).map(|point| point.access.op).collect();
    format!("{} on {object}", describe::words(at.side.connection.kind, ops))
}

/// The cells that a question is about.
fn wanted(at: &At<'_>, ops: Option<OpSet>, object: Option<&Object>) -> Bits {
    at.cells
        .region(|op, own| ops.is_none_or(|ops| ops.contains(op)) && object.is_none_or(|object| object == own), |_| true)
}
