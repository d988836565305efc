//! `leasehold replay`: a recording on a terminal or as JSON, at its own speed, faster, step by step, or at once.
//!
//! Works on the recording's files alone. Recorded data is never written as it is: see `recording::inert`.

use super::archive;
use super::steps::{From, Source};
use super::verify::{self, LocateError, Outcome, locate};
use crate::recording::age::{AgeError, Identity};
use crate::recording::export::{EndLine, end_line};
use crate::recording::export_html::Page;
use crate::recording::inert::{inert, write_json};
use crate::recording::read::{ReadError, Reader};
use crate::recording::render::Renderer;
use crate::recording::transcript::{Item, Step};
use crate::recording::transit::Opener;
use crate::recording::{KeyError, PublicKey};
use crate::recording::{export_cast, export_csv};
use lang::time::Timestamp;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use zeroize::Zeroizing;

/// The forms of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// One JSON object a line.
    Jsonl,
    /// One line of CSV a step.
    Csv,
    /// An asciicast v2 file for terminal players.
    Cast,
    /// One page of HTML.
    Html,
}

/// Which steps are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    /// Statements, their decisions and how they ended; no rows.
    Statements,
    /// Denied statements with their denials.
    Denials,
}

/// `leasehold replay SESSION|PATH`
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A session (with --recordings) or the folder of its recording
    #[arg(value_name = "SESSION|PATH")]
    pub recording: String,
    /// The folder of all recordings
    #[arg(long, value_name = "FOLDER", env = "LEASEHOLD_RECORDINGS")]
    pub recordings: Option<PathBuf>,
    /// Where else recordings are
    #[command(flatten)]
    pub archive: archive::Args,
    /// Check the signatures against this public key on the way
    #[arg(long, value_name = "FILE")]
    pub public_key: Option<PathBuf>,
    /// Decrypt with the age identities of this file
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// Decrypt with the key service at this address
    #[arg(long, value_name = "URL", requires = "key_token")]
    pub key_service: Option<String>,
    /// The file of a token that the key service lets decrypt
    #[arg(long, value_name = "FILE", requires = "key_service")]
    pub key_token: Option<PathBuf>,
    /// Wait as long as the session did, divided by N; without it nothing waits
    #[arg(long, value_name = "N", conflicts_with = "step", value_parser = speed)]
    pub speed: Option<f64>,
    /// Wait at most this many seconds at once
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub idle_max: u64,
    /// Go on at Enter, command by command; `q` ends
    #[arg(long)]
    pub step: bool,
    /// Begin there: a time (RFC 3339) or a length since the opening, for example 90s
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Show only these steps
    #[arg(long, value_enum)]
    pub only: Option<Only>,
    /// Go on with a live session until it ends
    #[arg(long, conflicts_with = "step")]
    pub follow: bool,
    /// The widest cell of a table
    #[arg(long, value_name = "COLUMNS", default_value_t = 40)]
    pub width: usize,
    /// The form
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed > 0.0 => Ok(speed),
        Ok(_) | Err(_) => Err("a number above zero, for example 1 or 10".to_owned()),
    }
}

/// Waits between steps; a test has its own.
pub trait Pace {
    /// Waits.
    fn wait(&mut self, time: Duration);
    /// Waits for the person; false ends the replay.
    fn go_on(&mut self) -> io::Result<bool>;
}

/// A terminal's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terminal;

impl Pace for Terminal {
    fn wait(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn go_on(&mut self) -> io::Result<bool> {
        let mut line = String::new();
        let read = io::stdin().lock().read_line(&mut line)?;
        Ok(read > 0 && line.trim() != "q")
    }
}

/// Why a replay stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is nothing to replay.
    #[error(transparent)]
    Locate(#[from] LocateError),
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The recording.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// `--from` says no time.
    #[error("`{0}` is no time: write 90s, 5m or an instant as 2026-05-04T10:00:00Z")]
    From(String),
    /// The terminal or file that it is written to.
    #[error("cannot write the replay")]
    Write(#[from] io::Error),
}

/// Runs the command; the exit code is [`Outcome::code`], as for `verify`. `None` when the person stopped it.
///
/// A recording that was tampered with is shown up to that place, and the answer says so.
pub fn run(args: &Args, out: &mut dyn Write, pace: &mut dyn Pace) -> Result<Option<Outcome>, ReplayError> {
    let (folder, session) = locate(&args.recording, args.recordings.as_deref())?;
    let key = args.public_key.as_deref().map(PublicKey::load).transpose()?;
    let mut reader = Reader::open(&folder, key)?;
    if let Some(file) = &args.identity {
        reader = reader.with_identities(identities(file)?);
    }
    if let (Some(address), Some(token)) = (&args.key_service, &args.key_token) {
        let opener = Opener::new(address, token).map_err(|error| AgeError::Service(error.to_string()));
        reader = reader.with_key_service(opener.map_err(ReadError::Closed)?);
    }
    let from = args.from.as_deref().map(From::parse).transpose()?;
    let mut viewer = Viewer { args, pace, last: None, first: true, stopped: false, source: Source::new(args, from) };
    let read = match args.format {
        Format::Text => viewer.text(&mut reader, out),
        Format::Json | Format::Jsonl => viewer.json(&mut reader, out),
        Format::Csv => viewer.csv(&mut reader, out),
        Format::Html => viewer.html(&mut reader, out),
        Format::Cast => viewer.cast(&mut reader, out),
    };
    let stopped = viewer.stopped;
    let (mut outcome, mut end) = match read {
        Ok(()) if stopped => {
            if args.format == Format::Json {
                writeln!(out, "\n]}}")?;
            }
            return Ok(None);
        }
        Ok(()) => {
            let end = end_line(&reader)?;
            (if end.outcome == "complete" { Outcome::Complete } else { Outcome::Unclosed }, end)
        }
        Err(ReplayError::Read(error)) => verify::failure(&error, reader.head().records),
        Err(other) => return Err(other),
    };
    if let (Some(expected), Some(found)) = (&session, reader.session())
        && expected != found
    {
        outcome = Outcome::Tampered;
        end = EndLine {
            outcome: "tampered",
            sentence: format!("the recording of {found} stands in the place of {expected}"),
            ..end
        };
    }
    if reader.hidden() > 0 {
        end.sentence = format!(
            "{}; {} events are encrypted (--identity or --key-service shows them)",
            end.sentence,
            reader.hidden()
        );
    }
    write_end(args, out, &end)?;
    Ok(Some(outcome))
}

/// The identities of a key file.
fn identities(file: &Path) -> Result<Vec<Identity>, ReplayError> {
    let text = Zeroizing::new(fs::read_to_string(file)?);
    Identity::parse_all(&text).map_err(|error| ReplayError::Read(ReadError::Closed(error)))
}

fn write_end(args: &Args, out: &mut dyn Write, end: &EndLine) -> io::Result<()> {
    match args.format {
        Format::Text => {
            let origin = if args.public_key.is_some() { "" } else { " (no public key given: origin not checked)" };
            writeln!(out, "\n{}{origin}", inert(&end.sentence))?;
        }
        Format::Jsonl => {
            write_json(out, end)?;
            writeln!(out)?;
        }
        Format::Csv => export_csv::end(out, end.outcome, &end.sentence)?,
        Format::Html => Page::default().end(out, end.outcome, &end.sentence)?,
        // A player shows the text alone: the end stands on the last screen already.
        Format::Cast => {}
        Format::Json => {
            write!(out, "\n],\"end\":")?;
            write_json(out, end)?;
            writeln!(out, "}}")?;
        }
    }
    out.flush()
}

struct Viewer<'a> {
    args: &'a Args,
    pace: &'a mut dyn Pace,
    last: Option<Timestamp>,
    first: bool,
    stopped: bool,
    source: Source,
}

impl Viewer<'_> {
    fn text(&mut self, reader: &mut Reader, out: &mut dyn Write) -> Result<(), ReplayError> {
        let mut renderer = Renderer::new(out, self.args.width);
        let outcome = self.steps(reader, &mut |viewer, step| {
            if viewer.pauses_before(step) {
                renderer.flush()?;
                if !viewer.pause(step)? {
                    return Ok(false);
                }
            }
            renderer.step(step)?;
            Ok(true)
        });
        // What was shown so far stays shown, also before an error.
        renderer.flush()?;
        outcome
    }

    fn json(&mut self, reader: &mut Reader, out: &mut dyn Write) -> Result<(), ReplayError> {
        let document = self.args.format == Format::Json;
        if document {
            out.write_all(b"{\"steps\":[")?;
        }
        self.steps(reader, &mut |viewer, step| {
            if viewer.pauses_before(step) {
                out.flush()?;
                if !viewer.pause(step)? {
                    return Ok(false);
                }
            }
            if document {
                out.write_all(if viewer.first { b"\n" } else { b",\n" })?;
            }
            viewer.first = false;
            write_json(out, step)?;
            if !document {
                out.write_all(b"\n")?;
            }
            Ok(true)
        })
    }

    fn csv(&mut self, reader: &mut Reader, out: &mut dyn Write) -> Result<(), ReplayError> {
        export_csv::begin(out)?;
        self.steps(reader, &mut |_, step| export_csv::step(out, step).map(|()| true))
    }

    fn html(&mut self, reader: &mut Reader, out: &mut dyn Write) -> Result<(), ReplayError> {
        let mut page = Page::begin(out)?;
        self.steps(reader, &mut |_, step| page.step(out, step).map(|()| true))
    }

    fn cast(&mut self, reader: &mut Reader, out: &mut dyn Write) -> Result<(), ReplayError> {
        let source = &mut self.source;
        export_cast::write(out, self.args.width, &mut || source.next(reader, &mut *self.pace))
    }

    fn steps(
        &mut self,
        reader: &mut Reader,
        show: &mut dyn FnMut(&mut Self, &Step) -> io::Result<bool>,
    ) -> Result<(), ReplayError> {
        while let Some(step) = self.source.next(reader, &mut *self.pace)? {
            if !show(self, &step)? {
                self.stopped = true;
                return Ok(());
            }
            self.last = Some(step.at);
        }
        Ok(())
    }

    fn pauses_before(&self, step: &Step) -> bool {
        if self.args.step {
            return match &step.item {
                Item::Query { .. } | Item::Parse { .. } | Item::Execute { .. } | Item::Closed { .. } => true,
                Item::Opened(_)
                | Item::Bind { .. }
                | Item::Close { .. }
                | Item::Decision(_)
                | Item::Columns { .. }
                | Item::Row { .. }
                | Item::Done { .. }
                | Item::Report { .. }
                | Item::Copy { .. }
                | Item::RowsOmitted { .. }
                | Item::Reauthorised { .. }
                | Item::Note { .. } => false,
            };
        }
        self.args.speed.is_some() && self.last.is_some_and(|last| step.at > last)
    }

    fn pause(&mut self, step: &Step) -> io::Result<bool> {
        if self.args.step {
            return self.pace.go_on();
        }
        if let (Some(speed), Some(last)) = (self.args.speed, self.last) {
            let most = Duration::from_secs(self.args.idle_max);
            let time = Duration::from_millis(step.at.ms_since(last)).min(Duration::from_hours(24));
            self.pace.wait(time.div_f64(speed.max(0.001)).min(most));
        }
        Ok(true)
    }
}
