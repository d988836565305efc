//! The text that a quoted or raw string of KDL v2 stands for: escapes resolved, multi-line strings dedented.

use super::token::{Text, is_newline, is_space};

/// What is wrong in a string: a range of bytes of it and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StringError {
    /// The first byte, counted from the beginning of the token.
    pub(super) start: usize,
    /// The byte after the last one.
    pub(super) end: usize,
    /// The reason, as a message.
    pub(super) reason: String,
}

fn error<T>(start: usize, end: usize, reason: impl Into<String>) -> Result<T, StringError> {
    Err(StringError { start, end, reason: reason.into() })
}

/// The text of a `"…"` or `"""…"""` token.
///
/// # Errors
/// When an escape does not exist or the lines of a multi-line string are not indented like its end.
pub(super) fn decode_quoted(token: &str, form: Text) -> Result<String, StringError> {
    match form {
        Text::Line => unescape(strip(token, 1), 1),
        Text::Block => {
            let flat = remove_blank_escapes(strip(token, 3));
            unescape(&dedent(&flat, 3)?, 3)
        }
        Text::Open => error(0, token.len(), "the string does not end"),
    }
}

/// The text of a `#"…"#` or `#"""…"""#` token.
///
/// # Errors
/// When the lines of a multi-line string are not indented like its end.
pub(super) fn decode_raw(token: &str, form: Text) -> Result<String, StringError> {
    let hashes = token.len() - token.trim_start_matches('#').len();
    match form {
        Text::Line => Ok(strip(token, hashes + 1).to_owned()),
        Text::Block => dedent(strip(token, hashes + 3), hashes + 3),
        Text::Open => error(0, token.len(), "the string does not end"),
    }
}

fn strip(token: &str, quotes: usize) -> &str {
    token.get(quotes..token.len().saturating_sub(quotes)).unwrap_or("")
}

/// Resolves escapes; `offset` is where the body begins within its token.
fn unescape(body: &str, offset: usize) -> Result<String, StringError> {
    if !body.contains('\\') {
        return Ok(body.to_owned());
    }
    let mut out = String::with_capacity(body.len());
    let mut characters = body.char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let start = offset + at;
        match characters.next() {
            Some((_, 'n')) => out.push('\n'),
            Some((_, 'r')) => out.push('\r'),
            Some((_, 't')) => out.push('\t'),
            Some((_, 'b')) => out.push('\u{8}'),
            Some((_, 'f')) => out.push('\u{C}'),
            Some((_, 's')) => out.push(' '),
            Some((_, c @ ('\\' | '"'))) => out.push(c),
            Some((_, 'u')) => {
                let rest = body.get(at + 2..).unwrap_or("");
                let Some((c, length)) = unicode_escape(rest) else {
                    return error(start, start + 2, "`\\u` needs a code point in braces, for example `\\u{e9}`");
                };
                out.push(c);
                for _ in 0..length {
                    characters.next();
                }
            }
            Some((_, c)) if is_space(c) || is_newline(c) => {
                while characters.next_if(|(_, c)| is_space(*c) || is_newline(*c)).is_some() {}
            }
            Some((_, c)) => {
                return error(start, start + 1 + c.len_utf8(), format!("the escape `\\{c}` does not exist"));
            }
            None => return error(start, start + 1, "a `\\` at the end of a string escapes nothing"),
        }
    }
    Ok(out)
}

/// The character of `{e9}` at the beginning of `rest`, and how many characters that takes.
fn unicode_escape(rest: &str) -> Option<(char, usize)> {
    let digits = rest.strip_prefix('{')?.split('}').next()?;
    let closed = rest.get(1 + digits.len()..)?.starts_with('}');
    let hex = (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
    (closed && hex).then_some((c, digits.len() + 2))
}

/// Removes each `\` that is followed by spaces and ends of lines, with what follows it: this happens before dedent.
fn remove_blank_escapes(body: &str) -> String {
    let mut out = String::with_capacity(body.len());
    let mut characters = body.chars().peekable();
    while let Some(c) = characters.next() {
        if c != '\\' {
            out.push(c);
        } else if characters.peek().is_some_and(|c| is_space(*c) || is_newline(*c)) {
            while characters.next_if(|c| is_space(*c) || is_newline(*c)).is_some() {}
        } else {
            out.push(c);
            out.extend(characters.next());
        }
    }
    out
}

/// The lines of a multi-line string without the indentation of its last line.
fn dedent(body: &str, offset: usize) -> Result<String, StringError> {
    let lines = split_lines(body);
    let [first, inner @ .., last] = lines.as_slice() else {
        return error(0, offset, "the text of a multi-line string begins on the next line");
    };
    if !first.is_empty() {
        return error(0, offset, "the text of a multi-line string begins on the next line");
    }
    if !last.chars().all(is_space) {
        let end = offset + body.len();
        return error(end, end + 3, "the end of a multi-line string stands on its own line");
    }
    let mut out = String::with_capacity(body.len());
    let mut at = offset + 1;
    for (i, line) in inner.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        if line.chars().all(is_space) {
            // A line of spaces is empty, however it is indented.
        } else if let Some(text) = line.strip_prefix(last) {
            out.push_str(text);
        } else {
            return error(at, at + line.len(), "a line of a multi-line string is indented less than its end");
        }
        at += line.len() + 1;
    }
    Ok(out)
}

fn split_lines(body: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = body;
    while let Some(at) = rest.find(is_newline) {
        let (line, tail) = rest.split_at_checked(at).unwrap_or((rest, ""));
        lines.push(line);
        let length = if tail.starts_with("\r\n") { 2 } else { tail.chars().next().map_or(0, char::len_utf8) };
        rest = tail.get(length..).unwrap_or("");
    }
    lines.push(rest);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_resolve() {
        let read = |token: &str| decode_quoted(token, Text::Line);
        assert_eq!(read(r#""a\n\t\"\\\s\u{e9}""#).unwrap(), "a\n\t\"\\ é");
        assert_eq!(read("\"a \\  \n  b\"").unwrap(), "a b");
        assert_eq!(read(r#""\/""#).unwrap_err().reason, "the escape `\\/` does not exist");
        assert_eq!(read(r#""ab\u{d800}""#).unwrap_err().start, 3);
        assert_eq!(decode_raw(r##"#"a\n"b"#"##, Text::Line).unwrap(), "a\\n\"b");
    }

    #[test]
    fn multi_line_strings_lose_the_indentation_of_their_end() {
        let read = |token: &str| decode_quoted(token, Text::Block);
        assert_eq!(read("\"\"\"\n    a\n      b\n\n  \t\n    \"\"\"").unwrap(), "a\n  b\n\n");
        assert_eq!(read("\"\"\"\n\"\"\"").unwrap(), "");
        assert_eq!(read("\"\"\"\r\n  a\r\n  b\r\n  \"\"\"").unwrap(), "a\nb");
        assert_eq!(read("\"\"\"\n  a \\\n     b\n  \"\"\"").unwrap(), "a b");
        for wrong in ["\"\"\"a\n\"\"\"", "\"\"\"\na\"\"\"", "\"\"\"\n a\n  \"\"\"", "\"\"\"a\"\"\""] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(decode_raw("#\"\"\"\n  \\a\n  \"\"\"#", Text::Block).unwrap(), "\\a");
    }
}
