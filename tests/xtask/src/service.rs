//! Servers that a run starts, and that end with it, however it ends.
//!
//! Each server has a small shell beside it that waits on a pipe. When whoever holds the other end goes away, by
//! finishing, by a panic or by `kill -9`, the pipe closes and the shell ends the server by its process id. Nothing is
//! ever ended by name.

use crate::clock;
use crate::fault::{Doing as _, Fault, Outcome};
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

const STOP_SECONDS_MAX: u64 = 20;

const SUPERVISOR: &str = r#"
signal=$1; pidfile=$2; remove=$3; shift 3
"$@" < /dev/null &
server=$!
echo "$server" > "$pidfile"
trap : INT TERM
cat > /dev/null
kill -s "$signal" "$server" 2> /dev/null
wait "$server"
if [ -n "$remove" ]; then cd / && rm -rf -- "$remove"; fi
"#;

/// Who a server runs as, when not as the one who starts it.
#[derive(Clone, Copy, Debug)]
pub struct User {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// How a server is started.
#[derive(Debug)]
pub struct Plan<'a> {
    /// A short name, for files and messages.
    pub name: &'a str,
    /// The program and its arguments.
    pub command: Command,
    /// Where its output and process id are kept.
    pub folder: &'a Path,
    /// The signal that ends it politely: `TERM` or `INT`.
    pub stop_signal: &'a str,
    /// Another user to run as.
    pub user: Option<User>,
    /// A folder that goes when the server has ended.
    pub remove: Option<&'a Path>,
}

/// A server that runs until this value goes away.
#[derive(Debug)]
pub struct Service {
    name: String,
    pid: u32,
    log: PathBuf,
    supervisor: Child,
    leash: Option<ChildStdin>,
}

impl Service {
    /// Starts a server. Being ready is another matter: see [`Service::ready_when`].
    pub fn start(plan: &Plan<'_>) -> Outcome<Self> {
        let log = plan.folder.join(format!("{}.log", plan.name));
        let pid_file = plan.folder.join(format!("{}.pid", plan.name));
        drop(std::fs::remove_file(&pid_file));
        let output = File::create(&log).doing(|| format!("cannot write {}", log.display()))?;
        let error = output.try_clone().doing(|| "cannot share a log file".to_owned())?;
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", SUPERVISOR, "supervisor", plan.stop_signal])
            .arg(&pid_file)
            .arg(plan.remove.unwrap_or(Path::new("")));
        shell.arg(plan.command.get_program()).args(plan.command.get_args());
        for (key, value) in plan.command.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        if let Some(folder) = plan.command.get_current_dir() {
            shell.current_dir(folder);
        }
        if let Some(user) = plan.user {
            shell.uid(user.uid).gid(user.gid);
        }
        let mut supervisor = shell
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(error)
            .spawn()
            .doing(|| format!("cannot start {}", plan.name))?;
        let leash = supervisor.stdin.take();
        let pid = clock::wait_for(&format!("{} starts", plan.name), Duration::from_secs(10), || {
            Ok(std::fs::read_to_string(&pid_file).ok().and_then(|text| text.trim().parse().ok()))
        })?;
        Ok(Self { name: plan.name.to_owned(), pid, log, supervisor, leash })
    }

    /// The server's process id.
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its output so far.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Whether it still runs.
    pub fn is_alive(&self) -> bool {
        is_alive(self.pid)
    }

    /// Waits until the server answers; one that ended is reported at once, with its last words.
    pub fn ready_when<T>(&self, within: Duration, mut ask: impl FnMut() -> Option<T>) -> Outcome<T> {
        let waited = clock::wait_for(&format!("{} answers", self.name), within, || {
            let answer = ask();
            if answer.is_none() && !self.is_alive() {
                return Err(Fault::new(format!("{} ended", self.name)));
            }
            Ok(answer)
        });
        waited.map_err(|fault| {
            Fault::new(format!("{fault}; its last words:\n{}", crate::command::tail(&self.said(), 20)))
        })
    }

    /// Ends the server and waits for its end.
    pub fn stop(&mut self) {
        drop(self.leash.take());
        let ended = clock::wait_for("the end", Duration::from_secs(STOP_SECONDS_MAX), || {
            Ok(self.supervisor.try_wait().ok().flatten())
        });
        if ended.is_err() {
            signal(self.pid, "KILL");
            drop(self.supervisor.kill());
            drop(self.supervisor.wait());
        }
    }

    /// Ends the server without a chance to tidy up, as a crash would.
    pub fn kill(&mut self) {
        signal(self.pid, "KILL");
        self.stop();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if self.leash.is_some() {
            self.stop();
        }
    }
}

/// Sends a signal to a process of ours.
pub fn signal(pid: u32, name: &str) {
    // The shell's own `kill`: a small system has no other.
    let mut kill = Command::new("/bin/sh");
    drop(kill.args(["-c", "kill -s \"$1\" \"$2\"", "kill", name, &pid.to_string()]).stderr(Stdio::null()).status());
}

/// Whether a process exists and has not ended.
pub fn is_alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(')').map(|(_, rest)| !rest.trim_start().starts_with('Z')))
        .unwrap_or(false)
}

/// A port of this machine that was free a moment ago.
pub fn free_port() -> Outcome<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing(|| "cannot find a free port".to_owned())?;
    Ok(listener.local_addr().doing(|| "cannot find a free port".to_owned())?.port())
}

/// A secret of 32 hexadecimal digits from the system's generator.
pub fn secret() -> Outcome<String> {
    use std::fmt::Write as _;
    use std::io::Read as _;
    let mut bytes = [0_u8; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .doing(|| "cannot read /dev/urandom".to_owned())?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_ends_with_the_value_that_holds_it() {
        let folder = std::env::temp_dir().join(format!("leasehold-service-{}", secret().unwrap()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut command = Command::new("sleep");
        command.arg("300");
        let plan = Plan { name: "sleeper", command, folder: &folder, stop_signal: "TERM", user: None, remove: None };
        let service = Service::start(&plan).unwrap();
        let pid = service.pid();
        assert!(is_alive(pid));
        drop(service);
        assert!(!is_alive(pid));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
