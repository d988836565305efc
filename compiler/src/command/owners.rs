//! `owners`: the part of CODEOWNERS that follows from the policy's teams.

use super::{Failure, Terminal, model, root};
use crate::{
    cli::{Exit, OwnersArgs},
    owners,
};

/// The longest CODEOWNERS in bytes.
const FILE_BYTES_MAX: u64 = 3 * 1024 * 1024;

/// Prints, writes or checks the generated part.
///
/// # Errors
/// When the arguments make no sense, the policy cannot be read, or files or output fail.
pub fn run(args: &OwnersArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let root = root(args.path.as_deref(), terminal.system)?;
    let policy = match model(&root, terminal)? {
        Ok(policy) => policy,
        Err(exit) => return Ok(exit),
    };
    let prefix =
        args.prefix.clone().unwrap_or_else(|| if root.starts_with('/') { String::new() } else { root.clone() });
    let section = owners::section(&policy, &prefix);
    let file = if terminal.system.is_file(&args.file) {
        let content = terminal.system.read(&args.file, FILE_BYTES_MAX)?;
        String::from_utf8(content).map_err(|_| Failure::Usage(format!("`{}` is not UTF-8 text", args.file)))?
    } else {
        String::new()
    };
    if args.check {
        if owners::is_fresh(&file, &section) == Some(true) {
            return Ok(Exit::Clean);
        }
        writeln!(terminal.out, "error[P0804]: {} is stale; run `leaseholdc owners --write`", args.file)?;
        return Ok(Exit::Found);
    }
    if args.write {
        let merged = owners::merged(&file, &section);
        let verb = if merged == file { "is up to date" } else { "written" };
        if merged != file {
            terminal.system.write(&args.file, merged.as_bytes())?;
        }
        writeln!(terminal.out, "{}: {verb}", args.file)?;
        return Ok(Exit::Clean);
    }
    terminal.out.write_all(section.as_bytes())?;
    Ok(Exit::Clean)
}
