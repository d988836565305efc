//! P0602: a grant reveals what a mask says is never revealed. The mask wins, and the author of the grant believes
//! something else.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{Grant, Mask, To},
    program::class_matches,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.policy.grants.iter().filter(|grant| !grant.head.broken) {
        for class in &grant.reveal {
            let hit = ctx.policy.masks.iter().filter(|mask| !mask.head.broken).find_map(|mask| {
                let never = mask.reveal_by_grant.as_ref().is_none_or(|by_grant| !by_grant.value);
                let pattern = mask.classes.iter().find(|pattern| meet(&pattern.value, &class.value))?;
                (never && concerns(ctx, mask, grant)).then_some((mask, pattern))
            });
            let Some((mask, pattern)) = hit else { continue };
            let (id, name) = (&grant.head.name.value, &mask.head.name.value);
            let never = mask.reveal_by_grant.as_ref().map_or(mask.head.name.span, |stated| stated.span);
            sink.push(
                Diagnostic::new(
                    Code::P0602,
                    class.span,
                    format!("`{id}` reveals `{}`, which the mask `{name}` never reveals", class.value),
                )
                .label("to be shown …")
                .also(pattern.span, "… but hidden by this mask")
                .also(never, "and no grant may lift it")
                .help("remove the `reveal`, or write `reveal grant` in the mask"),
            );
        }
    }
}

/// Whether two class patterns have a class in common.
pub(super) fn meet(a: &str, b: &str) -> bool {
    let base = |pattern: &str| pattern.strip_suffix('*').unwrap_or(pattern).to_owned();
    class_matches(a, &base(b)) || class_matches(b, &base(a))
}

fn concerns(ctx: &Ctx<'_>, mask: &Mask, grant: &Grant) -> bool {
    let connections = grant.connections();
    let place =
        mask.on.as_ref().is_none_or(|on| on.connections.iter().any(|connection| connections.contains(connection)));
    let people = match &mask.to {
        To::Everybody => true,
        To::Any(masked) => grant.to.iter().any(|one| masked.iter().any(|other| ctx.may_meet(one, other))),
    };
    place && people
}
