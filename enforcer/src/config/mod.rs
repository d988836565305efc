//! The gateway's configuration: a KDL file in, typed values out, and every mistake at once.
//!
//! No secret stands in the file, only the paths of files that hold one. What this version cannot do is a finding,
//! never silence. Nothing else in the gateway sees the text or a KDL value.

mod document;
mod limits;
mod mistake;
mod read;
mod recording;
mod value;

pub use mistake::{Findings, Mistake, Weight};

use crate::core::limits::Limits;
use crate::recording::age::Recipient;
use crate::recording::{Durability, archive, transit};
use secrecy::{ExposeSecretMut, SecretBox};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The gateway's name, for records.
    pub name: String,
    /// The folder of everything that the gateway keeps.
    pub state: PathBuf,
    /// The address of the console and API as people reach it, without a trailing slash.
    pub public_url: String,
    /// Where PostgreSQL clients connect.
    pub postgres: Option<Listener>,
    /// Where the HTTP API answers.
    pub api: Option<Listener>,
    /// Where metrics and health answer.
    pub metrics: Option<Listener>,
    /// The policy repository.
    pub repository: Repository,
    /// Recordings.
    pub recording: Recording,
    /// The key of `as hash` masks.
    pub mask_key: KeyFile,
    /// Channels that a policy's `notify` names.
    pub channels: Vec<Channel>,
    /// How people sign in to the console and the client.
    pub sign_in: Option<SignIn>,
    /// How long sessions may go on after a stop was asked for.
    pub drain: Duration,
    /// Bounds.
    pub limits: Limits,
}

/// A listening address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address; port 0 lets the system choose.
    pub address: SocketAddr,
    /// TLS; always there beyond loopback.
    pub tls: Option<TlsFiles>,
}

/// A certificate chain and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The policy repository and how it is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// Where it is.
    pub origin: Origin,
    /// The one branch.
    pub branch: String,
    /// The folder of `policy.kdl` in it; empty for the root.
    pub folder: String,
    /// Between two looks at the branch's tip.
    pub poll: Duration,
    /// The longest fetch.
    pub fetch_timeout: Duration,
    /// The file of the secret that signs webhooks.
    pub webhook_secret: Option<PathBuf>,
    /// The allowed-signers file; with it every applied commit must carry a signature of one of them.
    pub signers: Option<PathBuf>,
    /// The public keys, one of which must have signed a statement about every applied policy; see `leaseholdc sign`.
    pub require_signed_by: Option<PathBuf>,
    /// The one commit to which the branch may be rewound, 40 hexadecimal digits.
    pub rewind: Option<String>,
}

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// On this machine; bare or not.
    Local(PathBuf),
    /// Fetched by the system's git into a mirror under `state`.
    Remote(String),
}

/// Recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The folder.
    pub folder: PathBuf,
    /// The key that signs.
    pub signing_key: KeyFile,
    /// When a frame counts as recorded.
    pub durability: Durability,
    /// What must stay free.
    pub free_bytes_min: u64,
    /// The most that all recordings may take.
    pub quota_bytes: Option<u64>,
    /// Who may read recordings; with none they are not encrypted.
    pub recipients: Vec<Recipient>,
    /// How long a recording is kept; for ever when it is not said.
    pub keep: Option<Duration>,
    /// What wraps the keys of recordings, in place of recipients.
    pub key_service: Option<transit::Settings>,
    /// Where recordings are copied to.
    pub archive: Option<archive::Settings>,
}

/// A key file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFile {
    /// The file.
    pub file: PathBuf,
    /// Whether the gateway creates it: the configuration names none, so it stands under `state`.
    pub create: bool,
}

/// A notification channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The name that a policy's `notify` states.
    pub name: String,
    /// Where notifications are posted.
    pub webhook: String,
    /// The file of the secret that signs them.
    pub secret: Option<PathBuf>,
}

/// How people sign in: a client of one of the policy's idps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignIn {
    /// The idp's name in the policy.
    pub idp: String,
    /// The console's client id.
    pub client_id: String,
    /// The file of the console's client secret; none for a public client.
    pub secret: Option<PathBuf>,
    /// The client id of `leasehold login`, a public client; the console's when it has no secret.
    pub cli_client_id: Option<String>,
    /// Scopes to ask for.
    pub scope: String,
    /// The resource to ask a token for (RFC 8707), where the idp wants one.
    pub resource: Option<String>,
}

/// Reads a configuration: everything found about it, and its values when nothing is an error.
///
/// Relative paths are relative to the file's folder. Files that the configuration names must exist.
pub fn load(file: &Path) -> (Option<Config>, Findings) {
    let name = file.display().to_string();
    let text = match fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            let mut findings = Findings::new(&name, "");
            findings.whole(format!("cannot read `{name}`: {error}"), "name the file with --config");
            return (None, findings);
        }
    };
    let base = file.parent().unwrap_or(Path::new("")).to_owned();
    parse(&name, &text, &base, &|path| path.is_file())
}

/// Reads a configuration from its text. `exists` says whether there is a file.
pub fn parse(name: &str, text: &str, base: &Path, exists: &dyn Fn(&Path) -> bool) -> (Option<Config>, Findings) {
    let mut findings = Findings::new(name, text);
    let config = document::parse(text, &mut findings).and_then(|document| {
        let mut reader = read::Reader { base, exists, findings: &mut findings };
        reader.gateway(&document)
    });
    findings.sort();
    (config.filter(|_| !findings.has_errors()), findings)
}

/// `leasehold config check`: shows every finding. True when the gateway would start with the file.
///
/// # Errors
/// When `out` cannot be written.
pub fn check(file: &Path, out: &mut dyn Write) -> io::Result<bool> {
    let (config, findings) = load(file);
    findings.render(out)?;
    if config.is_some() {
        writeln!(out, "{}: no errors", file.display())?;
    }
    Ok(config.is_some())
}

/// The same for programs: one object with every finding and its place.
///
/// # Errors
/// When `out` cannot be written.
pub fn check_json(file: &Path, out: &mut dyn Write) -> io::Result<bool> {
    let (config, findings) = load(file);
    writeln!(out, "{:#}", findings.json())?;
    Ok(config.is_some())
}

/// Makes the state folder, with mode 0700.
///
/// # Errors
/// When it cannot be made, is no folder, or others may read or write it.
pub fn prepare_state(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let facts = fs::metadata(folder)?;
    if facts.mode() & 0o077 != 0 {
        let mode = facts.mode() & 0o7777;
        let sentence = format!("`{}` is open to others (mode {mode:04o}); run `chmod 700` on it", folder.display());
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, sentence));
    }
    Ok(())
}

/// The mask key: 32 bytes as hexadecimal digits, created with mode 0600 when the configuration names no file.
///
/// # Errors
/// When the file cannot be read or created, is open to others, or holds something else.
pub fn mask_key(key: &KeyFile) -> io::Result<SecretBox<[u8; 32]>> {
    let mut secret = SecretBox::new(Box::new([0_u8; 32]));
    let file = match OpenOptions::new().read(true).open(&key.file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound && key.create => {
            getrandom::fill(secret.expose_secret_mut()).map_err(|_| io::Error::other("no random bytes to be had"))?;
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key.file)?;
            let text = zeroize::Zeroizing::new(blake3::Hash::from_bytes(*secret.expose_secret_mut()).to_string());
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            return Ok(secret);
        }
        Err(error) => return Err(error),
    };
    let invalid = |sentence: String| io::Error::new(io::ErrorKind::InvalidData, sentence);
    if file.metadata()?.mode() & 0o077 != 0 {
        return Err(invalid(format!("`{}` is open to others; run `chmod 600` on it", key.file.display())));
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    file.take(256).read_to_string(&mut text)?;
    let read = blake3::Hash::from_hex(text.trim().to_ascii_lowercase())
        .map_err(|_| invalid(format!("`{}` does not hold 64 hexadecimal digits", key.file.display())))?;
    *secret.expose_secret_mut() = *read.as_bytes();
    Ok(secret)
}

#[cfg(test)]
mod tests;
