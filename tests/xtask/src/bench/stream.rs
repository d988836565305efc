//! What recording costs end to end: rows streamed through the gateway at each level of recording, beside pgbouncer, and
//! one session as large as one likes, recorded and replayed while memory is watched.

use super::bouncer::Bouncer;
use super::{cpu_seconds, median, pgbench, start_with};
use crate::cast::PIPELINE;
use crate::command::must_within;
use crate::fault::{Doing as _, Fault, Outcome, ensure};
use crate::say;
use crate::scene::Scene;
use crate::tools::Places;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const LEVELS: [&str; 2] = ["metadata", "full"];
/// Rows of one run that is compared: about 100 MB.
const ROWS_COMPARED: u64 = 100_000;
/// Rows of a gigabyte, of which each is about 1,000 bytes.
const ROWS_A_GIGABYTE: u64 = 1_000_000;
const ROUNDS: u32 = 3;

/// A connection and a grant for each level.
pub(super) fn policy() -> Vec<(String, String)> {
    let one = |level: &&str| {
        format!(
            "connection stream-{level} kind=postgres {{\n    owner team:payments\n    \
             address \"127.0.0.1:PORT\" database=bench\n    credential (env)\"BENCH_PASSWORD\" user=gateway_rw\n    \
             tls off\n    label env=dev data=public\n}}\n\
             grant stream-{level} id=stream-{level}-standing {{\n    to group:ci-runners\n    when standing\n    \
             lifetime \"8h\"\n    permit read export bulk\n    recorded {level}\n}}\n"
        )
    };
    let text: String = LEVELS.iter().map(one).collect();
    vec![("connections/stream.kdl".to_owned(), format!("/- kdl-version 2\n{text}"))]
}

/// Runs it.
pub(super) fn run(places: &Places, gigabytes: u32) -> Outcome<()> {
    say::step("start: PostgreSQL, pgbouncer, the gateway");
    let scene = start_with(places, policy())?;
    let bouncer = Bouncer::start(&scene.cluster)?;
    compare(&scene, &bouncer)?;
    drop(bouncer);
    large(&scene, gigabytes)
}

/// What a client is given to reach the database.
struct Door<'a> {
    port: u16,
    database: String,
    user: &'a str,
    password: &'a str,
}

fn through<'a>(scene: &'a Scene, bouncer: Option<&Bouncer>, level: &str, token: &'a str) -> Door<'a> {
    match bouncer {
        Some(bouncer) => Door {
            port: bouncer.port,
            database: "bench".to_owned(),
            user: "gateway_rw",
            password: &scene.cluster.writer_password,
        },
        None => Door { port: scene.gateway.port, database: format!("stream-{level}"), user: "me", password: token },
    }
}

/// psql that streams rows to nowhere.
fn copy(scene: &Scene, door: &Door<'_>, rows: u64) -> Command {
    let query = format!(
        "copy (select n, md5(n::text), n % 97, repeat(md5((n / 7)::text), 29) from generate_series(1, {rows}) n) to stdout"
    );
    let mut command = Command::new(scene.cluster.psql());
    command.args(["--no-psqlrc", "--quiet", "--host=127.0.0.1", "--command", &query, "--output=/dev/null"]);
    command.arg(format!("--port={}", door.port)).arg(format!("--username={}", door.user)).arg(&door.database);
    command.env("PGPASSWORD", door.password).env("PGSSLMODE", "disable").env("PGGSSENCMODE", "disable");
    command.stdin(Stdio::null());
    command
}

/// CPU for each megabyte of rows and for each transaction, the ways taking turns.
fn compare(scene: &Scene, bouncer: &Bouncer) -> Outcome<()> {
    let token = scene.token(&PIPELINE)?;
    let pgbench = pgbench(&scene.places)?;
    let bytes = bytes_of(scene, ROWS_COMPARED)?;
    let mut streamed: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut asked: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 1..=ROUNDS {
        say::step(&format!("round {round} of {ROUNDS}"));
        for way in ["pgbouncer"].into_iter().chain(LEVELS) {
            let is_bouncer = way == "pgbouncer";
            let door = through(scene, is_bouncer.then_some(bouncer), way, &token);
            let pid = if is_bouncer { bouncer.pid() } else { scene.gateway.pid() };
            let before = cpu_seconds(pid)?;
            must_within(&mut copy(scene, &door, ROWS_COMPARED), Duration::from_mins(5))?;
            let spent = settled(pid)? - before;
            streamed.entry(way).or_default().push(spent * 1e3 / (bytes / 1e6));
            let mut command = Command::new(&pgbench);
            command.args(["--select-only", "--no-vacuum", "--host=127.0.0.1", "--protocol=prepared", "--client=4"]);
            command.args(["--time=4", &format!("--port={}", door.port), &format!("--username={}", door.user)]);
            command.arg(&door.database).env("PGPASSWORD", door.password).env("PGSSLMODE", "disable");
            let before = cpu_seconds(pid)?;
            let ran = must_within(&mut command, Duration::from_mins(2))?;
            let sample = super::read(&ran.out, settled(pid)? - before)?;
            asked.entry(way).or_default().push(sample.cpu_us);
        }
    }
    say::line("");
    say::line(&format!(
        "{:.0} MB by COPY and pgbench --select-only (prepared, 4 clients), median of {ROUNDS} alternating rounds; CPU of \
         the process in the middle, compression of recordings included",
        bytes / 1e6
    ));
    say::line("");
    say::line("| way | CPU ms/MB | ÷ pgbouncer | CPU µs/transaction | ÷ pgbouncer |");
    say::line("|---|---:|---:|---:|---:|");
    let of = |all: &BTreeMap<&str, Vec<f64>>, way: &str| all.get(way).map_or(f64::NAN, |values| median(values.clone()));
    for way in ["pgbouncer"].into_iter().chain(LEVELS) {
        let (megabyte, transaction) = (of(&streamed, way), of(&asked, way));
        say::line(&format!(
            "| {} | {megabyte:.2} | {:.2} | {transaction:.1} | {:.2} |",
            if way == "pgbouncer" { way.to_owned() } else { format!("gateway, recorded {way}") },
            megabyte / of(&streamed, "pgbouncer"),
            transaction / of(&asked, "pgbouncer")
        ));
    }
    Ok(())
}

/// CPU time once nothing more is spent: segments are compressed in the background.
pub(super) fn settled(pid: u32) -> Outcome<f64> {
    let mut last = cpu_seconds(pid)?;
    for _ in 0..100 {
        std::thread::sleep(Duration::from_millis(300));
        let now = cpu_seconds(pid)?;
        if now - last < 0.02 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

/// The bytes of so many rows, as the server sends them.
#[expect(clippy::cast_precision_loss, reason = "a measurement rounds")]
fn bytes_of(scene: &Scene, rows: u64) -> Outcome<f64> {
    let sample = 10_000;
    let query = format!(
        "select sum(length(n || md5(n::text) || n % 97 || repeat(md5((n / 7)::text), 29)) + 4) from generate_series({}, {rows}) n",
        rows - sample + 1
    );
    let text = scene.cluster.value("bench", &query)?;
    let bytes: f64 = text.parse().doing(|| format!("PostgreSQL said {text}"))?;
    Ok(bytes / sample as f64 * rows as f64)
}

/// One session of so many gigabytes, recorded in full and replayed, while memory is watched.
fn large(scene: &Scene, gigabytes: u32) -> Outcome<()> {
    say::step(&format!("one session of {gigabytes} GB, recorded in full"));
    let token = scene.token(&PIPELINE)?;
    let rows = u64::from(gigabytes) * ROWS_A_GIGABYTE;
    let recordings = scene.gateway.folder.join("recordings");
    let before = folder_bytes(&recordings)?;
    let pid = scene.gateway.pid();
    let cpu = cpu_seconds(pid)?;
    let door = through(scene, None, "full", &token);
    let mut client = spawn(&mut copy(scene, &door, rows))?;
    let start = crate::clock::now();
    let memory = watch(pid, &mut client, || folder_bytes(&recordings).unwrap_or(0).saturating_sub(before))?;
    let took = start.elapsed().as_secs_f64();
    let spent = settled(pid)? - cpu;
    let raw = bytes_of(scene, rows)?;
    #[expect(clippy::cast_precision_loss, reason = "a measurement rounds")]
    let stored = folder_bytes(&recordings)?.saturating_sub(before) as f64;
    say::line(&format!(
        "recorded: {:.2} GB in {took:.0} s, {:.2} ms CPU/MB; {:.2} GB on disk ({:.3} of the stream); resident memory of the \
         gateway {} kB after the first samples, {} kB at most",
        raw / 1e9,
        spent * 1e3 / (raw / 1e6),
        stored / 1e9,
        stored / raw,
        memory.first,
        memory.most
    ));
    ensure(memory.most < memory.first + (96 << 10), || "the gateway's memory grew with the recording".to_owned())?;
    let folder = largest(&recordings)?;
    let key = scene.gateway.folder.join("state/recording.key.pub");
    for what in [vec!["verify"], vec!["replay", "--format", "jsonl"]] {
        let mut command = Command::new(scene.places.built("release", "leasehold"));
        command.args(&what).arg(&folder).arg("--public-key").arg(&key).stdin(Stdio::null());
        let mut reader = spawn(&mut command)?;
        let start = crate::clock::now();
        let pid = reader.id();
        let memory = watch(pid, &mut reader, || 0)?;
        say::line(&format!(
            "`leasehold {}`: {:.0} s; resident memory {} kB after the first samples, {} kB at most",
            what.join(" "),
            start.elapsed().as_secs_f64(),
            memory.first,
            memory.most
        ));
        ensure(memory.most < memory.first + (64 << 10), || "the reader's memory grew with the recording".to_owned())?;
    }
    std::fs::remove_dir_all(&folder).doing(|| format!("cannot remove {}", folder.display()))
}

fn spawn(command: &mut Command) -> Outcome<Child> {
    command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().doing(|| "cannot start a program".to_owned())
}

/// Resident memory in kB.
struct Memory {
    first: u64,
    most: u64,
}

/// Watches a process's memory until a program has ended, which must end well.
fn watch(pid: u32, until: &mut Child, mut stored: impl FnMut() -> u64) -> Outcome<Memory> {
    let mut samples: Vec<u64> = Vec::new();
    let (mut seconds, start) = (0_u32, crate::clock::now());
    loop {
        if let Some(status) = until.try_wait().doing(|| "cannot wait for a program".to_owned())? {
            ensure(status.success(), || "a program failed".to_owned())?;
            break;
        }
        samples.extend(resident(pid));
        std::thread::sleep(Duration::from_millis(500));
        seconds += 1;
        if seconds.is_multiple_of(40) {
            let now = samples.last().copied().unwrap_or(0);
            say::note(&format!(
                "{:.0} s: {now} kB resident, {} MB stored",
                start.elapsed().as_secs_f64(),
                stored() / 1_000_000
            ));
        }
    }
    // The first tenth, at least four samples, is where buffers come to their size.
    let head = samples.iter().take((samples.len() / 10).max(4)).copied().max();
    Ok(Memory { first: head.unwrap_or(0), most: samples.iter().copied().max().unwrap_or(0) })
}

fn resident(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok())
}

fn folder_bytes(folder: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    let entries = std::fs::read_dir(folder).doing(|| format!("cannot read {}", folder.display()))?;
    for entry in entries.filter_map(Result::ok) {
        let Ok(facts) = entry.metadata() else { continue };
        bytes += if facts.is_dir() { folder_bytes(&entry.path())? } else { facts.len() };
    }
    Ok(bytes)
}

/// The largest recording.
fn largest(recordings: &Path) -> Outcome<PathBuf> {
    let folders = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
    };
    let all = folders(recordings).iter().flat_map(|month| folders(month)).collect::<Vec<_>>();
    all.into_iter()
        .max_by_key(|folder| folder_bytes(folder).unwrap_or(0))
        .ok_or_else(|| Fault::new("there is no recording"))
}
