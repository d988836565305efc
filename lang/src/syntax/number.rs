//! Words that are not strings: numbers, keywords, and the times and durations that people forget to quote.

use super::{reader::Parser, tree::Scalar};
use crate::{
    diag::{Applicability, Code, Diagnostic},
    span::Span,
    time::{Hours, Timestamp, Ttl, Valid},
};

/// What a bare word or `#word` stands for.
pub(super) fn word(parser: &mut Parser<'_>, span: Span) -> Scalar {
    let text = parser.slice(span).to_owned();
    match text.as_str() {
        "#true" => return Scalar::Bool(true),
        "#false" => return Scalar::Bool(false),
        "#null" => return Scalar::Null,
        "#inf" | "#-inf" | "#nan" => return Scalar::Float,
        "true" | "false" | "null" | "inf" | "-inf" | "nan" => return bare_keyword(parser, span, &text),
        _ => {}
    }
    if text.starts_with('#') {
        let found = Diagnostic::new(Code::P0001, span, format!("`{text}` is neither a keyword nor a raw string"));
        parser.report(found.help("raw strings are written `#\"…\"#`"));
        return Scalar::Bad(text);
    }
    if !looks_like_number(&text) {
        return Scalar::Text(text);
    }
    if let Some(number) = number(&text) {
        return number;
    }
    let quoted = super::quote(&text);
    let found = if let Some(what) = unquoted_time(&text) {
        Diagnostic::new(Code::P0002, span, format!("{what} are written in quotes: `{quoted}`")).replace(
            "put it in quotes",
            span,
            quoted,
            Applicability::Machine,
        )
    } else {
        Diagnostic::new(Code::P0001, span, format!("`{text}` is not a number"))
            .help(format!("a text that begins with a digit stands in quotes: `{quoted}`"))
            .replace("put it in quotes", span, quoted, Applicability::Maybe)
    };
    parser.report(found);
    Scalar::Bad(text)
}

fn bare_keyword(parser: &mut Parser<'_>, span: Span, text: &str) -> Scalar {
    let found = Diagnostic::new(Code::P0006, span, format!("a bare `{text}` is not KDL v2"));
    let instead = match text {
        "true" => Some("yes"),
        "false" => Some("no"),
        _ => None,
    };
    parser.report(match instead {
        Some(word) => found.help(format!("this language has words for it: write `{word}`")).replace(
            "use the word",
            span,
            word,
            Applicability::Maybe,
        ),
        None => found.help("leave it out, or put it in quotes if it is a text"),
    });
    Scalar::Bad(text.to_owned())
}

/// Whether a word can only be a number: it begins with a digit, or with a sign or point and a digit.
pub(super) fn looks_like_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned.strip_prefix('.').unwrap_or(unsigned);
    digits.starts_with(|c: char| c.is_ascii_digit())
}

fn number(text: &str) -> Option<Scalar> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
        if let Some(digits) = unsigned.strip_prefix(prefix) {
            return integer(digits, radix, negative);
        }
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    if exponent.is_none() && fraction.is_none() {
        return integer(whole, 10, negative);
    }
    let digits = |text: &str| are_digits(text, 10);
    let exponent_holds = exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    (digits(whole) && fraction.is_none_or(digits) && exponent_holds).then_some(Scalar::Float)
}

fn are_digits(text: &str, radix: u32) -> bool {
    text.starts_with(|c: char| c.is_digit(radix)) && text.chars().all(|c| c.is_digit(radix) || c == '_')
}

fn integer(digits: &str, radix: u32, negative: bool) -> Option<Scalar> {
    if !are_digits(digits, radix) {
        return None;
    }
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    let signed = if negative { format!("-{digits}") } else { digits };
    // A number that is too large even for this is no whole number of ours.
    Some(i128::from_str_radix(&signed, radix).map_or(Scalar::Float, Scalar::Integer))
}

/// What an unquoted text is, when it is a duration, day, time or instant.
fn unquoted_time(text: &str) -> Option<&'static str> {
    let times = |text: &str| Hours::parse(&format!("Mon {text}")).is_ok();
    let time = |text: &str| times(&format!("{text}-24:00")) || times(&format!("00:00-{text}"));
    if Ttl::parse(text).is_ok() || is_long_unit(text) {
        Some("durations")
    } else if Valid::parse_day(text).is_some() && !text.contains('T') {
        Some("days")
    } else if Timestamp::parse_rfc3339(text).is_some() {
        Some("instants")
    } else if times(text) || time(text) {
        Some("times")
    } else {
        None
    }
}

/// `15min`, `2hours`: a duration all the same, whose unit is judged once it stands in quotes.
fn is_long_unit(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < text.len()
        && matches!(
            unit,
            "ms" | "sec"
                | "secs"
                | "seconds"
                | "min"
                | "mins"
                | "minutes"
                | "hr"
                | "hrs"
                | "hour"
                | "hours"
                | "day"
                | "days"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_grammar() {
        for (text, value) in [("0", 0), ("-12", -12), ("+1_000", 1000), ("0x1F", 31), ("-0b1_0", -2), ("0o17", 15)] {
            assert_eq!(number(text), Some(Scalar::Integer(value)), "{text}");
        }
        for text in ["1.5", "1e3", "-1.0E-3", "340282366920938463463374607431768211456"] {
            assert_eq!(number(text), Some(Scalar::Float), "{text}");
        }
        for text in ["1.", "1__x", "0x", "0x_1", "1e", "1.5.2", "15m", "1.e3"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn times_without_quotes_are_recognised() {
        for (text, what) in [
            ("15m", "durations"),
            ("1h30m", "durations"),
            ("15min", "durations"),
            ("2026-12-31", "days"),
            ("09:00", "times"),
            ("07:00-20:00", "times"),
            ("24:00", "times"),
            ("2026-05-04T10:00:00+02:00", "instants"),
        ] {
            assert_eq!(unquoted_time(text), Some(what), "{text}");
        }
        for text in ["15x", "8c1e0f2a", "127.0.0.1", "2026-13-31"] {
            assert_eq!(unquoted_time(text), None, "{text}");
        }
    }
}
