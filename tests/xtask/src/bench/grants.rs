//! A repository of 1,000 grants: how long its check takes, and how long a merge takes to be applied.

use crate::cast::SAM;
use crate::clock;
use crate::command::must_within;
use crate::fault::Outcome;
use crate::http;
use crate::say;
use crate::scene::{Choice, Scene};
use crate::tools::Places;
use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

const CONNECTIONS: usize = 200;
const GRANTS_PER_CONNECTION: usize = 5;
const GROUPS: usize = 50;
const TIMES: usize = 5;

/// Measures and prints.
pub(super) fn run(places: &Places) -> Outcome<()> {
    say::step(&format!("a repository of {} grants", CONNECTIONS * GRANTS_PER_CONNECTION));
    let files = vec![
        ("identity/many.kdl".to_owned(), groups()),
        ("connections/many.kdl".to_owned(), connections()),
        ("teams/many.kdl".to_owned(), grants()),
    ];
    let choice = Choice { profile: "release", policy_files: files, ..Choice::default() };
    let scene = Scene::start(places, &places.target.join("bench"), &choice)?;
    let mut checks = Vec::new();
    for _ in 0..TIMES {
        let mut check = Command::new(places.built("release", "leaseholdc"));
        check.args(["check", "."]).current_dir(&scene.repository.work);
        checks.push(must_within(&mut check, Duration::from_mins(5))?.took.as_secs_f64() * 1e3);
    }
    let token = scene.token(&SAM)?;
    let mut merges = Vec::new();
    for round in 0..TIMES {
        scene.repository.edit("teams/many.kdl", |text| format!("{text}// round {round}\n"))?;
        let commit = scene.repository.merge("teams: a comment")?;
        let start = clock::now();
        clock::wait_for("the gateway applies the commit", Duration::from_mins(2), || {
            let answer = http::get(scene.gateway.api_port, "/v1/policy", Some(&token))?;
            Ok(answer.body.contains(&commit).then_some(()))
        })?;
        merges.push(start.elapsed().as_secs_f64() * 1e3);
    }
    say::line("");
    say::line(&format!("| 1,000 grants, {CONNECTIONS} connections, {GROUPS} groups | median ms of {TIMES} |"));
    say::line("|---|---:|");
    say::line(&format!("| `leaseholdc check`, cold process | {:.0} |", super::median(checks)));
    say::line(&format!("| from `git push` returning to applied | {:.0} |", super::median(merges)));
    Ok(())
}

fn groups() -> String {
    (0..GROUPS).fold("/- kdl-version 2\n".to_owned(), |mut text, n| {
        let _ = writeln!(
            text,
            "group many-{n} idp=entra kind=human {{ id (uuid)\"{:08x}-1111-4111-8111-111111111111\"; size min=4; }}",
            n + 1
        );
        text
    })
}

fn connections() -> String {
    (0..CONNECTIONS).fold("/- kdl-version 2\n".to_owned(), |mut text, n| {
        let _ = writeln!(
            text,
            "connection many-{n} kind=postgres {{\n    owner team:platform\n    address \"many-{n}.internal:5432\" \
             database=app\n    credential (file)\"secrets/many-{n}\" user=gateway\n    label env=dev data=public\n}}"
        );
        text
    })
}

fn grants() -> String {
    let mut text = "/- kdl-version 2\n".to_owned();
    for connection in 0..CONNECTIONS {
        for nth in 0..GRANTS_PER_CONNECTION {
            let group = (connection * GRANTS_PER_CONNECTION + nth) % GROUPS;
            let _ = writeln!(
                text,
                "grant many-{connection} id=many-{connection}-{nth} {{\n    to group:many-{group}\n    when requested\n    \
                 lifetime \"1h\"\n    permit read\n    table public.*\n    cooldown \"5m\"\n}}"
            );
        }
    }
    text
}
