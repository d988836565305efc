//! `leasehold sessions --recordings FOLDER …`: sessions by what they did, from the recordings and their index alone, and
//! `--archive URL` from an archive alone or beside the folder; without either the gateway is asked the same.

use super::commands::Format;
use super::{archive, show};
use crate::gateway::clock;
use crate::recording::index::{self, Elsewhere, Found, Search, search_elsewhere, search_in};
use crate::recording::inert::{inert, write_json};
use crate::recording::transcript::instant;
use lang::time::Timestamp;
use std::io::{self, Write};
use std::path::PathBuf;

/// What is looked for in recordings.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Args {
    /// Look into the recordings of this folder, not at the gateway
    #[arg(long, value_name = "FOLDER", env = "LEASEHOLD_RECORDINGS")]
    pub recordings: Option<PathBuf>,
    /// Look into the recordings of an archive
    #[command(flatten)]
    pub archive: archive::Args,
    /// Keep what was read of the archive in this file, so that the next search reads less
    #[arg(long, value_name = "FILE", requires = "archive")]
    pub index: Option<PathBuf>,
    /// Only sessions with a statement on this object, for example public.orders
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// Only sessions with a statement of this fingerprint
    #[arg(long, value_name = "DIGITS")]
    pub fingerprint: Option<String>,
    /// Only sessions with a statement that holds this text; constants are not searched
    #[arg(long, value_name = "TEXT")]
    pub text: Option<String>,
    /// Only sessions with a statement of this outcome, for example denied
    #[arg(long, value_name = "WORD")]
    pub outcome: Option<String>,
    /// Only this subject: a part of the name, or of the identifier
    #[arg(long, value_name = "TEXT")]
    pub who: Option<String>,
    /// Not before: a time, or how long ago, for example 7d
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Not after
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
}

impl Args {
    /// The parameters with which the gateway is asked.
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let named = [
            ("table", &self.table),
            ("fingerprint", &self.fingerprint),
            ("text", &self.text),
            ("outcome", &self.outcome),
            ("subject", &self.who),
            ("since", &self.since),
            ("until", &self.until),
        ];
        named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }

    /// Whether recordings are looked into, and no gateway is asked.
    pub(super) fn looks_itself(&self) -> bool {
        self.recordings.is_some() || self.archive.archive.is_some()
    }

    /// Whether something is looked for.
    pub(super) fn asks(&self) -> bool {
        [&self.table, &self.fingerprint, &self.text, &self.outcome, &self.who, &self.since, &self.until]
            .into_iter()
            .any(Option::is_some)
    }
}

/// A time, or how long ago.
///
/// # Errors
/// With a sentence.
pub(super) fn instant_of(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    index::instant_of(text, now).ok_or_else(|| format!("`{text}` is no time: write 7d, 12h or 2026-05-04T10:00:00Z"))
}

/// Runs the search; the exit code.
///
/// # Errors
/// When `out` cannot be written.
pub(super) fn run(
    args: &Args,
    connection: Option<&str>,
    limit: u32,
    format: Format,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> io::Result<u8> {
    match search(args, connection, limit) {
        Ok(found) => {
            match format {
                Format::Json => {
                    write_json(out, &found)?;
                    writeln!(out)?;
                }
                Format::Human => table(out, &found)?,
            }
            Ok(0)
        }
        Err(sentence) => {
            writeln!(notes, "error: {}", inert(&sentence))?;
            Ok(3)
        }
    }
}

fn search(args: &Args, connection: Option<&str>, limit: u32) -> Result<Vec<Found>, String> {
    let now = clock::wall();
    let time = |text: &Option<String>| text.as_deref().map(|text| instant_of(text, now)).transpose();
    let search = Search {
        who: args.who.clone(),
        connection: connection.map(str::to_owned),
        table: args.table.clone(),
        fingerprint: args.fingerprint.clone(),
        text: args.text.clone(),
        outcome: args.outcome.clone(),
        since: time(&args.since)?,
        until: time(&args.until)?,
        scope: None,
        limit,
    };
    match (&args.recordings, &args.archive.archive) {
        (Some(folder), None) => search_in(folder, &search).map_err(|error| error.to_string()),
        (None, None) => Err("no folder of recordings and no archive was named".to_owned()),
        // Statements are parsed on a thread with a stack for that, and the archive has a runtime of its own.
        (_, Some(_)) => std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(pgsql::bounds::STACK_BYTES);
            let thread = thread.spawn_scoped(scope, || in_archive(args, &search)).map_err(|error| error.to_string())?;
            thread.join().unwrap_or_else(|_| Err("the search failed".to_owned()))
        }),
    }
}

fn in_archive(args: &Args, search: &Search) -> Result<Vec<Found>, String> {
    let remote = args.archive.open()?.ok_or("no archive was named")?;
    let sessions = remote.sessions()?;
    let mut bring = |session: &_| remote.bring_unless_removed(session);
    let mut elsewhere = Elsewhere { sessions, bring: &mut bring };
    let found = search_elsewhere(args.recordings.as_deref(), args.index.as_deref(), &mut elsewhere, search);
    found.map_err(|error| error.to_string())
}

fn table(out: &mut dyn Write, found: &[Found]) -> io::Result<()> {
    if found.is_empty() {
        return writeln!(out, "no sessions");
    }
    let time = |at: Option<i64>| at.map_or_else(String::new, |at| instant(Timestamp::from_unix_ms(at)));
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|found| {
            vec![
                found.session.clone(),
                found.cause.clone().unwrap_or_else(|| found.state.clone()),
                found.who.clone(),
                found.connection.clone(),
                found.grant.clone(),
                time(found.opened),
                found.statements.to_string(),
                found.fingerprint.clone().unwrap_or_default(),
                found.text.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let heading = ["SESSION", "STATE", "WHO", "CONNECTION", "GRANT", "OPENED", "MATCHES", "FINGERPRINT", "STATEMENT"];
    show::table(out, &heading, &rows)
}
