//! The decision: which contracts a subject may enter, and how one of them judges an operation.
//!
//! Grants are alternatives, obligations conjoin, forbids absorb. The functions are total and pure; a case that no
//! rule permits is denied.

use super::index::ConnectionIndex;
use super::judge::{Judgement, Verdict};
use super::rules::{Connection, Forbid, Grant, Limits, Mode, RuleId, RuleKind};
use super::{Object, Program, Reason, Subject, Terms, Why};
use crate::protocol::Operation;
use crate::time::{Hours, Timestamp};
use std::sync::Arc;

/// One operation on one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Access {
    /// The operation.
    pub op: Operation,
    /// The object.
    pub object: Object,
}

/// A request point: a subject, a connection, an operation on an object, an instant.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who.
    pub subject: &'a Subject,
    /// Where.
    pub connection: &'a str,
    /// What.
    pub accesses: &'a [Access],
    /// The grant asked for.
    pub via: Option<&'a str>,
    /// When.
    pub at: Timestamp,
}

/// One grant under which a session may run, with its effective terms.
#[derive(Clone, Debug)]
pub struct Contract<'p> {
    /// The grant.
    pub grant: &'p Grant,
    /// The connection.
    pub connection: &'p Connection,
    /// The grant's terms met with every limit that applies.
    pub terms: Arc<Terms>,
}

/// What a subject may enter on one connection at one instant.
#[derive(Clone, Debug, Default)]
pub struct Candidates<'p> {
    /// Reasons that refuse every session: forbids. Not empty means that nothing may be entered.
    pub refusals: Vec<Reason>,
    /// The contracts, by grant id; break-glass grants included.
    pub contracts: Vec<Contract<'p>>,
    /// Why grants that concern the subject are no contracts now.
    pub misses: Vec<Reason>,
}

/// What a whole decision says.
#[derive(Clone, Debug)]
pub struct Decision<'p> {
    /// Permitted or denied.
    pub outcome: Outcome<'p>,
    refusal: Refusal<'p>,
}

/// The two outcomes.
#[derive(Clone, Debug)]
pub enum Outcome<'p> {
    /// Under this contract, with these obligations on the operation.
    Permitted {
        /// The contract.
        contract: Contract<'p>,
        /// The obligations.
        judgement: Judgement,
    },
    /// Not at all.
    Denied,
}

/// Where the reasons of a denial come from. Most of those who ask are content with the denial.
#[derive(Clone, Debug)]
enum Refusal<'p> {
    /// They are known: no request was looked at.
    Known(Vec<Reason>),
    /// The request, to be looked at once more by who wants them.
    Of(&'p Program, Request<'p>),
}

impl Decision<'_> {
    /// The denial of a subject whose token is refused.
    pub const fn refused(reasons: Vec<Reason>) -> Self {
        Self { outcome: Outcome::Denied, refusal: Refusal::Known(reasons) }
    }

    /// Every reason of a denial; empty otherwise.
    pub fn reasons(&self) -> Vec<Reason> {
        match (&self.outcome, &self.refusal) {
            (Outcome::Permitted { .. }, _) => Vec::new(),
            (Outcome::Denied, Refusal::Known(reasons)) => reasons.clone(),
            (Outcome::Denied, Refusal::Of(program, request)) => program.refusal(request),
        }
    }
}

/// Why a grant that concerns a subject is no contract now.
#[derive(Clone, Copy)]
enum Miss<'p> {
    Hours(&'p Grant),
    Day(&'p Grant),
    HoursOf(&'p Limits),
    Standing(&'p Limits),
}

impl Miss<'_> {
    fn reason(self) -> Reason {
        let limits = |limits: &Limits| RuleId::new(RuleKind::Limits, &limits.name);
        let (rule, why) = match self {
            Self::Hours(grant) => (grant.rule(), Why::OutsideHours),
            Self::Day(grant) => (grant.rule(), Why::NotValidToday),
            Self::HoursOf(rule) => (limits(rule), Why::OutsideHours),
            Self::Standing(rule) => (limits(rule), Why::StandingDenied),
        };
        Reason::new(Some(rule), why)
    }
}

impl Program {
    /// The contracts that a subject may enter on a connection at an instant. Operations play no part yet.
    pub fn candidates<'p>(&'p self, subject: &Subject, connection: &str, at: Timestamp) -> Candidates<'p> {
        let mut found = Candidates::default();
        let Some((target, index)) = self.indexed(connection) else {
            found.refusals.push(Reason::new(None, Why::UnknownConnection(connection.to_owned())));
            return found;
        };
        let forbids = self.forbids(index, subject, at);
        let rule = |forbid: &Forbid| RuleId::new(RuleKind::Forbid, &forbid.name);
        found.refusals = forbids.map(|forbid| Reason::new(Some(rule(forbid)), Why::Forbidden)).collect();
        for (place, grant) in index.grants.concerning(&self.rules.grants, &self.to_grants, subject) {
            match self.terms(index, (place, grant), subject, at) {
                Some(terms) => found.contracts.push(Contract { grant, connection: target, terms }),
                None => found.misses.extend(self.misses(index, grant, subject, at).map(Miss::reason)),
            }
        }
        found
    }

    /// Chooses the contract of a request: the one named, else the only one, break-glass excluded.
    ///
    /// # Errors
    /// With every reason when no contract is chosen.
    pub fn choose<'p>(
        &'p self,
        subject: &Subject,
        connection: &str,
        via: Option<&str>,
        at: Timestamp,
    ) -> Result<Contract<'p>, Vec<Reason>> {
        self.sole(subject, connection, via, at).ok_or_else(|| self.unchosen(subject, connection, via, at))
    }

    /// The contract that [`Program::choose`] chooses; why there is none is not said.
    fn sole<'p>(
        &'p self,
        subject: &Subject,
        connection: &str,
        via: Option<&str>,
        at: Timestamp,
    ) -> Option<Contract<'p>> {
        let (target, index) = self.indexed(connection)?;
        let mut sole = None;
        for (place, grant) in index.grants.concerning(&self.rules.grants, &self.to_grants, subject) {
            if !asked(grant, via) {
                continue;
            }
            let Some(terms) = self.terms(index, (place, grant), subject, at) else { continue };
            if sole.replace(Contract { grant, connection: target, terms }).is_some() {
                return None;
            }
        }
        sole.filter(|_| self.forbids(index, subject, at).next().is_none())
    }

    /// Why no contract is chosen.
    fn unchosen(&self, subject: &Subject, connection: &str, via: Option<&str>, at: Timestamp) -> Vec<Reason> {
        let Candidates { mut refusals, mut contracts, misses } = self.candidates(subject, connection, at);
        contracts.retain(|contract| asked(contract.grant, via));
        if contracts.len() > 1 {
            let ids = contracts.iter().map(|contract| contract.grant.id.clone()).collect();
            refusals.push(Reason::new(None, Why::Ambiguous(ids)));
            return refusals;
        }
        if contracts.is_empty() {
            let named = |rule: &RuleId| via.is_none_or(|id| rule.name == id || rule.kind != RuleKind::Grant);
            refusals.extend(misses.into_iter().filter(|miss| miss.rule.as_ref().is_none_or(named)));
        }
        if refusals.is_empty() {
            let no_grant = || Why::NoGrant(connection.to_owned());
            refusals.push(Reason::new(None, via.map_or_else(no_grant, |id| Why::NoSuchGrant(id.to_owned()))));
        }
        refusals
    }

    /// The whole decision at a request point: choose a contract, then judge under it. Tests, asserts and
    /// explanations use it; the gateway makes the two steps at their own times.
    pub fn decide<'p>(&'p self, request: &Request<'p>) -> Decision<'p> {
        let outcome = match self.permitted(request) {
            Some((contract, judgement)) => Outcome::Permitted { contract, judgement },
            None => Outcome::Denied,
        };
        Decision { outcome, refusal: Refusal::Of(self, *request) }
    }

    fn permitted(&self, request: &Request<'_>) -> Option<(Contract<'_>, Judgement)> {
        let Request { subject, connection, accesses, via, at } = *request;
        let contract = self.sole(subject, connection, via, at)?;
        let (_, index) = self.indexed(connection)?;
        if !self.allows(index, (subject, contract.grant), accesses, at) {
            return None;
        }
        let judgement = self.obligations(index, (subject, contract.grant, connection), (accesses, &[]), at);
        Some((contract, judgement))
    }

    /// Every reason why a request is denied.
    fn refusal(&self, request: &Request<'_>) -> Vec<Reason> {
        let Request { subject, connection, accesses, via, at } = *request;
        if let Some(contract) = self.sole(subject, connection, via, at) {
            return match self.judge(subject, contract.grant, connection, accesses, at, true).verdict {
                Verdict::Denied(reasons) => reasons,
                Verdict::Allowed | Verdict::Review(_) => Vec::new(),
            };
        }
        let mut reasons = self.unchosen(subject, connection, via, at);
        // Guards speak too, so that an explanation names every rule that would refuse.
        if let Some((_, index)) = self.indexed(connection) {
            reasons.extend(self.blocks(index, subject, accesses, at));
        }
        reasons
    }

    /// The absolute end of a window or session that begins at `start` and may last `lifetime`: the earliest of its
    /// length, the end of hours or validity of the grant and of limits, and the start of a forbid.
    pub fn window_end(
        &self,
        subject: &Subject,
        grant: &Grant,
        connection: &str,
        start: Timestamp,
        lifetime: crate::time::Ttl,
    ) -> Timestamp {
        let mut end = start.plus(lifetime);
        let mut no_later = |bound: Option<Timestamp>| {
            if let Some(bound) = bound {
                end = end.min(bound);
            }
        };
        no_later(grant.hours.as_ref().and_then(|hours| hours.end_after(start, &self.zone)));
        no_later(grant.valid.as_ref().and_then(|valid| valid.end(&self.zone)));
        let Some((_, index)) = self.indexed(connection) else { return start };
        for (_, limits) in self.limits(index, subject) {
            no_later(limits.hours.as_ref().and_then(|hours| hours.end_after(start, &self.zone)));
        }
        for (_, forbid) in index.forbids.concerning(&self.rules.forbids, &self.to_forbids, subject) {
            no_later(self.next_start(forbid, start));
        }
        end
    }

    /// The limits that apply to a subject on a connection, by name; so that a demand can name the rule behind it.
    pub fn limits_of<'p>(&'p self, subject: &Subject, connection: &str) -> impl Iterator<Item = &'p Limits> {
        let index = self.indexed(connection).map(|(_, index)| index);
        let limits = index.into_iter().flat_map(|index| self.limits(index, subject)).map(|(_, limits)| limits);
        limits.collect::<Vec<_>>().into_iter()
    }

    /// The first instant after `start` at which a forbid that does not apply yet begins to.
    fn next_start(&self, forbid: &Forbid, start: Timestamp) -> Option<Timestamp> {
        let over = forbid.valid.as_ref().and_then(|valid| valid.end(&self.zone));
        let first_day = forbid.valid.as_ref().and_then(|valid| valid.start(&self.zone)).filter(|day| *day > start);
        let from = first_day.unwrap_or(start);
        let begins = match &forbid.hours {
            None => first_day,
            Some(hours) if first_day.is_some() && hours.contains(from, &self.zone) => first_day,
            Some(hours) => hours.start_after(from, &self.zone),
        };
        begins.filter(|begins| over.is_none_or(|over| *begins < over))
    }

    fn forbids<'p>(
        &'p self,
        index: &'p ConnectionIndex,
        subject: &Subject,
        at: Timestamp,
    ) -> impl Iterator<Item = &'p Forbid> {
        let concerning = index.forbids.concerning(&self.rules.forbids, &self.to_forbids, subject);
        concerning.map(|(_, forbid)| forbid).filter(move |forbid| {
            forbid.hours.as_ref().is_none_or(|hours| hours.contains(at, &self.zone))
                && forbid.valid.as_ref().is_none_or(|valid| valid.contains(at, &self.zone))
        })
    }

    /// The limits that apply, each with its place among those of the connection.
    fn limits<'p>(
        &'p self,
        index: &'p ConnectionIndex,
        subject: &Subject,
    ) -> impl Iterator<Item = (usize, &'p Limits)> {
        index.limits.concerning(&self.rules.limits, &self.to_limits, subject)
    }

    /// Why a grant that concerns the subject is no contract now; nothing when it is one.
    fn misses<'p>(
        &'p self,
        index: &'p ConnectionIndex,
        grant: &'p Grant,
        subject: &Subject,
        at: Timestamp,
    ) -> impl Iterator<Item = Miss<'p>> {
        let outside = move |hours: &Option<Hours>| hours.as_ref().is_some_and(|hours| !hours.contains(at, &self.zone));
        let invalid = grant.valid.as_ref().is_some_and(|valid| !valid.contains(at, &self.zone));
        let own = [outside(&grant.hours).then_some(Miss::Hours(grant)), invalid.then_some(Miss::Day(grant))];
        let by_limits = self.limits(index, subject).flat_map(move |(_, limits)| {
            let standing = limits.standing_denied && grant.mode == Mode::Standing;
            [outside(&limits.hours).then_some(Miss::HoursOf(limits)), standing.then_some(Miss::Standing(limits))]
        });
        own.into_iter().chain(by_limits).flatten()
    }

    /// The effective terms of a grant that concerns the subject; `None` when it is no contract now. The grant comes with
    /// its place among those of the connection.
    fn terms(
        &self,
        index: &ConnectionIndex,
        (place, grant): (usize, &Grant),
        subject: &Subject,
        at: Timestamp,
    ) -> Option<Arc<Terms>> {
        if self.misses(index, grant, subject, at).next().is_some() {
            return None;
        }
        let applying = self.limits(index, subject).try_fold(0_u64, |all, (place, _)| {
            let bit = u32::try_from(place).ok().and_then(|place| 1_u64.checked_shl(place))?;
            Some(all | bit)
        });
        let make = || {
            let mut terms = Terms::of(grant);
            self.limits(index, subject).for_each(|(_, limits)| terms.meet(limits, subject.kind));
            if grant.break_glass.as_ref().is_some_and(|glass| glass.waives_approval) {
                terms.approvals.clear();
            }
            terms
        };
        Some(match index.met.get(place) {
            Some(met) => met.under(subject.kind, applying, make),
            None => Arc::new(make()),
        })
    }
}

/// Whether a request asks for this grant: the one named, else any that breaks no glass.
fn asked(grant: &Grant, via: Option<&str>) -> bool {
    via.map_or(grant.break_glass.is_none(), |id| grant.id == id)
}

impl Grant {
    /// How decisions name this grant.
    pub fn rule(&self) -> RuleId {
        RuleId::new(self.rule_kind(), &self.id)
    }

    /// Whether it is a grant or a break-glass.
    pub const fn rule_kind(&self) -> RuleKind {
        if self.break_glass.is_some() { RuleKind::BreakGlass } else { RuleKind::Grant }
    }
}
