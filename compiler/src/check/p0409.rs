//! P0409: production for everyone, or for a group of which the policy does not know how many people it holds. Nobody
//! notices when such a group grows.

use super::Ctx;
use lang::diag::{Code, Diagnostic, Sink};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.whole_grants() {
        let Some(prod) = grant.connections().into_iter().find(|connection| ctx.is_prod(*connection)) else { continue };
        let place = &ctx.policy[prod].head.name;
        for principal in &grant.to {
            let id = &grant.head.name.value;
            let (message, help) = match principal.groups.first() {
                None => (
                    format!("`{id}` gives {} access to production", ctx.describe(principal)),
                    "name the groups that need it".to_owned(),
                ),
                Some(group) if principal.groups.iter().all(|group| ctx.policy[*group].size.is_none()) => (
                    format!("`{id}` gives production to `{}`, a group of any size", ctx.group_name(*group)),
                    format!("say how many it may hold: `group {} … {{ size max=20; }}`", ctx.group_name(*group)),
                ),
                Some(_) => continue,
            };
            sink.push(
                Diagnostic::new(Code::P0409, principal.span, message)
                    .also(place.span, format!("`{}` is production", place.value))
                    .help(help),
            );
        }
    }
}
