//! P0506: an approval that may be answered after as long a time as the window lasts. The work that it was asked for
//! is over by then, and people learn to ask ahead and to approve what is not needed yet.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::ApprovalId,
    span::Span,
    time::Ttl,
};
use std::collections::BTreeMap;

/// How long an answer may take unless the approval says otherwise.
const ANSWER: Ttl = Ttl::from_seconds(3_600);

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for grant in ctx.whole_grants() {
        let mut needed: BTreeMap<ApprovalId, Span> =
            grant.approvals.iter().map(|approval| (approval.value, approval.span)).collect();
        for connection in grant.connections() {
            for limits in grant.to.iter().flat_map(|principal| ctx.limits_for(connection, principal)) {
                needed.extend(limits.approvals.iter().map(|approval| (approval.value, approval.span)));
            }
        }
        let length = grant.lifetime.length.value;
        for (approval, demanded) in needed {
            let item = &ctx.policy[approval];
            let (within, place) =
                item.answer_within.as_ref().map_or((ANSWER, item.head.name.span), |stated| (stated.value, stated.span));
            if within < length {
                continue;
            }
            let (id, name) = (&grant.head.name.value, &item.head.name.value);
            let message = format!("`{name}` may be answered after {within}, and the window of `{id}` lasts {length}");
            sink.push(
                Diagnostic::new(Code::P0506, grant.lifetime.span, message)
                    .also(demanded, "the approval is needed here")
                    .also(place, format!("an answer may take {within}"))
                    .help(format!("write an `answer-within` shorter than {length} in the approval")),
            );
            break;
        }
    }
}
