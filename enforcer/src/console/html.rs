//! Pages as text in which everything that is not a literal of this program is escaped.
//!
//! Names, reasons and recorded data come from afar. They enter a page only through [`Text`], which escapes what HTML
//! reads and makes inert what would act; the macro `html!` wraps every argument in it. It must never be given text by
//! name inside the literal (`{name}`), which a test forbids.

use crate::recording::inert::inert_lines;
use std::fmt::{self, Display, Write as _};

/// A piece of a page.
#[derive(Clone, Debug, Default)]
pub(super) struct Html(String);

impl Html {
    pub(super) fn new() -> Self {
        Self::default()
    }

    pub(super) fn push(&mut self, text: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _infallible = self.0.write_fmt(text);
    }

    /// Adds a piece that is escaped already.
    pub(super) fn add(&mut self, piece: &Self) {
        self.0.push_str(&piece.0);
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

/// Text from afar.
pub(super) struct Text<'a, T: ?Sized>(pub(super) &'a T);

impl<T: Display + ?Sized> Display for Text<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        for (number, line) in inert_lines(&text).enumerate() {
            if number > 0 {
                f.write_char('\n')?;
            }
            for character in line.chars() {
                match character {
                    '&' => f.write_str("&amp;")?,
                    '<' => f.write_str("&lt;")?,
                    '>' => f.write_str("&gt;")?,
                    '"' => f.write_str("&quot;")?,
                    '\'' => f.write_str("&#39;")?,
                    other => f.write_char(other)?,
                }
            }
        }
        Ok(())
    }
}

/// Appends a literal whose `{}` are filled with escaped text.
macro_rules! html {
    ($out:expr, $text:literal $(, $value:expr)* $(,)?) => {
        $out.push(format_args!($text $(, $crate::console::html::Text(&$value))*))
    };
}
pub(super) use html;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_afar_is_inert_in_elements_and_attributes() {
        let mut out = Html::new();
        let bad = "<script>alert('x')</script>\" onload=\"\u{1b}[2J\u{202e}&amp;";
        html!(out, "<p title=\"{}\">{}</p>", bad, bad);
        let text = out.into_string();
        assert!(!text.contains("<script") && !text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text}");
        assert_eq!(text.matches('"').count(), 2, "{text}");
        assert!(text.contains("&amp;amp;"), "{text}");
    }

    #[test]
    fn no_literal_takes_text_by_name() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, _) in text.match_indices("html!(") {
                let call = text.get(at..).and_then(|rest| rest.split(");").next()).unwrap_or_default();
                let named = call.as_bytes().windows(2).any(|two| two[0] == b'{' && two[1].is_ascii_lowercase());
                assert!(!named, "{}: {call}", path.display());
            }
        }
    }
}
