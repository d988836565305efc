//! What a guard does to a statement that may run, with real clients: it waits for people (`review … by=`), or what it
//! writes is counted (`limit rows=`).

use super::api::{applied, ask, call};
use super::fresh;
use super::raw::{Message, Raw, Refusal, message};
use serde_json::{Value, json};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_postgres::NoTls;
use xtask::cast::{CODER, LENA, PAULA, SAM};
use xtask::clock;
use xtask::command::start;
use xtask::scene::{Choice, Scene};

const POLICY: &str = r#"/- kdl-version 2
approval ledger-change {
    quorum 1 from=group:payments-leads
    answer-within "5m"
}
guard held-changes {
    on ledger-dev
    review ddl.alter update.bounded by=ledger-change
}
guard few-rows {
    on ledger-staging
    limit rows=5 bytes=8192
}
"#;

static SCENE: LazyLock<Mutex<Scene>> = LazyLock::new(|| {
    let choice = Choice {
        plaintext: true,
        policy_files: vec![("guard/held.kdl".to_owned(), POLICY.to_owned())],
        gateway_lines: "limits { held-in-transaction-max \"2s\"; }\n".to_owned(),
        ..Choice::default()
    };
    Mutex::new(fresh("held", &choice).unwrap())
});

/// One at a time: what waits is found by its subject.
fn scene() -> MutexGuard<'static, Scene> {
    SCENE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn login(scene: &Scene) -> Raw {
    Raw::login(scene.gateway.port, "ledger-dev", &scene.token(&PAULA).unwrap()).expect("the login works")
}

fn note(scene: &Scene, entry: u32) -> String {
    let sql = format!("select coalesce(note, '') from public.ledger_entries where entry_id = {entry}");
    scene.cluster.value("ledger_dev", &sql).unwrap()
}

/// The statement that waits for Lena.
fn waiting(scene: &Scene) -> Value {
    clock::wait_for("a statement that waits", Duration::from_secs(20), || {
        let all = ask(scene, &LENA, "/v1/requests?state=open");
        let found = all["items"].as_array().unwrap().iter().find(|one| one["purpose"] == "statement").cloned();
        Ok(found)
    })
    .unwrap()
}

/// As [`waiting`], on a thread of its own: the client's connection goes on meanwhile.
async fn waiting_without_blocking(scene: &Scene) -> Value {
    let (port, token) = (scene.gateway.api_port, scene.token(&LENA).unwrap());
    for _ in 0..200 {
        let asked = token.clone();
        let answer =
            tokio::task::spawn_blocking(move || xtask::http::get(port, "/v1/requests?state=open", Some(&asked)));
        let all = answer.await.unwrap().unwrap().json().unwrap();
        let items = all["items"].as_array().unwrap();
        if let Some(found) = items.iter().find(|one| one["purpose"] == "statement") {
            return found.clone();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nothing waits")
}

fn state(scene: &Scene, id: &str) -> Value {
    ask(scene, &PAULA, &format!("/v1/requests/{id}"))
}

fn gone(scene: &Scene, id: &str, state_word: &str) {
    clock::wait_for(&format!("the request is {state_word}"), Duration::from_secs(20), || {
        Ok((state(scene, id)["state"] == state_word).then_some(()))
    })
    .unwrap();
}

fn decide(scene: &Scene, id: &str, verb: &str, body: &Value) {
    let answer = call(scene, &LENA, &format!("/v1/requests/{id}/{verb}"), body);
    assert!((200..300).contains(&answer.status), "{}", answer.body);
}

/// Sends a query that is to wait, and reads the notice that says so.
fn send_held(raw: &mut Raw, sql: &str) -> String {
    raw.send(&message(b'Q', format!("{sql}\0").as_bytes()));
    let said = raw.receive().expect("the gateway says that it waits");
    assert_eq!(said.tag, 'N', "{said:?}");
    String::from_utf8_lossy(&said.body).into_owned()
}

fn failed(raw: &mut Raw) -> Refusal {
    raw.until_ready().iter().find_map(Message::refusal).expect("it is an error")
}

#[test]
fn psql_waits_and_another_person_releases_it_once() {
    let scene = scene();
    let mut psql = scene.psql(&PAULA, "ledger-dev").unwrap();
    let sql = "update public.ledger_entries set note = 'by psql' where entry_id = 1";
    let plain = format!("host=127.0.0.1 port={} dbname=ledger-dev user=me sslmode=disable", scene.gateway.port);
    psql.args(["--dbname", &plain, "--command", sql, "--command", "select 'after'"]);
    let running = start(&mut psql).unwrap();
    let request = waiting(&scene);
    let id = request["id"].as_str().unwrap();
    assert_eq!(request["statement"]["text"], sql);
    assert_eq!(
        request["statement"]["accesses"],
        json!(["select public.ledger_entries", "update.bounded public.ledger_entries"])
    );
    assert_eq!(request["statement"]["rules"], json!(["guard held-changes"]));
    assert_ne!(note(&scene, 1), "by psql");
    let own = call(&scene, &PAULA, &format!("/v1/requests/{id}/approve"), &json!({}));
    assert_eq!(own.status, 403, "nobody decides their own: {}", own.body);
    let ran = scene.gateway.ask(&scene.token(&LENA).unwrap(), &["approve", id]).unwrap();
    assert!(ran.ok() && ran.said().contains(sql), "{}", ran.said());
    let ran = running.finish(Duration::from_secs(20)).unwrap();
    assert!(ran.err.contains("NOTICE:") && ran.err.contains(&format!("leasehold approve {id}")), "{}", ran.said());
    assert!(ran.err.contains(&format!("/requests/{id}")), "{}", ran.said());
    assert!(ran.out.contains("UPDATE 1") && ran.out.contains("after"), "{}", ran.said());
    assert_eq!(note(&scene, 1), "by psql");
    let after = state(&scene, id);
    assert!(after["statement"]["released"].is_string(), "{after}");
    // The word was for one run.
    let mut raw = login(&scene);
    send_held(&mut raw, sql);
    let again = waiting(&scene);
    assert_ne!(again["id"].as_str().unwrap(), id);
    decide(&scene, again["id"].as_str().unwrap(), "deny", &json!({ "reason": "once was enough" }));
    let refusal = failed(&mut raw);
    assert!(refusal.code == "42501" && refusal.whole.contains("once was enough"), "{refusal:?}");
    assert_eq!(raw.query("select 'usable'").unwrap(), ["usable"]);
}

#[test]
fn a_driver_waits_with_its_parameters_and_may_give_up() {
    let scene = scene();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(scene.gateway.port).dbname("ledger-dev").user("me");
        config.password(scene.token(&PAULA).unwrap());
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        let sql = "update public.ledger_entries set note = $1 where entry_id = $2";
        let statement = client.prepare(sql).await.unwrap();
        let parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)] = &[&"with $parameters", &2_i64];
        let approves = async {
            let request = waiting_without_blocking(&scene).await;
            let values: Vec<&str> = request["statement"]["parameters"]
                .as_array()
                .unwrap()
                .iter()
                .map(|value| value["value"].as_str().unwrap())
                .collect();
            assert_eq!(values, ["with $parameters", "2"], "{request}");
            assert_eq!(request["statement"]["in_transaction"], false);
            decide(&scene, request["id"].as_str().unwrap(), "approve", &json!({ "terms": request["terms"]["digest"] }));
            request["id"].as_str().unwrap().to_owned()
        };
        let (ran, id) = tokio::join!(client.execute(&statement, parameters), approves);
        assert_eq!(ran.unwrap(), 1);
        assert_eq!(note(&scene, 2), "with $parameters");
        // Its grant is recorded below `full`: what was bound is not kept.
        assert_eq!(state(&scene, &id)["statement"]["parameters"], json!([]));
        let token = client.cancel_token();
        let cancels = async {
            let request = waiting_without_blocking(&scene).await;
            token.cancel_query(NoTls).await.unwrap();
            request["id"].as_str().unwrap().to_owned()
        };
        let (ran, id) = tokio::join!(client.execute(&statement, parameters), cancels);
        assert_eq!(ran.expect_err("it was given up").code().map(|code| code.code()), Some("57014"));
        gone(&scene, &id, "withdrawn");
        assert_eq!(client.query_one("select 'usable'", &[]).await.unwrap().get::<_, String>(0), "usable");
    });
}

#[test]
fn who_leaves_takes_the_request_back_and_nothing_runs() {
    let scene = scene();
    for politely in [true, false] {
        let mut raw = login(&scene);
        send_held(&mut raw, "update public.ledger_entries set note = 'left' where entry_id = 3");
        let request = waiting(&scene);
        let id = request["id"].as_str().unwrap();
        if politely {
            raw.send(&message(b'X', &[]));
        }
        drop(raw);
        gone(&scene, id, "withdrawn");
        let late = call(&scene, &LENA, &format!("/v1/requests/{id}/approve"), &json!({}));
        assert!((400..500).contains(&late.status), "{}", late.body);
        assert_ne!(note(&scene, 3), "left");
    }
}

#[test]
fn an_open_transaction_waits_no_longer_than_its_limit() {
    let scene = scene();
    let mut raw = login(&scene);
    raw.query("begin").unwrap();
    let said = send_held(&mut raw, "update public.ledger_entries set note = 'late' where entry_id = 4");
    assert!(said.contains("keeps its locks"), "{said}");
    let id = waiting(&scene)["id"].as_str().unwrap().to_owned();
    let refusal = failed(&mut raw);
    assert_eq!(refusal.code, "57014", "{refusal:?}");
    assert!(matches!(state(&scene, &id)["state"].as_str(), Some("lapsed" | "withdrawn")));
    raw.query("rollback").unwrap();
    assert_eq!(raw.query("select 'usable'").unwrap(), ["usable"]);
    assert_ne!(note(&scene, 4), "late");
}

#[test]
fn a_policy_that_blocks_ends_the_wait_and_one_without_the_review_lets_it_run() {
    let scene = scene();
    let before = std::fs::read_to_string(scene.repository.work.join("guard/held.kdl")).unwrap();
    let merge = |text: &str, what: &str| {
        std::fs::write(scene.repository.work.join("guard/held.kdl"), text).unwrap();
        let commit = scene.repository.merge(what).unwrap();
        applied(&scene, &SAM, &commit);
    };
    let sql = "alter table public.altered add note text";
    let mut raw = login(&scene);
    raw.query("drop table if exists public.altered").unwrap();
    raw.query("create table public.altered (id bigint)").unwrap();
    send_held(&mut raw, sql);
    let first = waiting(&scene)["id"].as_str().unwrap().to_owned();
    merge(&before.replace("    review ddl.alter", "    block ddl.alter\n    review"), "guard: nobody alters");
    let refusal = failed(&mut raw);
    assert!(refusal.code == "42501" && refusal.whole.contains("no longer permits"), "{refusal:?}");
    gone(&scene, &first, "withdrawn");
    merge(&before, "guard: reviewed again");
    send_held(&mut raw, sql);
    let second = waiting(&scene)["id"].as_str().unwrap().to_owned();
    merge(&before.replace("review ddl.alter update.bounded", "review update.bounded"), "guard: anybody alters");
    assert!(raw.until_ready().iter().all(|said| said.refusal().is_none()), "it runs");
    gone(&scene, &second, "withdrawn");
    let sql = "select count(*) from information_schema.columns where table_name = 'altered'";
    assert_eq!(scene.cluster.value("ledger_dev", sql).unwrap(), "2");
    raw.query("drop table public.altered").unwrap();
    merge(&before, "guard: as it was");
}

#[test]
fn what_people_agreed_to_is_what_the_names_meant_then() {
    let scene = scene();
    let past = |sql: &str| scene.cluster.value("ledger_dev", sql).unwrap();
    past(
        "create table public.junk (id bigint primary key, note text); create table public.zoo (like public.junk including all)",
    );
    past("insert into public.junk values (1, 'junk'); insert into public.zoo values (1, 'zoo')");
    past(
        "create view public.shown as select * from public.junk; grant all on public.junk, public.zoo, public.shown to public",
    );
    let mut raw = login(&scene);
    let update = |raw: &mut Raw, meanwhile: &str| {
        send_held(raw, "update public.shown set note = 'changed' where id = 1");
        let request = waiting(&scene);
        past(meanwhile);
        let id = request["id"].as_str().unwrap();
        decide(&scene, id, "approve", &json!({ "terms": request["terms"]["digest"] }));
        raw.until_ready().iter().find_map(Message::refusal)
    };
    for meanwhile in [
        "create or replace view public.shown as select * from public.zoo",
        "alter table public.zoo rename to other; alter table public.junk rename to zoo; alter table public.other rename to junk",
        "create rule also as on update to public.junk do also update public.zoo set note = old.note where id = old.id",
        "drop rule also on public.junk",
    ] {
        let refusal = update(&mut raw, meanwhile).unwrap_or_else(|| panic!("{meanwhile}: it runs"));
        assert!(refusal.code == "42501" && refusal.whole.contains("has changed since"), "{meanwhile}: {refusal:?}");
        assert_eq!(
            past("select (select note from public.junk) || (select note from public.zoo)").len(),
            7,
            "{meanwhile}"
        );
    }
    past(
        "create function public.shout() returns trigger language plpgsql as 'begin new.note := upper(new.note); return new; end'; \
         create domain public.short as text; create table public.kept (note public.short); \
         alter table public.junk add side public.short, enable row level security; create policy mine on public.junk using (true)",
    );
    // What the server does by itself to what is written, and in whose name.
    for meanwhile in [
        "alter table public.junk alter column note set default 'another'",
        "alter table public.junk alter column note set default 'a third'",
        "alter table public.junk add constraint few check (length(note) < 99)",
        "create trigger loud before update on public.junk for each row execute function public.shout()",
        "alter table public.junk disable trigger loud",
        "create or replace function public.shout() returns trigger language plpgsql as 'begin return null; end'",
        "alter table public.junk disable trigger user; alter table public.junk enable always trigger loud",
        "drop trigger loud on public.junk",
        "alter policy mine on public.junk using (id > 0)",
        "alter table public.junk force row level security",
        "alter view public.shown set (check_option = local)",
        "alter domain public.short add constraint few check (length(value) < 99)",
        "alter domain public.short set default 'x'",
    ] {
        let refusal = update(&mut raw, meanwhile).unwrap_or_else(|| panic!("{meanwhile}: it runs"));
        assert!(refusal.code == "42501" && refusal.whole.contains("has changed since"), "{meanwhile}: {refusal:?}");
        assert_eq!(past("select note from public.junk"), "zoo", "{meanwhile}");
    }
    // What does not concern the statement does not end its wait.
    assert!(update(&mut raw, "create table public.beside (id bigint); create index on public.junk (note)").is_none());
    assert_eq!(past("select note from public.shown"), "changed");
    past("drop view public.shown; drop table public.junk, public.zoo, public.beside, public.kept");
    past("drop function public.shout(); drop domain public.short");
}

/// There the server shows definitions as they were; it runs the statement by those of now.
#[test]
fn in_a_frozen_transaction_a_change_through_the_gateway_ends_the_wait() {
    let scene = scene();
    let past = |sql: &str| scene.cluster.value("ledger_dev", sql).unwrap();
    past("create table public.cold (id bigint primary key, note text); insert into public.cold values (1, 'cold')");
    past("create table public.beside (id bigint); grant all on public.cold, public.beside to gateway_rw");
    past("alter table public.cold owner to gateway_rw");
    let mut other = login(&scene);
    for (level, meanwhile, runs) in [
        ("repeatable read", "create rule also as on update to public.cold do also delete from public.beside", false),
        ("serializable", "drop rule also on public.cold", false),
        ("repeatable read", "select 1", true),
    ] {
        let mut raw = login(&scene);
        raw.query(&format!("begin isolation level {level}")).unwrap();
        raw.query("select 1").unwrap();
        send_held(&mut raw, "update public.cold set note = 'warm' where id = 1");
        let request = waiting(&scene);
        other.query(meanwhile).unwrap();
        let id = request["id"].as_str().unwrap();
        decide(&scene, id, "approve", &json!({ "terms": request["terms"]["digest"] }));
        let refusal = raw.until_ready().iter().find_map(Message::refusal);
        if runs {
            assert!(refusal.is_none(), "{meanwhile}: {refusal:?}");
        } else {
            let refusal = refusal.unwrap_or_else(|| panic!("{meanwhile}: it runs"));
            assert!(refusal.code == "42501" && refusal.whole.contains("has changed since"), "{meanwhile}: {refusal:?}");
        }
        raw.query(if runs { "commit" } else { "rollback" }).unwrap();
        assert_eq!(past("select note from public.cold"), if runs { "warm" } else { "cold" }, "{meanwhile}");
    }
    past("drop table public.cold, public.beside");
}

/// What the gateway's account wrote to the scratch table.
fn written(scene: &Scene) -> String {
    scene.cluster.value("ledger_staging", "select count(*) from public.scratch where id > 900000").unwrap()
}

#[test]
fn a_row_limit_on_writes_leaves_nothing_behind() {
    let scene = scene();
    super::api::open(&scene, &CODER, "ledger-staging", "10m");
    let token = scene.token(&CODER).unwrap();
    let mut raw = Raw::login(scene.gateway.port, "ledger-staging", &token).expect("the login works");
    let insert =
        |rows: u32| format!("insert into public.scratch (id) select 900000 + g from generate_series(1, {rows}) g");
    let exceeds = |raw: &mut Raw, sql: &str| {
        let refusal = raw.query(sql).expect_err(sql);
        assert!(refusal.code == "53400" && refusal.whole.contains("guard few-rows"), "{sql}: {refusal:?}");
        assert_eq!(written(&scene), "0", "{sql}");
    };
    exceeds(&mut raw, &insert(6));
    exceeds(&mut raw, &format!("insert into public.scratch (id) values (900101); {}", insert(6)));
    raw.query("begin").unwrap();
    raw.query("insert into public.scratch (id) values (900201), (900202)").unwrap();
    exceeds(&mut raw, &insert(6));
    raw.query("commit").unwrap();
    assert_eq!(written(&scene), "0", "COMMIT of a failed transaction rolls back");
    exceeds(&mut raw, "insert into public.scratch (id) select 900000 + g from generate_series(1, 6) g returning id");
    for sql in [
        "with a as (insert into public.scratch (id) values (900001) returning id) select count(*) from a",
        "explain analyze insert into public.scratch (id) values (900001)",
        "begin; insert into public.scratch (id) values (900001); commit",
    ] {
        assert_eq!(raw.query(sql).expect_err(sql).code, "42501", "{sql}");
        assert_eq!(written(&scene), "0", "{sql}");
    }
    raw.query(&insert(5)).unwrap();
    assert_eq!(written(&scene), "5", "within the bound it is kept");
    clear_written(&scene, &mut raw);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(scene.gateway.port).dbname("ledger-staging").user("me").password(token);
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        let sql = "insert into public.scratch (id) select 900000 + g from generate_series(1, $1::int) g";
        let error = client.execute(sql, &[&6_i32]).await.expect_err("too many");
        assert_eq!(error.code().map(|code| code.code()), Some("53400"));
        assert_eq!(written(&scene), "0");
        assert_eq!(client.execute(sql, &[&5_i32]).await.unwrap(), 5);
        assert_eq!(written(&scene), "5");
        client.execute("delete from public.scratch where id > 900000", &[]).await.unwrap();
        let rows: String = (1..=6).map(|row| format!("{}\n", 900_000 + row)).collect();
        let sink = client.copy_in::<_, bytes::Bytes>("copy public.scratch (id) from stdin").await.unwrap();
        futures_util::pin_mut!(sink);
        futures_util::SinkExt::send(&mut sink, bytes::Bytes::from(rows)).await.unwrap();
        let error = sink.finish().await.expect_err("too many");
        assert_eq!(error.code().map(|code| code.code()), Some("53400"));
        assert_eq!(written(&scene), "0");
        assert_eq!(client.query_one("select 'usable'", &[]).await.unwrap().get::<_, String>(0), "usable");
    });
}

/// The server quotes a value in its error, of any length.
#[test]
fn an_error_holds_no_more_than_the_bound_on_bytes() {
    let scene = scene();
    super::api::open(&scene, &CODER, "ledger-staging", "10m");
    let token = scene.token(&CODER).unwrap();
    let mut raw = Raw::login(scene.gateway.port, "ledger-staging", &token).expect("the login works");
    let quoted = |count: u32, kind: &str| {
        format!("select string_agg('canary ' || g, ' ')::{kind} from generate_series(1, {count}) g")
    };
    for kind in ["integer", "tsquery", "uuid", "date"] {
        let refusal = raw.query(&quoted(2_000, kind)).expect_err(kind);
        assert!(refusal.whole.len() < 8192 && !refusal.whole.contains("canary"), "{kind}: {refusal:?}");
        let refusal = raw.query(&quoted(2, kind)).expect_err(kind);
        assert!(refusal.whole.contains("canary"), "{kind}: {refusal:?}");
    }
}

/// Removes what was written, within the bound.
fn clear_written(scene: &Scene, raw: &mut Raw) {
    raw.query("delete from public.scratch where id > 900000").unwrap();
    assert_eq!(written(scene), "0");
}
