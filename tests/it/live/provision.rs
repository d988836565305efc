//! A target that masks by itself: how it is made so, what the gateway refuses until it is, and that a change of the
//! schema closes what nobody looked at.

use super::masking::{SCENE, through};
use super::raw::Raw;
use std::process::Command;
use xtask::cast::PAULA;
use xtask::command::{Ran, must, run};
use xtask::scene::Scene;

/// The connection that these tests change.
const CONNECTION: &str = "vault-c";
/// Its database.
const DATABASE: &str = "world_c";

/// The steps of somebody with the rights for it: definitions, SQL from the policy, offline, and the secrets.
pub(super) fn by_an_administrator(scene: &Scene, connection: &str, database: &str) {
    let file = |end: &str| scene.folder.join(format!("{connection}.{end}"));
    let mut export = leasehold(scene);
    export.args(["catalog", "export", connection, "--plaintext", "--user", "gateway_rw", "--database", database]);
    export.args(["--password-env", "BENCH_PASSWORD", "--address", &format!("127.0.0.1:{}", scene.cluster.port)]);
    must(export.arg("--definitions").arg(file("jsonl"))).unwrap();
    let definitions = file("jsonl").display().to_string();
    let install = must(&mut scene.leaseholdc(&["provision", connection, "--definitions", &definitions])).unwrap();
    let secrets = must(leasehold(scene).args(["provision", connection, "--secrets"])).unwrap();
    std::fs::write(file("sql"), install.out + &secrets.out).unwrap();
    let mut psql = scene.cluster.psql_command(database);
    must(psql.args(["--set=ON_ERROR_STOP=1", "--quiet", "--file"]).arg(file("sql"))).unwrap();
}

fn leasehold(scene: &Scene) -> Command {
    let mut command = Command::new(scene.places.built("debug", "leasehold"));
    command.env("LEASEHOLD_CONFIG", scene.gateway.folder.join("gateway.kdl"));
    command.env("BENCH_PASSWORD", &scene.cluster.writer_password);
    command
}

fn provision(flag: &str) -> Ran {
    run(leasehold(&SCENE).args(["provision", CONNECTION, flag])).unwrap()
}

fn as_owner(sql: &str) {
    SCENE.cluster.value(DATABASE, sql).unwrap();
}

/// What the gateway answers to a login; nothing when it lets in.
fn refusal() -> String {
    let token = SCENE.token(&PAULA).unwrap();
    Raw::login(SCENE.gateway.port, CONNECTION, &token).map_or_else(|refused| refused.whole, |_| String::new())
}

fn rows(raw: &mut Raw, sql: &str) -> String {
    raw.query(sql).unwrap_or_else(|refused| vec![refused.whole]).join(",")
}

#[test]
fn a_target_masks_by_itself_and_what_changed_stays_closed_until_somebody_looked() {
    // Without roles nothing opens.
    assert!(refusal().contains("refused the gateway's login"), "{}", refusal());
    let differs = provision("--drift");
    assert!(differs.code == Some(1) && differs.out.contains("it does not exist"), "{}", differs.said());
    let told = run(leasehold(&SCENE).args(["provision", CONNECTION, "--drift", "--format", "json"])).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((told.code, answer["differences"].as_array().is_some_and(|all| !all.is_empty())), (Some(1), true));
    let made = provision("--apply");
    assert!(made.ok() && made.out.contains("1 roles and 1 schemas"), "{}", made.said());
    assert!(provision("--drift").ok(), "{}", provision("--drift").said());
    let role = a_session_sees_masks_only();
    the_server_refuses_the_role(&role);
    what_was_given_by_hand_closes_the_connection(&role);
    what_is_new_is_unreachable();
    let removed = provision("--remove");
    assert!(removed.ok(), "{}", removed.said());
    let left = "select count(*) from pg_roles where rolname like 'leasehold_vault_c%'";
    assert_eq!(SCENE.cluster.value(DATABASE, left).unwrap(), "0");
}

/// A hash is keyed and equal for equal values; the role is the session's own.
fn a_session_sees_masks_only() -> String {
    let mut session = through(CONNECTION);
    let hash = rows(&mut session, "select iban from customers where customer_id = 1");
    assert!(hash.len() == 34 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{hash}");
    assert_eq!(rows(&mut session, "select count(*) from customers c join customers d on c.iban = d.iban"), "60");
    assert_eq!(rows(&mut session, "select count(distinct iban) from customers"), "60");
    assert_eq!(rows(&mut session, "select full_name from customers where customer_id = 1"), "[redacted]");
    assert_eq!(rows(&mut session, "select salary from customers where customer_id = 1"), "∅");
    assert!(rows(&mut session, "table leasehold_x_v_0123456789ab.t").contains("42501"));
    let role = rows(&mut session, "select current_user");
    assert!(role.starts_with("leasehold_vault_c_") && role == rows(&mut session, "select session_user"), "{role}");
    role
}

/// What the server says to the role, without the gateway.
fn the_server_refuses_the_role(role: &str) {
    let key =
        SCENE.cluster.value(DATABASE, "select nspname from pg_namespace where nspname like 'leasehold_vault_c%key'");
    for sql in [
        "select salary from public.customers".to_owned(),
        "select * from public.customers".to_owned(),
        "select count(*) from public.kept".to_owned(),
        "select * from public.rich".to_owned(),
        "select public.name_of(1)".to_owned(),
        "update public.customers set iban = 'x'".to_owned(),
        "create table public.t (i int)".to_owned(),
        format!("select * from {}.mask_key", key.unwrap()),
    ] {
        let said = SCENE.cluster.query(DATABASE, &format!("set session authorization {role}; {sql}")).unwrap().said();
        assert!(said.contains("permission denied"), "{sql}: {said}");
    }
}

/// A right that somebody gave by hand closes the connection, and the reason is told.
fn what_was_given_by_hand_closes_the_connection(role: &str) {
    for (right, on, said) in [
        ("select (salary)", "on customers", "masked column `salary`"),
        ("select", "on customers", "may read all of `public.customers`"),
        ("pg_read_all_data", "", "member of `pg_read_all_data`"),
        ("execute", "on function name_of", "public.name_of(bigint)"),
        ("create", "on schema public", "create objects"),
        ("select", "on rich", "`public.rich`"),
    ] {
        as_owner(&format!("grant {right} {on} to {role}"));
        assert!(refusal().contains(said), "{right}: {}", refusal());
        assert!(provision("--drift").out.contains(said), "{}", provision("--drift").said());
        as_owner(&format!("revoke {right} {on} from {role}"));
    }
    let again = provision("--apply");
    assert!(again.ok(), "{}", again.said());
    assert_eq!(refusal(), "");
}

/// What is new, or was changed, is unreachable until it is provisioned; a view that is redefined shows its old self.
fn what_is_new_is_unreachable() {
    let mut session = through(CONNECTION);
    as_owner("create table newcomer (id int, secret text); insert into newcomer values (1, 'x')");
    as_owner("create or replace view customer_names as select customer_id, note as full_name, country from customers");
    as_owner("alter table people add column pin text default '1234'");
    // The gateway still has the definitions of a moment ago, and the server has not.
    assert!(rows(&mut session, "select * from newcomer").contains("ERROR"));
    assert!(rows(&mut session, "select full_name from customer_names where customer_id = 1").contains("[redacted]"));
    assert_eq!(rows(&mut session, "select count(*) from people"), "15");
    let drift = provision("--drift");
    for said in ["newcomer", "public.customer_names"] {
        assert!(drift.out.contains(said), "{said}: {}", drift.said());
    }
    assert!(provision("--apply").ok());
    assert!(provision("--drift").ok(), "{}", provision("--drift").said());
}
