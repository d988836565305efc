//! Hash masks on live columns, and a statement that runs while a merge masks what it reads.

use super::masking::{Mode, SCENE, through};
use super::raw::{Raw, message};
use aws_lc_rs::hmac;
use std::time::Duration;
use xtask::clock;

/// A connection whose statements are rewritten; `customers.full_name` is shown as a hash.
const CONNECTION: &str = "hashed";
/// The database behind it.
const DATABASE: &str = "world_c";

fn rows(raw: &mut Raw, sql: &str) -> Vec<String> {
    raw.query(sql).unwrap_or_else(|refused| panic!("{sql}: {refused:?}"))
}

/// What the policy's documents promise: HMAC-SHA-256 under a key of the gateway and the connection.
fn expected(value: &str) -> String {
    let file = SCENE.gateway.folder.join("state/mask.key");
    let key = blake3::Hash::from_hex(std::fs::read_to_string(file).unwrap().trim()).unwrap();
    let key = blake3::keyed_hash(key.as_bytes(), CONNECTION.as_bytes());
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()), value.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_hash_is_keyed_and_equal_for_equal_values() {
    let raw_value = SCENE.cluster.value(DATABASE, "select full_name from customers where customer_id = 7").unwrap();
    let mut raw = through(CONNECTION);
    let shown = rows(&mut raw, "select full_name from customers where customer_id = 7");
    assert_eq!(shown, [expected(&raw_value)]);
    // In binary results a text is the same bytes.
    Mode::Binary.send(&mut raw, "select full_name from customers where customer_id = 7");
    let answer = raw.until_ready();
    let row = answer.iter().find(|message| message.tag == 'D').expect("a row");
    assert_eq!(&row.body[6..], shown[0].as_bytes());
    // Equality, and only equality, goes on working: by joins, groups and a value that was shown before.
    let joined = "select count(*) from customers a join customers b using (full_name)";
    assert_eq!(rows(&mut raw, joined), SCENE.cluster.value(DATABASE, joined).map(|count| [count]).unwrap());
    let found = format!("select customer_id from customers where full_name = '{}'", shown[0]);
    assert_eq!(rows(&mut raw, &found), ["7"]);
    let by_value = format!("select count(*) from customers where full_name = '{raw_value}'");
    assert_eq!(rows(&mut raw, &by_value), ["0"]);
    for sql in [
        "select current_setting('leasehold.mask_inner')",
        "select setting from pg_settings where name like 'leasehold%'",
        "update customers set full_name = 'chosen' where customer_id = 7",
    ] {
        let said = raw.query(sql);
        assert!(said.as_ref().map_or_else(|refused| refused.code == "42501", Vec::is_empty), "{sql}: {said:?}");
    }
}

#[test]
fn a_merge_that_masks_what_a_running_statement_reads_ends_it() {
    let mut raw = through(CONNECTION);
    let mut idle = through(CONNECTION);
    assert_eq!(rows(&mut idle, "select ssn from people where id = 1").len(), 1);
    raw.send(&message(b'Q', b"select p.ssn, pg_sleep(60) from people p where p.id = 1\0"));
    std::thread::sleep(Duration::from_millis(300));
    let began = clock::now();
    let repository = &SCENE.repository;
    let masked = "    column public.people.ssn as=test.redact\n";
    repository
        .edit("connections/vaults.kdl", |text| {
            text.replace("classify hashed {\n", &format!("classify hashed {{\n{masked}"))
        })
        .unwrap();
    repository.merge("worlds: mask ssn").unwrap();
    let answer = raw.until_ready();
    assert!(began.elapsed() < Duration::from_secs(30), "it was cut, not waited for");
    assert!(answer.iter().all(|message| message.tag != 'D'), "no row of it is shown");
    let refusal = answer.iter().find_map(super::raw::Message::refusal).expect("an error");
    assert!(refusal.whole.contains("no longer permits this statement"), "{refusal:?}");
    assert_eq!(rows(&mut raw, "select ssn from people where id = 1"), ["[redacted]"]);
    assert_eq!(rows(&mut idle, "select ssn from people where id = 1"), ["[redacted]"]);
}
