//! Views of what a server sends. The target is not trusted: every count and length is checked, and text must be UTF-8.

use super::WireError;
use super::frame::Format;
use super::read::Reader;

/// `R`: a step of authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authentication<'a> {
    /// The login is complete.
    Ok,
    /// The server wants the password as it is.
    CleartextPassword,
    /// The server wants an MD5 digest of the password.
    Md5Password,
    /// The server offers these SASL mechanisms.
    Sasl(Vec<&'a str>),
    /// A SASL challenge.
    SaslContinue(&'a [u8]),
    /// The end of a SASL exchange.
    SaslFinal(&'a [u8]),
    /// Kerberos, GSSAPI, SSPI and whatever else there is.
    Other(i32),
}

impl<'a> Authentication<'a> {
    /// Reads the body of an Authentication message.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "Authentication");
        let step = match reader.i32()? {
            0 => Self::Ok,
            3 => Self::CleartextPassword,
            5 => {
                reader.take(4)?;
                Self::Md5Password
            }
            10 => {
                let mut mechanisms = Vec::new();
                loop {
                    match reader.cstr()? {
                        "" => break,
                        mechanism => mechanisms.push(mechanism),
                    }
                }
                Self::Sasl(mechanisms)
            }
            11 => return Ok(Self::SaslContinue(reader.remaining())),
            12 => return Ok(Self::SaslFinal(reader.remaining())),
            other => return Ok(Self::Other(other)),
        };
        reader.end()?;
        Ok(step)
    }
}

/// One column of a RowDescription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name that the client sees; an alias changes it.
    pub name: &'a str,
    /// The relation that the column comes from; 0 when it is computed.
    pub table: u32,
    /// The column's number within that relation; 0 when it is computed.
    pub attribute: i16,
    /// The type.
    pub type_oid: u32,
    /// The type's length; negative for a varying one.
    pub type_bytes: i16,
    /// The type's modifier.
    pub type_modifier: i32,
    /// How the values are written. In the answer to a Describe of a statement it is not known yet and says text.
    pub format: Format,
}

/// `T`: the columns of the rows that follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowDescription<'a> {
    /// The columns in order.
    pub fields: Vec<Field<'a>>,
}

impl<'a> RowDescription<'a> {
    /// Reads the body of a RowDescription.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "RowDescription");
        let count = reader.count()?;
        let mut fields = Vec::new();
        for _ in 0..count {
            fields.push(Field {
                name: reader.cstr()?,
                table: reader.u32()?,
                attribute: reader.i16()?,
                type_oid: reader.u32()?,
                type_bytes: reader.i16()?,
                type_modifier: reader.i32()?,
                format: reader.format()?,
            });
        }
        reader.end()?;
        Ok(Self { fields })
    }
}

/// `D`: one row. Its values are read one after the other, without an allocation.
pub struct DataRow<'a> {
    reader: Option<Reader<'a>>,
    left: usize,
}

impl std::fmt::Debug for DataRow<'_> {
    /// Row data is never printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataRow").field("left", &self.left).finish_non_exhaustive()
    }
}

impl<'a> DataRow<'a> {
    /// Reads the count of values; the values follow by iteration, and the row is proven whole only at its end.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "DataRow");
        let left = reader.count()?;
        Ok(Self { reader: Some(reader), left })
    }

    /// Values that are not read yet.
    pub const fn values_left(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for DataRow<'a> {
    type Item = Result<Option<&'a [u8]>, WireError>;

    /// The next value, or the error that ends the row; a row with bytes after its last value ends with an error.
    fn next(&mut self) -> Option<Self::Item> {
        let Some(left) = self.left.checked_sub(1) else {
            return self.reader.take().and_then(|reader| reader.end().err()).map(Err);
        };
        let value = self.reader.as_mut()?.value();
        self.left = left;
        if value.is_err() {
            self.reader = None;
            self.left = 0;
        }
        Some(value)
    }
}

/// `C`: the end of one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandComplete<'a> {
    /// `SELECT 3`, `INSERT 0 1`, `BEGIN`.
    pub tag: &'a str,
}

impl<'a> CommandComplete<'a> {
    /// Reads the body of a CommandComplete.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "CommandComplete");
        let tag = reader.cstr()?;
        reader.end()?;
        Ok(Self { tag })
    }

    /// The rows that the tag counts; `None` for a command that counts none.
    pub fn rows(&self) -> Option<u64> {
        self.tag.rsplit(' ').next().and_then(|word| word.parse().ok())
    }
}

/// The fields of an ErrorResponse (`E`) or NoticeResponse (`N`).
///
/// Kept as bytes: before a login is complete a server writes them in an encoding of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields<'a> {
    fields: Vec<(u8, &'a [u8])>,
}

impl<'a> Fields<'a> {
    /// Reads the body of an ErrorResponse or NoticeResponse.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "ErrorResponse");
        let mut fields = Vec::new();
        loop {
            match reader.u8()? {
                0 => break,
                kind => fields.push((kind, reader.cstr_bytes()?)),
            }
        }
        reader.end()?;
        Ok(Self { fields })
    }

    /// The first field of this kind, when it is UTF-8.
    pub fn text(&self, kind: u8) -> Option<&'a str> {
        let (_, bytes) = self.fields.iter().find(|(found, _)| *found == kind)?;
        std::str::from_utf8(bytes).ok()
    }

    /// Every field in order: its kind and its bytes.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        self.fields.iter().copied()
    }

    /// The SQLSTATE; `None` when it is missing or not five letters and digits.
    pub fn code(&self) -> Option<&'a str> {
        self.text(b'C').filter(|code| code.len() == 5 && code.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    }

    /// The primary message.
    pub fn message(&self) -> Option<&'a str> {
        self.text(b'M')
    }

    /// The severity that no locale changes: `ERROR`, `FATAL`, `PANIC`, `NOTICE`, …
    pub fn severity(&self) -> Option<&'a str> {
        self.text(b'V').or_else(|| self.text(b'S'))
    }
}

/// `A`: a NOTIFY of another session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<'a> {
    /// The process id of the session that notified.
    pub pid: u32,
    /// The channel.
    pub channel: &'a str,
    /// The payload.
    pub payload: &'a str,
}

impl<'a> Notification<'a> {
    /// Reads the body of a NotificationResponse.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "NotificationResponse");
        let notification = Self { pid: reader.u32()?, channel: reader.cstr()?, payload: reader.cstr()? };
        reader.end()?;
        Ok(notification)
    }
}

/// `S`: a parameter's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParameterStatus<'a> {
    /// The parameter.
    pub name: &'a str,
    /// Its value now.
    pub value: &'a str,
}

impl<'a> ParameterStatus<'a> {
    /// Reads the body of a ParameterStatus.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "ParameterStatus");
        let status = Self { name: reader.cstr()?, value: reader.cstr()? };
        reader.end()?;
        Ok(status)
    }
}

/// Where a session stands between two rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TransactionStatus {
    /// No transaction.
    Idle,
    /// Within a transaction.
    Open,
    /// Within a transaction that failed and waits for its end.
    Failed,
}

impl TransactionStatus {
    /// Reads the body of a ReadyForQuery (`Z`).
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "ReadyForQuery");
        let status = match reader.u8()? {
            b'I' => Self::Idle,
            b'T' => Self::Open,
            b'E' => Self::Failed,
            _ => return Err(reader.bad_value()),
        };
        reader.end()?;
        Ok(status)
    }

    /// The byte in a ReadyForQuery.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::Open => b'T',
            Self::Failed => b'E',
        }
    }
}

/// `G`, `H`, `W`: COPY begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyResponse {
    /// The format of the whole.
    pub format: Format,
    /// The format of each column.
    pub column_formats: Vec<Format>,
}

impl CopyResponse {
    /// Reads the body of a CopyInResponse, CopyOutResponse or CopyBothResponse.
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "CopyResponse");
        let format = match reader.u8()? {
            0 => Format::Text,
            1 => Format::Binary,
            _ => return Err(reader.bad_value()),
        };
        let column_formats = reader.formats()?;
        reader.end()?;
        Ok(Self { format, column_formats })
    }
}

/// `K`: what a CancelRequest must name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BackendKeyData<'a> {
    /// The process id.
    pub pid: u32,
    /// The secret.
    pub secret: &'a [u8],
}

impl std::fmt::Debug for BackendKeyData<'_> {
    /// The secret is never printed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendKeyData").field("pid", &self.pid).finish_non_exhaustive()
    }
}

impl<'a> BackendKeyData<'a> {
    /// Reads the body of a BackendKeyData.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "BackendKeyData");
        let pid = reader.u32()?;
        if reader.is_empty() {
            return Err(WireError::Truncated { what: "BackendKeyData" });
        }
        Ok(Self { pid, secret: reader.remaining() })
    }
}

/// `t`: the parameter types of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterDescription {
    /// Type OIDs in order.
    pub types: Vec<u32>,
}

impl ParameterDescription {
    /// Reads the body of a ParameterDescription.
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "ParameterDescription");
        let count = reader.u16()?;
        let types = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { types })
    }
}

/// `v`: the server does not know an option or minor version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NegotiateProtocolVersion<'a> {
    /// The version that the server will speak: `major << 16 | minor`.
    pub version: u32,
    /// The options that it does not know.
    pub unknown_options: Vec<&'a str>,
}

impl<'a> NegotiateProtocolVersion<'a> {
    /// Reads the body of a NegotiateProtocolVersion.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "NegotiateProtocolVersion");
        let version = reader.u32()?;
        let count = reader.long_count()?;
        let unknown_options = (0..count).map(|_| reader.cstr()).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { version, unknown_options })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn authentication_steps() {
        assert_eq!(Authentication::read(b"\0\0\0\0"), Ok(Authentication::Ok));
        assert_eq!(Authentication::read(b"\0\0\0\x05salt"), Ok(Authentication::Md5Password));
        assert_eq!(
            Authentication::read(b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
            Ok(Authentication::Sasl(vec!["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"]))
        );
        assert_eq!(Authentication::read(b"\0\0\0\x0bx"), Ok(Authentication::SaslContinue(b"x")));
        assert_eq!(Authentication::read(b"\0\0\0\x07"), Ok(Authentication::Other(7)));
        assert!(Authentication::read(b"\0\0\0\0x").is_err());
        assert!(Authentication::read(b"\0\0\0\x0aSCRAM-SHA-256\0").is_err());
    }

    #[test]
    fn a_row_ends_exactly_at_its_end() {
        let values = |body: &'static [u8]| DataRow::read(body).unwrap().collect::<Result<Vec<_>, _>>();
        assert_eq!(values(b"\0\x02\0\0\0\x01a\xff\xff\xff\xff"), Ok(vec![Some(b"a".as_slice()), None]));
        assert_eq!(values(b"\0\0"), Ok(vec![]));
        assert_eq!(values(b"\0\0x"), Err(WireError::Trailing { what: "DataRow" }));
        assert_eq!(values(b"\0\x01\0\0\0\x02a"), Err(WireError::Truncated { what: "DataRow" }));
        assert_eq!(values(b"\0\x01\x80\0\0\0"), Err(WireError::Value { what: "DataRow" }));
        assert!(DataRow::read(b"\xff\xff").is_err());
    }

    #[test]
    fn an_error_without_a_code_has_none() {
        let fields = Fields::read(b"SERROR\0Mno\0\0").unwrap();
        assert_eq!((fields.code(), fields.message(), fields.severity()), (None, Some("no"), Some("ERROR")));
        assert_eq!(Fields::read(b"C4250\x011\0\0").unwrap().code(), None);
        assert_eq!(Fields::read(b"M\xe9\0\0").unwrap().message(), None);
        assert!(Fields::read(b"C42501\0").is_err());
        assert!(Fields::read(b"\0trailing").is_err());
    }

    #[test]
    fn row_descriptions_and_completions() {
        let mut body = b"\0\x01email\0".to_vec();
        body.extend_from_slice(&16_400_u32.to_be_bytes());
        body.extend_from_slice(&3_i16.to_be_bytes());
        body.extend_from_slice(&25_u32.to_be_bytes());
        body.extend_from_slice(&(-1_i16).to_be_bytes());
        body.extend_from_slice(&(-1_i32).to_be_bytes());
        body.extend_from_slice(&0_u16.to_be_bytes());
        let description = RowDescription::read(&body).unwrap();
        let field = description.fields[0];
        assert_eq!((field.name, field.table, field.attribute, field.type_oid), ("email", 16_400, 3, 25));
        assert_eq!(CommandComplete::read(b"INSERT 0 5\0").unwrap().rows(), Some(5));
        assert_eq!(CommandComplete::read(b"BEGIN\0").unwrap().rows(), None);
        assert_eq!(TransactionStatus::read(b"E"), Ok(TransactionStatus::Failed));
        assert!(TransactionStatus::read(b"x").is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Authentication::read(&body);
            let _ = RowDescription::read(&body);
            let _ = DataRow::read(&body).map(|row| row.take(100_000).count());
            let _ = Fields::read(&body);
            let _ = Notification::read(&body);
            let _ = ParameterStatus::read(&body);
            let _ = CopyResponse::read(&body);
            let _ = BackendKeyData::read(&body);
            let _ = ParameterDescription::read(&body);
            let _ = NegotiateProtocolVersion::read(&body);
            let _ = CommandComplete::read(&body);
        }
    }
}
