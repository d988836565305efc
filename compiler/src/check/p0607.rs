//! P0607: a class that is hidden from some kinds of subjects and shown raw to another kind that has access. It may be
//! meant; more often somebody wrote `kind=agent` and forgot the rest.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Mask},
    program::{SubjectKind, class_matches},
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    if ctx.is_partial() {
        return;
    }
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for classify in &ctx.policy.classify {
        let Some(connection) = classify.connection else { continue };
        for item in &classify.items {
            let class = item.class.value.as_str();
            let masks: Vec<&Mask> = ctx
                .policy
                .masks
                .iter()
                .filter(|mask| mask.on.as_ref().is_none_or(|on| on.connections.contains(&connection)))
                .filter(|mask| mask.classes.iter().any(|pattern| class_matches(&pattern.value, class)))
                .collect();
            let hidden: BTreeSet<SubjectKind> = masks.iter().flat_map(|mask| ctx.kinds_of(&mask.to)).collect();
            let raw = SubjectKind::ALL.into_iter().find(|kind| !hidden.contains(kind) && reads(ctx, connection, *kind));
            let (Some(raw), Some(mask)) = (raw, masks.first()) else { continue };
            if hidden.is_empty() || !seen.insert(class) {
                continue;
            }
            let words: Vec<&str> = hidden.iter().map(|kind| super::p0405::plural(*kind)).collect();
            let message = format!(
                "`{class}` is hidden from {} and shown to {} on `{}`",
                words.join(" and "),
                super::p0405::plural(raw),
                ctx.connection_name(connection)
            );
            sink.push(
                Diagnostic::new(Code::P0607, item.class.span, message)
                    .also(mask.head.span, "hides it from some only")
                    .help("add a mask without `to`, which a grant may lift with `reveal`"),
            );
        }
    }
}

/// Whether subjects of a kind have access to a connection at all.
fn reads(ctx: &Ctx<'_>, connection: ConnectionId, kind: SubjectKind) -> bool {
    ctx.grants_on(connection).any(|grant| grant.to.iter().any(|principal| ctx.kinds(principal).contains(&kind)))
}
