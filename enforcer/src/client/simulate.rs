//! `leasehold simulate --policy REV`: recorded operations judged by another commit of the policy.
//!
//! Every recorded statement is judged anew, for the subject, connection and grant of its session and at its own time, and
//! what would come out differently is listed. Nothing runs, and nothing is asked of a gateway.

use super::commands::Format;
use super::search::instant_of;
use crate::core::event::Opened;
use crate::gateway::clock;
use crate::gitops::revision;
use crate::protocols::postgres::classify::classify;
use crate::recording::inert::{inert, write_json};
use crate::recording::read::Reader;
use crate::recording::transcript::{Tied, Transcript, instant};
use crate::recording::{self};
use lang::program::{Outcome, Program, Request, SubjectKind, Verdict};
use lang::time::Timestamp;
use pgsql::session::SessionFacts;
use serde::Serialize;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The server that recorded statements are read as; the grammar is the same for all.
const SERVER_MAJOR: u16 = 18;

/// `leasehold simulate`
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The commit, branch or tag of the policy
    #[arg(long, value_name = "REV")]
    pub policy: String,
    /// The policy repository
    #[arg(long, value_name = "PATH", default_value = ".")]
    pub repository: PathBuf,
    /// The folder of `policy.kdl` in it
    #[arg(long, value_name = "FOLDER", default_value = "")]
    pub folder: String,
    /// The folder of all recordings
    #[arg(long, value_name = "FOLDER", env = "LEASEHOLD_RECORDINGS")]
    pub recordings: PathBuf,
    /// Only what was done since: a time, or how long ago
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub since: String,
    /// The form of the answer
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// A statement that would come out differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The session.
    pub session: String,
    /// The record of the decision.
    pub record: u64,
    /// When, RFC 3339.
    pub at: String,
    /// Who.
    pub who: String,
    /// Where.
    pub connection: String,
    /// What was decided.
    pub was: String,
    /// What would be decided.
    pub becomes: String,
    /// Why.
    pub why: String,
    /// What the statement touches.
    pub accesses: Vec<String>,
}

/// What a simulation found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Simulation {
    /// Sessions that were looked at.
    pub sessions: u64,
    /// Statements that were judged anew.
    pub statements: u64,
    /// Statements that cannot be judged anew: encrypted, or without their text.
    pub unknown: u64,
    /// Recordings that cannot be read.
    pub unreadable: u64,
    /// What would change.
    pub changes: Vec<Change>,
}

/// Runs the command; the exit code: 0 nothing changes, 1 something does, 3 it cannot be told.
///
/// # Errors
/// When `out` cannot be written.
pub fn run(args: &Args, out: &mut dyn Write) -> io::Result<u8> {
    let own = args.clone();
    // Policies and statements are parsed, which takes a large stack.
    let work = move || simulate(&own);
    let found = std::thread::Builder::new().stack_size(pgsql::bounds::STACK_BYTES).spawn(work)?.join();
    let found = found.unwrap_or_else(|_| Err("the simulation failed".to_owned()));
    let found = match found {
        Ok(found) => found,
        Err(sentence) => {
            writeln!(out, "{}", inert(&sentence))?;
            return Ok(3);
        }
    };
    match args.format {
        Format::Json => {
            write_json(out, &found)?;
            writeln!(out)?;
        }
        Format::Human => show(out, &found)?,
    }
    Ok(u8::from(!found.changes.is_empty()))
}

fn show(out: &mut dyn Write, found: &Simulation) -> io::Result<()> {
    for change in &found.changes {
        let Change { session, record, at, who, connection, was, becomes, why, accesses } = change;
        let line = format!("{at} {session} record {record}: {who} on {connection}: {}", accesses.join(", "));
        writeln!(out, "{}\n    {} -> {}: {}", inert(&line), inert(was), inert(becomes), inert(why))?;
    }
    let Simulation { sessions, statements, unknown, unreadable, changes } = found;
    writeln!(
        out,
        "{} of {statements} statements in {sessions} sessions would come out differently; {unknown} cannot be judged \
         anew, {unreadable} recordings cannot be read",
        changes.len()
    )
}

fn simulate(args: &Args) -> Result<Simulation, String> {
    let since = instant_of(&args.since, clock::wall())?;
    let program = revision::program(&args.repository, &args.folder, &args.policy)?;
    let folders = recording::folders(&args.recordings).map_err(|error| error.to_string())?;
    let mut found = Simulation::default();
    for folder in folders.values() {
        simulate_one(folder, &program, since, &mut found);
    }
    found.changes.sort_by(|a, b| (&a.at, &a.session, a.record).cmp(&(&b.at, &b.session, b.record)));
    Ok(found)
}

fn simulate_one(folder: &Path, program: &Program, since: Timestamp, found: &mut Simulation) {
    let Ok(mut reader) = Reader::open(folder, None) else {
        found.unreadable += 1;
        return;
    };
    let mut transcript = Transcript::default();
    let (mut steps, mut opened, mut sql) = (Vec::new(), None::<Box<Opened>>, None::<String>);
    let mut judged = false;
    loop {
        match reader.next_entry() {
            Ok(Some(entry)) => transcript.push(entry, &mut steps),
            Ok(None) => break,
            Err(_) => {
                found.unreadable += 1;
                break;
            }
        }
        for step in steps.drain(..) {
            match step.item.tied() {
                Tied::Opened(facts) => opened = Some(facts),
                Tied::Asked(text) => sql = text,
                Tied::Judged(decision) if step.at >= since => {
                    judged = true;
                    let Some((opened, text)) = opened.as_deref().zip(sql.take()) else {
                        found.unknown += 1;
                        continue;
                    };
                    found.statements += 1;
                    let (becomes, why) = judge(program, opened, &text, step.at);
                    if becomes != decision.outcome {
                        found.changes.push(Change {
                            session: opened.session.to_string(),
                            record: step.record,
                            at: instant(step.at),
                            who: opened.subject_name.clone().unwrap_or_else(|| opened.subject.to_string()),
                            connection: opened.connection.clone(),
                            was: decision.outcome,
                            becomes,
                            why,
                            accesses: decision.accesses,
                        });
                    }
                }
                Tied::Judged(_) => sql = None,
                Tied::Closed(_) | Tied::Aside => {}
            }
        }
    }
    found.unknown += reader.hidden();
    found.sessions += u64::from(judged);
}

/// What the policy says to a statement, and why. Multi-factor authentication is taken for given: recordings do not
/// hold it.
fn judge(program: &Program, opened: &Opened, sql: &str, at: Timestamp) -> (String, String) {
    let denied = |why: String| ("denied".to_owned(), why);
    let text = match classify(sql, &SessionFacts::pinned(SERVER_MAJOR), None, None) {
        Ok(text) => text,
        Err(refusal) => return denied(refusal.to_string()),
    };
    if let Some(never) = text.statements.iter().find_map(|statement| statement.never.clone()) {
        return denied(never);
    }
    let accesses: Vec<_> = text.statements.iter().flat_map(|statement| statement.accesses.iter().cloned()).collect();
    let held = |name: &&String| program.rules().groups.iter().any(|group| group.name == **name);
    let groups: Vec<String> = opened.groups.iter().filter(held).cloned().collect();
    let kind = SubjectKind::parse(&opened.kind).unwrap_or(SubjectKind::Agent);
    let because = |reasons: &[lang::program::Reason]| {
        reasons.first().map_or_else(|| "nothing permits it".to_owned(), ToString::to_string)
    };
    let subject = match program.subject_of(kind, &groups, true) {
        Ok(subject) => subject,
        Err(reasons) => return denied(because(&reasons)),
    };
    let request = Request {
        subject: &subject,
        connection: &opened.connection,
        accesses: &accesses,
        via: Some(&opened.grant),
        at,
    };
    let decision = program.decide(&request);
    match decision.outcome {
        Outcome::Denied => denied(because(&decision.reasons())),
        Outcome::Permitted { judgement, contract } => match judgement.verdict {
            Verdict::Allowed => ("allowed".to_owned(), format!("the grant `{}` permits it", contract.grant.id)),
            Verdict::Denied(reasons) => denied(because(&reasons)),
            Verdict::Review(approvals) => {
                let name = approvals.first().map_or_else(String::new, |(_, name)| name.clone());
                ("held".to_owned(), format!("it needs the approval `{name}`"))
            }
        },
    }
}
