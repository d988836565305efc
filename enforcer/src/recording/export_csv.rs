//! A recording as CSV (RFC 4180): one line a step, the cells of a row behind its own columns.
//!
//! A cell that a spreadsheet would take for a formula begins with an apostrophe. Acting characters are escaped.

use super::inert::inert;
use super::transcript::{Item, Step, instant};
use std::io::{self, Write};

/// The first line.
const HEADING: &str = "record,at,type,text,rule,values\r\n";

/// Writes the first line.
pub fn begin(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(HEADING.as_bytes())
}

/// Writes one step.
pub fn step(out: &mut dyn Write, step: &Step) -> io::Result<()> {
    let mut cells = vec![step.record.to_string(), instant(step.at)];
    let mut add = |kind: &str, text: &str, rule: &str, values: &[Option<String>]| {
        cells.extend([kind.to_owned(), text.to_owned(), rule.to_owned()]);
        cells.extend(values.iter().map(|value| value.clone().unwrap_or_else(|| "NULL".to_owned())));
    };
    let some = |names: &[String]| names.iter().cloned().map(Some).collect::<Vec<_>>();
    match &step.item {
        Item::Opened(opened) => {
            let who = opened.subject_name.clone().unwrap_or_else(|| opened.subject.to_string());
            add("opened", &opened.connection, &opened.grant, &[Some(who), Some(opened.commit.clone())]);
        }
        Item::Query { sql } => add("query", sql, "", &[]),
        Item::Parse { statement, sql } => add("parse", sql, "", &[Some(statement.clone())]),
        Item::Bind { statement, parameters, .. } => add("bind", statement, "", parameters),
        Item::Execute { sql, .. } => add("execute", sql.as_deref().unwrap_or_default(), "", &[]),
        Item::Close { name } => add("close", name, "", &[]),
        Item::Decision(decision) => {
            let rule = decision.rule.as_deref().unwrap_or_default();
            add(&decision.outcome, &decision.sentence, rule, &some(&decision.accesses));
        }
        Item::Columns { names } => add("columns", "", "", &some(names)),
        Item::Row { values } => add("row", "", "", values),
        Item::Done { tag } => add("done", tag, "", &[]),
        Item::Report { severity, code, message, detail, hint } => {
            add(&severity.to_lowercase(), message, "", &[Some(code.clone()), detail.clone(), hint.clone()]);
        }
        Item::Copy { from, data } => add("copy", data, "", &[Some((*from).to_owned())]),
        Item::RowsOmitted { rows, bytes } => {
            add("rows_omitted", "", "", &[Some(rows.to_string()), Some(bytes.to_string())]);
        }
        Item::Reauthorised { bundle, commit } => add("reauthorised", commit, "", &[Some(bundle.clone())]),
        Item::Note { sentence } => add("note", sentence, "", &[]),
        Item::Closed { cause, sentence } => add("closed", sentence, "", &[Some(cause.clone())]),
    }
    let line: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    write!(out, "{}\r\n", line.join(","))
}

/// Writes how the recording stands.
pub fn end(out: &mut dyn Write, outcome: &str, sentence: &str) -> io::Result<()> {
    write!(out, ",,end,{},,{}\r\n", cell(sentence), cell(outcome))
}

fn cell(text: &str) -> String {
    let text = inert(text);
    let formula = text.starts_with(['=', '+', '-', '@']) && text.parse::<f64>().is_err();
    let text = if formula { format!("'{text}") } else { text.into_owned() };
    if text.contains([',', '"', ' ']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a, \"b\""), "\"a, \"\"b\"\"\"");
        assert_eq!(cell("=HYPERLINK(1)"), "'=HYPERLINK(1)");
        assert_eq!(cell("-5.25"), "-5.25");
        assert_eq!(cell("two\nlines\u{1b}[0m"), "two\\nlines\\u{1b}[0m");
    }
}
