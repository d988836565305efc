//! psql, the client that people type into: simple statements, PREPARE, `\copy`, a transaction, an interrupt, errors.

use super::compare::{Way, direct, gateway};
use super::scene;
use std::process::Command;
use std::time::Duration;
use xtask::command::{Ran, run_within, start};
use xtask::service::signal;

const SCRIPT: &str = r"
select 1 as one, 'zwei' as two, null as three;
select 1 \; select 2;
drop table if exists TABLE;
create table TABLE (id bigint primary key, label text);
prepare entry (bigint) as select entry_id, amount_cents from public.ledger_entries where entry_id = $1;
execute entry (1);
execute entry (2);
deallocate entry;
\copy TABLE (id, label) from pstdin
1	one
2	two
3	\N
\.
\copy (select id, label from TABLE order by id) to pstdout
begin;
update TABLE set label = 'gone' where id = 1;
rollback;
begin;
savepoint here;
delete from TABLE where id = 2;
rollback to here;
commit;
select * from TABLE order by id;
select * from public.no_such_table;
select 1/0;
begin; declare walk cursor for select entry_id from public.ledger_entries order by 1; fetch 3 from walk; close walk; commit;
select count(*), sum(amount_cents) from public.ledger_entries;
select e.entry_id, e.note, o.entry_id from public.ledger_entries e join public.ledger_entries o using (customer_id) where e.entry_id <= 2000 order by 1, 3;
explain (costs off) select * from public.ledger_entries where entry_id = 5;
drop table TABLE;
select 'alive';
";

fn psql(way: &Way) -> Command {
    let mut command = Command::new(scene().cluster.psql());
    command.args(["--no-psqlrc", "--no-align", "--set=VERBOSITY=verbose"]);
    command.env("PGHOST", "localhost").env("PGPORT", way.port.to_string()).env("PGDATABASE", &way.database);
    command.env("PGUSER", &way.user).env("PGPASSWORD", &way.password).env("PGCONNECT_TIMEOUT", "20");
    command.env("PGSSLMODE", "verify-full").env("PGSSLROOTCERT", &way.ca);
    command
}

fn script(way: &Way) -> Ran {
    let path = scene().folder.join("psql.sql");
    // `\copy … from pstdin` reads the lines that follow in the script when the script is psql's standard input.
    std::fs::write(&path, SCRIPT.replace("TABLE", "public.live_psql")).unwrap();
    let mut shell = Command::new("/bin/sh");
    let psql = psql(way);
    shell.args(["-c", "script=$1; shift; exec \"$@\" < \"$script\"", "psql"]).arg(&path);
    shell.arg(psql.get_program()).args(psql.get_args());
    shell.envs(psql.get_envs().filter_map(|(key, value)| Some((key, value?))));
    run_within(&mut shell, Duration::from_mins(3)).unwrap()
}

/// What psql printed, without the lines that name a place in the server's source: they say nothing to a user.
fn told(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.starts_with("LOCATION:")).collect()
}

#[test]
fn psql_prints_what_it_prints_directly() {
    let directly = script(&direct());
    let through = script(&gateway());
    assert!(directly.out.contains("alive") && directly.out.lines().count() > 10_000, "{}", directly.said());
    assert_eq!(told(&through.err), told(&directly.err), "standard error");
    for (line, (left, right)) in through.out.lines().zip(directly.out.lines()).enumerate() {
        assert_eq!(left, right, "line {line} of standard output");
    }
    assert_eq!(through.out.lines().count(), directly.out.lines().count());
}

#[test]
fn an_interrupt_cancels_the_statement_and_keeps_the_connection() {
    for way in [direct(), gateway()] {
        let mut command = psql(&way);
        command.args(["--command", "select pg_sleep(25)", "--command", "select 'alive'"]);
        let running = start(&mut command).unwrap();
        std::thread::sleep(Duration::from_millis(1500));
        signal(running.pid(), "INT");
        let ran = running.finish(Duration::from_secs(20)).unwrap();
        assert!(ran.err.contains("57014"), "on {}: {}", way.database, ran.said());
        assert!(ran.took < Duration::from_secs(15), "the cancel took {:?}", ran.took);
    }
}
