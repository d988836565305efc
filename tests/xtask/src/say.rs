//! What the person at the terminal reads. Colours only on a terminal.

use std::io::{IsTerminal as _, Write as _};

/// How a line looks.
#[derive(Clone, Copy, Debug)]
pub enum Tone {
    /// A heading.
    Bold,
    /// Went as it should.
    Good,
    /// Did not.
    Bad,
    /// Background: a command, a program's own words.
    Dim,
}

impl Tone {
    const fn code(self) -> &'static str {
        match self {
            Self::Bold => "1",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Dim => "2",
        }
    }
}

/// Puts text in a tone.
pub fn toned(tone: Tone, text: &str) -> String {
    if std::io::stdout().is_terminal() { format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code()) } else { text.to_owned() }
}

/// Writes text as it is. A reader that went away is no reason to stop cleaning up.
pub fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
}

/// Writes a line.
pub fn line(line: &str) {
    text(&format!("{line}\n"));
}

/// A step of something longer.
pub fn step(what: &str) {
    line(&toned(Tone::Bold, &format!("▸ {what}")));
}

/// Something that was done on the way.
pub fn note(what: &str) {
    line(&format!("  {what}"));
}

/// A command, or a program's own words, indented.
pub fn quoted(words: &str) {
    for one in words.trim_end().lines() {
        line(&toned(Tone::Dim, &format!("    {one}")));
    }
}

/// An error, on standard error.
pub fn error(what: &str) {
    drop(writeln!(std::io::stderr().lock(), "error: {what}"));
}

/// A table with aligned columns.
pub fn table(rows: &[Vec<String>]) {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        line(&format!("  {}", cells.join("  ").trim_end()));
    }
}
