//! A small decoder of PostgreSQL's messages for people who look at recordings.
//!
//! It reads what was recorded and judges nothing: it is not on the data path. It holds at most one message of
//! bounded size, takes any bytes, and never panics.

use bytes::Buf;

//= https://www.postgresql.org/docs/current/protocol-message-formats.html

/// A longer message is counted and not shown.
const MESSAGE_BYTES_MAX: usize = 2 << 20;
/// Fields, parameters and columns of one message.
const ITEMS_MAX: usize = 65_535;

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The target, through the gateway.
    Server,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Vec<u8>,
    /// The type's object id.
    pub type_oid: u32,
    /// 0 text, 1 binary.
    pub format: i16,
}

/// An error or a notice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// `ERROR`, `FATAL`, `NOTICE`, …
    pub severity: Vec<u8>,
    /// SQLSTATE.
    pub code: Vec<u8>,
    /// The message.
    pub message: Vec<u8>,
    /// More.
    pub detail: Option<Vec<u8>>,
    /// What to do.
    pub hint: Option<Vec<u8>>,
}

/// A value; none is NULL.
pub type Value = Option<Vec<u8>>;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the protocol's own")]
pub enum Message {
    /// Client.
    Query {
        sql: Vec<u8>,
    },
    Parse {
        name: Vec<u8>,
        sql: Vec<u8>,
        type_oids: Vec<u32>,
    },
    Bind {
        portal: Vec<u8>,
        statement: Vec<u8>,
        formats: Vec<i16>,
        values: Vec<Value>,
        result_formats: Vec<i16>,
    },
    DescribeStatement {
        name: Vec<u8>,
    },
    DescribePortal {
        name: Vec<u8>,
    },
    Execute {
        portal: Vec<u8>,
        rows_max: u32,
    },
    CloseStatement {
        name: Vec<u8>,
    },
    ClosePortal {
        name: Vec<u8>,
    },
    Sync,
    Flush,
    Terminate,
    CopyFail {
        reason: Vec<u8>,
    },
    /// Server.
    RowDescription {
        columns: Vec<Column>,
    },
    DataRow {
        values: Vec<Value>,
    },
    CommandComplete {
        tag: Vec<u8>,
    },
    EmptyQuery,
    PortalSuspended,
    Error(Report),
    Notice(Report),
    Notification {
        channel: Vec<u8>,
        payload: Vec<u8>,
    },
    ParameterStatus {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    ParameterDescription {
        type_oids: Vec<u32>,
    },
    ReadyForQuery {
        status: u8,
    },
    ParseComplete,
    BindComplete,
    CloseComplete,
    NoData,
    CopyIn,
    CopyOut,
    CopyBoth,
    /// Both.
    CopyData {
        bytes: Vec<u8>,
    },
    CopyDone,
    /// A kind that has no place in a recorded session.
    Other {
        kind: u8,
        bytes: usize,
    },
    /// Larger than what is shown.
    Oversize {
        kind: u8,
        bytes: usize,
    },
    /// Not what its kind says; after a senseless length the rest of this side is not decoded.
    Malformed {
        kind: u8,
    },
}

/// Joins recorded runs of bytes into messages.
#[derive(Debug)]
pub struct Decoder {
    side: Side,
    buffer: Vec<u8>,
    /// Bytes of an oversize message still to be passed over.
    skip: usize,
    lost: bool,
}

impl Decoder {
    /// A decoder for one side.
    pub fn new(side: Side) -> Self {
        Self { side, buffer: Vec::new(), skip: 0, lost: false }
    }

    /// Takes a run of bytes and appends the messages that are whole now.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<Message>) {
        if self.lost {
            return;
        }
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        bytes = bytes.split_at(skipped).1;
        self.buffer.extend_from_slice(bytes);
        let mut rest = std::mem::take(&mut self.buffer);
        let mut done = 0;
        while let Some((kind, length)) = rest.get(done..).and_then(message_header) {
            if length < 4 {
                self.lost = true;
                out.push(Message::Malformed { kind });
                return;
            }
            let total = length.saturating_add(1);
            if total > MESSAGE_BYTES_MAX {
                let here = rest.len() - done;
                self.skip = total.saturating_sub(here);
                done = done.saturating_add(total).min(rest.len());
                out.push(Message::Oversize { kind, bytes: total });
                continue;
            }
            let Some(body) = rest.get(done + 5..done + total) else {
                break;
            };
            out.push(self.decode(kind, body));
            done += total;
        }
        rest.drain(..done);
        self.buffer = rest;
    }

    /// Bytes of a message that is not whole.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn decode(&self, kind: u8, body: &[u8]) -> Message {
        let message = match self.side {
            Side::Client => client_message(kind, body),
            Side::Server => server_message(kind, body),
        };
        message.unwrap_or(Message::Malformed { kind })
    }
}

fn message_header(bytes: &[u8]) -> Option<(u8, usize)> {
    let (kind, rest) = bytes.split_first()?;
    let (length, _) = rest.split_first_chunk::<4>()?;
    Some((*kind, usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX)))
}

fn client_message(kind: u8, mut body: &[u8]) -> Option<Message> {
    let body = &mut body;
    let message = match kind {
        b'Q' => Message::Query { sql: string(body)? },
        b'P' => Message::Parse { name: string(body)?, sql: string(body)?, type_oids: list(body, oid)? },
        b'B' => Message::Bind {
            portal: string(body)?,
            statement: string(body)?,
            formats: list(body, format)?,
            values: list(body, value)?,
            result_formats: list(body, format)?,
        },
        b'D' | b'C' => {
            let what = body.try_get_u8().ok()?;
            let name = string(body)?;
            match (kind, what) {
                (b'D', b'S') => Message::DescribeStatement { name },
                (b'D', b'P') => Message::DescribePortal { name },
                (b'C', b'S') => Message::CloseStatement { name },
                (b'C', b'P') => Message::ClosePortal { name },
                _ => return None,
            }
        }
        b'E' => Message::Execute { portal: string(body)?, rows_max: body.try_get_u32().ok()? },
        b'S' => Message::Sync,
        b'H' => Message::Flush,
        b'X' => Message::Terminate,
        b'd' => Message::CopyData { bytes: rest(body) },
        b'c' => Message::CopyDone,
        b'f' => Message::CopyFail { reason: string(body)? },
        other => Message::Other { kind: other, bytes: rest(body).len() },
    };
    body.is_empty().then_some(message)
}

fn server_message(kind: u8, mut body: &[u8]) -> Option<Message> {
    let body = &mut body;
    let message = match kind {
        b'T' => Message::RowDescription { columns: list(body, column)? },
        b'D' => Message::DataRow { values: list(body, value)? },
        b'C' => Message::CommandComplete { tag: string(body)? },
        b'I' => Message::EmptyQuery,
        b's' => Message::PortalSuspended,
        b'E' => Message::Error(report(body)?),
        b'N' => Message::Notice(report(body)?),
        b'A' => {
            body.try_get_u32().ok()?;
            Message::Notification { channel: string(body)?, payload: string(body)? }
        }
        b'S' => Message::ParameterStatus { name: string(body)?, value: string(body)? },
        b't' => Message::ParameterDescription { type_oids: list(body, oid)? },
        b'Z' => Message::ReadyForQuery { status: body.try_get_u8().ok()? },
        b'1' => Message::ParseComplete,
        b'2' => Message::BindComplete,
        b'3' => Message::CloseComplete,
        b'n' => Message::NoData,
        b'G' | b'H' | b'W' => {
            body.try_get_u8().ok()?;
            list(body, format)?;
            match kind {
                b'G' => Message::CopyIn,
                b'H' => Message::CopyOut,
                _ => Message::CopyBoth,
            }
        }
        b'd' => Message::CopyData { bytes: rest(body) },
        b'c' => Message::CopyDone,
        other => Message::Other { kind: other, bytes: rest(body).len() },
    };
    body.is_empty().then_some(message)
}

fn string(body: &mut &[u8]) -> Option<Vec<u8>> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let (text, after) = body.split_at_checked(end)?;
    *body = after.split_first()?.1;
    Some(text.to_vec())
}

fn rest(body: &mut &[u8]) -> Vec<u8> {
    std::mem::take(body).to_vec()
}

fn list<T>(body: &mut &[u8], item: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let count = usize::from(body.try_get_u16().ok()?).min(ITEMS_MAX);
    // Each item takes bytes, so a hostile count ends with the body.
    (0..count).map(|_| item(body)).collect()
}

fn oid(body: &mut &[u8]) -> Option<u32> {
    body.try_get_u32().ok()
}

fn format(body: &mut &[u8]) -> Option<i16> {
    body.try_get_i16().ok()
}

fn value(body: &mut &[u8]) -> Option<Value> {
    let length = body.try_get_i32().ok()?;
    let Ok(length) = usize::try_from(length) else {
        return (length == -1).then_some(None);
    };
    let (value, after) = body.split_at_checked(length)?;
    *body = after;
    Some(Some(value.to_vec()))
}

fn column(body: &mut &[u8]) -> Option<Column> {
    let name = string(body)?;
    body.try_get_u32().ok()?;
    body.try_get_i16().ok()?;
    let type_oid = body.try_get_u32().ok()?;
    body.try_get_i16().ok()?;
    body.try_get_i32().ok()?;
    Some(Column { name, type_oid, format: body.try_get_i16().ok()? })
}

fn report(body: &mut &[u8]) -> Option<Report> {
    let mut report = Report::default();
    loop {
        let field = body.try_get_u8().ok()?;
        if field == 0 {
            return Some(report);
        }
        let text = string(body)?;
        match field {
            b'S' if report.severity.is_empty() => report.severity = text,
            // `V` is the severity that is never translated.
            b'V' => report.severity = text,
            b'C' => report.code = text,
            b'M' => report.message = text,
            b'D' => report.detail = Some(text),
            b'H' => report.hint = Some(text),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![kind];
        out.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        out.extend_from_slice(body);
        out
    }

    fn decode(side: Side, bytes: &[u8], step: usize) -> Vec<Message> {
        let mut decoder = Decoder::new(side);
        let mut out = Vec::new();
        bytes.chunks(step).for_each(|chunk| decoder.feed(chunk, &mut out));
        out
    }

    #[test]
    fn messages_are_joined_over_any_cut() {
        let mut bytes = frame(b'Q', b"SELECT 1\0");
        bytes.extend(frame(b'P', b"s1\0SELECT $1\0\0\x01\0\0\0\x17"));
        bytes.extend(frame(b'B', b"\0s1\0\0\x01\0\x01\0\x02\0\0\0\x04\0\0\0\x2a\xff\xff\xff\xff\0\0"));
        bytes.extend(frame(b'X', b""));
        let whole = decode(Side::Client, &bytes, bytes.len());
        assert_eq!(
            whole,
            [
                Message::Query { sql: b"SELECT 1".to_vec() },
                Message::Parse { name: b"s1".to_vec(), sql: b"SELECT $1".to_vec(), type_oids: vec![23] },
                Message::Bind {
                    portal: vec![],
                    statement: b"s1".to_vec(),
                    formats: vec![1],
                    values: vec![Some(vec![0, 0, 0, 42]), None],
                    result_formats: vec![],
                },
                Message::Terminate,
            ]
        );
        (1..20).for_each(|step| assert_eq!(decode(Side::Client, &bytes, step), whole));
    }

    #[test]
    fn oversize_messages_are_passed_over() {
        let mut bytes = frame(b'd', &vec![7; 3 << 20]);
        bytes.extend(frame(b'c', b""));
        for step in [1 << 12, 1 << 20, 4 << 20] {
            let messages = decode(Side::Server, &bytes, step);
            assert_eq!(messages, [Message::Oversize { kind: b'd', bytes: (3 << 20) + 5 }, Message::CopyDone]);
        }
    }

    #[test]
    fn a_senseless_length_ends_a_side() {
        assert_eq!(decode(Side::Server, b"Z\0\0\0\x03IIIIII", 3), [Message::Malformed { kind: b'Z' }]);
        assert_eq!(decode(Side::Server, &frame(b'D', b"\0\x09"), 99), [Message::Malformed { kind: b'D' }]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..300), kind in any::<u8>(), step in 1..50_usize) {
            for side in [Side::Client, Side::Server] {
                decode(side, &bytes, step);
                prop_assert_eq!(decode(side, &frame(kind, &bytes), step).len(), 1);
            }
        }
    }
}
