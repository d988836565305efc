//! `leasehold request|status|requests|…`: thin clients of the HTTP API.
//!
//! The answer goes to `out`, everything else to `notes`. The exit code is 0 when it was done, 1 when the gateway
//! refused, 3 when the command lacks something, 4 when the gateway cannot be reached.

use super::connect::{Api, Connect, Failure};
use super::{more, native, search, show};
use crate::access::Did;
use crate::api::view::{Done, List, Policy, Reachables, Request, Session, Window};
use crate::core::id::SessionId;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// Between two looks at a request that waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Failed looks in a row before `--wait` gives up.
const LOOKS_FAILED_MAX: u32 = 30;

/// The forms of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Human,
    /// One JSON document
    Json,
}

/// What every command takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Common {
    /// How the gateway is reached.
    #[command(flatten)]
    pub connect: Connect,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "human", env = "LEASEHOLD_FORMAT")]
    pub format: Format,
}

/// Which rows a list shows.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Which {
    /// Only this connection
    #[arg(long, value_name = "NAME")]
    pub connection: Option<String>,
    /// Only your own
    #[arg(long)]
    pub mine: bool,
    /// Decided and finished ones too
    #[arg(long)]
    pub all: bool,
    /// The most rows
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: u32,
}

/// The commands.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Ask for a window on a connection
    ///
    /// Opens at once where the policy alone decides; else the request waits for people. Asking again for the same
    /// grant shows the open window or the waiting request and moves nothing.
    Request {
        /// The connection
        #[arg(value_name = "CONNECTION")]
        connection: String,
        /// The grant, when several match
        #[arg(long, value_name = "GRANT")]
        via: Option<String>,
        /// Why you need it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// The ticket
        #[arg(long, value_name = "ID")]
        ticket: Option<String>,
        /// A shorter window than the grant gives, for example 10m
        #[arg(long, value_name = "TIME")]
        lifetime: Option<String>,
        /// Wait until the request is decided
        #[arg(long)]
        wait: bool,
        /// Wait, and run this command once the window is open
        #[arg(long, value_name = "COMMAND")]
        then: Option<String>,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// Open psql on a connection; asks for access first where there is none
    #[command(name = "connect")]
    Native {
        /// The connection
        #[arg(value_name = "CONNECTION")]
        connection: String,
        /// The grant, when several match
        #[arg(long, value_name = "GRANT")]
        via: Option<String>,
        /// Why you need it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// The ticket
        #[arg(long, value_name = "ID")]
        ticket: Option<String>,
        /// Arguments for psql
        #[arg(last = true, value_name = "ARGUMENTS")]
        arguments: Vec<String>,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// Show the policy in force and your windows
    Status {
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// List requests: your own, those you may decide, those `operate` lets you see
    Requests {
        /// Which ones.
        #[command(flatten)]
        which: Which,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// Approve a request, under the terms that are shown
    Approve {
        /// The request
        #[arg(value_name = "REQUEST")]
        id: String,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// Deny a request, finally
    Deny {
        /// The request
        #[arg(value_name = "REQUEST")]
        id: String,
        /// Why; the requester reads it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// Take your own request back
    Withdraw {
        /// The request
        #[arg(value_name = "REQUEST")]
        id: String,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// List windows
    Windows {
        /// Which ones.
        #[command(flatten)]
        which: Which,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// Extend your window as its grant allows
    Extend {
        /// The window
        #[arg(value_name = "WINDOW")]
        id: String,
        /// Why, when the extension needs an approval
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Wait until the extension is decided
        #[arg(long)]
        wait: bool,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// End a window with its sessions, or one session
    Revoke {
        /// The window or the session
        #[arg(value_name = "WINDOW|SESSION")]
        id: String,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// List reviews of break-glass windows
    Reviews {
        /// Those that are done too
        #[arg(long)]
        all: bool,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// Say that somebody's use of break-glass was in order, or a concern
    Review {
        /// The window
        #[arg(value_name = "WINDOW")]
        id: String,
        /// The use is called into question; needs --note
        #[arg(long, requires = "note")]
        concern: bool,
        /// What there is to say
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// Read the history that you may see
    Audit {
        /// The most entries
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// List notices that a channel did not take, or have one tried again
    Notices {
        /// Try this one again
        #[arg(long, value_name = "NOTICE")]
        retry: Option<String>,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// List sessions: your own, and those `operate` lets you see
    Sessions {
        /// Say what begins and ends, until interrupted
        #[arg(long)]
        follow: bool,
        /// Which ones.
        #[command(flatten)]
        which: Which,
        /// What is looked for in recordings.
        #[command(flatten)]
        search: search::Args,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
    /// Show what you can reach, and why not the rest
    Access {
        /// Only this connection
        #[arg(value_name = "CONNECTION")]
        connection: Option<String>,
        /// How the gateway is reached.
        #[command(flatten)]
        common: Common,
    },
}

impl Command {
    fn common(&self) -> &Common {
        match self {
            Self::Request { common, .. }
            | Self::Status { common }
            | Self::Requests { common, .. }
            | Self::Approve { common, .. }
            | Self::Deny { common, .. }
            | Self::Withdraw { common, .. }
            | Self::Windows { common, .. }
            | Self::Extend { common, .. }
            | Self::Revoke { common, .. }
            | Self::Sessions { common, .. }
            | Self::Native { common, .. }
            | Self::Reviews { common, .. }
            | Self::Review { common, .. }
            | Self::Audit { common, .. }
            | Self::Notices { common, .. }
            | Self::Access { common, .. } => common,
        }
    }
}

/// Runs a command; the exit code.
///
/// # Errors
/// When `out` or `notes` cannot be written.
pub async fn run(command: &Command, out: &mut dyn Write, notes: &mut dyn Write) -> io::Result<u8> {
    let common = command.common();
    if let Command::Sessions { which, search, .. } = command
        && search.looks_itself()
    {
        return search::run(search, which.connection.as_deref(), which.limit, common.format, out, notes);
    }
    let mut shell = Shell { format: common.format, out, notes };
    let done = match Api::ready(&common.connect).await {
        Ok(api) => dispatch(command, &api, &mut shell).await,
        Err(failure) => Err(Stop::Failure(failure)),
    };
    match done {
        Ok(code) => Ok(code),
        Err(Stop::Io(error)) => Err(error),
        Err(Stop::Failure(failure)) => {
            shell.failure(&failure)?;
            Ok(failure.code())
        }
    }
}

/// Why a command stops.
pub(super) enum Stop {
    Failure(Failure),
    Io(io::Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Where a command speaks.
pub(super) struct Shell<'a> {
    pub(super) format: Format,
    pub(super) out: &'a mut dyn Write,
    pub(super) notes: &'a mut dyn Write,
}

impl Shell<'_> {
    /// The answer: a JSON document, or what `human` writes.
    pub(super) fn answer<T: Serialize>(
        &mut self,
        value: &T,
        human: impl FnOnce(&mut dyn Write, &T) -> io::Result<()>,
    ) -> io::Result<()> {
        match self.format {
            Format::Human => human(self.out, value),
            Format::Json => {
                let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
                writeln!(self.out, "{text}")
            }
        }
    }

    fn failure(&mut self, failure: &Failure) -> io::Result<()> {
        match (self.format, failure) {
            (Format::Json, Failure::Refused(problem)) => self.answer(problem, |_, _| Ok(())),
            (Format::Json, Failure::Usage(_) | Failure::Unavailable(_)) => {
                self.answer(&json!({ "error": failure.to_string() }), |_, _| Ok(()))
            }
            (Format::Human, Failure::Refused(problem)) => show::problem(self.notes, problem),
            (Format::Human, Failure::Usage(_) | Failure::Unavailable(_)) => {
                writeln!(self.notes, "error: {failure}")
            }
        }
    }
}

async fn dispatch(command: &Command, api: &Api, shell: &mut Shell<'_>) -> Result<u8, Stop> {
    match command {
        Command::Request { connection, via, reason, ticket, lifetime, wait, then, common: _ } => {
            let named = [("via", via), ("reason", reason), ("ticket", ticket), ("lifetime", lifetime)];
            let body = asking(connection, named);
            let done: Done = api.post(&["v1", "requests"], &body).await?;
            match (asked(api, shell, done, *wait || then.is_some()).await?, then) {
                (0, Some(then)) => Ok(run_then(then)?),
                (code, _) => Ok(code),
            }
        }
        Command::Native { connection, via, reason, ticket, arguments, common } => {
            let body = asking(connection, [("via", via), ("reason", reason), ("ticket", ticket)]);
            if !native::reachable(api, connection, via.as_deref()).await? {
                let code = first_ask(api, shell, &body).await?;
                if code != 0 {
                    return Ok(code);
                }
            }
            Ok(native::psql(api, &common.connect, connection, via.as_deref(), arguments).await?)
        }
        Command::Reviews { all, common: _ } => more::reviews(api, shell, *all).await,
        Command::Review { id, concern, note, common: _ } => more::say(api, shell, id, *concern, note.as_deref()).await,
        Command::Audit { limit, common: _ } => more::audit(api, shell, *limit).await,
        Command::Notices { retry, common: _ } => more::notices(api, shell, retry.as_deref()).await,
        Command::Sessions { follow: true, which, search: _, common: _ } => {
            more::follow(api, shell, which.connection.as_deref()).await
        }
        Command::Status { common: _ } => status(api, shell).await,
        Command::Requests { which, common: _ } => {
            let rows: Vec<Request> = rows(api, "requests", which).await?;
            shell.answer(&rows, |out, rows| show::requests(out, rows))?;
            Ok(0)
        }
        Command::Approve { id, common: _ } => approve(api, shell, id).await,
        Command::Deny { id, reason, common: _ } => {
            write(api, shell, &["v1", "requests", id, "deny"], &because(reason.as_deref())).await
        }
        Command::Withdraw { id, common: _ } => write(api, shell, &["v1", "requests", id, "withdraw"], &json!({})).await,
        Command::Windows { which, common: _ } => {
            let rows: Vec<Window> = rows(api, "windows", which).await?;
            shell.answer(&rows, |out, rows| show::windows(out, rows))?;
            Ok(0)
        }
        Command::Extend { id, reason, wait, common: _ } => {
            let body = because(reason.as_deref());
            let done: Done = api.post(&["v1", "windows", id, "extend"], &body).await?;
            asked(api, shell, done, *wait).await
        }
        Command::Revoke { id, common: _ } => {
            let path: [&str; 4] = match SessionId::parse(id) {
                Some(_) => ["v1", "sessions", id, "terminate"],
                None => ["v1", "windows", id, "revoke"],
            };
            write(api, shell, &path, &json!({})).await
        }
        Command::Sessions { follow: false, which, search, common: _ } => {
            let rows: Vec<Session> =
                if search.asks() { searched(api, which, search).await? } else { rows(api, "sessions", which).await? };
            shell.answer(&rows, |out, rows| show::sessions(out, rows))?;
            Ok(0)
        }
        Command::Access { connection, common: _ } => {
            let query: Vec<(&str, String)> = connection.iter().map(|name| ("connection", name.clone())).collect();
            let found: Reachables = api.get(&["v1", "access"], &query).await?;
            shell.answer(&found, show::access)?;
            Ok(0)
        }
    }
}

/// The body of a request for access.
fn asking<'a>(
    connection: &str,
    named: impl IntoIterator<Item = (&'a str, &'a Option<String>)>,
) -> serde_json::Map<String, serde_json::Value> {
    let given = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?.into())));
    std::iter::once(("connection".to_owned(), connection.into())).chain(given).collect()
}

/// A body that says why, when somebody did.
fn because(reason: Option<&str>) -> serde_json::Value {
    reason.map_or(json!({}), |reason| json!({ "reason": reason }))
}

/// Asks and waits; what it says goes to the notes, since the answer is the native client's.
async fn first_ask(
    api: &Api,
    shell: &mut Shell<'_>,
    body: &serde_json::Map<String, serde_json::Value>,
) -> Result<u8, Stop> {
    let done: Done = api.post(&["v1", "requests"], body).await?;
    let mut aside = Shell { format: Format::Human, out: &mut io::sink(), notes: &mut *shell.notes };
    asked(api, &mut aside, done, true).await
}

/// Runs a command by the shell; its exit code.
fn run_then(command: &str) -> io::Result<u8> {
    let status = std::process::Command::new("sh").arg("-c").arg(command).status()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))
}

async fn write(api: &Api, shell: &mut Shell<'_>, path: &[&str], body: &serde_json::Value) -> Result<u8, Stop> {
    let done: Done = api.post(path, body).await?;
    shell.answer(&done, show::done)?;
    Ok(0)
}

/// Every row of a list, part by part, up to the limit.
async fn rows<T: DeserializeOwned>(api: &Api, what: &str, which: &Which) -> Result<Vec<T>, Failure> {
    let mut query = vec![("mine", which.mine.to_string())];
    query.push(("state", if which.all { "all" } else { "open" }.to_owned()));
    query.extend(which.connection.iter().map(|name| ("connection", name.clone())));
    parts(api, what, &query, which.limit).await
}

/// The rows of any list, part by part, up to a limit.
pub(super) async fn parts<T: DeserializeOwned>(
    api: &Api,
    what: &str,
    query: &[(&str, String)],
    limit: u32,
) -> Result<Vec<T>, Failure> {
    let mut all: Vec<T> = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let left = limit.saturating_sub(u32::try_from(all.len()).unwrap_or(u32::MAX));
        if left == 0 {
            return Ok(all);
        }
        let mut query = query.to_vec();
        query.push(("limit", left.min(200).to_string()));
        query.extend(cursor.iter().map(|cursor| ("cursor", cursor.clone())));
        let part: List<T> = api.get(&["v1", what], &query).await?;
        all.extend(part.items);
        match part.next {
            Some(next) => cursor = Some(next),
            None => return Ok(all),
        }
    }
}

/// Sessions by what they did, whether they live or not.
async fn searched(api: &Api, which: &Which, search: &search::Args) -> Result<Vec<Session>, Failure> {
    let mut query = vec![("limit", which.limit.min(200).to_string()), ("mine", which.mine.to_string())];
    query.extend(which.connection.iter().map(|name| ("connection", name.clone())));
    query.extend(search.query());
    let found: List<Session> = api.get(&["v1", "sessions"], &query).await?;
    Ok(found.items)
}

async fn status(api: &Api, shell: &mut Shell<'_>) -> Result<u8, Stop> {
    let policy: Policy = api.get(&["v1", "policy"], &[]).await?;
    let mine = Which { mine: true, limit: 200, ..Which::default() };
    let windows: Vec<Window> = rows(api, "windows", &mine).await?;
    let requests: Vec<Request> = rows(api, "requests", &Which { mine: false, ..mine }).await?;
    let whole = show::Status { policy, windows, requests };
    shell.answer(&whole, show::status)?;
    Ok(0)
}

/// Shows what is approved, and approves exactly that.
async fn approve(api: &Api, shell: &mut Shell<'_>, id: &str) -> Result<u8, Stop> {
    // Whoever approved it before may not see it any more; the answer says so.
    let body = match api.get::<Request>(&["v1", "requests", id], &[]).await {
        Ok(request) => {
            if shell.format == Format::Human {
                show::request(shell.notes, &request)?;
            }
            json!({ "terms": request.terms.digest })
        }
        Err(Failure::Refused(problem)) if problem.status == 404 => json!({}),
        Err(failure) => return Err(failure.into()),
    };
    write(api, shell, &["v1", "requests", id, "approve"], &body).await
}

/// Shows what a request led to, and waits for people when that was asked for.
async fn asked(api: &Api, shell: &mut Shell<'_>, done: Done, wait: bool) -> Result<u8, Stop> {
    let waiting = done.request.as_ref().filter(|request| request.state == "pending");
    let (Some(request), true) = (waiting, wait) else {
        shell.answer(&done, show::done)?;
        return Ok(0);
    };
    if shell.format == Format::Human {
        show::done(shell.notes, &done)?;
    }
    let decided = decided(api, shell, request.id.clone()).await?;
    let window = match &decided.window {
        Some(window) if decided.state == "approved" => Some(api.get(&["v1", "windows", window], &[]).await?),
        Some(_) | None => None,
    };
    let code = u8::from(decided.state != "approved");
    let did = match decided.state.as_str() {
        "approved" if decided.purpose == "extend" => Did::Extended,
        "approved" if decided.purpose == "statement" => Did::Released,
        "approved" => Did::Opened,
        "denied" => Did::Denied,
        "withdrawn" => Did::Withdrawn,
        _ => Did::Nothing,
    };
    let done = Done { did, request: Some(decided), window, session: None };
    shell.answer(&done, show::done)?;
    Ok(code)
}

/// Looks at a request until it is decided; a gateway that is away for a moment is waited for.
async fn decided(api: &Api, shell: &mut Shell<'_>, id: String) -> Result<Request, Stop> {
    let mut progress = shell.format == Format::Human && io::stderr().is_terminal();
    let mut failed = 0;
    for looks in 0_u64.. {
        tokio::time::sleep(LOOK_EVERY).await;
        match api.get::<Request>(&["v1", "requests", &id], &[]).await {
            Ok(request) if request.state != "pending" => {
                if progress {
                    writeln!(shell.notes)?;
                }
                return Ok(request);
            }
            Ok(request) => {
                failed = 0;
                if progress {
                    let until = request.answer_by.as_deref().unwrap_or("?");
                    let votes = request.votes.len();
                    let seconds = looks.saturating_add(1);
                    write!(shell.notes, "\rwaiting for {seconds} s, {votes} approved, until {until} ")?;
                    shell.notes.flush()?;
                }
            }
            Err(Failure::Unavailable(_)) if failed < LOOKS_FAILED_MAX => failed += 1,
            Err(failure) => {
                if std::mem::take(&mut progress) {
                    writeln!(shell.notes)?;
                }
                return Err(failure.into());
            }
        }
    }
    Err(Failure::Unavailable("the request was never decided".to_owned()).into())
}
