//! A tree read without knowing its nodes: its texts, and a digest of everything but where it stood.
//!
//! The tree's own types say what they hold ([`serde::Serialize`]), so no field can be forgotten here. It must never skip a
//! field that means something.

use pg_query::protobuf as pg;
use serde::ser::{Error, Impossible, Serialize, SerializeSeq, SerializeStruct, Serializer};
use std::fmt;

/// The numbers that say where in its text a node stood, and nothing else.
const PLACES: [&str; 7] =
    ["location", "name_location", "arg_location", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end"];

/// What [`find`] calls the field of a node's own name, or of a flag that is set.
pub(super) const NODE: &str = "";

/// The flag of NATURAL JOIN.
pub(super) const NATURAL: &str = "is_natural";

/// The digest of a tree; `None` when it holds what has no digest.
pub(super) fn digest(tree: &pg::Node) -> Option<[u8; 32]> {
    let mut hashed = Hashed(Vec::with_capacity(4 << 10));
    tree.serialize(Blind { seen: &mut hashed, field: NODE }).ok()?;
    Some(*blake3::hash(&hashed.0).as_bytes())
}

/// Whether a tree holds what is looked for: `is` gets the name of each field with a text, and the text; of each node
/// [`NODE`] and its name, and of each flag that is set. A tree that cannot be read to its end counts as one that holds it.
pub(super) fn find(tree: &pg::Node, is: &mut dyn FnMut(&str, &str) -> bool) -> bool {
    tree.serialize(Blind { seen: &mut Looking(is), field: NODE }).is_err()
}

/// What is done with what a tree holds.
trait Seen {
    /// What follows is of this kind.
    fn kind(&mut self, _: Kind) {}
    /// A number, whatever it means.
    fn number(&mut self, _: u64) {}
    /// A node, or a flag that is set, of this name; an error ends the reading.
    fn node(&mut self, _: &'static str) -> Result<(), Stop> {
        Ok(())
    }
    /// A text in a field; an error ends the reading.
    fn text(&mut self, field: &'static str, text: &str) -> Result<(), Stop>;
}

/// What stands in the stream that is hashed: with them every value says where it ends.
#[derive(Clone, Copy)]
enum Kind {
    None,
    Some,
    Number,
    Text,
    List,
    Struct,
    Variant,
}

struct Hashed(Vec<u8>);

impl Seen for Hashed {
    fn kind(&mut self, kind: Kind) {
        self.0.push(kind as u8);
    }

    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, _: &'static str, text: &str) -> Result<(), Stop> {
        self.kind(Kind::Text);
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

struct Looking<'l>(&'l mut dyn FnMut(&str, &str) -> bool);

impl Seen for Looking<'_> {
    fn node(&mut self, name: &'static str) -> Result<(), Stop> {
        self.text(NODE, name)
    }

    fn text(&mut self, field: &'static str, text: &str) -> Result<(), Stop> {
        if (self.0)(field, text) { Err(Stop) } else { Ok(()) }
    }
}

/// The reading ends: what was looked for is found, or a value has no form here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reading ends here")
    }
}

impl std::error::Error for Stop {}

impl Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Reads one value; `field` is the name of the field that holds it.
struct Blind<'s, S> {
    seen: &'s mut S,
    field: &'static str,
}

impl<S: Seen> Blind<'_, S> {
    #[expect(clippy::unnecessary_wraps, reason = "it is what a serializer returns for each kind of number")]
    fn number(self, number: u64) -> Result<(), Stop> {
        if !PLACES.contains(&self.field) {
            self.seen.kind(Kind::Number);
            self.seen.number(number);
        }
        Ok(())
    }
}

impl<'s, S: Seen> Serializer for Blind<'s, S> {
    type Ok = ();
    type Error = Stop;
    type SerializeSeq = Blind<'s, S>;
    type SerializeStruct = Blind<'s, S>;
    type SerializeTuple = Impossible<(), Stop>;
    type SerializeTupleStruct = Impossible<(), Stop>;
    type SerializeTupleVariant = Impossible<(), Stop>;
    type SerializeMap = Impossible<(), Stop>;
    type SerializeStructVariant = Impossible<(), Stop>;

    fn serialize_bool(self, value: bool) -> Result<(), Stop> {
        if value {
            self.seen.node(self.field)?;
        }
        self.number(u64::from(value))
    }

    fn serialize_i8(self, value: i8) -> Result<(), Stop> {
        self.number(i64::from(value).cast_unsigned())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Stop> {
        self.number(i64::from(value).cast_unsigned())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Stop> {
        self.number(i64::from(value).cast_unsigned())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Stop> {
        self.number(value.cast_unsigned())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Stop> {
        self.number(u64::from(value))
    }

    fn serialize_u16(self, value: u16) -> Result<(), Stop> {
        self.number(u64::from(value))
    }

    fn serialize_u32(self, value: u32) -> Result<(), Stop> {
        self.number(u64::from(value))
    }

    fn serialize_u64(self, value: u64) -> Result<(), Stop> {
        self.number(value)
    }

    fn serialize_f32(self, value: f32) -> Result<(), Stop> {
        self.number(u64::from(value.to_bits()))
    }

    fn serialize_f64(self, value: f64) -> Result<(), Stop> {
        self.number(value.to_bits())
    }

    fn serialize_char(self, value: char) -> Result<(), Stop> {
        self.number(u64::from(u32::from(value)))
    }

    fn serialize_str(self, text: &str) -> Result<(), Stop> {
        self.seen.text(self.field, text)
    }

    // The tree holds none of what follows up to the next comment; a reading that meets it says so.
    fn serialize_bytes(self, _: &[u8]) -> Result<(), Stop> {
        Err(Stop)
    }

    fn serialize_unit(self) -> Result<(), Stop> {
        Err(Stop)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Stop> {
        Err(Stop)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Stop> {
        Err(Stop)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<(), Stop> {
        Err(Stop)
    }

    fn serialize_tuple(self, _: usize) -> Result<Impossible<(), Stop>, Stop> {
        Err(Stop)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Impossible<(), Stop>, Stop> {
        Err(Stop)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Stop>, Stop> {
        Err(Stop)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Impossible<(), Stop>, Stop> {
        Err(Stop)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Stop>, Stop> {
        Err(Stop)
    }

    // What the tree is made of.
    fn serialize_none(self) -> Result<(), Stop> {
        self.seen.kind(Kind::None);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stop> {
        self.seen.kind(Kind::Some);
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        name: &'static str,
        value: &T,
    ) -> Result<(), Stop> {
        self.seen.node(name)?;
        self.seen.kind(Kind::Variant);
        self.seen.number(u64::from(index));
        value.serialize(self)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self, Stop> {
        self.seen.kind(Kind::List);
        self.seen.number(len.ok_or(Stop)? as u64);
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, len: usize) -> Result<Self, Stop> {
        self.seen.kind(Kind::Struct);
        self.seen.number(len as u64);
        Ok(self)
    }
}

impl<S: Seen> SerializeSeq for Blind<'_, S> {
    type Ok = ();
    type Error = Stop;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        value.serialize(Blind { seen: &mut *self.seen, field: self.field })
    }

    fn end(self) -> Result<(), Stop> {
        Ok(())
    }
}

impl<S: Seen> SerializeStruct for Blind<'_, S> {
    type Ok = ();
    type Error = Stop;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, field: &'static str, value: &T) -> Result<(), Stop> {
        value.serialize(Blind { seen: &mut *self.seen, field })
    }

    fn end(self) -> Result<(), Stop> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::rewrite::parse_one;
    use super::*;
    use crate::mask::tests::on_a_large_stack;

    fn digest_of(sql: &str) -> [u8; 32] {
        digest(&parse_one(sql).unwrap()).unwrap()
    }

    #[test]
    fn a_digest_is_one_of_everything_but_places() {
        on_a_large_stack(|| {
            let plain = "SELECT m.a AS a, '1' AS b FROM s.t m ORDER BY m.a";
            assert_eq!(digest_of(plain), digest_of("select  m.a as a,\n'1' as b from s.t as m order by m.a"));
            for other in [
                "SELECT m.a AS a, '2' AS b FROM s.t m ORDER BY m.a",
                "SELECT m.a AS a, 1 AS b FROM s.t m ORDER BY m.a",
                "SELECT m.b AS a, '1' AS b FROM s.t m ORDER BY m.a",
                "SELECT m.a AS a, '1' AS b FROM ONLY s.t m ORDER BY m.a",
                "SELECT m.a AS a, '1' AS b FROM s.t m ORDER BY m.a DESC",
                "SELECT m.a AS a, '1' AS b FROM s.t m ORDER BY m.a OFFSET 0",
                "SELECT DISTINCT m.a AS a, '1' AS b FROM s.t m ORDER BY m.a",
                "SELECT m.a AS a, '1' AS b FROM s.t m WHERE true ORDER BY m.a",
                "SELECT m.a AS a FROM s.t m ORDER BY m.a",
            ] {
                assert_ne!(digest_of(plain), digest_of(other), "{other}");
            }
        });
    }

    #[test]
    fn texts_are_found_wherever_they_stand() {
        on_a_large_stack(|| {
            for sql in [
                "select 'canary'",
                "select U&'\\0063anary'",
                "select * from canary",
                "select 1 from t canary",
                "create tablespace x location 'canary'",
                "set canary to 1",
                "create table t (a int) with (canary = 1)",
                "grant select on t to canary",
            ] {
                assert!(find(&parse_one(sql).unwrap(), &mut |_, text| text == "canary"), "{sql}");
                assert!(!find(&parse_one(sql).unwrap(), &mut |_, text| text == "other"), "{sql}");
            }
            let star = |sql: &str| find(&parse_one(sql).unwrap(), &mut |field, text| field == NODE && text == "AStar");
            assert!(star("select t.* from t") && !star("select 'AStar' from t"));
        });
    }
}
