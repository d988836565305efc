//! Commit signatures against the operator's allowed-signers file.
//!
//! The signature is taken out of the commit and given to `ssh-keygen`, never to `git verify-commit`: that one reads
//! the repository's own configuration, which says what program to run. PGP signatures are not accepted: whether a key of
//! a keyring may sign policies stands nowhere.

use git2::{ErrorCode, Oid, Repository};
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const SSH_MARK: &[u8] = b"-----BEGIN SSH SIGNATURE-----";
const ANSWER_BYTES_MAX: u64 = 16 * 1024;
const STEP: Duration = Duration::from_millis(5);
/// How many steps a verification may take: ten seconds.
const STEPS_MAX: u32 = 2_000;

/// The principal that signed the commit. The error is a sentence for people.
pub(super) fn verify(repository: &Repository, commit: Oid, signers: &Path, scratch: &Path) -> Result<String, String> {
    let (signature, content) = match repository.extract_signature(&commit, None) {
        Ok(parts) => parts,
        Err(error) if error.code() == ErrorCode::NotFound => {
            return Err(
                "the commit is not signed: sign it with an SSH key of the allowed signers (`git commit -S`)".to_owned()
            );
        }
        Err(error) => return Err(format!("the commit's signature cannot be read: {}", error.message())),
    };
    if !signature.trim_ascii_start().starts_with(SSH_MARK) {
        return Err("the commit's signature is not an SSH signature: set `gpg.format ssh` and sign it again".to_owned());
    }
    let file = scratch.join("signature");
    write(&file, &signature).map_err(|error| format!("the signature cannot be handed to ssh-keygen: {error}"))?;
    let verdict = verify_with(&file, &content, signers);
    fs::remove_file(&file).ok();
    verdict
}

fn verify_with(signature: &Path, content: &[u8], signers: &Path) -> Result<String, String> {
    let unknown =
        || format!("the commit is signed, but not by one of `{}`: have an allowed signer sign it", signers.display());
    let keygen = |verb: &str| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", verb, "-f"]).arg(signers).arg("-s").arg(signature);
        command
    };
    let found = run(keygen("find-principals"), &[])?.ok_or_else(unknown)?;
    // A principal is a pattern list of the file's own line; the first that verifies is the signer.
    for principal in found.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('-')) {
        let mut command = keygen("verify");
        command.args(["-n", "git", "-I"]).arg(principal);
        if run(command, content)?.is_some() {
            return Ok(principal.to_owned());
        }
    }
    Err(unknown())
}

/// Runs a command to its end: its answer when it succeeds, `None` when it says no.
fn run(mut command: Command, input: &[u8]) -> Result<Option<String>, String> {
    let failed = |error: std::io::Error| format!("ssh-keygen cannot be run ({error}): install OpenSSH's client");
    let mut child = command
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A command that has seen enough closes its end: its verdict counts, not this write.
            stdin.map(|mut stdin| stdin.write_all(input).ok());
        });
        let answer = scope.spawn(move || {
            let mut text = String::new();
            stdout.map(|stdout| stdout.take(ANSWER_BYTES_MAX).read_to_string(&mut text).ok());
            text
        });
        let mut status = None;
        for _ in 0..STEPS_MAX {
            status = child.try_wait().map_err(failed)?;
            if status.is_some() {
                break;
            }
            std::thread::sleep(STEP);
        }
        let Some(status) = status else {
            child.kill().ok();
            child.wait().ok();
            return Err("ssh-keygen did not answer within ten seconds".to_owned());
        };
        let answer = answer.join().unwrap_or_default();
        Ok(status.success().then_some(answer))
    })
}

fn write(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut handle = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    handle.write_all(content)
}
