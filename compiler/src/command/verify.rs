//! `verify`: whether a bundle was signed by a key, and what it says.

use super::{Failure, Terminal};
use crate::{
    cli::{Exit, VerifyArgs},
    sign,
};
use lang::{
    bundle::{self, BUNDLE_BYTES_MAX},
    program::Program,
};

/// Opens a bundle and shows its statement.
///
/// # Errors
/// When files or keys cannot be read, or the output fails.
pub fn run(args: &VerifyArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let mut keys = Vec::new();
    for path in &args.public_key {
        keys.push(sign::public_key(path, terminal.system)?);
    }
    let bytes = terminal.system.read(&args.bundle, BUNDLE_BYTES_MAX as u64)?;
    let verified = match bundle::open(&bytes, &keys) {
        Ok(verified) => verified.into_inner(),
        Err(error) => {
            writeln!(terminal.out, "{}: not to be trusted: {error}", args.bundle)?;
            return Ok(Exit::Found);
        }
    };
    let statement = verified.statement;
    if let Err(invalid) = Program::new(verified.rules, verified.sources) {
        writeln!(terminal.out, "{}: signed, but its tables are no program: {invalid}", args.bundle)?;
        return Ok(Exit::Found);
    }
    writeln!(terminal.out, "{}: signed by a given key, and whole", args.bundle)?;
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
