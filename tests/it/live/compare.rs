//! One client, run twice: past the gateway and through it. What it saw must be the same.

use super::{scene, token};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use xtask::cast::PAULA;
use xtask::command::run_within;

/// Where a client connects, and as whom.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) ca: PathBuf,
}

/// Straight to PostgreSQL, with the credential that the gateway uses.
pub(super) fn direct() -> Way {
    let scene = scene();
    Way {
        port: scene.cluster.port,
        database: "ledger_dev".to_owned(),
        user: "gateway_rw".to_owned(),
        password: scene.cluster.writer_password.clone(),
        ca: scene.gateway.ca.clone(),
    }
}

/// Through the gateway, with a token of somebody who has standing access to the development ledger.
pub(super) fn gateway() -> Way {
    let scene = scene();
    Way {
        port: scene.gateway.port,
        database: "ledger-dev".to_owned(),
        user: "paula".to_owned(),
        password: token(&PAULA),
        ca: scene.gateway.ca.clone(),
    }
}

/// Runs a client both ways and compares its results step by step.
pub(super) fn same_both_ways(table: &str, client: impl Fn() -> Command) {
    let directly = results(client(), &direct(), &format!("{table}_direct"));
    let through = results(client(), &gateway(), &format!("{table}_through"));
    assert!(directly.len() >= 8, "the client did too little: {directly:?}");
    for (step, expected) in &directly {
        assert_eq!(through.get(step), Some(expected), "step `{step}`: left is through the gateway, right is direct");
    }
    assert_eq!(through.len(), directly.len(), "a step is missing on one way");
}

fn results(mut client: Command, way: &Way, table: &str) -> BTreeMap<String, Value> {
    client
        .env("LIVE_HOST", "localhost")
        .env("LIVE_PORT", way.port.to_string())
        .env("LIVE_DATABASE", &way.database)
        .env("LIVE_USER", &way.user)
        .env("LIVE_PASSWORD", &way.password)
        .env("LIVE_CA", &way.ca)
        .env("LIVE_TABLE", format!("public.{table}"));
    let ran = run_within(&mut client, Duration::from_mins(3)).expect("the client runs");
    assert!(ran.ok(), "the client failed on {}: {}", way.database, ran.said());
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {}", ran.said()))
}
