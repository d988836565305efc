//! What the text of a routine names, for routines that the server runs without their name in a statement: triggers,
//! constraints, defaults, indexes, domains.
//!
//! A list of words is not an analysis of what the routine does. It serves one question: whether a routine can be shown to
//! read nothing but what it is given. Whatever is not plain SQL or PL/pgSQL, or makes statements of its own, counts as
//! unread.

use pg_query::protobuf::{KeywordKind, Token};
use std::collections::BTreeSet;

/// What a routine's text names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Nothing can be said of it.
    Unread,
    /// Every name, keyword and operator in it.
    Words {
        /// In lower case unless quoted.
        all: BTreeSet<Box<str>>,
        /// Those that are called like a routine, keywords of SQL and PL/pgSQL left out.
        called: BTreeSet<Box<str>>,
    },
}

/// Words that run what no list of words shows, or make something that could.
const RUNS: &[&str] = &["alter", "call", "copy", "create", "do", "execute", "load"];

/// Words that begin a statement which changes what the rest of the session means, or runs what it does not name.
const BEGINS: &[&str] = &[
    "analyse", "analyze", "cluster", "comment", "discard", "drop", "explain", "grant", "import", "lock", "prepare",
    "reassign", "refresh", "reindex", "reset", "revoke", "security", "set", "truncate", "vacuum",
];

/// What a statement of SQL or PL/pgSQL may follow.
const BEFORE: &[&str] = &[";", ">>", "begin", "else", "loop", "then"];

/// How many bytes of a name the server keeps.
const NAME_BYTES: usize = 63;

/// Words of PL/pgSQL that a parenthesis may follow.
const SYNTAX: &[&str] = &[
    "assert",
    "by",
    "elseif",
    "elsif",
    "exception",
    "exit",
    "foreach",
    "if",
    "loop",
    "notice",
    "open",
    "perform",
    "raise",
    "return",
    "reverse",
    "slice",
    "strict",
    "while",
];

impl Body {
    /// Reads the source of a routine; `None` where it is not kept as text.
    pub fn read(language: &str, source: Option<&str>) -> Self {
        let Some(source) = source.filter(|_| matches!(language, "sql" | "plpgsql")) else { return Self::Unread };
        let Ok(tokens) = pg_query::scan_tokens(source) else { return Self::Unread };
        let (mut all, mut called) = (BTreeSet::new(), BTreeSet::new());
        let mut last: Option<Box<str>> = None;
        let mut begins = true;
        for token in tokens {
            let text = usize::try_from(token.start).ok().zip(usize::try_from(token.end).ok());
            let Some(text) = text.and_then(|(start, end)| source.get(start..end)) else { return Self::Unread };
            let keyword = token.keyword_kind != KeywordKind::NoKeyword as i32;
            if matches!(Token::try_from(token.token), Ok(Token::SqlComment | Token::CComment)) {
                continue;
            }
            let ended = last.take();
            let began = std::mem::replace(&mut begins, BEFORE.iter().any(|word| text.eq_ignore_ascii_case(word)));
            if token.token == Token::Ascii40 as i32 {
                called.extend(ended);
            } else if token.token == Token::Uident as i32 {
                return Self::Unread;
            } else if token.token == Token::Ident as i32 || keyword {
                let word = name(text);
                if began && BEGINS.contains(&word.as_ref()) {
                    return Self::Unread;
                }
                if keyword && RUNS.contains(&word.as_ref()) {
                    // `ON CONFLICT … DO` is no block of code.
                    if word.as_ref() != "do" || !all.contains("conflict") {
                        return Self::Unread;
                    }
                }
                last = Some(word.clone()).filter(|word| !keyword && !SYNTAX.contains(&word.as_ref()));
                all.insert(word);
            } else if token.token == Token::NotEquals as i32 {
                // Both spellings mean the one operator.
                all.insert("<>".into());
            } else if token.token != Token::Sconst as i32 {
                all.insert(text.into());
            }
        }
        Self::Words { all, called }
    }

    /// Whether it names nothing that `forbids`, and calls only what `permits`.
    pub fn keeps_to(&self, forbids: impl Fn(&str) -> bool, permits: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Unread => false,
            Self::Words { all, called } => {
                !all.iter().any(|word| forbids(word)) && called.iter().all(|word| permits(word))
            }
        }
    }
}

/// A name as the server takes it: letters of ASCII alone in lower case, and cut to a length.
fn name(text: &str) -> Box<str> {
    let mut name = match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => text.to_ascii_lowercase(),
    };
    name.truncate(name.floor_char_boundary(NAME_BYTES));
    name.into()
}

#[cfg(test)]
mod tests {
    use super::Body;

    fn keeps(language: &str, source: &str) -> bool {
        Body::read(language, Some(source)).keeps_to(|word| word == "customers", |call| call == "upper")
    }

    #[test]
    fn a_body_that_touches_its_arguments_only_keeps_to_itself() {
        for source in [
            "begin new.changed := upper(new.label); return new; end",
            "begin if (new.id > 3) then raise notice 'customers %', new.id; end if; return new; end -- customers",
            "begin insert into audit values (new.id) on conflict (id) do update set id = 3; return null; end",
            "begin update audit set role = 'x', reset = 1 where id = new.id; return null; end",
            "declare grant text; begin if new.id > 3 then delete from audit; end if; return null; end",
        ] {
            assert!(keeps("plpgsql", source), "{source}");
        }
        assert!(keeps("sql", "select upper($1) || '(execute)'"));
    }

    #[test]
    fn whatever_reads_or_runs_more_does_not() {
        for source in [
            "begin new.label := (select note from customers limit 1); return new; end",
            "begin new.label := (select note from Public.CUSTOMERS limit 1); return new; end",
            "begin new.label := (select note from \"customers\" limit 1); return new; end",
            "begin execute 'select 1'; return new; end",
            "begin perform query_to_xml('select note from ' || 'custo' || 'mers', true, true, ''); return new; end",
            "begin do $x$ begin end $x$; return new; end",
            "begin create table x (); return new; end",
            "begin set search_path to hr; return new; end",
            "begin if true then /* */ set local role x; end if; return new; end",
            "begin <<l>> reset all; return new; end",
            "begin loop discard all; end loop; return new; end",
            "begin truncate audit cascade; return new; end",
            "import foreign schema s from server t into u",
            "begin new.label := U&\"\\0063ustomers\"; return new; end",
        ] {
            assert!(!keeps("plpgsql", source), "{source}");
        }
        for (source, forbidden) in [
            ("select note from \u{c4}rzte", "\u{c4}rzte"),
            ("select 1 != 2", "<>"),
            (
                "select note from a_name_of_more_than_sixty_three_bytes_is_cut_by_the_server_here_and_there",
                "a_name_of_more_than_sixty_three_bytes_is_cut_by_the_server_here",
            ),
        ] {
            let body = Body::read("sql", Some(source));
            assert!(!body.keeps_to(|word| word == forbidden, |_| true), "{source}: {body:?}");
        }
        assert!(!keeps("c", "upper"));
        assert_eq!(Body::read("sql", None), Body::Unread);
    }
}
