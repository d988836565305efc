//! tokio-postgres: typed rows, prepared statements, a pipeline, COPY both ways, a transaction, cancel, errors.

use super::compare::{Way, direct, gateway};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, pin_mut};
use std::fmt::Debug;
use std::time::Duration;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Every step's result as text.
type Seen = Vec<(&'static str, String)>;

#[test]
fn tokio_postgres_sees_what_it_sees_directly() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let directly = runtime.block_on(session(&direct(), "public.live_tokio_direct"));
    let through = runtime.block_on(session(&gateway(), "public.live_tokio_through"));
    for (left, right) in through.iter().zip(&directly) {
        assert_eq!(left, right, "left is through the gateway, right is direct");
    }
    assert_eq!(through.len(), directly.len());
}

/// Plaintext: on loopback a token may be used so, and a driver without TLS is worth a test of its own.
async fn connect(way: &Way) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(way.port).dbname(&way.database).user(&way.user).password(&way.password);
    config.connect_timeout(Duration::from_secs(20)).ssl_mode(tokio_postgres::config::SslMode::Disable);
    let (client, connection) = config.connect(NoTls).await.expect("it connects");
    tokio::spawn(connection);
    client
}

async fn session(way: &Way, table: &str) -> Seen {
    let client = connect(way).await;
    let mut seen = Seen::new();
    seen.push(("simple", simple(&client, "select 1 as one, 'zwei' as two, null as three; select 2").await));
    let create = format!("drop table if exists {table}; create table {table} (id bigint primary key, label text)");
    seen.push(("create", simple(&client, &create).await));
    prepared(&client, &mut seen).await;
    copy(&client, table, &mut seen).await;
    transaction(way, table, &mut seen).await;
    cancel(&client, &mut seen).await;
    errors(&client, table, &mut seen).await;
    large(&client, &mut seen).await;
    seen.push(("drop", simple(&client, &format!("drop table {table}")).await));
    seen
}

async fn simple(client: &Client, text: &str) -> String {
    let messages = client.simple_query(text).await.unwrap();
    let words = messages.iter().map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            (0..row.len()).map(|n| row.get(n).unwrap_or("∅").to_owned()).collect::<Vec<_>>().join(",")
        }
        SimpleQueryMessage::CommandComplete(count) => format!("={count}"),
        SimpleQueryMessage::RowDescription(columns) => {
            columns.iter().map(|column| column.name().to_owned()).collect::<Vec<_>>().join("|")
        }
        other => format!("{other:?}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

async fn prepared(client: &Client, seen: &mut Seen) {
    let text = "select entry_id, amount_cents, note from public.ledger_entries where entry_id = $1";
    let statement = client.prepare(text).await.unwrap();
    let mut rows = Vec::new();
    for number in 1..=5_i64 {
        let row = client.query_one(&statement, &[&number]).await.unwrap();
        rows.push((row.get::<_, i64>(0), row.get::<_, i64>(1), row.get::<_, Option<String>>(2)));
    }
    seen.push(("prepared", show(&rows)));
    let (a, b, c) = tokio::join!(
        client.query_one(&statement, &[&11_i64]),
        client.query_one("select $1::text || '!'", &[&"pipelined"]),
        client.query_one(&statement, &[&12_i64]),
    );
    let all = (a.unwrap().get::<_, i64>(0), b.unwrap().get::<_, String>(0), c.unwrap().get::<_, i64>(0));
    seen.push(("pipeline", show(&all)));
}

async fn copy(client: &Client, table: &str, seen: &mut Seen) {
    let sink = client.copy_in::<_, bytes::Bytes>(&format!("copy {table} (id, label) from stdin")).await.unwrap();
    pin_mut!(sink);
    for number in 0..2000 {
        sink.send(bytes::Bytes::from(format!("{number}\trow {number} é\n"))).await.unwrap();
    }
    seen.push(("copy in", show(&sink.finish().await.unwrap())));
    let source = client.copy_out(&format!("copy (select * from {table} order by id) to stdout")).await.unwrap();
    let parts: Vec<bytes::Bytes> = source.try_collect().await.unwrap();
    seen.push(("copy out", show(&parts.concat())));
}

async fn transaction(way: &Way, table: &str, seen: &mut Seen) {
    let mut client = connect(way).await;
    let transaction = client.transaction().await.unwrap();
    transaction.execute(&format!("update {table} set label = 'gone' where id = 1"), &[]).await.unwrap();
    transaction.rollback().await.unwrap();
    let mut transaction = client.transaction().await.unwrap();
    transaction.execute(&format!("update {table} set label = $1 where id = $2"), &[&"kept", &2_i64]).await.unwrap();
    let point = transaction.savepoint("here").await.unwrap();
    point.execute(&format!("delete from {table} where id = 3"), &[]).await.unwrap();
    point.rollback().await.unwrap();
    let portal =
        transaction.bind(&format!("select id, label from {table} where id < 6 order by id"), &[]).await.unwrap();
    let mut walked = Vec::new();
    loop {
        let rows = transaction.query_portal(&portal, 2).await.unwrap();
        if rows.is_empty() {
            break;
        }
        walked.extend(rows.iter().map(|row| (row.get::<_, i64>(0), row.get::<_, Option<String>>(1))));
    }
    transaction.commit().await.unwrap();
    seen.push(("transaction and portal", show(&walked)));
}

async fn cancel(client: &Client, seen: &mut Seen) {
    let token = client.cancel_token();
    let asleep = client.batch_execute("select pg_sleep(25)");
    let cancelled = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        token.cancel_query(NoTls).await.unwrap();
    };
    let (asleep, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(15), asleep), cancelled);
    let error = asleep.expect("the cancel comes in time").expect_err("the statement does not run to its end");
    seen.push(("cancel", show(&error.code())));
    seen.push(("after cancel", simple(client, "select 'alive'").await));
}

async fn errors(client: &Client, table: &str, seen: &mut Seen) {
    let duplicate = format!("insert into {table} (id) values (2)");
    for text in ["select * from public.no_such_table", "select 1/0", duplicate.as_str()] {
        let simple = client.batch_execute(text).await.expect_err("it is an error");
        let extended = client.execute(text, &[]).await.expect_err("it is an error");
        seen.push(("error", show(&(simple.code(), extended.code()))));
    }
    seen.push(("after errors", simple(client, "select 'alive'").await));
}

async fn large(client: &Client, seen: &mut Seen) {
    let text = "select e.entry_id, e.note, o.entry_id from public.ledger_entries e join public.ledger_entries o \
                using (customer_id) where e.entry_id <= 5000 order by 1, 3";
    let rows = client.query_raw(text, Vec::<i64>::new()).await.unwrap();
    pin_mut!(rows);
    let (mut count, mut sum) = (0_u64, 0_i64);
    while let Some(row) = rows.next().await {
        let row = row.unwrap();
        count += 1;
        sum = sum.wrapping_mul(31).wrapping_add(row.get::<_, i64>(0)).wrapping_add(row.get::<_, i64>(2));
    }
    assert!(count >= 90_000, "{count} rows");
    seen.push(("large", show(&(count, sum))));
}

fn show(value: &impl Debug) -> String {
    format!("{value:?}")
}
