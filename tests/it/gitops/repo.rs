//! Real repositories in temporary folders: commits of any shape, signed or not, and the gateway's follower on top.

use enforcer::config::{Origin, Repository};
use enforcer::gateway::policy::{self, Policy, State};
use enforcer::gitops::{Follower, Nudge};
use git2::{ObjectType, Oid, Signature, Time};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

static FOLDERS: AtomicU32 = AtomicU32::new(0);

/// A folder that is removed with its value.
pub(super) struct Folder(pub(super) PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("leasehold-gitops-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A bare repository of policies.
pub(super) struct Repo {
    pub(super) path: PathBuf,
    pub(super) git: git2::Repository,
}

pub(super) const FILE: i32 = 0o100_644;

/// A path, a mode and a content.
pub(super) type Entry<'a> = (&'a str, i32, &'a [u8]);

impl Repo {
    pub(super) fn new(folder: &Folder) -> Self {
        let path = folder.0.join("policy.git");
        Self { git: git2::Repository::init_bare(&path).unwrap(), path }
    }

    /// A tree of these paths, with their modes and contents.
    pub(super) fn tree(&self, entries: &[Entry<'_>]) -> Oid {
        let mut folders: BTreeMap<&str, Vec<Entry<'_>>> = BTreeMap::new();
        let mut builder = self.git.treebuilder(None).unwrap();
        for (path, mode, content) in entries {
            match path.split_once('/') {
                Some((folder, rest)) => folders.entry(folder).or_default().push((rest, *mode, content)),
                None if *mode == 0o160_000 => {
                    builder.insert(path, Oid::from_bytes(&[7; 20]).unwrap(), *mode).unwrap();
                }
                None => {
                    let blob = self.git.blob(content).unwrap();
                    builder.insert(path, blob, *mode).unwrap();
                }
            }
        }
        for (folder, inner) in folders {
            builder.insert(folder, self.tree(&inner), 0o040_000).unwrap();
        }
        builder.write().unwrap()
    }

    /// A commit object; no reference moves.
    pub(super) fn object(&self, parents: &[Oid], tree: Oid, message: &str) -> Oid {
        let parents: Vec<_> = parents.iter().map(|parent| self.git.find_commit(*parent).unwrap()).collect();
        let parents: Vec<_> = parents.iter().collect();
        let who = Signature::new("Ada", "ada@acme.example", &Time::new(1_780_000_000, 0)).unwrap();
        let tree = self.git.find_tree(tree).unwrap();
        self.git.commit(None, &who, &who, message, &tree, &parents).unwrap()
    }

    pub(super) fn point(&self, branch: &str, commit: Oid) {
        self.git.reference(&format!("refs/heads/{branch}"), commit, true, "test").unwrap();
    }

    pub(super) fn tip(&self) -> Option<Oid> {
        self.git.refname_to_id("refs/heads/main").ok()
    }

    /// A commit of these files on main.
    pub(super) fn commit(&self, entries: &[Entry<'_>]) -> Oid {
        let parents: Vec<Oid> = self.tip().into_iter().collect();
        let commit = self.object(&parents, self.tree(entries), "policy");
        self.point("main", commit);
        commit
    }

    /// A commit of one policy file on main.
    pub(super) fn policy(&self, text: &str) -> Oid {
        self.commit(&[("policy.kdl", FILE, text.as_bytes())])
    }

    /// The same commit with a signature by an SSH key, as git itself makes one.
    pub(super) fn signed(&self, commit: Oid, key: &Path) -> Oid {
        let object = self.git.find_commit(commit).unwrap();
        let buffer = object.raw_header_bytes();
        let content = [buffer, b"\n", object.message_raw_bytes()].concat();
        let file = key.with_extension("content");
        std::fs::write(&file, &content).unwrap();
        std::fs::remove_file(key.with_extension("content.sig")).ok();
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-Y", "sign", "-n", "git", "-f"]).arg(key).arg(&file);
        let made = made_quietly(&mut command);
        assert!(made, "ssh-keygen signs");
        let signature = std::fs::read_to_string(format!("{}.sig", file.display())).unwrap();
        self.git.commit_signed(std::str::from_utf8(&content).unwrap(), &signature, Some("gpgsig")).unwrap()
    }

    pub(super) fn object_file(&self, id: Oid) -> PathBuf {
        let hex = id.to_string();
        let (folder, file) = hex.split_at(2);
        self.path.join("objects").join(folder).join(file)
    }

    pub(super) fn kind(&self, id: Oid) -> Option<ObjectType> {
        self.git.odb().unwrap().read_header(id).ok().map(|(_, kind)| kind)
    }
}

fn made_quietly(command: &mut Command) -> bool {
    command.stderr(std::process::Stdio::null()).stdout(std::process::Stdio::null()).status().unwrap().success()
}

/// An SSH key pair in the folder: the private key's file and the allowed-signers line.
pub(super) fn ssh_key(folder: &Folder, name: &str) -> (PathBuf, String) {
    let file = folder.0.join(name);
    let mut command = Command::new("ssh-keygen");
    command.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&file);
    assert!(made_quietly(&mut command), "ssh-keygen makes a key");
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    (file, format!("{name}@acme.example {public}"))
}

/// A small policy with one test; `lifetime` tells versions apart.
pub(super) fn text(lifetime: &str) -> String {
    format!(
        r#"/- kdl-version 2
policy version=1 name=t {{
    timezone "UTC"
    labels {{ env dev; }}
}}
idp entra {{
    kind entra
    tenant (uuid)"9d1f0000-0000-4000-8000-000000000001"
    audience "api://access-gateway"
    overage refuse
}}
group devs idp=entra kind=human {{ id (uuid)"8c1e0f2a-71c5-4a58-9a63-0a2f6f1d7b10"; }}
connection db kind=postgres {{
    address "127.0.0.1:5432" database=app
    credential (file)"secrets/db" user=gateway
    label env=dev
}}
grant db {{
    to group:devs
    when requested
    lifetime "{lifetime}"
}}
test "devs read" {{
    as kind=human group:devs
    open db op=select table=public.t
    expect requested
}}
"#
    )
}

/// A follower at work.
pub(super) struct Running {
    pub(super) policy: Policy,
    pub(super) nudge: Nudge,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What a follower of this repository's main branch is told; polling is too slow to matter.
pub(super) fn settings(repo: &Repo) -> Repository {
    Repository {
        origin: Origin::Local(repo.path.clone()),
        branch: "main".to_owned(),
        folder: String::new(),
        poll: Duration::from_mins(10),
        fetch_timeout: Duration::from_secs(20),
        webhook_secret: None,
        signers: None,
        require_signed_by: None,
        rewind: None,
    }
}

pub(super) fn start(settings: Repository, folder: &Folder) -> Running {
    let (publisher, policy) = policy::channel();
    let (follower, nudge) = Follower::new(settings, &folder.0.join("state"), publisher);
    let (stop, stopped) = watch::channel(false);
    Running { policy, nudge, stop, task: tokio::spawn(follower.run(stopped)) }
}

impl Running {
    /// Waits until the state is as `holds` says.
    pub(super) async fn until(&self, what: &str, holds: impl Fn(&State) -> bool) -> State {
        for _ in 0..3000 {
            let state = self.policy.state();
            if holds(&state) {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{what}: {:?}", summary(&self.policy.state()));
    }

    pub(super) async fn serves(&self, commit: Oid) -> State {
        let commit = commit.to_string();
        let what = format!("{commit} in force");
        self.until(&what, |state| {
            state.active.as_ref().is_some_and(|active| active.commit == commit) && state.last_error.is_none()
        })
        .await
    }

    pub(super) async fn refuses(&self, says: &str) -> State {
        let what = format!("a refusal that says `{says}`");
        self.until(&what, |state| state.last_error.as_ref().is_some_and(|failure| failure.sentence.contains(says)))
            .await
    }

    /// Stops and waits for the end.
    pub(super) async fn stop(self) {
        self.stop.send(true).unwrap();
        self.task.await.unwrap();
    }
}

pub(super) fn commit_of(state: &State) -> Option<String> {
    state.active.as_ref().map(|active| active.commit.clone())
}

fn summary(state: &State) -> (Option<String>, Option<String>) {
    (commit_of(state), state.last_error.as_ref().map(|failure| failure.sentence.clone()))
}
