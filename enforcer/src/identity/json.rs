//! JSON of strangers, read strictly: one object, no duplicate members at any depth, bounded nesting.
//!
//! Readers that keep the first or the last of two members disagree about what a token says; this one refuses.

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

const DEPTH_MAX: u32 = 12;

/// An object of typed members.
#[derive(Clone, Debug)]
pub(super) struct Object(Map<String, Value>);

impl Object {
    /// Reads exactly one object.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_slice(bytes);
        let value = Strict { depth: 0 }.deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        match value {
            Value::Object(members) => Some(Self(members)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => None,
        }
    }

    /// The member of this name, whatever its type.
    pub(super) fn any(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Whether there is a member of this name, whatever its type.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The member of this name when it is a string.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.any(name)?.as_str()
    }

    /// The member of this name when it is a string or an array of strings.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<&str>> {
        texts(self.any(name)?)
    }
}

/// The strings of a string or of an array of strings; `None` for anything else.
pub(super) fn texts(value: &Value) -> Option<Vec<&str>> {
    match value {
        Value::String(text) => Some(vec![text]),
        Value::Array(items) => items.iter().map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => None,
    }
}

#[derive(Clone, Copy)]
struct Strict {
    depth: u32,
}

impl Strict {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= DEPTH_MAX {
            return Err(E::custom("nested too deeply"));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            all.push(item);
        }
        Ok(Value::Array(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut all = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let value = members.next_value_seed(inner)?;
            if all.insert(name, value).is_some() {
                return Err(A::Error::custom("a member stands twice"));
            }
        }
        Ok(Value::Object(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicate_members_are_refused_at_any_depth_and_in_any_spelling() {
        assert!(Object::parse(br#"{"a":1,"b":{"a":2}}"#).is_some());
        for text in [
            r#"{"iss":"a","iss":"b"}"#,
            r#"{"iss":"a","\u0069ss":"b"}"#,
            r#"{"x":[{"y":1,"y":1}]}"#,
            r#"{"a":1} {"b":2}"#,
            r#"{"a":1}x"#,
            "[1]",
            "null",
            "",
            r#"{"a":1,}"#,
        ] {
            assert!(Object::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(Object::parse(nested(11).as_bytes()).is_some());
        assert!(Object::parse(nested(12).as_bytes()).is_none());
        assert!(Object::parse(nested(100_000).as_bytes()).is_none());
    }

    #[test]
    fn members_have_one_type() {
        let object = Object::parse(br#"{"s":"x","a":["x","y"],"m":["x",1],"n":7}"#).unwrap();
        assert_eq!(object.texts("s"), Some(vec!["x"]));
        assert_eq!(object.texts("a"), Some(vec!["x", "y"]));
        assert_eq!(object.texts("m"), None);
        assert_eq!(object.text("n"), None);
        assert!(object.has("n") && !object.has("N"));
    }
}
