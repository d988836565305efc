//! `build`: a policy as a bundle.

use super::{Failure, Terminal, count, located, root, threads};
use crate::{
    cli::{BuildArgs, Exit, Format},
    compile::{Options, compile},
    emit, report, sign,
};
use lang::diag::Severity;

/// Checks a policy and writes its bundle; a policy with errors gives none.
///
/// # Errors
/// When the arguments or the key make no sense, or files or output fail.
pub fn run(args: &BuildArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let root = root(args.path.as_deref(), terminal.system)?;
    let key = args.sign_key.as_deref().map(|path| sign::private_key(path, terminal.system)).transpose()?;
    let at = args.at.unwrap_or_else(|| terminal.system.now());
    let compilation = compile(terminal.system, &root, at, &Options { threads: threads() })?;
    let Some(checked) = &compilation.checked else {
        let errors: Vec<_> =
            compilation.diagnostics.iter().filter(|found| found.severity == Severity::Error).cloned().collect();
        report::findings(Format::Human, &errors, &located(&compilation.sources, &root), terminal)?;
        writeln!(terminal.err, "no bundle was written: the policy has {}", count(errors.len(), "error"))?;
        return Ok(Exit::Found);
    };
    let origin = emit::Origin { commit: args.commit.clone(), tree: args.tree.clone(), sequence: args.sequence };
    let bundle = emit::bundle(checked, &origin, key.as_ref())?;
    terminal.system.write(&args.output, &bundle)?;
    writeln!(terminal.out, "bundle    {} ({} bytes)", args.output, bundle.len())?;
    writeln!(terminal.out, "semantic  {}", lang::bundle::semantic_digest(&checked.get().rules)?)?;
    writeln!(terminal.out, "source    {}", checked.get().source_digest)?;
    match &key {
        Some(key) => writeln!(terminal.out, "signed    {}", lang::bundle::key_id(&key.verifying_key()))?,
        None => writeln!(terminal.out, "signed    no: nothing will trust this bundle without `--sign-key`")?,
    }
    Ok(Exit::Clean)
}
