//! P0605: a regular expression that cannot be matched in linear time, or that the empty text matches. The first
//! could be made to stop the gateway; the second demands nothing.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    span::Spanned,
};
use regex::RegexBuilder;

/// The most memory that a compiled expression may take.
const COMPILED_BYTES_MAX: usize = 1 << 20;

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    let tickets = policy.limits.iter().filter_map(|rule| rule.ticket.as_ref());
    for ticket in tickets.chain(policy.grants.iter().filter_map(|grant| grant.ticket.as_ref())) {
        judge(ticket, "every ticket, none included, has this form", sink);
    }
    for pattern in policy.masks.iter().flat_map(|mask| &mask.patterns) {
        judge(&pattern.regex, "the mask would hide between all characters", sink);
    }
}

fn judge(text: &Spanned<String>, empty: &str, sink: &mut Sink) {
    match RegexBuilder::new(&text.value).size_limit(COMPILED_BYTES_MAX).build() {
        Ok(regex) if regex.is_match("") => {
            let message = format!("the expression `{}` matches the empty text", text.value);
            let found = Diagnostic::new(Code::P0605, text.span, message).label(empty);
            sink.push(found.help("demand at least one character, and anchor a ticket: `(regex)#\"^INC-\\d+$\"#`"));
        }
        Ok(_) => {}
        Err(error) => {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
            let message = format!("the expression `{}` cannot be used", text.value);
            let found = Diagnostic::new(Code::P0605, text.span, message).label(reason);
            sink.push(
                found.help("look-around and back-references are left out: they cannot be matched in linear time"),
            );
        }
    }
}
