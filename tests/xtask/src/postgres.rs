//! A private PostgreSQL with the sample databases: its own folder, a free port, loopback addresses only, scram and TLS.

use crate::command::{Ran, must, must_within, run};
use crate::fault::{Doing as _, Fault, Outcome, ensure};
use crate::service::{Plan, Service, User, free_port, secret};
use crate::setup::is_root;
use crate::tls::{self, Certificates};
use crate::tools::{self, Places};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// What it shows clients.
    pub certificates: Certificates,
    /// Whether it speaks TLS: the build from `PyPI` does not.
    pub tls: bool,
    /// Password of `gateway_ro`, which reads `logs`.
    pub reader_password: String,
    /// Password of `gateway_rw`, which reads and writes `ledger`.
    pub writer_password: String,
    super_password: String,
    psql: PathBuf,
    folder: PathBuf,
    service: Service,
}

impl Cluster {
    /// Makes and starts one, with the sample databases in it.
    pub fn start(places: &Places) -> Outcome<Self> {
        let bin = tools::postgres_bin(places).ok_or_else(|| tools::missing("postgres"))?;
        let psql = tools::postgres_client(places, "psql").ok_or_else(|| tools::missing("psql"))?;
        let user = unprivileged_user()?;
        // PostgreSQL refuses root, and the other user may not be able to enter this checkout: a folder in /tmp.
        let folder = std::env::temp_dir().join(format!("leasehold-postgres-{}", secret()?));
        std::fs::create_dir(&folder).doing(|| format!("cannot make {}", folder.display()))?;
        let certificates = tls::make(&folder.join("tls"))?;
        let super_password = secret()?;
        std::fs::write(folder.join("password"), &super_password).doing(|| "cannot write a password".to_owned())?;
        own(&folder, user)?;
        let data = folder.join("data");
        let mut init = as_user(Command::new(bin.join("initdb")), user);
        init.arg("--pgdata").arg(&data).arg("--pwfile").arg(folder.join("password"));
        init.args(["--username=postgres", "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"]);
        must(init.current_dir(&folder))?;
        std::fs::remove_file(folder.join("password")).doing(|| "cannot remove a password".to_owned())?;
        let port = free_port()?;
        let tls = speaks_tls(&bin)?;
        configure(&data, port, tls.then_some(&certificates), user)?;
        let mut command = Command::new(bin.join("postgres"));
        command.arg("-D").arg(&data).current_dir(&folder);
        let plan = Plan { name: "postgres", command, folder: &folder, stop_signal: "INT", user, remove: Some(&folder) };
        let service = Service::start(&plan)?;
        let reader_password = secret()?;
        let writer_password = secret()?;
        let cluster =
            Self { port, certificates, tls, reader_password, writer_password, super_password, psql, folder, service };
        cluster
            .service
            .ready_when(Duration::from_secs(30), || cluster.query("postgres", "select 1").ok().filter(Ran::ok))?;
        cluster.fill(&places.sample_sql())?;
        Ok(cluster)
    }

    /// Runs SQL as the superuser, past the gateway. Rows come unaligned, columns parted by `|`.
    pub fn query(&self, database: &str, sql: &str) -> Outcome<Ran> {
        let mut psql = self.psql_command(database);
        psql.args(["--tuples-only", "--no-align", "--command", sql]);
        run(&mut psql)
    }

    /// The single value that SQL gives as the superuser.
    pub fn value(&self, database: &str, sql: &str) -> Outcome<String> {
        let ran = self.query(database, sql)?;
        ensure(ran.ok(), || format!("direct query failed: {}", ran.err))?;
        Ok(ran.out.trim().to_owned())
    }

    /// psql as the superuser, past the gateway.
    pub fn psql_command(&self, database: &str) -> Command {
        let mut psql = self.client_command(&self.psql, database);
        psql.args(["--no-psqlrc", "--quiet"]);
        psql
    }

    /// Another of PostgreSQL's programs as the superuser, past the gateway.
    pub fn client_command(&self, program: &Path, database: &str) -> Command {
        let mut command = Command::new(program);
        command.env("PGHOST", "localhost").env("PGPORT", self.port.to_string()).env("PGDATABASE", database);
        command.env("PGUSER", "postgres").env("PGPASSWORD", &self.super_password);
        command
            .env("PGSSLMODE", if self.tls { "verify-full" } else { "disable" })
            .env("PGSSLROOTCERT", &self.certificates.ca);
        command
    }

    /// The superuser's password, for drivers that are compared past the gateway.
    pub fn super_password(&self) -> &str {
        &self.super_password
    }

    /// The psql in use.
    pub fn psql(&self) -> &Path {
        &self.psql
    }

    /// The server's process id.
    pub const fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// Ends the server, for tests of a target that is down.
    pub fn stop(&mut self) {
        self.service.stop();
    }

    fn fill(&self, sample: &Path) -> Outcome<()> {
        let mut psql = self.psql_command("postgres");
        psql.arg(format!("--set=ro_password={}", self.reader_password));
        psql.arg(format!("--set=rw_password={}", self.writer_password));
        psql.arg("--file").arg(sample);
        must_within(&mut psql, Duration::from_mins(2)).map(|_| ())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.service.stop();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// Whether this build of PostgreSQL speaks TLS.
fn speaks_tls(bin: &Path) -> Outcome<bool> {
    if !bin.join("pg_config").exists() {
        // A package of programs brings the libraries that they were built with along.
        let libraries =
            std::fs::read_dir(bin.join("../lib")).doing(|| format!("cannot read ../lib of {}", bin.display()))?;
        return Ok(libraries
            .filter_map(Result::ok)
            .any(|entry| entry.file_name().to_string_lossy().starts_with("libssl.so")));
    }
    let built = must(Command::new(bin.join("pg_config")).arg("--configure"))?.out;
    Ok(built.contains("openssl"))
}

fn configure(data: &Path, port: u16, certificates: Option<&Certificates>, user: Option<User>) -> Outcome<()> {
    let tls = certificates.map_or_else(String::new, |certificates| {
        format!(
            "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
            certificates.certificate.display(),
            certificates.key.display()
        )
    });
    let settings = format!(
        "\nlisten_addresses = '127.0.0.1,127.0.0.2,127.0.0.3,127.0.0.4,127.0.0.5,127.0.0.6,127.0.0.7,127.0.0.8,127.0.0.9,127.0.0.10,127.0.0.11,127.0.0.12,127.0.0.13'\nport = {port}\nunix_socket_directories = ''\n\
         max_connections = 100\n{tls}password_encryption = 'scram-sha-256'\nfsync = off\nsynchronous_commit = off\n\
         log_min_messages = warning\ntimezone = 'UTC'\nlog_timezone = 'UTC'\njit = off\n"
    );
    append(&data.join("postgresql.conf"), &settings, user)?;
    append(&data.join("pg_hba.conf"), "host all all 127.0.0.0/8 scram-sha-256\n", user)
}

fn append(path: &Path, more: &str, user: Option<User>) -> Outcome<()> {
    let before = std::fs::read_to_string(path).doing(|| format!("cannot read {}", path.display()))?;
    std::fs::write(path, before + more).doing(|| format!("cannot write {}", path.display()))?;
    if let Some(User { uid, gid }) = user {
        std::os::unix::fs::chown(path, Some(uid), Some(gid))
            .doing(|| format!("cannot give away {}", path.display()))?;
    }
    Ok(())
}

/// Gives a folder and what is in it to a user, the server's key readable by nobody else.
fn own(folder: &Path, user: Option<User>) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let key = folder.join("tls/server.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).doing(|| "cannot guard a key".to_owned())?;
    let Some(User { uid, gid }) = user else { return Ok(()) };
    let mut pending = vec![folder.to_path_buf()];
    while let Some(path) = pending.pop() {
        std::os::unix::fs::chown(&path, Some(uid), Some(gid))
            .doing(|| format!("cannot give away {}", path.display()))?;
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).doing(|| format!("cannot read {}", path.display()))?;
            pending.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
        }
    }
    Ok(())
}

fn as_user(mut command: Command, user: Option<User>) -> Command {
    use std::os::unix::process::CommandExt as _;
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
    command
}

/// Whom servers that refuse root run as, when this runs as root.
pub fn unprivileged_user() -> Outcome<Option<User>> {
    is_root().then(unprivileged).transpose()
}

/// The user `postgres`, else `nobody`.
fn unprivileged() -> Outcome<User> {
    let accounts = std::fs::read_to_string("/etc/passwd").doing(|| "cannot read /etc/passwd".to_owned())?;
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|name| {
            let line = accounts.lines().find(|line| line.split(':').next() == Some(name))?;
            let mut fields = line.split(':').skip(2);
            Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
        })
        .ok_or_else(|| Fault::new("PostgreSQL refuses root, and there is neither a user `postgres` nor `nobody`"))
}
