//! Queries made at random, in two worlds that differ only in masked values: `cargo xtask smith [SEED [QUERIES]]`.
//!
//! So many of our own making ([`super::maker`]), and as many of `sqlsmith`, which sees no routine that never runs where masks
//! stand, and none that it cannot call (`SMITH_ALL=1` shows it all of them), and no relation that is closed or whose values
//! differ without a mask. Of each query: through the gateway both worlds
//! must give the same; and where it reads no masked column, the same as past the gateway, rows or class of error. What the
//! gateway refuses is counted, with its reasons.

use super::fresh;
use super::maker::Maker;
use super::raw::{Message, Raw, message, startup};
use lang::protocol::Operation;
use pgsql::session::SessionFacts;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use xtask::cast::PAULA;
use xtask::clock::now;
use xtask::command::{must, run_within};
use xtask::fault::Outcome;
use xtask::postgres::Cluster;
use xtask::scene::{Choice, Scene};
use xtask::tools::Places;

const PROBE: &str = "probe";
const WORLDS: [(&str, &str); 2] = [("world_a", "world-a"), ("world_b", "world-b")];
/// Where `sqlsmith` looks for names; nothing runs there.
const SOURCE: &str = "smith_source";
/// `sqlsmith` takes a seed of 31 bits.
const SEEDS: u64 = 2_000_000;
/// How often the run says how far it is.
const SAID_EVERY: Duration = Duration::from_secs(20);
/// Queries of one run of `sqlsmith`.
const RUN: u64 = 2_000;

/// What shows masked columns though it is no relation of the world.
const MASKED: [&str; 3] = ["pg_attribute", "peek", "name_of"];
/// Relations that show other values in the other world: hashes of them, and what is masked in a view only. Sorted.
const PLAIN: [&str; 2] = ["hashed_notes", "wages"];
/// What gives something else each time, or elsewhere; `pg_catalog.` is taken out before.
const VOLATILE: [&str; 14] = [
    "random",
    "_timestamp",
    "localtime",
    "current_time",
    "now(",
    "uuid",
    "pg_",
    "inet_",
    "current_database",
    "current_query",
    "current_user",
    "session_user",
    "ctid",
    "version()",
];
/// A type of the world that is there to be refused.
const CLOSED: &str = "drop type mood cascade";
/// Relations of the world.
const RELATIONS: &str = "select string_agg(format('%s %s', case relkind when 'v' then 'view' \
    when 'm' then 'materialized view' when 'f' then 'foreign table' else 'table' end, oid::regclass), ',') from pg_class \
    where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm', 'f')";

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn fixtures() -> PathBuf {
    Places::find().unwrap().root.join("fixtures/masking")
}

fn prepare(cluster: &Cluster) -> Outcome<()> {
    cluster.value("postgres", "create role probe login password 'probe'")?;
    for ((database, _), world) in WORLDS.iter().zip(["A", "B"]) {
        let from = if world == "A" { "template1" } else { WORLDS[0].0 };
        cluster.value("postgres", &format!("create database {database} template {from}"))?;
        let mut psql = cluster.psql_command(database);
        psql.arg(format!("--set=w={world}")).arg("--file").arg(fixtures().join("world.sql"));
        must(&mut psql)?;
    }
    cluster.value("postgres", "grant gateway_rw to probe")?;
    let file = PathBuf::from(cluster.value("postgres", "show hba_file")?);
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("host all {PROBE} 127.0.0.0/8 password\n{before}")).unwrap();
    cluster.value("postgres", "select pg_reload_conf()")?;
    Ok(())
}

/// The relations of the world, by what the gateway shows of them.
#[derive(Default)]
struct Sorted {
    /// With masked cells: their names.
    masked: Vec<String>,
    /// Closed, or otherwise in the other world though no mask names them; nothing is learned from them. With their kind.
    useless: Vec<String>,
}

impl Sorted {
    fn of(cluster: &Cluster, ways: &mut Ways) -> Self {
        let (mut sorted, mut plain) = (Self::default(), Vec::new());
        let relations = cluster.value(SOURCE, RELATIONS).unwrap();
        for relation in relations.split(',') {
            let name = relation.rsplit(' ').next().unwrap();
            let Ways { past, via: [via_a, via_b] } = &mut *ways;
            let [a, b, directly] = ask([via_a, via_b, past], &format!("select * from {name}"));
            if matches!(a, Given::Refused(_)) {
                sorted.useless.push(relation.to_owned());
            } else if a != b {
                plain.push(name);
                sorted.useless.push(relation.to_owned());
            } else if a != directly {
                sorted.masked.push(name.trim_matches('"').to_owned());
            }
        }
        plain.sort_unstable();
        assert_eq!(plain, PLAIN, "relations that show other values in the other world");
        let Self { masked, useless } = &sorted;
        eprintln!("{} relations with masks, {} that are left out: {}", masked.len(), useless.len(), useless.join(", "));
        sorted
    }
}

/// Makes the database that `sqlsmith` reads names from: the world without what the gateway refuses by its name alone, without
/// routines that give something else each time, and without those of types that `sqlsmith` takes for types of their own.
fn make_source(cluster: &Cluster, useless: &[String]) {
    if std::env::var_os("SMITH_ALL").is_some() {
        return;
    }
    cluster.value(SOURCE, CLOSED).unwrap();
    for drop in useless {
        cluster.value(SOURCE, &format!("drop {drop} cascade")).ok();
    }
    let names = "select string_agg(distinct proname, ' ') from pg_proc where pronamespace = 'pg_catalog'::regnamespace";
    let names = cluster.value(SOURCE, names).unwrap();
    let facts = SessionFacts::pinned(15);
    let never = |name: &&str| {
        let judged = pgsql::judge(&format!("select pg_catalog.\"{name}\"()"), &facts).unwrap();
        judged.iter().flat_map(|statement| &statement.accesses).any(|access| access.operation == Operation::Call)
    };
    let never: Vec<&str> = names.split(' ').filter(never).collect();
    assert!(never.len() > 100 && never.len() < names.split(' ').count(), "{} routines never run", never.len());
    let pseudo = "(array['anyrange', 'anymultirange', 'anycompatiblerange', 'anycompatiblemultirange', 'anyenum', 'cstring', \
        'internal', 'record', '\"any\"']::regtype[]::oid[])";
    let here = "(pronamespace = 'public'::regnamespace and not exists (select from pg_depend as d \
        where d.classid = 'pg_proc'::regclass and d.objid = pg_proc.oid and d.deptype = 'e'))";
    // `sqlsmith` takes no window functions, and no operators without a result. Some routines it calls itself.
    let hide = format!(
        "set allow_system_table_mods = on; update pg_proc set prokind = 'w' \
         where proname not in ('format', 'quote_ident', 'version') and (proname = any('{{{}}}') \
         or proargtypes::oid[] && {pseudo} or prorettype = any{pseudo} \
         or provolatile = 'v' or proname ~ '^(pg_|inet_|has_)' or {here}); \
         update pg_operator set oprresult = 0 where oprleft = any{pseudo} or oprright = any{pseudo}",
        never.join(",")
    );
    cluster.value(SOURCE, &hide).unwrap();
}

/// The queries of one run: a text of `sqlsmith`, parted at the semicolons that end lines.
fn queries(port: u16, seed: u64, count: u64) -> Vec<String> {
    let mut smith = Command::new("sqlsmith");
    smith.args(["--dry-run", "--exclude-catalog", &format!("--seed={seed}"), &format!("--max-queries={count}")]);
    smith.arg(format!("--target=host=127.0.0.1 port={port} dbname={SOURCE} user={PROBE} password={PROBE}"));
    let made =
        run_within(&mut smith, Duration::from_mins(10)).expect("sqlsmith is installed: apt-get install sqlsmith");
    assert!(made.ok(), "sqlsmith failed: {}", made.err);
    let texts = made.out.split(";\n").map(|text| without_samples(text.trim()));
    texts.filter(|text| text.starts_with("select") || text.starts_with("WITH") || text.starts_with("with")).collect()
}

/// A query that reads all rows where it read a sample of them, which is another one each time.
fn without_samples(sql: &str) -> String {
    let mut parts = sql.split(" tablesample ");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole.push_str(part.split_once(')').unwrap().1);
    }
    whole
}

/// As many queries in runs, each with a seed of its own; some are made while those before them are run.
fn drawn(port: u16, seed: u64, count: u64) -> Receiver<Vec<String>> {
    let (give, take) = sync_channel(2);
    std::thread::spawn(move || {
        let seed = seed % SEEDS * 1_000;
        let runs = (0..count.div_ceil(RUN)).map(|run| queries(port, seed + run, RUN.min(count - run * RUN)));
        // Nobody takes more once the test has failed.
        let _ended = runs.map(|made| give.send(made)).find(Result::is_err);
    });
    take
}

/// What a query gives, in no order: its rows, or the class of its error.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    Rows(Vec<Vec<u8>>),
    Error(String),
    Refused(String),
    Ended,
}

/// Runs a query on each connection at once.
fn ask<const N: usize>(connections: [&mut Raw; N], sql: &str) -> [Given; N] {
    let text = message(b'Q', format!("{sql}\0").as_bytes());
    let sent = connections.map(|raw| {
        raw.send(&text);
        raw
    });
    sent.map(|raw| given(raw.until_ready()))
}

fn given(answers: Vec<Message>) -> Given {
    if answers.last().is_none_or(|last| last.tag != 'Z') {
        return Given::Ended;
    }
    if let Some(refusal) = answers.iter().find_map(Message::refusal) {
        let class = refusal.code[..2].to_owned();
        return if refusal.code == "42501" { Given::Refused(reason(&refusal.whole)) } else { Given::Error(class) };
    }
    let mut rows: Vec<Vec<u8>> =
        answers.into_iter().filter(|answer| answer.tag == 'D').map(|answer| answer.body).collect();
    rows.sort();
    Given::Rows(rows)
}

/// The sentence of a refusal without the names in it.
fn reason(whole: &str) -> String {
    let said = whole.split('\0').find_map(|field| field.strip_prefix('M')).unwrap_or_default();
    let parts = said.split('`').enumerate().map(|(at, part)| if at % 2 == 0 { part } else { "…" });
    parts.collect()
}

/// What became of the queries so far.
#[derive(Default)]
struct Tally {
    counted: BTreeMap<String, usize>,
    reasons: BTreeMap<String, (usize, String)>,
    wrong: Vec<String>,
}

impl Tally {
    fn add(&mut self, source: &str, what: &str) {
        *self.counted.entry(format!("{source}: {what}")).or_default() += 1;
    }

    fn refused(&mut self, source: &str, why: &str, sql: &str) {
        self.add(source, "refused");
        let entry = self.reasons.entry(format!("{source}: {why}")).or_insert_with(|| (0, sql.to_owned()));
        entry.0 += 1;
        if sql.len() < entry.1.len() {
            sql.clone_into(&mut entry.1);
        }
    }
}

/// The connections: past the gateway, and through it to each world.
struct Ways {
    past: Raw,
    via: [Raw; 2],
}

impl Ways {
    fn open(scene: &Scene) -> Self {
        let mut past = Raw::connect(scene.cluster.port);
        let search_path = ("search_path", "public, pg_temp");
        past.send(&startup(&[("user", PROBE), ("database", WORLDS[0].0), ("client_encoding", "UTF8"), search_path]));
        past.authenticate(PROBE).expect("the probe logs in");
        let token = scene.token(&PAULA).unwrap();
        let mut via =
            WORLDS.map(|(_, connection)| Raw::login(scene.gateway.port, connection, &token).expect("the login works"));
        for raw in [&mut past].into_iter().chain(&mut via) {
            raw.query("set statement_timeout = '700ms'").unwrap();
        }
        Self { past, via }
    }

    /// Runs one query every way that says something; whether the connections go on.
    fn run(&mut self, source: &str, sql: &str, masked: bool, tally: &mut Tally) -> bool {
        let bare = sql.replace("pg_catalog.", "");
        let steady = !VOLATILE.iter().any(|word| bare.contains(word));
        let [via_a, via_b] = &mut self.via;
        let (a, b, directly) = if steady && !masked {
            let [a, b, directly] = ask([via_a, via_b, &mut self.past], sql);
            (a, b, Some(directly))
        } else {
            let [a, b] = ask([via_a, via_b], sql);
            (a, b, None)
        };
        tally.add(source, "queries");
        let all = || [Some(&a), Some(&b), directly.as_ref()].into_iter().flatten();
        if all().any(|given| *given == Given::Ended) {
            tally.wrong.push(format!("a session ended: {sql}"));
            return false;
        }
        if all().any(|given| *given == Given::Error("57".to_owned())) {
            tally.add(source, "ran too long");
        } else if let (Given::Refused(why), _) | (_, Given::Refused(why)) = (&a, &b) {
            tally.refused(source, why, sql);
            if a != b {
                tally.wrong.push(format!("refused in one world only: {sql}"));
            }
        } else if !steady {
            tally.add(source, "volatile");
        } else if a != b {
            tally.wrong.push(format!("the worlds differ: {sql}\n  {a:?}\n  {b:?}"));
        } else if let Some(given) = directly {
            let rows = matches!(given, Given::Rows(_));
            tally.add(source, if rows { "rows as directly" } else { "class of error as directly" });
            if given != a {
                tally.wrong.push(format!("not as directly: {sql}\n  {given:?}\n  {a:?}"));
            }
        } else {
            let rows = matches!(a, Given::Rows(_));
            tally.add(source, if rows { "masked, rows as in the other world" } else { "masked, errors as there" });
        }
        true
    }
}

#[test]
#[ignore = "long: cargo xtask smith"]
fn random_queries_show_no_masked_value_and_otherwise_what_they_show_directly() {
    let policy = std::fs::read_to_string(fixtures().join("policy.kdl")).unwrap();
    let choice = Choice {
        profile: "release",
        plaintext: true,
        policy_files: vec![("connections/worlds.kdl".to_owned(), policy)],
        prepare: Some(Box::new(prepare)),
        ..Choice::default()
    };
    let scene = fresh("smith", &choice).unwrap();
    // The template of a database has no sessions.
    scene.cluster.value("postgres", &format!("create database {SOURCE} template {}", WORLDS[0].0)).unwrap();
    let (seed, count) = (number("SMITH_SEED", 1), number("SMITH_QUERIES", 2_000));
    let mut ways = Ways::open(&scene);
    let Sorted { masked, useless } = Sorted::of(&scene.cluster, &mut ways);
    make_source(&scene.cluster, &useless);
    let mut tally = Tally::default();
    let mut maker = Maker::new(seed);
    let made = (0..count).map(|_| maker.query()).map(|(sql, masked)| ("made", sql, masked));
    let drawn = drawn(scene.cluster.port, seed, count).into_iter().flatten();
    let drawn = drawn.map(|sql| {
        let masked = MASKED.into_iter().chain(masked.iter().map(String::as_str)).any(|name| sql.contains(name));
        ("sqlsmith", sql, masked)
    });
    let mut said = now();
    for (at, (source, sql, masked)) in made.chain(drawn).enumerate() {
        if said.elapsed() >= SAID_EVERY {
            eprintln!("{at} queries: {:?}, {} wrong", tally.counted, tally.wrong.len());
            said = now();
        }
        if !ways.run(source, &sql, masked, &mut tally) {
            ways = Ways::open(&scene);
        }
    }
    let Tally { counted, reasons, wrong } = tally;
    let mut reasons: Vec<_> = reasons.into_iter().map(|(why, (count, sql))| (count, why, sql)).collect();
    reasons.sort();
    for (count, why, sql) in reasons.iter().rev() {
        eprintln!("refused {count}: {why}\n    {}", sql.replace('\n', " "));
    }
    for (what, count) in &counted {
        eprintln!("{what}: {count}");
    }
    eprintln!("seed {seed}: {} wrong", wrong.len());
    for queries in ["made: queries", "sqlsmith: queries"] {
        assert!(counted.get(queries).is_some_and(|queries| *queries > 50), "{counted:?}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
