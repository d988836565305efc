//! `sign`: a signed statement about the policy of a commit, attached to the commit as a git note. It signs what it
//! compiled itself, from the commit's objects and at the commit's time, never what it was told.

use super::{Failure, Terminal, count, located, root, threads};
use crate::{
    cli::{Exit, Format, SignArgs},
    compile::{Compilation, Options, compile},
    emit, report, sign,
    system::Revision,
};
use lang::{
    bundle::{self, NOTES},
    diag::Severity,
};

/// Compiles the policy of a commit and attaches its statement; a policy with errors gets none.
///
/// # Errors
/// When the arguments, the commit or the key make no sense, or files or output fail.
pub fn run(args: &SignArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let key = sign::private_key(&args.sign_key, terminal.system)?;
    let root = root(args.path.as_deref(), terminal.system)?;
    let revision = terminal.system.revision(&root, &args.revision)?;
    let Some(compilation) = sound(&revision, &root, "nothing was signed", terminal)? else { return Ok(Exit::Found) };
    let Some(checked) = &compilation.checked else { return Ok(Exit::Found) };
    let origin =
        emit::Origin { commit: Some(revision.id.clone()), tree: Some(revision.tree.clone()), sequence: args.sequence };
    let mut note = emit::attestation(checked, &origin, &key)?;
    note.push(b'\n');
    terminal.system.attest(&root, &revision.id, &String::from_utf8_lossy(&note))?;
    writeln!(terminal.out, "commit    {}", revision.id)?;
    writeln!(terminal.out, "semantic  {}", bundle::semantic_digest(&checked.get().rules)?)?;
    writeln!(terminal.out, "signed    {}", bundle::key_id(&key.verifying_key()))?;
    writeln!(terminal.out, "note      {NOTES}: `git push origin {NOTES}` brings it to the gateway")?;
    Ok(Exit::Clean)
}

/// The policy of a commit when it has no error; else its errors are shown, and what follows from them.
pub(super) fn sound(
    revision: &Revision,
    root: &str,
    so: &str,
    terminal: &mut Terminal<'_>,
) -> Result<Option<Compilation>, Failure> {
    let compilation = compile(revision.source.as_ref(), root, revision.at, &Options { threads: threads() })?;
    if compilation.checked.is_some() {
        return Ok(Some(compilation));
    }
    let errors: Vec<_> =
        compilation.diagnostics.iter().filter(|found| found.severity == Severity::Error).cloned().collect();
    report::findings(Format::Human, &errors, &located(&compilation.sources, root), terminal)?;
    writeln!(terminal.err, "{so}: the policy of {} has {}", revision.id, count(errors.len(), "error"))?;
    Ok(None)
}
