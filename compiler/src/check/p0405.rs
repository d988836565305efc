//! P0405: a grant asks for more than `limits` permit: a longer lifetime, more extensions, standing access, less
//! recording. The gateway would clamp it, and the author would believe something else. The other axes are added by
//! the obligation, not demanded of the grant. Break-glass has rules of its own. The lifetime and
//! mode that a team's `delegate` permits are judged beside the rest of the delegation, in `p0801.rs`.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Grant, Limits},
    program::{SubjectKind, rules::Mode},
    span::Span,
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.whole_grants() {
        for connection in grant.connections() {
            let mut seen = BTreeSet::new();
            for limits in ctx.limits_on(connection).filter(|limits| !limits.head.broken) {
                for kind in concerned(ctx, grant, limits) {
                    exceeds_limits(grant, limits, kind, &mut seen, sink);
                }
            }
        }
    }
}

/// The kinds of subjects that certainly fall under both.
fn concerned(ctx: &Ctx<'_>, grant: &Grant, limits: &Limits) -> Vec<SubjectKind> {
    SubjectKind::ALL
        .into_iter()
        .filter(|kind| {
            grant.to.iter().any(|principal| {
                ctx.kinds(principal).contains(kind) && ctx.implies_any(&ctx.of_kind(principal, *kind), &limits.to)
            })
        })
        .collect()
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
