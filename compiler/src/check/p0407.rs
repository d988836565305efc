//! P0407: a grant without a recording on production, or for agents. Nobody could say afterwards what was done.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    program::{SubjectKind, rules::Recorded},
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.whole_grants() {
        let Some(stated) = grant.recorded.as_ref().filter(|stated| stated.value == Recorded::None) else { continue };
        let id = &grant.head.name.value;
        let help = "remove the clause: without it everything is recorded";
        let agents = grant.to.iter().find(|principal| ctx.kinds(principal) == [SubjectKind::Agent]);
        let prod = grant.connections().into_iter().find(|connection| ctx.is_prod(*connection));
        let found = if let Some(connection) = prod {
            let message = format!("nothing of `{id}` is recorded, on production");
            let label = ctx.policy[connection].labels.iter().find(|(key, _)| key.value == "env");
            let found = Diagnostic::new(Code::P0407, stated.span, message);
            match label {
                Some((_, value)) => found.also(value.span, "the connection is production"),
                None => found,
            }
        } else if let Some(principal) = agents {
            Diagnostic::new(Code::P0407, stated.span, format!("nothing of `{id}` is recorded, for agents"))
                .also(principal.span, "agents")
        } else {
            continue;
        };
        sink.push(found.label("no recording").help(help));
    }
}
