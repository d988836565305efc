//! P0415: a rule whose time cannot be told. At the beginning of some days the clocks of some zones change: midnight
//! is missing or comes twice, and the rule would begin or end an hour from where its author thinks. Hours that
//! contain no time, and days that end before they begin, are reported where they are read.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::Head,
    span::Spanned,
    time::{Hours, Valid},
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    for grant in policy.grants.iter().filter(|grant| !grant.head.broken) {
        days(ctx, &grant.head, grant.valid.as_ref(), sink);
        let Some(hours) = &grant.hours else { continue };
        for connection in grant.connections() {
            for limits in ctx.limits_on(connection) {
                let concerned = grant.to.iter().all(|principal| ctx.implies_any(principal, &limits.to));
                if let Some(within) = limits.hours.as_ref().filter(|_| concerned && !grant.to.is_empty()) {
                    never(ctx, &grant.head, hours, &limits.head, within, sink);
                }
            }
        }
    }
    for forbid in &policy.forbids {
        days(ctx, &forbid.head, forbid.valid.as_ref(), sink);
    }
}

fn days(ctx: &Ctx<'_>, head: &Head, valid: Option<&Spanned<Valid>>, sink: &mut Sink) {
    let Some(valid) = valid else { return };
    let Some((bound, day)) = valid.value.unclear(&ctx.policy.zone) else { return };
    let verb = if bound == "from" { "begins" } else { "ends" };
    let name = &head.name.value;
    let message = format!("`{name}` {verb} at a midnight at which the clocks of {} change", ctx.policy.timezone.value);
    sink.push(
        Diagnostic::new(Code::P0415, valid.span, message)
            .label(format!("`{bound}` {day}: its midnight is missing or comes twice"))
            .also(ctx.policy.timezone.span, "the policy's timezone")
            .help("name the day before or after it"),
    );
}

/// Hours that the hours of limits leave nothing of.
fn never(ctx: &Ctx<'_>, head: &Head, hours: &Spanned<Hours>, limits: &Head, within: &Spanned<Hours>, sink: &mut Sink) {
    if !hours.value.intersection(&within.value).is_empty() {
        return;
    }
    let (id, name) = (&head.name.value, &limits.name.value);
    let message = format!("the hours of `{id}` and those of the limits `{name}` have no minute in common");
    sink.push(
        Diagnostic::new(Code::P0415, hours.span, message)
            .label(ctx.text(hours.span).to_owned())
            .also(within.span, "access exists only within these")
            .help("choose hours within those of the limits"),
    );
}
