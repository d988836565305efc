//! A recording's events as steps that a person or a program can follow: commands, decisions, results, the end.
//!
//! Frames are decoded here, and results are tied to the statement that they answer, also where a driver skips
//! Describe. The steps still hold the recorded text as it was: a viewer makes it inert. Memory is bounded.

use super::decode_postgres::{Column, Decoder, Message, Report, Side, Value};
use super::inert::text_of;
use super::read::Entry;
use super::values_postgres::value_text;
use crate::core::event::{Decision, Opened, What};
use lang::time::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};

/// Statements and portals that are remembered.
const NAMES_MAX: usize = 4_096;
/// Messages that wait for their answer.
const EXPECTED_MAX: usize = 10_000;

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Step {
    /// The number of the record that it comes from.
    pub record: u64,
    /// When, RFC 3339 with milliseconds.
    #[serde(serialize_with = "rfc3339")]
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub item: Item,
}

/// What happens at a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it; `docs/recording-format.md` describes the export")]
pub enum Item {
    /// The session opens.
    Opened(Box<Opened>),
    /// A simple query.
    Query { sql: String },
    /// A statement is prepared.
    Parse { statement: String, sql: String },
    /// Parameters are bound; none is NULL.
    Bind { portal: String, statement: String, parameters: Vec<Option<String>> },
    /// A portal runs.
    Execute { portal: String, sql: Option<String>, rows_max: u32 },
    /// A statement or portal is closed.
    Close { name: String },
    /// The judgement.
    Decision(Decision),
    /// A result begins.
    Columns { names: Vec<String> },
    /// A row; none is NULL.
    Row { values: Vec<Option<String>> },
    /// A command is done.
    Done { tag: String },
    /// An error or a notice.
    Report { severity: String, code: String, message: String, detail: Option<String>, hint: Option<String> },
    /// COPY data.
    Copy { from: &'static str, data: String },
    /// The level leaves rows out.
    RowsOmitted { rows: u64, bytes: u64 },
    /// The session goes on under another bundle.
    Reauthorised { bundle: String, commit: String },
    /// Something that is said in one sentence.
    Note { sentence: String },
    /// The session ends.
    Closed { cause: String, sentence: String },
}

/// What a step is to whoever ties statements to their judgements.
#[derive(Clone, Debug, PartialEq)]
pub enum Tied {
    /// The session opens.
    Opened(Box<Opened>),
    /// A statement is asked for; none when its text is not known.
    Asked(Option<String>),
    /// The judgement of what was asked last.
    Judged(Decision),
    /// The session ends, and why.
    Closed(String),
    /// Nothing.
    Aside,
}

impl Item {
    /// As the step of somebody who asks and is judged.
    pub fn tied(self) -> Tied {
        match self {
            Self::Opened(opened) => Tied::Opened(opened),
            Self::Query { sql } | Self::Parse { sql, .. } => Tied::Asked(Some(sql)),
            Self::Execute { sql, .. } => Tied::Asked(sql),
            Self::Decision(decision) => Tied::Judged(decision),
            Self::Closed { cause, .. } => Tied::Closed(cause),
            Self::Bind { .. }
            | Self::Close { .. }
            | Self::Columns { .. }
            | Self::Row { .. }
            | Self::Done { .. }
            | Self::Report { .. }
            | Self::Copy { .. }
            | Self::RowsOmitted { .. }
            | Self::Reauthorised { .. }
            | Self::Note { .. } => Tied::Aside,
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&instant(*at))
}

/// RFC 3339 in UTC with milliseconds.
pub fn instant(at: Timestamp) -> String {
    let seconds = at.to_string();
    format!("{}.{:03}Z", seconds.trim_end_matches('Z'), at.unix_ms().rem_euclid(1000))
}

#[derive(Debug, Default)]
struct Statement {
    sql: String,
    type_oids: Vec<u32>,
    columns: Option<Vec<Column>>,
}

#[derive(Debug, Default)]
struct Portal {
    statement: Vec<u8>,
    sql: String,
    result_formats: Vec<i16>,
    columns: Option<Vec<Column>>,
}

/// What a client's message waits for.
#[derive(Debug)]
enum Expected {
    Parse,
    Bind,
    Close,
    DescribeStatement(Vec<u8>),
    DescribePortal(Vec<u8>),
    Execute(Vec<u8>),
    /// A simple query or a Sync: answered by ReadyForQuery.
    Ready,
}

/// Turns entries into steps.
#[derive(Debug)]
pub struct Transcript {
    protocol: Option<String>,
    client: Decoder,
    server: Decoder,
    statements: BTreeMap<Vec<u8>, Statement>,
    portals: BTreeMap<Vec<u8>, Portal>,
    expected: VecDeque<Expected>,
    columns: Option<Vec<Column>>,
    messages: Vec<Message>,
}

impl Default for Transcript {
    fn default() -> Self {
        Self {
            protocol: None,
            client: Decoder::new(Side::Client),
            server: Decoder::new(Side::Server),
            statements: BTreeMap::new(),
            portals: BTreeMap::new(),
            expected: VecDeque::new(),
            columns: None,
            messages: Vec::new(),
        }
    }
}

impl Transcript {
    /// Appends the steps of one entry.
    pub fn push(&mut self, entry: Entry, out: &mut Vec<Step>) {
        let Entry { record, event } = entry;
        let at = event.at;
        let mut add = |item| out.push(Step { record, at, item });
        match event.what {
            What::Opened(opened) => {
                self.protocol = Some(opened.protocol.clone());
                add(Item::Opened(opened));
            }
            What::Decision(decision) => add(Item::Decision(decision)),
            What::RowsOmitted { rows, bytes } => add(Item::RowsOmitted { rows, bytes }),
            What::Reauthorised { bundle, commit } => add(Item::Reauthorised { bundle, commit }),
            What::Closed { cause, sentence } => add(Item::Closed { cause, sentence }),
            What::FromClient(bytes) => self.frames(Side::Client, &bytes, &mut add),
            What::ToClient(bytes) => self.frames(Side::Server, &bytes, &mut add),
        }
    }

    fn frames(&mut self, side: Side, bytes: &[u8], add: &mut dyn FnMut(Item)) {
        if self.protocol.as_deref() != Some("postgres") {
            add(Item::Note { sentence: format!("{} bytes of a protocol that is not decoded", bytes.len()) });
            return;
        }
        let mut messages = std::mem::take(&mut self.messages);
        match side {
            Side::Client => self.client.feed(bytes, &mut messages),
            Side::Server => self.server.feed(bytes, &mut messages),
        }
        for message in messages.drain(..) {
            self.message(side, message, add);
        }
        self.messages = messages;
    }

    fn message(&mut self, side: Side, message: Message, add: &mut dyn FnMut(Item)) {
        match message {
            Message::Query { sql } => {
                self.expect(Expected::Ready);
                add(Item::Query { sql: text_of(&sql) });
            }
            Message::Parse { name, sql, type_oids } => {
                let sql = text_of(&sql);
                self.expect(Expected::Parse);
                add(Item::Parse { statement: text_of(&name), sql: sql.clone() });
                remember(&mut self.statements, name, Statement { sql, type_oids, columns: None });
            }
            Message::Bind { portal, statement, formats, values, result_formats } => {
                self.expect(Expected::Bind);
                add(self.bind(&portal, &statement, &formats, &values));
                let sql = self.statements.get(&statement).map(|known| known.sql.clone()).unwrap_or_default();
                remember(&mut self.portals, portal, Portal { statement, sql, result_formats, columns: None });
            }
            Message::Execute { portal, rows_max } => {
                let sql = self.portals.get(&portal).map(|known| known.sql.clone());
                add(Item::Execute { portal: text_of(&portal), sql, rows_max });
                self.expect(Expected::Execute(portal));
            }
            Message::DescribeStatement { name } => self.expect(Expected::DescribeStatement(name)),
            Message::DescribePortal { name } => self.expect(Expected::DescribePortal(name)),
            Message::CloseStatement { name } => {
                self.statements.remove(&name);
                self.expect(Expected::Close);
                add(Item::Close { name: text_of(&name) });
            }
            Message::ClosePortal { name } => {
                self.portals.remove(&name);
                self.expect(Expected::Close);
                add(Item::Close { name: text_of(&name) });
            }
            Message::Sync => self.expect(Expected::Ready),
            Message::CopyFail { reason } => {
                add(Item::Note { sentence: format!("the client gives up its COPY: {}", text_of(&reason)) });
            }
            Message::CopyData { bytes } => {
                let from = match side {
                    Side::Client => "client",
                    Side::Server => "target",
                };
                add(Item::Copy { from, data: text_of(&bytes) });
            }
            Message::Oversize { kind, bytes } => {
                add(note(kind, &format!("of {bytes} bytes is too long to be shown")));
            }
            Message::Other { kind, bytes } => add(note(kind, &format!("of {bytes} bytes is not decoded"))),
            Message::Malformed { kind } => add(note(kind, "is malformed")),
            Message::Flush | Message::Terminate | Message::CopyDone => {}
            answer @ (Message::RowDescription { .. }
            | Message::DataRow { .. }
            | Message::CommandComplete { .. }
            | Message::EmptyQuery
            | Message::PortalSuspended
            | Message::Error(_)
            | Message::Notice(_)
            | Message::Notification { .. }
            | Message::ParameterStatus { .. }
            | Message::ParameterDescription { .. }
            | Message::ReadyForQuery { .. }
            | Message::ParseComplete
            | Message::BindComplete
            | Message::CloseComplete
            | Message::NoData
            | Message::CopyIn
            | Message::CopyOut
            | Message::CopyBoth) => self.answer(answer, add),
        }
    }

    fn answer(&mut self, message: Message, add: &mut dyn FnMut(Item)) {
        match message {
            Message::RowDescription { columns } => self.row_description(columns, add),
            Message::ParameterDescription { type_oids } => {
                if let Some(Expected::DescribeStatement(name)) = self.expected.front()
                    && let Some(statement) = self.statements.get_mut(name)
                {
                    statement.type_oids = type_oids;
                }
            }
            Message::DataRow { values } => {
                self.begin_result(values.len(), add);
                add(Item::Row { values: self.row(&values) });
            }
            Message::CommandComplete { tag } => {
                self.result_ends();
                add(Item::Done { tag: text_of(&tag) });
            }
            Message::EmptyQuery => {
                self.result_ends();
                add(Item::Done { tag: "(empty query)".into() });
            }
            Message::PortalSuspended => {
                self.result_ends();
                add(Item::Done { tag: "(portal suspended)".into() });
            }
            Message::Error(report) => {
                self.refused();
                add(report_item(&report));
            }
            Message::Notice(report) => add(report_item(&report)),
            Message::Notification { channel, payload } => {
                let (channel, payload) = (text_of(&channel), text_of(&payload));
                add(Item::Note { sentence: format!("notification on {channel}: {payload}") });
            }
            Message::ReadyForQuery { .. } => self.ready(),
            Message::ParseComplete | Message::BindComplete | Message::CloseComplete | Message::NoData => {
                let answers = !matches!(self.expected.front(), Some(Expected::Ready | Expected::Execute(_)) | None);
                if answers {
                    self.expected.pop_front();
                }
            }
            Message::CopyIn => add(Item::Note { sentence: "COPY from the client begins".into() }),
            Message::CopyOut => add(Item::Note { sentence: "COPY to the client begins".into() }),
            Message::CopyBoth => add(Item::Note { sentence: "COPY in both directions begins".into() }),
            Message::ParameterStatus { .. }
            | Message::Query { .. }
            | Message::Parse { .. }
            | Message::Bind { .. }
            | Message::DescribeStatement { .. }
            | Message::DescribePortal { .. }
            | Message::Execute { .. }
            | Message::CloseStatement { .. }
            | Message::ClosePortal { .. }
            | Message::Sync
            | Message::Flush
            | Message::Terminate
            | Message::CopyFail { .. }
            | Message::CopyData { .. }
            | Message::CopyDone
            | Message::Other { .. }
            | Message::Oversize { .. }
            | Message::Malformed { .. } => {}
        }
    }

    /// After an error nothing up to the next Sync is answered.
    fn refused(&mut self) {
        self.columns = None;
        while self.expected.front().is_some_and(|front| !matches!(front, Expected::Ready)) {
            self.expected.pop_front();
        }
    }

    fn ready(&mut self) {
        self.refused();
        self.expected.pop_front();
    }

    fn expect(&mut self, expected: Expected) {
        if self.expected.len() >= EXPECTED_MAX {
            self.expected.clear();
        }
        self.expected.push_back(expected);
    }

    fn bind(&self, portal: &[u8], statement: &[u8], formats: &[i16], values: &[Value]) -> Item {
        let known = self.statements.get(statement);
        let oid = |index| known.and_then(|known| known.type_oids.get(index)).copied().unwrap_or(0);
        let parameters = values
            .iter()
            .enumerate()
            .map(|(index, value)| value.as_ref().map(|bytes| value_text(oid(index), format_of(formats, index), bytes)));
        Item::Bind { portal: text_of(portal), statement: text_of(statement), parameters: parameters.collect() }
    }

    fn row_description(&mut self, columns: Vec<Column>, add: &mut dyn FnMut(Item)) {
        match self.expected.front() {
            Some(Expected::DescribeStatement(name)) => {
                if let Some(statement) = self.statements.get_mut(name) {
                    statement.columns = Some(columns);
                }
                self.expected.pop_front();
            }
            Some(Expected::DescribePortal(name)) => {
                if let Some(portal) = self.portals.get_mut(name) {
                    portal.columns = Some(columns);
                }
                self.expected.pop_front();
            }
            Some(Expected::Parse | Expected::Bind | Expected::Close | Expected::Execute(_) | Expected::Ready)
            | None => {
                add(Item::Columns { names: names(&columns) });
                self.columns = Some(columns);
            }
        }
    }

    /// Names the columns of a result whose description was asked for earlier.
    fn begin_result(&mut self, count: usize, add: &mut dyn FnMut(Item)) {
        if self.columns.is_some() {
            return;
        }
        let portal = match self.expected.front() {
            Some(Expected::Execute(portal)) => self.portals.get(portal),
            Some(
                Expected::Parse
                | Expected::Bind
                | Expected::Close
                | Expected::DescribeStatement(_)
                | Expected::DescribePortal(_)
                | Expected::Ready,
            )
            | None => None,
        };
        let described = portal.and_then(|portal| {
            portal.columns.clone().or_else(|| {
                let columns = self.statements.get(&portal.statement)?.columns.clone()?;
                let with_format = |(index, column): (usize, Column)| {
                    let format = format_of(&portal.result_formats, index);
                    Column { format, ..column }
                };
                Some(columns.into_iter().enumerate().map(with_format).collect())
            })
        });
        let columns: Vec<Column> = described.unwrap_or_else(|| {
            let formats = portal.map(|portal| portal.result_formats.clone()).unwrap_or_default();
            let unnamed = |index| {
                let name = format!("column {}", index + 1).into_bytes();
                Column { name, type_oid: 0, format: format_of(&formats, index) }
            };
            (0..count).map(unnamed).collect()
        });
        add(Item::Columns { names: names(&columns) });
        self.columns = Some(columns);
    }

    fn row(&self, values: &[Value]) -> Vec<Option<String>> {
        let columns = self.columns.as_deref().unwrap_or_default();
        let facts = |index: usize| columns.get(index).map_or((0, 0), |column| (column.type_oid, column.format));
        let cell = |(index, value): (usize, &Value)| {
            let (type_oid, format) = facts(index);
            value.as_ref().map(|bytes| value_text(type_oid, format, bytes))
        };
        values.iter().enumerate().map(cell).collect()
    }

    fn result_ends(&mut self) {
        self.columns = None;
        if matches!(self.expected.front(), Some(Expected::Execute(_))) {
            self.expected.pop_front();
        }
    }
}

fn remember<T>(known: &mut BTreeMap<Vec<u8>, T>, name: Vec<u8>, value: T) {
    if known.len() < NAMES_MAX || known.contains_key(&name) {
        known.insert(name, value);
    }
}

fn names(columns: &[Column]) -> Vec<String> {
    columns.iter().map(|column| text_of(&column.name)).collect()
}

/// No format means text, one stands for all.
fn format_of(formats: &[i16], index: usize) -> i16 {
    match formats {
        [] => 0,
        [all] => *all,
        each => each.get(index).copied().unwrap_or(0),
    }
}

fn note(kind: u8, what: &str) -> Item {
    Item::Note { sentence: format!("a message of kind `{}` {what}", char::from(kind)) }
}

fn report_item(report: &Report) -> Item {
    Item::Report {
        severity: text_of(&report.severity),
        code: text_of(&report.code),
        message: text_of(&report.message),
        detail: report.detail.as_deref().map(text_of),
        hint: report.hint.as_deref().map(text_of),
    }
}
