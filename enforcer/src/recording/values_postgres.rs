//! PostgreSQL's values as text for people; the common binary formats, everything else in hexadecimal.
//!
//! The text may still hold acting characters: `inert` comes last. Never panics.

use super::inert::{push, text_of};
use bytes::Buf;
use jiff::civil;
use jiff::{SignedDuration, ToSpan};

//= https://github.com/postgres/postgres/blob/REL_18_STABLE/src/include/catalog/pg_type.dat
const BOOL: u32 = 16;
const BYTEA: u32 = 17;
const NAME: u32 = 19;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const OID: u32 = 26;
const JSON: u32 = 114;
const XML: u32 = 142;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const TIMESTAMPTZ: u32 = 1184;
const NUMERIC: u32 = 1700;
const UUID: u32 = 2950;
const JSONB: u32 = 3802;

/// A value as text.
pub(super) fn value_text(type_oid: u32, format: i16, bytes: &[u8]) -> String {
    if format == 0 {
        return text_of(bytes);
    }
    binary_text(type_oid, bytes).unwrap_or_else(|| hexadecimal(bytes))
}

/// A value in the binary format as text; none for a type that is not known here, or bytes that are not of it.
pub(crate) fn readable(type_oid: u32, bytes: &[u8]) -> Option<String> {
    match type_oid {
        // Text must be shown as it is, or as bytes.
        NAME | TEXT | JSON | XML | BPCHAR | VARCHAR => std::str::from_utf8(bytes).ok().map(str::to_owned),
        _ => binary_text(type_oid, bytes),
    }
}

fn binary_text(type_oid: u32, mut bytes: &[u8]) -> Option<String> {
    let all = bytes;
    let text = match type_oid {
        NAME | TEXT | JSON | XML | BPCHAR | VARCHAR => return Some(text_of(bytes)),
        BYTEA => return Some(hexadecimal(bytes)),
        BOOL => if bytes.try_get_u8().ok()? == 0 { "f" } else { "t" }.to_owned(),
        INT2 => bytes.try_get_i16().ok()?.to_string(),
        INT4 => bytes.try_get_i32().ok()?.to_string(),
        INT8 => bytes.try_get_i64().ok()?.to_string(),
        OID => bytes.try_get_u32().ok()?.to_string(),
        FLOAT4 => bytes.try_get_f32().ok()?.to_string(),
        FLOAT8 => bytes.try_get_f64().ok()?.to_string(),
        NUMERIC => numeric(&mut bytes)?,
        DATE => date(bytes.try_get_i32().ok()?)?,
        TIMESTAMP => instant(bytes.try_get_i64().ok()?)?,
        TIMESTAMPTZ => instant(bytes.try_get_i64().ok()?)? + "+00",
        UUID => {
            bytes = &[];
            uuid(all)?
        }
        JSONB => {
            let version = bytes.try_get_u8().ok()?;
            return (version == 1).then(|| text_of(bytes));
        }
        _ => return None,
    };
    bytes.is_empty().then_some(text)
}

fn hexadecimal(bytes: &[u8]) -> String {
    format!("\\x{}", super::key::hexadecimal(bytes))
}

fn uuid(bytes: &[u8]) -> Option<String> {
    let bits = u128::from_be_bytes(bytes.try_into().ok()?);
    let digits = format!("{bits:032x}");
    let part = |from, to| digits.get(from..to).unwrap_or_default();
    Some([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
}

const EPOCH: civil::Date = civil::date(2000, 1, 1);

fn date(days: i32) -> Option<String> {
    match days {
        i32::MAX => Some("infinity".into()),
        i32::MIN => Some("-infinity".into()),
        days => Some(EPOCH.checked_add(i64::from(days).try_days().ok()?).ok()?.to_string()),
    }
}

fn instant(micros: i64) -> Option<String> {
    match micros {
        i64::MAX => Some("infinity".into()),
        i64::MIN => Some("-infinity".into()),
        micros => {
            let at = EPOCH.at(0, 0, 0, 0).checked_add(SignedDuration::from_micros(micros)).ok()?;
            Some(at.to_string().replacen('T', " ", 1))
        }
    }
}

//= https://github.com/postgres/postgres/blob/REL_18_STABLE/src/backend/utils/adt/numeric.c#L1161
fn numeric(bytes: &mut &[u8]) -> Option<String> {
    let count = usize::from(bytes.try_get_u16().ok()?);
    let weight = bytes.try_get_i16().ok()?;
    let sign = bytes.try_get_u16().ok()?;
    let scale = usize::from(bytes.try_get_u16().ok()?);
    let digits = (0..count).map(|_| bytes.try_get_u16().ok().filter(|digit| *digit < 10_000));
    let digits: Vec<u16> = digits.collect::<Option<_>>()?;
    let mut out = match sign {
        0x0000 => String::new(),
        0x4000 => String::from("-"),
        0xc000 => return Some("NaN".into()),
        0xd000 => return Some("Infinity".into()),
        0xf000 => return Some("-Infinity".into()),
        _ => return None,
    };
    let digit = |index: i32| usize::try_from(index).ok().and_then(|index| digits.get(index)).copied().unwrap_or(0);
    let weight = i32::from(weight);
    if weight < 0 {
        out.push('0');
    }
    for index in 0..=weight {
        if index == 0 {
            push(&mut out, format_args!("{}", digit(0)));
        } else {
            push(&mut out, format_args!("{:04}", digit(index)));
        }
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut index = weight.saturating_add(1);
        while fraction.len() < scale {
            push(&mut fraction, format_args!("{:04}", digit(index)));
            index = index.saturating_add(1);
        }
        out.push('.');
        out.push_str(fraction.get(..scale).unwrap_or_default());
    }
    Some(out)
}

trait TryDays {
    fn try_days(self) -> Result<jiff::Span, jiff::Error>;
}

impl TryDays for i64 {
    fn try_days(self) -> Result<jiff::Span, jiff::Error> {
        0.days().try_days(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn common_binary_values_read_as_psql_shows_them() {
        let binary = |oid, bytes: &[u8]| value_text(oid, 1, bytes);
        assert_eq!(binary(BOOL, &[1]), "t");
        assert_eq!(binary(INT2, &(-2_i16).to_be_bytes()), "-2");
        assert_eq!(binary(INT4, &42_i32.to_be_bytes()), "42");
        assert_eq!(binary(INT8, &(1_i64 << 40).to_be_bytes()), "1099511627776");
        assert_eq!(binary(FLOAT8, &1.5_f64.to_be_bytes()), "1.5");
        assert_eq!(binary(TEXT, b"a"), "a");
        assert_eq!(binary(JSONB, b"\x01{}"), "{}");
        assert_eq!(binary(BYTEA, &[1, 255]), "\\x01ff");
        assert_eq!(binary(UUID, &[0x11; 16]), "11111111-1111-1111-1111-111111111111");
        assert_eq!(binary(DATE, &9_620_i32.to_be_bytes()), "2026-05-04");
        assert_eq!(binary(TIMESTAMPTZ, &1_500_000_i64.to_be_bytes()), "2000-01-01 00:00:01.5+00");
        // 12345.67: digits 1 2345 6700, weight 1, scale 2
        assert_eq!(binary(NUMERIC, &[0, 3, 0, 1, 0, 0, 0, 2, 0, 1, 9, 41, 26, 44]), "12345.67");
        assert_eq!(binary(NUMERIC, &[0, 1, 255, 255, 64, 0, 0, 4, 0, 5]), "-0.0005");
        assert_eq!(binary(INT4, &[1, 2]), "\\x0102");
        assert_eq!(binary(1007, &[1, 2]), "\\x0102");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..40), which in 0..20_usize) {
            let oids = [BOOL, BYTEA, NAME, INT8, INT2, INT4, TEXT, OID, JSON, XML, FLOAT4, FLOAT8, BPCHAR, VARCHAR, DATE,
                TIMESTAMP, TIMESTAMPTZ, NUMERIC, UUID, JSONB];
            value_text(oids[which], 1, &bytes);
        }
    }
}
