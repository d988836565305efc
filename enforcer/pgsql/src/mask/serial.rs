//! Transactions at SERIALIZABLE, where an index holds masked columns beside others.
//!
//! For such a transaction the server remembers which pages of an index were read, and a row that somebody writes conflicts
//! with it when its entry falls onto one of them. Where the entries of a page begin and end follows from masked values: a
//! row that is moved among rows of known values fails, or does not, by the value that it hides. A conflict takes two
//! transactions at that level, of which one writes, and no other level remembers pages.

use super::rewrite::relation_of;
use super::{Plan, Treatment, write};
use crate::statement::{Action, Parameter, SettingChange, Statement};

/// Parameters that set the level of a transaction, or of those to come.
const LEVELS: [&str; 2] = ["default_transaction_isolation", "transaction_isolation"];
/// Levels at which the server remembers no pages.
const OTHERS: [&str; 3] = ["read committed", "read uncommitted", "repeatable read"];

/// Why a statement does not run: it would make a transaction one at SERIALIZABLE; or every transaction is one on this target
/// unless it says otherwise, and it writes.
pub(super) fn refused(plan: &Plan, judged: &Statement) -> Option<String> {
    let asks = judged.settings.iter().any(|change| may_serialize(change, &judged.action));
    if asks && plan.treatments.values().any(is_ordered) {
        return Some(
            "at SERIALIZABLE, which transactions conflict would tell of masked values, because an index holds some beside \
             other columns; use REPEATABLE READ"
                .to_owned(),
        );
    }
    if !plan.catalog.serializable || !write::writes(judged) {
        return None;
    }
    let mut written = judged.accesses.iter().filter_map(|access| relation_of(plan, access));
    let name = written.find(|name| plan.treatment(name).is_some_and(is_ordered))?;
    Some(format!(
        "transactions of this target are SERIALIZABLE unless they say otherwise, where conflicts would tell of masked values \
         of `{}.{}`; set `default_transaction_isolation` of the gateway's account to another level",
        name.0, name.1
    ))
}

/// Whether a change of a parameter may make a transaction one at SERIALIZABLE. Without a value, SET and RESET mean the
/// target's own default; in a query the value is then known to the running statement only.
fn may_serialize(change: &SettingChange, action: &Action) -> bool {
    let Parameter::Named(name) = &change.parameter else { return false };
    let other = |value: &str| OTHERS.iter().any(|level| value.trim().eq_ignore_ascii_case(level));
    LEVELS.contains(&name.as_ref()) && !change.value.as_deref().map_or(*action == Action::Set, other)
}

fn is_ordered(treatment: &Treatment) -> bool {
    matches!(treatment, Treatment::Covered(cover) if cover.access.is_ordered())
}
