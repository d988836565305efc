//! How old knowledge of the branch bears on access. Pure.

use crate::gateway::policy::Staleness;
use lang::program::rules::{self, WhenStale};
use lang::time::Timestamp;

/// Judges an age: wall time since the tip was confirmed, or the monotonic clock's when that is more, so that a wall
/// clock that was set back does not freshen a policy. What was never confirmed is stale.
pub(super) fn judge(
    rule: Option<rules::Staleness>,
    confirmed_at: Option<Timestamp>,
    now: Timestamp,
    mono_age_ms: u64,
) -> Staleness {
    let Some(rule) = rule else { return Staleness::Fresh };
    let age_ms = confirmed_at.map_or(u64::MAX, |at| now.ms_since(at).max(mono_age_ms));
    if age_ms <= u64::from(rule.max.seconds()) * 1000 {
        return Staleness::Fresh;
    }
    match rule.then {
        WhenStale::Keep => Staleness::Fresh,
        WhenStale::NoNewWindows => Staleness::NoNewWindows,
        WhenStale::Deny => Staleness::Deny,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lang::time::Ttl;

    #[test]
    fn a_policy_is_stale_after_its_own_bound_and_by_either_clock() {
        let rule = |then| Some(rules::Staleness { max: Ttl::from_seconds(60), then });
        let at = |seconds: i64| Timestamp::from_unix(1_000 + seconds);
        let confirmed = Some(at(0));
        assert_eq!(judge(None, None, at(0), u64::MAX), Staleness::Fresh);
        assert_eq!(judge(rule(WhenStale::Deny), confirmed, at(60), 0), Staleness::Fresh);
        assert_eq!(judge(rule(WhenStale::Deny), confirmed, at(61), 0), Staleness::Deny);
        assert_eq!(judge(rule(WhenStale::NoNewWindows), confirmed, at(-500), 60_001), Staleness::NoNewWindows);
        assert_eq!(judge(rule(WhenStale::Keep), confirmed, at(9_999), 0), Staleness::Fresh);
        assert_eq!(judge(rule(WhenStale::Deny), None, at(0), 0), Staleness::Deny);
    }
}
