//! `verify`: whether a bundle, or the note of a commit, was signed by a key, and what it says.

use super::{Failure, Terminal, root, sign::sound};
use crate::{
    cli::{Exit, VerifyArgs},
    sign,
};
use ed25519_dalek::VerifyingKey;
use lang::{
    bundle::{self, BUNDLE_BYTES_MAX, NOTES, Statement},
    program::Program,
};

/// Opens a bundle or a note and shows its statement.
///
/// # Errors
/// When files, commits or keys cannot be read, or the output fails.
pub fn run(args: &VerifyArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let mut keys = Vec::new();
    for path in &args.public_key {
        keys.push(sign::public_key(path, terminal.system)?);
    }
    match (&args.commit, &args.bundle) {
        (Some(commit), _) => note(commit, args.path.as_deref(), &keys, terminal),
        (None, Some(path)) => bundle(path, &keys, terminal),
        (None, None) => Err(Failure::Usage("name a bundle, or a commit with `--commit`".to_owned())),
    }
}

fn bundle(path: &str, keys: &[VerifyingKey], terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let bytes = terminal.system.read(path, BUNDLE_BYTES_MAX as u64)?;
    let verified = match bundle::open(&bytes, keys) {
        Ok(verified) => verified.into_inner(),
        Err(error) => {
            writeln!(terminal.out, "{path}: not to be trusted: {error}")?;
            return Ok(Exit::Found);
        }
    };
    if let Err(invalid) = Program::new(verified.rules, verified.sources) {
        writeln!(terminal.out, "{path}: signed, but its tables are no program: {invalid}")?;
        return Ok(Exit::Found);
    }
    writeln!(terminal.out, "{path}: signed by a given key, and whole")?;
    show(&verified.statement, terminal)
}

/// The note of a commit, held to the policy that the commit has.
fn note(commit: &str, path: Option<&str>, keys: &[VerifyingKey], terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let root = root(path, terminal.system)?;
    let revision = terminal.system.revision(&root, commit)?;
    let Some(note) = terminal.system.attestation(&root, &revision.id)? else {
        writeln!(
            terminal.out,
            "{}: not signed: it has no note in {NOTES}; fetch them, or `leaseholdc sign`",
            revision.id
        )?;
        return Ok(Exit::Found);
    };
    let statement = match bundle::attested(&note, keys) {
        Ok(verified) => verified.into_inner(),
        Err(error) => {
            writeln!(terminal.out, "{}: its note is not to be trusted: {error}", revision.id)?;
            return Ok(Exit::Found);
        }
    };
    let Some(compilation) = sound(&revision, &root, "nothing was verified", terminal)? else { return Ok(Exit::Found) };
    let Some(checked) = &compilation.checked else { return Ok(Exit::Found) };
    if statement.commit.as_deref() != Some(revision.id.as_str())
        || statement.semantic != bundle::semantic_digest(&checked.get().rules)?
    {
        writeln!(terminal.out, "{}: its note is signed, but about another commit or policy", revision.id)?;
        return Ok(Exit::Found);
    }
    writeln!(terminal.out, "{}: signed by a given key, and its policy is what was signed", revision.id)?;
    show(&statement, terminal)
}

fn show(statement: &Statement, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    writeln!(terminal.out, "policy    {}", statement.policy)?;
    writeln!(terminal.out, "semantic  {}", statement.semantic)?;
    writeln!(terminal.out, "source    {}", statement.source)?;
    writeln!(terminal.out, "commit    {}", statement.commit.as_deref().unwrap_or("not stated"))?;
    writeln!(terminal.out, "tree      {}", statement.tree.as_deref().unwrap_or("not stated"))?;
    writeln!(terminal.out, "sequence  {}", statement.sequence)?;
    writeln!(terminal.out, "compiler  {}", statement.compiler)?;
    let found = statement.findings;
    writeln!(terminal.out, "findings  {} warnings, {} remarks", found.warnings, found.infos)?;
    Ok(Exit::Clean)
}
