//! A recording as JSON Lines, for other programs: one line for each step, and one for how the recording ends.
//!
//! Strings hold no acting character in the bytes of the export (`inert::InertJson`), and mean exactly what was recorded.

use super::inert::write_json;
use super::read::{End, ReadError, Reader};
use super::transcript::{Step, Transcript, instant};
use serde::Serialize;
use std::io::{self, Write};

/// How a recording stands, for a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename = "end")]
pub struct EndLine {
    /// `complete`, `unclosed` or `tampered`.
    pub outcome: &'static str,
    /// Whole records.
    pub records: u64,
    /// Records that a signature covers.
    pub signed_records: u64,
    /// When it was closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<String>,
    /// Bytes of a record that was being written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torn_bytes: Option<usize>,
    /// Whether a gateway still writes.
    pub live: bool,
    /// One sentence.
    pub sentence: String,
}

impl EndLine {
    /// For a recording that was read to its end.
    pub fn of(end: End) -> Self {
        match end {
            End::Complete { records, at } => Self {
                outcome: "complete",
                records,
                signed_records: records,
                closed_at: Some(instant(at)),
                torn_bytes: None,
                live: false,
                sentence: format!("the recording is complete and intact: {records} records, closed {}", instant(at)),
            },
            End::Unclosed { records, signed_records, torn_bytes, live } => Self {
                outcome: "unclosed",
                records,
                signed_records,
                closed_at: None,
                torn_bytes: Some(torn_bytes),
                live,
                sentence: unclosed_sentence(records, signed_records, torn_bytes, live),
            },
        }
    }

    /// For a recording that fails at some place.
    pub fn tampered(error: &ReadError, records: u64) -> Self {
        Self {
            outcome: "tampered",
            records,
            signed_records: 0,
            closed_at: None,
            torn_bytes: None,
            live: false,
            sentence: error.to_string(),
        }
    }
}

fn unclosed_sentence(records: u64, signed_records: u64, torn_bytes: usize, live: bool) -> String {
    let state = if live { "is still being written" } else { "ends without a close" };
    let torn = if torn_bytes == 0 { String::new() } else { format!(" and {torn_bytes} bytes of an unfinished one") };
    let signed = if signed_records == records {
        "all of them signed".to_owned()
    } else if signed_records == 0 {
        "none of them signed".to_owned()
    } else {
        format!("the first {signed_records} of them signed")
    };
    format!("the recording is intact and {state}: {records} records{torn}, {signed}")
}

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The recording.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The place that it is written to.
    #[error("cannot write the export")]
    Write(#[from] io::Error),
}

/// Writes all steps, one JSON object a line. A tampered recording is written up to that place, and then fails.
pub fn write_jsonl(reader: &mut Reader, out: &mut dyn Write) -> Result<EndLine, ExportError> {
    let mut transcript = Transcript::default();
    let mut steps: Vec<Step> = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        transcript.push(entry, &mut steps);
        for step in steps.drain(..) {
            write_json(out, &step)?;
            out.write_all(b"\n")?;
        }
    }
    let end = end_line(reader)?;
    write_json(out, &end)?;
    out.write_all(b"\n")?;
    Ok(end)
}

/// How a reader that has ended without an error stands.
pub fn end_line(reader: &Reader) -> Result<EndLine, ReadError> {
    let end = reader.end().ok_or(ReadError::Unfinished)?;
    Ok(EndLine::of(end))
}
