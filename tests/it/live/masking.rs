//! Column masks, shown by two worlds: the same session against two databases that differ only in values that a mask
//! hides. Whatever a client sees of one must be what it sees of the other: rows, errors, notices, counts, order, types.
//!
//! Both ways to mask are held to it: statements that are rewritten, and a target that masks by itself.
//!
//! `fixtures/masking/leaks` holds the sessions. Each is first proven past the gateway, where the worlds must differ; a
//! session that shows nothing there proves nothing here. `fixtures/masking/legitimate.sql` holds statements that must
//! give what they give past the gateway, but for masked cells.

use super::raw::{Message, Raw, message, startup};
use super::{fresh, kinds};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;
use xtask::cast::PAULA;
use xtask::command::must;
use xtask::fault::Outcome;
use xtask::postgres::Cluster;
use xtask::scene::{Choice, Scene};
use xtask::tools::Places;

/// The account that looks past the gateway, with the rights of the gateway's own.
const PROBE: &str = "probe";
/// The databases of the two worlds.
const WORLDS: [&str; 2] = ["world_a", "world_b"];

/// Who masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Masking {
    /// The gateway, in statements.
    Rewrite,
    /// The target, by its own privileges.
    Database,
}

impl Masking {
    /// The connection of each world.
    pub(super) const fn connections(self) -> [&'static str; 2] {
        match self {
            Self::Rewrite => ["world-a", "world-b"],
            Self::Database => ["vault-a", "vault-b"],
        }
    }
}

fn fixtures() -> PathBuf {
    Places::find().unwrap().root.join("fixtures/masking")
}

pub(super) static SCENE: LazyLock<Scene> = LazyLock::new(|| worlds("masking"));

/// A gateway over both worlds.
pub(super) fn worlds(name: &str) -> Scene {
    let mut policy = std::fs::read_to_string(fixtures().join("policy.kdl")).unwrap();
    for world in ["world-a", "world-b"] {
        let head = format!("classify {world} {{\n");
        policy = policy.replace(&head, &(head.clone() + &kinds::classes()));
    }
    policy += &kinds::masks();
    let choice = Choice {
        plaintext: true,
        policy_files: vec![
            ("connections/vaults.kdl".to_owned(), vaults(&policy)),
            ("connections/worlds.kdl".to_owned(), policy),
        ],
        prepare: Some(Box::new(prepare)),
        ..Choice::default()
    };
    let scene = fresh(name, &choice).unwrap();
    for (database, connection) in WORLDS.iter().zip(Masking::Database.connections()) {
        super::provision::by_an_administrator(&scene, connection, database);
    }
    scene
}

/// The same connections once more, masked by the target; the masks themselves hold for all.
fn vaults(policy: &str) -> String {
    let connections = policy.split("\nmask ").next().unwrap();
    let again = connections.replace("world-", "vault-").replace("tls off", "tls off\n    masking database");
    let again = again.replace("127.0.0.5", "127.0.0.7").replace("127.0.0.6", "127.0.0.8");
    // A third, which tests may change.
    let third = again.split("\nconnection vault-b").next().unwrap().replace("/- kdl-version 2\n", "");
    let third = third.replace("vault-a", "vault-c").replace("127.0.0.7", "127.0.0.9").replace("world_a", "world_c");
    let third = third.replace("user=gateway_rw", "user=dba");
    let grant =
        "grant vault-c id=vault-c-all {\n    to group:payments-dev\n    when standing\n    permit read write\n}\n";
    let classes = "classify vault-c {\n    column public.customers.full_name as=test.name\n    column public.customers.salary \
                   as=test.redact\n    column public.customers.login as=test.hash\n    column public.customers.iban as=test.hash\n}\n\
                   mask world-hash {\n    class test.hash\n    as hash\n    reveal never\n}\n";
    let cards = "connection cards kind=postgres {\n    owner team:payments\n    address \"127.0.0.10:PORT\" database=world_c\n    \
                 credential (env)\"BENCH_PASSWORD\" user=gateway_rw\n    tls off\n    label env=dev data=internal\n}\n\
                 grant cards {\n    to group:payments-dev\n    when standing\n    permit read write export routine\n}\n\
                 mask world-cards {\n    on cards\n    pattern (regex)#\"\\b(?:\\d[ -]?){13,19}\\b\"# check=luhn\n    as redact\n}\n";
    // A fourth, with hashes in statements.
    let hashed = cards.split("mask ").next().unwrap().replace(" cards", " hashed").replace("127.0.0.10", "127.0.0.11");
    let hashed = hashed.replace("export routine", "export routine ddl");
    let hashed = format!(
        "{hashed}classify hashed {{\n    column public.customers.full_name as=test.hash\n    column public.drift.ssn as=test.redact\n}}\n"
    );
    // Two with a role for each session.
    let made = cards.split("mask ").next().unwrap().replace(" cards", " made").replace("127.0.0.10", "127.0.0.12");
    let made =
        made.replace("(env)\"BENCH_PASSWORD\" user=gateway_rw", "(postgres-role)\"made_template\" user=made_maker");
    let made = made.replace("export routine", "export routine ddl set");
    let made = format!("{made}classify made {{\n    column public.customers.full_name as=test.name\n}}\n");
    let fifth = third.replace("vault-c", "vault-d").replace("127.0.0.9", "127.0.0.13");
    let fifth = fifth.replace("(env)\"BENCH_PASSWORD\" user=dba", "(postgres-role)\"class\" user=vault_maker");
    let roles = format!(
        "{fifth}\n{}{made}",
        format!("{grant}{}", classes.split("mask ").next().unwrap()).replace("vault-c", "vault-d")
    );
    format!("{again}\n{third}\n{grant}{classes}{cards}{hashed}{roles}")
}

/// Makes both worlds, and an account that may look past the gateway with a password in the clear.
fn prepare(cluster: &Cluster) -> Outcome<()> {
    cluster.value("postgres", "create role probe login password 'probe'")?;
    for (database, world) in WORLDS.iter().zip(["A", "B"]) {
        let from = if world == "A" { "template1" } else { WORLDS[0] };
        cluster.value("postgres", &format!("create database {database} template {from}"))?;
        let mut psql = cluster.psql_command(database);
        psql.arg(format!("--set=w={world}")).arg("--file").arg(fixtures().join("world.sql"));
        must(&mut psql)?;
    }
    for database in WORLDS {
        cluster.value(database, &kinds::definition())?;
    }
    cluster.value("postgres", "create database world_c template world_a")?;
    cluster.value("postgres", &format!("create role dba superuser login password '{}'", cluster.writer_password))?;
    cluster.value("postgres", "grant gateway_rw to probe")?;
    let file = PathBuf::from(cluster.value("postgres", "show hba_file")?);
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("host all {PROBE} 127.0.0.0/8 password\n{before}")).unwrap();
    cluster.value("postgres", "select pg_reload_conf()")?;
    Ok(())
}

/// A session past the gateway.
pub(super) fn direct(database: &str) -> Raw {
    let mut raw = Raw::connect(SCENE.cluster.port);
    raw.send(&startup(&[
        ("user", PROBE),
        ("database", database),
        ("client_encoding", "UTF8"),
        ("search_path", "public, pg_temp"),
    ]));
    raw.authenticate(PROBE).expect("the probe logs in");
    raw
}

/// A session through the gateway.
pub(super) fn through(connection: &str) -> Raw {
    static TOKEN: LazyLock<String> = LazyLock::new(|| SCENE.token(&PAULA).unwrap());
    Raw::login(SCENE.gateway.port, connection, &TOKEN).expect("the login works")
}

/// How statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Simple,
    Extended,
    Binary,
    Undescribed,
    Portal,
}

impl Mode {
    fn parse(word: &str) -> Self {
        match word {
            "simple" => Self::Simple,
            "extended" => Self::Extended,
            "binary" => Self::Binary,
            "nodescribe" => Self::Undescribed,
            "portal" => Self::Portal,
            other => panic!("unknown mode `{other}`"),
        }
    }

    pub(super) fn send(self, raw: &mut Raw, sql: &str) {
        let text = |parts: &[&[u8]]| parts.concat();
        let sql = format!("{sql}\0");
        if self == Self::Simple {
            return raw.send(&message(b'Q', sql.as_bytes()));
        }
        let format: &[u8] = if self == Self::Binary { &[0, 1, 0, 1] } else { &[0, 0] };
        let rows: u32 = if self == Self::Portal { 2 } else { 0 };
        let execute = message(b'E', &text(&[b"\0", &rows.to_be_bytes()]));
        let mut all = message(b'P', &text(&[b"\0", sql.as_bytes(), &[0, 0]]));
        all.extend(message(b'B', &text(&[b"\0\0", &[0, 0], &[0, 0], format])));
        if self != Self::Undescribed {
            all.extend(message(b'D', b"P\0"));
        }
        all.extend(&execute);
        if self == Self::Portal {
            all.extend(&execute);
        }
        all.extend(message(b'S', b""));
        raw.send(&all);
    }
}

/// One session of the corpus.
struct Case {
    file: String,
    /// It attacks what the gateway makes of a text: past the gateway it shows nothing.
    of_the_gateway: bool,
    text: String,
    mode: Mode,
}

fn cases() -> Vec<Case> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(fixtures().join("leaks")).unwrap().map(|entry| entry.unwrap().path()).collect();
    // `MASKING_ONLY=reads` runs one file of the corpus.
    let only = std::env::var("MASKING_ONLY").ok();
    files.retain(|path| only.as_ref().is_none_or(|only| name_of(path) == *only));
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let of_the_gateway = text.contains("\n# Past the gateway these show nothing");
        let modes = text.lines().next().unwrap().strip_prefix("# modes: ").expect("a corpus begins with its modes");
        for line in lines(&text) {
            for mode in modes.split(' ').map(Mode::parse) {
                all.push(Case { file: name_of(&path), of_the_gateway, text: line.replace('\u{23ce}', "\n"), mode });
            }
        }
    }
    all
}

/// The sessions of a file that are for the server's version: one behind which `-- until: 15` stands means nothing to newer
/// ones.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    static MAJOR: OnceLock<u32> = OnceLock::new();
    let major = *MAJOR.get_or_init(|| {
        let said = transcript(&mut direct(WORLDS[0]), "show server_version_num", Mode::Simple);
        let number = said.split(|letter: char| !letter.is_ascii_digit()).find(|digits| digits.len() == 6);
        number.unwrap().parse::<u32>().unwrap() / 10_000
    });
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).filter_map(move |line| {
        let Some((line, until)) = line.split_once(" -- until: ") else { return Some(line) };
        (major <= until.parse().unwrap()).then_some(line)
    })
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

/// The statements of a session: parted by a semicolon that is not inside a body.
fn statements(text: &str) -> Vec<String> {
    let (mut parts, mut inside) = (vec![String::new()], false);
    for (at, piece) in text.split("$$").enumerate() {
        if at > 0 {
            inside = !inside;
            parts.last_mut().unwrap().push_str("$$");
        }
        let mut pieces = if inside { vec![piece] } else { piece.split("; ").collect::<Vec<_>>() }.into_iter();
        parts.last_mut().unwrap().push_str(pieces.next().unwrap_or_default());
        parts.extend(pieces.map(str::to_owned));
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Everything that the server says to a session, as text; what differs between any two databases is left out.
pub(super) fn transcript(raw: &mut Raw, text: &str, mode: Mode) -> String {
    let mut out = String::new();
    for sql in statements(text) {
        mode.send(raw, &sql);
        for answer in raw.until_ready() {
            writeln!(out, "{}", shown(&answer)).unwrap();
        }
    }
    out
}

fn shown(answer: &Message) -> String {
    let bytes = &answer.body;
    let text = match answer.tag {
        'T' => columns(bytes).iter().fold(String::new(), |all, column| all + &column.shown() + ","),
        // The two policies name their own lines.
        'E' | 'N' => fields(bytes)
            .into_iter()
            .filter(|(kind, text)| !"FLR".contains(*kind) && !text.starts_with("Rule: "))
            .fold(String::new(), |all, (kind, text)| all + &format!("{kind}={text} ")),
        _ => String::from_utf8_lossy(bytes).escape_debug().to_string(),
    };
    format!("{} {text}", answer.tag)
}

pub(super) struct Column {
    pub(super) name: String,
    table: u32,
    pub(super) kind: u32,
}

impl Column {
    /// Numbers above 16383 are given to objects as they are made.
    fn shown(&self) -> String {
        let kind = if self.kind < 16_384 { self.kind.to_string() } else { "user".to_owned() };
        format!("{}:{kind}:{}", self.name, u32::from(self.table != 0))
    }
}

pub(super) fn columns(body: &[u8]) -> Vec<Column> {
    let count = u16::from_be_bytes(body[..2].try_into().unwrap());
    let (mut at, mut all) = (2, Vec::new());
    for _ in 0..count {
        let end = at + body[at..].iter().position(|byte| *byte == 0).unwrap();
        let number = |from: usize| u32::from_be_bytes(body[from..from + 4].try_into().unwrap());
        all.push(Column {
            name: String::from_utf8_lossy(&body[at..end]).into_owned(),
            table: number(end + 1),
            kind: number(end + 7),
        });
        at = end + 19;
    }
    all
}

fn fields(body: &[u8]) -> Vec<(char, String)> {
    let text = String::from_utf8_lossy(body).into_owned();
    let mut all = Vec::new();
    for field in text.split('\0').filter(|field| !field.is_empty()) {
        let kind = field.chars().next().unwrap();
        all.push((kind, field[kind.len_utf8()..].to_owned()));
    }
    all
}

pub(super) fn cells(body: &[u8]) -> Vec<Option<Vec<u8>>> {
    let count = u16::from_be_bytes(body[..2].try_into().unwrap());
    let (mut at, mut all) = (2, Vec::new());
    for _ in 0..count {
        let length = i32::from_be_bytes(body[at..at + 4].try_into().unwrap());
        at += 4;
        let length = usize::try_from(length).ok();
        all.push(length.map(|length| body[at..at + length].to_vec()));
        at += length.unwrap_or(0);
    }
    all
}

#[test]
fn past_the_gateway_every_case_leaks_and_through_it_none() {
    no_case_leaks(Masking::Rewrite);
}

#[test]
fn where_the_target_masks_no_case_leaks_either() {
    no_case_leaks(Masking::Database);
}

fn no_case_leaks(masking: Masking) {
    let cases = cases();
    let (mut mute, mut leaks, mut refused) = (Vec::new(), Vec::new(), 0);
    let (mut past_sessions, mut via_sessions): (Vec<Raw>, Vec<Raw>) = (Vec::new(), Vec::new());
    for case in &cases {
        // A session that leaves something behind is one of its own.
        let alone =
            !matches!(case.file.as_str(), "reads" | "views" | "attacks" | "attributes" | "evaluated" | "effects");
        if alone {
            past_sessions.clear();
            via_sessions.clear();
        }
        if via_sessions.is_empty() {
            past_sessions = WORLDS.iter().map(|database| direct(database)).collect();
            via_sessions = masking.connections().iter().map(|connection| through(connection)).collect();
        }
        // Each world by itself: neither waits for the other.
        let seen = |sessions: &mut Vec<Raw>| -> Vec<String> {
            std::thread::scope(|scope| {
                let both = sessions.iter_mut().map(|raw| scope.spawn(|| transcript(raw, &case.text, case.mode)));
                let both = both.collect::<Vec<_>>().into_iter();
                both.map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
            })
        };
        let via = seen(&mut via_sessions);
        // What a direct connection shows depends on nobody who masks: it is looked at once.
        if masking == Masking::Rewrite {
            let past = seen(&mut past_sessions);
            if past[0] == past[1] && !case.of_the_gateway {
                mute.push(format!("{} {:?}: {}\n  {}", case.file, case.mode, case.text, past[0].replace('\n', "\n  ")));
            }
        }
        if via[0] != via[1] {
            leaks.push(format!("{} {:?}: {}\n  A: {}\n  B: {}", case.file, case.mode, case.text, via[0], via[1]));
        }
        if alone {
            past_sessions.clear();
            via_sessions.clear();
        }
        refused += usize::from(via[0].contains("C=42501"));
    }
    let report = format!(
        "{masking:?}: {} sessions in two worlds: {} leak past the gateway, {} through it ({refused} with a refusal)",
        cases.len(),
        cases.iter().filter(|case| !case.of_the_gateway).count() - mute.len(),
        leaks.len()
    );
    eprintln!("{report}");
    if let Ok(path) = std::env::var("MASKING_REPORT") {
        std::fs::write(
            format!("{path}.{masking:?}"),
            format!("{report}\n\nMUTE\n{}\n\nLEAKS\n{}\n", mute.join("\n"), leaks.join("\n")),
        )
        .unwrap();
    }
    assert!(leaks.is_empty(), "{report}\n{}", leaks.join("\n"));
    assert!(mute.is_empty(), "{report}: these prove nothing\n{}", mute.join("\n"));
}

#[test]
fn legitimate_statements_give_what_they_give_directly_but_for_masked_cells() {
    legitimate(Masking::Rewrite);
}

#[test]
fn where_the_target_masks_legitimate_statements_give_the_same() {
    legitimate(Masking::Database);
}

/// Words with which statements begin that leave nothing behind.
const READS: [&str; 7] = ["select", "SELECT", "with", "values", "table", "show", "copy"];

fn legitimate(masking: Masking) {
    let text = std::fs::read_to_string(fixtures().join("legitimate.sql")).unwrap();
    let (mut count, mut left, mut different) = (0, 0, Vec::new());
    let mut sessions: [Option<[Raw; 2]>; 3] = [None, None, None];
    for line in lines(&text) {
        let (line, elsewhere) = line.split_once(" -- rewrite only: ").unwrap_or((line, ""));
        if masking == Masking::Database && !elsewhere.is_empty() {
            left += 1;
            continue;
        }
        let (sql, masked) = line.split_once(" -- masked: ").unwrap_or((line, ""));
        let masked: BTreeSet<usize> =
            masked.split_whitespace().map(|number| number.parse::<usize>().unwrap() - 1).collect();
        for (mode, kept) in [Mode::Simple, Mode::Extended, Mode::Binary].into_iter().zip(&mut sessions) {
            count += 1;
            let both = kept.get_or_insert_with(|| [direct(WORLDS[0]), through(masking.connections()[0])]);
            let seen = both.each_mut().map(|raw| comparable(raw, sql, mode, &masked));
            // A session that may have kept something is not used again.
            if !READS.iter().any(|word| sql.starts_with(word)) {
                *kept = None;
            }
            if seen[0] != seen[1] {
                different.push(format!("{mode:?}: {line}\n  direct:  {}\n  through: {}", seen[0], seen[1]));
            }
        }
    }
    eprintln!(
        "{masking:?}: {count} legitimate statements: {} differ from direct; {left} are not for it",
        different.len()
    );
    if let Ok(path) = std::env::var("MASKING_REPORT") {
        std::fs::write(format!("{path}.{masking:?}.legitimate"), different.join("\n")).unwrap();
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn comparable(raw: &mut Raw, text: &str, mode: Mode, masked: &BTreeSet<usize>) -> String {
    let mut out = String::new();
    for sql in statements(text) {
        mode.send(raw, &sql);
        for answer in raw.until_ready() {
            match answer.tag {
                'T' => {
                    // A column that is computed has no origin: through a view's query more are.
                    for column in columns(&answer.body) {
                        write!(out, "{}:{} ", column.name, column.kind).unwrap();
                    }
                }
                'D' => {
                    for (at, cell) in cells(&answer.body).into_iter().enumerate() {
                        let cell = cell.map(|cell| String::from_utf8_lossy(&cell).into_owned());
                        write!(out, "{} ", if masked.contains(&at) { "*".to_owned() } else { format!("{cell:?}") })
                            .unwrap();
                    }
                }
                _ => write!(out, "{}", shown(&answer)).unwrap(),
            }
            out.push('\n');
        }
    }
    out
}

/// What a transaction has defined and not committed, it is judged by: nobody else's catalog knows it.
#[test]
fn a_transaction_is_judged_by_its_own_definitions() {
    let run = |raw: &mut Raw, sql: &str| transcript(raw, sql, Mode::Simple);
    let [connection, _] = Masking::Rewrite.connections();
    let (mut one, mut other) = (through(connection), through(connection));
    let begun = run(&mut one, "begin; create view fresh as select id, label from plain; select count(*) from fresh");
    assert!(begun.contains("C SELECT 1"), "{begun}");
    // The other reads the catalog later than the one did.
    let elsewhere = "create table elsewhere (id integer); drop table elsewhere; select count(*) from plain";
    let elsewhere = run(&mut other, elsewhere);
    assert!(elsewhere.contains("C SELECT 1"), "{elsewhere}");
    let again = run(&mut one, "select count(*) from fresh; rollback");
    assert!(again.contains("C SELECT 1"), "{again}");
}

/// What one session changes, another knows before its next statement; one whose transaction reads definitions as they
/// were is told to end it; and what the server skips has replaced nothing.
#[test]
fn what_another_session_changes_is_known_before_the_next_statement() {
    let run = |raw: &mut Raw, sql: &str| transcript(raw, sql, Mode::Simple);
    let [connection, _] = Masking::Rewrite.connections();
    let body = "language sql as 'select note from public.customers where customer_id = 1'";
    let make = format!("create function public.citext_hash(plain) returns text {body}");
    let drop = "drop function public.citext_hash(plain)";
    let call = "select public.citext_hash(p) from plain p limit 1";
    let fresh = || {
        let mut raw = through(connection);
        assert!(run(&mut raw, "select 1 from plain limit 1").contains("C SELECT 1"));
        raw
    };
    let (mut one, mut other, mut frozen) = (fresh(), fresh(), fresh());
    let begun = run(&mut frozen, "begin isolation level repeatable read; select 1 from plain limit 1");
    assert!(begun.contains("C SELECT 1"), "{begun}");
    assert!(run(&mut one, &make).contains("C CREATE FUNCTION"));
    let (seen, kept) = (run(&mut other, call), run(&mut frozen, "select 1 from plain limit 1"));
    let ended = run(&mut frozen, "rollback; select 1 from plain limit 1");
    assert!(run(&mut one, drop).contains("C DROP FUNCTION"));
    assert!(seen.contains("cannot see what"), "{seen}");
    assert!(kept.contains("end it and begin again") || kept.contains("C SELECT 1"), "{kept}");
    assert!(ended.contains("C SELECT 1"), "{ended}");

    // The unnamed statement is the older one where the server never saw the Parse that would have replaced it.
    let parse = |name: &str, sql: &str| message(b'P', &[name.as_bytes(), b"\0", sql.as_bytes(), b"\0\0\0"].concat());
    let sync = || message(b'S', b"");
    let bind = || [message(b'B', b"\0\0\0\0\0\0\0\0"), message(b'E', b"\0\0\0\0\0"), sync()].concat();
    let send = |raw: &mut Raw, bytes: &[u8]| -> String {
        raw.send(bytes);
        raw.until_ready().iter().map(shown).collect()
    };
    let tables =
        "drop table if exists own; create table own (id integer, citext_hash text); insert into own values (1, 'c')";
    let made = run(&mut one, tables);
    assert!(made.contains("C INSERT"), "{made}");
    let prepared = send(&mut other, &[parse("", "select p.citext_hash from own p"), sync()].concat());
    assert!(!prepared.contains("E S=ERROR"), "{prepared}");
    run(&mut one, "alter table own drop column citext_hash");
    assert!(run(&mut one, &make.replace("(plain)", "(own)")).contains("C CREATE FUNCTION"));
    let skipped = [parse("x", "select nosuch from plain"), parse("", "select 1 from plain limit 1"), sync()].concat();
    assert!(send(&mut other, &skipped).contains("nosuch"));
    let ran = send(&mut other, &bind());
    run(&mut one, "drop function public.citext_hash(own); drop table own");
    assert!(ran.contains("E S=ERROR"), "{ran}");
}

/// A target reads a statement when it gets to it: here it waits for a lock, or stands behind another one, while somebody
/// exchanges what its names lead to.
#[test]
fn definitions_do_not_change_under_a_statement_that_was_judged() {
    let run = |sql: &str| SCENE.cluster.value("world_c", sql).unwrap();
    let simple = |raw: &mut Raw, sql: &str| transcript(raw, sql, Mode::Simple);
    let secret = run("select max(full_name) from public.customers");
    let exchange = [
        "alter table raced drop column citext_hash",
        "create function public.citext_hash(raced) returns text language sql as 'select max(full_name) from public.customers'",
    ];
    let exchanged = |definer: &mut Raw, around: [&str; 2]| {
        let made = simple(definer, &[around[0], exchange[0], exchange[1], around[1]].join("; "));
        assert!(made.contains("C ALTER TABLE") && made.contains("C CREATE FUNCTION"), "{made}");
    };
    let begun = || std::thread::sleep(Duration::from_millis(300));
    let read = "select r.citext_hash from raced r";
    let locked = |reader: &mut Raw, definer: &mut Raw| {
        exchanged(definer, ["begin", "select 1"]);
        Mode::Simple.send(reader, read);
        begun();
        assert!(simple(definer, "commit").contains("C COMMIT"));
    };
    let behind = |reader: &mut Raw, definer: &mut Raw| {
        Mode::Simple.send(reader, &format!("select pg_sleep(1.5); {read}"));
        begun();
        exchanged(definer, ["select 1", "select 1"]);
    };
    let make = "create table raced (citext_hash text, id integer); insert into raced values ('seen', 1)";
    assert!(simple(&mut through("hashed"), make).contains("C INSERT"));
    for race in [&locked as &dyn Fn(&mut Raw, &mut Raw), &behind] {
        let outcome = |mut reader: Raw, mut definer: Raw| -> String {
            race(&mut reader, &mut definer);
            let seen = reader.until_ready().iter().map(shown).collect();
            let back =
                "drop function public.citext_hash(raced); alter table raced add column citext_hash text default 'seen'";
            let restored = simple(&mut definer, back);
            assert!(restored.contains("C ALTER TABLE"), "{restored}");
            seen
        };
        let past = outcome(direct("world_c"), direct("world_c"));
        assert!(past.contains(&secret), "{past}");
        let via = outcome(through("hashed"), through("hashed"));
        assert!(!via.contains(&secret) && (via.contains("seen") || via.contains("C=42501")), "{via}");
    }
    run("drop table raced");
}

/// The check of a domain runs whenever a value of it is made, and a parameter's type is named outside the statement.
#[test]
fn a_parameters_type_runs_no_routine_that_reads_masked_columns() {
    let probe = |raw: &mut Raw| -> Vec<String> {
        Mode::Simple.send(raw, "select oid from pg_type where typname like 'know_'");
        let rows = raw.until_ready();
        let row = rows.iter().find(|answer| answer.tag == 'D').expect("the type is there");
        let oid: u32 = String::from_utf8_lossy(cells(&row.body)[0].as_deref().unwrap()).parse().unwrap();
        let mut all = message(b'P', &[b"\0select $1\0".as_slice(), &[0, 1], &oid.to_be_bytes()].concat());
        let value = b"likes 3";
        all.extend(message(b'B', &[b"\0\0\0\0\0\x01\0\0\0\x07".as_slice(), value, &[0, 0]].concat()));
        all.extend(message(b'E', b"\0\0\0\0\0"));
        all.extend(message(b'S', b""));
        raw.send(&all);
        raw.until_ready().iter().map(shown).collect()
    };
    let [past_a, past_b] = WORLDS.map(|database| probe(&mut direct(database)));
    assert_ne!(past_a, past_b, "it shows nothing here");
    for masking in [Masking::Rewrite, Masking::Database] {
        let seen = masking.connections().map(|connection| probe(&mut through(connection)));
        assert_eq!(seen[0], seen[1], "{masking:?}");
        assert!(seen[0].iter().any(|answer| answer.contains("C=42501")), "{masking:?}: {seen:?}");
    }
}
