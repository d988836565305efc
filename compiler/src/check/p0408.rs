//! P0408: standing access for agents or services. A stolen token is enough, at any time; on production it is an
//! error.

use super::{Ctx, p0405::plural};
use lang::{
    diag::{Code, Diagnostic, Severity, Sink},
    program::{SubjectKind, rules::Mode},
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.whole_grants().filter(|grant| grant.mode.value == Mode::Standing) {
        let hit = grant.to.iter().find_map(|principal| match ctx.kinds(principal).as_slice() {
            [] => None,
            kinds if kinds.contains(&SubjectKind::Human) => None,
            [kind, ..] => Some((principal, *kind)),
        });
        let Some((principal, kind)) = hit else { continue };
        let prod = grant.connections().into_iter().any(|connection| ctx.is_prod(connection));
        let place = if prod { " on production" } else { "" };
        let message = format!("`{}` gives {} standing access{place}", grant.head.name.value, plural(kind));
        sink.push(
            Diagnostic::new(Code::P0408, grant.mode.span, message)
                .weigh(if prod { Severity::Error } else { Severity::Warning })
                .label("always there")
                .also(principal.span, format!("for {}", plural(kind)))
                .help("write `when requested`: a program can ask for each task"),
        );
    }
}
