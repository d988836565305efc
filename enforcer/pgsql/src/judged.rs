//! The annotated table of statements: what each touches and what it is for the session.
//!
//! `fixtures/sql/judged.txt` holds blocks of a statement (lines that begin with `> `) and its judgement. Add a statement,
//! run with `BLESS=1`, and read every line of the difference.

use crate::bounds::STACK_BYTES;
use crate::judge;
use crate::session::SessionFacts;
use crate::statement::{Parameter, Statement};
use std::fmt::Write;
use std::path::PathBuf;

fn table() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sql/judged.txt")
}

/// The facts that the table assumes, besides a pinned session on the newest server.
fn session() -> SessionFacts {
    SessionFacts::pinned(18)
}

fn describe(sql: &str) -> String {
    let mut out = String::new();
    match judge(sql, &session()) {
        Err(refusal) => writeln!(out, "refused: {refusal}").unwrap(),
        Ok(statements) if statements.is_empty() => writeln!(out, "no statement").unwrap(),
        Ok(statements) => {
            let several = statements.len() > 1;
            for statement in &statements {
                if several {
                    writeln!(out, "- {}", sql.get(statement.text.clone()).unwrap().replace('\n', " ")).unwrap();
                }
                describe_statement(&mut out, statement);
            }
        }
    }
    out
}

fn describe_statement(out: &mut String, statement: &Statement) {
    write!(out, "{:?}", statement.action).unwrap();
    for (flag, word) in [(statement.returns_rows, "returns rows"), (statement.reads_only, "reads only")] {
        if flag {
            write!(out, ", {word}").unwrap();
        }
    }
    if let Some(name) = &statement.executes {
        write!(out, ", executes {name}").unwrap();
    }
    out.push('\n');
    for access in &statement.accesses {
        writeln!(out, "  {access}").unwrap();
    }
    for setting in &statement.settings {
        let name = match &setting.parameter {
            Parameter::Named(name) => name,
            Parameter::All => "(all)",
            Parameter::Unknown => "(unknown)",
        };
        let value = setting.value.as_deref().map_or(String::new(), |value| format!(" = {value}"));
        let local = if setting.local { " local" } else { "" };
        writeln!(out, "  sets{local} {name}{value}: {:?}", setting.class).unwrap();
    }
}

/// The table with every judgement made anew.
fn judged_anew(text: &str) -> String {
    let mut out = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.starts_with("> ") {
            if line.starts_with('#') || line.is_empty() {
                writeln!(out, "{line}").unwrap();
            }
            continue;
        }
        let mut sql = line.trim_start_matches("> ").to_owned();
        writeln!(out, "{line}").unwrap();
        while let Some(more) = lines.next_if(|line| line.starts_with("> ")) {
            writeln!(sql).unwrap();
            sql.push_str(more.trim_start_matches("> "));
            writeln!(out, "{more}").unwrap();
        }
        while lines.next_if(|line| !line.is_empty() && !line.starts_with("> ") && !line.starts_with('#')).is_some() {}
        out.push_str(&describe(&sql));
    }
    out
}

#[test]
fn every_statement_of_the_table_is_judged_as_written() {
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES);
    let handle = worker
        .spawn(|| {
            let text = std::fs::read_to_string(table()).unwrap();
            let anew = judged_anew(&text);
            if std::env::var_os("BLESS").is_some() {
                std::fs::write(table(), &anew).unwrap();
                return;
            }
            for (at, (expected, found)) in text.lines().zip(anew.lines()).enumerate() {
                assert_eq!(expected, found, "fixtures/sql/judged.txt:{}", at + 1);
            }
            assert_eq!(text.lines().count(), anew.lines().count(), "run with BLESS=1 and read the difference");
            assert!(anew.lines().filter(|line| line.starts_with("> ")).count() > 300);
        })
        .unwrap();
    handle.join().unwrap();
}
