//! Pattern masks on what a target sends: cells, COPY data, errors and notices, before anything is recorded or passed on.
//!
//! Best effort by nature: a value that is written in another way, parted over cells or packed into a binary number is not
//! found. It must never make a message longer than its length says, nor let a message through that it cannot read.

use super::wire::WireError;
use super::wire::frame::ServerTag;
use super::wire::server::{DataRow, Fields, RowDescription};
use super::wire::write::{self, Notice};
use bytes::{BufMut, BytesMut};
use lang::program::patterns::{Form, Patterns};
use secrecy::{ExposeSecret, SecretBox};
use std::borrow::Cow;
use std::sync::Arc;

/// Fields of an error or notice that are sentences, not codes or names.
const SENTENCES: &[u8] = b"MDHWq";

/// Types whose values are texts that may be longer or shorter: text, varchar, char, name, unknown, xml.
const TEXTS: [u32; 6] = [25, 1043, 1042, 19, 705, 142];
/// The first number of a type that somebody made.
const FIRST_MADE: u32 = 16_384;

/// How the values of rows are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// As the row description says: the type of each column and whether it is binary.
    Described(Vec<(u32, bool)>),
    /// Nobody said the types; no value is binary.
    #[default]
    Text,
    /// Nobody said anything: some values may be binary.
    Unknown,
}

impl Shape {
    /// What a row description says.
    pub fn of(columns: &RowDescription<'_>) -> Self {
        let binary = |format| format == super::wire::frame::Format::Binary;
        Self::Described(columns.fields.iter().map(|field| (field.type_oid, binary(field.format))).collect())
    }

    fn form(&self, column: usize) -> (Form, bool) {
        match self {
            Self::Text => (Form::Text, true),
            Self::Unknown => (Form::Fixed, true),
            Self::Described(columns) => match columns.get(column) {
                Some((kind, false)) if TEXTS.contains(kind) || *kind >= FIRST_MADE => (Form::Text, false),
                Some((_, true | false)) | None => (Form::Fixed, true),
            },
        }
    }
}

/// Looks through what a session is shown.
#[derive(Debug)]
pub struct Scanner {
    patterns: Patterns,
    key: Arc<SecretBox<[u8; 32]>>,
}

impl Scanner {
    /// A scanner, unless there is nothing to look for.
    pub fn new(patterns: Patterns, key: &Arc<SecretBox<[u8; 32]>>) -> Option<Self> {
        (!patterns.is_empty()).then(|| Self { patterns, key: Arc::clone(key) })
    }

    fn replaced(&self, value: &[u8], form: Form) -> Option<Vec<u8>> {
        let hash = |found: &[u8]| blake3::keyed_hash(self.key.expose_secret(), found).to_hex().to_string();
        self.patterns.replaced(value, form, &hash)
    }

    /// A row in which something was found, as it is shown.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn row(&self, body: &[u8], shape: &Shape) -> Result<Option<BytesMut>, WireError> {
        let mut changed = false;
        let mut cells: Vec<Option<Cow<'_, [u8]>>> = Vec::new();
        for (column, value) in DataRow::read(body)?.enumerate() {
            let Some(value) = value? else {
                cells.push(None);
                continue;
            };
            let cell = self.cell(value, shape.form(column));
            changed |= !matches!(cell, Some(Cow::Borrowed(_)));
            cells.push(cell);
        }
        if !changed {
            return Ok(None);
        }
        let mut out = BytesMut::new();
        write::data_row(&mut out, cells.iter().map(|cell| cell.as_deref()));
        Ok(Some(out))
    }

    /// A value as it is shown. A whole number would be none with letters in it: it is not shown at all.
    fn cell<'v>(&self, value: &'v [u8], (form, numbers): (Form, bool)) -> Option<Cow<'v, [u8]>> {
        if self.patterns.nullifies(value) {
            return None;
        }
        match self.replaced(value, form) {
            None => Some(Cow::Borrowed(value)),
            Some(_) if numbers && is_number(value) => None,
            Some(changed) => Some(Cow::Owned(changed)),
        }
    }

    /// COPY data in which something was found, as it is shown.
    pub fn copy(&self, body: &[u8], binary: bool) -> Option<BytesMut> {
        let changed = self.replaced(body, if binary { Form::Fixed } else { Form::Line })?;
        let mut out = BytesMut::new();
        write::frame(&mut out, ServerTag::CopyData.to_byte(), |out| out.put_slice(&changed));
        Some(out)
    }

    /// An error or notice of the target in which something was found, as it is shown.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn said(&self, tag: ServerTag, body: &[u8]) -> Result<Option<BytesMut>, WireError> {
        let mut changed = false;
        let mut fields: Vec<(u8, Cow<'_, [u8]>)> = Vec::new();
        for (kind, text) in Fields::read(body)?.iter() {
            match self.replaced(text, Form::Line).filter(|_| SENTENCES.contains(&kind)) {
                Some(text) => {
                    changed = true;
                    fields.push((kind, Cow::Owned(text)));
                }
                None => fields.push((kind, Cow::Borrowed(text))),
            }
        }
        if !changed {
            return Ok(None);
        }
        let mut out = BytesMut::new();
        write::frame(&mut out, tag.to_byte(), |out| {
            for (kind, text) in &fields {
                out.put_u8(*kind);
                out.put_slice(text);
                out.put_u8(0);
            }
            out.put_u8(0);
        });
        Ok(Some(out))
    }

    /// A notice of the gateway's own making that repeats a sentence of the target.
    pub fn repeat(&self, notice: &mut Notice) {
        if let Some(text) = self.replaced(notice.message.as_bytes(), Form::Line) {
            notice.message = String::from_utf8_lossy(&text).into_owned();
        }
    }
}

fn is_number(value: &[u8]) -> bool {
    !value.is_empty()
        && value.iter().all(|byte| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E'))
}
