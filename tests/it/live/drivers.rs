//! The drivers of other languages: `tests/live/python` and `tests/live/node`.

use super::compare::same_both_ways;
use super::scene;
use std::path::Path;
use std::process::Command;
use xtask::tools::node;

fn python(script: &str) -> Command {
    let places = &scene().places;
    let python = places.python();
    assert!(python.exists(), "{} is missing: run `cargo xtask setup`", python.display());
    let mut command = Command::new(python);
    command.arg("-B").arg(places.root.join("tests/live/python").join(script));
    command
}

#[test]
fn psycopg_3_sees_what_it_sees_directly() {
    same_both_ways("live_psycopg", || python("psycopg3.py"));
}

#[test]
fn asyncpg_sees_what_it_sees_directly() {
    same_both_ways("live_asyncpg", || python("asyncpg_client.py"));
}

#[test]
fn node_postgres_sees_what_it_sees_directly() {
    let folder = scene().places.root.join("tests/live/node");
    assert!(Path::exists(&folder.join("node_modules/pg")), "node-postgres is missing: run `cargo xtask setup`");
    same_both_ways("live_node", || {
        let mut command = Command::new(node().expect("node is installed"));
        command.arg(folder.join("client.mjs"));
        command
    });
}
