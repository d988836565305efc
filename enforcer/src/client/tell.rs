//! What a command did, told to people or to programs. It must never write a secret: a caller gives it none.

use super::commands::Format;
use super::connect::Failure;
use crate::recording::inert::inert;
use serde_json::{Value, json};
use std::io::{self, Write};

/// What was done.
pub(super) struct Done {
    /// For people; may have several lines.
    pub(super) sentence: String,
    /// For programs.
    pub(super) answer: Value,
    /// The exit code.
    pub(super) code: u8,
}

impl Done {
    /// It is done.
    pub(super) const fn well(sentence: String, answer: Value) -> Self {
        Self { sentence, answer, code: 0 }
    }
}

/// Writes down what was done, or why not; the exit code.
pub(super) fn tell(
    done: Result<Done, Failure>,
    format: Format,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> io::Result<u8> {
    let (answer, code) = match (done, format) {
        (Ok(done), Format::Human) => {
            for line in done.sentence.lines() {
                writeln!(out, "{}", inert(line))?;
            }
            return Ok(done.code);
        }
        (Err(failure), Format::Human) => {
            writeln!(notes, "error: {}", inert(&failure.to_string()))?;
            return Ok(failure.code());
        }
        (Ok(done), Format::Json) => (done.answer, done.code),
        (Err(failure), Format::Json) => {
            let answer = match &failure {
                Failure::Refused(problem) => serde_json::to_value(problem).map_err(io::Error::other)?,
                Failure::Usage(_) | Failure::Unavailable(_) => json!({ "error": failure.to_string() }),
            };
            (answer, failure.code())
        }
    };
    writeln!(out, "{answer:#}")?;
    Ok(code)
}
