//! P0804: the generated part of CODEOWNERS is not what `team` says. Reviews go to people who no longer answer for the
//! folder. A file without that part, or that is not there, is not this policy's business.

use super::Ctx;
use crate::owners;
use lang::diag::{Code, Diagnostic, Sink};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let Some(file) = ctx.beside.codeowners() else { return };
    if ctx.is_partial() {
        return;
    }
    let prefix = owners::prefix_of(file, ctx.policy).unwrap_or_default();
    if owners::is_fresh(file, &owners::section(ctx.policy, &prefix)) == Some(false) {
        let place = ctx.policy.teams.iter().find_map(|team| team.folder.as_ref()).map(|folder| folder.span);
        let message = "the generated part of .github/CODEOWNERS is stale";
        let found = match place {
            Some(span) => Diagnostic::new(Code::P0804, span, message),
            None => Diagnostic::new(Code::P0804, ctx.policy.span, message),
        };
        sink.push(found.help("run `leaseholdc owners --write`"));
    }
}
