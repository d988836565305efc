//! The rewriting by itself: what becomes of a statement, and that the proof refuses what the rewriting missed.

use super::{Masks, Outcome, Plan, RelationMasks, Views, prove, rewrite};
use crate::bounds::STACK_BYTES;
use crate::session::SessionFacts;
use crate::snapshot::{Builder, Catalog};
use lang::program::rules::MaskAs;
use std::sync::Arc;

fn catalog() -> Catalog {
    let mut builder = Builder::default();
    let mut row = |values: &[&str]| {
        let values: Vec<Option<&str>> = values.iter().map(|value| (!value.is_empty()).then_some(*value)).collect();
        builder.row(&values).unwrap();
    };
    for (oid, name, kind, definition) in [
        ("1", "people", "r", ""),
        ("2", "plain", "r", ""),
        ("3", "seen", "v", "SELECT id, email FROM people"),
        ("4", "calls", "v", "SELECT public.secret(id) FROM plain"),
        ("5", "kept", "m", "SELECT email FROM people"),
    ] {
        row(&["relation", oid, "public", name, kind, "f", "f", "f", "f", "f", definition]);
        row(&["column", oid, "1", "id", "bigint", "f", "f", "t"]);
        row(&["column", oid, "2", "email", "character varying(40)", "t", "f", "t"]);
        row(&["column", oid, "3", "city", "text", "t", "f", "t"]);
    }
    row(&["derives", "3", "1"]);
    row(&["derives", "5", "1"]);
    row(&["index", "1", "t", "t", "1", "1", "t", "", "f", "1"]);
    builder.build()
}

fn plan(mask: MaskAs) -> Plan {
    plan_with(mask, None)
}

fn plan_with(mask: MaskAs, views: Option<Views>) -> Plan {
    let mut masks = Masks { views, ..Masks::default() };
    let columns = [("email".into(), mask)].into_iter().collect();
    masks.relations.insert(("public".into(), "people".into()), RelationMasks { columns, ..RelationMasks::default() });
    Plan::new(Arc::new(catalog()), masks, SessionFacts::pinned(15))
}

/// What the server gets, or why it gets nothing.
fn covered(plan: &Plan, sql: &str) -> String {
    let mut judged = crate::read(sql, plan.facts()).unwrap();
    let covered = plan.cover(sql, &mut judged).unwrap();
    for outcome in &covered.outcomes {
        if let Outcome::Refused(why) = outcome {
            return format!("refused: {why}");
        }
    }
    covered.text.map_or_else(|| "as it is".to_owned(), Into::into)
}

pub(super) fn on_a_large_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test).unwrap().join().unwrap();
}

/// The query that stands in for `people`.
const PEOPLE: &str = "(SELECT m.id AS id, NULL::varchar(40) AS email, m.city AS city FROM public.people m)";

#[test]
fn each_reference_becomes_a_query_under_the_name_that_the_text_uses() {
    on_a_large_stack(|| {
        let plan = plan(MaskAs::Nullify);
        for (sql, expected) in [
            ("select * from people", format!("SELECT * FROM {PEOPLE} people")),
            ("select p.email from public.people p", format!("SELECT p.email FROM {PEOPLE} p")),
            ("select public.people.email from public.people", format!("SELECT people.email FROM {PEOPLE} people")),
            ("select 1 where exists (table people)", format!("SELECT 1 WHERE EXISTS (SELECT * FROM {PEOPLE} people)")),
            ("with people as (select * from people) select * from people", {
                format!("WITH people AS (SELECT * FROM {PEOPLE} people) SELECT * FROM people")
            }),
            ("select id, city, count(*) from people group by id", {
                format!("SELECT id, city, count(*) FROM {PEOPLE} people GROUP BY id, people.city")
            }),
            ("select * from plain", "as it is".to_owned()),
        ] {
            assert_eq!(covered(&plan, sql), expected, "{sql}");
        }
    });
}

#[test]
fn what_cannot_be_shown_or_written_is_refused_with_a_reason() {
    on_a_large_stack(|| {
        let plan = plan(MaskAs::Hash);
        for (sql, reason) in [
            ("select * from calls", "calls the routine"),
            ("select * from kept", "copies"),
            ("update people set city = email where id = 1", "neither test nor store"),
            ("update people set city = 'x' where email = 'y'", "neither test nor store"),
            ("update people set city = 'x' where id = 1 returning *", "neither test nor store"),
            ("delete from people p where p::text like '%x%'", "neither test nor store"),
            ("insert into people (id, email) values (1, 'x')", "hash"),
            ("insert into plain select * from people", "neither test nor store"),
            ("create view v as select email from people", "definition"),
            ("explain analyze select * from people", "ANALYZE"),
            ("select current_setting('leasehold.mask_inner')", "gateway's own"),
            (
                "create function f() returns int language sql set leasehold.mask_inner from current as 'select 1'",
                "this connection has masks",
            ),
        ] {
            let found = covered(&plan, sql);
            assert!(found.starts_with("refused: ") && found.contains(reason), "{sql}: {found}");
        }
        assert_eq!(
            covered(&plan, "update people set city = 'x' where id = 1"),
            "UPDATE people SET city = 'x' WHERE id = 1"
        );
    });
}

#[test]
fn where_the_target_masks_a_conflict_takes_no_proposed_value_of_a_masked_column() {
    on_a_large_stack(|| {
        let views = Views { schema: "masked".into(), keys: "keys".into(), standing: false };
        let upsert =
            |set: &str| format!("insert into people (id, email) values (1, 'x') on conflict (id) do update set {set}");
        for (set, in_rewrite, in_target) in [
            ("email = excluded.email", true, false),
            ("city = excluded.city", true, true),
            ("email = 'x'", true, true),
            ("city = excluded.email", true, false),
        ] {
            for (views, runs) in [(None, in_rewrite), (Some(views.clone()), in_target)] {
                let found = covered(&plan_with(MaskAs::Redact, views), &upsert(set));
                assert_eq!(!found.contains("write the value itself"), runs, "{set}: {found}");
            }
        }
    });
}

#[test]
fn what_a_view_shows_as_a_hash_is_not_written_below_it() {
    on_a_large_stack(|| {
        let mut masks = Masks::default();
        let columns = [("email".into(), MaskAs::Hash)].into_iter().collect();
        masks.relations.insert(("public".into(), "seen".into()), RelationMasks { columns, ..RelationMasks::default() });
        masks.hashed_anywhere.insert("mail".into());
        let plan = Plan::new(Arc::new(catalog()), masks, SessionFacts::pinned(15));
        for (sql, runs) in [
            ("update people set city = 'x' where id = 1", true),
            ("update people set email = 'x' where id = 1", false),
            ("insert into people values (1, 'x', 'y')", false),
            ("insert into people (id, city) values (1, 'y')", true),
            ("create table fresh (id int, mail text)", false),
            ("create table fresh as select 'x' as mail", false),
            ("create table fresh (id int, text text)", true),
        ] {
            let found = covered(&plan, sql);
            assert_eq!(!found.contains("keyed hash"), runs, "{sql}: {found}");
        }
    });
}

#[test]
fn several_statements_read_together_as_each_was_judged() {
    on_a_large_stack(|| {
        let plan = plan(MaskAs::Redact);
        for (sql, expected) in [
            ("select 1 --c\n;select id from people; select 'y\nunion select 2 --'", "select 1 --c\n;\nSELECT id FROM "),
            ("select 1 /* ; */ ; select id from people -- last", "select 1 /* ; */\n;\nSELECT id FROM "),
            ("\n select 1;select id from people;select 2 as plain\u{a0}", "\n;\nselect 2 as plain\u{a0}"),
            ("select id from people;select 2 as plain\u{85}\n\t", "\n;\nselect 2 as plain\u{85}"),
        ] {
            let found = covered(&plan, sql);
            assert!(found.contains(expected), "{sql}: {found}");
        }
    });
}

#[test]
fn the_proof_refuses_a_text_in_which_a_reference_was_missed_or_imitated() {
    on_a_large_stack(|| {
        let plan = plan(MaskAs::Nullify);
        let holds = |text: &str, meant: &str| prove::holds(&plan, text, 1, &mut rewrite::parse_one(meant).unwrap());
        let meant = "SELECT * FROM (SELECT leasehold_stand_in_0) people";
        assert!(holds(&format!("SELECT * FROM {PEOPLE} people"), meant));
        assert!(!holds(&format!("SELECT *, 1 FROM {PEOPLE} people"), meant));
        for missed in [
            "SELECT * FROM people".to_owned(),
            format!("SELECT * FROM {PEOPLE} people, public.people p"),
            format!("SELECT * FROM {PEOPLE} people WHERE (SELECT count(*) FROM people) > 0"),
            "SELECT * FROM (SELECT m.id AS id, m.email AS email, m.city AS city FROM public.people m) people"
                .to_owned(),
            "SELECT * FROM seen".to_owned(),
        ] {
            for meant in [meant, &missed] {
                assert!(!holds(&missed, meant), "{missed}");
            }
        }
    });
}

#[test]
fn a_name_that_is_written_without_its_quotes_runs_nothing() {
    on_a_large_stack(|| {
        let plan = plan(MaskAs::Redact);
        for sql in [
            r#"select make_interval("days:=1),query_to_xml(query" => 'select 1', "nulls:=true" => 2) from people"#,
            r#"update people set city = make_interval("days=>1)::text||email||make_interval(days" => 1)::text where id = 1"#,
            r#"select count(*) from people join people p using (id) as "x, current_query() q""#,
            "select id from people order by id using operator(pg_catalog.<) limit 1",
        ] {
            let found = covered(&plan, sql);
            let whole = ["WITH TIES", "operator"].iter().any(|word| sql.contains(word));
            assert_eq!(found.starts_with("refused: the gateway cannot prove"), !whole, "{sql}: {found}");
        }
        // A window gets a name that needs none.
        let window = "w ,current_query() as q";
        let found =
            covered(&plan, &format!(r#"select count(*) over "{window}" from people window "{window}" as (), w as ()"#));
        assert!(found.contains("OVER leasehold_window_0 ") && !found.contains("current_query"), "{found}");
    });
}

/// A table with an index over `city` and the masked `email`.
fn ordered_plan() -> Plan {
    let mut builder = Builder::default();
    let mut row = |values: &[&str]| {
        let values: Vec<Option<&str>> = values.iter().map(|value| (!value.is_empty()).then_some(*value)).collect();
        builder.row(&values).unwrap();
    };
    row(&["relation", "1", "public", "people", "r", "f", "f", "f", "f", "f", ""]);
    for (number, name) in [("1", "id"), ("2", "email"), ("3", "city")] {
        row(&["column", "1", number, name, "text", "t", "f", "t"]);
    }
    row(&["index", "1", "t", "t", "1", "1", "t", "", "f", "1"]);
    row(&["index", "1", "f", "f", "3 2", "3 2", "t", "", "f", "2"]);
    let mut masks = Masks::default();
    let columns = [("email".into(), MaskAs::Nullify)].into_iter().collect();
    masks.relations.insert(("public".into(), "people".into()), RelationMasks { columns, ..RelationMasks::default() });
    Plan::new(Arc::new(builder.build()), masks, SessionFacts::pinned(15))
}

#[test]
fn an_index_over_masked_columns_decides_no_order() {
    on_a_large_stack(|| {
        let plan = ordered_plan();
        let people = "(SELECT m.id AS id, NULL::text AS email, m.city AS city FROM public.people m ORDER BY m.id";
        for quiet in [
            "city = 'x'",
            "city = 'x' AND id IN ('1', '2') OR NOT city IS NULL",
            "city > $1",
            "city LIKE 'a%'",
            "EXISTS (SELECT 1 FROM plain)",
            "city BETWEEN 'a' AND 'b' AND id < now() - '1 day'::interval",
        ] {
            let found = covered(&plan, &format!("SELECT * FROM people WHERE {quiet}"));
            assert!(found.starts_with(&format!("SELECT * FROM {people}) people WHERE")), "{quiet}: {found}");
        }
        for noisy in ["1 / length(city) = 1", "random() < 0.5", "city::int = 1", "city = 'x' OR lower(id) = 'x'"] {
            let found = covered(&plan, &format!("SELECT * FROM people WHERE {noisy}"));
            assert!(found.starts_with(&format!("SELECT * FROM {people} OFFSET 0) people WHERE")), "{noisy}: {found}");
        }
        for (sql, expected) in [
            ("UPDATE people SET city = 'x' WHERE id = '1'", None),
            (
                "UPDATE people SET city = 'x' WHERE id = '1' AND city = 'y'",
                Some("id = '1' AND COALESCE(city, city) = 'y'"),
            ),
            ("DELETE FROM people WHERE city = 'y' AND id > '1'", Some("COALESCE(city, city) = 'y' AND id > '1'")),
            (
                "UPDATE people p SET city = 'x' WHERE id IN (SELECT p.city FROM plain ORDER BY p.city)",
                Some("id IN (SELECT COALESCE(p.city, p.city) AS city FROM plain ORDER BY p.city)"),
            ),
        ] {
            let found = covered(&plan, sql);
            assert!(found.ends_with(expected.unwrap_or(sql)), "{found}");
        }
        assert!(covered(&plan, "UPDATE people SET city = ctid::text WHERE id = '1'").contains("`ctid`"));
        assert!(covered(&plan, "CLUSTER people").starts_with("refused: CLUSTER would put the rows"));
    });
}

#[test]
fn a_view_that_keeps_conditions_out_keeps_them_out() {
    on_a_large_stack(|| {
        let seen = |barrier: bool| {
            let mut catalog = catalog();
            if barrier {
                catalog.barriers.insert(3);
            }
            let plan = Plan::new(Arc::new(catalog), plan(MaskAs::Nullify).masks().clone(), SessionFacts::pinned(15));
            covered(&plan, "SELECT id FROM seen WHERE email = 'x'")
        };
        assert!(!seen(false).contains("OFFSET 0"), "{}", seen(false));
        assert!(seen(true).contains("OFFSET 0) seen WHERE"), "{}", seen(true));
    });
}

#[test]
fn statistics_of_masked_values_stay_out_of_what_is_grouped_or_joined() {
    on_a_large_stack(|| {
        let plan = plan(MaskAs::Redact);
        let is_opaque = |sql: &str| {
            let found = covered(&plan, sql);
            assert!(!found.starts_with("refused"), "{sql}: {found}");
            found.contains(" OFFSET 0) x WHERE")
        };
        for sql in [
            "select distinct email from people",
            "select distinct * from people",
            "select city, email, count(*) from people group by 1, 2",
            "select email from people union select city from people",
            "select p.id from people p join people q on p.email = q.email",
            "select p.id from people p, people q where p.email = q.email",
            "select p.id from people p natural join people q",
            "select p.id from people p join people q using (email)",
            "select id from people where email in (select city from people)",
            "select x.n, count(*) from (select email as n from people) x group by x.n",
            "with x as (select * from people) select city, count(*) from x group by city",
            "select count(*) from people p(a, b, c) group by b",
            "select p, count(*) from people p group by p",
            "select id, row_number() over (partition by city, email) from people",
            "select id, rank() over w from people window w as (order by email)",
            "select email, row_number() over w from people window w as (partition by email)",
            "select e, count(*) from (select s.email as e from seen s) y group by e",
            "select p.city, p.concat from people p group by 1, 2",
            "with x as (select p.city, p.concat from people p) select city, concat from x group by 1, 2",
            "select j::text, count(*) from (people p cross join plain q) as j group by j",
        ] {
            assert!(is_opaque(sql), "{sql}: {}", covered(&plan, sql));
        }
        for sql in [
            "select email from people where email = 'x' order by email",
            "select * from people where id = 1",
            "select p.email, q.city from people p join people q on p.id = q.id where q.id = 1",
            "select city, count(*) from people group by city",
            "explain select email from people",
            "with x as (select * from people) select * from x where email = 'x'",
        ] {
            assert!(!is_opaque(sql), "{sql}: {}", covered(&plan, sql));
        }
        let nothing = self::plan(MaskAs::Nullify);
        assert!(!covered(&nothing, "select distinct email from people").contains("OFFSET"));
    });
}

#[test]
fn columns_that_the_catalog_does_not_list_are_not_tested_on_real_rows() {
    on_a_large_stack(|| {
        let plan = plan(MaskAs::Nullify);
        for sql in [
            "update people set city = 'x' where social = '1'",
            "update people p set city = 'x' where p.social = '1'",
            "update people set city = 'x' from generate_series(1, 1) g where social = '1'",
            "update people set city = social",
            "update people set social = 'x'",
            "update people set city = 'x' where id = 1 returning social || ''",
            "delete from people where social = '1'",
            "delete from people p using plain q where p.social = q.id::text",
            "insert into people (id) values (1) on conflict (id) do update set city = 'x' where people.social = '1'",
            "insert into people (id, social) values (1, 'x')",
            "delete from people where id < 4 returning id, social || '' as v, 'social'",
            "delete from people where social = 'x' and 'social' <> ''",
            "delete from people where social = 'x' and exists (select 1 as social)",
            "delete from people where social = 'x' and exists (select 1 from (select 1 as social) z)",
            "delete from people where exists (select 1 as social from plain where social = 'x' order by social)",
            "delete from people where social = 'x' and exists (with z as (select 1 as social) select social from z)",
            "with z as (delete from plain where id = 1 returning id as social) delete from people where social = 'x'",
            "delete from people where id in (select social from plain)",
            "delete from people using plain as q(a, social) where p.social = 'x' and people.social = 'x'",
            "update people set city = 'x' from plain q where new.social = 'x'",
            "merge into people p using plain q on p.id = q.id when matched and social = '1' then update set city = 'x'",
        ] {
            let found = covered(&plan, sql);
            assert!(found.contains("the gateway does not know which relation"), "{sql}: {found}");
        }
        for sql in [
            "update people set city = 'x' where id = 1 returning id, city",
            "update people p set city = v.city from (values (1, 'x')) as v(id, city) where p.id = v.id",
            "update people p set city = v.new_city from (select 1 as key, 'x' as new_city) v where p.id = v.key",
            "insert into people (id, city) select key::int, value from json_each_text('{}')",
            "delete from people where xmin::text = '1' and tableoid = 1",
            "update people set city = value from jsonb_each_text('{}') where id = key::bigint",
            "update people set city = value ->> 'p' from jsonb_array_elements('[]')",
            "update people set city = 'x' from unnest(array[1]) with ordinality where id = ordinality",
            "update people set city = 'x' from generate_series(1, 2) g where id = g",
            "update people set city = 'x' from unnest(array[1]) as u(one) where id = one",
            "update people set city = column2 from (values (1, 'x')) v where id = column1",
            "update people set city = 'x' where id in (select total from (select count(*) as total from plain) z order by total)",
            "update people set city = 'x' where id in (select id as key from plain order by key)",
            "with z as (select id as key from plain) delete from people using z where people.id = key",
            "merge into people p using (select id, city as town from plain) s on p.id = s.id when matched then update set city = town",
            "insert into people (id, city) values (1, 'x') on conflict (id) do update set city = excluded.city where people.city <> excluded.city returning id, city",
            "with gone as (delete from people where id = 1 returning id) select total from (select count(*) as total from gone) x",
        ] {
            let found = covered(&plan, sql);
            assert!(!found.starts_with("refused"), "{sql}: {found}");
        }
    });
}

#[test]
fn no_transaction_at_serializable_writes_beside_masked_values() {
    on_a_large_stack(|| {
        let (ordered, plain) = (ordered_plan(), plan(MaskAs::Nullify));
        for sql in [
            "begin isolation level serializable",
            "begin transaction read only, isolation level Serializable",
            "set transaction isolation level serializable",
            "set session characteristics as transaction isolation level serializable",
            "set default_transaction_isolation = 'SERIALIZABLE'",
            "set local transaction_isolation to serializable",
            "select set_config('Default_Transaction_Isolation', 'serializable', false)",
            "select set_config('transaction_isolation', $1, true)",
        ] {
            assert!(covered(&ordered, sql).contains("use REPEATABLE READ"), "{sql}: {}", covered(&ordered, sql));
            assert_eq!(covered(&plain, sql), "as it is", "{sql}");
        }
        for sql in [
            "begin isolation level repeatable read",
            "set transaction isolation level read committed",
            "set default_transaction_isolation to default",
            "reset transaction_isolation",
            "select set_config('default_transaction_isolation', 'read committed', false)",
        ] {
            assert_eq!(covered(&ordered, sql), "as it is", "{sql}");
        }
        let mut by_default = ordered.clone();
        let mut catalog = Catalog::clone(&by_default.catalog);
        catalog.serializable = true;
        by_default.catalog = Arc::new(catalog);
        let write = "update people set city = 'x' where id = 'a'";
        assert!(covered(&by_default, write).contains("SERIALIZABLE unless they say otherwise"));
        assert!(!covered(&ordered, write).contains("refused"), "{}", covered(&ordered, write));
        assert!(!covered(&by_default, "select id from people").contains("refused"));
    });
}
