//! kill -9 at random points of the lifecycle, and a revocation against a session that begins.
//!
//! The long run is a command of its own: `LEASEHOLD_KILLS=200 cargo test -p tests --test it -- --ignored access::kills`.

use super::world::{Folder, World, agent, at, opened, person, rules};
use enforcer::access::{Access, Asking, Did, IdempotencyKey, Refused};
use enforcer::core::id::SessionId;
use enforcer::core::machine::Cause;
use enforcer::store::sqlite::Sqlite;
use futures_util::future::join;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn access(file: &Path) -> Access {
    let store = Arc::new(Sqlite::open(file).unwrap());
    let (publisher, policy) = enforcer::gateway::policy::channel();
    publisher.update(|state| state.active = Some(super::world::active(rules(), "c1")));
    // The policy outlives its publisher.
    std::mem::forget(publisher);
    let access = Access::new(store, policy, enforcer::gateway::live::Live::default(), "gw-1");
    access.announce_to(["security".to_owned()]);
    access
}

fn key(text: String) -> IdempotencyKey {
    IdempotencyKey { digest: blake3::hash(text.as_bytes()).to_hex().to_string(), key: text }
}

/// One person's whole way, under keys that a second attempt repeats: asked, approved twice, a session, extended, ended.
async fn walk(access: &Access, name: &str) -> Result<(), Refused> {
    let dana = person(name, &["devs"]);
    let asking = Asking {
        connection: "ledger".to_owned(),
        reason: Some("totals".to_owned()),
        ticket: Some("INC-7".to_owned()),
        ..Asking::default()
    };
    let asked = access.request(&dana, asking, Some(&key(format!("ask-{name}"))), at(1)).await?;
    let id = asked.request.expect("a request waits").id;
    for (who, group) in [("lea", "leads"), ("sam", "security")] {
        let voter = person(&format!("{who}-{name}"), &[group]);
        access.approve(&voter, &id, None, Some(&key(format!("{who}-{name}"))), at(2)).await?;
    }
    let window = access.open_windows(&dana.subject, "ledger", at(3)).await?.pop();
    let Some(window) = window else { return Ok(()) };
    let random = *blake3::hash(name.as_bytes()).as_bytes();
    let session = SessionId::from_random(random[..10].try_into().unwrap());
    match access.session_opened(&opened(&session, &window), at(4)).await {
        // An earlier attempt opened it.
        Ok(()) | Err(Refused::State(_)) => {}
        Err(other) => return Err(other),
    }
    access.extend(&dana, &window.id, Some("longer".to_owned()), Some(&key(format!("extend-{name}"))), at(5)).await?;
    access.session_closed(&session, Cause::Client, "bye", at(6)).await?;
    access.revoke(&dana, &window.id, Some(&key(format!("end-{name}"))), at(7)).await?;
    Ok(())
}

/// The child of the long run: walks until it is killed. It begins with whatever its predecessor left half done.
#[tokio::test]
async fn child_that_walks() {
    let Ok(file) = std::env::var("LEASEHOLD_TEST_WALK") else { return };
    let from: u64 = std::env::var("LEASEHOLD_TEST_FROM").unwrap().parse().unwrap();
    let access = access(Path::new(&file));
    access.close_orphans(at(8)).await.unwrap();
    for n in from..from + 1_000_000 {
        walk(&access, &format!("p{n}")).await.unwrap();
    }
}

/// What holds whenever a process dies.
fn check(file: &Path) -> u64 {
    let db = rusqlite::Connection::open(file).unwrap();
    let count = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let none = |what: &str, sql: &str| assert_eq!(count(sql), 0, "{what}");
    none(
        "two windows of one request",
        "SELECT count(*) FROM (SELECT request FROM windows GROUP BY request HAVING count(*) > 1)",
    );
    none(
        "two open windows of one person under one grant",
        "SELECT count(*) FROM (SELECT 1 FROM windows WHERE ended_at IS NULL GROUP BY subject, connection, grant_id HAVING count(*) > 1)",
    );
    none(
        "a window without its approved request",
        "SELECT count(*) FROM windows w LEFT JOIN requests r ON r.id = w.request WHERE r.state IS NOT 'approved'",
    );
    none(
        "an opening approval without its window",
        "SELECT count(*) FROM requests r WHERE r.state = 'approved' AND r.asked ->> '$.purpose' = 'open' \
         AND NOT EXISTS (SELECT 1 FROM windows w WHERE w.request = r.id)",
    );
    none("a session outside a window", "SELECT count(*) FROM sessions WHERE window_id NOT IN (SELECT id FROM windows)");
    none(
        "a window opened on fewer than two votes",
        "SELECT count(*) FROM windows w WHERE (SELECT count(*) FROM votes v WHERE v.request = w.request) <> 2",
    );
    none(
        "a doubled transition in the history",
        "SELECT count(*) FROM (SELECT 1 FROM history WHERE event NOT IN ('request.vote', 'window.extended') \
         GROUP BY event, about HAVING count(*) > 1)",
    );
    for (event, table) in [("window.opened", "windows"), ("request.asked", "requests"), ("session.opened", "sessions")]
    {
        let (told, written) = (
            count(&format!("SELECT count(*) FROM history WHERE event = '{event}'")),
            count(&format!("SELECT count(*) FROM {table}")),
        );
        assert_eq!(told, written, "{event}");
    }
    assert_eq!(db.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0)).unwrap(), "ok");
    u64::try_from(count("SELECT count(DISTINCT subject) FROM requests")).unwrap()
}

async fn kill_many(times: u32) {
    let folder = Folder::new();
    let file = folder.path().join("state.db");
    drop(Sqlite::open(&file).unwrap());
    let seed = std::env::var("LEASEHOLD_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(std::process::id);
    println!("LEASEHOLD_SEED={seed}");
    let mut people = 0;
    for round in 0..times {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["access::kills::child_that_walks", "--exact", "--nocapture"])
            .env("LEASEHOLD_TEST_WALK", &file)
            // The last person's way was cut: it is gone over again, under the same keys.
            .env("LEASEHOLD_TEST_FROM", people.to_string())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let random = blake3::hash(format!("{seed}-{round}").as_bytes());
        let wait = u64::from(u16::from_le_bytes([random.as_bytes()[0], random.as_bytes()[1]]));
        tokio::time::sleep(Duration::from_millis(120 + wait % 300)).await;
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "the child ended by itself in round {round}: {ended:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        people = check(&file).saturating_sub(1);
    }
    // Whoever comes next finishes what was begun.
    let access = access(&file);
    walk(&access, &format!("p{people}")).await.unwrap();
    check(&file);
    assert!(people > u64::from(times), "{people} people in {times} rounds");
}

#[tokio::test]
async fn a_few_kills_lose_and_double_nothing() {
    kill_many(6).await;
}

#[tokio::test]
#[ignore = "long: a command of its own, see the head of this file"]
async fn many_kills_lose_and_double_nothing() {
    let times = std::env::var("LEASEHOLD_KILLS").ok().and_then(|times| times.parse().ok()).unwrap_or(100);
    kill_many(times).await;
}

#[tokio::test]
async fn a_revocation_and_a_session_that_begins_have_one_order() {
    let world = World::new();
    let (other, live, ..) = world.other("gw-2");
    let (mut began, mut refused) = (0, 0);
    for n in 0..60_u8 {
        let bot = agent(&format!("bot{n}"));
        let asking = Asking { connection: "logs".to_owned(), ..Asking::default() };
        let window = world.access.request(&bot, asking, None, at(0)).await.unwrap().window.unwrap();
        let session = SessionId::from_random([n; 10]);
        let facts = enforcer::gateway::live::Facts {
            session: session.clone(),
            subject: window.subject.clone(),
            kind: window.kind,
            subject_name: None,
            connection: window.connection.clone(),
            grant: window.grant.clone(),
            window: Some(window.id.clone()),
            started: window.started,
            ends: window.ends,
        };
        // As the data path does: into the register first, then into the state.
        let (_seat, mut orders) = live.enter(facts);
        let facts = opened(&session, &window);
        let (ended, noted) =
            join(other.revoke(&bot, &window.id, None, at(1)), other.session_opened(&facts, at(1))).await;
        assert_eq!(ended.unwrap().did, Did::Ended);
        match noted {
            Ok(()) => {
                began += 1;
                assert!(orders.take().is_some(), "a session that began is told of the revocation");
            }
            Err(Refused::State(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
        assert!(world.access.open_windows(&bot.subject, "logs", at(2)).await.unwrap().is_empty());
    }
    assert_eq!(began + refused, 60);
}
