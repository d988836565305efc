//! P1002: a grant or forbid on production that does not say what it is for. Whoever finds it in a year keeps it,
//! because nobody knows.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Head},
};
use std::collections::BTreeSet;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut see = |what: &str, head: &Head, on: &BTreeSet<ConnectionId>| {
        let prod = on.iter().any(|connection| ctx.is_prod(*connection));
        if prod && head.description.is_none() && !head.broken {
            let message = format!("the {what} `{}` on production does not say what it is for", head.name.value);
            let found = Diagnostic::new(Code::P1002, head.name.span, message);
            sink.push(found.help("write `description \"…\"` in it"));
        }
    };
    for grant in &ctx.policy.grants {
        see(grant.keyword(), &grant.head, &grant.connections());
    }
    for forbid in &ctx.policy.forbids {
        see("forbid", &forbid.head, &forbid.on.connections);
    }
}
