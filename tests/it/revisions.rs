//! `leaseholdc diff` over the commits of real repositories: branches, forks, renames, shallow clones. Only files, no
//! network; git makes the history, the compiler reads its objects.

use compiler::{
    cli::{Exit, run},
    system::Os,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

const POLICY: &str = r#"/- kdl-version 2
policy version=1 name=example {
    timezone "UTC"
    include "teams/*.kdl"
}
idp corp {
    kind oidc
    issuer "https://login.example.com"
    audience leasehold
}
group dev idp=corp kind=human {
    claim-value dev
}
team core {
    maintainers group:dev
}
connection orders-db kind=postgres {
    owner team:core
    address "db.internal:5432" database=orders
    credential (file)"secrets/orders" user=gateway
}
"#;

const GRANT: &str = r#"/- kdl-version 2
grant orders-db {
    to group:dev
    when requested
    lifetime "1h"
    cooldown "5m"
}
"#;

/// A repository in a folder of its own, which goes with it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Scratch {
    fn folder() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("leasehold-revisions-{}-{number}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// With the policy in `policies`, on the branch `main`, tagged `base`.
    fn new() -> Self {
        let scratch = Self::folder();
        scratch.git(&["init", "--quiet", "--initial-branch=main", "."]);
        scratch.write("policies/policy.kdl", POLICY);
        scratch.write("policies/teams/grants.kdl", GRANT);
        scratch.commit("base");
        scratch.git(&["tag", "base"]);
        scratch
    }

    fn git(&self, words: &[&str]) -> String {
        let ran = Command::new("git")
            .args(["-c", "user.name=Nobody", "-c", "user.email=nobody@example.com", "-c", "commit.gpgsign=false"])
            .args(["-c", "protocol.file.allow=always"])
            .args(words)
            .current_dir(&self.0)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .output()
            .unwrap();
        assert!(ran.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap().trim().to_owned()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// `leaseholdc diff` with the policy of this repository.
    fn diff(&self, words: &[&str]) -> (Exit, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let folder = self.0.join("policies");
        let args = ["leaseholdc", "diff", "--path", folder.to_str().unwrap()].into_iter().chain(words.iter().copied());
        let exit = run(args.map(Into::into), &Os, &mut out, &mut err);
        (exit, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn shown(&self, words: &[&str]) -> String {
        let (exit, out, err) = self.diff(words);
        assert_eq!(exit, Exit::Clean, "{words:?}: {out}{err}");
        out
    }

    fn lifetime(&self, lifetime: &str) {
        self.write("policies/teams/grants.kdl", &GRANT.replace("lifetime \"1h\"", &format!("lifetime \"{lifetime}\"")));
    }
}

#[test]
fn branches_tags_and_the_work_tree_are_compared() {
    let scratch = Scratch::new();
    scratch.git(&["switch", "--quiet", "--create", "feature"]);
    scratch.lifetime("2h");
    let head = scratch.commit("longer");
    scratch.lifetime("3h");
    let (base, short) = (scratch.git(&["rev-parse", "base"]), &head[..10]);
    for words in [
        &["main", "feature"][..],
        &["base..feature"],
        &["base", &head],
        &["HEAD~1..HEAD"],
        &["base..", "--at", "2026-05-04T08:00:00Z"],
    ] {
        let out = scratch.shown(words);
        assert!(out.contains("▲ group:dev  wider lifetime"), "{words:?}: {out}");
        assert!(out.starts_with(&format!("access diff  {} → ", &base[..10])), "{words:?}: {out}");
    }
    assert!(scratch.shown(&["main", "feature"]).contains(&format!("→ {short}")));
    let worktree = scratch.shown(&["main"]);
    assert!(worktree.contains("→ work tree") && worktree.contains("after    requested 3h"), "{worktree}");
    let (exit, out, _) = scratch.diff(&["main", "feature", "--fail-on", "wider"]);
    assert_eq!(exit, Exit::Widens, "{out}");
    let (exit, out, _) = scratch.diff(&["feature", "main", "--fail-on", "wider"]);
    assert_eq!(exit, Exit::Clean, "{out}");
    assert!(out.contains("▼ group:dev  narrower lifetime"), "{out}");
}

#[test]
fn three_dots_compare_with_the_common_ancestor_and_two_with_the_tip() {
    let scratch = Scratch::new();
    scratch.git(&["switch", "--quiet", "--create", "feature"]);
    scratch.write("policies/teams/notes.kdl", "/- kdl-version 2\n");
    scratch.commit("a file without a rule");
    scratch.git(&["switch", "--quiet", "main"]);
    scratch.lifetime("4h");
    scratch.commit("main goes on");
    let two = scratch.shown(&["main..feature"]);
    assert!(two.contains("▼ group:dev  narrower lifetime"), "the tip of main is longer\n{two}");
    let three = scratch.shown(&["main...feature"]);
    assert!(three.contains("semantic: unchanged"), "feature itself changed nothing\n{three}");
    scratch.git(&["switch", "--quiet", "feature"]);
    assert_eq!(scratch.shown(&["main..."]).lines().last(), three.lines().last());
}

#[test]
fn a_detached_commit_of_a_fork_is_read_without_a_branch_and_without_its_work_tree() {
    let scratch = Scratch::new();
    let fork = Scratch::folder();
    fork.git(&["clone", "--quiet", scratch.0.to_str().unwrap(), "."]);
    fork.lifetime("2h");
    let head = fork.commit("from a stranger");
    scratch.git(&["fetch", "--quiet", fork.0.to_str().unwrap(), &format!("{head}:refs/pull/1/head")]);
    let out = scratch.shown(&["main", "refs/pull/1/head"]);
    assert!(out.contains("wider lifetime"), "{out}");
    assert_eq!(scratch.shown(&["main", &head]).lines().nth(2), out.lines().nth(2));
    assert_eq!(
        fs::read_to_string(scratch.0.join("policies/teams/grants.kdl")).unwrap(),
        GRANT,
        "nothing is checked out"
    );
}

#[test]
fn renames_and_formatting_change_nothing_and_say_so() {
    let scratch = Scratch::new();
    scratch.git(&["mv", "policies/teams/grants.kdl", "policies/teams/orders.kdl"]);
    scratch.commit("rename");
    let out = scratch.shown(&["base", "HEAD"]);
    assert!(out.ends_with("semantic: unchanged\n"), "{out}");
    scratch.write("policies/teams/orders.kdl", &GRANT.replace("    to", "\n  // everybody of the team\n  to  "));
    scratch.commit("another layout");
    let out = scratch.shown(&["base", "HEAD"]);
    assert!(out.contains("1 connection unchanged") && out.ends_with("semantic: unchanged\n"), "{out}");
    let (_, json, _) = scratch.diff(&["base", "HEAD", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["semantic"].as_str(), json["verdict"].as_str()), (Some("unchanged"), Some("neutral")));
}

#[test]
fn what_cannot_be_read_is_said_in_words() {
    let scratch = Scratch::new();
    let fails = |scratch: &Scratch, words: &[&str], part: &str| {
        let (exit, out, err) = scratch.diff(words);
        assert!(matches!(exit, Exit::Internal | Exit::Usage | Exit::Found), "{words:?}: {out}");
        assert!(
            err.contains(part) && out.is_empty() || exit == Exit::Found && err.contains(part),
            "{words:?}: {out}{err}"
        );
    };
    fails(&scratch, &["nowhere"], "cannot read the revision nowhere: the repository has no such commit, branch or tag");
    fails(&scratch, &["base", "0123456789012345678901234567890123456789"], "no such commit, branch or tag");
    fails(&scratch, &["base..main", "main"], "write either `BASE HEAD` or `BASE..HEAD`");
    scratch.write("policies/teams/grants.kdl", &GRANT.replace("group:dev", "group:gone"));
    let broken = scratch.commit("broken");
    fails(&scratch, &["base", &broken], &format!("nothing was compared: {broken} has 1 error"));
    scratch.git(&["switch", "--quiet", "--orphan", "apart"]);
    scratch.write("policies/policy.kdl", &POLICY.replace("teams/*.kdl", "policy.kdl"));
    scratch.commit("another history");
    fails(&scratch, &["main...apart"], "the two commits have no common ancestor here");
    scratch.git(&["rm", "--quiet", "-r", "policies"]);
    scratch.write("README.md", "no policy\n");
    let empty = scratch.commit("no policy");
    scratch.git(&["checkout", "--quiet", "main"]);
    fails(&scratch, &["base", &empty], "the commit has no folder `policies`");
}

#[test]
fn a_shallow_clone_compares_what_it_has_and_says_how_to_get_the_rest() {
    let scratch = Scratch::new();
    scratch.lifetime("2h");
    scratch.commit("longer");
    scratch.lifetime("3h");
    scratch.commit("longer still");
    let url = format!("file://{}", scratch.0.display());
    let shallow = Scratch::folder();
    shallow.git(&["clone", "--quiet", "--depth=1", &url, "."]);
    let base = scratch.git(&["rev-parse", "base"]);
    let (exit, _, err) = shallow.diff(&[&base, "HEAD"]);
    assert_eq!(exit, Exit::Usage);
    assert!(err.contains("no such commit") && err.contains("git fetch --unshallow"), "{err}");
    // The two commits suffice; what lies between them is not needed.
    scratch.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    shallow.git(&["fetch", "--quiet", "--depth=1", &url, &base]);
    assert!(shallow.shown(&[&base, "HEAD"]).contains("before   requested 1h"));
    let (_, _, err) = shallow.diff(&[&format!("{base}...HEAD")]);
    assert!(err.contains("no common ancestor here") && err.contains("git fetch --unshallow"), "{err}");
}

#[test]
fn a_link_and_a_folder_outside_are_never_followed() {
    let scratch = Scratch::new();
    let outside = Scratch::folder();
    outside.write("teams/grants.kdl", GRANT);
    fs::remove_file(scratch.0.join("policies/teams/grants.kdl")).unwrap();
    std::os::unix::fs::symlink(outside.0.join("teams/grants.kdl"), scratch.0.join("policies/teams/grants.kdl"))
        .unwrap();
    let linked = scratch.commit("a link");
    let (exit, out, _) = scratch.diff(&["base", &linked]);
    assert_eq!(exit, Exit::Found, "{out}");
    assert!(out.contains("is a symbolic link"), "{out}");
    assert!(Path::new(&outside.0).exists());
}

/// A pull request from start to end, as the action in `.github` judges it: two commits of the example policies.
#[test]
fn a_pull_request_is_reviewed_as_the_action_does_it() {
    let places = xtask::tools::Places::find().unwrap();
    xtask::scene::build(&places, "debug").unwrap();
    let scratch = Scratch::folder();
    scratch.git(&["init", "--quiet", "--initial-branch=main", "."]);
    let copied = Command::new("cp").arg("-r").arg(places.root.join("policies")).arg(&scratch.0).status().unwrap();
    assert!(copied.success());
    let base = scratch.commit("base");
    let review = |base: &str| {
        let reports = scratch.0.join(".git/reports");
        drop(fs::remove_dir_all(&reports));
        let ran = Command::new(places.root.join(".github/actions/policy/review.sh"))
            .current_dir(&scratch.0)
            .env("LEASEHOLDC", places.built("debug", "leaseholdc"))
            .env("FOLDER", "policies")
            .env("BASE", base)
            .env("REPORTS", &reports)
            .env_remove("GITHUB_OUTPUT")
            .env_remove("GITHUB_STEP_SUMMARY")
            .output()
            .unwrap();
        let file = |name: &str| fs::read_to_string(reports.join(name)).unwrap_or_default();
        let log = String::from_utf8_lossy(&ran.stdout).into_owned();
        (ran.status.success(), log, file("comment.md"), file("labels"), file("findings.sarif"), file("tests.xml"))
    };
    let grants = "policies/teams/payments/grants.kdl";
    let text = fs::read_to_string(scratch.0.join(grants)).unwrap();
    scratch.write(
        grants,
        &text.replacen("    permit read\n    table public.*", "    permit read write\n    table public.*", 1),
    );
    scratch.commit("developers write to the ledger");
    let (passed, log, comment, labels, sarif, tests) = review(&base);
    assert!(!passed && log.contains("ACCESS.md"), "the matrix was not written anew\n{log}");
    let gains = comment.find("#### Who gains").expect("who gains comes first");
    assert!(comment.find("#### Who loses").is_none_or(|loses| gains < loses));
    let row = "| ▲ | **group:payments-dev** | **payments-db** | new access: write on public.";
    assert!(comment.contains(row), "{comment}");
    assert!(comment.contains("**Needs review** by team:payments"), "{comment}");
    assert_eq!(labels, "access:widens\n");
    let sarif: serde_json::Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
    assert!(tests.contains("failures=\"0\""), "{tests}");
    // Nothing to say of a commit that changes words only.
    scratch.write(grants, &format!("{text}// a remark\n"));
    let words = scratch.commit("a remark");
    let (passed, log, comment, labels, ..) = review(&base);
    assert!(passed, "{log}");
    assert!(comment.contains("semantic: unchanged") && labels.is_empty(), "{comment}{labels}");
    // What cannot be compared has no comment, and fails.
    scratch.write(grants, &text.replace("group:payments-dev", "group:gone"));
    scratch.commit("broken");
    let (passed, log, comment, ..) = review(&words);
    assert!(!passed && comment.is_empty() && log.contains("could not be compared"), "{log}{comment}");
}
