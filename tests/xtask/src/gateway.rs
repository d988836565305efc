//! A gateway of one run: its configuration, its process, and its clients.

use crate::command::{Ran, run_within};
use crate::fault::{Doing as _, Fault, Outcome};
use crate::http;
use crate::policy::Repository;
use crate::service::{Plan, Service, free_port};
use crate::tls::Certificates;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How a gateway is set up.
#[derive(Debug)]
pub struct Setting<'a> {
    /// What runs the program: nothing, or a program that ends by becoming it.
    pub launcher: &'a [String],
    /// The program.
    pub program: PathBuf,
    /// Where its configuration, state and recordings are kept.
    pub folder: &'a Path,
    /// What it shows clients.
    pub certificates: &'a Certificates,
    /// The policy that it follows.
    pub repository: &'a Repository,
    /// Variables that credentials of the kind `(env)` name.
    pub environment: &'a [(&'a str, String)],
    /// PostgreSQL clients connect without TLS.
    pub plaintext: bool,
    /// More lines for the `gateway` block.
    pub more: &'a str,
    /// More lines for its `repository` block.
    pub more_of_repository: &'a str,
    /// More lines for its `recording` block.
    pub more_of_recording: &'a str,
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Where PostgreSQL clients connect.
    pub port: u16,
    /// The HTTP API.
    pub api_port: u16,
    /// Metrics and health.
    pub metrics_port: u16,
    /// The authority that clients trust.
    pub ca: PathBuf,
    /// Its folder.
    pub folder: PathBuf,
    program: PathBuf,
    launcher: Vec<String>,
    environment: Vec<(String, String)>,
    service: Service,
}

impl Gateway {
    /// Writes a configuration, starts the gateway and waits until it is ready.
    pub fn start(setting: &Setting<'_>) -> Outcome<Self> {
        let (port, api_port, metrics_port) = (free_port()?, free_port()?, free_port()?);
        let config = configuration(setting, port, api_port, metrics_port);
        std::fs::create_dir_all(setting.folder).doing(|| format!("cannot make {}", setting.folder.display()))?;
        let path = config_path(setting.folder);
        std::fs::write(&path, config).doing(|| format!("cannot write {}", path.display()))?;
        let environment: Vec<(String, String)> =
            setting.environment.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let service = serve(setting.launcher, &setting.program, setting.folder, &environment)?;
        let gateway = Self {
            port,
            api_port,
            metrics_port,
            ca: setting.certificates.ca.clone(),
            folder: setting.folder.to_path_buf(),
            program: setting.program.clone(),
            launcher: setting.launcher.to_vec(),
            environment,
            service,
        };
        gateway.wait_until_ready()?;
        Ok(gateway)
    }

    /// Waits until `/readyz` says yes.
    pub fn wait_until_ready(&self) -> Outcome<()> {
        self.service.ready_when(Duration::from_mins(4), || {
            http::get(self.metrics_port, "/readyz", None).ok().filter(|answer| answer.status == 200).map(|_| ())
        })
    }

    /// A client command of `leasehold`, with a token.
    pub fn client(&self, token: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("LEASEHOLD_TOKEN", token).env("LEASEHOLD_URL", self.url());
        command.env("HOME", &self.folder).env_remove("XDG_CONFIG_HOME");
        command
    }

    /// Runs a client command.
    pub fn ask(&self, token: &str, arguments: &[&str]) -> Outcome<Ran> {
        run_within(&mut self.client(token, arguments), Duration::from_mins(1))
    }

    /// Runs a client command that must end well, and reads its JSON.
    pub fn ask_json(&self, token: &str, arguments: &[&str]) -> Outcome<Value> {
        let with_format: Vec<&str> = arguments.iter().copied().chain(["--format", "json"]).collect();
        let ran = self.ask(token, &with_format)?;
        if !ran.ok() {
            return Err(crate::command::complaint(&format!("`leasehold {}` failed", arguments.join(" ")), &ran));
        }
        serde_json::from_str(&ran.out)
            .doing(|| format!("`leasehold {}` gave no JSON: {}", arguments.join(" "), ran.out))
    }

    /// The API's address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.api_port)
    }

    /// What a PostgreSQL client is given, without the password.
    pub fn conninfo(&self, connection: &str, user: &str) -> String {
        format!(
            "host=localhost port={} dbname={connection} user={user} sslmode=verify-full sslrootcert={}",
            self.port,
            self.ca.display()
        )
    }

    /// psql through the gateway.
    pub fn psql(&self, psql: &Path, connection: &str, token: &str) -> Command {
        let mut command = Command::new(psql);
        command.args(["--no-psqlrc", "--tuples-only", "--no-align", "--dbname", &self.conninfo(connection, "me")]);
        command.env("PGPASSWORD", token).env("PGCONNECT_TIMEOUT", "20");
        command
    }

    /// The server's process id.
    pub const fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        self.service.said()
    }

    /// A metric's value, summed over its labels.
    pub fn metric(&self, name: &str) -> Outcome<f64> {
        let body = http::get(self.metrics_port, "/metrics", None)?.body;
        let values: Vec<f64> = body
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])))
            .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
            .collect();
        if values.is_empty() { Err(Fault::new(format!("no metric {name}"))) } else { Ok(values.iter().sum()) }
    }

    /// Ends the gateway with or without a chance to tidy up, and starts it again on the same state.
    pub fn restart(&mut self, politely: bool) -> Outcome<()> {
        if politely {
            self.service.stop();
        } else {
            self.service.kill();
        }
        self.service = serve(&self.launcher, &self.program, &self.folder, &self.environment)?;
        self.wait_until_ready()
    }

    /// Ends the gateway.
    pub fn stop(&mut self) {
        self.service.stop();
    }
}

fn serve(launcher: &[String], program: &Path, folder: &Path, environment: &[(String, String)]) -> Outcome<Service> {
    let mut command = match launcher {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    command.arg("serve").arg("--config").arg(config_path(folder)).current_dir(folder);
    command.envs(environment.iter().map(|(key, value)| (key, value)));
    Service::start(&Plan { name: "gateway", command, folder, stop_signal: "TERM", user: None, remove: None })
}

fn config_path(folder: &Path) -> PathBuf {
    folder.join("gateway.kdl")
}

fn configuration(setting: &Setting<'_>, port: u16, api_port: u16, metrics_port: u16) -> String {
    let Setting { folder, certificates, repository, more, more_of_repository, more_of_recording, .. } = setting;
    let folder = folder.display();
    let (certificate, key) = (certificates.certificate.display(), certificates.key.display());
    let tls = if setting.plaintext {
        String::new()
    } else {
        format!(" {{ tls certificate=\"{certificate}\" key=\"{key}\"; }}")
    };
    format!(
        "/- kdl-version 2\n\
         gateway name=\"gw-dev\" {{\n    \
             state \"{folder}/state\"\n    \
             public-url \"http://127.0.0.1:{api_port}\"\n    \
             listen postgres \"127.0.0.1:{port}\"{tls}\n    \
             listen api \"127.0.0.1:{api_port}\"\n    \
             listen metrics \"127.0.0.1:{metrics_port}\"\n    \
             repository {{\n        \
                 url \"{repository}\"\n        \
                 branch main\n        \
                 folder \".\"\n        \
                 poll \"1s\"\n        \
             {more_of_repository}}}\n    \
             recording {{\n        \
                 folder \"{folder}/recordings\"\n        \
                 free-min \"16MiB\"\n        \
             {more_of_recording}\n    }}\n    \
             drain \"2s\"\n\
         {more}}}\n",
        repository = repository.bare.display(),
    )
}
