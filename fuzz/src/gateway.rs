//! What the gateway reads from strangers: PostgreSQL's messages of both sides, start-up packets, statements, its
//! configuration.

use bytes::BytesMut;
use enforcer::{
    config,
    core::limits::Limits,
    protocols::postgres::scan::{Scanner, Shape},
    protocols::postgres::wire::{
        client::{Bind, CopyFail, Execute, FunctionCall, Named, Parse, Query},
        frame::{ClientTag, Frame, ServerTag, Tag},
        packet::{self, Packet},
        parameters::Asked,
        server::{
            Authentication, BackendKeyData, CommandComplete, CopyResponse, DataRow, Fields, NegotiateProtocolVersion,
            Notification, ParameterDescription, ParameterStatus, RowDescription, TransactionStatus,
        },
    },
};
use lang::program::patterns::Patterns;
use lang::program::rules::{Mask, MaskAs, To};
use pgsql::session::SessionFacts;
use secrecy::SecretBox;
use std::path::Path;
use std::sync::Arc;

/// The frames at the start of an input. They are its bytes, in order, each once.
fn frames<T: Tag>(input: &[u8]) -> Result<Vec<Frame<T>>, String> {
    let mut rest = BytesMut::from(input);
    let mut all = Vec::new();
    while let Ok(Some(frame)) = Frame::<T>::next(&mut rest, &Limits::default()) {
        all.push(frame);
    }
    let whole: Vec<u8> = all.iter().flat_map(|frame| frame.whole().to_vec()).chain(rest.to_vec()).collect();
    if whole == input { Ok(all) } else { Err("the frames are not the bytes that came".to_owned()) }
}

/// The messages of a client.
pub(crate) fn client(input: &[u8]) -> Result<(), String> {
    for frame in frames::<ClientTag>(input)? {
        let body = frame.body();
        match frame.tag() {
            ClientTag::Query => drop(Query::read(body)),
            ClientTag::Parse => drop(Parse::read(body)),
            ClientTag::Bind => {
                if let Ok(bind) = Bind::read(body) {
                    (0..8).for_each(|column| {
                        std::hint::black_box(bind.result_format(column));
                    });
                }
            }
            ClientTag::Execute => drop(Execute::read(body)),
            ClientTag::Describe => drop(Named::read_describe(body)),
            ClientTag::Close => drop(Named::read_close(body)),
            ClientTag::CopyFail => drop(CopyFail::read(body)),
            ClientTag::FunctionCall => drop(FunctionCall::read(body)),
            ClientTag::Sync
            | ClientTag::Flush
            | ClientTag::CopyData
            | ClientTag::CopyDone
            | ClientTag::Terminate
            | ClientTag::Password => {}
        }
    }
    Ok(())
}

/// Whatever is known of its columns, a changed row has as many values as before.
fn rows_keep_their_values(scanner: &Scanner, body: &[u8]) -> Result<(), String> {
    let count = |body: &[u8]| DataRow::read(body).map(|row| row.flatten().count());
    for shape in [Shape::Text, Shape::Unknown, Shape::Described(vec![(25, false), (20, false), (25, true)])] {
        let Ok(Some(changed)) = scanner.row(body, &shape) else { continue };
        if count(changed.get(5..).unwrap_or_default()) != count(body) {
            return Err("a changed row has another number of values".to_owned());
        }
    }
    Ok(())
}

/// Pattern masks on what a server sends: a row keeps its number of values, and what is found is gone.
pub(crate) fn cells(input: &[u8]) -> Result<(), String> {
    let masks = [MaskAs::Redact, MaskAs::Partial { keep_first: 1, keep_last: 1 }].map(|mask| Mask {
        name: "found".to_owned(),
        on: None,
        to: To::Everybody,
        classes: Vec::new(),
        columns: Vec::new(),
        patterns: vec![
            (r"\d{3,}|[A-Z]{4,}".to_owned(), None),
            (r"(?:\d[ -]?){13,19}".to_owned(), Some("luhn".to_owned())),
        ],
        json: Vec::new(),
        mask,
        reveal_by_grant: false,
    });
    let key = Arc::new(SecretBox::new(Box::new([7; 32])));
    let patterns = Patterns::of(&masks).map_err(|error| error.to_string())?;
    let Some(scanner) = Scanner::new(patterns, &key) else { return Err("the scanner looks for nothing".to_owned()) };
    for frame in frames::<ServerTag>(input)? {
        let body = frame.body();
        let tag = frame.tag();
        let changed = if tag == ServerTag::DataRow {
            rows_keep_their_values(&scanner, body)?;
            continue;
        } else if tag == ServerTag::CopyData {
            if scanner.copy(body, true).is_some_and(|changed| changed.len() != body.len() + 5) {
                return Err("a binary portion has another length".to_owned());
            }
            scanner.copy(body, false)
        } else if matches!(tag, ServerTag::ErrorResponse | ServerTag::NoticeResponse) {
            scanner.said(tag, body).unwrap_or_default()
        } else {
            continue;
        };
        let again = changed.map(|changed| frames::<ServerTag>(&changed).map(|frames| frames.len()));
        if !matches!(again, None | Some(Ok(1))) {
            return Err("what stands instead of a message is not one message".to_owned());
        }
    }
    Ok(())
}

/// The messages of a server.
pub(crate) fn server(input: &[u8]) -> Result<(), String> {
    for frame in frames::<ServerTag>(input)? {
        let body = frame.body();
        match frame.tag() {
            ServerTag::Authentication => drop(Authentication::read(body)),
            ServerTag::RowDescription => drop(RowDescription::read(body)),
            ServerTag::DataRow => drop(DataRow::read(body)),
            ServerTag::CommandComplete => drop(CommandComplete::read(body).map(|complete| complete.rows())),
            ServerTag::ErrorResponse | ServerTag::NoticeResponse => {
                if let Ok(fields) = Fields::read(body) {
                    std::hint::black_box((fields.code(), fields.message(), fields.severity(), fields.iter().count()));
                }
            }
            ServerTag::NotificationResponse => drop(Notification::read(body)),
            ServerTag::ParameterStatus => drop(ParameterStatus::read(body)),
            ServerTag::ReadyForQuery => drop(TransactionStatus::read(body)),
            ServerTag::CopyInResponse | ServerTag::CopyOutResponse | ServerTag::CopyBothResponse => {
                drop(CopyResponse::read(body));
            }
            ServerTag::BackendKeyData => drop(BackendKeyData::read(body)),
            ServerTag::ParameterDescription => drop(ParameterDescription::read(body)),
            ServerTag::NegotiateProtocolVersion => drop(NegotiateProtocolVersion::read(body)),
            ServerTag::CopyData
            | ServerTag::CopyDone
            | ServerTag::EmptyQueryResponse
            | ServerTag::FunctionCallResponse
            | ServerTag::ParseComplete
            | ServerTag::BindComplete
            | ServerTag::CloseComplete
            | ServerTag::NoData
            | ServerTag::PortalSuspended => {}
        }
    }
    Ok(())
}

/// What a client sends before anything else.
pub(crate) fn startup(input: &[u8]) -> Result<(), String> {
    let Some((length, body)) = input.split_first_chunk::<4>() else { return Ok(()) };
    if let Ok(bytes) = packet::body_bytes(*length, 10_000)
        && let Some(body) = body.get(..bytes)
        && let Ok(Packet::Startup(startup)) = Packet::read(body)
    {
        drop(Asked::read(&startup));
    }
    let (one, again) = (Packet::read(input), Packet::read(input));
    if one == again { Ok(()) } else { Err("a second reading differs".to_owned()) }
}

/// A statement: the judgement is the same each time.
pub(crate) fn sql(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let facts = SessionFacts::pinned(18);
    let judged = pgsql::judge(text, &facts);
    if judged == pgsql::judge(text, &facts) { Ok(()) } else { Err("a second judgement differs".to_owned()) }
}

/// Which operations on which kinds of objects a text comes to.
pub(crate) fn sql_shape(input: &[u8]) -> u64 {
    let Ok(text) = std::str::from_utf8(input) else { return 0 };
    let judged = pgsql::judge(text, &SessionFacts::pinned(18));
    let what = judged.map(|statements| {
        let accesses = statements.into_iter().flat_map(|statement| statement.accesses);
        let mut all: Vec<_> = accesses.map(|access| access.operation).collect();
        all.sort();
        all.dedup();
        all
    });
    crate::targets::hash(format!("{:?}", what.map_err(|refusal| std::mem::discriminant(&refusal))).as_bytes())
}

/// The gateway's configuration: read as a whole, whatever is wrong with it, and the same each time.
pub(crate) fn configuration(input: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(input) else { return Ok(()) };
    let read = || config::parse("gateway.kdl", text, Path::new("/"), &|_| true);
    let ((one, findings), (_, again)) = (read(), read());
    if one.is_some() == findings.has_errors() {
        return Err("a configuration and errors do not exclude each other".to_owned());
    }
    let shown = |findings: &config::Findings| {
        let mut out = Vec::new();
        findings.render(&mut out).map(|()| out).map_err(|error| error.to_string())
    };
    if shown(&findings)? == shown(&again)? { Ok(()) } else { Err("a second reading differs".to_owned()) }
}

/// What kinds of messages an input holds, and where its last one breaks.
pub(crate) fn bytes_shape(input: &[u8]) -> u64 {
    let mut kinds: Vec<u8> = Vec::new();
    for tags in [
        frames::<ClientTag>(input).unwrap_or_default().iter().map(|frame| frame.whole().first().copied()).collect(),
        frames::<ServerTag>(input).unwrap_or_default().iter().map(|frame| frame.whole().first().copied()).collect(),
    ] {
        let tags: Vec<Option<u8>> = tags;
        kinds.extend(tags.into_iter().flatten().take(8));
        kinds.push(0);
    }
    kinds.push(u8::try_from(input.len().min(255)).unwrap_or(u8::MAX) / 8);
    crate::targets::hash(&kinds)
}
