//! Every kind of column under every mask, in text and binary results and in both ways to mask: a value that is valid for
//! the type, or NULL, and of the type that the column has. And what a change of the schema behind the gateway's back shows.

use super::masking::{Masking, Mode, SCENE, cells, columns, direct, through};
use super::raw::Raw;
use std::fmt::Write as _;

/// A kind of column: its word, its type, a value, the value of the mask `fixed`, and whether its values are text.
const KINDS: [(&str, &str, &str, &str, bool); 21] = [
    ("text", "text", "Ada Lovelace", "someone", true),
    ("varchar", "varchar(34)", "DE12 3456 7890", "DE00", true),
    ("char", "char(12)", "abcdefghijkl", "xyz", true),
    ("citext", "citext", "LoginName", "User", true),
    ("domain", "public.mailbox", "ada@one.example", "no@one.example", true),
    ("integer", "integer", "1234567", "42", false),
    ("bigint", "bigint", "123456789012", "-1", false),
    ("numeric", "numeric(8,2)", "1234.50", "0.25", false),
    ("double", "double precision", "1.5e10", "0.1", false),
    ("boolean", "boolean", "true", "false", false),
    ("date", "date", "1980-02-03", "2000-01-01", false),
    ("time", "time", "12:34:56", "00:00:00", false),
    ("timestamptz", "timestamptz", "2024-05-06 07:08:09+00", "2000-01-01 00:00:00+00", false),
    ("interval", "interval", "3 days", "1 hour", false),
    ("uuid", "uuid", "6f9619ff-8b86-d011-b42d-00c04fc964ff", "00000000-0000-0000-0000-000000000000", false),
    ("enum", "public.tier", "silver", "gold", false),
    ("texts", "text[]", "{a,b}", "{x}", false),
    ("json", "json", "{\"a\": 1}", "{}", false),
    ("jsonb", "jsonb", "{\"a\": 1}", "[1]", false),
    ("composite", "public.geo", "(1.5,2)", "(0,0)", false),
    ("bytea", "bytea", "\\xdeadbeef", "\\x00", false),
];
/// The masks, by the word for columns and the class that they are laid on.
const MASKS: [(&str, &str); 4] = [("redact", "redact"), ("hash", "hash"), ("partial", "ends"), ("nullify", "null")];

/// The table of all of them.
pub(super) fn definition() -> String {
    let (mut columns, mut values) = (String::new(), String::new());
    for (kind, of, value, ..) in KINDS {
        for (mask, _) in MASKS.iter().chain(&[("fixed", "")]) {
            write!(columns, ", {kind}_{mask} {of}").unwrap();
            write!(values, ", '{}'", value.replace('\'', "''")).unwrap();
        }
    }
    format!(
        "create table public.kinds (id integer primary key{columns}); insert into public.kinds values (1{values}); \
         insert into public.kinds (id) values (2); alter table public.kinds owner to gateway_rw"
    )
}

/// The columns' classes.
pub(super) fn classes() -> String {
    let mut out = String::new();
    for (kind, ..) in KINDS {
        for (mask, class) in MASKS {
            writeln!(out, "    column public.kinds.{kind}_{mask} as=test.{class}").unwrap();
        }
        writeln!(out, "    column public.kinds.{kind}_fixed as=test.f{kind}").unwrap();
    }
    out
}

/// The masks that only this table has.
pub(super) fn masks() -> String {
    let mut out =
        "mask kinds-ends {\n    class test.ends\n    as partial keep-first=2 keep-last=2\n    reveal never\n}\n"
            .to_owned();
    for (kind, _, _, fixed, _) in KINDS {
        writeln!(out, "mask kinds-{kind} {{\n    class test.f{kind}\n    as fixed #\"{fixed}\"#\n    reveal never\n}}")
            .unwrap();
    }
    out
}

/// What a cell shows, as an expression of the column's type; none for a hash.
fn expected(mask: &str, of: &str, value: &str, fixed: &str, text: bool) -> Option<String> {
    let shown = match (mask, text) {
        ("fixed", _) => format!("'{}'", fixed.replace('\'', "''")),
        ("redact", true) => "'[redacted]'".to_owned(),
        ("partial", true) => format!("'{}***{}'", &value[..2], &value[value.len() - 2..]),
        ("hash", true) => return None,
        _ => "null".to_owned(),
    };
    Some(format!("{shown}::{}", if of == "public.mailbox" { "text" } else { of }))
}

/// Names and types as they are announced.
type Head = Vec<(String, u32)>;
/// Cells, row by row.
type Rows = Vec<Vec<Option<Vec<u8>>>>;

fn seen(raw: &mut Raw, mode: Mode, sql: &str) -> (Head, Rows) {
    mode.send(raw, sql);
    let answer = raw.until_ready();
    let failed = answer.iter().find_map(super::raw::Message::refusal);
    assert!(failed.is_none(), "{sql}: {failed:?}");
    let head = answer.iter().find(|message| message.tag == 'T').expect("columns");
    let types = columns(&head.body).into_iter().map(|column| (column.name, column.kind)).collect();
    (types, answer.iter().filter(|message| message.tag == 'D').map(|row| cells(&row.body)).collect())
}

#[test]
fn every_kind_of_column_has_a_valid_value_under_every_mask() {
    let mut wanted = "select 1".to_owned();
    let mut hashes = Vec::new();
    for (kind, of, value, fixed, text) in KINDS {
        for (mask, _) in MASKS.iter().chain(&[("fixed", "")]) {
            let expression = expected(mask, of, value, fixed, text);
            if expression.is_none() {
                hashes.push(format!("{kind}_{mask}"));
            }
            write!(wanted, ", {}", expression.unwrap_or_else(|| "null".to_owned())).unwrap();
        }
    }
    let mut probe = direct("world_a");
    for masking in [Masking::Rewrite, Masking::Database] {
        let mut raw = through(masking.connections()[0]);
        for mode in [Mode::Simple, Mode::Extended, Mode::Binary] {
            let (types, rows) = seen(&mut raw, mode, "select * from kinds order by id");
            let (plain, _) = seen(&mut probe, mode, "select * from kinds where false");
            assert_eq!(types, plain, "{masking:?} {mode:?}: names and types are the table's own");
            let (_, truth) = seen(&mut probe, mode, &wanted);
            assert_eq!(types.len(), 1 + KINDS.len() * 5);
            for (at, (name, _)) in types.iter().enumerate() {
                let shown = rows[0][at].as_deref();
                if hashes.contains(name) {
                    let hash = shown.map(String::from_utf8_lossy).unwrap_or_default();
                    let length = match name.as_str() {
                        "varchar_hash" => 34,
                        "char_hash" => 12,
                        _ => 64,
                    };
                    assert!(
                        hash.len() == length && hash.bytes().all(|byte| byte.is_ascii_hexdigit()),
                        "{name}: {hash}"
                    );
                } else {
                    assert_eq!(shown, truth[0][at].as_deref(), "{masking:?} {mode:?} {name}");
                }
                assert!(at == 0 || rows[1][at].is_none(), "{name}: NULL stays NULL");
            }
        }
    }
}

fn first(raw: &mut Raw, sql: &str) -> String {
    raw.query(sql).unwrap_or_else(|refused| vec![refused.whole]).join(",")
}

#[test]
fn a_schema_that_changes_behind_the_gateways_back_shows_nothing_more() {
    let owner = |sql: &str| SCENE.cluster.value("world_c", sql).unwrap();
    owner(
        "create table drift (id integer primary key, ssn text, city text); insert into drift values (1, '1234', 'Rome'); \
         create view drift_seen as select id, city from drift; grant all on drift, drift_seen to gateway_rw",
    );
    let mut raw = through("hashed");
    let mut other = through("hashed");
    let mut tables = 0;
    // Whoever changes definitions reads the catalog again, for all sessions.
    let mut read_again = || {
        tables += 1;
        assert_eq!(first(&mut other, &format!("create table drift_{tables} (i integer)")), "");
        assert_eq!(first(&mut other, "select 1"), "1");
    };
    read_again();
    assert_eq!(first(&mut raw, "select ssn from drift"), "[redacted]");
    assert_eq!(first(&mut raw, "select d::text from drift d"), "(1,[redacted],Rome)");

    owner("alter table drift add column pin text default '1234'");
    assert_eq!(first(&mut raw, "select d::text from drift d"), "(1,[redacted],Rome)");
    assert!(first(&mut raw, "select pin from drift").contains("ERROR"));
    owner("alter table drift drop column pin");
    read_again();

    owner("alter table drift rename column ssn to social");
    for known in [false, true] {
        if known {
            read_again();
        }
        for sql in
            ["select ssn from drift", "select social from drift", "select * from drift", "select d::text from drift d"]
        {
            let said = first(&mut raw, sql);
            assert!(said.contains("ERROR") && !said.contains("1234"), "{sql}: {said}");
        }
    }
    assert!(first(&mut raw, "select id from drift").contains("which it does not have"));
    owner("alter table drift rename column social to ssn");
    read_again();
    assert_eq!(first(&mut raw, "select ssn from drift"), "[redacted]");

    owner("drop view drift_seen; alter table drift alter column ssn type integer using ssn::integer");
    assert!(!first(&mut raw, "select ssn from drift").contains("1234"));
    read_again();
    assert_eq!(first(&mut raw, "select ssn from drift"), "∅");
    assert_eq!(first(&mut raw, "select count(*) from drift where ssn > 0"), "0");

    owner("create view drift_seen as select id, city from drift; grant all on drift_seen to gateway_rw");
    read_again();
    owner("create or replace view drift_seen as select id, ssn::text as city from drift");
    assert_eq!(first(&mut raw, "select city from drift_seen"), "Rome", "the old query, until the new one is known");
    read_again();
    assert_eq!(first(&mut raw, "select city from drift_seen"), "∅");
    owner("drop table drift cascade");
    assert!(first(&mut raw, "select * from drift").contains("ERROR"));
}
