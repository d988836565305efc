//! Two sessions at SERIALIZABLE: whether they conflict follows from which rows an index keeps on one page, and so from
//! masked values beside which somebody puts a value of their own.

use super::masking::{Masking, Mode, SCENE, direct, through, transcript};
use super::raw::Raw;

/// One reads the last page of the index over city and pay, the other puts an entry of a chosen pay into it; each also reads
/// what the other writes. What the second session and its end say.
fn conflict(mut open: impl FnMut() -> Raw, begin: &str) -> String {
    let (mut reader, mut writer) = (open(), open());
    let run = |raw: &mut Raw, sql: &str| transcript(raw, sql, Mode::Simple);
    let mut seen = String::new();
    for raw in [&mut reader, &mut writer] {
        seen += &run(raw, &format!("set enable_seqscan = off; set enable_bitmapscan = off; {begin}"));
    }
    seen += &run(&mut writer, "select city from leaves where id = 7");
    seen += &run(&mut reader, "select count(*) from leaves where city = 'Romf'");
    seen += &run(&mut reader, "update leaves set city = city where id = 7");
    seen += &run(&mut writer, "insert into leaves (id, city, pay) values (99999, 'Rome', 5000)");
    seen += &run(&mut reader, "commit");
    seen += &run(&mut writer, "commit");
    for database in ["world_a", "world_b"] {
        SCENE.cluster.value(database, "delete from public.leaves where id = 99999").unwrap();
    }
    seen
}

#[test]
fn conflicts_of_transactions_say_nothing_of_masked_values() {
    let begins = [
        "begin isolation level serializable",
        "begin; set transaction isolation level serializable",
        "set session characteristics as transaction isolation level serializable; begin",
        "set default_transaction_isolation = 'Serializable'; begin",
        "select set_config('default_transaction_isolation', 'serializable', false); begin",
        "select set_config('default_transaction_isolation', lower('SERIALIZABLE'), false); begin",
        "begin; set local transaction_isolation to serializable",
    ];
    for begin in begins {
        let [past_a, past_b] = ["world_a", "world_b"].map(|database| conflict(|| direct(database), begin));
        assert_ne!(past_a, past_b, "it shows nothing here: {begin}");
        assert!(past_a.contains("40001") && !past_b.contains("40001"), "{begin}: {past_a}{past_b}");
        for masking in [Masking::Rewrite, Masking::Database] {
            let [via_a, via_b] = masking.connections().map(|connection| conflict(|| through(connection), begin));
            assert_eq!(via_a, via_b, "{masking:?}: {begin}");
            assert!(via_a.contains("use REPEATABLE READ"), "{masking:?}: {begin}: {via_a}");
        }
    }
    let [connection, _] = Masking::Rewrite.connections();
    let other = "set default_transaction_isolation = 'repeatable read'; reset default_transaction_isolation; \
                 set default_transaction_isolation to default; begin isolation level repeatable read; \
                 update leaves set city = city where id = 7; rollback";
    let seen = transcript(&mut through(connection), other, Mode::Simple);
    assert!(seen.contains("C UPDATE 1") && !seen.contains("C=42501"), "{seen}");
}
