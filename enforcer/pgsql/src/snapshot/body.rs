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
        for token in tokens {
            let text = usize::try_from(token.start).ok().zip(usize::try_from(token.end).ok());
            let Some(text) = text.and_then(|(start, end)| source.get(start..end)) else { return Self::Unread };
            let keyword = token.keyword_kind != KeywordKind::NoKeyword as i32;
            let ended = last.take();
            if token.token == Token::Ascii40 as i32 {
                called.extend(ended);
            } else if token.token == Token::Uident as i32 {
                return Self::Unread;
            } else if token.token == Token::Ident as i32 || keyword {
                let word = name(text);
                if keyword && RUNS.contains(&word.as_ref()) {
                    // `ON CONFLICT … DO` is no block of code.
                    if word.as_ref() != "do" || !all.contains("conflict") {
                        return Self::Unread;
                    }
                }
                last = Some(word.clone()).filter(|word| !keyword && !SYNTAX.contains(&word.as_ref()));
                all.insert(word);
            } else if !matches!(Token::try_from(token.token), Ok(Token::Sconst | Token::SqlComment | Token::CComment)) {
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

/// A name as the server takes it.
fn name(text: &str) -> Box<str> {
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\"").into(),
        None => text.to_lowercase().into(),
    }
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
            "begin new.label := U&\"\\0063ustomers\"; return new; end",
        ] {
            assert!(!keeps("plpgsql", source), "{source}");
        }
        assert!(!keeps("c", "upper"));
        assert_eq!(Body::read("sql", None), Body::Unread);
    }
}
