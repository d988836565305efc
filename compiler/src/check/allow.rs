//! Suppression: `allow RULE reason= until=` accepts a finding about the node it stands in.
//!
//! An `allow` that is expired, has no reason or no end, may not silence its rule, or silences nothing is an error
//! itself (P1009), so that no accepted risk outlives its reason.

use super::{Ctx, is_implemented};
use lang::{
    diag::{Code, Diagnostic, Sink, Suppression},
    span::Span,
    syntax::{
        ast::{Node, Value},
        keyword::Keyword,
    },
    time::Valid,
};

struct Allow {
    code: Code,
    /// The clause.
    place: Span,
    /// The node that it stands in.
    node: Span,
    in_team_folder: bool,
    used: bool,
}

/// Silences what is accepted and reports what cannot be.
pub(super) fn apply(ctx: &Ctx<'_>, sink: &mut Sink) {
    let mut allows = Vec::new();
    for document in ctx.documents {
        for node in &document.nodes {
            collect(ctx, node, &mut allows, sink);
        }
    }
    let mut refused = Vec::new();
    sink.silence(|found| {
        let Some(span) = found.span() else { return false };
        let mut silent = false;
        for allow in allows.iter_mut().filter(|allow| allow.code == found.code && allow.node.contains(span)) {
            allow.used = true;
            match found.code.suppression(found.severity) {
                Suppression::Anywhere => silent = true,
                Suppression::OutsideTeams if !allow.in_team_folder => silent = true,
                Suppression::OutsideTeams => refused.push((allow.place, "only outside the folders of teams", span)),
                Suppression::Never => refused.push((allow.place, "by nothing", span)),
            }
        }
        silent
    });
    for (place, how, span) in refused {
        sink.push(
            Diagnostic::new(Code::P1009, place, format!("this finding can be suppressed {how}"))
                .also(span, "the finding")
                .help("mend the finding and remove the `allow`"),
        );
    }
    for allow in allows.iter().filter(|allow| !allow.used && is_implemented(allow.code)) {
        sink.push(
            Diagnostic::new(Code::P1009, allow.place, format!("`allow {}` suppresses nothing", allow.code))
                .help("remove it"),
        );
    }
}

fn collect(ctx: &Ctx<'_>, node: &Node, allows: &mut Vec<Allow>, sink: &mut Sink) {
    for clause in node.clauses_of(Keyword::Allow) {
        let Some(code) = clause.arg().and_then(Value::code) else { continue };
        let reason = clause.prop("reason");
        let until = clause.prop("until");
        if reason.is_none_or(|reason| reason.as_str().is_some_and(|text| text.trim().is_empty())) {
            let found = Diagnostic::new(Code::P1009, clause.head, format!("`allow {code}` has no reason"));
            sink.push(found.help("say why the finding is accepted: `reason=\"…\"`"));
            continue;
        }
        let Some(until) = until else {
            let found = Diagnostic::new(Code::P1009, clause.head, format!("`allow {code}` has no end"));
            sink.push(found.help("say until when the finding is accepted: `until=\"2027-06-30\"`"));
            continue;
        };
        let Some(day) = until.day() else { continue };
        let valid = Valid { from: None, until: Some(day) };
        if valid.end(&ctx.policy.zone).is_some_and(|end| ctx.at >= end) {
            let found = Diagnostic::new(Code::P1009, until.span, format!("`allow {code}` has expired"));
            sink.push(found.help("mend the finding, or accept it anew with a later day"));
            continue;
        }
        let in_team_folder = ctx.team_of(clause.head).is_some();
        allows.push(Allow { code, place: clause.head, node: node.span, in_team_folder, used: false });
    }
}
