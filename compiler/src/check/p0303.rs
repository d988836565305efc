//! P0303: a line of `on` that selects no connection. Where access is given it is a mistake; where access is taken
//! away the rule may be waiting for connections to come, which is worth knowing.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Severity, Sink},
    model::On,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    // A connection that could not be read may be the one that is selected.
    if ctx.is_partial() {
        return;
    }
    let mut see = |what: String, on: &On, severity: Severity| {
        for line in on.lines.iter().filter(|line| line.connections.is_empty() && !line.broken) {
            let found = Diagnostic::new(Code::P0303, line.span, format!("this line of {what} selects no connection"));
            let help = match severity {
                Severity::Error => "select connections that exist, or remove the line",
                Severity::Warning | Severity::Info => "the rule waits for connections with these labels",
            };
            sink.push(found.weigh(severity).help(help));
        }
    };
    for grant in &policy.grants {
        if let lang::model::Target::Selected(on) = &grant.target {
            see(format!("the break-glass `{}`", grant.head.name.value), on, Severity::Error);
        }
    }
    for delegate in &policy.delegates {
        see(format!("the delegation to `{}`", delegate.head.name.value), &delegate.on, Severity::Error);
    }
    for rule in &policy.limits {
        see(format!("the limits `{}`", rule.head.name.value), &rule.on, Severity::Info);
    }
    for rule in &policy.masks {
        if let Some(on) = &rule.on {
            see(format!("the mask `{}`", rule.head.name.value), on, Severity::Info);
        }
    }
    for rule in &policy.guards {
        see(format!("the guard `{}`", rule.head.name.value), &rule.on, Severity::Info);
    }
    for rule in &policy.forbids {
        see(format!("the forbid `{}`", rule.head.name.value), &rule.on, Severity::Info);
    }
    for rule in &policy.operators {
        see(format!("the operator rule `{}`", rule.head.name.value), &rule.on, Severity::Info);
    }
}
