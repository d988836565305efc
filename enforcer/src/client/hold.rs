//! `leasehold hold` and `leasehold release`: a legal hold, which keeps retention from removing a recording.
//!
//! The gateway is asked, the policy says who may (`operate … hold`), and the signed log says who did. With a folder of
//! recordings no gateway is asked: a file there holds as well, and whoever may write there may set it. Either holds what
//! is here and what is in the archive alike, and neither releases what the other holds.

use super::commands::Common;
use super::connect::{Api, Failure};
use super::tell::{Done, tell};
use crate::access::Did;
use crate::api::hold::Kept;
use crate::core::id::SessionId;
use crate::recording::hold::{REASON_BYTES_MAX, is_reason, logged};
use crate::recording::{archive, find, hold_file};
use serde_json::json;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub use crate::access::Wish;

/// Which recording, and where.
#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// The session
    #[arg(value_name = "SESSION")]
    pub session: String,
    /// Why, in one line
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
    /// Set or remove a file in this folder of recordings, and ask no gateway
    #[arg(long, value_name = "FOLDER", env = "LEASEHOLD_RECORDINGS")]
    pub recordings: Option<PathBuf>,
    /// How the gateway is reached.
    #[command(flatten)]
    pub common: Common,
}

/// Holds or releases a recording; the exit code.
///
/// # Errors
/// When `out` or `notes` cannot be written.
pub async fn run(args: &Args, wish: Wish, out: &mut dyn Write, notes: &mut dyn Write) -> io::Result<u8> {
    let done = match &args.recordings {
        Some(recordings) => here(args, recordings, wish).map_err(Failure::Usage),
        None => asked(args, wish).await,
    };
    tell(done, args.common.format, out, notes)
}

fn noted(did: Did, session: &SessionId, sentence: &str) -> Done {
    let answer = json!({ "did": did, "session": session, "file": did != Did::HoldLifted });
    Done::well(format!("{session} {sentence}"), answer)
}

async fn asked(args: &Args, wish: Wish) -> Result<Done, Failure> {
    let session = parsed(args).map_err(Failure::Usage)?;
    let api = Api::ready(&args.common.connect).await?;
    let verb = match wish {
        Wish::Hold => "hold",
        Wish::Release => "release",
    };
    let body = json!({ "reason": args.reason });
    let kept: Kept = api.post(&["v1", "sessions", session.as_str(), verb], &body).await?;
    let sentence = match (&kept.hold, kept.did) {
        (Some(hold), Did::HoldSet) => format!("{session} is held since {}", hold.at),
        (Some(hold), _) => format!("{session} is held already, by {} since {}: {}", hold.by, hold.at, hold.reason),
        (None, Did::HoldLifted) => format!("{session} is released"),
        (None, _) => format!("{session} is not held"),
    };
    let answer = serde_json::to_value(&kept).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok(Done::well(sentence, answer))
}

fn parsed(args: &Args) -> Result<SessionId, String> {
    if !is_reason(&args.reason) {
        return Err(format!("a reason is one line of at most {REASON_BYTES_MAX} bytes"));
    }
    SessionId::parse(&args.session).ok_or_else(|| format!("`{}` is no session", args.session))
}

fn here(args: &Args, recordings: &Path, wish: Wish) -> Result<Done, String> {
    let session = parsed(args)?;
    let here = find(recordings, &session).map_err(|error| cannot(recordings, &error))?;
    if here.is_none() && !archive::archived(recordings, &session) {
        return Err(format!("there is no recording of `{session}` in `{}`", recordings.display()));
    }
    match wish {
        Wish::Hold => set(&session, recordings, &args.reason),
        Wish::Release => lift(&session, recordings),
    }
}

fn cannot(path: &Path, error: &io::Error) -> String {
    format!("`{}`: {error}", path.display())
}

fn set(session: &SessionId, recordings: &Path, reason: &str) -> Result<Done, String> {
    let file = hold_file(recordings, session);
    let folder = file.parent().unwrap_or(recordings).to_owned();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.map_err(|error| cannot(&folder, &error))?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file) {
        Ok(mut written) => written
            .write_all(format!("{reason}\n").as_bytes())
            .and_then(|()| written.sync_all())
            .and_then(|()| File::open(&folder)?.sync_all())
            .map_err(|error| cannot(&file, &error))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Ok(noted(Did::Nothing, session, "is held already"));
        }
        Err(error) => return Err(cannot(&file, &error)),
    }
    Ok(noted(Did::HoldSet, session, "is held: no retention removes its recording"))
}

fn lift(session: &SessionId, recordings: &Path) -> Result<Done, String> {
    let file = hold_file(recordings, session);
    let asked = logged(recordings, session).map_err(|error| cannot(recordings, &error))?.asked;
    let elsewhere = asked.map(|held| {
        format!(
            "{session} is held by {} since {}; the gateway alone releases it: leave --recordings out",
            held.by, held.at
        )
    });
    match (std::fs::remove_file(&file), elsewhere) {
        (Ok(()), None) => {
            Ok(noted(Did::HoldLifted, session, "is released: retention removes its recording when its time has come"))
        }
        (Ok(()), Some(sentence)) => Err(format!("the file is gone, and {sentence}")),
        (Err(error), elsewhere) if error.kind() == io::ErrorKind::NotFound => {
            Err(elsewhere.unwrap_or_else(|| format!("{session} is not held")))
        }
        (Err(error), _) => Err(cannot(&file, &error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::tests::{TempFolder, at, client_left, opened, recorder};
    use lang::program::rules::Recorded;

    fn ran(args: &Args, wish: Wish) -> (u8, String) {
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        let code = futures_util::FutureExt::now_or_never(run(args, wish, &mut out, &mut notes)).unwrap().unwrap();
        out.append(&mut notes);
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn what_is_held_stays_until_it_is_released() {
        let temp = TempFolder::new();
        let recorder = recorder(&temp.0, u64::MAX);
        let mut session = recorder.open(at(0), opened(1), Recorded::Full).unwrap();
        session.close(at(1), &client_left()).unwrap();
        let args = Args {
            session: opened(1).session.to_string(),
            reason: "case 17".to_owned(),
            recordings: Some(temp.0.clone()),
            common: Common::default(),
        };
        assert_eq!(ran(&args, Wish::Hold).0, 0);
        let (code, said) = ran(&args, Wish::Hold);
        assert!(code == 0 && said.contains("is held already"), "{said}");
        assert_eq!(recorder.retain(at(10_000), 1).unwrap().held, 1);
        let json = Args {
            common: Common { format: crate::client::commands::Format::Json, ..Common::default() },
            ..args.clone()
        };
        let (code, said) = ran(&json, Wish::Release);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!((code, &said["did"], &said["file"]), (0, &json!("hold_lifted"), &json!(false)));
        let (code, said) = ran(&json, Wish::Release);
        assert!(code == 3 && serde_json::from_str::<serde_json::Value>(&said).unwrap()["error"].is_string(), "{said}");

        recorder.hold(&opened(1).session, "corp:t1:sam", "case 18", at(9_000)).unwrap();
        let (code, said) = ran(&args, Wish::Release);
        assert!(code == 3 && said.contains("corp:t1:sam"), "{said}");
        assert_eq!(recorder.retain(at(10_000), 1).unwrap().held, 1);
        recorder.release(&opened(1).session, "corp:t1:sam", "", at(9_500)).unwrap();
        assert_eq!(recorder.retain(at(10_000), 1).unwrap().removed, 1);

        let (code, said) = ran(&Args { session: opened(2).session.to_string(), ..args.clone() }, Wish::Hold);
        assert!(code == 3 && said.contains("no recording"), "{said}");
        assert_eq!(ran(&Args { session: "../x".into(), ..args }, Wish::Hold).0, 3);
    }
}
