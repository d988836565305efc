//! The `limits` block: one clause for each field of [`Limits`], within what the gateway can hold to.

use super::document::{Node, Value};
use super::mistake::Findings;
use crate::core::limits::Limits;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How one clause changes the limits; false when the value is out of bounds.
enum Clause {
    Time(RangeInclusive<u64>, fn(&mut Limits, Duration)),
    Count(RangeInclusive<u32>, fn(&mut Limits, u32)),
    Many(RangeInclusive<usize>, fn(&mut Limits, usize)),
    Bytes(RangeInclusive<usize>, fn(&mut Limits, usize)),
}

/// Every clause. The lower bounds keep honest clients working, the upper ones what the gateway was built for.
const CLAUSES: &[(&str, Clause)] = &[
    ("handshake-step-max", Clause::Time(1..=300, |limits, value| limits.handshake_step_max = value)),
    ("login-max", Clause::Time(1..=600, |limits, value| limits.login_max = value)),
    (
        "unauthenticated-per-address-max",
        Clause::Count(1..=100_000, |limits, value| limits.unauthenticated_per_address_max = value),
    ),
    (
        "connections-per-address-max",
        Clause::Count(1..=1_000_000, |limits, value| limits.connections_per_address_max = value),
    ),
    ("sessions-max", Clause::Count(1..=1_000_000, |limits, value| limits.sessions_max = value)),
    ("startup-bytes-max", Clause::Bytes(256..=10_000, |limits, value| limits.startup_bytes_max = value)),
    ("password-bytes-max", Clause::Bytes(1_024..=65_535, |limits, value| limits.password_bytes_max = value)),
    ("statement-bytes-max", Clause::Bytes(1_024..=64 << 20, |limits, value| limits.statement_bytes_max = value)),
    (
        "client-message-bytes-max",
        Clause::Bytes(64 << 10..=1 << 30, |limits, value| limits.client_message_bytes_max = value),
    ),
    (
        "upstream-message-bytes-max",
        Clause::Bytes(64 << 10..=1 << 30, |limits, value| limits.upstream_message_bytes_max = value),
    ),
    (
        "statements-per-session-max",
        Clause::Many(16..=1_000_000, |limits, value| limits.statements_per_session_max = value),
    ),
    ("pipeline-max", Clause::Many(1..=1_000_000, |limits, value| limits.pipeline_max = value)),
    ("pending-bytes-max", Clause::Bytes(16 << 10..=64 << 20, |limits, value| limits.pending_bytes_max = value)),
    ("held-max", Clause::Time(1..=86_400, |limits, value| limits.held_max = value)),
    ("held-in-transaction-max", Clause::Time(1..=3_600, |limits, value| limits.held_in_transaction_max = value)),
    ("held-bytes-max", Clause::Bytes(1_024..=1 << 20, |limits, value| limits.held_bytes_max = value)),
    (
        "api-writes-per-minute-max",
        Clause::Count(1..=1_000_000, |limits, value| limits.api_writes_per_minute_max = value),
    ),
    (
        "api-reads-per-minute-max",
        Clause::Count(10..=1_000_000, |limits, value| limits.api_reads_per_minute_max = value),
    ),
];

/// The defaults, with what the block overrides.
pub(super) fn read(block: Option<Node<'_>>, findings: &mut Findings) -> Limits {
    let mut limits = Limits::default();
    let Some(block) = block else { return limits };
    let [] = block.arguments([], findings);
    let [] = block.properties([], findings);
    let names: Vec<&str> = CLAUSES.iter().map(|(name, _)| *name).collect();
    for node in block.children(&names, &[], findings) {
        node.no_children(findings);
        let [] = node.properties([], findings);
        let [Some(value)] = node.arguments(["a value"], findings) else { continue };
        let Some((_, clause)) = CLAUSES.iter().find(|(name, _)| *name == node.name()) else { continue };
        apply(clause, &value, &mut limits, findings);
    }
    limits
}

fn apply(clause: &Clause, value: &Value<'_>, limits: &mut Limits, findings: &mut Findings) {
    let outside = match clause {
        Clause::Time(range, set) => {
            let Some(time) = value.duration(findings) else { return };
            let fits = range.contains(&time.as_secs());
            if fits {
                set(limits, time);
            }
            (!fits).then(|| format!("{} to {} seconds", range.start(), range.end()))
        }
        Clause::Count(range, set) => {
            let Some(number) = value.number(findings) else { return };
            let fitting = u32::try_from(number).ok().filter(|number| range.contains(number));
            if let Some(number) = fitting {
                set(limits, number);
            }
            fitting.is_none().then(|| format!("{} to {}", range.start(), range.end()))
        }
        Clause::Many(range, set) => {
            let Some(number) = value.number(findings) else { return };
            let fitting = usize::try_from(number).ok().filter(|number| range.contains(number));
            if let Some(number) = fitting {
                set(limits, number);
            }
            fitting.is_none().then(|| format!("{} to {}", range.start(), range.end()))
        }
        Clause::Bytes(range, set) => {
            let Some(bytes) = value.bytes(findings) else { return };
            let fitting = usize::try_from(bytes).ok().filter(|bytes| range.contains(bytes));
            if let Some(bytes) = fitting {
                set(limits, bytes);
            }
            fitting.is_none().then(|| format!("{} to {} bytes", range.start(), range.end()))
        }
    };
    if let Some(range) = outside {
        findings.error(value.place.clone(), "this limit is out of bounds", format!("write {range}"));
    }
}
