//! P0406: access that is called just in time and lasts a working day. The timer is decorative: whoever asks once has
//! it whenever they need it. From 24 hours on it is an error.

use super::{Ctx, p0405::plural};
use lang::{
    diag::{Code, Diagnostic, Severity, Sink},
    program::{SubjectKind, rules::Mode},
    time::Ttl,
};

/// From here on nobody calls it just in time.
const DAY: Ttl = Ttl::from_seconds(24 * 3_600);

/// What is long for a kind of subject.
const fn long(kind: SubjectKind) -> Ttl {
    match kind {
        SubjectKind::Human | SubjectKind::Service => Ttl::from_seconds(8 * 3_600),
        SubjectKind::Agent => Ttl::from_seconds(3_600),
    }
}

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.whole_grants().filter(|grant| grant.mode.value == Mode::Requested) {
        let total = grant.lifetime.total();
        // A group without a kind is judged by the kind that may have access longest.
        let hit = grant.to.iter().find_map(|principal| {
            let kind =
                ctx.kinds(principal).into_iter().max_by_key(|kind| (long(*kind), *kind == SubjectKind::Human))?;
            (total >= long(kind)).then_some((principal, kind))
        });
        let Some((principal, kind)) = hit else { continue };
        let id = &grant.head.name.value;
        let mut found = Diagnostic::new(
            Code::P0406,
            grant.lifetime.span,
            format!("`{id}` is requested, and one request lasts {total}"),
        )
        .label(format!("{total} with all extensions"))
        .also(principal.span, format!("for {} anything from {} is long", plural(kind), long(kind)))
        .help("shorten the lifetime to what one task takes; whoever needs more asks again");
        if total >= DAY {
            found = found.weigh(Severity::Error);
        }
        sink.push(found);
    }
}
