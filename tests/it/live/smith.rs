//! Queries made at random, in two worlds that differ only in masked values: `cargo xtask smith [SEED [QUERIES]]`.
//!
//! So many of our own making ([`super::maker`]), and a quarter as many of `sqlsmith`, of which most are refused because they
//! call whatever the catalog has. Of each query: through the gateway both worlds must give the same; and where it reads no
//! masked column, the same as past the gateway, rows or class of error. What the gateway refuses is counted.

use super::fresh;
use super::maker::Maker;
use super::raw::{Message, Raw, message, startup};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use xtask::cast::PAULA;
use xtask::command::{must, run_within};
use xtask::fault::Outcome;
use xtask::postgres::Cluster;
use xtask::scene::{Choice, Scene};
use xtask::tools::Places;

const PROBE: &str = "probe";
const WORLDS: [(&str, &str); 2] = [("world_a", "world-a"), ("world_b", "world-b")];

/// Relations with masks, or that lead to one.
const MASKED: [&str; 16] = [
    "customers",
    "customer_names",
    "customer_money",
    "rich",
    "kept",
    "people",
    "staff",
    "events",
    "graded",
    "calls",
    "stats",
    "guarded",
    "subscriptions",
    "pg_attribute",
    "peek",
    "name_of",
];
/// What gives something else each time, or elsewhere.
const VOLATILE: [&str; 14] = [
    "random",
    "clock_timestamp",
    "timeofday",
    "timestamp",
    "now(",
    "uuid",
    "pg_",
    "txid",
    "xid",
    "inet_",
    "current_database",
    "sample",
    "ctid",
    "version()",
];

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

/// The queries of one run: a text of `sqlsmith`, parted at the semicolons that end lines.
fn queries(scene: &Scene, seed: u64, count: u64) -> Vec<String> {
    let mut smith = Command::new("sqlsmith");
    smith.args(["--dry-run", "--exclude-catalog", &format!("--seed={seed}"), &format!("--max-queries={count}")]);
    smith.arg(format!(
        "--target=host=127.0.0.1 port={} dbname={} user={PROBE} password={PROBE}",
        scene.cluster.port, WORLDS[0].0
    ));
    let made =
        run_within(&mut smith, Duration::from_mins(10)).expect("sqlsmith is installed: apt-get install sqlsmith");
    let texts = made.out.split(";\n").map(|text| text.trim().to_owned());
    texts.filter(|text| text.starts_with("select") || text.starts_with("WITH") || text.starts_with("with")).collect()
}

/// What a query gives, in no order: its rows, or the class of its error.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Given {
    Rows(Vec<Vec<u8>>),
    Error(String),
    Refused,
}

fn ask(raw: &mut Raw, sql: &str) -> Given {
    raw.send(&message(b'Q', format!("{sql}\0").as_bytes()));
    let answers = raw.until_ready();
    if let Some(refusal) = answers.iter().find_map(Message::refusal) {
        return if refusal.code == "42501" { Given::Refused } else { Given::Error(refusal.code[..2].to_owned()) };
    }
    let mut rows: Vec<Vec<u8>> =
        answers.into_iter().filter(|answer| answer.tag == 'D').map(|answer| answer.body).collect();
    rows.sort();
    Given::Rows(rows)
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
    let (seed, count) = (number("SMITH_SEED", 1), number("SMITH_QUERIES", 3_000));
    let direct = |database: &str| {
        let mut raw = Raw::connect(scene.cluster.port);
        let search_path = ("search_path", "public, pg_temp");
        raw.send(&startup(&[("user", PROBE), ("database", database), ("client_encoding", "UTF8"), search_path]));
        raw.authenticate(PROBE).expect("the probe logs in");
        raw
    };
    let token = scene.token(&PAULA).unwrap();
    let through = |connection: &str| Raw::login(scene.gateway.port, connection, &token).expect("the login works");
    let mut past = direct(WORLDS[0].0);
    let mut via = WORLDS.map(|(_, connection)| through(connection));
    for raw in [&mut past].into_iter().chain(&mut via) {
        raw.query("set statement_timeout = '2s'").unwrap();
    }
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut maker = Maker::new(seed);
    let made = (0..count).map(|_| maker.query());
    let drawn = queries(&scene, seed, count / 4).into_iter().map(|sql| {
        let masked = MASKED.iter().any(|name| sql.contains(name));
        (sql, masked)
    });
    for (at, (sql, masked)) in made.chain(drawn).enumerate() {
        if at % 1_000 == 999 {
            eprintln!("{} queries: {counted:?}, {} wrong", at + 1, wrong.len());
        }
        let mut add = |what| *counted.entry(what).or_default() += 1;
        add("queries");
        let [a, b] = [0, 1].map(|world| ask(&mut via[world], &sql));
        if [&a, &b].iter().any(|given| **given == Given::Error("57".to_owned())) {
            add("ran too long");
            continue;
        }
        let steady = !VOLATILE.iter().any(|word| sql.contains(word));
        if a == Given::Refused || b == Given::Refused {
            add("refused");
            if a != b {
                wrong.push(format!("refused in one world only: {sql}"));
            }
            continue;
        }
        if steady && a != b {
            wrong.push(format!("the worlds differ: {sql}\n  {a:?}\n  {b:?}"));
        }
        if !steady {
            add("volatile");
        } else if masked {
            add("read masked relations: the worlds are equal");
        } else {
            let given = ask(&mut past, &sql);
            if given == Given::Error("57".to_owned()) {
                add("ran too long");
                continue;
            }
            add(if matches!(given, Given::Rows(_)) { "rows as directly" } else { "class of error as directly" });
            if given != a {
                wrong.push(format!("not as directly: {sql}\n  {given:?}\n  {a:?}"));
            }
        }
    }
    eprintln!("seed {seed}: {counted:?}, {} wrong", wrong.len());
    assert!(counted.get("queries").is_some_and(|queries| *queries > 50), "{counted:?}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
