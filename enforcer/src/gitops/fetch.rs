//! The mirror of a remote repository: the system's git fetches one branch, so that credential helpers, proxies and
//! SSH agents work. Nothing that is fetched is run, and a fetch that hangs is killed with its children.

use lang::bundle::NOTES;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};

const STDERR_BYTES_MAX: u64 = 4096;

/// Fetches the branch into the mirror. The error is a sentence for people.
pub(super) async fn fetch(url: &str, branch: &str, mirror: &Path, timeout: Duration) -> Result<(), String> {
    if !mirror.join("HEAD").is_file() {
        git2::Repository::init_bare(mirror)
            .map_err(|error| format!("the mirror `{}` cannot be made: {}", mirror.display(), error.message()))?;
    }
    let mut child = command(url, branch, mirror)
        .spawn()
        .map_err(|error| format!("the system's git cannot be run ({error}): install it, or follow a local path"))?;
    let stderr = child.stderr.take();
    let finished = tokio::time::timeout(timeout, async {
        let mut text = Vec::new();
        if let Some(stderr) = stderr {
            // What is beyond the bound is read by nobody: git would stop at a full pipe, and the timeout ends it.
            stderr.take(STDERR_BYTES_MAX).read_to_end(&mut text).await.ok();
        }
        (child.wait().await, text)
    })
    .await;
    match finished {
        Ok((Ok(status), _)) if status.success() => Ok(()),
        Ok((Ok(_), text)) => Err(format!("git fetch failed: {}", readable(&text))),
        Ok((Err(error), _)) => Err(format!("git fetch could not be waited for: {error}")),
        Err(_) => {
            kill_group(&mut child);
            child.wait().await.ok();
            Err(format!("git fetch took longer than {} s and was stopped", timeout.as_secs()))
        }
    }
}

fn command(url: &str, branch: &str, mirror: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .args(["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "gc.auto=0"])
        .args(["-c", "protocol.ext.allow=never", "-c", "fetch.fsckObjects=true"])
        .arg("--git-dir")
        .arg(mirror)
        .args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-gc"])
        .arg("--")
        .arg(url)
        // Forced: whether the branch moved forward is judged against the applied commit, not against the mirror.
        .arg(format!("+refs/heads/{branch}:refs/heads/{branch}"))
        // A pattern: that there are none is no failure.
        .arg(format!("+{NOTES}*:{NOTES}*"))
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("SSH_ASKPASS_REQUIRE", "never")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .env_remove("GIT_OBJECT_DIRECTORY")
        .env_remove("GIT_ALTERNATE_OBJECT_DIRECTORIES")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn kill_group(child: &mut Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group
        && rustix::process::kill_process_group(group, rustix::process::Signal::KILL).is_ok()
    {
        return;
    }
    child.start_kill().ok();
}

/// What git said, on one line and without control characters.
fn readable(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said: String = lines.join("; ").chars().filter(|c| !c.is_control()).take(600).collect();
    if said.is_empty() { "git did not say why".to_owned() } else { said }
}
