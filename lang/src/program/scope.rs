//! Objects of operations, and the patterns that select them.
//!
//! A pattern's segment is a literal or a prefix with `*`: laminar, so that analysis stays exact.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What an operation touches.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// Nothing, or what is within any scope: `select 1`, harmless catalog relations.
    #[default]
    Nothing,
    /// A relation or routine of a SQL connection, as the server folds its names.
    Table {
        /// Schema; the database on MySQL.
        schema: String,
        /// Name.
        name: String,
    },
    /// A Kubernetes object.
    Kubernetes {
        /// Namespace; empty for cluster scope.
        namespace: String,
        /// Resource, plural.
        resource: String,
    },
    /// The path of an HTTP request.
    Path(String),
    /// A command line of SSH, arguments separated by one space.
    Argv(String),
}

impl Object {
    /// A relation or routine.
    pub fn table(schema: impl Into<String>, name: impl Into<String>) -> Self {
        Self::Table { schema: schema.into(), name: name.into() }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => Ok(()),
            Self::Table { schema, name } => write!(f, "{schema}.{name}"),
            Self::Kubernetes { namespace, resource } => write!(f, "{namespace}/{resource}"),
            Self::Path(text) | Self::Argv(text) => f.write_str(text),
        }
    }
}

/// The objects that a rule concerns. An empty list leaves its dimension open.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// `schema.table` patterns, sorted.
    pub tables: Vec<String>,
    /// Namespace patterns, sorted.
    pub namespaces: Vec<String>,
    /// Resource patterns, sorted.
    pub resources: Vec<String>,
    /// Path globs, sorted: `*` within a segment, `**` across segments.
    pub paths: Vec<String>,
    /// Command lines, sorted: `*` is one argument.
    pub argv: Vec<String>,
}

impl Scope {
    /// Whether no dimension is narrowed.
    pub fn is_open(&self) -> bool {
        self.tables.is_empty()
            && self.namespaces.is_empty()
            && self.resources.is_empty()
            && self.paths.is_empty()
            && self.argv.is_empty()
    }

    /// Whether a grant with this scope covers `object`. What touches nothing is within any scope.
    pub fn covers(&self, object: &Object) -> bool {
        let any = |patterns: &[String], hit: &dyn Fn(&str) -> bool| {
            patterns.is_empty() || patterns.iter().any(|pattern| hit(pattern))
        };
        match object {
            Object::Nothing => true,
            Object::Table { schema, name } => any(&self.tables, &|p| table_matches(p, schema, name)),
            Object::Kubernetes { namespace, resource } => {
                any(&self.namespaces, &|p| segment_matches(p, namespace))
                    && any(&self.resources, &|p| segment_matches(p, resource))
            }
            Object::Path(path) => any(&self.paths, &|p| path_matches(p, path)),
            Object::Argv(argv) => any(&self.argv, &|p| argv_matches(p, argv)),
        }
    }

    /// Whether the scope names exactly this relation or routine, by no pattern.
    pub fn names(&self, object: &Object) -> bool {
        match object {
            Object::Table { schema, name } => {
                let exact = format!("{schema}.{name}");
                !exact.contains('*') && self.tables.contains(&exact)
            }
            Object::Nothing | Object::Kubernetes { .. } | Object::Path(_) | Object::Argv(_) => false,
        }
    }

    /// Whether a guard's region with this scope concerns `object`: a narrowed region never concerns what touches nothing.
    pub fn concerns(&self, object: &Object) -> bool {
        match object {
            Object::Nothing => self.is_open(),
            // A whole schema, or the whole database: whatever the region names may be in it.
            Object::Table { schema, name } if name.is_empty() => {
                let holds = |pattern: &String| {
                    pattern.split_once('.').is_some_and(|(s, _)| schema.is_empty() || segment_matches(s, schema))
                };
                self.tables.is_empty() || self.tables.iter().any(holds)
            }
            Object::Table { .. } | Object::Kubernetes { .. } | Object::Path(_) | Object::Argv(_) => self.covers(object),
        }
    }
}

/// Whether a literal or `prefix*` matches.
pub fn segment_matches(pattern: &str, text: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == text, |prefix| text.starts_with(prefix))
}

/// Whether a `schema.table` pattern matches. A pattern without a dot matches nothing: the compiler refuses it.
pub fn table_matches(pattern: &str, schema: &str, name: &str) -> bool {
    pattern.split_once('.').is_some_and(|(s, n)| segment_matches(s, schema) && segment_matches(n, name))
}

/// Whether a class pattern (`pii.*`, `pii.email`) matches a class.
pub fn class_matches(pattern: &str, class: &str) -> bool {
    segment_matches(pattern, class)
}

/// Whether a path glob matches: `*` is one segment or a part of one, a final `**` is any number of segments.
pub fn path_matches(pattern: &str, path: &str) -> bool {
    fn segments(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern.split_first(), path.split_first()) {
            (None, None) => true,
            (Some((&"**", rest)), _) => {
                rest.is_empty()
                    || (0..=path.len()).any(|skip| path.get(skip..).is_some_and(|tail| segments(rest, tail)))
            }
            (Some((head, rest)), Some((segment, tail))) => segment_matches(head, segment) && segments(rest, tail),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
    segments(&pattern.split('/').collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>())
}

/// Whether a command pattern matches: argument by argument, `*` is exactly one.
pub fn argv_matches(pattern: &str, argv: &str) -> bool {
    let (mut pattern, mut argv) = (pattern.split(' '), argv.split(' '));
    loop {
        match (pattern.next(), argv.next()) {
            (None, None) => return true,
            (Some(p), Some(a)) if p == "*" || p == a => {}
            (None, Some(_)) | (Some(_), None | Some(_)) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_segment_by_segment() {
        assert!(table_matches("public.*", "public", "customers"));
        assert!(table_matches("public.audit_*", "public", "audit_2026"));
        assert!(!table_matches("public.*", "publicx", "customers"));
        assert!(table_matches("*.*", "a", "b.c"), "a quoted dot belongs to the name");
        assert!(!table_matches("customers", "public", "customers"));
        assert!(path_matches("/v1/refunds/**", "/v1/refunds/7/lines"));
        assert!(!path_matches("/v1/refunds/**", "/v1/refund"));
        assert!(path_matches("/v1/*/lines", "/v1/7/lines"));
        assert!(argv_matches("journalctl -u * --since *", "journalctl -u nginx --since today"));
        assert!(!argv_matches("df -h", "df -h /"));
    }

    #[test]
    fn a_narrowed_region_does_not_concern_nothing() {
        let narrowed = Scope { tables: vec!["a.b".into()], ..Scope::default() };
        assert!(narrowed.covers(&Object::Nothing));
        assert!(!narrowed.concerns(&Object::Nothing));
        assert!(Scope::default().concerns(&Object::Nothing));
        assert!(narrowed.concerns(&Object::table("", "")), "the whole database holds it");
        assert!(narrowed.concerns(&Object::table("a", "")), "so does its schema");
        assert!(!narrowed.concerns(&Object::table("c", "")));
        assert!(narrowed.names(&Object::table("a", "b")) && !narrowed.names(&Object::table("a", "c")));
    }
}
