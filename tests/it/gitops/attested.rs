//! Policies that come into force only when somebody else signed what they mean: `leaseholdc sign` in a clone, the note
//! pushed with git, and a gateway that asks for it.

use super::repo::{Folder, Repo, commit_of, settings, start, text};
use compiler::{
    cli::{Exit, run},
    compile::{Options, compile},
    emit, sign,
    system::{Memory, Os},
};
use enforcer::config::Origin;
use lang::time::Timestamp;
use std::{fs, path::PathBuf, process::Command};

const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
/// A key that signs nothing here.
const OTHER: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAw4qwkjHVgSnDNxat0DbmgOZ7txTvzQ52MBHwWnfMgWo=\n-----END PUBLIC KEY-----\n";
const NOTES: &str = "refs/notes/leasehold";

/// A clone as a forge's runner has it, and the keys.
struct Runner {
    clone: PathBuf,
    keys: PathBuf,
    private: PathBuf,
}

impl Runner {
    fn new(folder: &Folder) -> Self {
        let (keys, private) = (folder.0.join("ci.pub"), folder.0.join("ci.pem"));
        fs::write(&private, PRIVATE).unwrap();
        fs::write(&keys, format!("{OTHER}{PUBLIC}")).unwrap();
        Self { clone: folder.0.join("clone"), keys, private }
    }

    fn git(&self, words: &[&str]) {
        let ran = Command::new("git")
            .args(["-c", "user.name=CI", "-c", "user.email=ci@example.com", "-C"])
            .arg(&self.clone)
            .args(words)
            .output()
            .unwrap();
        assert!(ran.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    /// The clone at the tip of main.
    fn pull(&self, repo: &Repo) {
        if self.clone.exists() {
            self.git(&["fetch", "--quiet", "origin", "main"]);
            self.git(&["reset", "--quiet", "--hard", "FETCH_HEAD"]);
        } else {
            let ran = Command::new("git")
                .args(["clone", "--quiet", "--branch", "main"])
                .arg(&repo.path)
                .arg(&self.clone)
                .output();
            assert!(ran.unwrap().status.success());
        }
    }

    fn leaseholdc(&self, words: &[&str]) -> (Exit, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let folder = ["--policy", self.clone.to_str().unwrap()];
        let words = ["leaseholdc"].iter().chain(words).chain(&folder).map(Into::into);
        let exit = run(words, &Os, &mut out, &mut err);
        (exit, String::from_utf8(out).unwrap() + &String::from_utf8(err).unwrap())
    }

    fn sign(&self, revision: &str) {
        let (exit, said) = self.leaseholdc(&["sign", revision, "--sign-key", self.private.to_str().unwrap()]);
        assert_eq!(exit, Exit::Clean, "{said}");
    }

    /// Signs another policy's meaning for a commit.
    fn sign_another(&self, commit: &str, policy: &str) {
        let files = Memory::new(Timestamp::from_unix(0), [("policy.kdl".to_owned(), policy.as_bytes().to_vec())]);
        let compilation = compile(&files, "", Timestamp::from_unix(0), &Options { threads: 1 }).unwrap();
        let origin = emit::Origin { commit: Some(commit.to_owned()), tree: None, sequence: 0 };
        let key = sign::private_key(self.private.to_str().unwrap(), &Os).unwrap();
        let note = emit::attestation(&compilation.checked.unwrap(), &origin, &key).unwrap();
        let note = String::from_utf8(note).unwrap();
        self.git(&["notes", "--ref", NOTES, "add", "--force", "-m", &note, commit]);
    }

    fn push(&self) {
        self.git(&["push", "--quiet", "--force", "origin", NOTES]);
    }
}

#[tokio::test]
async fn only_a_policy_that_was_signed_comes_into_force() {
    let folder = Folder::new();
    let (repo, runner) = (Repo::new(&folder), Runner::new(&folder));
    let first = repo.policy(&text("1h"));
    let mut strict = settings(&repo);
    strict.require_signed_by = Some(runner.keys.clone());
    let running = start(strict.clone(), &folder);
    let state = running.refuses("is not signed: run `leaseholdc sign").await;
    assert_eq!(commit_of(&state), None, "nothing is permitted rather than something unsigned");
    // The note comes after the merge: no restart, and no new commit.
    runner.pull(&repo);
    runner.sign("HEAD");
    let key = runner.keys.with_extension("one");
    fs::write(&key, PUBLIC).unwrap();
    let (exit, said) = runner.leaseholdc(&["verify", "--commit", "HEAD", "--public-key", key.to_str().unwrap()]);
    assert_eq!(exit, Exit::Clean, "{said}");
    runner.push();
    running.nudge.nudge();
    let state = running.serves(first).await;
    let digest = state.active.unwrap().digest.clone();
    assert!(said.contains(&format!("semantic  {digest}")), "the runner signed what the gateway means: {said}");

    // The next commit has no note of its own, whatever the note of another one says.
    let second = repo.policy(&text("2h"));
    let state = running.refuses(&format!("{second} is not signed")).await;
    assert_eq!(commit_of(&state), Some(first.to_string()));
    runner.git(&["fetch", "--quiet", "origin", "main"]);
    let moved = ["notes", "--ref", NOTES, "copy", "--force", &first.to_string(), &second.to_string()];
    runner.git(&moved);
    runner.push();
    running.nudge.nudge();
    running.refuses("is about another commit").await;
    runner.git(&["notes", "--ref", NOTES, "add", "--force", "-m", "trust me", &second.to_string()]);
    runner.push();
    running.nudge.nudge();
    running.refuses("is not by a key of").await;
    runner.sign_another(&second.to_string(), &text("8h"));
    let (exit, said) =
        runner.leaseholdc(&["verify", "--commit", &second.to_string(), "--public-key", key.to_str().unwrap()]);
    assert!(exit == Exit::Found && said.contains("about another commit or policy"), "{said}");
    runner.push();
    running.nudge.nudge();
    running.refuses("the signed digest is").await;
    runner.sign(&second.to_string());
    runner.push();
    running.nudge.nudge();
    running.serves(second).await;
    running.stop().await;

    // A restart serves what was stored, as long as its key is trusted.
    runner.git(&["push", "--quiet", "origin", &format!(":{NOTES}")]);
    let running = start(strict.clone(), &folder);
    running.serves(second).await;
    running.stop().await;
    fs::write(&runner.keys, OTHER).unwrap();
    let running = start(strict, &folder);
    let state = running.refuses("is not signed").await;
    assert_eq!(commit_of(&state), None);
    running.stop().await;
}

#[tokio::test]
async fn what_was_stored_before_signatures_were_asked_for_is_not_served_with_them() {
    let folder = Folder::new();
    let (repo, runner) = (Repo::new(&folder), Runner::new(&folder));
    let first = repo.policy(&text("1h"));
    let running = start(settings(&repo), &folder);
    running.serves(first).await;
    running.stop().await;
    let mut strict = settings(&repo);
    strict.require_signed_by = Some(runner.keys.clone());
    let running = start(strict, &folder);
    let state = running.refuses("is not signed").await;
    assert_eq!(commit_of(&state), None);
    running.stop().await;
}

#[tokio::test]
async fn notes_of_a_remote_repository_are_fetched() {
    let folder = Folder::new();
    let (repo, runner) = (Repo::new(&folder), Runner::new(&folder));
    let commit = repo.policy(&text("1h"));
    runner.pull(&repo);
    runner.sign("HEAD");
    let mut remote = settings(&repo);
    remote.origin = Origin::Remote(format!("file://{}", repo.path.display()));
    remote.require_signed_by = Some(runner.keys.clone());
    let running = start(remote, &folder);
    running.refuses("is not signed").await;
    runner.push();
    running.nudge.nudge();
    running.serves(commit).await;
    running.stop().await;
}

#[test]
fn a_policy_with_errors_is_not_signed_and_a_stranger_s_note_is_not_verified() {
    let folder = Folder::new();
    let (repo, runner) = (Repo::new(&folder), Runner::new(&folder));
    repo.policy(&text("1h").replace("expect requested", "expect standing"));
    runner.pull(&repo);
    let private = runner.private.to_str().unwrap();
    let (exit, said) = runner.leaseholdc(&["sign", "--sign-key", private]);
    assert!(exit == Exit::Found && said.contains("P0901") && said.contains("nothing was signed"), "{said}");
    let key = folder.0.join("other.pub");
    fs::write(&key, OTHER).unwrap();
    let verify = ["verify", "--commit", "HEAD", "--public-key", key.to_str().unwrap()];
    let (exit, said) = runner.leaseholdc(&verify);
    assert!(exit == Exit::Found && said.contains("not signed"), "{said}");
    repo.policy(&text("1h"));
    runner.pull(&repo);
    runner.sign("HEAD");
    let (exit, said) = runner.leaseholdc(&verify);
    assert!(exit == Exit::Found && said.contains("not to be trusted"), "{said}");
    let (exit, said) = runner.leaseholdc(&["sign", "nowhere", "--sign-key", private]);
    assert!(exit == Exit::Usage && said.contains("no such commit"), "{said}");
}
