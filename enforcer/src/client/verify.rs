//! `leasehold verify`: whether a recording is what a gateway wrote.
//!
//! Needs the recording's files and the public key, and nothing else: no gateway, no network, no configuration.

use super::archive;
use crate::core::id::SessionId;
use crate::recording::export::EndLine;
use crate::recording::inert::{inert, write_json};
use crate::recording::log::check::{Bring, Earlier, Report, check_everywhere};
use crate::recording::log::note::Witness;
use crate::recording::read::{ReadError, Reader};
use crate::recording::{self, KeyError, PublicKey};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The forms of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A sentence.
    Text,
    /// One JSON object.
    Json,
}

/// `leasehold verify SESSION|PATH --public-key FILE`
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// A session (with --recordings) or the folder of its recording; without it, the log and every recording
    #[arg(value_name = "SESSION|PATH", required_unless_present = "recordings")]
    pub recording: Option<String>,
    /// The gateway's public key: the PEM file beside its signing key, or a file of 64 hexadecimal digits
    #[arg(long, value_name = "FILE")]
    pub public_key: PathBuf,
    /// The folder of all recordings
    #[arg(long, value_name = "FOLDER", env = "LEASEHOLD_RECORDINGS")]
    pub recordings: Option<PathBuf>,
    /// A checkpoint of the log that was kept elsewhere: what it covers must still be there
    #[arg(long, value_name = "FILE", conflicts_with = "recording")]
    pub against: Option<PathBuf>,
    /// The verifier key (`name+hash+key`) of the witness that countersigned the kept checkpoint
    #[arg(long, value_name = "KEY", requires = "against")]
    pub witness: Option<String>,
    /// Where else recordings and heads of the log are
    #[command(flatten)]
    pub archive: archive::Args,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "text")]
    pub format: Format,
}

/// What a verification found. The number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// Complete and intact.
    Complete = 0,
    /// Changed, incomplete in the middle, or signed by another key.
    Tampered = 1,
    /// Intact as far as it goes, and not closed.
    Unclosed = 2,
    /// It could not be looked at: no such recording, no such key, no permission.
    Unreadable = 3,
}

impl Outcome {
    /// The exit code.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Why a recording cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum LocateError {
    /// There is none of that session.
    #[error("there is no recording of `{session}` in `{}`", folder.display())]
    Unknown {
        /// The session.
        session: SessionId,
        /// Where was looked.
        folder: PathBuf,
    },
    /// A session without the folder of all recordings.
    #[error("say where the recordings are: --recordings FOLDER")]
    NoFolder,
    /// The file system refused.
    #[error("cannot read `{}`: {source}", folder.display())]
    Io {
        /// Where.
        folder: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// The folder that a session or a path names, and the session that must stand in it.
pub fn locate(text: &str, recordings: Option<&Path>) -> Result<(PathBuf, Option<SessionId>), LocateError> {
    if let Some(session) = SessionId::parse(text) {
        let folder = recordings.ok_or(LocateError::NoFolder)?;
        let found = recording::find(folder, &session)
            .map_err(|source| LocateError::Io { folder: folder.to_owned(), source })?;
        let folder = found.ok_or_else(|| LocateError::Unknown { session: session.clone(), folder: folder.to_owned() });
        return Ok((folder?, Some(session)));
    }
    let folder = PathBuf::from(text);
    // A folder that was given another session's name would pass for its recording.
    let session = folder.file_name().and_then(|name| name.to_str()).and_then(SessionId::parse);
    Ok((folder, session))
}

/// Runs the command. The exit code is [`Outcome::code`].
pub fn run(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let Some(recording) = &args.recording else {
        return run_all(args, out);
    };
    let (outcome, end, session) = match prepare(recording, args) {
        Ok((folder, session, key)) => check(&folder, session.as_ref(), key),
        Err(sentence) => (Outcome::Unreadable, unreadable(sentence), None),
    };
    match args.format {
        Format::Text => {
            let session = session.map_or(String::new(), |session| format!("{session}: "));
            writeln!(out, "{session}{}", inert(&end.sentence))?;
        }
        Format::Json => {
            #[derive(serde::Serialize)]
            struct Line<'a> {
                session: Option<&'a SessionId>,
                exit_code: u8,
                #[serde(flatten)]
                end: &'a EndLine,
            }
            write_json(out, &Line { session: session.as_ref(), exit_code: outcome.code(), end: &end })?;
            writeln!(out)?;
        }
    }
    Ok(outcome)
}

type Located = (PathBuf, Option<SessionId>, PublicKey);

fn prepare(recording: &str, args: &Args) -> Result<Located, String> {
    let (folder, session) = locate(recording, args.recordings.as_deref()).map_err(|error| error.to_string())?;
    Ok((folder, session, public_key(args)?))
}

fn public_key(args: &Args) -> Result<PublicKey, String> {
    PublicKey::load(&args.public_key).map_err(|error| match &error {
        KeyError::Io { source, .. } => format!("{error}: {source}"),
        KeyError::Exposed { .. } | KeyError::Malformed { .. } | KeyError::Random => error.to_string(),
    })
}

/// Checks the log and every recording of a folder.
fn run_all(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let report = match check_folder(args) {
        Ok(report) => report,
        Err(sentence) => {
            match args.format {
                Format::Text => writeln!(out, "{}", inert(&sentence))?,
                Format::Json => {
                    write_json(out, &serde_json::json!({"outcome": "unreadable", "sentence": sentence}))?;
                    writeln!(out)?;
                }
            }
            return Ok(Outcome::Unreadable);
        }
    };
    let outcome = if report.findings.is_empty() { Outcome::Complete } else { Outcome::Tampered };
    match args.format {
        Format::Json => {
            write_json(out, &report)?;
            writeln!(out)?;
        }
        Format::Text => {
            for finding in &report.findings {
                let session = finding.session.as_ref().map_or_else(|| "log".to_owned(), ToString::to_string);
                let entry = finding.entry.map_or(String::new(), |entry| format!(" (line {entry} of the log)"));
                writeln!(out, "{session}: {}{entry}", inert(&finding.sentence))?;
            }
            let state = if outcome == Outcome::Complete { "intact" } else { "TAMPERED WITH" };
            writeln!(
                out,
                "{state}: {} recordings complete, {} not closed, {} in the archive alone, {} removed by retention, {} held; {} lines of the log, {} of them signed",
                report.complete,
                report.unclosed,
                report.archived,
                report.removed,
                report.held,
                report.entries,
                report.signed_entries
            )?;
        }
    }
    Ok(outcome)
}

fn check_folder(args: &Args) -> Result<Report, String> {
    let folder = args.recordings.as_deref().ok_or_else(|| LocateError::NoFolder.to_string())?;
    let key = public_key(args)?;
    let read = |file: &PathBuf| fs::read_to_string(file).map_err(|error| format!("`{}`: {error}", file.display()));
    let remote = args.archive.open()?;
    let note = match (args.against.as_ref(), &remote) {
        (Some(file), _) => Some(read(file)?),
        // A head that is kept in the archive is one that was kept elsewhere.
        (None, Some(remote)) => remote.checkpoint(key)?,
        (None, None) => None,
    };
    let witness = args.witness.as_deref().map(Witness::parse).transpose().map_err(|error| error.to_string())?;
    let mut bring = remote.as_ref().map(|remote| |session: &SessionId| remote.bring(session));
    let bring = bring.as_mut().map(|bring| bring as Bring<'_>);
    check_everywhere(folder, key, &Earlier { note, witness }, bring).map_err(|error| match &error {
        ReadError::Io { source, .. } => format!("{error}: {source}"),
        ReadError::Missing(_)
        | ReadError::OtherKey { .. }
        | ReadError::Unfinished
        | ReadError::Closed(_)
        | ReadError::Tampered { .. } => error.to_string(),
    })
}

fn check(folder: &Path, expected: Option<&SessionId>, key: PublicKey) -> (Outcome, EndLine, Option<SessionId>) {
    let mut reader = match Reader::open(folder, Some(key)) {
        Ok(reader) => reader,
        Err(error) => {
            let (outcome, end) = failure(&error, 0);
            return (outcome, end, expected.cloned());
        }
    };
    let session = reader.session().cloned();
    if let (Some(expected), Some(found)) = (expected, &session)
        && expected != found
    {
        let end = EndLine {
            outcome: "tampered",
            sentence: format!("the recording of {found} stands in the place of {expected}"),
            ..unreadable(String::new())
        };
        return (Outcome::Tampered, end, Some(expected.clone()));
    }
    let (outcome, end) = read(&mut reader);
    (outcome, end, session)
}

/// Reads a recording to its end.
fn read(reader: &mut Reader) -> (Outcome, EndLine) {
    loop {
        match reader.next_entry() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => return failure(&error, reader.head().records),
        }
    }
    match recording::export::end_line(reader) {
        Ok(end) if end.outcome == "complete" => (Outcome::Complete, end),
        Ok(end) => (Outcome::Unclosed, end),
        Err(error) => failure(&error, reader.head().records),
    }
}

/// What a failed reading means.
pub(super) fn failure(error: &ReadError, records: u64) -> (Outcome, EndLine) {
    match error {
        ReadError::Tampered { .. } | ReadError::OtherKey { .. } => {
            (Outcome::Tampered, EndLine::tampered(error, records))
        }
        ReadError::Missing(_) | ReadError::Unfinished | ReadError::Closed(_) => {
            (Outcome::Unreadable, unreadable(error.to_string()))
        }
        ReadError::Io { source, .. } => (Outcome::Unreadable, unreadable(format!("{error}: {source}"))),
    }
}

fn unreadable(sentence: String) -> EndLine {
    EndLine {
        outcome: "unreadable",
        records: 0,
        signed_records: 0,
        closed_at: None,
        torn_bytes: None,
        live: false,
        sentence,
    }
}
