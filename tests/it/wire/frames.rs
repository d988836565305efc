//! Messages as one line of text, both ways.

use bytes::{BufMut, BytesMut};

/// Words of a line; a word in double quotes may hold spaces and `\n`.
pub(super) fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.peek().copied() {
        if c == ' ' {
            chars.next();
        } else if c == '"' {
            chars.next();
            let mut word = String::new();
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => match chars.next() {
                        Some('n') => word.push('\n'),
                        Some(other) => word.push(other),
                        None => break,
                    },
                    c => word.push(c),
                }
            }
            words.push(word);
        } else {
            let mut word = String::new();
            while let Some(c) = chars.next_if(|c| *c != ' ') {
                word.push(c);
            }
            words.push(word);
        }
    }
    words
}

fn frame(tag: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(tag);
    out.put_u32(u32::try_from(body.len() + 4).unwrap());
    out.put_slice(body);
    out
}

fn cstr(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(text.as_bytes());
    body.push(0);
}

fn name(word: &str) -> &str {
    if word == "-" { "" } else { word }
}

/// Formats and values: `text`, `#hexadecimal` in the binary format, `null`.
fn bind_values(body: &mut Vec<u8>, values: &[String]) {
    let count = u16::try_from(values.len()).unwrap().to_be_bytes();
    body.extend_from_slice(&count);
    for value in values {
        body.extend_from_slice(&[0, u8::from(value.starts_with('#'))]);
    }
    body.extend_from_slice(&count);
    for value in values {
        let bytes = match value.strip_prefix('#') {
            Some(digits) => {
                let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
                (0..digits.len()).step_by(2).map(byte).collect()
            }
            None if value == "null" => {
                body.extend_from_slice(&(-1_i32).to_be_bytes());
                continue;
            }
            None => value.as_bytes().to_vec(),
        };
        body.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_be_bytes());
        body.extend_from_slice(&bytes);
    }
}

/// A message of the client: `Query "select 1"`, `Parse s1 "select $1"`, `Bind p1 s1`, `Sync` …
pub(super) fn client(line: &str) -> BytesMut {
    let words = words(line);
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let mut body = Vec::new();
    match word(0) {
        "Query" => {
            cstr(&mut body, word(1));
            frame(b'Q', &body)
        }
        "Parse" => {
            cstr(&mut body, name(word(1)));
            cstr(&mut body, word(2));
            let types = words.get(3..).unwrap_or_default();
            body.extend_from_slice(&u16::try_from(types.len()).unwrap().to_be_bytes());
            for oid in types {
                body.extend_from_slice(&oid.parse::<u32>().unwrap().to_be_bytes());
            }
            frame(b'P', &body)
        }
        "Bind" => {
            cstr(&mut body, name(word(1)));
            cstr(&mut body, name(word(2)));
            bind_values(&mut body, words.get(3..).unwrap_or_default());
            body.extend_from_slice(&[0, 0]);
            frame(b'B', &body)
        }
        "Describe" | "Close" => {
            body.push(word(1).as_bytes()[0]);
            cstr(&mut body, name(word(2)));
            frame(word(0).as_bytes()[0], &body)
        }
        "Execute" => {
            cstr(&mut body, name(word(1)));
            body.extend_from_slice(&[0, 0, 0, 0]);
            frame(b'E', &body)
        }
        "Sync" => frame(b'S', &[]),
        "Flush" => frame(b'H', &[]),
        "CopyData" => frame(b'd', word(1).as_bytes()),
        "CopyDone" => frame(b'c', &[]),
        "CopyFail" => {
            cstr(&mut body, word(1));
            frame(b'f', &body)
        }
        "FunctionCall" => frame(b'F', &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
        "Terminate" => frame(b'X', &[]),
        "Password" => {
            cstr(&mut body, word(1));
            frame(b'p', &body)
        }
        "Raw" => bytes(&words),
        other => panic!("unknown client message `{other}`"),
    }
}

/// A message of the server: `Row "a"`, `Complete "SELECT 1"`, `Ready I`, `Error 42601 "syntax error"` …
pub(super) fn server(line: &str) -> BytesMut {
    let words = words(line);
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let mut body = Vec::new();
    match word(0) {
        "Columns" => {
            body.extend_from_slice(&u16::try_from(words.len() - 1).unwrap().to_be_bytes());
            for column in &words[1..] {
                cstr(&mut body, column);
                body.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 25, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);
            }
            frame(b'T', &body)
        }
        "Row" => {
            body.extend_from_slice(&u16::try_from(words.len() - 1).unwrap().to_be_bytes());
            for value in &words[1..] {
                body.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
                body.extend_from_slice(value.as_bytes());
            }
            frame(b'D', &body)
        }
        "Complete" => {
            cstr(&mut body, word(1));
            frame(b'C', &body)
        }
        "Ready" => frame(b'Z', word(1).as_bytes()),
        "ParseComplete" => frame(b'1', &[]),
        "BindComplete" => frame(b'2', &[]),
        "CloseComplete" => frame(b'3', &[]),
        "NoData" => frame(b'n', &[]),
        "Parameters" => {
            body.extend_from_slice(&u16::try_from(words.len() - 1).unwrap().to_be_bytes());
            for oid in &words[1..] {
                body.extend_from_slice(&oid.parse::<u32>().unwrap().to_be_bytes());
            }
            frame(b't', &body)
        }
        "Suspended" => frame(b's', &[]),
        "Empty" => frame(b'I', &[]),
        "CopyIn" => frame(b'G', &[0, 0, 0]),
        "CopyOut" => frame(b'H', &[0, 0, 0]),
        "CopyBoth" => frame(b'W', &[0, 0, 0]),
        "CopyData" => frame(b'd', word(1).as_bytes()),
        "CopyDone" => frame(b'c', &[]),
        kind @ ("Error" | "Notice") => {
            for (field, text) in [(b'S', "ERROR"), (b'V', "ERROR"), (b'C', word(1)), (b'M', word(2))] {
                body.push(field);
                cstr(&mut body, text);
            }
            body.push(0);
            frame(if kind == "Error" { b'E' } else { b'N' }, &body)
        }
        "Status" => {
            cstr(&mut body, word(1));
            cstr(&mut body, word(2));
            frame(b'S', &body)
        }
        "Notify" => {
            body.extend_from_slice(&[0, 0, 0, 1]);
            cstr(&mut body, word(1));
            cstr(&mut body, word(2));
            frame(b'A', &body)
        }
        "Raw" => bytes(&words),
        other => panic!("unknown server message `{other}`"),
    }
}

/// A row of values that may be null.
pub(super) fn row(values: &[Option<String>]) -> BytesMut {
    let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
    for value in values {
        let length = value.as_ref().map_or(u32::MAX, |value| u32::try_from(value.len()).unwrap());
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
    }
    frame(b'D', &body)
}

/// `Raw 44 00 ff`
fn bytes(words: &[String]) -> BytesMut {
    let all: Vec<u8> = words.iter().skip(1).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    all.as_slice().into()
}

/// What stands in bytes of complete messages, a line each.
pub(super) fn show(mut bytes: &[u8], from_client: bool) -> Vec<String> {
    let mut lines = Vec::new();
    while bytes.len() >= 5 {
        let tag = bytes[0];
        let length = usize::try_from(u32::from_be_bytes(bytes[1..5].try_into().unwrap())).unwrap() + 1;
        let body = &bytes[5..length];
        lines.push(if from_client { show_client(tag, body) } else { show_server(tag, body) });
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty(), "an incomplete message left the machine");
    lines
}

fn strings(body: &[u8]) -> Vec<String> {
    body.split(|byte| *byte == 0).map(|part| String::from_utf8_lossy(part).into_owned()).collect()
}

fn show_client(tag: u8, body: &[u8]) -> String {
    let s = strings(body);
    match tag {
        b'Q' => format!("Query {:?}", s[0]),
        b'P' => format!("Parse {:?} {:?}", s[0], s[1]),
        b'B' => format!("Bind {:?} {:?}", s[0], s[1]),
        b'D' => format!("Describe {:?}", s[0]),
        b'C' => format!("Close {:?}", s[0]),
        b'E' => format!("Execute {:?}", s[0]),
        b'S' => "Sync".to_owned(),
        b'H' => "Flush".to_owned(),
        b'd' => format!("CopyData {:?}", String::from_utf8_lossy(body)),
        b'c' => "CopyDone".to_owned(),
        b'f' => format!("CopyFail {:?}", s[0]),
        b'X' => "Terminate".to_owned(),
        other => format!("? {}", char::from(other)),
    }
}

fn show_server(tag: u8, body: &[u8]) -> String {
    match tag {
        b'E' | b'N' => {
            let field = |kind: u8| {
                body.split(|byte| *byte == 0)
                    .find(|part| part.first() == Some(&kind))
                    .map(|part| String::from_utf8_lossy(&part[1..]).into_owned())
            };
            let mut line = format!(
                "{} {} {:?}",
                if tag == b'E' { field(b'V').unwrap_or_default() } else { "Notice".to_owned() },
                field(b'C').unwrap_or_default(),
                field(b'M').unwrap_or_default()
            );
            if let Some(detail) = field(b'D') {
                line.push_str(&format!(" detail {detail:?}"));
            }
            if let (b'N', Some(hint)) = (tag, field(b'H')) {
                line.push_str(&format!(" hint {hint:?}"));
            }
            line
        }
        b'T' => "Columns".to_owned(),
        b'D' => format!("Row {:?}", String::from_utf8_lossy(body.get(6..).unwrap_or_default())),
        b'C' => format!("Complete {:?}", strings(body)[0]),
        b'Z' => format!("Ready {}", char::from(body[0])),
        b'1' => "ParseComplete".to_owned(),
        b'2' => "BindComplete".to_owned(),
        b'3' => "CloseComplete".to_owned(),
        b'n' => "NoData".to_owned(),
        b't' => "Parameters".to_owned(),
        b's' => "Suspended".to_owned(),
        b'I' => "Empty".to_owned(),
        b'G' => "CopyIn".to_owned(),
        b'H' => "CopyOut".to_owned(),
        b'd' => format!("CopyData {:?}", String::from_utf8_lossy(body)),
        b'c' => "CopyDone".to_owned(),
        b'S' => format!("Status {:?}", strings(body)),
        other => format!("? {}", char::from(other)),
    }
}
