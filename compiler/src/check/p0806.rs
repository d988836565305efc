//! P0806: power over other people's sessions for agents. An agent that can revoke, watch or replay is an operator
//! without a person behind it.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    program::SubjectKind,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for rule in ctx.policy.operators.iter().filter(|rule| !rule.head.broken) {
        for principal in &rule.to {
            let kinds = ctx.kinds(principal);
            let name = &rule.head.name.value;
            let (message, help) = if kinds == [SubjectKind::Agent] {
                (format!("`{name}` makes agents operators"), "name a group of people")
            } else if kinds.contains(&SubjectKind::Agent) {
                (
                    format!("`{name}` makes operators of whoever is in {}, agents included", ctx.describe(principal)),
                    "declare the group with `kind=human`, or narrow the line with `kind=human`",
                )
            } else {
                continue;
            };
            sink.push(Diagnostic::new(Code::P0806, principal.span, message).label("agents can match here").help(help));
        }
    }
}
