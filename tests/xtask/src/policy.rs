//! A policy repository made from `policies/`: a bare repository that the gateway follows, and an author's clone of it.

use crate::command::{must, run};
use crate::fault::{Doing as _, Fault, Outcome, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository of one run.
#[derive(Debug, Clone)]
pub struct Repository {
    /// What the gateway follows, branch `main`.
    pub bare: PathBuf,
    /// Where an author edits.
    pub work: PathBuf,
}

/// Where a connection of the example leads in this run.
#[derive(Debug, Clone)]
pub struct Target {
    /// The connection's name.
    pub connection: &'static str,
    /// `host:port`.
    pub address: String,
    /// The database there.
    pub database: &'static str,
    /// The credential, annotation included: `(file)"…"`.
    pub credential: String,
    /// The user there.
    pub user: &'static str,
    /// The authority to trust; none where the server speaks no TLS.
    pub ca: Option<PathBuf>,
}

impl Repository {
    /// Copies `policies/` into a folder and makes the first commit, after the copy was adapted.
    pub fn create(policies: &Path, folder: &Path, adapt: impl FnOnce(&Self) -> Outcome<()>) -> Outcome<Self> {
        let repository = Self { bare: folder.join("policy.git"), work: folder.join("policy") };
        let bare = repository.bare.to_string_lossy().into_owned();
        git(folder, &["init", "--quiet", "--bare", "--initial-branch=main", &bare])?;
        git(folder, &["clone", "--quiet", &bare, &repository.work.to_string_lossy()])?;
        for (key, value) in
            [("user.name", "Policy Author"), ("user.email", "author@acme.example"), ("commit.gpgsign", "false")]
        {
            git(&repository.work, &["config", key, value])?;
        }
        git(&repository.work, &["checkout", "--quiet", "-B", "main"])?;
        copy(policies, &repository.work)?;
        adapt(&repository)?;
        repository.merge("policy: what the example grants")?;
        Ok(repository)
    }

    /// Changes one file in the author's clone.
    pub fn edit(&self, file: &str, change: impl FnOnce(String) -> String) -> Outcome<()> {
        let path = self.work.join(file);
        let before = std::fs::read_to_string(&path).doing(|| format!("cannot read {}", path.display()))?;
        let after = change(before.clone());
        ensure(after != before, || format!("the change of {file} changes nothing: the example moved on"))?;
        std::fs::write(&path, after).doing(|| format!("cannot write {}", path.display()))
    }

    /// Commits everything and puts it on `main`, as a merged pull request does. Returns the commit.
    pub fn merge(&self, message: &str) -> Outcome<String> {
        git(&self.work, &["add", "--all"])?;
        git(&self.work, &["commit", "--quiet", "--message", message])?;
        git(&self.work, &["push", "--quiet", "origin", "main"])?;
        self.head()
    }

    /// The commit that the author's clone is on.
    pub fn head(&self) -> Outcome<String> {
        Ok(git(&self.work, &["rev-parse", "HEAD"])?.trim().to_owned())
    }

    /// What the author would show a reviewer.
    pub fn diff(&self) -> Outcome<String> {
        git(&self.work, &["diff", "--unified=1", "--no-color"])
    }
}

/// Points a connection of the example at a server of this run.
pub fn retarget(text: &str, target: &Target) -> String {
    let head = format!("connection {} ", target.connection);
    let mut inside = false;
    let mut out = Vec::new();
    for line in text.lines() {
        let word = line.split_whitespace().next().unwrap_or_default();
        if line.starts_with(&head) {
            inside = true;
        } else if line.starts_with('}') {
            inside = false;
        }
        match word {
            "address" if inside => out.push(format!("    address \"{}\" database={}", target.address, target.database)),
            "credential" if inside => {
                out.push(format!("    credential {} user={}", target.credential, target.user));
                out.push(target.ca.as_ref().map_or_else(
                    || "    tls off".to_owned(),
                    |ca| format!("    tls verify-full ca=\"{}\"", ca.display()),
                ));
            }
            _ => out.push(line.to_owned()),
        }
    }
    out.join("\n") + "\n"
}

/// Removes the lines of a clause.
pub fn without_lines(text: &str, unwanted: impl Fn(&str) -> bool) -> String {
    text.lines().filter(|line| !unwanted(line.trim())).fold(String::new(), |whole, line| whole + line + "\n")
}

/// Runs git, apart from the person's own configuration.
pub fn git(folder: &Path, arguments: &[&str]) -> Outcome<String> {
    let mut git = Command::new("git");
    git.args(arguments).current_dir(folder);
    // The person's own configuration (signing, hooks, templates) is none of this run's business.
    git.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0");
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        git.env_remove(variable);
    }
    Ok(must(&mut git)?.out)
}

/// Whether the system's git answers.
pub fn git_works() -> Outcome<()> {
    let ran = run(Command::new("git").arg("--version"))?;
    ensure(ran.ok(), || "git does not answer".to_owned())
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    std::fs::create_dir_all(to).doing(|| format!("cannot make {}", to.display()))?;
    for entry in std::fs::read_dir(from).doing(|| format!("cannot read {}", from.display()))? {
        let path = entry.doing(|| format!("cannot read {}", from.display()))?.path();
        let name = path.file_name().ok_or_else(|| Fault::new("a file without a name"))?;
        let goal = to.join(name);
        if path.is_dir() {
            copy(&path, &goal)?;
        } else {
            std::fs::copy(&path, &goal).doing(|| format!("cannot copy {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_pointed_elsewhere_and_its_neighbour_is_not() {
        let text = "connection a kind=postgres {\n    address \"x:1\" database=d\n    credential (vault)\"k\" user=u\n    label env=prod\n}\n\
                    connection b kind=postgres {\n    address \"y:1\" database=d\n}\n";
        let target = Target {
            connection: "a",
            address: "127.0.0.1:5".to_owned(),
            database: "ledger",
            credential: "(env)\"P\"".to_owned(),
            user: "gateway_rw",
            ca: Some(PathBuf::from("/ca")),
        };
        assert_eq!(
            retarget(text, &target),
            "connection a kind=postgres {\n    address \"127.0.0.1:5\" database=ledger\n    credential (env)\"P\" user=gateway_rw\n    \
             tls verify-full ca=\"/ca\"\n    label env=prod\n}\nconnection b kind=postgres {\n    address \"y:1\" database=d\n}\n"
        );
    }
}
