//! P0416: an extension that lasts longer than what it extends. The first approval looks at the smaller part.

use super::Ctx;
use lang::diag::{Code, Diagnostic, Sink};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.policy.grants.iter().filter(|grant| !grant.head.broken) {
        let lifetime = &grant.lifetime;
        let Some(by) = lifetime.by.as_ref().filter(|by| by.value > lifetime.length.value) else { continue };
        if lifetime.extensions() == 0 {
            continue;
        }
        let message = format!("an extension of `{}` is longer than the access itself", grant.head.name.value);
        sink.push(
            Diagnostic::new(Code::P0416, by.span, message)
                .label(format!("each extension lasts {}", by.value))
                .also(lifetime.length.span, format!("the access lasts {}", lifetime.length.value))
                .help("shorten `by`, or leave it out: an extension then lasts as long as the access"),
        );
    }
}
