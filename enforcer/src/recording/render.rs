//! A transcript as text for a terminal.
//!
//! Everything recorded passes `inert`; only this file's own words and line ends are written as they are. Tables are
//! aligned over a bounded number of rows, so that memory does not grow with a result.

use super::inert::{inert, inert_lines};
use super::transcript::{Item, Step, instant};
use crate::core::event::{Decision, Opened};
use lang::time::Timestamp;
use std::io::{self, Write};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Rows that are aligned together.
const PAGE_ROWS: usize = 100;
/// Columns of a result that are shown.
const COLUMNS_MAX: usize = 64;
/// A longer COPY chunk is cut.
const COPY_CHARS_MAX: usize = 2_000;
/// Lines of one COPY chunk.
const COPY_LINES_MAX: usize = 20;

/// Writes steps.
pub struct Renderer<'out> {
    out: &'out mut dyn Write,
    cell_chars_max: usize,
    opened_at: Option<Timestamp>,
    last_sql: String,
    table: Option<Table>,
}

impl std::fmt::Debug for Renderer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Renderer").field("cell_chars_max", &self.cell_chars_max).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    widths: Vec<usize>,
    /// Whether the head has been written; the widths are fixed from then on.
    begun: bool,
    columns_left_out: usize,
}

impl<'out> Renderer<'out> {
    /// A renderer whose table cells are at most that wide.
    pub fn new(out: &'out mut dyn Write, cell_chars_max: usize) -> Self {
        Self { out, cell_chars_max: cell_chars_max.max(4), opened_at: None, last_sql: String::new(), table: None }
    }

    /// Writes one step.
    pub fn step(&mut self, step: &Step) -> io::Result<()> {
        if !matches!(step.item, Item::Row { .. }) {
            self.end_table()?;
        }
        match &step.item {
            Item::Opened(opened) => self.header(step.at, opened),
            Item::Query { sql } => self.sql(step.at, "query", sql),
            Item::Parse { statement, sql } => self.sql(step.at, &named("parse", statement), sql),
            Item::Bind { statement, parameters, .. } => self.bind(step.at, statement, parameters),
            Item::Execute { portal, sql, rows_max } => self.execute(step.at, portal, sql.as_deref(), *rows_max),
            Item::Close { name } => self.line(step.at, "close", name),
            Item::Decision(decision) => self.decision(step.at, decision),
            Item::Columns { names } => {
                self.table = Some(self.begin_table(names));
                Ok(())
            }
            Item::Row { values } => self.row(values),
            Item::Done { tag } => self.line(step.at, "done", tag),
            Item::Report { severity, code, message, detail, hint } => {
                self.line(step.at, &severity.to_lowercase(), &format!("{message} ({code})"))?;
                detail.iter().try_for_each(|detail| self.more("detail", detail))?;
                hint.iter().try_for_each(|hint| self.more("hint", hint))
            }
            Item::Copy { from, data } => self.copy(step.at, from, data),
            Item::RowsOmitted { rows, bytes } => {
                self.line(step.at, "rows", &format!("{rows} rows of {bytes} bytes are not recorded at this level"))
            }
            Item::Reauthorised { bundle, commit } => {
                self.line(step.at, "policy", &format!("goes on under commit {commit}, bundle {bundle}"))
            }
            Item::Note { sentence } => self.line(step.at, "note", sentence),
            Item::Closed { cause, sentence } => self.line(step.at, "closed", &format!("{sentence} ({cause})")),
        }
    }

    /// Writes what is held back: the last rows of a table.
    pub fn flush(&mut self) -> io::Result<()> {
        self.end_table()?;
        self.out.flush()
    }

    fn header(&mut self, at: Timestamp, opened: &Opened) -> io::Result<()> {
        self.opened_at = Some(at);
        let Opened { subject, kind, connection, protocol, grant, commit, bundle, gateway, recorded, .. } = opened;
        let name = opened.subject_name.as_ref().map_or(String::new(), |name| format!("{name} "));
        let request = opened.request.as_ref().map_or(String::new(), |request| format!(" of request {request}"));
        let window = match &opened.window {
            Some(window) => format!("{window}{request}, ends {}", instant(opened.ends)),
            None => format!("standing, ends {}", instant(opened.ends)),
        };
        let groups = opened.groups.join(", ");
        let facts = [
            ("session", Some(opened.session.to_string())),
            ("opened", Some(instant(at))),
            ("who", Some(format!("{name}({kind} {subject})"))),
            ("groups", Some(groups).filter(|groups| !groups.is_empty())),
            ("connection", Some(format!("{connection} ({protocol})"))),
            ("grant", Some(grant.clone())),
            ("window", Some(window)),
            ("policy", Some(format!("commit {commit}, bundle {bundle}"))),
            ("reason", opened.reason.clone()),
            ("ticket", opened.ticket.clone()),
            ("client", Some(format!("user {} from {}", opened.client_user, opened.peer))),
            ("application", opened.application_name.clone()),
            ("trace", opened.trace.clone()),
            ("gateway", Some(format!("{gateway}, recorded {recorded}"))),
        ];
        for (label, fact) in facts {
            if let Some(fact) = fact {
                writeln!(self.out, "{label:<12}{}", inert(&fact))?;
            }
        }
        writeln!(self.out)
    }

    fn line(&mut self, at: Timestamp, label: &str, text: &str) -> io::Result<()> {
        let mut lines = inert_lines(text);
        let first = lines.next().unwrap_or_default();
        writeln!(self.out, "{:>10}  {:<9} {first}", self.elapsed(at), inert(label))?;
        lines.try_for_each(|line| writeln!(self.out, "{:22}{line}", ""))
    }

    fn more(&mut self, label: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "{:22}{label}: {}", "", inert(text))
    }

    fn sql(&mut self, at: Timestamp, label: &str, sql: &str) -> io::Result<()> {
        sql.clone_into(&mut self.last_sql);
        self.line(at, label, sql)
    }

    fn bind(&mut self, at: Timestamp, statement: &str, parameters: &[Option<String>]) -> io::Result<()> {
        if parameters.is_empty() {
            return Ok(());
        }
        let mut shown = Vec::with_capacity(parameters.len());
        for (index, parameter) in parameters.iter().enumerate() {
            let value = match parameter {
                Some(text) => format!("'{}'", cut(&inert(text), self.cell_chars_max)),
                None => "NULL".to_owned(),
            };
            shown.push(format!("${} = {value}", index + 1));
        }
        self.line(at, &named("bind", statement), &shown.join(", "))
    }

    fn execute(&mut self, at: Timestamp, portal: &str, sql: Option<&str>, rows_max: u32) -> io::Result<()> {
        let limit = if rows_max == 0 { String::new() } else { format!(" (at most {rows_max} rows)") };
        match sql {
            Some(sql) if sql != self.last_sql => {
                sql.clone_into(&mut self.last_sql);
                self.line(at, &named("execute", portal), &format!("{sql}{limit}"))
            }
            Some(_) | None => self.line(at, &named("execute", portal), limit.trim_start()),
        }
    }

    fn decision(&mut self, at: Timestamp, decision: &Decision) -> io::Result<()> {
        let Decision { outcome, accesses, rule, place, sentence } = decision;
        let rule = rule.as_deref().unwrap_or("no rule");
        let place = place.as_ref().map_or(String::new(), |place| format!(" ({place})"));
        self.line(at, outcome, &format!("by {rule}{place}: {sentence}"))?;
        if accesses.is_empty() { Ok(()) } else { self.more("accesses", &accesses.join(", ")) }
    }

    fn copy(&mut self, at: Timestamp, from: &str, data: &str) -> io::Result<()> {
        let data = data.strip_suffix('\n').unwrap_or(data);
        let shown: String = data.chars().take(COPY_CHARS_MAX).collect();
        let lines: Vec<_> = shown.split('\n').take(COPY_LINES_MAX).collect();
        let shown = lines.join("\n");
        let more = if shown.len() < data.len() { format!("\n… {} bytes in all", data.len()) } else { String::new() };
        self.line(at, "copy", &format!("from the {from}: {shown}{more}"))
    }

    fn begin_table(&self, names: &[String]) -> Table {
        let shown: Vec<_> = names.iter().take(COLUMNS_MAX).map(|name| cut(&inert(name), self.cell_chars_max)).collect();
        Table {
            widths: shown.iter().map(|name| name.width()).collect(),
            columns_left_out: names.len().saturating_sub(shown.len()),
            names: shown,
            rows: Vec::new(),
            begun: false,
        }
    }

    fn row(&mut self, values: &[Option<String>]) -> io::Result<()> {
        let most = self.cell_chars_max;
        let Some(table) = &mut self.table else {
            return Ok(());
        };
        let cells = values.iter().take(COLUMNS_MAX).map(|value| match value {
            Some(text) => cut(&inert(text), most),
            None => "NULL".to_owned(),
        });
        table.rows.push(cells.collect());
        if table.rows.len() >= PAGE_ROWS { table.write_page(self.out) } else { Ok(()) }
    }

    fn end_table(&mut self) -> io::Result<()> {
        match self.table.take() {
            Some(mut table) => table.write_page(self.out),
            None => Ok(()),
        }
    }

    fn elapsed(&self, at: Timestamp) -> String {
        let ms = at.ms_since(self.opened_at.unwrap_or(at));
        format!("+{}.{:03}s", ms / 1000, ms % 1000)
    }
}

impl Table {
    fn write_page(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.begun {
            for row in &self.rows {
                for (width, cell) in self.widths.iter_mut().zip(row) {
                    *width = (*width).max(cell.width());
                }
            }
            self.begun = true;
            write_cells(out, &self.names, &self.widths)?;
            let rule: Vec<_> = self.widths.iter().map(|width| "-".repeat(width + 2)).collect();
            writeln!(out, "{:22}{}", "", rule.join("+"))?;
        }
        for row in self.rows.drain(..) {
            write_cells(out, &row, &self.widths)?;
        }
        if self.columns_left_out > 0 {
            writeln!(out, "{:22}… and {} more columns", "", self.columns_left_out)?;
        }
        Ok(())
    }
}

fn write_cells(out: &mut dyn Write, cells: &[String], widths: &[usize]) -> io::Result<()> {
    let mut line = String::new();
    for (index, cell) in cells.iter().enumerate() {
        let width = widths.get(index).copied().unwrap_or(0);
        let separator = if index == 0 { " " } else { " | " };
        // A cell of a later page may be wider than the first page's widest.
        let cell = if cell.width() > width { cut(cell, width.max(4)) } else { cell.clone() };
        let pad = " ".repeat(width.saturating_sub(cell.width()));
        line.push_str(separator);
        line.push_str(&cell);
        line.push_str(&pad);
    }
    writeln!(out, "{:22}{}", "", line.trim_end())
}

/// A text of at most that width; what is cut ends in `…`.
fn cut(text: &str, width_max: usize) -> String {
    if text.width() <= width_max {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut width = 0;
    for character in text.chars() {
        let next = width + character.width().unwrap_or(0);
        if next >= width_max {
            break;
        }
        width = next;
        out.push(character);
    }
    out.push('…');
    out
}

fn named(word: &str, name: &str) -> String {
    if name.is_empty() { word.to_owned() } else { format!("{word} {}", cut(name, 32)) }
}
