//! A recording as one page of HTML that needs nothing else: no script, no picture, no address.
//!
//! Everything recorded passes `inert` and is then escaped; the page's own policy forbids scripts and loading.

use super::inert::{inert, inert_lines};
use super::transcript::{Item, Step, instant};
use std::io::{self, Write};

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
<meta name=\"viewport\" content=\"width=device-width\"><title>Leasehold recording</title><style>\n\
:root{color-scheme:light dark;--line:#8884}body{font:14px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem}\n\
section{border-top:1px solid var(--line);padding:.4rem 0;display:grid;grid-template-columns:8rem 7rem 1fr;gap:.75rem}\n\
time,b{color:#888;font-weight:400;font-variant-numeric:tabular-nums}pre{margin:0;font:13px/1.45 ui-monospace,monospace;white-space:pre-wrap;overflow-wrap:anywhere}\n\
.denied,.error,.fatal,.tampered{color:#c22}.allowed,.complete{color:#282}table{border-collapse:collapse;font:13px ui-monospace,monospace;display:block;overflow-x:auto;margin:.2rem 0 .6rem 15.75rem}\n\
td,th{border:1px solid var(--line);padding:.1rem .5rem;text-align:left;vertical-align:top;white-space:pre-wrap}th{background:#8882}td.null{color:#888}dl{display:grid;grid-template-columns:8rem 1fr;gap:.1rem .75rem}dd{margin:0}\n\
</style></head><body>\n";

/// Writes steps as a page.
#[derive(Debug, Default)]
pub struct Page {
    in_table: bool,
}

impl Page {
    /// Begins the page.
    ///
    /// # Errors
    /// What the file gives.
    pub fn begin(out: &mut dyn Write) -> io::Result<Self> {
        out.write_all(HEAD.as_bytes())?;
        Ok(Self::default())
    }

    /// Writes one step.
    ///
    /// # Errors
    /// What the file gives.
    pub fn step(&mut self, out: &mut dyn Write, step: &Step) -> io::Result<()> {
        if let Item::Row { values } = &step.item {
            return self.row(out, values);
        }
        self.end_table(out)?;
        let mut line = |class: &str, text: &str| section(out, step, class, text);
        match &step.item {
            Item::Opened(_) => opening(out, step),
            Item::Query { sql } => line("query", sql),
            Item::Parse { sql, .. } => line("parse", sql),
            Item::Bind { parameters, .. } => {
                let shown: Vec<_> = parameters.iter().map(|value| value.as_deref().unwrap_or("NULL")).collect();
                if shown.is_empty() { Ok(()) } else { line("bind", &shown.join("\n")) }
            }
            Item::Execute { sql, .. } => line("execute", sql.as_deref().unwrap_or_default()),
            Item::Close { name } => line("close", name),
            Item::Decision(decision) => {
                let rule = decision.rule.as_deref().unwrap_or("no rule");
                let place = decision.place.as_ref().map_or(String::new(), |place| format!(" ({place})"));
                let accesses = decision.accesses.join(", ");
                line(&decision.outcome, &format!("by {rule}{place}: {}\n{accesses}", decision.sentence))
            }
            Item::Columns { names } => self.begin_table(out, names),
            Item::Row { .. } => Ok(()),
            Item::Done { tag } => line("done", tag),
            Item::Report { severity, code, message, detail, hint } => {
                let more =
                    [detail, hint].into_iter().flatten().fold(String::new(), |all, text| format!("{all}\n{text}"));
                line(&severity.to_lowercase(), &format!("{message} ({code}){more}"))
            }
            Item::Copy { from, data } => line("copy", &format!("from the {from}:\n{data}")),
            Item::RowsOmitted { rows, bytes } => {
                line("rows", &format!("{rows} rows of {bytes} bytes are not recorded at this level"))
            }
            Item::Reauthorised { bundle, commit } => line("policy", &format!("commit {commit}, bundle {bundle}")),
            Item::Note { sentence } => line("note", sentence),
            Item::Closed { cause, sentence } => line("closed", &format!("{sentence} ({cause})")),
        }
    }

    /// Ends the page with how the recording stands.
    ///
    /// # Errors
    /// What the file gives.
    pub fn end(&mut self, out: &mut dyn Write, outcome: &str, sentence: &str) -> io::Result<()> {
        self.end_table(out)?;
        writeln!(out, "<p class=\"{}\"><strong>{}</strong></p></body></html>", escaped(outcome), escaped(sentence))
    }

    fn begin_table(&mut self, out: &mut dyn Write, names: &[String]) -> io::Result<()> {
        self.in_table = true;
        out.write_all(b"<table><tr>")?;
        names.iter().try_for_each(|name| write!(out, "<th>{}</th>", escaped(name)))?;
        out.write_all(b"</tr>\n")
    }

    fn row(&mut self, out: &mut dyn Write, values: &[Option<String>]) -> io::Result<()> {
        if !self.in_table {
            self.begin_table(out, &[])?;
        }
        out.write_all(b"<tr>")?;
        for value in values {
            match value {
                Some(text) => write!(out, "<td>{}</td>", escaped(text))?,
                None => out.write_all(b"<td class=\"null\">NULL</td>")?,
            }
        }
        out.write_all(b"</tr>\n")
    }

    fn end_table(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if std::mem::take(&mut self.in_table) { out.write_all(b"</table>\n") } else { Ok(()) }
    }
}

fn opening(out: &mut dyn Write, step: &Step) -> io::Result<()> {
    let Item::Opened(opened) = &step.item else { return Ok(()) };
    writeln!(out, "<h1>{}</h1><dl>", escaped(opened.session.as_str()))?;
    let who = opened.subject_name.as_ref().map_or(String::new(), |name| format!("{name} "));
    let facts = [
        ("opened", instant(step.at)),
        ("who", format!("{who}({} {})", opened.kind, opened.subject)),
        ("connection", format!("{} ({})", opened.connection, opened.protocol)),
        ("grant", opened.grant.clone()),
        ("policy", format!("commit {}, bundle {}", opened.commit, opened.bundle)),
        ("reason", opened.reason.clone().unwrap_or_default()),
        ("ticket", opened.ticket.clone().unwrap_or_default()),
        ("client", format!("{} from {}", opened.client_user, opened.peer)),
        ("recorded", opened.recorded.clone()),
    ];
    for (label, fact) in facts.iter().filter(|(_, fact)| !fact.is_empty()) {
        writeln!(out, "<dt>{label}</dt><dd>{}</dd>", escaped(fact))?;
    }
    writeln!(out, "</dl>")
}

fn section(out: &mut dyn Write, step: &Step, class: &str, text: &str) -> io::Result<()> {
    let lines: Vec<String> = inert_lines(text).map(|line| escape(&line)).collect();
    let (class, at) = (escaped(class), instant(step.at));
    let clock = at.split('T').nth(1).unwrap_or_default();
    writeln!(
        out,
        "<section id=\"r{}\"><time>{clock}</time><b class=\"{class}\">{class}</b><pre>{}</pre></section>",
        step.record,
        lines.join("\n").trim_end()
    )
}

fn escaped(text: &str) -> String {
    escape(&inert(text))
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}
