//! P0904: a test at an instant at which no grant that it concerns gives access. It expects a denial, and would pass
//! without the rule that it was written for.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Grant, Principal},
    program::rules::Expected,
    time::Timestamp,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for test in ctx.policy.tests.iter().filter(|test| !test.head.broken) {
        let (Some(at), Some(connection)) = (&test.at, &test.connection) else { continue };
        // A test that names the rule says that it means the time, or another cause.
        if test.expect.outcome.value != Expected::Denied || test.expect.by.is_some() {
            continue;
        }
        let groups = test.groups.iter().map(|group| group.value).collect();
        let subject = Principal { groups, kind: Some(test.kind), span: test.head.span };
        let concerned: Vec<&Grant> = ctx
            .grants_on(connection.value)
            .filter(|grant| test.via.as_ref().is_none_or(|via| ctx.policy[via.value].head.name == grant.head.name))
            .filter(|grant| grant.to.iter().any(|wide| ctx.implies(&subject, wide)))
            .collect();
        let Some(first) = concerned.first() else { continue };
        if concerned.iter().any(|grant| is_open(ctx, grant, at.value)) {
            continue;
        }
        let place = first.hours.as_ref().map_or(first.head.span, |hours| hours.span);
        let message = format!("the test \"{}\" asks outside all hours that it concerns", test.head.name.value);
        sink.push(
            Diagnostic::new(Code::P0904, at.span, message)
                .label(ctx.policy.zone.display(at.value))
                .also(place, "access exists only within these")
                .help("ask within the hours, or say with `by=` that the time is what refuses"),
        );
    }
}

fn is_open(ctx: &Ctx<'_>, grant: &Grant, at: Timestamp) -> bool {
    let zone = &ctx.policy.zone;
    grant.hours.as_ref().is_none_or(|hours| hours.value.contains(at, zone))
        && grant.valid.as_ref().is_none_or(|valid| valid.value.contains(at, zone))
}
