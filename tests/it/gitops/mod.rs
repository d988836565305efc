//! The follower against real repositories: what is applied, what is refused, and what survives.
#![cfg(test)]

mod attested;
mod hostile;
mod repo;
mod signed;
mod simulate;

use enforcer::config::Origin;
use enforcer::gateway::policy::Staleness;
use enforcer::gitops::status;
use repo::{FILE, Folder, Repo, commit_of, settings, start, text};
use std::fs;
use std::time::Duration;

#[tokio::test]
async fn a_merge_is_applied_and_its_test_was_run() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let first = repo.policy(&text("1h"));
    let running = start(settings(&repo), &folder);
    let state = running.serves(first).await;
    let active = state.active.unwrap();
    assert_eq!(active.program.grant("db").unwrap().lifetime.to_string(), "1h");
    assert_eq!(active.committed_at.to_string(), "2026-05-28T20:26:40Z");
    assert_eq!((active.digest.len(), active.program.rules().tests.len()), (64, 1));
    // No hint but the file system's.
    let second = repo.policy(&text("30m"));
    let state = running.serves(second).await;
    assert_ne!(state.active.as_ref().unwrap().digest, active.digest);
    assert_eq!(status(&state).active.unwrap().commit, second.to_string());
    // A change of form only: another commit, the same meaning.
    let third = repo.policy(&text("30m").replace("    ", "  "));
    assert_eq!(running.serves(third).await.active.unwrap().digest, state.active.unwrap().digest);
    running.stop().await;
}

#[tokio::test]
async fn a_broken_commit_keeps_the_last_good_policy() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let good = repo.policy(&text("1h"));
    let running = start(settings(&repo), &folder);
    running.serves(good).await;
    let broken = [
        (text("1h").replace("to group:devs", "to group:dvs"), "policy.kdl:19:8: error[P0101]"),
        (text("1h").replace("lifetime \"1h\"", "lifetime 1h"), "error[P0002]"),
        (text("1h").replace("expect requested", "expect standing"), "error[P0901]"),
        (format!("{}{}", text("1h"), "a {".repeat(200)), "error[P0008]"),
        ("{".repeat(100_000), "error"),
    ];
    for (text, says) in broken {
        let commit = repo.policy(&text);
        let of_commit = running.until(says, |state| {
            let failure = state.last_error.as_ref();
            failure.is_some_and(|failure| failure.commit == Some(commit.to_string()))
        });
        let state = of_commit.await;
        let sentence = state.last_error.clone().unwrap().sentence;
        assert!(sentence.contains(says), "{says}: {sentence}");
        assert_eq!(commit_of(&state), Some(good.to_string()), "{says}");
    }
    let mended = repo.policy(&text("2h"));
    running.serves(mended).await;
    running.stop().await;
}

#[tokio::test]
async fn only_progress_is_applied_unless_a_rewind_is_named() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let (first, second) = (repo.policy(&text("1h")), repo.policy(&text("2h")));
    let running = start(settings(&repo), &folder);
    running.serves(second).await;
    // A rewind to an ancestor, and a rewrite beside it.
    let beside = repo.object(&[first], repo.tree(&[("policy.kdl", FILE, text("8h").as_bytes())]), "rewritten");
    for tip in [first, beside] {
        repo.point("main", tip);
        let state = running.refuses(&format!("{tip} does not follow the applied commit {second}")).await;
        assert_eq!(commit_of(&state), Some(second.to_string()));
    }
    // A restart forgets nothing of it.
    running.stop().await;
    let running = start(settings(&repo), &folder);
    let state = running.refuses("rewound or rewritten").await;
    assert_eq!(commit_of(&state), Some(second.to_string()));
    running.stop().await;
    let mut named = settings(&repo);
    named.rewind = Some(first.to_string());
    let running = start(named.clone(), &folder);
    running.refuses("rewound or rewritten").await;
    running.stop().await;
    named.rewind = Some(beside.to_string());
    let running = start(named, &folder);
    running.serves(beside).await;
    running.stop().await;
}

#[tokio::test]
async fn a_restart_onto_a_broken_tip_serves_the_stored_policy() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let good = repo.policy(&text("1h"));
    let running = start(settings(&repo), &folder);
    let digest = running.serves(good).await.active.unwrap().digest.clone();
    running.stop().await;
    repo.policy("nonsense");
    let running = start(settings(&repo), &folder);
    let state = running.refuses("error[P0003]").await;
    assert_eq!(state.active.as_ref().map(|active| active.digest.clone()), Some(digest));
    assert_eq!(state.active.unwrap().committed_at.to_string(), "2026-05-28T20:26:40Z");
    running.stop().await;
    // The same without any repository.
    fs::rename(&repo.path, folder.0.join("away")).unwrap();
    let running = start(settings(&repo), &folder);
    let state = running.refuses("cannot be opened").await;
    assert_eq!(commit_of(&state), Some(good.to_string()));
    running.stop().await;
}

#[tokio::test]
async fn a_stored_policy_that_was_tampered_with_is_not_served() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let first = repo.policy(&text("1h"));
    let running = start(settings(&repo), &folder);
    running.serves(first).await;
    running.stop().await;
    let file = folder.0.join("state/policy/last-good.bundle");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    // The repository is whole: the policy is compiled anew, and what follows must still be progress.
    let running = start(settings(&repo), &folder);
    running.serves(first).await;
    running.stop().await;
    fs::write(&file, b"LEASEHLD").unwrap();
    let root = repo.object(&[], repo.tree(&[("policy.kdl", FILE, text("8h").as_bytes())]), "another root");
    repo.point("main", root);
    let running = start(settings(&repo), &folder);
    let state = running.refuses("rewound or rewritten").await;
    assert_eq!(commit_of(&state), None, "nothing is permitted rather than something unproved");
    running.stop().await;
}

#[tokio::test]
async fn another_branch_begins_anew() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let main = repo.policy(&text("1h"));
    let other = repo.object(&[], repo.tree(&[("policy.kdl", FILE, text("2h").as_bytes())]), "other");
    repo.point("other", other);
    let running = start(settings(&repo), &folder);
    running.serves(main).await;
    running.stop().await;
    let mut switched = settings(&repo);
    switched.branch = "other".to_owned();
    let running = start(switched, &folder);
    running.serves(other).await;
    running.stop().await;
}

#[tokio::test]
async fn a_storm_of_merges_ends_at_the_last_one() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let first = repo.policy(&text("1h"));
    let running = start(settings(&repo), &folder);
    running.serves(first).await;
    let mut watcher = running.policy.clone();
    let activations = tokio::spawn(async move {
        let mut commits = std::collections::BTreeSet::new();
        while watcher.changed().await {
            commits.extend(watcher.active().map(|active| active.commit.clone()));
        }
        commits.len()
    });
    let mut last = first;
    for minutes in 1..=60 {
        last = repo.policy(&text(&format!("{minutes}m")));
    }
    for _ in 0..100 {
        running.nudge.nudge();
    }
    running.serves(last).await;
    running.stop().await;
    let activated = activations.await.unwrap();
    assert!(activated < 40, "merges that come together are one: {activated}");
}

#[tokio::test]
async fn a_quiet_repository_stays_fresh_and_an_unreachable_one_goes_stale() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let policy = text("1h").replace("timezone", "staleness max=\"2s\" then=deny\n    timezone");
    let commit = repo.policy(&policy);
    let mut often = settings(&repo);
    often.poll = Duration::from_millis(200);
    let running = start(often.clone(), &folder);
    let first = running.serves(commit).await.confirmed_at.unwrap();
    let later =
        running.until("a later confirmation", |state| state.confirmed_at.unwrap().ms_since(first) > 3_000).await;
    assert_eq!(later.staleness, Staleness::Fresh);
    let away = folder.0.join("away");
    fs::rename(&repo.path, &away).unwrap();
    let stale = running.until("staleness", |state| state.staleness == Staleness::Deny).await;
    assert_eq!(commit_of(&stale), Some(commit.to_string()));
    assert!(stale.last_error.unwrap().sentence.contains("cannot be opened"));
    // A restart does not make it fresh.
    running.stop().await;
    let running = start(often, &folder);
    running.until("staleness after a restart", |state| state.staleness == Staleness::Deny).await;
    fs::rename(&away, &repo.path).unwrap();
    running.until("fresh again", |state| state.staleness == Staleness::Fresh && state.last_error.is_none()).await;
    running.stop().await;
}

#[tokio::test]
async fn a_remote_is_mirrored_by_the_systems_git() {
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let first = repo.policy(&text("1h"));
    let mut remote = settings(&repo);
    remote.origin = Origin::Remote(format!("file://{}", repo.path.display()));
    remote.poll = Duration::from_millis(200);
    let running = start(remote.clone(), &folder);
    running.serves(first).await;
    let second = repo.policy(&text("2h"));
    running.serves(second).await;
    repo.point("main", first);
    let state = running.refuses("rewound or rewritten").await;
    assert_eq!(commit_of(&state), Some(second.to_string()));
    repo.git.find_reference("refs/heads/main").unwrap().delete().unwrap();
    running.refuses("git fetch failed").await;
    running.stop().await;
    let mut elsewhere = remote;
    elsewhere.origin = Origin::Remote("https://127.0.0.1:1/policy.git".to_owned());
    let running = start(elsewhere, &folder);
    running.refuses("git fetch failed").await;
    running.stop().await;
}

#[tokio::test]
async fn a_fetch_that_hangs_is_stopped() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = Folder::new();
    let repo = Repo::new(&folder);
    let mut remote = settings(&repo);
    remote.origin = Origin::Remote(format!("http://{}/policy.git", listener.local_addr().unwrap()));
    remote.fetch_timeout = Duration::from_millis(500);
    let running = start(remote, &folder);
    running.refuses("was stopped").await;
    running.stop().await;
}
