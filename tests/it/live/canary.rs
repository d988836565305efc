//! Known masked values, tokens and credentials stand in no byte that the gateway's process writes, wherever it writes
//! it: the whole run is traced, and every byte of every write, to a file, a socket or a pipe, is searched. So is every
//! file that the gateway leaves, and whatever its API, metrics, exports and error messages say.

use super::fresh;
use super::raw::{Raw, message};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use xtask::cast::{PAULA, PIET, SAM};
use xtask::http;
use xtask::postgres::Cluster;
use xtask::scene::{Choice, Scene};
use xtask::service::signal;
use xtask::tools::Places;

/// Values behind masks. Letters that neither hexadecimal nor a number has keep them apart from chance.
const HIDDEN: [&str; 5] =
    ["zqcanaryname", "zqcanarymail@x.example", "zqcanarycard4929", "zqcanaryjson", "zqcanaryblob"];
/// A value that no mask hides: it must be found, or the search finds nothing at all.
const SHOWN: &str = "zqvisible";

const POLICY: &str = r#"/- kdl-version 2
connection canary kind=postgres {
    owner team:payments
    address "127.0.0.1:PORT" database=canary
    credential (env)"BENCH_PASSWORD" user=gateway_rw
    tls off
    label env=dev data=internal
}
grant canary id=canary-all {
    to group:payments-dev
    when standing
    permit read write export bulk ddl routine set maintain listen
    recorded full
}
classify canary {
    column public.people.name as=canary.redact
    column public.people.mail as=canary.hash
    column public.people.card as=canary.partial
    column public.people.facts as=canary.redact
    column public.people.blob as=canary.null
}
operate canary-audit { to group:security; on env=dev; may replay watch; }
mask canary-redact { class canary.redact; as redact; reveal never; }
mask canary-hash { class canary.hash; as hash; reveal never; }
mask canary-partial { class canary.partial; as partial keep-last=2; reveal never; }
mask canary-null { class canary.null; as nullify; reveal never; }
"#;

fn prepare(cluster: &Cluster) -> xtask::fault::Outcome<()> {
    cluster.value("postgres", "create database canary")?;
    cluster.value(
        "canary",
        "create table public.people (id int primary key, shown text, name text, mail text, card text, facts jsonb, blob bytea)",
    )?;
    let [name, mail, card, json, blob] = HIDDEN;
    cluster.value(
        "canary",
        &format!(
            "insert into public.people values (1, '{SHOWN}', '{name}', '{mail}', '{card}', '{{\"k\": \"{json}\"}}', '{blob}'::bytea)"
        ),
    )?;
    cluster.value("canary", "create view public.everyone as select * from public.people")?;
    cluster.value("canary", "grant all on all tables in schema public to gateway_rw")?;
    Ok(())
}

/// Sessions that would love to see what is hidden.
fn pry(scene: &Scene, token: &str) {
    let mut raw = Raw::login(scene.gateway.port, "canary", token).expect("the session opens");
    let statements = [
        "select * from public.people",
        "select * from public.everyone",
        "select name::int from public.people",
        "select 1 / (length(mail) - length(mail)) from public.people",
        "select id, upper(name) || card, facts->>'k', encode(blob, 'hex') from public.people",
        "copy public.people to stdout",
        "copy (select mail, card from public.everyone) to stdout",
        "insert into public.people select id, shown, name, mail, card, facts, blob from public.people",
        "update public.people set shown = name returning *",
        "do $$ begin raise notice '%', (select name from public.people); end $$",
        "select cast(row(people.*) as text) from public.people",
        "declare c cursor for select * from public.people",
        "create table public.copy_of as select * from public.people",
        "explain (analyze, verbose) select * from public.people where mail like 'a%'",
        "select no_such_column from public.people",
        "select shown from public.people",
    ];
    for sql in statements {
        // Some are refused, some fail, some give masked rows: what they say is what the search looks at.
        drop(raw.query(sql));
    }
    let mut extended = message(b'P', b"\0select * from public.people where id = $1\0\0\0");
    extended.extend(message(b'B', b"\0\0\0\0\0\x01\0\0\0\x011\0\x01\0\x01"));
    extended.extend(message(b'D', b"P\0"));
    extended.extend(message(b'E', b"\0\0\0\0\0"));
    extended.extend(message(b'S', b""));
    raw.send(&extended);
    raw.until_ready();
}

/// Tokens that are wrong in some way; none of them may be repeated either.
fn wrong_tokens(scene: &Scene, good: &str) -> Vec<String> {
    let mut ask = PAULA.claims();
    ask.as_object_mut().unwrap().insert("lifetime".to_owned(), json!(-600));
    let expired = scene.idp.mint(&ask).unwrap();
    let broken = good.chars().rev().collect::<String>();
    let wrong = vec![expired, broken, "zqcanarytoken-not-a-token".to_owned()];
    for token in &wrong {
        assert!(Raw::login(scene.gateway.port, "canary", token).is_err(), "a wrong token opens nothing");
        let answer = http::get(scene.gateway.api_port, "/v1/sessions", Some(token)).unwrap();
        assert_eq!(answer.status, 401, "{}", answer.body);
    }
    wrong
}

/// Everything that is written by the process, by descriptor: strace shows each call with its bytes in hexadecimal.
fn written(trace: &Path) -> BTreeMap<String, Vec<u8>> {
    let text = std::fs::read_to_string(trace).unwrap();
    let mut all: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for line in text.lines() {
        let Some((_, call)) = line.split_once('(') else { continue };
        let Some((descriptor, rest)) = call.split_once(',') else { continue };
        // The name of a file is shown like the bytes.
        let name: Vec<u8> =
            escaped(descriptor.split_once('<').map_or("", |(_, name)| name.trim_end_matches('>'))).collect();
        let place = format!("{} {}", descriptor.split('<').next().unwrap_or_default(), String::from_utf8_lossy(&name));
        let bytes = all.entry(place).or_default();
        // Every string of the call: a vector of buffers shows several.
        for (at, part) in rest.split('"').enumerate() {
            if at % 2 == 1 {
                bytes.extend(escaped(part));
            }
        }
    }
    all
}

/// The bytes of `\\x61\\x62`.
fn escaped(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.split("\\x").filter_map(|digits| u8::from_str_radix(digits, 16).ok())
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            files(&entry.path(), found);
        } else if entry.file_type().unwrap().is_file() {
            found.push(entry.path());
        }
    }
}

/// The ways in which a secret may be written.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    use base64::Engine as _;
    let hexadecimal: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let standard = base64::engine::general_purpose::STANDARD_NO_PAD.encode(secret);
    let folded = |bytes: &str| bytes.as_bytes().to_vec();
    vec![
        folded(secret),
        folded(&secret.to_uppercase()),
        folded(&hexadecimal),
        folded(&hexadecimal.to_uppercase()),
        folded(&standard),
    ]
}

fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

struct Search {
    needles: Vec<(String, Vec<Vec<u8>>)>,
    leaks: Vec<String>,
}

impl Search {
    fn look(&mut self, place: &str, bytes: &[u8]) {
        for (name, spellings) in &self.needles {
            // A key's own file is where it is kept.
            let at_home = name.ends_with(".key") && place.contains(name.as_str());
            if !at_home && spellings.iter().any(|needle| holds(bytes, needle)) {
                self.leaks.push(format!("{name} stands in {place}"));
            }
        }
    }
}

#[test]
fn no_secret_stands_in_any_byte_that_the_gateway_writes() {
    let places = Places::find().unwrap();
    let folder = places.target.join("live/canary-trace");
    std::fs::create_dir_all(&folder).unwrap();
    let trace = folder.join("writes");
    let calls = "trace=write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendmmsg";
    let launcher = ["strace", "-D", "-f", "-qq", "-y", "-xx", "-s", "8000000", "-e", calls, "-o"].map(str::to_owned);
    let launcher = launcher.into_iter().chain([trace.display().to_string()]).collect();
    let mut scene = fresh(
        "canary",
        &Choice {
            launcher,
            plaintext: true,
            policy_files: vec![("connections/canary.kdl".to_owned(), POLICY.to_owned())],
            prepare: Some(Box::new(prepare)),
            ..Choice::default()
        },
    )
    .unwrap();
    let token = scene.token(&PAULA).unwrap();
    pry(&scene, &token);
    let wrong = wrong_tokens(&scene, &token);
    let auditor = scene.token(&SAM).unwrap();
    let mut said = Vec::new();
    let sessions = scene.gateway.ask_json(&auditor, &["sessions", "--all"]).unwrap();
    for session in sessions.as_array().unwrap() {
        let id = session["id"].as_str().unwrap();
        for format in ["text", "jsonl", "csv", "cast", "html"] {
            said.push(scene.gateway.ask(&auditor, &["replay", id, "--format", format]).unwrap().said());
        }
    }
    for path in ["/v1/requests", "/v1/windows", "/v1/sessions", "/v1/policy", "/v1/access"] {
        said.push(http::get(scene.gateway.api_port, path, Some(&auditor)).unwrap().body);
    }
    // Whoever may replay finds sessions by what they did; to others a match would tell what stands in a recording.
    let by_table = ["sessions", "--table", "public.people", "--since", "1h"];
    let found = scene.gateway.ask_json(&auditor, &by_table).unwrap();
    assert_eq!(found.as_array().map(Vec::len), Some(1), "{found}");
    assert_eq!(scene.gateway.ask_json(&token, &by_table).unwrap().as_array().map(Vec::len), Some(1), "one's own");
    let none = scene.gateway.ask_json(&scene.token(&PIET).unwrap(), &by_table).unwrap();
    assert_eq!(none.as_array().map(Vec::len), Some(0), "{none}");
    let other = scene.gateway.ask_json(&auditor, &["sessions", "--table", "public.no_such_table"]).unwrap();
    assert_eq!(other.as_array().map(Vec::len), Some(0), "{other}");
    said.push(found.to_string());
    let recordings = scene.gateway.folder.join("recordings").display().to_string();
    let found = scene.gateway.ask("", &["sessions", "--recordings", &recordings, "--text", "select"]).unwrap();
    assert!(found.ok(), "{}", found.said());
    said.push(found.said());
    said.push(http::get(scene.gateway.metrics_port, "/metrics", None).unwrap().body);

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", scene.gateway.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "a crash would write the memory out: {core}");
    // A crash, with whatever it leaves behind.
    signal(scene.gateway.pid(), "ABRT");
    scene.gateway.stop();

    let mut needles: Vec<(String, Vec<Vec<u8>>)> =
        HIDDEN.iter().map(|value| ((*value).to_owned(), spellings(value))).collect();
    let secret = |name: &str, value: &str| (name.to_owned(), spellings(value));
    needles.push(secret("a token", &token));
    needles.push(secret("a token's signature", token.rsplit('.').next().unwrap()));
    needles.push(secret("the auditor's token", &auditor));
    needles.extend(wrong.iter().map(|token| secret("a wrong token", token)));
    needles.push(secret("the target's password", &scene.cluster.writer_password));
    needles.push(secret("another password", &scene.cluster.reader_password));
    for file in ["mask.key", "recording.key"] {
        let text = std::fs::read_to_string(scene.gateway.folder.join("state").join(file)).unwrap();
        let line = text.lines().find(|line| !line.starts_with('-')).unwrap();
        needles.push((file.to_owned(), spellings(line)));
    }
    let mut search = Search { needles, leaks: Vec::new() };
    let (mut bytes, mut shown) = (0, false);
    for (descriptor, written) in written(&trace) {
        search.look(&format!("a write to {descriptor}"), &written);
        shown |= holds(&written, SHOWN.as_bytes());
        bytes += written.len();
    }
    assert!(bytes > 100_000 && shown, "the trace shows what is written: {bytes} bytes, {shown}");
    let mut all = Vec::new();
    files(&scene.gateway.folder, &mut all);
    for file in &all {
        search.look(&file.display().to_string(), &std::fs::read(file).unwrap());
    }
    let answers = said.join("\n");
    assert!(answers.contains(SHOWN), "the exports show what no mask hides");
    search.look("an answer, an export or the metrics", answers.as_bytes());
    println!("searched: {bytes} bytes of writes, {} files, {} bytes of answers", all.len(), answers.len());
    assert!(search.leaks.is_empty(), "{:#?}", search.leaks);
    let cores =
        all.iter().filter(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core")));
    assert_eq!(cores.count(), 0, "a crash left the memory behind");
}
