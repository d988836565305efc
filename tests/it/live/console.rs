//! The console in a real Chromium, against a certified identity provider.

use super::people::scene;
use serde_json::json;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use xtask::clock;
use xtask::command::run_within;
use xtask::idp::AUDIENCE;
use xtask::tools;

/// Debian's Chromium; `apt-get install chromium`.
fn chromium() -> PathBuf {
    ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .iter()
        .map(PathBuf::from)
        .find(|path| path.exists())
        .expect("no Chromium: run `cargo xtask setup` (apt-get install chromium)")
}

/// A change whose difference the policy page shows.
const PROOF: &str = r#"grant ledger-dev id=console-proof {
    to group:security
    when requested
    lifetime "10m"
    permit read
}
"#;

/// A statement that another person must release.
const HELD: &str = r#"/- kdl-version 2
approval ledger-change { quorum 1 from=group:payments-leads; }
guard held-changes {
    on ledger-dev
    review update.bounded by=ledger-change
}
"#;

#[test]
fn people_ask_approve_watch_terminate_and_replay_in_a_browser() {
    let (scene, people) = scene("console", vec![("guard/held.kdl".to_owned(), HELD.to_owned())]);
    scene.repository.edit("teams/dev.kdl", |text| format!("{text}{PROOF}")).unwrap();
    let commit = scene.repository.merge("grants: proof of what an activation changes").unwrap();
    clock::wait_for("the change is in force", Duration::from_secs(30), || {
        Ok(scene.gateway.log().lines().any(|line| line.contains(&commit) && line.contains("in force")).then_some(()))
    })
    .unwrap();
    let shots = scene.folder.join("shots");
    std::fs::create_dir_all(&shots).unwrap();
    let config = scene.folder.join("console.json");
    let text = json!({
        "url": scene.gateway.url(), "issuer": people.issuer, "audience": AUDIENCE, "psql": scene.cluster.psql(),
        "postgres": { "port": scene.gateway.port, "ca": scene.gateway.ca }, "shots": shots, "chromium": chromium(),
        "commit": commit,
    });
    std::fs::write(&config, text.to_string()).unwrap();
    let mut node = Command::new(tools::node().unwrap());
    node.arg(scene.places.root.join("tests/console/run.mjs")).arg(&config);
    let ran = run_within(&mut node, Duration::from_mins(5)).unwrap();
    assert!(ran.ok(), "{}\n{}\ngateway:\n{}", ran.out, ran.err, scene.gateway.log());
    assert_eq!(ran.out.lines().filter(|line| line.starts_with("ok ")).count(), 15, "{}", ran.out);
}
