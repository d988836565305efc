//! What a contract demands before a window may open. Pure.

use super::refusal::Because;
use super::request::Asking;
use crate::store::Window;
use lang::program::rules::{Approval, Grant, Limits, RuleId, RuleKind};
use lang::program::{Contract, Program, Subject};
use lang::protocol::ConnectionKind;
use lang::time::{Timestamp, Ttl};
use std::collections::BTreeSet;

/// The grants of these windows count; a break-glass grant's do not.
fn counts(program: &Program, window: &Window) -> bool {
    program.grant(&window.grant).is_none_or(|grant| grant.break_glass.is_none())
}

/// How far back windows bear on anything that a policy says.
pub(super) fn lookback(program: &Program) -> Ttl {
    let rules = program.rules();
    let of_grants = rules.grants.iter().flat_map(|rule| [rule.cooldown, rule.at_most.map(|most| most.per)]);
    let of_limits = rules.limits.iter().flat_map(|rule| [rule.cooldown, rule.at_most.map(|most| most.per)]);
    of_grants.chain(of_limits).flatten().max().unwrap_or(Ttl::ZERO)
}

/// The digest that approvals bind to: the effective terms, what the grant permits and reveals, and who approves.
///
/// Lower-case hexadecimal. An unrelated merge leaves it alone; a change of anything that was shown does not.
pub fn binding(program: &Program, contract: &Contract<'_>) -> String {
    let approvals: Vec<Option<(&str, &[_], bool, Ttl)>> = contract
        .terms
        .approvals
        .iter()
        .map(|name| {
            program
                .approval(name)
                .map(|found| (found.name.as_str(), found.quorum.as_slice(), found.separate, found.answer_within))
        })
        .collect();
    let Grant { id, permit, scope, reveal, .. } = contract.grant;
    let shown = (&*contract.terms, &contract.connection.name, id, permit, scope, reveal, approvals);
    let mut bytes = Vec::new();
    match ciborium::into_writer(&shown, &mut bytes) {
        Ok(()) => blake3::hash(&bytes).to_hex().to_string(),
        // Writing to memory cannot fail; an empty digest would match nothing.
        Err(_) => String::new(),
    }
}

/// The rule behind a demand: the grant's own, else the first limit that makes it.
fn behind(
    program: &Program,
    subject: &Subject,
    contract: &Contract<'_>,
    grant: impl Fn(&Grant) -> bool,
    limits: impl Fn(&Limits) -> bool,
) -> Option<RuleId> {
    if grant(contract.grant) {
        return Some(contract.grant.rule());
    }
    program
        .limits_of(subject, &contract.connection.name)
        .find(|rule| limits(rule))
        .map(|rule| RuleId::new(RuleKind::Limits, &rule.name))
}

fn because(program: &Program, rule: Option<RuleId>, sentence: String) -> Because {
    match rule {
        Some(rule) => Because::rule(program, rule, sentence),
        None => Because::plain(sentence),
    }
}

/// Why this version of the gateway serves no session under a contract.
pub(super) fn unserved(program: &Program, contract: &Contract<'_>) -> Option<Because> {
    let connection = contract.connection;
    match connection.kind {
        ConnectionKind::Postgres => {}
        ConnectionKind::Mysql | ConnectionKind::Ssh | ConnectionKind::Kubernetes | ConnectionKind::Http => {
            let sentence = format!(
                "this version does not serve {} connections yet (P0422), so a window would be of no use",
                connection.kind.word()
            );
            let rule = RuleId::new(RuleKind::Connection, &connection.name);
            return Some(Because::rule(program, rule, sentence));
        }
    }
    None
}

/// What a request lacks: a reason, a ticket, multi-factor authentication.
pub(super) fn missing(program: &Program, subject: &Subject, contract: &Contract<'_>, asking: &Asking) -> Vec<Because> {
    let mut all = Vec::new();
    if contract.terms.reason && asking.reason.is_none() {
        let rule = behind(program, subject, contract, |grant| grant.reason, |limits| limits.reason);
        all.push(because(program, rule, "a reason is required; say why you need access".to_owned()));
    }
    for expression in &contract.terms.tickets {
        let own = |ticket: &Option<String>| ticket.as_ref() == Some(expression);
        let rule = behind(program, subject, contract, |grant| own(&grant.ticket), |limits| own(&limits.ticket));
        let sentence = match &asking.ticket {
            None => format!("a ticket is required that matches `{expression}`"),
            Some(ticket) if !program.ticket_matches(expression, ticket) => {
                format!("the ticket `{ticket}` does not match `{expression}`")
            }
            Some(_) => continue,
        };
        all.push(because(program, rule, sentence));
    }
    if contract.terms.mfa && !subject.mfa {
        let rule = behind(program, subject, contract, |grant| grant.mfa, |limits| limits.mfa);
        all.push(because(program, rule, "multi-factor authentication is required; sign in again with it".to_owned()));
    }
    all
}

/// Why a window may not open yet: `cooldown` and `at-most` over the subject's windows on the connection.
pub(super) fn too_soon(
    program: &Program,
    subject: &Subject,
    contract: &Contract<'_>,
    windows: &[Window],
    now: Timestamp,
) -> Vec<Because> {
    let mut all = Vec::new();
    let counted = || windows.iter().filter(|window| counts(program, window));
    let cooldown = contract.terms.cooldown;
    if cooldown > Ttl::ZERO
        && let Some(last) = counted().max_by_key(|window| window.over_at())
        && last.over_at().plus(cooldown) > now
    {
        let own = |own: Option<Ttl>| own == Some(cooldown);
        let rule = behind(program, subject, contract, |grant| own(grant.cooldown), |limits| own(limits.cooldown));
        let connection = &contract.connection.name;
        let sentence = if last.is_open(now) {
            format!(
                "your window `{}` on `{connection}` is open until {}, and {cooldown} must pass after it",
                last.id,
                last.over_at()
            )
        } else {
            format!(
                "{cooldown} must pass between two windows on `{connection}`; ask again at {}",
                last.over_at().plus(cooldown)
            )
        };
        all.push(because(program, rule, sentence));
    }
    for most in &contract.terms.at_most {
        let since = now.minus(most.per);
        let mut starts: Vec<Timestamp> =
            counted().map(|window| window.started).filter(|started| *started > since).collect();
        starts.sort_unstable();
        let count = usize::try_from(most.count).unwrap_or(usize::MAX);
        if starts.len() < count {
            continue;
        }
        let again = starts.get(starts.len() - count).map(|first| first.plus(most.per));
        let own = |own: Option<lang::program::rules::AtMost>| own == Some(*most);
        let rule = behind(program, subject, contract, |grant| own(grant.at_most), |limits| own(limits.at_most));
        let connection = &contract.connection.name;
        let sentence = match again {
            Some(again) if count > 0 => {
                format!("at most {} windows on `{connection}` in {}; ask again at {again}", most.count, most.per)
            }
            Some(_) | None => format!("no window may open on `{connection}`"),
        };
        all.push(because(program, rule, sentence));
    }
    all
}

/// The approvals that a contract needs, by name.
///
/// # Errors
/// When the policy names one that it does not define, or one that nobody could ever satisfy.
pub(super) fn approvals<'p>(program: &'p Program, contract: &Contract<'_>) -> Result<Vec<&'p Approval>, Because> {
    named(program, &contract.terms.approvals)
}

/// Approvals by name.
///
/// # Errors
/// When the policy does not define one, or one that nobody could ever satisfy.
pub(super) fn named<'p>(program: &'p Program, names: &BTreeSet<String>) -> Result<Vec<&'p Approval>, Because> {
    names
        .iter()
        .map(|name| match program.approval(name) {
            Some(approval) if super::quorum::places(approval) > 0 => Ok(approval),
            Some(_) | None => Err(Because::rule(
                program,
                RuleId::new(RuleKind::Approval, name),
                format!("the approval `{name}` names nobody who could approve"),
            )),
        })
        .collect()
}
