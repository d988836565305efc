//! P0422: a node or clause that this version of the gateway does not enforce. It compiles, the gateway refuses what
//! it concerns instead, and nothing is ever silently ignored. What is enforced stands in one table,
//! [`lang::program::enforced`].

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{IdpKind, Overage},
    program::enforced::{self, Gap},
    span::Span,
};

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    let mut report = |gap: Gap, span: Span, what: String| {
        let message = format!("this version does not enforce {what}");
        sink.push(Diagnostic::new(Code::P0422, span, message).note(gap.instead()));
    };
    for connection in &policy.connections {
        if !enforced::serves(connection.kind.value) {
            let what = format!("connections of the kind {}", connection.kind.value);
            report(Gap::ConnectionKind, connection.kind.span, what);
            // One reason why the connection stays closed is enough.
            continue;
        }
        if let Some(credential) = &connection.credential
            && !enforced::reads_credential(credential.kind.word())
        {
            let what = format!("credentials from `({})`", credential.kind.word());
            report(Gap::Credential, credential.reference.span, what);
        }
    }
    for idp in &policy.idps {
        if let IdpKind::Entra(entra) = &idp.kind
            && let Some(overage) = &entra.overage
            && overage.value == Overage::Graph
        {
            report(Gap::Overage, overage.span, "the resolution of groups above the limit of a token".to_owned());
        }
    }
    for mask in policy.masks.iter().filter(|mask| !mask.json.is_empty()) {
        report(Gap::Mask, mask.head.span, format!("masks in documents, so not `{}`", mask.head.name.value));
    }
}
