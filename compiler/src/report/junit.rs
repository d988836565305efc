//! Test results in the XML of `JUnit`, which build servers read.

use crate::policy_test::Outcome;
use lang::span::SourceMap;
use std::fmt::Write as _;

/// The report over these tests.
pub fn report(tests: &[&Outcome], sources: &SourceMap) -> String {
    let failed = tests.iter().filter(|test| test.failure.is_some()).count();
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _in_memory = writeln!(xml, "<testsuites tests=\"{}\" failures=\"{failed}\">", tests.len());
    let _in_memory = writeln!(xml, "  <testsuite name=\"policy\" tests=\"{}\" failures=\"{failed}\">", tests.len());
    for test in tests {
        let file = escape(sources.path(test.span.source));
        let line = sources.line_column(test.span).line;
        let name = escape(&test.name);
        let _in_memory =
            write!(xml, "    <testcase classname=\"{file}\" name=\"{name}\" file=\"{file}\" line=\"{line}\"");
        let _in_memory = match &test.failure {
            None => writeln!(xml, "/>"),
            Some(failure) => writeln!(
                xml,
                ">\n      <failure message=\"{}\">{}</failure>\n    </testcase>",
                escape(&failure.message),
                escape(&failure.witness)
            ),
        };
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Text as XML holds it; characters that XML forbids become the mark for a lost one.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\t' | '\n' | '\r' => {
                let _in_memory = write!(out, "&#{};", u32::from(c));
            }
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b>&\"'\u{1}\n"), "a&lt;b&gt;&amp;&quot;&apos;\u{fffd}&#10;");
    }
}
