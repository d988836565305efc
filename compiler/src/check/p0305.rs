//! P0305: a secret in the policy. Whoever can read the repository has it, and its history keeps it.
//!
//! Shapes that only secrets have are looked for in the whole text, comments included. Passwords in sentences and
//! strings without structure are looked for in values only, where they can be told from prose; object ids, regular
//! expressions, host keys and certificates are left out. The finding never repeats what it found.

use super::Ctx;
use lang::{
    diag::{Code, Diagnostic, Sink},
    span::{SourceMap, Span},
    syntax::{
        ast::{Document, Typed},
        keyword::Keyword,
    },
};
use regex::Regex;
use std::sync::LazyLock;

/// The shortest text that counts as a key.
const RANDOM_MIN: usize = 24;

/// What a text is when it matches.
struct Shape {
    what: &'static str,
    /// The secret is the first group.
    regex: LazyLock<Option<Regex>>,
}

/// Tokens begin with what their issuer chose so that they can be found.
static SHAPES: [Shape; 4] = [
    Shape {
        what: "a private key",
        regex: LazyLock::new(|| Regex::new(r"(-----BEGIN (?:[A-Z]+ )*PRIVATE KEY(?: BLOCK)?-----)").ok()),
    },
    Shape {
        what: "a password in an address",
        regex: LazyLock::new(|| Regex::new(r##"[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@"#?]*:([^\s/@"]+)@"##).ok()),
    },
    Shape {
        what: "an access token",
        regex: LazyLock::new(|| {
            Regex::new(concat!(
                r"\b((?:AKIA|ASIA)[A-Z0-9]{16}|gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{30,}|",
                r"glpat-[A-Za-z0-9_-]{20,}|xox[abeprs]-[A-Za-z0-9-]{10,}|[sr]k_live_[A-Za-z0-9]{16,}|",
                r"sk-(?:ant-|proj-)?[A-Za-z0-9_-]{32,}|AIza[A-Za-z0-9_-]{30,}|hv[sb]\.[A-Za-z0-9_-]{20,}|",
                r"npm_[A-Za-z0-9]{30,}|pypi-[A-Za-z0-9_-]{30,}|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})",
            ))
            .ok()
        }),
    },
    Shape {
        what: "a signed token",
        regex: LazyLock::new(|| Regex::new(r"\b(eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})").ok()),
    },
];

static PASSWORD: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)\b(?:password|passwd|passphrase|pwd|secret|api[_-]?key|token)\s*[=:]\s*['"]?([^\s'",;]{6,})"#)
        .ok()
});

pub(super) fn check(ctx: &Ctx<'_>, sink: &mut Sink) {
    for page in ctx.pages() {
        sink.absorb(page.secrets.clone());
    }
}

/// Looks at one file.
pub(super) fn look(document: &Document, sources: &SourceMap, sink: &mut Sink) {
    let mut known: Vec<Span> = Vec::new();
    let text = sources.text(document.source);
    for shape in &SHAPES {
        let hits = shape.regex.iter().flat_map(|regex| regex.captures_iter(text));
        for hit in hits.filter_map(|hit| hit.get(1)) {
            let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
            let span = Span::new(document.source, place(hit.start()), place(hit.end()));
            if !known.iter().any(|other| other.contains(span)) {
                known.push(span);
                report(shape.what, span, sink);
            }
        }
    }
    document.visit_texts(&mut |path, value| {
        let public = path.iter().any(|node| matches!(node.keyword, Keyword::HostKey | Keyword::Ca | Keyword::Allow));
        let structured = matches!(value.typed, Typed::Uuid | Typed::Regex | Typed::Credential(_));
        if public || structured || known.iter().any(|span| value.span.contains(*span)) {
            return;
        }
        if let Some(what) = secret_in(&value.text) {
            report(what, value.span, sink);
        }
    });
}

fn report(what: &str, span: Span, sink: &mut Sink) {
    sink.push(
        Diagnostic::new(Code::P0305, span, format!("the policy holds {what}"))
            .label("a secret stands here")
            .help(
                "replace the secret, which counts as known, and refer to it instead: `credential (vault)\"…\" user=…`",
            )
            .note("the history of the repository keeps what is removed from a file"),
    );
}

/// What kind of secret a value holds.
fn secret_in(text: &str) -> Option<&'static str> {
    let stated = PASSWORD.iter().flat_map(|regex| regex.captures_iter(text)).filter_map(|hit| hit.get(1));
    // `password: ask the team` is a sentence; a word with a digit or a symbol is none.
    if stated.map(|word| word.as_str()).any(|word| word.chars().any(|c| !c.is_alphabetic() && !".!?)".contains(c))) {
        return Some("a password");
    }
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=' | '_')))
        .any(is_random)
        .then_some("a text that looks like a key")
}

/// Whether a text has so little structure that nobody chose it: long, of mixed characters, and almost none repeated.
fn is_random(text: &str) -> bool {
    // Most texts are names, which are shorter than any key.
    if text.len() < RANDOM_MIN {
        return false;
    }
    let count = |test: fn(&char) -> bool| text.chars().filter(test).count();
    let (digits, upper, lower) =
        (count(char::is_ascii_digit), count(char::is_ascii_uppercase), count(char::is_ascii_lowercase));
    let hex = text.chars().all(|c| c.is_ascii_hexdigit());
    if hex && (upper == 0 || lower == 0) {
        // 40 digits are a commit, which is no secret.
        return text.len() >= 32 && text.len() != 40 && digits > 0 && digits < text.len() && entropy(text) >= 3.0;
    }
    digits >= 2 && upper >= 2 && lower >= 2 && entropy(text) >= 4.0
}

/// Bits of Shannon entropy for each character.
#[expect(clippy::cast_precision_loss, reason = "lengths of texts of a policy are far below 2^52")]
fn entropy(text: &str) -> f64 {
    let mut counts = std::collections::BTreeMap::<char, usize>::new();
    for c in text.chars() {
        *counts.entry(c).or_default() += 1;
    }
    let all = text.chars().count() as f64;
    counts.values().map(|count| *count as f64 / all).map(|share| -share * share.log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_expression_compiles() {
        assert!(SHAPES.iter().all(|shape| shape.regex.is_some()));
        assert!(PASSWORD.is_some());
    }

    #[test]
    fn prose_names_and_references_are_no_secrets() {
        for text in [
            "kv/payments-db#gateway_rw",
            "logs-ro.prod.internal:5432",
            "the password: ask the team that owns it",
            "Who may reach which infrastructure, for how long, with which guard rails.",
            "see commit 3f786850e387550fdab836ed7e6dc881de23001b",
            "public.customers_archived_before_the_migration_of_2019.email",
            "TheQuickBrownFoxJumpsOverTheLazyDog",
        ] {
            assert_eq!(secret_in(text), None, "{text}");
        }
        for text in [
            "password=hunter2",
            "pwd: S3cret!x",
            "9f86d081884c7d659a2feaa0c55ad015",
            "kJ8sPq2mZx7Lw9Vt4Rb6Yc3Nd5Fg1Hu0",
        ] {
            assert!(secret_in(text).is_some(), "{text}");
        }
    }
}
