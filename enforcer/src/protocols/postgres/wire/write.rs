//! Encoders for what the gateway says itself, to a client and to a target.
//!
//! What it says to a target comes back as an error when it holds a NUL byte, because cutting there would change its
//! meaning. What it says to a client is cut there, because a sentence must never become a second field.

use super::WireError;
use super::frame::{ClientTag, ServerTag};
use super::server::TransactionStatus;
use super::sqlstate::SqlState;
use bytes::{BufMut, BytesMut};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The statement failed; the session goes on.
    Error,
    /// The session ends.
    Fatal,
    /// For people to know.
    Notice,
    /// For people to heed.
    Warning,
}

impl Severity {
    /// The word on the wire.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }
}

/// What an ErrorResponse or NoticeResponse of the gateway says. Holds only what its reader may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How bad it is.
    pub severity: Severity,
    /// The code for programs.
    pub code: SqlState,
    /// One sentence for people and agents.
    pub message: String,
    /// Facts: the rule, its file and line.
    pub detail: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Notice {
    /// Something of this severity, with neither detail nor hint.
    pub fn new(severity: Severity, code: SqlState, message: impl Into<String>) -> Self {
        Self { severity, code, message: message.into(), detail: None, hint: None }
    }

    /// Adds facts.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Writes an ErrorResponse for an error, a NoticeResponse for anything milder.
    pub fn write(&self, out: &mut BytesMut) {
        let tag = match self.severity {
            Severity::Error | Severity::Fatal => ServerTag::ErrorResponse,
            Severity::Notice | Severity::Warning => ServerTag::NoticeResponse,
        };
        frame(out, tag.to_byte(), |out| {
            for (kind, text) in [
                (b'S', Some(self.severity.word())),
                (b'V', Some(self.severity.word())),
                (b'C', Some(self.code.as_str())),
                (b'M', Some(self.message.as_str())),
                (b'D', self.detail.as_deref()),
                (b'H', self.hint.as_deref()),
            ] {
                if let Some(text) = text {
                    out.put_u8(kind);
                    put_text(out, text);
                }
            }
            out.put_u8(0);
        });
    }
}

/// Writes a frame whose length is known only afterwards.
///
/// A body above 4 GiB gets a length that every reader refuses; no caller can make one.
pub fn frame(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    let start = out.len();
    out.put_u32(0);
    body(out);
    let length = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    if let Some(slot) = out.get_mut(start..start.saturating_add(4)) {
        slot.copy_from_slice(&length.to_be_bytes());
    }
}

/// Text for a client, cut at a NUL.
fn put_text(out: &mut BytesMut, text: &str) {
    out.put_slice(text.split('\0').next().unwrap_or_default().as_bytes());
    out.put_u8(0);
}

/// Text for a target, refused with a NUL.
pub(super) fn put_cstr(out: &mut BytesMut, text: &str, what: &'static str) -> Result<(), WireError> {
    if text.bytes().any(|byte| byte == 0) {
        return Err(WireError::Nul { what });
    }
    out.put_slice(text.as_bytes());
    out.put_u8(0);
    Ok(())
}

/// AuthenticationOk.
pub fn authentication_ok(out: &mut BytesMut) {
    frame(out, ServerTag::Authentication.to_byte(), |out| out.put_u32(0));
}

/// AuthenticationCleartextPassword.
pub fn authentication_cleartext(out: &mut BytesMut) {
    frame(out, ServerTag::Authentication.to_byte(), |out| out.put_u32(3));
}

/// `AuthenticationSASL` with the mechanisms that are offered.
pub fn authentication_sasl(out: &mut BytesMut, mechanisms: &[&'static str]) {
    frame(out, ServerTag::Authentication.to_byte(), |out| {
        out.put_u32(10);
        for mechanism in mechanisms {
            put_text(out, mechanism);
        }
        out.put_u8(0);
    });
}

/// `AuthenticationSASLContinue`.
pub fn authentication_sasl_continue(out: &mut BytesMut, challenge: &[u8]) {
    frame(out, ServerTag::Authentication.to_byte(), |out| {
        out.put_u32(11);
        out.put_slice(challenge);
    });
}

/// ParameterStatus.
pub fn parameter_status(out: &mut BytesMut, name: &str, value: &str) {
    frame(out, ServerTag::ParameterStatus.to_byte(), |out| {
        put_text(out, name);
        put_text(out, value);
    });
}

/// BackendKeyData.
pub fn backend_key_data(out: &mut BytesMut, pid: u32, secret: &[u8]) {
    frame(out, ServerTag::BackendKeyData.to_byte(), |out| {
        out.put_u32(pid);
        out.put_slice(secret);
    });
}

/// ReadyForQuery.
pub fn ready_for_query(out: &mut BytesMut, status: TransactionStatus) {
    frame(out, ServerTag::ReadyForQuery.to_byte(), |out| out.put_u8(status.byte()));
}

/// CommandComplete.
pub fn command_complete(out: &mut BytesMut, tag: &str) {
    frame(out, ServerTag::CommandComplete.to_byte(), |out| put_text(out, tag));
}

/// NegotiateProtocolVersion: the minor version that will be spoken and the options that are not known.
pub fn negotiate_protocol_version(out: &mut BytesMut, minor: u16, unknown_options: &[String]) {
    frame(out, ServerTag::NegotiateProtocolVersion.to_byte(), |out| {
        out.put_u32((3 << 16) | u32::from(minor));
        out.put_u32(u32::try_from(unknown_options.len()).unwrap_or(u32::MAX));
        for option in unknown_options {
            put_text(out, option);
        }
    });
}

/// A server message without a body: ParseComplete, BindComplete, CloseComplete, NoData, EmptyQueryResponse, …
pub fn bare(out: &mut BytesMut, tag: ServerTag) {
    frame(out, tag.to_byte(), |_| ());
}

/// A DataRow with these values.
pub fn data_row<'a>(out: &mut BytesMut, values: impl ExactSizeIterator<Item = Option<&'a [u8]>>) {
    frame(out, ServerTag::DataRow.to_byte(), |out| {
        out.put_u16(u16::try_from(values.len()).unwrap_or(u16::MAX));
        for value in values {
            put_value(out, value);
        }
    });
}

/// One length-prefixed value; null when there is none.
pub fn put_value(out: &mut BytesMut, value: Option<&[u8]>) {
    match value {
        None => out.put_i32(-1),
        Some(value) => {
            out.put_i32(i32::try_from(value.len()).unwrap_or(i32::MIN));
            out.put_slice(value);
        }
    }
}

/// Query.
pub fn query(out: &mut BytesMut, sql: &str) -> Result<(), WireError> {
    checked(out, ClientTag::Query, |out| put_cstr(out, sql, "Query"))
}

/// Parse.
pub fn parse(out: &mut BytesMut, name: &str, sql: &str, parameter_types: &[u32]) -> Result<(), WireError> {
    checked(out, ClientTag::Parse, |out| {
        put_cstr(out, name, "Parse")?;
        put_cstr(out, sql, "Parse")?;
        put_count(out, parameter_types.len(), "Parse")?;
        for oid in parameter_types {
            out.put_u32(*oid);
        }
        Ok(())
    })
}

/// Bind with text parameters and text results.
pub fn bind_text(
    out: &mut BytesMut,
    portal: &str,
    statement: &str,
    parameters: &[Option<&str>],
) -> Result<(), WireError> {
    checked(out, ClientTag::Bind, |out| {
        put_cstr(out, portal, "Bind")?;
        put_cstr(out, statement, "Bind")?;
        out.put_u16(0);
        put_count(out, parameters.len(), "Bind")?;
        for value in parameters {
            put_value(out, value.map(str::as_bytes));
        }
        out.put_u16(0);
        Ok(())
    })
}

/// Describe of a prepared statement.
pub fn describe_statement(out: &mut BytesMut, name: &str) -> Result<(), WireError> {
    checked(out, ClientTag::Describe, |out| {
        out.put_u8(b'S');
        put_cstr(out, name, "Describe")
    })
}

/// Describe of a portal.
pub fn describe_portal(out: &mut BytesMut, name: &str) -> Result<(), WireError> {
    checked(out, ClientTag::Describe, |out| {
        out.put_u8(b'P');
        put_cstr(out, name, "Describe")
    })
}

/// Close of a prepared statement.
pub fn close_statement(out: &mut BytesMut, name: &str) -> Result<(), WireError> {
    checked(out, ClientTag::Close, |out| {
        out.put_u8(b'S');
        put_cstr(out, name, "Close")
    })
}

/// Execute.
pub fn execute(out: &mut BytesMut, portal: &str, rows_max: i32) -> Result<(), WireError> {
    checked(out, ClientTag::Execute, |out| {
        put_cstr(out, portal, "Execute")?;
        out.put_i32(rows_max);
        Ok(())
    })
}

/// CopyFail.
pub fn copy_fail(out: &mut BytesMut, message: &str) -> Result<(), WireError> {
    checked(out, ClientTag::CopyFail, |out| put_cstr(out, message, "CopyFail"))
}

/// Sync.
pub fn sync(out: &mut BytesMut) {
    frame(out, ClientTag::Sync.to_byte(), |_| ());
}

/// Flush.
pub fn flush(out: &mut BytesMut) {
    frame(out, ClientTag::Flush.to_byte(), |_| ());
}

/// Terminate.
pub fn terminate(out: &mut BytesMut) {
    frame(out, ClientTag::Terminate.to_byte(), |_| ());
}

/// SASLInitialResponse.
pub fn sasl_initial_response(out: &mut BytesMut, mechanism: &'static str, message: &[u8]) {
    frame(out, ClientTag::Password.to_byte(), |out| {
        put_text(out, mechanism);
        put_value(out, Some(message));
    });
}

/// SASLResponse.
pub fn sasl_response(out: &mut BytesMut, message: &[u8]) {
    frame(out, ClientTag::Password.to_byte(), |out| out.put_slice(message));
}

/// PasswordMessage.
pub fn password(out: &mut BytesMut, password: &str) -> Result<(), WireError> {
    checked(out, ClientTag::Password, |out| put_cstr(out, password, "PasswordMessage"))
}

fn put_count(out: &mut BytesMut, count: usize, what: &'static str) -> Result<(), WireError> {
    out.put_u16(u16::try_from(count).map_err(|_| WireError::Value { what })?);
    Ok(())
}

/// Writes a frame, or leaves `out` as it was.
fn checked(
    out: &mut BytesMut,
    tag: ClientTag,
    body: impl FnOnce(&mut BytesMut) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let start = out.len();
    let mut result = Ok(());
    frame(out, tag.to_byte(), |out| result = body(out));
    if result.is_err() {
        out.truncate(start);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::super::client::{Bind, Execute, Named, Parse, Query};
    use super::super::frame::{Frame, Tag};
    use super::super::server::{
        BackendKeyData, DataRow, Fields, NegotiateProtocolVersion, ParameterStatus, TransactionStatus,
    };
    use super::*;
    use crate::core::limits::Limits;

    fn only<T: Tag>(mut bytes: BytesMut) -> Frame<T> {
        let frame = Frame::next(&mut bytes, &Limits::default()).unwrap().unwrap();
        assert!(bytes.is_empty());
        frame
    }

    fn written(write: impl FnOnce(&mut BytesMut)) -> BytesMut {
        let mut out = BytesMut::new();
        write(&mut out);
        out
    }

    #[test]
    fn a_notice_reads_back_and_cannot_gain_a_field() {
        let notice = Notice::new(Severity::Error, SqlState::INSUFFICIENT_PRIVILEGE, "no\0Cxxxxx")
            .with_detail("rule")
            .with_hint("ask");
        let frame = only::<ServerTag>(written(|out| notice.write(out)));
        assert_eq!(frame.tag(), ServerTag::ErrorResponse);
        let fields = Fields::read(frame.body()).unwrap();
        assert_eq!((fields.code(), fields.message()), (Some("42501"), Some("no")));
        assert_eq!((fields.text(b'D'), fields.text(b'H')), (Some("rule"), Some("ask")));
        let mild = Notice::new(Severity::Notice, SqlState::SUCCESSFUL_COMPLETION, "hold");
        assert_eq!(only::<ServerTag>(written(|out| mild.write(out))).tag(), ServerTag::NoticeResponse);
    }

    #[test]
    fn what_is_said_to_a_client_reads_back() {
        let frame = only::<ServerTag>(written(|out| parameter_status(out, "a", "b")));
        assert_eq!(ParameterStatus::read(frame.body()), Ok(ParameterStatus { name: "a", value: "b" }));
        let frame = only::<ServerTag>(written(|out| backend_key_data(out, 7, &[1, 2, 3, 4])));
        assert_eq!(BackendKeyData::read(frame.body()), Ok(BackendKeyData { pid: 7, secret: &[1, 2, 3, 4] }));
        let frame = only::<ServerTag>(written(|out| ready_for_query(out, TransactionStatus::Open)));
        assert_eq!(TransactionStatus::read(frame.body()), Ok(TransactionStatus::Open));
        let frame = only::<ServerTag>(written(|out| negotiate_protocol_version(out, 2, &["_pq_.x".into()])));
        let said = NegotiateProtocolVersion::read(frame.body()).unwrap();
        assert_eq!((said.version, said.unknown_options), (0x0003_0002, vec!["_pq_.x"]));
        let frame = only::<ServerTag>(written(|out| data_row(out, [Some(b"x".as_slice()), None].into_iter())));
        let row: Result<Vec<_>, WireError> = DataRow::read(frame.body()).unwrap().collect();
        assert_eq!(row, Ok(vec![Some(b"x".as_slice()), None]));
    }

    #[test]
    fn what_is_said_to_a_target_reads_back() {
        let frame = only::<ClientTag>(written(|out| query(out, "select 1").unwrap()));
        assert_eq!(Query::read(frame.body()), Ok(Query { sql: "select 1" }));
        let frame = only::<ClientTag>(written(|out| parse(out, "s", "select $1", &[25]).unwrap()));
        assert_eq!(Parse::read(frame.body()).unwrap().parameter_types, vec![25]);
        let frame = only::<ClientTag>(written(|out| bind_text(out, "", "s", &[Some("x"), None]).unwrap()));
        assert_eq!(Bind::read(frame.body()).unwrap().parameters, vec![Some(b"x".as_slice()), None]);
        let frame = only::<ClientTag>(written(|out| describe_statement(out, "s").unwrap()));
        assert_eq!(Named::read_describe(frame.body()), Ok(Named::Statement("s")));
        let frame = only::<ClientTag>(written(|out| execute(out, "", 0).unwrap()));
        assert_eq!(Execute::read(frame.body()), Ok(Execute { portal: "", rows_max: 0 }));
    }

    #[test]
    fn a_nul_leaves_nothing_behind() {
        let mut out = BytesMut::from(&b"before"[..]);
        assert_eq!(query(&mut out, "select 1\0; drop table t"), Err(WireError::Nul { what: "Query" }));
        assert_eq!(&out[..], b"before");
    }
}
