//! Views of what a client sends. They borrow the body and say exactly what PostgreSQL would read from it, or refuse.

use super::WireError;
use super::frame::Format;
use super::read::Reader;

/// `Q`: a string of statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query<'a> {
    /// The text.
    pub sql: &'a str,
}

impl<'a> Query<'a> {
    /// Reads the body of a Query.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "Query");
        let sql = reader.cstr()?;
        reader.end()?;
        Ok(Self { sql })
    }
}

/// `P`: one statement to prepare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parse<'a> {
    /// The statement's name; empty for the unnamed one.
    pub name: &'a str,
    /// The text.
    pub sql: &'a str,
    /// Type OIDs that the client fixes; 0 leaves one open.
    pub parameter_types: Vec<u32>,
}

impl<'a> Parse<'a> {
    /// Reads the body of a Parse.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "Parse");
        let name = reader.name()?;
        let sql = reader.cstr()?;
        let count = reader.u16()?;
        let parameter_types = (0..count).map(|_| reader.u32()).collect::<Result<_, _>>()?;
        reader.end()?;
        Ok(Self { name, sql, parameter_types })
    }
}

/// `B`: a portal to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal's name; empty for the unnamed one.
    pub portal: &'a str,
    /// The statement's name; empty for the unnamed one.
    pub statement: &'a str,
    /// None: all text; one: for all; else one for each parameter.
    pub parameter_formats: Vec<Format>,
    /// The values; `None` is null.
    pub parameters: Vec<Option<&'a [u8]>>,
    /// None: all text; one: for all; else one for each column.
    pub result_formats: Vec<Format>,
}

impl<'a> Bind<'a> {
    /// Reads the body of a Bind.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "Bind");
        let portal = reader.name()?;
        let statement = reader.name()?;
        let parameter_formats = reader.formats()?;
        let count = reader.u16()?;
        let parameters = (0..count).map(|_| reader.value()).collect::<Result<Vec<_>, _>>()?;
        let result_formats = reader.formats()?;
        if !matches!(parameter_formats.len(), 0 | 1) && parameter_formats.len() != parameters.len() {
            return Err(reader.bad_value());
        }
        reader.end()?;
        Ok(Self { portal, statement, parameter_formats, parameters, result_formats })
    }

    /// The format in which the client wants this column.
    pub fn result_format(&self, column: usize) -> Format {
        format_of(&self.result_formats, column)
    }
}

/// The format of one value, given a message's list of formats: none means text, one means all alike.
pub fn format_of(formats: &[Format], index: usize) -> Format {
    match formats {
        [all] => *all,
        each => each.get(index).copied().unwrap_or(Format::Text),
    }
}

/// What a Describe or Close is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Named<'a> {
    /// A prepared statement.
    Statement(&'a str),
    /// A portal.
    Portal(&'a str),
}

impl<'a> Named<'a> {
    /// Reads the body of a Describe (`D`).
    pub fn read_describe(body: &'a [u8]) -> Result<Self, WireError> {
        Self::read(body, "Describe")
    }

    /// Reads the body of a Close (`C`).
    pub fn read_close(body: &'a [u8]) -> Result<Self, WireError> {
        Self::read(body, "Close")
    }

    fn read(body: &'a [u8], what: &'static str) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, what);
        let kind = reader.u8()?;
        let name = reader.name()?;
        let named = match kind {
            b'S' => Self::Statement(name),
            b'P' => Self::Portal(name),
            _ => return Err(reader.bad_value()),
        };
        reader.end()?;
        Ok(named)
    }
}

/// `E`: a portal to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The portal's name; empty for the unnamed one.
    pub portal: &'a str,
    /// Rows after which the portal pauses; 0 or less: none.
    pub rows_max: i32,
}

impl<'a> Execute<'a> {
    /// Reads the body of an Execute.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "Execute");
        let portal = reader.name()?;
        let rows_max = reader.i32()?;
        reader.end()?;
        Ok(Self { portal, rows_max })
    }
}

/// `f`: the client gives up a COPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFail<'a> {
    /// Why.
    pub message: &'a str,
}

impl<'a> CopyFail<'a> {
    /// Reads the body of a CopyFail.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "CopyFail");
        let message = reader.cstr()?;
        reader.end()?;
        Ok(Self { message })
    }
}

/// `p`: the first message of a SASL exchange.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SaslInitialResponse<'a> {
    /// The mechanism that the client chose.
    pub mechanism: &'a str,
    /// What it says at once, when it does.
    pub response: Option<&'a [u8]>,
}

impl std::fmt::Debug for SaslInitialResponse<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SaslInitialResponse").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

impl<'a> SaslInitialResponse<'a> {
    /// Reads the body of a SASLInitialResponse.
    pub fn read(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "SASLInitialResponse");
        let (mechanism, response) = (reader.cstr()?, reader.value()?);
        reader.end()?;
        Ok(Self { mechanism, response })
    }
}

/// `F`: a call of a function by its OID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionCall {
    /// The function.
    pub function: u32,
}

impl FunctionCall {
    /// Reads the OID of a FunctionCall; its arguments are not looked at, because it is always refused.
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        Reader::new(body, "FunctionCall").u32().map(|function| Self { function })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn query_text_ends_at_the_only_nul() {
        assert_eq!(Query::read(b"select 1\0"), Ok(Query { sql: "select 1" }));
        assert_eq!(Query::read(b"select 1"), Err(WireError::Truncated { what: "Query" }));
        assert_eq!(Query::read(b"select 1\0; drop table t\0"), Err(WireError::Trailing { what: "Query" }));
        assert_eq!(Query::read(b"select '\xff'\0"), Err(WireError::NotUtf8 { what: "Query" }));
    }

    #[test]
    fn parse_reads_types_and_refuses_names_that_postgres_would_cut() {
        let parse = Parse::read(b"s\0select $1\0\0\x01\0\0\0\x17").unwrap();
        assert_eq!((parse.name, parse.sql, parse.parameter_types), ("s", "select $1", vec![23]));
        let mut long = vec![b'a'; 64];
        long.extend_from_slice(b"\0select 1\0\0\0");
        assert_eq!(Parse::read(&long), Err(WireError::NameTooLong { what: "Parse" }));
        assert_eq!(Parse::read(b"s\0select $1\0\xff\xff\0\0"), Err(WireError::Truncated { what: "Parse" }));
    }

    #[test]
    fn bind_reads_values_and_formats() {
        let body = b"p\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x02hi\0\x02\0\0\0\x01";
        let bind = Bind::read(body).unwrap();
        assert_eq!(bind.parameters, vec![None, Some(b"hi".as_slice())]);
        assert_eq!(bind.parameter_formats, vec![Format::Binary]);
        assert_eq!((bind.result_format(0), bind.result_format(1)), (Format::Text, Format::Binary));
        assert_eq!(Bind::read(b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"), Err(WireError::Value { what: "Bind" }));
        assert_eq!(Bind::read(b"\0\0\0\x01\0\x02\0\0\0\0"), Err(WireError::Value { what: "Bind" }));
        assert_eq!(Bind::read(b"\0\0\0\x02\0\0\0\0\0\0\0\0"), Err(WireError::Value { what: "Bind" }));
    }

    #[test]
    fn describe_close_and_execute() {
        assert_eq!(Named::read_describe(b"Sx\0"), Ok(Named::Statement("x")));
        assert_eq!(Named::read_close(b"P\0"), Ok(Named::Portal("")));
        assert_eq!(Named::read_close(b"Q\0"), Err(WireError::Value { what: "Close" }));
        assert_eq!(Execute::read(b"\0\0\0\0\x05"), Ok(Execute { portal: "", rows_max: 5 }));
        assert_eq!(Execute::read(b"\0\0\0\0\x05x"), Err(WireError::Trailing { what: "Execute" }));
    }

    proptest! {
        #[test]
        fn arbitrary_bodies_never_panic(body in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Query::read(&body);
            let _ = Parse::read(&body);
            let _ = Bind::read(&body);
            let _ = Named::read_describe(&body);
            let _ = Execute::read(&body);
            let _ = CopyFail::read(&body);
            let _ = FunctionCall::read(&body);
            let _ = SaslInitialResponse::read(&body);
        }
    }
}
