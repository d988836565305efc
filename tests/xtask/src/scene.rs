//! Everything that a live run stands on: PostgreSQL, the identity provider, the policy repository, the gateway.

use crate::cast::Person;
use crate::command::{must, shown};
use crate::fault::{Doing as _, Outcome, ensure};
use crate::gateway::{Gateway, Setting};
use crate::idp::Idp;
use crate::policy::{Repository, Target, git, retarget, without_lines};
use crate::postgres::Cluster;
use crate::tls::Certificates;
use crate::tools::{self, Places};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds that a token of a scene lives.
pub const TOKEN_SECONDS: u64 = 3600;

/// A running scene. What it started ends with it.
#[derive(Debug)]
pub struct Scene {
    // Fields end in this order: first the gateway, last what it leans on.
    /// The gateway.
    pub gateway: Gateway,
    /// The identity provider.
    pub idp: Idp,
    /// The target.
    pub cluster: Cluster,
    /// The policy.
    pub repository: Repository,
    /// Where the scene keeps its files.
    pub folder: PathBuf,
    /// This checkout.
    pub places: Places,
    // Until the end: no other run empties the folder.
    _held: File,
}

/// Something done to PostgreSQL.
pub type Prepare = Box<dyn Fn(&Cluster) -> Outcome<()>>;

/// What a scene may vary.
#[derive(Default)]
pub struct Choice {
    /// `debug` (when empty) or `release`.
    pub profile: &'static str,
    /// More lines for the gateway's configuration.
    pub gateway_lines: String,
    /// More lines for its `recording` block.
    pub recording_lines: String,
    /// What runs the gateway: nothing, or a program with its arguments that ends by becoming it.
    pub launcher: Vec<String>,
    /// Commits of the policy carry a signature, and the gateway takes no other.
    pub signed: bool,
    /// Files laid over the copy of the example policies: path and text. `PORT` in a text becomes PostgreSQL's.
    pub policy_files: Vec<(String, String)>,
    /// Another identity provider than the scene's own, which runs nevertheless.
    pub authority: Option<String>,
    /// PostgreSQL clients connect without TLS, which loopback allows.
    pub plaintext: bool,
    /// What is done to PostgreSQL before the gateway starts.
    pub prepare: Option<Prepare>,
}

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Choice").field("profile", &self.profile).finish_non_exhaustive()
    }
}

/// Keeps other runs away from a folder, which they would empty, for as long as the file is open.
fn hold(folder: &Path) -> Outcome<File> {
    let path = folder.with_extension("lock");
    let file = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| File::create(&path));
    let file = file.doing(|| format!("cannot make {}", path.display()))?;
    file.try_lock().doing(|| {
        format!(
            "{} is another run's: wait for its end, or set CARGO_TARGET_DIR to a folder of your own",
            folder.display()
        )
    })?;
    Ok(file)
}

impl Scene {
    /// Starts everything in a folder that is emptied first.
    pub fn start(places: &Places, folder: &Path, choice: &Choice) -> Outcome<Self> {
        let held = hold(folder)?;
        drop(std::fs::remove_dir_all(folder));
        std::fs::create_dir_all(folder.join("secrets")).doing(|| format!("cannot make {}", folder.display()))?;
        let cluster = Cluster::start(places)?;
        if let Some(prepare) = &choice.prepare {
            prepare(&cluster)?;
        }
        let idp = Idp::start(places, folder)?;
        let certificates = certificates_for_everybody(&cluster, folder)?;
        let repository = policy(places, folder, &cluster, &idp, &certificates, choice)?;
        let signers = signers(folder);
        let gateway = Gateway::start(&Setting {
            launcher: &choice.launcher,
            program: places.built(profile(choice), "leasehold"),
            folder: &folder.join("gateway"),
            certificates: &certificates,
            repository: &repository,
            environment: &[
                ("LOGS_PASSWORD", cluster.reader_password.clone()),
                ("BENCH_PASSWORD", cluster.writer_password.clone()),
            ],
            plaintext: choice.plaintext,
            more: &choice.gateway_lines,
            more_of_recording: &choice.recording_lines,
            more_of_repository: &if choice.signed {
                format!("signers \"{}\"\n", signers.display())
            } else {
                String::new()
            },
        })?;
        Ok(Self {
            gateway,
            idp,
            cluster,
            repository,
            folder: folder.to_path_buf(),
            places: places.clone(),
            _held: held,
        })
    }

    /// A token for one of the cast.
    pub fn token(&self, person: &Person) -> Outcome<String> {
        self.idp.token(person, TOKEN_SECONDS)
    }

    /// psql through the gateway, for one of the cast.
    pub fn psql(&self, person: &Person, connection: &str) -> Outcome<Command> {
        Ok(self.gateway.psql(self.cluster.psql(), connection, &self.token(person)?))
    }

    /// The compiler.
    pub fn leaseholdc(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.places.built("debug", "leaseholdc"));
        command.args(arguments).current_dir(&self.repository.work);
        command
    }
}

/// Builds the two programs.
pub fn build(places: &Places, profile: &str) -> Outcome<()> {
    let mut cargo = tools::cargo(places);
    cargo.args(["build", "--quiet", "--workspace", "--bins"]);
    if profile == "release" {
        cargo.arg("--release");
    }
    let ran = shown(&mut cargo)?;
    ensure(ran.ok(), || "cargo build failed".to_owned())?;
    for program in ["leasehold", "leaseholdc"] {
        let path = places.built(profile, program);
        ensure(path.exists(), || format!("cargo build made no {}", path.display()))?;
    }
    Ok(())
}

fn profile(choice: &Choice) -> &'static str {
    if choice.profile.is_empty() { "debug" } else { choice.profile }
}

/// The certificates of the cluster, copied to where the gateway may read them whoever it runs as.
fn certificates_for_everybody(cluster: &Cluster, folder: &Path) -> Outcome<Certificates> {
    let copied = |from: &Path, name: &str| {
        let to = folder.join(name);
        std::fs::copy(from, &to).doing(|| format!("cannot copy {}", from.display()))?;
        Ok(to)
    };
    let from = &cluster.certificates;
    Ok(Certificates {
        ca: copied(&from.ca, "ca.crt")?,
        certificate: copied(&from.certificate, "server.crt")?,
        key: copied(&from.key, "server.key")?,
    })
}

fn policy(
    places: &Places,
    folder: &Path,
    cluster: &Cluster,
    idp: &Idp,
    certificates: &Certificates,
    choice: &Choice,
) -> Outcome<Repository> {
    let secret = |name: &str| {
        let path = folder.join("secrets").join(name);
        std::fs::write(&path, &cluster.writer_password).doing(|| format!("cannot write {}", path.display()))?;
        Ok(format!("(file)\"{}\"", path.display()))
    };
    // One address each: the compiler refuses one address under different labels.
    let target = |connection, host, database, credential, user| Target {
        connection,
        address: format!("127.0.0.{host}:{}", cluster.port),
        database,
        credential,
        user,
        ca: cluster.tls.then(|| certificates.ca.clone()),
    };
    let targets = [
        target("prod-logs", 1, "logs", "(env)\"LOGS_PASSWORD\"".to_owned(), "gateway_ro"),
        target("payments-db", 2, "ledger", secret("payments-db")?, "gateway_rw"),
        target("ledger-staging", 3, "ledger_staging", secret("ledger-staging")?, "gateway_rw"),
        target("ledger-dev", 4, "ledger_dev", secret("ledger-dev")?, "gateway_rw"),
    ];
    Repository::create(&places.root.join("policies"), folder, |repository| {
        for file in ["connections/prod.kdl", "connections/nonprod.kdl"] {
            repository.edit(file, |text| targets.iter().fold(text, |text, target| retarget(&text, target)))?;
        }
        let authority = choice.authority.as_ref().unwrap_or(&idp.authority);
        repository.edit("identity/entra.kdl", |text| {
            let tenant = format!("    tenant (uuid)\"{}\"\n", crate::idp::TENANT);
            text.replace(&tenant, &format!("{tenant}    authority \"{authority}\"\n"))
        })?;
        // The story is told at any hour of any day.
        repository.edit("teams/payments/grants.kdl", |text| without_lines(&text, |line| line.starts_with("hours ")))?;
        if choice.signed {
            sign(repository, folder)?;
        }
        for (path, text) in &choice.policy_files {
            let path = repository.work.join(path);
            let text = text.replace("PORT", &cluster.port.to_string());
            std::fs::write(&path, text).doing(|| format!("cannot write {}", path.display()))?;
        }
        Ok(())
    })
}

/// The allowed-signers file of a scene.
fn signers(folder: &Path) -> PathBuf {
    folder.join("allowed_signers")
}

/// Makes a key for the policy's author, lets the gateway trust it, and has git sign with it.
fn sign(repository: &Repository, folder: &Path) -> Outcome<()> {
    let key = folder.join("author");
    let mut make = Command::new("ssh-keygen");
    make.args(["-q", "-t", "ed25519", "-N", "", "-C", "author@acme.example", "-f"]).arg(&key);
    must(&mut make)?;
    let public = key.with_extension("pub");
    let read = std::fs::read_to_string(&public).doing(|| format!("cannot read {}", public.display()))?;
    let path = signers(folder);
    std::fs::write(&path, format!("author@acme.example {read}"))
        .doing(|| format!("cannot write {}", path.display()))?;
    for (name, value) in
        [("gpg.format", "ssh"), ("user.signingkey", &*key.to_string_lossy()), ("commit.gpgsign", "true")]
    {
        git(&repository.work, &["config", name, value])?;
    }
    Ok(())
}
