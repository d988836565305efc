//! `cargo xtask bench`: what the gateway costs, beside a direct connection and beside pgbouncer.
//!
//! Machines are noisy: the variants take turns within one run, and what is reported are medians, ratios and CPU time per
//! transaction of the process in the middle. No test asserts any of it.

mod bouncer;
mod compiler;
mod estate;
mod grants;
mod masked;
mod stream;

use crate::cast::PIPELINE;
use crate::command::{must_within, on_path, shown};
use crate::fault::{Fault, Outcome, ensure};
use crate::postgres::Cluster;
use crate::say;
use crate::scene::{self, Choice, Scene};
use crate::setup::{self, Want};
use crate::tools::{self, Places};
use bouncer::Bouncer;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

const MODES: [&str; 3] = ["simple", "extended", "prepared"];
const CLIENTS: [u32; 2] = [1, 8];

const BENCH_POLICY: &str = r#"/- kdl-version 2
connection bench kind=postgres {
    owner team:payments
    address "127.0.0.1:PORT" database=bench
    credential (env)"BENCH_PASSWORD" user=gateway_rw
    tls off
    label env=dev data=public
}
"#;
const BENCH_GRANT: &str = r#"/- kdl-version 2
grant bench id=bench-standing {
    to group:ci-runners
    when standing
    lifetime "8h"
    permit read
    recorded metadata
}
"#;

/// How long and how often.
#[derive(Debug, Clone, Copy)]
struct Effort {
    seconds: u32,
    rounds: u32,
    /// Whether the recorder is measured by itself as well.
    recording: bool,
    /// Whether masks, new statements and streams with masks are measured instead.
    masked: bool,
    /// Whether only streams are measured, with one session of so many gigabytes.
    gigabytes: Option<u32>,
    /// Whether the programs of an earlier build are measured.
    built: bool,
}

/// Runs it. `--seconds N` and `--rounds N` vary the effort; `--recording` adds what recording costs in each mode;
/// `compiler` measures the compiler instead.
/// `--masked` measures masks, new statements and streams with masks instead;
/// `--built` measures the release programs that are there, and builds none.
/// `--gigabytes N` measures streams at each level, and one session of that size, instead of the rest.
pub fn run(words: &[&str]) -> Outcome<ExitCode> {
    if let ["compiler", sizes @ ..] = words {
        return compiler::run(sizes);
    }
    let effort = effort(words)?;
    let places = setup::run(Want::Everything)?;
    if !effort.built {
        say::step("build: release");
        scene::build(&places, "release")?;
    }
    if let Some(gigabytes) = effort.gigabytes {
        return stream::run(&places, gigabytes).map(|()| ExitCode::SUCCESS);
    }
    if effort.masked {
        return masked::run(&places, effort.rounds, effort.seconds).map(|()| ExitCode::SUCCESS);
    }
    say::step("start: PostgreSQL, pgbouncer, the gateway");
    let scene = start_with(&places, Vec::new())?;
    let bouncer = Bouncer::start(&scene.cluster)?;
    let measured = measure(&scene, &bouncer, effort)?;
    print(&measured, effort);
    drop(bouncer);
    drop(scene);
    grants::run(&places)?;
    if effort.recording {
        recording(&places)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What recording costs in each mode, in a release build of the recorder's own measurement.
fn recording(places: &Places) -> Outcome<()> {
    say::step("recording: CPU for each event and for each megabyte of rows, by mode");
    let mut cargo = tools::cargo(places);
    cargo.args([
        "test",
        "--quiet",
        "--release",
        "--package",
        "enforcer",
        "--lib",
        "recording::cost::cost_of_recording",
    ]);
    cargo.args(["--", "--exact", "--ignored", "--nocapture"]);
    let ran = shown(&mut cargo)?;
    ensure(ran.ok(), || "the recorder's measurement failed".to_owned())
}

fn effort(words: &[&str]) -> Outcome<Effort> {
    let mut effort = Effort { seconds: 4, rounds: 3, recording: false, masked: false, gigabytes: None, built: false };
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match *word {
            "--recording" => effort.recording = true,
            "--masked" => effort.masked = true,
            "--built" => effort.built = true,
            word => numbered(&mut effort, word, rest.next())?,
        }
    }
    Ok(effort)
}

fn numbered(effort: &mut Effort, word: &str, number: Option<&&str>) -> Outcome<()> {
    let number = number.and_then(|number| number.parse().ok()).filter(|number| (1..=60).contains(number));
    match (word, number) {
        ("--seconds", Some(number)) => effort.seconds = number,
        ("--gigabytes", Some(number)) => effort.gigabytes = Some(number),
        ("--rounds", Some(number)) => effort.rounds = number,
        _ => return Err(Fault::new(format!("bench does not know `{word}`, or its number (1 to 60) is missing"))),
    }
    Ok(())
}

fn start_with(places: &Places, more: Vec<(String, String)>) -> Outcome<Scene> {
    let pgbench = pgbench(places)?;
    let prepare = move |cluster: &Cluster| {
        cluster.value("postgres", "create database bench")?;
        let mut init = cluster.client_command(&pgbench, "bench");
        init.args(["--initialize", "--scale=1", "--quiet"]);
        must_within(&mut init, Duration::from_mins(2))?;
        cluster.value("bench", "grant select on all tables in schema public to gateway_rw").map(|_| ())
    };
    let choice = Choice {
        profile: "release",
        plaintext: true,
        policy_files: [("connections/bench.kdl", BENCH_POLICY), ("teams/bench.kdl", BENCH_GRANT)]
            .map(|(file, text)| (file.to_owned(), text.to_owned()))
            .into_iter()
            .chain(more)
            .collect(),
        prepare: Some(Box::new(prepare)),
        ..Choice::default()
    };
    Scene::start(places, &places.target.join("bench"), &choice)
}

fn pgbench(places: &Places) -> Outcome<PathBuf> {
    tools::postgres_client(places, "pgbench")
        .or_else(|| on_path("pgbench"))
        .ok_or_else(|| Fault::new("`pgbench` is not here: it comes with PostgreSQL's contrib package"))
}

/// One way to the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Direct,
    Bouncer,
    Gateway,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
struct Sample {
    per_second: f64,
    cpu_us: f64,
}

type Measured = BTreeMap<(&'static str, u32, Way), Vec<Sample>>;

fn measure(scene: &Scene, bouncer: &Bouncer, effort: Effort) -> Outcome<Measured> {
    let pgbench = pgbench(&scene.places)?;
    let token = scene.token(&PIPELINE)?;
    let mut measured = Measured::new();
    for round in 1..=effort.rounds {
        say::step(&format!("round {round} of {}", effort.rounds));
        for mode in MODES {
            for clients in CLIENTS {
                for way in [Way::Direct, Way::Bouncer, Way::Gateway] {
                    let (port, database, user, password, pid) = match way {
                        Way::Direct => {
                            (scene.cluster.port, "bench", "gateway_rw", scene.cluster.writer_password.as_str(), None)
                        }
                        Way::Bouncer => (
                            bouncer.port,
                            "bench",
                            "gateway_rw",
                            scene.cluster.writer_password.as_str(),
                            Some(bouncer.pid()),
                        ),
                        Way::Gateway => (scene.gateway.port, "bench", "me", token.as_str(), Some(scene.gateway.pid())),
                    };
                    let mut command = Command::new(&pgbench);
                    command.args(["--select-only", "--no-vacuum", "--host=127.0.0.1"]);
                    command.arg(format!("--port={port}")).arg(format!("--username={user}"));
                    command.arg(format!("--protocol={mode}")).arg(format!("--client={clients}"));
                    command.arg(format!("--time={}", effort.seconds)).arg(database);
                    command.env("PGPASSWORD", password).env("PGSSLMODE", "disable").env("PGGSSENCMODE", "disable");
                    let before = pid.map_or(Ok(0.0), cpu_seconds)?;
                    let ran = must_within(&mut command, Duration::from_secs(u64::from(effort.seconds) + 60))?;
                    let after = pid.map_or(Ok(0.0), cpu_seconds)?;
                    let sample = read(&ran.out, after - before)?;
                    say::note(&format!(
                        "{mode:9} {clients} {way:?}: {:.0} tps, {:.1} µs",
                        sample.per_second, sample.cpu_us
                    ));
                    measured.entry((mode, clients, way)).or_default().push(sample);
                }
            }
        }
    }
    Ok(measured)
}

fn read(said: &str, cpu_seconds: f64) -> Outcome<Sample> {
    let after = |head: &str| {
        said.lines().find_map(|line| line.strip_prefix(head)?.split_whitespace().next()?.parse::<f64>().ok())
    };
    let transactions = after("number of transactions actually processed: ");
    let per_second = after("tps = ");
    match (transactions, per_second) {
        (Some(transactions), Some(per_second)) if transactions > 0.0 => {
            Ok(Sample { per_second, cpu_us: cpu_seconds * 1e6 / transactions })
        }
        _ => Err(Fault::new(format!("pgbench said nothing of its result: {said}"))),
    }
}

fn print(measured: &Measured, effort: Effort) {
    say::line("");
    say::line(&format!(
        "pgbench --select-only, {} s a run, median of {} alternating rounds, plaintext on loopback; the gateway judges \
         every statement and records it (`recorded metadata`). CPU is user + system time of the process in the middle.",
        effort.seconds, effort.rounds
    ));
    say::line("");
    say::line(
        "| protocol | clients | direct tps | pgbouncer tps | gateway tps | gateway ÷ direct | gateway ÷ pgbouncer | pgbouncer CPU µs/tx | gateway CPU µs/tx | CPU ratio |",
    );
    say::line("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for mode in MODES {
        for clients in CLIENTS {
            let pick = |way, of: fn(&Sample) -> f64| {
                measured.get(&(mode, clients, way)).map_or(f64::NAN, |samples| median(samples.iter().map(of).collect()))
            };
            let tps = |way| pick(way, |sample| sample.per_second);
            let cpu = |way| pick(way, |sample| sample.cpu_us);
            let (direct, bouncer, gateway) = (tps(Way::Direct), tps(Way::Bouncer), tps(Way::Gateway));
            say::line(&format!(
                "| {mode} | {clients} | {direct:.0} | {bouncer:.0} | {gateway:.0} | {:.2} | {:.2} | {:.1} | {:.1} | {:.2} |",
                gateway / direct,
                gateway / bouncer,
                cpu(Way::Bouncer),
                cpu(Way::Gateway),
                cpu(Way::Gateway) / cpu(Way::Bouncer),
            ));
        }
    }
}

/// The middle value; of two middle values the lower.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// User and system time of a process, all its threads together.
fn cpu_seconds(pid: u32) -> Outcome<f64> {
    if let Some(exact) = scheduled_seconds(pid) {
        return Ok(exact);
    }
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).map_err(|error| Fault::new(format!("{path}: {error}")))?;
    let ticks = || {
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let user: u32 = fields.next()?.parse().ok()?;
        let system: u32 = fields.next()?.parse().ok()?;
        Some(f64::from(user) + f64::from(system))
    };
    // Linux shows these in hundredths of a second on every platform that Rust runs on.
    ticks().map(|ticks| ticks / 100.0).ok_or_else(|| Fault::new(format!("{path} has another shape")))
}

/// The same to the nanosecond, where the kernel keeps it: short runs on a busy machine need it.
fn scheduled_seconds(pid: u32) -> Option<f64> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.filter_map(Result::ok);
    let spent = |text: String| text.split_whitespace().next()?.parse::<f64>().ok();
    let all: Vec<f64> =
        tasks.filter_map(|task| std::fs::read_to_string(task.path().join("schedstat")).ok().and_then(spent)).collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pgbenchs_own_words_become_a_sample() {
        let said = "number of transactions actually processed: 20000\ntps = 5000.5 (without initial connection time)\n";
        let sample = read(said, 0.5).unwrap();
        assert!((sample.per_second - 5000.5).abs() < 1e-9 && (sample.cpu_us - 25.0).abs() < 1e-9);
        assert!(read("nothing", 0.5).is_err());
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    }
}
