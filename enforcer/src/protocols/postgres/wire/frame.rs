//! Frames: a kind byte, a length, a body. The only place that reads a length.
//!
//! It never looks into a body, never skips bytes and never resynchronises: the first wrong byte ends the connection.

use super::WireError;
use crate::core::limits::Limits;
use bytes::{Bytes, BytesMut};

/// Bytes of a frame's kind and length.
pub const HEADER_BYTES: usize = 5;

/// The longest body of messages that only carry a name, a tag or a few numbers.
const SHORT_BYTES_MAX: usize = 64 << 10;

/// What may be added to a statement's text in a Parse: its name and its parameter types.
const PARSE_EXTRA_BYTES_MAX: usize = 64 << 10;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Format {
    /// As text in the client's encoding.
    Text,
    /// In the type's own form.
    Binary,
}

/// The kinds of one direction.
pub trait Tag: Copy {
    /// The kind that a frame's first byte names.
    fn from_byte(byte: u8) -> Option<Self>;
    /// The first byte of such a frame.
    fn byte(self) -> u8;
    /// The longest body of this kind.
    fn body_bytes_max(self, limits: &Limits) -> usize;
}

macro_rules! tags {
    ($(#[$doc:meta])* $name:ident { $( $(#[$variant_doc:meta])* $variant:ident = $byte:literal, )* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[$variant_doc])* $variant, )* }

        impl $name {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            const fn of_byte(byte: u8) -> Option<Self> {
                match byte {
                    $( $byte => Some(Self::$variant), )*
                    _ => None,
                }
            }

            /// The first byte of such a frame.
            pub const fn to_byte(self) -> u8 {
                match self {
                    $( Self::$variant => $byte, )*
                }
            }
        }
    };
}

tags! {
    /// What a client sends after its StartupMessage.
    ClientTag {
        /// A string of statements.
        Query = b'Q',
        /// One statement to prepare.
        Parse = b'P',
        /// A portal to make.
        Bind = b'B',
        /// A question about a statement or portal.
        Describe = b'D',
        /// A portal to run.
        Execute = b'E',
        /// A statement or portal to forget.
        Close = b'C',
        /// The end of a pipeline's transaction.
        Sync = b'S',
        /// A request to deliver what is pending.
        Flush = b'H',
        /// A call of a function by its OID. Refused by the policy, but read, so that it can be answered.
        FunctionCall = b'F',
        /// A piece of COPY data.
        CopyData = b'd',
        /// The end of COPY data.
        CopyDone = b'c',
        /// The failure of COPY data.
        CopyFail = b'f',
        /// The end of the session.
        Terminate = b'X',
        /// A password, a token or a SASL message.
        Password = b'p',
    }
}

tags! {
    /// What a server sends.
    ServerTag {
        /// A step of authentication.
        Authentication = b'R',
        /// The columns of the rows that follow.
        RowDescription = b'T',
        /// One row.
        DataRow = b'D',
        /// The end of one statement.
        CommandComplete = b'C',
        /// The end of an empty statement.
        EmptyQueryResponse = b'I',
        /// The failure of one statement or of the session.
        ErrorResponse = b'E',
        /// Something that people may want to know.
        NoticeResponse = b'N',
        /// A NOTIFY of another session.
        NotificationResponse = b'A',
        /// A parameter's value.
        ParameterStatus = b'S',
        /// The end of a round: the server waits.
        ReadyForQuery = b'Z',
        /// COPY data may flow from the client.
        CopyInResponse = b'G',
        /// COPY data will flow to the client.
        CopyOutResponse = b'H',
        /// Both; only replication uses it.
        CopyBothResponse = b'W',
        /// A piece of COPY data.
        CopyData = b'd',
        /// The end of COPY data.
        CopyDone = b'c',
        /// What a CancelRequest must name.
        BackendKeyData = b'K',
        /// A Parse succeeded.
        ParseComplete = b'1',
        /// A Bind succeeded.
        BindComplete = b'2',
        /// A Close succeeded.
        CloseComplete = b'3',
        /// The described statement or portal returns no rows.
        NoData = b'n',
        /// A portal stopped at its row limit.
        PortalSuspended = b's',
        /// The parameter types of a statement.
        ParameterDescription = b't',
        /// The result of a function call.
        FunctionCallResponse = b'V',
        /// The server does not know an option or minor version.
        NegotiateProtocolVersion = b'v',
    }
}

impl Tag for ClientTag {
    fn from_byte(byte: u8) -> Option<Self> {
        Self::of_byte(byte)
    }

    fn byte(self) -> u8 {
        self.to_byte()
    }

    fn body_bytes_max(self, limits: &Limits) -> usize {
        match self {
            Self::Query => limits.statement_bytes_max.saturating_add(1),
            Self::Parse => limits.statement_bytes_max.saturating_add(PARSE_EXTRA_BYTES_MAX),
            Self::Bind | Self::FunctionCall | Self::CopyData => limits.client_message_bytes_max,
            Self::Describe | Self::Execute | Self::Close | Self::CopyFail => SHORT_BYTES_MAX,
            Self::Sync | Self::Flush | Self::CopyDone | Self::Terminate => 0,
            Self::Password => limits.password_bytes_max,
        }
    }
}

impl Tag for ServerTag {
    fn from_byte(byte: u8) -> Option<Self> {
        Self::of_byte(byte)
    }

    fn byte(self) -> u8 {
        self.to_byte()
    }

    fn body_bytes_max(self, limits: &Limits) -> usize {
        match self {
            Self::RowDescription
            | Self::DataRow
            | Self::ErrorResponse
            | Self::NoticeResponse
            | Self::NotificationResponse
            | Self::CopyData
            | Self::FunctionCallResponse => limits.upstream_message_bytes_max,
            // 65,535 parameters of four bytes.
            Self::ParameterDescription => 2 + 4 * 65_535,
            Self::Authentication
            | Self::CommandComplete
            | Self::ParameterStatus
            | Self::CopyInResponse
            | Self::CopyOutResponse
            | Self::CopyBothResponse
            | Self::NegotiateProtocolVersion => SHORT_BYTES_MAX,
            // A process id and a secret of at most 256 bytes.
            Self::BackendKeyData => 4 + 256,
            Self::ReadyForQuery => 1,
            Self::EmptyQueryResponse
            | Self::CopyDone
            | Self::ParseComplete
            | Self::BindComplete
            | Self::CloseComplete
            | Self::NoData
            | Self::PortalSuspended => 0,
        }
    }
}

/// What a frame's first five bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<T> {
    /// The kind.
    pub tag: T,
    /// Bytes of the whole frame, header included: at least [`HEADER_BYTES`].
    pub frame_bytes: usize,
}

/// Reads the header at the start of `input`; `None` while it is incomplete.
///
/// The frame may still be incomplete: compare [`Head::frame_bytes`] with what is there. An unknown kind is refused
/// at its first byte, a wrong length at its last.
pub fn peek<T: Tag>(input: &[u8], limits: &Limits) -> Result<Option<Head<T>>, WireError> {
    let Some(byte) = input.first().copied() else { return Ok(None) };
    let tag = T::from_byte(byte).ok_or(WireError::UnknownTag { tag: byte })?;
    let Some(length) = input.get(1..HEADER_BYTES).and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()) else {
        return Ok(None);
    };
    let length = i32::from_be_bytes(length);
    let body = usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_sub(4))
        .ok_or(WireError::Length { tag: byte, length })?;
    let max = tag.body_bytes_max(limits);
    if body > max {
        return Err(WireError::TooLong { tag: byte, length: body, max });
    }
    Ok(Some(Head { tag, frame_bytes: HEADER_BYTES.saturating_add(body) }))
}

/// One complete frame, byte for byte as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<T> {
    tag: T,
    whole: Bytes,
}

impl<T: Tag> Frame<T> {
    /// Takes the next complete frame out of `input`; `None` while it is incomplete, and then `input` is untouched.
    pub fn next(input: &mut BytesMut, limits: &Limits) -> Result<Option<Self>, WireError> {
        let Some(head) = peek::<T>(input, limits)? else { return Ok(None) };
        if input.len() < head.frame_bytes {
            return Ok(None);
        }
        Ok(Some(Self { tag: head.tag, whole: input.split_to(head.frame_bytes).freeze() }))
    }

    /// The kind.
    pub const fn tag(&self) -> T {
        self.tag
    }

    /// What stands after kind and length.
    pub fn body(&self) -> &[u8] {
        self.whole.get(HEADER_BYTES..).unwrap_or_default()
    }

    /// The whole frame.
    pub const fn whole(&self) -> &Bytes {
        &self.whole
    }

    /// The whole frame, to be sent on.
    pub fn into_whole(self) -> Bytes {
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames<T: Tag>(chunks: &[&[u8]]) -> (Vec<Frame<T>>, Option<WireError>) {
        let mut input = BytesMut::new();
        let mut found = Vec::new();
        for chunk in chunks {
            input.extend_from_slice(chunk);
            loop {
                match Frame::next(&mut input, &Limits::default()) {
                    Ok(Some(frame)) => found.push(frame),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error)),
                }
            }
        }
        (found, None)
    }

    fn header(tag: u8, length: u32) -> Vec<u8> {
        let mut bytes = vec![tag];
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes
    }

    #[test]
    fn every_kind_reads_back_from_its_byte() {
        for tag in ClientTag::ALL {
            assert_eq!(ClientTag::from_byte(tag.byte()), Some(*tag));
        }
        for tag in ServerTag::ALL {
            assert_eq!(ServerTag::from_byte(tag.byte()), Some(*tag));
        }
    }

    #[test]
    fn impossible_lengths_are_refused_at_the_header() {
        for length in [0, 1, 2, 3, 1 << 31, (1 << 31) + 1, u32::MAX] {
            let (found, error) = frames::<ClientTag>(&[&header(b'Q', length)]);
            assert!(found.is_empty());
            assert_eq!(error, Some(WireError::Length { tag: b'Q', length: length.cast_signed() }), "{length}");
        }
        let (_, error) = frames::<ClientTag>(&[&header(b'Q', (1 << 31) - 1)]);
        assert!(matches!(error, Some(WireError::TooLong { tag: b'Q', .. })), "{error:?}");
    }

    #[test]
    fn a_wrapped_length_does_not_uncover_a_second_message() {
        let mut bytes = header(b'Q', u32::MAX - 2);
        bytes.extend_from_slice(&header(b'Q', 13));
        bytes.extend_from_slice(b"drop t;\0");
        let (found, error) = frames::<ClientTag>(&[&bytes]);
        assert!(found.is_empty());
        assert!(matches!(error, Some(WireError::Length { .. })));
    }

    #[test]
    fn a_bodiless_kind_with_a_body_is_refused() {
        for tag in [b'S', b'H', b'c', b'X'] {
            let (_, error) = frames::<ClientTag>(&[&header(tag, 5)]);
            assert!(matches!(error, Some(WireError::TooLong { max: 0, .. })), "{error:?}");
        }
    }

    #[test]
    fn unknown_kinds_are_refused_at_their_first_byte() {
        for byte in (0..=u8::MAX).filter(|byte| ClientTag::from_byte(*byte).is_none()) {
            assert_eq!(frames::<ClientTag>(&[&[byte]]).1, Some(WireError::UnknownTag { tag: byte }));
        }
        assert_eq!(frames::<ServerTag>(&[b"Q"]).1, Some(WireError::UnknownTag { tag: b'Q' }));
    }

    #[test]
    fn each_kind_has_its_own_maximum() {
        let limits = Limits::default();
        for tag in ClientTag::ALL {
            let max = tag.body_bytes_max(&limits);
            let fits = header(tag.byte(), u32::try_from(max + 4).unwrap());
            assert!(peek::<ClientTag>(&fits, &limits).is_ok(), "{tag:?}");
            let above = header(tag.byte(), u32::try_from(max + 5).unwrap());
            assert!(peek::<ClientTag>(&above, &limits).is_err(), "{tag:?}");
        }
    }

    prop_compose! {
        fn stream()(parts in prop::collection::vec(
            (any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 0..40), prop::bool::weighted(0.05)), 0..12,
        )) -> Vec<u8> {
            let mut bytes = Vec::new();
            for (index, body, broken) in parts {
                let tag = *index.get(ClientTag::ALL);
                let fits = tag.body_bytes_max(&Limits::default()).min(body.len());
                let length = if broken { u32::from(body.len() % 2 == 0) } else { u32::try_from(fits + 4).unwrap() };
                bytes.extend_from_slice(&header(tag.byte(), length));
                bytes.extend_from_slice(&body[..fits]);
            }
            bytes
        }
    }

    proptest! {
        #[test]
        fn one_byte_at_a_time_gives_the_same_as_all_at_once(bytes in stream()) {
            let singly: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(frames::<ClientTag>(&singly), frames::<ClientTag>(&[&bytes]));
        }

        #[test]
        fn frames_are_the_input_byte_for_byte(bytes in stream()) {
            let (found, error) = frames::<ClientTag>(&[&bytes]);
            let joined: Vec<u8> = found.iter().flat_map(|frame| frame.whole().to_vec()).collect();
            if error.is_none() {
                prop_assert_eq!(&joined, &bytes);
            } else {
                prop_assert!(bytes.starts_with(&joined));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let singly: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(frames::<ServerTag>(&singly), frames::<ServerTag>(&[&bytes]));
        }
    }
}
