//! What the compiler costs in time and memory, on a policy in a folder; `cargo xtask bench compiler` runs it.
//!
//! `cost check FOLDER` is `leaseholdc check` with its peak memory; `cost warm FOLDER FILE` checks again in one process
//! after FILE was replaced by a changed text; `cost diff BASE HEAD` compares two folders after they
//! were compiled; `cost decide FOLDER` asks for decisions; `cost reader FOLDER` and `cost kdl FOLDER` parse every file
//! with our reader and with the `kdl` crate. The answer is lines of `name number`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is a program that prints figures")]
#![expect(clippy::disallowed_methods, reason = "it measures, so it reads the clock")]

use compiler::{
    analyze::report::compare,
    compile::{Compilation, Options, compile, compile_again},
    kept::Kept,
    system::{Entry, Os, Source, SystemError},
};
use lang::{
    diag::Sink,
    program::{Access, Object, Outcome, Program, Request, Subject, SubjectKind},
    span::SourceMap,
    time::Timestamp,
};
use std::{path::Path, process::ExitCode, time::Instant};

/// How often a short measurement is taken.
const ROUNDS: usize = 3;
/// How many decisions are timed.
const DECISIONS: u32 = 200_000;
/// The instant that counts as now: a Monday morning.
const NOW: &str = "2026-05-04T10:00:00+02:00";

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["check", folder] => check(folder),
        ["warm", folder, file] => warm(folder, file),
        ["diff", base, head] => diff(base, head),
        ["decide", folder] => decide(folder),
        ["reader", folder] => reader(folder),
        ["kdl", folder] => kdl(folder),
        _ => Err("cost check|warm|diff|decide|reader|kdl FOLDER …".into()),
    };
    match done.and_then(|()| peak()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("cost: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// The most memory that this process ever held.
fn peak() -> Result<(), Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    println!("peak_mb {:.1}", kilobytes / 1024.0);
    Ok(())
}

/// The processor time that this process has taken, in milliseconds; the clock of the kernel ticks every 10.
fn cpu() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/stat")?;
    let fields = status.rsplit(") ").next().ok_or("no stat")?.split(' ').skip(11).take(2);
    let ticks = fields.map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks * 10.0)
}

/// Shows the processor time of one of several rounds that began at `before`.
fn show_cpu(name: &str, before: f64, rounds: usize) -> Result<(), Failure> {
    let rounds = u32::try_from(rounds).map_or(1.0, f64::from);
    println!("{name} {:.1}", (cpu()? - before) / rounds);
    Ok(())
}

fn show(name: &str, started: Instant) {
    println!("{name} {:.3}", started.elapsed().as_secs_f64() * 1e3);
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

fn now() -> Result<Timestamp, Failure> {
    Timestamp::parse_rfc3339(NOW).ok_or_else(|| "the instant is none".into())
}

fn options() -> Options {
    Options { threads: std::thread::available_parallelism().map_or(1, std::num::NonZero::get) }
}

fn check(folder: &str) -> Result<(), Failure> {
    let before = cpu()?;
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = ["leaseholdc", "check", folder, "--at", NOW].map(Into::into);
    let started = Instant::now();
    let exit = compiler::cli::run(args, &Os, &mut out, &mut err);
    show("check_ms", started);
    println!("exit {}", exit.code());
    println!("output_bytes {}", out.len());
    show_cpu("check_cpu_ms", before, 1)
}

/// A folder of which one file has another text.
struct Changed<'a> {
    file: &'a str,
    text: Vec<u8>,
}

impl Source for Changed<'_> {
    fn list(&self, root: &str) -> Result<Vec<Entry>, SystemError> {
        Os.list(root)
    }

    fn read(&self, path: &str, bytes_max: u64) -> Result<Vec<u8>, SystemError> {
        if path.ends_with(self.file) { Ok(self.text.clone()) } else { Os.read(path, bytes_max) }
    }
}

fn warm(folder: &str, file: &str) -> Result<(), Failure> {
    let at = now()?;
    let original = std::fs::read_to_string(Path::new(folder).join(file))?;
    let started = Instant::now();
    let mut kept = Kept::default();
    compile_again(&Os, folder, at, &options(), &mut kept)?;
    show("first_ms", started);
    let (before, mut all) = (cpu()?, Vec::new());
    for round in 0..ROUNDS {
        let text = format!(
            "{}\n// round {round}\n",
            original.replacen("cooldown \"5m\"", &format!("cooldown \"{}m\"", 7 + round), 1)
        );
        let changed = Changed { file, text: text.into_bytes() };
        let started = Instant::now();
        let compilation = compile_again(&changed, folder, at, &options(), &mut kept)?;
        all.push(started.elapsed().as_secs_f64() * 1e3);
        drop(compilation);
    }
    println!("warm_ms {:.3}", median(all));
    show_cpu("warm_cpu_ms", before, ROUNDS)
}

fn compiled(folder: &str) -> Result<Compilation, Failure> {
    let compilation = compile(&Os, folder, now()?, &options())?;
    if compilation.program.is_none() { Err(format!("`{folder}` has errors").into()) } else { Ok(compilation) }
}

fn diff(base: &str, head: &str) -> Result<(), Failure> {
    let (old, new) = (compiled(base)?, compiled(head)?);
    let started = Instant::now();
    for one in [&old, &new] {
        one.revision("a revision", options().threads).ok_or("no program")?;
    }
    show("profile_ms", started);
    let (before, mut all, mut changed) = (cpu()?, Vec::new(), 0);
    for _ in 0..ROUNDS {
        let revision = |one| Compilation::revision(one, "a revision", options().threads).ok_or("no program");
        let (old, new) = (revision(&old)?, revision(&new)?);
        let started = Instant::now();
        let report = compare(old, new, now()?, &[], None, options().threads)?;
        all.push(started.elapsed().as_secs_f64() * 1e3);
        changed = report.connections.len();
    }
    println!("diff_ms {:.3}", median(all));
    println!("connections_changed {changed}");
    show_cpu("diff_cpu_ms", before, ROUNDS)
}

/// A number below a bound from a place; the same for the same place (splitmix64).
fn draw(place: u64, below: usize) -> usize {
    let mut x = place.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678_9abc_def1);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((x ^ (x >> 31)) % below.max(1) as u64).unwrap_or(0)
}

/// Requests of everybody who has a grant: to read, to write, and at a connection of somebody else.
fn asked(program: &Program) -> Vec<(Subject, String, [Access; 1])> {
    let rules = program.rules();
    let table = Object::Table { schema: "public".to_owned(), name: "customers".to_owned() };
    let mut all = Vec::new();
    for (nth, grant) in rules.grants.iter().enumerate() {
        let Some(principal) = grant.to.first() else { continue };
        let kind = principal.kind.unwrap_or(if grant.id.ends_with("agents") {
            SubjectKind::Agent
        } else {
            SubjectKind::Human
        });
        let groups: Vec<String> = principal.groups.clone();
        let Ok(subject) = program.subject_of(kind, &groups, true) else { continue };
        let foreign = rules.connections.get(draw(nth as u64, rules.connections.len()));
        let own = grant.on.first().cloned().unwrap_or_default();
        for (op, connection) in
            [("select", Some(own.clone())), ("insert", Some(own)), ("select", foreign.map(|one| one.name.clone()))]
        {
            let Some(connection) = connection.and_then(|name| program.connection(&name)) else { continue };
            let named = |one: &lang::protocol::Operation| [op, "get"].contains(&one.to_string().as_str());
            let Some(op) = connection.kind.operations().find(named) else { continue };
            let access = Access { op, object: table.clone() };
            all.push((subject.clone(), connection.name.clone(), [access]));
        }
    }
    all
}

fn decide(folder: &str) -> Result<(), Failure> {
    let compilation = compiled(folder)?;
    let program = compilation.program.as_ref().ok_or("no program")?;
    let (all, at) = (asked(program), now()?);
    let mut nanoseconds: Vec<f64> = Vec::new();
    let mut permitted = 0_u32;
    for nth in 0..DECISIONS {
        let Some((subject, connection, accesses)) = all.get(draw(u64::from(nth), all.len())) else { continue };
        let request = Request { subject, connection, accesses, via: None, at };
        let started = Instant::now();
        let decision = program.decide(&request);
        let took = started.elapsed();
        permitted += u32::from(matches!(decision.outcome, Outcome::Permitted { .. }));
        // The first ones pay for cold memory.
        if nth > DECISIONS / 10 {
            nanoseconds.push(took.as_secs_f64() * 1e9);
        }
    }
    nanoseconds.sort_by(f64::total_cmp);
    let rank =
        |per_thousand: usize| nanoseconds.get(nanoseconds.len() * per_thousand / 1000).copied().unwrap_or(f64::NAN);
    println!("decide_p50_ns {:.0}", rank(500));
    println!("decide_p99_ns {:.0}", rank(990));
    println!("permitted_percent {:.0}", f64::from(permitted) * 100.0 / f64::from(DECISIONS));
    Ok(())
}

fn texts(folder: &str) -> Result<Vec<String>, Failure> {
    let files = Os.list(folder)?;
    let policy = files.iter().filter(|file| Path::new(&file.path).extension().is_some_and(|kind| kind == "kdl"));
    policy.map(|file| Ok(std::fs::read_to_string(Path::new(folder).join(&file.path))?)).collect()
}

fn reader(folder: &str) -> Result<(), Failure> {
    let texts = texts(folder)?;
    println!("bytes {}", texts.iter().map(String::len).sum::<usize>());
    let started = Instant::now();
    let mut sources = SourceMap::new();
    let mut sink = Sink::new();
    let ids: Vec<_> = texts.iter().map(|text| sources.add("a.kdl", text.clone())).collect();
    let documents: Vec<_> = ids.iter().map(|id| lang::syntax::parse(*id, &sources, &mut sink)).collect();
    show("parse_ms", started);
    println!("nodes {}", documents.iter().map(|document| document.nodes.len()).sum::<usize>());
    Ok(())
}

fn kdl(folder: &str) -> Result<(), Failure> {
    let texts = texts(folder)?;
    let started = Instant::now();
    let documents = texts.iter().map(|text| kdl::KdlDocument::parse(text)).collect::<Result<Vec<_>, _>>()?;
    show("parse_ms", started);
    println!("nodes {}", documents.iter().map(|document| document.nodes().len()).sum::<usize>());
    Ok(())
}
