//! The same findings in every format.

use super::*;
use crate::{
    diag::{Applicability, Code, Diagnostic},
    span::{SourceMap, Span},
};

fn find(sources: &SourceMap, path: &str, needle: &str) -> Span {
    let id = sources.find(path).unwrap();
    let start = sources.text(id).find(needle).unwrap();
    Span::new(id, u32::try_from(start).unwrap(), u32::try_from(start + needle.len()).unwrap())
}

fn example() -> (SourceMap, Vec<Diagnostic>) {
    let mut sources = SourceMap::new();
    sources.add(
        "teams/payments/grants.kdl",
        "grant orders-db id=orders-read {\n    to group:payments-dev\n    when requested\n    lifetime \"1h\"\n}\n",
    );
    sources.add("teams/payments/legacy.kdl", "grant orders-db {\n\tlifetime \"4h\" // <&>\n}\n");
    let found = vec![
        Diagnostic::new(
            Code::P0401,
            find(&sources, "teams/payments/grants.kdl", "group:payments-dev"),
            "payments-dev gets two different lifetimes on orders-db",
        )
        .label("everyone in payments-dev …")
        .also(find(&sources, "teams/payments/grants.kdl", "lifetime \"1h\""), "… may hold orders-db for 1 h")
        .also(find(&sources, "teams/payments/legacy.kdl", "lifetime \"4h\""), "… and for 4 h here")
        .witness("kind=human groups={payments-dev}")
        .witness("via orders-read → 1 h")
        .help("merge the two grants, or write\n`beside orders-read`"),
        Diagnostic::new(
            Code::P0302,
            find(&sources, "teams/payments/legacy.kdl", "orders-db"),
            "a \u{1b}[31mtrick\u{202e}: 100%, <x>",
        )
        .replace(
            "remove it",
            find(&sources, "teams/payments/legacy.kdl", "orders-db"),
            "x",
            Applicability::Maybe,
        ),
        Diagnostic::without_place(Code::P1008, "could be a selector").note("a fact"),
    ];
    (sources, found)
}

fn show(format: Format) -> String {
    let (sources, found) = example();
    render(format, &found, &sources)
}

#[test]
fn people_see_every_place_in_its_file() {
    let expected = r#"
error[P0401]: payments-dev gets two different lifetimes on orders-db
   ╭─[teams/payments/grants.kdl:2:8]
 1 │ grant orders-db id=orders-read {
 2 │     to group:payments-dev
   ·        ────────┬─────────
   ·                ╰── everyone in payments-dev …
   ⋮
 4 │     lifetime "1h"
   ·     ──────┬──────
   ·           ╰── … may hold orders-db for 1 h
   ╰────
   ╭─[teams/payments/legacy.kdl:2:2]
 2 │     lifetime "4h" // <&>
   ·     ──────┬──────
   ·           ╰── … and for 4 h here
   ╰────
  witness: kind=human groups={payments-dev}
           via orders-read → 1 h
  help: merge the two grants, or write
        `beside orders-read`
  docs: https://leasehold.dev/rules/P0401

warning[P0302]: a \u{1b}[31mtrick\u{202e}: 100%, <x>
   ╭─[teams/payments/legacy.kdl:1:7]
 1 │ grant orders-db {
   ·       ─────────
   ╰────
  help: remove it
  docs: https://leasehold.dev/rules/P0302

info[P1008]: could be a selector
  note: a fact
  docs: https://leasehold.dev/rules/P1008

1 error, 1 warning, 1 note
"#;
    assert_eq!(show(Format::Human { colour: false }), expected.trim_start());
    let coloured = show(Format::Human { colour: true });
    assert!(coloured.contains("\u{1b}[1;31merror[P0401]\u{1b}[0m"), "{coloured}");
    assert!(!coloured.contains("\u{1b}[31mtrick") && !coloured.contains('\u{202e}'));
}

#[test]
fn logs_see_one_line_for_each_fact() {
    let expected = r"
teams/payments/grants.kdl:2:8: error[P0401]: payments-dev gets two different lifetimes on orders-db
  teams/payments/grants.kdl:2:8: everyone in payments-dev …
  teams/payments/grants.kdl:4:5: … may hold orders-db for 1 h
  teams/payments/legacy.kdl:2:2: … and for 4 h here
  witness: kind=human groups={payments-dev}
           via orders-read → 1 h
  help: merge the two grants, or write
        `beside orders-read`
teams/payments/legacy.kdl:1:7: warning[P0302]: a \u{1b}[31mtrick\u{202e}: 100%, <x>
  fix: remove it
info[P1008]: could be a selector
  note: a fact
";
    assert_eq!(show(Format::Plain), expected.trim_start());
}

#[test]
fn programs_see_bytes_and_lines() {
    let json: serde_json::Value = serde_json::from_str(&show(Format::Json)).unwrap();
    assert_eq!(
        (json["errors"].as_u64(), json["warnings"].as_u64(), json["infos"].as_u64()),
        (Some(1), Some(1), Some(1))
    );
    let first = &json["diagnostics"][0];
    assert_eq!(first["code"], "P0401");
    assert_eq!(first["primary"]["span"]["start"], serde_json::json!({ "byte": 40, "line": 2, "column": 8 }));
    assert_eq!(first["secondary"][1]["span"]["path"], "teams/payments/legacy.kdl");
    assert_eq!(json["diagnostics"][1]["fix"]["applicability"], "maybe");
    assert!(json["diagnostics"][2]["primary"].is_null());

    let sarif: serde_json::Value = serde_json::from_str(&show(Format::Sarif)).unwrap();
    let run = &sarif["runs"][0];
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 3);
    assert_eq!(run["results"][0]["level"], "error");
    assert_eq!(run["results"][0]["locations"][0]["physicalLocation"]["region"]["startColumn"], 8);
    assert_eq!(run["results"][0]["relatedLocations"].as_array().unwrap().len(), 2);
    assert_eq!(run["results"][2]["level"], "note");
}

#[test]
fn services_see_annotations_that_text_cannot_break() {
    let github = show(Format::Github);
    let lines: Vec<&str> = github.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(lines[0].starts_with(
        "::error file=teams/payments/grants.kdl,line=2,endLine=2,col=8,endColumn=26,title=P0401::payments-dev gets"
    ));
    assert!(lines[0].contains("%0Ahelp: merge the two grants, or write%0A`beside"));
    assert!(lines[1].contains("100%25, <x>"));
    assert!(lines[2].starts_with("::notice title=P1008::could be"));

    let junit = show(Format::Junit);
    assert!(junit.contains("<testsuite name=\"leaseholdc\" tests=\"3\" failures=\"1\">"), "{junit}");
    assert!(junit.contains("100%, &lt;x&gt;") && !junit.contains('\u{1b}'), "{junit}");
    assert_eq!(junit.matches("<testcase").count(), junit.matches("</testcase>").count());
    // A file with an error among warnings fails, and one without findings passes.
    let (mut sources, mut found) = example();
    found.push(Diagnostic::new(Code::P0302, find(&sources, "teams/payments/grants.kdl", "orders-db"), "of no one"));
    let mixed = render(Format::Junit, &found, &sources);
    assert!(mixed.contains("tests=\"3\" failures=\"1\">"), "{mixed}");
    sources.add("clean.kdl", "");
    let clean = render(Format::Junit, &found, &sources);
    assert!(clean.contains("tests=\"4\" failures=\"1\">"), "{clean}");
}

#[test]
fn long_lines_are_cut_around_what_they_show() {
    let mut sources = SourceMap::new();
    let id = sources.add("a.kdl", format!("{}needle{}", "x ".repeat(500), " y".repeat(50_000)));
    let found = [Diagnostic::new(Code::P0001, Span::new(id, 1000, 1006), "here").label("this")];
    let shown = render(Format::Human { colour: false }, &found, &sources);
    assert!(shown.len() < 1000, "{shown}");
    let lines: Vec<&str> = shown.lines().collect();
    let column = |line: &str, mark: &str| line.split(mark).next().unwrap().chars().count();
    assert_eq!(column(lines[2], "needle"), column(lines[3], "─"), "{shown}");
}

#[test]
fn a_place_outside_its_text_harms_nothing() {
    let mut sources = SourceMap::new();
    let id = sources.add("a.kdl", "ä");
    let other = {
        let mut other = SourceMap::new();
        other.add("x", "");
        other.add("y", "")
    };
    let found = [
        Diagnostic::new(Code::P0001, Span::new(id, 1, 900), "inside a character").label("x"),
        Diagnostic::new(Code::P0001, Span::new(other, 5, 6), "of another map").label("x"),
    ];
    for format in
        [Format::Human { colour: false }, Format::Plain, Format::Json, Format::Sarif, Format::Github, Format::Junit]
    {
        assert!(!render(format, &found, &sources).is_empty());
    }
}
