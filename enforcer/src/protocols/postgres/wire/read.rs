//! A cursor over one message body. It never reads past the end and refuses what is left over.

use super::WireError;
use super::frame::Format;

/// The unread rest of a body.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `body`; `what` names the message in errors.
    pub(super) const fn new(body: &'a [u8], what: &'static str) -> Self {
        Self { rest: body, what }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(count).ok_or(WireError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self.rest.split_first_chunk::<N>().ok_or(WireError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Result<i16, WireError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, WireError> {
        self.array().map(i32::from_be_bytes)
    }

    /// The bytes up to the next NUL, which is consumed.
    pub(super) fn cstr_bytes(&mut self) -> Result<&'a [u8], WireError> {
        let end = self.rest.iter().position(|byte| *byte == 0).ok_or(WireError::Truncated { what: self.what })?;
        let text = self.take(end)?;
        self.take(1)?;
        Ok(text)
    }

    /// Text up to the next NUL, which is consumed.
    pub(super) fn cstr(&mut self) -> Result<&'a str, WireError> {
        let bytes = self.cstr_bytes()?;
        std::str::from_utf8(bytes).map_err(|_| WireError::NotUtf8 { what: self.what })
    }

    /// The name of a prepared statement or portal.
    pub(super) fn name(&mut self) -> Result<&'a str, WireError> {
        let name = self.cstr()?;
        if name.len() > super::NAME_BYTES_MAX {
            return Err(WireError::NameTooLong { what: self.what });
        }
        Ok(name)
    }

    /// A length-prefixed value; −1 is null.
    pub(super) fn value(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        match self.i32()? {
            -1 => Ok(None),
            length => {
                let length = usize::try_from(length).map_err(|_| self.bad_value())?;
                self.take(length).map(Some)
            }
        }
    }

    pub(super) fn format(&mut self) -> Result<Format, WireError> {
        match self.u16()? {
            0 => Ok(Format::Text),
            1 => Ok(Format::Binary),
            _ => Err(self.bad_value()),
        }
    }

    /// A 16-bit count followed by that many format codes.
    pub(super) fn formats(&mut self) -> Result<Vec<Format>, WireError> {
        let count = self.u16()?;
        (0..count).map(|_| self.format()).collect()
    }

    /// A count that the protocol calls signed and that must not be negative.
    pub(super) fn count(&mut self) -> Result<usize, WireError> {
        usize::try_from(self.i16()?).map_err(|_| self.bad_value())
    }

    /// A count that the protocol calls signed 32-bit and that must not be negative.
    pub(super) fn long_count(&mut self) -> Result<usize, WireError> {
        usize::try_from(self.i32()?).map_err(|_| self.bad_value())
    }

    pub(super) const fn bad_value(&self) -> WireError {
        WireError::Value { what: self.what }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is left, whatever it is.
    pub(super) fn remaining(self) -> &'a [u8] {
        self.rest
    }

    /// Refuses a rest.
    pub(super) fn end(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Trailing { what: self.what }) }
    }
}
