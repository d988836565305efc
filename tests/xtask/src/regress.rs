//! `regress`: PostgreSQL's own regression suite, through the walk of statements and through the gateway.
//!
//! The SQL is PostgreSQL's and is never part of this repository: Debian's source package is fetched into target/tools.
//! What cannot pass by design stands in `fixtures/regress/by-design.txt`, each file with its reason.

use crate::cast::PAULA;
use crate::command::{Ran, must_within, run_within};
use crate::fault::{Doing as _, Fault, Outcome};
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
const FILE_SECONDS_MAX: u64 = 180;
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
    build(&places, "debug")?;
    let files =
        if words.is_empty() { schedule(&suite)? } else { words.iter().map(|word| (*word).to_owned()).collect() };
    compare(&places, &suite, &files, &by_design(&places)?)
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
    direct: crate::postgres::Cluster,
    token: String,
    out: PathBuf,
}

fn compare(places: &Places, suite: &Path, files: &[String], by_design: &BTreeMap<String, String>) -> Outcome<ExitCode> {
    let direct = crate::postgres::Cluster::start(places)?;
    prepare(&direct)?;
    let names = direct.value("regression", NAMED_EXACTLY)?;
    let choice = Choice {
        plaintext: true,
        policy_files: vec![("connections/regression.kdl".to_owned(), POLICY.replace("NAMES", &format!("{names}\n")))],
        prepare: Some(Box::new(prepare)),
        ..Choice::default()
    };
    let scene = Scene::start(places, &places.target.join("live/regress"), &choice)?;
    let token = scene.token(&PAULA)?;
    let out = places.target.join("regress");
    drop(std::fs::remove_dir_all(&out));
    std::fs::create_dir_all(&out).doing(|| format!("cannot make {}", out.display()))?;
    let stage = Stage { scene, direct, token, out };
    stage.set_up(suite)?;
    let (mut same, mut explained, mut unexpected, mut passing) = (0, 0, Vec::new(), Vec::new());
    for file in files.iter().filter(|file| *file != SET_UP) {
        let equal = stage.file(suite, file)?;
        match (equal, by_design.get(file)) {
            (true, None) => same += 1,
            (true, Some(_)) => {
                same += 1;
                passing.push(file.clone());
            }
            (false, Some(why)) => {
                explained += 1;
                say::line(&format!("  by design  {file}: {why}"));
            }
            (false, None) => {
                say::line(&format!(
                    "  differs    {file}: diff {0}/{file}.direct {0}/{file}.through",
                    stage.out.display()
                ));
                unexpected.push(file.clone());
            }
        }
    }
    say::line(&format!(
        "{} files: {same} say what they say directly, {explained} differ by design, {} differ unexpectedly",
        files.len(),
        unexpected.len()
    ));
    if !passing.is_empty() {
        say::line(&format!("they pass although the list says that they cannot: {}", passing.join(" ")));
    }
    Ok(if unexpected.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The suite's database, with the settings that `pg_regress` gives it.
fn prepare(cluster: &crate::postgres::Cluster) -> Outcome<()> {
    for sql in [
        "alter role gateway_rw superuser",
        "create database regression owner gateway_rw template template0",
        "alter database regression set timezone to 'PST8PDT'",
        "alter database regression set datestyle to 'Postgres, MDY'",
        "alter database regression set intervalstyle to 'postgres_verbose'",
        "alter database regression set bytea_output to 'hex'",
        "alter database regression set timezone_abbreviations to 'Default'",
        "alter database regression set search_path to public, pg_temp",
    ] {
        cluster.value("postgres", sql)?;
    }
    Ok(())
}

impl Stage {
    /// What every file stands on is made past the gateway on both sides: it copies from files of the server.
    fn set_up(&self, suite: &Path) -> Outcome<()> {
        let path = suite.join("sql").join(format!("{SET_UP}.sql"));
        for cluster in [&self.direct, &self.scene.cluster] {
            self.psql(suite, &path, cluster.port, "regression", "gateway_rw", &cluster.writer_password)?;
        }
        Ok(())
    }

    /// Runs one file both ways; whether both say the same.
    fn file(&self, suite: &Path, file: &str) -> Outcome<bool> {
        let path = suite.join("sql").join(format!("{file}.sql"));
        let directly =
            self.psql(suite, &path, self.direct.port, "regression", "gateway_rw", &self.direct.writer_password)?;
        let through = self.psql(suite, &path, self.scene.gateway.port, "regression", "gateway_rw", &self.token)?;
        for (way, ran) in [("direct", &directly), ("through", &through)] {
            let path = self.out.join(format!("{file}.{way}"));
            std::fs::write(&path, &ran.out).doing(|| format!("cannot write {}", path.display()))?;
        }
        Ok(normal(&directly) == normal(&through))
    }

    fn psql(&self, suite: &Path, file: &Path, port: u16, database: &str, user: &str, password: &str) -> Outcome<Ran> {
        let mut psql = Command::new("/bin/sh");
        // Both streams in one, in the order in which they were written.
        psql.args(["-c", "exec \"$@\" 2>&1", "psql"]).arg(self.direct.psql());
        psql.args(["--no-psqlrc", "--echo-all", "--quiet", "-v", "HIDE_TABLEAM=on", "-v", "HIDE_TOAST_COMPRESSION=on"]);
        psql.arg("--file").arg(file).current_dir(&self.out);
        psql.env("PGHOST", "127.0.0.1").env("PGPORT", port.to_string()).env("PGDATABASE", database);
        psql.env("PGUSER", user).env("PGPASSWORD", password).env("PGSSLMODE", "disable");
        psql.env("PG_ABS_SRCDIR", suite)
            .env("PG_ABS_BUILDDIR", &self.out)
            .env("PG_LIBDIR", suite)
            .env("PG_DLSUFFIX", ".so");
        run_within(&mut psql, Duration::from_secs(FILE_SECONDS_MAX))
    }
}

/// What was said, without what differs by construction: where in a text an error is (the gateway's own say it in words),
/// how long something took, and what else CASCADE drops, which the server lists in no order.
fn normal(ran: &Ran) -> Vec<String> {
    let differs = |line: &str| {
        let place = line.starts_with("LINE ") || !line.is_empty() && line.trim_start() == "^";
        place
            || ["Time:", "DETAIL:  drop cascades", "HINT:  What the gateway cannot analyse"]
                .iter()
                .any(|start| line.starts_with(start))
    };
    ran.out.lines().map(without_place).filter(|line| !differs(line)).map(str::to_owned).collect()
}

/// A message without `psql:FILE:LINE: `.
fn without_place(line: &str) -> &str {
    match line.strip_prefix("psql:") {
        Some(rest) => rest.splitn(3, ':').nth(2).map_or(line, str::trim_start),
        None => line,
    }
}
