//! `matrix`: who reaches what, as a page beside the policy.

use super::{Failure, Terminal, program, root};
use crate::{
    cli::{Exit, MatrixArgs},
    matrix,
    system::join,
};

/// The longest page in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Prints, writes or checks the matrix.
///
/// # Errors
/// When the arguments make no sense, or files or output fail.
pub fn run(args: &MatrixArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let root = root(args.path.as_deref(), terminal.system)?;
    let program = match program(&root, args.at, terminal)? {
        Ok(program) => program,
        Err(exit) => return Ok(exit),
    };
    let page = matrix::render(&program);
    let file = join(&root, matrix::FILE);
    let found = if terminal.system.is_file(&file) { terminal.system.read(&file, FILE_BYTES_MAX)? } else { Vec::new() };
    if args.check {
        if found == page.as_bytes() {
            return Ok(Exit::Clean);
        }
        writeln!(terminal.out, "{file} is stale; run `leaseholdc matrix --write` and review the difference")?;
        return Ok(Exit::Found);
    }
    if args.write {
        let verb = if found == page.as_bytes() { "is up to date" } else { "written" };
        if found != page.as_bytes() {
            terminal.system.write(&file, page.as_bytes())?;
        }
        writeln!(terminal.out, "{file}: {verb}")?;
        return Ok(Exit::Clean);
    }
    terminal.out.write_all(page.as_bytes())?;
    Ok(Exit::Clean)
}
