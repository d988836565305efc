//! Places as editors count them: lines from 0, and UTF-16 units within a line; and files as addresses.

use lang::span::Span;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// The range of a span.
pub(super) fn range(text: &str, span: Span) -> Value {
    json!({ "start": position(text, span.start), "end": position(text, span.end) })
}

fn position(text: &str, at: u32) -> Value {
    let mut at = (at as usize).min(text.len());
    while at > 0 && !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = text.get(..at).unwrap_or("");
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count();
    let character: usize = before.get(start..).unwrap_or("").chars().map(char::len_utf16).sum();
    json!({ "line": line, "character": character })
}

/// The byte at a position; a position behind the end of its line is that end.
pub(super) fn offset(text: &str, position: &Value) -> Option<u32> {
    let line = usize::try_from(position.get("line")?.as_u64()?).ok()?;
    let units = usize::try_from(position.get("character")?.as_u64()?).ok()?;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let rest = text.get(start..)?;
    let rest = rest.split('\n').next().unwrap_or("").trim_end_matches('\r');
    let (mut seen, mut bytes) = (0, 0);
    for c in rest.chars() {
        if seen >= units {
            break;
        }
        seen += c.len_utf16();
        bytes += c.len_utf8();
    }
    u32::try_from(start + bytes).ok()
}

/// The path of a `file:` address.
pub(super) fn path_of(uri: &str) -> Option<String> {
    let encoded = uri.strip_prefix("file://")?;
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// The `file:` address of a path.
pub(super) fn uri_of(path: &str) -> String {
    let mut uri = String::from("file://");
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            let _in_memory = write!(uri, "%{byte:02X}");
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_utf16_and_survive_the_round_trip() {
        let text = "a\n😀é x\r\nend";
        for (at, line, character) in [(0, 0, 0), (2, 1, 0), (6, 1, 2), (8, 1, 3), (9, 1, 4), (12, 2, 0), (15, 2, 3)] {
            let position = position(text, at);
            assert_eq!(position, json!({ "line": line, "character": character }), "byte {at}");
            assert_eq!(offset(text, &position), Some(at));
        }
        assert_eq!(offset(text, &json!({ "line": 1, "character": 99 })), Some(10), "the end of the line");
        assert_eq!(path_of(&uri_of("/a b/ü#.kdl")).as_deref(), Some("/a b/ü#.kdl"));
    }
}
