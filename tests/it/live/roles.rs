//! `credential (postgres-role)`: a role for each session, made at its opening and dropped at its end, in both ways to
//! mask.

use super::masking::{SCENE, through};
use super::provision::by_an_administrator;
use super::raw::Raw;
use std::process::Command;
use std::time::Duration;
use xtask::cast::PAULA;
use xtask::clock;
use xtask::command::must;

/// The database of both connections.
const DATABASE: &str = "world_c";
/// Statements are rewritten; the roles are members of `made_template`.
const REWRITTEN: &str = "made";
/// The target masks; the roles are members of a class's role.
const DATABASE_MASKS: &str = "vault-d";

fn value(sql: &str) -> String {
    SCENE.cluster.value(DATABASE, sql).unwrap()
}

fn rows(raw: &mut Raw, sql: &str) -> String {
    raw.query(sql).unwrap_or_else(|refused| vec![refused.whole]).join(",")
}

fn exists(role: &str) -> bool {
    value(&format!("select count(*) from pg_roles where rolname = '{role}'")) == "1"
}

/// Waits until a role is gone.
fn gone(role: &str) {
    let began = clock::now();
    while exists(role) {
        assert!(began.elapsed() < Duration::from_secs(10), "{role} is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The role of a session that is open, and what the target knows of it.
fn its_role(raw: &mut Raw) -> String {
    let role = rows(raw, "select session_user");
    assert_eq!(rows(raw, "select current_user"), role);
    let known = format!(
        "select rolcanlogin and rolconnlimit = 1 and rolvaliduntil > now() and not rolsuper and not rolcreaterole \
         from pg_roles where rolname = '{role}'"
    );
    assert_eq!(value(&known), "t", "{role}");
    role
}

#[test]
fn a_role_lives_as_long_as_its_session_where_statements_are_rewritten() {
    value(
        "create role made_template; create role made_maker login createrole; grant made_template to made_maker with admin \
         option; grant select on all tables in schema public to made_template; grant create on schema public to made_template",
    );
    let mut secrets = Command::new(SCENE.places.built("debug", "leasehold"));
    secrets.env("LEASEHOLD_CONFIG", SCENE.gateway.folder.join("gateway.kdl"));
    let secrets = must(secrets.args(["provision", REWRITTEN, "--secrets"])).unwrap().out;
    assert!(secrets.contains("made_maker") && !secrets.contains("mask_key"), "{secrets}");
    value(&secrets);
    // What a crash left behind, and what is no role of a session.
    let mut first = through(REWRITTEN);
    let role = its_role(&mut first);
    assert!(role.starts_with("leasehold_made_"), "{role}");
    let prefix = &role[..role.rfind("_s_").unwrap()];
    let orphan = format!("{prefix}_s_0000000001_0123456789abcdef");
    let other = format!("{prefix}_s_other");
    value(&format!("create role \"{orphan}\" login in role made_template; create role \"{other}\" login"));
    assert_eq!(rows(&mut first, "select full_name from customers where customer_id = 1"), "[redacted]");
    assert!(rows(&mut first, "set role made_template").contains("42501"));
    assert_eq!(rows(&mut first, "create table made_here (i int)"), "");
    let mut second = through(REWRITTEN);
    let its = its_role(&mut second);
    assert!(its != role && exists(&role) && !exists(&orphan) && exists(&other));
    drop(first);
    gone(&role);
    assert_eq!(value("select tableowner from pg_tables where tablename = 'made_here'"), "made_template");
    assert_eq!(rows(&mut second, "select 'goes on'"), "goes on");
    drop(second);
    gone(&its);
    value(&format!("drop table made_here; drop role \"{other}\""));
}

#[test]
fn a_role_lives_as_long_as_its_session_where_the_target_masks() {
    by_an_administrator(&SCENE, DATABASE_MASKS, DATABASE);
    let mut session = through(DATABASE_MASKS);
    let role = its_role(&mut session);
    assert_eq!(rows(&mut session, "select full_name from customers where customer_id = 1"), "[redacted]");
    assert_eq!(rows(&mut session, "select count(*) from orders"), "300");
    for sql in ["select salary from public.customers", "select public.name_of(1)", "create table public.t (i int)"] {
        let said =
            SCENE.cluster.query(DATABASE, &format!("set session authorization \"{role}\"; {sql}")).unwrap().said();
        assert!(said.contains("permission denied"), "{sql}: {said}");
    }
    drop(session);
    gone(&role);
    // A right that somebody gave the template closes the connection, and the role that was made for the look is dropped.
    let template = value(
        "select rolname from pg_roles where rolname like 'leasehold_vault_d%' and not rolinherit and rolcanlogin",
    );
    for (give, take, said) in [
        (
            format!("grant select (salary) on customers to {template}"),
            format!("revoke select (salary) on customers from {template}"),
            "masked column `salary`",
        ),
        (
            format!("grant pg_read_all_data to {template}"),
            format!("revoke pg_read_all_data from {template}"),
            "member of `pg_read_all_data`",
        ),
    ] {
        value(&give);
        let token = SCENE.token(&PAULA).unwrap();
        let refused = Raw::login(SCENE.gateway.port, DATABASE_MASKS, &token).map(|_| ()).expect_err(said);
        assert!(refused.whole.contains(said), "{refused:?}");
        value(&take);
    }
    let began = clock::now();
    while value(
        "select count(*) from pg_roles where rolname like 'leasehold_vault_d%' and rolname ~ '_s_[0-9a-f]{10}_'",
    ) != "0"
    {
        assert!(began.elapsed() < Duration::from_secs(10), "a role stays behind");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!SCENE.gateway.log().contains("SCRAM-SHA-256$"), "no verifier is logged");
}
