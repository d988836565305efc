//! The packets without a kind byte that open a connection: SSLRequest, GSSENCRequest, CancelRequest, StartupMessage.
//!
//! It reads bytes only; what a StartupMessage may ask for is judged in `parameters`.

use super::WireError;
use super::read::Reader;
use super::write::put_cstr;
use bytes::{BufMut, BytesMut};

/// The first byte of a TLS handshake record: a client that begins TLS without asking.
pub const TLS_RECORD_BYTE: u8 = 0x16;

/// The newest minor version of protocol 3 that the gateway speaks.
pub const MINOR_MAX: u16 = 2;

/// Parameters of one StartupMessage.
const PARAMETERS_MAX: usize = 64;

/// Bytes of the smallest packet: a length and a code.
const PACKET_BYTES_MIN: usize = 8;

/// The longest secret of protocol 3.2.
const SECRET_BYTES_MAX: usize = 256;

const CANCEL_CODE: (u16, u16) = (1234, 5678);
const SSL_CODE: (u16, u16) = (1234, 5679);
const GSS_CODE: (u16, u16) = (1234, 5680);

/// What opens a connection.
#[derive(Clone, PartialEq, Eq)]
pub enum Packet {
    /// The client asks for TLS.
    Ssl,
    /// The client asks for GSSAPI encryption.
    Gss,
    /// A request to cancel another session's statement.
    Cancel(CancelRequest),
    /// The start of a session.
    Startup(Startup),
}

impl std::fmt::Debug for Packet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ssl => "Ssl",
            Self::Gss => "Gss",
            Self::Cancel(_) => "Cancel",
            Self::Startup(_) => "Startup",
        })
    }
}

/// Which statement to cancel, and the proof that one may. It never prints its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelRequest {
    /// The process id that the server gave.
    pub pid: u32,
    /// The secret that the server gave.
    pub secret: Vec<u8>,
}

impl std::fmt::Debug for CancelRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CancelRequest").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// A StartupMessage as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// The minor version that the client asks for.
    pub minor: u16,
    /// Names and values in order.
    pub parameters: Vec<(String, String)>,
}

/// The bytes that follow a packet's length.
pub fn body_bytes(length: [u8; 4], max: usize) -> Result<usize, WireError> {
    let signed = i32::from_be_bytes(length);
    let length = usize::try_from(signed)
        .ok()
        .filter(|length| *length >= PACKET_BYTES_MIN)
        .ok_or(WireError::Length { tag: 0, length: signed })?;
    if length > max {
        return Err(WireError::TooLong { tag: 0, length, max });
    }
    Ok(length.saturating_sub(4))
}

impl Packet {
    /// Reads what follows a packet's length.
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body, "StartupMessage");
        match (reader.u16()?, reader.u16()?) {
            SSL_CODE => reader.end().map(|()| Self::Ssl),
            GSS_CODE => reader.end().map(|()| Self::Gss),
            CANCEL_CODE => {
                let pid = reader.u32()?;
                let secret = reader.remaining();
                if secret.len() < 4 || secret.len() > SECRET_BYTES_MAX {
                    return Err(WireError::Value { what: "CancelRequest" });
                }
                Ok(Self::Cancel(CancelRequest { pid, secret: secret.to_vec() }))
            }
            (3, minor) => Ok(Self::Startup(Startup { minor, parameters: read_parameters(reader)? })),
            (major, minor) => Err(WireError::Version { major, minor }),
        }
    }
}

fn read_parameters(mut reader: Reader<'_>) -> Result<Vec<(String, String)>, WireError> {
    let mut parameters = Vec::new();
    loop {
        let name = reader.cstr()?;
        if name.is_empty() {
            reader.end()?;
            return Ok(parameters);
        }
        if parameters.len() >= PARAMETERS_MAX {
            return Err(reader.bad_value());
        }
        parameters.push((name.to_owned(), reader.cstr()?.to_owned()));
    }
}

/// Writes an SSLRequest.
pub fn write_ssl_request(out: &mut BytesMut) {
    out.put_u32(8);
    out.put_u16(SSL_CODE.0);
    out.put_u16(SSL_CODE.1);
}

/// Writes a CancelRequest.
pub fn write_cancel_request(out: &mut BytesMut, pid: u32, secret: &[u8]) {
    out.put_u32(u32::try_from(secret.len().saturating_add(12)).unwrap_or(u32::MAX));
    out.put_u16(CANCEL_CODE.0);
    out.put_u16(CANCEL_CODE.1);
    out.put_u32(pid);
    out.put_slice(secret);
}

/// Writes a StartupMessage of protocol 3.0.
pub fn write_startup(out: &mut BytesMut, parameters: &[(&str, &str)]) -> Result<(), WireError> {
    let mut body = BytesMut::new();
    for (name, value) in parameters {
        put_cstr(&mut body, name, "StartupMessage")?;
        put_cstr(&mut body, value, "StartupMessage")?;
    }
    body.put_u8(0);
    let length =
        u32::try_from(body.len().saturating_add(8)).map_err(|_| WireError::Value { what: "StartupMessage" })?;
    out.put_u32(length);
    out.put_u32(3 << 16);
    out.put_slice(&body);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 10_000;

    #[test]
    fn lengths_that_are_no_lengths() {
        for length in [0_u32, 3, 4, 7, 1 << 31, (1 << 31) + 1, u32::MAX] {
            assert!(matches!(body_bytes(length.to_be_bytes(), MAX), Err(WireError::Length { .. })), "{length}");
        }
        for length in [10_001_u32, 65_536, (1 << 31) - 1] {
            assert!(matches!(body_bytes(length.to_be_bytes(), MAX), Err(WireError::TooLong { .. })), "{length}");
        }
        assert_eq!(body_bytes(8_u32.to_be_bytes(), MAX), Ok(4));
        assert_eq!(body_bytes(10_000_u32.to_be_bytes(), MAX), Ok(9_996));
    }

    #[test]
    fn a_startup_message_reads_back() {
        let mut out = BytesMut::new();
        write_startup(&mut out, &[("user", "o'brien \"x\""), ("database", "host=evil user=x")]).unwrap();
        let Packet::Startup(startup) = Packet::read(&out[4..]).unwrap() else { panic!() };
        assert_eq!(startup.minor, 0);
        assert_eq!(startup.parameters[0], ("user".into(), "o'brien \"x\"".into()));
        assert_eq!(startup.parameters[1].1, "host=evil user=x");
        assert!(write_startup(&mut out, &[("user", "a\0b")]).is_err());
    }

    #[test]
    fn garbage_after_or_within_is_refused() {
        let read = |rest: &[u8]| Packet::read(&[&[0, 3, 0, 0], rest].concat());
        assert!(read(b"user\0x\0\0").is_ok());
        assert_eq!(read(b"user\0x\0"), Err(WireError::Truncated { what: "StartupMessage" }));
        assert_eq!(read(b"user\0x\0\0more\0"), Err(WireError::Trailing { what: "StartupMessage" }));
        assert_eq!(read(b"user\0\xff\0\0"), Err(WireError::NotUtf8 { what: "StartupMessage" }));
        assert_eq!(
            read(&[&b"a\0b\0".repeat(65)[..], b"\0"].concat()),
            Err(WireError::Value { what: "StartupMessage" })
        );
        assert_eq!(Packet::read(&[0, 2, 0, 0, 0]), Err(WireError::Version { major: 2, minor: 0 }));
        assert_eq!(Packet::read(&[4, 210, 22, 47, 0]), Err(WireError::Trailing { what: "StartupMessage" }));
    }

    #[test]
    fn cancel_requests_have_bounded_secrets() {
        let mut out = BytesMut::new();
        write_cancel_request(&mut out, 7, &[1, 2, 3, 4]);
        assert_eq!(out.len(), 16);
        let expected = CancelRequest { pid: 7, secret: vec![1, 2, 3, 4] };
        assert_eq!(Packet::read(&out[4..]), Ok(Packet::Cancel(expected)));
        for bytes in [0, 3, 257] {
            let mut out = BytesMut::new();
            write_cancel_request(&mut out, 7, &vec![0; bytes]);
            assert_eq!(Packet::read(&out[4..]), Err(WireError::Value { what: "CancelRequest" }), "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_packets_never_panic(body in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = Packet::read(&body);
            let _ = Packet::read(&[&[0, 3, 0, 0], &body[..]].concat());
        }
    }
}
