//! Guards and scopes, shown on a real PostgreSQL: `fixtures/guards/evasions` holds sessions that reach what a policy
//! withholds, spelled in every way that the server understands.
//!
//! Each is first proven past the gateway: there it changes the database or shows a canary, else it proves nothing. Through
//! the gateway it is refused, shows no canary, and the database is what it was. A line that begins with `! ` has no effect
//! that could be seen in data; its first statement must be refused.

use super::fresh;
use super::raw::{Message, Raw, message, startup};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;
use xtask::cast::PAULA;
use xtask::command::{must, run_within};
use xtask::fault::Outcome;
use xtask::postgres::Cluster;
use xtask::scene::{Choice, Scene};
use xtask::tools::Places;

/// The account that looks past the gateway: a superuser, as the gateway's own is here.
const PROBE: &str = "probe";
/// A copy of the database of the cases, for what they do past the gateway.
const COPY: &str = "guarded_copy";
/// What no session through the gateway may ever show.
const CANARY: &str = "canary";

fn fixtures() -> PathBuf {
    Places::find().unwrap().root.join("fixtures/guards")
}

pub(super) static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let policy = std::fs::read_to_string(fixtures().join("policy.kdl")).unwrap();
    let choice = Choice {
        plaintext: true,
        policy_files: vec![("connections/guarded.kdl".to_owned(), policy)],
        prepare: Some(Box::new(prepare)),
        ..Choice::default()
    };
    fresh("guards", &choice).unwrap()
});

/// A file on the server that only a superuser could show.
fn secret_file(cluster: &Cluster) -> String {
    format!("{}/canary.txt", cluster.value("postgres", "show data_directory").unwrap())
}

fn prepare(cluster: &Cluster) -> Outcome<()> {
    cluster.value("postgres", "create role probe login superuser password 'probe'")?;
    let file = PathBuf::from(cluster.value("postgres", "show hba_file")?);
    let before = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("host all {PROBE} 127.0.0.0/8 password\n{before}")).unwrap();
    cluster.value("postgres", "select pg_reload_conf()")?;
    for database in ["guarded", "guarded_orm", "guarded_orm_direct"] {
        cluster.value("postgres", &format!("create database {database} owner gateway_rw template template0"))?;
    }
    let latin = "create database guarded_latin owner gateway_rw template template0 encoding 'LATIN1' locale 'C'";
    cluster.value("postgres", latin)?;
    let mut psql = cluster.psql_command("guarded");
    psql.arg(format!("--set=file={}", secret_file(cluster))).arg("--file").arg(fixtures().join("world.sql"));
    must(&mut psql)?;
    cluster.value("postgres", &format!("create database {COPY} owner gateway_rw template guarded")).map(|_| ())
}

/// A session past the gateway.
fn direct(database: &str) -> Raw {
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
fn through(connection: &str) -> Raw {
    static TOKEN: LazyLock<String> = LazyLock::new(|| SCENE.token(&PAULA).unwrap());
    Raw::login(SCENE.gateway.port, connection, &TOKEN).expect("the login works")
}

/// How statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Simple,
    Extended,
}

/// One session of the corpus.
#[derive(Clone, Debug)]
struct Case {
    connection: String,
    place: String,
    statements: Vec<String>,
    /// Nothing of its effect can be seen in data.
    unseen: bool,
}

fn cases() -> Vec<Case> {
    let file = secret_file(&SCENE.cluster);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(fixtures().join("evasions")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let connection =
            text.lines().next().unwrap().strip_prefix("# connection: ").expect("a file names its connection");
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with("# ")) {
            let (line, unseen) = line.strip_prefix("! ").map_or((line, false), |line| (line, true));
            let statements = line.replace("FILE", &file).replace("\\r", "\r").replace("\\n", "\n");
            all.push(Case {
                connection: connection.to_owned(),
                place: format!("{}:{}: {line}", path.file_name().unwrap().to_string_lossy(), at + 1),
                statements: statements.split(" ;; ").map(str::to_owned).collect(),
                unseen,
            });
        }
    }
    all
}

fn send(raw: &mut Raw, sql: &str, mode: Mode) -> Vec<Message> {
    let sql = format!("{sql}\0");
    match mode {
        Mode::Simple => raw.send(&message(b'Q', sql.as_bytes())),
        Mode::Extended => {
            let mut all = message(b'P', &[b"\0", sql.as_bytes(), &[0, 0]].concat());
            all.extend(message(b'B', b"\0\0\0\0\0\0\0\0"));
            all.extend(message(b'D', b"P\0"));
            all.extend(message(b'E', b"\0\0\0\0\0"));
            all.extend(message(b'S', b""));
            raw.send(&all);
        }
    }
    let mut answers = Vec::new();
    while let Some(answer) = raw.receive() {
        match answer.tag {
            // What is to be copied in: one row, wherever it goes.
            'G' => raw.send(&[message(b'd', b"900\tx\n"), message(b'c', b""), message(b'S', b"")].concat()),
            'Z' => {
                answers.push(answer);
                break;
            }
            _ => {}
        }
        answers.push(answer);
    }
    answers
}

fn shows_canary(answers: &[Message]) -> bool {
    answers.iter().any(|answer| String::from_utf8_lossy(&answer.body).contains(CANARY) && answer.tag != 'E')
}

/// Whether the gateway itself refused something.
fn refused(answers: &[Message]) -> bool {
    answers.iter().filter_map(Message::refusal).any(|refusal| {
        matches!(refusal.code.as_str(), "42501" | "42601" | "0A000" | "54001" | "54000")
            || refusal.whole.contains("gateway")
    })
}

/// Runs a case past the gateway in a transaction that is taken back: whether it does any harm.
fn harms(case: &Case, before: &str) -> bool {
    let mut raw = direct(COPY);
    let mut command = |sql: &str| raw.query(sql);
    command("begin").unwrap();
    let mut shown = false;
    for sql in case.statements.iter().filter(|sql| !matches!(sql.as_str(), "begin" | "commit")) {
        raw.query("savepoint probe").unwrap();
        // A name may begin with the database.
        let answers = send(&mut raw, &sql.replace("guarded.public.", &format!("{COPY}.public.")), Mode::Simple);
        shown |= shows_canary(&answers);
        if answers.iter().any(|answer| answer.tag == 'E') {
            drop(raw.query("rollback to probe"));
        }
    }
    if shown {
        return true;
    }
    let mut command = |sql: &str| raw.query(sql);
    drop(command("set session authorization default; reset role; set search_path = public, pg_temp"));
    command("select probe.digest()").map_or(true, |digest| digest.first().is_none_or(|digest| digest != before))
}

/// Runs a case through the gateway: what went wrong, if anything did.
fn slips(raw: &mut Raw, case: &Case, mode: Mode) -> Option<&'static str> {
    let mut any = false;
    for (at, sql) in case.statements.iter().enumerate() {
        let answers = send(raw, sql, mode);
        if shows_canary(&answers) {
            return Some("shows a canary");
        }
        let refused = refused(&answers);
        if case.unseen && at == 0 && !refused {
            return Some("is not refused");
        }
        any |= refused;
    }
    (!any).then_some("is not refused")
}

/// Ends what a case left open in a session of the gateway.
fn clean(raw: &mut Raw) {
    const STATEMENTS: [&[u8]; 4] = [b"rollback\0", b"deallocate all\0", b"close all\0", b"discard temp\0"];
    raw.send(&STATEMENTS.map(|sql| message(b'Q', sql)).concat());
    for _ in STATEMENTS {
        raw.until_ready();
    }
}

/// What the database of the cases holds.
fn digest(overseer: &mut Raw) -> String {
    overseer.query("select probe.tidy()").unwrap();
    overseer.query("select probe.digest()").unwrap().swap_remove(0)
}

/// The cases that do no harm past the gateway: they prove nothing. They are tried in a copy of the database.
fn without_effect(cases: &[Case]) -> Vec<String> {
    let untouched = digest(&mut direct(COPY));
    let seen = cases.iter().filter(|case| !case.unseen);
    seen.filter(|case| !harms(case, &untouched)).map(|case| case.place.clone()).collect()
}

/// Runs every case through the gateway in one mode: what is wrong. Nobody else uses the database meanwhile.
fn through_the_gateway(cases: &[Case], mode: Mode) -> Vec<String> {
    let mut overseer = direct("guarded");
    let mut now = digest(&mut overseer);
    let mut sessions: BTreeMap<String, Raw> = BTreeMap::new();
    let mut holes = Vec::new();
    for case in cases {
        let raw = sessions.entry(case.connection.clone()).or_insert_with(|| through(&case.connection));
        let mut wrong = slips(raw, case, mode);
        clean(raw);
        let after = digest(&mut overseer);
        if after != now {
            wrong = Some("changes the database");
            now = after;
        }
        if let Some(wrong) = wrong {
            holes.push(format!("{mode:?} {wrong}: {}", case.place));
        }
    }
    holes
}

#[test]
fn no_spelling_evades_a_guard_or_a_scope() {
    let cases = cases();
    let before = digest(&mut direct("guarded"));
    let (mute, holes) = std::thread::scope(|scope| {
        let mute = scope.spawn(|| without_effect(&cases));
        let mut holes = through_the_gateway(&cases, Mode::Simple);
        holes.extend(through_the_gateway(&cases, Mode::Extended));
        (mute.join().expect("the cases run past the gateway"), holes)
    });
    let unseen = cases.iter().filter(|case| case.unseen).count();
    let report = format!(
        "{} evasions: {} of {} do harm past the gateway ({unseen} have no visible effect), {} through it",
        cases.len(),
        cases.len() - unseen - mute.len(),
        cases.len() - unseen,
        holes.len()
    );
    eprintln!("{report}");
    if let Ok(path) = std::env::var("GUARDS_REPORT") {
        std::fs::write(path, format!("{report}\n\nMUTE\n{}\n\nHOLES\n{}\n", mute.join("\n"), holes.join("\n")))
            .unwrap();
    }
    assert!(holes.is_empty(), "{report}\n{}", holes.join("\n"));
    assert!(mute.is_empty(), "{report}: these prove nothing\n{}", mute.join("\n"));
    assert_eq!(digest(&mut direct("guarded")), before, "the database is what it was");
}

/// The names of a database in another encoding are not what the gateway reads.
#[test]
fn a_database_whose_names_are_kept_otherwise_is_refused() {
    let token = SCENE.token(&PAULA).unwrap();
    let refusal = Raw::login(SCENE.gateway.port, "guarded-latin", &token).expect_err("its encoding is LATIN1");
    assert!(refusal.whole.contains("encoding is LATIN1"), "{refusal:?}");
}

/// The server quotes rows in its errors, to an account that may read them; the client's grant may not.
#[test]
fn no_error_quotes_rows_that_may_not_be_read() {
    const DEFERRED: &[&str] = &[
        "begin",
        "create table public.kinds (amount integer, note text, unique (amount, note))",
        "alter table hidden.salaries add constraint kind foreign key (amount, note) \
         references public.kinds (amount, note) deferrable initially deferred not valid",
        "update hidden.salaries set amount = 7",
        "commit",
    ];
    let (mut past, mut raw) = (direct(COPY), through("guarded-block"));
    for (statements, code) in [
        (["update hidden.salaries set id = null where id = 1"].as_slice(), "23502"),
        (&["update hidden.salaries set id = null"], "23502"),
        (&["update public.salaries_view set id = null"], "23502"),
        (&["create index on hidden.salaries ((note::integer))"], "22P02"),
        (&["alter table hidden.salaries add column n integer generated always as (note::integer) stored"], "22P02"),
        (&["alter table hidden.salaries add column n tsquery generated always as (note::tsquery) stored"], "42601"),
        (DEFERRED, "23503"),
    ] {
        let directly =
            statements.iter().find_map(|sql| past.query(sql).err()).unwrap_or_else(|| panic!("{statements:?}"));
        assert!(directly.code == code && directly.whole.contains(CANARY), "{statements:?}: {directly:?}");
        let refusal =
            statements.iter().find_map(|sql| raw.query(sql).err()).unwrap_or_else(|| panic!("{statements:?}"));
        assert!(refusal.code == code || refusal.code == "42501", "{statements:?}: {refusal:?}");
        assert!(!refusal.whole.contains(CANARY), "{statements:?}: {refusal:?}");
    }
}

/// The text names no type, and the server makes the value when it is bound.
#[test]
fn a_parameter_of_a_type_that_runs_a_routine_is_a_call() {
    let oid = |kind: &str| -> u32 {
        let asked = direct("guarded").query(&format!("select '{kind}'::regtype::oid")).unwrap();
        asked[0].parse().unwrap()
    };
    let prepared = |connection: &str, kind: &str| {
        let types = [1_i16.to_be_bytes().as_slice(), &oid(kind).to_be_bytes()].concat();
        let mut raw = through(connection);
        raw.send(&message(b'P', &[b"\0select $1 is null\0".as_slice(), &types].concat()));
        raw.send(&message(b'S', b""));
        !refused(&raw.until_ready())
    };
    for kind in ["public.wiped", "public.wiped[]", "public.wiped_over", "public.wrapped"] {
        assert!(!prepared("guarded-rows", kind), "{kind}");
        assert!(prepared("guarded-scope", kind), "{kind}: its routines may be called");
    }
    assert!(prepared("guarded-rows", "text"));
}

/// Runs a client of an application's own, past the gateway or through it; what it saw.
fn application(script: &str, through_gateway: bool) -> Result<String, String> {
    let places = &SCENE.places;
    let mut command = Command::new(places.python());
    command.arg("-B").arg(places.root.join("tests/live/python").join(script));
    let (port, database, user, password) = if through_gateway {
        (SCENE.gateway.port, "guarded-orm", "paula", SCENE.token(&PAULA).unwrap())
    } else {
        (SCENE.cluster.port, "guarded_orm_direct", PROBE, PROBE.to_owned())
    };
    command.env("LIVE_HOST", "127.0.0.1").env("LIVE_PORT", port.to_string()).env("LIVE_DATABASE", database);
    command.env("LIVE_USER", user).env("LIVE_PASSWORD", password).env("LIVE_CA", "-").env("LIVE_TABLE", "-");
    let ran = run_within(&mut command, Duration::from_mins(2)).map_err(|fault| fault.to_string())?;
    if ran.ok() { Ok(ran.out) } else { Err(ran.err) }
}

/// No statement that these write is refused: there are no false positives to list.
#[test]
fn the_orms_of_applications_see_what_they_see_directly() {
    for script in ["django_client.py", "sqlalchemy_client.py"] {
        let directly = application(script, false).unwrap_or_else(|error| panic!("{script} directly: {error}"));
        let through = application(script, true).unwrap_or_else(|error| panic!("{script} through the gateway: {error}"));
        assert_eq!(through, directly, "{script}");
    }
}

/// Statements that were taken down from applications and tools, each as it was sent. A refusal is a false positive; the
/// few that are explained in `docs/guards.md` begin with `! `.
#[test]
fn no_statement_of_applications_is_refused() {
    let folder = fixtures().join("ordinary");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    // Others that somebody took down, for once.
    paths.extend(std::env::var_os("GUARDS_ORDINARY").map(PathBuf::from));
    paths.sort();
    let (mut count, mut explained, mut refused_texts) = (0, 0, Vec::new());
    let mut raw = through("guarded-orm");
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        for sql in text.lines().filter(|line| !line.is_empty() && !line.starts_with("# ")) {
            count += 1;
            let (sql, known) = sql.strip_prefix("! ").map_or((sql, false), |sql| (sql, true));
            explained += usize::from(known);
            // Parsing is judging: the objects need not exist.
            let mut all = message(b'P', &[b"\0", sql.as_bytes(), b"\0\0\0"].concat());
            all.extend(message(b'S', b""));
            raw.send(&all);
            let answers = raw.until_ready();
            let refusal = answers.iter().find_map(Message::refusal);
            assert!(!known || refusal.is_some(), "{sql}: is permitted by now: take the `! ` away");
            if let Some(refusal) =
                refusal.filter(|_| !known).filter(|refusal| refusal.whole.contains("Rule: ") || refusal.code == "42501")
            {
                refused_texts.push(format!("{}: {sql}\n  {}", path.display(), refusal.whole.replace('\0', " ")));
            }
        }
    }
    eprintln!("{count} statements of applications: {explained} refused as explained, {} beside", refused_texts.len());
    assert!(count > 300, "{count}");
    assert!(refused_texts.is_empty(), "{}", refused_texts.join("\n"));
}
