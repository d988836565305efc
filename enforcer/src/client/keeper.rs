//! Where the tokens of `leasehold login` are kept: in the desktop's keyring where there is one, else in a file that
//! nobody else reads.
//!
//! The keyring is reached through `secret-tool`, which the desktops' libsecret brings: a client of its protocol of our
//! own would bring a message bus along. A token is never an argument of a program, and never part of an error.

use crate::gateway::clock;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use zeroize::Zeroizing;

/// How long a keyring may take: it may have to be unlocked by its owner.
const KEYRING_MS_MAX: u64 = 60_000;
/// Between two looks at whether it has answered.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Bytes that `secret-tool` reads, less some.
const SECRET_BYTES_MAX: usize = 8_000;

/// What is kept of a sign-in.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) origin: String,
    pub(super) access_token: String,
    pub(super) refresh_token: Option<String>,
    pub(super) expires_at: i64,
    pub(super) token_endpoint: String,
    pub(super) client_id: String,
    pub(super) resource: Option<String>,
}

/// Where something is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Keyring,
    File,
}

/// What the variable `LEASEHOLD_TOKENS` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// The keyring where there is one and it answers.
    Either,
    Keyring,
    File,
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

fn wish() -> io::Result<Wish> {
    match variable("LEASEHOLD_TOKENS").as_deref().map(|value| value.to_string_lossy().into_owned()).as_deref() {
        None | Some("auto") => Ok(Wish::Either),
        Some("keyring") => Ok(Wish::Keyring),
        Some("file") => Ok(Wish::File),
        Some(_) => Err(io::Error::other("LEASEHOLD_TOKENS is `auto`, `keyring` or `file`")),
    }
}

/// Whether there may be a keyring: its tool, and a session's bus to reach it by.
fn may_have_keyring() -> bool {
    let tool = || {
        std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .any(|folder| folder.join("secret-tool").is_file())
    };
    variable("DBUS_SESSION_BUS_ADDRESS").is_some() && tool()
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// The file for a gateway, whether it is there or not.
pub(super) fn file(url: &Url) -> Option<PathBuf> {
    let name: String = blake3::hash(origin(url).as_bytes()).to_hex().chars().take(32).collect();
    let folder = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")))?;
    Some(folder.join("leasehold/tokens").join(format!("{name}.json")))
}

/// The sign-in at a gateway, when one is kept.
pub(super) fn load(url: &Url) -> Option<Kept> {
    let wish = wish().ok()?;
    let in_file = || fs::read(file(url)?).ok().map(Zeroizing::new);
    let in_keyring = || may_have_keyring().then(|| keyring("lookup", url, None).ok()).flatten();
    let bytes = match wish {
        Wish::File => in_file(),
        Wish::Keyring => in_keyring(),
        Wish::Either => in_file().or_else(in_keyring),
    }?;
    serde_json::from_slice::<Kept>(&bytes).ok().filter(|kept| kept.origin == origin(url))
}

/// Keeps a sign-in; where.
pub(super) fn store(url: &Url, kept: &Kept) -> io::Result<Place> {
    let text = Zeroizing::new(serde_json::to_vec(kept).map_err(io::Error::other)?);
    let wish = wish()?;
    if wish == Wish::Keyring || (wish == Wish::Either && may_have_keyring() && text.len() <= SECRET_BYTES_MAX) {
        match in_keyring(url, &text) {
            Ok(()) => {
                // An older one in a file would be found first.
                if let Some(file) = file(url) {
                    forgotten(fs::remove_file(file))?;
                }
                return Ok(Place::Keyring);
            }
            Err(error) if wish == Wish::Keyring => return Err(error),
            // A keyring that is there and does not answer is no reason to sign nobody in.
            Err(_) => {}
        }
    }
    in_file(url, &text).map(|()| Place::File)
}

fn in_keyring(url: &Url, text: &[u8]) -> io::Result<()> {
    if !may_have_keyring() {
        return Err(io::Error::other("there is no keyring: no session bus, or no `secret-tool`"));
    }
    if text.len() > SECRET_BYTES_MAX {
        return Err(io::Error::other("the token is too long for the keyring"));
    }
    keyring("store", url, Some(text))?;
    // Some keyrings take what they do not keep.
    let back = keyring("lookup", url, None)?;
    if *back == text { Ok(()) } else { Err(io::Error::other("the keyring did not keep the token")) }
}

fn in_file(url: &Url, text: &[u8]) -> io::Result<()> {
    let file = file(url).ok_or_else(|| io::Error::other("there is no home folder to keep the token in"))?;
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    // Written beside and moved: a reader sees the old one or the new one, and nobody else either.
    let beside = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    out.write_all(text)?;
    out.sync_all()?;
    fs::rename(&beside, &file)
}

/// Forgets the sign-in at a gateway, wherever it is kept.
pub(super) fn forget(url: &Url) -> io::Result<()> {
    let wish = wish()?;
    if wish != Wish::File && may_have_keyring() {
        // `clear` fails where there is nothing; what counts is that nothing is there afterwards.
        drop(keyring("clear", url, None));
        if keyring("lookup", url, None).is_ok_and(|left| !left.is_empty()) {
            return Err(io::Error::other("the keyring still holds the token"));
        }
    }
    file(url).map_or(Ok(()), |file| forgotten(fs::remove_file(file)))
}

fn forgotten(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Has `secret-tool` do something; what it said.
fn keyring(what: &str, url: &Url, secret: Option<&[u8]>) -> io::Result<Zeroizing<Vec<u8>>> {
    let origin = origin(url);
    let mut command = Command::new("secret-tool");
    command.arg(what);
    if what == "store" {
        command.arg(format!("--label=Leasehold at {origin}"));
    }
    command.args(["service", "leasehold", "origin", &origin]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn()?;
    // Both ways hold less than a pipe does, so that nobody waits for anybody.
    if let Some(mut to) = child.stdin.take() {
        to.write_all(secret.unwrap_or_default())?;
    }
    let until = clock::mono_ms().saturating_add(KEYRING_MS_MAX);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if clock::mono_ms() > until {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::other("the keyring does not answer"));
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let mut said = Zeroizing::new(Vec::new());
    if let Some(from) = child.stdout.take() {
        from.take(64 * 1024).read_to_end(&mut said)?;
    }
    if status.success() { Ok(said) } else { Err(io::Error::other("the keyring refused")) }
}
