//! `regress`: PostgreSQL's own regression suite, through the walk of statements and through the gateway.
//!
//! The SQL is PostgreSQL's and is never part of this repository: Debian's source package is fetched into target/tools.
//! What cannot pass by design stands in `fixtures/regress/by-design.txt`, each file with its reason.

use crate::cast::PAULA;
use crate::clock;
use crate::command::{Ran, Running, must_within, run_within, start};
use crate::fault::{Doing as _, Fault, Outcome};
use crate::postgres::Cluster;
use crate::say;
use crate::scene::{Choice, Scene, build};
use crate::tools::{self, Places};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

/// The file that makes what the others stand on.
const SET_UP: &str = "test_setup";
/// Longest that a file of the suite may run.
const FILE_MAX: Duration = Duration::from_mins(3);
/// Longest that fetching the source may take.
const FETCH_SECONDS_MAX: u64 = 300;

const POLICY: &str = r#"/- kdl-version 2
connection regression kind=postgres {
    owner team:payments
    address "127.0.0.5:PORT" database=regression
    credential (env)"BENCH_PASSWORD" user=gateway_rw
    tls off
    label env=dev data=internal
    description "PostgreSQL's own regression suite: everything is permitted, and nothing is masked."
}
grant regression id=regression-everything {
    to group:payments-dev
    when standing
    permit read write bulk export ddl dcl routine maintain set listen
    table "*.*"
NAMES}
"#;

/// What runs only where a grant names exactly it: everything of the catalog, here.
const NAMED_EXACTLY: &str = "select string_agg(distinct format('    table \"%s.%s\"', n.nspname, x.name), chr(10)) from \
    (select pronamespace as space, proname as name from pg_proc union select relnamespace, relname from pg_class) as x \
    join pg_namespace n on n.oid = x.space where n.nspname in ('pg_catalog', 'information_schema') and x.name !~ '[^a-z0-9_]'";

/// Runs the suite: `--walk` through the walk of statements only; else names of files, or all.
///
/// # Errors
/// When the source cannot be had or a part does not start.
pub fn run(words: &[&str]) -> Outcome<ExitCode> {
    let places = Places::find()?;
    let suite = suite(&places)?;
    if words == ["--walk"] {
        return walk(&places, &suite);
    }
    build(&places, "release")?;
    let known = by_design(&places)?;
    if let ["--from", first] = words {
        // What the later files stand on is made past the gateway.
        let all = schedule(&suite)?;
        let at = all.iter().position(|file| file == first).ok_or_else(|| Fault::new(format!("no file `{first}`")))?;
        let (before, files) = all.split_at(at);
        return compare(&places, &suite, before, files, &known);
    }
    let files =
        if words.is_empty() { schedule(&suite)? } else { words.iter().map(|word| (*word).to_owned()).collect() };
    compare(&places, &suite, &[], &files, &known)
}

/// The folder `src/test/regress` of PostgreSQL 15's source.
pub fn suite(places: &Places) -> Outcome<PathBuf> {
    if let Some(named) = std::env::var_os("LEASEHOLD_POSTGRES_SOURCE") {
        return Ok(PathBuf::from(named).join("src/test/regress"));
    }
    let folder = places.tools().join("postgresql-source");
    let suite = folder.join("src/test/regress");
    if suite.join("parallel_schedule").exists() {
        return Ok(suite);
    }
    let lists = folder.join("lists");
    std::fs::create_dir_all(lists.join("partial")).doing(|| format!("cannot make {}", lists.display()))?;
    let list = folder.join("sources.list");
    std::fs::write(&list, "deb-src http://deb.debian.org/debian bookworm main\n")
        .doing(|| format!("cannot write {}", list.display()))?;
    say::note(&format!("apt-get source postgresql-15, unpacked into {}", folder.display()));
    for step in [&["update"][..], &["source", "--download-only", "postgresql-15"]] {
        let mut apt = Command::new("apt-get");
        apt.current_dir(&folder).arg("-qq").args(["-o", &format!("Dir::Etc::sourcelist={}", list.display())]);
        apt.args(["-o", "Dir::Etc::sourceparts=/dev/null", "-o", &format!("Dir::State::Lists={}", lists.display())]);
        apt.args(["-o", &format!("Dir::Cache={}", folder.display())]).args(step);
        must_within(&mut apt, Duration::from_secs(FETCH_SECONDS_MAX))?;
    }
    let archive = std::fs::read_dir(&folder)
        .doing(|| format!("cannot read {}", folder.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with(".orig.tar.bz2"))
        .ok_or_else(|| Fault::new("apt-get source brought no archive"))?;
    let mut tar = Command::new("tar");
    tar.current_dir(&folder).args(["--extract", "--strip-components=1", "--wildcards", "--file"]).arg(&archive);
    must_within(tar.arg("*/src/test/regress"), Duration::from_secs(FETCH_SECONDS_MAX))?;
    Ok(suite)
}

/// Walks every statement of the suite against the oracle.
fn walk(places: &Places, suite: &Path) -> Outcome<ExitCode> {
    let mut cargo = tools::cargo(places);
    cargo.args([
        "test",
        "--quiet",
        "--package",
        "pgsql",
        "--lib",
        "--",
        "--ignored",
        "--nocapture",
        "regression_suite",
    ]);
    cargo.env("LEASEHOLD_REGRESS", suite.join("sql"));
    let status = cargo.status().doing(|| "cannot start cargo".to_owned())?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Random queries: a test that runs long.
///
/// # Errors
/// When cargo does not start.
pub fn smith(words: &[&str]) -> Outcome<ExitCode> {
    let places = Places::find()?;
    crate::setup::one("sqlsmith")?;
    build(&places, "release")?;
    let mut cargo = tools::cargo(&places);
    cargo.args([
        "test",
        "--quiet",
        "--package",
        "tests",
        "--test",
        "it",
        "--",
        "--ignored",
        "--nocapture",
        "live::smith",
    ]);
    for (variable, word) in ["SMITH_SEED", "SMITH_QUERIES"].iter().zip(words) {
        cargo.env(variable, word);
    }
    let status = cargo.status().doing(|| "cannot start cargo".to_owned())?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The files in the order of the suite's own schedule.
fn schedule(suite: &Path) -> Outcome<Vec<String>> {
    let path = suite.join("parallel_schedule");
    let text = std::fs::read_to_string(&path).doing(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().filter_map(|line| line.strip_prefix("test: "));
    Ok(lines.flat_map(str::split_whitespace).map(str::to_owned).collect())
}

/// The files that cannot pass, each with the reason.
fn by_design(places: &Places) -> Outcome<BTreeMap<String, String>> {
    let path = places.root.join("fixtures/regress/by-design.txt");
    let text = std::fs::read_to_string(&path).doing(|| format!("cannot read {}", path.display()))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.filter_map(|line| line.split_once(": ")).map(|(file, why)| (file.to_owned(), why.to_owned())).collect())
}

/// Everything that a run of the suite stands on: two targets, one of them behind the gateway.
struct Stage {
    scene: Scene,
    direct: Cluster,
    token: String,
    out: PathBuf,
    suite: PathBuf,
}

/// How one file went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Through the gateway it says what it says directly.
    Equal,
    /// It does not, while a second direct run agrees with the first.
    Differs,
    /// It does not, and neither does a second direct run.
    Unsteady,
}

fn compare(
    places: &Places,
    suite: &Path,
    before: &[String],
    files: &[String],
    by_design: &BTreeMap<String, String>,
) -> Outcome<ExitCode> {
    let stage = Stage::start(places, suite)?;
    for file in before.iter().filter(|file| *file != SET_UP) {
        stage.directly(file)?;
    }
    stage.refresh()?;
    let mut verdicts: BTreeMap<&str, Verdict> = BTreeMap::new();
    let files: Vec<&String> = files.iter().filter(|file| *file != SET_UP).collect();
    for (at, file) in files.iter().enumerate() {
        let start = clock::now();
        let verdict = stage.file(file)?;
        verdicts.insert(file, verdict);
        let what = match (verdict, by_design.get(*file)) {
            (Verdict::Equal, None) => "equal".to_owned(),
            (Verdict::Equal, Some(_)) => "EQUAL, although the list says that it cannot be".to_owned(),
            (Verdict::Differs | Verdict::Unsteady, Some(why)) => format!("by design: {why}"),
            (Verdict::Differs, None) => {
                format!("DIFFERS: diff {0}/{file}.direct {0}/{file}.through", stage.out.display())
            }
            (Verdict::Unsteady, None) => "UNSTEADY: two direct runs differ as well".to_owned(),
        };
        let seconds = start.elapsed().as_secs_f64();
        say::line(&format!("  {:>3}/{} {seconds:5.1} s  {file}: {what}", at + 1, files.len()));
    }
    let pick = |wanted: &dyn Fn(Verdict, bool) -> bool| -> Vec<&str> {
        verdicts
            .iter()
            .filter(|(file, verdict)| wanted(**verdict, by_design.contains_key(**file)))
            .map(|(file, _)| *file)
            .collect()
    };
    let equal = pick(&|verdict, _| verdict == Verdict::Equal);
    let explained = pick(&|verdict, listed| verdict != Verdict::Equal && listed);
    let wrong = pick(&|verdict, listed| verdict != Verdict::Equal && !listed);
    let passing = pick(&|verdict, listed| verdict == Verdict::Equal && listed);
    say::line(&format!(
        "{} files: {} say what they say directly, {} differ by design, {} differ unexpectedly",
        files.len(),
        equal.len(),
        explained.len(),
        wrong.len()
    ));
    for (what, names) in [("differ unexpectedly", &wrong), ("are equal although listed", &passing)] {
        if !names.is_empty() {
            say::line(&format!("{what}: {}", names.join(" ")));
        }
    }
    Ok(if wrong.is_empty() && passing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The suite's database, with the settings that `pg_regress` gives it. What runs by itself would only make plans differ.
fn prepare(cluster: &Cluster) -> Outcome<()> {
    for sql in [
        "alter role gateway_rw superuser",
        "alter system set autovacuum to off",
        "select pg_reload_conf()",
        "create database regression owner gateway_rw template template0",
    ] {
        cluster.value("postgres", sql)?;
    }
    settings(cluster)
}

/// A database that is made from another takes its settings not along.
fn settings(cluster: &Cluster) -> Outcome<()> {
    for setting in [
        "timezone to 'PST8PDT'",
        "datestyle to 'Postgres, MDY'",
        "intervalstyle to 'postgres_verbose'",
        "bytea_output to 'hex'",
        "timezone_abbreviations to 'Default'",
        "search_path to public, pg_temp",
    ] {
        cluster.value("postgres", &format!("alter database regression set {setting}"))?;
    }
    Ok(())
}

/// Keeps the suite's database as it is now. Its sessions are over: the client ended, the server may not know yet.
fn keep(cluster: &Cluster) -> Outcome<()> {
    cluster.value("postgres", "drop database if exists before with (force)")?;
    let others = "select count(pg_terminate_backend(pid, 5000)) from pg_stat_activity where datname = 'regression'";
    cluster.value("postgres", others)?;
    cluster
        .value("postgres", "create database before owner gateway_rw template regression strategy file_copy")
        .map(|_| ())
}

/// Goes back to what was kept.
fn restore(cluster: &Cluster) -> Outcome<()> {
    cluster.value("postgres", "drop database regression with (force)")?;
    cluster.value("postgres", "alter database before rename to regression")?;
    settings(cluster)
}

impl Stage {
    fn start(places: &Places, suite: &Path) -> Outcome<Self> {
        let direct = Cluster::start(places)?;
        prepare(&direct)?;
        let names = direct.value("regression", NAMED_EXACTLY)?;
        let policy = POLICY.replace("NAMES", &format!("{names}\n"));
        let choice = Choice {
            profile: "release",
            plaintext: true,
            policy_files: vec![("connections/regression.kdl".to_owned(), policy)],
            prepare: Some(Box::new(prepare)),
            ..Choice::default()
        };
        let scene = Scene::start(places, &places.target.join("live/regress"), &choice)?;
        let token = scene.token(&PAULA)?;
        let out = places.target.join("regress");
        drop(std::fs::remove_dir_all(&out));
        std::fs::create_dir_all(out.join("results")).doing(|| format!("cannot make {}", out.display()))?;
        let stage = Self { scene, direct, token, out, suite: suite.to_path_buf() };
        stage.directly(SET_UP)?;
        Ok(stage)
    }

    /// Runs a file past the gateway on both sides: what others stand on.
    fn directly(&self, file: &str) -> Outcome<()> {
        let script = self.script(file)?;
        let both = [&self.direct, &self.scene.cluster]
            .map(|cluster| self.psql(&script, cluster.port, &cluster.writer_password));
        for running in both {
            running?.finish(FILE_MAX)?;
        }
        Ok(())
    }

    /// Runs one file both ways. Where they differ, the target behind the gateway is put back and the file is run there
    /// directly: what comes later finds what it needs, and what differs by itself is told from what the gateway does.
    fn file(&self, file: &str) -> Outcome<Verdict> {
        let script = self.script(file)?;
        keep(&self.scene.cluster)?;
        let directly = self.psql(&script, self.direct.port, &self.direct.writer_password)?;
        let through = self.psql(&script, self.scene.gateway.port, &self.token)?;
        let [directly, through] = [directly.finish(FILE_MAX), through.finish(FILE_MAX)].map(said);
        self.write(file, "direct", &directly)?;
        self.write(file, "through", &through)?;
        if normal(&directly) == normal(&through) {
            return Ok(Verdict::Equal);
        }
        let target = &self.scene.cluster;
        restore(target)?;
        let again = said(self.psql(&script, target.port, &target.writer_password)?.finish(FILE_MAX));
        self.write(file, "again", &again)?;
        self.refresh()?;
        Ok(if normal(&directly) == normal(&again) { Verdict::Differs } else { Verdict::Unsteady })
    }

    /// Has the gateway read the catalog anew: the target was changed past it.
    fn refresh(&self) -> Outcome<()> {
        let mut psql = self.client(self.scene.gateway.port, &self.token);
        psql.args(["--command", "create schema regress_refresh; drop schema regress_refresh", "--command", "select 1"]);
        run_within(&mut psql, FILE_MAX).map(|_| ())
    }

    /// The file as it is run on both sides: where it copies from or to a file of the server, psql copies instead.
    fn script(&self, file: &str) -> Outcome<PathBuf> {
        let path = self.suite.join("sql").join(format!("{file}.sql"));
        let bytes = std::fs::read(&path).doing(|| format!("cannot read {}", path.display()))?;
        let copy = self.out.join(format!("{file}.sql"));
        std::fs::write(&copy, self.with_copies_of_the_client(&bytes))
            .doing(|| format!("cannot write {}", copy.display()))?;
        Ok(copy)
    }

    fn with_copies_of_the_client(&self, text: &[u8]) -> Vec<u8> {
        let mut named = String::new();
        let mut out = Vec::new();
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let words = std::str::from_utf8(line).unwrap_or_default();
            if let Some(value) = words.strip_prefix("\\set filename ") {
                let folder = if value.starts_with(":abs_srcdir") { &self.suite } else { &self.out };
                named = format!("'{}{}'", folder.display(), value.split('\'').nth(1).unwrap_or_default());
            }
            let head = words.get(..5).unwrap_or_default();
            match words.trim_end().strip_suffix(';') {
                Some(copy) if head.eq_ignore_ascii_case("copy ") && copy.contains(":'filename'") => {
                    out.extend(format!("\\{}\n", copy.replace(":'filename'", &named)).into_bytes());
                }
                _ => out.extend(line),
            }
        }
        out
    }

    fn client(&self, port: u16, password: &str) -> Command {
        let mut psql = Command::new("/bin/sh");
        // Both streams in one, in the order in which they were written.
        psql.args(["-c", "exec \"$@\" 2>&1", "psql"]).arg(self.direct.psql());
        psql.args(["--no-psqlrc", "--echo-all", "--quiet", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]);
        psql.current_dir(&self.out);
        psql.env("PGHOST", "127.0.0.1").env("PGPORT", port.to_string()).env("PGDATABASE", "regression");
        psql.env("PGUSER", "gateway_rw").env("PGPASSWORD", password).env("PGSSLMODE", "disable");
        psql.env("PG_ABS_SRCDIR", &self.suite)
            .env("PG_ABS_BUILDDIR", &self.out)
            .env("PG_LIBDIR", &self.suite)
            .env("PG_DLSUFFIX", ".so");
        psql
    }

    fn psql(&self, script: &Path, port: u16, password: &str) -> Outcome<Running> {
        start(self.client(port, password).arg("--file").arg(script))
    }

    fn write(&self, file: &str, way: &str, said: &str) -> Outcome<()> {
        let path = self.out.join(format!("{file}.{way}"));
        std::fs::write(&path, said).doing(|| format!("cannot write {}", path.display()))
    }
}

/// What a run said; one that did not end in time says so.
fn said(ran: Outcome<Ran>) -> String {
    ran.map_or_else(|fault| format!("{fault}\n"), |ran| ran.out)
}

/// What was said, without what differs by construction: where in a text an error is (the gateway's own say it in words),
/// how long something took, and what else CASCADE drops, which the server lists in no order.
fn normal(said: &str) -> Vec<String> {
    let differs = |line: &str| {
        let place = line.starts_with("LINE ") || !line.is_empty() && line.trim_start() == "^";
        place
            || ["Time:", "DETAIL:  drop cascades", "HINT:  What the gateway cannot analyse"]
                .iter()
                .any(|start| line.starts_with(start))
    };
    said.lines().map(without_place).filter(|line| !differs(line)).map(str::to_owned).collect()
}

/// A message without `psql:FILE:LINE: `.
fn without_place(line: &str) -> &str {
    match line.strip_prefix("psql:") {
        Some(rest) => rest.splitn(3, ':').nth(2).map_or(line, str::trim_start),
        None => line,
    }
}
