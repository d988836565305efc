//! The part of CBOR (RFC 8949) that events are written in.

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(i128),
    Bytes(Vec<u8>),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    Null,
}

impl Value {
    /// A member of a map.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        let Self::Map(members) = self else { return None };
        members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }
}

/// One value, and nothing after it.
pub(super) fn decode(bytes: &[u8]) -> Option<Value> {
    let mut rest = bytes;
    let value = value(&mut rest, 0)?;
    rest.is_empty().then_some(value)
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(count)?;
    *rest = tail;
    Some(head)
}

fn value(rest: &mut &[u8], depth: u32) -> Option<Value> {
    let first = *take(rest, 1)?.first()?;
    let (major, short) = (first >> 5, first & 31);
    if first == 0xf6 {
        return Some(Value::Null);
    }
    let argument = match short {
        0..=23 => u64::from(short),
        24..=27 => take(rest, 1 << (short - 24))?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        _ => return None,
    };
    let count = usize::try_from(argument).ok()?;
    if depth > 16 {
        return None;
    }
    match major {
        0 => Some(Value::Number(i128::from(argument))),
        1 => Some(Value::Number(-1 - i128::from(argument))),
        2 => Some(Value::Bytes(take(rest, count)?.to_vec())),
        3 => String::from_utf8(take(rest, count)?.to_vec()).ok().map(Value::Text),
        4 => (0..count).map(|_| value(rest, depth + 1)).collect::<Option<_>>().map(Value::List),
        5 => {
            let mut members = Vec::new();
            for _ in 0..count {
                let Value::Text(name) = value(rest, depth + 1)? else { return None };
                members.push((name, value(rest, depth + 1)?));
            }
            Some(Value::Map(members))
        }
        _ => None,
    }
}
