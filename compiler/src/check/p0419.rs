//! P0419: a grant that nobody used for ninety days. Access that is not needed is the cheapest to remove.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    time::Ttl,
};

/// Ninety days.
const IDLE: Ttl = Ttl::from_seconds(90 * 86_400);

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let history = match ctx.beside.history() {
        None => return,
        Some(Ok(history)) => history,
        Some(Err(why)) => {
            let found = Diagnostic::without_place(Code::P0419, format!("history.json cannot be read: {why}"));
            sink.push(found.help("write `{\"since\": \"2026-01-01T00:00:00Z\", \"used\": {\"grant-id\": \"…\"}}`"));
            return;
        }
    };
    let before = ctx.at.minus(IDLE);
    // A history that begins later cannot say that nobody used it.
    if history.since > before {
        return;
    }
    for grant in ctx.whole_grants() {
        let id = &grant.head.name;
        let last = history.used.get(&id.value);
        if last.is_some_and(|last| *last > before) {
            continue;
        }
        let label = last.map_or_else(
            || format!("never used since {}", history.since),
            |last| format!("last used {}", ctx.policy.zone.display(*last)),
        );
        let found = Diagnostic::new(Code::P0419, id.span, format!("nobody used `{}` for 90 days", id.value));
        sink.push(found.label(label).help("remove it; who needs it again finds it in the repository's history"));
    }
}
