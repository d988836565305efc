//! `provision`: the SQL that makes a target mask by itself, from the policy and the definitions that
//! `leasehold catalog export --definitions` wrote. Offline: it belongs into the pull request that it serves.
//!
//! The only place of the compiler that reads SQL; nothing of it plays a part in `compile`.

use super::{Failure, Terminal, program, root};
use crate::cli::{Exit, ProvisionArgs};
use crate::system::join;
use lang::program::Program;
use lang::program::rules::Masking;
use pgsql::provision::{Views, classes, definitions, script};
use std::sync::Arc;

/// The longest file of definitions in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Prints the SQL.
///
/// # Errors
/// When the arguments make no sense, or files or output fail.
pub fn run(args: &ProvisionArgs, terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    let root = root(args.path.as_deref(), terminal.system)?;
    let program = match program(&root, args.at, terminal)? {
        Ok(program) => program,
        Err(exit) => return Ok(exit),
    };
    let file = args.definitions.clone().unwrap_or_else(|| join(&root, &format!("catalog/{}.jsonl", args.connection)));
    let bytes = terminal.system.read(&file, FILE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::Usage(format!("`{file}` is not UTF-8")))?;
    // Definitions are parsed, which takes a large stack.
    let sql = std::thread::scope(|scope| {
        let work = || sql(&program, args, &text);
        let thread = std::thread::Builder::new().stack_size(pgsql::bounds::STACK_BYTES).spawn_scoped(scope, work);
        thread.map(|thread| thread.join().unwrap_or_else(|_| Err("the SQL cannot be made".to_owned())))
    })?;
    terminal.out.write_all(sql.map_err(Failure::Usage)?.as_bytes())?;
    Ok(Exit::Clean)
}

fn sql(program: &Program, args: &ProvisionArgs, text: &str) -> Result<String, String> {
    let name = &args.connection;
    let target = program.connection(name).ok_or_else(|| format!("the policy has no connection `{name}`"))?;
    if target.masking != Masking::Database {
        return Err(format!("`{name}` does not say `masking database`"));
    }
    let catalog = Arc::new(definitions(text)?);
    if args.remove {
        return Ok(script::remove(target, &catalog));
    }
    Ok(script::install(target, &classes(program, target, &catalog, Views::Wanted)?, &catalog))
}
