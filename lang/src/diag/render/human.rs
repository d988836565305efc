//! Boxed snippets of source for people at a terminal, one box for each file that a finding touches.
//! Lines are cut to a window around what they show, whatever their length.

use super::{indented, place, summary, visible};
use crate::{
    diag::{Diagnostic, Label, Severity},
    span::{Source, SourceId, SourceMap},
};
use std::fmt::{self, Write as _};

const WINDOW_BEFORE: usize = 60;
const WINDOW_CHARS: usize = 140;
const TAB: &str = "    ";

pub(super) fn write(out: &mut String, diagnostics: &[Diagnostic], sources: &SourceMap, colour: bool) -> fmt::Result {
    let paint = Paint { colour };
    for found in diagnostics {
        finding(out, found, sources, &paint)?;
        writeln!(out)?;
    }
    writeln!(out, "{}", summary(diagnostics))
}

struct Paint {
    colour: bool,
}

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    fn severity(&self, severity: Severity, text: &str) -> String {
        let code = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "1;33",
            Severity::Info => "1;36",
        };
        self.with(code, text)
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }
}

fn finding(out: &mut String, found: &Diagnostic, sources: &SourceMap, paint: &Paint) -> fmt::Result {
    let head = paint.severity(found.severity, &format!("{}[{}]", found.severity, found.code));
    writeln!(out, "{head}: {}", paint.bold(&visible(&found.message, false)))?;
    let labels: Vec<&Label> = found.primary.iter().chain(&found.secondary).collect();
    let mut files: Vec<SourceId> = Vec::new();
    for label in &labels {
        if !files.contains(&label.span.source) {
            files.push(label.span.source);
        }
    }
    let last_line = labels.iter().map(|label| sources.line_column(label.span).line).max().unwrap_or(1);
    let gutter = last_line.to_string().len() + 1;
    for file in files {
        let Some(source) = sources.source(file) else { continue };
        let mine: Vec<&Label> = labels.iter().copied().filter(|label| label.span.source == file).collect();
        snippet(out, sources, source, &mine, found, gutter, paint)?;
    }
    if !found.witness.is_empty() {
        indented(out, "  witness: ", &found.witness.join("\n"))?;
    }
    match (&found.help, &found.fix) {
        (Some(help), _) => indented(out, "  help: ", help)?,
        (None, Some(fix)) => indented(out, "  help: ", &fix.title)?,
        (None, None) => {}
    }
    for note in &found.notes {
        indented(out, "  note: ", note)?;
    }
    writeln!(out, "  docs: {}", paint.dim(&found.code.docs()))
}

fn snippet(
    out: &mut String,
    sources: &SourceMap,
    source: &Source,
    labels: &[&Label],
    found: &Diagnostic,
    gutter: usize,
    paint: &Paint,
) -> fmt::Result {
    let Some(first) = labels.first() else { return Ok(()) };
    let blank = " ".repeat(gutter);
    let at = paint.bold(&place(sources, first.span));
    writeln!(out, "{blank} {}{at}{}", paint.dim("╭─["), paint.dim("]"))?;
    let mut ordered = labels.to_vec();
    ordered.sort_by_key(|label| (label.span.start, label.span.end));
    let mut shown = 0;
    for label in ordered {
        let line = source.line_column(label.span.start).line;
        let is_primary = found.primary.as_ref() == Some(label);
        if shown == 0 && line > 1 && is_primary && !source.line(line - 1).trim().is_empty() {
            source_line(out, source, line - 1, Window::whole(), gutter, paint)?;
            shown = line - 1;
        }
        let window = Window::around(source, line, label);
        if line != shown {
            if shown != 0 && line > shown + 1 {
                writeln!(out, "{blank} {}", paint.dim("⋮"))?;
            }
            source_line(out, source, line, window, gutter, paint)?;
            shown = line;
        }
        underline(out, label, window, is_primary, found.severity, gutter, paint)?;
    }
    writeln!(out, "{blank} {}", paint.dim("╰────"))
}

/// The part of a line that is shown, and the columns of a label in it, as they appear.
#[derive(Clone, Copy)]
struct Window {
    skip: usize,
    column: usize,
    width: usize,
}

impl Window {
    const fn whole() -> Self {
        Self { skip: 0, column: 0, width: 0 }
    }

    fn around(source: &Source, line: u32, label: &Label) -> Self {
        let start = source.line_start(line) as usize;
        let text = source.line(line);
        let offset = |at: u32| (at as usize).saturating_sub(start).min(text.len());
        let chars_to = |at: usize| text.char_indices().take_while(|(index, _)| *index < at).count();
        let (from, until) = (chars_to(offset(label.span.start)), chars_to(offset(label.span.end)));
        let long = text.chars().count() > WINDOW_CHARS;
        let skip = if long { from.saturating_sub(WINDOW_BEFORE) } else { 0 };
        let shown = |from: usize, until: usize| {
            text.chars().skip(from).take(until.saturating_sub(from)).map(width_of).sum::<usize>()
        };
        let until = until.min(skip + WINDOW_CHARS);
        let ellipsis = usize::from(skip > 0);
        Self { skip, column: shown(skip, from) + ellipsis, width: shown(from, until).max(1) }
    }
}

fn source_line(
    out: &mut String,
    source: &Source,
    line: u32,
    window: Window,
    gutter: usize,
    paint: &Paint,
) -> fmt::Result {
    let text = source.line(line);
    let part: String = text.chars().skip(window.skip).take(WINDOW_CHARS).collect();
    let before = if window.skip > 0 { "…" } else { "" };
    let after = if text.chars().count() > window.skip + WINDOW_CHARS { "…" } else { "" };
    let mut shown = String::new();
    for c in part.chars() {
        shown.push_str(&appearance(c));
    }
    let number = paint.dim(&format!("{line:>gutter$} │"));
    writeln!(out, "{}", format!("{number} {before}{shown}{after}").trim_end())
}

fn underline(
    out: &mut String,
    label: &Label,
    window: Window,
    is_primary: bool,
    severity: Severity,
    gutter: usize,
    paint: &Paint,
) -> fmt::Result {
    let paint_label = |text: &str| if is_primary { paint.severity(severity, text) } else { paint.with("1;34", text) };
    let margin = format!("{} {} ", " ".repeat(gutter), paint.dim("·"));
    let indent = " ".repeat(window.column);
    let middle = (window.width - 1) / 2;
    let line = |count: usize| "─".repeat(count);
    let text = visible(&label.text, false);
    if text.is_empty() {
        return writeln!(out, "{margin}{indent}{}", paint_label(&line(window.width)));
    }
    let bar = format!("{}┬{}", line(middle), line(window.width - middle - 1));
    writeln!(out, "{margin}{indent}{}", paint_label(&bar))?;
    let indent = " ".repeat(window.column + middle);
    writeln!(out, "{margin}{indent}{}", paint_label(&format!("╰── {text}")))
}

/// A character of a source line as it is shown.
fn appearance(c: char) -> String {
    if c == '\t' { TAB.to_owned() } else { visible(c.encode_utf8(&mut [0; 4]), false) }
}

/// How many columns a character takes when it is shown.
fn width_of(c: char) -> usize {
    match u32::from(c) {
        0x20..=0x7E => 1,
        0x300..=0x36F => 0,
        0x1100..=0x115F
        | 0x2E80..=0xA4CF
        | 0xAC00..=0xD7A3
        | 0xF900..=0xFAFF
        | 0xFE30..=0xFE6F
        | 0xFF00..=0xFF60
        | 0xFFE0..=0xFFE6
        | 0x1_F300..=0x1_FAFF
        | 0x2_0000..=0x3_FFFD => 2,
        _ => appearance(c).chars().count(),
    }
}
