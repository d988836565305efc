//! P1006: a rule on production with work left open in it. What is unfinished is decided already.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    model::{ConnectionId, Head},
    span::Span,
};
use std::collections::BTreeSet;

/// The words that people leave behind.
const WORDS: [&str; 3] = ["TODO", "FIXME", "XXX"];

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    let policy = ctx.policy;
    let mut see = |what: &str, head: &Head, on: &BTreeSet<ConnectionId>| {
        if !on.iter().any(|connection| ctx.is_prod(*connection)) {
            return;
        }
        let text = ctx.text(head.node);
        let Some((word, at)) = WORDS.iter().find_map(|word| Some((*word, standing_alone(text, word)?))) else { return };
        let start = head.node.start.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
        let end = start.saturating_add(u32::try_from(word.len()).unwrap_or(0));
        let span = Span::new(head.node.source, start, end);
        let message = format!("the {what} `{}` on production has a {word} in it", head.name.value);
        sink.push(Diagnostic::new(Code::P1006, span, message).help("finish it, or move the note to an issue"));
    };
    for grant in &policy.grants {
        see(grant.keyword(), &grant.head, &grant.connections());
    }
    policy.limits.iter().for_each(|item| see("limits", &item.head, &item.on.connections));
    policy.guards.iter().for_each(|item| see("guard", &item.head, &item.on.connections));
    policy.forbids.iter().for_each(|item| see("forbid", &item.head, &item.on.connections));
    for mask in &policy.masks {
        let all = || policy.connection_ids().map(|(id, _)| id).collect();
        see("mask", &mask.head, &mask.on.as_ref().map_or_else(all, |on| on.connections.clone()));
    }
}

/// Where a word stands that is no part of another one.
fn standing_alone(text: &str, word: &str) -> Option<usize> {
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let before = text.get(..*at).and_then(|head| head.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|tail| tail.chars().next());
        !letter(before) && !letter(after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_stands_alone_at_either_end_and_beside_punctuation() {
        for (text, at) in [
            ("TODO", Some(0)),
            ("// TODO", Some(3)),
            ("TODO: later", Some(0)),
            ("(TODO)", Some(1)),
            ("TODOS, then TODO", Some(12)),
            ("TODOS", None),
            ("4TODO", None),
            ("\u{fc}TODO", None),
            ("", None),
        ] {
            assert_eq!(standing_alone(text, "TODO"), at, "{text}");
        }
    }
}
