//! `bench --masked`: what masks, full recording and statements that were never seen before cost on the path, beside a
//! direct connection and pgbouncer in the same run.
//!
//! Three tables: transactions on masked columns, a stream of statements in which each is new (the cache of verdicts helps
//! with none) or all are one (it helps with all), and a table of twelve columns streamed with masks on two.

use super::bouncer::Bouncer;
use super::{cpu_seconds, median, pgbench, read, start_with};
use crate::cast::PIPELINE;
use crate::command::must_within;
use crate::fault::{Doing as _, Outcome};
use crate::postgres::Cluster;
use crate::say;
use crate::scene::Scene;
use crate::tools::Places;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Rows of the table that is streamed.
const ROWS: u32 = 1_000_000;
const CLIENTS: [u32; 3] = [1, 8, 32];
const MODES: [&str; 3] = ["simple", "extended", "prepared"];

/// How a client reaches the database: past everything, through pgbouncer, or through a connection of the gateway.
type Way = &'static str;
const DIRECT: Way = "direct";
const BOUNCER: Way = "pgbouncer";
/// No mask, `recorded metadata`.
const PLAIN: Way = "gateway";
/// Masks on columns, `recorded full`.
const MASKED: Way = "gateway, masks, recorded full";
/// A mask by pattern, which the gateway applies to each cell itself, `recorded full`.
const PATTERN: Way = "gateway, pattern, recorded full";

/// Connections beside `bench`.
pub(super) fn policy() -> Vec<(String, String)> {
    let mut text = "/- kdl-version 2\n".to_owned();
    for name in ["masked", "pattern"] {
        let _ = write!(
            text,
            "connection {name} kind=postgres {{\n    owner team:payments\n    address \"127.0.0.1:PORT\" database=bench\n    \
             credential (env)\"BENCH_PASSWORD\" user=gateway_rw\n    tls off\n    label env=dev data=public\n}}\n\
             grant {name} id={name}-standing {{\n    to group:ci-runners\n    when standing\n    lifetime \"8h\"\n    \
             permit read export bulk\n    recorded full\n}}\n"
        );
    }
    text += "classify masked {\n    column public.pgbench_accounts.filler as=bench.text\n    \
             column public.pgbench_accounts.abalance as=bench.money\n    column public.wide.mail as=bench.text\n    \
             column public.wide.iban as=bench.iban\n}\n\
             mask bench-text {\n    class bench.text\n    as redact\n    reveal never\n}\n\
             mask bench-money {\n    class bench.money\n    as nullify\n    reveal never\n}\n\
             mask bench-iban {\n    class bench.iban\n    as partial keep-first=2 keep-last=4\n    reveal never\n}\n\
             mask bench-cards {\n    on pattern\n    pattern (regex)#\"\\b(?:\\d[ -]?){13,19}\\b\"# check=luhn\n    as redact\n}\n";
    vec![("connections/masked.kdl".to_owned(), text)]
}

/// The table that is streamed: twelve columns of the usual types, about 150 bytes a row.
fn fill(cluster: &Cluster) -> Outcome<()> {
    for sql in [
        format!(
            "create table wide as select n as id, md5(n::text) as name, 'u' || n || '@example.com' as mail, \
             'DE' || lpad((n::bigint * 7919)::text, 20, '0') as iban, n % 97 as branch, n * 1.25 as amount, \
             date '2020-01-01' + n % 2000 as born, timestamptz '2026-01-01' + n * interval '1 second' as seen, \
             n % 2 = 0 as active, n % 5 as tier, repeat('x', n % 20) as note, n::bigint * 65537 as code \
             from generate_series(1, {ROWS}) n"
        ),
        "alter table wide add primary key (id)".to_owned(),
        "grant select on wide to gateway_rw".to_owned(),
        "vacuum analyze".to_owned(),
    ] {
        cluster.value("bench", &sql)?;
    }
    Ok(())
}

/// A way into the database.
struct Door {
    port: u16,
    database: &'static str,
    user: &'static str,
    password: String,
    /// The process in the middle.
    pid: Option<u32>,
}

struct Stage {
    scene: Scene,
    bouncer: Bouncer,
    token: String,
}

impl Stage {
    fn door(&self, way: Way) -> Door {
        let password = self.scene.cluster.writer_password.clone();
        let past = |port, pid| Door { port, database: "bench", user: "gateway_rw", password, pid };
        let through = |database| Door {
            port: self.scene.gateway.port,
            database,
            user: "me",
            password: self.token.clone(),
            pid: Some(self.scene.gateway.pid()),
        };
        match way {
            DIRECT => past(self.scene.cluster.port, None),
            BOUNCER => past(self.bouncer.port, Some(self.bouncer.pid())),
            MASKED => through("masked"),
            PATTERN => through("pattern"),
            _ => through("bench"),
        }
    }

    /// Transactions a second, and CPU in µs for each in the middle.
    fn pgbench(&self, way: Way, words: &[String]) -> Outcome<(f64, f64)> {
        let door = self.door(way);
        let mut command = Command::new(pgbench(&self.scene.places)?);
        command.args(["--no-vacuum", "--host=127.0.0.1"]).args(words);
        door.enter(&mut command);
        let before = door.cpu()?;
        let ran = must_within(command.arg(door.database), Duration::from_mins(2))?;
        let sample = read(&ran.out, door.cpu()? - before)?;
        Ok((sample.per_second, sample.cpu_us))
    }

    /// Seconds, and CPU seconds in the middle, of a statement whose rows go nowhere.
    fn stream(&self, way: Way, sql: &str) -> Outcome<(f64, f64)> {
        let door = self.door(way);
        let mut command = Command::new(self.scene.cluster.psql());
        command.args(["--no-psqlrc", "--quiet", "--no-align", "--output=/dev/null", "--host=127.0.0.1"]);
        command.args(["--set=FETCH_COUNT=5000", "--command", sql]).stdin(Stdio::null());
        door.enter(&mut command);
        let before = door.cpu()?;
        let ran = must_within(command.arg(door.database), Duration::from_mins(5))?;
        Ok((ran.took.as_secs_f64(), door.settled()? - before))
    }
}

impl Door {
    fn enter(&self, command: &mut Command) {
        command.arg(format!("--port={}", self.port)).arg(format!("--username={}", self.user));
        command.env("PGPASSWORD", &self.password).env("PGSSLMODE", "disable").env("PGGSSENCMODE", "disable");
    }

    fn cpu(&self) -> Outcome<f64> {
        self.pid.map_or(Ok(0.0), cpu_seconds)
    }

    fn settled(&self) -> Outcome<f64> {
        self.pid.map_or(Ok(0.0), super::stream::settled)
    }
}

/// What was measured, by what was asked and the way to it: a rate and a cost each round.
type Measured = BTreeMap<(String, Way), Vec<(f64, f64)>>;

/// Runs it: so many rounds, each run of pgbench so many seconds.
pub(super) fn run(places: &Places, rounds: u32, seconds: u32) -> Outcome<()> {
    say::step("start: PostgreSQL, pgbouncer, the gateway");
    let scene = start_with(places, policy())?;
    fill(&scene.cluster)?;
    let bouncer = Bouncer::start(&scene.cluster)?;
    let token = scene.token(&PIPELINE)?;
    let stage = Stage { scene, bouncer, token };
    let (mut asked, mut new, mut streamed) = (Measured::new(), Measured::new(), Measured::new());
    for round in 1..=rounds {
        say::step(&format!("round {round} of {rounds}; load {}", load()));
        transactions(&stage, seconds, &mut asked)?;
        statements(&stage, seconds, &mut new)?;
        streams(&stage, &mut streamed)?;
    }
    let method = format!(
        "median of {rounds} alternating rounds, {seconds} s for each run of pgbench, plaintext on loopback; CPU is user and \
         system time of the process in the middle, recordings and their compression included"
    );
    show(
        &method,
        "transactions: pgbench --select-only; `abalance` and `filler` masked",
        "tps",
        "µs/transaction",
        &asked,
    );
    show(&method, "statements: one that the cache knows, and one that is new each time", "tps", "µs/statement", &new);
    show(&method, &format!("{ROWS} rows of twelve columns, masks on two"), "MB/s", "ms/MB", &streamed);
    Ok(())
}

fn transactions(stage: &Stage, seconds: u32, measured: &mut Measured) -> Outcome<()> {
    for mode in MODES {
        for clients in CLIENTS {
            for way in [DIRECT, BOUNCER, PLAIN, MASKED] {
                let words = [
                    "--select-only".to_owned(),
                    format!("--protocol={mode}"),
                    format!("--client={clients}"),
                    format!("--time={seconds}"),
                ];
                let sample = stage.pgbench(way, &words)?;
                say::note(&format!("{mode} {clients} {way}: {:.0} tps, {:.1} µs", sample.0, sample.1));
                measured.entry((format!("{mode} {clients:>2}"), way)).or_default().push(sample);
            }
        }
    }
    Ok(())
}

/// The cache of verdicts holds texts: the same one again and again, and one with a literal of its own each time.
fn statements(stage: &Stage, seconds: u32, measured: &mut Measured) -> Outcome<()> {
    let columns = "a.aid, a.bid, a.abalance, b.bbalance";
    let from = "from pgbench_accounts a join pgbench_branches b on b.bid = a.bid";
    let known =
        format!("select {columns} {from} where a.aid = 4711 and a.abalance is not distinct from null or a.aid = 42;\n");
    let fresh = format!(
        "\\set aid random(1, 100000)\n\\set other random(1, 2000000000)\nselect {columns} {from} where a.aid = :aid and b.bbalance <> :other;\n"
    );
    for (what, script) in [("known", known), ("new", fresh)] {
        let path = stage.scene.folder.join(format!("{what}.sql"));
        std::fs::write(&path, script).doing(|| format!("cannot write {}", path.display()))?;
        for way in [DIRECT, BOUNCER, PLAIN, MASKED] {
            let words = [
                format!("--file={}", path.display()),
                "--protocol=simple".to_owned(),
                "--client=4".to_owned(),
                format!("--time={seconds}"),
            ];
            let sample = stage.pgbench(way, &words)?;
            say::note(&format!("{what} {way}: {:.0} tps, {:.1} µs", sample.0, sample.1));
            measured.entry((what.to_owned(), way)).or_default().push(sample);
        }
    }
    Ok(())
}

fn streams(stage: &Stage, measured: &mut Measured) -> Outcome<()> {
    let bytes: f64 = {
        let text = stage.scene.cluster.value("bench", "select sum(length(wide::text)) from wide")?;
        text.parse().doing(|| format!("PostgreSQL said {text}"))?
    };
    for (what, sql) in [("COPY", "copy (select * from wide) to stdout"), ("rows", "select * from wide")] {
        for way in [DIRECT, BOUNCER, PLAIN, MASKED, PATTERN] {
            if way == PLAIN && what == "COPY" {
                // `bench` permits reading alone.
                continue;
            }
            let (took, cpu) = stage.stream(way, sql)?;
            let sample = (bytes / 1e6 / took, cpu * 1e3 / (bytes / 1e6));
            say::note(&format!("{what} {way}: {:.1} MB/s, {:.2} ms/MB", sample.0, sample.1));
            measured.entry((what.to_owned(), way)).or_default().push(sample);
        }
    }
    Ok(())
}

fn show(method: &str, what: &str, rate: &str, cost: &str, measured: &Measured) {
    say::line("");
    say::line(&format!("{what}. {method}."));
    say::line("");
    say::line(&format!("| | way | {rate} | ÷ direct | ÷ pgbouncer | CPU {cost} | ÷ pgbouncer |"));
    say::line("|---|---|---:|---:|---:|---:|---:|");
    for ((asked, way), samples) in measured {
        let of = |way: Way, pick: fn(&(f64, f64)) -> f64| {
            let samples = measured.get(&(asked.clone(), way));
            samples.map_or(f64::NAN, |samples| median(samples.iter().map(pick).collect()))
        };
        let per_second = median(samples.iter().map(|sample| sample.0).collect());
        let cpu = median(samples.iter().map(|sample| sample.1).collect());
        let costs = if *way == DIRECT {
            "| |".to_owned()
        } else {
            format!("{cpu:.2} | {:.2} |", cpu / of(BOUNCER, |sample| sample.1))
        };
        say::line(&format!(
            "| {asked} | {way} | {per_second:.1} | {:.2} | {:.2} | {costs}",
            per_second / of(DIRECT, |sample| sample.0),
            per_second / of(BOUNCER, |sample| sample.0),
        ));
    }
}

/// How busy the machine is with everything else.
fn load() -> String {
    std::fs::read_to_string(Path::new("/proc/loadavg"))
        .map_or_else(|_| "unknown".to_owned(), |text| text.chars().take(14).collect())
}
