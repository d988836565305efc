//! `leasehold hold` and `leasehold release`: a legal hold, which keeps retention from removing a recording.
//!
//! A hold is a file in the folder of recordings, and whoever may write there may set it: no gateway and no policy is
//! asked. It holds what is here and what is in the archive alike.

use crate::core::id::SessionId;
use crate::recording::inert::inert;
use crate::recording::{archive, find, hold_file};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The longest reason.
const REASON_BYTES_MAX: usize = 4_096;

/// Which recording, and where.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The session
    #[arg(value_name = "SESSION")]
    pub session: String,
    /// The folder of all recordings
    #[arg(long, value_name = "FOLDER", env = "LEASEHOLD_RECORDINGS")]
    pub recordings: PathBuf,
}

/// Holds a recording; the exit code.
///
/// # Errors
/// When `out` cannot be written.
pub fn hold(args: &Args, reason: &str, out: &mut dyn Write) -> io::Result<u8> {
    answer(set(args, reason), out)
}

/// Lets retention have a recording again; the exit code.
///
/// # Errors
/// When `out` cannot be written.
pub fn release(args: &Args, out: &mut dyn Write) -> io::Result<u8> {
    answer(lift(args), out)
}

fn answer(done: Result<String, String>, out: &mut dyn Write) -> io::Result<u8> {
    let (sentence, code) = match done {
        Ok(sentence) => (sentence, 0),
        Err(sentence) => (format!("error: {sentence}"), 3),
    };
    writeln!(out, "{}", inert(&sentence))?;
    Ok(code)
}

fn named(args: &Args) -> Result<SessionId, String> {
    let session = SessionId::parse(&args.session).ok_or_else(|| format!("`{}` is no session", args.session))?;
    let here = find(&args.recordings, &session).map_err(|error| cannot(&args.recordings, &error))?;
    if here.is_none() && !archive::archived(&args.recordings, &session) {
        return Err(format!("there is no recording of `{session}` in `{}`", args.recordings.display()));
    }
    Ok(session)
}

fn cannot(path: &Path, error: &io::Error) -> String {
    format!("`{}`: {error}", path.display())
}

fn set(args: &Args, reason: &str) -> Result<String, String> {
    let session = named(args)?;
    if reason.len() > REASON_BYTES_MAX || reason.chars().any(char::is_control) {
        return Err("a reason is one line of at most 4096 bytes".to_owned());
    }
    let file = hold_file(&args.recordings, &session);
    let folder = file.parent().unwrap_or(&args.recordings).to_owned();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|error| cannot(&folder, &error))?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
        Ok(mut written) => written
            .write_all(format!("{reason}\n").as_bytes())
            .and_then(|()| written.sync_all())
            .and_then(|()| File::open(&folder)?.sync_all())
            .map_err(|error| cannot(&file, &error))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok(format!("{session} is held already"));
        }
        Err(error) => return Err(cannot(&file, &error)),
    }
    Ok(format!("{session} is held: no retention removes its recording"))
}

fn lift(args: &Args) -> Result<String, String> {
    let session = named(args)?;
    let file = hold_file(&args.recordings, &session);
    match std::fs::remove_file(&file) {
        Ok(()) => Ok(format!("{session} is released: retention removes its recording when its time has come")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(format!("{session} is not held")),
        Err(error) => Err(cannot(&file, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::tests::{TempFolder, at, client_left, opened, recorder};
    use lang::program::rules::Recorded;

    #[test]
    fn what_is_held_stays_until_it_is_released() {
        let temp = TempFolder::new();
        let recorder = recorder(&temp.0, u64::MAX);
        let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
        session.close(at(1), &client_left()).unwrap();
        let args = Args { session: opened(1).session.to_string(), recordings: temp.0.clone() };
        let mut said = Vec::new();
        assert_eq!(hold(&args, "case 17", &mut said).unwrap(), 0);
        assert_eq!(hold(&args, "again", &mut said).unwrap(), 0);
        assert_eq!(recorder.retain(at(10_000), 1).unwrap().held, 1);
        assert_eq!(release(&args, &mut said).unwrap(), 0);
        assert_eq!(release(&args, &mut said).unwrap(), 3);
        assert_eq!(recorder.retain(at(10_000), 1).unwrap().removed, 1);
        let other = Args { session: opened(2).session.to_string(), ..args.clone() };
        assert_eq!(hold(&other, "x", &mut said).unwrap(), 3);
        let none = Args { session: "../x".into(), ..args };
        assert_eq!(hold(&none, "x", &mut said).unwrap(), 3);
        let said = String::from_utf8(said).unwrap();
        assert!(said.contains("is held already") && said.contains("no recording"), "{said}");
    }
}
