//! Names of what `masking database` makes in a target: roles, schemas, views. Equal classes have equal names, on every
//! gateway and in the compiler, so that nobody has to keep a list of them.

use crate::snapshot::Name;
use lang::program::MaskClass;

/// The longest name of PostgreSQL.
const NAME_BYTES_MAX: usize = 63;

/// What stands in a target for the sessions of one class.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Names {
    /// What every name of the connection begins with.
    pub prefix: String,
    /// The role as which the gateway logs in.
    pub role: String,
    /// The schema of the masking views; classes with equal masks share it.
    pub schema: String,
    /// The schema of the key of hashes.
    pub keys: String,
    /// Who owns the views and the key, and may log in nowhere.
    pub owner: String,
}

impl Names {
    /// The names for a class of a connection.
    pub fn new(connection: &str, class: &MaskClass) -> Self {
        let prefix = prefix(connection);
        let masks: Vec<&str> = class.masks.iter().map(String::as_str).collect();
        let reveals: Vec<&str> = class.reveals.iter().map(String::as_str).collect();
        let role = digest(&[&[connection, &class.grant], &masks[..]]);
        let schema = digest(&[&[connection], &masks[..], &reveals[..]]);
        Self {
            role: format!("{prefix}{}_{role}", short(&class.grant, 16)),
            schema: format!("{prefix}v_{schema}"),
            keys: format!("{prefix}key"),
            owner: format!("{prefix}owner"),
            prefix,
        }
    }
}

/// What the names of everything that a connection has in its target begin with.
pub fn prefix(connection: &str) -> String {
    let whole = digest(&[&[connection]]);
    format!("leasehold_{}_{}_", short(connection, 12), whole.get(..6).unwrap_or_default())
}

/// Whether a schema is one of the gateway's own.
pub(crate) fn is_own(schema: &str) -> bool {
    let views = |rest: &str| rest.len() == 12 && rest.bytes().all(|byte| byte.is_ascii_hexdigit());
    schema.starts_with("leasehold_")
        && (schema.ends_with("_key") || schema.rsplit_once("_v_").is_some_and(|(_, rest)| views(rest)))
}

/// The name of the view that shows a relation, with or without what inherits from it.
pub(crate) fn view((schema, relation): &Name, only: bool) -> String {
    let only = if only { "only " } else { "" };
    let name = format!("{only}{schema}.{relation}");
    if name.len() <= NAME_BYTES_MAX {
        return name;
    }
    format!("{only}{}~{}", short(&name, 40), digest(&[&[schema.as_ref(), relation.as_ref()]]))
}

/// At most so many bytes of a text, in ASCII letters that need no thought.
fn short(text: &str, bytes_max: usize) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    text.chars().take(bytes_max).map(plain).collect()
}

/// Twelve digits for lists of words: no two lists, nor two ways to part them, share theirs by design.
fn digest(lists: &[&[&str]]) -> String {
    let mut hasher = blake3::Hasher::new();
    for list in lists {
        hasher.update(&(list.len() as u64).to_le_bytes());
        for word in *list {
            hasher.update(&(word.len() as u64).to_le_bytes());
            hasher.update(word.as_bytes());
        }
    }
    hasher.finalize().to_hex().chars().take(12).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_tell_classes_apart() {
        let class = |grant: &str, masks: &[&str]| MaskClass {
            grant: grant.to_owned(),
            masks: masks.iter().map(|name| (*name).to_owned()).collect(),
            reveals: Vec::new(),
        };
        let long = "a-very-long-name-of-a-connection-that-nobody-would-want-to-type";
        let one = Names::new(long, &class(long, &["pii"]));
        let other = Names::new(long, &class(long, &["pii", "pci"]));
        let third = Names::new(long, &class("short", &["pii"]));
        assert!(one.role.len() <= NAME_BYTES_MAX && one.schema.len() <= NAME_BYTES_MAX, "{one:?}");
        assert!(one.role != other.role && one.schema != other.schema);
        assert!(one.role != third.role && one.schema == third.schema);
        assert_eq!(view(&("public".into(), "t".into()), true), "only public.t");
        let deep: Name = ("s".repeat(60).into(), "t".repeat(60).into());
        assert!(view(&deep, true).len() <= NAME_BYTES_MAX);
    }
}
