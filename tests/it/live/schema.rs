//! Schemathesis against the OpenAPI document: whatever is sent, no answer is a server error or undocumented.
//!
//! A command of its own: `pip install schemathesis`, then `LEASEHOLD_SCHEMATHESIS=…/bin/schemathesis cargo test -p tests
//! --test it -- --ignored live::schema`.

use super::fresh;
use std::process::Command;
use std::time::Duration;
use xtask::cast::SAM;
use xtask::command::run_within;
use xtask::scene::Choice;

#[test]
#[ignore = "long, and needs schemathesis: a command of its own, see the head of this file"]
fn no_call_makes_the_gateway_fail() {
    let program = std::env::var("LEASEHOLD_SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".to_owned());
    let lines = "limits { api-writes-per-minute-max 1000000; api-reads-per-minute-max 1000000; }\n".to_owned();
    let scene = fresh("schema", &Choice { gateway_lines: lines, ..Choice::default() }).unwrap();
    let mut run = Command::new(program);
    run.args(["run", &format!("{}/openapi.json", scene.gateway.url())]);
    run.args(["--header", &format!("Authorization: Bearer {}", scene.token(&SAM).unwrap())]);
    run.args([
        "--checks",
        "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
    ]);
    run.args(["--max-examples", "40", "--seed", "1", "--exclude-path", "/hooks/repository"]);
    run.current_dir(&scene.folder);
    let ran = run_within(&mut run, Duration::from_mins(8)).unwrap();
    assert!(ran.ok(), "{}\n{}", ran.out, ran.err);
}
