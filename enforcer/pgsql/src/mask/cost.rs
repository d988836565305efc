//! What judging and rewriting a statement cost, as a program of its own: it asserts nothing about time, and prints a table.
//!
//! `cargo test --release -p pgsql -- cost_of_a_statement --ignored --nocapture`

use super::tests::on_a_large_stack;
use super::{Masks, Plan, RelationMasks};
use crate::session::SessionFacts;
use crate::snapshot::{Builder, Catalog};
use lang::program::rules::MaskAs;
use std::fs;
use std::hint::black_box;
use std::sync::Arc;

/// Runs of each measurement.
const RUNS: u32 = 4_000;
/// Columns of the wide table.
const WIDE: [&str; 12] =
    ["id", "name", "mail", "iban", "branch", "amount", "born", "seen", "active", "tier", "note", "code"];

/// The tables of `cargo xtask bench --masked`.
fn catalog() -> Catalog {
    let mut builder = Builder::default();
    let mut row = |values: &[&str]| {
        let values: Vec<Option<&str>> = values.iter().map(|value| (!value.is_empty()).then_some(*value)).collect();
        builder.row(&values).unwrap();
    };
    for (oid, name, columns) in [
        ("1", "pgbench_accounts", ["aid", "bid", "abalance", "filler"].as_slice()),
        ("2", "pgbench_branches", &["bid", "bbalance", "filler"]),
        ("3", "wide", &WIDE),
    ] {
        row(&["relation", oid, "public", name, "r", "f", "f", "f", "f", "f", ""]);
        for (at, column) in columns.iter().enumerate() {
            let text = ["filler", "name", "mail", "iban", "note"].contains(column);
            let kind = if text { "text" } else { "integer" };
            row(&["column", oid, &(at + 1).to_string(), column, kind, if text { "t" } else { "f" }, "f", "t"]);
        }
        row(&["index", oid, "t", "t", "1", "1", "t", "", "f", "1"]);
    }
    builder.build()
}

fn plan() -> Plan {
    let mut masks = Masks::default();
    for (table, columns) in [
        ("pgbench_accounts", [("abalance", MaskAs::Nullify), ("filler", MaskAs::Redact)]),
        ("wide", [("mail", MaskAs::Redact), ("iban", MaskAs::Partial { keep_first: 2, keep_last: 4 })]),
    ] {
        let columns = columns.into_iter().map(|(column, mask)| (column.into(), mask)).collect();
        masks.relations.insert(("public".into(), table.into()), RelationMasks { columns, ..RelationMasks::default() });
    }
    Plan::new(Arc::new(catalog()), masks, SessionFacts::pinned(18))
}

/// CPU time of this thread so far, in nanoseconds.
fn cpu_ns() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// CPU microseconds of one run.
#[expect(clippy::cast_precision_loss, reason = "a measurement rounds")]
fn cost(mut run: impl FnMut()) -> f64 {
    (0..RUNS / 10).for_each(|_| run());
    let before = cpu_ns();
    (0..RUNS).for_each(|_| run());
    (cpu_ns() - before) as f64 / 1e3 / f64::from(RUNS)
}

/// The table.
#[test]
#[ignore = "a measurement, not a check: the command stands above"]
#[expect(clippy::print_stdout, reason = "a measurement prints")]
fn cost_of_a_statement() {
    on_a_large_stack(|| {
        let plan = plan();
        println!("CPU us    judge  judge, cover  read  grammar alone  read what is sent  grammar alone  bytes sent");
        for (what, sql) in [
            ("point", "select abalance from pgbench_accounts where aid = 4711"),
            ("plain", "select bbalance from pgbench_branches where bid = 4711"),
            (
                "join",
                "select a.aid, a.bid, a.abalance, b.bbalance from pgbench_accounts a join pgbench_branches b \
                 on b.bid = a.bid where a.aid = 4711 and b.bbalance <> 815",
            ),
            ("wide", "select * from wide where id = 4711"),
            ("update", "update wide set tier = 3 where id = 4711"),
        ] {
            let whole = || {
                let mut judged = crate::read(sql, plan.facts()).unwrap();
                plan.cover(sql, &mut judged).unwrap().text
            };
            let sent = whole().unwrap_or_else(|| sql.into());
            println!(
                "{what:<8} {:>6.1} {:>13.1} {:>5.1} {:>14.1} {:>18.1} {:>14.1} {:>11}",
                cost(|| drop(black_box(crate::judge(sql, plan.facts())))),
                cost(|| drop(black_box(whole()))),
                cost(|| drop(black_box(pg_query::parse(sql, 0)))),
                cost(|| drop(black_box(pg_query::split_with_parser(sql)))),
                cost(|| drop(black_box(pg_query::parse(&sent, 0)))),
                cost(|| drop(black_box(pg_query::split_with_parser(&sent)))),
                sent.len(),
            );
        }
    });
}
