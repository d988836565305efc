//! P0405: a grant asks for more than `limits` permit: a longer lifetime, more extensions, standing access, less
//! recording. The gateway would clamp it, and the author would believe something else. The other axes are added by
//! the obligation, not demanded of the grant. Break-glass has rules of its own. The lifetime and
//! mode that a team's `delegate` permits are judged beside the rest of the delegation, in `p0801.rs`.
//!
//! Judged is everybody who certainly holds the grant, as the exact analysis sees them: whom a rule of `limits` then
//! concerns falls under both.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Grant, Limits},
    program::{SubjectKind, rules::Mode},
    span::Span,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let Some(estate) = ctx.estate() else { return };
    let by_name: BTreeMap<&str, &Limits> =
        ctx.policy.limits.iter().map(|limits| (limits.head.name.value.as_str(), limits)).collect();
    for grant in ctx.whole_grants() {
        let id = grant.head.name.value.as_str();
        for connection in grant.connections() {
            let Some(local) = estate.local(ctx.connection_name(connection)) else { continue };
            let Some(row) = local.grants.iter().find(|row| row.id == id) else { continue };
            let seats = estate.seats(&estate.alternatives(&row.to), &estate.anybody());
            let mut seen = BTreeSet::new();
            for rule in &local.limits {
                let Some(limits) = by_name.get(rule.name.as_str()).filter(|limits| !limits.head.broken) else {
                    continue;
                };
                let concerned = seats.iter().filter(|(_, seat)| estate.concerns(&rule.to, seat));
                let kinds: BTreeSet<SubjectKind> = concerned.map(|(_, seat)| seat.kind).collect();
                for kind in kinds {
                    exceeds_limits(grant, limits, kind, &mut seen, sink);
                }
            }
        }
    }
}

fn exceeds_limits(grant: &Grant, limits: &Limits, kind: SubjectKind, seen: &mut BTreeSet<Span>, sink: &mut Sink) {
    let (id, name) = (&grant.head.name.value, &limits.head.name.value);
    let mut report = |place: Span, ceiling: Span, message: String, here: String, there: String, help: String| {
        // Two kinds of subjects under one line of the limits are one mistake.
        if seen.insert(ceiling) {
            sink.push(Diagnostic::new(Code::P0405, place, message).label(here).also(ceiling, there).help(help));
        }
    };
    if let Some(ceiling) = limits.lifetime.of(kind)
        && grant.lifetime.total() > ceiling.value
    {
        let total = grant.lifetime.total();
        let sum = if grant.lifetime.extensions() > 0 && grant.mode.value == Mode::Requested {
            format!("{total} with all extensions")
        } else {
            total.to_string()
        };
        report(
            grant.lifetime.span,
            ceiling.span,
            format!("`{id}` lasts {sum}, and the limits `{name}` permit {} for {}", ceiling.value, plural(kind)),
            format!("lasts {sum}"),
            format!("at most {} for {}", ceiling.value, plural(kind)),
            format!("shorten it to {} in total, or raise the limits where they are owned", ceiling.value),
        );
    }
    if let (Some(ceiling), Some(stated)) = (limits.extend.of(kind), &grant.lifetime.extend)
        && stated.value > ceiling.value
    {
        report(
            stated.span,
            ceiling.span,
            format!("`{id}` may be extended {} times, and the limits `{name}` permit {}", stated.value, ceiling.value),
            format!("{} extensions", stated.value),
            format!("at most {} for {}", ceiling.value, plural(kind)),
            format!("write `extend={}`", ceiling.value),
        );
    }
    if let Some(denied) = limits.standing_denied.as_ref().filter(|denied| denied.value)
        && grant.mode.value == Mode::Standing
    {
        report(
            grant.mode.span,
            denied.span,
            format!("`{id}` is standing, and the limits `{name}` deny standing access"),
            "always there".to_owned(),
            "standing access is denied here".to_owned(),
            "write `when requested`".to_owned(),
        );
    }
    if let (Some(floor), Some(stated)) = (&limits.recorded, &grant.recorded)
        && stated.value < floor.value
    {
        report(
            stated.span,
            floor.span,
            format!("`{id}` records {}, and the limits `{name}` demand {}", stated.value.word(), floor.value.word()),
            format!("recorded {}", stated.value.word()),
            format!("at least {}", floor.value.word()),
            format!("write `recorded {}`, or leave the clause out", floor.value.word()),
        );
    }
}

/// `people`, `services` or `agents`.
pub const fn plural(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Human => "people",
        SubjectKind::Service => "services",
        SubjectKind::Agent => "agents",
    }
}
