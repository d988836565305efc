//! Attacks on the way from the repository to the gateway: history rewritten, files that are traps, a repository that is
//! gone, a storm of merges. Whatever comes, the last good policy holds, the gateway says why, and the next good commit
//! is applied.

use super::api::{applied, ask};
use super::fresh;
use super::raw::Raw;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use xtask::cast::{PAULA, SAM};
use xtask::clock;
use xtask::policy::git;
use xtask::scene::{Choice, Scene};

static SCENE: LazyLock<Mutex<Scene>> = LazyLock::new(|| Mutex::new(fresh("supply", &Choice::default()).unwrap()));

fn scene() -> MutexGuard<'static, Scene> {
    SCENE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The last good policy is `good`, something is said about the trouble, and people work on.
fn holds(scene: &Scene, good: &str) {
    let policy = clock::wait_for("the gateway says what is wrong", Duration::from_secs(30), || {
        let policy = ask(scene, &SAM, "/v1/policy");
        Ok(has_error(&policy).then_some(policy))
    })
    .unwrap();
    assert_eq!(policy["commit"], good, "another commit is applied: {policy}");
    let mut raw = Raw::login(scene.gateway.port, "ledger-dev", &scene.token(&PAULA).unwrap()).expect("people work on");
    assert_eq!(raw.query("select 'on'").unwrap(), ["on"]);
}

fn has_error(policy: &serde_json::Value) -> bool {
    policy["failing"].as_bool().expect("the policy says whether the gateway fails to follow it")
}

/// A good commit on top of a good one is applied, and the trouble is forgotten.
fn recovers(scene: &Scene, good: &str) {
    git(&scene.repository.work, &["reset", "--quiet", "--hard", good]).unwrap();
    git(&scene.repository.work, &["clean", "-fdxq"]).unwrap();
    scene.repository.edit("policy.kdl", |text| format!("{text}// good again\n")).unwrap();
    git(&scene.repository.work, &["commit", "--quiet", "--all", "--message", "policy: good again"]).unwrap();
    git(&scene.repository.work, &["push", "--quiet", "--force", "origin", "main"]).unwrap();
    let commit = scene.repository.head().unwrap();
    applied(scene, &SAM, &commit);
    clock::wait_for("the trouble is forgotten", Duration::from_secs(20), || {
        Ok((!has_error(&ask(scene, &SAM, "/v1/policy"))).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_rewritten_history_is_not_applied() {
    let scene = scene();
    let good = scene.repository.head().unwrap();
    git(&scene.repository.work, &["commit", "--quiet", "--amend", "--message", "policy: as if it had always been so"])
        .unwrap();
    git(&scene.repository.work, &["push", "--quiet", "--force", "origin", "main"]).unwrap();
    holds(&scene, &good);
    recovers(&scene, &good);
}

#[test]
fn a_rollback_is_not_applied() {
    let scene = scene();
    scene.repository.edit("policy.kdl", |text| format!("{text}// to be rolled back\n")).unwrap();
    let good = scene.repository.merge("policy: a comment").unwrap();
    applied(&scene, &SAM, &good);
    git(&scene.repository.work, &["push", "--quiet", "--force", "origin", "HEAD~1:main"]).unwrap();
    holds(&scene, &good);
    recovers(&scene, &good);
}

#[test]
fn files_that_are_traps_are_refused() {
    let scene = scene();
    let deep = format!("/- kdl-version 2\n{}{}\n", "a {\n".repeat(5_000), "}\n".repeat(5_000));
    let huge = format!("/- kdl-version 2\n// {}\n", "x".repeat(3 << 20));
    let bidi = "/- kdl-version 2\n// \u{202e} reversed\n".to_owned();
    let broken = "grant payments-db id=x {\n    to group:nobody\n".to_owned();
    for (what, text) in [("deep", deep), ("huge", huge), ("bidi", bidi), ("broken", broken)] {
        let good = scene.repository.head().unwrap();
        std::fs::write(scene.repository.work.join("teams/trap.kdl"), text).unwrap();
        scene.repository.merge(&format!("policy: {what}")).unwrap();
        holds(&scene, &good);
        recovers(&scene, &good);
    }
}

#[test]
fn links_out_of_the_repository_are_not_followed() {
    let scene = scene();
    let good = scene.repository.head().unwrap();
    let outside = scene.folder.join("outside.kdl");
    std::fs::write(
        &outside,
        "/- kdl-version 2\ngroup outsiders idp=entra { id (uuid)\"99999999-9999-4999-8999-999999999999\"; }\n",
    )
    .unwrap();
    std::os::unix::fs::symlink(&outside, scene.repository.work.join("teams/link.kdl")).unwrap();
    scene.repository.merge("policy: a link").unwrap();
    holds(&scene, &good);
    recovers(&scene, &good);
}

#[test]
fn a_submodule_is_refused() {
    let scene = scene();
    let good = scene.repository.head().unwrap();
    let link = format!("160000,{good},teams/elsewhere");
    git(&scene.repository.work, &["update-index", "--add", "--cacheinfo", &link]).unwrap();
    git(&scene.repository.work, &["commit", "--quiet", "--message", "policy: a submodule"]).unwrap();
    git(&scene.repository.work, &["push", "--quiet", "origin", "main"]).unwrap();
    holds(&scene, &good);
    recovers(&scene, &good);
}

#[test]
fn a_commit_without_a_trusted_signature_is_not_applied() {
    let scene = fresh("supply-signed", &Choice { signed: true, ..Choice::default() }).unwrap();
    let good = scene.repository.head().unwrap();
    let stranger = scene.folder.join("stranger");
    let mut make = std::process::Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-C", "stranger", "-f"]).arg(&stranger);
    xtask::command::must(&mut make).unwrap();
    let strangers_key = format!("user.signingkey={}", stranger.display());
    for setting in ["commit.gpgsign=false", &strangers_key] {
        scene.repository.edit("policy.kdl", |text| format!("{text}// unsigned\n")).unwrap();
        git(&scene.repository.work, &["-c", setting, "commit", "--quiet", "--all", "--message", "policy: x"]).unwrap();
        git(&scene.repository.work, &["push", "--quiet", "origin", "main"]).unwrap();
        holds(&scene, &good);
        git(&scene.repository.work, &["reset", "--quiet", "--hard", &good]).unwrap();
        git(&scene.repository.work, &["push", "--quiet", "--force", "origin", "main"]).unwrap();
    }
    recovers(&scene, &good);
}

#[test]
fn a_repository_that_is_gone_and_a_branch_that_is_gone_change_nothing() {
    let scene = scene();
    let good = scene.repository.head().unwrap();
    let away = scene.folder.join("away.git");
    std::fs::rename(&scene.repository.bare, &away).unwrap();
    holds(&scene, &good);
    std::fs::rename(&away, &scene.repository.bare).unwrap();
    recovers(&scene, &good);
    let good = scene.repository.head().unwrap();
    git(&scene.repository.bare, &["update-ref", "-d", "refs/heads/main"]).unwrap();
    holds(&scene, &good);
    recovers(&scene, &good);
}

#[test]
fn a_storm_of_merges_ends_on_the_last_one() {
    let scene = scene();
    let mut last = String::new();
    for number in 0..25 {
        scene.repository.edit("policy.kdl", |text| format!("{text}// {number}\n")).unwrap();
        last = scene.repository.merge("policy: one of many").unwrap();
    }
    applied(&scene, &SAM, &last);
    assert!(Raw::login(scene.gateway.port, "ledger-dev", &scene.token(&PAULA).unwrap()).is_ok());
}

#[test]
fn a_restart_on_a_broken_tip_serves_the_last_good_policy() {
    let mut scene = scene();
    let good = scene.repository.head().unwrap();
    std::fs::write(scene.repository.work.join("teams/trap.kdl"), "grant {\n").unwrap();
    scene.repository.merge("policy: broken").unwrap();
    holds(&scene, &good);
    for politely in [true, false] {
        scene.gateway.restart(politely).unwrap();
        holds(&scene, &good);
    }
    recovers(&scene, &good);
}
