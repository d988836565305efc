//! Running programs to their end: captured, bounded in time, never through a shell.

use crate::clock;
use crate::fault::{Doing as _, Fault, Outcome, ensure};
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest that a captured program may run, unless its caller says otherwise.
pub const RUN_SECONDS_MAX: u64 = 120;

/// What a program left behind.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
    /// How long it ran.
    pub took: Duration,
}

impl Ran {
    /// Whether it ended well.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// Both outputs, for messages.
    pub fn said(&self) -> String {
        format!("{}{}", self.out, self.err)
    }
}

/// A program that runs while something else happens.
#[derive(Debug)]
pub struct Running {
    child: Child,
    out: JoinHandle<String>,
    err: JoinHandle<String>,
    start: std::time::Instant,
    name: String,
}

/// Starts a program with its output captured and nothing on its standard input.
pub fn start(command: &mut Command) -> Outcome<Running> {
    let name = name_of(command);
    let start = clock::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .doing(|| format!("cannot start `{name}`"))?;
    let out = gather(child.stdout.take());
    let err = gather(child.stderr.take());
    Ok(Running { child, out, err, start, name })
}

impl Running {
    /// Waits for the end; past the limit the program is killed and it is a fault.
    pub fn finish(mut self, within: Duration) -> Outcome<Ran> {
        let waited = clock::wait_for(&format!("`{}` ends", self.name), within, || {
            self.child.try_wait().doing(|| format!("cannot wait for `{}`", self.name))
        });
        let took = self.start.elapsed();
        if waited.is_err() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        let status = waited?;
        let out = self.out.join().unwrap_or_default();
        let err = self.err.join().unwrap_or_default();
        Ok(Ran { code: status.code(), out, err, took })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

/// Runs a program to its end.
pub fn run(command: &mut Command) -> Outcome<Ran> {
    run_within(command, Duration::from_secs(RUN_SECONDS_MAX))
}

/// Runs a program to its end, which must come in time.
pub fn run_within(command: &mut Command, within: Duration) -> Outcome<Ran> {
    start(command)?.finish(within)
}

/// Runs a program that must end well.
pub fn must(command: &mut Command) -> Outcome<Ran> {
    must_within(command, Duration::from_secs(RUN_SECONDS_MAX))
}

/// Runs a program that must end well and in time.
pub fn must_within(command: &mut Command, within: Duration) -> Outcome<Ran> {
    let name = name_of(command);
    let ran = run_within(command, within)?;
    ensure(ran.ok(), || format!("`{name}` failed ({:?}): {}", ran.code, tail(&ran.said(), 25)))?;
    Ok(ran)
}

/// Runs a program in the open: its output is shown as it comes, and standard output is also kept.
pub fn shown(command: &mut Command) -> Outcome<Ran> {
    let name = name_of(command);
    let start = clock::now();
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().doing(|| format!("cannot start `{name}`"))?;
    let mut kept = String::new();
    if let Some(pipe) = child.stdout.take() {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            crate::say::line(&line);
            kept.push_str(&line);
            kept.push('\n');
        }
    }
    let status = child.wait().doing(|| format!("cannot wait for `{name}`"))?;
    Ok(Ran { code: status.code(), out: kept, err: String::new(), took: start.elapsed() })
}

/// Finds a program on `PATH`.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| is_program(candidate))
}

/// Whether a file is there and may be run.
pub fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// The last lines of a text.
pub fn tail(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.trim_end().lines().collect();
    let from = all.len().saturating_sub(lines);
    all.get(from..).unwrap_or_default().join("\n")
}

fn name_of(command: &Command) -> String {
    Path::new(command.get_program()).file_name().unwrap_or(OsStr::new("?")).to_string_lossy().into_owned()
}

fn gather(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            drop(pipe.read_to_end(&mut bytes));
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A fault that quotes what a program said.
pub fn complaint(what: &str, ran: &Ran) -> Fault {
    Fault::new(format!("{what}; it said ({:?}): {}", ran.code, tail(&ran.said(), 12)))
}
