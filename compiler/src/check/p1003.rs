//! P1003: a rule whose last day has passed. It gives and takes nothing, and readers count it in.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::Head,
    span::Spanned,
    time::Valid,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut see = |what: &str, head: &Head, valid: Option<&Spanned<Valid>>| {
        let Some(valid) = valid else { return };
        if let (Some(until), Some(end)) = (valid.value.until, valid.value.end(&ctx.policy.zone))
            && ctx.at >= end
        {
            let message = format!("the {what} `{}` has not held since {until}", head.name.value);
            let found = Diagnostic::new(Code::P1003, valid.span, message).label("the last day has passed");
            sink.push(found.help("remove the rule; the repository remembers it"));
        }
    };
    for grant in &ctx.policy.grants {
        see(grant.keyword(), &grant.head, grant.valid.as_ref());
    }
    for forbid in &ctx.policy.forbids {
        see("forbid", &forbid.head, forbid.valid.as_ref());
    }
}
