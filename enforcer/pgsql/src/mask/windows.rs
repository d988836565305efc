//! Names of windows: whoever writes trees as texts leaves their quotes out.
//!
//! A window's name means something only to the query that defines it, and shows nowhere. One that would not read as itself
//! without quotes gets another before the statement is written; each name its own, so that every `OVER` still finds what
//! it means.

use super::visit::{self, Visitor};
use pg_query::protobuf::{self as pg, KeywordKind, Token};
use std::collections::BTreeMap;

/// What the names that are given begin with, followed by a number.
const GIVEN: &str = "leasehold_window_";

/// Gives the windows of a statement names that need no quotes.
pub(super) fn rename(tree: &mut pg::Node) {
    let Some(inner) = visit::inner(tree, &mut |_| ()) else { return };
    // Where the walk ends early a name may be left; the proof refuses the outcome.
    drop(visit::node(&mut Windows::default(), inner));
}

#[derive(Default)]
struct Windows {
    given: BTreeMap<String, String>,
    ctes: Vec<Box<str>>,
}

impl Windows {
    fn give(&mut self, name: &mut String) {
        if name.is_empty() || is_plain(name) {
            return;
        }
        let number = self.given.len();
        let given = self.given.entry(std::mem::take(name)).or_insert_with(|| format!("{GIVEN}{number}"));
        name.clone_from(given);
    }
}

impl Visitor for Windows {
    fn windowed(&mut self, window: &mut pg::WindowDef) {
        self.give(&mut window.name);
        self.give(&mut window.refname);
    }

    fn scope(&mut self) -> &mut Vec<Box<str>> {
        &mut self.ctes
    }
}

/// Whether a name reads as itself without quotes, and is not one that could be given.
fn is_plain(name: &str) -> bool {
    let simple = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let Ok(read) = pg_query::scan(name) else { return false };
    let [token] = read.tokens.as_slice() else { return false };
    let is_name = token.token == Token::Ident as i32 && token.keyword_kind == KeywordKind::NoKeyword as i32;
    simple && is_name && !name.starts_with(GIVEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn renamed(sql: &str) -> String {
        let mut tree = super::super::rewrite::parse_one(sql).unwrap();
        rename(&mut tree);
        super::super::rewrite::deparse(&tree).unwrap()
    }

    #[test]
    fn names_that_need_quotes_get_others_and_each_its_own() {
        let sql = "SELECT rank() OVER \"order\", sum(a) OVER (\"A b\" ROWS 2 PRECEDING), max(a) OVER w, min(a) OVER leasehold_window_1 \
                   FROM t WINDOW \"order\" AS (ORDER BY a), \"A b\" AS (\"order\"), w AS (), leasehold_window_1 AS ()";
        let written = renamed(sql);
        assert!(!written.contains('"'), "{written}");
        assert_eq!(written.matches("leasehold_window_0").count(), 3, "{written}");
        assert_eq!(written.matches("leasehold_window_1").count(), 2, "{written}");
        assert_eq!(written.matches("leasehold_window_2").count(), 2, "{written}");
        assert!(written.contains("OVER w") && written.contains("w AS ()"), "{written}");
    }

    #[test]
    fn a_name_that_is_plain_stays() {
        for name in ["w", "w1", "_w", "a_window"] {
            assert!(is_plain(name), "{name}");
        }
        for name in ["", "order", "rows", "A", "a b", "1w", "ä", "x AS ()", "leasehold_window_7", "a\"b", "a--b"] {
            assert!(!is_plain(name), "{name}");
        }
    }
}
