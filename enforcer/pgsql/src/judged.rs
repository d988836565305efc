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

/// Judges on a large stack and gives the accesses as text.
fn accesses(sql: String, session: SessionFacts) -> Vec<String> {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let handle = thread.spawn(move || {
        let statements = judge(&sql, &session).unwrap();
        statements.iter().flat_map(|statement| &statement.accesses).map(ToString::to_string).collect()
    });
    handle.unwrap().join().unwrap()
}

#[test]
fn a_name_is_cut_between_characters() {
    let sql = format!("SELECT * FROM {}", "é".repeat(40));
    assert_eq!(accesses(sql, session()), [format!("select relation public.{}", "é".repeat(31))]);
}

#[test]
fn the_session_names_what_a_text_cannot_show() {
    let mut session = SessionFacts::pinned(15);
    session.default_schema = "app".into();
    session.overloads.insert("max".into());
    session.row_routines.insert("erase".into());
    let sql = "SELECT max(x), t.erase, (t).erase, JSON_VALUE(j, '$') FROM t".to_owned();
    assert_eq!(
        accesses(sql, session),
        ["select relation app.t", "call routine app.erase", "call routine app.json_value", "call routine app.max"]
    );
}

#[test]
fn a_type_of_which_a_value_runs_a_routine_is_a_call_wherever_it_stands() {
    let mut session = session();
    session.domains.extend(["wiped".into(), "_wiped".into()]);
    for sql in [
        "SELECT * FROM json_to_record('{}') AS t(x wiped)",
        "SELECT * FROM ROWS FROM (json_to_record('{}') AS (x public.wiped)) AS t",
        "SELECT * FROM xmltable('/' PASSING '<a/>' COLUMNS x public.wiped PATH '.')",
        "SELECT * FROM json_table('{}', '$' COLUMNS (x wiped PATH '$'))",
        "SELECT xmlserialize(CONTENT '<a/>' AS wiped)",
        "SELECT json_value('{}', '$' RETURNING wiped)",
        "SELECT '{x}'::public._wiped",
        "SELECT '{x}'::wiped[]",
        "PREPARE p(wiped) AS SELECT 1",
    ] {
        let called = accesses(sql.to_owned(), session.clone());
        assert!(called.iter().any(|access| access.starts_with("call routine public.")), "{sql}: {called:?}");
    }
}

#[test]
fn a_materialised_view_that_is_filled_writes_rows() {
    let fills = |sql| judge(sql, &session()).unwrap().iter().map(|one| one.fills && one.counted).collect::<Vec<_>>();
    let sql = "CREATE MATERIALIZED VIEW m AS SELECT 1; CREATE MATERIALIZED VIEW m AS SELECT 1 WITH NO DATA; CREATE VIEW v AS SELECT 1";
    assert_eq!(fills(sql), [true, false, false]);
}

/// Texts whose judgement would take the product of their levels, or of two lists, if it were done carelessly.
#[test]
fn hostile_texts_cost_what_they_weigh() {
    let nested = "DELETE FROM t WHERE t.id IN (WITH w AS (";
    let deletes = format!("{}SELECT 1{}", nested.repeat(25), ") SELECT id FROM w WHERE t.a = 1)".repeat(25));
    assert_eq!(accesses(deletes, session()).len(), 3);
    let whole = "id IN (SELECT id FROM t WHERE ";
    let members =
        format!("DELETE FROM t WHERE {}{}{}", whole.repeat(60), "id = 1 OR ".repeat(9_000) + "id = 2", ")".repeat(60));
    assert!(accesses(members, session()).contains(&"select relation public.t".to_owned()));
    let tables = vec!["t"; 9_000].join(",");
    let locks = format!("SELECT * FROM {tables} FOR UPDATE OF {}", vec!["nobody"; 9_000].join(","));
    assert_eq!(accesses(locks, session()), ["select relation public.t", "lock relation public.t"]);
    let names: Vec<String> = (0..9_000).map(|at| format!("c{at} AS (TABLE t)")).collect();
    let reads: Vec<String> = (0..9_000).map(|at| format!("c{at}")).collect();
    let ctes = format!("WITH {} SELECT * FROM {}", names.join(","), reads.join(","));
    assert_eq!(accesses(ctes, session()), ["select relation public.t"]);
}

proptest::proptest! {
    /// Whatever stands between two pieces of statements, the judge answers.
    #[test]
    fn no_text_panics(left in 0_usize..400, right in 0_usize..400, cut in 0_usize..200, paste in 0_usize..200, noise in ".{0,8}") {
        let table = std::fs::read_to_string(table()).unwrap();
        let texts: Vec<&str> = table.lines().filter_map(|line| line.strip_prefix("> ")).collect();
        let head: String = texts[left % texts.len()].chars().take(cut).collect();
        let tail: String = texts[right % texts.len()].chars().skip(paste).collect();
        let sql = format!("{head}{noise}{tail}");
        if let Ok(statements) = judge(&sql, &session()) {
            for statement in statements {
                proptest::prop_assert!(sql.get(statement.text.clone()).is_some_and(|text| !text.is_empty()));
            }
        }
    }
}
