//! P0604: a mask that looks for patterns in values although the catalog says which columns there are. A pattern misses
//! what is written in another way; a class does not.

use super::Ctx;
use lang::diag::{Code, Diagnostic, Sink};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for mask in ctx.policy.masks.iter().filter(|mask| !mask.head.broken) {
        let Some(pattern) = mask.patterns.first() else { continue };
        if !mask.classes.is_empty() || !mask.columns.is_empty() || !mask.json.is_empty() {
            continue;
        }
        let listed = ctx.policy.catalogs.iter().find(|catalog| {
            catalog.connection.is_some_and(|id| mask.on.as_ref().is_none_or(|on| on.connections.contains(&id)))
        });
        let Some(catalog) = listed else { continue };
        let name = &mask.head.name.value;
        let message = format!("the mask `{name}` looks for a pattern where a catalog lists the columns");
        sink.push(
            Diagnostic::new(Code::P0604, pattern.regex.span, message)
                .label("misses what is written in another way")
                .also(catalog.span, "the catalog")
                .help("classify the columns that hold it, and hide their class; keep the pattern for free text"),
        );
    }
}
