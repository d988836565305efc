//! P0310: a connection that no `limits` covers. A grant on it can last as long, and record as little, as whoever
//! writes it likes. On production it is an error.

use super::Ctx;
use lang::diag::{Code, Diagnostic, Severity, Sink};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    if ctx.is_partial() {
        return;
    }
    for (id, connection) in ctx.policy.connection_ids() {
        // Limits that concern only some people leave the others unbounded.
        let covered = ctx.limits_on(id).any(|limits| limits.to.is_everybody());
        if covered || connection.head.broken {
            continue;
        }
        let prod = ctx.is_prod(id);
        let name = &connection.head.name;
        let what = if prod { "the production connection" } else { "the connection" };
        let found = Diagnostic::new(Code::P0310, name.span, format!("no `limits` covers {what} `{}`", name.value))
            .weigh(if prod { Severity::Error } else { Severity::Warning });
        let partly = ctx.limits_on(id).next();
        let found = match partly {
            Some(limits) => found.also(limits.head.name.span, "these limits concern only some people"),
            None => found,
        };
        let on = connection.label("env").map_or_else(|| name.value.clone(), |env| format!("env={env}"));
        sink.push(
            found.help(format!("write for example `limits … {{ on {on}; lifetime human=\"8h\" agent=\"1h\"; }}`")),
        );
    }
}
